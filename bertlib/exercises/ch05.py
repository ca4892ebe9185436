"""The checks of chapter 5: the model."""

from contextlib import suppress
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.config import BertConfig
from bertlib.exercises.checking import (
    Picture,
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)


@exercise("5.1")
def check_extend(extend: Any) -> None:
    """(B, T) -> (B, 1, 1, T), bool."""
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    given = f"attention_mask {show(mask)}"
    got = call(extend, mask)
    expect_tensor(got, "The extended mask.", given=given)
    want = mask.bool()[:, None, None, :]
    expect(
        got.dtype == torch.bool,
        f"The mask has dtype {got.dtype}; it must be torch.bool.",
        given=given,
        likely="numbers to add to the scores, as some libraries use; here a mask "
        "is a truth value: .bool()",
    )
    mistakes = {
        "the keys must be on the last axis; yours masks the queries": want.mT,
        "one axis of size 1 is missing: (B, 1, T) would take the batch for heads": (
            want[:, 0]
        ),
        "it is still (B, T), and broadcasting counts from the right": want[:, 0, 0],
        "the axes of size 1 stand in front; the batch must come first": want[:, 0, 0][
            None, None
        ],
        "the new axes stand behind; the keys must be on the last": want[:, 0, 0][
            :, :, None, None
        ],
        "it is inverted: True means look here": ~want,
        "the axes of heads and queries must have size 1; broadcasting repeats them, "
        "so there is nothing to expand": want.expand(-1, -1, 3, -1),
    }
    expect_close(
        got,
        want,
        "The extended mask is wrong.",
        given=given,
        mistakes=mistakes,
        likely="two new axes of size 1 between the batch and the keys: "
        "mask.bool()[:, None, None, :]",
        picture=Picture(_broadcast(got, (2, 1, 3, 3)), want.expand(2, 1, 3, 3)),
    )
    square = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    expect_close(
        call(extend, square),
        square.bool()[:, None, None, :],
        "A batch with as many sentences as tokens is extended wrongly.",
        given=f"attention_mask {show(square)}",
        likely="an axis was found by its size",
    )
    for dtype in (torch.bool, torch.int32, torch.uint8):
        got = call(extend, square.to(dtype))
        expect_tensor(got, "The extended mask.", given=f"a mask of dtype {dtype}")
        expect(
            got.dtype == torch.bool and torch.equal(got, square.bool()[:, None, None]),
            f"A mask of dtype {dtype} is extended wrongly.",
            given=f"attention_mask {show(square.to(dtype))}",
            likely="~ on whole numbers is not 'not'; make it bool first",
        )
    got = call(extend, torch.ones(1, 1, dtype=torch.long))
    expect_close(
        got,
        torch.ones(1, 1, 1, 1, dtype=torch.bool),
        "One sentence of one token is extended wrongly.",
        given="attention_mask [[1]]",
        likely="squeeze removes the axes of the batch and the keys, too",
    )


def _broadcast(mask: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """The mask as the weights would see it, or None where it does not fit them."""
    try:
        return torch.broadcast_to(mask, shape)
    except RuntimeError:
        return None


def _linear(module: Any, name: str, D: int, given: str) -> nn.Linear:
    """The answer's layer of this name, with random weight and bias."""
    layer = getattr(module, name, None)
    expect(
        isinstance(layer, nn.Linear)
        and layer.weight.shape == (D, D)
        and layer.bias is not None,
        f"There must be a layer self.{name} = nn.Linear(D, D), with bias.",
        given=given,
        likely="another name, another width, or bias=False",
    )
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=0.5)
    nn.init.normal_(layer.bias, std=0.5)
    return layer


