"""Grading notebooks: what one exercise does costs that exercise alone."""

import csv
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest

import bertlib
from bertlib.exercises import checking, grading
from bertlib.exercises.__main__ import main
from bertlib.exercises.grading import (
    Answer,
    Limits,
    Mark,
    Report,
    grader,
    isolation,
    marks,
)

SETUP = "import torch\nfrom bertlib.exercises import check"
RIGHT = '@check("3.1")\ndef mix(s, v):\n    return s.softmax(-1) @ v'
WRONG = '@check("3.1")\ndef mix(s, v):\n    return s @ v'
CAUSAL = '@check("3.8")\ndef causal_mask(T):\n    return torch.ones(T, T).tril().bool()'
PADDING = '@check("3.3")\ndef padding_mask(lengths, T):\n'
ROOT = Path(__file__).resolve().parents[2]
# Capstones B and C train for minutes.
NOTEBOOKS = [*sorted(ROOT.glob("chapters/*.ipynb")), ROOT / "capstones/a_encoder.ipynb"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="what only Linux can do")


def cell(source: str, *tags: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def notebook(path: Path, *answers: str, setup: str | None = SETUP) -> Path:
    """A notebook of answers; `path` is a folder or a file."""
    first = [cell(setup, "setup")] if setup else []
    cells = [*first, *(cell(source, "exercise") for source in answers)]
    path = path / "answers.ipynb" if path.is_dir() else path
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def report(path: Path, **limits: float) -> Report:
    (found,) = grading.grade([path], Limits(**limits))
    return found


def judged(path: Path, **limits: float) -> dict[str, Mark]:
    """The marks of the exercises that are in the notebook."""
    found = report(path, **limits).marks
    return {mark.exercise: mark for mark in found if mark.status != "missing"}


def mark_of(folder: Path, *answers: str, **limits: float) -> Mark:
    """The mark of the exercise in the last of the cells."""
    return [*judged(notebook(folder, *answers), **limits).values()][-1]


def statuses(path: Path, **limits: float) -> dict[str, str]:
    return {number: mark.status for number, mark in judged(path, **limits).items()}


# --- accidents -----------------------------------------------------------------------

ACCIDENTS = {
    "endless": ("while True: pass", "stopped", "no verdict within 1 processor seconds"),
    "sleeping": ("import time; time.sleep(99)", "stopped", "or 6 by the clock"),
    "abort": ("import os; os.abort()", "stopped", "ended by SIG"),
    "exit": ("import os; os._exit(0)", "stopped", "ended by itself, exit code 0"),
    "sys.exit": ("raise SystemExit", "not yet", "ends the program"),
    "interrupt": ("raise KeyboardInterrupt", "not yet", "raised KeyboardInterrupt"),
    "memory": ("return torch.ones(40_000, 40_000)", "not yet", "memory"),
    "error": ("return 1 / 0", "not yet", "ZeroDivisionError"),
    "own-line": ("return 1 / 0", "not yet", "line 3 of the cell: return 1 / 0"),
    "recursion": ("return padding_mask(lengths, T)", "not yet", "RecursionError"),
    "input": ("return input()", "not yet", "EOFError"),
}


@pytest.mark.parametrize("name", ACCIDENTS)
def test_an_accident_costs_only_its_own_exercise_and_is_named(tmp_path, name):
    body, status, words = ACCIDENTS[name]
    path = notebook(tmp_path, RIGHT, f"{PADDING}    {body}", CAUSAL)
    found = judged(path, seconds=1)
    assert [found[n].status for n in ("3.1", "3.8")] == ["passed", "passed"]
    assert found["3.3"].status == status
    assert words in " ".join(found["3.3"].message.split())


@pytest.mark.parametrize("end", ["while True: pass", "import os; os._exit(1)"])
def test_a_cell_that_ends_the_process_is_left_out_below(tmp_path, end):
    user = '@check("3.3")\ndef padding_mask(lengths, T):\n    return mix(lengths, T)'
    path = notebook(tmp_path, f"{RIGHT}\n{end}", user, CAUSAL)
    found = judged(path, seconds=1)
    assert found["3.1"].status == "stopped"
    assert "name 'mix' is not defined" in found["3.3"].message
    assert found["3.8"].status == "passed"


def test_a_setup_cell_that_hangs_costs_no_exercise(tmp_path):
    path = notebook(tmp_path, RIGHT, CAUSAL, setup=f"{SETUP}\nwhile True: pass")
    found = report(path, seconds=1)
    assert sum(mark.score for mark in found.marks) == 2
    assert "the cell that begins 'import torch' is left out" in found.unusual[0]


def test_a_broken_import_in_the_setup_cell_costs_no_exercise(tmp_path):
    path = notebook(tmp_path, RIGHT, setup=f"import no_such_package\n{SETUP}")
    assert statuses(path) == {"3.1": "passed"}


def test_a_notebook_without_setup_cell_is_graded_and_named(tmp_path):
    found = report(notebook(tmp_path, RIGHT, setup=None))
    assert found.marks[0].status == "passed"
    assert found.unusual == ["no setup cell, the usual one was used"]


def test_a_deleted_exercise_is_missing(tmp_path):
    found = report(notebook(tmp_path, RIGHT, CAUSAL)).marks
    missing = [mark.exercise for mark in found if mark.status == "missing"]
    assert missing == [f"3.{k}" for k in (2, 3, 4, 5, 6, 7)]
    assert found[1].message == 'no cell is decorated with @check("3.2")'


def test_an_exercise_without_its_decorator_is_missing(tmp_path):
    bare = CAUSAL.replace('@check("3.8")\n', "")
    found = {m.exercise: m for m in report(notebook(tmp_path, RIGHT, bare)).marks}
    assert found["3.8"].status == "missing"


def test_the_last_of_two_cells_for_one_exercise_counts(tmp_path):
    mark = mark_of(tmp_path, RIGHT, WRONG)
    assert mark.status == "not yet"
    assert "2 cells; the last counts" in mark.message


def test_a_renamed_function_counts_and_costs_what_uses_its_old_name(tmp_path):
    user = '@check("3.3")\ndef padding_mask(lengths, T):\n    return mix(lengths, T)'
    found = judged(notebook(tmp_path, RIGHT.replace("mix", "blend"), user))
    assert found["3.1"].status == "passed"
    assert "name 'mix' is not defined" in found["3.3"].message


def test_much_output_is_dropped_and_named(tmp_path):
    loud = "    print('x' * 2_000_000)\n    os.write(1, b'x' * 2_000_000)\n"
    mark = mark_of(tmp_path, "import os\n" + RIGHT.replace("    ret", f"{loud}    ret"))
    assert mark.status == "passed"
    assert mark.message == "Note: printed more than 1,000,000 letters."


def test_a_cell_may_fail_after_its_answer(tmp_path):
    assert mark_of(tmp_path, f"{RIGHT}\nplot(mix)").status == "passed"


def test_lines_of_ipython_are_left_out(tmp_path):
    assert mark_of(tmp_path, f"%timeit 1\n!ls\n{RIGHT}").status == "passed"


def test_a_syntax_error_is_reported(tmp_path):
    mark = mark_of(tmp_path, '@check("3.8")\ndef causal_mask(T) return T')
    assert mark.status == "not yet"
    assert "SyntaxError" in mark.message


def test_a_stub_is_not_attempted(tmp_path):
    stub = '@check("3.8")\ndef causal_mask(T):\n    raise NotImplementedError'
    assert mark_of(tmp_path, stub).status == "not attempted"


def test_an_exercise_may_use_an_earlier_answer(tmp_path):
    later = '@check("3.3")\ndef f(s, v):\n    return helper(v)'
    earlier = f"{RIGHT}\ndef helper(v):\n    raise NotImplementedError"
    assert statuses(notebook(tmp_path, earlier, later))["3.3"] == "not attempted"


# --- honest work ---------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_solutions_pass_as_answers(tmp_path, path):
    solutions = {a.number: a.source for a in grading.answers(path, "solution")}
    chapter = nbformat.read(path, as_version=4)
    for part in chapter.cells:
        number = re.search(r'^@check\("([\w.]+)"\)', part.source, re.M)
        if number:
            answer = solutions.pop(number[1])
            part.source = answer.replace(", solution=True", "")
    nbformat.write(chapter, tmp_path / path.name)
    found = report(tmp_path / path.name)
    assert not solutions
    assert [m for m in found.marks if m.status != "passed"] == []
    assert found.unusual == []


# --- which cells count ---------------------------------------------------------------


def test_a_solution_never_counts(tmp_path):
    solved = RIGHT.replace('"3.1"', '"3.1", solution=True')
    found = report(notebook(tmp_path, WRONG, solved, CAUSAL)).marks
    assert found[0].status == "not yet"


def test_a_solution_is_no_earlier_answer(tmp_path):
    solved = RIGHT.replace('"3.1"', '"3.1", solution=True')
    user = '@check("3.3")\ndef padding_mask(lengths, T):\n    return mix(lengths, T)'
    found = judged(notebook(tmp_path, solved, user))
    assert "name 'mix' is not defined" in found["3.3"].message


def test_an_exercise_counts_without_its_tag(tmp_path):
    path = tmp_path / "untagged.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell(SETUP), cell(RIGHT)]), path)
    assert statuses(path) == {"3.1": "passed"}


def test_an_unknown_number_is_named(tmp_path):
    found = report(notebook(tmp_path, RIGHT, RIGHT.replace("3.1", "3.99")))
    assert "there is no exercise 3.99" in found.unusual


# --- files that are no notebooks -----------------------------------------------------

NOT_NOTEBOOKS = {
    "essay": b"Attention is all you need.",
    "list": b"[]",
    "old": b'{"worksheets": []}',
    "cells": b'{"cells": [1, 2]}',
    "deep": b"[" * 100_000,
    "bytes": b"\xff\xfe\x00",
    "empty": b"",
}


@pytest.mark.parametrize("name", NOT_NOTEBOOKS)
def test_what_is_not_a_notebook_is_named(tmp_path, name):
    path = tmp_path / "essay.ipynb"
    path.write_bytes(NOT_NOTEBOOKS[name])
    (mark,) = report(path).marks
    assert mark.status == "unreadable"
    assert "is not a notebook" in mark.message


def test_a_folder_or_a_pipe_with_the_name_of_a_notebook_is_named(tmp_path):
    (tmp_path / "folder.ipynb").mkdir()
    assert report(tmp_path / "folder.ipynb").marks[0].status == "unreadable"


def test_a_notebook_without_exercises_is_named(tmp_path):
    (mark,) = report(notebook(tmp_path, "print(1)")).marks
    assert mark == Mark("", "unreadable", "no exercise of the course is in it")


def test_a_notebook_whose_process_dies_keeps_all_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(grader, "_grade", dying)
    found = report(notebook(tmp_path, RIGHT))
    assert [m.exercise for m in found.marks] == ["3.1", "3.2"]
    assert [m.status for m in found.marks] == ["passed", "stopped"]
    assert "the process of its notebook ended, exit code -9" in found.marks[1].message


def dying(path, limits, there):
    there.send(["3.1", "3.2"])
    there.send(Mark("3.1", "passed"))
    os.kill(os.getpid(), 9)


# --- tricks --------------------------------------------------------------------------


def at_call(body: str) -> str:
    """A wrong answer that does something when it is called."""
    return '@check("3.1")\ndef mix(s, v):\n    ' + body + "\n    return s @ v"


OWN = "class Own({base}):\n    {body}\n"
C = "import bertlib.exercises.checking as c\n"
T = "import bertlib.exercises.grading.trial as t\n"
TRICKS = {
    "own check": f"def check(n):\n    return print\n{WRONG}",
    "no check": f"{C}c.expect_close = lambda *a, **k: None\n{WRONG}",
    "check of one's own": f'{C}c.CHECKS["3.1"] = lambda a: None\n{WRONG}',
    "no judge": f"{T}t.judge = print\n{WRONG}",
    "patch": f"torch.allclose = lambda *a, **k: True\n{WRONG}",
    "patch at call": at_call("torch.allclose = lambda *a, **k: True"),
    "patch that is taken back": at_call(
        "real = torch.allclose\n    def fake(*a, **k):\n        torch.allclose = real"
        "\n        return True\n    torch.allclose = fake"
    ),
    "patch of Wrong": f"{C}c.Wrong = c.Verdict\n{WRONG}",
    "raising Wrong": at_call(
        "from bertlib.exercises.checking import Wrong; raise Wrong"
    ),
    "raising a stub": at_call("raise NotImplementedError"),
    "patch of bertlib": f"import bertlib.attention as a\na.math = None\n{WRONG}",
    "patch of builtins": f"import builtins\nbuiltins.isinstance = print\n{WRONG}",
    "hidden builtin": f"{C}c.isinstance = lambda a, b: True\n{WRONG}",
    "patch of math": f"import math\nmath.isclose = lambda *a, **k: True\n{WRONG}",
    "patch of numpy": f"import numpy\nnumpy.allclose = lambda *a: True\n{WRONG}",
    "patch of a class": f"torch.Tensor.__eq__ = lambda a, b: True\n{WRONG}",
    "patch of multiprocessing": "import multiprocessing.connection as m\n"
    f"m.Connection.send_bytes = print\n{WRONG}",
    "another module": f'import sys\nsys.modules["torch"] = sys\n{WRONG}',
    "a module's class": OWN.format(base="type(torch)", body="allclose = print")
    + f"torch.__class__ = Own\n{WRONG}",
    "code": f"{C}c.expect_close.__code__ = (lambda *a, **k: None).__code__\n{WRONG}",
    "defaults": f"{C}c.expect_close.__kwdefaults__['tol'] = 1e9\n{WRONG}",
    "new defaults": f"{C}c.expect_close.__kwdefaults__ = {{'tol': 1e9}}\n{WRONG}",
    "a mode": "from torch.overrides import TorchFunctionMode\n"
    + OWN.format(
        base="TorchFunctionMode",
        body="def __torch_function__(self, f, t, a=(), k=None):\n        return True",
    )
    + at_call("Own().__enter__()"),
    "a tensor of its own": OWN.format(
        base="torch.Tensor",
        body="@classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
        "        return True",
    )
    + at_call("return (s.softmax(-1) @ v * 0).as_subclass(Own)"),
    "equal to all": OWN.format(base="", body="__eq__ = lambda a, b: True")
    + at_call("return Own()"),
    "a mock": "from unittest import mock\n" + at_call("return mock.ANY"),
    "a list of its own": OWN.format(base="list", body="__len__ = lambda a: 3")
    + at_call("return [Own()]"),
    "frames": "import sys\n" + at_call("sys._getframe(1).f_locals.clear()"),
    "frames of an error": at_call(
        "try: 1 / 0\n    except ZeroDivisionError as e: e.__traceback__.tb_frame"
    ),
    "memory": "import gc\n" + at_call("gc.get_objects()"),
    "ctypes": "import ctypes\n" + at_call("ctypes.string_at(id(s), 8)"),
    "profile": "import sys\n" + at_call("sys.setprofile(None)"),
    "another's name": at_call(
        "exec(compile('1', torch.__file__, 'exec'))",
    ),
    "thread": "import threading\n" + at_call("threading.Thread(target=print).start()"),
    "verdict": "import os\n"
    + at_call(
        "for k in range(3, 9):\n        try: os.write(k, b'passed\\n passed\\t\\n')\n"
        "        except OSError: pass\n    os._exit(0)"
    ),
    "end": "import os, atexit\natexit.register(print)\n" + at_call("os._exit(0)"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_gains_nothing(tmp_path, name):
    path = notebook(tmp_path, TRICKS[name], CAUSAL)
    found = statuses(path)
    assert found["3.1"] != "passed"
    assert found["3.8"] == "passed"


REFUSED = {
    "patch": "changes torch.allclose",
    "patch at call": "changes torch.allclose",
    "patch that is taken back": "changes torch.allclose",
    "no check": "changes bertlib.exercises.checking.expect_close",
    "check of one's own": "changes bertlib.exercises.checking.CHECKS.3.1",
    "defaults": "changes bertlib.exercises.checking.expect_close.tol",
    "hidden builtin": "changes bertlib.exercises.checking.isinstance",
    "patch of builtins": "changes builtins.isinstance",
    "a module's class": "changes torch",
    "a mode": "changes every function of torch",
    "a tensor of its own": "returns its own Own, which says itself",
    "equal to all": "returns its own Own",
    "a mock": "returns its own _ANY",
}


@pytest.mark.parametrize("name", REFUSED)
def test_meddling_with_the_judge_is_named(tmp_path, name):
    mark = mark_of(tmp_path, TRICKS[name])
    assert mark.status == "refused"
    assert REFUSED[name] in mark.message


def test_a_trick_with_a_right_answer_is_refused_as_well(tmp_path):
    assert mark_of(tmp_path, f"torch.equal = print\n{RIGHT}").status == "refused"


def test_a_patch_in_the_setup_cell_costs_nothing_and_is_named(tmp_path):
    found = report(notebook(tmp_path, WRONG, setup=f"{SETUP}\ntorch.equal = print"))
    assert found.marks[0].status == "not yet"
    assert "it changes torch.equal" in found.unusual[0]


def test_the_files_of_the_package_cannot_be_written(tmp_path):
    before = Path(checking.__file__).read_bytes()
    mark = mark_of(tmp_path, f"{C}open(c.__file__, 'a').write('#')\n{RIGHT}")
    assert "may not write outside of its folder" in mark.message
    assert Path(checking.__file__).read_bytes() == before


@LINUX
def test_not_even_code_that_is_no_python_writes_outside_of_the_folder(tmp_path):
    aim = tmp_path / "aim"
    cells = RIGHT.replace("    ret", f"    torch.save(s, {str(aim)!r})\n    ret")
    assert mark_of(tmp_path, cells).status == "not yet"
    assert not aim.exists()


def test_an_answer_may_write_in_its_own_folder_which_goes(tmp_path):
    lines = (
        "    open('x', 'w').write('1')\n    assert open('x').read() == '1'\n"
        "    Path('y').mkdir()\n    shutil.rmtree(Path('y'))\n    ret"
    )
    cell = "import shutil\nfrom pathlib import Path\n" + RIGHT.replace("    ret", lines)
    assert mark_of(tmp_path, cell).status == "passed"
    assert [p.name for p in tmp_path.iterdir()] == ["answers.ipynb"]
    assert not Path("x").exists()


def test_no_progress_is_noted_while_grading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mark_of(tmp_path, f'{RIGHT}\ncheck("3.1")(mix)').status == "passed"
    assert [p.name for p in tmp_path.iterdir()] == ["answers.ipynb"]


# --- network, processes, memory ------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('localhost', 9)",
        "socket.socket().bind(('', 0))",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1')",
    ],
)
def test_an_answer_has_no_network(tmp_path, call):
    mark = mark_of(tmp_path, "import socket\n" + at_call(call))
    assert "may not use the network" in " ".join(mark.message.split())


@LINUX
def test_there_is_no_network_device_but_its_own_loopback(tmp_path):
    if not isolated():
        pytest.skip("this system permits no namespaces")
    lines = "    raise ValueError(open('/proc/net/dev').read().count(':'))"
    assert "ValueError: 1" in mark_of(tmp_path, at_call(lines.strip())).message


def isolated() -> bool:
    call = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50020000))"
    return subprocess.run([sys.executable, "-c", call]).returncode == 0


