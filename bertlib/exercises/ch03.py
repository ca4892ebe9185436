"""The checks of chapter 3: attention."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

LOST = "detach, .data, .item() or torch.no_grad; stay with tensors"


@exercise("3.1")
def check_mix(mix: Any) -> None:
    """Weighted average: softmax over the keys, then a matrix product."""
    scores = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    values = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 4.0]])
    weights = scores.softmax(-1)
    expect_close(
        call(mix, scores, values),
        weights @ values,
        "The context vectors are not the weighted average of the values.",
        given=f"scores {show(scores)}; values {show(values)}",
        mistakes={
            "the softmax runs over the queries (dim=0); each row must sum to 1, "
            "so it runs over the last axis": scores.softmax(0) @ values,
            "there is no softmax: the scores themselves are the factors": scores
            @ values,
            "the scores are divided by their sum; use exp first": (
                scores / scores.sum(-1, keepdim=True)
            )
            @ values,
            "the exponentials are not divided by their sum": scores.exp() @ values,
            "the softmax runs over the whole matrix; each row must sum to 1": (
                scores.flatten().softmax(0).view(3, 2) @ values
            ),
            "the weights came back; mix the values with them": weights,
        },
        likely="weights that are not softmax(scores) row by row, or values that were "
        "changed on the way",
        # With the identity for values, the weights are what comes back.
        picture=Picture(mix(scores.clone(), torch.eye(2)), weights),
    )
    scores, values = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    expect_close(
        call(mix, scores, values),
        scores.softmax(-1) @ values,
        "It works for one matrix, and not for a batch.",
        given="scores of shape (2, 3, 4, 5), values of shape (2, 3, 5, 6)",
        mistakes={
            f"the softmax runs over axis {axis}; count from the end, dim=-1": (
                scores.softmax(axis) @ values
            )
            for axis in (0, 1, 2)
        },
        likely="a fixed axis number (dim=1) or .T; count axes from the end",
    )
    big = torch.tensor([[1e4, 0.0], [0.0, 0.0]])
    expect_close(
        call(mix, big, torch.eye(2)),
        torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
        "A large score breaks it.",
        given=f"scores {show(big)}, values: the identity",
        likely="exp overflows, or one maximum was subtracted from all rows; "
        "torch.softmax does neither",
    )


@exercise("3.2")
def check_softmax(softmax: Any) -> None:
    """A softmax for scores of any size."""
    row = torch.tensor([[1.0, 3.0, 0.0], [2.0, 2.0, 2.0]])
    expect_close(
        call(softmax, row),
        row.softmax(-1),
        "Ordinary scores give wrong weights.",
        given=f"scores {show(row)}",
        mistakes={
            "the sum runs over the first axis; each row must sum to 1": row.softmax(0),
            "the sum runs over the whole tensor, not over each row": row.exp()
            / row.exp().sum(),
            "the exponentials are not divided by their sum": (
                row - row.max(-1, keepdim=True).values
            ).exp(),
            "exp is missing": row / row.sum(-1, keepdim=True),
        },
        likely="exp(score) / sum of exp(score) over the last axis, with keepdim=True",
    )
    large = torch.tensor([[1000.0, 999.0]])
    want = torch.tensor([[0.731059, 0.268941]])
    expect_close(
        call(softmax, large),
        want,
        "Large scores break it.",
        given=f"scores {show(large)}",
        mistakes={
            "the scores were clamped: what differs must go on differing": torch.full(
                (1, 2), 0.5
            )
        },
        likely="exp(1000) overflows: subtract the row's maximum first",
        tol=1e-3,
    )
    apart = torch.tensor([[1000.0, 0.0, 0.0]])
    expect_close(
        call(softmax, apart),
        torch.tensor([[1.0, 0.0, 0.0]]),
        "Scores that lie far apart break it.",
        given=f"scores {show(apart)}",
        likely="the mean or the minimum was subtracted, and the largest score still "
        "overflows; subtract the maximum",
    )
    mixed = torch.tensor([[1000.0, 999.0], [-999.0, -1000.0]])
    expect_close(
        call(softmax, mixed),
        want.expand(2, 2),
        "Rows of very different size break it.",
        given=f"scores {show(mixed)}",
        likely="one maximum for the whole tensor, or the largest absolute value; each "
        "row needs its own maximum (dim=-1, keepdim=True)",
        tol=1e-3,
    )
    batch = torch.randn(2, 3, 4, 5) * 50
    expect_close(
        call(softmax, batch),
        batch.softmax(-1),
        "It works for one matrix, and not for a batch.",
        given="scores of shape (2, 3, 4, 5)",
        likely="a fixed axis number; count from the end, dim=-1",
    )
    hidden = torch.tensor([[0.0, -torch.inf, 0.0]])
    got = call(softmax, hidden)
    expect_close(
        got,
        torch.tensor([[0.5, 0.0, 0.5]]),
        "A score of -inf must get weight 0.",
        given=f"scores {show(hidden)}",
        likely="-inf meets +inf or 0 somewhere; exp(-inf) alone is 0",
    )
    expect(
        got[0, 1] == 0,
        "A score of -inf must get weight 0, exactly.",
        given=f"scores {show(hidden)}",
        yours=show(got[0, 1]),
        likely="a clamp, or a small number added; exp(-inf) alone is 0",
    )
    x = torch.tensor([1000.0, 999.0], requires_grad=True)
    result = softmax(x)
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given="scores [1000, 999] that ask for a gradient",
        likely=LOST,
    )
    result[0].backward()
    a = torch.softmax(torch.tensor([1000.0, 999.0]), 0)
    expect_close(
        x.grad,
        torch.stack([a[0] * a[1], -a[0] * a[1]]),
        "The gradient is wrong.",
        given="scores [1000, 999], gradient of the first weight",
        likely="a part of the sum, or the maximum, was detached in the wrong place",
    )


@exercise("3.3")
def check_padding_mask(padding_mask: Any) -> None:
    """A bool mask from lengths."""
    lengths, T = torch.tensor([2, 3, 0, 1]), 3
    got = call(padding_mask, lengths, T)
    given = "lengths [2, 3, 0, 1], T = 3"
    expect_tensor(got, "The mask.", given=given)
    want = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]).bool()
    expect(
        got.dtype == torch.bool,
        f"The mask has dtype {got.dtype}; it must be torch.bool.",
        given=given,
        likely="numbers instead of truth values: a comparison gives bool by itself",
    )
    at = torch.arange(T)
    expect_close(
        got,
        want,
        "The mask is wrong.",
        given=given,
        mistakes={
            "it is inverted: True must mean a token, not padding": ~want,
            "<= instead of <: a sentence of length 2 has positions 0 and 1": at
            <= lengths[:, None],
            "one token too few: a sentence of length 2 has positions 0 and 1": at + 1
            < lengths[:, None],
            "the tokens are counted from the end; padding comes last": want.flip(1),
            "the axes are swapped: one row per sentence": want.T,
        },
        likely="compare position t with each length: t < length",
        picture=Picture(got, want, "is a sentence", "is a position"),
    )
    lengths = torch.tensor([5, 1])
    expect_close(
        call(padding_mask, lengths, 7),
        torch.arange(7) < lengths[:, None],
        "The mask must have T columns, also when no sentence is that long.",
        given="lengths [5, 1], T = 7",
        likely="the width is lengths.max(); it must be T",
    )


def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> Tensor:
    """The oracle: PyTorch's own function, in float64."""
    return F.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), mask
    ).to(query.dtype)


