"""The checks of capstone C: a question answerer, from features to its score."""

import math
import random
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_pre_hook

from bertlib.config import BertConfig
from bertlib.corpus import minilm_folder
from bertlib.embeddings import BertEmbeddings
from bertlib.exercises.capstone_b import PAD, SEP, Noted, expect_rates
from bertlib.exercises.checking import Wrong, exercise, expect, show
from bertlib.exercises.questions import Asked, Score, load_questions, score
from bertlib.heads import BertForQuestionAnswering
from bertlib.pretrained import save_pretrained
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS

KEYS = ("input_ids", "token_type_ids", "offsets", "start", "end")
Window = dict[str, Any]


# --- C.1 features --------------------------------------------------------------------

WORDS = (
    "a the in of was born sold opened lives had house mill red two dogs cat ann tom "
    "zoe who what where how many how did does ? . , ' ##s ##ed pie cafe un ##bak"
)


def _tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer([*SPECIAL_TOKENS, *dict.fromkeys(WORDS.split())])


class _Case(NamedTuple):
    """What a question looks like, and how it is to be cut."""

    what: str
    question: str
    context: str
    answer: tuple[int, int] | None
    max_length: int
    stride: int


def _case(
    what: str, context: str, answer: str | None, max_length: int, stride: int
) -> _Case:
    span = None
    if answer is not None:
        start = context.index(answer)
        span = (start, start + len(answer))
    return _Case(what, "Where was Ann born?", context, span, max_length, stride)


CASES = (
    _case(
        "A context that fits into one row.", "Ann was born in the mill.", "mill", 20, 4
    ),
    _case(
        "A row that is full to the last place.", "Ann lives in a house.", "house", 14, 3
    ),
    _case("The answer is the first word.", "Ann was born in a mill.", "Ann", 20, 4),
    _case("A context without an answer.", "Tom had two dogs.", None, 20, 4),
    _case("Accents, capitals and pieces.", "Zoë's café unbaked pies.", "café", 20, 4),
    _case("An answer of several pieces.", "Tom sold Zoë's pies.", "Zoë's pies", 20, 4),
    _case("The answer begins inside a word.", "Ann sold unbaked pies.", "baked", 20, 4),
    _case("The answer has spaces around it.", "Ann sold pies.", " sold ", 20, 4),
    _case("The answer ends inside a piece.", "Zoe sold unbaked pies.", "unba", 20, 4),
    _case(
        "Two windows; the answer is in the second.",
        "Tom had two dogs. Ann lives in a red house.",
        "red house",
        14,
        4,
    ),
    _case(
        "Three windows; the answer is in two of them.",
        "Tom had two dogs. Ann was born in a mill. Zoe had a cat.",
        "mill",
        15,
        5,
    ),
    _case(
        "The answer lies across the edge of a window.",
        "Tom had two dogs, the cat lives in a house.",
        "two dogs, the cat",
        13,
        5,
    ),
    _case("An empty context.", "", None, 20, 4),
)


def _right_windows(case: _Case, tokenizer: WordPieceTokenizer) -> list[Window]:
    """By slices of the whole row, without a loop over pieces."""
    ids, spans = tokenizer.ids(case.context), tokenizer.spans(case.context)
    head = [tokenizer.cls, *tokenizer.ids(case.question), tokenizer.sep]
    room = case.max_length - len(head) - 1
    number = 1 + max(0, math.ceil((len(ids) - room) / case.stride))
    wanted = set(range(*case.answer)) if case.answer else set()
    held = [i for i, (a, b) in enumerate(spans) if wanted & set(range(a, b))]
    made = []
    for begin in range(0, number * case.stride, case.stride):
        part = range(len(ids))[begin : begin + room]
        inside = bool(held) and held[0] in part and held[-1] in part
        at = [i - begin + len(head) if inside else 0 for i in (held or [0, 0])]
        made.append(
            {
                "input_ids": [*head, *(ids[i] for i in part), tokenizer.sep],
                "token_type_ids": [0] * len(head) + [1] * (len(part) + 1),
                "offsets": [*[None] * len(head), *(spans[i] for i in part), None],
                "start": at[0],
                "end": at[-1],
            }
        )
    return made


