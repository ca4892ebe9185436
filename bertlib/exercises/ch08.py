"""The checks of chapter 8: the optimizer, its schedule, exact steps, safe files."""

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    number_in,
    show,
)

# --- 8.1 AdamW -----------------------------------------------------------------------


def _adamw_oracle(
    theta: Tensor, gradients: list[Tensor], lr: float, decay: float, **named: Any
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(theta, m, v) after each step, by torch.optim.AdamW."""
    weight = nn.Parameter(theta.clone())
    adam = torch.optim.AdamW([weight], lr, weight_decay=decay, **named)
    found = []
    for g in gradients:
        weight.grad = g.clone()
        adam.step()
        state = adam.state[weight]
        means = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
        found.append((weight.detach().clone(), *means))
    return found


def _adamw_mistakes(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, decay: float
) -> dict[str, Tensor]:
    """What known mistakes make of theta, with the default betas and eps."""
    a, b, eps = 0.9, 0.999, 1e-6
    new_m, new_v = a * m + (1 - a) * g, b * v + (1 - b) * g * g
    one, two = 1 - a**t, 1 - b**t

    def step(m: Tensor, v: Tensor) -> Tensor:
        return lr * m / (v.sqrt() + eps)

    kept = theta * (1 - lr * decay)
    right = step(new_m / one, new_v / two)
    coupled = g + decay * theta
    c_m, c_v = a * m + (1 - a) * coupled, b * v + (1 - b) * coupled * coupled
    wrong = {
        "the bias correction is missing": kept - step(new_m, new_v),
        "only m is corrected, not v": kept - step(new_m / one, new_v),
        "only v is corrected, not m": kept - step(new_m, new_v / two),
        "the decay is missing": theta - right,
        "the decay goes into the gradient; in AdamW it stands beside it, theta times "
        "(1 - lr * decay)": theta - step(c_m / one, c_v / two),
        "the decay is not multiplied by the learning rate": theta * (1 - decay) - right,
        "the decay has the wrong sign": theta * (1 + lr * decay) - right,
        "the decay is taken from the weights after the step; it comes first": (
            theta - right
        )
        * (1 - lr * decay),
        "the step has the wrong sign: it goes against the gradient": kept + right,
        "the old m and v are used for the step; update them first": kept
        - step(m / one, v / two),
        "the root over v is missing": kept - lr * (new_m / one) / (new_v / two + eps),
        "v is a mean of g, not of g squared": kept
        - step(new_m / one, ((b * v + (1 - b) * g) / two).clamp(min=0)),
        "the two betas are swapped": kept
        - step(
            (b * m + (1 - b) * g) / (1 - b**t), (a * v + (1 - a) * g * g) / (1 - a**t)
        ),
        "the factors 1 - beta are missing from the means": kept
        - step((a * m + g) / one, (b * v + g * g) / two),
        "the gradient is used where m belongs": kept - step(g, new_v / two),
    }
    if t > 1:
        early, late = 1 - a ** (t - 1), 1 - b ** (t - 1)
        wrong["the powers of the correction are t - 1; they are t"] = kept - step(
            new_m / early, new_v / late
        )
    one, two = 1 - a ** (t + 1), 1 - b ** (t + 1)
    wrong["the powers of the correction are t + 1; the first step has t = 1"] = (
        kept - step(new_m / one, new_v / two)
    )
    return wrong


@exercise("8.1")
def check_adamw_step(adamw_step: Any) -> None:
    """Several steps against torch.optim.AdamW."""
    theta = torch.tensor([[1.0, -2.0, 0.5], [3.0, -0.1, 0.0]])
    gradients = [
        torch.tensor([[0.5, 2.0, -1.0], [0.1, -3.0, 1.0]]),
        torch.tensor([[0.4, -1.0, -1.0], [0.0, 2.0, 0.3]]),
        torch.tensor([[0.1, 1.0, 3.0], [0.0, 0.5, -2.0]]),
    ]
    lr, decay = 0.1, 0.5
    wanted = _adamw_oracle(theta, gradients, lr, decay, eps=1e-6)
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, (g, want) in enumerate(zip(gradients, wanted, strict=True), start=1):
        given = f"step t = {t} of rate 0.1 with decay 0.5, g {show(g)}"
        result = call(adamw_step, theta, g, m, v, t, lr, decay)
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Wrong(
                f"Three tensors must come back, and {type(result).__name__} did.",
                given=given,
                likely="there is no return statement"
                if result is None
                else "return theta, m, v",
            )
        expect_close(
            result[1],
            want[1],
            "The new m is wrong.",
            given=given,
            mistakes={
                "the corrected m comes back; keep it without the correction": want[1]
                / (1 - 0.9**t),
                "beta_1 belongs to the old mean, 1 - beta_1 to the gradient": 0.1 * m
                + 0.9 * g,
                "the factor 1 - beta_1 is missing": 0.9 * m + g,
                "the decay has gone into the gradient": 0.9 * m
                + 0.1 * (g + decay * theta),
                "the old m comes back": m,
                "the betas are swapped": 0.999 * m + 0.001 * g,
            },
        )
        expect_close(
            result[2],
            want[2],
            "The new v is wrong.",
            given=given,
            mistakes={
                "the corrected v comes back; keep it without the correction": want[2]
                / (1 - 0.999**t),
                "v is a mean of g, not of g squared": 0.999 * v + 0.001 * g,
                "the factor 1 - beta_2 is missing": 0.999 * v + g * g,
                "the old v comes back": v,
                "the betas are swapped": 0.9 * v + 0.1 * g * g,
            },
            tol=1e-6,
        )
        expect_close(
            result[0],
            want[0],
            "The new theta is wrong.",
            given=given,
            mistakes=_adamw_mistakes(theta, g, m, v, t, lr, decay),
            likely="compare your lines with the loop of the chapter, one by one",
            tol=1e-4,
        )
        theta, m, v = want
    _adamw_other(adamw_step)


def _adamw_other(adamw_step: Any) -> None:
    """Other betas, a large eps, a gradient of 0."""
    theta, zero = torch.tensor([1.0, -2.0]), torch.zeros(2)
    g = torch.tensor([0.5, -0.01])
    named: dict[str, Any] = {"betas": (0.5, 0.8), "eps": 0.1}
    h = torch.tensor([-0.2, 0.03])
    one, two = _adamw_oracle(theta, [g, h], 0.1, 0.0, **named)
    m, v = 0.5 * one[1] + 0.5 * h, 0.8 * one[2] + 0.2 * h * h
    m_hat, v_hat = m / 0.75, v / 0.36
    expect_close(
        call(adamw_step, *[one[0], h, one[1], one[2]], 2, 0.1, 0.0, **named)[0],
        two[0],
        "With other betas or another eps the new theta is wrong.",
        given=f"t = 2, betas (0.5, 0.8), eps 0.1, g {show(h)}",
        mistakes={
            "eps stands under the root; it is added to the root": one[0]
            - 0.1 * m_hat / (v_hat + 0.1).sqrt(),
            "eps is added before the correction; it is added to the root of the "
            "corrected v": one[0] - 0.1 * m_hat / (v.sqrt() + 0.1) * 0.6,
            "eps is left out": one[0] - 0.1 * m_hat / v_hat.sqrt(),
            "eps is a number in the code; use the argument": one[0]
            - 0.1 * m_hat / (v_hat.sqrt() + 1e-6),
        },
        likely="0.9, 0.999 or 1e-6 written into the code; use betas and eps",
    )
    result = call(adamw_step, theta, zero, zero, zero, 1, 0.1, 0.5)[0]
    expect_close(
        result,
        theta * 0.95,
        "A weight whose gradient is 0 must only decay.",
        given="g 0, m 0, v 0, rate 0.1, decay 0.5",
        likely="0 divided by 0: add eps to the root",
    )
    tiny = torch.tensor([1e-6, -1e-6])
    expect_close(
        call(adamw_step, zero, tiny, zero, zero, 1, 0.1, 0.0)[0],
        torch.tensor([-0.05, 0.05]),
        "A gradient as small as eps must move its weight by half the rate.",
        given="t = 1, g ±0.000001, rate 0.1, eps not given",
        mistakes={
            "the default of eps is 1e-8, as in PyTorch; BERT's is 1e-6": torch.tensor(
                [-0.1, 0.1]
            )
            / 1.01
        },
        likely="the default of eps is changed; it is 1e-6",
        tol=1e-3,
    )


# --- 8.2 groups ----------------------------------------------------------------------


class _Odd(nn.Module):
    """Parts under names that tell nothing, one of them frozen, one used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.first = nn.Linear(4, 4)
        self.scale = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 3)
        self.frozen.requires_grad_(False)
        self.decoder = nn.Linear(4, 7, bias=False)
        self.decoder.weight = self.words.weight  # tied
        self.offsets = nn.Parameter(torch.zeros(7))


