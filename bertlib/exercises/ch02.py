"""The checks of chapter 2: embeddings."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.config import BertConfig
from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)


@exercise("2.1")
def check_one_hot(one_hot: Any) -> None:
    """One-hot vectors for ids of any shape."""
    ids = torch.tensor([2, 0, 3])
    given = "ids [2, 0, 3], V = 5"
    got = call(one_hot, ids, 5)
    expect_tensor(got, "The one-hot matrix.", given=given)
    want = torch.eye(5)[ids]
    expect_close(
        got,
        want,
        "The one-hot matrix is wrong.",
        given=given,
        mistakes={
            "the width is max(ids) + 1; it must be V, whatever occurs": want[:, :4],
            "the axes are swapped: one row per token, one column per word": want.T,
            "the 1 is one place too far: ids count from 0": want.roll(1, 1),
            "it is inverted: 1 at the id, 0 elsewhere": 1 - want,
            "the id itself was written; it must be a 1": want * ids[:, None],
        },
    )
    expect(
        got.dtype == torch.float32,
        f"The result has dtype {got.dtype}; it must be torch.float32.",
        given=given,
        likely="truth values, whole numbers or float64, none of which multiplies a "
        "table of float32; add .float()",
    )
    ids = torch.tensor([[1, 4, 1], [0, 6, 6]])
    expect_close(
        call(one_hot, ids, 7),
        torch.eye(7)[ids],
        "It works for one sentence, and not for a batch.",
        given=f"ids {ids.tolist()}, V = 7",
        likely="a loop or an index made for one axis; ids[..., None] adds an axis "
        "at the end of any shape",
    )
    what = "It works for a sentence, and not for a single id."
    given = "ids tensor(2), a tensor without axes; V = 4"
    likely = "a loop over ids, or len(ids); work on any shape"
    try:
        got = call(one_hot, torch.tensor(2), 4)
    except (TypeError, IndexError) as error:
        raise Wrong(f"{what} {error}.", given=given, likely=likely) from None
    want = torch.tensor([0.0, 0.0, 1.0, 0.0])
    expect_close(got, want, what, given=given, likely=likely)


def _scattered(ids: Tensor, grad: Tensor, V: int, order: int) -> Tensor:
    """A table in which of several equal ids only the last (or first) one counts."""
    result = torch.zeros(V, grad.size(-1))
    pairs = list(zip(ids.flatten().tolist(), grad.flatten(0, 1), strict=True))
    for i, row in pairs[::order]:
        result[i] = row
    return result


@exercise("2.2")
def check_table_gradient(table_gradient: Any) -> None:
    """The gradient of a lookup: a sum over the places where a word stands."""
    ids = torch.tensor([[3, 1]])
    grad = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    want = torch.zeros(5, 2)
    want[3], want[1] = grad[0]
    expect_close(
        call(table_gradient, ids, grad, 5, 0),
        want,
        "Even without repeated words it is wrong.",
        given=f"ids {ids.tolist()}, grad {show(grad)}, V = 5, padding_id = 0",
        mistakes={
            "the gradient of the looked-up vectors came back; it must be that of "
            "the table, one row per word": grad[0],
            "the rows are in the order of the sentence; row i belongs to id i": (
                torch.cat([grad[0], torch.zeros(3, 2)])
            ),
        },
        likely="words that do not occur get zero; the others get the gradient of "
        "their place",
    )
    for rows, what in [
        ([[2, 4, 2]], "A word that occurs twice in a sentence is wrong."),
        ([[2, 1], [4, 2]], "A word that occurs in two sentences is wrong."),
    ]:
        _repeated(table_gradient, torch.tensor(rows), what)
    _padding_row(table_gradient)
    ids = torch.randint(0, 9, (3, 6))
    grad = torch.randn(3, 6, 4)
    table = torch.zeros(9, 4, requires_grad=True)
    F.embedding(ids, table, padding_idx=8).backward(grad)
    expect_close(
        call(table_gradient, ids, grad, 9, 8),
        table.grad if table.grad is not None else table,
        "A batch differs from what autograd gives.",
        given="ids of shape (3, 6), grad of shape (3, 6, 4), V = 9, padding_id = 8",
    )


def _repeated(table_gradient: Any, ids: Tensor, what: str) -> None:
    grad = torch.arange(1.0, 1 + 2 * ids.numel()).view(*ids.shape, 2)
    hot = torch.eye(5)[ids].flatten(0, 1)  # (B*T, V)
    want = hot.T @ grad.flatten(0, 1)
    count = hot.sum(0).clamp(min=1)[:, None]
    first = torch.eye(5)[ids[0]].T @ grad[0]
    only_one = (
        "of equal ids only one counts: result[ids] = ... and result[ids] += ... "
        "write each row once; index_add adds up"
    )
    mistakes = {
        "the mean over the places; their gradients add up": want / count,
        "only the first sentence is used": first,
        only_one: _scattered(ids, grad, 5, 1),
    }
    if len(ids) == 1:
        del mistakes["only the first sentence is used"]
    else:
        mistakes["the mean over the sentences; their gradients add up"] = want / len(
            ids
        )
        mistakes["ids and grad were flattened in different orders"] = torch.eye(5)[
            ids.mT
        ].flatten(0, 1).T @ grad.flatten(0, 1)
    got = call(table_gradient, ids, grad, 5, 0)
    backwards = _scattered(ids, grad, 5, -1)
    likely = only_one if _equal(got, backwards) else "equal ids must add up"
    expect_close(
        got,
        want,
        what,
        given=f"ids {ids.tolist()}, grad {show(grad)}, V = 5, padding_id = 0",
        mistakes=mistakes,
        likely=likely,
    )


def _equal(got: Any, want: Tensor) -> bool:
    return (
        isinstance(got, Tensor)
        and got.shape == want.shape
        and torch.allclose(got.double(), want.double())
    )


def _padding_row(table_gradient: Any) -> None:
    ids = torch.tensor([[0, 2, 3, 3]])
    grad = torch.arange(1.0, 9.0).view(1, 4, 2)
    full = torch.eye(4)[ids[0]].T @ grad[0]
    want, zeroth = full.clone(), full.clone()
    want[3] = 0
    zeroth[0] = 0
    both = want.clone()
    both[0] = 0
    expect_close(
        call(table_gradient, ids, grad, 4, 3),
        want,
        "The row of padding must stay zero, and no other.",
        given=f"ids {ids.tolist()}, grad {show(grad)}, V = 4, padding_id = 3",
        mistakes={
            "padding_id is not used": full,
            "row 0 was cleared; padding_id is 3": zeroth,
            "row 0 was cleared too; here padding_id is 3, and 0 is a word": both,
        },
    )


@exercise("2.3")
def check_sinusoids(sinusoids: Any) -> None:
    """The table of sines and cosines, against Python's own math."""

    def table(T: int, D: int, exponent: Any, sine: Any) -> Tensor:
        return torch.tensor(
            [
                [
                    (math.sin if sine(j) else math.cos)(t / 10_000 ** exponent(j))
                    for j in range(D)
                ]
                for t in range(T)
            ]
        )

    T, D = 2, 6

    def even(j: int) -> bool:
        return j % 2 == 0

    want = table(T, D, lambda j: j // 2 * 2 / D, even)
    expect_close(
        call(sinusoids, T, D),
        want,
        "A small table is wrong.",
        given="T = 2, D = 6",
        mistakes={
            "the sines fill the first half; they must alternate with the cosines, "
            "column by column": table(
                T, D, lambda j: j % (D // 2) * 2 / D, lambda j: j < D // 2
            ),
            "the positions start at 1; row 0 is position 0": table(
                T + 1, D, lambda j: j // 2 * 2 / D, even
            )[1:],
            "sine and cosine are swapped": table(
                T, D, lambda j: j // 2 * 2 / D, lambda j: j % 2 == 1
            ),
            "every column has a speed of its own; 2i and 2i + 1 are a pair and share "
            "one": table(T, D, lambda j: j / D, even),
            "the exponent is i/D; it is 2i/D": table(T, D, lambda j: j // 2 / D, even),
            "the exponent is 4i/D: the column is 2i already, so 2i/D is column / D": (
                table(T, D, lambda j: j // 2 * 4 / D, even)
            ),
            "the exponent is negative: t is divided by the power, not multiplied": (
                table(T, D, lambda j: -(j // 2) * 2 / D, even)
            ),
            "the axes are swapped: row t is position t": want.T,
            "only sines": table(T, D, lambda j: j // 2 * 2 / D, lambda j: True),
        },
    )
    for T, D in [(9, 4), (3, 10), (1, 2), (512, 64)]:
        expect_close(
            call(sinusoids, T, D),
            table(T, D, lambda j, D=D: j // 2 * 2 / D, even),
            f"The table for T = {T}, D = {D} is wrong.",
            given=f"T = {T}, D = {D}",
            mistakes={"the axes are swapped: (T, D)": torch.zeros(D, T)},
            likely="a fixed number of positions or columns, or T and D exchanged",
            tol=1e-3,
        )


@exercise("2.4")
def check_segments(segments: Any) -> None:
    """token_type_ids from the places of [SEP]."""
    rows = [  # 1 is [CLS], 2 is [SEP], 0 is padding
        ([1, 7, 8, 2, 9, 2], [0, 0, 0, 0, 1, 1], "A pair without padding is wrong."),
        ([1, 7, 2, 9, 2, 0, 0], [0, 0, 0, 1, 1, 0, 0], "A padded pair is wrong."),
        ([1, 7, 2, 0, 0], [0, 0, 0, 0, 0], "A padded single sentence is wrong."),
        ([1, 7, 8, 2], [0, 0, 0, 0], "A single sentence without padding is wrong."),
    ]
    for row, segment, what in rows:
        ids, want = torch.tensor([row]), torch.tensor([segment])
        given = f"input_ids {[row]}, sep_id = 2, pad_id = 0"
        got = call(segments, ids, 2, 0)
        expect_tensor(got, "The segments.", given=given)
        is_sep = (ids == 2).long()
        up_to = is_sep.cumsum(1)
        before = up_to - is_sep
        if not torch.equal(want, torch.zeros_like(want)):
            mistakes = {
                "[SEP] counts itself: the first one belongs to segment 0, the second "
                "to segment 1": up_to,
                "[SEP] counts itself; it closes the segment that stands before it": (
                    up_to == 1
                ).long(),
                "the first [SEP] already has segment 1; it closes segment 0": (
                    (up_to >= 1) & (ids != 0)
                ).long(),
                "padding after the pair gets segment 2": before,
                "padding gets segment 1; it is 0": before.clamp(max=1),
                "the segments are exchanged (A is 0, B is 1), or roll() brought the "
                "last [SEP] to the front": (1 - want) * (ids != 0),
                "the last [SEP] gets segment 0; it closes segment 1": want * (ids != 2),
            }
        else:
            mistakes = {
                "padding after a single sentence gets segment 1": before.clamp(max=1),
                "the [SEP] of a single sentence gets segment 1": (
                    (up_to >= 1) & (ids != 0)
                ).long(),
                "everything gets segment 1": torch.ones_like(want),
            }
        expect_close(got, want, what, given=given, mistakes=mistakes)
        expect(
            got.dtype in (torch.int64, torch.int32),
            f"The segments have dtype {got.dtype}; they must be torch.int64.",
            given=given,
            likely="a comparison gives truth values; ids to be looked up are whole "
            "numbers: add .long()",
        )
    _segments_batch(segments)


def _segments_batch(segments: Any) -> None:
    ids = torch.tensor(
        [[1, 7, 2, 9, 9, 2, 0], [1, 7, 8, 8, 2, 9, 2], [1, 7, 2, 0, 0, 0, 0]]
    )
    want = torch.tensor(
        [[0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]]
    )
    expect_close(
        call(segments, ids, 2, 0),
        want,
        "In a batch, each row has its own first [SEP].",
        given=f"input_ids {ids.tolist()}, sep_id = 2, pad_id = 0",
        mistakes={
            "the first row's [SEP] was used for all": torch.where(
                ids != 0, want[:1], 0
            ),
        },
        likely="the count runs over the whole batch or down the columns: dim=1",
    )
    other = torch.where(ids == 2, 102, torch.where(ids == 0, 5, ids))
    expect_close(
        call(segments, other, 102, 5),
        want,
        "Other special ids break it.",
        given=f"input_ids {other.tolist()}, sep_id = 102, pad_id = 5",
        likely="sep_id or pad_id is written into the code as a number",
    )


@exercise("2.5")
def check_layer_norm(layer_norm: Any) -> None:
    """LayerNorm over the last axis, against PyTorch's in float64."""
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 4.0, 4.0]])
    one, zero = torch.ones(4), torch.zeros(4)
    given = f"x {show(x)}, gain 1, bias 0, eps 1e-12"
    centred = x - x.mean(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True)
    expect_close(
        call(layer_norm, x, one, zero, 1e-12),
        centred / variance.sqrt(),
        "Two vectors are normalised wrongly.",
        given=given,
        mistakes={
            "the variance is unbiased, divided by D - 1: std() and var() do that "
            "unless told correction=0": centred / x.std(1, keepdim=True),
            "it is divided by the variance; the root is missing": centred / variance,
            "the mean is not subtracted": x / variance.sqrt(),
            "mean and variance run over the first axis; each token stands alone": (
                (x - x.mean(0)) / (x.var(0, correction=0) + 1e-12).sqrt()
            ),
            "mean and variance run over the whole tensor; each token stands alone": (
                (x - x.mean()) / x.std(correction=0)
            ),
            "unbiased, and over the whole tensor; each token stands alone": (
                (x - x.mean()) / x.std()
            ),
            "only the mean was subtracted": centred,
            "divided by the sum of squares; the variance is their mean": (
                centred / centred.square().sum(1, keepdim=True).sqrt()
            ),
        },
        likely="(x - mean) / sqrt(variance + eps), both over the last axis, with "
        "keepdim=True",
    )
    _norm_gain(layer_norm)
    _norm_eps(layer_norm)
    _norm_batch(layer_norm)
    _norm_gradient(layer_norm)
    _norm_extremes(layer_norm)


def _norm_gain(layer_norm: Any) -> None:
    x = torch.tensor([[-1.0, 1.0]])
    gain, bias = torch.tensor([2.0, 3.0]), torch.tensor([10.0, 20.0])
    expect_close(
        call(layer_norm, x, gain, bias, 1e-12),
        torch.tensor([[8.0, 23.0]]),
        "Gain and bias are not applied as they should be.",
        given="x [[-1, 1]], gain [2, 3], bias [10, 20], eps 1e-12",
        mistakes={
            "neither gain nor bias is used": x,
            "the gain is not used": x + bias,
            "the bias is not used": x * gain,
            "the bias is added before the gain; multiply first": (x + bias) * gain,
            "gain and bias are exchanged": x * bias + gain,
            "1 + gain is used as the factor": x * (1 + gain) + bias,
        },
        likely="gain times the normalised numbers, then plus bias, and nothing else",
    )


def _norm_eps(layer_norm: Any) -> None:
    x, one, zero = torch.tensor([[-1.0, 1.0]]), torch.ones(2), torch.zeros(2)
    expect_close(
        call(layer_norm, x, one, zero, 3.0),
        x / 2,
        "eps is not where it should be: the variance is 1, so the divisor must be "
        "the root of 1 + 3.",
        given="x [[-1, 1]], gain 1, bias 0, eps 3",
        mistakes={
            "eps is added to the standard deviation; it belongs inside the root": x / 4,
            "eps is not used": x,
            "eps is squared inside the root": x / math.sqrt(10),
        },
        likely="a fixed eps, or eps outside the root",
    )
    x = torch.tensor([[0.0, 2e-6]])
    root_half = math.sqrt(0.5)
    expect_close(
        call(layer_norm, x, one, zero, 1e-12),
        torch.tensor([[-root_half, root_half]]),
        "A tiny eps is wrong for tiny numbers.",
        given="x [[0, 2e-6]], gain 1, bias 0, eps 1e-12: the variance is 1e-12 too",
        likely="eps outside the root, or a fixed number in its place",
        tol=1e-3,
    )


def _norm_batch(layer_norm: Any) -> None:
    x = torch.randn(2, 3, 5, 7) * 3 + 2
    gain, bias = torch.randn(7), torch.randn(7)
    want = F.layer_norm(x.double(), (7,), gain.double(), bias.double(), 1e-3).float()

    def over(*axes: int) -> Tensor:
        mean = x.mean(axes, keepdim=True)
        variance = x.var(axes, correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-3).sqrt() * gain + bias

    expect_close(
        call(layer_norm, x, gain, bias, 1e-3),
        want,
        "It works for one sentence, and not for a batch.",
        given="x of shape (2, 3, 5, 7), eps 1e-3",
        mistakes={
            "mean and variance run over axis 1; count from the end, dim=-1": over(1),
            "mean and variance run over the tokens too; only over the last axis": (
                over(-2, -1)
            ),
        },
        likely="a fixed axis number; count from the end, dim=-1",
        tol=1e-4,
    )


def _norm_gradient(layer_norm: Any) -> None:
    x = torch.randn(2, 5, requires_grad=True)
    gain, bias, upon = torch.randn(5), torch.randn(5), torch.randn(2, 5)
    want = F.layer_norm(x, (5,), gain, bias, 1e-3)
    (wanted,) = torch.autograd.grad((want * upon).sum(), x)
    given = "x of shape (2, 5), eps 1e-3; x and gain ask for a gradient"
    result = layer_norm(x, gain.requires_grad_(), bias, 1e-3)
    if result.requires_grad:
        (result * upon).sum().backward()
    lost = "detach, .data, .item() or torch.no_grad; stay with tensors"
    expect(x.grad is not None, "No gradient reaches x.", given=given, likely=lost)
    expect_close(
        x.grad,
        wanted,
        "The gradient of x is wrong.",
        given=given,
        likely="mean or variance is detached; both depend on x",
        tol=1e-4,
    )
    what = "No gradient reaches the gain."
    expect(gain.grad is not None, what, given=given, likely=lost)


def _norm_extremes(layer_norm: Any) -> None:
    bias = torch.tensor([1.0, 2.0, 3.0])
    x = torch.full((1, 3), 5.0, requires_grad=True)
    result = layer_norm(x, torch.ones(3), bias, 1e-12)
    expect_close(
        result,
        bias[None],
        "A vector of equal numbers must come out as the bias.",
        given="x [[5, 5, 5]], gain 1, bias [1, 2, 3], eps 1e-12",
        likely="0/0: eps is missing",
    )
    result[0, 0].backward()
    expect(
        x.grad is not None and bool(x.grad.isfinite().all()),
        "The gradient of a vector of equal numbers is not finite.",
        given="x [[5, 5, 5]], eps 1e-12",
        likely="the square root of exactly 0, whose slope is infinite; take the root "
        "of variance + eps",
    )
    x = torch.tensor([[10000.0, 10001.0, 10002.0, 10003.0]])
    expect_close(
        call(layer_norm, x, torch.ones(4), torch.zeros(4), 1e-12),
        torch.tensor([[-1.5, -0.5, 0.5, 1.5]]) / math.sqrt(1.25),
        "Large numbers that differ by little come out wrong.",
        given=f"x {show(x)}, gain 1, bias 0",
        likely="the mean of the squares minus the square of the mean: two large "
        "numbers cancel; subtract the mean first",
        tol=1e-3,
    )


@exercise("2.6")
def check_dropout(dropout: Any) -> None:
    """Inverted dropout: how many, how large, where, when."""
    ones = torch.ones(200, 500)
    given = "100,000 ones, p = 0.1, training"
    got = call(dropout, ones, 0.1, True)
    expect_tensor(got, "Dropout.", given=given)
    expect(
        got.shape == ones.shape,
        f"The shape is {tuple(got.shape)}; it must be that of x, {tuple(ones.shape)}.",
        given=given,
        likely="numbers are set to 0, not removed",
    )
    dropped = (got == 0).float().mean().item()
    likely = ""
    if abs(dropped - 0.9) < 0.01:
        likely = "p is the probability of dropping, not of keeping"
    elif dropped == 0:
        likely = "nothing is dropped: the mask is missing, or training is misread"
    elif dropped == 1:
        likely = "everything is dropped"
    expect(
        abs(dropped - 0.1) < 0.01,
        f"{100 * dropped:.0f} % of the numbers are 0; it must be 10 %.",
        given=given,
        likely=likely,
    )
    _kept(got)
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    expect_close(
        call(dropout, x, 0.5, False),
        x,
        "In evaluation nothing may change.",
        given=f"x {show(x)}, p = 0.5, training = False",
        mistakes={
            "the scaling is done in evaluation; inverted dropout does it in training": x
            * 0.5,
            "the survivors' factor is applied in evaluation too": x / 0.5,
        },
        likely="numbers are dropped in evaluation",
    )
    expect_close(
        call(dropout, x, 0.0, True),
        x,
        "With p = 0 nothing may change.",
        given=f"x {show(x)}, p = 0, training",
    )
    _alone_and_anew(dropout)
    _dropout_gradient(dropout)


def _kept(got: Tensor) -> None:
    kept = got[got != 0].double()
    size = kept.mean().item()
    likely = {
        1.0: "the survivors are not divided by 1 - p, so the mean is too small",
        10.0: "the survivors are divided by p; it is 1 - p",
        0.9: "the survivors are multiplied by 1 - p; divide",
    }.get(round(size, 3), "")
    expect(
        bool(((kept - 1 / 0.9).abs() < 1e-4).all()),
        "The numbers that are kept have the wrong size.",
        given="100,000 ones, p = 0.1, training",
        yours=f"{size:.3f} on average",
        expected=f"{1 / 0.9:.3f}, every one",
        likely=likely,
    )


def _alone_and_anew(dropout: Any) -> None:
    x = torch.ones(8, 16, 32)
    given = "x of shape (8, 16, 32), all ones, p = 0.5, training"
    zero = dropout(x, 0.5, True) == 0
    for axis, name in enumerate(["sentences", "tokens", "columns"]):
        first = zero.select(axis, 0).unsqueeze(axis)
        expect(
            not torch.equal(zero, first.expand_as(zero)),
            f"All {name} lose the same numbers.",
            given=given,
            likely="the mask has fewer axes than x and was broadcast; draw it with "
            "the shape of x",
        )
        n = zero.size(axis) - 1
        alike = (zero.narrow(axis, 0, n) == zero.narrow(axis, 1, n)).float().mean()
        expect(
            abs(alike - 0.5) < 0.1,
            f"Neighbouring {name} are dropped together: {100 * alike:.0f} % of them "
            "have the same fate, and it must be about half.",
            given=given,
            likely="neighbours share one draw; each number needs its own",
        )
    expect(
        not torch.equal(zero, dropout(x, 0.5, True) == 0),
        "Two calls drop the same numbers.",
        given=given,
        likely="the mask or the seed is fixed; draw anew at each call",
    )
    few = torch.ones(8)
    counts = {int((dropout(few, 0.5, True) == 0).sum()) for _ in range(50)}
    expect(
        len(counts) > 1,
        "In 50 calls, the same number of numbers was dropped each time.",
        given="eight ones, p = 0.5, training",
        likely="a fixed share is dropped; each number needs a draw of its own",
    )


def _dropout_gradient(dropout: Any) -> None:
    x = torch.randn(20, 20, requires_grad=True)
    result = dropout(x, 0.5, True)
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given="x of shape (20, 20), p = 0.5, training",
        likely="detach, .data or torch.no_grad; stay with tensors",
    )
    result.sum().backward()
    expect_close(
        x.grad,
        (result != 0) * 2.0,
        "The gradient is wrong: 1 / (1 - p) where a number was kept, 0 elsewhere.",
        given="x of shape (20, 20), p = 0.5, training",
    )


LAYERS = {
    "word_embeddings": nn.Embedding,
    "position_embeddings": nn.Embedding,
    "token_type_embeddings": nn.Embedding,
    "layer_norm": nn.LayerNorm,
    "dropout": nn.Dropout,
}


@exercise("2.7")
def check_embeddings(cls: Any) -> None:
    """The embedding module against PyTorch's functions on its own tables."""
    config = BertConfig(
        vocab_size=23,
        hidden_size=12,
        num_attention_heads=3,
        max_position_embeddings=9,
        type_vocab_size=3,
        layer_norm_eps=0.1,
        pad_token_id=4,
    )
    module = _built(cls, config)
    module.eval()
    ids = torch.randint(5, 23, (3, 6))
    ids[1, 4:] = 4  # padding
    types = torch.tensor([[0, 0, 1, 1, 2, 2], [0] * 6, [0, 1, 1, 1, 1, 2]])
    given = "input_ids (3, 6), token_type_ids (3, 6), 9 positions, eps 0.1, evaluation"
    expect(
        torch.equal(module(ids, types), module(ids, types)),
        "Two calls in evaluation give different vectors.",
        given=given,
        likely="dropout does not look at the mode; nn.Dropout does, self.training says "
        "it",
    )
    expect_close(
        call(module, ids, types),
        _embedded(module, config, ids, types),
        "The vectors differ from the sum of the three, normalised.",
        given=given,
        mistakes=_embedding_mistakes(module, config, ids, types),
        likely="one of the three is missing or looked up with the wrong ids",
    )
    none = torch.zeros_like(ids)
    expect_close(
        call(module, ids),
        _embedded(module, config, ids, none),
        "Without token_type_ids every token must have segment 0.",
        given="input_ids (3, 6), token_type_ids not given",
        mistakes=_embedding_mistakes(module, config, ids, none),
        likely="None must become zeros of the shape of input_ids",
    )
    for shape in [(2, 9), (1, 1)]:
        ids = torch.randint(5, 23, shape)
        expect_close(
            call(module, ids),
            _embedded(module, config, ids, torch.zeros_like(ids)),
            f"input_ids of shape {shape} give wrong vectors.",
            given=f"input_ids of shape {shape}, 9 positions",
            likely="a fixed length or batch; the positions are 0 to T - 1, with T from "
            "input_ids",
        )
    _embeddings_train(cls, config)
    _embeddings_gradient(cls, config)


def _built(cls: Any, config: BertConfig) -> Any:
    """The answer's module, its parts looked over and its numbers drawn at random."""
    module, D = cls(config), config.hidden_size
    given = (
        f"{config.vocab_size} words, {config.max_position_embeddings} positions, "
        f"{config.type_vocab_size} segments, hidden_size {D}"
    )
    for name, kind in LAYERS.items():
        expect(
            isinstance(getattr(module, name, None), kind),
            f"There must be a layer self.{name}, an nn.{kind.__name__}.",
            given=given,
            likely="another name, another class, or no self. before it in __init__",
        )
    for name, setting in [
        ("word_embeddings", "vocab_size"),
        ("position_embeddings", "max_position_embeddings"),
        ("token_type_embeddings", "type_vocab_size"),
    ]:
        shape, want = getattr(module, name).weight.shape, (getattr(config, setting), D)
        expect(
            shape == want,
            f"{name} is a table of shape {tuple(shape)}; it must be {want}.",
            given=given,
            likely=f"the table has config.{setting} rows and config.hidden_size "
            "columns; often the setting of another table is there",
        )
    with torch.no_grad():
        for parameter in module.parameters():
            nn.init.normal_(parameter)  # gain and bias too: neither may be forgotten
    return module


def _embedded(
    module: Any, config: BertConfig, ids: Tensor, types: Tensor, **change: Any
) -> Tensor:
    """What must come out, and with `change` what a known mistake makes of it."""
    word = F.embedding(ids, module.word_embeddings.weight)
    segment = F.embedding(types, module.token_type_embeddings.weight)
    position = module.position_embeddings.weight[: ids.size(1)]
    parts = {"word": word, "segment": segment, "position": position} | change
    x = parts["word"] + parts["segment"] + parts["position"]
    if change.get("norm") == "none":
        return x
    eps = change.get("eps", config.layer_norm_eps)
    norm = module.layer_norm
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, eps)


def _embedding_mistakes(
    module: Any, config: BertConfig, ids: Tensor, types: Tensor
) -> dict[str, Tensor]:
    B, T = ids.shape
    D = config.hidden_size
    place = module.position_embeddings.weight
    kind = module.token_type_embeddings.weight
    word = F.embedding(ids, module.word_embeddings.weight)
    norm = module.layer_norm
    none = torch.zeros(D)

    def instead(**change: Any) -> Tensor:
        return _embedded(module, config, ids, types, **change)

    normed = F.layer_norm(word, (D,), norm.weight, norm.bias, config.layer_norm_eps)
    return {
        "eps is nn.LayerNorm's default, 1e-5; take it from the config": instead(
            eps=1e-5
        ),
        "LayerNorm is missing": instead(norm="none"),
        "the positions are missing": instead(position=none),
        "the segments are missing": instead(segment=none),
        "token_type_ids is not used: every token got segment 0": instead(
            segment=kind[0]
        ),
        "every token got position 0": instead(position=place[0]),
        "the positions run over the batch; they run along the sentence": instead(
            position=place[:B, None]
        ),
        "the positions start at 1; the first token has position 0": instead(
            position=place[1 : T + 1]
        ),
        "the words are scaled by the square root of D; BERT does not do that": instead(
            word=word * math.sqrt(D)
        ),
        "the three are averaged; BERT adds them": instead(
            word=word / 3, segment=kind[types] / 3, position=place[:T] / 3
        ),
        "the vectors of padding are set to 0; they are made like any other": (
            instead() * (ids != config.pad_token_id)[..., None]
        ),
        "LayerNorm is applied to the words alone; it comes after the sum": (
            normed + kind[types] + place[:T]
        ),
    }


def _embeddings_train(cls: Any, config: BertConfig) -> None:
    """Rate and place of the dropout."""
    module = _built(cls, replace(config, hidden_dropout_prob=0.25))
    ids = torch.randint(5, 23, (50, 9))
    want = _embedded(module, config, ids, torch.zeros_like(ids))
    module.train()
    got = module(ids)
    zero = got == 0
    given = "hidden_dropout_prob 0.25, training"
    share = zero.float().mean().item()
    likely = "dropout is applied more than once, or is not the last step"
    if module.dropout.p != 0.25:
        likely = f"the rate is {module.dropout.p:g}; take it from the config"
    elif not zero.any():
        likely = "dropout is not used, or stands before LayerNorm; it comes last"
    expect(
        abs(share - 0.25) < 0.04,
        f"{100 * share:.0f} % of the numbers are 0 in training; it must be 25 %.",
        given=given,
        likely=likely,
    )
    expect_close(
        got,
        torch.where(zero, 0.0, want / 0.75),
        "The numbers that dropout keeps are wrong.",
        given=given,
        mistakes={
            "they are not scaled up by 1 / (1 - p)": torch.where(zero, 0.0, want)
        },
        likely="dropout comes last, after LayerNorm, and once",
    )


def _embeddings_gradient(cls: Any, config: BertConfig) -> None:
    module = _built(cls, config)
    module.eval()
    ids = torch.tensor([[6, 7, 6, 9, 7, 4], [8, 4, 4, 4, 4, 4]])  # 4 is padding
    types = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    given = f"input_ids {ids.tolist()}, pad_token_id 4"
    wanted = torch.autograd.grad(
        _embedded(module, config, ids, types).pow(3).sum(),
        list(module.parameters()),
        allow_unused=True,  # the answer may have a parameter that it does not need
    )
    module(ids, types).pow(3).sum().backward()
    named = dict(module.named_parameters())
    for name, want in zip(named, wanted, strict=True):
        if want is None:
            continue
        grad = named[name].grad
        expect(
            grad is not None,
            f"No gradient reaches {name}.",
            given=given,
            likely="detach, .data or no_grad on the way",
        )
        if name != "word_embeddings.weight":
            likely = "padding_idx belongs to the table of words alone"
            expect_close(
                grad,
                want,
                f"The gradient of {name} is wrong.",
                given=given,
                likely=likely,
                tol=1e-4,
            )
            continue
        expect(
            not grad[4].any(),
            "The row of padding gets a gradient.",
            given=given,
            likely="padding_idx=config.pad_token_id is missing, or another number",
        )
        want = want.clone()
        want[4] = 0
        expect_close(
            grad,
            want,
            "The gradient of the word table is wrong.",
            given=given,
            likely="padding_idx is another number than the config's pad_token_id",
            tol=1e-4,
        )
