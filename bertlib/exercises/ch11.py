"""The checks of chapter 11: splits, the best epoch, freezing, and honest scores."""

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from bertlib.config import BertConfig
from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_number,
    show,
)
from bertlib.heads import BertForSequenceClassification

# --- 11.1 a split by group -----------------------------------------------------------


def _two_sides(got: Any, N: int, given: str) -> tuple[list[int], list[int]]:
    """What came back, as two lists of row numbers."""
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        "Two lists must come back: the rows to learn from, and the rows held out.",
        given=given,
        yours=show(got) if got is None else type(got).__name__,
        likely="there is no return statement" if got is None else "",
    )
    sides = []
    for side in got:
        try:
            sides.append([int(row) for row in side])
        except (TypeError, ValueError) as error:
            raise Wrong(
                "The lists must hold row numbers, 0 to N - 1.",
                given=given,
                yours=show(side),
                likely="these are the groups; find the rows that belong to them",
            ) from error
    kept, held = sides
    twice = [row for row, n in Counter(kept + held).items() if n > 1]
    expect(
        not twice,
        f"Row {min(twice, default=0)} is there twice.",
        given=given,
        likely="the rows held out are still among those to learn from",
    )
    missing = {*range(N)} - {*kept, *held}
    expect(
        not missing and len(kept) + len(held) == N,
        "Some rows are on neither side, or there are rows that do not exist.",
        given=given,
        yours=f"{len(kept)} and {len(held)} rows of {N}",
    )
    return kept, held


class _Name(str):
    """A name whose hash depends on a salt, as a string's does on the process."""

    salt: int

    def __new__(cls, text: str, salt: int) -> "_Name":
        made = super().__new__(cls, text)
        made.salt = salt
        return made

    def __hash__(self) -> int:
        return hash((self.salt, str(self)))


def _hashes_decide(split_by_group: Any) -> bool:
    """Whether other hashes of the names give another split, as in another process."""

    def held_out(name: Any) -> set[frozenset[int]]:
        names = [[name(f"film {i % 13:02}", salt) for i in range(60)] for salt in "ABC"]
        sides = [split_by_group(groups, 0.3, 1)[1] for groups in names]
        return {frozenset(int(row) for row in side) for side in sides}

    # Other names in the same order: they leave alone who only sorts or counts them.
    if len(held_out(lambda text, salt: salt + text)) == 1:
        return False
    try:  # The same names. NumPy makes plain strings of them; that is no mistake.
        return len(held_out(lambda text, salt: _Name(text, ord(salt)))) > 1
    except Exception:
        return False


@exercise("11.1")
def check_split_by_group(split_by_group: Any) -> None:
    """Whole groups, a share of the rows, drawn by the seed."""
    small = ["a", "b", "a", "c", "b", "d", "a", "e", "c", "e"]
    given = f"groups {small}, share 0.3, seed 0"
    groups = list(small)
    got = split_by_group(groups, 0.3, 0)
    expect(
        groups == small,
        "Your function changes the list of groups that it is given.",
        given=given,
        likely="groups.sort() sorts in place; sort a copy, sorted(set(groups))",
    )
    kept, held = _two_sides(got, len(small), given)
    both = {small[row] for row in kept} & {small[row] for row in held}
    expect(
        not both,
        f"Group {min(both, default='')!r} is on both sides.",
        given=given,
        yours=f"learn {sorted(kept)}, held out {sorted(held)}",
        likely="rows were drawn; draw groups, and take all of their rows",
    )
    # Large and small groups, mixed: a share of the groups is no share of the rows.
    names = [f"film {g}" for g in range(40)]
    sizes = [1 if g % 2 else 19 for g in range(40)]
    rows = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    rows = [rows[i] for i in torch.randperm(len(rows)).tolist()]
    given = "400 rows in 40 groups of 1 or 19 rows, share 0.2"
    splits = []
    for seed in range(6):
        kept, held = _two_sides(split_by_group(list(rows), 0.2, seed), 400, given)
        both = {rows[row] for row in kept} & {rows[row] for row in held}
        expect(
            not both,
            f"{len(both)} groups are on both sides.",
            given=given,
            likely="rows of a group need not be neighbours",
        )
        expect(
            len(held) >= 80,
            "Too few rows are held out: at least 0.2 of 400 rows, 80, are asked for.",
            given=f"{given}, seed {seed}",
            yours=f"{len(held)} rows held out",
            likely="the share counts rows, not groups; and the group that reaches it "
            "still belongs to it",
        )
        expect(
            len(held) < 80 + 19,
            "More rows are held out than are needed.",
            given=f"{given}, seed {seed}",
            yours=f"{len(held)} rows held out",
            likely="the two lists are the other way round: first the rows to learn from"
            if 80 <= len(kept) < 99
            else "the share counts rows, not groups: stop as soon as 0.2 of the rows "
            "are held out",
        )
        splits.append(frozenset(held))
    expect(
        len({*splits}) > 1,
        "Six seeds give the same split.",
        given=given,
        likely="the groups are taken in their order; shuffle them with the seed",
    )
    again = _two_sides(split_by_group(list(rows), 0.2, 3), 400, given)[1]
    expect(
        frozenset(again) == splits[3],
        "The same seed gives another split the second time.",
        given=given,
        likely="a generator without the seed, or one that goes on from call to call",
    )
    given = "six groups of one row, share 0.4"
    held = _two_sides(split_by_group(list("abcdef"), 0.4, 0), 6, given)[1]
    expect(
        len(held) == 3,
        "At least 0.4 of 6 rows, 2.4, are asked for: that takes 3 rows.",
        given=given,
        yours=f"{len(held)} rows held out",
        likely="share * len(groups) was rounded down; compare with it as it is"
        if len(held) == 2
        else "",
    )
    expect(
        not _hashes_decide(split_by_group),
        "The same seed gives another split when Python is started again.",
        given="60 rows in 13 groups, share 0.3, seed 1",
        likely="the order of a set of strings changes from run to run; sort the names, "
        "or use a dict",
    )


