"""The attention view's Python side: what goes into the HTML, and what is refused."""

import base64
import json
import re
import struct

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertlib.view import attention_view, lab
from bertlib.view.attention import encode, rollout

TOKENS = ["[CLS]", "the", "cat", "sat", "[SEP]"]
Array = NDArray[np.float64]


def random_weights(*shape: int, seed: int = 0) -> Array:
    """Softmax rows of the given shape, sharp enough to hold large and tiny weights."""
    scores = np.exp(3 * np.random.default_rng(seed).normal(size=shape))
    return scores / scores.sum(-1, keepdims=True)


def html_of(weights: object, tokens: list[str], **options: object) -> str:
    return attention_view(weights, tokens, **options)._repr_html_()  # type: ignore


def data_in(html: str) -> dict:
    """The JSON that the script is called with."""
    found = re.search(r'mountAttention\("\w+", (.*)\);\n', html)
    assert found is not None
    return json.loads(found[1])


def png_in(html: str) -> bytes:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert found is not None
    return base64.b64decode(found[1])


W = random_weights(2, 3, 5, 5)


def test_stored_weights_are_within_four_thousandths():
    weights = random_weights(4, 4, 12, 12).astype(np.float32)
    codes = np.frombuffer(base64.b64decode(encode(weights)), np.uint8)
    stored = (codes.reshape(weights.shape) / 255) ** 2
    assert np.abs(stored - weights).max() <= 1 / 255


def test_a_weight_of_two_in_a_thousand_is_not_stored_as_zero():
    assert base64.b64decode(encode(np.array([0.002], np.float32)))[0] > 0


def test_the_view_holds_every_weight_once():
    stored = base64.b64decode(data_in(html_of(W, TOKENS))["views"][0]["w"])
    assert len(stored) == W.size


def test_twelve_layers_of_twelve_heads_on_32_tokens_stay_under_250_kb():
    html = html_of(random_weights(12, 12, 32, 32), [f"token{i}" for i in range(32)])
    assert len(html.encode()) < 250_000


def test_the_picture_stays_under_25_kb():
    tokens = [f"token{i}" for i in range(64)]
    assert len(attention_view(random_weights(64, 64), tokens).png()) < 25_000


def test_the_same_weights_give_the_same_html():
    assert html_of(W, TOKENS) == html_of(W.copy(), list(TOKENS))


def test_other_weights_give_another_key():
    keys = {
        re.search(r'data-attn="(\w+)"', html_of(weights, TOKENS))[1]  # type: ignore
        for weights in (W, random_weights(2, 3, 5, 5, seed=1))
    }
    assert len(keys) == 2


def test_the_callers_matplotlib_settings_do_not_change_the_picture():
    import matplotlib

    before = attention_view(W, TOKENS).png()
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "gray"}):
        assert attention_view(W, TOKENS).png() == before


@pytest.mark.filterwarnings("error")
def test_tokens_in_any_script_draw_without_a_warning():
    tokens = ["$x_1$", "\\frac", "日本", "😀", "a" * 40]
    assert attention_view(W, tokens).png()


def test_a_token_cannot_close_the_script():
    tokens = ["<script>", "</script>", "<!--", "\"'", "\u2028日"]
    html = html_of(W, tokens)
    assert html.count("<script") == 1
    assert html.count("</script") == 1
    assert "<!--" not in html


def test_hostile_tokens_arrive_unchanged():
    tokens = ["<script>", "</script>", '"><b>', "\\'", "\u2028日"]
    assert data_in(html_of(W, tokens))["views"][0]["tokens"] == tokens


def test_alt_text_cannot_leave_its_attribute():
    assert 'alt="&quot;&gt;&lt;b&gt;"' in html_of(W, TOKENS, alt='"><b>')


def test_alt_text_says_layer_head_tokens_and_largest_weight():
    weights = np.eye(5) * 0.5 + 0.1
    alt = re.search(r'alt="([^"]*)"', html_of(weights, TOKENS, title="T"))[1]  # type: ignore
    assert "[CLS] the cat sat [SEP]" in alt
    assert "layer 0, head 0" in alt
    assert "[CLS] to [CLS] 0.60" in alt


def test_the_fallback_is_a_png():
    assert png_in(html_of(W, TOKENS)).startswith(b"\x89PNG\r\n\x1a\n")


def test_the_fallback_of_a_comparison_shows_both():
    def width(html: str) -> int:
        return struct.unpack(">I", png_in(html)[16:20])[0]

    alone = html_of(W, TOKENS)
    both = html_of(W, TOKENS, compare=(W, TOKENS, "again"))
    assert width(both) == 2 * width(alone)


def test_predict_folds_the_picture_away():
    assert re.search(
        r"<details><summary>[^<]+</summary><img", html_of(W, TOKENS, predict=2)
    )


def test_typing_in_the_view_is_kept_from_jupyterlab():
    assert 'data-lm-suppress-shortcuts="true"' in html_of(W, TOKENS)


