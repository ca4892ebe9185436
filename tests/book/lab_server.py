"""A JupyterLab server of its own, of one version or another, for one test."""

import json
import os
import secrets
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = Path(__file__).with_name("lab_packages.txt")
# No news from outside; and no debugger, which asks the kernel for its state on its own.
SETTINGS = {
    "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "config/labconfig/page_config.json": {
        "disabledExtensions": {"@jupyterlab/debugger-extension": True}
    },
}


def older_python(folder: Path) -> Path:
    """The Python of a new environment with `PACKAGES`, which borrows all else, torch
    among it, from the environment of the tests."""
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "-r", PACKAGES], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    lent = f"{ROOT}\n{sysconfig.get_path('purelib')}\n"
    (site / "lent.pth").write_text(lent, encoding="utf-8")
    return python


@contextmanager
def jupyterlab(python: Path, folder: Path) -> Iterator[str]:
    """Serve `folder / "work"`; what Jupyter itself writes goes elsewhere in `folder`.

    Yields:
        the address of a file in JupyterLab, with a place for its name: `{file}`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command(python, folder / "work", port, token),
            cwd=folder / "work",
            env=environment(folder),
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server)
        yield f"http://127.0.0.1:{port}/lab/tree/{{file}}?token={token}"
    finally:
        server.terminate()  # it ends its kernels first
        server.wait(30)


def command(python: Path, folder: Path, port: int, token: str) -> list[str]:
    options = {"port": port, "port_retries": 0, "root_dir": folder}
    flags = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    flags += [f"--IdentityProvider.token={token}", "--allow-root", "--no-browser"]
    return [str(python), "-m", "jupyterlab", *flags]


def environment(folder: Path) -> dict[str, str]:
    """That of the tests, without their stills, and with nothing of the user's."""
    for name, setting in SETTINGS.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(setting), encoding="utf-8")
    ours = {name: x for name, x in os.environ.items() if name != "BERTLIB_STATIC"}
    for name in ("CONFIG", "DATA", "RUNTIME"):
        ours[f"JUPYTER_{name}_DIR"] = str(folder / name.lower())
    for name in ("SETTINGS", "WORKSPACES"):
        ours[f"JUPYTERLAB_{name}_DIR"] = str(folder / name.lower())
    quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "OMP_NUM_THREADS": "1"}
    return ours | quiet | {"IPYTHONDIR": str(folder / "ipython")}


def wait_for(address: str, server: subprocess.Popen[bytes], seconds: int = 90) -> None:
    """Return when the server answers."""
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(
        f"no JupyterLab at {address}; it left the status {server.poll()}"
    )