@exercise("5.2")
def check_pooler(cls: Any) -> None:
    """tanh(dense(first token))."""
    for B, T, D in [(2, 3, 4), (3, 3, 5), (1, 1, 2), (3, 3, 3)]:
        module = cls(D)
        given = f"hidden of shape {(B, T, D)}"
        dense = _linear(module, "dense", D, given)
        hidden = torch.randn(B, T, D)
        line = F.linear(hidden, dense.weight, dense.bias)
        expect_close(
            call(module, hidden),
            line[:, 0].tanh(),
            "The pooler's output is wrong.",
            given=given,
            mistakes={
                "tanh is missing": line[:, 0],
                "tanh comes before the linear layer": F.linear(
                    hidden[:, 0].tanh(), dense.weight, dense.bias
                ),
                "hidden[0] is the first sentence; the first token of every "
                "sentence is hidden[:, 0]": line[0].tanh(),
                "the mean over the tokens was taken; the pooler reads the first": (
                    F.linear(hidden.mean(1), dense.weight, dense.bias).tanh()
                ),
                "every token was pooled, and the mean taken afterwards": (
                    line.tanh().mean(1)
                ),
                "the last token was taken; [CLS] is the first": line[:, -1].tanh(),
                "all tokens came back; only the first is wanted": line.tanh(),
                "the axis of the tokens is still there; index with 0, not 0:1": (
                    line[:, :1].tanh()
                ),
                "a ReLU or another function in place of tanh": line[:, 0].relu(),
                "a sigmoid in place of tanh": line[:, 0].sigmoid(),
                "the first number of every token was taken: hidden[:, :, 0]": (
                    F.linear(hidden[:, :, 0], dense.weight, dense.bias).tanh()
                    if T == D
                    else line
                ),
            },
            likely="self.dense, then tanh, on hidden[:, 0]",
        )
    _pooler_gradient(cls)


def _pooler_gradient(cls: Any) -> None:
    module = cls(4)
    dense = _linear(module, "dense", 4, "D = 4")
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    out = module(hidden)
    given = "hidden of shape (2, 3, 4)"
    expect(
        out.requires_grad,
        "The result has lost its gradient.",
        given=given,
        likely="detach, .data or torch.no_grad; stay with tensors",
    )
    out.sum().backward()
    found = [hidden.grad, dense.weight.grad, dense.bias.grad]
    for grad, name in zip(found, ["hidden", "dense.weight", "dense.bias"], strict=True):
        expect(
            grad is not None,
            f"No gradient reaches {name}.",
            given=given,
            likely="detach, .data or torch.no_grad; stay with tensors",
        )


