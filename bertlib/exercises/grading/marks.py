"""The marks of many notebooks as a table and in words, and where the notebooks are."""

import csv
import hashlib
import io
import json
from pathlib import Path

from bertlib.exercises.grading.grader import Mark, Report

COLUMNS = ["notebook", "exercise", "score", "status", "message"]
NAMED = ("missing", "stopped", "refused", "unreadable")


def notebooks_in(path: Path) -> list[Path]:
    """A notebook, or all those in a folder and below it, sorted by their paths.

    Raises:
        OSError: there is nothing of that name.
        ValueError: no notebook is in the folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if not path.is_dir():
        return [path]
    found = [p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    if not found:
        raise ValueError(f"no notebook (*.ipynb) is in the folder {path}")
    return sorted(found, key=lambda p: p.relative_to(path).parts)


def check_out(path: Path) -> None:
    """Refuse a file for the marks that could not be written in the end.

    Raises:
        ValueError: its name says neither CSV nor JSON, or its folder is not there.
    """
    if path.suffix not in (".csv", ".json"):
        raise ValueError(f"--out is {str(path)!r}; it must end in .csv or .json")
    if not path.parent.is_dir():
        raise ValueError(f"--out is {str(path)!r}; there is no folder {path.parent}")


def write(path: Path, reports: list[Report], root: Path) -> None:
    """Write one row for each notebook and exercise, all or none.

    Args:
        path: ends in .csv or .json.
        root: where the names of the notebooks begin.
    """
    rows = [row(name_of(r, root), mark) for r in reports for mark in r.marks]
    if path.suffix == ".json":
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    else:
        file = io.StringIO()
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        text = file.getvalue()
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    temporary.replace(path)


def name_of(report: Report, root: Path) -> str:
    """The path of a notebook from the folder on, with what cannot be printed as ?."""
    path = report.notebook
    name = path.relative_to(root).as_posix() if path != root else path.name
    return "".join(c if c.isprintable() else "?" for c in name)


def row(notebook: str, mark: Mark) -> dict[str, object]:
    """A mark as a row of the table, its message in one line."""
    # A spreadsheet takes what begins like this for a formula.
    quote = "'" if notebook[:1] in "=+-@" else ""
    values = (
        *(quote + notebook, mark.exercise, mark.score, mark.status),
        " ".join(mark.message.split()),
    )
    return dict(zip(COLUMNS, values, strict=True))


def line(report: Report, name: str) -> str:
    """A notebook in one line: what passed, and what is unusual."""
    passed = sum(mark.score for mark in report.marks)
    remarks = list(report.unusual)
    for status in reversed(NAMED):
        numbers = [m.exercise for m in report.marks if m.status == status]
        if numbers:
            remarks.insert(0, f"{status} {', '.join(numbers)}".strip())
    text = f"{name}: {passed} of {len(report.marks)}"
    return f"{text} ({'; '.join(remarks)})" if remarks else text


def shown(mark: Mark) -> str:
    """A mark as the cell would print it."""
    if mark.status == "not attempted":
        return f"Exercise {mark.exercise}: not attempted yet."
    text = f"Exercise {mark.exercise}: {mark.status}."
    return f"{text}\n\n{mark.message}" if mark.message else text


def fingerprints(folder: Path) -> dict[str, str]:
    """A hash of every file of a package but the compiled ones."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "__pycache__"
    }
