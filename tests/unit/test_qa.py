"""Question answering: spans, windows, answers, the file form, and the command."""

import io
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bertlib.answers import (
    Reading,
    choose_threshold,
    find_answer,
    read_windows,
)
from bertlib.config import BertConfig
from bertlib.corpus import NotFetched
from bertlib.finder import Finder
from bertlib.heads import BertForQuestionAnswering, SpanOutput
from bertlib.pretrained import load_pretrained, load_tokenizer, save_pretrained
from bertlib.qa import course_questions, load_questions, main, split_groups
from bertlib.reader import Reader, measure
from bertlib.spans import Span, best_spans, piece_span
from bertlib.squad import Answer, Question, read_squad, score_answer, score_answers
from bertlib.textfile import Refused
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.tuning import predict_batches
from bertlib.vocabulary import SPECIAL_TOKENS
from bertlib.windows import (
    Limits,
    Window,
    collate_windows,
    cut_windows,
    make_windows,
)

ROOT = Path(__file__).resolve().parents[2]
WORDS = "the ferry boat lamp keeper red blue old seven nine pies sold sailed who what"
TEXT = "Zoë's café opened in the 1990s and sold 1,250 pies."
SMALL = Limits(max_length=24, stride=6, max_question=8, max_answer=5)


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'?"
    pieces = [f"##{letter}" for letter in letters[:36]]
    return WordPieceTokenizer([*SPECIAL_TOKENS, *letters, *pieces, *WORDS.split()])


def tiny_model(tokenizer: WordPieceTokenizer, longest: int = 64) -> Any:
    torch.manual_seed(0)
    return BertForQuestionAnswering(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=longest,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).eval()


def question(context: str, answer: str | None = None, asked: str = "who ?") -> Question:
    right = () if answer is None else (Answer(answer, context.index(answer)),)
    return Question("1", asked, context, right)


# --- the best span -------------------------------------------------------------------


def every_pair(start, end, allowed, longest):
    pairs = [
        (float(start[i] + end[j]), -i, -j)
        for i in allowed
        for j in allowed
        if 0 <= j - i < longest
    ]
    return [(s, -i, -j) for s, i, j in sorted(pairs, reverse=True)]


@pytest.mark.parametrize("longest", [1, 4, 30])
def test_the_best_spans_are_those_of_every_pair_tried(longest):
    for seed in range(20):
        torch.manual_seed(seed)
        start, end = torch.randn(2, 24)
        allowed = range(5, 5 + seed)
        found = best_spans(start, end, allowed, longest, 20)
        want = every_pair(start, end, allowed, longest)[:20]
        assert [(a, b) for _, a, b in found] == [(a, b) for _, a, b in want]
        assert [s for s, *_ in found] == pytest.approx([s for s, *_ in want])


def test_nothing_outside_of_the_context_is_an_answer():
    start, end = torch.full((2, 12), 50.0)
    start[4:8], end[4:8] = torch.randn(2, 4)
    for _, first, last in best_spans(start, end, range(4, 8)):
        assert 4 <= first <= last < 8


def test_an_empty_context_has_no_span():
    assert best_spans(torch.randn(5), torch.randn(5), range(3, 3)) == []


def test_half_precision_scores_are_added_in_single_precision():
    start = torch.tensor([256.0, 256.0], dtype=torch.bfloat16)
    end = torch.tensor([1.0, 0.5], dtype=torch.bfloat16)
    best = best_spans(start, end, range(2))
    assert best[0] == Span(257.0, 0, 0)


# --- characters and pieces -----------------------------------------------------------


def test_an_answer_inside_a_piece_takes_the_whole_piece():
    offsets = [(0, 3), (4, 9), (10, 12)]
    assert piece_span(offsets, 5, 8) == (1, 1)
    assert piece_span(offsets, 2, 5) == (0, 1)
    assert piece_span(offsets, 3, 4) is None


def test_pieces_lead_back_to_every_character_of_any_unicode_answer(tokenizer):
    rng = random.Random(0)
    alphabet = "abcé ëZ 1.,'\u0301\u200b\u00a0東한ßİﬁ🙂\n½ "
    found = 0
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randrange(1, 20)))
        offsets = tokenizer.spans(text)
        start = rng.randrange(len(text))
        end = rng.randrange(start, len(text)) + 1
        span = piece_span(offsets, start, end)
        covered = {c for a, b in offsets for c in range(a, b)} & set(range(start, end))
        if span is None:
            assert not covered
            continue
        found += 1
        back = range(offsets[span[0]][0], offsets[span[1]][1])
        assert covered <= set(back)
        for first in (span[0], span[1]):  # no piece more than needed
            assert set(range(*offsets[first])) & set(range(start, end))
    assert found > 1000


# --- windows -------------------------------------------------------------------------