class _Tree(nn.Module):
    """Parts at several depths: what an initialisation has to find."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(1000, 60, padding_idx=0)
        self.places = nn.Embedding(1000, 60)
        self.late_padding = nn.Embedding(1000, 60, padding_idx=3)
        inner = nn.Sequential(nn.Linear(60, 500), nn.LayerNorm(500))
        self.deep = nn.ModuleList([inner, nn.Linear(500, 60, bias=False)])
        self.decoder = nn.Linear(60, 1000)
        self.decoder.weight = self.places.weight  # shared


@exercise("5.3")
def check_initialise(initialise: Any) -> None:
    """Normal weights, zero biases, LayerNorm 1 and 0, zero padding row."""
    for std in (0.02, 0.5):
        tree = _Tree()
        for part in tree.modules():  # not as PyTorch makes it, but used
            if isinstance(part, nn.LayerNorm):
                nn.init.constant_(part.weight, 2.0)
                nn.init.constant_(part.bias, 3.0)
        before = list(tree.parameters())
        initialise(tree, std)
        given = f"a module with nested parts, std = {std}"
        for name, part in tree.named_modules():
            if isinstance(part, nn.Linear):
                _first_weights(name, part.weight, std, given)
                if part.bias is not None:
                    expect(
                        not part.bias.any(),
                        f"The bias of {name} must be 0.",
                        given=given,
                        likely="biases are left as nn.Linear makes them, or drawn "
                        "at random, too: nn.init.zeros_",
                    )
            if isinstance(part, nn.Embedding):
                rows = torch.ones(1000, dtype=torch.bool)
                if part.padding_idx is not None:
                    rows[part.padding_idx] = False
                _first_weights(name, part.weight[rows], std, given)
                expect(
                    not part.weight[~rows].any(),
                    f"The padding row of {name} must be 0.",
                    given=f"nn.Embedding(1000, 60, padding_idx={part.padding_idx})",
                    likely="normal_ overwrites it; `if padding_idx:` misses row 0; "
                    "ask `is not None`",
                )
            if isinstance(part, nn.LayerNorm):
                expect(
                    bool((part.weight == 1).all()) and not part.bias.any(),
                    "LayerNorm must begin with weight 1 and bias 0.",
                    given=f"{given}; LayerNorm has weight 2 and bias 3 before",
                    likely="it was left as it was; a model may be initialised twice"
                    if bool((part.weight == 2).all() or (part.bias == 3).all())
                    else "its weight is not a weight like the others: draw only "
                    "those of nn.Linear and nn.Embedding",
                )
        expect(
            tree.decoder.weight is tree.places.weight,
            "Two layers shared a weight, and no longer do.",
            given="decoder.weight is places.weight",
            likely="a new nn.Parameter was put in place; fill the old one: "
            "nn.init.normal_",
        )
        expect(
            [*map(id, before)] == [*map(id, tree.parameters())],
            "A parameter is not the same object any more.",
            given=f"{given}; an optimizer may hold the old ones",
            likely="a new nn.Parameter was put in place; fill the old one: "
            "nn.init.zeros_, nn.init.ones_",
        )
        expect(
            all(p.requires_grad and p.is_leaf for p in tree.parameters()),
            "A parameter can no longer be trained.",
            given=given,
            likely="requires_grad was switched off and not on again",
        )
    _first_weights_itself(initialise)


def _first_weights(name: str, weight: Tensor, std: float, given: str) -> None:
    what = f"The weights of {name} must be normal with standard deviation {std}."
    w = weight.detach()
    found, largest = w.std().item() / std, w.abs().max().item() / std
    likely = ""
    if w.unique().numel() < 100:
        likely = "all weights are the same number; they must be drawn"
    elif abs(found / std - 1) < 0.03:
        likely = "std was squared: the variance is std ** 2, normal_ wants std"
    elif abs(found * std**0.5 - 1) < 0.03:
        likely = "normal_ wants the standard deviation, not its square root"
    elif abs(found * std / 0.02 - 1) < 0.03 and std != 0.02:
        likely = "0.02 is written into the function; use std"
    elif abs(found * std - 1) < 0.03 and abs(w.mean().item() / std - 1) < 0.5:
        likely = "the second argument of normal_ is the mean: write std=std"
    elif abs(found * std - 1) < 0.03 and abs(w.mean().item()) < 0.1:
        likely = "standard deviation 1: std is not used, or the part not reached"
    elif abs(found - 0.88) < 0.03 and largest < 2.01:
        likely = "a truncated normal: cutting the tails off takes spread away"
    elif largest < 1.8 * found:
        likely = "a uniform distribution; or the part was not reached: it is nested, "
        likely += "and children() gives the direct parts only"
    else:
        likely = "std is not used: another recipe, or a number of your own"
    expect(abs(found - 1) < 0.03, what, given=given, likely=likely)
    expect(
        abs(w.mean().item()) < 0.05 * std,
        f"The weights of {name} must have mean 0.",
        given=given,
        likely="a shift; the second argument of normal_ is the mean: write std=std",
    )
    expect(
        largest > 2.5,
        what,
        given=given,
        likely="a uniform distribution of the right spread; it must be normal",
    )


def _first_weights_itself(initialise: Any) -> None:
    torch.manual_seed(1)
    first, second = nn.Linear(100, 100), nn.Linear(100, 100)
    initialise(nn.ModuleList([first, second]), 0.1)
    expect(
        not torch.equal(first.weight, second.weight),
        "Two layers of the same size got the same weights.",
        given="two nn.Linear(100, 100) in one module, std = 0.1",
        likely="the seed is set anew for each part",
    )
    alone = nn.Linear(100, 100)
    initialise(alone, 0.1)
    expect(
        abs(alone.weight.std().item() / 0.1 - 1) < 0.05 and not alone.bias.any(),
        "A module that has no parts is left as it was.",
        given="module = nn.Linear(100, 100), std = 0.1",
        likely="children() leaves the module itself out; modules() includes it",
    )


def _config(**changes: Any) -> BertConfig:
    sizes: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "max_position_embeddings": 10,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-5,
    }
    return BertConfig(**{**sizes, **changes})


def _oracle(
    model: Any,
    config: BertConfig,
    ids: Tensor,
    mask: Tensor,
    segments: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The answer's weights in PyTorch's own layers: hidden, pooled, attentions."""
    D, H, eps = config.hidden_size, config.num_attention_heads, config.layer_norm_eps
    part = model.embeddings
    x = F.embedding(ids, part.word_embeddings.weight)
    x = x + part.position_embeddings.weight[: ids.size(1)]
    x = x + F.embedding(segments, part.token_type_embeddings.weight)
    x = F.layer_norm(x, (D,), part.layer_norm.weight, part.layer_norm.bias, eps)
    attentions = []
    for layer in model.encoder.layers:
        other = nn.TransformerEncoderLayer(
            D, H, config.intermediate_size, 0.0, "gelu", eps, batch_first=True
        )
        inner: Any = layer.attention
        linears = [inner.query, inner.key, inner.value]
        with torch.no_grad():
            attn = other.self_attn
            attn.in_proj_weight.copy_(torch.cat([p.weight for p in linears]))
            attn.in_proj_bias.copy_(torch.cat([p.bias for p in linears]))
            attn.out_proj.weight.copy_(inner.output.weight)
            attn.out_proj.bias.copy_(inner.output.bias)
        other.linear1, other.linear2 = layer.intermediate, layer.output
        other.norm1, other.norm2 = layer.attention_norm, layer.output_norm
        other.train()  # the explicit path; dropout is 0
        _, weights = attn(x, x, x, key_padding_mask=~mask, average_attn_weights=False)
        attentions.append(weights)
        x = other(x, src_key_padding_mask=~mask)
    dense = model.pooler.dense
    return x, F.linear(x[:, 0], dense.weight, dense.bias).tanh(), attentions


