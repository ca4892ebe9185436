"""The book's Sphinx extension: small functions, then one small book built whole."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))

import course_book  # noqa: E402
import exercise_pages  # noqa: E402
import syllabus_page  # noqa: E402
from chapter_text import read_exercises, reading_minutes  # noqa: E402
from places import places  # noqa: E402

new = nbformat.v4


# --------------------------------------------------------------- small functions


def test_markers_are_taken_off_the_top_of_a_cell() -> None:
    markers, source = course_book.split_markers("#| export plots\n\nx = 1\n")
    assert (markers, source) == ({"export": "plots"}, "x = 1")


def test_a_marker_further_down_is_code() -> None:
    source = 'text = """\n#| export\n"""'
    assert course_book.split_markers(source) == ({}, source)


@pytest.mark.parametrize(
    ("markers", "path"),
    [
        ({"export": ""}, "bertlib/attention.py"),
        ({"export": "plots"}, "bertlib/plots.py"),
        ({"exports": "a.b"}, "bertlib/a/b.py"),
        ({"default_exp": "attention"}, None),
    ],
)
def test_badge_names_the_module_that_nbdev_writes(markers, path) -> None:
    assert course_book.module_path(markers, "attention") == path


def test_export_without_a_default_names_no_module() -> None:
    assert course_book.module_path({"export": ""}, None) is None


@pytest.mark.parametrize(
    ("name", "number"),
    [("chapters/03_attention", 3), ("chapters/intro", None), ("12_ner", 12)],
)
def test_chapter_number_comes_from_the_file_name(name, number) -> None:
    assert course_book.chapter_number(name) == number


@pytest.mark.parametrize(
    ("place", "host", "path"),
    [
        ("Colab", "colab.research.google.com", "/github/a/b/blob/gh-pages/notebooks/"),
        ("Kaggle", "www.kaggle.com", "github.com/a/b/blob/gh-pages/notebooks/"),
        ("Binder", "mybinder.org", "/v2/gh/a/b/HEAD?labpath=chapters/"),
    ],
)
def test_a_place_opens_the_notebook_of_the_publishing_repository(place, host, path):
    url = places("a/b", "chapters/03_attention.ipynb")[place]
    assert url.startswith(f"https://{host}/")
    assert url.endswith(f"{path}03_attention.ipynb")


def test_inline_markdown_escapes_before_it_marks_up() -> None:
    text = course_book.inline_markdown("`a<b` and *c*, see [d](e.md)")
    assert text == "<code>a&lt;b</code> and <em>c</em>, see d"


def test_tidy_page_drops_the_icon_script_and_keeps_the_rest() -> None:
    page = (
        '<script defer src="../_static/scripts/fontawesome.js?d=1"></script>\n'
        '<script src="../searchindex.js"></script>\n'
        '<script src="../_static/course.js"></script>'
    )
    assert "fontawesome" not in course_book.tidy_page(page, "search.html")
    assert "searchindex.js" in course_book.tidy_page(page, "search.html")
    assert "searchindex.js" not in course_book.tidy_page(page, "intro.html")
    assert "course.js" in course_book.tidy_page(page, "intro.html")


def test_mathjax_stays_where_there_is_a_formula() -> None:
    script = '<script defer src="../_static/mathjax/tex-chtml.js?v=1"></script>'
    formula = '<span class="math notranslate">x</span>'
    assert "tex-chtml" in course_book.tidy_page(script + formula, "a.html")
    assert "tex-chtml" not in course_book.tidy_page(script, "a.html")


# ------------------------------------------------------------- files that it reads


def write_chapter(path: Path, head: str, *cells) -> Path:
    """A notebook with this first cell."""
    first = new.new_markdown_cell(head)
    language = {"name": "python", "pygments_lexer": "python"}
    book = new.new_notebook(cells=[first, *cells], metadata={"language_info": language})
    nbformat.write(book, path)
    return path


def test_card_text_is_the_chapters_own(tmp_path: Path) -> None:
    head = "# 3. Attention\n\n> Every token\n> looks.\n\nReading 45 minutes"
    path = write_chapter(tmp_path / "03_attention.ipynb", head)
    expected = ("Attention", "Every token looks.", "Reading 45 minutes")
    assert course_book.read_head(path) == expected