def test_repr_has_no_address():
    assert repr(attention_view(W, TOKENS)) == (
        "<AttentionView 2 layers x 3 heads x 5 tokens>"
    )


def test_repr_says_that_two_are_compared():
    view = attention_view(W, TOKENS, compare=(W, TOKENS, "again"))
    assert repr(view) == "<AttentionView 2 layers x 3 heads x 5 tokens, compared>"


@pytest.mark.parametrize(
    "weights",
    [
        torch.tensor(W, requires_grad=True),
        torch.tensor(W).double(),
        [torch.tensor(layer) for layer in W],
        tuple(torch.tensor(layer)[None] for layer in W),
        W.tolist(),
    ],
    ids=["torch", "double", "list of layers", "BertModel's tuple", "nested lists"],
)
def test_whatever_holds_the_same_weights_gives_the_same_view(weights: object):
    assert html_of(weights, TOKENS) == html_of(W, TOKENS)


def test_bfloat16_weights_are_shown():
    view = attention_view(torch.tensor(W).bfloat16(), TOKENS)
    assert np.allclose(view.panes[0].weights, W, atol=0.004)


@pytest.mark.parametrize("weights", [W[0, 0], W[0]], ids=["(T, T)", "(heads, T, T)"])
def test_fewer_axes_are_promoted(weights: Array):
    heads = 1 if weights.ndim == 2 else 3
    assert f"1 layers x {heads} heads" in repr(attention_view(weights, TOKENS))


def test_a_row_that_may_look_nowhere_is_all_zero():
    weights = np.eye(5)
    weights[2] = 0
    assert attention_view(weights, TOKENS).panes[0].weights[0, 0, 2].sum() == 0


def test_sentence_b_begins_after_the_first_of_two_separators():
    tokens = ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert data_in(html_of(W, tokens))["views"][0]["b"] == 3


def test_padding_after_the_only_separator_is_no_sentence_b():
    tokens = ["[CLS]", "a", "[SEP]", "[PAD]", "[PAD]"]
    assert data_in(html_of(W, tokens))["views"][0]["b"] == 0


def test_sentence_b_can_be_said():
    assert data_in(html_of(W, TOKENS, sentence_b=2))["views"][0]["b"] == 2


def test_layer_and_head_count_from_the_end_too():
    data = data_in(html_of(W, TOKENS, layer=-1, head=-1))
    assert (data["layer"], data["head"]) == (1, 2)


@pytest.mark.parametrize("head", [1, "mean", "max", "rollout"])
def test_the_picture_shows_the_chosen_head(head: int | str):
    view = attention_view(W, TOKENS, layer=1, head=head)
    mean = W.mean(1)
    half = (mean + np.eye(5)) / 2
    expected = {1: W[1, 1], "mean": mean[1], "max": W[1].max(0)}
    expected["rollout"] = half[1] @ half[0]
    assert np.allclose(view.summary(view.panes[0]), expected[head], atol=1e-6)


def test_rollout_rows_sum_to_one():
    flow = rollout(random_weights(6, 2, 7, 7).astype(np.float32))
    assert np.allclose(flow.sum(-1), 1, atol=1e-5)


NAN, NEGATIVE, SCORES = W.copy(), W.copy(), W * 2
NAN[0, 0, 0, 0] = np.nan
NEGATIVE[1, 2, 3, :2] = [-0.5, 0.5]


@pytest.mark.parametrize(
    ("weights", "tokens", "options", "error", "says"),
    [
        (W, TOKENS[:4], {}, ValueError, "tokens has 4 entries, weights has 5 rows"),
        (W, "a b c d e", {}, TypeError, "tokens must be a list of strings"),
        (W, [1, 2, 3, 4, 5], {}, TypeError, "tokens must be a list of strings"),
        (W[..., :4], TOKENS, {}, ValueError, r"weights has shape \(2, 3, 5, 4\)"),
        (W[0, 0, 0], TOKENS, {}, ValueError, r"weights has shape \(5,\)"),
        (np.zeros((0, 0)), [], {}, ValueError, r"weights has shape \(1, 1, 0, 0\)"),
        (np.stack([W, W], 1), TOKENS, {}, ValueError, "for one example"),
        ([W[0], W[1, :2]], TOKENS, {}, ValueError, "layers differ in shape"),
        ([], TOKENS, {}, ValueError, "layers differ in shape"),
        (np.eye(65), ["a"] * 65, {}, ValueError, "65 tokens; .* at most 64"),
        (NAN, TOKENS, {}, ValueError, "weights has NaN"),
        (NEGATIVE, TOKENS, {}, ValueError, "weights has -0.5 in it"),
        (SCORES, TOKENS, {}, ValueError, r"weights\[0, 0, 0\] sums to 2.000"),
        (np.eye(5) > 0, TOKENS, {}, TypeError, "weights holds bool"),
        (W, TOKENS, {"layer": 2}, ValueError, "layer is 2; it may be -2 to 1"),
        (W, TOKENS, {"layer": 1.0}, TypeError, "layer is 1.0"),
        (W, TOKENS, {"head": 3}, ValueError, "head is 3; it may be -3 to 2"),
        (W, TOKENS, {"head": "sum"}, ValueError, "head is 'sum'.*rollout"),
        (W, TOKENS, {"predict": True}, TypeError, "predict is True"),
        (W, TOKENS, {"predict": 5}, ValueError, "predict is 5"),
        (
            W,
            TOKENS,
            {"predict": 1, "compare": (W, list("abcde"), "")},
            ValueError,
            "predict needs the same tokens",
        ),
        (W, TOKENS, {"sentence_b": 9}, ValueError, "sentence_b is 9"),
        (W, TOKENS, {"compare": (W, TOKENS)}, TypeError, "compare must be"),
        (W, TOKENS, {"compare": (NAN, TOKENS, "")}, ValueError, "compare: weights"),
    ],
)
def test_bad_input_is_refused_by_name(weights, tokens, options, error, says):
    with pytest.raises(error, match=says):
        attention_view(weights, tokens, **options)