@exercise("C.1")
def check_windows(windows_of: Any) -> None:
    """Rows, segments, offsets and marks, field by field."""
    tokenizer = _tokenizer()
    for case in CASES:
        given = f"context {case.context!r}, answer "
        span = case.answer and case.context[slice(*case.answer)]
        given += f"{span!r}, max_length {case.max_length}, stride {case.stride}"
        got = windows_of(*case[1:4], tokenizer, *case[4:])
        expect(
            isinstance(got, list | tuple) and all(isinstance(w, dict) for w in got),
            f"{case.what} A list of dicts must come back.",
            given=given,
            yours=type(got).__name__,
            likely="there is no return statement" if got is None else "",
        )
        right = _right_windows(case, tokenizer)
        for key in KEYS:
            expect(
                all(key in window for window in got),
                f"{case.what} A window has no {key!r}.",
                given=given,
                yours=f"keys {sorted(got[0])}" if got else "no window",
                likely=f"a window is a dict with the keys {', '.join(KEYS)}"
                if got
                else "an empty context gives one window, too",
            )
        _expect_cut(case, [_plain(w) for w in got], right, given)


def _plain(window: Window) -> Window:
    """The fields as lists, tuples and whole numbers."""
    plain = {}
    for key in KEYS:
        value = window[key]
        value = value.tolist() if isinstance(value, Tensor) else value
        if key == "offsets":
            value = [None if o is None else tuple(map(int, o)) for o in value]
        plain[key] = list(value) if isinstance(value, list | tuple) else int(value)
    return plain


def _expect_cut(
    case: _Case, got: list[Window], right: list[Window], given: str
) -> None:
    longest = max(len(w["input_ids"]) for w in got)
    expect(
        longest <= case.max_length,
        f"{case.what} A row has {longest} tokens; {case.max_length} are allowed.",
        given=given,
        likely="[CLS], the question and both [SEP] take room as well",
    )
    expect(
        len(got) == len(right),
        f"{case.what} There are {len(got)} windows; it takes {len(right)}.",
        given=given,
        likely="stop after the first window that reaches the end of the context"
        if len(got) > len(right)
        else "the loop stops before the end of the context is read",
    )
    for number, (mine, want) in enumerate(zip(got, right, strict=True)):
        for key in KEYS:
            if mine[key] == want[key]:
                continue
            raise Wrong(
                f"{case.what} {key!r} of window {number} is wrong.",
                given=given,
                yours=show(mine[key]),
                expected=show(want[key]),
                likely=_window_mistake(key, mine, want, case),
            )


def _window_mistake(key: str, mine: Window, want: Window, case: _Case) -> str:
    a, b = mine[key], want[key]
    T = len(want["input_ids"])
    first = want["token_type_ids"].index(1)
    if key in ("start", "end"):
        if b == 0:
            return "this window does not hold the whole answer; both marks are 0, [CLS]"
        if a == 0:
            return "the answer is in this window, and its marks say no"
        if a == b - first:
            return "counted from the beginning of the context; count from [CLS]"
        if (mine["start"], mine["end"]) == case.answer:
            return "characters; wanted are tokens of the row"
        if key == "end" and a == b + 1:
            return "the end is the last token of the answer, not the one after it"
        if a > T - 1:
            return "counted in the whole context; subtract where the window begins"
        return "pieces that share a character with the answer belong to it"
    if len(a) != len(b):
        return (
            f"{len(a)} entries for {len(b)} tokens: [SEP] at the end, and padding none"
        )
    if key == "token_type_ids":
        return "0 up to the first [SEP], that one included; 1 behind it"
    if key == "offsets":
        if [o for o in a if o and o != (0, 0)] == [o for o in b if o]:
            return "None at [CLS], at both [SEP] and in the question"
        if any(o is not None for o in a[:first]):
            return "the question has no place in the context: None"
        return (
            "the offsets of the window's own pieces, in characters of the whole context"
        )
    return "[CLS] question [SEP] part of the context [SEP]"


# --- C.2 loss and loop ---------------------------------------------------------------


class _Spans(NamedTuple):
    loss: Tensor | None
    start_logits: Tensor
    end_logits: Tensor


