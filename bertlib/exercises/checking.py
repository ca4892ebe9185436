"""What a check is made of: an exercise, its verdict, and ways to say what is wrong.

A check is a function that takes the student's answer and raises `Wrong` with a
message for somebody who has been stuck for ten minutes. Each chapter's checks
stand in `chNN.py` and are registered with `@exercise("N.M")`.
"""

import importlib
import linecache
import math
import sysconfig
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bertlib.corpus import NotFetched

# Where a frame is none of the cell's: the course, packages, Python's own library.
NOT_THE_CELL = ("bertlib", "site-packages", sysconfig.get_path("stdlib"))
CHECKS: dict[str, Callable[[Any], None]] = {}


class Picture(NamedTuple):
    """What a grid shows better than words, beside what it should be.

    yours: what came back, whatever it is; expected: (..., rows, columns), of which the
        first matrix that differs is drawn.
    rows, columns: what they are, for the axes.
    """

    yours: Any
    expected: Tensor
    rows: str = "looks"
    columns: str = "is looked at"


class Wrong(Exception):
    """Raised by a check. Its text is what the student reads, label by label."""

    def __init__(
        self, what: str, *, picture: Picture | None = None, **details: str
    ) -> None:
        """Say what is wrong; details (`given`, `likely` ...) become labelled lines."""
        self.picture = picture
        labels = {
            "given": "Smallest input",
            "yours": "Yours",
            "expected": "Expected",
            "where": "Where",
            "likely": "Likely mistake",
        }
        lines = [("What is wrong", what)]
        lines += [(labels[key], text) for key, text in details.items() if text]
        super().__init__("\n".join(_labelled(label, text) for label, text in lines))


@dataclass(frozen=True)
class Verdict:
    """What a check found: status is "passed", "not yet" or "not attempted"."""

    number: str
    status: str
    message: str = ""
    picture: Picture | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.status == "not attempted":
            return f"Exercise {self.number}: not attempted yet."
        if self.status == "passed":
            return f"Exercise {self.number}: passed."
        return f"Exercise {self.number}: not yet.\n\n{self.message}"


def exercise(number: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated function as the check of exercise `number`."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        CHECKS[number] = function
        return function

    return register


def judge(number: str, answer: Any, seed: int = 0) -> Verdict:
    """Run the check of exercise `number` on `answer`. Never raises for a wrong answer.

    Args:
        seed: of the random inputs; the same for everybody, but in the tests.

    Raises:
        KeyError: there is no exercise of that number.
    """
    importlib.import_module(f"bertlib.exercises.{_module_of(number)}")
    if number not in CHECKS:
        raise KeyError(f"number is {number!r}; it may be one of {sorted(CHECKS)}")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            CHECKS[number](answer)
        except NotImplementedError:
            return Verdict(number, "not attempted")
        except Wrong as wrong:
            return Verdict(number, "not yet", str(wrong), wrong.picture)
        except NotFetched as error:
            likely = "no network, and the file was never here; your code may be right"
            text = Wrong(f"A file that is needed is missing: {error}", likely=likely)
            return Verdict(number, "not yet", str(text))
        except (Exception, SystemExit) as error:
            return Verdict(number, "not yet", str(_crash(error)))
    return Verdict(number, "passed")


def _module_of(number: str) -> str:
    """Where a check stands: that of 3.2 in `ch03`, that of A.2 in `capstone_a`."""
    part = number.split(".")[0]
    return f"ch{int(part):02d}" if part.isdigit() else f"capstone_{part.lower()}"


def expect(
    condition: Any, what: str, *, picture: Picture | None = None, **details: str
) -> None:
    """Raise `Wrong(what, **details)` unless condition holds."""
    if not condition:
        raise Wrong(what, picture=picture, **details)


def expect_close(
    got: Any,
    want: Tensor,
    what: str,
    *,
    given: str = "",
    mistakes: dict[str, Tensor] | None = None,
    likely: str = "",
    tol: float = 1e-5,
    picture: Picture | None = None,
) -> None:
    """Raise `Wrong` unless `got` is a tensor equal to `want` within `tol`.

    Args:
        mistakes: what known mistakes give on the same input, {name: tensor}. The one
            that equals `got` is named as the likely mistake; otherwise `likely` is.
        picture: is drawn where there is a notebook to show it.
    """
    expect_tensor(got, what, given=given)
    if got.shape != want.shape:
        raise Wrong(
            f"{what} The shape is {tuple(got.shape)}; it must be {tuple(want.shape)}.",
            given=given,
            likely=_matching(got, mistakes)
            or likely
            or _shape_mistake(tuple(got.shape), tuple(want.shape)),
            picture=picture,
        )
    a, b = got.detach().to(torch.float64), want.detach().to(torch.float64)
    if torch.allclose(a, b, rtol=tol, atol=tol):
        return
    likely = _matching(got, mistakes) or likely
    if not likely and a.isnan().any():
        likely = "a NaN: 0/0, inf - inf, or the softmax of a row of -inf"
    raise Wrong(
        what,
        given=given,
        yours=show(got),
        expected=show(want),
        likely=likely,
        picture=picture,
    )


def expect_tensor(got: Any, what: str, *, given: str = "") -> None:
    """Raise `Wrong` unless `got` is a tensor; None is named as a missing return."""
    if isinstance(got, Tensor):
        return
    raise Wrong(
        f"{what} A tensor must come back, not {type(got).__name__}.",
        given=given,
        likely=_kind_mistake(got),
    )


def number_in(got: Any, what: str, given: str = "") -> Any:
    """The number that came back, plain, NumPy's or a tensor of one; else `Wrong`."""
    if isinstance(got, Tensor) and got.numel() == 1:
        got = got.item()
    if isinstance(got, Real) and not isinstance(got, bool):
        return got
    raise Wrong(
        f"{what} A number must come back, not {type(got).__name__}.",
        given=given,
        yours="" if got is None else show(got),
        likely="a sum or a mean is missing: this is still one number for each entry"
        if isinstance(got, Tensor)
        else _kind_mistake(got),
    )


def expect_number(
    got: Any,
    right: float,
    what: str,
    given: str,
    mistakes: dict[str, float],
    likely: str = "",
) -> None:
    """Raise `Wrong` unless `got` is the number `right`.

    Args:
        mistakes: what known mistakes give, {name: number}; the one that gives `got` is
            named, otherwise `likely` is.
    """
    got = number_in(got, what, given)
    if _near(got, right):
        return
    named = (name for name, wrong in mistakes.items() if _near(got, wrong))
    likely = next(named, likely)
    if math.isnan(got):
        likely = "0 / 0: something is empty here; clamp the divisor to at least 1"
    raise Wrong(what, given=given, yours=show(got), expected=show(right), likely=likely)


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7)


