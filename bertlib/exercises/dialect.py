"""The language of capstone B, and how well a model knows it.

It has the grammar of chapter 7 and some of its words, and the words are numbered by
chance: so nothing that was learned from another dialect is of use. The floor is known
exactly, as there.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.data import Batch, Masker
from bertlib.grammar import WORDS
from bertlib.losses import IGNORE
from bertlib.toylang import Floor, Pair, ToyLanguage
from bertlib.vocabulary import SPECIAL_TOKENS

LENGTHS, LONG = range(2, 12), range(8, 12)  # words of a sentence


class Dialect(NamedTuple):
    """A language, and what it is measured by.

    sentences: to learn from, lists of ids without special tokens.
    vocab_size: special tokens included; they are ids 0 to 4.
    held: 500 masked sentences, in the language's own ids, with their `floor`.
    pairs: long sentences; between the subject and its verb stands a noun of the other
        number.
    numbers: (V,), the id that stands for each of the language's own.
    """

    language: ToyLanguage
    numbers: Tensor
    sentences: list[list[int]]
    held: Batch
    floor: Floor
    pairs: list[Pair]

    @property
    def vocab_size(self) -> int:
        return len(self.numbers)


class Scores(NamedTuple):
    """What a model reaches, and the lines to compare it with; losses in nats.

    loss: of masked words, held out. seen: the same of sentences that it was given.
    floor, unigram, even: of the ideal reader, of counting words, of even guessing.
    agreement: the share of verbs whose right form is found likelier than the other.
    """

    loss: float
    seen: float
    floor: float
    unigram: float
    even: float
    agreement: float


def draw(seed: int, sentences: int = 100_000, words: int = 8) -> Dialect:
    """A dialect with so many words of each class, and sentences to learn from."""
    rng = np.random.default_rng([seed, 11])
    language = ToyLanguage(_fewer_words(rng, words))
    own = len(SPECIAL_TOKENS)
    order = rng.permutation(len(language.tokenizer) - own) + own
    numbers = torch.from_numpy(np.concatenate([np.arange(own), order]))
    held = Masker(language.tokenizer, seed=seed)(
        language.examples(language.sample(500, seed + 1, LENGTHS), start=1)
    )
    named = numbers.tolist()
    return Dialect(
        language,
        numbers,
        [[named[i] for i in s] for s in language.sample(sentences, seed + 2, LENGTHS)],
        held,
        language.floor(held),
        language.agreement_pairs(200, seed + 3, LONG, attractor=True),
    )


def _fewer_words(rng: np.random.Generator, words: int) -> dict[str, str]:
    """Some words of each class; forms of one word stay together."""
    places: dict[str, list[int]] = {}
    fewer = {}
    for name, members in WORDS.items():
        every, kind = members.split(), name if "name" in name else name.split(":")[0]
        if kind not in places:
            chosen = rng.permutation(len(every))[:words]
            places[kind] = sorted(chosen.tolist())
        fewer[name] = " ".join(every[i] for i in places[kind])
    return fewer


def measure(model: nn.Module, dialect: Dialect) -> Scores:
    """The scores of a model that has learned from the dialect's sentences.

    It is called with input_ids and attention_mask, (B, T), and returns something with
    `.logits`, (B, T, V). Nothing tells it which positions were chosen.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        scores = Scores(
            _loss(model, dialect.held, dialect.numbers),
            _loss(model, _seen(dialect), None),
            dialect.floor.loss,
            _unigram(dialect),
            math.log(dialect.vocab_size),
            _agreement(model, dialect),
        )
    model.train(was_training)
    return scores


def logits_of(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """(B, T, V)."""
    return model(input_ids=ids, attention_mask=mask).logits


def _seen(dialect: Dialect) -> Batch:
    """Sentences of the training, masked: what was learned by heart shows here."""
    rows = dialect.language.examples(dialect.sentences[:300], start=10_000)
    return Masker(dialect.language.tokenizer, seed=3)(rows)


def _loss(model: nn.Module, batch: Batch, numbers: Tensor | None) -> float:
    ids, labels = batch["input_ids"], batch["labels"]
    if numbers is not None:
        ids = numbers[ids]
        labels = torch.where(labels == IGNORE, labels, numbers[labels.clamp(min=0)])
    logits = logits_of(model, ids, batch["attention_mask"])
    at = labels != IGNORE
    return F.cross_entropy(logits[at].float(), labels[at]).item()


def _unigram(dialect: Dialect) -> float:
    seen = torch.tensor([i for words in dialect.sentences for i in words])
    counts = torch.bincount(seen, minlength=dialect.vocab_size).double() + 1
    labels = dialect.held["labels"]
    truth = dialect.numbers[labels[labels != IGNORE]]
    return -(counts / counts.sum()).log()[truth].mean().item()


def _agreement(model: nn.Module, dialect: Dialect) -> float:
    pairs, tokenizer = dialect.pairs, dialect.language.tokenizer
    rows = dialect.language.examples([pair.sentence for pair in pairs])
    T = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), T), tokenizer.vocab["[PAD]"])
    for line, row in zip(ids, rows, strict=True):
        line[: len(row.input_ids)] = torch.tensor(row.input_ids)
    at = torch.tensor([pair.verb + 1 for pair in pairs])
    n = torch.arange(len(pairs))
    right, wrong = ids[n, at], torch.tensor([pair.wrong for pair in pairs])
    mask = ids != tokenizer.vocab["[PAD]"]
    ids[n, at] = tokenizer.vocab["[MASK]"]
    found = logits_of(model, dialect.numbers[ids], mask)[n, at]  # (N, V)
    numbers = dialect.numbers
    better = found[n, numbers[right]] > found[n, numbers[wrong]]
    return better.double().mean().item()
