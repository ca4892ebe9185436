"""Grade notebooks: each in a process of its own, and each of its exercises in another.

An exercise may use the setup cell, the exported cells above it and the answers to
earlier exercises; these run before it, without their checks, and nothing else does. So
a loop without end, a crash or `sys.exit` costs the exercise it stands in. The checks
are this package's own, whatever the notebook makes of them. How far that holds against
someone who means harm, `guard` says.
"""

import contextlib
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from bertlib.exercises.grading import isolation, notebooks
from bertlib.exercises.grading.confine import Limits, Say
from bertlib.exercises.grading.isolation import End, run_alone
from bertlib.exercises.grading.notebooks import Answer, answers

CAPSTONE = 400.0  # processor seconds at least: some of its answers train a model
# The same for all: one thread, one order of sets, no GPU, no window.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
    "BERTLIB_STATIC": "1",
}


class Mark(NamedTuple):
    """What became of one exercise.

    status: "passed", "not yet", "not attempted"; "missing" from the notebook; "stopped"
        where its process ended or had to be ended; "refused" where it meddled with its
        judge; "unreadable" for a whole notebook, with "" for the exercise.
    """

    exercise: str
    status: str
    message: str = ""

    @property
    def score(self) -> int:
        """1 for a passed exercise, 0 for all else."""
        return int(self.status == "passed")


class Report(NamedTuple):
    """The marks of one notebook, and what is unusual about it."""

    notebook: Path
    marks: list[Mark]
    unusual: list[str]


def grade(
    paths: list[Path],
    limits: Limits = Limits(),  # noqa: B008
    jobs: int = 1,
    tell: Callable[[Report], Any] = lambda report: None,
) -> list[Report]:
    """The reports on notebooks, in the order of their paths.

    Args:
        jobs: how many notebooks at a time.
        tell: is called with each report as soon as it is there.
    """

    def one(path: Path) -> Report:
        report = _report(path, limits)
        tell(report)
        return report

    pool = ThreadPoolExecutor(jobs)
    try:
        with _environment():
            return list(pool.map(one, paths))
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    old = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)


def _report(path: Path, limits: Limits) -> Report:
    """Grade one notebook in a process; no exercise is lost if that one ends."""
    server = isolation.START == "fork"  # has torch loaded, and forks
    context: Any = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload(["bertlib.exercises.grading.trial"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_grade, args=(path, limits, there))
    try:
        child.start()
    except (OSError, EOFError) as error:
        text = f"no process could be had for its notebook: {error!r}"
        return Report(path, [Mark("", "stopped", text)], [])
    there.close()
    plan, marks, unusual = [""], [], None
    with contextlib.suppress(EOFError, OSError):
        plan = here.recv()
        for _ in plan:
            marks.append(here.recv())
        unusual = here.recv()
    child.join()
    reason = f"the process of its notebook ended, exit code {child.exitcode}"
    marks += [Mark(number, "stopped", reason) for number in plan[len(marks) :]]
    return Report(path, marks, [reason] if unusual is None else unusual)


def _grade(path: Path, limits: Limits, there: Connection) -> None:
    """In the process of a notebook: send the plan, each mark, and what is unusual."""
    from bertlib.exercises.grading import trial  # noqa: F401  loads all before any answer

    isolation.adopt()
    try:
        cells, found = notebooks.code_cells(path), answers(path)
        plan = notebooks.plan(cells)
        why = "" if plan else "no exercise of the course is in it"
    except (OSError, ValueError) as error:
        cells, plan, why = [], [], str(error)
    there.send(plan or [""])
    if why:
        there.send(Mark("", "unreadable", _plain(why)))
    broken: dict[str, str] = {}
    for number in plan:
        own = [answer for answer in found if answer.number == number]
        there.send(_mark(number, own, limits, broken))
    there.send(
        [*(notebooks.unusual(cells) if plan else []), *filter(None, broken.values())]
    )


def _mark(
    number: str, own: list[Answer], limits: Limits, broken: dict[str, str]
) -> Mark:
    """Judge an exercise.

    Args:
        own: the answers to it; the last one counts.
        broken: cells that are left out because they end the process, and a note about
            each; those found here are put in.
    """
    if not own:
        text = f'no cell is decorated with @check("{number}")'
        return Mark(number, "missing", text)
    if not number[0].isdigit():
        limits = limits._replace(seconds=max(limits.seconds, CAPSTONE))
    while True:
        before = [cell for cell in own[-1].before if cell not in broken]
        answer = own[-1]._replace(before=before)
        found = _outcome(run_alone(partial(_sit, answer), limits))
        if not found.at.startswith("cell "):
            break
        cell = before[int(found.at[5:])]
        broken[cell] = f"{_named(cell)} is left out: {found.message}"
    if found.at == "answer":
        broken[answer.source] = ""  # the mark says why
    notes = [f"{len(own)} cells; the last counts"] if len(own) > 1 else []
    message = found.message
    if notes := notes + found.notes:
        message = "\n".join([message, f"Note: {'; '.join(notes)}."]).strip()
    return Mark(number, found.status, _plain(message))


class Outcome(NamedTuple):
    """What came of one process.

    at: where it ended without a verdict: "cell K" above the answer, "answer", its cell,
        or "check"; else "".
    """

    status: str
    message: str
    notes: list[str]
    at: str


def _outcome(end: End) -> Outcome:
    """What the lines mean that `trial.sit` says."""
    secret, *said = end.lines
    own = f"{secret} "
    verdict = [s.removeprefix(own) for s in said if secret and s.startswith(own)]
    told = [s.removeprefix("refused ") for s in said if s.startswith("refused ")]
    notes = [s.removeprefix("note ") for s in said if s.startswith("note ")]
    at = [""] + [s for s in said if re.fullmatch(r"cell \d+|answer|check", s)]
    if end.left:
        notes.append(f"left {end.left} processes running; they were ended")
    if verdict:
        status, _, message = verdict[0].partition("\t")
        return Outcome(status, message, notes, "")
    if told:
        return Outcome("refused", f"it {told[0]}", notes, at[-1])
    return Outcome("stopped", end.reason, notes, at[-1])


def _named(cell: str) -> str:
    """Words for a cell above an answer."""
    if found := notebooks.DECORATOR.search(cell):
        return f"the cell of {found['number']}"
    return f"the cell that begins {cell.strip().splitlines()[0][:40]!r}"


def _sit(answer: Answer, folder: str, say: Say) -> None:
    from bertlib.exercises.grading import (
        trial,
    )  # in the child: it takes seconds to load

    trial.sit(answer, folder, say)


def _plain(text: str) -> str:
    """Without what differs from run to run, and what cannot be printed."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x...", text)
    text = re.sub(r"(/[\w.-]+)*/bertlib_\w{8}\b", "", text)
    text = re.sub(r"\btmp\w{8}\b", "tmp...", text)
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
