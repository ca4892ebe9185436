"""Write the course in nbgrader's form: one assignment for each notebook.

    python tools/nbgrader_form.py [NOTEBOOK ...] [--to FOLDER]

An exercise becomes a locked statement, an answer cell with the course's solution
between nbgrader's marks, and a locked cell that judges the answer with the course's
own check. It is worth a point for each dot of its difficulty.
"""

import argparse
import ast
import re
import textwrap
from pathlib import Path

import nbformat
from publish import ROOT
from student import options, read, write_new

CONFIG = """\
# What the course needs of nbgrader. Add your own settings below.
#
# nbgrader runs a notebook in one process: an answer that ends it (os._exit, memory)
# leaves that notebook without marks. `python -m bertlib.exercises grade` marks the same
# submitted notebooks exercise by exercise, each in a process of its own.
c = get_config()

# Some cells train a model for longer than nbgrader's usual 30 seconds.
c.Execute.timeout = 300

# Running a source notebook notes that the exercises have passed: not for students.
c.CourseDirectory.ignore.append(".bertlib-progress")
"""

# nbgrader takes the points away when a cell writes a warning, so none gets through.
TEST = """\
# Exercise {number}: {points}, if the course's check passes.
import contextlib
import io

from bertlib.exercises.checking import judge

with contextlib.redirect_stderr(io.StringIO()):
    _verdict = judge("{number}", {name})
assert _verdict.status == "passed", f"\\n\\n{{_verdict}}"
"""


def assignment(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path` as nbgrader's source notebook.

    Raises:
        ValueError: the file is not a notebook, or an exercise has another form than
            CONTRIBUTING.md says.
    """
    notebook = read(path, link="../NAME/NAME.ipynb")
    statement = stub = None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.source.startswith("### Exercise "):
            statement = cell
        elif "exercise" in tags:
            stub = cell
        elif "setup" in tags:
            mark(cell, "setup", locked=True)
        elif "solution" in tags:
            if statement is None or stub is None:
                raise ValueError(f"{path}: a solution without its exercise: {cell.id}")
            try:
                turn(statement, stub, cell)
            except ValueError as error:
                raise ValueError(f"{path}, {stub.id}: {error}") from error
            statement = stub = None
    return notebook


def turn(
    statement: nbformat.NotebookNode,
    stub: nbformat.NotebookNode,
    solution: nbformat.NotebookNode,
) -> None:
    """Turn an exercise's cells into nbgrader's; the solution's becomes the test."""
    heading = re.match(r"### Exercise (\S+) (●+)", statement.source)
    if heading is None:
        raise ValueError(
            f"the statement begins {statement.source[:40]!r}; "
            "it must begin '### Exercise 3.4 ●●○ Title'"
        )
    number, points = heading[1], len(heading[2])
    name = answer_in(stub.source).name
    stub.source = with_solution(stub.source, solution.source)
    solution.source = TEST.format(
        number=number,
        points=f"{points} point{'s' if points > 1 else ''}",
        name=name,
    ).rstrip()
    solution.metadata = nbformat.NotebookNode()
    solution.id = f"{stub.id}-test"
    key = number.replace(".", "-")
    mark(statement, f"statement-{key}", locked=True)
    mark(stub, f"exercise-{key}", solution=True)
    mark(solution, f"test-{key}", grade=True, locked=True, points=points)


def mark(cell: nbformat.NotebookNode, grade_id: str, **given: bool | int) -> None:
    """Write nbgrader's metadata into a cell; what is not given is False."""
    kinds = dict.fromkeys(("grade", "solution", "locked", "task"), False)
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": grade_id,
        **kinds,
        **given,
    }


def with_solution(stub: str, solution: str) -> str:
    """The stub with the bodies of the solution's functions between nbgrader's marks.

    What the solution has beside its answer, an import for example, goes into the
    function: outside of it nbgrader would leave a line that raises.

    Raises:
        ValueError: the functions of stub and solution are not the same.
    """
    ours, theirs = answer_in(stub), answer_in(solution)
    if shape(ours) != shape(theirs):
        raise ValueError(
            f"the solution is {shape(theirs)}; it must be like its stub, {shape(ours)}"
        )
    pairs = [
        (empty, full)
        for empty, full in zip(functions(ours), functions(theirs), strict=True)
        if ast.unparse(empty.body[-1]) == "raise NotImplementedError"
    ]
    if not pairs:
        raise ValueError("no function of the stub ends in raise NotImplementedError")
    known = {ast.dump(node) for node in [*ast.parse(stub).body, theirs]}
    beside = [
        ast.get_source_segment(solution, node) or ""
        for node in ast.parse(solution).body
        if ast.dump(node) not in known
    ]
    if beside and len(pairs) > 1:
        raise ValueError(f"these lines need a place inside of the class: {beside}")
    above = "\n".join(beside) + "\n\n" if beside else ""
    lines = stub.splitlines()
    for empty, full in reversed(pairs):
        last = empty.body[-1]
        indent = " " * last.col_offset
        text = textwrap.indent(above, indent) + body(empty, full, solution)
        region = f"{indent}### BEGIN SOLUTION\n{text}\n{indent}### END SOLUTION"
        lines[last.lineno - 1 : last.end_lineno] = [region]
    return "\n".join(lines)


def answer_in(source: str) -> ast.FunctionDef | ast.ClassDef:
    """The function or class that stands under `@check`.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any("check(" in ast.unparse(line) for line in node.decorator_list)
    ]
    if len(found) != 1:
        raise ValueError(f"{len(found)} answers stand under @check; it must be one")
    return found[0]


def functions(answer: ast.FunctionDef | ast.ClassDef) -> list[ast.FunctionDef]:
    """The function itself, or the methods of the class."""
    if isinstance(answer, ast.FunctionDef):
        return [answer]
    return [node for node in answer.body if isinstance(node, ast.FunctionDef)]


def shape(answer: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """The name of the answer, and name and arguments of its functions."""
    signatures = [f"{f.name}({ast.unparse(f.args)})" for f in functions(answer)]
    return [answer.name, *signatures]


def body(empty: ast.FunctionDef, full: ast.FunctionDef, solution: str) -> str:
    """The lines of `full` but those that `empty` has: super().__init__() for one."""
    known = {ast.dump(node) for node in empty.body}
    first = next(node for node in full.body if ast.dump(node) not in known)
    lines, start = solution.splitlines(), first.lineno - 1
    while lines[start - 1].lstrip().startswith("#"):  # a comment belongs to its line
        start -= 1
    return "\n".join(lines[start : full.end_lineno])


def main() -> None:
    """Write the source notebooks and nbgrader's settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    paths, folder = options(parser, ROOT / "course")
    try:
        for path in paths:
            text = nbformat.writes(assignment(path)) + "\n"
            write_new(folder / "source" / path.stem / path.name, text)
        write_new(folder / "nbgrader_config.py", CONFIG)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
