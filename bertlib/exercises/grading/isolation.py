"""A process of its own for one answer, with limits, and nothing left of it afterwards.

On Linux the children of a child are found and ended, too, wherever they hide. Windows
cannot fork: there every answer loads torch anew, and only the clock is a limit.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bertlib.exercises.grading.confine import BREAK, SAYS, Limits, Say, confine, sayer

Work: TypeAlias = Callable[[str, Say], None]  # (folder, say)

START = "spawn" if sys.platform == "win32" else "fork"


class End(NamedTuple):
    """What became of a process.

    lines: what it said, the last one perhaps cut off.
    reason: why it ended, where it did not say enough.
    left: how many processes it left running; they were ended.
    """

    lines: list[str]
    reason: str
    left: int


def run_alone(work: Work, limits: Limits) -> End:
    """Run `work` in a process and a folder of its own, till nothing is left of it."""
    with tempfile.TemporaryDirectory(
        prefix="bertlib_", ignore_cleanup_errors=True
    ) as name:
        folder = os.path.realpath(name)
        run = _forked if START == "fork" else _spawned
        return run(work, folder, limits)


def _forked(work: Work, folder: str, limits: Limits) -> End:
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        say = sayer(partial(os.write, SAYS))
        try:
            confine(there, folder, limits)
            work(folder, say)
        except BaseException as error:
            say(f"note the grader failed: {error!r}")
        finally:
            os._exit(70)
    os.close(there)
    status, seconds, late = _wait(pid, limits.by_the_clock)
    left = _end_all(pid)
    os.set_blocking(here, False)
    with open(here, "rb", buffering=0) as file:
        said = file.read(2**20) or b""
    code = os.waitstatus_to_exitcode(status)
    if late or (code == -signal.SIGKILL and seconds > 0.9 * limits.seconds):
        reason = _too_long(limits)
    elif code < 0:
        reason = f"the process was ended by {signal.Signals(-code).name}"
    else:
        reason = f"the process ended by itself, exit code {code}"
    return End(_lines(said), reason, left)


def _lines(said: bytes) -> list[str]:
    lines = said.decode("utf-8", "replace").split("\n")
    return [line.replace(BREAK, "\n") for line in lines]


def _too_long(limits: Limits) -> str:
    # One text for both: which of them is reached first depends on the machine.
    return (
        f"no verdict within {limits.seconds:g} processor seconds, or "
        f"{limits.by_the_clock:g} by the clock; the process was ended"
    )


def _wait(pid: int, seconds: float) -> tuple[int, float, bool]:
    """Wait for a child: its status, its processor seconds, and whether it was late."""
    end, pause, late = time.monotonic() + seconds, 0.001, False
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return status, usage.ru_utime + usage.ru_stime, late
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            late = True
        time.sleep(pause)
        pause = min(1.3 * pause, 0.05)


def _end_all(group: int) -> int:
    """End what a child has left running; on Linux, also what has left its group."""
    left = 0
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    while True:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        left += found > 0
        if not found:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)


def _children() -> list[int]:
    """The processes whose parent this one is, on Linux."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.append(int(path.parent.name))
    return found


def adopt() -> None:
    """Become the parent of every process below that loses its own; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def _spawned(work: Work, folder: str, limits: Limits) -> End:
    """Where a system cannot fork. The clock begins when the child has loaded torch."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_spawned_child, args=(work, folder, there))
    child.start()
    there.close()
    here.poll(120)
    child.join(limits.by_the_clock)
    late = child.is_alive()
    child.kill()
    child.join()
    said = b""
    with suppress(EOFError, OSError):
        while True:
            said += here.recv_bytes(2**16)
    reason = f"the process ended by itself, exit code {child.exitcode}"
    return End(_lines(said), _too_long(limits) if late else reason, 0)


def _spawned_child(work: Work, folder: str, there: Any) -> None:
    os.chdir(folder)
    tempfile.tempdir = folder
    work(folder, sayer(there.send_bytes))
