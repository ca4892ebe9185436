"""Run a stamped notebook as Colab would, and say what it shows."""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

SANITIZE = Path(__file__).parents[1] / "notebooks" / "sanitize.cfg"
PATTERNS = re.findall(r"^regex: (.*)\nreplace: (.*)$", SANITIZE.read_text(), re.M)
WIDGET = "application/vnd.jupyter.widget"


@dataclass
class Run:
    """A notebook with its outputs, and what pip listed before and after."""

    notebook: Any
    before: dict[str, str]
    after: dict[str, str]

    @property
    def bootstrap_seconds(self) -> float:
        """How long the setup cell took."""
        (cell,) = (c for c in self.notebook.cells if "setup" in tags(c))
        times = [
            datetime.fromisoformat(cell.metadata.execution[f"iopub.status.{moment}"])
            for moment in ("busy", "idle")
        ]
        return (times[1] - times[0]).total_seconds()


@dataclass
class Colab:
    """Runs each notebook in a folder of its own; keeps the runs by name."""

    python: Path
    folder: Path
    runs: dict[str, Run] = field(default_factory=dict)

    def run(self, path: Path) -> Run:
        """The run of this notebook: the first time it is asked for, it takes place."""
        if path.name not in self.runs:
            before = self.installed()
            notebook = nbformat.read(path, as_version=4)
            try:
                self.execute(notebook, path.stem)
                after = self.installed()
            finally:
                self.restore(before)
            self.runs[path.name] = Run(notebook, before, after)
        return self.runs[path.name]

    def execute(self, notebook: Any, name: str) -> None:
        """Run all cells in an empty folder, without what tells bertlib of a test."""
        where = self.folder / name
        where.mkdir()
        unset = {"BERTLIB_STATIC", "PYTHONPATH", "MPLBACKEND"}
        settings = {k: v for k, v in os.environ.items() if k not in unset}
        settings["PIP_NO_CACHE_DIR"] = "1"  # a new machine has built no wheel yet
        client = NotebookClient(
            notebook,
            km=self.kernel_manager(),
            timeout=600,
            allow_errors=True,
            resources={"metadata": {"path": str(where)}},
        )
        client.execute(env=settings, cleanup_kc=True)

    def kernel_manager(self) -> AsyncKernelManager:
        """One that knows a single kernel: that of the environment."""
        spec = self.folder / "kernels" / "python3"
        spec.mkdir(parents=True, exist_ok=True)
        start = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel = {"argv": [str(self.python), *start], "display_name": "Colab"}
        (spec / "kernel.json").write_text(json.dumps(kernel | {"language": "python"}))
        specs = KernelSpecManager(
            kernel_dirs=[str(spec.parent)], ensure_native_kernel=False
        )
        return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)

    def pip(self, *arguments: str) -> str:
        """What the environment's own pip prints."""
        command = [self.python, "-m", "pip", *arguments]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)

    def installed(self) -> dict[str, str]:
        """Every package and its version."""
        listed = json.loads(self.pip("list", "--format", "json"))
        return {package["name"]: package["version"] for package in listed}

    def restore(self, before: dict[str, str]) -> None:
        """Take off what a notebook installed: the next finds an environment as new."""
        if added := sorted(self.installed().keys() - before.keys()):
            self.pip("uninstall", "--quiet", "--yes", *added)


def errors(notebook: Any) -> dict[str, str]:
    """What the cells have raised, by the cell's id."""
    return {
        cell.id: f"{output.ename}: {output.evalue}"
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    }


def lab_parts(run: Run, cell: Any) -> tuple[list[str], list[Any]]:
    """What a lab consists of: the models of its controls, and what it has drawn."""
    state = run.notebook.metadata.widgets[f"{WIDGET}-state+json"]["state"]
    (view,) = [output.data[f"{WIDGET}-view+json"] for output in cell.outputs]
    names = state[view["model_id"]]["state"]["children"]
    *controls, canvas = (state[name.removeprefix("IPY_MODEL_")] for name in names)
    return [c["model_name"] for c in controls], canvas["state"]["outputs"]


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def shown(cell: Any) -> dict[str, Any]:
    """What a cell shows, for a comparison: texts as they are, a picture as such.

    Returns the text of each stream, and every result as {kind: text}. A picture's
    pixels depend on fonts and versions; that there is one does not.
    """
    said: dict[str, Any] = {"results": []}
    for output in cell.outputs:
        if output.output_type == "stream":
            said[output.name] = said.get(output.name, "") + output.text
        else:
            data = output.get("data", {})
            said["results"].append({k: comparable(k, v) for k, v in data.items()})
    return said


def comparable(kind: str, value: Any) -> Any:
    """The part of an output that is the same on every machine."""
    if kind.startswith("image/"):
        return "a picture"
    for pattern, replacement in PATTERNS:
        value = re.sub(pattern, replacement, value) if isinstance(value, str) else value
    return value
