"""The interactive attention view: checked weights in, one piece of HTML out.

The HTML needs no kernel, no network and no library. It holds the weights, the script
in attention.js that draws them, and a picture for pages where scripts do not run.
"""

import base64
import hashlib
import html
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent
MAX_TOKENS = 64
SUMMARIES = ("mean", "max", "rollout")
# Nine steps of equal lightness difference; attention.js draws with the same ones.
RAMP = "eff3f3 c9d9d8 99c2be 61acab 2990a5 04709e 1d4d92 282c76 1f154e"
# The book theme paints the box around an output light, also in dark mode.
STYLE = (
    "<style>.cell_output .text_html:has(.attn-view)"
    "{background:none!important;padding:0!important}</style>"
)

Weights = NDArray[np.float32]


def attention_view(
    weights: Any,
    tokens: Sequence[str],
    *,
    layer: int = 0,
    head: int | str = 0,
    label: str = "",
    compare: tuple[Any, Sequence[str], str] | None = None,
    sentence_b: int | None = None,
    predict: int | None = None,
    title: str = "",
    alt: str = "",
) -> "AttentionView":
    """Show who looks at whom, as a grid to explore: from (rows), to (columns).

    Args:
        weights: (layers, heads, T, T), numpy or torch, each row summing to 1 (or all
            zero: a token that may look nowhere). The tuple that BertModel returns,
            one (1, heads, T, T) for each layer, will do; so will a single (T, T).
        tokens: T strings, at most 64. Pieces that begin with ## can be merged.
        layer, head: what is shown first. head may also be "mean" or "max" (over the
            heads of the layer) or "rollout" (through all layers up to this one).
        label: what these weights are, when there is something to compare with.
        compare: (weights, tokens, label) of a second view beside the first.
        sentence_b: index of the token where sentence B begins. By default the one
            after the first [SEP], if a second [SEP] follows.
        predict: index of a token. The reader has to guess where it looks most
            before any weight is shown.
        title: stands above the view.
        alt: describes the picture; by default it names the tokens and the largest
            weights.

    Returns:
        An object that Jupyter shows. The weights in it are rounded to 8 bits of
        their square root: at most 0.004 off.

    Raises:
        TypeError, ValueError: names the argument, what it was and what it may be.
    """
    panes = [read_pane("", weights, tokens, label, sentence_b)]
    if compare is not None:
        if not isinstance(compare, (tuple, list)) or len(compare) != 3:
            raise TypeError("compare must be (weights, tokens, label)")
        same = list(compare[1]) == panes[0].tokens
        second = (*compare, sentence_b if same else None)
        panes.append(read_pane("compare: ", *second))
    layers, heads, size, _ = panes[0].weights.shape
    layer = check_index("layer", layer, layers)
    if isinstance(head, str) and head not in SUMMARIES:
        raise ValueError(f"head is {head!r}; it may be a number or one of {SUMMARIES}")
    if not isinstance(head, str):
        head = check_index("head", head, heads)
    if predict is not None:
        predict = check_index("predict", predict, size)
        if panes[-1].tokens != panes[0].tokens:
            raise ValueError("predict needs the same tokens in compare")
    return AttentionView(panes, layer, head, predict, title, alt)


@dataclass(frozen=True)
class Pane:
    """One set of weights (layers, heads, T, T) and its T tokens."""

    weights: Weights
    tokens: list[str]
    label: str
    sentence_b: int  # 0: there is no sentence B

    def matrix(self, layer: int, head: int | str) -> Weights:
        """The (T, T) weights of one head, or of a summary over heads."""
        layer = min(layer, len(self.weights) - 1)
        here = self.weights[layer]  # (H, T, T)
        if head == "mean":
            return here.mean(0)
        if head == "max":
            return here.max(0)
        if head == "rollout":
            return rollout(self.weights[: layer + 1])
        return here[min(int(head), len(here) - 1)]


def rollout(weights: Weights) -> Weights:
    """Follow attention back through (layers, heads, T, T) to the input: (T, T).

    Half of each layer's output is its residual input.

    Source: Abnar and Zuidema 2020, section 3.
    """
    identity = np.eye(weights.shape[-1], dtype=weights.dtype)
    flow = identity
    for layer in weights.mean(1):  # (L, H, T, T) -> (L, T, T)
        flow = (layer + identity) / 2 @ flow
    return flow


