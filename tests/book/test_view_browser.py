"""The attention view in a real browser, from plain files, as a reader meets it."""

import csv
import html
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect

from bertlib.view import attention_view

TOKENS = ["[CLS]", "the", "cat", "sleep", "##s", "[SEP]", "it", "pur", "##rs", "[SEP]"]
SIZE, B = len(TOKENS), 6
Array = NDArray[np.float64]
Open = Callable[..., Page]


def softmax_rows(seed: int, *shape: int) -> Array:
    scores = np.exp(2 * np.random.default_rng(seed).normal(size=shape))
    return scores / scores.sum(-1, keepdims=True)


W = softmax_rows(0, 3, 4, SIZE, SIZE)
OTHER = softmax_rows(1, 3, 4, SIZE, SIZE)
VIEW = attention_view(W, TOKENS)._repr_html_()
COMPARED = attention_view(
    W, TOKENS, label="untrained", compare=(OTHER, TOKENS, "trained"), title="Two models"
)._repr_html_()
PREDICT = attention_view(W, TOKENS, layer=1, head=2, predict=6)._repr_html_()
# 8 bits of the root, rows made to sum to 1 again, three or four digits.
CLOSE = 0.003


def page_of(body: str, attributes: str = "") -> str:
    return (
        f'<!doctype html><html lang="en" {attributes}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>A page</title></head><body><main><h1>A page</h1>{body}</main></body>"
    )


@pytest.fixture(scope="module")
def desktop(browser: Browser) -> Iterator[Page]:
    """The page of every test that asks for nothing special of its window."""
    with browser.new_page() as page:
        yield page


@pytest.fixture
def show(browser: Browser, desktop: Page, tmp_path: Path) -> Iterator[Open]:
    """Open HTML from a file. Errors in it, and requests by it, fail the test."""
    wrong: list[str] = []
    pages: list[Page] = []
    listeners: dict[str, Callable[..., None]] = {
        "pageerror": lambda error: wrong.append(str(error)),
        "console": lambda said: wrong.extend([said.text] * (said.type == "error")),
        "request": lambda r: wrong.extend([r.url] * r.url.startswith("http")),
    }

    def open_page(body: str, attributes: str = "", **options: Any) -> Page:
        page = browser.new_page(**options) if options else desktop
        pages.append(page)
        page.set_default_timeout(5000)
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]
        file = tmp_path / "page.html"
        file.write_text(page_of(body, attributes), encoding="utf-8")
        page.goto(file.as_uri())
        return page

    yield open_page
    for page in pages:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        if page is not desktop:
            page.close()
    assert wrong == []


def cell(page: Page, r: int, c: int, panel: int = 0) -> Locator:
    place = page.locator(".panel").nth(panel)
    return place.locator(f".cell[data-r='{r}'][data-c='{c}']")


def tool(page: Page, name: str) -> Locator:
    """A control in the row of tools, which is opened first."""
    page.locator("details").evaluate("node => { node.open = true; }")
    return page.get_by_label(name, exact=True)


def number(page: Page, panel: int = 0) -> float:
    return float(page.locator(".num").nth(panel).inner_text())


def saved(page: Page, kind: str) -> bytes:
    with page.expect_download() as download:
        tool(page, f"Save as {kind}").click()
    return Path(download.value.path()).read_bytes()


def numbers_shown(page: Page) -> tuple[list[str], list[str], Array]:
    """What the grid shows, by way of CSV: from, to, and the weights."""
    rows = list(csv.reader(io.StringIO(saved(page, "CSV").decode())))
    weights = np.array([[float(x) for x in row[1:]] for row in rows[1:]])
    return [row[0] for row in rows[1:]], rows[0][1:], weights


def axe_violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {[n['html'][:80] for n in v['nodes']]}" for v in found]


# ---- Where it mounts -----------------------------------------------------------------


def test_it_mounts_from_a_file(show: Open):
    expect(show(VIEW).locator(".cell")).to_have_count(SIZE * SIZE)


def test_two_equal_views_both_mount(show: Open):
    expect(show(VIEW + VIEW).locator(".card")).to_have_count(2)


