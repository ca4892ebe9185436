"""The shortest program that ends in a chapter's lab.

On the way to its lab a chapter trains, measures and draws. Only what the lab's names
are made from is kept here: definitions and assignments, statement by statement. Calls
that change an object in place, as training does, are left out, so the program takes a
second and its models know little.
"""

import ast
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

# What takes long in a chapter, and what stands for it here.
SHORTER = {
    "hay = reviews[::6]": "hay = reviews[::300]",
    'load_classifier(work / "toy" / "best")': "new_toy(seed=0)",
    "rows[name] = paragraph_rows(name)": "rows[name] = paragraph_rows(name)[::4]",
}
COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


@dataclass
class Statement:
    """A statement of a chapter, and the global names in it."""

    source: str
    wanted: bool  # it belongs to the setup or to the lab
    binds: set[str]
    changes: set[str]  # adds to these, or sets an item of them
    now: set[str]  # read when it runs
    later: set[str]  # read when a function that it defines is called


def lab_source(chapter: Path) -> str:
    """The program of the chapter's lab."""
    found = list(statements(chapter))
    kept: set[int] = set()
    todo = [i for i, statement in enumerate(found) if statement.wanted]
    while todo:
        i = todo.pop()
        if i in kept:
            continue
        kept.add(i)
        for name in found[i].now | found[i].later:
            todo += makers(name, found[:i])
        for name in found[i].later:  # it is called somewhere below, at the latest here
            todo += makers(name, found)
    return "\n".join(found[i].source for i in sorted(kept)) + "\n"


def makers(name: str, before: list[Statement]) -> list[int]:
    """The last statement that binds the name, and those after it that add to it."""
    made = []
    for i in reversed(range(len(before))):
        if name in before[i].binds | before[i].changes:
            made.append(i)
        if name in before[i].binds:
            break
    return made


def statements(chapter: Path) -> Iterator[Statement]:
    """Those of all code cells up to the lab, without the exercises."""
    for cell in nbformat.read(chapter, as_version=4).cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or tags & {"exercise", "solution"}:
            continue
        source = cell.source
        for long, short in SHORTER.items():
            source = source.replace(long, short)
        for node in ast.parse(source).body:
            text = "\n".join(source.split("\n")[first_line(node) - 1 : node.end_lineno])
            yield analysed(node, text, bool(tags & {"setup", "lab"}))
        if "lab" in tags:
            return


def first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min(part.lineno for part in [node, *decorators])


def analysed(node: ast.stmt, source: str, wanted: bool) -> Statement:
    table = symtable.symtable(source, "cell", "exec")
    binds = {s.get_name() for s in table.get_symbols() if bound(s)}
    now = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    for inner in table.get_children():
        gather(inner, now, later)
    changes = set(changed(node))
    if isinstance(node, ast.For | ast.While | ast.With):
        now -= binds - changes  # it makes these itself before it reads them
    return Statement(source, wanted, binds, changes, now, later)


def bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported()


def gather(scope: symtable.SymbolTable, now: set[str], later: set[str]) -> None:
    """Add the globals that a scope reads: a function's are read when it is called."""
    runs = scope.get_type() == "class" or scope.get_name() in COMPREHENSIONS
    reads = now if runs else later
    reads |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
    for inner in scope.get_children():
        gather(inner, reads, later)


def changed(node: ast.stmt) -> Iterator[str]:
    """The names that `x += 1` and `x[0] = 1` change."""
    for part in ast.walk(node):
        stored = isinstance(getattr(part, "ctx", None), ast.Store)
        whole = part.target if isinstance(part, ast.AugAssign) else None
        if isinstance(part, ast.Subscript) and stored:
            whole = part.value
        if isinstance(whole, ast.Name):
            yield whole.id
