"""Stamp the notebooks for one repository and commit, for Colab, Kaggle and Binder.

    python tools/publish.py --repository OWNER/NAME --commit SHA --to FOLDER
    python tools/publish.py --url file:///path/to/clone --commit SHA --to FOLDER

A stamped notebook installs bertlib by itself when it is missing, at exactly that
commit, and changes no other package. Its solutions are folded as Colab folds them.
No address stands in the notebooks of the course: a fork stamps its own.
"""

import argparse
import posixpath
import re
from pathlib import Path

import nbformat
from places import book_page, places

ROOT = Path(__file__).resolve().parent.parent
SETUP = re.compile(r"\Atry:\n    import bertlib\nexcept .*?\) from missing\n", re.S)
LINK = re.compile(r"\]\(([\w./-]+)\.(?:ipynb|md)(#[^)\s]*)?\)")  # within the course
IMAGES = {
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Kaggle": "https://www.kaggle.com/static/images/open-in-kaggle.svg",
    "Binder": "https://mybinder.org/badge_logo.svg",
}


def notebooks() -> list[Path]:
    """The chapters, and the capstones after them."""
    folders = [ROOT / "chapters", ROOT / "capstones"]
    return [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]


def bootstrap(url: str, commit: str) -> str:
    """The lines that take the place of the setup cell's complaint.

    The dependencies of bertlib are loose: pip leaves alone what satisfies them.
    """
    return (
        "try:\n"
        "    import bertlib\n"
        "except ModuleNotFoundError:\n"
        f'    %pip install -q "bertlib @ git+{url}@{commit}"\n'
        "try:\n"
        "    import bertlib\n"
        "except ModuleNotFoundError as missing:\n"
        "    raise ModuleNotFoundError(\n"
        '        "pip could not install bertlib, see above; on "\n'
        '        "Kaggle, switch on Internet in the settings "\n'
        '        "beside the notebook and run this cell again",\n'
        "    ) from missing\n"
    )


def stamp(
    path: Path, url: str, commit: str, repository: str = ""
) -> nbformat.NotebookNode:
    """The notebook at `path` with bootstrap and folded solutions.

    With a repository (OWNER/NAME), badges say where it runs, and its links lead to
    the published book: beside a notebook in Colab there is no other file.

    Raises:
        ValueError: the notebook has no setup cell of the usual form.
    """
    notebook = nbformat.read(path, as_version=4)
    stamped = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "setup" in tags:
            lines = bootstrap(url, commit).replace("\\", r"\\")
            cell.source, stamped = SETUP.subn(lines, cell.source)
        if "solution" in tags:
            cell.metadata["cellView"] = "form"
            number = re.search(r'@check\("([\w.]+)"', cell.source)
            title = f"Solution {number[1]}" if number else "Solution"
            cell.source = f"#@title {title}\n{cell.source}"
    if stamped != 1:
        raise ValueError(f"{path} has no setup cell as CONTRIBUTING.md has it")
    if repository:
        publish(notebook, f"{path.parent.name}/{path.name}", repository)
    return notebook


def publish(notebook: nbformat.NotebookNode, name: str, repository: str) -> None:
    """Point the links of a notebook, such as chapters/03_attention.ipynb, outside."""

    def page(match: re.Match[str]) -> str:
        path = posixpath.join(posixpath.dirname(name), f"{match[1]}.html")
        address = book_page(repository, posixpath.normpath(path))
        return f"]({address}{match[2] or ''})"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(page, cell.source)
    badges = " ".join(
        f"[![Open in {place}]({IMAGES[place]})]({url})"
        for place, url in places(repository, name).items()
    )
    notebook.cells[0].source += f"\n\n{badges}"


def main() -> None:
    """Stamp every notebook into the folder that --to names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--repository", help="OWNER/NAME on GitHub")
    where.add_argument("--url", help="any address that git clones from")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    url = options.url or f"https://github.com/{options.repository}"
    options.to.mkdir(parents=True, exist_ok=True)
    for path in notebooks():
        notebook = stamp(path, url, options.commit, options.repository or "")
        target = options.to / path.name
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
