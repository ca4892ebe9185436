"""Grade a notebook: each exercise in a process of its own, with limits.

An exercise may use the setup cell, the exported cells above it and the answers to
earlier exercises. These run before it, without their checks, and nothing else does.
So a loop without end, a crash or `sys.exit` costs the exercise it stands in.
"""

import contextlib
import io
import json
import multiprocessing
import re
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from bertlib.exercises.checking import Verdict, judge


class Answer(NamedTuple):
    """One exercise cell: its number, its code, and the cells that it may use."""

    number: str
    source: str
    before: list[str]


def answers(notebook: Path, tag: str = "exercise") -> list[Answer]:
    """The answers that stand in a notebook's cells with this tag, in order.

    Raises:
        ValueError: the file is not a notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error!r}") from error
    found: list[Answer] = []
    before: list[str] = []
    for cell in cells:
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code":
            continue
        number = re.search(r"""^@check\(["']([\d.]+)["']""", source, re.M)
        if tag in tags and number:
            found.append(Answer(number[1], source, list(before)))
        if number or "setup" in tags or source.startswith("#| export"):
            before.append(source)
    return found


def grade(
    notebook: Path, seconds: float = 60.0, megabytes: int = 8192
) -> Iterator[Verdict]:
    """Judge each exercise of a notebook.

    Args:
        seconds: for one exercise; then its process is ended.
        megabytes: of address space for one exercise, where the system can limit it.

    Raises:
        ValueError: the file is not a notebook.
    """
    # A server that has loaded torch once and forks; Windows has no fork.
    start = "spawn" if sys.platform == "win32" else "forkserver"
    context: Any = multiprocessing.get_context(start)
    context.set_forkserver_preload(["bertlib.exercises.grading"])
    for answer in answers(notebook):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_judge, args=(answer, megabytes, there))
        child.start()
        there.close()
        message = None
        if here.poll(seconds):
            with contextlib.suppress(EOFError, OSError):
                message = here.recv()
        finished = message is not None or not child.is_alive()
        child.kill()
        child.join()
        if message is not None:
            yield Verdict(answer.number, *message)
        elif finished or child.exitcode != -9:
            text = f"the process ended by itself, exit code {child.exitcode}"
            yield Verdict(answer.number, "not yet", text)
        else:
            text = f"no verdict after {seconds:g} seconds; the process was ended"
            yield Verdict(answer.number, "not yet", text)


def _judge(answer: Answer, megabytes: int, there: Connection) -> None:
    """In the child: run the cells, judge the answer, send (status, message) back."""
    with contextlib.suppress(ImportError, ValueError):
        import resource  # not on Windows

        limit = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    verdicts: list[Verdict] = []
    namespace: dict[str, Any] = {"__name__": "chapter"}

    def unchecked(number: str, solution: bool = False) -> Any:
        return lambda answer: answer

    def recorded(number: str, solution: bool = False) -> Any:
        def record(found: Any) -> Any:
            verdicts.append(judge(answer.number, found))
            return found

        return record

    with contextlib.redirect_stdout(io.StringIO()):
        for source in answer.before:
            # What another exercise did wrong is counted there.
            with contextlib.suppress(Exception, SystemExit):
                exec(source, namespace)
            namespace["check"] = unchecked
        namespace["check"] = recorded
        try:
            exec(answer.source, namespace)
        except (Exception, SystemExit) as error:
            text = f"the cell raised {type(error).__name__}: {error}"
            there.send(("not yet", text))
            return
    if verdicts:
        there.send((verdicts[-1].status, verdicts[-1].message))
    else:
        there.send(("not yet", "nothing in the cell is decorated with @check"))
