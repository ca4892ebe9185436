"""Every exercise: its stub, its solution, and the answers in the bank."""

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bertlib.exercises import check, grading
from bertlib.exercises.checking import CHECKS, judge
from tests.exercises import bank, mutation

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))
NOTEBOOKS += sorted((ROOT / "capstones").glob("*.ipynb"))
BANK = bank.load()


def cells(tag: str) -> list[Any]:
    """(notebook, exercise number) of each cell with this tag."""
    return [
        pytest.param(path, answer.number, id=answer.number)
        for path in NOTEBOOKS
        for answer in grading.answers(path, tag)
    ]


def output_of(path: Path, number: str, tag: str, capsys: Any) -> str:
    """What the cell prints when only what it may use has run before it."""
    answer = next(a for a in grading.answers(path, tag) if a.number == number)
    namespace: dict[str, Any] = {"__name__": "chapter"}
    for k, source in enumerate(answer.before):
        mutation.run_cell(source, f"<cell {k}>", namespace)
        namespace["check"] = lambda number, solution=False: lambda answer: answer
    namespace["check"] = check
    mutation.run_cell(answer.source, "<answer>", namespace)
    return capsys.readouterr().out.splitlines()[-1]


def rehearsal_alone(answer: bank.Answer, monkeypatch: Any) -> None:
    """Of an answer that trains, judge the short part; the solution does the whole."""
    if answer.number in bank.TRAINS and answer.says is None:
        name = f"bertlib.exercises.capstone_{answer.number[0].lower()}"
        monkeypatch.setattr(importlib.import_module(name), "WHOLE", False)


@pytest.mark.parametrize(("path", "number"), cells("exercise"))
def test_the_stub_is_reported_as_not_attempted(path, number, capsys):
    shown = output_of(path, number, "exercise", capsys)
    assert shown == f"Exercise {number}: not attempted yet."


# Those that train run, and are compared, with their notebook.
@pytest.mark.parametrize(
    ("path", "number"), [p for p in cells("solution") if p.id not in bank.TRAINS]
)
def test_the_solution_passes(path, number, capsys):
    shown = output_of(path, number, "solution", capsys)
    assert shown == f"Exercise {number}: passed."


@pytest.mark.parametrize(
    "answer", [pytest.param(a, id=f"{a.number}-{a.answer.__name__}") for a in BANK]
)
def test_the_check_gives_the_verdict_meant_for(answer, monkeypatch):
    rehearsal_alone(answer, monkeypatch)
    verdict = judge(answer.number, answer.answer)
    if answer.says is None:
        assert verdict.status == "passed", str(verdict)
    else:
        assert verdict.status == "not yet", str(verdict)
        assert answer.says in " ".join(verdict.message.split())


@pytest.mark.parametrize(
    ("path", "number"), [p for p in cells("solution") if p.id in bank.TRAINS]
)
def test_the_committed_verdict_of_a_solution_that_trains_is_passed(path, number):
    """And nbval compares it with what the cell prints when it runs."""
    cells = nbformat.read(path, as_version=4).cells
    (cell,) = (c for c in cells if f'check("{number}", solution=True)' in c.source)
    assert "nbval-ignore-output" not in cell.metadata.tags
    text = "".join(out.text for out in cell.outputs if out.output_type == "stream")
    assert text.splitlines()[-1] == f"Exercise {number}: passed."


@pytest.mark.parametrize("number", [p.id for p in cells("exercise")])
def test_each_exercise_has_six_wrong_answers_and_two_right_ones(number):
    count = Counter(a.says is None for a in BANK if a.number == number)
    assert count[False] >= 6
    assert count[True] >= 2


@pytest.mark.parametrize(
    "number", [p.id for p in cells("solution") if p.id not in bank.TRAINS]
)
def test_every_small_change_of_the_solution_is_rejected(number):
    """But those that stand in the bank as equivalent, each with its reason."""
    solution = mutation.solution_of(number)
    assert mutation.passes(solution, solution.source)
    changes, accepted = mutation.survivors(number)
    assert changes
    assert not {(number, m.change) for m in accepted} - set(bank.EQUIVALENT)


def test_every_equivalent_mutant_is_one():
    """An entry goes when its solution has changed."""
    numbers = {number for number, _ in bank.EQUIVALENT}
    there = {(n, m.change) for n in numbers for m in mutation.mutants_of(n)}
    assert set(bank.EQUIVALENT) <= there


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(a, id=f"{a.number}-{a.answer.__name__}")
        for a in BANK
        if a.says is None and a.number not in bank.TRAINS
    ],
)
def test_a_right_answer_passes_whatever_the_seed(answer):
    for seed in range(1, 20):
        assert str(judge(answer.number, answer.answer, seed)).endswith("passed.")


def test_every_check_has_its_exercise_and_its_solution():
    numbers = {p.id for p in cells("exercise")}
    for number in numbers:
        judge(number, None)  # loads the chapter's checks
    assert numbers == {p.id for p in cells("solution")} == set(CHECKS)
