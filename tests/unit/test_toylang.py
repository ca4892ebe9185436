"""The toy language: its grammar, and its floor against brute force."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from bertlib.data import Batch, Masker
from bertlib.grammar import Grammar, read_grammar
from bertlib.toylang import ToyLanguage

# A language whose sentences can all be written out.
SMALL_WORDS = {
    "noun:it": "fox owl",
    "noun:they": "foxes owls",
    "rests:it": "sleeps",
    "rests:they": "sleep",
    "does:it": "does",
    "does:they": "do",
}
SMALL_GRAMMAR = """
Sentence = 2 the Noun:it | 1 the Noun:they
Noun:N   = 3 noun:N Verb:N | 1 noun:N near the noun Verb:N
Verb:N   = 2 rests:N . | 1 does:N not rests:they .
"""
MASK = 4


def small() -> ToyLanguage:
    return ToyLanguage(SMALL_WORDS, SMALL_GRAMMAR)


def all_sentences() -> dict[str, float]:
    """Every sentence of the small language and its probability, by loops alone."""
    found: dict[str, float] = {}
    for share, nouns, sleeps, does in [
        (2 / 3, ("fox", "owl"), "sleeps", "does"),
        (1 / 3, ("foxes", "owls"), "sleep", "do"),
    ]:
        for noun in nouns:
            near = {f" near the {n}": 1 / 16 for n in ("fox", "owl", "foxes", "owls")}
            for where, p in {"": 3 / 4, **near}.items():
                found[f"the {noun}{where} {sleeps}"] = share / 2 * p * 2 / 3
                found[f"the {noun}{where} {does} not sleep"] = share / 2 * p / 3
    return found


def batch_of(rows: list[list[list[int]]], labels: list[dict[int, int]]) -> Batch:
    """Rows of one or two sentences -> a batch, labels given by place in the row."""
    T = 2 + max(sum(len(s) + 1 for s in row) for row in rows)
    ids = torch.zeros(len(rows), T, dtype=torch.long)
    segments, real = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    targets = torch.full_like(ids, -100)
    for b, row in enumerate(rows):
        line = [2]
        for number, sentence in enumerate(row):
            start = len(line)
            line += [*sentence, 3]
            segments[b, start : len(line)] = number
        ids[b, : len(line)] = torch.tensor(line)
        real[b, : len(line)] = True
        for place, truth in labels[b].items():
            targets[b, place] = truth
    return {
        "input_ids": ids,
        "token_type_ids": segments,
        "attention_mask": real,
        "labels": targets,
    }


def by_brute_force(
    language: ToyLanguage, row: list[list[int]], n: int, at: int
) -> Tensor:
    """The posterior at place `at` of a masked row [CLS] ... [SEP], from all rows of
    sentences of these lengths and all choices of n of their words."""
    V = len(language.tokenizer)
    sentences = {s: language.tokenizer.ids(s) for s in all_sentences()}
    probabilities = all_sentences()
    choices = [
        [(s, ids) for s, ids in sentences.items() if len(ids) == len(seen)]
        for seen in row
    ]
    words = [word for seen in row for word in seen]
    places = [1 + b + i for b, i in _places(row)]
    target = places.index(at)
    weights = torch.zeros(V, dtype=torch.float64)
    for hidden in itertools.product(*choices):
        prior = math.prod(probabilities[s] for s, _ in hidden)
        truth = [word for _, ids in hidden for word in ids]
        for chosen in itertools.combinations(range(len(words)), n):
            if target not in chosen:
                continue
            p = prior
            for i, (seen, word) in enumerate(zip(words, truth, strict=True)):
                same = seen == word
                if i in chosen:
                    p *= 0.8 * (seen == MASK) + 0.1 / V + 0.1 * same
                else:
                    p *= same
            weights[truth[target]] += p
    return weights / weights.sum()


def _places(row: list[list[int]]) -> list[tuple[int, int]]:
    """For each word of a row: how many [SEP] and how many words stand before it."""
    lengths = [len(sentence) for sentence in row]
    numbers = [k for k, length in enumerate(lengths) for _ in range(length)]
    return list(zip(numbers, range(sum(lengths)), strict=True))


def corrupted(
    language: ToyLanguage, rng: np.random.Generator, sentences: int
) -> tuple[list[list[int]], dict[int, int]]:
    """A row masked with much more noise than BERT's, so that rare cases occur."""
    everything = list(all_sentences())
    row = [language.tokenizer.ids(rng.choice(everything)) for _ in range(sentences)]
    places = _places(row)
    n = int(rng.integers(1, 4 if sentences == 1 else 3))
    labels = {}
    for i in sorted(rng.choice(len(places), n, replace=False)):
        sentence = places[i][0]
        inside = i - sum(len(s) for s in row[:sentence])
        labels[1 + sum(places[i])] = row[sentence][inside]
        u = rng.random()
        if u < 0.8:  # half of these [MASK], the others any id, special ones too
            noise = MASK if u < 0.4 else int(rng.integers(len(language.tokenizer)))
            row[sentence][inside] = noise
    return row, labels


