import json
import os
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from bertlib import finetune
from bertlib.alignment import cut_words, word_places
from bertlib.bio import (
    Span,
    follows,
    illegal,
    read_back,
    spans_of,
    split_tag,
    tag_names,
    tag_words,
    tags_of,
    transitions,
    viterbi,
)
from bertlib.config import BertConfig
from bertlib.corpus import load_course
from bertlib.entities import entity_scores, mistakes, table
from bertlib.heads import BertForTokenClassification
from bertlib.losses import IGNORE
from bertlib.model import BertModel
from bertlib.ner import main
from bertlib.normalizer import fold
from bertlib.pretrained import load_labels, save_pretrained
from bertlib.tagfile import Row, lines_of, load_rows, read_conll, read_jsonl
from bertlib.tagging import (
    Feature,
    Tagger,
    collate_words,
    make_features,
    windows,
)
from bertlib.textfile import Refused
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS

ROOT = Path(__file__).resolve().parents[2]

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,'-@ß\u1100\u1161"
TOKENS = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS if c.isalnum())]
TOKENS += ["the", "##ing", "clock", "lund", "##en", "中", "é"]
TOKENIZERS = {
    True: WordPieceTokenizer(TOKENS),
    False: WordPieceTokenizer(TOKENS, lowercase=False),
}
ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
# Letters, accents, control characters and spaces that make trouble, close together.
HARD_TEXT = st.text(
    st.sampled_from(
        "aBé\u0301\u0300\u0000\u200b\u200d\ufffd\u00a0 \t\n中İß각'-.🙂\ufe0f"
    ),
    max_size=30,
)
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=6)
lowercase = st.sampled_from([True, False])


# --- pieces and their characters -----------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, HARD_TEXT), SPANS, lowercase)
def test_pieces_map_back_to_the_characters_of_their_word(text, spans, lower):
    """For any text, and any stretches of it taken as words."""
    tokenizer = TOKENIZERS[lower]
    words = [text[start : start + length] for start, length in spans]
    pieces = cut_words(tokenizer, words)
    assert len(pieces.ids) == len(pieces.words) == len(pieces.places)
    assert [*dict.fromkeys(pieces.words)] == [*range(len(words))]  # each has a piece
    for number, word in enumerate(words):
        own = [i for i, n in enumerate(pieces.words) if n == number]
        assert [pieces.ids[i] for i in own] == (tokenizer.ids(word) or [tokenizer.unk])
        covered: set[int] = set()
        for i in own:
            start, end = pieces.places[i]
            assert 0 <= start <= end <= len(word)
            covered.update(range(start, end))
            token = tokenizer.tokens[pieces.ids[i]]
            if token != "[UNK]":
                folded = "".join(fold(c, lower) for c in word[start:end]).strip()
                assert token.removeprefix("##") in folded
        for at, char in enumerate(word):  # what no piece stands for, is dropped
            assert at in covered or not fold(char, lower).strip()


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, HARD_TEXT), lowercase)
def test_the_words_of_a_text_are_those_of_the_tokenizer(text, lower):
    tokenizer = TOKENIZERS[lower]
    places = word_places(tokenizer, text)
    words = [text[a:b] for a, b in places]
    folded = ["".join(fold(c, lower) for c in word).strip() for word in words]
    assert folded == tokenizer.words(text)
    assert cut_words(tokenizer, words).ids == tokenizer.ids(text)
    ends = [0, *(b for _, b in places)]
    assert all(end <= a < b for end, (a, b) in zip(ends, places, strict=False))


def test_a_word_of_which_nothing_is_left_has_one_piece():
    pieces = cut_words(TOKENIZERS[True], ["the", "\u200b", "\u0301", "", "clocks"])
    unk = TOKENIZERS[True].unk
    assert pieces.words == [0, 1, 2, 3, 4, 4]
    assert pieces.ids[1:4] == [unk] * 3
    assert pieces.places[1:4] == [(0, 1), (0, 1), (0, 0)]
    assert pieces.first() == [0, 1, 2, 3, 4]


def test_a_word_of_more_than_100_characters_is_one_piece_for_all_of_it():
    long = "a" * 101
    pieces = cut_words(TOKENIZERS[True], [long, long[:-1]])
    assert pieces.ids[0] == TOKENIZERS[True].unk
    assert pieces.places[0] == (0, 101)
    assert pieces.words == [0] + [1] * 100


