"""The checks of capstone B: pretraining against the floor, under a time limit."""

import copy
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.exercises.checking import (
    Wrong,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)
from bertlib.exercises.dialect import Dialect, Scores, draw, measure

PAD, CLS, SEP, MASK, FIRST = 0, 2, 3, 4, 5  # the first word is id 5
IGNORE = -100
KEYS = ("input_ids", "attention_mask", "labels")
Batch = dict[str, Tensor]


# --- B.1 the batch maker -------------------------------------------------------------


def _sentences(lengths: list[int], V: int) -> list[list[int]]:
    return [torch.randint(FIRST, V, (n,)).tolist() for n in lengths]


def _rows(sentences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """The rows before masking, and where their tokens are: both (B, T)."""
    T = max(map(len, sentences)) + 2
    ids = torch.zeros(len(sentences), T, dtype=torch.long)
    for row, words in zip(ids, sentences, strict=True):
        row[: len(words) + 2] = torch.tensor([CLS, *words, SEP])
    return ids, ids != PAD


def _batch_of(
    make_batch: Any, sentences: list[list[int]], V: int, seed: int | torch.Generator
) -> Batch:
    """What the answer makes of the sentences, in the right form."""
    generator = seed
    if not isinstance(seed, torch.Generator):
        generator = torch.Generator().manual_seed(seed)
    given = [list(words) for words in sentences]
    got = make_batch(given, V, generator)
    expect(
        isinstance(got, dict) and all(key in got for key in KEYS),
        f"A dict with the keys {', '.join(KEYS)} must come back.",
        given=f"{len(sentences)} sentences",
        yours=f"keys {sorted(got)}" if isinstance(got, dict) else type(got).__name__,
        likely="there is no return statement" if got is None else "",
    )
    expect(
        given == sentences,
        "Your function changes the sentences.",
        given="a list of lists of ids, compared before and after",
        likely="append, insert or +=; make a new list: [CLS, *words, SEP]",
    )
    ids, real = _rows(sentences)
    where = f"sentences {sentences}" if len(sentences) < 4 else f"{len(ids)} sentences"
    for key in KEYS:
        expect_tensor(got[key], f"{key}.", given=where)
        expect(
            got[key].shape == ids.shape,
            f"{key} has shape {tuple(got[key].shape)}; it must be {tuple(ids.shape)}.",
            given=where,
            likely="a row is [CLS] words [SEP], and the longest one sets T",
        )
        expect(
            not got[key].is_floating_point(),
            f"{key} has dtype {got[key].dtype}; ids are whole numbers.",
            given=where,
            likely="torch.zeros makes floats: dtype=torch.long",
        )
    _expect_rows(got, ids, real, where)
    return got


def _expect_rows(got: Batch, ids: Tensor, real: Tensor, where: str) -> None:
    """All that does not depend on chance."""
    expect_close(
        got["attention_mask"].bool(),
        real,
        "attention_mask is wrong: True at tokens, False at padding.",
        given=where,
        mistakes={
            "it is inverted": ~real,
            "[CLS] and [SEP] are tokens too": real & (ids >= FIRST),
            "padding is not hidden": torch.ones_like(real),
        },
    )
    labels, inputs = got["labels"], got["input_ids"]
    chosen = labels != IGNORE
    for token, name in ((CLS, "[CLS]"), (SEP, "[SEP]"), (PAD, "padding")):
        expect(
            not (chosen & (ids == token)).any(),
            f"{name} was chosen; only words are.",
            given=where,
            likely="the special tokens take part in the draw; give them a score behind "
            "all others"
            if not chosen.all()
            else "labels are -100 wherever nothing is to be predicted",
        )
    hidden = inputs == MASK
    expect(
        bool((labels == ids)[chosen].all()),
        "A label is not the word that stood there.",
        given=where,
        likely="labels were taken after masking; keep the true ids"
        if bool((labels == inputs)[chosen].all())
        else "",
    )
    expect(
        not (hidden & ~chosen).any(),
        "A word was hidden, and has no label.",
        given=where,
        likely="labels and inputs come from two draws",
    )
    expect(
        bool((inputs == ids)[~chosen].all()),
        "A word that was not chosen has changed.",
        given=where,
        likely="the fate of a word was not combined with `chosen`",
    )


@exercise("B.1")
def check_make_batch(make_batch: Any) -> None:
    """Form, number, places and fates of the chosen words, and the generator."""
    V = 40
    for lengths in ([3, 1], [5], [2, 7, 4]):
        _batch_of(make_batch, _sentences(lengths, V), V, 0)
    for vocab in (V, 90):
        sentences = _sentences([n for n in range(1, 21) for _ in range(60)], vocab)
        got = _batch_of(make_batch, sentences, vocab, 1)
        ids, real = _rows(sentences)
        _expect_number(got["labels"] != IGNORE, real)
        _expect_places(make_batch, vocab)
        _expect_fates(got, ids, vocab)
    _expect_generator(make_batch, _sentences([12] * 80, V), V)


def _expect_number(chosen: Tensor, real: Tensor) -> None:
    found, lengths = chosen.sum(dim=1), real.sum(dim=1)
    for row, (n, length) in enumerate(
        zip(found.tolist(), lengths.tolist(), strict=True)
    ):
        share = 0.15 * length
        least, most = math.ceil(share - 0.5001), math.floor(share + 0.5001)
        if max(1, least) <= n <= max(1, most):
            continue
        alike = found[lengths == length]
        likely = ""
        if n == 0:
            likely = "at least one word of a row is chosen"
        elif len(alike.unique()) > 1:
            likely = (
                "each word was chosen with a probability of its own; the number of "
            )
            likely += "chosen words is fixed by the length"
        elif n == max(1, int(share)):
            likely = "int() and // cut off; round"
        elif n == max(1, round(0.15 * (length - 2))):
            likely = "the length counts [CLS] and [SEP]"
        elif (found == n).all():
            likely = "padding was counted, or all rows share one number"
        raise Wrong(
            "The number of chosen words is wrong: 15 % of a row, rounded, at least 1.",
            given=f"a row of {length} tokens, [CLS] and [SEP] counted (row {row})",
            yours=f"{n} chosen",
            expected=f"{max(1, least)}",
            likely=likely,
        )


def _expect_places(make_batch: Any, V: int) -> None:
    """Each word of a row must be chosen equally often."""
    sentences = _sentences([8] * 1200 + [20], V)  # beside a longer one
    chosen = _batch_of(make_batch, sentences, V, 2)["labels"][:-1] != IGNORE
    often = chosen[:, 1:9].double().mean(dim=0)  # 2 of 8 words are chosen
    same = bool((chosen == chosen[0]).all())
    expect(
        not same,
        "All rows of a batch have the same words chosen.",
        given="1,200 rows of 8 words",
        likely="one draw for the whole batch; draw for each row",
    )
    expect(
        bool(((often - 0.25).abs() < 0.07).all()),
        "Some places are chosen more often than others.",
        given="1,200 rows of 8 words, 2 chosen in each",
        yours=f"how often each place was chosen: {show(often)}",
        expected="0.25 for each",
        likely="the first ones were taken, or a sorted draw; argsort of random numbers "
        "gives an order by chance",
    )


def _expect_fates(got: Batch, ids: Tensor, V: int) -> None:
    chosen = got["labels"] != IGNORE
    now, was = got["input_ids"][chosen], ids[chosen]
    masked = (now == MASK).double().mean().item()
    kept = (now == was).double().mean().item()
    other = 1 - masked - kept
    likely = ""
    if masked > 0.97:
        likely = (
            "all of them become [MASK]; a tenth becomes a random word, a tenth stays"
        )
    elif masked < 0.03:
        likely = "none of them becomes [MASK]"
    elif kept < 0.03:
        likely = "none stays as it is"
    elif other < 0.005:
        likely = "none becomes a random word"
    elif abs(masked - 0.1) < 0.04 or abs(other - 0.8) < 0.04:
        likely = "the shares are exchanged: 0.8 are hidden"
    elif other < 0.04:
        likely = (
            "the second draw applies to what the first one left: a tenth of a fifth"
        )
    expect(
        abs(masked - 0.8) < 0.04 and abs(kept - 0.1) < 0.04,
        "Of the chosen words 80 % become [MASK], 10 % a random word, 10 % stay.",
        given=f"{int(chosen.sum()):,} chosen words",
        yours=f"{masked:.0%} [MASK], {other:.0%} another word, {kept:.0%} as they were",
        likely=likely,
    )
    strange = now[(now != MASK) & (now != was)]
    expect(
        int(strange.max()) < V and int(strange.min()) >= 0,
        "A random word is not in the vocabulary.",
        given=f"vocab_size {V}",
        yours=show(strange.max()),
        likely="randint's upper end is excluded: torch.randint(vocab_size, ...)",
    )
    expect(
        int(strange.min()) < MASK and int(strange.max()) > V - 4,
        "Random words come from the whole vocabulary, special tokens included, as in "
        "the authors' code.",
        given=f"vocab_size {V}, {len(strange)} random words",
        yours=f"ids from {int(strange.min())} to {int(strange.max())}",
        likely="vocab_size of one language is written into the function, or the "
        "special tokens are left out",
    )
    most = Counter(strange.tolist()).most_common(1)[0][1]
    expect(
        most < 0.2 * len(strange),
        "The random words are all the same one.",
        given=f"{len(strange)} random words of one batch",
        likely="one word was drawn for the whole batch; draw one for each place",
    )
    of_three = chosen.sum(dim=1) >= 3
    hidden = (got["input_ids"] == MASK) & chosen
    share = hidden.sum(dim=1)[of_three] / chosen.sum(dim=1)[of_three]
    mixed = ((share > 0) & (share < 1)).double().mean().item()
    expect(
        mixed > 0.25,
        "The chosen words of a row have all the same fate.",
        given=f"{int(of_three.sum())} rows with three chosen words",
        yours=f"{mixed:.0%} of the rows hold hidden and other chosen words",
        likely="one coin for a row; toss one for each word",
    )


def _expect_generator(make_batch: Any, sentences: list[list[int]], V: int) -> None:
    first = _batch_of(make_batch, sentences, V, 5)
    torch.rand(3)  # chance from elsewhere would now be another
    again = _batch_of(make_batch, sentences, V, 5)
    expect(
        all(torch.equal(first[key], again[key]) for key in KEYS),
        "The same generator in the same state gives two different batches.",
        given="torch.Generator().manual_seed(5), twice",
        likely="a draw without generator=generator",
    )
    generator = torch.Generator().manual_seed(5)
    one = _batch_of(make_batch, sentences, V, generator)
    two = _batch_of(make_batch, sentences, V, generator)
    expect(
        not torch.equal(one["labels"], two["labels"]),
        "The same sentences are masked alike each time.",
        given="two calls with one generator",
        likely="a seed is set inside of the function, or a generator made anew",
    )


# --- B.2 model and groups ------------------------------------------------------------


def _built(build: Any, V: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    got = build(V)
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        "A pair must come back: the model, and its optimizer.",
        given="build(vocab_size)",
        yours=type(got).__name__,
        likely="there is no return statement"
        if got is None
        else "the optimizer belongs to it: return model, optimizer",
    )
    model, optimizer = got
    expect(
        isinstance(model, nn.Module) and isinstance(optimizer, torch.optim.Optimizer),
        "The first is an nn.Module, the second a torch.optim.Optimizer.",
        given=f"vocab_size {V}",
        yours=f"{type(model).__name__}, {type(optimizer).__name__}",
        likely="exchanged: the model comes first",
    )
    return model, optimizer


def _logits(model: Any, ids: Tensor, mask: Tensor, V: int) -> Tensor:
    """What a model says about every place, (B, T, V)."""
    out = model(input_ids=ids, attention_mask=mask)
    logits = getattr(out, "logits", None)
    if not isinstance(logits, Tensor) or logits.shape != (*ids.shape, V):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else None
        raise Wrong(
            "model(input_ids=..., attention_mask=...) must return something with "
            "`.logits` of shape (B, T, vocab_size).",
            given=f"input_ids of shape {tuple(ids.shape)}, vocab_size {V}",
            yours=f"logits of shape {shape}" if shape else type(out).__name__,
            likely="vocab_size of one language is written into the function"
            if shape and shape[:-1] == ids.shape
            else "a tensor alone; put it into a NamedTuple with loss and logits"
            if isinstance(out, Tensor)
            else "what comes back has no attribute logits, or not one for each token",
        )
    return logits


@exercise("B.2")
def check_build(build: Any) -> None:
    """A model that reads rows of any length with padding, and what decays."""
    for V in (30, 51):
        model, optimizer = _built(build, V)
        _expect_groups(model, optimizer)
        model.eval()
        with torch.no_grad():
            _expect_reader(model, V)
    one, two = _built(build, 30)[0], _built(build, 30)[0]
    shared = {id(p) for p in one.parameters()} & {id(p) for p in two.parameters()}
    expect(
        not shared,
        "Two calls give models that share their parameters.",
        given="build(vocab_size), called twice",
        likely="the model is made outside of the function",
    )


def _expect_groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    held = [(p, group) for group in optimizer.param_groups for p in group["params"]]
    missing = [name for i, name in names.items() if i not in {id(p) for p, _ in held}]
    expect(
        not missing,
        "The optimizer does not hold every parameter.",
        given="model.parameters() beside the groups of the optimizer",
        yours=f"missing: {', '.join(missing[:4])}",
        likely="groups made by name left some out; ask each parameter for its dim()",
    )
    strangers = [p for p, _ in held if id(p) not in names]
    expect(
        not strangers,
        "The optimizer holds parameters that are not in the model.",
        given="model.parameters() beside the groups of the optimizer",
        likely="it was made for another model, or before a part was exchanged",
    )
    for p, group in held:
        decay, vector = group.get("weight_decay", 0.0), p.dim() < 2
        if bool(decay) == vector:
            alone = len(optimizer.param_groups) == 1
            raise Wrong(
                f"{names[id(p)]} has weight_decay {decay}; "
                + ("vectors do not decay." if vector else "matrices decay."),
                given=f"a parameter of shape {tuple(p.shape)}",
                likely="one group for all: biases and LayerNorm need a second one"
                if alone
                else "the two groups are exchanged, or embeddings were left out",
            )
    plain = type(optimizer) is torch.optim.Adam  # it had no switch before torch 2.6
    expect(
        all(group.get("decoupled_weight_decay", not plain) for _, group in held),
        f"torch.optim.{type(optimizer).__name__} adds the decay to the gradient, where "
        "it is divided away.",
        given="a group with weight_decay above 0",
        likely="AdamW decays beside the step (chapter 8)",
    )


def _expect_reader(model: nn.Module, V: int) -> None:
    ids, mask = _rows(_sentences([6, 30, 9], V))
    logits = _logits(model, ids, mask, V)
    loss = F.cross_entropy(logits[mask], torch.randint(FIRST, V, (int(mask.sum()),)))
    expect(
        loss.item() < 1.5 * math.log(V),
        f"Before training the loss is {loss.item():.1f}; even guessing has "
        f"{math.log(V):.1f}.",
        given="three sentences of 6, 30 and 9 words, random labels",
        likely="the first weights are too large: at most 0.1 or so (chapter 5)",
    )
    labels = torch.full_like(ids, IGNORE)
    labels[0, 2], labels[1, 5:9] = 7, 8
    out: Any = model(input_ids=ids, attention_mask=mask, labels=labels)
    want = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
    expect_close(
        getattr(out, "loss", None),
        want,
        "With labels, `.loss` must be the mean cross-entropy at the labelled places.",
        given="one label in the first row, four in the second",
        mistakes={
            "a mean of the rows' means: each label counts alike": torch.stack(
                [F.cross_entropy(logits[i], labels[i]) for i in (0, 1)]
            ).mean(),
            "a sum; take the mean": 5 * want,
        },
        tol=1e-4,
    )
    alone = _logits(model, ids[:1, :8], mask[:1, :8], V)
    expect_close(
        logits[:1, :8],
        alone,
        "A sentence reads otherwise alone than in a batch.",
        given="a row of 8 tokens, and the same row with padding behind it",
        likely="attention_mask is not used",
        tol=1e-4,
    )
    _expect_order(copy.deepcopy(model).double(), ids, mask, V)


def _expect_order(model: nn.Module, ids: Tensor, mask: Tensor, V: int) -> None:
    """In double precision, so that a difference is one."""
    logits = _logits(model, ids, mask, V)
    changed = ids.clone()
    changed[1, 29] = FIRST if ids[1, 29] != FIRST else FIRST + 1
    far = (_logits(model, changed, mask, V) - logits)[1, 2].abs().max()
    expect(
        far > 1e-12,
        "A word at the end of a sentence cannot change what is predicted at its start.",
        given="a sentence of 30 words, with another last word",
        likely="a model without attention, or one that looks back only",
    )
    swapped = ids.clone()
    swapped[1, 10], swapped[1, 20] = FIRST, FIRST + 1
    logits = _logits(model, swapped, mask, V)
    swapped[1, 10], swapped[1, 20] = FIRST + 1, FIRST
    moved = (_logits(model, swapped, mask, V) - logits)[1, 2].abs().max()
    expect(
        moved > 1e-10,
        "The order of the words makes no difference.",
        given="two words of a sentence exchanged",
        likely="positions are missing: a bag of words",
    )


# --- B.3 the loop --------------------------------------------------------------------


class _Out(NamedTuple):
    loss: Tensor
    logits: Tensor


class _Reader(nn.Module):
    """A small model with dropout, whose gradient is long in some steps only."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 6)
        self.out = nn.Linear(6, 12)
        self.training_when_called: list[bool] = []

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, scale: Tensor
    ) -> _Out:
        self.training_when_called.append(self.training)
        logits = self.out(self.words(input_ids)) * scale
        loss = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE
        )
        return _Out(loss, logits)


class Noted(torch.optim.SGD):
    """Plain descent that notes rates, gradients and weights at each step."""

    def __init__(self, groups: Any, model: nn.Module) -> None:
        super().__init__(groups, lr=0.5)
        self.model = model
        self.rates: list[list[float]] = []
        self.gradients: list[Tensor] = []
        self.states: list[dict[str, Tensor]] = []

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        self.rates.append([float(group["lr"]) for group in self.param_groups])
        self.gradients.append(_gradient(self))
        self.states.append(copy.deepcopy(self.model.state_dict()))
        super().step()


def _gradient(optimizer: torch.optim.Optimizer) -> Tensor:
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
            for p in held
        ]
    )


class _Run(NamedTuple):
    """One run of the answer: what it did at each step, and what was right there."""

    losses: Any
    asked: list[int]
    optimizer: Noted
    model: _Reader
    wanted: list[Tensor]
    plain: list[Tensor]
    right_losses: list[float]


def _run(train: Any, steps: int, peak: float) -> _Run:
    model = _Reader()
    groups = [{"params": [p], "weight_decay": 0.0} for p in model.parameters()]
    optimizer = Noted(groups, model)
    asked: list[int] = []
    wanted: list[Tensor] = []
    plain: list[Tensor] = []
    right: list[float] = []
    model.eval()

    def next_batch(step: int) -> Batch:
        asked.append(int(step))
        shape = (2, 5)
        labels = torch.randint(12, shape).masked_fill(torch.rand(shape) < 0.5, IGNORE)
        labels[0, 0] = 3
        batch = {
            "input_ids": torch.randint(12, shape),
            "attention_mask": torch.ones(shape).bool(),
            "labels": labels,
            "scale": torch.tensor(8.0 if len(asked) % 2 else 0.2),
        }
        _note(model, batch, plain, wanted, right)
        return batch

    losses = train(model, optimizer, next_batch, steps, peak)
    return _Run(losses, asked, optimizer, model, wanted, plain, right)


def _note(
    model: _Reader,
    batch: Batch,
    plain: list[Tensor],
    wanted: list[Tensor],
    losses: list[float],
) -> None:
    """The gradient of this batch at the weights as they are, whole and clipped."""
    parameters = list(model.parameters())
    seen = model.training_when_called
    loss = model(**batch).loss
    seen.pop()
    whole = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
    plain.append(whole)
    wanted.append(whole / max(1.0, whole.norm().item() + 1e-6))
    losses.append(loss.item())


@exercise("B.3")
def check_train(train: Any) -> None:
    """Batches, rates, gradients and losses of short runs."""
    for steps, peak in ((20, 0.1), (37, 0.02), (1, 0.3), (2, 0.3)):
        run = _run(train, steps, peak)
        _expect_steps(run, steps)
        expect_rates(run.optimizer.rates, steps, peak)
        _expect_gradients(run)
        _expect_losses(run, steps)
    expect(
        all(run.model.training_when_called),
        "The model is not in training mode.",
        given="a model that is in eval mode when it comes",
        likely="model.train() is missing; somebody may have measured with it before",
    )


def _expect_steps(run: _Run, steps: int) -> None:
    done = len(run.optimizer.rates)
    expect(
        done == steps,
        f"The optimizer took {done} steps; it must take {steps}.",
        given=f"{steps} steps",
        likely="optimizer.step() is missing"
        if done == 0
        else "the range is off by one",
    )
    expect(
        run.asked == list(range(steps)),
        "Each step asks for its own batch: next_batch(0), next_batch(1) ...",
        yours=f"asked for {run.asked[:6]} ...",
        expected=f"{list(range(min(steps, 6)))} ...",
        likely="the batch was asked for once, before the loop"
        if len(run.asked) == 1 and steps > 1
        else "steps count from 0"
        if run.asked[:1] == [1]
        else "",
    )
    calls = len(run.model.training_when_called)
    expect(
        calls == steps,
        f"The model runs {calls} times in {steps} steps.",
        given=f"{steps} steps",
        likely="it runs twice in a step, once for the loss and once for the logits",
    )


def expect_rates(rates: list[list[float]], steps: int, peak: float) -> None:
    for at, some in enumerate(rates):
        expect(
            max(some) - min(some) < 1e-9,
            "The groups have different rates.",
            given=f"step {at} of {steps}",
            yours=show([round(rate, 5) for rate in some]),
            likely="only the first group is set; go through all of param_groups",
        )
    first = [some[0] for some in rates]
    given = f"{steps} steps, peak {peak}"
    yours = "rates " + ", ".join(f"{r:.4g}" for r in first[:4])
    yours += " ... " + ", ".join(f"{r:.4g}" for r in first[-2:])

    def complain(what: str, likely: str) -> None:
        raise Wrong(what, given=given, yours=yours, likely=likely)

    if steps >= 20 and max(first) == min(first):
        complain(
            "The rate is the same in every step.",
            'group["lr"] is never set, or set once before the loop',
        )
    if min(first) <= 0:
        zero = first.index(min(first))
        complain(
            f"In step {zero} the rate is {first[zero]:.4g}: nothing is learned there.",
            "step / rising is 0 in the first step; take (step + 1) / rising"
            if zero == 0
            else "the rate reaches 0 a step too early, or falls below it",
        )
    if abs(max(first) - peak) > 0.12 * peak:
        complain(
            f"The highest rate is {max(first):.4g}; it must be peak, or close to it.",
            "factors were multiplied once more, or peak is not used",
        )
    if steps < 20:
        return
    top = first.index(max(first))
    if top == 0 or first[0] > 0.6 * peak:
        complain("There is no warm-up.", "let the rate rise over the first tenth")
    if top > steps // 2:
        complain("The rate rises for more than half of the run.", "a tenth is enough")
    falling = first[top:]
    rising = first[: top + 1]
    if rising != sorted(rising) or falling != sorted(falling, reverse=True):
        complain("The rate goes up and down more than once.", "rise, then fall")
    if first[-1] > 0.15 * peak:
        complain(
            f"The last rate is still {first[-1] / peak:.0%} of the peak.",
            "let it fall to 0: what was learned at a high rate settles at a low one",
        )


def _expect_gradients(run: _Run) -> None:
    sums = torch.zeros_like(run.plain[0])
    kept = sums
    for at, (got, want, whole) in enumerate(
        zip(run.optimizer.gradients, run.wanted, run.plain, strict=True)
    ):
        sums, kept = sums + whole, kept + whole
        kept = kept / max(1.0, kept.norm().item() + 1e-6)  # clipped where it lies
        values = whole.clamp(-1, 1)
        if torch.allclose(got, want, rtol=1e-3, atol=1e-6):
            continue
        mistakes = {
            "it is not clipped": whole,
            "clipped number by number; the norm of all together is limited": values,
            "gradients of earlier steps are still in it: zero_grad is missing": kept,
            "zero_grad is missing, and so is the clipping": sums,
            "there is none: backward is missing, or zero_grad comes after it": 0
            * whole,
        }
        likely = next(
            (
                name
                for name, wrong in mistakes.items()
                if torch.allclose(got, wrong, rtol=1e-3, atol=1e-6)
            ),
            "",
        )
        if not likely and at:
            likely = (
                "gradients of earlier steps are still in it, or the clipping comes "
            )
            likely += "before backward"
        raise Wrong(
            "The gradient that the optimizer gets is wrong.",
            given=f"step {at}; the batch's own gradient has norm {whole.norm():.3g}, "
            "the limit is 1",
            yours=f"norm {got.norm():.3g}",
            expected=f"norm {want.norm():.3g}",
            likely=likely,
        )


def _expect_losses(run: _Run, steps: int) -> None:
    losses = run.losses
    expect(
        isinstance(losses, list | tuple) and len(losses) == steps,
        f"A list of {steps} losses must come back.",
        given=f"{steps} steps",
        yours=type(losses).__name__
        if not isinstance(losses, list | tuple)
        else f"{len(losses)} of them",
        likely="there is no return statement"
        if losses is None
        else "a plain number for each step, appended to a list",
    )
    for at, (got, want) in enumerate(zip(losses, run.right_losses, strict=True)):
        kept = isinstance(got, Tensor) and got.requires_grad
        expect(
            not kept,
            "A loss still holds the graph it came from, and so all memory of its step.",
            given=f"the loss of step {at}",
            likely="append loss.item(), a plain number",
        )
        expect(
            math.isclose(float(got), want, rel_tol=1e-4, abs_tol=1e-6),
            f"Loss {at} is wrong.",
            yours=f"{float(got):.4g}",
            expected=f"{want:.4g}",
            likely="the loss of the batch, before the step",
        )


# --- B.4 the run ---------------------------------------------------------------------

SECONDS, REHEARSAL = 30.0, 5.0  # of one core
NEAR, AGREE = 1.2, 0.9  # times the floor; share of verbs
WHOLE = True  # False: the rehearsal alone, for tests


@exercise("B.4")
def check_pretrain(pretrain: Any) -> None:
    """A short rehearsal, then the run, each on a dialect of its own."""
    dialect = draw(secrets.randbelow(2**31), sentences=20_000)
    scores = _measured(pretrain, dialect, REHEARSAL)
    expect(
        scores.loss < 0.97 * scores.unigram,
        f"After {REHEARSAL:g} seconds the held-out loss is {scores.loss:.2f}; counting "
        f"words alone reaches {scores.unigram:.2f}.",
        given=f"a rehearsal: {_lines(scores)}",
        likely=_loss_mistake(scores),
    )
    if not WHOLE:
        return
    scores = _measured(pretrain, draw(secrets.randbelow(2**31)), SECONDS)
    given = _lines(scores)
    most = NEAR * scores.floor
    expect(
        scores.loss <= most,
        f"After {SECONDS:g} seconds the held-out loss is {scores.loss:.2f}; at most "
        f"{most:.2f} is asked for, {NEAR - 1:.0%} above the floor.",
        given=given,
        likely=_loss_mistake(scores),
    )
    expect(
        scores.agreement >= AGREE,
        f"The right form of the verb is likelier in {scores.agreement:.0%} of the "
        f"sentences; {AGREE:.0%} are asked for.",
        given=f"long sentences with another noun in between; {given}",
        likely="agreement is learned last: more steps in the same time, or a second "
        "layer",
    )


def _measured(pretrain: Any, dialect: Dialect, seconds: float) -> Scores:
    """Let the answer learn, look at the clock, and measure what it has learned."""
    given = [list(words) for words in dialect.sentences]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        model = pretrain(given, dialect.vocab_size, seconds)
        used = time.process_time() - start
    finally:
        torch.set_num_threads(threads)
    if not isinstance(model, nn.Module):
        raise Wrong(
            f"A model must come back, not {type(model).__name__}.",
            given=f"{len(dialect.sentences):,} sentences, {seconds:g} seconds",
            likely="there is no return statement"
            if model is None
            else "train returns losses; pretrain returns the model",
        )
    late = 2 * seconds if seconds < SECONDS else seconds  # the first steps are slow
    expect(
        used <= late,
        f"The run took {used:.1f} seconds of processor time; it was given {seconds:g}.",
        given=f"pretrain(sentences, {dialect.vocab_size}, {seconds:g})",
        likely="a fixed number of steps: time a few of them, and take as many as fit; "
        "time.process_time() counts processor time",
    )
    expect(
        given == dialect.sentences,
        "Your function changes the sentences.",
        given="a list of lists of ids, compared before and after",
        likely="sort, shuffle or append work in place; make a new list",
    )
    ids, mask = _rows(dialect.sentences[:3])
    with torch.no_grad():
        _logits(model.eval(), ids, mask, dialect.vocab_size)
    scores = measure(model, dialect)
    expect(
        math.isfinite(scores.loss),
        "The model's loss is no number any more.",
        given="sentences that the check has drawn itself",
        likely="the rate is too high, or its gradient is not clipped",
    )
    return scores


def _lines(s: Scores) -> str:
    return (
        f"floor {s.floor:.2f}, counting words {s.unigram:.2f}, even guessing "
        f"{s.even:.2f}; yours {s.loss:.2f}, {s.loss / s.floor:.2f} times the floor"
    )


def _loss_mistake(s: Scores) -> str:
    if s.seen < 0.8 * s.loss:
        return (
            f"it knows the sentences of the training by heart (loss {s.seen:.2f}), and "
            "not the language: take more of them, and mask anew each time"
        )
    if s.loss > 1.05 * s.even:
        return (
            "worse than even guessing: it learned from other ids or other words, or to "
            "copy what stands there: hide words before it reads them"
        )
    if s.loss > 0.97 * s.unigram:
        return (
            "it knows at most how often each word occurs: no step was taken, or too "
            "few, or the rate is too low; look at the losses that train returns"
        )
    return (
        "more steps in the same time: a smaller model, sentences of one length in a "
        "batch; a higher rate with warm-up; larger first weights (chapter 5)"
    )