def _pair(result: Any, given: str) -> tuple[Tensor, Tensor]:
    """Both results of an answer that returns (context, weights)."""
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise Wrong(
            f"Two things must come back, and {type(result).__name__} did.",
            given=given,
            likely="return context, weights",
        )
    for tensor in result:
        expect_tensor(tensor, "Both results must be tensors.", given=given)
    return result[0], result[1]


@exercise("3.4")
def check_attend(attend: Any) -> None:
    """Scaled dot-product attention with a mask."""
    q, k = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.eye(2)
    v = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 5.0]])
    given = f"query {show(q)}; key: the identity; value {show(v)}"
    context, weights = _pair(call(attend, q, k, v), given)
    scores = q @ k.T
    right = (scores / math.sqrt(2)).softmax(-1)
    expect_close(
        weights,
        right,
        "The weights are wrong.",
        given=given,
        mistakes={
            "the scores are not divided by the square root of d_k": scores.softmax(-1),
            "the scores are divided by d_k, not by its square root": (
                scores / 2
            ).softmax(-1),
            "the scores are multiplied by the square root of d_k": (
                scores * math.sqrt(2)
            ).softmax(-1),
            "the softmax comes before the division": scores.softmax(-1) / math.sqrt(2),
        },
        likely="softmax(query @ key.transpose(-2, -1) / sqrt(d_k)), over the last axis",
        picture=Picture(weights, right),
    )
    expect_close(
        context,
        _attention(q, k, v),
        "The weights are right, and the context is not.",
        given=given,
        likely="the context is weights @ value, and nothing else",
    )
    _attend_batch(attend)
    _attend_masked(attend)
    _attend_empty(attend)
    _attend_gradient(attend)
    scores = torch.tensor([[1e4], [-1e4]])
    context, weights = attend(scores, scores, torch.ones(2, 1))
    expect_close(
        weights,
        torch.eye(2),
        "Large scores break it.",
        given="query and key [[10000.0], [-10000.0]]",
        likely="a hand-made exp; torch.softmax does not overflow",
    )
    mask = torch.tensor([[True, False]])
    query, key = torch.tensor([[200.0]]), torch.tensor([[-200.0], [200.0]])
    context, weights = attend(query, key, torch.ones(2, 1), mask)
    expect_close(
        weights,
        torch.tensor([[1.0, 0.0]]),
        "A very small score loses against a masked one.",
        given="scores [[-40000, 40000]], mask [[True, False]]",
        likely="a number such as -10,000 in place of -inf; a score may be smaller",
    )