def test_lab_draws_with_the_starting_values_on_a_static_page(monkeypatch):
    monkeypatch.setenv("BERTLIB_STATIC", "1")
    drawn = []
    lab(lambda heads=4: drawn.append(heads), heads=(1, 8))
    assert drawn == [4]


def test_lab_draws_the_still_instead_where_there_is_one(monkeypatch):
    monkeypatch.setenv("BERTLIB_STATIC", "1")
    drawn = []
    lab(
        lambda heads=4: drawn.append(heads),
        still=lambda: drawn.append("still"),
        heads=(1, 8),
    )
    assert drawn == ["still"]


@pytest.fixture
def live(monkeypatch):
    """Run `lab` with the real ipywidgets, and return what it shows."""
    monkeypatch.delenv("BERTLIB_STATIC", raising=False)

    def show(draw, **controls):
        shown = []
        monkeypatch.setattr("IPython.display.display", shown.append)
        lab(draw, **controls)
        [widget] = shown
        return widget

    return show


def test_lab_makes_a_control_of_each_kind(live):
    def draw(heads=4, rate=0.2, name="MiniLM", text="a film", masked=True):
        return None

    kinds = {"heads": (1, 8), "rate": (0.0, 1.0), "name": ["ours", "MiniLM"]}
    controls = live(draw, **kinds, text="a film", masked=True).children[:-1]
    made = [(type(c).__name__, c.description, c.value) for c in controls]
    assert made == [
        ("IntSlider", "heads", 4),
        ("FloatSlider", "rate", 0.2),
        ("Dropdown", "name", "MiniLM"),
        ("Text", "text", "a film"),
        ("Checkbox", "masked", True),
    ]


def test_a_moved_control_draws_again(live):
    seen = []
    slider = live(lambda heads=4: seen.append(heads), heads=(1, 8)).children[0]
    slider.value = 5
    assert seen == [4, 5]


def test_lab_keeps_the_other_arguments_as_they_are(live):
    """ipywidgets refuses None where it looks for a slider."""
    seen = []
    live(lambda heads=4, ax=None: seen.append((heads, ax)), heads=(1, 8))
    assert seen == [(4, None)]


@pytest.mark.parametrize(
    ("control", "shown"),
    [
        ((0.001, 0.025, 0.001), ".3f"),
        ((0.0, 1.0, 0.5), ".1f"),
        ((0.0, 1.0), ".1f"),
        ((0.0, 20.0, 2.0), ".1f"),
        ((0.0, 1e-4, 1e-5), ".5f"),
        ((0, 100, 10), "d"),
    ],
)
def test_a_slider_shows_as_many_decimals_as_its_step_has(live, control, shown):
    widget = live(lambda x=control[0]: None, x=control)
    assert widget.children[0].readout_format == shown


def test_the_names_of_the_controls_have_room_for_the_longest(live):
    def draw(x=1, number_of_attention_heads=4):
        return None

    controls = live(draw, x=(0, 3), number_of_attention_heads=(1, 8)).children[:-1]
    assert {c.style.description_width for c in controls} == {"26ch"}


def test_a_figure_is_shown_where_the_lab_draws(live, monkeypatch):
    """Not after the cell, where `%matplotlib inline` has it shown otherwise."""
    done = []
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: done.append("shown"))
    live(lambda heads=4: done.append(heads), heads=(1, 8))
    assert done == [4, "shown"]


def test_lab_refuses_a_control_that_draw_does_not_take():
    with pytest.raises(TypeError, match="layers= is a control"):
        lab(lambda heads=4: None, layers=(1, 8))


def test_lab_refuses_an_argument_with_nowhere_to_start():
    with pytest.raises(TypeError, match="'heads' needs a default"):
        lab(lambda heads: None, heads=(1, 8))