def read_pane(
    name: str, weights: Any, tokens: Sequence[str], label: str, sentence_b: int | None
) -> Pane:
    """Check one set of weights and tokens; `name` prefixes what an error says."""
    if isinstance(tokens, str) or not all(isinstance(t, str) for t in tokens):
        raise TypeError(f"{name}tokens must be a list of strings, one for each row")
    array, words = read_weights(name, weights), list(tokens)
    if len(words) != array.shape[-1]:
        raise ValueError(
            f"{name}tokens has {len(words)} entries, weights has "
            f"{array.shape[-1]} rows; there must be one token for each row"
        )
    if sentence_b is None:
        ends = [i for i, token in enumerate(words) if token == "[SEP]"]
        start = ends[0] + 1 if len(ends) > 1 else 0
    else:
        start = check_index("sentence_b", sentence_b, len(words))
    return Pane(array, words, label, start)


def read_weights(name: str, weights: Any) -> Weights:
    """Turn what a model returns into checked (layers, heads, T, T) float32."""
    name = f"{name}weights"
    if isinstance(weights, (tuple, list)):
        shapes = {np.shape(layer) for layer in weights}
        if len(shapes) != 1:
            raise ValueError(f"{name}: layers differ in shape, {sorted(shapes)}")
        array = np.stack([to_numpy(name, layer) for layer in weights])
    else:
        array = to_numpy(name, weights)
    if array.ndim == 5 and array.shape[1] == 1:  # a batch of one in every layer
        array = array[:, 0]
    if array.ndim in (2, 3):
        array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if array.ndim != 4 or array.shape[-1] != array.shape[-2] or 0 in array.shape:
        raise ValueError(
            f"{name} has shape {array.shape}; it must be (layers, heads, T, T), "
            "for one example"
        )
    if array.shape[-1] > MAX_TOKENS:
        raise ValueError(
            f"{name} has {array.shape[-1]} tokens; the view shows at most {MAX_TOKENS}"
        )
    check_rows(name, array)
    return array


def to_numpy(name: str, value: Any) -> Weights:
    """A torch tensor, an array or nested lists, as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} holds {array.dtype}; it must hold real numbers")
    return array.astype(np.float32)


def check_rows(name: str, array: Weights) -> None:
    """Every row (..., T) is a distribution over T tokens, or all zero."""
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinity in it; weights are 0 to 1")
    if array.min() < 0:
        raise ValueError(f"{name} has {array.min():.3g} in it; weights are 0 to 1")
    sums = array.sum(-1)
    wrong = (np.abs(sums - 1) > 0.01) & (sums != 0)
    if wrong.any():
        where = ", ".join(str(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}[{where}] sums to {sums[wrong][0]:.3f}; each row must sum to 1 "
            "(scores before the softmax? weights after dropout?)"
        )


def check_index(name: str, value: int, size: int) -> int:
    """An index as Python counts them, -1 being the last, as 0 to size - 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; it must be a whole number")
    if not -size <= value < size:
        raise ValueError(f"{name} is {value}; it may be {-size} to {size - 1}")
    return int(value) % size


def encode(weights: Weights) -> str:
    """Weights as bytes q in base64, w = (q / 255)^2: 0.2 % is still not zero."""
    codes = np.rint(np.sqrt(np.minimum(weights, 1)) * 255).astype(np.uint8)
    return base64.b64encode(codes.tobytes()).decode()


def script() -> str:
    """The JavaScript, without its comments and indentation."""
    lines = (HERE / "attention.js").read_text(encoding="utf-8").splitlines()
    kept = [line.strip() for line in lines]
    return "\n".join(line for line in kept if line and not line.startswith("//"))