@exercise("8.2")
def check_two_groups(two_groups: Any) -> None:
    """Every parameter where it belongs, once."""
    model = _Odd()
    given = "a model with an embedding, linear layers, a LayerNorm called scale, a bias"
    given += " called offsets, tied weights, and a frozen layer"
    groups = two_groups(model, 0.3)
    if isinstance(groups, tuple | list) and len(groups) == 2:
        groups = list(groups)
    good = isinstance(groups, list) and all(isinstance(g, dict) for g in groups)
    expect(
        good and len(groups) == 2,
        "A list of two dicts must come back.",
        given=given,
        yours=type(groups).__name__,
        likely="there is no return statement"
        if groups is None
        else 'return [{"params": ..., "weight_decay": ...}, {...}]',
    )
    for group in groups:
        expect(
            {"params", "weight_decay"} <= set(group),
            'Each dict needs the keys "params" and "weight_decay".',
            yours=str(sorted(group)),
        )
        group["params"] = list(group["params"])  # a generator can be read only once
        expect(
            all(isinstance(p, nn.Parameter) for p in group["params"]),
            "The parameters themselves belong into the lists.",
            given=given,
            likely="named_parameters gives pairs, name first; take the second",
        )
    rates = [group["weight_decay"] for group in groups]
    expect(
        rates == [0.3, 0.0],
        "The decay of the first group is weight_decay, that of the second is 0.",
        given="weight_decay = 0.3",
        yours=str(rates),
        likely="the groups are in the other order"
        if rates == [0.0, 0.3]
        else "a number written into the code",
    )
    _where_they_are(model, groups, given)
    torch.optim.AdamW(groups)  # refuses a parameter in two groups by itself


