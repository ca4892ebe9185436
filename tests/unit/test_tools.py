"""The small scripts: student copies, publishing, running chapters."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
COURSE = [*CHAPTERS, *sorted((ROOT / "capstones").glob("*.ipynb"))]


def tool(name: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """The folder that `make student` writes."""
    folder = tmp_path_factory.mktemp("student")
    done = tool("student.py", "--to", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_student_copies_hold_no_solution_and_no_output(students):
    copies = sorted(path.name for path in students.iterdir())
    assert copies == sorted(path.name for path in COURSE)
    for name in copies:
        for cell in nbformat.read(students / name, as_version=4).cells:
            assert "solution" not in cell.metadata.get("tags", [])
            assert "solution=True" not in cell.source
            assert not cell.get("outputs")


@pytest.mark.parametrize("path", COURSE, ids=lambda p: p.stem)
def test_student_copies_keep_every_exercise(students, path):
    kept = nbformat.read(students / path.name, as_version=4).cells
    whole = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if "solution" not in cell.metadata.get("tags", [])
    ]
    assert [cell.id for cell in kept] == [cell.id for cell in whole]
    for ours, theirs in zip(whole, kept, strict=True):
        assert ours.cell_type == "markdown" or ours.source == theirs.source


@pytest.mark.parametrize("path", COURSE, ids=lambda p: p.stem)
def test_no_cell_above_an_exercise_holds_its_solution(path):
    """Below it stands the finished code; that is the course's form."""
    above: list[set[str]] = []
    for cell in nbformat.read(path, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            wanted = {ast.unparse(s) for s in statements_of_functions(cell.source)}
            assert wanted and not [found for found in above if wanted <= found]
        elif cell.cell_type == "code" and "exercise" not in tags:
            tree = ast.walk(ast.parse(cell.source))
            above.append({ast.unparse(n) for n in tree if isinstance(n, ast.stmt)})


def statements_of_functions(source: str) -> list[ast.stmt]:
    """What stands in the functions of a cell, but super().__init__()."""
    tree = ast.walk(ast.parse(source))
    bodies = [node.body for node in tree if isinstance(node, ast.FunctionDef)]
    return [s for body in bodies for s in body if "super()" not in ast.unparse(s)]


def test_a_student_copy_with_answers_is_not_overwritten(tmp_path):
    mine = tmp_path / CHAPTERS[0].name
    mine.write_text("my answers")
    assert "stays as it is" in tool("student.py", "--to", tmp_path).stdout
    assert mine.read_text() == "my answers"


def test_an_instructor_chooses_chapters(tmp_path):
    done = tool("student.py", CHAPTERS[2], CHAPTERS[5], "--to", tmp_path / "week 3")
    assert done.returncode == 0, done.stderr
    copies = sorted(path.name for path in (tmp_path / "week 3").iterdir())
    assert copies == [CHAPTERS[2].name, CHAPTERS[5].name]


def test_a_link_out_of_another_folder_leads_to_the_copy_beside(tmp_path):
    text = (
        "See [chapter 5](../chapters/05_model.ipynb#why) and [us](https://a.b/c.ipynb)."
    )
    cells = [nbformat.v4.new_markdown_cell(text)]
    path = tmp_path / "task.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    tool("student.py", path, "--to", tmp_path / "to")
    (cell,) = nbformat.read(tmp_path / "to/task.ipynb", as_version=4).cells
    assert cell.source == text.replace("../chapters/", "")


@pytest.mark.parametrize("name", ["student.py", "nbgrader_form.py"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ("essay", "not a notebook"), ("{}", "not a notebook")],
    ids=["missing", "text", "other JSON"],
)
def test_what_is_not_a_notebook_is_named_and_nothing_written(
    tmp_path, name, text, complaint
):
    path = tmp_path / "a.ipynb"
    if text is not None:
        path.write_text(text)
    done = tool(name, path, "--to", tmp_path / "to")
    assert done.returncode == 2
    assert "a.ipynb" in done.stderr and complaint in done.stderr
    assert not (tmp_path / "to").exists()


def test_a_stamped_notebook_installs_bertlib_at_the_commit(tmp_path):
    options = ["--url", "file:///srv/course", "--commit", "abc123"]
    done = tool("publish.py", *options, "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    for path in CHAPTERS:
        text = "\n".join(
            cell.source for cell in nbformat.read(tmp_path / path.name, 4).cells
        )
        assert '%pip install -q "bertlib @ git+file:///srv/course@abc123"' in text
        assert "make lab" not in text


def test_a_stamped_notebook_folds_its_solutions_in_colab(tmp_path):
    tool("publish.py", "--repository", "a/b", "--commit", "1", "--to", tmp_path)
    for path in CHAPTERS:
        for cell in nbformat.read(tmp_path / path.name, as_version=4).cells:
            if "solution" in cell.metadata.get("tags", []):
                assert cell.metadata["cellView"] == "form"
                assert cell.source.startswith("#@title Solution ")


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("Colab", "https://colab.research.google.com/github/a/b/blob/gh-pages/{}"),
        (
            "Kaggle",
            "https://www.kaggle.com/kernels/welcome"
            "?src=https://github.com/a/b/blob/gh-pages/{}",
        ),
        ("Binder", "https://mybinder.org/v2/gh/a/b/HEAD?labpath={}"),
    ],
)
def test_a_badge_opens_the_published_notebook(tmp_path, place, address):
    tool("publish.py", "--repository", "a/b", "--commit", "1", "--to", tmp_path)
    folder = "chapters" if place == "Binder" else "notebooks"
    for path in CHAPTERS:
        first = nbformat.read(tmp_path / path.name, as_version=4).cells[0].source
        badge = re.search(rf"\[!\[Open in {place}\]\(\S+\)\]\((\S+)\)", first)
        assert badge and badge[1] == address.format(f"{folder}/{path.name}")


