"""The texts written for the course: spans, splits, balance, no two alike."""

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations

import jsonschema
import pytest

from bertlib.corpus import load_course

HERE = files("bertlib.corpus")
LINES = (HERE / "course.jsonl").read_text("utf-8").splitlines()
SPLITS = {split: load_course(split) for split in ("train", "dev", "test")}
DOCUMENTS = [document for split in SPLITS.values() for document in split]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.id)
each_split = pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)


def test_every_line_keeps_the_schema():
    schema = json.loads((HERE / "course.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for line in LINES:
        validator.validate(json.loads(line))


def test_it_is_as_large_as_promised_and_small_enough_to_ship():
    entities = sum(len(document.entities) for document in DOCUMENTS)
    questions = [q for document in DOCUMENTS for q in document.questions]
    assert sum(len(document.sentences) for document in DOCUMENTS) >= 600
    assert entities >= 900
    assert len(questions) >= 600
    assert sum(q.answer is None for q in questions) >= 100
    assert sum(len(line.encode()) for line in LINES) < 600_000


def test_ids_are_unique():
    ids = [document.id for document in DOCUMENTS]
    ids += [question.id for document in DOCUMENTS for question in document.questions]
    assert len(set(ids)) == len(ids)
    assert len(LINES) == len(DOCUMENTS)


@each_document
def test_sentences_are_the_text(document):
    at = 0
    for start, end in document.sentences:
        gap = document.text[at:start]
        assert gap == ("" if at == 0 else gap[:1]) and gap in ("", " ", "\n")
        sentence = document.text[start:end]
        assert sentence == sentence.strip() and "\n" not in sentence
        assert 3 <= len(sentence.split()) <= 45
        at = end
    assert at == len(document.text)


def cuts_a_word(text, start, end):
    """Whether a letter stands on both sides of one of the borders."""
    return any(
        0 < at < len(text) and text[at - 1 : at + 1].isalnum() for at in (start, end)
    )


@each_document
def test_entities_are_whole_words_of_one_sentence_in_reading_order(document):
    text, last = document.text, 0
    for start, end, _ in document.entities:
        assert last <= start < end, "one lies inside another"
        assert text[start:end] == text[start:end].strip()
        assert not cuts_a_word(text, start, end), text[start:end]
        assert any(s <= start and end <= e for s, e in document.sentences)
        assert not text[start:end].endswith(("'s", "’s", '"'))
        last = end


@each_document
def test_a_name_is_marked_wherever_it_stands(document):
    marked = {at for s, e, _ in document.entities for at in range(s, e)}
    for name in {document.text[s:e] for s, e, _ in document.entities}:
        for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", document.text):
            assert marked & set(range(*found.span())), f"{name} at {found.start()}"


@each_document
def test_answers_are_short_and_lie_in_one_sentence(document):
    for question in document.questions:
        if question.answer is None:
            continue
        start, end = question.answer
        answer = document.text[start:end]
        assert answer == answer.strip() and 1 <= len(answer.split()) <= 10
        assert not cuts_a_word(document.text, start, end), answer
        assert any(s <= start and end <= e for s, e in document.sentences)
        assert answer.lower() not in question.question.lower().split("?")[0].split(
            " or "
        ), question.question


def names(documents):
    return {
        document.text[start:end]
        for document in documents
        for start, end, label in document.entities
        if label != "LOC"
    }


@pytest.mark.parametrize(("one", "other"), combinations(SPLITS, 2))
def test_no_person_organisation_or_work_is_in_two_splits(one, other):
    assert not names(SPLITS[one]) & names(SPLITS[other])


@each_split
def test_every_label_has_its_share_in_every_split(split):
    counts = Counter(label for document in split for *_, label in document.entities)
    for label in ("PER", "LOC", "ORG", "WORK"):
        assert 0.1 <= counts[label] / counts.total() <= 0.5, (label, counts)


@each_split
def test_in_every_split_some_questions_have_no_answer(split):
    answers = [q.answer for document in split for q in document.questions]
    assert 0.15 <= answers.count(None) / len(answers) <= 0.25


def test_how_a_question_begins_does_not_give_its_answer_away():
    begins: dict[str, list[bool]] = {}
    for document in DOCUMENTS:
        for q in document.questions:
            first = " ".join(q.question.split()[:2]).lower()
            begins.setdefault(first, []).append(q.answer is None)
    for first, none in begins.items():
        if len(none) >= 10:
            assert sum(none) / len(none) <= 0.5, first


def shingles(text):
    """All runs of three words."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def alike(texts):
    """Pairs of texts that share half of their runs of three words."""
    by_shingle: dict[tuple, list[int]] = {}
    cut = [shingles(text) for text in texts]
    for number, each in enumerate(cut):
        for shingle in each:
            by_shingle.setdefault(shingle, []).append(number)
    pairs = {pair for found in by_shingle.values() for pair in combinations(found, 2)}
    return [
        (a, b) for a, b in pairs if 2 * len(cut[a] & cut[b]) >= len(cut[a] | cut[b])
    ]


def test_no_two_sentences_are_nearly_alike():
    texts = [d.text[start:end] for d in DOCUMENTS for start, end in d.sentences]
    assert [(texts[a], texts[b]) for a, b in alike(texts)] == []


def test_questions_that_are_nearly_alike_have_different_answers():
    """Such a pair, within a document, tells reading from matching words."""
    asked = [(d, q) for d in DOCUMENTS for q in d.questions]
    for a, b in alike([q.question for _, q in asked]):
        (first, one), (second, other) = asked[a], asked[b]
        assert first is second, (one.question, other.question)
        assert one.answer != other.answer, (one.question, other.question)


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="split is 'valid'; it may be"):
        load_course("valid")