def test_an_accent_of_its_own_stays_with_its_word():
    text = "cafe\u0301 clock"
    assert word_places(TOKENIZERS[True], text) == [(0, 5), (6, 11)]


# --- entities in characters, words and tags ------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.one_of(ANY_TEXT, HARD_TEXT), st.data())
def test_entities_of_whole_words_come_back_character_by_character(text, data):
    places = word_places(TOKENIZERS[True], text)
    cuts = data.draw(st.sets(st.integers(0, len(places)), max_size=8))
    ends = sorted(cuts)
    entities = [
        Span(places[a][0], places[b - 1][1], "PER" if i % 3 else "A-B")
        for i, (a, b) in enumerate(pairwise(ends))
        if i % 2
    ]
    assert read_back(places, tag_words(places, entities)) == entities


def test_neighbours_of_one_type_stay_two():
    spans = [Span(0, 1, "LOC"), Span(1, 3, "LOC")]
    assert tags_of(spans, 4) == ["B-LOC", "B-LOC", "I-LOC", "O"]
    assert spans_of(tags_of(spans, 4)) == spans


def test_a_word_belongs_to_an_entity_that_covers_a_part_of_it():
    words = [(0, 3), (4, 9), (9, 10)]
    assert tag_words(words, [Span(5, 9, "ORG")]) == ["O", "B-ORG", "O"]


@pytest.mark.parametrize(
    ("entities", "says"),
    [
        ([Span(3, 4, "X")], "covers no word"),
        ([Span(0, 5, "X"), Span(5, 9, "Y")], "overlaps another"),
    ],
)
def test_entities_that_cannot_be_tagged_are_named(entities, says):
    with pytest.raises(ValueError, match=says):
        tag_words([(0, 3), (4, 9)], entities)


@pytest.mark.parametrize("span", [Span(0, 0, "X"), Span(1, 4, "X"), Span(-1, 1, "X")])
def test_a_span_outside_of_the_row_is_refused(span):
    with pytest.raises(ValueError, match="must hold a word"):
        tags_of([span], 3)


@pytest.mark.parametrize("tag", ["", "B", "B-", "I", "X-PER", "PER", "O-PER", "b-PER"])
def test_what_is_no_tag_is_refused(tag):
    with pytest.raises(ValueError, match="it may be O, B-TYPE or I-TYPE"):
        split_tag(tag)


def test_the_type_may_hold_a_hyphen():
    assert spans_of(["B-creative-work", "I-creative-work"]) == [
        Span(0, 2, "creative-work")
    ]


@pytest.mark.parametrize(
    ("tags", "lenient", "strict"),
    [
        ("I-X", [(0, 1, "X")], []),
        ("O I-X I-X", [(1, 3, "X")], []),
        ("B-X I-Y I-Y", [(0, 1, "X"), (1, 3, "Y")], [(0, 1, "X")]),
        ("I-X B-X", [(0, 1, "X"), (1, 2, "X")], [(1, 2, "X")]),
        ("B-X I-Y I-X", [(0, 1, "X"), (1, 2, "Y"), (2, 3, "X")], [(0, 1, "X")]),
    ],
)
def test_an_illegal_tag_begins_an_entity_or_belongs_to_none(tags, lenient, strict):
    assert spans_of(tags.split()) == lenient
    assert spans_of(tags.split(), strict=True) == strict


def test_before_the_first_word_stands_o():
    assert illegal(["I-X", "I-X", "B-X", "I-Y", "O", "I-Y"]) == [0, 3, 5]
    assert not follows("O", "I-X")
    assert follows("B-X", "I-X")
    assert follows("I-X", "B-Y")


# --- the best legal path -------------------------------------------------------------

NAMES = tag_names(["LOC", "PER"])


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_no_legal_path_has_a_larger_sum(length, seed):
    scores = torch.randn(length, 5, generator=torch.Generator().manual_seed(seed))
    first, allowed = transitions(NAMES)
    found = viterbi(scores, first, allowed)
    paths = torch.cartesian_prod(*[torch.arange(5)] * length).view(-1, length)
    sums = scores.double()[torch.arange(length), paths].sum(1)
    legal = torch.tensor([not illegal([NAMES[i] for i in path]) for path in paths])
    best = paths[sums.masked_fill(~legal, -torch.inf).argmax()]
    assert found == best.tolist()


