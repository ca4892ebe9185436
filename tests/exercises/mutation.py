"""Mutants: each solution of the course with one small thing changed.

    python -m tests.exercises.mutation 3.2 [4.4 ...]     show the mutants that pass
    python -m tests.exercises.mutation                   of all that do not train
    python -m tests.exercises.mutation B.4 C.4 C.5       of those that do: two hours

A mutant that its check lets pass is either a hole in the check or no mistake at all.
The second kind stands in `bank_chNN.py` under `equivalent`, with the reason. The
changes are those of mutation testing (DeMillo, Lipton and Sayward 1978): operators,
constants, conditions, arguments and whole statements.
"""

import ast
import contextlib
import copy
import io
import itertools
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertlib.exercises import grading
from bertlib.exercises.checking import judge
from tests.exercises.bank import TRAINS

ROOT = Path(__file__).resolve().parents[2]
TURNS = 100_000  # of all loops of one mutant: then one of them has lost its end
MORE_TURNS = 50_000_000  # where the loops read a few hundred texts

SWAPS: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult, ast.FloorDiv],
    ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Break: [ast.Continue],
    ast.Continue: [ast.Break],
}
NAMES = {
    "max": "min",
    "amax": "amin",
    "argmax": "argmin",
    "sum": "mean",
    "mean": "sum",
    "all": "any",
    "any": "all",
    "floor": "ceil",
    "ceil": "floor",
    "zeros": "ones",
    "zeros_": "ones_",
    "ones": "zeros",
    "ones_": "zeros_",
    "append": "count",
    "sorted": "list",
}
NAMES |= {
    new: old for old, new in NAMES.items() if new not in {*NAMES, "list", "count"}
}


SYMMETRIC = {"max", "min", "transpose"}  # f(a, b) is f(b, a)