def _where_they_are(model: _Odd, groups: list[Any], given: str) -> None:
    place: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        for p in group["params"]:
            place.setdefault(id(p), []).append(number)

    def at(parameter: Tensor) -> list[int]:
        return place.get(id(parameter), [])

    for name, p in model.frozen.named_parameters():
        expect(
            not at(p),
            f"frozen.{name} is frozen, and is in a group.",
            given=given,
            likely="p.requires_grad is not looked at",
        )
    expect(
        at(model.words.weight) != [0, 0],
        "The tied weight is in the list twice.",
        given=given,
        likely="a loop over modules meets tied weights twice; loop over "
        "model.parameters()",
    )
    wanted = [
        ("words.weight", model.words.weight, 0, "embeddings decay too, in BERT"),
        ("first.weight", model.first.weight, 0, "a weight matrix decays"),
        ("first.bias", model.first.bias, 1, "biases do not decay"),
        ("scale.weight", model.scale.weight, 1, "a LayerNorm does not decay, whatever "
         "it is called; its weight has one axis"),
        ("scale.bias", model.scale.bias, 1, "biases do not decay"),
        ("offsets", model.offsets, 1, "the bias of the MLM head belongs to no linear "
         "layer and need not be called bias; look at the number of axes"),
    ]  # fmt: skip
    words = ["in the group that decays", "in the group that does not"]
    for name, p, group, why in wanted:
        found = at(p)
        where = " and ".join(words[n] for n in found) or "in no group"
        expect(
            found == [group],
            f"{name} is {where}; it belongs {words[group].replace('in ', 'into ')}.",
            given=given,
            likely=why if found else "a condition that leaves it out",
        )


# --- 8.3 schedule --------------------------------------------------------------------