@pytest.mark.parametrize("head", ["# Title only", "> promise\n\n# Title\n\nx", ""])
def test_chapter_without_its_three_blocks_is_refused(tmp_path: Path, head) -> None:
    path = write_chapter(tmp_path / "03_attention.ipynb", head)
    with pytest.raises(ValueError, match=r"03_attention\.ipynb.*three blocks"):
        course_book.read_head(path)


def statement(heading: str, text: str = "*5 minutes.* x", goal: str = "Add"):
    """The markdown cell that states an exercise."""
    metadata = {"course": {"goal": goal}} if goal else {}
    return new.new_markdown_cell(f"### Exercise {heading}\n\n{text}", metadata=metadata)


def test_an_exercise_is_read_from_its_statement(tmp_path: Path) -> None:
    cells = [new.new_markdown_cell("### Other"), statement("3.4 ●●○ Sum it")]
    path = write_chapter(tmp_path / "03_sums.ipynb", HEAD, *cells)
    (found,) = read_exercises(path)
    assert (found.number, found.title, found.goal) == ("3.4", "Sum it", "Add")
    assert (found.difficulty, found.minutes) == (2, 5)
    assert (found.chapter, found.chapter_title) == ("03_sums", "Sums")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (statement("3.4 ●●○○ Sum"), r"03_sums\.ipynb: '### Exercise 3\.4.*three dots"),
        (statement("3.4 Sum"), "three dots"),
        (statement("3.4 ●●○ Sum", "About 5 minutes."), r"\*15 minutes\.\*"),
        (statement("3.4 ●●○ Sum", goal=""), "a goal in the metadata"),
    ],
    ids=["four dots", "no dots", "no minutes", "no goal"],
)
def test_a_statement_that_lacks_something_is_refused(tmp_path, cell, message) -> None:
    path = write_chapter(tmp_path / "03_sums.ipynb", HEAD, cell)
    with pytest.raises(ValueError, match=message):
        read_exercises(path)


def test_a_chapter_that_hides_its_reading_minutes_is_refused(tmp_path: Path) -> None:
    path = write_chapter(tmp_path / "a.ipynb", "# 3. Sums\n\n> You add.\n\nLong")
    with pytest.raises(ValueError, match=r"a\.ipynb: want 'Reading 45 minutes"):
        reading_minutes(path)


def test_coded_weights_come_back_as_fractions(tmp_path: Path) -> None:
    coded = np.array([[[[255, 0], [128, 255]]]], dtype=np.uint8)
    np.savez(tmp_path / "view.npz", weights=coded, tokens=np.array(["a", "b"]))
    weights, tokens = course_book.read_npz(tmp_path / "view.npz")
    assert tokens == ["a", "b"]
    np.testing.assert_allclose(weights[0, 0], [[1, 0], [0.25196, 1]], atol=1e-4)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 2), (np.uint8, 3)])
def test_weights_of_another_kind_are_refused(tmp_path: Path, dtype, size) -> None:
    coded = np.zeros((1, 1, size, size), dtype=dtype)
    np.savez(tmp_path / "view.npz", weights=coded, tokens=np.array(["a", "b"]))
    with pytest.raises(ValueError, match=r"view\.npz: want uint8"):
        course_book.read_npz(tmp_path / "view.npz")


def test_the_intro_shows_weights_whose_rows_sum_to_one() -> None:
    weights, tokens = course_book.read_npz(ROOT / "book" / "intro_attention.npz")
    np.testing.assert_allclose(weights.sum(-1), 1, atol=0.03)
    row = weights[3, 1, tokens.index("it")]
    assert tokens[int(row.argmax())] == "ferry" and 0.7 < row.max() < 0.8
    row = weights[1, 3, tokens.index("him")]
    assert tokens[int(row.argmax())] == "painter"


# ------------------------------------------------------------- one small book built

HEAD = "# 3. Sums\n\n> You add.\n\nReading 1 minute · see [next](04_more.ipynb)"
CONF = """
extensions = ["myst_nb", "sphinx_external_toc", "course_book"]
external_toc_path = "_toc.yml"
nb_execution_mode = "off"
html_theme = "basic"
"""
TOC = """
format: jb-book
root: intro
chapters: [{file: 03_sums}, {file: exercises}, {file: syllabus}]
"""
EXERCISES = "# Exercises\n\n```{exercise-list}\n```\n"
SYLLABUS = """# Syllabus

```{chapter-goals}
```

```{syllabus}
1 | 3 | 3.1, 3.3
2 | 3, 4 | all | Then *rest*.
```
"""
INTRO = "# Intro\n\n```{chapter-cards}\n3 | x | y\n4 | More | *Later*.\n```\n"


