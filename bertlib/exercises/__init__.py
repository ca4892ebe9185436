"""The checks behind the exercise cells of the course."""

from collections.abc import Callable
from typing import TypeVar

from bertlib.exercises.checking import judge

__all__ = ["check"]

Answer = TypeVar("Answer")


def check(number: str, solution: bool = False) -> Callable[[Answer], Answer]:
    """Decorate the answer to exercise `number`: run its check and print the verdict.

    The answer comes back unchanged, and a wrong one never raises, so the cells below
    still run.

    Args:
        solution: True on the course's own solution, which is not the student's work.
    """

    def run(answer: Answer) -> Answer:
        print(judge(number, answer))
        return answer

    return run