def _attend_batch(attend: Any) -> None:
    q, k = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 5, 8)
    v = torch.randn(2, 3, 5, 6)
    given = "query (2, 3, 4, 8), key (2, 3, 5, 8), value (2, 3, 5, 6)"
    context, weights = _pair(call(attend, q, k, v), given)
    scores = q @ k.mT
    right = (scores / math.sqrt(8)).softmax(-1)
    expect_close(
        weights,
        right,
        "The weights of a batch with heads are wrong.",
        given=given,
        mistakes={
            "the scale is the square root of the number of keys, not of d_k": (
                scores / math.sqrt(5)
            ).softmax(-1),
            "the scale is the square root of the width of the values": (
                scores / math.sqrt(6)
            ).softmax(-1),
            "the softmax runs over the queries (dim=-2)": (
                scores / math.sqrt(8)
            ).softmax(-2),
            "the softmax runs over axis 1; count from the end, dim=-1": (
                scores / math.sqrt(8)
            ).softmax(1),
        },
        likely="a fixed axis number, or .T; count axes from the end",
        picture=Picture(weights, right),
    )
    expect_close(
        context,
        _attention(q, k, v),
        "The context of a batch with heads is wrong.",
        given=given,
        likely="the context is weights @ value, over the last two axes",
    )


