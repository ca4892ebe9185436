"""The book's Sphinx extension: small functions, then one small book built whole."""

import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))

import course_book  # noqa: E402

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


def test_colab_opens_the_stamped_notebook_of_the_publishing_repository() -> None:
    url = course_book.colab_url("someone/course", "chapters/03_attention")
    assert url.endswith("/someone/course/blob/gh-pages/notebooks/03_attention.ipynb")


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
TOC = "format: jb-book\nroot: intro\nchapters:\n- file: 03_sums\n"
INTRO = "# Intro\n\n```{chapter-cards}\n3 | x | y\n4 | More | *Later*.\n```\n"


def code(source: str, *tags: str):
    """A code cell with tags."""
    return new.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of a book with an intro and one chapter, published somewhere."""
    folder = tmp_path_factory.mktemp("book")
    for name, text in {"conf.py": CONF, "_toc.yml": TOC, "intro.md": INTRO}.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_chapter(
        folder / "03_sums.ipynb",
        HEAD,
        code("import math", "setup"),
        code("#| default_exp sums"),
        code("#| export\ndef add(): ..."),
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


def test_colab_link_stands_in_chapters_only(chapter, pages: dict[str, str]) -> None:
    assert course_book.colab_url("someone/course", "03_sums") in chapter
    assert "colab.research" not in pages["intro.html"]


def test_cards_read_the_chapters_and_mute_the_rest(pages: dict[str, str]) -> None:
    intro = pages["intro.html"]
    assert '<a href="03_sums.html"><span class="card-number">3</span> Sums</a>' in intro
    assert "You add." in intro and "Reading 1 minute · see next" in intro
    assert intro.count("In preparation") == 1
    assert "<em>Later</em>." in intro
