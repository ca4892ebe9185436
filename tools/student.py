"""Write copies of the chapters without solutions into student/.

    python tools/student.py [--to FOLDER]

The solution cells go, and the outputs of every cell with them: some outputs give an
answer away. The exercises, hints and checks stay.
"""

import argparse
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent


def without_solutions(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, without its solution cells and without outputs."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "solution" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def main() -> None:
    """Write the copies, and never over a file that is there: it may hold answers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "student")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        copy = folder / path.name
        if copy.exists():
            print(f"{copy} is there already, and stays as it is")
            continue
        text = nbformat.writes(without_solutions(path)) + "\n"
        copy.write_text(text, encoding="utf-8")
        print(copy)


if __name__ == "__main__":
    main()