# --- 11.2 keep the best --------------------------------------------------------------


class _Counted(nn.Module):
    """Weight and buffer count the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))


class _Course:
    """Scores by epoch; notes what was done in which order."""

    def __init__(self, scores: list[float]) -> None:
        self.scores, self.trained, self.measured = scores, 0, 0

    def train_epoch(self, model: Any) -> None:
        if self.trained == len(self.scores):
            raise Wrong(
                "train_epoch was called more than `epochs` times.",
                given=f"scores by epoch {self.scores}, epochs {len(self.scores)}",
                likely="the loop ends when patience is over, and also after `epochs`",
            )
        self.trained += 1
        with torch.no_grad():
            model.weight += 1
            model.seen += 1

    def evaluate(self, model: Any) -> float:
        expect(
            self.trained > 0,
            "The model was measured before it was trained.",
            given=f"scores by epoch {self.scores}",
            likely="evaluate belongs after train_epoch",
        )
        self.measured += 1
        return self.scores[int(model.weight.item()) - 1]


def _kept(
    keep_best: Any, scores: list[float], patience: int
) -> tuple[Any, _Course, _Counted]:
    model, course = _Counted(), _Course(scores)
    got = keep_best(model, course.train_epoch, course.evaluate, len(scores), patience)
    return got, course, model


def _epoch_mistake(number: Any, best: int, run: int, scores: list[float]) -> str:
    """How a wrong number of the best epoch comes about."""
    if number is None:
        return "there is no return statement"
    if number in scores:
        return "this is the score; the number of its epoch is asked for"
    if number == best - 1:
        return "epochs count from 1"
    if number == run:
        return "this is the last epoch that was run, not the best"
    equal = number in range(1, run + 1) and scores[number - 1] == scores[best - 1]
    if equal:
        return "an equal score is no better one: compare with >"
    return "the first epoch with the highest score of all that were run, from 1"


@exercise("11.2")
def check_keep_best(keep_best: Any) -> None:
    """The weights of the best epoch, and an end when patience is over."""
    cases = [
        ([0.6, 0.8, 0.7, 0.7, 0.6, 0.9, 0.5], 2, 2, 4),
        ([0.5, 0.6, 0.7, 0.8], 2, 4, 4),
        ([0.5, 0.7, 0.6, 0.8, 0.7, 0.75, 0.9], 2, 4, 6),
        ([0.7, 0.7, 0.6, 0.9], 2, 1, 3),
        ([-3.0, -2.0, -2.5, -4.0], 2, 2, 4),
        ([0.9, 0.8, 0.95], 1, 1, 2),
        ([0.5, 0.8, 0.7], 2, 2, 3),
    ]
    for scores, patience, best, run in cases:
        given = f"scores by epoch {scores}, patience {patience}"
        got, course, model = _kept(keep_best, scores, patience)
        likely = "one more or one less epoch of patience than was asked for"
        if course.trained == len(scores) > run:
            likely = "nothing stops the loop when patience is over"
        if scores[0] == scores[1]:
            likely = "an equal score is no better one: compare with >"
        if scores[2:4] == [0.6, 0.8] and len(scores) == 7:
            likely = "patience counts epochs in a row; a better score starts it anew"
            if course.trained > run:
                likely = (
                    "better means better than the best so far, not than the epoch "
                    "before"
                )
        if scores[0] < 0:
            likely = "the best score so far starts at 0; a score may be below that"
        expect(
            course.trained == run,
            "The number of epochs is wrong.",
            given=given,
            yours=f"{course.trained} epochs",
            expected=f"{run} epochs",
            likely=likely,
        )
        number = got.item() if isinstance(got, Tensor) else got
        last = scores.index(max(scores[:run])) + 1
        assert last == best
        expect(
            number == best and not isinstance(number, bool),
            "The number of the best epoch is wrong.",
            given=given,
            yours=show(got),
            expected=show(best),
            likely=_epoch_mistake(number, best, run, scores),
        )
        weight = int(model.weight.item())
        likely = "copy the weights at each better score, and load the last copy"
        if weight == run:
            likely = (
                "state_dict() holds the weights, not copies of them: they went on "
                "changing; clone each of them. And the model that came in has to be "
                "loaded"
            )
        if run == len(scores):
            likely = (
                "the best weights are loaded only where the loop stops early; load "
                "them after the loop"
            )
        expect(
            weight == best,
            "The model does not have the weights of the best epoch.",
            given=given,
            yours=f"the weights of epoch {weight}",
            expected=f"the weights of epoch {best}",
            likely=likely,
        )
        expect(
            int(model.state_dict()["seen"].item()) == best,
            "The model's buffers are not those of the best epoch.",
            given=given,
            likely="only parameters() were kept; state_dict() holds buffers too",
        )
        expect(
            course.measured == run,
            "Each epoch has to be measured once.",
            given=given,
            yours=f"{course.measured} measurements for {run} epochs",
            likely="call evaluate once in each epoch, and keep what it returns",
        )


# --- 11.3 answers in order -----------------------------------------------------------


class _Reader:
    """Answers each row by numbers that tell the row; counts the padding."""

    def __init__(self, most: int, given: str) -> None:
        self.most, self.given, self.calls, self.padding = most, given, 0, 0

    def __call__(self, rows: Any) -> Tensor:
        expect(
            isinstance(rows, list | tuple) and all(hasattr(r, "__len__") for r in rows),
            "`read` must be given a list of rows.",
            given=self.given,
            yours=f"read({show(rows)})",
            likely="a row, or numbers of rows, in place of rows; read([row]) for a "
            "single row",
        )
        expect(
            1 <= len(rows) <= self.most,
            f"`read` was given {len(rows)} rows; a batch has 1 to {self.most}.",
            given=self.given,
            likely="cut the sorted rows into portions of batch_size",
        )
        self.calls += 1
        longest = max(len(row) for row in rows)
        self.padding += sum(longest - len(row) for row in rows)
        return torch.stack([_answer(row) for row in rows])


def _answer(row: list[int]) -> Tensor:
    return torch.tensor([float(row[0]), float(len(row)), float(sum(row))])


@exercise("11.3")
def check_read_in_order(read_in_order: Any) -> None:
    """The right row at the right place, with little padding."""
    lengths = [3, 1, 2]
    rows = [[10 * (i + 1)] * n for i, n in enumerate(lengths)]
    given = "rows of lengths [3, 1, 2], batch_size 2"
    want = torch.stack([_answer(row) for row in rows])
    order = [1, 2, 0]
    reader, copy = _Reader(2, given), [list(row) for row in rows]
    got = call(read_in_order, rows, reader, 2)
    expect(
        rows == copy,
        "Your function changes the list of rows that it is given.",
        given=given,
        likely="rows.sort() sorts in place; sort the numbers of the rows instead",
    )
    if isinstance(got, list | tuple) and got and isinstance(got[0], Tensor):
        got = torch.stack([*got])
    expect_close(
        got,
        want,
        "The answers are not in the order of the rows.",
        given=given,
        mistakes={
            "these are in the order of the lengths; they have to be put back": want[
                order
            ],
            "put back the wrong way round: answer j belongs to row order[j], so it is "
            "result[order] = answers, not answers[order]": want[order][order],
        },
        likely="the answer that was read j-th belongs to row order[j]",
    )
    torch.manual_seed(0)
    lengths = torch.randint(1, 60, (23,)).tolist()
    rows = [[7 * i + 1] * n for i, n in enumerate(lengths)]
    given = "23 rows of 1 to 59 tokens, batch_size 4"
    want, reader = torch.stack([_answer(row) for row in rows]), _Reader(4, given)
    got = read_in_order(rows, reader, 4)
    if isinstance(got, list | tuple) and got and isinstance(got[0], Tensor):
        got = torch.stack([*got])
    expect_close(
        got,
        want,
        "The answers are wrong for more rows.",
        given=given,
        likely="the last batch is a short one; or rows of the same length got one "
        "answer",
    )
    expect(
        reader.calls == 6,
        "The number of batches is wrong.",
        given=given,
        yours=f"{reader.calls} calls of read",
        expected="6: five batches of 4 rows and one of 3",
        likely="the batches are not full: often one row at a time, or only rows of the "
        "same length together",
    )
    best = _Reader(4, given)
    ascending = sorted(rows, key=len)
    for at in range(0, 23, 4):
        best(ascending[at : at + 4])
    other = _Reader(4, given)
    for at in range(0, 23, 4):
        other(ascending[::-1][at : at + 4])
    expect(
        reader.padding <= max(best.padding, other.padding),
        "There is more padding than needed.",
        given=given,
        yours=f"{reader.padding} padded positions",
        expected=f"{best.padding}, with rows of similar length in a batch",
        likely="the rows are read as they come; sort by length first",
    )


# --- 11.4 freezing -------------------------------------------------------------------


def _model(layers: int) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=11,
            hidden_size=4,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=6,
            max_position_embeddings=5,
        ),
        3,
    )


def _learning(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def _part(name: str) -> str:
    """Where a parameter belongs, in words."""
    if name.startswith("bert.embeddings"):
        return "the embeddings"
    if name.startswith("bert.encoder.layers."):
        return f"layer {name.split('.')[3]}"
    return "the pooler" if name.startswith("bert.pooler") else "the classifier"


@exercise("11.4")
def check_freeze(freeze_below: Any) -> None:
    """Embeddings and lower layers stand still; all the rest learns."""
    for layers, n in [(3, 1), (3, 0), (3, 3), (3, 2), (12, 2)]:
        model = _model(layers)
        given = f"a model of {layers} layers, n = {n}"
        got = freeze_below(model, n)
        still = {
            "the embeddings",
            *(f"layer {i}" for i in range(n)),
        }
        for name, p in model.named_parameters():
            part, learns = _part(name), p.requires_grad
            likely = "layers 0 to n - 1 stand still, layer n learns"
            if len(_learning(model)) == len([*model.parameters()]):
                likely = (
                    "nothing was frozen: set requires_grad on parameters, by "
                    "p.requires_grad = False or module.requires_grad_(False)"
                )
                if n == 0 or layers == 12:
                    likely = "the embeddings lie below every layer, for n = 0 too"
            elif part == "the embeddings":
                likely = "the embeddings lie below every layer, for n = 0 too"
            elif learns:
                likely = "layers 0 to n - 1 stand still, those nearest to the input"
            elif part in ("the pooler", "the classifier"):
                likely = "pooler and classifier are no encoder layers; they learn"
            elif layers == 12:
                likely = '"layers.1" also stands in "layers.10" and "layers.11"'
            expect(
                learns != (part in still),
                f"{name} {'learns' if learns else 'does not learn'}.",
                given=given,
                expected=f"what belongs to {part} "
                f"{'stands still' if part in still else 'learns'}",
                likely=likely,
            )
        numbers = [p.numel() for p in model.parameters() if p.requires_grad]
        expect_number(
            got,
            sum(numbers),
            "The number of numbers that learn is wrong.",
            given,
            {
                "these are tensors; count the numbers in them, p.numel()": len(numbers),
                "these are all parameters; count those that learn": sum(
                    p.numel() for p in model.parameters()
                ),
                "these are the frozen ones": sum(
                    p.numel() for p in model.parameters() if not p.requires_grad
                ),
            },
        )
    model = _model(3)
    freeze_below(model, 3)
    freeze_below(model, 1)
    expect(
        "bert.encoder.layers.2.output.weight" in _learning(model),
        "A layer that was frozen before does not learn again.",
        given="a model of 3 layers: n = 3, then n = 1",
        likely="requires_grad is set to False and never to True",
    )
    model = _model(3).requires_grad_(False)
    freeze_below(model, 1)
    for name in ("bert.pooler.dense.weight", "classifier.weight"):
        expect(
            name in _learning(model),
            f"{name} was frozen before, and does not learn again.",
            given="a model of 3 layers, frozen altogether, n = 1",
            likely="requires_grad is set to False and never to True: pooler and "
            "classifier too",
        )


# --- 11.5 macro F1 -------------------------------------------------------------------


def _classes(truth: list[int], guess: list[int], K: int) -> list[tuple[int, int, int]]:
    """(right, guessed, true) for each class."""
    pairs = [*zip(truth, guess, strict=True)]
    return [(pairs.count((k, k)), guess.count(k), truth.count(k)) for k in range(K)]


@exercise("11.5")
def check_macro_f1(macro_f1: Any) -> None:
    """The plain mean of the classes' F1, computed by hand."""
    cases = [
        ([0, 0, 0, 1, 1, 1, 1, 1, 1, 2], [2, 2, 1, 1, 0, 1, 2, 1, 1, 2], 3),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0] * 10, 2),
        ([2, 1, 0, 1], [2, 1, 0, 1], 3),
        ([0, 1, 0, 1, 1], [0, 1, 1, 1, 1], 3),
    ]
    for truth, guess, K in cases:
        given = f"truth {truth}, guess {guess}, K = {K}"
        counts, N = _classes(truth, guess, K), len(truth)
        precision = [r / g if g else 0.0 for r, g, _ in counts]
        recall = [r / t if t else 0.0 for r, _, t in counts]
        f1 = [2 * r / (g + t) if g + t else 0.0 for r, g, t in counts]
        present = [f for f, (_, g, t) in zip(f1, counts, strict=True) if g + t]
        p, q = sum(precision) / K, sum(recall) / K
        weighted = sum(f * t for f, (_, _, t) in zip(f1, counts, strict=True)) / N
        got = call(macro_f1, torch.tensor(truth), torch.tensor(guess), K)
        expect_number(
            got,
            sum(f1) / K,
            "Macro F1 is wrong.",
            given,
            {
                "this is the accuracy, or F1 over all classes together (micro)": sum(
                    r for r, _, _ in counts
                )
                / N,
                "each class counts by how frequent it is; in macro F1 all count "
                "alike": weighted,
                "this is the mean precision; F1 needs recall as well": p,
                "this is the mean recall; F1 needs precision as well": q,
                "precision and recall were averaged over the classes first; take F1 of "
                "each class, then the mean": 2 * p * q / (p + q) if p + q else 0.0,
                "F1 of the last class alone; the mean over all classes is asked "
                "for": f1[-1],
                "F1 of class 1 alone; the mean over all classes is asked for": f1[1],
                "the arithmetic mean of precision and recall; F1 is the harmonic one": (
                    p + q
                )
                / 2,
                "the factor 2 is missing: F1 = 2 P R / (P + R)": sum(f1) / K / 2,
                "a class that is neither true nor guessed was left out; the mean runs "
                "over K classes": sum(present) / len(present),
                "the sum over the classes, or a class that is never guessed was left "
                "out; divide by K": sum(f1),
                "a class that is neither true nor guessed has F1 0 here, not 1": (
                    sum(f1) + K - len(present)
                )
                / K,
            },
        )


