"""The checks of chapter 9: what training costs, and how ranks share it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bertlib.exercises.checking import (
    Wrong,
    exercise,
    expect,
    expect_close,
    expect_number,
    show,
)


class _Layer(nn.Module):
    """The products of an encoder layer, for the counter to count."""

    def __init__(self, D: int, width: int) -> None:
        super().__init__()
        self.four = nn.ModuleList(nn.Linear(D, D) for _ in range(4))
        self.wide, self.narrow = nn.Linear(D, width), nn.Linear(width, D)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x) for layer in self.four[:3])
        mixed = (query @ key.mT).softmax(-1) @ value
        return self.narrow(F.gelu(self.wide(self.four[3](mixed))))


def _counted(B: int, T: int, D: int, width: int) -> int:
    with FlopCounterMode(display=False) as counter:
        _Layer(D, width)(torch.zeros(B, T, D))
    return counter.get_total_flops()


@exercise("9.1")
def check_layer_flops(layer_flops: Any) -> None:
    """The forward FLOPs of a layer against PyTorch's counter."""
    B, T, D, width = 3, 5, 6, 11
    n, given = B * T, "B = 3, T = 5, D = 6, F = 11"
    four, scores, wide = 8 * n * D * D, 4 * n * T * D, 4 * n * D * width
    right = four + scores + wide
    mistakes = {
        "a product and a sum are two FLOPs; these are half": right / 2,
        "the four projections: query, key and value make three; the output is the "
        "fourth": right - 2 * n * D * D,
        "one projection; there are four": right - 6 * n * D * D,
        "the scores and the mixing of values are missing": right - scores,
        "the scores are there, and the mixing of values is not": right - scores / 2,
        "the feed-forward network is two products: widen and narrow": right - wide / 2,
        "the feed-forward network is missing": right - wide,
        "the projections are missing": right - four,
        "F was taken to be 4 D; use the F that is given": four
        + scores
        + 16 * n * D * D,
        "the batch is left out: every row has to be computed": right / B,
        "the length is left out of the projections and the feed-forward network: "
        "they work on every token": (four + wide) / T + scores,
        "the scores are T x T for each row: T enters twice": four + wide + scores / T,
        "the rows attend to each other here: B T queries and B T keys": four
        + wide
        + scores * B,
        "this is the training step, three times the forward pass": 3 * right,
        "the scores are multiplied by the number of heads; the heads share the "
        "width": four + wide + 12 * scores,
    }
    got = layer_flops(B, T, D, width)
    likely = "a layer has eight products; one of (n, k) by (k, m) takes 2 n k m FLOPs"
    expect_number(got, right, "The number is wrong.", given, mistakes, likely)
    for sizes in [(1, 1, 4, 4), (3, 8, 4, 16), (1, 32, 8, 6), (4, 2, 10, 40)]:
        expect_number(
            layer_flops(*sizes),
            _counted(*sizes),
            "The number is right for the first sizes, and wrong here.",
            "B = {}, T = {}, D = {}, F = {}".format(*sizes),
            {},
            "often a number that holds for the first sizes only; use B, T, D and F",
        )


class _Odd(nn.Module):
    """Tied, frozen and half-width parameters, and a buffer."""

    def __init__(self, tied: bool = False, frozen: bool = False, half: bool = False):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.linear = nn.Linear(4, 10)
        self.norm = nn.BatchNorm1d(6, affine=False)  # its statistics are buffers
        if tied:
            self.linear.weight = self.table.weight
        if frozen:
            self.linear.requires_grad_(False)
        if half:
            self.table.to(torch.bfloat16)


