"""Write copies of the chapters and capstones without solutions into student/.

    python tools/student.py [NOTEBOOK ...] [--to FOLDER]

The solution cells go, and the exercises, hints and checks stay. Every output goes,
too: some show what a right answer gives, and no rule can tell which; others answer
the question under "Predict before you look". Running the copy brings them back.
"""

import argparse
import re
from pathlib import Path

import nbformat
from publish import ROOT, notebooks


def read(path: Path, link: str) -> nbformat.NotebookNode:
    """The notebook at `path` without outputs, for a reader in another folder.

    Args:
        link: where a notebook NAME of the course lies, seen from there: "NAME.ipynb".

    Raises:
        ValueError: the file is not a notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} is not a notebook: {error!r}") from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            cell.source = re.sub(
                r"\]\((?:\.\./\w+/)?(\w+)\.ipynb",
                lambda found: f"]({link.replace('NAME', found[1])}",
                cell.source,
            )
    return notebook


def without_solutions(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, without its solution cells and without outputs."""
    notebook = read(path, link="NAME.ipynb")
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "solution" not in cell.metadata.get("tags", [])
    ]
    return notebook


def write_new(path: Path, text: str) -> None:
    """Write a file in one step, but never over one that is there: it may hold work."""
    if path.exists():
        print(f"{path} is there already, and stays as it is")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    print(path)


def options(parser: argparse.ArgumentParser, to: Path) -> tuple[list[Path], Path]:
    """What the command line says: the notebooks to copy, and the folder for them."""
    parser.add_argument(
        "notebooks", type=Path, nargs="*", help="the whole course when none is named"
    )
    parser.add_argument("--to", type=Path, default=to, help=f"default: {to.name}/")
    found = parser.parse_args()
    return found.notebooks or notebooks(), found.to


def main() -> None:
    """Write the copies that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    paths, folder = options(parser, ROOT / "student")
    try:
        for path in paths:
            text = nbformat.writes(without_solutions(path)) + "\n"
            write_new(folder / path.name, text)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