def test_windows_hold_every_piece_and_none_lies_inside_another():
    for n in range(40):
        for room, stride in [(5, 5), (5, 1), (7, 3), (64, 20)]:
            windows = cut_windows(n, room, stride)
            assert {i for w in windows for i in w} == set(range(n))
            assert all(len(w) <= room for w in windows)
            assert [w.start for w in windows] == [
                *range(0, len(windows) * stride, stride)
            ]
            assert all(w.stop < n for w in windows[:-1])
            assert windows[-1].stop == n


@pytest.mark.parametrize("stride", [0, -1, 6])
def test_a_stride_that_leaves_pieces_out_is_refused(stride):
    with pytest.raises(
        ValueError, match=f"stride is {stride}; it must be 1 to room, 5"
    ):
        cut_windows(20, 5, stride)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"stride": 0}, "stride is 0; it must be 1 to"),
        ({"stride": 400}, "or windows would leave pieces out"),
        ({"max_length": 60}, "max_length is 60; it must be at least max_question"),
        ({"max_answer": 0}, "max_answer is 0; it must be above 0"),
        ({"n_best": 0}, "n_best is 0"),
        ({"max_question": 0}, "max_question is 0"),
    ],
)
def test_limits_that_cannot_be_right_are_refused(numbers, says):
    with pytest.raises(ValueError, match=says):
        Limits(**numbers)


def test_a_window_is_question_and_part_of_the_context(tokenizer):
    asked = question("seven pies " * 15, asked="what sold ?")
    windows = make_windows([asked], tokenizer, SMALL)
    head = [tokenizer.cls, *tokenizer.ids("what sold ?"), tokenizer.sep]
    context = tokenizer.ids(asked.context)
    assert len(windows) == 3
    for at, window in zip([0, 6, 12], windows, strict=True):
        part = context[at : at + 24 - len(head) - 1]
        assert window.input_ids == [*head, *part, tokenizer.sep]
        assert (window.first, window.at, window.row) == (len(head), at, 0)
    batch = collate_windows(windows)
    assert batch["token_type_ids"][0].tolist() == [0] * 5 + [1] * 19
    assert "start_positions" not in batch


def test_a_long_question_is_cut(tokenizer):
    asked = question("seven pies", asked="who " * 50)
    [window] = make_windows([asked], tokenizer, SMALL)
    assert window.first == 8 + 2


def test_each_window_with_the_whole_answer_learns_it_and_the_others_learn_cls(
    tokenizer,
):
    context = "red " * 20 + "seven pies " + "blue " * 20
    asked = question(context, "seven pies")
    windows = make_windows([asked], tokenizer, SMALL, labelled=True)
    marked = [w for w in windows if w.start_position]
    assert 1 < len(marked) < len(windows)
    for w in marked:
        ids = w.input_ids[w.start_position : w.end_position + 1]
        assert tokenizer.decode(ids) == "seven pies"
    for w in windows:
        if not w.start_position:
            assert w.end_position == 0
            assert tokenizer.decode(w.input_ids).count("seven pies") == 0
    batch = collate_windows(windows)
    assert batch["start_positions"].tolist() == [w.start_position for w in windows]


def test_a_question_without_an_answer_learns_cls_in_every_window(tokenizer):
    windows = make_windows([question("red " * 30)], tokenizer, SMALL, labelled=True)
    assert len(windows) > 1
    assert {(w.start_position, w.end_position) for w in windows} == {(0, 0)}


