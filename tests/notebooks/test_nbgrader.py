"""The course in nbgrader's form, and nbgrader's own programs on it."""

import ast
import contextlib
import functools
import importlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bertlib.exercises import progress
from bertlib.exercises.grading import grade
from tests.exercises.mutation import run_cell

ROOT = Path(__file__).resolve().parents[2]
PATHS = [p for name in ("chapters", "capstones") for p in (ROOT / name).glob("*.ipynb")]
# Not in requirements.txt: nbgrader and notebook 7 put menus into everybody's
# `make lab`. They lie in a folder of their own here, on top of what is installed.
# setuptools is nbgrader's need as well, and no part of an environment since 3.12.
NBGRADER = ["nbgrader==0.9.6", "notebook==7.6.5", "setuptools==84.2.1"]
NBGRADER += ["alembic==1.20.1", "Mako==1.4.3", "RapidFuzz==3.14.6"]
STUB = "# YOUR CODE HERE\n    raise NotImplementedError()"

each_notebook = pytest.mark.parametrize("path", sorted(PATHS), ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder that `make nbgrader` writes."""
    folder = tmp_path_factory.mktemp("course")
    tool = ROOT / "tools/nbgrader_form.py"
    subprocess.run([sys.executable, tool, "--to", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def run(course, tmp_path_factory) -> Callable[..., str]:
    """Run `python -m ...` in the course's folder, with nbgrader: what it prints."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site]
    subprocess.run([*pip, *NBGRADER], check=True)
    path = os.pathsep.join([str(site / "bin"), os.environ["PATH"]])
    env = {**os.environ, "PYTHONPATH": str(site), "PATH": path}

    def python(*arguments: Any) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=course,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return python


@pytest.fixture(scope="module")
def release(course, run) -> Path:
    """What nbgrader makes for students; an instructor has run a notebook before."""
    (course / "source/03_attention" / progress.FILE).write_text("3.1\n")
    run("-m", "nbgrader", "generate_assignment", "*")
    return course / "release"


@functools.cache
def notebook_at(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def read(folder: Path, path: Path) -> Any:
    return notebook_at(folder / path.stem / path.name)


def marked(notebook: Any, kind: str) -> list[Any]:
    return [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get(kind)]


def stubs(path: Path) -> list[Any]:
    cells = notebook_at(path).cells
    return [cell for cell in cells if "exercise" in cell.metadata.get("tags", [])]


# --- the form ------------------------------------------------------------------------


@each_notebook
def test_every_exercise_has_its_answer_cell_and_its_test_cell(course, path):
    notebook = read(course / "source", path)
    numbers = [re.search(r'check\("(.+?)"', c.source)[1] for c in stubs(path)]  # type: ignore
    keys = [number.replace(".", "-") for number in numbers]
    for kind, name in [("solution", "exercise"), ("grade", "test")]:
        ids = [c.metadata["nbgrader"]["grade_id"] for c in marked(notebook, kind)]
        assert ids == [f"{name}-{key}" for key in keys]


@each_notebook
def test_an_exercise_is_worth_a_point_for_each_dot(course, path):
    text = notebook_at(path)
    dots = [c.source.count("●") for c in text.cells if c.source.startswith("### Ex")]
    tests = marked(read(course / "source", path), "grade")
    assert [c.metadata["nbgrader"]["points"] for c in tests] == dots


@each_notebook
def test_statements_and_tests_are_locked_and_answers_are_not(course, path):
    notebook = read(course / "source", path)
    locked = {c.metadata["nbgrader"]["grade_id"] for c in marked(notebook, "locked")}
    kinds = {grade_id.split("-")[0] for grade_id in locked}
    assert kinds == {"setup", "statement", "test"}
    assert len(locked) == 1 + 2 * len(stubs(path))


@each_notebook
def test_no_cell_before_an_answer_gives_its_name_to_something_else(path):
    """Where an answer is no Python, its test finds no other thing to judge."""
    taken: set[str] = set()
    for cell in notebook_at(path).cells:
        if cell.cell_type != "code" or "solution" in cell.metadata.get("tags", []):
            continue
        names = defined(cell.source)
        if "exercise" in cell.metadata.get("tags", []):
            assert not names & taken - imported(cell.source)
        taken |= names


def defined(source: str) -> set[str]:
    body = ast.parse(source).body
    names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.Assign):
            names |= {n.id for t in node.targets for n in ast.walk(t) if is_name(n)}
    return names | imported(source)


def imported(source: str) -> set[str]:
    body = ast.parse(source).body
    lines = [n for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
    return {a.asname or a.name for line in lines for a in line.names}


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


@each_notebook
def test_what_is_handed_out_is_the_student_copy_with_tests(release, path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    copy = importlib.import_module("student").without_solutions(path)
    notebook = read(release, path)
    tests = {cell.id for cell in marked(notebook, "grade")}
    theirs = [
        re.sub(r" *# YOUR CODE HERE\n( *raise \w+)\(\)", r"\1", cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.id not in tests
    ]
    assert theirs == [cell.source for cell in copy.cells if cell.cell_type == "code"]


@each_notebook
def test_a_link_leads_to_the_assignment_of_the_other_chapter(course, path):
    folder = course / "source" / path.stem
    text = "\n".join(
        c.source
        for c in read(course / "source", path).cells
        if c.cell_type == "markdown"
    )
    for link in re.findall(r"\]\(([^)#:]+)[)#]", text):
        assert (folder / link).is_file()


def test_the_progress_of_the_instructor_is_not_handed_out(release):
    there = [p.name for p in (release / "03_attention").iterdir()]
    assert there == ["03_attention.ipynb"]


# --- every test cell -----------------------------------------------------------------


def verdicts(notebook: Any) -> list[str]:
    """What each test cell raises, or "": with what an answer may use, and no more."""
    namespace: dict[str, Any] = {"__name__": "chapter"}
    found = []

    def execute(cell: Any) -> None:
        run_cell(cell.source, f"<{cell.id}>", namespace)

    for cell in notebook.cells:
        kind = cell.metadata.get("nbgrader", {})
        if kind.get("grade"):
            try:
                execute(cell)
                found.append("")
            except AssertionError as error:
                found.append(str(error).strip())
        elif (
            "setup" in cell.metadata.get("tags", [])
            or cell.source.startswith("#| export")
            or kind.get("solution")
        ):
            with contextlib.redirect_stdout(io.StringIO()):
                execute(cell)
            # The test cell judges; once is enough here.
            namespace["check"] = lambda number: lambda answer: answer
    return found


@each_notebook
def test_the_solution_in_the_source_passes_each_test_cell(course, path, monkeypatch):
    for letter in "bc":  # the long run of an answer that trains is its notebook's own
        module = importlib.import_module(f"bertlib.exercises.capstone_{letter}")
        monkeypatch.setattr(module, "WHOLE", False)
    found = verdicts(read(course / "source", path))
    assert found == [""] * len(stubs(path))


@each_notebook
def test_the_stub_that_is_handed_out_fails_each_test_cell(release, path):
    found = verdicts(read(release, path))
    assert len(found) == len(stubs(path))
    assert all(text.endswith(": not attempted yet.") for text in found)


# --- nbgrader ------------------------------------------------------------------------


def test_nbgrader_validates_the_source(course, run):
    source = course / "source/03_attention/03_attention.ipynb"
    shown = run("-m", "nbgrader", "validate", source)
    assert "Success! Your notebook passes all the tests." in shown


def test_nbgrader_reports_every_exercise_of_an_untouched_copy(release, run):
    shown = run("-m", "nbgrader", "validate", release / "03_attention/*.ipynb")
    assert "VALIDATION FAILED ON 8 CELL(S)!" in shown
    for n in range(1, 9):
        assert f"Exercise 3.{n}: not attempted yet." in shown


ANSWERS = {
    "ex-1": "return torch.einsum('...qk,...kd->...qd', scores.softmax(-1), values)",
    "ex-2": "import warnings; warnings.warn('!'); return torch.softmax(scores, -1)",
    "ex-3": "return torch.arange(T) >= lengths[:, None]",
    "ex-7": "return 1 / 0",
    "ex-8": "return torch.ones(T, T).tril().bool()",
}
GRADES = """
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    (notebook,) = book.find_submission("03_attention", "ada").notebooks
    print(json.dumps({grade.cell.name: grade.auto_score for grade in notebook.grades}))
"""


@pytest.fixture(scope="module")
def submission(course, release) -> Path:
    """Ada's answers: right, right with a warning, wrong, none, no Python. She has
    also edited a test that she fails."""
    notebook = nbformat.read(release / "03_attention/03_attention.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.id in ANSWERS:
            assert STUB in cell.source
            cell.source = cell.source.replace(STUB, ANSWERS[cell.id])
        elif cell.id == "ex-3-test":
            cell.source = "pass"
        elif cell.id == "ex-6":
            cell.source += "\n)"
    path = course / "submitted/ada/03_attention/03_attention.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return path


def test_the_gradebook_has_the_marks_of_the_courses_own_grader(submission, run):
    run("-m", "nbgrader", "autograde", "03_attention", "--student", "ada")
    got = json.loads(run("-W", "ignore", "-c", GRADES))
    points = {
        cell.metadata["nbgrader"]["grade_id"]: cell.metadata["nbgrader"]["points"]
        for cell in marked(nbformat.read(submission, as_version=4), "grade")
    }
    (report,) = grade([submission])
    passed = {mark.exercise for mark in report.marks if mark.status == "passed"}
    assert passed == {"3.1", "3.2", "3.8"}
    keys = {f"test-{number.replace('.', '-')}" for number in passed}
    assert got == {key: points[key] if key in keys else 0 for key in points}


# --- a solution in its stub ----------------------------------------------------------


@pytest.fixture
def with_solution(monkeypatch) -> Callable[[str, str], str]:
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("nbgrader_form").with_solution


def test_what_stands_beside_the_solution_goes_into_the_function(with_solution):
    stub = '@check("1.1")\ndef f(x):\n    """Doc."""\n    raise NotImplementedError'
    solution = (
        "import math\n\n\ndef half(x):\n    return x / 2\n\n\n"
        '@check("1.1", solution=True)\ndef f(x):\n    # halved\n    return half(x)'
    )
    assert with_solution(stub, solution) == (
        '@check("1.1")\ndef f(x):\n    """Doc."""\n    ### BEGIN SOLUTION\n'
        "    import math\n    def half(x):\n        return x / 2\n\n"
        "    # halved\n    return half(x)\n    ### END SOLUTION"
    )


def test_each_method_has_a_region_and_keeps_what_the_stub_gives(with_solution):
    head = (
        "class A(B):\n    def __init__(self):\n        super().__init__()\n        {}\n"
    )
    tail = '\n    def go(self, x):\n        """Go."""\n        {}'
    stub = '@check("1.1")\n' + (head + tail).format(*["raise NotImplementedError"] * 2)
    solution = '@check("1.1", solution=True)\n' + (head + tail).format(
        "self.x = 1", "return x"
    )
    region = "### BEGIN SOLUTION\n        {}\n        ### END SOLUTION"
    assert with_solution(stub, solution) == '@check("1.1")\n' + (head + tail).format(
        region.format("self.x = 1"), region.format("return x")
    )


def test_a_solution_of_another_shape_is_refused(with_solution):
    stub = '@check("1.1")\ndef f(x):\n    raise NotImplementedError'
    solution = '@check("1.1", solution=True)\ndef f(x, y):\n    return x'
    with pytest.raises(ValueError, match=r"is \['f', 'f\(x, y\)'\]; it must be like"):
        with_solution(stub, solution)


def test_a_helper_beside_a_class_is_refused(with_solution):
    stub = (
        '@check("1.1")\nclass A:\n    def f(self):\n        raise NotImplementedError'
    )
    stub += "\n\n    def g(self):\n        raise NotImplementedError"
    solution = "import os\n" + stub.replace("raise NotImplementedError", "return os")
    with pytest.raises(ValueError, match=r"\['import os'\]"):
        with_solution(stub, solution)
