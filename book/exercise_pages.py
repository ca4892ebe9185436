"""Two directives made of what the chapters say about themselves, at build time.

- `exercise-list`: every exercise with its goal, difficulty and minutes, by chapter;
- `chapter-goals`: what one can do after each chapter, folded, with the exercises.

course_book sets this up, with the rest of the book's own Sphinx extension.
"""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chapter_text import Exercise, read_exercises, read_head, reading_minutes
from course_book import capstones_ready, chapters_ready, raw
from docutils import nodes  # type: ignore[import-untyped]
from docutils.utils.smartquotes import smartyPants  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LEVELS = (1, 2, 3)


@dataclass(frozen=True)
class Chapter:
    """A chapter or capstone of the table of contents, as the pages here show it."""

    number: int | str  # a capstone has a letter
    title: str
    url: str
    reading: int  # minutes
    exercises: list[Exercise]

    @property
    def kind(self) -> str:
        """Chapter or capstone, with its number."""
        return (
            f"{'Capstone' if isinstance(self.number, str) else 'Chapter'} {self.number}"
        )

    @property
    def name(self) -> str:
        """The title with its number, as in every list of the book."""
        return f"{self.number} · {self.title}"

    def link(self) -> str:
        """The name as a link."""
        return f'<a href="{html.escape(self.url)}">{typeset(self.name)}</a>'

    def exercise_url(self, exercise: Exercise) -> str:
        """Where the statement of an exercise stands: Sphinx names it by its heading."""
        anchor = nodes.make_id(f"Exercise {exercise.number} {exercise.title}")
        return html.escape(f"{self.url}#{anchor}")


def read_chapters(directive: SphinxDirective) -> dict[int, Chapter]:
    """Every chapter that is there, by number; the page now depends on all of them."""
    ready = sorted(chapters_ready(directive.env.app).items())
    return {number: read(directive, number, docname) for number, docname in ready}


def read_capstones(directive: SphinxDirective) -> list[Chapter]:
    """The same for the capstones, in order."""
    ready = sorted(capstones_ready(directive.env.app).items())
    return [read(directive, letter, docname) for letter, docname in ready]


def read(directive: SphinxDirective, number: int | str, docname: str) -> Chapter:
    """One of them, from its notebook."""
    env = directive.env
    path = Path(env.srcdir) / f"{docname}.ipynb"
    env.note_dependency(str(path))
    return Chapter(
        number,
        read_head(path)[0],
        env.app.builder.get_relative_uri(env.docname, docname),
        reading_minutes(path),
        read_exercises(path),
    )


# ------------------------------------------------------------------------- words


def typeset(text: str) -> str:
    """Plain text as HTML, with the quotation marks that Sphinx sets elsewhere."""
    return html.escape(smartyPants(text, attr="q"), quote=False)


def dots(level: int) -> str:
    """The difficulty as its three dots, with words for a screen reader."""
    shown = "●" * level + "○" * (max(LEVELS) - level)
    return f'<span role="img" aria-label="difficulty {level} of 3">{shown}</span>'


def count(number: int, noun: str) -> str:
    """'1 exercise', '1,084 minutes'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def hours(minutes: int) -> str:
    """Minutes as hours with one decimal: '1.8 hours'."""
    return f"{minutes / 60:.1f} hours"


def working_minutes(exercises: list[Exercise]) -> int:
    """How long some exercises take together."""
    return sum(exercise.minutes for exercise in exercises)


# ------------------------------------------------------------- the list of exercises


class ExerciseList(SphinxDirective):
    """```{exercise-list}```: all exercises, in a section for each chapter.

    The filter by difficulty is done by the stylesheet alone.
    """

    def run(self) -> list[nodes.Node]:
        """The sums, the filter, the sections."""
        chapters, capstones = list(read_chapters(self).values()), read_capstones(self)
        every = [e for part in [*chapters, *capstones] for e in part.exercises]
        minutes = working_minutes(every)
        places = count(len(chapters), "chapter")
        if capstones:
            places += f" and {count(len(capstones), 'capstone')}"
        sums = (
            f"{count(len(every), 'exercise')} in {places}, "
            f"{count(minutes, 'minute')} in all: {hours(minutes)}."
        )
        head = f'<p class="exercise-sums">{sums}</p>{level_filter(every)}'
        return [raw(head), *map(chapter_section, [*chapters, *capstones])]


def level_filter(exercises: list[Exercise]) -> str:
    """Radio buttons: all exercises, or those of one difficulty, with their number."""
    choices = [(0, "all", len(exercises))]
    for level in LEVELS:
        number = sum(e.difficulty == level for e in exercises)
        choices.append((level, dots(level), number))
    buttons = "".join(
        f'<label><input type="radio" name="level" value="{level}" autocomplete="off"'
        f"{'' if level else ' checked'}> {shown} <small>{number}</small></label>"
        for level, shown, number in choices
    )
    return (
        '<fieldset class="level-filter"><legend>Difficulty</legend>'
        f"{buttons}</fieldset>"
    )


def chapter_section(chapter: Chapter) -> nodes.section:
    """A chapter's heading, its sums and its exercises."""
    section = nodes.section(ids=[f"chapter-{chapter.number}"])
    section += nodes.title("", chapter.name)
    number, minutes = len(chapter.exercises), working_minutes(chapter.exercises)
    section += raw(
        f'<p class="exercise-sums">{count(number, "exercise")}, '
        f'{count(minutes, "minute")}. <a href="{html.escape(chapter.url)}">'
        f"{chapter.kind}</a></p>"
    )
    items = "".join(exercise_item(chapter, e) for e in chapter.exercises)
    section += raw(f'<ul class="exercise-list">{items}</ul>')
    return section


def exercise_item(chapter: Chapter, exercise: Exercise) -> str:
    """One exercise: its title as a link, its goal, how hard and how long."""
    title = typeset(f"{exercise.number} {exercise.title}")
    return (
        f'<li data-level="{exercise.difficulty}">'
        f'<p class="exercise-title"><a href="{chapter.exercise_url(exercise)}">'
        f"{title}</a></p><p>{typeset(exercise.goal)}</p>"
        f'<p class="exercise-load">{dots(exercise.difficulty)} '
        f"{count(exercise.minutes, 'minute')}</p></li>"
    )


# ------------------------------------------------------------------------- goals


class ChapterGoals(SphinxDirective):
    """```{chapter-goals}```: the goals of each chapter, behind its name."""

    def run(self) -> list[nodes.Node]:
        """One fold for each chapter."""
        return [raw("".join(map(goals_of, read_chapters(self).values())))]


def goals_of(chapter: Chapter) -> str:
    """A fold with the goals of a chapter and the number of each one's exercise."""
    items = "".join(
        f'<li>{typeset(e.goal)} (<a href="{chapter.exercise_url(e)}">'
        f"{e.number}</a>)</li>"
        for e in chapter.exercises
    )
    summary = typeset(f"{chapter.name}: {count(len(chapter.exercises), 'goal')}")
    return f"<details><summary>{summary}</summary><ul>{items}</ul></details>"


def setup(app: Sphinx) -> dict[str, Any]:
    """course_book calls this once, through Sphinx."""
    app.add_directive("exercise-list", ExerciseList)
    app.add_directive("chapter-goals", ChapterGoals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