@exercise("9.2")
def check_training_bytes(training_bytes: Any) -> None:
    """Weights, gradients and Adam's means, against a real AdamW."""
    given = "nn.Linear(3, 5): 20 parameters of 4 bytes"
    expect_number(
        training_bytes(nn.Linear(3, 5)),
        320,
        "The number of bytes is wrong.",
        given,
        {
            "the weights alone, or a count of numbers; each takes 4 bytes": 80,
            "weights and gradients; Adam keeps two more numbers for each": 160,
            "one of four is missing: weights, gradients, and Adam's two means": 240,
            "five numbers for each parameter: there are weight, gradient and two "
            "means": 400,
            "8 bytes for a number: a float32 has 4": 640,
        },
    )
    cases: list[tuple[str, dict[str, Any], dict[str, int]]] = [
        (
            "a frozen layer",
            {"frozen": True},
            {
                "the frozen parameters are counted in full: they have no gradient "
                "and no means": 1440,
                "the frozen parameters are left out: they still have to be held": 640,
            },
        ),
        (
            "one matrix under two names (tied)",
            {"tied": True},
            {"the tied matrix is counted twice: it is one": 1440},
        ),
        (
            "a table in bfloat16",
            {"half": True},
            {"4 bytes for every number: a bfloat16 has 2; element_size() says": 1440},
        ),
    ]
    for what, changes, mistakes in cases:
        module = _Odd(**changes)
        expect_number(
            training_bytes(module),
            _real_bytes(module),
            f"The number is wrong for a module with {what}.",
            "an embedding (10, 4) and nn.Linear(4, 10)",
            {name: float(n) for name, n in mistakes.items()},
        )
    expect_number(
        training_bytes(_Odd()),
        _real_bytes(_Odd()),
        "The number is wrong for a module with buffers; only parameters count here.",
        "an embedding (10, 4), nn.Linear(4, 10), and a BatchNorm's statistics",
        {"buffers (running_mean ...) are no parameters": 1440 + 56},
    )


def _real_bytes(module: nn.Module) -> int:
    """What a step of a real AdamW leaves in memory."""
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad])
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held: list[Tensor] = [*module.parameters()]
    held += [p.grad for p in held if p.grad is not None]
    for state in optimizer.state.values():
        held += [state["exp_avg"], state["exp_avg_sq"]]
    return sum(x.numel() * x.element_size() for x in held)


