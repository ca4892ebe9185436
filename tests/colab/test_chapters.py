"""Stamped notebooks run in an environment like Colab's, each in an empty folder.

A run of the suite takes three chapters: pictures and labs, real weights, files
written and read. `make colab` takes all of them.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.colab.running import Run, errors, lab_parts, shown, tags

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    path.stem: folder
    for folder in ("chapters", "capstones")
    for path in sorted((ROOT / folder).glob("*.ipynb"))
}
FEW = ["03_attention", "05_model", "07_data"]
NAMES = list(FOLDERS) if os.environ.get("COLAB") == "all" else FEW


@pytest.fixture
def run(name, colab, stamped) -> Run:
    return colab.run(stamped / f"{name}.ipynb")


each_notebook = pytest.mark.parametrize("name", NAMES)
each_chapter = pytest.mark.parametrize("name", [n for n in NAMES if n[0].isdigit()])


def code(notebook: Any) -> dict[str, Any]:
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


@each_notebook
def test_bertlib_comes_and_no_installed_package_changes(run):
    assert "bertlib" in run.after.keys() - run.before.keys()
    assert run.before.items() <= run.after.items()


@each_notebook
def test_no_cell_raises(run):
    assert errors(run.notebook) == {}


@each_notebook
def test_outputs_are_as_committed(name, clone, run):
    path = clone.folder / FOLDERS[name] / f"{name}.ipynb"
    committed = code(nbformat.read(path, as_version=4))
    apart = {"setup", "lab", "nbval-ignore-output"}
    differ = {
        id: (shown(cell), shown(committed[id]))
        for id, cell in code(run.notebook).items()
        if not apart & set(tags(cell)) and shown(cell) != shown(committed[id])
    }
    assert differ == {}


@each_chapter
def test_a_lab_has_controls_and_has_drawn(run):
    labs = [cell for cell in code(run.notebook).values() if "lab" in tags(cell)]
    assert labs
    for cell in labs:
        controls, drawn = lab_parts(run, cell)
        assert controls
        kinds = {output["output_type"] for output in drawn}
        assert kinds and "error" not in kinds


def test_the_bootstrap_takes_less_than_20_seconds(colab, stamped):
    """What else a machine does makes a run slower, never faster: the fastest counts."""
    runs = [colab.run(stamped / f"{name}.ipynb") for name in NAMES]
    seconds = [run.bootstrap_seconds for run in runs]
    print("bootstrap, seconds:", seconds)
    assert min(seconds) < 20


def test_a_bootstrap_that_fails_says_what_to_do(colab, tmp_path):
    nowhere = (tmp_path / "nowhere").as_uri()
    command = [sys.executable, ROOT / "tools/publish.py", "--url", nowhere]
    subprocess.run([*command, "--commit", "1", "--to", tmp_path], check=True)
    notebook = nbformat.read(tmp_path / f"{NAMES[0]}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "setup" in tags(cell)]
    colab.execute(notebook, "no network")
    assert "on Kaggle, switch on Internet in the settings" in str(errors(notebook))