@dataclass(frozen=True, repr=False)
class AttentionView:
    """What `attention_view` returns; Jupyter shows it as HTML."""

    panes: list[Pane]
    layer: int
    head: int | str
    predict: int | None
    title: str
    alt: str

    def __repr__(self) -> str:
        layers, heads, size, _ = self.panes[0].weights.shape
        more = ", compared" if len(self.panes) > 1 else ""
        return f"<AttentionView {layers} layers x {heads} heads x {size} tokens{more}>"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data()).replace("<", r"\u003c")
        code = script()
        key = hashlib.sha256(f"{code}{data}".encode()).hexdigest()[:16]
        picture = base64.b64encode(self.png()).decode()
        image = (
            f'<img src="data:image/png;base64,{picture}" '
            f'alt="{html.escape(self.alt or self.describe())}" '
            'style="max-width:100%;height:auto">'
        )
        if self.predict is not None:  # where no script runs, a fold hides the answer
            image = (
                f"<details><summary>Guess first, then open</summary>{image}</details>"
            )
        return (
            f'{STYLE}<div class="attn-view" data-attn="{key}" '
            f'data-lm-suppress-shortcuts="true">{image}</div>\n'
            f'<script>(() => {{\n{code}\nmountAttention("{key}", {data});\n'
            "})()</script>"
        )

    def data(self) -> dict[str, Any]:
        """All that attention.js needs to know."""
        return {
            "title": self.title,
            "layer": self.layer,
            "head": self.head,
            "predict": self.predict,
            "views": [
                {
                    "label": pane.label,
                    "tokens": pane.tokens,
                    "layers": pane.weights.shape[0],
                    "heads": pane.weights.shape[1],
                    "b": pane.sentence_b,
                    "w": encode(pane.weights),
                }
                for pane in self.panes
            ],
        }

    def caption(self, pane: Pane) -> str:
        """Such as `trained: layer 3, head 0`."""
        head = self.head if isinstance(self.head, str) else f"head {self.head}"
        return f"{pane.label}{': ' if pane.label else ''}layer {self.layer}, {head}"

    def describe(self) -> str:
        """The picture in words: tokens, and the three largest weights."""
        parts = []
        for pane in self.panes:
            matrix = self.summary(pane)
            largest = np.argsort(-matrix, axis=None, kind="stable")[:3]
            pairs = [divmod(int(i), len(pane.tokens)) for i in largest]
            said = "; ".join(
                f"{pane.tokens[r]} to {pane.tokens[c]} {matrix[r, c]:.2f}"
                for r, c in pairs
            )
            parts.append(f"{self.caption(pane)}. Largest: {said}.")
        tokens = " ".join(self.panes[0].tokens)
        return f"Attention from each token to each, “{tokens}”. {' '.join(parts)}"

    def summary(self, pane: Pane) -> Weights:
        """The (T, T) weights that are shown first."""
        return pane.matrix(self.layer, self.head)

    def png(self) -> bytes:
        """The view's first sight as a picture of at most 64 colours."""
        style = ["default", str(HERE / "course.mplstyle")]
        with matplotlib.style.context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a token in another script
            size = max(len(pane.tokens) for pane in self.panes)
            side = min(1.6 + 0.24 * size, 7.0)
            figure = Figure(figsize=(side * len(self.panes), side), dpi=110)
            axes = figure.subplots(1, len(self.panes), squeeze=False)[0]
            for pane, axis in zip(self.panes, axes, strict=True):
                self.heatmap(axis, pane)
            raw = io.BytesIO()
            figure.savefig(raw, format="png", dpi=110)
        picture = Image.open(raw).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small = io.BytesIO()
        picture.save(small, "png", optimize=True)
        return small.getvalue()

    def heatmap(self, axis: Axes, pane: Pane) -> None:
        """Draw one pane's (T, T) weights with its tokens along both sides."""
        ramp = LinearSegmentedColormap.from_list("", [f"#{c}" for c in RAMP.split()])
        axis.imshow(np.sqrt(self.summary(pane)), cmap=ramp, vmin=0, vmax=1)
        names = [token[:14] for token in pane.tokens]
        size = 8 if len(names) <= 32 else 5
        style: dict[str, Any] = {"fontsize": size, "parse_math": False}
        axis.set_xticks(range(len(names)), names, rotation=90, **style)
        axis.set_yticks(range(len(names)), names, **style)
        axis.xaxis.tick_top()
        axis.xaxis.set_label_position("top")
        axis.set_xlabel("to")
        axis.set_ylabel("from")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_title(self.caption(pane), fontsize=10, parse_math=False)
