"""The checks behind the exercise cells of the course."""

import sys
from collections.abc import Callable
from typing import TypeVar

from bertlib.exercises import progress
from bertlib.exercises.checking import judge
from bertlib.exercises.yours import remember, yours

__all__ = ["check", "yours"]

Answer = TypeVar("Answer")


def check(number: str, solution: bool = False) -> Callable[[Answer], Answer]:
    """Decorate the answer to exercise `number`: run its check and print the verdict.

    The answer comes back unchanged, and a wrong one never raises, so the cells below
    still run. An answer that passes is remembered for `yours`, and counts as progress.

    Args:
        solution: True on the course's own solution, which is not the student's work.
    """

    def run(answer: Answer) -> Answer:
        verdict = judge(number, answer)
        print(verdict)
        if verdict.status == "passed":
            remember(number, answer, solution)
            if not solution:
                print(progress.record(number))
        elif verdict.picture and _in_notebook():
            from bertlib.exercises.picture import show  # matplotlib takes its time

            show(verdict.picture)
        return answer

    return run


def _in_notebook() -> bool:
    """Is there a page that can show a picture? A terminal's IPython has no kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython and ipython.get_ipython(), "kernel")