# ---------------------------------------------------------------------- the grammar


def test_the_small_language_has_the_sentences_that_were_written_out():
    language = small()
    want = all_sentences()
    assert math.isclose(sum(want.values()), 1.0)
    found = Counter(language.tokenizer.decode(s) for s in language.sample(60_000, 0))
    assert set(found) == set(want)
    for sentence, p in want.items():
        error = math.sqrt(p * (1 - p) / 60_000)
        assert abs(found[sentence] / 60_000 - p) < 5 * error, sentence


def test_probabilities_sum_to_one():
    language = ToyLanguage()
    np.testing.assert_allclose(language.transition.sum(axis=1), 1)
    sums = language.emission.sum(axis=1)
    assert sums[0] == 0  # the boundary is no word
    np.testing.assert_allclose(sums[1:], 1)


def test_a_few_hundred_words_each_one_token():
    language = ToyLanguage()
    tokens = language.tokenizer.tokens
    assert 200 <= len(tokens) - 5 <= 400
    for word in tokens[5:]:
        assert language.tokenizer.tokenize(word) == [word]


def test_forms_of_a_word_stand_at_the_same_place():
    language = ToyLanguage()
    for name in ("noun", "thing", "rests", "likes"):
        one, many = (language.members(f"{name}:{who}") for who in ("it", "they"))
        for a, b in zip(one, many, strict=True):
            assert a[0] == b[0] and a != b, (a, b)  # goose and geese


def test_a_class_without_its_feature_has_the_words_of_all_features():
    language = ToyLanguage()
    both = language.members("noun:it") + language.members("noun:they")
    assert sorted(language.members("noun")) == sorted(both)
    assert language.members("that") == ["that"]


def test_weights_become_probabilities():
    rules = read_grammar("A = 1 x B | 3 y z .\nB:N = 1 w")
    assert rules["A"] == [(0.25, ["x", "B"]), (0.75, ["y", "z"])]


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        ("A = 1 B x .\nB = 1 y .", "rule A: another rule must come last"),
        ("A = x y", "rule A: 'x' is no weight"),
        ("A = 1 x . |", "rule A: '' is no weight"),
        ("A = 1 x .\nA = 1 y .", "A is there twice"),
    ],
)
def test_a_grammar_that_cannot_be_read_is_refused(grammar: str, says: str):
    with pytest.raises(ValueError, match=says):
        Grammar({}, grammar)


# ------------------------------------------------------------------------- sentences


def words_of(language: ToyLanguage, sentence: list[int]) -> list[str]:
    return language.tokenizer.decode(sentence).split()


def test_sentences_depend_on_the_seed_alone():
    language = ToyLanguage()
    assert language.sample(50, 3) == ToyLanguage().sample(50, 3)
    assert language.sample(50, 3) == language.sample(5000, 3)[:50]
    assert language.sample(50, 3) != language.sample(50, 4)


