"""Binder, VS Code and the devcontainer find what they need in the checkout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ["ms-python.python", "ms-toolsai.jupyter"]


def settings(name: str) -> dict:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_binder_installs_the_checkout_and_nothing_untested(clone):
    """Beside the packages of the tests, pip has bertlib alone to install."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
    command = [*pip, "--report", "-", "-r", "binder/requirements.txt"]
    report = json.loads(subprocess.check_output(command, cwd=clone.folder, text=True))
    (package,) = report["install"]
    assert package["metadata"]["name"] == "bertlib"
    assert package["download_info"]["url"] == clone.url


def test_binder_takes_torch_without_cuda():
    lines = (ROOT / "binder/requirements.txt").read_text().splitlines()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in lines


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("binder/runtime.txt", r"\Apython-(3\.\d+)\n\Z"),
        (".devcontainer/devcontainer.json", r"devcontainers/python:(3\.\d+)\""),
    ],
)
def test_the_python_is_one_that_the_course_supports(name, pattern):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = SpecifierSet(re.search(r'requires-python = "(.*)"', project)[1])
    assert re.search(pattern, (ROOT / name).read_text())[1] in supported


def test_vs_code_recommends_what_opens_a_notebook():
    assert settings(".vscode/extensions.json") == {"recommendations": EXTENSIONS}


def test_the_container_is_made_ready_by_a_rule_of_the_makefile():
    command = settings(".devcontainer/devcontainer.json")["postCreateCommand"]
    dry = ["make", "--dry-run", "--always-make", *command.split()[1:]]
    assert command.startswith("make ")
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--no-deps --editable ." in done.stdout


def test_the_container_picks_the_kernel_that_the_rule_makes():
    given = settings(".devcontainer/devcontainer.json")["customizations"]["vscode"]
    assert given["extensions"] == EXTENSIONS
    python = given["settings"]["python.defaultInterpreterPath"]
    assert python == "${containerWorkspaceFolder}/.venv/bin/python"