@pytest.mark.parametrize(
    "call", ["os.fork()", "os.system('true')", "os.kill(os.getppid(), 9)"]
)
def test_an_answer_starts_no_process_and_sends_no_signal(tmp_path, call):
    mark = mark_of(tmp_path, "import os\n" + at_call(call))
    assert "an answer may not" in " ".join(mark.message.split())


@LINUX
def test_children_that_hide_are_found_and_ended(tmp_path):
    # Behind the hook's back, twice forked and in a session of their own.
    shell = "setsid sleep 98765 & setsid sleep 98765 &"
    starts = (
        "from multiprocessing.util import spawnv_passfds\n    "
        f"spawnv_passfds(b'/bin/sh', ['sh', '-c', {shell!r}], [])\n    "
        "import time; time.sleep(0.5)\n    ret"
    )
    mark = mark_of(tmp_path, RIGHT.replace("ret", starts))
    assert mark.status == "passed"
    assert "processes running; they were ended" in mark.message
    assert (
        "98765" not in subprocess.run(["ps", "ax"], capture_output=True).stdout.decode()
    )


@LINUX
def test_memory_is_limited_by_megabytes(tmp_path):
    body = at_call("x = bytearray(300 * 2**20)")
    assert "MemoryError" in mark_of(tmp_path, body, megabytes=200).message


