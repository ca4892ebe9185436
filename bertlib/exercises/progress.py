"""How far a student is: the exercises that passed, in a file beside the notebook.

The file has a line for each exercise. A pass adds one short line at the end, in one
write, so notebooks that are open side by side do not disturb each other, and a line
that is damaged is all that is lost. Nothing leaves the machine.
"""

import json
import re
from pathlib import Path

FILE = ".bertlib-progress"
NUMBER = r"(\d+|[A-Z])\.\d+"  # a letter is a capstone


def record(number: str, folder: Path = Path()) -> str:
    """Note that exercise `number` has passed, and say how far the student is.

    A file that cannot be read or written costs the progress alone: the text says so.
    """
    try:
        passed, damage = read(folder)
        for _ in range(3):  # a system without atomic appending may lose a line
            if number in passed:
                break
            _append(folder / FILE, number)
            passed, damage = read(folder)
    except OSError as error:
        return f"Progress is not kept, {FILE} cannot be used: {error.strerror}."
    chapter = number.split(".")[0]
    chapters = course()
    done, total = _count(passed, chapters.get(chapter, []))
    kind = "Chapter" if chapter.isdigit() else "Capstone"
    line = f"{kind} {chapter}: {done} of {total} {bar(done, total)}"
    done, total = _count(passed, [n for numbers in chapters.values() for n in numbers])
    line += f" · course: {done} of {total}"
    return f"{line}\n{damage}" if damage else line


def read(folder: Path) -> tuple[set[str], str]:
    """The exercises passed, and a sentence about damaged lines, or "".

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        text = (folder / FILE).read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        return set(), ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    passed = {line for line in lines if re.fullmatch(NUMBER, line, re.ASCII)}
    broken = sum(line not in passed for line in lines)
    if not broken:
        return passed, ""
    are = "line is" if broken == 1 else "lines are"
    return passed, f"In {FILE}, {broken} {are} damaged and not counted."


def table(folder: Path) -> str:
    """A line for each chapter: how many exercises are done, and which are open.

    Raises:
        OSError: there is no such folder, or the file in it cannot be read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    passed, damage = read(folder)
    chapters = course()
    rows = []
    for chapter, numbers in chapters.items():
        done, total = _count(passed, numbers)
        still = " ".join(n for n in numbers if n not in passed)
        name = f"Chapter {chapter:>2}" if chapter.isdigit() else f"Capstone {chapter}"
        row = f"{name}  {done:2} of {total:2}  {bar(done, total):11}  "
        rows.append(row + (f"open: {still}" if still else "all done"))
    done, total = _count(passed, [n for numbers in chapters.values() for n in numbers])
    rows.append(f"Course      {done:2} of {total:2}")
    if not (folder / FILE).exists():
        rows.append(f"Nothing has passed in {folder.resolve()}: no {FILE} is there.")
    return "\n".join([*rows, damage] if damage else rows)


def bar(done: int, total: int) -> str:
    """[||----]: made of signs that screen readers pass over; the words say it all."""
    return f"[{'|' * done}{'-' * (total - done)}]"


def _append(path: Path, number: str) -> None:
    data = path.read_bytes() if path.exists() else b""
    before = "" if not data or data.endswith(b"\n") else "\n"  # a line was cut off
    with path.open("ab", buffering=0) as file:
        file.write(f"{before}{number}\n".encode())


def _count(passed: set[str], numbers: list[str]) -> tuple[int, int]:
    return sum(n in passed for n in numbers), len(numbers)


def course() -> dict[str, list[str]]:
    """The numbers of all exercises, by chapter, in reading order."""
    text = Path(__file__).with_name("contents.json").read_text(encoding="utf-8")
    chapters: dict[str, list[str]] = {}
    for exercise in json.loads(text):
        number = exercise["number"]
        chapters.setdefault(number.split(".")[0], []).append(number)
    return chapters