def _built(cls: Any, config: BertConfig) -> Any:
    """A fresh answer with its parts in place and no two parameters alike."""
    model = cls(config)
    for name in ("embeddings", "encoder", "pooler"):
        expect(
            isinstance(getattr(model, name, None), nn.Module),
            f"There must be a part self.{name}.",
            given=f"a model of {config.num_hidden_layers} layers",
            likely="the names are embeddings, encoder and pooler",
        )
    model.eval()
    return model


@exercise("5.4")
def check_model(cls: Any) -> None:
    """The assembled model against nn.TransformerEncoderLayer."""
    config = _config()
    model = _built(cls, config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    ids = torch.randint(1, 50, (4, 4))
    lengths = torch.tensor([2, 4, 3, 4])
    mask = torch.arange(4) < lengths[:, None]
    segments = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]])
    everywhere, nowhere = torch.ones_like(mask), torch.zeros_like(segments)
    cases = [
        ("3 tokens, no mask, no segments", ids[:2, :3], None, None),
        ("two segments, no mask", ids, None, segments),
        ("B = 4, T = 4; a mask of 0 and 1", ids, mask.long(), segments),
        ("a mask of bool, B = 2, T = 4", ids[:2], mask[:2], segments[:2]),
    ]
    for given, i, m, s in cases:
        full = everywhere[: len(i), : i.size(1)] if m is None else m.bool()
        kinds = nowhere[: len(i), : i.size(1)] if s is None else s
        result = call(model, i, m, s)
        _compare(result, _oracle(model, config, i, full, kinds), model, config, given,
                 (i, full, kinds))  # fmt: skip
    _model_start(cls)
    _model_gradient(cls)


def _compare(
    result: Any,
    want: tuple[Tensor, Tensor, list[Tensor]],
    model: Any,
    config: BertConfig,
    given: str,
    inputs: tuple[Tensor, Tensor, Tensor],
) -> None:
    expect(
        isinstance(result, tuple) and len(result) == 3,
        f"Three things must come back, and {type(result).__name__} did.",
        given=given,
        likely="return hidden, pooled, attentions",
    )
    hidden, pooled, attentions = result
    ids, mask, segments = inputs
    none = _oracle(model, config, ids, mask, torch.zeros_like(segments))
    open_ = _oracle(model, config, ids, torch.ones_like(mask), segments)
    expect_tensor(hidden, "The vectors of the tokens.", given=given)
    real = mask if hidden.shape == want[0].shape else slice(None)
    mistakes = {}
    if not torch.equal(none[0], want[0]):
        mistakes["token_type_ids are not used"] = none[0][real]
    if not torch.equal(open_[0], want[0]):
        mistakes["the mask is not used"] = open_[0][real]

    def through(mask: Tensor, kinds: Tensor) -> Tensor:
        return model.encoder(model.embeddings(ids, kinds), mask)[0][real]

    if not mask.all():
        mistakes["the mask is inverted: True marks a token"] = through(
            ~mask[:, None, None], segments
        )
        mistakes["the mask hides queries; the keys are on the last axis"] = through(
            mask[:, None, :, None], segments
        )
    if segments.any():
        mistakes["the segments were taken for the mask; the order is input_ids, "
                 "attention_mask, token_type_ids"] = through(
            segments.bool()[:, None, None], torch.zeros_like(segments)
        )  # fmt: skip
    expect_close(
        hidden[real],
        want[0][real],
        "The vectors of the tokens differ from those of PyTorch's own layers.",
        given=given,
        mistakes=mistakes,
        likely="embeddings, then encoder; a mask (B, T) that was not extended is "
        "taken for (queries, keys)",
    )
    expect_close(
        pooled,
        want[1],
        "The vectors are right, and the pooler's output is not.",
        given=given,
        mistakes={
            "the pooler was given the embeddings, not the encoder's result": (
                model.pooler(model.embeddings(ids, segments))
            ),
            "the first vector came back without the pooler": want[0][:, 0],
        },
        likely="self.pooler(hidden), with the encoder's result for hidden",
    )
    expect(
        isinstance(attentions, tuple | list)
        and len(attentions) == config.num_hidden_layers,
        "The attentions must be a tuple with one entry for each layer.",
        given=given,
        likely="output_attentions=True is missing in the call of the encoder",
    )
    for number, (got, theirs) in enumerate(zip(attentions, want[2], strict=True)):
        expect_close(
            got,
            theirs,
            f"The attention weights of layer {number} are wrong.",
            given=given,
            likely="return what the encoder gives for each layer, in order",
        )


