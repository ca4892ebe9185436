"""Runs in a kernel: move every control of every lab there, and report what happens."""

import gc
import inspect
import json
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import ipywidgets
from IPython import get_ipython

# What somebody may type.
TEXTS = ["", " ", "a", "word " * 300, "<b>&</b> Amélie's \u00ad\ufffd [MASK] ##s"]
STOPS = 3  # of a slider: both ends, and the middle


def places(control: Any) -> list[Any]:
    """The whole range of a control, or a sample of it."""
    if hasattr(control, "options"):
        return list(control.options)
    if isinstance(control, ipywidgets.Text):
        return TEXTS
    steps = round((control.max - control.min) / control.step)
    stops = {round(i * steps / (STOPS - 1)) for i in range(STOPS)}
    return [control.min + i * control.step for i in sorted(stops)]


def move(lab: Any) -> dict[str, Any]:
    """Set each control of the lab to all its places, one after the other."""
    slowest, moves = 0.0, 0
    wrong: list[str] = []
    shell = get_ipython()
    # What ipywidgets calls where drawing fails: it shows the error, and goes on.
    shell.showtraceback = lambda *_, **__: wrong.append(traceback.format_exc())
    for control in lab.children[:-1]:
        for place in places(control):
            before = time.process_time()
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                warnings.simplefilter("ignore", DeprecationWarning)  # not for readers
                control.value = place
            wrong += [f"{control.description}: {warning.message}" for warning in said]
            slowest = max(slowest, time.process_time() - before)
            moves += 1
    del shell.showtraceback
    return {"moves": moves, "slowest": slowest, "wrong": wrong}


labs = [made for made in gc.get_objects() if isinstance(made, ipywidgets.interactive)]
gc.freeze()  # or its pauses would count as drawing
report = {inspect.unwrap(lab.f).__module__: move(lab) for lab in labs}
text = json.dumps({"version": ipywidgets.__version__, "labs": report})
Path("moves.json").write_text(text, encoding="utf-8")
