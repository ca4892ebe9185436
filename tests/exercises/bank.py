"""The bank of answers: plausible wrong ones, and right ones written another way.

Each chapter has a file `bank_chNN.py` beside this one, and each capstone has one. An
answer is written as a student would write it, under a decorator that says what must
come of it:

    @wrong("3.1", says="the softmax runs over the queries")
    def softmax_over_the_queries(scores, values): ...

    @right("3.1")
    def with_einsum(scores, values): ...

A mutant of a solution (`mutation.py`) that is no mistake stands there as well, as
`equivalent(number, change, because)`.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Answer(NamedTuple):
    """One answer: `says` must stand in the message; None means that it must pass."""

    number: str
    answer: Any
    says: str | None


ANSWERS: list[Answer] = []
EQUIVALENT: dict[tuple[str, str], str] = {}  # (number, change): why it is no mistake
# Their answers train a model: one seed, and mutants only when `mutation.py` is told.
TRAINS = {"B.4", "C.4", "C.5"}


def wrong(number: str, says: str) -> Callable[[Any], Any]:
    """Put a wrong answer into the bank, with words that the message must contain."""
    return _add(number, says)


def right(number: str) -> Callable[[Any], Any]:
    """Put a right answer into the bank."""
    return _add(number, None)


def _add(number: str, says: str | None) -> Callable[[Any], Any]:
    def add(answer: Any) -> Any:
        ANSWERS.append(Answer(number, answer, says))
        return answer

    return add


def equivalent(number: str, change: str, because: str) -> None:
    """Say why a change of the solution of exercise `number` changes nothing."""
    EQUIVALENT[number, change] = because


def load() -> list[Answer]:
    """Every answer of every chapter's bank."""
    if not ANSWERS:
        for path in sorted(HERE.glob("bank_c*.py")):
            importlib.import_module(f"tests.exercises.{path.stem}")
    return ANSWERS