# --- 11.6 calibration ----------------------------------------------------------------


@exercise("11.6")
def check_calibration_error(calibration_error: Any) -> None:
    """The gap between confidence and accuracy, weighted by rows."""
    cases = [
        ([0.92, 0.92, 0.85, 0.65, 0.55, 0.95], [1, 0, 1, 0, 1, 1], 5),
        ([0.5, 0.5, 0.75, 0.75, 1.0, 1.0, 1.0], [1, 1, 1, 1, 1, 0, 0], 4),
        ([0.7, 0.7, 0.7, 0.7], [1, 1, 1, 0], 10),
        ([0.99, 0.6], [0, 1], 10),
    ]
    for c, right, bins in cases:
        given = f"confidence {c}, right {right}, {bins} bins"
        got = call(
            calibration_error,
            torch.tensor(c),
            torch.tensor(right, dtype=torch.bool),
            bins,
        )
        upper = _gaps(c, right, bins, _upper)
        N = len(c)
        want = _error(c, right, bins, _upper)
        centre = sum(n * abs(m - a) for _, a, n, m in upper) / N
        expect_number(
            got,
            want,
            "The calibration error is wrong.",
            given,
            {
                "the gaps of the bins count alike; a bin counts by its rows": sum(
                    abs(s - a) for s, a, _, _ in upper
                )
                / len(upper),
                "divided by the number of bins; a bin counts by its share of the "
                "rows": sum(abs(s - a) for s, a, _, _ in upper) / bins,
                "this is the largest gap; the mean over the rows is asked for": max(
                    abs(s - a) for s, a, _, _ in upper
                ),
                "the gaps have signs and cancel: take absolute values": sum(
                    n * (s - a) for s, a, n, _ in upper
                )
                / N,
                "the gaps have signs and cancel: take absolute values, bin by bin": abs(
                    sum(n * (s - a) for s, a, n, _ in upper)
                )
                / N,
                "gaps with signs, accuracy first: take absolute values": sum(
                    n * (a - s) for s, a, n, _ in upper
                )
                / N,
                "the gap was taken row by row; a single row is always right or wrong: "
                "average within a bin first": sum(
                    abs(x - y) for x, y in zip(c, right, strict=True)
                )
                / N,
                "the middle of a bin stands for its confidence; take the mean of its "
                "rows": centre,
                "a confidence on the edge belongs to the bin below: "
                "i / bins < c <= (i + 1) / bins": _error(c, right, bins, _lower),
                "a confidence of 1 fell out of the last bin": _error(
                    c, right, bins, _dropped
                ),
                "a confidence on an edge is in no bin: i / bins < c <= (i + 1) / "
                "bins": _error(c, right, bins, _open),
                "a confidence on an edge is in two bins: i / bins < c <= (i + 1) / "
                "bins": _error(c, right, bins, _closed),
                "the gaps are squared; absolute values are asked for": sum(
                    n * (s - a) ** 2 for s, a, n, _ in upper
                )
                / N,
                "the sum over the rows was not divided by their number": want * N,
                "these bins span 0.5 to 1; they have to span 0 to 1": _error(
                    c, right, bins, _half
                ),
            },
        )
    expect_close(
        torch.as_tensor(
            float(calibration_error(torch.full((3,), 0.8), torch.ones(3).bool(), 1))
        ),
        torch.tensor(0.2),
        "With one bin it is the gap between two means.",
        given="confidence 0.8, three times, all right, 1 bin",
    )