def test_only_the_lengths_asked_for():
    sentences = ToyLanguage().sample(500, 0, lengths={4, 9})
    assert len(sentences) == 500
    assert {len(s) for s in sentences} == {4, 9}


def test_lengths_that_no_sentence_has():
    with pytest.raises(ValueError, match=r"lengths is \[1\]; no sentence has so many"):
        ToyLanguage().sample(1, 0, [1])
    with pytest.raises(ValueError, match="attractor True; no such sentence"):
        ToyLanguage().agreement_pairs(1, 0, range(2, 4), attractor=True)


def test_pronouns_agree_with_the_subject():
    language = ToyLanguage()
    he, she = (set(language.members(f"name:{who}")) for who in ("he", "she"))
    seen = Counter()
    for sentence in language.sample(5000, 0):
        words = words_of(language, sentence)
        pronoun = [w for w in words if w in ("he", "she", "it", "they")]
        if words[0] in he | she and pronoun:
            assert pronoun == ["he" if words[0] in he else "she"]
            seen[pronoun[0]] += 1
    assert min(seen["he"], seen["she"]) > 100


def test_yet_and_either_only_after_not():
    language = ToyLanguage()
    seen = Counter()
    for sentence in language.sample(5000, 0):
        words = words_of(language, sentence)
        for i, word in enumerate(words):
            if word in ("yet", "either", "already", "too"):
                clause = words[:i]
                for link in language.members("because"):
                    if link in clause:
                        clause = clause[clause.index(link) :]
                assert ("not" in clause) == (word in ("yet", "either")), words
                seen[word] += 1
    assert len(seen) == 4


def test_rows_of_one_and_of_two_sentences():
    language = ToyLanguage()
    a, b, c = language.sample(3, 0)
    one = language.examples([a, b], start=7)
    assert [e.input_ids for e in one] == [[2, *a, 3], [2, *b, 3]]
    assert [e.number for e in one] == [7, 8]
    two = language.examples([a, b, c], per_row=2)
    assert [e.input_ids for e in two] == [[2, *a, 3, *b, 3], [2, *c, 3]]
    assert [e.first for e in two] == [len(a) + 2, len(c) + 2]


@pytest.mark.parametrize("attractor", [False, True])
def test_agreement_pairs_differ_in_the_number_of_the_main_verb(attractor: bool):
    language = ToyLanguage()
    plural = set(language.members("noun:they") + language.members("thing:they"))
    pairs = language.agreement_pairs(200, 0, range(6, 12), attractor)
    assert len(pairs) == 200
    for pair in pairs:
        words = words_of(language, pair.sentence)
        assert 6 <= len(words) < 12
        right, wrong = words[pair.verb], language.tokenizer.tokens[pair.wrong]
        many = words[pair.subject] in plural
        assert (right.endswith("s"), wrong.endswith("s")) == (not many, many)
        assert right[:2] == wrong[:2]
        assert not {"he", "she", "it", "they"} & set(words)
        between = words[pair.subject + 1 : pair.verb]
        singular = {"it": False, "they": True}
        numbers = {
            singular[who]
            for word in between
            for who in singular
            for name in ("noun", "thing")
            if word in language.members(f"{name}:{who}")
        } | {False for word in between if word in language.members("name")}
        assert ((not many) in numbers) == attractor


# ------------------------------------------------------------------------- the floor