def code(source: str, *tags: str):
    """A code cell with tags."""
    return new.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of a book with an intro and one chapter, published somewhere."""
    folder = tmp_path_factory.mktemp("book")
    texts = {"conf.py": CONF, "_toc.yml": TOC, "intro.md": INTRO}
    texts |= {"exercises.md": EXERCISES, "syllabus.md": SYLLABUS}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_chapter(
        folder / "03_sums.ipynb",
        HEAD,
        code("import math", "setup"),
        code("#| default_exp sums"),
        code("#| export\ndef add(): ..."),
        new.new_markdown_cell("## Why"),
        statement("3.1 ●○○ Add two", "*29 minutes.* x", "Add what isn't much"),
        statement("3.2 ●●○ Add a < b", "*17 minutes.* x", "Add less"),
        statement("3.3 ●●○ Add all", "*60 minutes.* x", "Add all there is"),
        code('@check("3.1")\ndef add(): ...', "exercise"),
        code('@check("3.1", solution=True)\ndef add(): return 2', "solution"),
        code("lab(add)", "lab"),
    )
    app = Sphinx(
        folder,
        folder,
        folder / "html",
        folder / "trees",
        "html",
        confoverrides={"course_repository": "someone/course"},
        warningiserror=True,
        status=None,
        keep_going=False,
    )
    app.build()
    assert app.statuscode == 0
    html = folder / "html"
    return {path.name: path.read_text("utf-8") for path in html.glob("*.html")}


@pytest.fixture
def chapter(pages: dict[str, str]) -> str:
    """The chapter's page."""
    return pages["03_sums.html"]


def test_marker_lines_are_gone_and_the_badge_is_there(chapter: str) -> None:
    assert "#|" not in chapter and "default_exp" not in chapter
    assert chapter.count("export-badge") == 1
    assert "exported to <code>bertlib/sums.py</code>" in chapter


def test_solution_and_setup_are_folded(chapter: str) -> None:
    assert "<summary>Show a solution to exercise 3.1</summary>" in chapter
    assert "<summary>Setup</summary>" in chapter
    assert chapter.count('<details class="fold') == chapter.count("</details>") == 2


def test_exercise_and_lab_are_labelled(chapter: str) -> None:
    assert "Exercise 3.1: your code goes here" in chapter
    assert "Live lab: runs in Jupyter and Colab" in chapter


def test_chapter_head_is_dressed_once(chapter: str) -> None:
    assert '<span class="eyebrow">Chapter 3 </span>Sums' in chapter
    assert "<title>3 · Sums" in chapter
    assert 'class="chapter-promise"' in chapter
    assert 'class="chapter-minutes"' in chapter


def test_chapter_can_be_marked_as_read(chapter: str, pages: dict[str, str]) -> None:
    assert 'class="read-box" data-chapter="03_sums" hidden' in chapter
    assert "read-box" not in pages["intro.html"]


def test_link_to_a_chapter_still_to_come_is_text(chapter: str) -> None:
    assert ">next<" in chapter and "04_more" not in chapter


def test_places_are_linked_on_notebooks_only(chapter, pages: dict[str, str]) -> None:
    where = places("someone/course", "03_sums.ipynb")
    assert [n for n, url in where.items() if f'"{url}">{n}</a>' not in chapter] == []
    assert "open-in" not in pages["intro.html"]


def test_cards_read_the_chapters_and_mute_the_rest(pages: dict[str, str]) -> None:
    intro = pages["intro.html"]
    assert '<a href="03_sums.html"><span class="card-number">3</span> Sums</a>' in intro
    assert "You add." in intro and "Reading 1 minute · see next" in intro
    assert intro.count("In preparation") == 1
    assert "<em>Later</em>." in intro


# ------------------------------------------------- the pages made of the chapters


def test_exercises_are_listed_with_goal_dots_and_minutes(pages) -> None:
    page = pages["exercises.html"]
    assert page.count("<li data-level=") == 3
    assert "<p>Add what isn’t much</p>" in page
    assert '<span role="img" aria-label="difficulty 1 of 3">●○○</span> 29 min' in page