def test_without_javascript_the_picture_shows(show: Open):
    box = show(VIEW, java_script_enabled=False).locator("img").bounding_box()
    assert box is not None
    assert box["width"] > 200


def test_with_javascript_the_picture_is_covered(show: Open):
    expect(show(VIEW).locator("img")).not_to_be_visible()


def test_it_mounts_in_a_sandboxed_frame(show: Open):
    source = html.escape(page_of(VIEW), quote=True)
    frame = f'<iframe title="f" sandbox="allow-scripts" srcdoc="{source}"></iframe>'
    expect(show(frame).frame_locator("iframe").locator(".card")).to_be_visible()


def test_it_mounts_when_the_script_comes_before_the_markup(show: Open):
    markup, script = VIEW.split("\n<script>")
    late = f"setTimeout(() => {{ place.innerHTML = {markup!r}; }}, 600)"
    page = show(f'<script>{script}<div id="place"></div><script>{late}</script>')
    expect(page.locator(".card")).to_be_visible()


def test_when_the_view_fails_the_picture_shows(browser: Browser, tmp_path: Path):
    file = tmp_path / "broken.html"
    file.write_text(page_of(VIEW.replace("function build()", "function built()")))
    page = browser.new_page()
    page.goto(file.as_uri())
    expect(page.locator("img")).to_be_visible()
    page.close()


def test_a_token_called_script_is_only_text(show: Open):
    tokens = ["<script>alert(1)</script>", "<b>", "&amp;", '"', "\\"]
    page = show(attention_view(np.eye(5), tokens)._repr_html_())
    assert page.locator(".to button").all_inner_texts() == tokens


# ---- Numbers -------------------------------------------------------------------------


def test_hover_shows_the_weight(show: Open):
    page = show(VIEW)
    cell(page, 6, 2).hover()
    assert number(page) == pytest.approx(W[0, 0, 6, 2], abs=CLOSE)


def test_hover_names_the_top_three_of_the_row(show: Open):
    page = show(VIEW)
    cell(page, 6, 2).hover()
    top = np.argsort(-W[0, 0, 6])[:3]
    chips = page.locator(".chip").all_inner_texts()
    assert [chip.rsplit(" ", 1)[0] for chip in chips] == [TOKENS[i] for i in top]


def test_a_half_is_shown_as_a_half(show: Open):
    page = show(attention_view([[0.5, 0.5], [0.1, 0.9]], ["a", "b"])._repr_html_())
    cell(page, 0, 1).hover()
    assert page.locator(".num").inner_text() == "0.500"


def test_csv_holds_the_weights_and_the_tokens(show: Open):
    rows, columns, weights = numbers_shown(show(VIEW))
    assert rows == columns == TOKENS
    assert np.abs(weights - W[0, 0]).max() < CLOSE


@pytest.mark.parametrize("head", ["mean", "max", "rollout"])
def test_summaries_over_heads_are_right(show: Open, head: str):
    page = show(VIEW)
    page.get_by_label("layer", exact=True).select_option("2")
    page.get_by_label("head", exact=True).select_option(head)
    half = (W.mean(1) + np.eye(SIZE)) / 2
    expected = {"mean": W[2].mean(0), "max": W[2].max(0)}
    expected["rollout"] = half[2] @ half[1] @ half[0]
    assert np.abs(numbers_shown(page)[2] - expected[head]).max() < CLOSE


def test_hidden_specials_leave_the_other_weights_as_they_are(show: Open):
    page = show(VIEW)
    tool(page, "hide [CLS] and [SEP]").check()
    rows, columns, weights = numbers_shown(page)
    keep = [i for i, token in enumerate(TOKENS) if not token.startswith("[")]
    assert rows == columns == [TOKENS[i] for i in keep]
    assert np.abs(weights - W[0, 0][np.ix_(keep, keep)]).max() < CLOSE