@pytest.mark.parametrize("sentences", [1, 2])
def test_the_posterior_is_that_of_brute_force(sentences: int):
    language, rng = small(), np.random.default_rng(sentences)
    rows, labels = zip(
        *[corrupted(language, rng, sentences) for _ in range(40 // sentences**2)],
        strict=True,
    )
    found = language.log_posterior(batch_of(list(rows), list(labels))).exp()
    want = [
        by_brute_force(language, row, len(label), at)
        for row, label in zip(rows, labels, strict=True)
        for at in label
    ]
    torch.testing.assert_close(found, torch.stack(want), rtol=0, atol=1e-10)


def test_a_masked_noun_worked_out_by_hand():
    """ "the [MASK] near the owls sleep": foxes or owls, and equally often."""
    language = small()
    vocab = language.tokenizer.vocab
    ids = language.tokenizer.ids("the foxes near the owls sleep")
    masked = [ids[0], MASK, *ids[2:]]
    p = language.log_posterior(batch_of([[masked]], [{2: ids[1]}])).exp()[0]
    assert math.isclose(p[vocab["foxes"]], 0.5)
    assert math.isclose(p[vocab["owls"]], 0.5)
    assert math.isclose(p.sum(), 1.0)


def test_a_word_that_may_have_been_kept():
    """The one chosen position shows "fox": kept, or a random word?"""
    language = small()
    ids, V = language.tokenizer.ids("the fox sleeps"), len(language.tokenizer)
    batch = batch_of([[ids]], [{2: ids[1]}])
    p = language.log_posterior(batch).exp()[0]
    kept, random = 0.1 + 0.1 / V, 0.1 / V  # of "fox" seen, given fox and given owl
    assert math.isclose(p[ids[1]], kept / (kept + random))
    assert math.isclose(p[language.tokenizer.vocab["owl"]], random / (kept + random))


def test_padding_changes_nothing():
    language = ToyLanguage()
    long, short = language.sample(1, 0, [14])[0], language.sample(1, 0, [5])[0]
    labels = {3: short[2]}
    short = [*short[:2], MASK, *short[3:]]
    alone = language.log_posterior(batch_of([[short]], [labels]))
    beside = language.log_posterior(batch_of([[short], [long]], [labels, {1: long[0]}]))
    torch.testing.assert_close(alone[0], beside[0])


def test_rows_in_any_number_give_what_they_give_alone():
    language = ToyLanguage()
    examples = language.examples(language.sample(600, 0, range(2, 9)))
    batch = Masker(language.tokenizer)(examples)
    together = language.log_posterior(batch)
    half = {name: tensor[300:] for name, tensor in batch.items()}
    apart = language.log_posterior(half)
    torch.testing.assert_close(together[-len(apart) :], apart)


def test_the_ideal_reader_is_as_sure_as_it_is_right():
    """Its entropy, which knows no answers, is its mean loss: the masking it assumes is
    the masking that happens."""
    language = ToyLanguage()
    examples = language.examples(language.sample(1500, 0, range(2, 13)), per_row=2)
    batch = Masker(language.tokenizer)(examples)
    log_p = language.log_posterior(batch)
    truth = batch["labels"][batch["labels"] != -100]
    losses = -log_p.gather(1, truth[:, None])[:, 0]
    entropy = torch.special.entr(log_p.exp()).sum(dim=1)
    surprise = losses - entropy
    assert abs(surprise.mean()) < 4 * surprise.std() / math.sqrt(len(surprise))
    floor = language.floor(batch)
    assert math.isclose(floor.loss, losses.mean())
    right = (log_p.argmax(dim=1) == truth).double()
    assert abs(right.mean() - floor.accuracy) < 4 * right.std() / math.sqrt(len(right))


def test_a_row_of_another_language_is_refused():
    language = small()
    ids = language.tokenizer.ids("sleeps the the")
    fine = language.tokenizer.ids("the fox sleeps")
    with pytest.raises(ValueError, match=r"row 1 .*sleeps the the"):
        language.log_posterior(batch_of([[fine], [ids]], [{1: fine[0]}, {3: ids[2]}]))


def test_a_batch_without_a_chosen_position_is_refused():
    language = small()
    with pytest.raises(ValueError, match="labels"):
        language.floor(batch_of([[language.tokenizer.ids("the fox sleeps")]], [{}]))