@exercise("8.3")
def check_rate_factor(rate_factor: Any) -> None:
    """Every step against numpy's piecewise linear function."""
    for total, warmup in [
        (10, 0.2),
        (10, 0.0),
        (1, 0.0),
        (7, 0.5),
        (100, 0.06),
        (10, 0.96),
    ]:
        rising = round(total * warmup)
        given = f"total_steps {total}, warmup {warmup}"
        corners = [-1, rising - 1, rising, total] if rising else [0, total]
        heights = [0, 1, 1, 0] if rising else [1, 0]
        want = [float(np.interp(step, corners, heights)) for step in range(total)]
        got = [
            number_in(rate_factor(step, total, warmup), "The factor.", given)
            for step in range(total)
        ]
        expect_close(
            torch.tensor(got),
            torch.tensor(want),
            "The factors of the steps 0, 1, ... are wrong.",
            given=given,
            mistakes=_schedule_mistakes(total, rising),
            likely="write the factors of 10 steps with warmup 0.2 on paper: two rise, "
            "and eight fall from 1 by 1/8 each",
            tol=1e-6,
        )
        for step in (total, total + 3):
            try:
                after = rate_factor(step, total, warmup)
            except ZeroDivisionError as error:
                raise Wrong(
                    f"At step {step} the run is over, and yours divides by 0.",
                    given=given,
                    likely="with a long warm-up every step rises, and none is left to "
                    "fall in; ask first whether the run is over",
                ) from error
            after = number_in(after, "The factor.", given)
            expect(
                abs(after) < 1e-9,
                f"At step {step} the run is over, and the factor must be 0.",
                given=given,
                yours=show(after),
                likely="the line goes on below 0; max(0, ...) ends it",
            )


def _schedule_mistakes(total: int, rising: int) -> dict[str, Tensor]:
    steps = torch.arange(total, dtype=torch.float64)
    up, room = (steps + 1) / max(1, rising), max(1, total - rising)
    down = (total - steps) / room
    falls = steps >= rising

    def joined(first: Tensor, second: Tensor) -> Tensor:
        return torch.where(falls, second, first)

    late = (total - 1 - steps) / max(1, room - 1)
    return {
        "the warm-up starts at 0: the first step is taken for nothing; it is "
        "(step + 1) / rising": joined(steps / max(1, rising), down),
        "the last step has a factor of 0: the line reaches 0 one step later": joined(
            up, late
        ),
        "the last step has a factor of 0, and the fall begins below 1": joined(
            up, (total - 1 - steps) / room
        ),
        "the fall is counted from step 0, as in the authors' code; here it begins at 1 "
        "where the warm-up ends": joined(up, 1 - steps / total),
        "this is the authors' schedule; here nothing steps down and nothing is 0": (
            joined(steps / max(1, rising), 1 - steps / total)
        ),
        "there is no warm-up": (total - steps) / total,
        "nothing falls after the warm-up": joined(up, torch.ones_like(steps)),
        "the factor rises and falls at once: the two are multiplied": up.clamp(max=1)
        * (1 - steps / total),
        "the fall begins one step late": joined(
            up, ((total - steps + 1) / room).clamp(max=1)
        ),
        "the fall is a cosine; it is a line": joined(
            up, 0.5 + 0.5 * torch.cos(math.pi * (steps - rising) / room)
        ),
    }


# --- 8.4 clipping --------------------------------------------------------------------


@exercise("8.4")
def check_clip(clip: Any) -> None:
    """Against torch.nn.utils.clip_grad_norm_."""
    g = [torch.tensor([[3.0, 0.0], [0.0, 0.4]]), torch.tensor([4.0])]
    given = f"gradients {show(g[0])} and {show(g[1])}, limit 1.0"
    _one_clip(clip, g, 1.0, given)
    _one_clip(clip, g, 2.5, given.replace("limit 1.0", "limit 2.5"))
    tiny = [torch.tensor([0.03, 0.04]), torch.tensor([[0.0]])]
    given = f"gradients {show(tiny[0])} and {show(tiny[1])}, limit 1.0"
    _one_clip(clip, tiny, 1.0, given)
    zeros = [torch.zeros(2), torch.zeros(1, 3)]
    _one_clip(clip, zeros, 1.0, "gradients that are all 0, limit 1.0")