def test_renormalised_rows_sum_to_one_again(show: Open):
    page = show(VIEW)
    tool(page, "hide [CLS] and [SEP]").check()
    tool(page, "rows sum to 1 again").check()
    keep = [i for i, token in enumerate(TOKENS) if not token.startswith("[")]
    part = W[0, 0][np.ix_(keep, keep)]
    expected = part / part.sum(-1, keepdims=True)
    assert np.abs(numbers_shown(page)[2] - expected).max() < 2 * CLOSE


def test_merged_pieces_sum_columns_and_average_rows(show: Open):
    page = show(VIEW)
    tool(page, "merge pieces into words").check()
    rows, _, weights = numbers_shown(page)
    groups = [[0], [1], [2], [3, 4], [5], [6], [7, 8], [9]]
    columns = np.stack([W[0, 0][:, g].sum(1) for g in groups], 1)
    expected = np.stack([columns[g].mean(0) for g in groups])
    assert rows == ["[CLS]", "the", "cat", "sleeps", "[SEP]", "it", "purrs", "[SEP]"]
    assert np.abs(weights - expected).max() < 2 * CLOSE


def test_the_sentence_filter_shows_b_looking_at_a(show: Open):
    page = show(VIEW)
    tool(page, "sentences").select_option("B to A")
    rows, columns, weights = numbers_shown(page)
    assert (rows, columns) == (TOKENS[B:], TOKENS[:B])
    assert np.abs(weights - W[0, 0, B:, :B]).max() < CLOSE


def test_the_boundary_between_sentences_is_drawn(show: Open):
    page = show(VIEW)
    assert page.locator(".b-left").count() == SIZE
    assert page.locator(".b-top").first.get_attribute("data-r") == str(B)


def test_chosen_tokens_are_summed(show: Open):
    page = show(VIEW)
    for kind, index in (("from", 1), ("from", 2), ("to", 7), ("to", 8)):
        page.locator(f"[data-kind={kind}][data-i='{index}']").click()
    expected = W[0, 0][np.ix_([1, 2], [7, 8])].sum()
    assert number(page) == pytest.approx(expected, abs=2 * CLOSE)


# ---- Hands ---------------------------------------------------------------------------


def test_a_click_locks_the_cell_against_hover(show: Open):
    page = show(VIEW)
    cell(page, 6, 2).click()
    cell(page, 1, 1).hover()
    assert number(page) == pytest.approx(W[0, 0, 6, 2], abs=CLOSE)


def test_escape_unlocks(show: Open):
    page = show(VIEW)
    cell(page, 6, 2).click()
    page.keyboard.press("Escape")
    cell(page, 1, 1).hover()
    assert number(page) == pytest.approx(W[0, 0, 1, 1], abs=CLOSE)


def test_a_thumbnail_chooses_the_head(show: Open):
    page = show(VIEW)
    page.get_by_role("radio", name="layer 2, head 3").click()
    cell(page, 6, 2).hover()
    assert number(page) == pytest.approx(W[2, 3, 6, 2], abs=CLOSE)


def test_thumbnails_follow_the_arrow_keys(show: Open):
    page = show(VIEW)
    page.get_by_role("radio", name="layer 0, head 0").focus()
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_role("radio", name="layer 1, head 1")).to_be_checked()
    expect(page.get_by_role("radio", name="layer 1, head 1")).to_be_focused()


def test_arrow_keys_move_the_cell(show: Open):
    page = show(VIEW)
    cell(page, 0, 0).focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowLeft"):
        page.keyboard.press(key)
    expect(cell(page, 2, SIZE - 2)).to_be_focused()


def test_the_grid_is_one_stop_for_the_tab_key(show: Open):
    page = show(VIEW)
    cell(page, 3, 4).click()
    stops = page.locator(".grid [tabindex='0']")
    expect(stops).to_have_count(1)
    assert stops.get_attribute("data-r") == "3"


