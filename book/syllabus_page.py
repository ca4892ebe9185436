"""A directive for plans of weeks, whose hours are worked out at build time.

course_book sets this up, with the rest of the book's own Sphinx extension.
"""

import html
import re
from dataclasses import dataclass
from typing import Any

from chapter_text import Exercise
from course_book import inline_markdown, raw
from docutils import nodes  # type: ignore[import-untyped]
from exercise_pages import Chapter, hours, read_chapters, working_minutes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LINE = re.compile(r"([^|]+)\|([\d, ]*)\|([^|]*)(?:\|(.*))?")  # one week of a plan


class Syllabus(SphinxDirective):
    """A plan of weeks. Content: a line `2 | 2, 3 | 2.1, 3.1-3.4 | remark` for each.

    That is the week, its chapters, its exercises (`all` for those of its chapters),
    and, where there is one, a remark. A chapter that is not in the table of contents
    is shown as in preparation and adds no hours.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The weeks as a list, and their sums."""
        self.assert_has_content()
        chapters = read_chapters(self)
        try:
            weeks = [read_week(line, chapters) for line in self.content if line.strip()]
        except ValueError as error:
            raise self.error(str(error)) from None
        items = "".join(week.html() for week in weeks)
        reading = sum(week.reading for week in weeks)
        work = sum(working_minutes(week.exercises) for week in weeks)
        longest = max(week.minutes for week in weeks)
        sums = (
            f"In all {hours(reading + work)}: {hours(reading)} of reading, "
            f"{hours(work)} of exercises. The longest week has {hours(longest)}."
        )
        return [raw(f'<ol class="week-plan">{items}</ol><p>{sums}</p>')]


@dataclass(frozen=True)
class Week:
    """One line of a plan."""

    name: str
    chapters: list[Chapter]
    coming: list[int]  # numbers of chapters in preparation
    exercises: list[Exercise]
    remark: str

    @property
    def reading(self) -> int:
        """Minutes of reading."""
        return sum(chapter.reading for chapter in self.chapters)

    @property
    def minutes(self) -> int:
        """Minutes of reading and exercises."""
        return self.reading + working_minutes(self.exercises)

    def html(self) -> str:
        """The week as an item: its name, what is in it, its hours."""
        what = [chapter.link() for chapter in self.chapters]
        what += [f"Chapter {number}, in preparation" for number in self.coming]
        lines = [f'<p class="week-chapters">{"<br>".join(what)}</p>'] if what else []
        if self.exercises:
            lines.append(f"<p>Exercises {ranges(self.exercises)}</p>")
        if self.remark:
            lines.append(f"<p>{inline_markdown(self.remark)}</p>")
        time = hours(self.minutes) if self.minutes else "–"
        return (
            f'<li><p class="week-name">Week {html.escape(self.name)}</p>'
            f'<div>{"".join(lines)}</div><p class="week-hours">{time}</p></li>'
        )


def read_week(line: str, chapters: dict[int, Chapter]) -> Week:
    """One line of a plan, with the chapters and exercises that it names.

    Raises:
        ValueError: the line has another form, or names an exercise of no such chapter.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"want 'week | chapters | exercises | remark', got {line!r}")
    week, named, exercises, remark = ((part or "").strip() for part in match.groups())
    numbers = [int(number) for number in named.split(",") if number.strip()]
    there = [chapters[n] for n in numbers if n in chapters]
    every = [exercise for chapter in there for exercise in chapter.exercises]
    return Week(
        name=week,
        chapters=there,
        coming=[n for n in numbers if n not in chapters],
        exercises=every if exercises == "all" else chosen(exercises, every),
        remark=remark,
    )


def chosen(text: str, exercises: list[Exercise]) -> list[Exercise]:
    """The exercises that `1.1, 1.3-1.6` names, out of those of the week.

    Raises:
        ValueError: one of them is not among `exercises`.
    """
    numbers = [exercise.number for exercise in exercises]
    found: list[Exercise] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        for number in (first, last or first):
            if number not in numbers:
                raise ValueError(f"no exercise {number} in this week's chapters")
        at, end = numbers.index(first), numbers.index(last or first)
        found += exercises[at : end + 1]
    return found


def ranges(exercises: list[Exercise]) -> str:
    """Their numbers, with runs of three and more drawn together: '1.1, 1.3–1.6'."""
    runs: list[list[str]] = []
    for exercise in exercises:
        chapter, _, place = exercise.number.partition(".")
        if runs and runs[-1][-1] == f"{chapter}.{int(place) - 1}":
            runs[-1].append(exercise.number)
        else:
            runs.append([exercise.number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """course_book calls this once, through Sphinx."""
    app.add_directive("syllabus", Syllabus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