def _attend_masked(attend: Any) -> None:
    q = torch.randn(2, 1, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()[:, None, None, :]
    given = "B = 2, H = 1, T = 3; mask (2, 1, 1, 3), the last key of sentence 0 False"
    context, weights = _pair(call(attend, q, q, q, mask), given)
    scores = q @ q.mT / 2
    right = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    expect_close(
        weights,
        right,
        "The weights under a mask are wrong.",
        given=given,
        mistakes={
            "the mask is not used": scores.softmax(-1),
            "the mask is inverted: True means look here": scores.masked_fill(
                mask, -torch.inf
            )
            .softmax(-1)
            .nan_to_num(),
            "the mask comes after the softmax, so rows do not sum to 1": scores.softmax(
                -1
            )
            * mask,
            "masked scores are set to 0; e^0 is 1, so padding keeps a share": (
                scores.masked_fill(~mask, 0).softmax(-1)
            ),
            "masked scores are set to 0; afterwards the rows do not sum to 1": (
                scores.masked_fill(~mask, 0).softmax(-1) * mask
            ),
            "the mask is added to the scores as a number": (scores + mask).softmax(-1),
        },
        likely="scores.masked_fill(~mask, -torch.inf), before the softmax",
        picture=Picture(weights, right),
    )
    expect_close(
        context,
        _attention(q, q, q, mask),
        "The weights are right under a mask, and the context is not.",
        given=given,
        likely="the context was computed from weights before the mask",
    )


def _attend_empty(attend: Any) -> None:
    q = torch.randn(1, 2, 4, requires_grad=True)
    mask = torch.tensor([[True, False], [False, False]])
    given = "T = 2; mask [[True, False], [False, False]]"
    context, weights = _pair(attend(q, q, q, mask), given)
    picture = Picture(weights, torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))
    expect(
        not weights.isnan().any() and not context.isnan().any(),
        "A row with nothing to look at gives NaN.",
        picture=picture,
        given=given,
        likely="the softmax of a row of -inf is 0/0; set the weights to 0 where "
        "the mask is False",
    )
    expect_close(
        weights[0, 1],
        torch.zeros(2),
        "A row with nothing to look at must have weights 0.",
        given=given,
        mistakes={
            "a large negative number in place of -inf: the row comes out "
            "even, padding included": torch.full((2,), 0.5)
        },
        likely="set the weights to 0 where the mask is False, after the softmax",
        picture=picture,
    )
    expect_close(
        weights[0, 0],
        torch.tensor([1.0, 0.0]),
        "The row that has something to look at must keep its weights.",
        given=given,
        likely="one empty row emptied the others too",
        picture=picture,
    )
    expect_close(
        context[0, 1],
        torch.zeros(4),
        "The weights are right, and the context of the empty row is not 0.",
        given=given,
        likely="the context was computed before the weights were set to 0",
    )
    expect(
        context.requires_grad,
        "The context has lost its gradient.",
        given="a query that asks for a gradient",
        likely=LOST,
    )
    context.sum().backward()
    expect(
        q.grad is not None and bool(q.grad.isfinite().all()),
        "The gradient of a row with nothing to look at is NaN.",
        given=given,
        likely="-inf was added to the scores, so NaN flows back into them; "
        "masked_fill on the scores and on the weights stops it",
    )


def _attend_gradient(attend: Any) -> None:
    query, key, value = inputs = [
        torch.randn(2, 3, 4, requires_grad=True) for _ in range(3)
    ]
    mask = torch.tensor([True, True, False])
    upon = torch.randn(2, 3, 4)
    right = _attention(query, key, value, mask)
    wanted = torch.autograd.grad((right * upon).sum(), inputs)
    given = "query, key and value (2, 3, 4), mask [True, True, False]"
    context, _ = _pair(attend(query, key, value, mask), given)
    (context * upon).sum().backward()
    for name, x, want in zip(["query", "key", "value"], inputs, wanted, strict=True):
        what = f"No gradient reaches the {name}."
        expect(x.grad is not None, what, given=given, likely=LOST)
        what = f"The gradient of the {name} is wrong."
        expect_close(x.grad, want, what, given=given, likely=LOST, tol=1e-4)