def _model_start(cls: Any) -> None:
    for std in (0.02, 0.3):
        config = _config(vocab_size=900, hidden_size=60, initializer_range=std)
        model = cls(config)
        given = f"initializer_range = {std}"
        parts = {
            "embeddings": model.embeddings.word_embeddings,
            "encoder": model.encoder.layers[1].intermediate,
            "pooler": model.pooler.dense,
        }
        for name, part in parts.items():
            weight = part.weight.detach()
            expect(
                abs(weight.std().item() / std - 1) < 0.1,
                f"The first weights of {name} do not have standard deviation {std}.",
                given=given,
                likely="initialise is not called, or before the parts were made, or "
                "with a fixed number in place of config.initializer_range",
            )
        for name, part in model.named_modules():
            padding = getattr(part, "padding_idx", None)
            bias = getattr(part, "bias", None)
            expect(
                not (isinstance(bias, nn.Parameter) and bias.any())
                and not (isinstance(part, nn.LayerNorm) and (part.weight != 1).any())
                and not (padding is not None and part.weight[padding].any()),
                f"{name} does not start as exercise 5.3 asks: biases and the padding "
                "row 0, LayerNorm weight 1.",
                given=given,
                likely="all parameters were drawn alike; call your initialise",
            )


def _model_gradient(cls: Any) -> None:
    config = _config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = _built(cls, config)
    ids = torch.randint(1, 50, (2, 5))
    given = "input_ids (2, 5), no mask, segments 0; a loss on both results"
    hidden, pooled, _ = model(ids, None, torch.zeros_like(ids))
    expect(
        hidden.requires_grad and pooled.requires_grad,
        "The result has lost its gradient.",
        given=given,
        likely="detach, .data or torch.no_grad; stay with tensors",
    )
    # A plain sum of a LayerNorm's output has no gradient.
    (hidden * torch.randn_like(hidden)).sum().backward(retain_graph=True)
    pooled.square().sum().backward()
    for name, parameter in model.named_parameters():
        expect(
            parameter.grad is not None,
            f"No gradient reaches {name}.",
            given=given,
            likely="a part that is made and not used, or a detach on the way",
        )


@exercise("5.5")
def check_count(count: Any) -> None:
    """Parameters by formula."""
    for sizes in [
        (1, 2, 4, 7, 11, 3, 2),
        (2, 2, 6, 13, 17, 5, 2),
        (3, 1, 10, 9, 23, 8, 3),
        (5, 2, 8, 32, 19, 6, 1),
        (1, 5, 15, 20, 40, 12, 4),
    ]:
        L, H, D, F_, V, P, S = sizes
        config = _config(
            num_hidden_layers=L,
            num_attention_heads=H,
            hidden_size=D,
            intermediate_size=F_,
            vocab_size=V,
            max_position_embeddings=P,
            type_vocab_size=S,
        )
        _expect_count(count(config), config, f"L={L}, H={H}, D={D}, F={F_}, V={V}, "
                      f"P={P}, S={S}")  # fmt: skip
    base = BertConfig(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
    )
    _expect_count(count(base), base, "BERT-base")