def test_windows_are_those_of_the_library(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save_vocab(tmp_path / "vocab.txt")
    theirs = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    asked = question(
        "the old keeper sold seven red pies. " * 9, asked="who sold pies ?"
    )
    mine = make_windows([asked], tokenizer, SMALL)
    room = SMALL.max_length - mine[0].first - 1
    coded = theirs(
        [asked.question],
        [asked.context],
        max_length=SMALL.max_length,
        truncation="only_second",
        stride=room - SMALL.stride,  # theirs is the overlap
        return_overflowing_tokens=True,
    )
    assert [w.input_ids for w in mine] == coded["input_ids"]
    types = [[0] * w.first + [1] * (len(w.input_ids) - w.first) for w in mine]
    assert types == coded["token_type_ids"]


# --- from windows to an answer -------------------------------------------------------


def window(row: int, at: int, pieces: int, first: int = 4) -> Window:
    return Window([0] * (first + pieces + 1), first, row, at)


def logits(T: int, silence: float, **spans: tuple[int, int, float]) -> Any:
    start, end = torch.full((2, T), -20.0)
    start[0] = end[0] = silence / 2
    for i, j, score in spans.values():
        start[i] = end[j] = score / 2
    return start, end


def test_the_best_span_of_all_windows_is_counted_in_the_context():
    windows = [window(0, 0, 8), window(0, 6, 8)]
    told = [
        logits(13, 1.0, a=(5, 6, 4.0)),
        logits(13, -2.0, a=(4, 7, 9.0)),
    ]
    reading = read_windows(windows, told, Limits())[0]
    assert reading.spans[0] == Span(9.0, 6, 9)
    assert reading.no_answer == -2.0
    assert reading.margin == -11.0


def test_a_span_found_in_two_windows_is_kept_once_with_its_higher_score():
    windows = [window(0, 0, 8), window(0, 6, 8)]
    told = [logits(13, 0.0, a=(11, 11, 3.0)), logits(13, 0.0, a=(5, 5, 5.0))]
    reading = read_windows(windows, told, Limits())[0]
    assert [s for s in reading.spans if (s.start, s.end) == (7, 7)] == [Span(5.0, 7, 7)]


def test_padding_and_question_are_never_read():
    told = logits(
        40, 0.0, question=(1, 2, 90.0), right=(6, 7, 3.0), padding=(30, 31, 80.0)
    )
    reading = read_windows([window(0, 0, 8)], [told], Limits())[0]
    assert reading.spans[0] == Span(3.0, 2, 3)
    assert all(0 <= s.start <= s.end < 8 for s in reading.spans)


def test_questions_are_kept_apart():
    windows = [window(0, 0, 8), window(1, 0, 8)]
    told = [logits(13, 0.0, a=(5, 5, 4.0)), logits(13, 7.0, a=(8, 9, 6.0))]
    readings = read_windows(windows, told, Limits())
    assert readings[0].spans[0][1:] == (1, 1)
    assert readings[1].spans[0][1:] == (4, 5)
    assert readings[1].no_answer == 7.0


def test_silence_wins_above_the_threshold_alone():
    reading = Reading([Span(2.0, 0, 0)], 5.0)
    offsets = [(0, 5), (6, 10)]
    for threshold, want in [(2.9, None), (3.0, "seven"), (None, "seven")]:
        found = find_answer(reading, "seven pies", offsets, threshold)
        assert found.answer == want
        assert (found.start is None) == (found.end is None) == (want is None)


def test_the_score_is_a_share_of_the_choice():
    reading = Reading([Span(2.0, 0, 0), Span(1.0, 1, 1)], 0.0)
    offsets = [(0, 5), (6, 10)]
    whole = math.exp(2) + math.exp(1)
    always = find_answer(reading, "seven pies", offsets, None)
    assert always.score == pytest.approx(math.exp(2) / whole)
    may_be_silent = find_answer(reading, "seven pies", offsets, 0.0)
    assert may_be_silent.score == pytest.approx(math.exp(2) / (whole + 1))


def test_an_empty_context_is_answered_by_silence(tokenizer):
    reader = Reader(tiny_model(tokenizer), tokenizer, SMALL)
    [found] = reader.answer([question("  \n ")])
    assert found == (None, None, None, 1.0)


def test_the_threshold_is_as_good_as_the_best_of_all_cuts():
    rng = random.Random(1)
    for _ in range(300):
        n = rng.randrange(1, 12)
        margins = [rng.randrange(-6, 7) / 2 for _ in range(n)]
        answered = [rng.choice([0.0, 0.5, 1.0]) for _ in range(n)]
        silent = [rng.choice([0.0, 1.0]) for _ in range(n)]

        def total(t, rows=(margins, answered, silent)):
            return sum(s if m > t else a for m, a, s in zip(*rows, strict=True))

        threshold = choose_threshold(margins, answered, silent)
        assert total(threshold) == max(
            total(t) for t in [-math.inf, *margins, math.inf]
        )


def test_a_threshold_that_gains_nothing_is_not_set():
    assert choose_threshold([1.0, -1.0], [1.0, 1.0], [0.0, 0.0]) == math.inf


class PointsAt(nn.Module):
    """Answers with the token of one id; any other window says that it is not there."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token, self.seen = token, 0
        self.config = SimpleNamespace(max_position_embeddings=512)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        self.seen += len(input_ids)
        here = (input_ids == self.token) & (token_type_ids == 1)
        scores = here * 8.0 - 4.0 * attention_mask
        scores[:, 0] = torch.where(here.any(1), -4.0, 3.0)
        return SpanOutput(None, scores, scores.clone())


@pytest.mark.parametrize("place", [0, 700, 1500, 2999])
def test_a_context_of_3000_tokens_is_answered_through_its_windows(tokenizer, place):
    words = ["red"] * 3000
    words[place] = "lamp"
    context = " ".join(words)
    model = PointsAt(tokenizer.vocab["lamp"])
    reader = Reader(model, tokenizer, Limits(), threshold=0.0)  # type: ignore[arg-type]
    asked = [question(context, asked="who sold the lamp ?"), question("red pies")]
    found, silent = reader.answer(asked)
    assert model.seen == 22 + 1
    assert found.answer == "lamp"
    assert found.start == context.index("lamp")
    assert silent.answer is None


# --- finding the place in a long context ---------------------------------------------


def tiny_encoder(tokenizer: WordPieceTokenizer) -> Any:
    """The middle of the tiny model, and how many rows it has seen."""
    bert = tiny_model(tokenizer, longest=512).bert
    bert.seen = 0

    def count(module, inputs):
        module.seen += len(inputs[0])

    bert.register_forward_pre_hook(count)
    return bert


def long_context(words: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS.split()) for _ in range(words))


def test_the_windows_nearest_to_the_question_are_kept_in_order(tokenizer):
    bert, context = tiny_encoder(tokenizer), long_context(90)
    asked = [question(context, asked="who sold the lamp ?")]
    windows = make_windows(asked, tokenizer, SMALL)
    assert len(windows) > 10
    finder = Finder(bert, tokenizer, 3, weight=7.0)
    chosen = finder(asked, windows, tokenizer, SMALL)
    room = SMALL.max_length - SMALL.max_question - 3
    spans = tokenizer.spans(context)
    cosines = []
    for w in windows:  # one by one, through the model itself
        last = min(w.at + room, len(spans)) - 1
        pair = [context[spans[w.at][0] : spans[last][1]], asked[0].question]
        with torch.no_grad():
            a, b = (
                bert(torch.tensor([tokenizer.encode(text).input_ids]))
                .last_hidden_state[0]
                .mean(0)
                for text in pair
            )
        cosines.append(float(torch.cosine_similarity(a, b, dim=0)))
    best = sorted(sorted(range(len(windows)), key=lambda i: -cosines[i])[:3])
    assert [w.at for w in chosen] == [windows[i].at for i in best]
    for w, i in zip(chosen, best, strict=True):
        penalty = 7.0 * (max(cosines) - cosines[i])
        assert w == windows[i]._replace(penalty=pytest.approx(penalty, abs=1e-4))
    assert min(w.penalty for w in chosen) == 0


def test_a_context_of_few_windows_is_read_whole(tokenizer):
    bert = tiny_encoder(tokenizer)
    asked = [question("red pies"), question(long_context(28), asked="who ?")]
    windows = make_windows(asked, tokenizer, SMALL)
    assert [w.row for w in windows] == [0, 1, 1, 1]
    assert Finder(bert, tokenizer)(asked, windows, tokenizer, SMALL) == windows
    assert bert.seen == 0


def test_what_is_chosen_does_not_depend_on_the_other_questions(tokenizer):
    """And a text that many questions share goes through the encoder once."""
    bert, context = tiny_encoder(tokenizer), long_context(90)
    texts = ["who ?", "who sold the lamp the keeper sold ?", "what sailed ?"]
    asked = [question(context, asked=text) for text in texts]
    asked.insert(1, question(long_context(80, seed=1), asked="what sold the boat ?"))
    finder = Finder(bert, tokenizer, 2)

    def chosen(questions):
        windows = make_windows(questions, tokenizer, SMALL)
        return finder(questions, windows, tokenizer, SMALL)

    together = chosen(asked)
    for row, one in enumerate(asked):
        alone = chosen([one])
        mine = [w._replace(row=0) for w in together if w.row == row]
        assert [w.at for w in mine] == [w.at for w in alone]
        assert [w.penalty for w in mine] == pytest.approx([w.penalty for w in alone])
    bert.seen = 0
    chosen([asked[0], *asked[2:]])
    assert bert.seen == len(finder.vectors(context, tokenizer, SMALL)) + 3


def test_a_span_of_a_window_farther_away_pays_for_it():
    windows = [window(0, 0, 8)._replace(penalty=3.0), window(0, 8, 8)]
    told = [logits(13, 0.0, a=(5, 6, 6.0)), logits(13, 0.0, a=(7, 7, 4.0))]
    reading = read_windows(windows, told, Limits())[0]
    assert [s.score for s in reading.spans[:2]] == [4.0, 3.0]
    assert reading.no_answer == 0.0


def test_minilm_finds_the_place_in_3000_pieces_of_the_course_corpus():
    tokenizer, limits = load_tokenizer("minilm"), Limits()
    asked = course_questions("test")
    text, starts = "", {}
    for q in asked:
        if q.group not in starts and len(tokenizer.ids(text)) < 3000:
            starts[q.group] = len(text)
            text += q.context + "\n"
    asked = [q for q in asked if q.answers and q.group in starts]
    far = [q._replace(context=text) for q in asked]
    windows = make_windows(far, tokenizer, limits)
    finder = Finder(load_pretrained("minilm"), tokenizer)
    chosen = finder(far, windows, tokenizer, limits)
    assert len(far) > 60
    assert len(windows) > 20 * len(far)
    assert len(chosen) == 3 * len(far)
    spans, found = tokenizer.spans(text), 0
    for row, q in enumerate(asked):
        answer, at = q.answers[0]
        at += starts[q.group]
        assert text[at : at + len(answer)] == answer
        first, last = piece_span(spans, at, at + len(answer))
        found += any(
            w.at <= first and last < w.at + len(w.input_ids) - w.first - 1
            for w in chosen
            if w.row == row
        )
    assert found >= 0.9 * len(asked)


@pytest.mark.parametrize(("numbers", "says"), [((0,), "most is 0"), ((3, -1.0), "-1")])
def test_a_finder_that_finds_nothing_is_refused(tokenizer, numbers, says):
    with pytest.raises(ValueError, match=says):
        Finder(tiny_encoder(tokenizer), tokenizer, *numbers)


# --- SQuAD files ---------------------------------------------------------------------


def squad(**changes: Any) -> dict[str, Any]:
    qa = {
        "id": "q1",
        "question": "How many pies?",
        "answers": [{"text": "1,250", "answer_start": 40}],
    }
    paragraph = {"context": TEXT, "qas": [qa | changes]}
    return {"version": "1.1", "data": [{"title": "Pies", "paragraphs": [paragraph]}]}


def write(folder: Path, whole: Any) -> Path:
    path = folder / "own.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def test_a_file_of_either_version_is_read(tmp_path):
    whole = squad()
    whole["data"][0]["paragraphs"][0]["qas"].append(
        {
            "id": 2,
            "question": "Who baked them?",
            "is_impossible": True,
            "answers": [],
            "plausible_answers": [{"text": "Zoë", "answer_start": 0}],
        }
    )
    first, second = read_squad(write(tmp_path, whole))
    assert first == Question(
        "q1", "How many pies?", TEXT, (Answer("1,250", 40),), "Pies"
    )
    assert second == Question("2", "Who baked them?", TEXT, (), "Pies")


WHERE = "own.json: article 1, paragraph 1, question 1"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"answers": [{"text": "1,250", "answer_start": 41}]},
            f"{WHERE}, answer 1: text is '1,250', and at answer_start, 41, the context "
            "reads ',250 '",
        ),
        (
            {"answers": [{"text": "pies", "answer_start": 400}]},
            f"{WHERE}, answer 1: text is 'pies', and at answer_start, 400, the context",
        ),
        (
            {"answers": [{"text": "pies", "answer_start": -5}]},
            f"{WHERE}, answer 1: answer_start is -5; it must be 0 or more",
        ),
        (
            {"answers": [{"text": "pies", "answer_start": "46"}]},
            f"{WHERE}, answer 1: answer_start is '46'",
        ),
        (
            {"answers": [{"text": "pies"}]},
            f"{WHERE}, answer 1: answer_start is None",
        ),
        ({"answers": [{"text": "", "answer_start": 3}]}, "text is ''"),
        ({"answers": [{"answer_start": 3}]}, "answer 1: text is missing"),
        ({"answers": ["pies"]}, "answer 1 is 'pies'; it must be an object"),
        ({"answers": "pies"}, f"{WHERE}: answers is 'pies'; it must be a list"),
        ({"answers": None}, f"{WHERE}: answers is None; it must be a list"),
        ({"question": "  "}, f"{WHERE}: question is '  '; it must say something"),
        ({"question": 7}, f"{WHERE}: question is 7; it must be a string"),
        ({"id": None}, f"{WHERE}: id is None"),
        (
            {"is_impossible": True},
            f"{WHERE}: is_impossible is True, and answers holds 1",
        ),
        (
            {"is_impossible": False, "answers": []},
            f"{WHERE}: is_impossible is False, and answers holds 0",
        ),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(tmp_path, changes, says):
    with pytest.raises(Refused) as caught:
        read_squad(write(tmp_path, squad(**changes)))
    assert says in str(caught.value)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = write(tmp_path, squad())
    plain = read_squad(path)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_squad(path) == plain


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"data": [\n{"paragraphs": ]}', "own.json, line 2: no JSON, Expecting value"),
        ("[]", "own.json is []; it must be an object"),
        ('{"data": {}}', "own.json: data is {}; it must be a list"),
        ('{"rows": []}', "own.json: data is missing; it must be a list"),
        ('{"data": []}', "own.json holds no question"),
        ('{"data": [{}]}', "own.json: article 1: paragraphs is missing"),
        (
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            "own.json: article 1, paragraph 1: context is missing",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, says):
    path = tmp_path / "own.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refused) as caught:
        read_squad(path)
    assert says in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "own.json"
    path.write_bytes('{"data": ["é"]}'.encode("latin-1"))
    with pytest.raises(Refused, match="is not UTF-8: byte 11 is wrong"):
        read_squad(path)


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    whole = squad()
    whole["data"].append(whole["data"][0])
    with pytest.raises(Refused, match=r"article 2, .* id .q1. is there already"):
        read_squad(write(tmp_path, whole))


def test_a_question_without_a_prediction_is_named():
    with pytest.raises(ValueError, match="there is none for the id '1'"):
        score_answers([question("red pies", "pies")], {})
    with pytest.raises(ValueError, match="questions is empty"):
        score_answers([], {})


def test_no_answer_scores_as_the_empty_string_does():
    assert score_answer(None, []) == (1.0, 1.0)
    assert score_answer(None, ["pies"]) == (0.0, 0.0)
    assert score_answer("pies", []) == (0.0, 0.0)


# --- data ----------------------------------------------------------------------------


@pytest.mark.usefixtures("public_data")
def test_xquad_is_split_by_article():
    train, test = (load_questions("xquad", test=part) for part in (False, True))
    assert len(train) + len(test) == 1190
    groups = [{q.group for q in part} for part in (train, test)]
    assert [len(g) for g in groups] == [36, 12]
    assert not groups[0] & groups[1]
    assert not {q.context for q in train} & {q.context for q in test}


def test_every_fourth_group_is_taken_and_none_twice():
    rows = [Question(str(i), "?", "", (), f"g{i // 3}") for i in range(24)]
    kept, taken = split_groups(rows, 4)
    assert {q.group for q in taken} == {"g3", "g7"}
    assert len(kept) + len(taken) == 24


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_answers_of_the_course_stand_in_their_documents(split):
    rows = course_questions(split)
    assert any(not q.answers for q in rows)
    for q in rows:
        for text, start in q.answers:
            assert q.context[start : start + len(text)] == text


def test_without_a_network_the_command_says_where_the_file_is_to_be_had(
    monkeypatch, tmp_path, capsys
):
    def fails(name):
        raise NotFetched(f"{name} is not on this machine and could not be fetched.")

    monkeypatch.setattr("bertlib.qa.public_file", fails)
    assert main(["train", "--data", "squad", "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert (
        shown
        == "qa: train-v1.1.json is not on this machine and could not be fetched.\n"
    )
    assert main(["train", "--data", "xsquad", "--out", str(tmp_path / "out")]) == 2
    assert (
        "--data xsquad: there is no such file; the sets are xquad"
        in capsys.readouterr().err
    )


# --- a reader, saved and loaded ------------------------------------------------------


def test_what_a_reader_saves_it_reads_again(tokenizer, tmp_path):
    limits = Limits(max_length=40, stride=9, max_question=8, max_answer=4)
    reader = Reader(tiny_model(tokenizer), tokenizer, limits, threshold=-3.25)
    asked = [question("the keeper sold seven pies. " * 8)]
    reader.save(tmp_path / "best")
    again = Reader.load(tmp_path / "best")
    assert (again.limits, again.threshold) == (limits, -3.25)
    assert again.answer(asked) == reader.answer(asked)
    reader.threshold = None
    reader.save(tmp_path / "best")  # the one before is replaced
    assert Reader.load(tmp_path / "best", stride=5).limits.stride == 5
    assert Reader.load(tmp_path / "best").threshold is None
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_folder_with_other_files_is_refused_and_kept(tokenizer, tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match=r"papers holds thesis\.txt"):
        Reader(tiny_model(tokenizer), tokenizer, SMALL).save(folder)
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["papers"]


def test_transformers_loads_it_and_gives_the_same_scores(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    reader = Reader(tiny_model(tokenizer), tokenizer, SMALL)
    reader.save(tmp_path / "best")
    auto = transformers.AutoModelForQuestionAnswering
    theirs, info = auto.from_pretrained(tmp_path / "best", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    rows = make_windows([question("seven pies " * 20)], tokenizer, SMALL)
    batch = collate_windows(rows)
    with torch.no_grad():
        mine, other = reader.model(**batch), theirs.eval()(**batch)
    for name in ("start_logits", "end_logits"):
        difference = getattr(mine, name) - getattr(other, name)
        assert difference[batch["attention_mask"]].abs().max() < 1e-5


def test_rows_longer_than_the_model_reads_are_refused(tokenizer):
    with pytest.raises(
        ValueError, match="max_length is 384; this model reads at most 64"
    ):
        Reader(tiny_model(tokenizer), tokenizer, Limits())


def test_the_threshold_is_only_there_where_questions_lack_an_answer(tokenizer):
    reader = Reader(tiny_model(tokenizer), tokenizer, SMALL)
    having = question("seven pies sold", "pies")
    scores = reader.tune([having])
    assert reader.threshold is None
    assert "NoAns_f1" not in scores
    silent = having._replace(id="2", answers=())
    scores = reader.tune([having, silent])
    assert reader.threshold is not None
    found = reader.answer([having, silent])
    assert measure([having, silent], found) == scores
    assert scores["f1"] >= 50


def test_a_threshold_that_is_infinite_is_none_in_the_file(
    tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setattr("bertlib.reader.choose_threshold", lambda *rows: math.inf)
    reader = Reader(tiny_model(tokenizer), tokenizer, SMALL)
    reader.tune([question("seven pies sold")])
    reader.save(tmp_path / "best")
    text = (tmp_path / "best" / "qa.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["threshold"] is None


# --- the command ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory, tokenizer) -> Path:
    """A folder with data that can be learned, and a small model that has not begun."""
    folder = tmp_path_factory.mktemp("own")
    rng = random.Random(0)
    colors, things = ["red", "blue", "old"], ["ferry", "boat", "lamp"]
    for name, articles in [("train", 24), ("dev", 6)]:
        data = []
        for a in range(articles):
            color, thing = rng.choice(colors), rng.choice(things)
            paragraphs = []
            for context, right in [
                (f"the keeper sold the {color} {thing} who sailed .", [thing]),
                (f"the keeper sailed , {color} pies .", []),
            ]:
                answers = [{"text": t, "answer_start": context.index(t)} for t in right]
                number = f"{name}-{a}-{len(right)}"
                qa = {"id": number, "question": "what sold ?", "answers": answers}
                paragraphs.append({"context": context, "qas": [qa]})
            data.append({"title": f"{name} {a}", "paragraphs": paragraphs})
        whole = {"version": "v2.0", "data": data}
        (folder / f"{name}.json").write_text(json.dumps(whole), encoding="utf-8")
    save_pretrained(tiny_model(tokenizer), tokenizer, folder / "model")
    return folder


LIMITS = ["--max-length", "32", "--max-question", "8", "--stride", "16"]


def train_options(own: Path, out: Path, *more: str) -> list[str]:
    return [
        *("train", "--data", str(own / "train.json"), "--out", str(out)),
        *("--init", str(own / "model"), *LIMITS, "--precision", "float32"),
        *("--batch-size", "8", "--learning-rate", "2e-3", *more),
    ]


def train(own: Path, out: Path, *more: str) -> int:
    return main(train_options(own, out, *more))


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert train(own, out, "--dev", str(own / "dev.json"), "--epochs", "20") == 0
    return out


def test_training_learns_to_answer_and_to_be_silent(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    best, epochs = metrics["best"], metrics["epochs"]
    assert epochs[-1]["loss"] < 0.1 * epochs[0]["loss"]
    assert best["HasAns_f1"] > 90
    assert best["NoAns_f1"] > 90
    about = json.loads((trained / "best" / "qa.json").read_text())
    assert about["limits"]["max_length"] == 32
    assert about["threshold"] is not None


def test_evaluate_prints_the_measures_and_writes_the_answers(
    own, trained, tmp_path, capsys
):
    data, out = own / "dev.json", tmp_path / "measured"
    asked = ["evaluate", "--data", str(data), "--init", str(trained), "--out", str(out)]
    asked += ["--precision", "float32"]
    assert main(asked) == 0
    shown = json.loads(capsys.readouterr().out)
    best = json.loads((trained / "metrics.json").read_text())["best"]
    assert {name: best[name] for name in shown} == pytest.approx(shown)
    assert json.loads((out / "evaluation.json").read_text()) == shown
    answers = json.loads((out / "predictions.json").read_text())
    assert shown == score_answers(read_squad(data), answers)


def test_predict_answers_about_a_file(trained, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("the keeper sold the red lamp who sailed .", encoding="utf-8")
    options = ["--init", str(trained / "best"), "--context", str(path)]
    options += ["--precision", "float32"]
    assert main(["predict", *options, "--question", "what sold ?"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["answer"], row["start"], row["end"]) == ("lamp", 24, 28)
    assert 0 < row["score"] <= 1
    path.write_text("the keeper sailed , old pies .", encoding="utf-8")
    assert main(["predict", *options, "--question", "what sold ?"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["answer"], row["start"], row["end"]) == (None, None, None)


def test_predict_reads_the_nearest_windows_of_a_long_text(
    trained, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "text.txt"
    context = "the keeper sailed , old pies . " * 12 + "the keeper sold the red lamp ."
    path.write_text(context, encoding="utf-8")
    options = ["predict", "--init", str(trained / "best"), "--context", str(path)]
    options += ["--precision", "float32", "--question", "what sold ?"]
    reader, read = Reader.load(trained / "best"), []

    def predict_batches_noted(model, windows, *rest):
        read.append(len(windows))
        return predict_batches(model, windows, *rest)

    monkeypatch.setattr("bertlib.reader.predict_batches", predict_batches_noted)
    asked = [question(context, asked="what sold ?")]
    number = len(make_windows(asked, reader.tokenizer, reader.limits))
    assert number > 5
    minilm = load_pretrained("minilm"), load_tokenizer("minilm")
    for windows in (2, 3, 0):
        assert main([*options, "--windows", str(windows)]) == 0
        row = json.loads(capsys.readouterr().out)
        reader.finder = Finder(*minilm, windows) if windows else None
        [found] = reader.answer(asked)
        assert (row["answer"], row["start"]) == (found.answer, found.start)
        assert row["score"] == pytest.approx(found.score, abs=1e-4)
        assert read == [windows or number] * 2
        read.clear()
    assert main(options) == 0
    assert read == [3]


def test_without_minilm_all_windows_can_still_be_read(
    trained, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "text.txt"
    path.write_text("the keeper sold the red lamp .", encoding="utf-8")
    options = ["predict", "--init", str(trained / "best"), "--context", str(path)]
    options += ["--precision", "float32", "--question", "what sold ?"]

    def fails():
        raise NotFetched("model.safetensors: not on this machine.")

    monkeypatch.setattr("bertlib.hub.minilm_folder", fails)
    assert main(options) == 2
    shown = capsys.readouterr().err
    assert "only --windows 0 needs no MiniLM: model.safetensors: not on" in shown
    assert main([*options, "--windows", "0"]) == 0


def test_predict_reads_json_lines_in_order(trained, monkeypatch, capsys):
    rows = [
        {
            "id": "x",
            "context": "the keeper sold the old boat who sailed .",
            "question": "what sold ?",
        },
        {
            "context": "the keeper sold the blue ferry who sailed .",
            "question": "what sold ?",
        },
    ]
    lines = "\n\n".join(json.dumps(row) for row in rows)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    options = ["--init", str(trained), "--precision", "float32"]
    assert main(["predict", *options]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["id"], row["answer"]) for row in shown] == [
        ("x", "boat"),
        ("3", "ferry"),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "standard input, line 2: no JSON"),
        ("[1]", "standard input, line 2 is [1]; it must be an object"),
        ('{"context": "red"}', "standard input, line 2: question is missing"),
        ('{"question": "red?"}', "standard input, line 2: context is missing"),
    ],
)
def test_a_wrong_line_is_named(trained, monkeypatch, capsys, line, says):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\n{line}\n"))
    assert main(["predict", "--init", str(trained)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--question", "who?"], "--context FILE and --question TEXT go together"),
        (["--context", "x.txt"], "--context FILE and --question TEXT go together"),
        (["--context", "no-such.txt", "--question", "who?"], "no-such.txt"),
    ],
)
def test_predict_says_what_is_missing(trained, capsys, options, says):
    assert main(["predict", "--init", str(trained), *options]) == 2
    assert says in capsys.readouterr().err


def test_a_context_must_be_utf_8(trained, tmp_path, capsys):
    path = tmp_path / "text.txt"
    options = ["--init", str(trained), "--windows", "0", "--precision", "float32"]
    options += ["--context", str(path), "--question", "what sold ?"]
    path.write_bytes(b"caf\xe9")
    assert main(["predict", *options]) == 2
    said = capsys.readouterr().err
    assert said == f"qa: --context {path}: byte 3 is not UTF-8\n"
    starts = []
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("the keeper sold the old boat .", encoding=encoding)
        assert main(["predict", *options]) == 0
        starts.append(json.loads(capsys.readouterr().out)["start"])
    assert starts[0] == starts[1]


def test_predict_without_a_model_says_so(tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("red", encoding="utf-8")
    options = ["--context", str(path), "--question", "who?"]
    assert main(["predict", "--init", str(tmp_path), *options]) == 2
    assert "no trained model is there" in capsys.readouterr().err


def test_a_wrong_file_stops_the_training_before_it_begins(own, tmp_path, capsys):
    path = write(tmp_path, squad(answers=[{"text": "pies", "answer_start": 3}]))
    out = tmp_path / "out"
    status = main(
        ["train", "--data", str(path), "--init", str(own / "model"), "--out", str(out)]
    )
    assert status == 2
    assert "own.json: article 1, paragraph 1, question 1, answer 1" in (
        capsys.readouterr().err
    )
    assert not out.exists()


def test_without_dev_questions_some_articles_are_held_out(own, tmp_path, capsys):
    assert train(own, tmp_path / "out", "--epochs", "1") == 0
    assert "42 questions in 42 windows; dev 6" in capsys.readouterr().out


def test_one_text_alone_cannot_be_split(own, tmp_path, capsys):
    path = write(tmp_path, squad())
    options = ["--data", str(path), "--init", str(own / "model")]
    assert main(["train", *options, "--out", str(tmp_path / "out")]) == 2
    assert "name a file with others: --dev FILE" in capsys.readouterr().err


def test_a_run_that_is_resumed_ends_like_one_that_was_not(own, trained, tmp_path):
    """Killed in its fifth epoch, and gone on with."""
    out = tmp_path / "out"
    code = (
        "import os, bertlib.finetune as f, bertlib.qa as q\n"
        "step = f.tune_step\n"
        "def stops(trainer, batches):\n"
        "    if trainer.step_number == 26: os._exit(9)\n"
        "    return step(trainer, batches)\n"
        "f.tune_step = stops\n"
        "import sys; sys.exit(q.main(sys.argv[1:]))\n"
    )
    arguments = [
        *("train", "--data", str(own / "train.json"), "--out", str(out)),
        *("--init", str(own / "model"), *LIMITS, "--precision", "float32"),
        *("--batch-size", "8", "--learning-rate", "2e-3"),
        *("--dev", str(own / "dev.json"), "--epochs", "20"),
    ]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code, *arguments], env=env, cwd=ROOT)
    assert killed.returncode == 9
    assert main([*arguments, "--resume"]) == 0
    ours, theirs = (
        json.loads((path / "metrics.json").read_text())["epochs"]
        for path in (out, trained)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["f1"] == other["f1"]
        assert mine["loss"] == pytest.approx(other["loss"], abs=1e-5)


def test_two_processes_write_the_model_of_one(own, tmp_path):
    same = ["--dev", str(own / "dev.json"), "--epochs", "2", "--micro-batch", "4"]
    assert train(own, tmp_path / "one", *same) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "bertlib.qa"]
    done = subprocess.run(
        [*command, *train_options(own, tmp_path / "two", *same)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ends = [tmp_path / name / "best/model.safetensors" for name in ("one", "two")]
    one, two = map(load_file, ends)
    assert max((one[n] - two[n]).abs().max().item() for n in one) < 1e-6