def test_a_row_whose_best_tags_are_legal_stays_as_it_is():
    scores = torch.full((3, 5), -5.0)
    scores[0, 1] = scores[1, 2] = scores[2, 0] = 5.0
    assert viterbi(scores, *transitions(NAMES)) == [1, 2, 0]


def test_a_row_without_words_has_no_tags():
    assert viterbi(torch.empty(0, 5), *transitions(NAMES)) == []


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (torch.zeros(2, 4), "they must be"),
        (torch.zeros(5), "they must be"),
        (torch.full((2, 5), torch.nan), "NaN"),
    ],
)
def test_scores_that_cannot_be_decoded_are_refused(scores, says):
    with pytest.raises(ValueError, match=says):
        viterbi(scores, *transitions(NAMES))


def test_tags_that_cannot_begin_a_row_are_refused():
    with pytest.raises(ValueError, match="none of these tags may begin a row"):
        transitions(["I-X"])


# --- what the model reads ------------------------------------------------------------


@given(st.integers(0, 400), st.integers(1, 60))
def test_every_piece_is_read_once_and_inside_of_its_window(length, room):
    found = windows(length, room)
    assert [at for _, read in found for at in read] == [*range(length)]
    for window, read in found:
        assert len(window) <= room
        assert not read or (window[0] <= read[0] and read[-1] <= window[-1])


def test_where_windows_overlap_a_word_is_read_with_context():
    for window, read in windows(1000, 100)[1:-1]:
        assert read[0] - window[0] >= 12
        assert window[-1] - read[-1] >= 12


@settings(max_examples=100, deadline=None)
@given(st.lists(HARD_TEXT, max_size=30), st.integers(3, 20))
def test_every_word_of_a_long_row_gets_one_label(words, max_length):
    labels = [*range(len(words))]
    found = make_features(TOKENIZERS[True], 0, words, max_length, labels)
    assert [label for feature in found for label in feature.labels] == labels
    firsts = [cut_words(TOKENIZERS[True], [word]).ids[0] for word in words]
    read = [f.input_ids[at] for f in found for at in f.at]
    assert read == firsts
    assert all(len(f.input_ids) <= max_length for f in found)


def test_labels_stand_at_first_pieces_only():
    tokenizer = TOKENIZERS[True]
    made = make_features(tokenizer, 0, ["the", "clocks", "\u200b"], 16, [3, 4, 5])
    made += make_features(tokenizer, 1, ["the"], 16, [1])
    batch = collate_words(made)
    assert batch["labels"].tolist() == [
        [IGNORE, 3, 4, IGNORE, 5, IGNORE],
        [IGNORE, 1, IGNORE, IGNORE, IGNORE, IGNORE],
    ]
    assert batch["input_ids"][0, 4] == tokenizer.unk
    assert batch["attention_mask"].sum(1).tolist() == [6, 3]


def test_features_without_labels_make_a_batch_without():
    assert "labels" not in collate_words([Feature([2, 9, 3], 0, [1], [])])


def test_as_many_labels_as_words_are_needed():
    with pytest.raises(ValueError, match="2 of them for 1 words"):
        make_features(TOKENIZERS[True], 0, ["the"], 16, [1, 2])


# --- scores and mistakes -------------------------------------------------------------


def test_scores_worked_out_by_hand():
    true = "B-PER I-PER O O B-ORG I-ORG I-ORG I-ORG O B-LOC O O O"
    found = "B-PER I-PER O O B-LOC B-ORG I-ORG I-ORG O B-LOC O O O"
    scores = entity_scores([true.split()], [found.split()])
    assert scores.micro == (1 / 2, 2 / 3, pytest.approx(4 / 7), 3)
    assert scores.types["LOC"] == (1 / 2, 1, pytest.approx(2 / 3), 1)
    assert scores.types["ORG"] == (0, 0, 0, 1)
    assert scores.macro.precision == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert scores.accuracy == 11 / 13
    assert "all (micro)          0.500   0.667   0.571         3" in table(scores)


def test_nothing_there_and_nothing_found_scores_0():
    scores = entity_scores([["O", "O"]], [["O", "O"]])
    assert scores.micro == scores.macro == (0, 0, 0, 0)
    assert scores.types == {}
    assert scores.accuracy == 1
    assert entity_scores([], []).accuracy == 0