def test_enter_locks(show: Open):
    page = show(VIEW)
    cell(page, 0, 0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".read")).to_contain_text("locked")


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["]"], ("0", "1")),
        (["["], ("0", "rollout")),
        (["PageDown", "PageDown", "PageUp"], ("1", "0")),
    ],
)
def test_keys_change_head_and_layer(show: Open, keys: list[str], chosen: tuple):
    page = show(VIEW)
    cell(page, 0, 0).focus()
    for key in keys:
        page.keyboard.press(key)
    expect(page.get_by_label("layer", exact=True)).to_have_value(chosen[0])
    expect(page.get_by_label("head", exact=True)).to_have_value(chosen[1])


def test_r_and_c_sum_from_the_keyboard(show: Open):
    page = show(VIEW)
    cell(page, 0, 0).focus()
    for key in ("r", "ArrowDown", "r", "c"):
        page.keyboard.press(key)
    assert number(page) == pytest.approx(W[0, 0, :2, 0].sum(), abs=2 * CLOSE)


def test_the_page_does_not_hear_the_keys_of_the_grid(show: Open):
    page = show(
        f"<script>onkeydown = (e) => {{ window.heard = e.key; }}</script>{VIEW}"
    )
    cell(page, 0, 0).focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("window.heard") is None


def test_a_screen_reader_hears_the_weight(show: Open):
    page = show(VIEW)
    cell(page, 6, 1).focus()
    page.keyboard.press("ArrowRight")
    live = page.locator("[aria-live=polite]")
    assert live.inner_text().startswith("from 'it' to 'cat': 0.")


# ---- More tools ----------------------------------------------------------------------


def test_arcs_are_drawn_for_the_row_pointed_at(show: Open):
    page = show(VIEW)
    tool(page, "arcs").check()
    cell(page, 6, 2).click()
    lines = int((W[0, 0, 6] >= 0.02).sum())
    assert abs(page.locator(".arcs path").count() - lines) <= 1


def test_a_second_head_stands_beside_the_first(show: Open):
    page = show(VIEW)
    tool(page, "second head").check()
    cell(page, 6, 2).hover()
    assert number(page) == pytest.approx(W[0, 0, 6, 2], abs=CLOSE)
    assert number(page, panel=1) == pytest.approx(W[0, 1, 6, 2], abs=CLOSE)


def test_compared_models_show_the_same_cell(show: Open):
    page = show(COMPARED)
    cell(page, 6, 2).hover()
    assert number(page) == pytest.approx(W[0, 0, 6, 2], abs=CLOSE)
    assert number(page, panel=1) == pytest.approx(OTHER[0, 0, 6, 2], abs=CLOSE)


def test_compared_models_change_heads_together(show: Open):
    page = show(COMPARED)
    page.get_by_role("radio", name="layer 2, head 3").first.click()
    cell(page, 6, 2).hover()
    assert number(page, panel=1) == pytest.approx(OTHER[2, 3, 6, 2], abs=CLOSE)


def test_compared_models_change_heads_alone_when_unlinked(show: Open):
    page = show(COMPARED)
    tool(page, "same head in both").uncheck()
    page.get_by_role("radio", name="layer 2, head 3").first.click()
    cell(page, 6, 2).hover()
    assert number(page, panel=1) == pytest.approx(OTHER[0, 0, 6, 2], abs=CLOSE)


def test_compared_models_stand_side_by_side_on_a_wide_page(show: Open):
    page = show(COMPARED, viewport={"width": 900, "height": 900})
    boxes = [page.locator(".grid").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]  # type: ignore[index]


def test_png_is_a_png(show: Open):
    assert saved(show(VIEW), "PNG").startswith(b"\x89PNG")


def test_svg_has_one_tile_for_each_weight(show: Open):
    picture = saved(show(VIEW), "SVG").decode()
    assert picture.count('rx="3"') == SIZE * SIZE


# ---- Predict first -------------------------------------------------------------------


def test_predict_hides_every_weight_until_a_guess(show: Open):
    page = show(PREDICT)
    expect(page.locator(".ask")).to_contain_text("where does it look most")
    expect(
        page.locator(".panel, canvas, .num, details").locator("visible=true")
    ).to_have_count(0)


def test_predict_judges_the_guess(show: Open):
    page = show(PREDICT)
    page.locator("button.token").nth(1).click()
    verdict = page.locator(".verdict").inner_text()
    assert "You said 'the'" in verdict
    assert f"looks most at '{TOKENS[W[1, 2, 6].argmax()]}'" in verdict