class _Reader(nn.Module):
    """A small model for spans that notes what it was given.

    Its logits at padding are so low that a loss may count them or not. With positions
    it returns a loss, as the course's own model does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(60, 8), nn.Embedding(2, 8)
        self.out = nn.Linear(8, 2)
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []
        self.modes: list[bool] = []

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
    ) -> _Spans:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        self.batches.append((input_ids.clone(), mask.bool(), kinds.clone()))
        self.modes.append(self.training)
        both = self.out((self.words(input_ids) + self.kinds(kinds)).tanh())
        start, end = both.masked_fill(~mask.bool()[..., None], -1e4).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = _span_loss(start, end, start_positions, end_positions)
        return _Spans(loss, start, end)


def _span_loss(start: Tensor, end: Tensor, first: Tensor, last: Tensor) -> Tensor:
    return (F.cross_entropy(start, first) + F.cross_entropy(end, last)) / 2


def _some_rows(n: int) -> list[Window]:
    """Rows of several lengths, each with an id of its own in place 1."""
    made = []
    for number in range(n):
        T = 6 + number % 5
        start = 0 if number % 3 == 0 else 3 + number % 2
        end = start and min(T - 2, start + number % 2)
        made.append(
            {
                "input_ids": [
                    2,
                    5 + number,
                    3,
                    *torch.randint(5, 60, (T - 4,)).tolist(),
                    3,
                ],
                "token_type_ids": [0, 0, 0] + [1] * (T - 3),
                "offsets": [None] * T,
                "start": start,
                "end": end,
            }
        )
    return made


class _Run(NamedTuple):
    losses: Any
    model: _Reader
    optimizer: Noted
    rows: list[Window]


def _run(
    train: Any, n: int, epochs: int, batch_size: int, seed: int, other: int = 0
) -> _Run:
    model = _Reader().eval()
    optimizer = Noted([{"params": [p]} for p in model.parameters()], model)
    rows = _some_rows(n)
    kept = [
        {key: list(w[key]) if key[-1] == "s" else w[key] for key in KEYS} for w in rows
    ]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(other)  # another chance than the generator's
        losses = train(model, optimizer, rows, epochs, batch_size, 0.2, generator)
    expect(
        rows == kept,
        "Your function changes the rows.",
        given=f"{n} rows, batches of {batch_size}",
        likely="append or += pads the lists in place; make new ones",
    )
    return _Run(losses, model, optimizer, rows)


@exercise("C.2")
def check_train(train: Any) -> None:
    """Batches, order, rates, gradients and losses of short runs."""
    for n, epochs, batch_size in ((7, 1, 7), (10, 3, 4), (40, 2, 3)):
        run = _run(train, n, epochs, batch_size, 3)
        _expect_batches(run, epochs, batch_size)
        rates = run.optimizer.rates
        expect_rates(rates, len(rates), 0.2)
        _expect_losses(run)
        expect(
            all(run.model.modes),
            "The model is not in training mode.",
            given="a model that is in eval mode when it comes",
            likely="model.train() is missing; dropout is off without it",
        )
    _expect_order(train)


def _expect_batches(run: _Run, epochs: int, batch_size: int) -> None:
    n = len(run.rows)
    steps = epochs * math.ceil(n / batch_size)
    given = f"{n} rows, batches of {batch_size}, {epochs} epochs"
    for name, count in (
        ("The model runs", len(run.model.batches)),
        ("The optimizer steps", len(run.optimizer.rates)),
    ):
        expect(
            count == steps,
            f"{name} {count} times; it must be {steps} times.",
            given=given,
            likely="the last, smaller batch of an epoch is left out"
            if count == epochs * (n // batch_size)
            else "optimizer.step() is missing"
            if count == 0
            else "once for each batch of each epoch",
        )
    for ids, mask, kinds in run.model.batches:
        for line, real, kind in zip(ids, mask, kinds, strict=True):
            number = int(line[1]) - 5
            row = run.rows[number] if 0 <= number < n else run.rows[0]
            T = len(row["input_ids"])
            expect(
                line[:T].tolist() == row["input_ids"] and not line[T:].any(),
                "A row is not in its batch as it was given, with zeros behind it.",
                given=given,
                yours=show(line),
                expected=show(row["input_ids"]),
                likely="padding belongs to the right, id 0",
            )
            expect(
                real.tolist() == [i < T for i in range(len(line))],
                "attention_mask must be True at the tokens of a row, False at padding.",
                given=given,
                yours=show(real),
                likely="no mask was given to the model" if real.all() else "",
            )
            expect(
                kind[:T].tolist() == row["token_type_ids"],
                "token_type_ids are not those of the row.",
                given=given,
                yours=show(kind[:T]),
                expected=show(row["token_type_ids"]),
                likely="none were given to the model" if not kind.any() else "",
            )
    _expect_epochs(run, epochs, given)


def _order(run: _Run) -> list[int]:
    return [int(i) - 5 for ids, _, _ in run.model.batches for i in ids[:, 1]]


def _expect_epochs(run: _Run, epochs: int, given: str) -> None:
    n, order = len(run.rows), _order(run)
    for epoch in range(epochs):
        seen = sorted(order[epoch * n : (epoch + 1) * n])
        expect(
            seen == list(range(n)),
            "Each row must be in each epoch once.",
            given=given,
            yours=f"rows of epoch {epoch}: {seen[:12]}",
            likely="rows were drawn with replacement; take a permutation",
        )


def _expect_order(train: Any) -> None:
    chances = ((1, 1), (1, 2), (2, 1))
    one, again, other = (_run(train, 12, 2, 4, *chance) for chance in chances)
    first, second = _order(one)[:12], _order(one)[12:]
    given = "12 rows, 2 epochs"
    expect(
        first != sorted(first) and first != second,
        "The rows come in the same order each time.",
        given=given,
        yours=f"epoch 0: {first}, epoch 1: {second}",
        likely="torch.randperm(len(rows), generator=generator), anew for each epoch",
    )
    expect(
        _order(one) == _order(again) and _order(one) != _order(other),
        "The order must come from the generator, and from nothing else.",
        given="two runs with one seed, and one with another",
        likely="a draw without generator=generator, or a seed of its own",
    )


def _expect_losses(run: _Run) -> None:
    """Loss and gradient of each step, at the weights that the step found."""
    wants, wrongs = [], []
    for (ids, mask, kinds), state in zip(
        run.model.batches, run.optimizer.states, strict=True
    ):
        model = _Reader()
        model.load_state_dict(state)
        rows = [run.rows[int(i) - 5] for i in ids[:, 1]]
        first = torch.tensor([row["start"] for row in rows])
        last = torch.tensor([row["end"] for row in rows])
        _, start, end = model(ids, mask, kinds)
        loss = _span_loss(start, end, first, last)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        whole = torch.cat([g.flatten() for g in grads])
        wants.append((loss.item(), whole / max(1.0, whole.norm().item() + 1e-6)))
        wrongs.append(_loss_mistakes(start, end, first, last))
    losses = run.losses
    expect(
        isinstance(losses, list | tuple) and len(losses) == len(wants),
        f"A list of {len(wants)} losses must come back, one for each step.",
        given=f"rows for {len(wants)} steps",
        yours=type(losses).__name__,
        likely="there is no return statement"
        if losses is None
        else "a plain number for each step, appended to a list",
    )
    for at, (got, (want, gradient)) in enumerate(zip(losses, wants, strict=True)):
        expect(
            not (isinstance(got, Tensor) and got.requires_grad),
            "A loss still holds the graph of its step.",
            given=f"step {at}",
            likely="append loss.item(); otherwise all graphs stay in memory",
        )
        value = float(got.detach() if isinstance(got, Tensor) else got)
        names = [
            n for n, w in wrongs[at].items() if math.isclose(value, w, rel_tol=1e-3)
        ]
        expect(
            math.isclose(value, want, rel_tol=1e-3, abs_tol=1e-5),
            f"The loss of step {at} is wrong.",
            given="the mean of two cross-entropies over the tokens of a row",
            yours=f"{value:.4f}",
            expected=f"{want:.4f}",
            likely=names[0] if names else "",
        )
        found = run.optimizer.gradients[at]
        expect(
            torch.allclose(found, gradient, rtol=1e-2, atol=1e-5),
            "The gradient that the optimizer gets is wrong.",
            given=f"step {at}, clipped to a norm of 1",
            yours=f"norm {found.norm():.3g}",
            expected=f"norm {gradient.norm():.3g}",
            likely="zero_grad or the clipping is missing, or in the wrong place",
        )


def _loss_mistakes(
    start: Tensor, end: Tensor, first: Tensor, last: Tensor
) -> dict[str, float]:
    one, two = F.cross_entropy(start, first), F.cross_entropy(end, last)
    spoken = first != 0
    wrong = {
        "a sum; take the mean of both": (one + two).item(),
        "the loss of the starts alone": one.item(),
        "the loss of the ends alone": two.item(),
        "starts and ends are exchanged": _span_loss(start, end, last, first).item(),
    }
    if spoken.any():
        wrong["rows without an answer were left out; they learn to point at [CLS]"] = (
            _span_loss(start[spoken], end[spoken], first[spoken], last[spoken]).item()
        )
    return wrong


# --- C.3 the answer ------------------------------------------------------------------


def _best(
    windows: list[Window],
    starts: list[list[float]],
    ends: list[list[float]],
    context: str,
    longest: int,
    threshold: float,
    how: str = "",
) -> str | None:
    """Every pair of every window tried, with one known mistake."""
    found, silent = [(-math.inf, 0, 0)], []
    for window, s, e in zip(windows, starts, ends, strict=True):
        offsets = window["offsets"]
        silent.append(s[0] + e[0])
        if how == "first window" and len(silent) > 1:
            continue
        inside = [i for i, o in enumerate(offsets) if o is not None]
        most = {"no limit": 99, "too short": longest - 1}.get(how, longest)
        reach = range(len(e)) if how == "padding" else inside
        pairs = [(i, j) for i in inside for j in reach if j - most < i <= j]
        if how == "apart" and inside:
            pairs = [(max(inside, key=s.__getitem__), max(inside, key=e.__getitem__))]
        for i, j in pairs:
            end = offsets[min(j, inside[-1])][0 if how == "cut" else 1]
            found.append((s[i] + e[j], offsets[i][0], end))
    score, a, b = max(found)
    none = {"loudest": max(silent), "first silent": silent[0]}.get(how, min(silent))
    if score == -math.inf:
        return None
    if how == "reversed":
        return context[a:b] if none - score > threshold else None
    if how == "at threshold":
        return None if none - score >= threshold else context[a:b]
    if how == "zero":
        threshold = 0.0
    if how == "never":
        threshold = math.inf
    return None if none - score > threshold else context[a:b]


_CHOICES = {
    "apart": "start and end were chosen each on its own; take the pair with the "
    "highest sum, start before end",
    "no limit": "the answer may have `longest` tokens at most",
    "too short": "an answer of exactly `longest` tokens is allowed",
    "first window": "only the first window was looked at",
    "padding": "behind a window's own tokens is padding, and [SEP] is no word",
    "cut": "the answer ends after its last token: offsets[j][1]",
    "loudest": "the lowest [CLS] score of all windows counts: one window that holds "
    "the answer is enough",
    "first silent": "the [CLS] score of the first window alone was used",
    "reversed": "silence belongs above the threshold",
    "at threshold": "a margin equal to the threshold is not above it",
    "zero": "the threshold is not used; 0 is one among others",
    "never": "it never says that there is no answer",
}


@exercise("C.3")
def check_choose(choose: Any) -> None:
    """Against every pair tried, on rows made by hand and at random."""
    rng = random.Random(4)
    seen = [
        _choice_case(rng, n, longest) for n in (1, 1, 2, 3) for longest in (1, 3, 8)
    ]
    seen += [_choice_case(rng, 1 + k % 3, 1 + k % 5) for k in range(40)]
    results = []
    for windows, starts, ends, context, longest, threshold in seen:
        inputs = (windows, [*map(list, starts)], [*map(list, ends)], context)
        got = choose(*inputs, longest, threshold)
        expect(
            got is None or isinstance(got, str),
            f"A string or None must come back, not {type(got).__name__}.",
            given=f"{len(windows)} windows, longest {longest}",
            likely="places or a score came back; cut the answer out of the context",
        )
        right = _best(windows, starts, ends, context, longest, threshold)
        results.append((got, right))
    failed = [k for k, (got, right) in enumerate(results) if got != right]
    if failed:
        _complain(failed, results, seen)
    empty = {"offsets": [None] * 4}
    got = choose([empty], [[0.0] * 4], [[0.0] * 4], "", 5, math.inf)
    expect(
        got is None,
        "An empty context has no answer: None.",
        given="one window without a token of the context, threshold inf",
        yours=show(got),
        likely="a span was read off although no token has a place in the context",
    )


def _choice_case(rng: random.Random, windows: int, longest: int) -> Any:
    context = "Ann was born in a mill. Tom had two dogs. Zoe sold pies."
    spans = _tokenizer().spans(context)
    made = []
    for k in range(windows):
        part = spans[5 * k : 5 * k + 8]
        made.append({"offsets": [None] * 4 + part + [None]})
    scores = [
        [[rng.randrange(-4096, 6144) / 1024 for _ in w["offsets"]] for w in made]
        for _ in range(2)
    ]
    loud = rng.choice([0.0, 8.0])  # what [CLS] says may win or not
    for row in scores[0]:
        row[0] += loud
    best = max(
        s[i] + e[j]
        for w, s, e in zip(made, *scores, strict=True)
        for i, a in enumerate(w["offsets"])
        for j, b in enumerate(w["offsets"])
        if a and b and i <= j < i + longest
    )
    margin = min(s[0] + e[0] for s, e in zip(*scores, strict=True)) - best
    threshold = margin + rng.choice([-2.0, -0.5, 0.0, 0.5, 2.0])
    if windows == 3:  # as in a batch: a score for each place of padding, too
        for row in scores[0] + scores[1]:
            row += [9.0] * 3
    return made, scores[0], scores[1], context, longest, threshold


def _complain(failed: list[int], results: list[Any], seen: list[Any]) -> None:
    shortest = min(failed, key=lambda k: len(seen[k][0]))
    windows, starts, ends, context, longest, threshold = seen[shortest]
    got, right = results[shortest]
    likely = ""
    for how, name in _CHOICES.items():
        tried: list[Any] = [(*case, how) for case in seen]
        if [_best(*case) for case in tried] == [mine for mine, _ in results]:
            likely = name
    if not likely and got is None:
        likely = "there is no return statement, or silence where an answer belongs"
    if not likely and got and got not in context:
        likely = "pieces were put together; cut the answer out of the context"
    spans = [[o and context[slice(*o)] for o in w["offsets"]] for w in windows]
    best = (
        f"{len(windows)} windows of tokens {spans[0]} ..."
        if len(windows) > 1
        else (f"tokens {spans[0]}, start {_short(starts[0])}, end {_short(ends[0])}")
    )
    raise Wrong(
        "The answer is wrong.",
        given=f"{best}, longest {longest}, threshold {threshold:.1f}",
        yours=show(got),
        expected=show(right),
        likely=likely,
    )


def _short(numbers: list[float]) -> list[float]:
    return [round(x, 1) for x in numbers]


# --- C.4 the reader ------------------------------------------------------------------

ASKED_FOR, GAIN = 35.0, 1.0  # percent of F1
WHOLE = True  # False: the rehearsal alone, for tests
Ask = Callable[[str, str], str | None]

REHEARSAL = [
    (
        "where was ann born ?",
        "tom had two dogs . ann was born in a red mill .",
        "a red mill",
    ),
    ("how many dogs had tom ?", "tom had two dogs . zoe had a cat .", "two"),
    (
        "what did zoe sold ?",
        "zoe sold the house . ann lives in the mill .",
        "the house",
    ),
    ("who had a cat ?", "ann had a cat . tom lives in a house .", "ann"),
    ("where does tom lives ?", "zoe was born in the house .", None),
]


def _rehearsal_rows() -> list[Asked]:
    rows = []
    for question, context, answer in REHEARSAL:
        start = context.index(answer) if answer else 0
        span = (start, start + len(answer)) if answer else None
        rows.append(Asked(question, context, span))
    return 3 * rows


def _small_folder(folder: Path) -> None:
    """A model folder as published ones are, small enough for a rehearsal."""
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=16,
    )
    save_pretrained(BertForQuestionAnswering(config).bert, tokenizer, folder)


@exercise("C.4")
def check_reader(make_reader: Any) -> None:
    """A rehearsal with a small model; then MiniLM, and questions with other names."""
    with _rehearsal() as (folder, learn, dev), _segments() as told_apart:
        ask = _made(make_reader, folder, learn, dev)
        _expect_form(ask, learn)
    expect(
        told_apart[True] != {True} or told_apart[False] <= {True},
        "When it is asked, the model reads other segments than in training.",
        given="the segments of question and context, in training and in eval mode",
        likely="Example(ids, first): first is the number of tokens up to the first "
        "[SEP], that one included",
    )
    if not WHOLE:
        return
    known = {row.question for row in load_questions("test")}
    rows = [row for row in _held_out() if row.question not in known]
    answers, found = _score(_trained(make_reader), rows)
    _expect_score(rows, answers, found)


@contextmanager
def _rehearsal() -> Iterator[tuple[Path, list[Asked], list[Asked]]]:
    """The folder of a small model, rows to learn from, and rows to choose by."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        _small_folder(folder)
        rows = _rehearsal_rows()
        yield folder, rows, rows[:5]