def test_rows_and_tags_that_are_missing_are_named():
    with pytest.raises(ValueError, match="found has 1 rows; it must have 2"):
        entity_scores([["O"], ["O"]], [["O"]])
    with pytest.raises(ValueError, match="row 1: found has 2 tags for 1 words"):
        entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])


def test_mistakes_are_sorted_by_what_went_wrong():
    true = [Span(0, 2, "A"), Span(3, 5, "A"), Span(6, 8, "A"), Span(9, 10, "A")]
    true += [Span(14, 15, "B")]
    found = [Span(0, 2, "B"), Span(3, 6, "A"), Span(7, 8, "B"), Span(12, 13, "A")]
    found += [Span(14, 15, "B")]
    kinds = [(m.kind, m.true, m.found) for m in mistakes(true, found)]
    assert kinds == [
        ("type", true[0], found[0]),
        ("boundary", true[1], found[1]),
        ("both", true[2], found[2]),
        ("missed", true[3], None),
        ("invented", None, found[3]),
    ]


def test_mistakes_of_entities_that_can_be_read_once():
    a, b = Span(0, 2, "A"), Span(3, 5, "A")
    [made] = mistakes((s for s in [a, b]), (s for s in [b]))
    assert (made.kind, made.true) == ("missed", a)
    [made] = mistakes((s for s in [b]), (s for s in [a, b]))
    assert (made.kind, made.found) == ("invented", a)


def test_an_entity_cut_in_two_is_one_boundary_mistake_and_one_invented():
    made = mistakes([Span(0, 4, "A")], [Span(0, 1, "A"), Span(1, 4, "A")])
    assert sorted((m.kind, m.found) for m in made) == [
        ("boundary", Span(1, 4, "A")),
        ("invented", Span(0, 1, "A")),
    ]


# --- files ---------------------------------------------------------------------------


def conll(text: str) -> list[Row]:
    return read_conll(lines_of("my.conll", text.encode()))


def jsonl(*rows: object) -> list[Row]:
    lines = "\n".join(x if isinstance(x, str) else json.dumps(x) for x in rows)
    return read_jsonl(lines_of("my.jsonl", lines.encode()), TOKENIZERS[True])


def test_a_conll_file_with_tabs_columns_documents_and_no_last_newline():
    found = conll(
        "-DOCSTART- -X- O O\n\nMarta NNP B-NP B-PER\nVenn NNP I-NP I-PER\n\n\n"
        "-DOCSTART- -X- O O\n\nBrenn\tB-LOC\n \t \nin the\tO\r\nend\tO"
    )
    assert found == [
        Row(["Marta", "Venn"], ["B-PER", "I-PER"], "document 1"),
        Row(["Brenn"], ["B-LOC"], "document 2"),
        Row(["in the", "end"], ["O", "O"], "document 2"),
    ]


def test_rows_without_documents_are_groups_of_their_own():
    assert [row.group for row in conll("a O\n\nb O\n")] == ["my.conll:1", "my.conll:3"]


def test_spaces_at_the_end_of_a_line_are_no_column():
    assert conll("a O \nb B-X  \n") == [Row(["a", "b"], ["O", "B-X"], "my.conll:1")]
    [row] = conll("a\tB-X \n")
    assert row.tags == ["B-X"]


def test_spaces_of_other_scripts_and_line_separators_are_parts_of_words():
    [row] = conll("a\u00a0b O\nc\u2028d O\n\u3000 O\n")
    assert row.words == ["a\u00a0b", "c\u2028d", "\u3000"]


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("I-A I-A B-A O I-B", "B-A I-A B-A O B-B"),  # IOB1
        ("B-A I-A E-A S-A O", "B-A I-A I-A B-A O"),  # BIOES
        ("B-A L-A U-B U-B", "B-A I-A B-B B-B"),  # BILOU
    ],
)
def test_other_schemes_are_read_as_bio(tags, bio):
    [row] = conll("".join(f"w {tag}\n" for tag in tags.split()))
    assert row.tags == bio.split()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a O\nb\n", "my.conll:2: 'b' is no word and tag"),
        ("a O\n\nb PER\n", "my.conll:3: tag is 'PER'; it may be O, B-TYPE or I-TYPE"),
        ("a O\nb\t\n", "my.conll:2: tag is ''"),
        ("a O\n\tO\n", "my.conll:2: '\\\\tO' is no word and tag"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text, says):
    with pytest.raises(Refused, match=says):
        conll(text)


