"""What a check relies on, as it was before any answer ran, and whether it still is so.

The answer runs in the process that judges it, so it can reach everything in there.
`Clean` remembers the functions, classes and tables that a check uses; `guard` looks at
them whenever an answer's code hands over to the check.
"""

import gc
import itertools
import operator
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch.utils._device import DeviceContext

from bertlib.exercises.grading import inventory
from bertlib.exercises.grading.inventory import name_of

NO_FILE = "<string>"
CACHE = "__slotnames__"  # copying an object notes this in its class
# A counter, and what torch.set_default_dtype changes.
HARMLESS = {"torch.utils.hooks.RemovableHandle.next_id", "torch.Storage"}


class Table(NamedTuple):
    """What a module, class, dict or list holds, as it was.

    values: () -> what it holds now, in order; keys: the names of what it held.
    closed: whether a new name counts as a change even if it hides no builtin.
    """

    name: str
    live: Any
    values: Callable[[], Any]
    keys: tuple[Any, ...]
    old: tuple[Any, ...]
    closed: bool


class Fact(NamedTuple):
    """Something about each of several objects, as it was."""

    about: Callable[[Any], Any]
    names: list[str]
    objects: list[Any]
    old: list[Any]


class Clean:
    """Everything that a check relies on, as it is when this is made.

    files, functions, classes: of all code there is; what is not in them came later.
    made: the code that is in no file, as a named tuple's.
    """

    def __init__(self) -> None:
        code = [f for f in gc.get_objects() if type(f) is FunctionType]
        self.files = {f.__code__.co_filename for f in code} - {NO_FILE}
        in_none = [f for f in code if f.__code__.co_filename == NO_FILE]
        self.made = {id(f.__code__) for f in in_none}
        self.functions = set(map(id, code))
        every = inventory.subclasses(object).items()
        # A mock is equal to everything, as an answer's own class may be.
        self.classes = {i for i, c in every if c.__module__ != "unittest.mock"}
        modules = inventory.modules()
        kinds = inventory.classes_in(modules)
        used = inventory.functions_of([*modules, *kinds])
        cells = [(name_of(f), c) for f in used for c in f.__closure__ or ()]
        given = [f for f in used if f.__kwdefaults__]
        self.tables = [
            *(_table(name_of(m), vars(m), False) for m in modules),
            *(_table(name_of(c), vars(c), True) for c in kinds),
            *(_table(name, it, False) for name, it in inventory.constants(modules)),
            *(_table(name_of(f), f.__kwdefaults__, True) for f in given),
        ]
        self.facts = [
            _fact(sys.modules.get, [(m.__name__, m.__name__) for m in modules]),
            _fact(type, [(name_of(o), o) for o in [*modules, *kinds]]),
            _fact(type.__dict__["__mro__"].__get__, [(name_of(c), c) for c in kinds]),
            _fact(inventory.contents, cells),
        ]

    def comparison(self) -> Callable[[], str]:
        """A function that names the first thing that has changed, or gives "".

        It looks nothing up where an answer may have put something else.
        """
        every, size, pairs, same, both = all, len, map, operator.is_, zip
        tables, facts, first_change = [*self.tables], [*self.facts], _first_change
        chain, call, total = itertools.chain.from_iterable, operator.call, sum
        lives, values = [t.live for t in tables], [t.values for t in tables]
        all_old, fresh = [value for table in tables for value in table.old], _table
        count, kind, dispatch_modes = range, type, torch._C._len_torch_dispatch_stack
        modes = torch._C._len_torch_function_stack
        mode = torch._C._get_function_stack_at

        def changed() -> str:
            nonlocal tables, all_old
            if total(pairs(size, lives)) != size(all_old) or not every(
                pairs(same, chain(pairs(call, values)), all_old)
            ):
                for table in tables:
                    old, kept = table.old, size(table.live) == size(table.old)
                    kept = kept and every(pairs(same, table.values(), old))
                    if not kept and (name := first_change(table)):
                        return name
                # What is new does no harm; the next look is at that as well.
                tables = [fresh(t.name, t.live, t.closed) for t in tables]
                all_old = [value for table in tables for value in table.old]
            for about, names, objects, before in facts:
                if not every(pairs(same, pairs(about, objects), before)):
                    for name, now, then in both(names, pairs(about, objects), before):
                        if now is not then:
                            return name
            for k in count(modes()):
                if kind(mode(k)) is not DeviceContext:
                    return "every function of torch"
            return "every function of torch" if dispatch_modes() else ""

        return changed


def _table(name: str, live: Any, closed: bool) -> Table:
    if isinstance(live, list):
        return Table(name, live, live.__iter__, (), tuple(live), True)
    return Table(name, live, live.values, tuple(live), tuple(live.values()), closed)


def _fact(about: Callable[[Any], Any], named: list[tuple[str, Any]]) -> Fact:
    names, objects = [n for n, _ in named], [o for _, o in named]
    return Fact(about, names, objects, [about(o) for o in objects])


def _first_change(
    table: Table,
    both: Any = zip,
    nothing: Any = object(),  # noqa: B008
    hides: Any = frozenset(vars(sys.modules["builtins"])),  # noqa: B008
) -> str:
    """What has changed in a table; the defaults are out of an answer's reach."""
    if table.closed and not table.keys:  # a list
        return table.name
    for key, old in both(table.keys, table.old):
        name = f"{table.name}.{key}"
        if table.live.get(key, nothing) is not old and name not in HARMLESS:
            return name
    for key in table.live:
        new = key not in table.keys and key != CACHE
        if new and (table.closed or key in hides):
            return f"{table.name}.{key}"
    return ""