def _one_clip(clip: Any, gradients: list[Tensor], limit: float, given: str) -> None:
    kept = [g.clone() for g in gradients]
    result = clip(gradients, limit)
    for g, old in zip(gradients, kept, strict=True):
        expect(
            torch.equal(g, old),
            "Your function changes the gradients it is given.",
            given=given,
            likely="clip_grad_norm_, mul_ or *= works in place; return new tensors",
        )
    several = isinstance(result, tuple | list)
    if not several or len(result) != 2:
        raise Wrong(
            "Two things must come back: the list of clipped gradients, and the norm.",
            given=given,
            yours="; ".join(map(show, result)) if several else show(result),
            likely="there is no return statement"
            if result is None
            else "return clipped, norm",
        )
    clipped, norm = result
    norm = number_in(norm, "The norm.", given)
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in kept]
    for p, g in zip(parameters, kept, strict=True):
        p.grad = g.clone()
    right = nn.utils.clip_grad_norm_(parameters, limit).item()
    each = [g.norm().item() for g in kept]
    guesses = {
        min(right, limit): "this is the norm after clipping; it is asked for before",
        right**2: "the root is missing: this is the sum of the squares",
        sum(each): "the norms of the tensors are added up; add the squares, then take "
        "one root",
        max(each): "this is the largest norm of one tensor",
        max(g.abs().max().item() for g in kept): "this is the largest entry",
        sum(g.abs().sum().item() for g in kept): "this is the sum of absolute values",
        each[-1]: "this is the norm of the last tensor alone",
    }
    if not math.isclose(norm, right, rel_tol=1e-4, abs_tol=1e-6):
        raise Wrong(
            "The norm is wrong.",
            given=given,
            yours=show(norm),
            expected=show(right),
            likely=next(
                (w for n, w in guesses.items() if math.isclose(n, norm, rel_tol=1e-4)),
                "one root, of the squares of all entries of all tensors added up",
            ),
        )
    expect(
        isinstance(clipped, list | tuple) and len(clipped) == len(kept),
        "There must be one clipped tensor for each gradient.",
        given=given,
        likely="the tensors were put together to one, or only some were appended",
    )
    _clipped_parts(list(clipped), kept, [p.grad for p in parameters], limit, given)


def _clipped_parts(
    clipped: list[Any], kept: list[Tensor], wanted: list[Any], limit: float, given: str
) -> None:
    norm = torch.cat([g.flatten() for g in kept]).norm()
    for number, (got, g, want) in enumerate(zip(clipped, kept, wanted, strict=True)):
        mistakes = {
            "each tensor is clipped on its own; the direction of the whole changes": g
            * (limit / max(g.norm().item(), limit)),
            "entries are cut off at the limit; multiply all by one factor": g.clamp(
                -limit, limit
            ),
            "gradients below the limit are made longer; the factor is at most 1": g
            * limit
            / norm,
            "nothing is clipped": g,
            "everything is set to the limit": torch.full_like(g, limit),
            "divided by the norm: the limit is not multiplied": g
            / max(norm.item(), 1.0),
        }
        expect_close(
            got,
            want,
            f"Tensor number {number} is clipped wrongly.",
            given=given,
            mistakes=mistakes if norm > 0 else None,
            likely="0 divided by 0: where all gradients are 0, nothing is to be done"
            if norm == 0
            else "all tensors are multiplied by limit / norm, where the norm is above "
            "the limit",
            tol=1e-4,
        )


# --- 8.5 accumulation ----------------------------------------------------------------


class _Out(NamedTuple):
    loss: Tensor
    logits: Tensor