@exercise("3.5")
def check_heads(heads: Any) -> None:
    """Split the width into heads, and merge again."""
    x = torch.arange(8.0).view(1, 2, 4)  # B, T, D = 1, 2, 4
    given = f"x {show(x)}, H = 2"
    right = x.view(1, 2, 2, 2).transpose(1, 2)
    expect_close(
        call(heads.split_heads, x, 2),
        right,
        "The heads got the wrong numbers.",
        given=given,
        mistakes={
            "view straight to (B, H, T, D/H): a head gets pieces of the wrong "
            "tokens; cut the last axis first, then transpose": x.view(1, 2, 2, 2),
            "a head takes every H-th number; it must take D/H that lie "
            "together": x.view(1, 2, 2, 2).permute(0, 3, 1, 2),
        },
        likely="(B, T, D) -> view (B, T, H, D/H) -> transpose(1, 2)",
    )
    x = torch.randn(3, 5, 12)
    right = x.view(3, 5, 4, 3).transpose(1, 2)
    expect_close(
        call(heads.split_heads, x, 4),
        right,
        "A batch of sentences is split wrongly.",
        given="x of shape (3, 5, 12), H = 4",
        mistakes={"the transpose is missing": x.view(3, 5, 4, 3)},
        likely="the batch axis must stay first: transpose(1, 2)",
    )
    expect_close(
        call(heads.merge_heads, right.contiguous()),
        x,
        "merge_heads does not undo split_heads.",
        given="four heads of shape (3, 4, 5, 3)",
        mistakes={
            "reshape without the transpose: the tokens are mixed up": right.reshape(
                3, 5, 12
            )
        },
        likely="transpose(1, 2), then reshape to (B, T, D)",
    )
    try:
        heads.split_heads(torch.randn(1, 2, 5), 2)
    except ValueError:
        return
    except (RuntimeError, AssertionError) as error:
        raise Wrong(
            f"H does not divide D, and {type(error).__name__} came out; it must be "
            "ValueError.",
            given="x of shape (1, 2, 5), H = 2",
            likely="test D % H, and raise a ValueError that says so",
        ) from None
    raise Wrong(
        "H does not divide D, and nothing was raised.",
        given="x of shape (1, 2, 5), H = 2",
        likely="the last numbers were dropped or moved; raise a ValueError",
    )


def _reference(module: nn.Module, D: int, H: int) -> nn.MultiheadAttention:
    """nn.MultiheadAttention with the answer's own weights."""
    names = ["query", "key", "value", "output"]
    for name in names:
        layer = getattr(module, name, None)
        expect(
            isinstance(layer, nn.Linear)
            and layer.weight.shape == (D, D)
            and layer.bias is not None,
            f"There must be a layer self.{name} = nn.Linear(D, D), with bias.",
            given=f"D = {D}, H = {H}",
            likely="another name, another width, or bias=False; one layer of each name "
            "serves all heads at once",
        )
    oracle = nn.MultiheadAttention(D, H, batch_first=True)
    layers: list[Any] = [getattr(module, name) for name in names]
    with torch.no_grad():
        oracle.in_proj_weight.copy_(torch.cat([x.weight for x in layers[:3]]))
        oracle.in_proj_bias.copy_(torch.cat([x.bias for x in layers[:3]]))
        oracle.out_proj.weight.copy_(layers[3].weight)
        oracle.out_proj.bias.copy_(layers[3].bias)
    return oracle


@exercise("3.6")
def check_self_attention(cls: Any) -> None:
    """Multi-head self-attention against nn.MultiheadAttention."""
    for D, H, T in [(12, 3, 5), (8, 1, 2), (6, 6, 1)]:
        module = cls(D, H)
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)  # biases too: none may be forgotten
        oracle = _reference(module, D, H)
        x = torch.randn(2, T, D)
        given = f"D = {D}, H = {H}, x of shape {tuple(x.shape)}"
        output, weights = _pair(call(module, x), given)
        theirs, their_weights = oracle(x, x, x, average_attn_weights=False)
        expect_close(
            weights,
            their_weights,
            "The weights differ from nn.MultiheadAttention's.",
            given=given,
            mistakes=_weight_mistakes(module, x, H),
            likely="the split into heads or the scale; d_k is D/H, not D",
            picture=Picture(weights, their_weights),
        )
        expect_close(
            output,
            theirs,
            "The weights are right, and the output is not.",
            given=given,
            mistakes=_output_mistakes(module, x, their_weights, theirs),
            likely="heads merged without the transpose, or the output layer left out",
        )
    _self_attention_padding(cls)
    _self_attention_gradient(cls)


