"""What guards the judge, which shares its process with the answer it judges.

`watch` looks whenever an answer's code hands over to the check, and `forbid` refuses
what no answer needs: the network, processes, other files, the frames of others. That
ends the tricks that patch, redefine or pretend, and the accidents. It does not make one
process watertight: whoever writes into its memory (numpy can) may do anything in it, so
a mark that much depends on deserves a look. What would reach further than the process
is stopped by the system, where the system can: see `confine`.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from torch import Tensor

from bertlib.exercises.grading.clean import Clean

# What an answer may not do: the beginning of an audit event, and words for it.
REFUSED = {
    "socket.": "use the network",
    **dict.fromkeys(
        ("os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile"),
        "start a process",
    ),
    **dict.fromkeys(("os.system", "pty.", "subprocess."), "start a process"),
    "_thread.start": "start a thread",
    "cpython.PyInterpreterState_New": "start an interpreter",
    **dict.fromkeys(("os.kill", "signal."), "send a signal"),
    "resource.": "change a limit",
    "os.chdir": "leave its folder",
    "os.symlink": "make a link",
    "sqlite3.": "open a database",
    "ctypes.": "use ctypes",
    "gc.get_": "search the memory",
    **dict.fromkeys(
        ("sys._current", "sys.addaudithook", "sys.setprofile", "sys.settrace"),
        "look into the code that judges it",
    ),
    "code.__new__": "make code by hand",
}
# What writes to paths: the event, and how many of its first arguments are paths.
WRITES = {
    **dict.fromkeys(("os.chmod", "os.chown", "os.mkdir", "os.remove", "os.rmdir"), 1),
    **dict.fromkeys(("os.truncate", "os.utime", "shutil.rmtree"), 1),
    **dict.fromkeys(("os.link", "os.rename"), 2),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}

# What a class of the answer's own may not say itself, because a check would believe it.
JUDGED = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__"}
JUDGED |= {"__torch_function__", "__array_function__", "__array_ufunc__"}
HARMLESS = {"__new__", "__init__", "__repr__", "__hash__", *vars(type("", (), {}))}
KINDS = (int, float, complex, str, bytes, list, tuple, dict, set, Tensor, np.ndarray)
DATA = {kind: set(dir(kind)) - HARMLESS for kind in KINDS}
VARS = type.__dict__["__dict__"].__get__  # no class can say otherwise
PLAIN = {int, float, bool, str, Tensor, type(None)}


def watch(
    clean: Clean, changed: Callable[[], str], end: Callable[[str], Any]
) -> Callable[[Any, str, Any], None]:
    """A profile function that looks wherever an answer's code returns to other code.

    So a patch is seen even if the answer would take it back later. What the answer
    returns is looked at as well.

    Args:
        end: is called with what is wrong, and ends the process.
    """
    files, classes, pretender = clean.files, clean.classes, _pretender
    made, number = clean.made, id

    def known(frame: Any) -> bool:
        code = frame.f_code
        return code.co_filename in files or number(code) in made

    def look(frame: Any, event: str, value: Any) -> None:
        if event != "return" or frame.f_code.co_filename in files or known(frame):
            return
        if frame.f_back is None or known(frame.f_back):
            if name := changed():
                end(f"changes {name}, which the check relies on")
            if kind := pretender(value, classes):
                end(f"returns its own {kind}, which says itself what it equals")

    return look


def _pretender(value: Any, known: set[int], depth: int = 4) -> str:
    """The name of a class of the answer's own that a check cannot trust, or ""."""
    kind = type(value)
    if kind in PLAIN:
        return ""
    if id(kind) not in known:
        for parent in type.mro(kind):
            names = () if id(parent) in known else VARS(parent)
            if any(name in names for name in JUDGED):
                return kind.__name__
            for data, own in DATA.items():
                if issubclass(kind, data) and any(name in own for name in names):
                    return kind.__name__
    parts: Any = ()
    if issubclass(kind, list | tuple | set):
        parts = next(base for base in (list, tuple, set) if issubclass(kind, base))
        parts = parts.__iter__(value)
    elif issubclass(kind, dict):
        parts = [*dict.keys(value), *dict.values(value)]
    elif kind is np.ndarray and value.dtype.hasobject:
        parts = value.ravel().tolist()
    for part in parts if depth else ():
        if type(part) not in PLAIN and (name := _pretender(part, known, depth - 1)):
            return name
    return ""


def forbid(
    clean: Clean, folder: str, tried: Callable[[str], Any]
) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that refuses what no answer needs, with a PermissionError.

    Args:
        folder: the only one where the answer may write, an absolute path.
        tried: is told what was refused.
    """
    files, functions, frame_of = clean.files, clean.functions, sys._getframe
    kind, number, error, inside = type, id, PermissionError, _inside
    transparent = {inspect.__file__, traceback.__file__}  # they hand frames on
    too_deep, limit = RecursionError, sys.getrecursionlimit
    busy = False

    def deep() -> bool:
        frame: Any = frame_of(2)
        left = limit() - 100
        while frame and left:
            frame, left = frame.f_back, left - 1
        return frame is not None

    def asked_by_answer() -> bool:
        frame: Any = frame_of(3)
        while frame and frame.f_code.co_filename in transparent:
            frame = frame.f_back
        return frame is not None and frame.f_code.co_filename not in files

    def why_not(event: str, args: tuple[Any, ...]) -> str:
        if event == "open":
            path, mode, flags = args
            if kind(path) is int:
                return ""
            if flags & WRITING and not inside(path, folder, mode is None):
                return "write outside of its folder"
            return "search the memory" if path[-4:] in ("/mem", b"/mem") else ""
        if event in WRITES:
            paths = [path for path in args[: WRITES[event]] if kind(path) is not int]
            if [path for path in paths if not inside(path, folder, False)]:
                return "write outside of its folder"
        if event == "compile" and kind(args[1]) is str and args[1] in files:
            return "take another file's name"
        sets = event == "object.__setattr__" or event == "object.__delattr__"
        if sets and kind(args[0]) is FunctionType and number(args[0]) in functions:
            return "change a function that is not its own"
        if event == "sys._getframe" or event == "object.__getattr__":
            return "look into the code that judges it" if asked_by_answer() else ""
        for beginning, words in REFUSED.items():
            if event[: len(beginning)] == beginning:
                return words
        return ""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or (event == "object.__getattr__" and args[1] not in FRAMES):
            return
        busy = True
        try:
            words = why_not(event, args)
        finally:
            busy = False
        if event == "sys.setprofile" and deep():  # it cannot be called any deeper
            raise too_deep("maximum recursion depth exceeded")
        if words:
            tried(words)
            raise error(f"an answer may not {words}")

    return hook


def _inside(path: Any, folder: str, absolute: bool) -> bool:
    """Whether a path leads into the folder, where the answer is, too."""
    if type(path) is type(Path()):
        path = str(path)
    if type(path) is not str or ".." in path:
        return False
    path = path.replace("/", os.sep)
    if path == os.devnull or path == folder:
        return True
    if path[:1] == os.sep or ":" in path:
        return path[: len(folder) + 1] == folder + os.sep
    return not absolute
