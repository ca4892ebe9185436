"""What `pip install` of this repository brings, as a stamped notebook does it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A repository with the files of this checkout, and its commit."""
    folder = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file() and name.startswith(("bertlib", "py", "README")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    me = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    for command in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True)
    return folder.as_uri(), head.strip()


@pytest.fixture(scope="module")
def stamped(clone, tmp_path_factory):
    """The chapters, stamped for the clone."""
    url, commit = clone
    folder = tmp_path_factory.mktemp("notebooks")
    command = [sys.executable, ROOT / "tools/publish.py", "--url", url]
    subprocess.run([*command, "--commit", commit, "--to", folder], check=True)
    return folder


def test_the_bootstrap_line_installs_the_whole_package(stamped, tmp_path):
    notebook = nbformat.read(stamped / "03_attention.ipynb", as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells)
    wanted = source.split('%pip install -q "')[1].split('"')[0]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path]
    subprocess.run([*pip, wanted], check=True)
    (wheel,) = tmp_path.glob("bertlib-*.whl")
    packed = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("bertlib/")
    }
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bertlib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there


def test_a_stamped_notebook_says_the_same_as_the_course(stamped):
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        ours = nbformat.read(path, as_version=4).cells
        theirs = nbformat.read(stamped / path.name, as_version=4).cells
        changed = [a.id for a, b in zip(ours, theirs, strict=True) if a != b]
        special = {
            cell.id
            for cell in ours
            if {"setup", "solution"} & set(cell.metadata.get("tags", []))
        }
        assert set(changed) == special
