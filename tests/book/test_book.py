"""The built book in a browser: what must hold on every page.

BOOK_HTML may name a book that is built already; otherwise `_build/html` is used,
and built first if a source is newer.
"""

import functools
import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
SOURCES = ("_config.yml", "_toc.yml", "chapters", "capstones", "book", "bertlib/view")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
# Every rule, but no report on what is fine, and no second load of the stylesheets.
AXE = {"resultTypes": ["violations"], "preload": False}
OPEN_FOLDS = "document.querySelectorAll('details').forEach(d => { d.open = true })"
# A page has up to 16,000 coloured words of code in ten looks; axe takes a millisecond
# for each. One of each look stays, the others become plain text.
ONE_OF_EACH_LOOK = """() => {
  const clear = 'rgba(0, 0, 0, 0)', seen = new Set(), again = [];
  for (const word of document.querySelectorAll('pre span')) {
    const look = getComputedStyle(word);
    let behind = word;
    while (getComputedStyle(behind).backgroundColor === clear && behind.parentElement)
      behind = behind.parentElement;
    const ground = getComputedStyle(behind).backgroundColor;
    const key = [look.color, look.fontSize, look.fontWeight, ground].join();
    if (seen.has(key)) again.push(word);
    seen.add(key);
  }
  for (const word of again) word.replaceWith(...word.childNodes);
  for (const block of document.querySelectorAll('pre')) block.normalize();
}"""


def toc_pages() -> list[str]:
    """The pages of the table of contents, in reading order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [toc["root"], *files]


PAGES = toc_pages()
CHAPTERS = [page for page in PAGES if re.search(r"/\d\d_", page)]
EVERY_PAGE = [*PAGES, "search"]


# ---------------------------------------------------------------------- fixtures


def newest(*paths: Path) -> float:
    """When the youngest of these files, or of the files in these folders, changed."""
    files = [f for path in paths for f in [path, *path.rglob("*")] if f.is_file()]
    return max(f.stat().st_mtime for f in files if "__pycache__" not in f.parts)


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built book, no older than its sources."""
    if folder := os.environ.get("BOOK_HTML"):
        return Path(folder)
    built = ROOT / "_build" / "html"
    stamp = built / ".nojekyll"
    sources = newest(*(ROOT / name for name in SOURCES))
    if not stamp.exists() or stamp.stat().st_mtime < sources:
        command = Path(sys.executable).with_name("jupyter-book")
        flags = ["build", "-W", "-n", "--keep-going", "."]
        subprocess.run([command, *flags], cwd=ROOT, check=True)
    return built


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and keeps silent."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def site(book: Path) -> Iterator[str]:
    """The address of the book on loopback, with a slash at the end."""
    handler = functools.partial(Quiet, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@dataclass
class Visit:
    """What one reader saw on one page."""

    page: str
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    urls: set[str] = field(default_factory=set)
    axe: list[str] = field(default_factory=list)
    overflow: int = 0
    sticking_out: list[str] = field(default_factory=list)
    images_without_alt: list[str] = field(default_factory=list)


def settle(page: Page) -> None:
    """Wait until scripts, fonts and formulas are done."""
    page.wait_for_load_state("networkidle")
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.evaluate("() => document.fonts.ready.then(() => true)")


def axe_violations(page: Page) -> list[str]:
    """What axe finds with every fold open, one line for each element."""
    page.evaluate(OPEN_FOLDS)
    page.evaluate(ONE_OF_EACH_LOOK)
    page.wait_for_timeout(150)
    found = Axe().run(page, options=AXE).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]}"
        for rule in found
        for node in rule["nodes"]
    ]


STICKING_OUT = """() => [...document.querySelectorAll('body *')].filter(e => {
  for (let a = e.parentElement; a && a !== document.body; a = a.parentElement)
    if (getComputedStyle(a).overflowX !== 'visible') return false;
  const box = e.getBoundingClientRect();
  return box.right > innerWidth + 1 && box.left < innerWidth && box.width > 0;
}).slice(0, 5).map(e => e.outerHTML.slice(0, 100))"""


def look_closely(page: Page, seen: Visit) -> None:
    """Run axe, then fold the window to a phone's width and measure."""
    seen.axe = axe_violations(page)
    seen.images_without_alt = page.eval_on_selector_all(
        "article img", "all => all.filter(i => !i.alt).map(i => i.outerHTML)"
    )
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(400)
    width = "document.documentElement.scrollWidth - window.innerWidth"
    seen.overflow = page.evaluate(width)
    seen.sticking_out = page.evaluate(STICKING_OUT)


@pytest.fixture(scope="session")
def visit(browser: Browser, site: str):
    """Visit a page with an empty cache, in light or dark; each once in a session."""

    @functools.cache
    def go(name: str, scheme: str) -> Visit:
        seen = Visit(name)
        context = browser.new_context(viewport=DESK, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda m: console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: urls.add(request.url))
        console: list[str] = []
        urls: set[str] = set()
        page.goto(f"{site}{name}.html")
        settle(page)
        seen.console, seen.urls = list(console), set(urls)
        assert page.locator("html").get_attribute("data-theme") == scheme
        look_closely(page, seen)
        context.close()
        return seen

    return go