def test_a_file_of_another_encoding_is_named_with_its_line():
    lines = lines_of("my.conll", b"a O\nMalm\xf6 B-LOC\n")
    with pytest.raises(Refused, match=r"my.conll:2 is not UTF-8 text: byte 5"):
        read_conll(lines)


def test_both_forms_of_json_say_the_same():
    words, tags = ["Lund", "Museum", "."], ["B-ORG", "I-ORG", "O"]
    entity = {"text": "Lund Museum", "start": 0, "end": 11, "label": "ORG"}
    found = jsonl(
        {"tokens": words, "tags": tags, "document": 7},
        "",
        {"text": "Lund Museum.", "entities": [entity]},
    )
    assert found == [Row(words, tags, "7"), Row(words, tags, "my.jsonl:3")]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "no JSON"),
        ([1], "no object with tokens and tags"),
        ({"words": []}, "no object with tokens and tags"),
        ({"tokens": ["a"], "tags": ["O", "O"]}, "1 tokens and 2 tags"),
        ({"tokens": [], "tags": []}, "0 tokens and 0 tags"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "tokens is \\['a', ''\\]"),
        ({"tokens": ["a"], "tags": "O"}, "tags is 'O'; it must be a list of strings"),
        ({"tokens": ["a"], "tags": ["N"]}, "tag is 'N'"),
        ({"text": "a"}, "entities a list"),
        ({"text": " ", "entities": []}, "there is no word in it"),
        ({"text": "a", "entities": [{"start": 0, "end": 2, "label": "X"}]}, "0 to 1"),
        ({"text": "a", "entities": [{"start": 0, "end": 1, "label": ""}]}, "and label"),
        ({"text": "a", "entities": [{"start": 0, "end": 1}]}, "and label"),
        (
            {"text": "a b", "entities": [{"start": 1, "end": 2, "label": "X"}]},
            "no word",
        ),
    ],
)
def test_a_json_line_that_cannot_be_read_is_named(row, says):
    with pytest.raises(Refused, match=f"my.jsonl:2: .*{says}"):
        jsonl({"tokens": ["a"], "tags": ["O"]}, row)


@pytest.mark.parametrize(
    ("data", "split", "rows", "entities"),
    [
        ("wnut17", "train", 3394, 1975),
        ("wnut17", "dev", 1009, 836),
        ("wnut17", "test", 1287, 1079),
        ("conll2000", "train", 8936, 106978),
        ("conll2000", "test", 2012, 23852),
    ],
)
@pytest.mark.usefixtures("public_data")
def test_the_public_sets_have_as_many_rows_and_entities_as_published(
    data, split, rows, entities
):
    found = load_rows(data, split, TOKENIZERS[True])
    assert len(found) == rows
    assert sum(len(spans_of(row.tags)) for row in found) == entities


def test_the_course_corpus_keeps_its_entities():
    for split in ("train", "dev", "test"):
        rows = load_rows("course", split, TOKENIZERS[True])
        documents = load_course(split)
        assert len(rows) == sum(len(d.sentences) for d in documents)
        entities = sum(len(d.entities) for d in documents)
        assert sum(len(spans_of(row.tags)) for row in rows) == entities
        assert {row.group for row in rows} == {d.id for d in documents}


def test_a_set_without_dev_rows_says_so_by_none():
    assert load_rows("conll2000", "dev", TOKENIZERS[True]) == []


def test_the_ending_of_a_json_file_may_be_in_capitals(tmp_path):
    path = tmp_path / "N.JSONL"
    path.write_text('{"tokens": ["a"], "tags": ["O"]}\n')
    [row] = load_rows(str(path), "train", TOKENIZERS[True])
    assert row.words == ["a"]


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(Refused, match="there is no such file; the sets are wnut17"):
        load_rows(str(tmp_path / "x.conll"), "train", TOKENIZERS[True])
    (tmp_path / "x.conll").write_text("\n\n")
    with pytest.raises(Refused, match="holds no row"):
        load_rows(str(tmp_path / "x.conll"), "train", TOKENIZERS[True])


# --- the tagger and the command ------------------------------------------------------

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
SMALL = BertConfig(vocab_size=len(TOKENS), **SIZES)


