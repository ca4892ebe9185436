"""The course's own Sphinx extension: what the rendered book adds to a notebook.

- export markers (`#| export`) become a badge that names the module;
- cells tagged `setup` and `solution` are folded, `exercise` and `lab` are labelled;
- a chapter's title gets its number, its end a "read" box that the browser keeps;
- a published notebook says where it runs in the browser;
- two directives for pages written in .md: `attention-view` and `chapter-cards`
  (exercise_pages and syllabus_page have three more);
- what no page loads is left out of the built folder.
"""

import hashlib
import html
import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes  # type: ignore[import-untyped]
from docutils.parsers.rst import directives  # type: ignore[import-untyped]
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent / "tools"
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

from chapter_text import NUMBER, read_head  # noqa: E402
from places import places  # noqa: E402

CHAPTER = re.compile(r"(?:^|/)(\d\d)_(\w+)$")
CAPSTONE = re.compile(r"(?:^|/)capstones/([a-z])_\w+$")
MARKER = re.compile(r"^#\|\s*(\S+)[ \t]*(.*?)\s*$")
CHECK = re.compile(r"@check\(\s*[\"']([\w.]+)[\"']")


# ---------------------------------------------------------------- export markers


def split_markers(source: str) -> tuple[dict[str, str], str]:
    """Take the leading `#| name argument` lines off a cell.

    Returns the markers as {name: argument} and the source without them.
    """
    markers: dict[str, str] = {}
    lines = source.splitlines()
    while lines and (match := MARKER.match(lines[0])):
        markers[match[1].removesuffix(":")] = match[2]
        lines.pop(0)
    return markers, "\n".join(lines).strip("\n")


def module_path(markers: dict[str, str], default: str | None) -> str | None:
    """The file that a cell with these markers is exported to, or None."""
    for name in ("export", "exports", "exporti"):
        if name in markers:
            module = markers[name] or default
            return f"bertlib/{module.replace('.', '/')}.py" if module else None
    return None


# ------------------------------------------------------------------------- cells


class Fold(nodes.General, nodes.Element):
    """A `<details>` element; `summary` is the line that stays visible."""


def visit_fold(self: Any, node: Fold) -> None:
    """Open the element and write its summary."""
    classes = html.escape(" ".join(["fold", *node["classes"]]))
    summary = html.escape(node["summary"])
    self.body.append(f'<details class="{classes}"><summary>{summary}</summary>\n')


def depart_fold(self: Any, node: Fold) -> None:
    """Close the element."""
    self.body.append("</details>\n")


def raw(text: str) -> nodes.raw:
    """A piece of HTML as a document node."""
    return nodes.raw("", text, format="html")


def code_cells(doctree: nodes.document) -> list[nodes.container]:
    """Every code cell of a notebook page, in order."""
    return [
        node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    ]


def source_block(cell: nodes.container) -> nodes.literal_block | None:
    """The block that holds a cell's source."""
    for part in cell.children:
        if (
            isinstance(part, nodes.container)
            and part.get("nb_element") == "cell_code_source"
        ):
            return next(iter(part.findall(nodes.literal_block)), None)
    return None


def set_text(block: nodes.literal_block, text: str) -> None:
    """Replace the source shown in a block (Sphinx highlights `rawsource`)."""
    block.rawsource = text
    block.children.clear()
    block += nodes.Text(text)


def show_exports(doctree: nodes.document) -> None:
    """Hide marker lines; say on each exported cell which module it goes to."""
    default = None
    for cell in code_cells(doctree):
        block = source_block(cell)
        if block is None:
            continue
        markers, source = split_markers(block.astext())
        default = markers.get("default_exp", default)
        if not markers:
            continue
        if not source and len(cell.children) == 1:
            cell.parent.remove(cell)
            continue
        set_text(block, source)
        if path := module_path(markers, default):
            cell["classes"].append("is-exported")
            badge = f"exported to <code>{html.escape(path)}</code>"
            cell.insert(0, raw(f'<p class="cell-label export-badge">{badge}</p>'))


def exercise_number(cell: nodes.container) -> str:
    """' 3.2' for a cell with `@check("3.2")`, else nothing."""
    block = source_block(cell)
    match = CHECK.search(block.astext()) if block is not None else None
    return f" {match[1]}" if match else ""


