"""Execute chapters in place, in parallel, each in a clean kernel.

python tools/run_chapters.py            every chapter and capstone
python tools/run_chapters.py chapters/03_attention.ipynb
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(path: Path) -> float:
    """Execute one notebook, write its outputs back, and return the seconds it took.

    The file is replaced in one step, and only when every cell ran: a notebook that
    fails keeps the outputs it had.

    Raises:
        CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    # The same on every machine, so that a diff shows what changed in the course.
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(merged(cell.outputs))
        cell.metadata.pop("execution", None)
    temporary = path.with_suffix(".ipynb.tmp")
    temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    temporary.replace(path)
    return seconds


def merged(outputs: list) -> list:
    """Join neighbouring stream outputs: where a stream is cut depends on timing."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last.text += output.text
        else:
            joined.append(output)
    return joined


def main() -> int:
    """Run the notebooks named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default 2)")
    arguments = parser.parse_args()
    folders = [ROOT / "chapters", ROOT / "capstones"]
    course = [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]
    paths = arguments.notebooks or course
    os.environ["BERTLIB_STATIC"] = "1"  # a still picture instead of a slider
    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for path, future in [(path, pool.submit(run, path)) for path in paths]:
            try:
                print(f"{path.name:28} {future.result():6.1f} s", flush=True)
            except CellExecutionError as error:
                failed += 1
                print(f"{path.name:28} failed\n{error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
