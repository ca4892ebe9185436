"""The workflow's own commands, run for a made-up repository up to the finished push."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github/workflows/publish.yml"
REPOSITORY = "someone/course"
NOTEBOOKS = [  # such as chapters/03_attention
    path.relative_to(ROOT).with_suffix("").as_posix()
    for folder in ("chapters", "capstones")
    for path in sorted((ROOT / folder).glob("*.ipynb"))
]
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def lend_environment(checkout: Path) -> None:
    """Give a checkout this test's own packages: making them would take minutes."""
    (checkout / ".venv").mkdir()
    for name in Path(sys.prefix).iterdir():
        (checkout / ".venv" / name.name).symlink_to(name)
    ready = checkout / ".venv" / "ready"
    ready.unlink(missing_ok=True)
    ready.touch()  # for make: younger than requirements.txt


def filled(text: str) -> str:
    """A line of the workflow with its expressions evaluated."""
    values = {"github.repository": REPOSITORY, "github.token": "TOKEN"}
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: values[match[1]], text)


@pytest.fixture(scope="module")
def published(clone, tmp_path_factory) -> tuple[Path, Path]:
    """What the workflow works in, and the repository that it has pushed to."""
    folder = tmp_path_factory.mktemp("published")
    checkout, remote = folder / "checkout", folder / "remote"
    subprocess.run(["git", "clone", "--quiet", clone.url, checkout], check=True)
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    lend_environment(checkout)
    runner = {
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SHA": clone.commit,
        "GITHUB_ACTOR": "someone",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{remote.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://x-access-token:TOKEN@github.com/{REPOSITORY}",
    }
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    for step in workflow["jobs"]["publish"]["steps"]:
        given = {name: filled(text) for name, text in step.get("env", {}).items()}
        command = ["bash", "-e", "-c", filled(step.get("run", ":"))]
        settings = {**os.environ, **runner, **given}
        subprocess.run(command, cwd=checkout, env=settings, check=True)
    return checkout, remote


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", repository, *arguments]
    return subprocess.check_output(command, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def files(published) -> set[str]:
    """The files on the branch that was pushed."""
    tree = git(published[1], "ls-tree", "-r", "-z", "--name-only", "gh-pages")
    return set(tree.split("\0"))


def test_book_and_notebooks_are_on_the_branch(files):
    wanted = {f"notebooks/{name.split('/')[1]}.ipynb" for name in NOTEBOOKS}
    wanted |= {f"{name}.html" for name in NOTEBOOKS}
    assert wanted | {"index.html", ".nojekyll"} <= files


@each_notebook
def test_a_page_links_to_notebooks_that_are_there(published, files, name):
    checkout, remote = published
    page = git(remote, "show", f"gh-pages:{name}.html")
    line = re.search(r'<p class="open-in">.*?</p>', page)[0]
    colab, kaggle, binder = re.findall(r'href="([^"]+)"', line)
    for url in (colab, kaggle):
        before, path = url.split("/blob/gh-pages/")
        assert before.endswith(f"/{REPOSITORY}") and path in files
    assert (checkout / binder.split("labpath=")[1]).is_file()


@each_notebook
def test_a_published_notebook_installs_the_commit_it_belongs_to(clone, published, name):
    text = git(published[1], "show", f"gh-pages:notebooks/{name.split('/')[1]}.ipynb")
    source = "\n".join(cell.source for cell in nbformat.reads(text, 4).cells)
    assert f"bertlib @ git+https://github.com/{REPOSITORY}@{clone.commit}" in source


@each_notebook
def test_a_published_notebook_links_to_pages_that_are_there(published, files, name):
    remote = published[1]
    notebook = git(remote, "show", f"gh-pages:notebooks/{name.split('/')[1]}.ipynb")
    links = set(re.findall(r"\]\(https://someone\.github\.io/course/(.*?)\)", notebook))
    pages = {link.split("#")[0] for link in links}
    assert pages and pages <= files
    for link in filter(lambda link: "#" in link, links):
        page, anchor = link.split("#")
        assert f'id="{anchor}"' in git(remote, "show", f"gh-pages:{page}")


def test_one_commit_is_all_that_the_branch_keeps(published):
    assert git(published[1], "rev-list", "--count", "gh-pages").strip() == "1"