def fold(cell: nodes.container, summary: str, kind: str) -> None:
    """Put a whole cell, source and output, behind a summary line."""
    folded = Fold(summary=summary, classes=[f"fold-{kind}"])
    cell.replace_self(folded)
    folded += cell


def show_tags(doctree: nodes.document) -> None:
    """Fold and label cells by their tag."""
    for cell in code_cells(doctree):
        tags = {name.removeprefix("tag_") for name in cell["classes"]}
        number = exercise_number(cell)
        if "exercise" in tags:
            label = f"Exercise{number}: your code goes here"
            cell.insert(0, raw(f'<p class="cell-label">{label}</p>'))
        if "lab" in tags:
            label = "Live lab: runs in Jupyter and Colab"
            cell.insert(0, raw(f'<p class="cell-label">{label}</p>'))
        if "solution" in tags:
            of = f" to exercise{number}" if number else ""
            fold(cell, f"Show a solution{of}", "solution")
        elif "setup" in tags:
            fold(cell, "Setup", "setup")


# ---------------------------------------------------------------------- chapters


def chapter_number(docname: str) -> int | None:
    """3 for `chapters/03_attention`; None for a page that is no chapter."""
    match = CHAPTER.search(docname)
    return int(match[1]) if match else None


def capstone_letter(docname: str) -> str | None:
    """A for `capstones/a_encoder`; None for a page that is no capstone."""
    match = CAPSTONE.search(docname)
    return match[1].upper() if match else None


def mark_head(doctree: nodes.document) -> None:
    """Name the promise and the minutes below a chapter's title for the stylesheet."""
    section = next(iter(doctree.findall(nodes.section)), None)
    if section is None:
        return
    for node, kind, name in zip(
        section.children[1:3],
        (nodes.block_quote, nodes.paragraph),
        ("chapter-promise", "chapter-minutes"),
        strict=False,
    ):
        if isinstance(node, kind):
            node["classes"].append(name)


def add_read_box(doctree: nodes.document, docname: str) -> None:
    """The box at a chapter's end; course.js shows it where storage works."""
    box = (
        f'<div class="read-box" data-chapter="{html.escape(docname)}" hidden>'
        '<label><input type="checkbox"> I have read this chapter</label>'
        "<span>Kept in this browser only.</span></div>"
    )
    section = next(iter(doctree.findall(nodes.section)), doctree)
    section += raw(box)


def shape_page(app: Sphinx, doctree: nodes.document) -> None:
    """On `doctree-read`: everything that a notebook page needs."""
    docname = app.env.docname
    show_exports(doctree)
    show_tags(doctree)
    if chapter_number(docname) is not None:
        mark_head(doctree)
        add_read_box(doctree, docname)
    elif capstone_letter(docname) is not None:
        mark_head(doctree)


def number_titles(app: Sphinx, doctree: nodes.document) -> None:
    """On `doctree-read`, after Sphinx's own: '3 · Attention' in every list."""
    docname = app.env.docname
    number = chapter_number(docname) or capstone_letter(docname)
    if number is None:
        return
    set_title(next(iter(doctree.findall(nodes.title)), None), "")
    set_title(app.env.titles[docname], f"{number} · ")
    entry = next(iter(app.env.tocs[docname].findall(nodes.reference)), None)
    set_title(entry, f"{number} · ")


def set_title(title: nodes.Element | None, prefix: str) -> None:
    """Put `prefix` in the place of the number that a title begins with."""
    if title is None:
        return
    if title.children and isinstance(title[0], nodes.Text):
        title[0] = nodes.Text(NUMBER.sub("", title[0].astext()))
    title.insert(0, nodes.Text(prefix))