def _weight_mistakes(module: Any, x: Tensor, H: int) -> dict[str, Tensor]:
    B, T, D = x.shape
    query, key = module.query(x), module.key(x)

    def split(t: Tensor) -> Tensor:
        return t.view(B, T, H, D // H).transpose(1, 2)

    scores = split(query) @ split(key).mT
    uncut = query.view(B, H, T, D // H) @ key.view(B, H, T, D // H).mT
    return {
        "the scale is the square root of D; each head has width D/H": (
            scores / math.sqrt(D)
        ).softmax(-1),
        "the scores are not scaled": scores.softmax(-1),
        "view straight to (B, H, T, D/H), without a transpose": (
            uncut / math.sqrt(D // H)
        ).softmax(-1),
        "query and key are swapped": (scores.mT / math.sqrt(D // H)).softmax(-1),
        "the queries are compared with themselves": (
            split(query) @ split(query).mT / math.sqrt(D // H)
        ).softmax(-1),
    }


def _output_mistakes(
    module: Any, x: Tensor, weights: Tensor, right: Tensor
) -> dict[str, Tensor]:
    B, T, D = x.shape

    def mixed(values: Tensor) -> Tensor:
        values = values.view(B, T, weights.size(1), -1).transpose(1, 2)
        return (weights @ values).transpose(1, 2).reshape(B, T, D)

    return {
        "the output layer is left out": mixed(module.value(x)),
        "the keys were mixed; the values must be": module.output(mixed(module.key(x))),
        "the tokens themselves were mixed; the values must be": module.output(mixed(x)),
        "x was added; that is the work of chapter 4": right + x,
    }


def _self_attention_padding(cls: Any) -> None:
    module = cls(12, 3)
    x = torch.randn(2, 4, 12)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    given = "x (2, 4, 12); mask (2, 4), sentence 0 has 2 tokens and 2 of padding"
    output, weights = _pair(module(x, mask), given)
    expect(
        weights.isfinite().all(),
        "There is a NaN in the weights under a padding mask.",
        given=given,
        likely="the mask is on the queries' axis, so whole rows are empty; "
        "it belongs on the keys: mask[:, None, None, :]",
    )
    expect(
        bool((weights[0, :, :, 2:] == 0).all()),
        "Padding gets attention.",
        given=given,
        likely="the mask is not used, inverted, or on the queries' axis; it belongs "
        "on the keys: mask[:, None, None, :]",
    )
    alone, _ = module(x[:1, :2])
    expect_close(
        output[:1, :2],
        alone,
        "A padded sentence must give what it gives alone.",
        given=given,
        likely="weights set to 0 after the softmax no longer sum to 1",
    )
    theirs, their_weights = _reference(module, 12, 3)(
        x, x, x, key_padding_mask=~mask, average_attn_weights=False
    )
    expect_close(
        weights,
        their_weights,
        "The weights under a padding mask differ from nn.MultiheadAttention's.",
        given=given,
        mistakes={
            "the queries are masked too; only the keys are": their_weights
            * mask[:, None, :, None]
        },
        likely="the mask of one sentence was used for another",
        picture=Picture(weights, their_weights),
    )
    expect_close(
        output,
        theirs,
        "The output under a padding mask differs from nn.MultiheadAttention's.",
        given=given,
        likely="the context was computed from other weights than those returned",
    )


def _self_attention_gradient(cls: Any) -> None:
    module = cls(8, 2)
    x = torch.randn(2, 3, 8)
    oracle, given = _reference(module, 8, 2), "D = 8, H = 2, x of shape (2, 3, 8)"
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))
    module(mine)[0].square().sum().backward()
    oracle(theirs, theirs, theirs)[0].square().sum().backward()
    what = "No gradient reaches x, the layer below."
    got, want_x = mine.grad, theirs.grad
    expect(got is not None, what, given=given, likely=LOST)
    assert got is not None and want_x is not None  # for mypy
    what = "The gradient of x is wrong."
    expect_close(got, want_x, what, given=given, likely=LOST, tol=1e-4)
    wanted: Any = oracle.in_proj_weight.grad
    for name, want in zip(["query", "key", "value"], wanted.split(8), strict=True):
        grad = getattr(module, name).weight.grad
        expect(
            grad is not None,
            f"No gradient reaches {name}.",
            given=given,
            likely=LOST,
        )
        what = f"The gradient of {name}.weight is wrong."
        expect_close(grad, want, what, given=given, likely=LOST, tol=1e-4)


@exercise("3.7")
def check_entropy(entropy: Any) -> None:
    """Entropy of rows, with 0 log 0 = 0."""
    even = torch.full((2, 4), 0.25)
    got = call(entropy, even)
    want = torch.full((2,), math.log(4))
    expect_close(
        got,
        want,
        "Even weights over 4 tokens must have entropy log 4 = 1.386.",
        given=f"weights {show(even)}",
        mistakes={
            "the sign: the logarithm of a weight is negative": -want,
            "the logarithm is to base 2; nats use torch.log": want / math.log(2),
            "the mean over the row instead of the sum": want / 4,
            "the sum runs over all rows": want.sum(),
            "the sum runs over the first axis": -(even * even.log()).sum(0),
        },
        likely="the sum of -a log a over the last axis",
    )
    sharp = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    expect_close(
        call(entropy, sharp),
        torch.tensor([0.0, math.log(2)]),
        "A weight of 0 must add nothing.",
        given=f"weights {show(sharp)}",
        likely="0 times log 0 is NaN; keep the logarithm finite, and not by "
        "shifting every weight",
    )
    small = torch.tensor([[0.9989, 0.001, 0.0001]])
    expect_close(
        call(entropy, small),
        -(small * small.log()).sum(-1),
        "Small weights come out wrong.",
        given=f"weights {show(small)}",
        likely="the clamp is too high; it must lie far below any weight",
    )
    batch = torch.randn(2, 3, 4, 5).softmax(-1)
    expect_close(
        call(entropy, batch),
        torch.distributions.Categorical(probs=batch).entropy(),
        "It works for one matrix, and not for a batch.",
        given="weights of shape (2, 3, 4, 5)",
        likely="a fixed axis number; count from the end, dim=-1",
    )
    row = torch.tensor([0.5, 0.5, 0.0], requires_grad=True)
    result = entropy(row)
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given="weights [0.5, 0.5, 0.0] that ask for a gradient",
        likely=LOST,
    )
    result.backward()
    expect(
        row.grad is not None and bool(row.grad.isfinite().all()),
        "The gradient is not finite where a weight is 0.",
        given="weights [0.5, 0.5, 0.0]",
        likely="log(0), xlogy or a NaN hidden by where or nan_to_num; clamp the "
        "weight before the logarithm",
    )


@exercise("3.8")
def check_causal_mask(causal_mask: Any) -> None:
    """The lower triangle, with the diagonal."""
    got = call(causal_mask, 3)
    expect_tensor(got, "The mask.", given="T = 3")
    want = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    expect(
        got.dtype == torch.bool,
        f"The mask has dtype {got.dtype}; it must be torch.bool.",
        given="T = 3",
        likely="numbers instead of truth values: dtype=torch.bool, or a comparison",
    )
    expect_close(
        got,
        want,
        "The mask is wrong.",
        given="T = 3",
        mistakes={
            "the upper triangle: rows are queries, columns are keys": want.T,
            "the diagonal is missing: a token may look at itself": want
            & ~torch.eye(3).bool(),
            "one place too far: no token may look at the next": torch.ones(3, 3)
            .tril(1)
            .bool(),
            "it is inverted: True means look here": ~want,
            "inverted and without the diagonal": ~want.T,
        },
        likely="query i (row) may look at key j (column) where j <= i",
        picture=Picture(got, want),
    )
    for T in (1, 6):
        expect_close(
            call(causal_mask, T),
            torch.ones(T, T).tril().bool(),
            f"T = {T} is wrong.",
            given=f"T = {T}",
            likely="a fixed size; use T",
        )
