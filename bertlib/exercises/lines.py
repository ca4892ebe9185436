"""How many lines an answer has, and whose code it is."""

import ast
import dis
import inspect
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

ALLOWED = ("bertlib.corpus", "bertlib.exercises")  # data and checks
LIBRARIES = ("bertlib", "transformers")


def count_lines(root: Any, model: nn.Module) -> dict[str, int]:
    """The lines of each of the author's functions and classes, by name.

    Followed are `root`, the classes of the model's parts, and whatever these name. A
    statement is a line, over however many lines it runs, and so is the head of a
    function, a class or a loop. Comments and docstrings do not count.

    Raises:
        OSError: there is no source, as of code that was made by exec.
    """
    return {part.__name__: _lines(part) for part in _own_parts(root, model)}


def foreign_parts(root: Any, model: nn.Module) -> list[str]:
    """What the author took from a library that has a BERT, by name."""
    found = {f"{type(m).__module__}.{type(m).__name__}" for m in model.modules()}
    for part in _own_parts(root, model):
        for code in _codes(part):
            for instruction in dis.get_instructions(code):
                found.add(_origin(instruction, _globals_of(part)))
    return sorted(name for name in found if name and _is_foreign(name))


def _is_foreign(name: str) -> bool:
    inside = [name == lib or name.startswith(f"{lib}.") for lib in LIBRARIES]
    return any(inside) and not name.startswith(ALLOWED)


def _origin(instruction: dis.Instruction, names: dict[str, Any]) -> str:
    """The full name of what an instruction imports or looks up, or ""."""
    if instruction.opname == "IMPORT_NAME":
        return str(instruction.argval)
    if instruction.opname not in ("LOAD_GLOBAL", "LOAD_NAME"):
        return ""
    found = names.get(instruction.argval)
    if isinstance(found, ModuleType):
        return found.__name__
    module = getattr(found, "__module__", None)
    return f"{module}.{instruction.argval}" if module else ""


def _own_parts(root: Any, model: nn.Module) -> list[Any]:
    """root, the classes of the model's parts, and what they name; each once."""
    kinds = {type(module): None for module in model.modules()}  # in order
    todo: list[Any] = [root, *kinds]
    parts: list[Any] = []
    while todo:
        part = inspect.unwrap(todo.pop(0))
        if part in parts or getattr(part, "__module__", "") != root.__module__:
            continue
        if not isinstance(part, type | FunctionType):
            continue
        parts.append(part)
        todo += part.__mro__[1:] if isinstance(part, type) else []
        names = _globals_of(part)
        todo += [
            names.get(instruction.argval)
            for code in _codes(part)
            for instruction in dis.get_instructions(code)
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        ]
    return parts


def _functions(part: Any) -> Iterator[FunctionType]:
    """The function itself, or the methods of a class."""
    values: list[Any] = [part]
    if isinstance(part, type):
        values = list(vars(part).values())
    for value in values:
        inner: Any = value.fget if isinstance(value, property) else value
        value = inspect.unwrap(getattr(inner, "__func__", inner))
        if isinstance(value, FunctionType):
            yield value


def _globals_of(part: Any) -> dict[str, Any]:
    return next((f.__globals__ for f in _functions(part)), {})


def _codes(part: Any) -> Iterator[CodeType]:
    """The code of a function or class, and of all that is defined in it."""
    todo = [function.__code__ for function in _functions(part)]
    while todo:
        code = todo.pop()
        yield code
        todo += [inner for inner in code.co_consts if isinstance(inner, CodeType)]


def _lines(part: Any) -> int:
    head = int(isinstance(part, type))
    return head + sum(_statements(inspect.getsource(f)) for f in _functions(part))


def _statements(source: str) -> int:
    nodes = list(ast.walk(ast.parse(textwrap.dedent(source))))
    texts = [n for n in nodes if isinstance(n, ast.Expr) and _is_text(n.value)]
    free = (ast.Import, ast.ImportFrom)
    kept = (isinstance(n, ast.stmt) and not isinstance(n, free) for n in nodes)
    return sum(kept) - len(texts)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