class Mutant(NamedTuple):
    """One change of one solution: `change` names it, `source` is the whole cell."""

    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of the answer in a solution cell, each alone, in reading order."""
    tree = ast.parse(source)
    lines = ast.unparse(tree).splitlines()
    seen = {ast.unparse(tree)}
    for at, node in enumerate(places(tree)):
        for change in changes(node):
            mutated = copy.deepcopy(tree)
            change(places(mutated)[at])
            text = ast.unparse(ast.fix_missing_locations(mutated))
            if text not in seen:
                seen.add(text)
                yield Mutant(difference(lines, text.splitlines()), text)


def places(tree: ast.AST) -> list[ast.AST]:
    """The nodes that are part of the answer: no import, annotation or decorator."""
    left_out = {"decorator_list", "annotation", "returns"}
    found = [tree]
    for name, value in ast.iter_fields(tree):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and name not in left_out and not told(part):
                found += places(part)
    return found


def told(node: ast.AST) -> bool:
    """What no check can see: imports, the words of an error, the guard of `zip`."""
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr))


def difference(old: list[str], new: list[str]) -> str:
    """Where the first line that differs does, before and after."""
    pairs = zip(old, new, strict=False)
    before, after = next((p for p in pairs if p[0] != p[1]), (old[-1], new[-1]))
    letters = enumerate(zip(before, f"{after} ", strict=False))
    at = next((k for k, (a, b) in letters if a != b), len(before))
    part = slice(max(0, at - 24), at + 12)
    return f"{before[part].strip()} -> {after[part].strip()}"


def changes(node: ast.AST) -> Iterator[Any]:
    """What can be changed at a node: functions that change it in place."""
    for field in ("op", "ops"):
        for new in SWAPS.get(type(first(getattr(node, field, None))), []):
            yield lambda n, f=field, new=new: put_operator(n, f, new())
    if isinstance(node, ast.Constant):
        for value in other_values(node.value):
            yield lambda n, value=value: setattr(n, "value", value)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield lambda n: setattr(n, "attr", NAMES[n.attr])
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield lambda n: setattr(n, "id", NAMES[n.id])
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield lambda n: become(n, n.operand)
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        for value in (True, False):
            yield lambda n, v=value: setattr(n, "test", ast.Constant(v))
    if isinstance(node, ast.comprehension) and node.ifs:
        yield lambda n: n.ifs.clear()
    if isinstance(node, ast.Call):
        for k, argument in enumerate(node.keywords):
            if not told(argument):
                yield lambda n, k=k: n.keywords.pop(k)
        if len(node.args) == 2 and name_of(node.func) not in SYMMETRIC:
            yield lambda n: n.args.reverse()
    for field in ("body", "orelse"):
        body = getattr(node, field, None)
        for k, part in enumerate(body if isinstance(body, list) else []):
            if removable(part):
                yield lambda n, f=field, k=k: remove(getattr(n, f), k)


def name_of(function: ast.AST) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def put_operator(node: Any, field: str, new: ast.AST) -> None:
    if field == "ops":
        node.ops[0] = new
    else:
        node.op = new


def other_values(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value * 2 if value else 1.0]
    if isinstance(value, str):
        return [f"{value}x"]
    return []


def become(node: ast.AST, other: ast.AST) -> None:
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)


def removable(part: ast.AST) -> bool:
    kinds = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Return)
    constant = isinstance(getattr(part, "value", None), ast.Constant)
    says_nothing = constant and isinstance(part, ast.Expr)  # a docstring
    if isinstance(part, ast.Return):
        says_nothing = constant and part.value.value is None  # type: ignore
    return isinstance(part, kinds) and not says_nothing


def remove(body: list[Any], k: int) -> None:
    become(body[k], ast.Pass())


def solution_of(number: str) -> grading.Answer:
    """The solution cell of an exercise, and the cells above it."""
    part = number.split(".")[0].lower()
    name = f"chapters/{int(part):02d}" if part.isdigit() else f"capstones/{part}"
    (path,) = ROOT.glob(f"{name}_*.ipynb")
    return next(a for a in grading.answers(path, "solution") if a.number == number)


def mutants_of(number: str) -> list[Mutant]:
    """The mutants of the solution of exercise `number`."""
    return list(mutants(solution_of(number).source))


def survivors(number: str) -> tuple[int, list[Mutant]]:
    """How many mutants exercise `number` has, and those that its check lets pass."""
    solution, everything = solution_of(number), mutants_of(number)
    return len(everything), [m for m in everything if passes(solution, m.source)]


def passes(solution: grading.Answer, source: str) -> bool:
    """Whether the check lets this answer pass, in the place of the solution."""
    verdicts = []
    turns = itertools.count()
    most = MORE_TURNS if solution.number in TRAINS else TURNS

    def tick() -> None:
        if next(turns) > most:
            raise RuntimeError("a loop without end")

    def check(number: str, solution: bool = False) -> Any:
        return lambda answer: verdicts.append(judge(number, answer)) or answer

    namespace = setting(solution)
    namespace["check"] = check
    namespace["_tick"] = tick
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            run_cell(source, "<mutant>", namespace, counted(source))
        except (Exception, SystemExit):
            return False
    return bool(verdicts) and verdicts[-1].status == "passed"


def run_cell(
    source: str,
    name: str,
    namespace: dict[str, Any],
    tree: ast.Module | None = None,
) -> None:
    """Run a cell, or its tree, as a notebook does: a check can ask for its lines."""
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(tree or source, name, "exec"), namespace)


def counted(source: str) -> ast.Module:
    """The cell with a count in every loop, so that none goes on for ever."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.While, ast.For)):
            node.body.insert(0, ast.parse("_tick()").body[0])
    return ast.fix_missing_locations(tree)


def setting(solution: grading.Answer) -> dict[str, Any]:
    """A fresh namespace in which the cells above the solution have run."""
    if solution.number not in _settings:
        namespace: dict[str, Any] = {"__name__": "chapter"}
        with contextlib.redirect_stdout(io.StringIO()):
            for k, cell in enumerate(solution.before):
                with contextlib.suppress(NotImplementedError):
                    run_cell(cell, f"<cell {k}>", namespace)
        _settings.clear()
        _settings[solution.number] = namespace
    return dict(_settings[solution.number])


_settings: dict[str, dict[str, Any]] = {}


def main() -> None:
    from tests.exercises.test_exercises import cells

    every = [p.id for p in cells("solution") if p.id not in TRAINS]
    for number in sys.argv[1:] or every:
        total, left = survivors(number)
        print(f"{number}: {total} mutants, {len(left)} pass", flush=True)
        for mutant in left:
            print(f"    {mutant.change}", flush=True)


if __name__ == "__main__":
    main()
