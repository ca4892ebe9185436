"""What stands in a notebook that a student hands in: its exercises, and what is amiss.

Nothing in it is run here, or trusted: a cell is a text with tags.
"""

import ast
import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bertlib.exercises.checking import CHECKS

DECORATOR = re.compile(
    r"""^@(?:\w+\.)*check\(\s*(?:number\s*=\s*)?["'](?P<number>[\w.]+)["']"""
    r"""(?P<more>[^)]*)\)""",
    re.M,
)
SETUP = re.compile(r"^from bertlib\.exercises import .*\bcheck\b", re.M)
LARGEST = 200_000_000  # bytes


class Answer(NamedTuple):
    """One exercise cell: its number, its code, and the cells that it may use."""

    number: str
    source: str
    before: list[str]


class Cell(NamedTuple):
    """A code cell: `numbers` are the exercises that it answers or solves."""

    source: str
    numbers: list[str]
    solution: bool
    setup: bool


def answers(notebook: Path, tag: str = "exercise") -> list[Answer]:
    """The answers in a notebook, in order.

    Args:
        tag: "exercise", for every cell with @check that is no solution, tagged or not;
            or "solution", which may use the solutions above it.

    Raises:
        ValueError: the file is not a notebook.
    """
    found: list[Answer] = []
    before: list[str] = []
    for cell in code_cells(notebook):
        if cell.solution and tag != "solution":
            continue
        if cell.solution == (tag == "solution"):
            found += [Answer(n, cell.source, list(before)) for n in cell.numbers]
        if cell.numbers or cell.setup or exported(cell.source):
            before.append(cell.source)
    return found


def exported(source: str) -> bool:
    """Whether a cell goes into bertlib."""
    return source.startswith("#| export")


def code_cells(notebook: Path) -> list[Cell]:
    """The code cells of a notebook.

    Raises:
        ValueError: the file is not a notebook.
    """
    if not notebook.is_file():  # a folder or a pipe may have such a name, too
        raise ValueError(f"{notebook} is not a notebook: it is no file")
    if notebook.stat().st_size > LARGEST:
        raise ValueError(f"{notebook} is not a notebook: it is over {LARGEST:,} bytes")
    try:
        content = json.loads(notebook.read_text(encoding="utf-8-sig"))
        cells = [c for c in content["cells"] if c["cell_type"] == "code"]
        return [
            _cell("".join(c["source"]), list(c.get("metadata", {}).get("tags", [])))
            for c in cells
        ]
    except RecursionError:
        raise ValueError(f"{notebook} is not a notebook: nested too deep") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error!r}") from error


def _cell(source: str, tags: list[str]) -> Cell:
    decorators = list(DECORATOR.finditer(source))
    solved = any(re.search(r"solution\s*=\s*True", d["more"]) for d in decorators)
    return Cell(
        source,
        [d["number"] for d in decorators],
        "solution" in tags or solved,
        not decorators and ("setup" in tags or bool(SETUP.search(source))),
    )


def plan(cells: list[Cell]) -> list[str]:
    """The exercises that a notebook must hold: all of its chapter's, then any other.

    The chapter is the one of most of its exercises and solutions.
    """
    known = [n for cell in cells for n in cell.numbers if n in CHECKS]
    if not known:
        return []
    counts = Counter(_chapter(n) for n in known)
    chapter = max(sorted(counts), key=counts.__getitem__)
    numbers = {n for n in CHECKS if _chapter(n) == chapter} | set(known)
    return sorted(numbers, key=lambda n: [part.rjust(9) for part in n.split(".")])


def _chapter(number: str) -> str:
    return number.split(".")[0]


def unusual(cells: list[Cell]) -> list[str]:
    """What is amiss with a notebook as a whole."""
    notes = []
    if not any(cell.setup for cell in cells):
        notes.append("no setup cell, the usual one was used")
    unknown = sorted({n for c in cells for n in c.numbers if n not in CHECKS})
    if unknown:
        notes.append(f"there is no exercise {', '.join(unknown)}")
    return notes


def needed(answer: Answer) -> Iterator[tuple[int, str]]:
    """The cells above that the answer uses, itself or through others, in order.

    A cell that is neither an exercise nor exported is a setup cell, and runs always.
    """
    kept, names = [], names_in(answer.source)[1]
    for k, source in reversed(list(enumerate(answer.before))):
        defined, used = names_in(source)
        setup = not (DECORATOR.search(source) or exported(source))
        if setup or defined & names:
            names |= used
            kept.append((k, source))
    yield from reversed(kept)


def names_in(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell defines, and those that it uses."""
    defined: set[str] = set()
    used: set[str] = set()
    with contextlib.suppress(Exception):
        for node in ast.walk(parsed(source)):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
            elif isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ):
                defined.add(node.name)
            elif isinstance(node, ast.alias):
                defined.add((node.asname or node.name).split(".")[0])
    return defined, used


def parsed(source: str) -> ast.Module:
    """The cell as a tree; a line of IPython's own (%pip, !ls) is left out."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M))