def add_head(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """On `doctree-resolved`: 'Chapter 3' or 'Capstone A' over the title."""
    number, letter = chapter_number(docname), capstone_letter(docname)
    title = next(iter(doctree.findall(nodes.title)), None)
    if (number is None and letter is None) or title is None:
        return
    text = f"Chapter {number} " if letter is None else f"Capstone {letter} "
    title.insert(0, nodes.inline("", text, classes=["eyebrow"]))


def add_places(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """On `doctree-resolved`: under a notebook's title, where it runs.

    Only in a book that is published: without a repository there is no address.
    """
    title = next(iter(doctree.findall(nodes.title)), None)
    notebook = Path(app.env.doc2path(docname)).suffix == ".ipynb"
    if not app.config.course_repository or not notebook or title is None:
        return
    where = places(app.config.course_repository, f"{docname}.ipynb")
    links = [f'<a href="{html.escape(url)}">{name}</a>' for name, url in where.items()]
    line = raw(f'<p class="open-in">Open in {" · ".join(links)}</p>')
    title.parent.insert(title.parent.index(title) + 1, line)


def unlink_coming(app: Sphinx, doctree: nodes.document) -> None:
    """On `doctree-read`: a link to a chapter still to come becomes plain text.

    Only while no chapter of that number stands in the table of contents: a link
    that misspells the name of one that does is still an error.
    """
    for link in [*doctree.findall(addnodes.pending_xref)]:
        target = link.get("reftarget", "").split("#")[0]
        number = chapter_number(target.removesuffix(".ipynb"))
        if number is not None and number not in chapters_ready(app):
            link.replace_self(link.children)


def chapters_ready(app: Sphinx) -> dict[int, str]:
    """The chapters in the table of contents, {3: "chapters/03_attention"}."""
    numbers = ((chapter_number(name), name) for name in app.config.course_contents)
    return {number: name for number, name in numbers if number is not None}


def capstones_ready(app: Sphinx) -> dict[str, str]:
    """The capstones in the table of contents, {"A": "capstones/a_encoder"}."""
    letters = ((capstone_letter(name), name) for name in app.config.course_contents)
    return {letter: name for letter, name in letters if letter is not None}


def note_contents(app: Sphinx, config: Config) -> None:
    """On `config-inited`: when the contents change, every page is read again."""
    config.course_contents = sorted(getattr(config, "external_site_map", []))


# -------------------------------------------------------------------- directives


def read_npz(path: Path) -> tuple[np.ndarray, list[str]]:
    """Attention from a committed file: `weights` uint8, square-root coded; `tokens`.

    Returns weights (layers, heads, T, T) as float32 between 0 and 1, and T tokens.
    """
    with np.load(path, allow_pickle=False) as file:
        coded, tokens = file["weights"], [str(token) for token in file["tokens"]]
    if coded.dtype != np.uint8 or coded.shape[2:] != (len(tokens),) * 2:
        message = f"{path.name}: want uint8 (layers, heads, T, T) and T tokens"
        raise ValueError(f"{message}, got {coded.dtype} {coded.shape}")
    return (coded.astype(np.float32) / 255) ** 2, tokens


class AttentionView(SphinxDirective):
    """```{attention-view} file.npz```: the interactive view, inlined at build time.

    Options are passed on to `bertlib.view.attention_view`; the path is relative
    to the folder `book/`.
    """

    required_arguments = 1
    option_spec = {  # noqa: RUF012 (docutils reads it from the class)
        "layer": directives.nonnegative_int,
        "head": directives.nonnegative_int,
        "predict": directives.nonnegative_int,
        "title": directives.unchanged,
        "alt": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Read the file, build the view, return its HTML."""
        root = Path(self.env.app.confdir)
        path = root / "book" / self.arguments[0]
        self.env.note_dependency(str(path))
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        from bertlib.view import attention_view

        for module in sorted((root / "bertlib" / "view").iterdir()):
            self.env.note_dependency(str(module))
        known = inspect.signature(attention_view).parameters
        if unknown := set(self.options) - set(known):
            raise self.error(f"attention_view has no option {sorted(unknown)}")
        view = attention_view(*read_npz(path), **self.options)
        return [raw(f'<div class="course-view">{view._repr_html_()}</div>')]


def inline_markdown(text: str) -> str:
    """The little Markdown a promise may hold, as HTML; of a link, the text."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", html.escape(text))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


class ChapterCards(SphinxDirective):
    """The chapters as cards. Content: a line `06 | Title | promise` for each.

    A chapter that stands in the table of contents speaks for itself (its title,
    promise and minutes are read from its notebook); the others are in preparation.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        """One card for each line."""
        ready = chapters_ready(self.env.app)
        items = []
        for line in self.content:
            if not line.strip():
                continue
            number, title, promise = (part.strip() for part in line.split("|"))
            docname = ready.get(int(number))
            if docname:
                items.append(self.card(int(number), docname))
            else:
                items.append(muted_card(int(number), title, promise))
        return [raw(f'<ol class="chapter-cards">{"".join(items)}</ol>')]

    def card(self, number: int, docname: str) -> str:
        """The card of a chapter that is there."""
        path = Path(self.env.srcdir) / f"{docname}.ipynb"
        self.env.note_dependency(str(path))
        title, promise, minutes = (inline_markdown(text) for text in read_head(path))
        url = self.env.app.builder.get_relative_uri(self.env.docname, docname)
        return (
            f'<li class="chapter-card" data-chapter="{html.escape(docname)}">'
            f'<h3><a href="{html.escape(url)}">{card_number(number)}{title}</a></h3>'
            f'<p>{promise}</p><p class="card-minutes">{minutes}</p></li>'
        )


def card_number(number: int) -> str:
    """The number that stands over a card's title."""
    return f'<span class="card-number">{number}</span> '


def muted_card(number: int, title: str, promise: str) -> str:
    """The card of a chapter still to come."""
    return (
        f'<li class="chapter-card is-muted"><h3>{card_number(number)}'
        f"{inline_markdown(title)}</h3><p>{inline_markdown(promise)}</p>"
        '<p class="card-minutes">In preparation</p></li>'
    )


# ------------------------------------------------------------ the built folder

SCRIPT = r'\s*<script[^>]* src="[^"]*{}[^"]*"></script>'
SIDEBAR = '<div id="pst-primary-sidebar"'  # to be a landmark, as its logo needs one
LANDMARK = 'role="region" aria-label="Book"'
SEARCH_SCRIPTS = ("searchtools.js", "language_data.js", "searchindex.js")
UNUSED = (
    "scripts/fontawesome.js*",
    "scripts/*.map",
    "styles/*.map",
    "vendor",
    "locales",
    "images",
    "*webpack-macros.html",
)
MATHJAX = ("tex-chtml.js", "input/tex/extensions/", "output/chtml/fonts/")


def tidy_page(page: str, name: str) -> str:
    """Take off a finished page what the theme adds and this book does not use.

    The theme's icon script weighs more than all the rest of a page (course.css
    draws the dozen icons instead); the search index is needed on one page only.
    """
    unused = ["fontawesome.js"]
    if name != "search.html":
        unused += SEARCH_SCRIPTS
    if 'class="math' not in page:
        unused.append("mathjax/tex-chtml.js")
    for script in unused:
        page = re.sub(SCRIPT.format(re.escape(script)), "", page)
    return page.replace(f"{SIDEBAR} class", f"{SIDEBAR} {LANDMARK} class", 1)


def tidy_folder(app: Sphinx, error: Exception | None) -> None:
    """On `build-finished`: tidy every page and drop the files that none loads."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for path in out.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        tidied = tidy_page(page, path.name)
        if tidied != page:
            path.write_text(tidied, encoding="utf-8")
    drop_unused(out / "_static")
    (out / ".nojekyll").touch()


def drop_unused(static: Path) -> None:
    """Delete what no page loads: icon fonts, source maps, most of MathJax."""
    for pattern in UNUSED:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [*(static / "mathjax").rglob("*")]:
        name = path.relative_to(static / "mathjax").as_posix()
        if path.is_file() and not name.startswith(MATHJAX):
            path.unlink()


def digest(*paths: Path) -> str:
    """A hash over files, and over all files of folders."""
    every = [p for path in paths for p in (path, *sorted(path.rglob("*")))]
    files = [path.read_bytes() for path in every if path.is_file()]
    return hashlib.sha256(b"".join(files)).hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this once."""
    repository = os.environ.get("BOOK_REPOSITORY", "")
    app.add_config_value("course_repository", repository, "env", [str])
    # Sphinx compares these with the last build's: new code reads every page
    # again, a new stylesheet writes every page again.
    shared = [TOOLS / "chapter_text.py", TOOLS / "places.py"]
    code = digest(*sorted(HERE.glob("*.py")), *shared)
    app.add_config_value("course_code", code, "env", [str])
    app.add_config_value("course_assets", digest(HERE / "assets"), "html", [str])
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.add_directive("attention-view", AttentionView)
    app.add_directive("chapter-cards", ChapterCards)
    app.setup_extension("exercise_pages")
    app.setup_extension("syllabus_page")
    app.add_config_value("course_contents", [], "env", [list])
    app.connect("config-inited", note_contents, priority=900)
    app.connect("doctree-read", shape_page)
    app.connect("doctree-read", unlink_coming)
    app.connect("doctree-read", number_titles, priority=900)
    app.connect("doctree-resolved", add_head)
    app.connect("doctree-resolved", add_places)
    app.connect("build-finished", tidy_folder, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
