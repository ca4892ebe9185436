"""What a check relies on: the modules, their classes, functions and constants."""

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch

# Where a check looks things up; a name that ends in a dot stands for all below it.
RELIED_ON = (
    *("builtins", "collections", "functools", "itertools", "json", "json.", "math"),
    *("multiprocessing.connection", "numpy", "operator", "random", "re"),
    *("torch", "torch._C._nn", "torch._tensor", "torch.autograd", "torch.functional"),
    *("torch.linalg", "torch.overrides", "torch.random", "torch.special"),
    *("torch.nn", "torch.nn.", "torch.optim", "torch.optim.", "bertlib", "bertlib."),
)
OWN_NOTES = "bertlib.exercises.yours"  # `check` writes there


def modules() -> list[ModuleType]:
    """The modules of RELIED_ON that are loaded."""
    return [module for name, module in sorted(sys.modules.items()) if _relied_on(name)]


def _relied_on(module: str) -> bool:
    return any(
        module == name or (name[-1] == "." and module.startswith(name))
        for name in RELIED_ON
    )


def classes_in(holders: list[ModuleType]) -> list[Any]:
    """The classes that modules have a name for."""
    values = {id(v): v for module in holders for v in vars(module).values()}
    old_kind = type(torch.FloatTensor)  # the likes of torch.ByteTensor: nobody's use
    kinds = [v for v in values.values() if issubclass(type(v), type)]
    return [kind for kind in kinds if type(kind) is not old_kind]


def subclasses(kind: type) -> dict[int, Any]:
    """A class and all below it, by id."""
    found: dict[int, Any] = {id(kind): kind}
    ahead = [kind]
    while ahead:
        below: list[type] = type.__subclasses__(ahead.pop())
        new = [other for other in below if id(other) not in found]
        found.update((id(other), other) for other in new)
        ahead += new
    return found


def functions_of(owners: list[Any]) -> list[Any]:
    """The Python functions in modules and classes, also those inside of others."""
    found: dict[int, Any] = {}
    for owner in owners:
        for value in vars(owner).values():
            _functions_in(value, found)
    return list(found.values())


def _functions_in(value: Any, found: dict[int, Any]) -> None:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        for part in (value.fget, value.fset):
            _functions_in(part, found)
    if type(value) is FunctionType and id(value) not in found:
        found[id(value)] = value
        for cell in value.__closure__ or ():
            _functions_in(contents(cell), found)


def contents(cell: Any) -> Any:
    """What a function keeps in one of its cells."""
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None


def constants(holders: list[ModuleType]) -> Iterator[tuple[str, Any]]:
    """The dicts and lists of the checks and of bertlib; CHECKS is one."""
    for module in holders:
        if module.__name__.startswith("bertlib.") and module.__name__ != OWN_NOTES:
            for key, value in vars(module).items():
                if isinstance(value, dict | list) and not key.startswith("__"):
                    yield f"{module.__name__}.{key}", value


def name_of(thing: Any) -> str:
    """torch.nn.Linear, for a module, a class or a function."""
    if isinstance(thing, ModuleType):
        return thing.__name__
    return f"{thing.__module__}.{thing.__qualname__}"