@exercise("9.3")
def check_two_phases(two_phases: Any) -> None:
    """Nine short steps for each long one, as many as the budget pays."""
    for budget, short, long in [(1000, 10, 60), (149, 10, 60), (10**21, 7, 31)]:
        given = f"budget {budget}, a short step {short}, a long one {long}"
        got = two_phases(budget, short, long)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            "Two numbers must come back: short steps and long steps.",
            given=given,
            yours=show(got),
            likely="return n_short, n_long",
        )
        n = budget // (9 * short + long)
        wrong = {
            "the two are in the other order: short steps first": (n, 9 * n),
            "the budget was shared 90 to 10; the steps are": (
                budget * 9 // 10 // short,
                budget // 10 // long,
            ),
            "every step was taken to cost as much as a short one": (
                budget // short * 9 // 10,
                budget // short // 10,
            ),
            "rounded up: this costs more than the budget": (9 * n + 9, n + 1),
            "the number of all steps came first; n_short is nine tenths of them": (
                10 * n,
                n,
            ),
            "one short step for nine long ones": (
                budget // (short + 9 * long),
                9 * (budget // (short + 9 * long)),
            ),
        }
        if tuple(got) == (9 * n, n):
            expect(
                all(type(x) is int for x in got),
                "The numbers of steps must be whole numbers, of type int.",
                given=given,
                likely="/ gives a float; // does not",
            )
            continue
        raise Wrong(
            "The numbers of steps are wrong.",
            given=given,
            yours=show(tuple(got)),
            expected=show((9 * n, n)),
            likely=next((w for w, x in wrong.items() if x == tuple(got)), "")
            or (
                "large numbers: a float has 16 digits; divide whole numbers with //"
                if budget > 1e18
                else ""
            ),
        )


@exercise("9.5")
def check_rows_of(rows_of: Any) -> None:
    """Micro-batch g goes to rank g mod W, and holds the same rows whatever W."""
    for rank, W, batch, micro in [
        (1, 2, 8, 2),
        (0, 1, 6, 3),
        (2, 3, 12, 2),
        (1, 2, 12, 2),
        (0, 2, 2, 1),
    ]:
        given = f"rank {rank} of {W}, batch_size {batch}, micro_batch {micro}"
        got = rows_of(rank, W, batch, micro)
        expect(
            isinstance(got, list | tuple),
            "A list of micro-batches must come back.",
            given=given,
            yours=show(got),
            likely="there is no return statement" if got is None else "",
        )
        expect(
            all(hasattr(part, "__iter__") for part in got),
            "Each micro-batch must be a list of rows.",
            given=given,
            yours=show(got),
            likely="one flat list of rows; a rank takes its rows in portions of "
            "micro_batch",
        )
        found = [[int(row) for row in part] for part in got]
        share = batch // W
        every = [[*range(s, s + micro)] for s in range(0, batch, micro)]
        own = [*range(rank * share, (rank + 1) * share)]
        stride = [*range(rank, batch, W)]
        mistakes = {
            "a block of rows for each rank: with another number of ranks the "
            "micro-batches would hold other rows": [
                own[i : i + micro] for i in range(0, share, micro)
            ],
            "every W-th row: with another number of ranks the micro-batches would "
            "hold other rows": [stride[i : i + micro] for i in range(0, share, micro)],
            "these are all micro-batches; a rank takes every W-th of them": every,
            "one large portion; it has to be cut into micro-batches": [
                [row for part in every[rank::W] for row in part]
            ],
            "ranks count from 0: rank 0 takes micro-batch 0": every[rank + 1 :: W],
            "two micro-batches for each rank; a step may hold more": [
                [*range(s, s + micro)]
                for s in (rank * micro, batch // 2 + rank * micro)
            ],
            "only the first micro-batch of the rank; it takes every W-th": [
                every[rank]
            ],
        }
        if found != every[rank::W]:
            raise Wrong(
                "The rows are wrong.",
                given=given,
                yours=show(found),
                expected=show(every[rank::W]),
                likely=next((w for w, x in mistakes.items() if x == found), ""),
            )


class _Wires:
    """Carries what is sent to the next rank, and writes down who sent what."""

    def __init__(self, W: int, given: str) -> None:
        self.W, self.given, self.sent = W, given, [0] * W
        self.sizes: set[tuple[int, ...]] = set()

    def send(self, rank: int, x: Tensor) -> Tensor:
        if not (isinstance(rank, int) and 0 <= rank < self.W):
            raise Wrong(
                f"send was called for rank {rank!r}; the ranks are 0 to {self.W - 1}.",
                given=self.given,
                likely="an index that runs over the end; take it modulo W"
                if isinstance(rank, int)
                else "the number of the rank that sends comes first, then the chunk",
            )
        if not isinstance(x, Tensor):
            raise Wrong(
                f"send was given {type(x).__name__}; it carries one chunk, a tensor.",
                given=self.given,
                likely="parts[r] is all chunks of rank r; parts[r][c] is one",
            )
        self.sent[rank] += 1
        self.sizes.add(tuple(x.shape))
        return x.clone()


@exercise("9.6")
def check_ring_all_reduce(ring_all_reduce: Any) -> None:
    """The sum everywhere, with 2 (W - 1) messages of one chunk from each rank."""
    for W in (3, 2, 5, 1):
        parts = [[torch.randn(3) for _ in range(W)] for _ in range(W)]
        before = [[chunk.clone() for chunk in rank] for rank in parts]
        sums = [torch.stack([p[c] for p in before]).sum(0) for c in range(W)]
        given = f"{W} ranks, {W} chunks of 3 numbers on each"
        wires = _Wires(W, given)
        result = ring_all_reduce(parts, wires.send)
        got = result
        expect(
            isinstance(got, list | tuple) and len(got) == W,
            f"A list with the chunks of {W} ranks must come back.",
            given=given,
            likely="there is no return statement" if got is None else "",
        )
        for rank in range(W):
            expect(
                isinstance(got[rank], list | tuple) and len(got[rank]) == W,
                f"Rank {rank} must have {W} chunks in the end.",
                given=given,
                likely="in the end each rank has all the sums, not its own chunk alone",
            )
        finished = [
            sum(torch.allclose(p[c], sums[c], atol=1e-4) for c in range(W)) for p in got
        ]
        expect(
            W == 1 or finished != [1] * W or wires.sent != [W - 1] * W,
            "Each rank holds one finished chunk, and the others are not finished.",
            given=given,
            likely="the second part is missing: the finished chunks have to go round "
            "and replace what the other ranks have",
        )
        for rank in range(W):
            for c in range(W):
                expect_close(
                    got[rank][c],
                    sums[c],
                    f"Chunk {c} of rank {rank} is not the sum over the ranks.",
                    given=given,
                    mistakes={
                        "the mean; the sum is asked for": sums[c] / W,
                        "this is the chunk as it was: nothing was added": before[rank][
                            c
                        ],
                        "only two ranks have been added: the sums must travel all the "
                        "way round, W - 1 rounds": before[rank][c]
                        + before[(rank - 1) % W][c],
                        "the sum went round once more, and own numbers are in it "
                        "twice": sums[c] + before[rank][c],
                    },
                    likely="the second part of the way: finished chunks replace what "
                    "the next rank has, they are not added"
                    if W > 2
                    else "",
                    tol=1e-4,
                )
        want = 2 * (W - 1)
        expect(
            wires.sizes <= {(3,)},
            "A message holds more or less than one chunk.",
            given=given,
            likely="send one chunk at a time: that is why the tensor was cut",
        )
        most = max(wires.sent)
        expect(
            wires.sent == [want] * W,
            f"The ranks sent {wires.sent} messages; each must send {want}.",
            given=given,
            likely="nothing was sent: the sum was computed in one place, and no rank "
            "can see the others' memory"
            if most == 0
            else "every chunk travels all the way round twice; W - 1 steps are enough "
            "to add, and W - 1 to hand out"
            if most > want
            else "one rank does more than the others: in each round every rank sends "
            "once",
        )
        cut = ring_all_reduce(
            [[chunk.clone() for chunk in rank] for rank in before],
            lambda rank, x: torch.zeros_like(x),
        )
        expect(
            W == 1
            or not all(
                torch.allclose(p[c], sums[c], atol=1e-4) for p in cut for c in range(W)
            ),
            "The sums do not depend on what arrives.",
            given=f"{given}; the wires are cut, and zeros arrive",
            likely="send returns what arrives, and yours reads the sender's memory: "
            "arrived = send(r, x), and work with that",
        )


@exercise("9.4")
def check_average(average: Any) -> None:
    """The gradient of the mean over all masked tokens of all ranks."""
    weight = torch.randn(4, 6)
    for counts in ([3, 1], [2, 5, 1], [4, 4], [3, 0, 2], [0, 1]):
        given = f"masked tokens on the ranks: {counts}"
        everything, labels, gradients = [], [], []
        for n in counts:
            x, y = torch.randn(n, 4), torch.randint(6, (n,))
            w = weight.clone().requires_grad_()
            loss = F.cross_entropy(x @ w, y, reduction="sum") / max(n, 1)
            gradients.append(torch.autograd.grad(loss, w)[0])
            everything.append(x)
            labels.append(y)
        w = weight.clone().requires_grad_()
        loss = F.cross_entropy(torch.cat(everything) @ w, torch.cat(labels))
        right = torch.autograd.grad(loss, w)[0]
        stack = torch.stack(gradients)
        shares = torch.tensor(counts).view(-1, 1, 1)
        kept = [g.clone() for g in gradients]
        masked = list(counts)
        got = average(gradients, masked)
        expect(
            masked == counts,
            "Your function changes the list `masked`.",
            given=given,
            likely="an assignment to masked[r]; make a new list",
        )
        expect(
            all(torch.equal(a, b) for a, b in zip(gradients, kept, strict=True)),
            "Your function changes the gradients it is given.",
            given=given,
            likely="an in-place operation (+=, *=); work on a new tensor",
        )
        expect_close(
            got,
            right,
            "This is not the gradient of the mean over all masked tokens.",
            given=given,
            mistakes={
                "the mean of means: a rank with one masked token counts as much as a "
                "rank with many": stack.mean(0),
                "the sum of the ranks' gradients": stack.sum(0),
                "a sum over tokens; it must be divided by how many there are": (
                    stack * shares
                ).sum(0),
                "divided by the number of ranks and not of tokens": (
                    stack * shares
                ).mean(0),
                "weighted with one over the number of tokens; it is the other way "
                "round": (stack / shares.clamp(min=1)).sum(0)
                / (1 / shares.clamp(min=1)).sum(),
                "weighted, and then divided by the number of ranks once more": right
                / len(counts),
                "the ranks without masked tokens are left out, and the rest are "
                "averaged alike": stack.sum(0) / sum(n > 0 for n in counts),
            },
            likely="each gradient counts by its rank's share of all masked tokens",
            tol=1e-4,
        )
    got = average([torch.zeros(2), torch.zeros(2)], [0, 0])
    expect_close(
        got,
        torch.zeros(2),
        "No rank has a masked token: the gradient is zero.",
        given="masked tokens on the ranks: [0, 0]",
        likely="0 / 0; max(1, total) helps",
    )


@exercise("9.7")
def check_seconds_left(seconds_left: Any) -> None:
    """What is left of each phase, at that phase's own speed."""
    phases = [(128, 900), (512, 100)]
    speed = {128: 2.0, 512: 10.0}
    total = 2800.0
    for done in (50, 950, 0, 300, 900, 1000):
        given = f"{done} steps done of 900 at 2 s and 100 at 10 s"
        first, second = max(0, 900 - done), min(100, 1000 - done)
        right = 2.0 * first + 10.0 * second
        past = total - right
        mistakes = {
            "all steps that are left at the speed so far, that of the first phase; "
            "those at length 512 take longer": 2.0 * (1000 - done),
            "all steps that are left at the speed of the second phase": 10.0
            * (1000 - done),
            "the time so far was carried on: done steps were short ones": (
                past * (1000 - done) / done if done else 0.0
            ),
            "this is the time that is over; what is left was asked for": past,
            "the whole run; the steps that are done were not taken off": total,
            "the second phase is missing": 2.0 * first,
            "the first phase is missing": 10.0 * second,
            "the mean of both speeds for every step": 6.0 * (1000 - done),
            "done was taken off each phase anew; it counts over the whole run": 2.0
            * max(0, 900 - done)
            + 10.0 * max(0, 100 - done),
            "a phase that is over counts as negative: its steps are done, not owed": (
                2.0 * (900 - done) + 10.0 * 100
            ),
        }
        expect_number(
            seconds_left(done, list(phases), speed),
            right,
            "The time is wrong.",
            given,
            mistakes if right else {k: v or 1e-9 for k, v in mistakes.items()},
        )
    expect_number(
        seconds_left(7, [(64, 5), (16, 5), (64, 5)], {16: 1.0, 64: 9.0}),
        48.0,
        "The time is wrong with three phases.",
        "7 steps done of 5 at length 64 (9 s), 5 at 16 (1 s), 5 at 64 again",
        {
            "the third phase is missing": 3.0,
            "the phases were sorted; they stand in the order of the run": 72.0,
        },
    )
