"""Does grading many notebooks give the same marks twice, lose none, and end in time?

    python benchmarks/grading.py [--notebooks 200] [--jobs 2]

Student copies of the chapters are filled with answers whose verdict is known: the
solutions, the right and the wrong answers of the tests' bank, by their source, and
stubs left as they are. Twenty of the notebooks are hostile, each in its own way. The
command grades the folder twice. Printed are the seconds, whether the two tables are
equal, the marks that are lost, and those that are not what they should be.
"""

import argparse
import ast
import csv
import functools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tools")]

from student import without_solutions  # noqa: E402

from bertlib.exercises.grading import notebooks  # noqa: E402
from tests.exercises import bank  # noqa: E402

Marks = dict[tuple[str, str], str]  # (notebook, exercise): status

# What a hostile cell does before its function, or in it; and the status it then has.
BEFORE = {
    "endless cell": ("while True: pass", "stopped"),
    "exit": ("import os; os._exit(0)", "stopped"),
    "edited check": (
        "import bertlib.exercises.checking as c; c.expect_close = print",
        "refused",
    ),
    "own check": ("check = lambda number: print", None),
    "package": ("import torch; open(torch.__file__, 'a')", "not yet"),
    "progress": ("open('.bertlib-progress', 'w').write('3.1')", None),
}
INSIDE = {
    "endless": ("while True: pass", "stopped"),
    "sleeping": ("import time; time.sleep(9999)", "stopped"),
    "crash": ("import os; os.abort()", "stopped"),
    "sys.exit": ("raise SystemExit", "not yet"),
    "memory": ("x = [0]\n    while True: x += x", "not yet"),
    "output": ("[print('x' * 99) for _ in range(99_999)]", None),
    "children": (
        "from multiprocessing.util import spawnv_passfds as s\n    "
        "s(b'/bin/sh', ['sh', '-c', 'setsid sleep 999 & setsid sleep 999 &'], [])",
        None,
    ),
    "network": ("import socket; socket.create_connection(('127.0.0.1', 9))", "not yet"),
    "kill": ("import os; os.kill(os.getppid(), 9)", "not yet"),
    "forged": (
        "import os\n    for k in range(3, 9):\n        try: os.write(k, b'passed\\n')\n"
        "        except OSError: pass\n    os._exit(0)",
        "stopped",
    ),
}
SHAPES = ("no setup", "deleted cell", "torn file", "essay")


@functools.cache
def parsed(path: str) -> ast.Module:
    """A file of the bank."""
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def definition(answer: bank.Answer) -> tuple[ast.Module, Any]:
    """The file of an answer, and its definition there; None where it was made."""
    module = sys.modules[answer.answer.__module__]
    tree = parsed(str(module.__file__))
    wanted = answer.answer.__name__
    own = [node for node in tree.body if getattr(node, "name", "") == wanted]
    return tree, own[-1] if own else None


def with_bank_source(answer: bank.Answer) -> str:
    """An answer of the bank as a cell: what it needs of its file, and itself."""
    tree, own = definition(answer)
    needed = notebooks.names_in(ast.unparse(own))[1]
    kept = []
    for node in reversed(tree.body[: tree.body.index(own)]):
        defined, used = notebooks.names_in(ast.unparse(node))
        if defined & needed:
            needed |= used
            kept.append(ast.unparse(bare(node)))
    text = "\n".join(reversed(kept))
    return f'{text}\n@check("{answer.number}")\n{ast.unparse(bare(own))}'


def bare(node: Any) -> Any:
    """A definition without the decorators that put it into the bank."""
    if hasattr(node, "decorator_list"):
        node.decorator_list = [
            d
            for d in node.decorator_list
            if not ast.unparse(d).startswith(("right(", "wrong("))
        ]
    return node


