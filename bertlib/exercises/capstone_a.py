"""The checks of capstone A: the whole encoder, with published names, in 60 lines."""

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.corpus import load_results, minilm_folder
from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
)
from bertlib.exercises.lines import count_lines, foreign_parts

MOST_LINES = 60
Weights = dict[str, Tensor]


def _config(**changes: Any) -> SimpleNamespace:
    """Sizes of a small BERT, no two alike."""
    sizes = {
        "vocab_size": 23,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 9,
        "type_vocab_size": 2,
        "layer_norm_eps": 0.1,
    }
    return SimpleNamespace(**{**sizes, **changes})


CONFIGS = (
    _config(),
    _config(hidden_size=10, num_attention_heads=2, layer_norm_eps=0.01),
)


# --- names ---------------------------------------------------------------------------


def _linear(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, D: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


def _names_of_embeddings(c: SimpleNamespace) -> dict[str, tuple[int, ...]]:
    return {
        "word_embeddings.weight": (c.vocab_size, c.hidden_size),
        "position_embeddings.weight": (c.max_position_embeddings, c.hidden_size),
        "token_type_embeddings.weight": (c.type_vocab_size, c.hidden_size),
        **_norm("LayerNorm", c.hidden_size),
    }


def _names_of_attention(c: SimpleNamespace) -> dict[str, tuple[int, ...]]:
    D = c.hidden_size
    return {
        **_linear("self.query", D, D),
        **_linear("self.key", D, D),
        **_linear("self.value", D, D),
        **_linear("output.dense", D, D),
        **_norm("output.LayerNorm", D),
    }


def _names_of_layer(c: SimpleNamespace) -> dict[str, tuple[int, ...]]:
    D, width = c.hidden_size, c.intermediate_size
    return {
        **{f"attention.{name}": s for name, s in _names_of_attention(c).items()},
        **_linear("intermediate.dense", D, width),
        **_linear("output.dense", width, D),
        **_norm("output.LayerNorm", D),
    }


def _names_of_bert(c: SimpleNamespace) -> dict[str, tuple[int, ...]]:
    names = {f"embeddings.{n}": s for n, s in _names_of_embeddings(c).items()}
    for i in range(c.num_hidden_layers):
        names |= {f"encoder.layer.{i}.{n}": s for n, s in _names_of_layer(c).items()}
    return names | _linear("pooler.dense", c.hidden_size, c.hidden_size)


def _named(module: Any, names: dict[str, tuple[int, ...]], given: str) -> nn.Module:
    """The answer's module, ready to be compared, if its parameters have these names."""
    if not isinstance(module, nn.Module):
        raise Wrong(
            f"An nn.Module is needed, not {type(module).__name__}.",
            given=given,
            likely="the class does not inherit from nn.Module",
        )
    found = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {n: s for n, s in found.items() if not n.endswith("position_ids")}
    missing, extra = sorted(names.keys() - found), sorted(found.keys() - names)
    if missing or extra:
        raise Wrong(
            "The parameters do not bear the published names.",
            given=given,
            yours=f"has {_some(extra)}" if extra else "has no other name",
            expected=_some(missing) if missing else "no such parameter",
            likely=_name_mistake(missing, extra),
        )
    for name, shape in names.items():
        expect(
            found[name] == shape,
            f"{name} has shape {found[name]}; it must be {shape}.",
            given=given,
            likely="a number of one model is written into the class; take all sizes "
            "from config"
            if len(found[name]) == len(shape)
            else "",
        )
    return module.eval()


def _some(names: list[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _name_mistake(missing: list[str], extra: list[str]) -> str:
    if not extra:
        biases = all(name.endswith("bias") for name in missing)
        return (
            "bias=False: every linear layer has a bias"
            if biases
            else "a part is missing"
        )
    if not missing:
        return "a part too many, or a table kept as a parameter or buffer"

    def plain(name: str) -> str:
        return name.lower().replace("_", "").replace("layers.", "layer.")

    if {plain(n) for n in missing} == {plain(n) for n in extra}:
        return "the same words in another spelling: LayerNorm, layer, word_embeddings"
    if any("gamma" in n or "in_proj" in n for n in extra):
        return "the layers of another library, with their own names"
    if all(_shorter(n) & {*extra} for n in missing) or all(
        _shorter(n) & {*missing} for n in extra
    ):
        return "one level too few, or too many: the dots are modules within modules"
    return "a name says where a parameter lies: a.b.weight is self.a, in it b"


def _shorter(name: str) -> set[str]:
    """A name without one of its parts, whichever."""
    parts = name.split(".")
    return {".".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))}


# --- what is right, with PyTorch's functions alone -----------------------------------


def _filled(module: nn.Module) -> Weights:
    """Put random numbers into every parameter; return them by name."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.6)
    return {name: t.detach().clone() for name, t in module.state_dict().items()}


def _inside(weights: Weights, part: str) -> Weights:
    front = f"{part}."
    return {n.removeprefix(front): t for n, t in weights.items() if n.startswith(front)}


def _normed(x: Tensor, w: Weights, part: str, eps: float) -> Tensor:
    weight, bias = w[f"{part}.weight"], w[f"{part}.bias"]
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _through(x: Tensor, w: Weights, part: str) -> Tensor:
    return F.linear(x, w[f"{part}.weight"], w[f"{part}.bias"])


def _embed(w: Weights, ids: Tensor, types: Tensor, eps: float) -> Tensor:
    x = F.embedding(ids, w["word_embeddings.weight"])
    x = x + w["position_embeddings.weight"][: ids.size(1)]
    x = x + F.embedding(types, w["token_type_embeddings.weight"])
    return _normed(x, w, "LayerNorm", eps)


def _attend(w: Weights, x: Tensor, mask: Tensor, heads: int, eps: float) -> Tensor:
    names = ("self.query", "self.key", "self.value")
    mixed, _ = F.multi_head_attention_forward(
        *(x.transpose(0, 1),) * 3,
        x.size(-1),
        heads,
        torch.cat([w[f"{n}.weight"] for n in names]),
        torch.cat([w[f"{n}.bias"] for n in names]),
        None,
        None,
        False,
        0.0,
        w["output.dense.weight"],
        w["output.dense.bias"],
        False,
        ~mask,
        False,
    )
    return _normed(x + mixed.transpose(0, 1), w, "output.LayerNorm", eps)


def _layer(w: Weights, x: Tensor, mask: Tensor, c: SimpleNamespace) -> Tensor:
    heads, eps = c.num_attention_heads, c.layer_norm_eps
    x = _attend(_inside(w, "attention"), x, mask, heads, eps)
    hidden = F.gelu(_through(x, w, "intermediate.dense"))
    return _normed(x + _through(hidden, w, "output.dense"), w, "output.LayerNorm", eps)


def _bert(
    w: Weights, ids: Tensor, mask: Tensor, types: Tensor, c: SimpleNamespace
) -> Tensor:
    x = _embed(_inside(w, "embeddings"), ids, types, c.layer_norm_eps)
    for i in range(c.num_hidden_layers):
        x = _layer(_inside(w, f"encoder.layer.{i}"), x, mask, c)
    return x


# --- A.1 embeddings ------------------------------------------------------------------


@exercise("A.1")
def check_embeddings(cls: Any) -> None:
    """Three tables, added and normalised, with the published names."""
    for c in CONFIGS:
        given = f"config.hidden_size {c.hidden_size}, vocab_size {c.vocab_size}"
        module = _named(cls(c), _names_of_embeddings(c), given)
        w = _filled(module)
        for B, T in ((2, 3), (3, 3), (1, c.max_position_embeddings)):
            ids = torch.randint(1, c.vocab_size, (B, T))
            types = torch.arange(T).ge(T // 2).long().expand(B, T).clone()
            types[0] = 1
            expect_close(
                call(module, ids, types),
                _embed(w, ids, types, c.layer_norm_eps),
                "The embeddings are wrong.",
                given=f"input_ids and token_type_ids of shape {(B, T)}, "
                f"layer_norm_eps {c.layer_norm_eps}",
                mistakes=_embedding_mistakes(w, ids, types, c.layer_norm_eps),
            )
    _expect_gradient(module, ids, types)


def _embedding_mistakes(
    w: Weights, ids: Tensor, types: Tensor, eps: float
) -> dict[str, Tensor]:
    B, T = ids.shape
    words = F.embedding(ids, w["word_embeddings.weight"])
    places = w["position_embeddings.weight"][:T]
    kinds = F.embedding(types, w["token_type_embeddings.weight"])
    first_kind = w["token_type_embeddings.weight"][0]
    D = words.size(-1)

    def norm(x: Tensor, eps: float = eps) -> Tensor:
        return _normed(x, w, "LayerNorm", eps)

    wrong = {
        "LayerNorm is missing": words + places + kinds,
        "the segments are missing: token_type_embeddings": norm(words + places),
        "token_type_ids are not used; all tokens got segment 0": norm(
            words + places + first_kind
        ),
        "the positions are missing": norm(words + kinds),
        "every token got position 0": norm(words + places[:1] + kinds),
        "positions count from 0, and yours from 1": norm(
            words + w["position_embeddings.weight"].roll(-1, 0)[:T] + kinds
        ),
        "the words are multiplied by sqrt(D), as in another model": norm(
            words * D**0.5 + places + kinds
        ),
        "the tables are normalised one by one; add first": norm(words)
        + norm(places)
        + norm(kinds),
        "only the words are normalised; add first": norm(words) + places + kinds,
    }
    for own in (1e-5, 1e-12):
        wrong[f"eps of LayerNorm is {own}; take config.layer_norm_eps"] = norm(
            words + places + kinds, own
        )
    if B == T:
        wrong["the position is that of the sentence in the batch"] = norm(
            words + places[:, None] + kinds
        )
    return wrong


def _expect_gradient(module: nn.Module, *inputs: Any) -> None:
    """Every parameter must be able to learn."""
    module.zero_grad()
    out = module(*inputs)
    expect_tensor(out, "The result.")
    expect(
        out.requires_grad,
        "The result has lost its gradient.",
        given="the same input once more, and a loss on it",
        likely=".data, detach or torch.no_grad; stay with tensors",
    )
    (out * torch.randn_like(out)).sum().backward()
    for name, p in module.named_parameters():
        expect(
            p.grad is not None,
            f"No gradient reaches {name}.",
            given="the sum of what comes back, times random numbers; backward()",
            likely=".data, detach or torch.no_grad on the way, or it is not used",
        )


# --- A.2 attention -------------------------------------------------------------------


def _mixed(w: Weights, x: Tensor, mask: Tensor, heads: int, how: str = "") -> Tensor:
    """The attention of all heads, put together, with one known mistake."""
    B, T, D = x.shape
    q, k, v = (_through(x, w, f"self.{n}") for n in ("query", "key", "value"))
    if how == "exchanged":
        q, k = k, q
    shape, order = (B, T, heads, -1), (1, 2)
    if how == "split":
        shape, order = (B, heads, T, -1), (1, 1)
    q, k, v = (t.reshape(shape).transpose(*order) for t in (q, k, v))
    size = {"unscaled": 1, "by D": D}.get(how, D // heads)
    keep = {
        "unmasked": torch.ones_like(mask)[:, None, None],
        "inverted": ~mask[:, None, None],
        "queries": mask[:, None, :, None],
    }.get(how, mask[:, None, None])
    scores = q @ k.mT / size**0.5
    if how == "zeros":
        scores = scores * keep
    elif how != "late":
        scores = scores.masked_fill(~keep, -torch.inf)
    weights = scores.softmax(-2 if how == "axis" else -1)
    if how == "late":
        weights = weights * keep
    context = weights @ v
    return (context if how == "merge" else context.transpose(1, 2)).reshape(B, T, D)


_MIXED = {
    "unscaled": "the scores are not divided by the square root of a head's width",
    "by D": "divided by the square root of D; a head is D / H wide",
    "axis": "the softmax runs over the queries; each row, over the keys, sums to 1",
    "unmasked": "the mask is not used",
    "inverted": "the mask is inverted: True means look here",
    "queries": "the mask hides queries; nobody may look at padding, so hide the keys",
    "zeros": "hidden scores are 0, and e to the 0 is 1; they must be -inf",
    "late": "the mask comes after the softmax, and the rows no longer sum to 1",
    "exchanged": "query and key are exchanged",
    "split": "view(B, H, T, D/H) cuts tokens, not heads: view(B, T, H, D/H), then "
    "transpose(1, 2)",
    "merge": "the heads are put together in the wrong order: transpose(1, 2) before "
    "the reshape",
}


def _attention_mistakes(
    w: Weights, x: Tensor, mask: Tensor, heads: int, eps: float
) -> dict[str, Tensor]:
    def finish(context: Tensor, x: Tensor = x, eps: float = eps) -> Tensor:
        change = _through(context, w, "output.dense")
        return _normed(x + change, w, "output.LayerNorm", eps)

    plain = _mixed(w, x, mask, heads)
    wrong = {
        name: finish(_mixed(w, x, mask, heads, how)) for how, name in _MIXED.items()
    }
    change = _through(plain, w, "output.dense")
    before = _mixed(w, _normed(x, w, "output.LayerNorm", eps), mask, heads)
    return wrong | {
        "what went in is not added again (the residual)": finish(plain, 0 * x),
        "LayerNorm is missing": x + change,
        "output.dense is missing": _normed(x + plain, w, "output.LayerNorm", eps),
        "normalised before it is added; BERT adds first": x
        + _normed(change, w, "output.LayerNorm", eps),
        "LayerNorm stands in front; in BERT it comes after the sum": (
            x + _through(before, w, "output.dense")
        ),
        "eps of LayerNorm is PyTorch's own; take config.layer_norm_eps": finish(
            plain, eps=1e-5
        ),
        "the heads' result came back, without output": plain,
        "the change came back; it is added to what went in, and normalised": change,
    }


def _masks(B: int, T: int) -> Tensor:
    """(B, T): a token first, then padding of another length in each row."""
    lengths = torch.arange(B) % T + 1
    return torch.arange(T) < lengths[:, None]


@exercise("A.2")
def check_attention(cls: Any) -> None:
    """Against PyTorch's own multi-head attention, with padding."""
    for c in CONFIGS:
        heads, eps = c.num_attention_heads, c.layer_norm_eps
        given = f"config.hidden_size {c.hidden_size}, num_attention_heads {heads}"
        module = _named(cls(c), _names_of_attention(c), given)
        w = _filled(module)
        for B, T in ((2, 4), (heads, 5), (4, 4), (1, 1)):
            x, mask = torch.randn(B, T, c.hidden_size), _masks(B, T)
            if (B, T) == (2, 4):
                mask[:] = True  # the arithmetic first, then the mask
            expect_close(
                call(module, x, mask),
                _attend(w, x, mask, heads, eps),
                "The attention block is wrong.",
                given=f"x of shape {tuple(x.shape)}, {heads} heads, "
                f"{int((~mask).sum())} tokens of padding",
                mistakes=_attention_mistakes(w, x, mask, heads, eps),
            )
        _large_scores(module, w, c)
    _expect_gradient(module, x, mask)


def _large_scores(module: nn.Module, w: Weights, c: SimpleNamespace) -> None:
    x, mask = 300 * torch.randn(2, 4, c.hidden_size), _masks(2, 4)
    got = module(x, mask)
    expect_tensor(got, "The attention block.")
    expect(
        got.isfinite().all(),
        "Large scores give numbers that are not finite.",
        given="x of shape (2, 4, D), of size 300",
        likely="exp of a large number is infinite; use softmax",
    )
    hidden = x.clone()
    hidden[~mask] = 7.0
    expect_close(
        module(hidden, mask)[mask],
        got[mask],
        "What stands in padding changes the other tokens.",
        given="two inputs that differ in padding alone",
        likely="hidden scores are a small number, but not small enough: -inf, or "
        "torch.finfo(x.dtype).min",
    )


# --- A.3 the layer -------------------------------------------------------------------


@exercise("A.3")
def check_layer(cls: Any) -> None:
    """Attention, then the feed-forward part, each with residual and LayerNorm."""
    for c in CONFIGS:
        given = f"config.intermediate_size {c.intermediate_size}"
        module: Any = _named(cls(c), _names_of_layer(c), given)
        w = _filled(module)
        for B, T in ((2, 4), (3, 3)):
            x, mask = torch.randn(B, T, c.hidden_size), _masks(B, T)
            inner = _attend(
                _inside(w, "attention"),
                x,
                mask,
                c.num_attention_heads,
                c.layer_norm_eps,
            )
            expect_close(
                module.attention(x, mask),
                inner,
                "The attention in your layer is wrong.",
                given=f"x of shape {tuple(x.shape)}, module.attention(x, mask)",
                likely="your Attention of A.2; run its check",
            )
            expect_close(
                call(module, x, mask),
                _layer(w, x, mask, c),
                "The layer is wrong.",
                given=f"x of shape {tuple(x.shape)}, "
                f"{int((~mask).sum())} tokens of padding",
                mistakes=_layer_mistakes(w, x, mask, inner, c),
            )
    _expect_gradient(module, x, mask)


def _layer_mistakes(
    w: Weights, x: Tensor, mask: Tensor, inner: Tensor, c: SimpleNamespace
) -> dict[str, Tensor]:
    eps = c.layer_norm_eps

    def feed(y: Tensor, how: Any = F.gelu) -> Tensor:
        return _through(how(_through(y, w, "intermediate.dense")), w, "output.dense")

    def norm(y: Tensor, eps: float = eps) -> Tensor:
        return _normed(y, w, "output.LayerNorm", eps)

    every = torch.ones_like(mask)
    heads = c.num_attention_heads
    unmasked = _attend(_inside(w, "attention"), x, every, heads, eps)
    return {
        "the activation is missing": norm(inner + feed(inner, lambda y: y)),
        "ReLU in place of GELU": norm(inner + feed(inner, F.relu)),
        "GELU in its tanh form; hidden_act 'gelu' means the exact one": norm(
            inner + feed(inner, lambda y: F.gelu(y, approximate="tanh"))
        ),
        "the activation comes after the second linear layer, too": norm(
            inner + F.gelu(feed(inner))
        ),
        "the second residual is missing: add what came out of the attention": norm(
            feed(inner)
        ),
        "the second residual is the layer's input; it must be what came out of the "
        "attention": norm(x + feed(inner)),
        "the feed-forward part reads the layer's input; it must read what came out of "
        "the attention": norm(inner + feed(x)),
        "both parts read the layer's input side by side; they come one after the "
        "other": norm(x + feed(x)),
        "the last LayerNorm is missing": inner + feed(inner),
        "LayerNorm stands in front of the feed-forward part; it comes after the sum": (
            inner + feed(norm(inner))
        ),
        "normalised before it is added": inner + norm(feed(inner)),
        "eps of LayerNorm is PyTorch's own; take config.layer_norm_eps": norm(
            inner + feed(inner), 1e-5
        ),
        "the attention did not get the mask": norm(unmasked + feed(unmasked)),
        "the feed-forward part is missing": inner,
        "only the change came back": feed(inner),
    }


# --- A.4 the model -------------------------------------------------------------------


@exercise("A.4")
def check_bert(cls: Any) -> None:
    """Names of all parameters, vectors and pooler, with and without mask."""
    for layers in (1, 11):
        c = _config(num_hidden_layers=layers)
        _named(cls(c), _names_of_bert(c), f"config.num_hidden_layers {layers}")
    for c in (_config(num_hidden_layers=3), CONFIGS[1]):
        model = _named(cls(c), _names_of_bert(c), "a small config")
        _expect_own_layers(model, c)
        w = _filled(model)
        for B, T in ((2, 5), (4, 4)):
            ids = torch.randint(1, c.vocab_size, (B, T))
            types = torch.randint(0, 2, (B, T))
            for mask in (torch.ones(B, T).bool(), _masks(B, T)):
                _one_batch(model, w, ids, mask, types, c)
        _defaults(model, w, ids, types, c)
    _expect_gradient(_Pair(model), ids, None, types)


class _Pair(nn.Module):
    """Both results side by side, so that a gradient comes from both."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Tensor:
        hidden, pooled = self.model(*inputs)
        return torch.cat([hidden, pooled[:, None]], dim=1)


def _expect_own_layers(model: Any, c: SimpleNamespace) -> None:
    parameters = {id(p) for p in model.parameters()}
    expect(
        len(parameters) == len(_names_of_bert(c)),
        "Layers share their parameters.",
        given=f"num_hidden_layers {c.num_hidden_layers}",
        likely="[layer] * n repeats one and the same object; make each anew",
    )


def _pair_of(got: Any) -> tuple[Any, Any]:
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        "Two things must come back, the vectors (B, T, D) and the pooler's (B, D).",
        given="ids, mask and segments, all (B, T)",
        yours=f"{type(got).__name__}",
        likely="there is no return statement"
        if got is None
        else "return vectors, pooled",
    )
    return got[0], got[1]


def _one_batch(
    model: nn.Module,
    w: Weights,
    ids: Tensor,
    mask: Tensor,
    types: Tensor,
    c: SimpleNamespace,
) -> None:
    given = f"ids of shape {tuple(ids.shape)}, {int((~mask).sum())} tokens of padding"
    want = _bert(w, ids, mask, types, c)
    every = torch.ones_like(mask)

    def other(mask: Tensor = mask, types: Tensor = types, **changes: Any) -> Tensor:
        return _bert(w, ids, mask, types, SimpleNamespace(**(vars(c) | changes)))

    wrong = {
        "the mask is not handed on to the layers": other(mask=every),
        "token_type_ids are not handed on": other(types=torch.zeros_like(types)),
        "only the first layer runs": other(num_hidden_layers=1),
        "the last layer does not run": other(num_hidden_layers=c.num_hidden_layers - 1),
        "no layer runs": other(num_hidden_layers=0),
        "every layer reads the embeddings; each must read the one before": (
            _parallel(w, ids, mask, types, c)
        ),
    }
    for name, given_mask in (("bool", mask), ("whole numbers", mask.long())):
        hidden, pooled = _pair_of(call(model, ids, given_mask, types))
        expect_close(
            hidden,
            want,
            "The vectors are wrong.",
            given=f"{given}, the mask of {name}",
            mistakes=wrong,
            likely="~ on whole numbers is not 'not'; make the mask bool first"
            if given_mask.dtype != torch.bool
            else "a part of A.1 to A.3; run their checks",
            tol=1e-4,
        )
    _expect_pooled(pooled, want, w, given)


def _parallel(
    w: Weights, ids: Tensor, mask: Tensor, types: Tensor, c: SimpleNamespace
) -> Tensor:
    x = _embed(_inside(w, "embeddings"), ids, types, c.layer_norm_eps)
    return _layer(_inside(w, f"encoder.layer.{c.num_hidden_layers - 1}"), x, mask, c)


def _expect_pooled(pooled: Any, hidden: Tensor, w: Weights, given: str) -> None:
    line = _through(hidden, w, "pooler.dense")
    expect_close(
        pooled,
        line[:, 0].tanh(),
        "The pooler's vector is wrong.",
        given=given,
        mistakes={
            "tanh is missing": line[:, 0],
            "hidden[0] is the first sentence; the first token is hidden[:, 0]": (
                line[0].tanh()
            ),
            "the last token was taken; [CLS] is the first": line[:, -1].tanh(),
            "the mean over the tokens was taken": _through(
                hidden.mean(1), w, "pooler.dense"
            ).tanh(),
            "pooler.dense is missing": hidden[:, 0].tanh(),
            "the vector of [CLS] as it is, without the pooler": hidden[:, 0],
            "tanh comes before the linear layer": _through(
                hidden[:, 0].tanh(), w, "pooler.dense"
            ),
        },
        tol=1e-4,
    )


def _defaults(
    model: Any, w: Weights, ids: Tensor, types: Tensor, c: SimpleNamespace
) -> None:
    every, zeros = torch.ones_like(ids).bool(), torch.zeros_like(types)
    hidden, _ = _pair_of(model(ids, token_type_ids=types))
    expect_close(
        hidden,
        _bert(w, ids, every, types, c),
        "Without attention_mask, every token counts.",
        given="attention_mask None",
        likely="a mask of zeros hides everything; without a mask nothing is hidden",
        tol=1e-4,
    )
    with_padding = ids.clone()
    with_padding[:, -1] = 0
    for hidden in (model(ids)[0], model(input_ids=ids)[0]):
        expect_close(
            hidden,
            _bert(w, ids, every, zeros, c),
            "Without token_type_ids, all tokens are of segment 0.",
            given="ids alone",
            mistakes={"all are of segment 1": _bert(w, ids, every, zeros + 1, c)},
            tol=1e-4,
        )
    expect_close(
        model(with_padding)[0],
        _bert(w, with_padding, every, zeros, c),
        "Without attention_mask, every token counts, id 0 too.",
        given="ids that end in 0, attention_mask None",
        likely="the mask was made of the ids; only the caller knows what is padding",
        tol=1e-4,
    )


# --- A.5 real weights ----------------------------------------------------------------


@exercise("A.5")
def check_load(load: Any) -> None:
    """Small files of the check's own, MiniLM against transformers, and the lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, c in enumerate((_config(num_hidden_layers=3), CONFIGS[1])):
            model = _small_file(load, folder, c, old=bool(seed))
            _expect_own_code(load, model)
        _refuses_halves(load, folder)
    _agrees_with_transformers(load)
    _expect_few_lines(load, model)


def _expect_few_lines(load: Any, model: nn.Module) -> None:
    try:
        parts = count_lines(load, model)
    except OSError as error:
        raise Wrong(
            f"Your lines cannot be counted: {error}.",
            given="the functions and classes of your model",
            likely="a part was made by exec, and its source is not to be found",
        ) from None
    total = sum(parts.values())
    expect(
        total <= MOST_LINES,
        f"These are {total} lines; at most {MOST_LINES} are allowed.",
        given="every class and function of yours that the answer uses",
        yours=", ".join(f"{name} {n}" for name, n in parts.items()),
        likely="a name that is used once, or what PyTorch has in one call; comments, "
        "docstrings and line breaks do not count",
    )


def _small_file(load: Any, folder: Path, c: SimpleNamespace, old: bool) -> Any:
    """Write a checkpoint, let the answer load it, and compare."""
    names = _names_of_bert(c)
    w = {
        name: torch.randn(shape) * 0.6 + name.endswith("LayerNorm.weight")
        for name, shape in names.items()
    }
    ids_too = {"embeddings.position_ids": torch.arange(c.max_position_embeddings)[None]}
    folder.joinpath("config.json").write_text(json.dumps(vars(c)), encoding="utf-8")
    save_file(w | (ids_too if old else {}), folder / "model.safetensors")
    given = f"a checkpoint of {c.num_hidden_layers} layers, D = {c.hidden_size}"
    if old:
        given += ", with embeddings.position_ids as older files have it"
    try:
        model = load(folder)
    except NotImplementedError:
        raise
    except RuntimeError as error:
        raise Wrong(
            f"The file was refused: {str(error).splitlines()[-1].strip()}",
            given=given,
            likely="embeddings.position_ids holds the numbers 0, 1, 2 ... and is no "
            "parameter; leave it out"
            if "position_ids" in str(error)
            else "sizes of one model are written into your code; read config.json",
        ) from None
    if not isinstance(model, nn.Module):
        raise Wrong(
            f"A model must come back, not {type(model).__name__}.",
            given=given,
            likely="there is no return statement"
            if model is None
            else "the entries or what load_state_dict says; return the model",
        )
    ids = torch.randint(1, c.vocab_size, (3, 5))
    mask, types = _masks(3, 5), torch.randint(0, 2, (3, 5))
    with torch.no_grad():
        hidden, pooled = _pair_of(model(ids, mask, types))
        again, _ = _pair_of(model(ids, mask, types))
    expect(
        torch.equal(hidden, again),
        "The model gives other numbers each time.",
        given=given,
        likely="dropout: a model that is used and not trained is in eval mode",
    )
    expect(
        not any(part.training for part in model.modules()),
        "The model is in training mode; it must come back in eval mode.",
        given=given,
        likely=".eval() is missing",
    )
    fresh = {n: t.detach() for n, t in model.state_dict().items() if n in w}
    unlike = [n for n, t in fresh.items() if not torch.equal(t, w[n])]
    expect(
        not unlike,
        f"{_some(unlike)}: the file's numbers are not in the model.",
        given=given,
        likely="load_state_dict was not called, or strict=False passed over them",
    )
    want = _bert(w, ids, mask, types, c)
    expect_close(
        hidden,
        want,
        "The vectors are wrong.",
        given=given,
        likely="an entry went to another parameter of the same shape: query, key and "
        "value, or the two LayerNorms of a layer",
        tol=1e-4,
    )
    _expect_pooled(pooled, want, w, given)
    return model


def _refuses_halves(load: Any, folder: Path) -> None:
    """The last file once more, with an entry missing, and with one too many."""
    from safetensors.torch import load_file

    whole = load_file(folder / "model.safetensors")
    part = "encoder.layer.0.output.dense.bias"
    without = {name: t for name, t in whole.items() if name != part}
    for entries, what in (
        (without, f"without {part}"),
        (whole | {"cls.bias": torch.zeros(2)}, "with an entry cls.bias"),
    ):
        save_file(entries, folder / "model.safetensors")
        try:
            load(folder)
        except Exception:
            continue
        raise Wrong(
            "A file that does not fit must be refused with an error.",
            given=f"the checkpoint {what}",
            likely="strict=False: a part that is not in the file keeps its random "
            "numbers, and nobody notices",
        )


def _expect_own_code(load: Any, model: nn.Module) -> None:
    parts = foreign_parts(load, model)
    expect(
        not parts,
        f"{parts[:1] and parts[0]} is not your own code.",
        given="the classes and functions that your answer uses",
        likely="the model is to be yours; of bertlib, take data and checks alone",
    )


def _agrees_with_transformers(load: Any) -> None:
    """MiniLM's vectors, alone and padded, against the committed reference."""
    folder = minilm_folder()
    found = load_results("minilm_layers")
    want = torch.tensor(found["states"][-1])  # (T, 8)
    ids, types = torch.tensor(found["ids"]), torch.tensor(found["token_type_ids"])
    T = len(ids)
    model = load(folder)
    batch, mask = torch.zeros(2, T + 3, dtype=torch.long), torch.zeros(2, T + 3)
    kinds = torch.zeros_like(batch)
    batch[0, :T], batch[1] = ids, 2003
    mask[0, :T], mask[1] = 1, 1
    kinds[0, :T] = types
    with torch.no_grad():
        alone, _ = _pair_of(model(ids[None], None, types[None]))
        padded, _ = _pair_of(model(batch, mask.long(), kinds))
    for hidden, given in (
        (alone, "MiniLM and one pair of sentences"),
        (padded, "MiniLM and the same pair in a batch, with three tokens of padding"),
    ):
        off = (hidden[0, :T, :8] - want).abs().max().item()
        expect(
            off < 1e-5,
            f"The vectors are {off:.2g} away from those of transformers, at most.",
            given=given,
            expected="less than 1e-5",
            likely="layer_norm_eps is 1e-12 in this config, and PyTorch's own is 1e-5; "
            "or GELU in its tanh form"
            if off < 0.1
            else "",
        )
