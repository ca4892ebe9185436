"""An environment like Colab's: its versions, and a torch that is there already.

python tests/colab/environment.py FOLDER     make one, to look at
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages.txt")
TORCH = re.compile(r"(torch|triton|nvidia[-_].+|cuda[-_].+)$")  # and what CUDA adds


def make(folder: Path) -> Path:
    """Make the environment in `folder`, which is not there yet; return its Python."""
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet"]
    subprocess.run([*pip, "install", "--no-compile", "-r", PACKAGES], check=True)
    # Colab ships ipython without it, so pip brings it along with bertlib.
    subprocess.run([*pip, "uninstall", "--yes", "jedi"], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([python, "-c", where], text=True).strip()
    lend_torch(Path(site))
    # Colab's modules are compiled; the first chapter is not to wait for that.
    imports = "import ipykernel, ipywidgets, matplotlib.pyplot, pooch, torch"
    subprocess.run([python, "-c", imports], check=True)
    return python


def lend_torch(site: Path) -> None:
    """Put the course's torch into `site`: for pip, it is installed there.

    Links in the file system, where it can: a copy is 700 MB, a download takes minutes.
    """
    for package in importlib.metadata.distributions():
        if not TORCH.match(package.name):
            continue
        for file in package.files or []:
            if ".." not in file.parts:  # a command, which no notebook runs
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                link(Path(str(file.locate())), target)


def link(source: Path, target: Path) -> None:
    """A second name for the file, or a copy on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
