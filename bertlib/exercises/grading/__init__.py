"""Grade notebooks: `python -m bertlib.exercises grade`.

The way of an answer: `notebooks` finds it, `grader` gives it a process, `isolation` and
`confine` make that one safe, `trial` runs the cells and judges, `guard`, `clean` and
`inventory` see that nobody meddles with the judge, `marks` writes the table.
"""

from bertlib.exercises.grading.confine import Limits
from bertlib.exercises.grading.grader import Mark, Report, grade
from bertlib.exercises.grading.notebooks import Answer, answers

__all__ = ["Answer", "Limits", "Mark", "Report", "answers", "grade"]