def call(function: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    """Call the answer, and raise `Wrong` if it edits one of its input tensors."""
    before = [x.clone() if isinstance(x, Tensor) else x for x in inputs]
    result = function(*inputs, **named)
    for position, (x, old) in enumerate(zip(inputs, before, strict=True), start=1):
        if isinstance(x, Tensor) and not torch.equal(x.nan_to_num(), old.nan_to_num()):
            raise Wrong(
                f"Your function changes its input number {position}.",
                given=show(old),
                likely="an in-place operation (+=, masked_fill_, x[...] = ...); "
                "work on a new tensor",
            )
    return result


def show(value: Any) -> str:
    """A short text for a value: small tensors in full, large ones by shape."""
    if not isinstance(value, Tensor):
        return repr(value)
    shape = tuple(value.shape)
    if value.numel() > 24:
        return f"a tensor of shape {shape}"
    value = value.detach()
    if value.is_floating_point():
        value = value.to(torch.float64)
    text = repr(_rounded(value.tolist()))
    return f"{text}, shape {shape}" if value.dim() else text


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _matching(got: Tensor, mistakes: dict[str, Tensor] | None) -> str:
    for name, wrong in (mistakes or {}).items():
        same = got.shape == wrong.shape
        if same and torch.allclose(
            got.to(torch.float64),
            wrong.to(torch.float64),
            rtol=1e-4,
            atol=1e-5,
            equal_nan=True,
        ):
            return name
    return ""


def _kind_mistake(got: Any) -> str:
    """Why something of another kind came back than was asked for, where that shows."""
    if got is None:
        return "there is no return statement"
    if isinstance(got, tuple | list | dict):
        return "more came back than was asked for, or the parts were not put together"
    if isinstance(got, Real):
        return ".item(), float() or int() took the number out; return the tensor"
    if isinstance(got, np.ndarray | np.generic):
        return ".numpy() on the way; stay with torch"
    return "a function or a class came back, not its result" if callable(got) else ""


def _shape_mistake(got: tuple[int, ...], want: tuple[int, ...]) -> str:
    """Why the shape is another one, as far as the two shapes show it."""
    if sorted(got) == sorted(want):
        return "the axes are in another order: a transpose too many, or one missing"
    if [n for n in got if n != 1] == [n for n in want if n != 1]:
        return (
            "an axis of size 1 is missing: keepdim=True, or None in the index"
            if len(got) < len(want)
            else "an axis of size 1 too many: keepdim=True, or None in the index"
        )
    if len(got) < len(want):
        return "an axis was summed over, or indexed away, that must stay"
    if len(got) > len(want):
        return "a sum, a mean or an index is missing: there is an axis too many"
    axis = next(i for i, (g, w) in enumerate(zip(got, want, strict=True)) if g != w)
    return f"axis {axis} has {got[axis]} entries, and {want[axis]} are asked for"


def _labelled(label: str, text: str) -> str:
    body = textwrap.fill(" ".join(text.split()), 70)
    return f"{label}:\n" + textwrap.indent(body, "  ")


def _crash(error: BaseException) -> Wrong:
    """Turn an exception of the student's code into a message with their own line."""
    name = type(error).__name__
    what = (
        f"Your code raised {name}: {str(error).splitlines()[0] if str(error) else ''}"
    )
    if isinstance(error, SystemExit):
        what = "Your code ends the program (sys.exit or exit)."
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(name in frame.filename for name in NOT_THE_CELL)
    ]
    where = ""
    if frames and frames[-1].lineno:
        line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
        where = f"line {frames[-1].lineno} of the cell: {line}"
    return Wrong(what, where=where)