def test_predict_praises_the_right_guess(show: Open):
    page = show(PREDICT)
    page.locator("button.token").nth(int(W[1, 2, 6].argmax())).click()
    expect(page.locator(".verdict")).to_contain_text("You were right.")


def test_predict_opens_the_grid_after_the_guess(show: Open):
    page = show(PREDICT)
    page.get_by_text("Show without a guess").click()
    assert number(page) == pytest.approx(W[1, 2, 6].max(), abs=CLOSE)


# ---- For every reader ----------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", [COMPARED, PREDICT], ids=["compared", "predict"])
def test_axe_finds_nothing(show: Open, theme: str, view: str):
    page = show(view, f'data-theme="{theme}"')
    if view is COMPARED:
        tool(page, "arcs").check()
        cell(page, 6, 2).click()
    assert axe_violations(page) == []


def test_axe_finds_nothing_where_two_equal_views_show_a_second_head(show: Open):
    page = show(VIEW + VIEW)
    for card in page.locator(".card").all():
        card.locator("details").evaluate("node => { node.open = true; }")
        card.get_by_label("second head").check()
    assert axe_violations(page) == []


def test_the_book_does_not_paint_a_box_around_it(show: Open):
    theme = "<style>div.cell_output .text_html { background: white }</style>"
    page = show(
        f'{theme}<div class="cell_output"><div class="text_html">{VIEW}</div></div>'
    )
    style = "node => getComputedStyle(node).backgroundColor"
    assert page.locator(".text_html").evaluate(style) == "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize("view", [VIEW, COMPARED, PREDICT], ids=["one", "two", "ask"])
def test_a_phone_does_not_scroll_sideways(show: Open, view: str):
    page = show(view, viewport={"width": 390, "height": 800})
    if view is not PREDICT:
        tool(page, "arcs").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_a_finger_touches_is_24_pixels_wide(show: Open):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    page = show(VIEW, is_mobile=True, **phone)
    tool(page, "arcs").check()
    targets = page.locator(".cell, .card button, .card select, .card label")
    sides = targets.evaluate_all(
        "nodes => nodes.map(n => n.getBoundingClientRect())"
        ".filter(box => box.width).map(box => Math.min(box.width, box.height))"
    )
    assert min(sides) >= 24


def test_a_tap_locks_a_cell(show: Open):
    page = show(VIEW, viewport={"width": 390, "height": 800}, has_touch=True)
    cell(page, 2, 2).tap()
    expect(page.locator(".read")).to_contain_text("locked")


def test_the_view_follows_the_page_when_its_theme_changes(show: Open):
    page = show(VIEW, 'data-theme="light"')
    expect(page.locator(".card")).to_have_attribute("data-theme", "light")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    expect(page.locator(".card")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize(
    "script",
    [
        "document.body.setAttribute('data-jp-theme-light', 'false')",
        "document.body.setAttribute('data-vscode-theme-kind', 'vscode-dark')",
        "document.documentElement.setAttribute('theme', 'dark')",
    ],
    ids=["JupyterLab", "VS Code", "Colab"],
)
def test_the_view_follows_its_host(show: Open, script: str):
    page = show(VIEW)
    page.evaluate(script)
    expect(page.locator(".card")).to_have_attribute("data-theme", "dark")


def test_the_page_counts_more_than_the_system(show: Open):
    page = show(VIEW, 'data-theme="light"', color_scheme="dark")
    expect(page.locator(".card")).to_have_attribute("data-theme", "light")


def test_the_view_follows_the_system_where_the_page_says_nothing(show: Open):
    page = show(VIEW, color_scheme="dark")
    expect(page.locator(".card")).to_have_attribute("data-theme", "dark")


def test_motion_stops_for_who_asks(show: Open):
    page = show(VIEW, reduced_motion="reduce")
    style = "node => getComputedStyle(node).transitionDuration"
    assert cell(page, 0, 0).evaluate(style) == "0s"