def _numel(config: BertConfig) -> int:
    """What PyTorch's own modules hold, built without memory."""
    D = config.hidden_size
    with torch.device("meta"):
        parts: list[nn.Module] = [
            nn.Embedding(rows, D)
            for rows in (
                config.vocab_size,
                config.max_position_embeddings,
                config.type_vocab_size,
            )
        ]
        parts += [nn.LayerNorm(D), nn.Linear(D, D)]
        parts += [
            nn.TransformerEncoderLayer(D, 1, config.intermediate_size)
            for _ in range(config.num_hidden_layers)
        ]
    return sum(p.numel() for part in parts for p in part.parameters())


def _expect_count(got: Any, config: BertConfig, given: str) -> None:
    want = _numel(config)
    if got is None:
        raise Wrong(
            "A number must come back, not None.",
            given=given,
            likely="there is no return statement",
        )
    expect(
        isinstance(got, Real | Tensor) and not isinstance(got, bool),
        f"A whole number must come back, not {type(got).__name__}.",
        given=given,
        likely="one number for all parts together: add them up",
    )
    if float(got) == want:
        return
    L, D, F_ = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    H, P, S = (
        config.num_attention_heads,
        config.max_position_embeddings,
        config.type_vocab_size,
    )
    off = {
        "the biases of attention are missing: 4 D per layer": -4 * L * D,
        "the biases of the feed-forward part are missing: F + D per layer": -L
        * (F_ + D),
        "all biases of the layers are missing": -L * (5 * D + F_),
        "all biases are missing": -L * (5 * D + F_) - D,
        "one of a layer's two LayerNorms is missing": -2 * L * D,
        "both LayerNorms of the layers are missing": -4 * L * D,
        "all LayerNorms are missing": -4 * L * D - 2 * D,
        "a LayerNorm has weight and bias, 2 D": -2 * L * D - D,
        "the LayerNorm of the embeddings is missing": -2 * D,
        "the pooler is missing": -(D * D + D),
        "the table of words is missing": -config.vocab_size * D,
        "there is no layer that goes back to the words yet": config.vocab_size * D,
        "the bias of the second feed-forward layer has D numbers, not F": L * (F_ - D),
        "the bias of the first feed-forward layer has F numbers, not D": L * (D - F_),
        "the positions are missing": -P * D,
        "the segments are missing": -S * D,
        "the pooler's bias is missing": -D,
        "attention's output layer is missing: there are four D by D layers": -L
        * (D * D + D),
        "the pooler was counted once per layer": (L - 1) * (D * D + D),
        "attention was counted once per head; the heads share the width": (H - 1)
        * L
        * 4
        * (D * D + D),
        "the feed-forward part has two layers, D to F and F to D": -L * (F_ * D + D),
        "only one layer was counted; there are num_hidden_layers": -(L - 1)
        * (4 * (D * D + D) + 2 * D * F_ + F_ + D + 4 * D),
    }
    # 4 L D is both attention's biases and the LayerNorms of the layers.
    names = [name for name, amount in off.items() if amount == float(got) - want]
    raise Wrong(
        "The number of parameters is wrong.",
        given=given,
        yours=show(got),
        expected=f"{want}, which is {abs(float(got) - want):.0f} "
        f"{'more' if got < want else 'fewer'}",
        likely=", or ".join(names) or "go through the table part by part",
    )


