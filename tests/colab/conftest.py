"""A repository made of this checkout, the notebooks stamped for it, and a Colab."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.colab import environment
from tests.colab.running import Colab

ROOT = Path(__file__).resolve().parents[2]


class Clone(NamedTuple):
    """A repository: its folder, its address, and its one commit."""

    folder: Path
    url: str
    commit: str


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Clone:
    """A repository with the files of this checkout as they are now."""
    folder = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    me = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    for command in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True)
    return Clone(folder, folder.as_uri(), head.strip())


@pytest.fixture(scope="session")
def stamped(clone, tmp_path_factory) -> Path:
    """The folder of the clone's notebooks, stamped for the clone."""
    folder = tmp_path_factory.mktemp("notebooks")
    publish = [sys.executable, clone.folder / "tools/publish.py", "--url", clone.url]
    subprocess.run([*publish, "--commit", clone.commit, "--to", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def colab(tmp_path_factory) -> Colab:
    """An environment like Colab's that can run notebooks."""
    folder = tmp_path_factory.mktemp("colab")
    return Colab(environment.make(folder / "env"), folder)
