"""Scores of entities equal those of seqeval, to the digit, and pieces of words those
of the library tokenizers."""

import random
import warnings

import pytest
from seqeval import metrics
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities
from tokenizers import BertWordPieceTokenizer

from bertlib.alignment import cut_words
from bertlib.bio import spans_of
from bertlib.corpus import minilm_folder
from bertlib.entities import Scores, entity_scores
from bertlib.pretrained import load_tokenizer
from bertlib.tagfile import load_rows

TYPES = ["LOC", "ORG", "PER", "creative-work", "X"]
Rows = list[list[str]]


def random_tags(dice: random.Random, length: int, legal: float) -> list[str]:
    """A row of tags, of which a share is drawn without a look at the one before."""
    tags: list[str] = []
    for _ in range(length):
        before = tags[-1] if tags else "O"
        choices = ["O", *(f"{p}-{kind}" for kind in TYPES for p in "BI")]
        if dice.random() < legal:
            choices = ["O", f"B-{dice.choice(TYPES)}"]
            choices += [f"I-{before[2:]}"] * 2 if before != "O" else []
        tags.append(dice.choice(choices))
    return tags


def random_rows(seed: int, rows: int) -> tuple[Rows, Rows]:
    """True and found tags; the found ones are like the true ones more or less."""
    dice = random.Random(seed)
    true, found = [], []
    for _ in range(rows):
        legal, change = dice.choice([0.0, 0.5, 1.0]), dice.choice([0.0, 0.1, 0.5])
        a = random_tags(dice, dice.randint(1, 14), dice.choice([0.7, 1.0]))
        b = random_tags(dice, len(a), legal)
        true.append(a)
        pairs = zip(a, b, strict=True)
        found.append([y if dice.random() < change else x for x, y in pairs])
    return true, found


def test_the_entities_of_10000_random_rows_are_those_of_seqeval():
    true, found = random_rows(0, 5_000)
    illegal = 0
    for tags in true + found:
        ours = [(s.label, s.start, s.end - 1) for s in spans_of(tags)]
        assert ours == get_entities(tags)
        illegal += spans_of(tags) != spans_of(tags, strict=True)
    assert illegal > 1_000  # it is these that are read in different ways


def test_the_strict_entities_of_10000_random_rows_are_those_of_seqeval():
    true, found = random_rows(1, 5_000)
    theirs = Entities(true + found, IOB2).entities
    for tags, row in zip(true + found, theirs, strict=True):
        ours = [(s.label, s.start, s.end) for s in spans_of(tags, strict=True)]
        assert ours == [(e.tag, e.start, e.end) for e in row]


def report(true: Rows, found: Rows, strict: bool) -> dict:
    options = {"mode": "strict", "scheme": IOB2} if strict else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0/0, which counts as 0 there too
        return metrics.classification_report(
            true, found, output_dict=True, zero_division=0, **options
        )


def require_equal(ours: Scores, true: Rows, found: Rows, strict: bool) -> None:
    theirs = report(true, found, strict)
    rows = {**ours.types, "micro avg": ours.micro, "macro avg": ours.macro}
    assert {*rows, "weighted avg"} == {*theirs}
    for name, score in rows.items():
        want = theirs[name]
        assert score.precision == want["precision"], name
        assert score.recall == want["recall"], name
        assert score.f1 == want["f1-score"], name
        assert score.support == want["support"], name
    assert ours.accuracy == metrics.accuracy_score(true, found)


@pytest.mark.parametrize("strict", [False, True])
def test_the_scores_of_10000_random_rows_are_those_of_seqeval(strict):
    true, found = random_rows(2, 10_000)
    require_equal(entity_scores(true, found, strict), true, found, strict)


@pytest.mark.parametrize("strict", [False, True])
def test_the_scores_of_many_small_sets_are_those_of_seqeval(strict):
    """In a small set a type may be missing, or nothing be found."""
    for seed in range(300):
        true, found = random_rows(100 + seed, 1 + seed % 4)
        if any(spans_of(tags, strict) for tags in true + found):
            require_equal(entity_scores(true, found, strict), true, found, strict)


def test_the_f1_that_people_quote_is_the_micro_average():
    true, found = random_rows(3, 200)
    assert entity_scores(true, found).micro.f1 == metrics.f1_score(true, found)


def test_pieces_of_given_words_are_those_of_tokenizers():
    """But for a word of which nothing is left: there it has no piece, here [UNK]."""
    ours = load_tokenizer("minilm")
    theirs = BertWordPieceTokenizer(str(minilm_folder() / "vocab.txt"))
    rows = [row.words for row in load_rows("course", "train", ours)]
    rows += [
        ["U.N.", "\u200b", "cafe\u0301", "x" * 101, "日本", "@paul's", "\u0301", "a"]
    ]
    for words in rows:
        pieces = cut_words(ours, words)
        there = theirs.encode(words, is_pretokenized=True)
        kept = [n for n in there.word_ids if n is not None]
        empty = {n for n in range(len(words)) if n not in kept}
        assert empty == {n for n, word in enumerate(words) if not ours.ids(word)}
        own = [
            x for x in zip(pieces.ids, pieces.words, strict=True) if x[1] not in empty
        ]
        assert [i for i, _ in own] == there.ids[1:-1]
        assert [n for _, n in own] == kept
