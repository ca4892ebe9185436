"""Stamp the chapters for one repository and commit, for Colab.

    python tools/publish.py --repository OWNER/NAME --commit SHA --to FOLDER
    python tools/publish.py --url file:///path/to/clone --commit SHA --to FOLDER

A stamped notebook installs bertlib by itself when it is missing, at exactly that
commit, and changes no other package. Its solutions are folded as Colab folds them.
No address stands in the notebooks of the course: a fork stamps its own.
"""

import argparse
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "gh-pages"  # where the workflow publishes the book and notebooks/


def bootstrap(url: str, commit: str) -> str:
    """The lines that take the place of the setup cell's complaint.

    The dependencies of bertlib are loose: pip leaves alone what satisfies them.
    """
    return (
        "try:\n"
        "    import bertlib\n"
        "except ModuleNotFoundError:\n"
        f'    %pip install -q "bertlib @ git+{url}@{commit}"\n'
    )


def stamp(path: Path, url: str, commit: str, badge: str = "") -> nbformat.NotebookNode:
    """The notebook at `path` with bootstrap, folded solutions and a badge.

    Raises:
        ValueError: the notebook has no setup cell of the usual form.
    """
    notebook = nbformat.read(path, as_version=4)
    stamped = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "setup" in tags:
            lines = bootstrap(url, commit).replace("\\", r"\\")
            form = r"\Atry:\n    import bertlib\nexcept .*?\) from missing\n"
            cell.source, stamped = re.subn(form, lines, cell.source, flags=re.S)
        if "solution" in tags:
            cell.metadata["cellView"] = "form"
            number = re.search(r'@check\("([\d.]+)"', cell.source)
            title = f"Solution {number[1]}" if number else "Solution"
            cell.source = f"#@title {title}\n{cell.source}"
    if stamped != 1:
        raise ValueError(f"{path} has no setup cell as CONTRIBUTING.md has it")
    if badge:
        notebook.cells[0].source += f"\n\n{badge}"
    return notebook


def badge_for(repository: str, name: str) -> str:
    """An Open-in-Colab badge for notebooks/NAME on the published branch."""
    colab = "https://colab.research.google.com"
    address = f"{colab}/github/{repository}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({address})"


def main() -> None:
    """Stamp every chapter into the folder that --to names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--repository", help="OWNER/NAME on GitHub")
    where.add_argument("--url", help="any address that git clones from")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    url = options.url or f"https://github.com/{options.repository}"
    options.to.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        badge = badge_for(options.repository, path.name) if options.repository else ""
        notebook = stamp(path, url, options.commit, badge)
        target = options.to / path.name
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
