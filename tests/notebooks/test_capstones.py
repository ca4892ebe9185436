"""Every capstone keeps the form of CONTRIBUTING.md, and its rubric adds up."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.notebooks import test_chapters as chapters
from tests.notebooks.test_chapters import code, goals, markdown, tags

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "capstones").glob("*.ipynb"))
CAPSTONES = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}

each_capstone = pytest.mark.parametrize("capstone", CAPSTONES.values(), ids=CAPSTONES)

# What holds for a chapter's page holds for these.
RULES = [
    chapters.test_a_line_fits_its_page,
    chapters.test_every_picture_has_an_alt_text,
    chapters.test_exercises_have_statement_stub_two_hints_and_solution,
    chapters.test_every_exercise_has_a_goal_of_one_line,
    chapters.test_the_voice_is_plain,
    chapters.test_markdown_is_what_every_notebook_program_renders,
    chapters.test_outputs_are_committed_and_hold_no_error_and_no_widget,
    chapters.test_no_output_shows_an_address,
    chapters.test_a_cell_that_is_not_compared_asserts_what_must_hold,
    chapters.test_nothing_in_a_notebook_names_a_repository,
]


@each_capstone
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_capstone_keeps_the_rules_of_a_chapter(capstone, rule):
    rule(capstone)


def test_there_is_one_after_chapters_5_9_and_13():
    after = [re.search(r"builds on \[chapter (\d+)\]", head(c)) for c in pages()]
    assert [match and int(match[1]) for match in after] == [5, 9, 13]


def pages() -> list[Any]:
    return list(CAPSTONES.values())


def head(capstone: Any) -> str:
    return capstone.cells[0].source


@each_capstone
def test_the_first_cell_is_title_promise_and_minutes(capstone):
    title, promise, minutes = head(capstone).split("\n\n")
    assert re.fullmatch(r"# Capstone [A-C]\. .+", title)
    assert re.fullmatch(r"> .+\.|> .+\?", promise)
    assert re.match(r"Reading \d+ minutes · running \d+ s on 2 cores · ", minutes)


def test_the_setup_cell_is_that_of_the_chapters():
    model = code(next(iter(chapters.CHAPTERS.values())), "setup")[0].source
    assert [[c.source for c in code(page, "setup")] for page in pages()] == [
        [model]
    ] * 3


def test_no_goal_is_that_of_another_exercise():
    every = [g for page in [*chapters.CHAPTERS.values(), *pages()] for g in goals(page)]
    assert len(set(every)) == len(every)


@each_capstone
def test_a_picture_answers_a_prediction(capstone):
    assert "**Predict before you look" in markdown(capstone)
    shown = [
        o for c in code(capstone) for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert shown


def rubric(capstone: Any) -> str:
    return markdown(capstone).split("## For whoever marks this")[1].split("\n## ")[0]


@each_capstone
def test_the_rubric_has_a_row_for_each_stage_worth_its_dots(capstone):
    rows = dict(re.findall(r"^\| ([A-C]\.\d) .+? \| (\d+) \|", rubric(capstone), re.M))
    dots = re.findall(r"^### Exercise (\S+) (●+)", markdown(capstone), re.M)
    assert rows == {number: str(len(full)) for number, full in dots}
    assert len(rows) == len(code(capstone, "exercise"))


@each_capstone
def test_the_points_of_the_rubric_are_those_that_it_states(capstone):
    text = rubric(capstone)
    every = re.findall(r"^\| ([^|]+?) \| (\d+) \|", text, re.M)
    checks = sum(int(p) for name, p in every if re.match(r"[A-C]\.\d", name))
    rest = sum(int(p) for name, p in every) - checks
    assert f"The checks give {checks} points" in text
    assert f"What they cannot see gives {rest}." in text


@each_capstone
def test_every_level_of_the_rubric_is_described(capstone):
    rows = re.findall(
        r"^\| .+ \| \d+ \| (.+) \| (.+) \| (.+) \|$", rubric(capstone), re.M
    )
    assert all(full and half and none for full, half, none in rows)
    human = rows[-3:]  # clarity, experiment, answer
    assert all(len(level) > 15 for row in human for level in row[:2])


@each_capstone
def test_there_are_questions_for_a_conversation(capstone):
    questions = re.findall(r"^\d\. .+$", rubric(capstone), re.M)
    assert len(questions) >= 5
    assert "without the notebook" in rubric(capstone) or "conversation" in rubric(
        capstone
    )


@pytest.mark.parametrize("path", PATHS, ids=CAPSTONES)
def test_a_copy_without_answers_runs_to_its_end(path, tmp_path):
    """No cell may need what the student has not written yet."""
    command = [sys.executable, ROOT / "tools/student.py", path, "--to", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    notebook = nbformat.read(tmp_path / path.name, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=where).execute()
    stubs = [cell for cell in code(notebook, "exercise") if "exercise" in tags(cell)]
    verdicts = [
        "".join(o.text for o in cell.outputs if o.output_type == "stream")
        for cell in stubs
    ]
    assert len(verdicts) == len(code(CAPSTONES[path.stem], "exercise"))
    assert all("not attempted yet" in verdict for verdict in verdicts)
