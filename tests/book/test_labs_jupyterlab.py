"""The live labs in JupyterLab, in a real browser, with ipywidgets 8 and 7.7."""

import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, TimeoutError, expect

from tests.book.lab_server import ROOT, jupyterlab, older_python
from tests.book.lab_source import lab_source

CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
HERE = Path(__file__).parent
SLIDER = ".noUi-handle, .ui-slider-handle"  # of ipywidgets 8 and 7
CONTROL = f":is({SLIDER}, select, input[type=text])"
# What a lab shows: which attention view, which figure, or which text.
SHOWN = ".widget-interact .jp-OutputArea-output"
PICTURE = f"""cell => [...cell.querySelectorAll("{SHOWN}")].map(
    shown => shown.querySelector("[data-attn]")?.dataset.attn
        ?? shown.querySelector("img")?.src ?? shown.innerText).join("\\n")"""
# The least height of the cell in any frame, until somebody asks for it.
WATCH = """cell => { window.watching = true; window.lowest = Infinity;
    const look = () => { if (!window.watching) return;
        window.lowest = Math.min(window.lowest, cell.getBoundingClientRect().height);
        requestAnimationFrame(look); }; look(); }"""
LOWEST = "window.watching = false; window.lowest"
CUT = """cell => [...cell.querySelectorAll(".widget-label")]
    .filter(label => label.scrollWidth > label.clientWidth)
    .map(label => label.innerText)"""


@dataclass
class Seen:
    """What a reader sees, and what goes wrong, over all labs."""

    controls: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)
    jumps: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    moves: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module", params=["8", "7.7"], ids="ipywidgets {}".format)
def seen(
    request: pytest.FixtureRequest,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Seen:
    """All labs in one notebook, run and moved, each control in turn."""
    folder = tmp_path_factory.mktemp("labs")
    work = write_labs(folder / "work")
    is_new = request.param == "8"
    python = Path(sys.executable) if is_new else older_python(folder / "older")
    seen = Seen()
    with jupyterlab(python, folder) as address, browser.new_page() as page:
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.on("pageerror", lambda error: seen.logged.append(str(error)))
        page.on("console", lambda m: m.type == "error" and seen.logged.append(m.text))
        page.goto(address.format(file="labs.ipynb"))
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        run_when_ready(cells.nth(0))
        for number, chapter in enumerate(CHAPTERS, 1):
            use(chapter.stem, cells.nth(number), seen)
        run(cells.nth(len(CHAPTERS) + 1))
        expect.set_options(timeout=None)
    seen.moves = json.loads((work / "moves.json").read_text(encoding="utf-8"))
    return seen


def write_labs(work: Path) -> Path:
    """A notebook with each chapter's lab in a cell, and a cell that moves them all."""
    work.mkdir()
    sources = ["%matplotlib inline"]
    for number, chapter in enumerate(CHAPTERS, 1):
        program = work / f"lab_{number}.py"
        program.write_text(lab_source(chapter), encoding="utf-8")
        sources.append(f"import {program.stem}")
    shutil.copy(HERE / "lab_moves.py", work)
    cells = [nbformat.v4.new_code_cell(s) for s in [*sources, "import lab_moves"]]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, work / "labs.ipynb")
    return work


def run(cell: Locator) -> None:
    """Run a cell as a reader does, and wait until it has run."""
    cell.locator("textarea, .cm-content").press("Shift+Enter")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))


def run_when_ready(cell: Locator) -> None:
    """Run the first cell. A page that has yet to meet its kernel does nothing."""
    for _ in range(60):
        cell.locator("textarea, .cm-content").press("Shift+Enter")
        cell.page.wait_for_timeout(1000)
        if "[ ]" not in cell.locator(".jp-InputPrompt").inner_text():
            break
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))


def use(name: str, cell: Locator, seen: Seen) -> None:
    """Run a lab, and move each of its controls by the keyboard."""
    run(cell)
    if not changes(cell, ""):
        seen.broken.append(f"{name}: nothing is shown")
    seen.pictures[name] = cell.locator("img:visible, .attn-view").count()
    broken = cell.locator("[data-mime-type$=error], [data-mime-type$=stderr]")
    seen.broken += [f"{name}: {text}" for text in broken.all_inner_texts()]
    seen.cut += cell.evaluate(CUT)
    controls = cell.locator(f".widget-inline-hbox {CONTROL}")
    seen.controls[name] = controls.count()
    for at, control in enumerate(controls.all()):
        before, height = cell.evaluate(PICTURE), height_of(cell)
        cell.evaluate(WATCH)
        nudge(control)
        if not changes(cell, before):
            seen.unmoved.append(f"{name}: control {at}")
        cell.page.wait_for_timeout(100)  # a picture may take a frame or two
        lowest = cell.page.evaluate(LOWEST)
        if lowest < 0.95 * min(height, height_of(cell)):
            seen.jumps.append(f"{name}: {height:.0f} to {lowest:.0f}")


def nudge(control: Locator) -> None:
    """Move a slider, a menu or a text on from where it stands."""
    kind = control.evaluate("control => control.localName")
    if kind == "select":  # JupyterLab keeps the arrow keys to itself
        control.select_option(index=1)
    else:
        control.press("x" if kind == "input" else "ArrowRight")


def changes(cell: Locator, before: str) -> bool:
    """Whether the lab comes to show something else."""
    code = f"([cell, before]) => ![before, ''].includes(({PICTURE})(cell))"
    try:
        arguments = [cell.element_handle(), before]
        cell.page.wait_for_function(code, arg=arguments, polling=50, timeout=30_000)
    except TimeoutError:
        return False
    return True


def height_of(cell: Locator) -> float:
    return float(cell.evaluate("cell => cell.getBoundingClientRect().height"))


def test_the_labs_run_with_the_ipywidgets_that_is_meant(seen, request):
    assert seen.moves["version"].startswith(f"{request.node.callspec.params['seen']}.")


def test_every_lab_starts_without_an_error(seen):
    assert seen.broken == []


def test_every_lab_has_its_controls(seen):
    assert [name for name, count in seen.controls.items() if not count] == []
    assert len(seen.controls) == len(CHAPTERS)


def test_the_name_of_every_control_can_be_read(seen):
    assert seen.cut == []


def test_a_figure_is_shown_once(seen):
    assert [name for name, count in seen.pictures.items() if count > 1] == []


def test_a_moved_control_changes_the_picture(seen):
    assert seen.unmoved == []


def test_the_page_keeps_its_height_while_a_control_moves(seen):
    assert seen.jumps == []


def test_the_page_logs_no_error(seen):
    """JupyterLab asks for a subshell of its own, and says so where a page is left
    before the reply: that is how fast this test turns pages, no error of the course."""
    left = "Canceled future for create_subshell_request"
    assert [text for text in seen.logged if left not in text] == []


def test_no_place_of_any_control_ends_in_an_error_or_a_warning(seen):
    wrong = {name: lab["wrong"] for name, lab in seen.moves["labs"].items()}
    assert wrong == {f"lab_{n}": [] for n in range(1, len(CHAPTERS) + 1)}


def test_a_lab_draws_within_a_second(seen):
    """Or its picture would lag behind the hand: it would need continuous_update=False.
    Seconds of the processor, so that it does not matter what else the machine does."""
    slowest = {name: lab["slowest"] for name, lab in seen.moves["labs"].items()}
    assert {name: s for name, s in slowest.items() if s > 1} == {}