@contextmanager
def _segments() -> Iterator[dict[bool, set[bool]]]:
    """Whether the pairs that a BERT reads have segment 0 up to the first [SEP] and 1
    behind it: what was found in training mode (True) and in eval mode (False)."""
    found: dict[bool, set[bool]] = {True: set(), False: set()}

    def note(module: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
        ids, kinds = (*inputs, None, None)[:2]
        if not isinstance(module, BertEmbeddings) or ids is None:
            return
        ends = (ids == SEP).long()
        behind = (ends.cumsum(1) - ends).clamp(max=1)  # 1 after the first [SEP]
        right = (ids == PAD) | (behind == (0 if kinds is None else kinds))
        found[module.training].update(right.all(1)[ends.sum(1) == 2].tolist())

    handle = register_module_forward_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()


def _made(make: Any, *inputs: Any) -> Ask:
    """The function that comes back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the head is new
        ask = make(*inputs)
    expect(
        callable(ask),
        "A function ask(question, context) must come back.",
        given="a folder, questions to learn from, questions to choose by",
        yours=type(ask).__name__,
        likely="there is no return statement"
        if ask is None
        else "its answers or its score came back, and not the function itself",
    )
    return ask


def _trained(make: Any) -> Ask:
    """What comes back for MiniLM; kept with the function, as training takes a while."""
    if "kept_by_the_check" not in vars(make):
        learn, dev = load_questions("train"), load_questions("dev")
        ask = _made(make, minilm_folder(), learn, dev)
        make.kept_by_the_check = staticmethod(ask)
    kept: Any = vars(make)["kept_by_the_check"]
    return kept.__func__


def _expect_form(ask: Ask, rows: list[Asked]) -> None:
    context = " ".join(row.context for row in rows) * 12
    for asked in [*rows[:5], Asked("who had a cat ?", context, None)]:
        given = f"question {asked.question!r}, a context of "
        given += f"{len(asked.context.split())} words"
        try:
            got, again = ask(*asked[:2]), ask(*asked[:2])
        except (ValueError, IndexError) as error:
            raise Wrong(
                f"ask raised {type(error).__name__}: {error}",
                given=given,
                likely="a context longer than the model reads; cut it into windows"
                if len(asked.context) > 1000
                else "",
            ) from None
        expect(
            got is None or (isinstance(got, str) and got and got in asked.context),
            "ask must return a piece of the context, or None.",
            given=given,
            yours=show(got),
            likely="pieces were decoded; cut the answer out of the context, by offsets"
            if isinstance(got, str)
            else "",
        )
        _expect_steady(got, again, given)
    got = ask("who had a cat ?", "")
    expect(
        got is None,
        "An empty context holds no answer: None.",
        given='question "who had a cat ?", context ""',
        yours=show(got),
        likely="a span was read off although no token has a place in the context",
    )


def _expect_steady(got: str | None, again: str | None, given: str) -> None:
    expect(
        got == again,
        "The same question gets another answer each time.",
        given=given,
        yours=f"{show(got)}, then {show(again)}",
        likely="dropout is on: model.eval() before it is asked",
    )


def _held_out() -> list[Asked]:
    """Questions about documents that nobody learned from, with other names."""
    return load_questions("test", secrets.randbelow(2**31))


def _score(ask: Ask, rows: list[Asked]) -> tuple[list[str | None], Score]:
    with torch.no_grad():
        answers = [ask(row.question, row.context) for row in rows]
        for row, got in zip(rows[:40], answers, strict=False):
            again = ask(row.question, row.context)
            _expect_steady(got, again, f"question {row.question!r}")
    return answers, score(rows, answers)


def _expect_score(rows: list[Asked], answers: list[str | None], found: Score) -> None:
    silent = score(rows, [None] * len(rows))
    said = [answer for answer in answers if answer is not None]
    words = sum(len(answer.split()) for answer in said) / max(1, len(said))
    likely = (
        "two passes over the rows and more, a lower rate, frozen lower layers; look "
    )
    likely += "at the losses that train returns, and at your score on the dev questions"
    if not said:
        likely = (
            "it never answers: the threshold, or it learned [CLS] alone: then a lower "
        )
        likely += "rate, frozen lower layers, fewer windows without the answer"
    elif words > 12:
        likely = "whole sentences come back: limit the answer to a few tokens"
    elif len(set(said)) < 0.2 * len(said):
        likely = "the same answer to everything"
    elif found.f1_silent == 0:
        likely = "it never says that there is no answer: choose a threshold on dev"
    expect(
        found.f1 >= ASKED_FOR,
        f"F1 on held-out questions is {found.f1:.1f}; {ASKED_FOR:g} is asked for.",
        given=f"{len(rows)} questions about documents of the test part, with other "
        f"names; saying nothing at all reaches {silent.f1:.1f}",
        yours=f"exact match {found.exact:.1f}; F1 {found.f1_answerable:.1f} where there"
        f" is an answer, {found.f1_silent:.1f} where there is none; {words:.1f} words "
        "an answer",
        likely=likely,
    )


# --- C.5 one improvement -------------------------------------------------------------


@exercise("C.5")
def check_improve(improve: Any) -> None:
    """The reader of C.4 and the new one, on the same held-out questions."""
    make = getattr(improve, "__globals__", {}).get("make_reader")
    if make is None:
        raise Wrong(
            "Your make_reader is not to be found.",
            given="improve, in a notebook without make_reader",
            likely="this stage begins with the reader of C.4; run its cell first",
        )
    with _rehearsal() as (folder, learn, dev):
        before = _made(make, folder, learn, dev)
        said = [before(*row[:2]) for row in learn[:5]]
        after = _made(improve, before, folder, learn, dev)
        expect(
            after is not before,
            "The reader that came in came back.",
            given="improve(before, folder, learn, dev)",
            likely="return a new function; the old one is what it is compared with",
        )
        _expect_form(after, learn)
        expect(
            said == [before(*row[:2]) for row in learn[:5]],
            "Your function changes the reader that it was given.",
            given="five questions, asked before and after the call",
            likely="an attribute of it, or its model, was set anew; work on a copy",
        )
    if not WHOLE:
        return
    rows = [row for _ in range(3) for row in _held_out()]  # a gain moves with the names
    before = _trained(make)
    inputs = (before, minilm_folder(), load_questions("train"), load_questions("dev"))
    after = _made(improve, *inputs)
    _expect_gain(rows, *_score(before, rows), *_score(after, rows))


def _expect_gain(
    rows: list[Asked],
    first: list[str | None],
    one: Score,
    second: list[str | None],
    two: Score,
) -> None:
    _expect_score(rows, first, one)
    changed = sum(a != b for a, b in zip(first, second, strict=True))
    expect(
        two.f1 >= one.f1 + GAIN,
        f"F1 on held-out questions goes from {one.f1:.1f} to {two.f1:.1f}; at least "
        f"{GAIN:g} more is asked for.",
        given=f"{len(rows)} questions with other names",
        yours=f"exact match {one.exact:.1f} to {two.exact:.1f}; with an answer "
        f"{one.f1_answerable:.1f} to {two.f1_answerable:.1f}, without one "
        f"{one.f1_silent:.1f} to {two.f1_silent:.1f}; {changed} answers changed",
        likely="no answer has changed"
        if changed == 0
        else "a gain on dev that does not carry over; choose fewer things by dev",
    )
