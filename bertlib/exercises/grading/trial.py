"""In the process of one exercise: run its cells, judge the answer, say the verdict.

Importing this loads all that answers are judged with, and remembers it as it is: so it
is imported before any answer runs, in the process that forks.
"""

import _thread
import ast
import contextlib
import gc
import importlib
import io
import linecache
import os
import pkgutil
import random
import secrets
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import bertlib
from bertlib.exercises.checking import judge
from bertlib.exercises.grading.clean import Clean
from bertlib.exercises.grading.confine import Say
from bertlib.exercises.grading.guard import forbid, watch
from bertlib.exercises.grading.inventory import subclasses
from bertlib.exercises.grading.notebooks import DECORATOR, Answer, needed, parsed

# What every answer may use, whatever has become of its notebook's own setup cell.
SETUP = """\
import math
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from bertlib.exercises import check
from bertlib.view import attention_view, lab
"""
ANSWER = "_answer_"  # stands in the place of the decorator
PRINTED = 1_000_000  # letters; more than that is worth a note


def sit(answer: Answer, folder: str, say: Say) -> None:
    """Judge an answer, and say what came of it; the process ends here.

    Said are, in this order: a secret; "cell K" before cell K above the answer runs, and
    "answer" before the answer does; "note ..."; and the secret with the verdict. Only a
    verdict with the secret counts, and it is in this frame alone: the answer runs in
    another thread, which cannot look at it.
    """
    write, leave, no_garbage = say, os._exit, gc.disable
    secret = os.urandom(16).hex()
    write(secret)
    verdicts: list[tuple[str, str]] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            _judge(answer, folder, say, verdicts)
        except BaseException as error:
            say(f"note the grader failed: {error!r}")
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    no_garbage()  # what the answer left is not taken apart here
    if len(verdicts) == 1:
        ((status, message),) = verdicts
        write(f"{secret} {status}\t{message}")
    leave(0)


def _judge(
    answer: Answer, folder: str, say: Say, verdicts: list[tuple[str, str]]
) -> None:
    clean = globals().pop("CLEAN")  # out of the answer's reach, as what follows is
    changed, watcher, leave = clean.comparison(), sys.getprofile, os._exit
    sys.getprofile = _nothing

    def end(why: str) -> None:
        say(f"refused {why}")
        leave(0)

    sys.stdin, printed = io.StringIO(), _Sink()
    sys.stdout = sys.stderr = printed
    random.seed(0)
    drawn = random.Random(0)  # by a check, the same in every run
    secrets.randbelow = drawn.randrange  # type: ignore[assignment]
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    found: list[Any] = []
    space: dict[str, Any] = {"__name__": "chapter", ANSWER: _recorder(found)}
    exec(SETUP, space)
    space["display"] = lambda *things, **options: None
    above = [(k, _code(source, f"<cell {k}>")) for k, source in needed(answer)]
    own = _code(answer.source, "<answer>", answer.number)
    look = watch(clean, changed, end)
    sys.setprofile(look)
    sys.addaudithook(forbid(clean, folder, _teller(say)))
    for k, code in above:
        say(f"cell {k}")
        _run(code, space)
    found.clear()
    say("answer")
    wrong = _run(own, space) or "nothing in the cell is decorated with @check"
    say("check")
    if not found:
        verdicts.append(("not yet", wrong))
        return
    try:
        with torch._C.DisableTorchFunctionSubclass():
            verdict = judge(answer.number, found[-1])
        status, message = verdict.status, verdict.message
    except BaseException as error:
        status, message = "not yet", f"the answer raised {_described(error)}"
    if status == "passed":
        if name := changed():
            end(f"changes {name}, which the check relies on")
        if watcher() is not look:
            end("turns off what watches it")
    if printed.letters > PRINTED:
        say(f"note printed more than {PRINTED:,} letters")
    verdicts.append((status, message))


def _run(code: Any, space: dict[str, Any]) -> str:
    """Run a cell: what it raised, in words, or ""."""
    try:
        exec(code, space)
    except BaseException as error:
        return f"the cell raised {_described(error)}"
    return ""


def _nothing() -> None:
    """Instead of sys.getprofile: what watches an answer is not for it to see."""


class _Sink(io.TextIOBase):
    """Where what an answer prints ends; it is counted."""

    letters = 0

    def write(self, text: str) -> int:
        self.letters += len(text)
        return len(text)


def _recorder(found: list[Any]) -> Callable[[Any], Any]:
    def record(answer: Any) -> Any:
        found.append(answer)
        return answer

    return record


def _teller(say: Say) -> Callable[[str], None]:
    """Tells once of each thing that was refused."""
    told: set[str] = set()

    def tell(words: str) -> None:
        if words not in told:
            told.add(words)
            say(f"note tried to {words}")

    return tell


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # its __str__ is the answer's
        return "an exception that cannot be shown"


def _code(source: str, file: str, number: str = "") -> Any:
    """The code of a cell, in which `number` is recorded instead of checked.

    Code that raises the error, where the cell is no Python.
    """
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        tree = parsed(source)
        _exchange_decorators(tree, number)
        return compile(tree, file, "exec", dont_inherit=True)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return compile(f"raise SyntaxError({text!r})", file, "exec")


def _exchange_decorators(tree: ast.Module, number: str) -> None:
    for node in ast.walk(tree):
        decorators = getattr(node, "decorator_list", [])
        for decorator in list(decorators):
            found = DECORATOR.match(f"@{ast.unparse(decorator)}")
            if found and found["number"] == number:
                new = ast.copy_location(ast.Name(ANSWER, ast.Load()), decorator)
                decorators[decorators.index(decorator)] = new
            elif found:
                decorators.remove(decorator)


def _load_everything() -> None:
    """Load what answers may use, and what torch loads late, so that nothing changes."""
    for module in pkgutil.walk_packages(bertlib.__path__, "bertlib."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("torch._dynamo", "torch.testing", "numpy.random", "unittest.mock"):
        importlib.import_module(name)
    for kind in subclasses(torch.optim.Optimizer).values():
        with contextlib.suppress(Exception):  # the first of a kind changes its class
            kind.__new__(kind)._patch_step_function()
    tempfile.TemporaryDirectory().cleanup()


_load_everything()
CLEAN = Clean()
gc.freeze()  # a child that collects does not copy all of this
