"""The small scripts: student copies, publishing, running chapters."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


def tool(name: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_student_copies_hold_no_solution_and_no_output(tmp_path):
    assert tool("student.py", "--to", tmp_path).returncode == 0
    copies = sorted(tmp_path.glob("*.ipynb"))
    assert [c.name for c in copies] == [c.name for c in CHAPTERS]
    for copy in copies:
        for cell in nbformat.read(copy, as_version=4).cells:
            assert "solution" not in cell.metadata.get("tags", [])
            assert not cell.get("outputs")


def test_student_copies_keep_every_exercise(tmp_path):
    tool("student.py", "--to", tmp_path)
    for path in CHAPTERS:
        kept = (tmp_path / path.name).read_text(encoding="utf-8")
        for cell in nbformat.read(path, as_version=4).cells:
            if "exercise" in cell.metadata.get("tags", []):
                assert json.dumps(cell.source.splitlines()[-1])[1:-1] in kept


def test_a_student_copy_with_answers_is_not_overwritten(tmp_path):
    mine = tmp_path / CHAPTERS[0].name
    mine.write_text("my answers")
    assert "stays as it is" in tool("student.py", "--to", tmp_path).stdout
    assert mine.read_text() == "my answers"


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


def test_the_badge_opens_the_published_notebook(tmp_path):
    tool("publish.py", "--repository", "a/b", "--commit", "1", "--to", tmp_path)
    for path in CHAPTERS:
        first = nbformat.read(tmp_path / path.name, as_version=4).cells[0].source
        assert f"/github/a/b/blob/gh-pages/notebooks/{path.name})" in first


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