def small_tagger(**options) -> Tagger:
    torch.manual_seed(0)
    names = tag_names(["LOC", "PER"])
    model = BertForTokenClassification(SMALL, len(names))
    return Tagger(model, TOKENIZERS[True], names, max_length=16, **options)


def test_every_word_gets_a_tag_however_long_the_row_is():
    tagger = small_tagger()
    rows = [["the"] * 200, [], ["\u200b", "a" * 101, ""], ["clock" * 30] * 3]
    assert [len(row) for row in tagger.tags(rows)] == [len(row) for row in rows]


def test_constrained_tags_are_legal_and_free_ones_are_not():
    rows = [["the", "clocks", "lund", "a", "b", "c"] * 3, ["lunden"]]
    free, legal = small_tagger(constrained=False), small_tagger()
    assert sum(len(illegal(tags)) for tags in free.tags(rows)) > 0
    assert sum(len(illegal(tags)) for tags in legal.tags(rows)) == 0


def test_a_row_is_tagged_alike_alone_and_among_others():
    tagger = small_tagger()
    rows = [["the", "clocks"], ["lund"] * 9, ["a", "the"]]
    together = tagger.scores(rows)
    for row, scores in zip(rows, together, strict=True):
        torch.testing.assert_close(tagger.scores([row])[0], scores)


def test_the_score_of_a_word_is_read_at_its_first_piece():
    tagger = small_tagger()
    ids = [tagger.tokenizer.cls, *tagger.tokenizer.ids("lunden clocks")]
    logits = tagger.model.eval()(torch.tensor([[*ids, tagger.tokenizer.sep]])).logits
    [scores] = tagger.scores([["lunden", "clocks"]])
    torch.testing.assert_close(scores, logits[0, [1, 3]].detach())


def test_entities_are_characters_of_the_text():
    tagger = small_tagger()
    text = "The  Lundén clocks, a\u0301 b."
    [spans] = tagger.entities([text])
    assert spans
    places = word_places(tagger.tokenizer, text)
    starts, ends = {a for a, _ in places}, {b for _, b in places}
    assert all(span.start in starts and span.end in ends for span in spans)


@pytest.mark.parametrize("max_length", [2, 33])
def test_a_length_that_the_model_cannot_read_is_refused(max_length):
    with pytest.raises(ValueError, match="it may be 3 to 32"):
        replace(small_tagger(), max_length=max_length)


def test_names_that_are_no_tags_are_refused():
    with pytest.raises(ValueError, match="tag is 'LABEL_0'"):
        replace(small_tagger(), names=["LABEL_0"])


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A small model to begin with."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("start") / "model"
    return save_pretrained(BertModel(SMALL), TOKENIZERS[True], folder)