def _names(L: int) -> dict[str, str]:
    """Published name -> ours, written out, for L layers."""
    inside = {
        "attention.self.query": "attention.query",
        "attention.self.key": "attention.key",
        "attention.self.value": "attention.value",
        "attention.output.dense": "attention.output",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "intermediate",
        "output.dense": "output",
        "output.LayerNorm": "output_norm",
    }
    names = {
        f"encoder.layer.{i}.{theirs}": f"encoder.layers.{i}.{ours}"
        for i in range(L)
        for theirs, ours in inside.items()
    }
    names["embeddings.LayerNorm"] = "embeddings.layer_norm"
    names["pooler.dense"] = "pooler.dense"
    both = {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    for table in ("word", "position", "token_type"):
        name = f"embeddings.{table}_embeddings.weight"
        both[name] = name
    return both


@exercise("5.6")
def check_our_name(our_name: Any) -> None:
    """Published names to ours."""
    names = _names(12)
    first: dict[str, str] = {}
    for theirs, ours in names.items():
        got = our_name(theirs)
        given = repr(theirs)
        expect(
            isinstance(got, str),
            f"A string must come back, not {type(got).__name__}.",
            given=given,
            likely="there is no return statement" if got is None else "",
        )
        if got != ours:
            raise Wrong(
                "A name is translated wrongly.",
                given=given,
                yours=repr(got),
                expected=repr(ours),
                likely=_name_mistake(theirs, got, ours),
            )
        expect(
            got not in first,
            "Two published names became one.",
            given=f"{given} and {first.get(got)!r}",
            likely="a part of the name was cut off that tells the two apart",
        )
        first[got] = theirs


def _name_mistake(theirs: str, got: str, ours: str) -> str:
    if got == theirs and ".layer." in theirs:
        return "str.replace returns a new string and leaves the old one alone"
    if "pooler" in theirs:
        return "the pooler keeps its dense; replace longer names than 'dense' alone"
    if "embeddings" in theirs and "layer_norm" not in ours:
        return "names of the embeddings' tables stay as they are"
    if ".layer." in got:
        return "encoder.layer. must become encoder.layers., for every number"
    if ".10." in theirs or ".11." in theirs:
        return "a layer's number may have two digits"
    if "attention.output_norm" in got or "attention.LayerNorm" in got:
        return "'output.LayerNorm' is a part of 'attention.output.LayerNorm': take "\
            "the longer name first"  # fmt: skip
    if "attention_norm" in got and "attention.output" in ours:
        return "attention has a dense and a LayerNorm in its output; keep them apart"
    if "self" in got:
        return "'attention.self.' must become 'attention.'"
    if "LayerNorm" in got:
        return "LayerNorm is called attention_norm, output_norm or layer_norm here"
    if "layer_norm" in got:
        return "only the embeddings' LayerNorm is called layer_norm"
    if "dense" in got:
        return "'.dense' falls away in the layers"
    return "go through the table entry by entry"


@exercise("5.7")
def check_mean_pool(mean_pool: Any) -> None:
    """Mean over tokens, not over padding."""
    hidden = torch.tensor([[[1.0, 5.0], [3.0, 3.0], [8.0, 9.0], [4.0, 5.0]]])
    mask = torch.tensor([[1, 1, 0, 0]])
    given = f"hidden {show(hidden)}; attention_mask {show(mask)}"
    keep = mask[:, :, None]
    expect_close(
        call(mean_pool, hidden, mask),
        torch.tensor([[2.0, 4.0]]),
        "The mean is wrong.",
        given=given,
        mistakes={
            "the mean runs over padding too": hidden.mean(1),
            "padding is left out of the sum, and still counted: divide by the "
            "number of tokens, not by T": (hidden * keep).mean(1),
            "the sum came back; divide by the number of tokens": (hidden * keep).sum(1),
            "padding is left out of the count, and still in the sum: set its vectors "
            "to 0": hidden.sum(1) / 2,
            "one token too many was counted; .clamp(min=1) guards against 0 without "
            "adding 1": (hidden * keep).sum(1) / 3,
            "the mask is inverted: 1 means a token": hidden[:, 2:].mean(1),
            "the largest was taken, not the mean": hidden[:, :2].amax(1),
            "only the first token was taken": hidden[:, 0],
            "special tokens count too; nothing else is left out": hidden[:, 1],
            "the mean runs over the width": hidden.mean(2),
        },
        likely="add the vectors of the tokens up, and divide by their number",
    )
    hidden = torch.randn(3, 4, 5)
    lengths = torch.tensor([4, 1, 2])
    mask = torch.arange(4) < lengths[:, None]
    want = torch.stack([x[:n].mean(0) for x, n in zip(hidden, lengths, strict=True)])
    total = (hidden * mask[:, :, None]).sum(1)
    for dtype in (torch.long, torch.bool):
        expect_close(
            call(mean_pool, hidden, mask.to(dtype)),
            want,
            "The means of a batch are wrong.",
            given=f"hidden (3, 4, 5), lengths [4, 1, 2], a mask of {dtype}",
            mistakes={
                "the mean runs over padding too": hidden.mean(1),
                "the number of tokens was counted over the whole batch": total
                / mask.sum(),
                "one mean over all tokens of the batch; each sentence has its own": (
                    hidden[mask].mean(0)
                ),
                "every sentence was divided by the length of the first": total / 4,
            },
            likely="the mask needs an axis for the width: mask[:, :, None]",
        )
    empty = torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0]])
    got = call(mean_pool, hidden[:2], empty)
    expect_close(
        got,
        torch.stack([torch.zeros(5), hidden[1, :2].mean(0)]),
        "A sentence without tokens must give 0.",
        given="hidden (2, 4, 5), attention_mask [[0, 0, 0, 0], [1, 1, 0, 0]]",
        likely="0/0 is NaN: divide by at least 1, .clamp(min=1)",
    )
    x = torch.randn(3, 3, 4, requires_grad=True)
    given = "hidden (3, 3, 4), attention_mask [[1, 1, 0], [1, 1, 1], [0, 0, 0]]"
    result = mean_pool(x, torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]]))
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given=given,
        likely="detach, .item() or torch.no_grad; stay with tensors",
    )
    result.sum().backward()
    share = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 0]])
    expect_close(
        x.grad,
        share[:, :, None].expand(3, 3, 4),
        "The gradient is wrong.",
        given=given,
        likely="0/0 was hidden afterwards; its gradient is NaN: divide by at least 1"
        if x.grad is not None and x.grad.isnan().any()
        else "a part was detached; each token of a sentence of n adds 1/n",
    )


