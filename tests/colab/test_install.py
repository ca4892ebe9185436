"""What `pip install` of this repository brings, as a stamped notebook does it."""

import subprocess
import sys
import zipfile

import nbformat


def test_the_bootstrap_line_installs_the_whole_package(clone, stamped, tmp_path):
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
        path.relative_to(clone.folder).as_posix()
        for path in (clone.folder / "bertlib").rglob("*")
        if path.is_file()
    }
    assert packed == there


def test_a_stamped_notebook_says_the_same_as_the_course(clone, stamped):
    for path in sorted((clone.folder / "chapters").glob("*.ipynb")):
        ours = nbformat.read(path, as_version=4).cells
        theirs = nbformat.read(stamped / path.name, as_version=4).cells
        changed = [a.id for a, b in zip(ours, theirs, strict=True) if a != b]
        special = {
            cell.id
            for cell in ours
            if {"setup", "solution"} & set(cell.metadata.get("tags", []))
        }
        assert set(changed) == special
