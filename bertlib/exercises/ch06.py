"""The checks of chapter 6: losses and heads."""

import dataclasses
import math
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

ZERO = torch.zeros(())


def _scalar(got: Any, what: str, given: str) -> Tensor:
    """The result as a tensor without axes that gradients can flow from."""
    expect_tensor(got, what, given=given)
    if got.dim():
        raise Wrong(
            f"{what} The shape is {tuple(got.shape)}; it must be (): one number.",
            given=given,
            likely="the mean over the labelled positions is missing",
        )
    expect(
        got.is_floating_point() and got.requires_grad,
        f"{what} backward cannot be called on it.",
        given=given,
        likely="detach, .item(), .data, or a new tensor made of a number; stay with "
        "tensors (logits.sum() * 0 is a zero with a gradient)",
    )
    return got


def _long_way(logits: Tensor, labels: Tensor) -> Tensor:
    """The price of each label, by log_softmax and indexing, without cross_entropy."""
    logits, labels = logits.flatten(0, -2), labels.flatten()
    keep = labels != -100
    return -logits[keep].log_softmax(-1)[torch.arange(int(keep.sum())), labels[keep]]


def _loss_mistakes(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the known mistakes give on logits (..., K) and labels (...)."""
    keep = labels != -100
    z, y = logits[keep], labels[keep]
    each = _long_way(logits, labels)
    filled = labels.where(keep, torch.zeros_like(labels))
    everywhere = F.cross_entropy(logits.flatten(0, -2), filled.flatten())
    mistakes = {
        "the sum was not divided: the mean over the labelled positions is asked "
        "for": each.sum(),
        "divided by the number of all positions; only the labelled ones count": (
            each.sum() / labels.numel()
        ),
        "-100 was replaced by 0, and the mean is over all positions: word 0 is "
        "learned wherever nothing was asked": everywhere,
        "softmax before cross_entropy, which takes the softmax itself; it must get "
        "the logits": F.cross_entropy(z.softmax(-1), y),
        "the logarithm to base 2; nats are asked for, with the natural one": each.mean()
        / math.log(2),
        "the sign is missing: the loss is minus the logarithm": -each.mean(),
        "the mean of 1 - p; the loss is -log p": (1 - (-each).exp()).mean(),
        "label 0 was left out, as with ignore_index=0; 0 is a label like any other": (
            each[y != 0].sum() / max(1, int((y != 0).sum()))
        ),
        "label 0 was left out, as with ignore_index=0, and nothing was left": (
            each[y != 0].mean()
        ),
    }
    if labels.dim() == 2:
        kept = keep.sum(1)
        per_row = torch.stack(
            [
                _long_way(a, b).mean()
                for a, b, n in zip(logits, labels, kept, strict=True)
                if n
            ]
        )
        mistakes["a mean of the means of the rows; all labels count alike"] = (
            per_row.mean()
        )
        mistakes["divided by the number of rows, not of labels"] = each.sum() / len(
            labels
        )
    return mistakes


@exercise("6.1")
def check_masked_loss(masked_loss: Any) -> None:
    """The mean over the labelled positions, and nothing else."""
    hand = torch.tensor([[[2.0, 1.0, 0.0], [5.0, 0.0, 0.0]]], requires_grad=True)
    label = torch.tensor([[0, -100]])
    given = f"logits {show(hand)}, labels {label.tolist()}"
    what = "The loss of one hidden word is wrong."
    got = _scalar(call(masked_loss, hand, label), what, given)
    by_hand = torch.tensor(0.40760596)  # log(e^2 + e + 1) - 2
    expect_close(got, by_hand, what, given=given, mistakes=_loss_mistakes(hand, label))

    logits = (2 * torch.randn(2, 4, 5)).requires_grad_()
    labels = torch.tensor([[-100, 3, -100, 0], [4, -100, -100, -100]])
    given = f"logits (2, 4, 5), labels {labels.tolist()}"
    what = "The mean is wrong."
    got = _scalar(call(masked_loss, logits, labels), what, given)
    want = _long_way(logits, labels).mean()
    expect_close(got, want, what, given=given, mistakes=_loss_mistakes(logits, labels))
    _loss_gradient(masked_loss, logits, labels, given)
    _loss_edges(masked_loss, logits, labels)


def _loss_gradient(loss: Any, logits: Tensor, labels: Tensor, given: str) -> None:
    (want,) = torch.autograd.grad(_long_way(logits, labels).mean(), logits)
    (got,) = torch.autograd.grad(loss(logits, labels), logits, allow_unused=True)
    expect_close(
        ZERO if got is None else got,
        want,
        "The gradient of the logits is wrong.",
        given=given,
        likely="a part of the formula was detached, or positions without a label "
        "enter it",
    )


def _loss_edges(masked_loss: Any, logits: Tensor, labels: Tensor) -> None:
    wide = torch.cat([logits, torch.full((2, 3, 5), 50.0)], 1)
    more = F.pad(labels, (0, 3), value=-100)
    expect_close(
        masked_loss(wide, more),
        _long_way(logits, labels).mean(),
        "More padding changes the loss.",
        given="the same batch with three more positions, all labelled -100",
        mistakes=_loss_mistakes(wide, more),
        likely="positions without a label take part in the mean",
    )
    sure = torch.tensor([[[800.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    for y, price in ((0, 0.0), (1, 800.0)):
        given = f"logits {show(sure)}, labels [[{y}, -100]]"
        got = masked_loss(sure, torch.tensor([[y, -100]]))
        expect_close(
            got,
            torch.tensor(price),
            "Large logits break it.",
            given=given,
            likely="softmax and then log: the probability rounds to 0; use logsumexp, "
            "log_softmax or F.cross_entropy on the logits",
        )
    empty = torch.full((2, 4), -100)
    x = logits.detach().clone().requires_grad_()
    given = "logits (2, 4, 5), labels that are all -100"
    what = "A batch without a label."
    got = _scalar(masked_loss(x, empty), what, given)
    expect_close(
        got,
        ZERO,
        f"{what} The loss must be 0.",
        given=given,
        likely="0 / 0: the mean of nothing is NaN; divide the sum by at least 1",
    )
    got.backward()
    expect(
        x.grad is None or bool(x.grad.eq(0).all()),
        f"{what} The gradient must be 0.",
        given=given,
        likely="a NaN was replaced at the end (nan_to_num, where); its gradient is "
        "still NaN",
    )


@exercise("6.2")
def check_scores(scores: Any) -> None:
    """Perplexity and accuracy over the labelled positions."""
    labels = torch.tensor([[1, 0, -100], [-100, 2, -100]])
    given = f"logits zeros (2, 3, 7), labels {labels.tolist()}"
    result = call(scores, torch.zeros(2, 3, 7), labels)
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        "Two things must come back: perplexity and accuracy.",
        given=given,
        yours=_things(result),
        likely="return perplexity, accuracy: both, in this order"
        if result is not None
        else "there is no return statement",
    )
    expect_close(
        _number(result[0]),
        torch.tensor(7.0),
        "A model that knows nothing must have perplexity V.",
        given=given,
        mistakes={
            "this is the loss; the perplexity is its exponential": torch.tensor(
                math.log(7)
            ),
            "2 to the power of the loss; the loss is in nats, so e": torch.tensor(
                2 ** math.log(7)
            ),
            "the mean runs over all positions": torch.tensor(7**0.5),
            "the two results are swapped": torch.tensor(1 / 3),
            "the exponential of minus the loss": torch.tensor(1 / 7),
        },
        likely="the perplexity is e to the power of the mean loss, over the labelled "
        "positions",
    )
    _scores_by_hand(scores)


def _things(result: Any) -> str:
    """What came back, each of several things by itself."""
    several = isinstance(result, tuple | list)
    return "; ".join(show(x) for x in result) if several else show(result)


def _number(x: Any) -> Any:
    """Plain numbers are welcome too."""
    return torch.tensor(float(x)) if isinstance(x, int | float) else x


def _scores_by_hand(scores: Any) -> None:
    # Three labels: sure and right, sure and wrong, right (label 0).
    logits = torch.tensor(
        [
            [[0.0, 3.0, 0.0, 1.0], [2.0, 0.0, 0.0, 1.0], [9.0, 0.0, 0.0, 0.0]],
            [[9.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 1.0], [0.0, 0.0, 9.0, 0.0]],
        ]
    )
    labels = torch.tensor([[1, 0, -100], [-100, 2, -100]])
    given = f"logits {logits.tolist()}, labels {labels.tolist()}"
    perplexity, accuracy = (_number(x) for x in scores(logits, labels))
    each = _long_way(logits, labels)
    expect_close(
        perplexity,
        each.mean().exp(),
        "The perplexity is wrong.",
        given=given,
        mistakes={
            "the mean of the exponentials; it is the exponential of the mean": (
                each.exp().mean()
            ),
            "the exponential of the sum; it is that of the mean": each.sum().exp(),
            "the mean runs over all positions": (each.sum() / labels.numel()).exp(),
            "label 0 was left out": each[[0, 2]].mean().exp(),
            "this is the loss": each.mean(),
        },
        likely="the perplexity is e to the power of the mean loss, over the labelled "
        "positions",
    )
    expect_close(
        accuracy,
        torch.tensor(2 / 3),
        "The accuracy is wrong.",
        given=given,
        mistakes={
            "divided by the number of all positions, those without a label "
            "included": torch.tensor(2 / 6),
            "the number of right answers; the share is asked for": torch.tensor(2.0),
            "the share in per cent; a number between 0 and 1 is asked for": (
                torch.tensor(200 / 3)
            ),
            "label 0 was left out": torch.tensor(0.5),
            "the share of wrong answers": torch.tensor(1 / 3),
            "label 0 does not count as a label, yet it is divided by all": torch.tensor(
                1 / 3
            ),
            "-100 was taken for 0": torch.tensor(4 / 6),
        },
        likely="argmax over another axis than the last, or a mean over other "
        "positions than the labelled ones",
    )
    # As many positions as words: argmax over the wrong axis has a shape that fits.
    logits = torch.tensor([[[0.0, 2.0], [0.0, 1.0]]])
    labels = torch.tensor([[1, 1]])
    expect_close(
        _number(scores(logits, labels)[1]),
        torch.tensor(1.0),
        "The accuracy is wrong.",
        given=f"logits {show(logits)}, labels [[1, 1]]",
        likely="argmax over the positions; the words are on the last axis",
    )


def _part(module: Any, name: str, kind: type, given: str) -> Any:
    part = getattr(module, name, None)
    if not isinstance(part, kind):
        raise Wrong(
            f"There must be self.{name}, of type {kind.__name__}.",
            given=given,
            yours=type(part).__name__,
            likely=f"another name, or self.{name} is not set in __init__",
        )
    return part


@exercise("6.3")
def check_head(cls: Any) -> None:
    """Transform, then the table of the caller."""
    given = "D = 6, V = 11"
    head = cls(6, 11)
    dense = _part(head, "dense", nn.Linear, given)
    norm = _part(head, "norm", nn.LayerNorm, given)
    bias = _part(head, "bias", nn.Parameter, given)
    expect(
        tuple(bias.shape) == (11,) and bool(bias.eq(0).all()),
        "self.bias must be 11 zeros, one for each word.",
        given=given,
        yours=show(bias.data),
        likely="torch.randn or torch.empty, or D numbers in place of V",
    )
    expect(
        tuple(dense.weight.shape) == (6, 6) and dense.bias is not None,
        "self.dense must map 6 numbers to 6, with a bias.",
        given=given,
        yours=f"weight {tuple(dense.weight.shape)}",
        likely="the decoder's matrix in the place of the transform's"
        if 11 in dense.weight.shape
        else "bias=False, or another width",
    )
    expect(
        norm.eps == 1e-12,
        f"self.norm has eps = {norm.eps}; BERT's is 1e-12.",
        given=given,
        likely="PyTorch's own default is 1e-5",
    )
    owned = sum(p.numel() for p in head.parameters())
    expect(
        owned == 36 + 6 + 12 + 11,
        f"The head owns {owned} numbers; it must own 65: 6 * 6 + 6 for the linear "
        "layer, 12 for the norm, 11 for the bias.",
        given=given,
        likely="a decoder matrix of its own, V times D numbers; the table comes in "
        "with every call"
        if owned >= 65 + 66
        else "a layer too many or too few",
    )
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    for shape in ((3, 4, 6), (5, 6)):
        _head_values(head, dense, norm, bias, torch.randn(shape))
    _head_table(head)


def _head_values(head: Any, dense: Any, norm: Any, bias: Any, hidden: Tensor) -> None:
    table = torch.randn(11, 6)
    got = call(head, hidden, table)
    a = dense(hidden)
    x = F.layer_norm(F.gelu(a), (6,), norm.weight, norm.bias, 1e-12)
    expect_close(
        got,
        x @ table.T + bias,
        "The logits are wrong.",
        given=f"D = 6, V = 11, hidden {tuple(hidden.shape)}, table (11, 6)",
        mistakes={
            "the bias is missing": x @ table.T,
            "the activation is missing": norm(a) @ table.T + bias,
            "the LayerNorm is missing": F.gelu(a) @ table.T + bias,
            "the norm comes before the activation; it comes after it": F.gelu(norm(a))
            @ table.T
            + bias,
            "the GELU is the form with tanh; the exact one is asked for": norm(
                F.gelu(a, approximate="tanh")
            )
            @ table.T
            + bias,
            "the activation is ReLU; it is GELU": norm(F.relu(a)) @ table.T + bias,
            "the activation is tanh, as in the pooler; here it is GELU": norm(
                torch.tanh(a)
            )
            @ table.T
            + bias,
            "the transform is missing: linear, GELU, norm": hidden @ table.T + bias,
            "a residual connection: there is none in the head": norm(F.gelu(a) + hidden)
            @ table.T
            + bias,
            "the norm is outside: it works on the vectors, before the table": (
                F.layer_norm(F.gelu(a) @ table.T, (11,)) + bias
            ),
            "these are probabilities; logits are asked for": (
                x @ table.T + bias
            ).softmax(-1),
            "these are log-probabilities; logits are asked for": (
                x @ table.T + bias
            ).log_softmax(-1),
        },
    )


def _head_table(head: Any) -> None:
    table = torch.randn(11, 6, requires_grad=True)
    hidden = torch.randn(2, 6, requires_grad=True)
    first = head(hidden, table)
    expect(
        first.requires_grad,
        "The result has lost its gradient.",
        given="D = 6, V = 11, hidden (2, 6) and table (11, 6) with requires_grad",
        likely="detach, .data or torch.no_grad",
    )
    (first * torch.randn(2, 11)).sum().backward()
    expect(
        table.grad is not None and bool(table.grad.ne(0).any(1).all()),
        "No gradient reaches the table. Every one of its rows must get one.",
        given="D = 6, V = 11, a loss over the logits, backward",
        likely="table.data, table.detach() or a copy inside an nn.Linear: then the "
        "decoder is not tied",
    )
    expect(
        hidden.grad is not None and bool(hidden.grad.ne(0).any()),
        "No gradient reaches the vectors that came in.",
        given="D = 6, V = 11, hidden (2, 6), a loss over the logits, backward",
        likely="detach or .data",
    )
    with torch.no_grad():
        other = head(hidden, 2 * table)
        bias = head.bias
    expect_close(
        other - bias,
        2 * (first - bias),
        "A second call with another table must use that other table.",
        given="a call with table, then a call with 2 * table",
        mistakes={
            "it used the table of an earlier call; keep no table in the head": first
            - bias,
        },
    )


@exercise("6.4")
def check_gather(gather_masked: Any) -> None:
    """Rows in reading order, their labels, and the way back."""
    hidden = torch.arange(24.0).view(2, 4, 3).requires_grad_()
    labels = torch.tensor([[-100, 5, -100, 0], [7, -100, -100, -100]])
    given = f"hidden (2, 4, 3), labels {labels.tolist()}"
    vectors, targets = _pair(call(gather_masked, hidden, labels), FOUND, given)
    flat = hidden.detach().flatten(0, 1)
    kept = flat[[1, 3, 4]]
    # Filled with 0 where there is no label: the shape gives such answers away.
    likely = "those where labels != -100, row by row"
    if isinstance(vectors, Tensor) and vectors.shape == hidden.shape:
        likely = "the positions without a label were set to 0; they must be left out"
    elif isinstance(vectors, Tensor) and len(vectors) == 2:
        likely = "label 0 was left out (labels > 0, or labels as truth values)"
    expect_close(
        vectors,
        kept,
        "The vectors are wrong.",
        given=given,
        mistakes={
            "label 0 was left out (labels > 0, or labels as truth values)": flat[
                [1, 4]
            ],
            "the order is column by column; row by row is asked for": flat[[4, 1, 3]],
            "the labels were used as places": flat[[5, 0, 7]],
            "the positions without a label came back, not the others": flat[
                [0, 2, 5, 6, 7]
            ],
            "rows and tokens are swapped: B and T are transposed before they are "
            "merged": hidden.detach().transpose(0, 1).flatten(0, 1)[[1, 3, 4]],
        },
        likely=likely,
    )
    expect_close(
        targets,
        torch.tensor([5, 0, 7]),
        "The labels that come back are wrong.",
        given=given,
        mistakes={
            "these are the places; the labels at these places are asked for": (
                torch.tensor([1, 3, 4])
            ),
        },
        likely="label 0 was left out"
        if isinstance(targets, Tensor) and len(targets) == 2
        else "the labels at the places of the vectors, in the same order",
    )
    expect(
        targets.dtype == torch.int64,
        "The labels that come back must be int64.",
        given=given,
        yours=str(targets.dtype),
        likely=".float(), or a new tensor of another dtype; picked out of labels they "
        "stay int64",
    )
    _gather_edges(gather_masked, hidden, vectors, given)


FOUND = "the vectors and their labels"


def _pair(result: Any, names: str, given: str) -> Any:
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        f"Two tensors must come back: {names}.",
        given=given,
        yours=_things(result),
        likely="there is no return statement"
        if result is None
        else "often one of the two alone, or both put together to one",
    )
    return result


def _gather_edges(gather: Any, hidden: Tensor, vectors: Tensor, given: str) -> None:
    expect(
        vectors.requires_grad,
        "The vectors have lost their gradient.",
        given=given,
        likely="detach, .data, .tolist() or torch.tensor(...)",
    )
    vectors.sum().backward()
    want = torch.zeros(8, 3)
    want[[1, 3, 4]] = 1
    assert hidden.grad is not None
    expect_close(
        hidden.grad,
        want.view(2, 4, 3),
        "The gradient does not find its way back to the labelled positions.",
        given=given,
        likely="the vectors were multiplied, or only some of them detached",
    )
    empty = torch.full((2, 4), -100)
    none, nothing = _pair(gather(hidden, empty), FOUND, "labels that are all -100")
    expect(
        isinstance(none, Tensor)
        and isinstance(nothing, Tensor)
        and (tuple(none.shape), tuple(nothing.shape)) == ((0, 3), (0,)),
        "Without a label, shapes (0, D) and (0,) must come back.",
        given="hidden (2, 4, 3), labels that are all -100",
        yours=f"{show(none)}; {show(nothing)}",
        likely="squeeze() drops an axis too many, or torch.stack of an empty list",
    )
    alone = gather(hidden[:1, :1], torch.tensor([[2]]))
    single, one = _pair(alone, FOUND, "one position")
    expect(
        (tuple(single.shape), tuple(one.shape)) == ((1, 3), (1,)),
        "With one label, shapes (1, D) and (1,) must come back.",
        given="hidden (1, 1, 3), labels [[2]]",
        yours=f"{tuple(single.shape)}; {tuple(one.shape)}",
        likely="squeeze() without an axis drops every axis of size 1",
    )


@exercise("6.5")
def check_next_sentence(cls: Any) -> None:
    """Label 0 follows; both labels teach; -100 does not."""
    given = "D = 6"
    module = cls(6)
    layer = _part(module, "seq_relationship", nn.Linear, given)
    expect(
        tuple(layer.weight.shape) == (2, 6) and layer.bias is not None,
        "self.seq_relationship must map 6 numbers to 2, with a bias.",
        given=given,
        yours=f"weight {tuple(layer.weight.shape)}",
        likely="one number and a sigmoid; published checkpoints have two",
    )
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    pooled = torch.randn(4, 6)
    labels = torch.tensor([0, 1, -100, 0])
    given = f"D = 6, pooled (4, 6), labels {labels.tolist()}"
    names = "the probability that B follows A, and the loss"
    p, loss = _pair(call(module, pooled, labels), names, given)
    z = F.linear(pooled, layer.weight, layer.bias)
    expect_close(
        p,
        z.softmax(-1)[:, 0],
        "The probability that B follows A is wrong.",
        given=given,
        mistakes={
            "this is the probability of label 1: that B does NOT follow": z.softmax(-1)[
                :, 1
            ],
            "the softmax runs over the batch; it runs over the two classes": z.softmax(
                0
            )[:, 0],
            "the softmax runs over the batch, and label 1 is read": z.softmax(0)[:, 1],
            "this is the sigmoid of one logit; two logits need a softmax": z[
                :, 0
            ].sigmoid(),
            "this is a logit; a probability is asked for": z[:, 0],
            "this is a log-probability": z.log_softmax(-1)[:, 0],
            "both columns came back; one number for each text is asked for": z.softmax(
                -1
            ),
        },
        likely="both columns came back; one number for each text is asked for"
        if isinstance(p, Tensor) and p.dim() == 2
        else "the softmax over the two logits, and of it column 0",
    )
    what = "The loss is wrong."
    loss = _scalar(loss, what, given)
    known = _loss_mistakes(z, labels)
    flipped = labels.where(labels < 0, 1 - labels)
    known["the labels are turned round: 0 means that B follows A"] = _long_way(
        z, flipped
    ).mean()
    want = _long_way(z, labels).mean()
    likely = "the mean loss of the two logits, over the texts that have a label"
    expect_close(loss, want, what, given=given, mistakes=known, likely=likely)
    _both_labels_teach(module, layer, pooled)


def _both_labels_teach(module: Any, layer: nn.Linear, pooled: Tensor) -> None:
    for label in (0, 1):
        labels = torch.full((4,), label)
        given = f"D = 6, pooled (4, 6), labels {labels.tolist()}"
        z = F.linear(pooled, layer.weight, layer.bias)
        want = torch.autograd.grad(_long_way(z, labels).mean(), layer.weight)[0]
        loss = _scalar(module(pooled, labels)[1], "The loss.", given)
        (got,) = torch.autograd.grad(loss, layer.weight, allow_unused=True)
        expect_close(
            ZERO if got is None else got,
            want,
            f"A batch in which every label is {label} teaches the wrong thing.",
            given=given,
            likely=f"label {label} is ignored or its gradient was cut off",
        )
    given = "D = 6, pooled (4, 6), labels that are all -100"
    loss = _scalar(module(pooled, torch.full((4,), -100))[1], "The loss.", given)
    expect_close(
        loss,
        ZERO,
        "Without a label the loss must be 0.",
        given=given,
        likely="the mean of nothing is NaN; mean_loss takes care of it",
    )


SMALL = BertConfig(
    vocab_size=23,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=9,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def _pairs_batch() -> dict[str, Tensor]:
    """Four rows with padding, two segments, and labels of every sort."""
    mask = torch.arange(7) < torch.tensor([7, 4, 5, 6])[:, None]
    ids = torch.randint(1, 23, (4, 7)).masked_fill(~mask, 0)
    labels = torch.full((4, 7), -100)
    labels[0, 2], labels[0, 5], labels[2, 1], labels[3, 4] = 7, 0, 22, 3
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": (torch.arange(7) > 2).long().expand(4, 7) * mask,
        "labels": labels,
        "next_sentence_label": torch.tensor([0, 1, 0, -100]),
    }


@exercise("6.6")
def check_pretraining(cls: Any) -> None:
    """Both losses, the long way round from the answer's own parts."""
    given = "a BERT of 2 layers, D = 12, V = 23; B = 4, T = 7 with padding"
    big = dataclasses.replace(SMALL, hidden_size=120, initializer_range=0.3)
    _starts_well(cls(big), given)
    model = cls(SMALL)
    bert = _part(model, "bert", nn.Module, given)
    head = _part(model, "predictions", nn.Module, given)
    expect(
        hasattr(bert, "embeddings") and getattr(bert, "pooler", None) is not None,
        "self.bert must be a BertModel(config), with its pooler.",
        given=given,
        yours=type(bert).__name__,
        likely="add_pooling_layer=False: the head of the next sentence reads the "
        "pooler's vector"
        if hasattr(bert, "embeddings")
        else "another module has this name",
    )
    expect(
        hasattr(head, "dense") and hasattr(head, "bias"),
        "self.predictions must be a MaskedLMHead(config).",
        given=given,
        yours=type(head).__name__,
        likely="a bare nn.Linear: no transform, and a table of its own",
    )
    layer = _part(model, "seq_relationship", nn.Linear, given)
    expect(
        layer.out_features == 2,
        "self.seq_relationship must answer with two numbers: next, or not next.",
        given=given,
        yours=f"nn.Linear({layer.in_features}, {layer.out_features})",
        expected=f"nn.Linear({layer.in_features}, 2)",
        likely="one column for each answer: label 0 is next, label 1 is not",
    )
    # The table is the one matrix with V rows, whatever it is called.
    tables = [n for n, p in model.named_parameters() if tuple(p.shape) == (23, 12)]
    expect(
        tables == ["bert.embeddings.word_embeddings.weight"],
        "There must be one table with V rows, the word embeddings.",
        given=given,
        yours=", ".join(tables),
        likely="a decoder with a matrix of its own; the head gets the table of "
        "the embeddings",
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    batch = _pairs_batch()
    result = model(**batch)
    expect(
        isinstance(result, tuple | list) and len(result) == 3,
        "Three things must come back: loss, logits, nsp_logits.",
        given=given,
        yours=_things(result),
        likely="there is no return statement"
        if result is None
        else "return loss, logits, nsp_logits",
    )
    _pretraining_values(model, layer, batch, result, given)


def _starts_well(model: Any, given: str) -> None:
    """First weights of the two heads, for initializer_range = 0.3."""
    head = _part(model, "predictions", nn.Module, given)
    pair = _part(model, "seq_relationship", nn.Linear, given)
    layers = {"seq_relationship": pair, "predictions.dense": getattr(head, "dense", 0)}
    for name, layer in layers.items():
        if isinstance(layer, nn.Linear):
            std = layer.weight.detach().std().item()
            expect(
                0.2 < std < 0.4 and bool(layer.bias.eq(0).all()),
                f"self.{name} does not start with config.initializer_range and bias 0.",
                given="initializer_range = 0.3",
                yours=f"standard deviation {std:.2f}",
                likely=f"init_weights was not called on self.{name}",
            )


def _pretraining_values(
    model: Any, layer: nn.Linear, batch: dict[str, Tensor], result: Any, given: str
) -> None:
    loss, logits, nsp = result
    ids, mask, kinds = (batch[k] for k in list(batch)[:3])
    labels, follows = batch["labels"], batch["next_sentence_label"]
    table = model.bert.embeddings.word_embeddings.weight

    def run(*inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        hidden, pooled, _ = model.bert(*inputs)
        return model.predictions(hidden, table), layer(pooled)

    full, pair = run(ids, mask, kinds)
    keep = labels != -100
    no_mask, no_mask_pair = run(ids, None, kinds)
    no_kinds, no_kinds_pair = run(ids, mask, None)
    likely = (
        "self.predictions gets the vectors of the labelled positions, and the table"
    )
    if isinstance(logits, Tensor) and logits.dim() == 3:
        likely = "logits at all positions; only the labelled ones are asked for"
    expect_close(
        logits,
        full[keep],
        "The logits of the words are wrong.",
        given=given,
        mistakes={
            "attention_mask was not passed to BERT": no_mask[keep],
            "token_type_ids were not passed to BERT": no_kinds[keep],
            "label 0 was left out": full[labels > 0],
        },
        likely=likely,
    )
    hidden, pooled, _ = model.bert(ids, mask, kinds)
    expect_close(
        nsp,
        pair,
        "The logits of the next sentence are wrong.",
        given=given,
        mistakes={
            "attention_mask was not passed to BERT": no_mask_pair,
            "token_type_ids were not passed to BERT": no_kinds_pair,
            "they read the vector of [CLS]; the pooler's vector is asked for": layer(
                hidden[:, 0]
            ),
            "they read the mean of the tokens; the pooler's vector is asked for": layer(
                hidden.mean(1)
            ),
            "these are probabilities": pair.softmax(-1),
            "a tanh too many: the pooler has one already": layer(pooled.tanh()),
        },
        likely="self.seq_relationship gets the pooler's vector, as it is",
    )
    words = _long_way(full, labels).mean()
    texts = _long_way(pair, follows).mean()
    known = follows != -100
    what = "The loss is wrong."
    expect_close(
        _scalar(loss, what, given),
        words + texts,
        what,
        given=given,
        mistakes={
            "this is the loss of the words alone": words,
            "this is the loss of the next sentence alone": texts,
            "the mean of the two losses; their sum is asked for": (words + texts) / 2,
            "label 0 of the next sentence was left out, as with ignore_index=0": words
            + F.cross_entropy(pair[known], follows[known], ignore_index=0),
            "word 0 was left out, as with ignore_index=0": texts
            + F.cross_entropy(full[keep], labels[keep], ignore_index=0),
            "the labels of the next sentence are turned round": words
            + F.cross_entropy(pair[known], 1 - follows[known]),
            "the loss of the words is divided by all positions": texts
            + words * keep.sum() / keep.numel(),
            "one mean over words and texts together; each loss has its own": (
                words * keep.sum() + texts * known.sum()
            )
            / (keep.sum() + known.sum()),
        },
        likely="each loss is a mean over its own labels, -100 left out",
    )
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    expect(
        not without,
        f"No gradient reaches {', '.join(without[:3])}.",
        given=given,
        likely="a part was detached, or is not used",
    )
    (want,) = torch.autograd.grad(words + texts, table)
    expect_close(
        table.grad,
        want,
        "The gradient of the table is wrong.",
        given=given,
        likely="the decoder got a copy of the table (detach, clone().data): its side "
        "of the gradient is lost",
        tol=1e-4,
    )


@exercise("6.7")
def check_label_pieces(label_pieces: Any) -> None:
    """First pieces only; None is no word, 0 is one."""
    cases: list[tuple[list[int], list[int | None], list[int]]] = [
        ([3, 1], [None, 0, 1, None], [-100, 3, 1, -100]),
        ([3, 1, 2], [None, 0, 0, 0, 1, 2, 2, None], [-100, 3, -100, -100, 1, 2]),
        ([4, 4, 0], [None, 0, 1, 1, 2, None, None, None], [-100, 4, 4, -100, 0]),
        ([1, 2, 3, 4], [None, 0, 1, 1, None], [-100, 1, 2]),
        ([5, 6], [0, 1, 1], [5, 6]),
        ([2], [None, None], []),
    ]
    for word_labels, word_ids, start in cases:
        want = start + [-100] * (len(word_ids) - len(start))
        given = f"word_labels {word_labels}, word_ids {word_ids}"
        before = (list(word_labels), list(word_ids))
        got = label_pieces(word_labels, word_ids)
        expect(
            (word_labels, word_ids) == before,
            "Your function changes the lists it was given.",
            given=given,
            likely="append, pop or an assignment into one of them",
        )
        expect_tensor(got, "The labels.", given=given)
        expect_close(
            got,
            torch.tensor(want),
            "The labels are wrong.",
            given=given,
            mistakes=_piece_mistakes(word_labels, word_ids, want),
        )
        expect(
            got.dtype == torch.int64,
            "The labels must be int64.",
            given=given,
            yours=str(got.dtype),
            likely="a float somewhere, torch.ones or torch.full(..., -100.0)",
        )


def _piece_mistakes(
    labels: list[int], ids: list[int | None], want: list[int]
) -> dict[str, Tensor]:
    T = range(len(ids))
    last = [w != (ids[t + 1] if t + 1 < len(ids) else None) for t, w in enumerate(ids)]

    def of(values: list[int]) -> Tensor:
        return torch.tensor(values)

    def label(t: int) -> int:
        word = ids[t]
        return -100 if word is None else labels[word]

    new = [label(t) != (label(t - 1) if t else -100) for t in T]
    return {
        "all pieces of a word carry its label; only the first may": of(
            [label(t) for t in T]
        ),
        "the last piece carries the label; the first should": of(
            [label(t) if last[t] else -100 for t in T]
        ),
        "word 0 was left out: 0 is not None; write `is not None`": of(
            [x if ids[t] else -100 for t, x in enumerate(want)]
        ),
        "labels are compared, not words: a neighbour with the same label is a new "
        "word": of([label(t) if new[t] else -100 for t in T]),
        "tokens without a word get label 0; they have no label, -100": of(
            [0 if ids[t] is None else x for t, x in enumerate(want)]
        ),
        "later pieces get label 0; they have no label, -100": of(
            [0 if x == -100 and ids[t] is not None else x for t, x in enumerate(want)]
        ),
        "all that has no label gets 0; 0 is a label": of(
            [0 if x == -100 else x for x in want]
        ),
        "-1 in the place of -100": of([-1 if x == -100 else x for x in want]),
        "the numbers of the words, not their labels": of(
            [-100 if x == -100 else (ids[t] or 0) for t, x in enumerate(want)]
        ),
    }


@exercise("6.8")
def check_span(span_loss: Any) -> None:
    """Two softmaxes over the tokens, and the mean of two means."""
    hand = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    even = torch.zeros(1, 3, requires_grad=True)
    given = f"start_logits {show(hand)}, end_logits {show(even)}, starts [0], ends [2]"
    first, last = torch.tensor([0]), torch.tensor([2])
    what = "The loss of one text is wrong."
    got = _scalar(call(span_loss, hand, even, first, last), what, given)
    by_hand = torch.tensor((0.40760596 + math.log(3)) / 2)
    expect_close(
        got,
        by_hand,
        what,
        given=given,
        mistakes=_span_mistakes(hand, even, first, last),
    )
    for B, T, one, two in (
        (4, 6, [0, 2, -100, 5], [3, 2, -100, 5]),
        (3, 3, [0, 1, 1], [2, 1, 2]),
    ):
        start = (2 * torch.randn(B, T)).requires_grad_()
        end = (2 * torch.randn(B, T)).requires_grad_()
        starts, ends = torch.tensor(one), torch.tensor(two)
        given = f"logits ({B}, {T}), starts {one}, ends {two}"
        got = _scalar(call(span_loss, start, end, starts, ends), "The loss.", given)
        want = (_long_way(start, starts).mean() + _long_way(end, ends).mean()) / 2
        expect_close(
            got,
            want,
            "The loss is wrong.",
            given=given,
            mistakes=_span_mistakes(start, end, starts, ends),
        )
        wanted = torch.autograd.grad(want, [start, end])
        found = torch.autograd.grad(got, [start, end], allow_unused=True)
        for name, a, b in zip(("start", "end"), found, wanted, strict=True):
            expect_close(
                ZERO if a is None else a,
                b,
                f"The gradient of {name}_logits is wrong.",
                given=given,
                likely="a part was detached",
            )
    _span_empty(span_loss)


def _span_mistakes(
    start: Tensor, end: Tensor, starts: Tensor, ends: Tensor
) -> dict[str, Tensor]:
    a, b = _long_way(start, starts), _long_way(end, ends)
    keep = starts != -100
    both = torch.cat([start, end], 1)
    T = start.size(1)
    joined = [_long_way(both, starts), _long_way(both, ends.where(~keep, ends + T))]
    mistakes = {
        "the sum of the two losses; their mean is asked for": a.mean() + b.mean(),
        "the loss of the start alone": a.mean(),
        "the loss of the end alone": b.mean(),
        "a sum over the texts; a mean is asked for": (a.sum() + b.sum()) / 2,
        "a sum over texts and both ends": a.sum() + b.sum(),
        "divided by the number of all texts; those without an answer do not count": (
            a.sum() + b.sum()
        )
        / 2
        / len(starts),
        "-100 was taken for position 0; such a text does not count": (
            _long_way(start, starts.clamp(min=0)).mean()
            + _long_way(end, ends.clamp(min=0)).mean()
        )
        / 2,
        "the softmax was taken twice; cross_entropy gets logits": (
            F.cross_entropy(start.softmax(-1)[keep], starts[keep])
            + F.cross_entropy(end.softmax(-1)[keep], ends[keep])
        )
        / 2,
        "start and end are swapped": (
            _long_way(start, ends).mean() + _long_way(end, starts).mean()
        )
        / 2,
        "the start's logits were used for both": (
            a.mean() + _long_way(start, ends).mean()
        )
        / 2,
        "one softmax over the starts and ends together; each has its own": (
            joined[0].mean() + joined[1].mean()
        )
        / 2,
        "position 0 was left out, as with ignore_index=0; an answer may begin there": (
            F.cross_entropy(start[keep], starts[keep], ignore_index=0)
            + F.cross_entropy(end[keep], ends[keep], ignore_index=0)
        )
        / 2,
    }
    if len(start) == T and bool(keep.all()):
        mistakes["the softmax runs over the texts; it runs over the tokens"] = (
            F.cross_entropy(start.T, starts) + F.cross_entropy(end.T, ends)
        ) / 2
        mistakes["log_softmax over axis 0; the tokens are on the last one"] = (
            F.nll_loss(start.log_softmax(0), starts)
            + F.nll_loss(end.log_softmax(0), ends)
        ) / 2
    return mistakes


def _span_empty(span_loss: Any) -> None:
    start = torch.randn(2, 5, requires_grad=True)
    none = torch.tensor([-100, -100])
    given = "logits (2, 5), starts and ends all -100"
    what = "A batch in which no text has an answer."
    got = _scalar(span_loss(start, 2 * start, none, none), what, given)
    expect_close(
        got,
        ZERO,
        f"{what} The loss must be 0.",
        given=given,
        likely="the mean of nothing is NaN; mean_loss takes care of it",
    )
    got.backward()
    expect(
        start.grad is None or bool(start.grad.eq(0).all()),
        f"{what} The gradient must be 0.",
        given=given,
        likely="a NaN was replaced at the end; its gradient is still NaN",
    )