@pytest.mark.parametrize(
    ("answer", "words"),
    [(RIGHT, "passed"), (f"{RIGHT}\nwhile True: pass", "no verdict within 1 proc")],
    ids=["right", "endless"],
)
def test_where_nothing_can_be_forked_a_process_is_started(monkeypatch, answer, words):
    monkeypatch.setattr(isolation, "START", "spawn")
    work = partial(grader._sit, Answer("3.1", answer, []))
    end = isolation.run_alone(work, Limits(seconds=1))
    assert words in (end.lines[-2] if words == "passed" else end.reason)


# --- the command ---------------------------------------------------------------------


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "bertlib.exercises", "grade", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small class: a right one, a wrong one, a hostile one, and an essay."""
    path = tmp_path_factory.mktemp("class")
    (path / "b").mkdir()
    notebook(path / "b" / "wrong.ipynb", WRONG, CAUSAL)
    notebook(path / "a.ipynb", RIGHT)
    hostile = f"{PADDING}    while True: pass"
    notebook(path / "c.ipynb", RIGHT, hostile, TRICKS["patch at call"])
    random = (
        "    raise ValueError(object(), {'a', 'b', 'c'}, __import__('random').random())"
    )
    notebook(path / "d.ipynb", f"{PADDING}{random}")
    (path / "essay.ipynb").write_text("Attention is all you need.")
    return path


@pytest.fixture(scope="module")
def graded(folder):
    """The command's output and its table, of two runs."""
    done = []
    for k, jobs in enumerate((1, 2)):
        out = folder / f"marks{k}.csv"
        done.append(command(folder, "--out", out, "--jobs", jobs, "--seconds", 1))
    return done, [(folder / f"marks{k}.csv").read_bytes() for k in range(2)]