def test_an_exercise_is_linked_to_its_heading(pages: dict[str, str], chapter) -> None:
    link = 'href="03_sums.html#exercise-3-2-add-a-b">3.2 Add a &lt; b</a>'
    assert link in pages["exercises.html"]
    assert link.replace("3.2 Add a &lt; b", "3.2") in pages["syllabus.html"]
    assert 'id="exercise-3-2-add-a-b"' in chapter


def test_minutes_are_summed_by_chapter_and_in_all(pages: dict[str, str]) -> None:
    page = pages["exercises.html"]
    assert "3 exercises in 1 chapter, 106 minutes in all: 1.8 hours." in page
    assert '3 exercises, 106 minutes. <a href="03_sums.html">' in page


def test_the_filter_says_how_many_there_are_of_each_difficulty(pages) -> None:
    page = pages["exercises.html"]
    small = [part.split("</small>")[0] for part in page.split("<small>")[1:]]
    assert small == ["3", "1", "2", "0"]
    assert page.count(" checked>") == 1


def test_goals_stand_behind_the_name_of_their_chapter(pages: dict[str, str]) -> None:
    page = pages["syllabus.html"]
    assert "<details><summary>3 · Sums: 3 goals</summary>" in page
    assert "<li>Add all there is (<a" in page


def test_hours_are_reading_and_the_exercises_that_a_week_names(pages) -> None:
    page = pages["syllabus.html"]
    hours = [p.split("<")[0] for p in page.split('class="week-hours">')[1:]]
    assert hours == ["1.5 hours", "1.8 hours"]  # (1 + 29 + 60) / 60, (1 + 106) / 60
    assert "In all 3.3 hours: 0.0 hours of reading, 3.2 hours of exercises." in page


def test_a_week_names_its_exercises_and_its_coming_chapters(pages) -> None:
    page = pages["syllabus.html"]
    assert "<p>Exercises 3.1, 3.3</p>" in page and "<p>Exercises 3.1–3.3</p>" in page
    assert "Chapter 4, in preparation" in page
    assert "<p>Then <em>rest</em>.</p>" in page


@pytest.fixture
def sums(tmp_path: Path) -> dict[int, exercise_pages.Chapter]:
    """A chapter with five exercises."""
    cells = [statement(f"3.{n} ●○○ Sum {n}") for n in range(1, 6)]
    path = write_chapter(tmp_path / "03_sums.ipynb", HEAD, *cells)
    return {3: exercise_pages.Chapter(3, "Sums", "a.html", 1, read_exercises(path))}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3.1-3.4", "3.1–3.4"),
        ("3.1, 3.3-3.4", "3.1, 3.3, 3.4"),
        ("all", "3.1–3.5"),
        ("", ""),
    ],
)
def test_a_week_takes_numbers_and_runs_of_them(sums, text, shown) -> None:
    week = syllabus_page.read_week(f"1 | 3 | {text}", sums)
    assert syllabus_page.ranges(week.exercises) == shown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 | 3", r"want 'week \| chapters \| exercises \| remark', got '1 \| 3'"),
        ("1 | three | all", "want 'week"),
        ("1 | 3 | 3.1, 3.9", r"no exercise 3\.9 in this week's chapters"),
        ("1 | 4 | 3.1", r"no exercise 3\.1"),
    ],
    ids=["two parts", "a word", "unknown", "of another chapter"],
)
def test_a_week_that_makes_no_sense_is_refused(sums, line, message) -> None:
    with pytest.raises(ValueError, match=message):
        syllabus_page.read_week(line, sums)


def test_a_plan_with_a_mistake_stops_the_build(tmp_path: Path) -> None:
    toc = "format: jb-book\nroot: intro\n"
    plan = "# Intro\n\n```{syllabus}\n1 | 3 | 3.1\n```\n"
    for name, text in {"conf.py": CONF, "_toc.yml": toc, "intro.md": plan}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", str(tmp_path), str(tmp_path / "o")]
    paths = {**os.environ, "PYTHONPATH": str(ROOT / "book")}
    done = subprocess.run(command, capture_output=True, text=True, env=paths)
    assert done.returncode != 0
    assert "no exercise 3.1 in this week's chapters" in done.stderr