def my_file(folder, rows=24):
    """Names are the words after "the": a rule that a small model learns."""
    path = folder / "mine.conll"
    row = "a O\nthe O\nlund B-LOC\nclock I-LOC\nb O\n\nb O\nthe O\nc B-PER\n\n"
    path.write_text(row * (rows // 2))
    return path


def train_arguments(start, folder, **more):
    options = {
        "--data": my_file(folder),
        "--dev": my_file(folder),
        "--init": start,
        "--out": folder / "out",
        "--epochs": 3,
        "--batch-size": 4,
        "--learning-rate": 1e-2,
        "--max-length": 16,
        "--precision": "float32",
        "--threads": 1,
    }
    options |= {f"--{key.replace('_', '-')}": value for key, value in more.items()}
    return ["train", *(str(x) for pair in options.items() for x in pair)]


def test_train_evaluate_and_predict(start, tmp_path, capsys, monkeypatch):
    assert main(train_arguments(start, tmp_path, epochs=12)) == 0
    out = tmp_path / "out"
    assert load_labels(out / "best") == tag_names(["LOC", "PER"])
    best = json.loads((out / "metrics.json").read_text())["best"]
    assert best["score"] == best["f1"] > 0.9
    capsys.readouterr()

    asked = ["--init", str(out), "--max-length", "16"]
    data = ["--data", str(tmp_path / "mine.conll")]
    assert main(["evaluate", *asked, *data, "--out", str(tmp_path / "e")]) == 0
    assert "all (micro)" in capsys.readouterr().out
    found = json.loads((tmp_path / "e/evaluation.json").read_text())
    assert found["f1"] == pytest.approx(best["f1"])
    assert found["types"].keys() == {"LOC", "PER"}

    monkeypatch.setattr(sys, "stdin", StringIO("a the Lund  clock b\r\n\nb the c"))
    assert main(["predict", *asked]) == 0
    lines = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["a the Lund  clock b", "", "b the c"]
    assert lines[0]["entities"] == [
        {"text": "Lund  clock", "label": "LOC", "start": 6, "end": 17}
    ]
    assert lines[1]["entities"] == []

    assert main(["predict", *asked, "--text", "b the c"]) == 0
    assert json.loads(capsys.readouterr().out) == lines[2]


def test_what_predict_writes_can_be_trained_on(start, tmp_path, capsys):
    mine = tmp_path / "mine.jsonl"
    entity = {"text": "lund", "label": "LOC", "start": 4, "end": 8}
    line = json.dumps({"text": "the lund", "entities": [entity]}) + "\n"
    mine.write_text(line * 20)
    arguments = train_arguments(start, tmp_path, data=mine, epochs=1)
    del arguments[arguments.index("--dev") : arguments.index("--dev") + 2]
    assert main(arguments) == 0
    assert "18 sentences to learn from, 2 for dev" in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on_exactly(start, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    assert main(train_arguments(start, whole)) == 0
    steps = []
    step = finetune.tune_step

    def stops(*arguments):
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(finetune, "tune_step", stops)
    arguments = train_arguments(start, parts, save_every=4)
    assert main(arguments) == 130
    monkeypatch.setattr(finetune, "tune_step", step)
    assert main([*arguments, "--resume"]) == 0
    weights = [load_file(f / "out/best/model.safetensors") for f in (whole, parts)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_two_processes_write_the_model_of_one(start, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert main(train_arguments(start, tmp_path / "one", micro_batch=2)) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["-m", "bertlib.ner"]
    command += train_arguments(start, tmp_path / "two", micro_batch=2)
    done = subprocess.run(
        [*launch, "--nproc-per-node", "2", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ends = [tmp_path / name / "out/best/model.safetensors" for name in ("one", "two")]
    one, two = map(load_file, ends)
    assert max((one[n] - two[n]).abs().max().item() for n in one) < 1e-6


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"data": "nowhere.conll"}, "there is no such file"),
        ({"dev": "nowhere.conll"}, "there is no such file"),
        ({"init": "nowhere/at/all"}, "nowhere/at/all"),
        ({"max_length": 400}, "it may be 3 to 32"),
        ({"freeze": 9}, "layers (--freeze) is 9"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(start, tmp_path, capsys, more, says):
    assert main(train_arguments(start, tmp_path, **more)) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("ner: ")
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_rows_without_an_entity_are_refused(start, tmp_path, capsys):
    (tmp_path / "none.conll").write_text("a O\n\n" * 20)
    data = tmp_path / "none.conll"
    assert main(train_arguments(start, tmp_path, data=data)) == 2
    assert "has no entity; there is nothing to learn" in capsys.readouterr().err


def test_a_model_without_names_of_tags_is_refused(start, capsys):
    assert main(["predict", "--init", str(start), "--text", "a"]) == 2
    assert "its config.json names no tags" in capsys.readouterr().err


def test_a_file_of_one_document_needs_dev_rows(start, tmp_path, capsys):
    mine = tmp_path / "one.conll"
    mine.write_text("-DOCSTART- O\n\n" + "lund B-LOC\n\n" * 9)
    arguments = train_arguments(start, tmp_path, data=mine)
    del arguments[arguments.index("--dev") : arguments.index("--dev") + 2]
    assert main(arguments) == 2
    assert "name a file with others: --dev FILE" in capsys.readouterr().err


@pytest.mark.parametrize("constrained", [True, False])
def test_the_saved_folder_is_a_token_classifier_elsewhere(tmp_path, constrained):
    transformers = pytest.importorskip("transformers")
    tagger = small_tagger(constrained=constrained)
    tagger.save(tmp_path / "model")
    theirs, report = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert [theirs.config.id2label[i] for i in range(5)] == tagger.names
    ids = torch.tensor([[2, 8, 9, 10, 3]])
    with torch.no_grad():
        logits = theirs(ids).logits
        torch.testing.assert_close(tagger.model.eval()(ids).logits, logits)