def test_capstones_are_stamped_after_the_chapters(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    publish = importlib.import_module("publish")
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    for folder in ("capstones", "chapters"):
        (tmp_path / folder).mkdir()
        write_notebook(tmp_path / folder / f"{folder[:3]}.ipynb", "1")
    assert [path.name for path in publish.notebooks()] == ["cha.ipynb", "cap.ipynb"]


def test_a_notebook_without_the_usual_setup_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    stamp = importlib.import_module("publish").stamp
    path = write_notebook(tmp_path / "a.ipynb", "import bertlib")
    with pytest.raises(ValueError, match=r"a\.ipynb has no setup cell"):
        stamp(path, "file:///srv/course", "abc123")


def test_running_stores_the_outputs(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "print(6 * 7)")
    assert tool("run_chapters.py", path).returncode == 0
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.outputs[0].text == "42\n"
    assert "execution" not in cell.metadata


def test_a_chapter_that_fails_keeps_its_outputs_and_is_named(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "1 / 0")
    before = path.read_text()
    done = tool("run_chapters.py", path)
    assert done.returncode == 1
    assert "a.ipynb" in done.stderr and "ZeroDivisionError" in done.stderr
    assert path.read_text() == before


def course_of_one(root: Path, goal: str) -> Path:
    """A course with one chapter of one exercise; returns where its contents go."""
    statement = "### Exercise 3.1 ●●○ Add “all”\n\n*15 minutes.* Add."
    cells = [
        nbformat.v4.new_markdown_cell("# 3. Sums\n\n> You add.\n\nReading 5 minutes"),
        nbformat.v4.new_markdown_cell(statement, metadata={"course": {"goal": goal}}),
    ]
    (root / "chapters").mkdir(exist_ok=True)
    (root / "bertlib" / "exercises").mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text('[tool.nbdev]\nlib_path = "bertlib"\n')
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "chapters/03_s.ipynb")
    return root / "bertlib" / "exercises" / "contents.json"


def test_the_export_lists_the_exercises(tmp_path):
    contents = course_of_one(tmp_path, goal="Add numbers")
    assert tool("export.py", "--root", tmp_path).returncode == 0
    (exercise,) = json.loads(contents.read_text(encoding="utf-8"))
    assert exercise == {
        "number": "3.1",
        "title": "Add “all”",
        "difficulty": 2,
        "minutes": 15,
        "goal": "Add numbers",
        "chapter": "03_s",
        "chapter_title": "Sums",
    }


def test_an_exercise_without_a_goal_stops_the_export_and_spoils_nothing(tmp_path):
    contents = course_of_one(tmp_path, goal="Add numbers")
    tool("export.py", "--root", tmp_path)
    before = contents.read_bytes()
    course_of_one(tmp_path, goal="")
    done = tool("export.py", "--root", tmp_path)
    assert done.returncode != 0
    assert "03_s.ipynb" in done.stderr and "goal" in done.stderr
    assert [path.read_bytes() for path in contents.parent.iterdir()] == [before]


def test_the_installed_package_brings_the_list_of_exercises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    data = project["tool"]["setuptools"]["package-data"]["bertlib.exercises"]
    listed = {p for pattern in data for p in (ROOT / "bertlib/exercises").glob(pattern)}
    assert ROOT / "bertlib/exercises/contents.json" in listed