class _Reader(nn.Module):
    """A small model with the loss of chapter 6; it notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(9, 5), nn.Linear(5, 9)
        self.spare = nn.Linear(2, 2)  # takes no part: its gradient stays None
        self.seen: list[tuple[int, ...]] = []

    def forward(
        self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None
    ) -> _Out:
        self.seen.append(tuple(input_ids.shape))
        logits = self.out(self.words(input_ids).tanh())  # (B, T, V)
        total = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
        )
        return _Out(total / (labels != -100).sum().clamp(min=1), logits)


def _uneven(sizes: list[tuple[int, int, int]]) -> list[dict[str, Tensor]]:
    """Micro-batches of (rows, tokens, masked tokens)."""
    batches = []
    for rows, tokens, masked in sizes:
        ids = torch.randint(9, (rows, tokens))
        labels = torch.full((rows, tokens), -100)
        labels.view(-1)[:masked] = torch.randint(9, (masked,))
        ones = torch.ones_like(ids)
        batches.append({"input_ids": ids, "labels": labels, "attention_mask": ones})
    return batches


def _gradients(model: nn.Module) -> Tensor:
    grads = [
        torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()
    ]
    return torch.cat([g.flatten() for g in grads])


@exercise("8.5")
def check_accumulate(accumulate: Any) -> None:
    """The gradient of all rows at once, whatever the cut."""
    for sizes in (
        [(1, 4, 1), (3, 5, 9)],
        [(1, 3, 2), (4, 6, 15), (2, 5, 3)],
        [(2, 4, 3), (3, 5, 0), (1, 4, 2)],
        [(2, 4, 4)],
    ):
        torch.manual_seed(1)
        _one_accumulation(accumulate, _Reader(), _uneven(sizes))


def _one_accumulation(
    accumulate: Any, model: _Reader, batches: list[dict[str, Tensor]]
) -> None:
    counts = [int((b["labels"] != -100).sum()) for b in batches]
    rows = [len(b["labels"]) for b in batches]
    tokens = [b["labels"].numel() for b in batches]
    given = f"micro-batches with {counts} masked tokens"

    def weighted(weights: list[float]) -> tuple[Tensor, float]:
        model.zero_grad()
        loss = sum(w * model(**b).loss for w, b in zip(weights, batches, strict=True))
        assert isinstance(loss, Tensor)
        loss.backward()
        return _gradients(model), loss.item()

    n = len(batches)
    right, loss = weighted([c / max(1, sum(counts)) for c in counts])
    cases = {
        "mean of means: every micro-batch has the same say, however few of its tokens "
        "are masked": [1 / n] * n,
        "the losses are summed and never divided": [1.0] * n,
        "weighted by rows; the loss is a mean over masked tokens": [
            r / sum(rows) for r in rows
        ],
        "weighted by all tokens; the loss is a mean over the masked ones": [
            t / sum(tokens) for t in tokens
        ],
        "the sum over all masked tokens is not divided by their number": [
            float(c) for c in counts
        ],
        "each loss is divided by its own masked tokens once more": [
            1 / max(1, c) for c in counts
        ],
        "only the last micro-batch is left: gradients are cleared inside the loop": [
            0.0
        ]
        * (n - 1)
        + [counts[-1] / max(1, sum(counts))],
        "only the last micro-batch is left, with its full weight": [0.0] * (n - 1)
        + [1.0],
        "divided by the number of micro-batches as well as by the masked tokens": [
            c / max(1, sum(counts)) / n for c in counts
        ],
    }
    wrong = {name: weighted(weights) for name, weights in cases.items()}
    model.zero_grad()
    model.seen.clear()
    before = [p.detach().clone() for p in model.parameters()]
    answer = accumulate(model, batches)
    for p, old in zip(model.parameters(), before, strict=True):
        expect(
            torch.equal(p, old),
            "The weights have changed.",
            given=given,
            likely="an optimizer step, or p.data: only gradients are asked for",
        )
    _compare_gradients(_gradients(model), right, wrong, given)
    shapes = [tuple(b["input_ids"].shape) for b in batches]
    expect(
        model.seen == shapes,
        "Each micro-batch must go through the model once, on its own.",
        given=given,
        yours=f"the model was given {model.seen}",
        expected=str(shapes),
        likely="all of them as one batch: then memory is not saved"
        if len(model.seen) < n
        else "the model runs twice, once to count and once to learn; count the labels",
    )
    got = number_in(answer, "The loss.", given)
    if not math.isclose(got, loss, rel_tol=1e-4, abs_tol=1e-6):
        raise Wrong(
            "The gradient is right, and the loss that comes back is wrong.",
            given=given,
            yours=show(got),
            expected=show(loss),
            likely=next(
                (
                    w
                    for w, (_, x) in wrong.items()
                    if math.isclose(x, got, rel_tol=1e-4)
                ),
                "add up share times loss",
            ),
        )


def _compare_gradients(
    got: Tensor, right: Tensor, wrong: dict[str, tuple[Tensor, float]], given: str
) -> None:
    if torch.allclose(got, right, rtol=1e-4, atol=1e-6):
        return
    if not got.isfinite().all():
        raise Wrong(
            "The gradient holds numbers that are not finite.",
            given=given,
            likely="a division by the masked tokens of a micro-batch that has none",
        )
    if not got.any():
        raise Wrong(
            "There is no gradient.",
            given=given,
            likely="backward is not called, or gradients are cleared after it",
        )
    turned = F.cosine_similarity(got, right, dim=0).clamp(-1, 1).acos() * 180 / math.pi
    longer = (got.norm() / right.norm()).item()
    raise Wrong(
        "The gradient is not that of all masked tokens together. Yours points "
        f"{turned.item():.0f} degrees away from it, and is {longer:.2f} times as long.",
        given=given,
        likely=next(
            (
                name
                for name, (g, _) in wrong.items()
                if torch.allclose(got, g, rtol=1e-3, atol=1e-6)
            ),
            "the weight of a micro-batch is masked_here / masked_in_all",
        ),
    )


# --- 8.6 saving ----------------------------------------------------------------------


class _Killed(BaseException):
    """What the check stops the student's function with; no `except Exception` helps."""