class Class:
    """A folder of notebooks, and the marks that they should get."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wanted: Marks = {}
        self.draw = random.Random(0)
        self.chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
        self.bank: dict[str, list[bank.Answer]] = {}
        for answer in bank.load():
            if definition(answer)[1]:
                self.bank.setdefault(answer.number, []).append(answer)

    def fill(self, name: str, chapter: Path, honest: bool) -> Any:
        """A student's copy with answers: of any kind, or right ones alone."""
        solutions = {a.number: a.source for a in notebooks.answers(chapter, "solution")}
        copy = without_solutions(chapter)
        parts = {n: notebooks.names_in(source) for n, source in solutions.items()}
        for cell in copy.cells:
            if "exercise" not in cell.metadata.get("tags", []):
                continue
            (number,) = (notebooks.DECORATOR.search(cell.source).group("number"),)
            kind = self.draw.choice(("solution", "bank", "bank", "stub"))
            others = {n for k in parts if k != number for n in parts[k][0]}
            if kind == "solution" and parts[number][1] & (others - parts[number][0]):
                kind = "bank"  # the solution uses another one, which may be wrong here
            status = "not attempted"
            if kind == "solution" or not honest:
                cell.source = solutions[number].replace(", solution=True", "")
                status = "passed"
            elif kind == "bank":
                answer = self.draw.choice(self.bank[number])
                cell.source = with_bank_source(answer)
                status = "passed" if answer.says is None else "not yet"
            self.wanted[name, number] = status
        return copy

    def write(self, name: str, notebook: Any) -> None:
        nbformat.write(notebook, self.folder / name)

    def spoil(self, name: str, what: str, chapter: Path) -> None:
        """A notebook of right answers, but for one thing."""
        notebook = self.fill(name, chapter, honest=False)
        cells = [c for c in notebook.cells if "exercise" in c.metadata.get("tags", [])]
        victim = cells[-1]  # that no other exercise uses
        number = notebooks.DECORATOR.search(victim.source).group("number")
        line, status = (BEFORE | INSIDE).get(what, ("", None))
        if what in BEFORE:
            victim.source = f"{line}\n{victim.source}"
        elif what in INSIDE:
            head, _, body = victim.source.partition("):\n")
            victim.source = f"{head}):\n    {line}\n{body}"
        elif what == "no setup":
            notebook.cells = [
                c for c in notebook.cells if "setup" not in c.metadata.get("tags", [])
            ]
        elif what == "deleted cell":
            notebook.cells.remove(victim)
            status = "missing"
        if status:
            self.wanted[name, number] = status
        self.write(name, notebook)
        if what in ("torn file", "essay"):
            path = self.folder / name
            text = path.read_text(encoding="utf-8")
            path.write_text(text[:9999] if what == "torn file" else "Attention.")
            for key in [key for key in self.wanted if key[0] == name]:
                del self.wanted[key]
            self.wanted[name, ""] = "unreadable"


def grade(folder: Path, out: Path, jobs: int) -> float:
    """Run the command; the seconds that it took."""
    command = [sys.executable, "-m", "bertlib.exercises", "grade", str(folder)]
    start = time.perf_counter()
    with (out.with_suffix(".log")).open("w") as log:
        subprocess.run(
            [*command, "--out", str(out), "--jobs", str(jobs)], stdout=log, stderr=log
        )
    return time.perf_counter() - start


def main() -> None:
    """Make the notebooks, grade them twice, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--notebooks", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="put the notebooks into this folder")
    options = parser.parse_args()
    hostile = [*BEFORE, *INSIDE, *SHAPES]
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        (folder / "in").mkdir(parents=True)
        room = Class(folder / "in")
        for k in range(options.notebooks):
            chapter = room.chapters[k % len(room.chapters)]
            file = f"{k:03d}_{chapter.name}"
            # Every tenth is hostile, in chapters 3 to 5: their exercises are functions.
            if k % 10 == 9 and k // 10 < len(hostile):
                chapter = room.chapters[2 + k // 10 % 3]
                file = f"{k:03d}_{hostile[k // 10].replace(' ', '_')}.ipynb"
                room.spoil(file, hostile[k // 10], chapter)
            else:
                room.write(file, room.fill(file, chapter, honest=True))
        outs = [folder / f"marks{run}.csv" for run in (1, 2)]
        seconds = [grade(folder / "in", out, options.jobs) for out in outs]
        with outs[0].open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        same = outs[0].read_bytes() == outs[1].read_bytes()
    found = {(row["notebook"], row["exercise"]): row["status"] for row in rows}
    print(f"{options.notebooks} notebooks, {len(hostile)} of them hostile")
    print(f"seconds: {seconds[0]:.0f} and {seconds[1]:.0f}, {os.cpu_count()} cores")
    print(f"load of the machine meanwhile, this command included: {os.getloadavg()[2]}")
    print(f"marks: {len(rows)}; equal in both runs: {same}")
    print(f"lost: {sorted(room.wanted.keys() - found.keys())}")
    for row in rows:
        wanted = room.wanted.get((row["notebook"], row["exercise"]), "nothing")
        if row["status"] != wanted:
            print("not as it should be:", wanted, *row.values())


if __name__ == "__main__":
    main()