# Where a confidence belongs among the bins; t is counted in widths of a bin. The first
# is right, the others are known mistakes.


def _upper(t: float, bins: int) -> set[int]:
    return {math.ceil(t) - 1}


def _lower(t: float, bins: int) -> set[int]:
    return {min(math.floor(t), bins - 1)}


def _dropped(t: float, bins: int) -> set[int]:
    return {math.floor(t)} - {bins}


def _open(t: float, bins: int) -> set[int]:
    return {math.floor(t)} & {math.ceil(t) - 1}


def _closed(t: float, bins: int) -> set[int]:
    return ({math.floor(t)} | {math.ceil(t) - 1}) - {bins}


def _half(t: float, bins: int) -> set[int]:
    return {math.ceil(round(2 * t - bins, 9)) - 1} - {-1}


def _error(c: list[float], right: list[int], bins: int, places: Any) -> float:
    """The gap between confidence and accuracy over bins, by their rows."""
    rows = _gaps(c, right, bins, places)
    return sum(n * abs(s - a) for s, a, n, _ in rows) / len(c)


def _gaps(
    c: list[float], right: list[int], bins: int, places: Any
) -> list[tuple[float, float, int, float]]:
    """(mean confidence, accuracy, rows, middle) of each bin that is not empty."""
    at: dict[int, list[tuple[float, int]]] = {}
    for x, y in zip(c, right, strict=True):
        for place in places(round(x * bins, 9), bins):
            at.setdefault(place, []).append((x, y))
    return [
        (
            sum(x for x, _ in rows) / len(rows),
            sum(y for _, y in rows) / len(rows),
            len(rows),
            (i + 0.5) / bins,
        )
        for i, rows in sorted(at.items())
    ]