def _cells_read(previous_score: Any, weights: Tensor) -> Tensor | None:
    """How much each weight adds to the scores: their gradient, where they have one."""
    weights = weights.clone().requires_grad_()
    with suppress(Exception):  # what is wrong with it, the check says
        previous_score(weights).sum().backward()
    return weights.grad


def _cells(weights: Tensor) -> Tensor:
    """The same for the right score: the T - 1 weights below the diagonal, alike."""
    share = 1 / (weights.size(-1) - 1)
    return torch.ones_like(weights).triu(-1).tril(-1) * share


@exercise("5.8")
def check_previous_score(previous_score: Any) -> None:
    """Mean weight on the token before, per head."""
    a = torch.tensor([[0.6, 0.3, 0.1], [0.7, 0.1, 0.2], [0.5, 0.4, 0.1]])[None, None]
    given = f"one layer, one head, weights {show(a[0, 0])}"
    expect_close(
        call(previous_score, a),
        torch.tensor([[0.55]]),
        "The score is wrong: the tokens before have weights 0.7 and 0.4.",
        given=given,
        mistakes={
            "the token after was scored: rows look, columns are looked at": (
                torch.tensor([[0.25]])
            ),
            "the first token counts too: there are T - 1 tokens with one before": (
                torch.tensor([[1.1 / 3]])
            ),
            "the first token's look at the last was counted: roll and index -1 wrap "
            "around": torch.tensor([[1.2 / 3]]),
            "the sum came back, not the mean": torch.tensor([[1.1]]),
            "a token's look at itself was scored": torch.tensor([[0.8 / 3]]),
            "the diagonal runs over the first axes; name the last two: dim1=-2, "
            "dim2=-1": a.diagonal(offset=-1).mean(-1),
            "one number for all heads; each head has its own": torch.tensor(0.55),
            "the mean over the tokens is missing": torch.tensor([[[0.7, 0.4]]]),
            "everything before was added up, not the token directly before": (
                torch.tensor([[0.8]])
            ),
            "the share of tokens whose largest weight is on the one before": (
                torch.tensor([[0.5]])
            ),
        },
        likely="the mean of weights[i, i - 1] for i from 1 to T - 1",
        picture=Picture(_cells_read(previous_score, a), _cells(a)),
    )
    weights = torch.randn(2, 3, 5, 5).softmax(-1)
    want = torch.stack([weights[..., i, i - 1] for i in range(1, 5)]).mean(0)
    got = call(previous_score, weights)
    expect_close(
        got,
        want,
        "Several layers and heads are scored wrongly.",
        given="weights of shape (2, 3, 5, 5): 2 layers, 3 heads",
        mistakes={
            "one number for all heads; each head has its own": want.mean(),
            "one number per layer; each head has its own": want.mean(1),
            "one number per head number; each layer has its own": want.mean(0),
        },
        likely="the diagonal runs over the first axes; name the last two: "
        "dim1=-2, dim2=-1",
        picture=Picture(got, want, "is a layer", "is a head"),
    )
    two = torch.tensor([[0.9, 0.1], [0.3, 0.7]]).expand(1, 2, 2, 2)
    expect_close(
        call(previous_score, two),
        torch.full((1, 2), 0.3),
        "A sentence of two tokens is scored wrongly.",
        given="weights [[0.9, 0.1], [0.3, 0.7]] in two heads",
        likely="[CLS] and [SEP] are tokens here like any other",
    )
