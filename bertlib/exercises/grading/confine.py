"""What the system is asked to keep from an answer: in its process, before it runs.

Linux is asked for the most: no network, and no file that can be written but in one
folder. Where a system permits less, `guard` is what remains.
"""

import ctypes
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Say: TypeAlias = Callable[[str], None]

FILE_BYTES = 2**29  # of one file; a check makes one of half a gigabyte of nothing
FOLDER_BYTES = 2**28
PROCESSES = 64
SAYS = 3  # where a forked process writes its lines
LETTERS = 2000  # of one line
BREAK = "\x1e"  # stands in it where a line of a longer text ends


class Limits(NamedTuple):
    """Of one exercise: processor seconds, and megabytes that it may add."""

    seconds: float = 10.0
    megabytes: int = 2048

    @property
    def by_the_clock(self) -> float:
        """For an answer that sleeps, on a machine that has other work as well."""
        return 6 * self.seconds


def sayer(write: Callable[[bytes], Any]) -> Say:
    """What says a line; it looks nothing up where an answer may have put another."""
    replace, encode = str.replace, str.encode

    def say(text: str) -> None:
        line = replace(text, "\n", BREAK)[:LETTERS]
        write(encode(line + "\n", "utf-8", "backslashreplace"))

    return say


def confine(says: int, folder: str, limits: Limits) -> None:
    """In the child: a session of its own, no open files but one, limits, no network."""
    import resource  # not on Windows

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.dup2(says, SAYS)
    os.closerange(SAYS + 1, 4096)
    seconds = math.ceil(limits.seconds)
    wanted = {"CPU": seconds, "CORE": 0, "FSIZE": FILE_BYTES}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted["AS"] = pages * resource.getpagesize() + limits.megabytes * 2**20
        if _namespaces(folder):
            wanted["NPROC"] = PROCESSES  # counted anew in there
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        with suppress(OSError, ValueError):  # a lower limit holds already
            resource.setrlimit(kind, (value, value))
    os.chdir(folder)
    tempfile.tempdir = folder


def _namespaces(folder: str) -> bool:
    """Leave the network, and let no file be written but in the folder, in memory.

    Returns whether the system permits it.
    """
    libc, user, group = ctypes.CDLL(None), os.geteuid(), os.getegid()
    if libc.unshare(0x10000000 | 0x20000 | 0x40000000):  # NEWUSER, NEWNS, NEWNET
        return False
    same = {"uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    try:
        for name, text in {"setgroups": "deny", **same}.items():
            Path("/proc/self", name).write_text(text)
    except OSError:
        return True  # a network of its own, at least
    libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None)  # MS_REC, MS_PRIVATE
    change = (ctypes.c_uint64 * 4)(1, 0, 0, 0)  # set MOUNT_ATTR_RDONLY
    here, below, size = ctypes.c_int(-100), 0x8000, ctypes.c_size_t(32)
    mount_setattr = ctypes.c_long(442)
    libc.syscall(mount_setattr, here, b"/", below, change, size)
    libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % FOLDER_BYTES)
    return True