@exercise("8.6")
def check_save(save: Any) -> None:
    """Whole files only, whenever the writing is stopped."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.bin"
        given = "parts b'abc' and b'def', no older file"
        save(path, iter([b"abc", b"def"]))
        _expect_content(path, b"abcdef", "The file does not hold the parts.", given)
        _stop_half_way(save, path, b"abcdef")
        save(path, iter([b"new"]))
        given = "a save of b'new', after one that was killed half-way"
        _expect_content(path, b"new", "The next save is wrong.", given)
        fresh = folder / "fresh.bin"
        _stop_half_way(save, fresh, None)
        _in_place(save, folder)


def _expect_content(path: Path, want: bytes, what: str, given: str) -> None:
    got = path.read_bytes() if path.is_file() else None
    likely = ""
    if got is None:
        likely = "the temporary file is not renamed to path"
    elif got != want and got.endswith(want):
        likely = "the temporary file of last time was appended to; open it with 'wb'"
    elif got != want and want.endswith(got):
        likely = "only the last part is left: the file is opened anew for each part"
    expect(
        got == want,
        what,
        given=given,
        yours="no file" if got is None else repr(got),
        expected=repr(want),
        likely=likely,
    )


def _stop_half_way(save: Any, path: Path, old: bytes | None) -> None:
    """Kill the writing between two parts; look before and after."""
    given = "the program is killed after part b'xyz'; "
    given += "no older file" if old is None else f"the older file holds {old!r}"
    half: list[bytes | None] = []
    others: list[set[str]] = []
    before = {p.name for p in path.parent.iterdir()}

    def parts() -> Iterator[bytes]:
        yield b"xyz" * 20_000
        half.append(path.read_bytes() if path.exists() else None)
        others.append({p.name for p in path.parent.iterdir()})
        raise _Killed

    try:
        save(path, parts())
    except _Killed:
        pass
    else:
        raise Wrong(
            "Your function goes on after it was killed.",
            given=given,
            likely="a bare except or a return in finally swallows the exception",
        )
    now = path.read_bytes() if path.exists() else None
    for found, when in ((half[0], "While it is being written"), (now, "After that")):
        likely = "the file is opened under its own name; write under another one"
        if old is not None and found is None:
            likely = "the old file is removed, or renamed, before the new one is whole"
        elif when == "After that" and half[0] == old:
            likely = "a finally that renames the draft, whole or not"
        expect(
            found == old,
            f"{when}, the old file is gone or is no longer whole."
            if old is not None
            else f"{when}, there is half a file under the final name.",
            given=given,
            yours="no file" if found is None else f"a file of {len(found):,} bytes",
            expected="no file" if old is None else repr(old),
            likely=likely,
        )
    expect(
        others[0] - before - {path.name},
        "While the parts are written, no other file lies in the folder of path.",
        given=given,
        likely="the temporary file is in another folder; a rename across two disks is "
        "a copy, and a copy can be stopped half-way. Or all parts are gathered in "
        "memory first",
    )


def _in_place(save: Any, folder: Path) -> None:
    """A second name of the old file must still see the old bytes; and the disk is
    waited for before the renaming."""
    path, second = folder / "a.bin", folder / "second name"
    path.write_bytes(b"old")
    os.link(path, second)
    order: list[str] = []
    handed_over: list[int] = []
    there: list[bool] = []  # a file under the final name, at each renaming
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def noted(name: str) -> Any:
        def function(*args: Any, **named: Any) -> Any:
            order.append("fsync" if name == "fsync" else "rename")
            if name != "fsync":
                there.append(path.exists())
            else:
                file = args[0]
                number = file if isinstance(file, int) else file.fileno()
                handed_over.append(os.fstat(number).st_size)
            return real[name](*args, **named)

        return function

    try:
        for name in real:
            setattr(os, name, noted(name))
        save(path, iter([b"ne", b"w"]))
    finally:
        for name, function in real.items():
            setattr(os, name, function)
    expect(
        second.read_bytes() == b"old",
        "The old file is written over in place, instead of being replaced.",
        given="an older file b'old', parts b'ne' and b'w'",
        likely="write_bytes, shutil.copy or open(path, 'wb') at the end; rename the "
        "temporary file with os.replace",
    )
    expect(
        all(there),
        "When the new file is renamed, there is no file under the final name.",
        given="an older file b'old', parts b'ne' and b'w'",
        likely="the old file is removed, or renamed, first; os.replace puts the new "
        "one in its place in a single step",
    )
    first = order.index("rename") if "rename" in order else len(order)
    expect(
        "fsync" in order[:first],
        "Nothing waits for the disk before the renaming.",
        given="after a power cut the new name may stand for an empty file",
        likely="os.fsync comes after the renaming"
        if "fsync" in order
        else "file.flush() hands the bytes to the operating system only; "
        "os.fsync(file.fileno()) waits for the disk",
    )
    expect(
        3 in handed_over,
        "The disk is waited for while the bytes are still in Python's own buffer.",
        given="parts b'ne' and b'w'; os.fsync waits for "
        f"{handed_over[0] if handed_over else 0} of 3 bytes",
        likely="file.flush() is missing before os.fsync: it hands the buffer to the "
        "operating system",
    )


# --- 8.7 the unigram line ------------------------------------------------------------


@exercise("8.7")
def check_unigram_line(unigram_line: Any) -> None:
    """Against cross-entropy with the counted probabilities as logits."""
    train = torch.tensor([5, 6, 5, 7, 5, 6])
    labels = torch.tensor([[-100, 5, -100], [6, -100, -100]])
    _one_line(unigram_line, train, labels, 8)
    _one_line(unigram_line, train, torch.tensor([[-100, 3, 7]]), 8)
    _one_line(unigram_line, torch.randint(20, (500,)), torch.randint(30, (4, 9)), 30)
    some = torch.randint(200, (4, 9)).masked_fill(torch.rand(4, 9) < 0.7, -100)
    _one_line(unigram_line, torch.randint(150, (2000,)), some, 200)


def _one_line(unigram_line: Any, train: Tensor, labels: Tensor, V: int) -> None:
    given = f"train_ids {show(train)}, labels {show(labels)}, vocab_size {V}"
    counts = torch.zeros(V, dtype=torch.float64)
    counts.index_add_(0, train, torch.ones(len(train), dtype=torch.float64))
    truth = labels.flatten()

    def line(probabilities: Tensor, which: Tensor = truth) -> float:
        logs = probabilities.double().clamp(min=1e-300).log()
        return F.cross_entropy(
            logs.expand(len(which), V), which, ignore_index=-100
        ).item()

    right = line((counts + 1) / (counts + 1).sum())
    masked = truth[truth != -100]
    there = torch.bincount(masked, minlength=V).double()
    p = (counts + 1) / (counts + 1).sum()
    logs = -p[masked].log()
    guesses = {
        right / math.log(2): "the logarithm has base 2; nats have the natural one",
        right / math.log(10): "the logarithm has base 10; nats have the natural one",
        line(counts / len(train)): "1 is not added to the counts, and a word that was "
        "never counted has p = 0",
        math.log(V): "this is even guessing: the counts are not used",
        line((there + 1) / (there + 1).sum()): "the labels are counted; count the "
        "training text",
        logs.sum().item(): "a sum, not a mean, over the masked positions",
        logs.sum().item()
        / labels.numel(): "the mean is taken over all positions; only "
        "the masked ones count",
        -(p * p.log()).sum().item(): "this is the entropy of the counted distribution; "
        "measure it on the labels",
        -right: "the sign is wrong: a loss is -ln p",
        math.log(len(train)) - (counts[masked] + 1).log().mean().item(): "divided by N "
        "alone: with 1 added to each count, the sum is N + vocab_size",
        -p[masked].mean().log().item(): "the logarithm of the mean; it is the mean of "
        "the logarithms",
    }
    if len(p) >= 100:  # there is a word number -100, counted from the end
        guesses[-p[truth].log().mean().item()] = "labels of -100 are looked up too"
    answer = number_in(
        unigram_line(train.clone(), labels.clone(), V), "The loss.", given
    )
    if math.isclose(answer, right, rel_tol=1e-4):
        return
    likely = next(
        (w for n, w in guesses.items() if math.isclose(n, answer, rel_tol=1e-4)), ""
    )
    if math.isinf(answer):
        likely = "a word that was never counted has p = 0; add 1 to every count"
    raise Wrong(
        "The loss is wrong.",
        given=given,
        yours=show(answer),
        expected=show(right),
        likely=likely,
    )