def test_the_marks_are_the_same_in_every_run(graded):
    assert graded[1][0] == graded[1][1]


def test_the_table_has_a_row_for_each_notebook_and_exercise(folder, graded):
    with (folder / "marks0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in ("a", "b/wrong", "c", "d") for _ in range(8)]
    assert [r["notebook"] for r in rows] == [f"{n}.ipynb" for n in [*names, "essay"]]
    assert [r["exercise"] for r in rows[:8]] == [f"3.{k}" for k in range(1, 9)]
    assert sum(int(r["score"]) for r in rows) == 2
    assert all("\n" not in r["message"] for r in rows)


def test_each_notebook_has_a_line_that_says_what_is_unusual(graded):
    lines = graded[0][0].stdout.splitlines()
    assert lines[0].startswith("a.ipynb: 1 of 8 (missing 3.2, 3.3")
    assert "stopped 3.3; refused 3.1" in lines[2]
    assert lines[4] == "essay.ipynb: 0 of 1 (unreadable)"
    assert lines[-1] == "2 of 33 exercises passed"


def test_progress_goes_to_the_error_stream(graded):
    assert "5 of 5: " in graded[0][0].stderr


def test_one_notebook_prints_its_verdicts_and_writes_json(tmp_path):
    path = notebook(tmp_path, RIGHT)
    done = command(path, "--out", tmp_path / "m.json")
    assert done.stdout.startswith("Exercise 3.1: passed.\n"), done.stderr
    assert "1 of 8 exercises passed" in done.stdout
    first, *_ = json.loads((tmp_path / "m.json").read_text())
    assert first == {
        "notebook": "answers.ipynb",
        "exercise": "3.1",
        "score": 1,
        "status": "passed",
        "message": "",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.ipynb"], "there is no file or folder missing.ipynb"),
        (["{folder}"], "no notebook (*.ipynb) is in the folder"),
        (["{folder}", "--out", "marks.txt"], "must end in .csv or .json"),
        (["{folder}", "--out", "nowhere/marks.csv"], "there is no folder nowhere"),
        (["{folder}", "--jobs", "0"], "--jobs is 0; it must be above 0"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    tmp_path, monkeypatch, capsys, arguments, words
):
    line = ["grade", *(a.format(folder=tmp_path) for a in arguments)]
    monkeypatch.setattr(sys, "argv", ["python -m bertlib.exercises", *line])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_change_of_the_package_is_seen(tmp_path):
    (tmp_path / "a.py").write_text("1")
    before = marks.fingerprints(tmp_path)
    (tmp_path / "a.py").write_text("2")
    assert before != marks.fingerprints(tmp_path)
    assert "exercises/checking.py" in marks.fingerprints(Path(bertlib.__file__).parent)


def test_a_name_that_a_spreadsheet_would_run_is_quoted():
    row = marks.row("=A1.ipynb", Mark("3.1", "passed"))
    assert row["notebook"] == "'=A1.ipynb"
