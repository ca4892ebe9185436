"""Build the book with warnings as errors and print where its first page is.

python tools/build_book.py
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"


def main() -> int:
    """Run jupyter-book; return its exit code."""
    # The package has no __main__; its command lies beside the interpreter.
    jupyter_book = shutil.which("jupyter-book", path=Path(sys.executable).parent)
    command = [str(jupyter_book), "build", "-W", "-n", "--keep-going", "--quiet", "."]
    finished = subprocess.run(command, cwd=ROOT)
    if finished.returncode == 0:
        print(f"The book: {HTML / 'index.html'}")
    return finished.returncode


if __name__ == "__main__":
    raise SystemExit(main())