# ------------------------------------------------------------------- every page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_logs_no_error(visit, name: str, scheme: str) -> None:
    seen = visit(name, scheme)
    bad = [line for line in seen.console if line.startswith(("error", "warning"))]
    assert seen.errors == [] and bad == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_asks_no_other_host(visit, site: str, name: str) -> None:
    urls = visit(name, "light").urls
    assert site + f"{name}.html" in urls
    assert [u for u in urls if not u.startswith((site, "data:", "blob:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_has_no_axe_violation(visit, name: str, scheme: str) -> None:
    assert visit(name, scheme).axe == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_fits_a_phone(visit, name: str) -> None:
    seen = visit(name, "light")
    assert (seen.overflow, seen.sticking_out) == (0, [])


@pytest.mark.parametrize("name", PAGES)
def test_every_image_says_what_is_to_be_seen(visit, name: str) -> None:
    assert visit(name, "light").images_without_alt == []


@pytest.mark.parametrize("name", PAGES)
def test_page_is_small(book: Path, name: str) -> None:
    assert (book / f"{name}.html").stat().st_size < 700_000


@pytest.mark.parametrize("name", PAGES)
def test_first_visit_is_under_1500_kilobytes(visit, site, book, name: str) -> None:
    files = [
        book / unquote(urlsplit(url).path.lstrip("/"))
        for url in visit(name, "light").urls
        if url.startswith(site)
    ]
    sizes = {path: len(gzip.compress(path.read_bytes())) for path in set(files)}
    largest = Counter({path.name: size for path, size in sizes.items()})
    assert len(sizes) > 5
    assert sum(sizes.values()) < 1_500_000, largest.most_common(5)


# ------------------------------------------------------------------------- links


class Links(HTMLParser):
    """Collects the ids and the addresses of one page."""

    def __init__(self, page: str) -> None:
        """Parse the text of a page."""
        super().__init__()
        self.ids: set[str] = set()
        self.urls: list[str] = []
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Note ids, links, and what the page loads by itself."""
        given = dict(attrs)
        self.ids.update(filter(None, [given.get("id"), given.get("name")]))
        if tag == "a" and given.get("href"):
            self.urls.append(given["href"])
        for key in ("src", "href"):
            if tag != "a" and given.get(key):
                self.loaded.append(given[key])


@pytest.fixture(scope="session")
def links(book: Path) -> dict[str, Links]:
    """The links of every built page, by its path."""
    return {
        path.relative_to(book).as_posix(): Links(path.read_text(encoding="utf-8"))
        for path in book.rglob("*.html")
        if "_static" not in path.parts
    }


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_internal_link_works(book: Path, links, name: str) -> None:
    here = f"{name}.html"
    dead = []
    for url in links[here].urls + links[here].loaded:
        if urlsplit(url).scheme:
            continue
        target, anchor = urldefrag(urljoin(here, url.split("?")[0]))
        known = links[target].ids if target in links else {anchor}
        if not (book / unquote(target)).is_file() or unquote(anchor) not in known | {
            ""
        }:
            dead.append(url)
    assert dead == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_names_no_other_host_for_what_it_loads(links, name: str) -> None:
    loaded = links[f"{name}.html"].loaded
    assert loaded
    assert [u for u in loaded if urlsplit(u).netloc] == []


def test_first_address_leads_to_the_intro(book: Path) -> None:
    assert "chapters/intro.html" in (book / "index.html").read_text(encoding="utf-8")
    assert (book / ".nojekyll").exists()


# ------------------------------------------------------------------------ search


def prose(book: Path, name: str) -> set[str]:
    """The long words in the paragraphs of a page."""
    page = (book / f"{name}.html").read_text(encoding="utf-8")
    article = page[page.index("<article") : page.index("</article")]
    text = " ".join(re.findall(r"<p>(.*?)</p>", article, re.DOTALL))
    text = re.sub(r"<code.*?</code>|<span.*?</span>", " ", text, flags=re.DOTALL)
    words = re.findall(r"\b[a-z]{7,}\b", re.sub(r"<[^>]+>", " ", text))
    return set(words)


@pytest.mark.parametrize("name", PAGES)
def test_search_finds_a_word_of_the_page(browser, site, book, name: str) -> None:
    seen = Counter(word for page in PAGES for word in prose(book, page))
    word = min(prose(book, name), key=lambda word: (seen[word], -len(word), word))
    page = browser.new_page()
    page.goto(f"{site}search.html?q={word}")
    page.locator(f"#search-results li a[href*='{name}.html']").first.wait_for()
    page.close()


# --------------------------------------------------------- folds, progress, paper


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_are_folded_and_open_on_a_click(browser, site, name: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}{name}.html")
    folds = page.locator("details.fold-solution")
    assert folds.count() > 0
    assert page.locator("details.fold-solution[open]").count() == 0
    source = folds.first.locator(".cell_input")
    assert not source.is_visible()
    folds.first.locator("summary").click()
    assert source.is_visible()
    page.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_markers_are_hidden_and_badges_shown(browser, site, name: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}{name}.html")
    assert not re.search(r"^#\|", page.locator("article").text_content(), re.M)
    badges = page.locator(".export-badge").all_text_contents()
    assert badges and all(b.startswith("exported to bertlib/") for b in badges)
    page.close()


@pytest.mark.parametrize("where", ["http", "file"])
def test_progress_is_kept_and_shown(browser, site, book, where: str) -> None:
    base = site if where == "http" else f"{book.resolve().as_uri()}/"
    name = CHAPTERS[0]
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.goto(f"{base}{name}.html")
    box = page.get_by_label("I have read this chapter")
    box.check()
    page.reload()
    assert box.is_checked()
    assert page.locator(".bd-links .read-mark").count() == 1
    page.goto(f"{base}{PAGES[0]}.html")
    assert page.locator(".chapter-card .read-mark").count() == 1
    assert page.locator("#progress-line").inner_text().startswith("You have read 1 of")
    page.goto(f"{base}{name}.html")
    box.uncheck()
    assert page.locator(".bd-links .read-mark").count() == 0
    stored = page.evaluate("localStorage.getItem('bert-from-scratch:read')")
    assert json.loads(stored) == []
    context.close()


def test_broken_progress_does_no_harm(browser, site) -> None:
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    context.add_init_script("localStorage.setItem('bert-from-scratch:read', '{oops')")
    page.goto(f"{site}{CHAPTERS[0]}.html")
    settle(page)
    assert errors == []
    assert page.locator(".bd-links .read-mark").count() == 0
    context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_paper_has_no_furniture_and_no_closed_fold(browser, site, name: str) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site}{name}.html")
    settle(page)
    page.emulate_media(media="print", color_scheme="dark")
    for furniture in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".read-box"):
        assert not page.locator(furniture).first.is_visible()
    colours = page.evaluate(
        """() => ['body', '.bd-article pre'].map(s => {
            const style = getComputedStyle(document.querySelector(s));
            return s === 'body' ? style.backgroundColor : style.color; })"""
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('article details')].filter(
            // A view that asks for a guess keeps a fold for pages without scripts.
            d => !d.closest('.attn-view')
                && d.offsetHeight <= d.firstElementChild.offsetHeight + 4
        ).map(d => d.innerText.slice(0, 60))"""
    )
    assert hidden == []
    context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_and_tables_scroll_in_their_own_box(browser, site, name: str) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(f"{site}{name}.html")
    page.evaluate(OPEN_FOLDS)
    settle(page)
    wide = page.eval_on_selector_all(
        ".bd-article :is(pre, .pst-scrollable-table-container)",
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => [getComputedStyle(e).overflowX, e.tabIndex])",
    )
    assert all(box == ["auto", 0] for box in wide), wide
    size = page.locator(".cell_input pre").first.evaluate(
        "e => parseFloat(getComputedStyle(e).fontSize)"
    )
    assert 12.5 <= size <= 14
    page.close()


# ------------------------------------------------------- the pages about exercises

CONTENTS = ROOT / "bertlib" / "exercises" / "contents.json"


@pytest.fixture(scope="module")
def contents() -> list[dict]:
    """The exercises, as the export lists them."""
    return json.loads(CONTENTS.read_text(encoding="utf-8"))


def test_every_exercise_is_listed_with_its_goal(browser, site, contents) -> None:
    page = browser.new_page()
    page.goto(f"{site}chapters/exercises.html")
    shown = page.locator(".exercise-list > li").all_inner_texts()
    wanted = [
        [f"{e['number']} {e['title']}", e["goal"], f"{e['minutes']} minutes"]
        for e in contents
    ]
    assert len(shown) == len(wanted)
    for text, parts in zip(shown, wanted, strict=True):
        plain = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
        assert all(part in plain for part in parts), text
    page.close()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_filter_needs_no_script(browser, site, contents, level: int) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(f"{site}chapters/exercises.html")
    items = page.locator(".exercise-list > li")
    assert items.filter(visible=True).count() == len(contents)
    page.get_by_role("radio", name=f"difficulty {level} of 3").check()
    wanted = [e for e in contents if e["difficulty"] == level]
    assert items.filter(visible=True).count() == len(wanted)
    chapters = page.locator("article section section > h2").filter(visible=True)
    assert chapters.count() == len({e["chapter"] for e in wanted})
    context.close()


def test_the_longest_plan_has_every_exercise_in_it(browser, site, contents) -> None:
    page = browser.new_page()
    page.goto(f"{site}chapters/syllabus.html")
    plan = page.locator(".week-plan").last.inner_text()
    ends: dict[str, list[str]] = {}
    for exercise in contents:
        if exercise["number"][0].isdigit():  # capstones come on top
            ends.setdefault(exercise["chapter"], []).append(exercise["number"])
    assert [n for n in ends.values() if f"{n[0]}–{n[-1]}" not in plan] == []
    page.close()
