"""What a chapter's notebook says about itself: its head, and its exercises.

The export writes it into the package, the book makes pages of it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

NUMBER = re.compile(r"^(?:\d+|Capstone [A-Z])\s*[.:·]\s*")  # a title may bring it along
STATEMENT = re.compile(r"### Exercise ((?:\d+|[A-Z])\.\d+) (●+)(○*) (.+)")
MINUTES = re.compile(r"^\*(\d+) minutes\.\*", re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """One exercise: what its statement and the statement's metadata say."""

    number: str
    title: str
    difficulty: int  # 1 to 3, the dots that are filled
    minutes: int
    goal: str
    chapter: str  # the notebook's name without .ipynb
    chapter_title: str


def read_head(notebook: Path) -> tuple[str, str, str]:
    """Title, promise and minutes line from a chapter's first cell.

    Raises:
        ValueError: the first cell has another form.
    """
    return head_of(nbformat.read(notebook, as_version=4), notebook)


def head_of(book: nbformat.NotebookNode, notebook: Path) -> tuple[str, str, str]:
    """The same from a notebook that is read already; `notebook` names it in errors."""
    first = next((c.source for c in book.cells if c.cell_type == "markdown"), "")
    blocks = [block.strip() for block in re.split(r"\n\s*\n", first.strip())]
    blocks += [""] * (3 - len(blocks))
    if not (blocks[0].startswith("# ") and blocks[1].startswith(">") and blocks[2]):
        raise ValueError(
            f"{notebook.name}: the first cell needs three blocks: "
            "'# Title', '> promise', and the line with the minutes"
        )
    promise = " ".join(line.lstrip("> ") for line in blocks[1].splitlines())
    title = NUMBER.sub("", blocks[0].removeprefix("# "))
    return title, promise, " ".join(blocks[2].split())


def reading_minutes(notebook: Path) -> int:
    """The minutes of reading that a chapter's head names.

    Raises:
        ValueError: the line with the minutes does not begin with them.
    """
    line = read_head(notebook)[2]
    match = re.match(r"Reading (\d+) minutes?\b", line)
    if match is None:
        raise ValueError(
            f"{notebook.name}: want 'Reading 45 minutes ...', got {line!r}"
        )
    return int(match[1])


def read_exercises(notebook: Path) -> list[Exercise]:
    """The exercises of a chapter, in order.

    Raises:
        ValueError: a statement lacks its dots, its minutes or its goal.
    """
    book = nbformat.read(notebook, as_version=4)
    title = head_of(book, notebook)[0]
    return [
        read_statement(cell, notebook, title)
        for cell in book.cells
        if cell.cell_type == "markdown" and cell.source.startswith("### Exercise ")
    ]


def read_statement(
    cell: nbformat.NotebookNode, notebook: Path, chapter_title: str
) -> Exercise:
    """One exercise from the markdown cell that states it."""
    heading = cell.source.splitlines()[0]
    match, minutes = STATEMENT.fullmatch(heading), MINUTES.search(cell.source)
    goal = cell.metadata.get("course", {}).get("goal")
    if match is None or len(match[2] + match[3]) != 3:
        wanted = "'### Exercise 3.4 ●●○ Title', three dots in all"
    elif minutes is None:
        wanted = "a paragraph that begins '*15 minutes.*'"
    elif not goal:
        wanted = 'a goal in the metadata, {"course": {"goal": "..."}}'
    else:
        return Exercise(
            number=match[1],
            title=match[4].strip(),
            difficulty=len(match[2]),
            minutes=int(minutes[1]),
            goal=goal,
            chapter=notebook.stem,
            chapter_title=chapter_title,
        )
    raise ValueError(f"{notebook.name}: {heading!r} needs {wanted}")
