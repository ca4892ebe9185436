"""Grading a notebook: what one exercise does costs that exercise alone."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from bertlib.exercises import grading

SETUP = "import torch\nfrom bertlib.exercises import check"
RIGHT = '@check("3.1")\ndef mix(s, v):\n    return s.softmax(-1) @ v'
CAUSAL = '@check("3.8")\ndef causal_mask(T):\n    return torch.ones(T, T).tril().bool()'


def notebook(folder: Path, *answers: str) -> Path:
    setup = nbformat.v4.new_code_cell(SETUP, metadata={"tags": ["setup"]})
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["exercise"]})
        for source in answers
    ]
    path = folder / "answers.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[setup, *cells]), path)
    return path


def statuses(path: Path, **limits: float) -> list[tuple[str, str]]:
    return [(v.number, v.status) for v in grading.grade(path, **limits)]


@pytest.mark.parametrize(
    "bad",
    [
        "    while True: pass",
        "    import os; os.abort()",
        "    import os; os._exit(0)",
        "    raise SystemExit",
        "    return torch.ones(200_000, 200_000)",
        "    return 1 / 0",
    ],
    ids=["endless", "abort", "exit", "sys.exit", "memory", "error"],
)
def test_a_bad_answer_costs_only_its_own_exercise(tmp_path, bad):
    hostile = f'@check("3.3")\ndef padding_mask(lengths, T):\n{bad}'
    path = notebook(tmp_path, RIGHT, hostile, CAUSAL)
    marks = statuses(path, seconds=15)
    assert marks == [("3.1", "passed"), ("3.3", "not yet"), ("3.8", "passed")]


def test_a_cell_that_never_ends_is_ended_and_named(tmp_path):
    path = notebook(tmp_path, f"{RIGHT}\nwhile True: pass")
    (verdict,) = grading.grade(path, seconds=8)
    assert verdict.message == "no verdict after 8 seconds; the process was ended"


def test_a_stub_is_not_attempted(tmp_path):
    stub = '@check("3.8")\ndef causal_mask(T):\n    raise NotImplementedError'
    assert statuses(notebook(tmp_path, stub)) == [("3.8", "not attempted")]


def test_an_exercise_may_use_an_earlier_answer(tmp_path):
    later = '@check("3.1")\ndef again(s, v):\n    return mix(s, v)'
    path = notebook(tmp_path, RIGHT, later)
    assert statuses(path) == [("3.1", "passed"), ("3.1", "passed")]


def test_a_syntax_error_is_reported(tmp_path):
    path = notebook(tmp_path, '@check("3.8")\ndef causal_mask(T) return T')
    (verdict,) = grading.grade(path)
    assert "SyntaxError" in verdict.message


def test_what_is_not_a_notebook_is_refused(tmp_path):
    path = tmp_path / "essay.ipynb"
    path.write_text("Attention is all you need.")
    with pytest.raises(ValueError, match="is not a notebook"):
        list(grading.grade(path))


def test_the_command_writes_marks_as_json_and_csv(tmp_path):
    path = notebook(tmp_path, RIGHT)
    command = [sys.executable, "-m", "bertlib.exercises", "grade", str(path)]
    outputs = ["--json", str(tmp_path / "m.json"), "--csv", str(tmp_path / "m.csv")]
    done = subprocess.run([*command, *outputs], capture_output=True, text=True)
    assert "1 of 1 exercises passed" in done.stdout, done.stderr
    (mark,) = json.loads((tmp_path / "m.json").read_text())
    assert mark == {"exercise": "3.1", "score": 1, "status": "passed", "message": ""}
    with (tmp_path / "m.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["score"] == "1"


def test_the_command_refuses_a_missing_file(tmp_path):
    command = [sys.executable, "-m", "bertlib.exercises", "grade", "missing.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "missing.ipynb" in done.stderr
