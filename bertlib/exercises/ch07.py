"""The checks of chapter 7: masking, pairs, batches, order, files."""

import itertools
import math
import os
import random
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)


def _chosen(maskable: Tensor, scores: Tensor, n: Tensor) -> Tensor:
    """The oracle of 7.1: row by row, with Python's sorted."""
    result = torch.zeros_like(maskable)
    for b in range(len(scores)):
        places = [i for i in range(scores.size(1)) if maskable[b, i]]
        places.sort(key=lambda i: float(scores[b, i]))
        for i in places[: int(n[b])]:
            result[b, i] = True
    return result


@exercise("7.1")
def check_choose(choose: Any) -> None:
    """The n lowest scores of each row, where allowed."""
    scores = torch.tensor([[0.7, 0.2, 0.9, 0.1, 0.5], [0.3, 0.8, 0.4, 0.6, 0.05]])
    everywhere = torch.ones(2, 5, dtype=torch.bool)
    two = torch.tensor([2, 2])
    given = f"scores {show(scores)}, all maskable, n [2, 2]"
    once, down = scores.argsort(dim=1), scores.argsort(dim=0).argsort(dim=0)
    _same_choice(
        call(choose, everywhere, scores, two),
        _chosen(everywhere, scores, two),
        "The choice is wrong where all may be chosen.",
        given,
        {
            "argsort once gives places in order of score, not the rank of each "
            "place; a second argsort turns one into the other": once < 2,
            "these are the highest scores; the lowest are asked for": _chosen(
                everywhere, -scores, two
            ),
            "the first n places, whatever their score": torch.arange(5).expand(2, 5)
            < 2,
            "the ranks go down the columns; each row has its own (dim=1)": down < 2,
            "one too many: rank <= n, but ranks start at 0": _chosen(
                everywhere, scores, two + 1
            ),
            "this is where the score is below a number; that gives no fixed n": scores
            < 0.15,
        },
    )
    n = torch.tensor([1, 4])
    _same_choice(
        call(choose, everywhere, scores, n),
        _chosen(everywhere, scores, n),
        "The choice is wrong where n differs between rows.",
        f"scores {show(scores)}, all maskable, n [1, 4]",
        {
            "every row gets the n of the first": _chosen(everywhere, scores, n * 0 + 1),
            "every row gets the largest n": _chosen(everywhere, scores, n * 0 + 4),
        },
    )
    some = torch.tensor([[0, 1, 1, 0, 1], [0, 1, 1, 1, 0]]).bool()
    given = f"scores {show(scores)}, maskable {show(some)}, n [2, 2]"
    _same_choice(
        call(choose, some, scores, two),
        _chosen(some, scores, two),
        "The choice is wrong where some positions must not be chosen.",
        given,
        {
            "forbidden positions take part in the ranking and are removed "
            "afterwards, so fewer than n remain": _chosen(everywhere, scores, two)
            & some,
            "maskable has no effect": _chosen(everywhere, scores, two),
            "maskable is read the wrong way round": _chosen(~some, scores, two),
        },
    )
    few = torch.tensor([[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    _same_choice(
        call(choose, few, scores, two),
        few,
        "The choice is wrong where fewer than n may be chosen.",
        f"maskable {show(few)}, n [2, 2]",
        {},
        likely="forbidden positions move up when the allowed ones run out; "
        "`& maskable` at the end",
    )
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(40, 30, generator=generator)
    some = torch.rand(40, 30, generator=generator) < 0.6
    n = torch.randint(0, 20, (40,), generator=generator)
    _same_choice(
        call(choose, some, scores, n),
        _chosen(some, scores, n),
        "The choice is wrong in a batch of 40 rows.",
        "40 rows of 30 random scores, n from 0 to 19",
        {},
        likely="a row with n = 0, or a row with few maskable positions",
    )


def _same_choice(
    got: Any,
    want: Tensor,
    what: str,
    given: str,
    mistakes: dict[str, Tensor],
    likely: str = "",
) -> None:
    expect_tensor(got, what, given=given)
    expect(
        got.dtype == torch.bool,
        f"{what} The result has dtype {got.dtype}; it must be torch.bool.",
        given=given,
        likely="ranks, places or scores came back instead of where they are low enough",
    )
    expect_close(got, want, what, given=given, mistakes=mistakes, likely=likely)


@exercise("7.2")
def check_corrupt(corrupt: Any) -> None:
    """What is shown, and what is asked."""
    ids = torch.tensor([[7, 8, 9, 10, 11, 12]])
    chosen = torch.tensor([[True, True, True, True, False, False]])
    fate = torch.tensor([[0.1, 0.85, 0.95, 0.79, 0.1, 0.85]])
    pick = torch.tensor([[0.5, 0.25, 0.5, 0.5, 0.5, 0.5]])
    given = (
        f"ids {show(ids)}, chosen the first four, fate {show(fate)}, "
        f"pick {show(pick)}, V 100, mask_id 4"
    )
    result = call(corrupt, ids, chosen, fate, pick, 100, 4)
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        f"Two tensors must come back, (shown, labels), not {type(result).__name__}.",
        given=given,
        likely="there is no return statement"
        if result is None
        else "return shown, labels",
    )
    shown, labels = result
    true_labels = torch.tensor([[7, 8, 9, 10, -100, -100]])
    true_shown = torch.tensor([[4, 25, 9, 4, 11, 12]])
    expect_close(
        labels,
        true_labels,
        "The labels are wrong.",
        given=given,
        mistakes={
            "shown and labels are swapped; shown comes first": true_shown,
            "only tokens that changed are asked; a token that stays is asked as "
            "well": torch.tensor([[7, 8, -100, 10, -100, -100]]),
            "only tokens under [MASK] are asked; all chosen ones are": torch.tensor(
                [[7, -100, -100, 10, -100, -100]]
            ),
            "the labels hold what is shown; they must hold what was there": torch.where(
                chosen, true_shown, -100
            ),
            "every position is asked; where nothing was chosen the label is -100": ids,
            "the label where nothing is asked is -100, not 0": torch.tensor(
                [[7, 8, 9, 10, 0, 0]]
            ),
            "-100 stands where tokens were chosen; it belongs elsewhere": torch.where(
                chosen, -100, ids
            ),
        },
        likely="the true id where a token was chosen, -100 elsewhere",
    )
    expect_close(
        shown,
        true_shown,
        "What is shown is wrong.",
        given=given,
        mistakes={
            "all chosen tokens show [MASK]": torch.tensor([[4, 4, 4, 4, 11, 12]]),
            "tokens that were not chosen change too": torch.tensor(
                [[4, 25, 9, 4, 4, 50]]
            ),
            "random tokens and kept ones are swapped: from 0.8 to 0.9 is "
            "random": torch.tensor([[4, 8, 50, 4, 11, 12]]),
            "nothing is random: all from 0.8 up stay": torch.tensor(
                [[4, 8, 9, 4, 11, 12]]
            ),
            "nothing is kept: all from 0.8 up are random": torch.tensor(
                [[4, 25, 50, 4, 11, 12]]
            ),
            "the random id is pick itself, cut to 0; multiply by V first": torch.tensor(
                [[4, 0, 9, 4, 11, 12]]
            ),
        },
        likely="of the chosen: below 0.8 mask_id, from there to 0.9 the whole part of "
        "pick * V, above it the token itself",
    )
    for name, got in (("shown", shown), ("labels", labels)):
        expect(
            got.dtype == torch.int64,
            f"{name} has dtype {got.dtype}; ids are torch.int64.",
            given=given,
            likely="the random ids were not made whole numbers; .long()",
        )
    _corrupt_edges(corrupt)


def _corrupt_edges(corrupt: Any) -> None:
    ids = torch.tensor([[7, 7], [7, 7]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    # In float64, 0.8 and 0.9 are the very numbers that a comparison names.
    fate = torch.tensor([[0.8, 0.9], [0.8999, 0.7999]], dtype=torch.float64)
    pick = torch.tensor([[0.0, 0.5], [0.9999, 0.5]], dtype=torch.float64)
    shown, _ = call(corrupt, ids, everything, fate, pick, 1000, 4)
    expect_close(
        shown,
        torch.tensor([[0, 7], [999, 4]]),
        "What is shown is wrong at the edges.",
        given="ids all 7, fate [[0.8, 0.9], [0.8999, 0.7999]], "
        "pick [[0.0, 0.5], [0.9999, 0.5]], V 1000, mask_id 4",
        mistakes={
            "0.8 itself is random, not [MASK]: < instead of <=": torch.tensor(
                [[4, 7], [999, 4]]
            ),
            "0.9 itself is kept, not random: < instead of <=": torch.tensor(
                [[0, 500], [999, 4]]
            ),
            "0.8 itself is random: >= instead of >": torch.tensor([[7, 7], [999, 4]]),
            "round instead of floor: id V does not exist": torch.tensor(
                [[0, 7], [1000, 4]]
            ),
            "the special tokens are left out; the random id comes from the whole "
            "vocabulary": torch.tensor([[5, 7], [999, 4]]),
            "V - 1 instead of V: the last token never comes": torch.tensor(
                [[0, 7], [998, 4]]
            ),
        },
        likely="0.8 itself is random, 0.9 itself stays, and an id is from 0 to V - 1",
    )
    nothing = ~everything
    shown, labels = call(corrupt, ids, nothing, fate, pick, 1000, 4)
    given, likely = "ids all 7, chosen all False", "fate and pick count where chosen"
    what = "Nothing is chosen, and yet something changes."
    expect_close(shown, ids, what, given=given, likely=likely)
    what, none = "Nothing is chosen, and yet something asked.", ids * 0 - 100
    expect_close(labels, none, what, given=given, likely="-100 where nothing is chosen")


def _words(tokens: list[str], scores: list[float], n: int) -> list[int]:
    """The oracle of 7.3, by repeated search for the lowest score."""
    start, word_of = -1, []
    for i, token in enumerate(tokens):
        special = token in ("[CLS]", "[SEP]")
        if special:
            start = -1
        elif not (token.startswith("##") and start >= 0):
            start = i
        word_of.append(-1 if special else start)
    left = {i for i in word_of if i >= 0}
    chosen: list[int] = []
    while left:
        best = min(left, key=lambda i: scores[i])
        left.remove(best)
        word = [i for i, start in enumerate(word_of) if start == best]
        if len(chosen) + len(word) <= n:
            chosen += word
    return sorted(chosen)


@exercise("7.3")
def check_words(choose: Any) -> None:
    """Whole words, in order of their score, while they fit."""
    tokens = ["[CLS]", "a", "spoon", "##ful", "of", "warm", "##ed", "soup", "[SEP]"]
    scores = [0.0, 0.8, 0.3, 0.05, 0.6, 0.2, 0.9, 0.4, 0.01]
    _words_case(
        choose,
        tokens,
        scores,
        4,
        "The choice is wrong for n = 4.",
        {
            (2, 3, 5, 7): "single pieces are chosen; a word comes whole or not at all",
            (0, 3, 5, 8): "[CLS] and [SEP] are chosen, and single pieces are",
            (0, 5, 6, 8): "[CLS] and [SEP] are chosen; they are never asked",
            (2, 5): "only the first piece of each word is given; all pieces are asked",
            (2, 3, 4, 7): "the score of a word is that of its first piece, and not the "
            "mean, the sum, the highest or the last of all",
            (1, 2, 3): "the order of the scores is turned round: lowest first",
            (1, 4, 7): "the order of the scores is turned round: lowest first",
            (1, 2, 3, 4): "the words are taken from left to right; their scores decide",
        },
    )
    _words_case(
        choose,
        tokens,
        scores,
        3,
        "The choice is wrong for n = 3: after *warm ##ed* there is room for one.",
        {
            (5, 6): "a word that does not fit ends the search; pass over it, and try "
            "the next",
            (2, 3, 5, 6): "more than n: a word is taken although it does not fit",
            (2, 5, 6): "half a word is chosen, to fill up n",
        },
    )
    _words_case(
        choose,
        tokens,
        scores,
        1,
        "The choice is wrong for n = 1: the two lowest words have two pieces each.",
        {
            (5, 6): "more than n: the first word is taken although it does not fit",
            (5,): "half a word is chosen, to fill up n",
            (): "a word that does not fit ends the search; pass over it, and try the "
            "next",
        },
    )
    scores = [0.5, 0.8, 0.7, 0.05, 0.6, 0.65, 0.01, 0.4, 0.5]
    _words_case(
        choose,
        tokens,
        scores,
        2,
        "The choice is wrong where later pieces have the lowest scores.",
        {
            (5, 6): "the score of a word is that of its first piece, not its lowest or "
            "mean",
            (2, 3): "the score of a word is that of its first piece, not its lowest or "
            "mean",
        },
    )
    _words_case(
        choose,
        ["[CLS]", "##ful", "soup", "[SEP]"],
        [0.9, 0.1, 0.2, 0.3],
        1,
        "The choice is wrong where a row begins in the middle of a word.",
        {
            (0, 1): "a piece after [CLS] joins [CLS] to a word",
            (2,): "a piece without the beginning of its word is a word of its own",
        },
    )
    _words_case(
        choose,
        ["[CLS]", "a", "spoon", "[SEP]", "##ful", "of", "[SEP]"],
        [0.9, 0.5, 0.1, 0.9, 0.6, 0.7, 0.9],
        2,
        "The choice is wrong where the second segment begins in the middle of a word.",
        {
            (2, 4): "a piece after [SEP] joins the last word before it",
            (2, 5): "a piece without the beginning of its word is a word of its own",
        },
    )
    rng = random.Random(4)
    for _ in range(200):
        tokens = ["[CLS]"]
        for _ in range(rng.randint(1, 8)):
            tokens += ["w"] + ["##x"] * rng.choice([0, 0, 0, 1, 2])
        tokens.append("[SEP]")
        scores = [rng.random() for _ in tokens]
        n = rng.randint(0, 6)
        _words_case(
            choose, tokens, scores, n, "The choice is wrong for a random row.", {}
        )


def _words_case(
    choose: Any,
    tokens: list[str],
    scores: list[float],
    n: int,
    what: str,
    mistakes: dict[tuple[int, ...], str],
) -> None:
    given = f"tokens {' '.join(tokens)}, scores {[round(s, 2) for s in scores]}, n {n}"
    got = choose(list(tokens), list(scores), n)
    if got is None:
        raise Wrong(what, given=given, likely="there is no return statement")
    got = [int(i) for i in got]
    want = _words(tokens, scores, n)
    likely = mistakes.get(
        tuple(sorted(got)),
        "the score of a word is that of its first piece; from the lowest score up, "
        "each word is taken that still fits, whole",
    )
    if sorted(got) == want and got != want:
        likely = "the places are right; sort them"
    expect(
        got == want,
        what,
        given=given,
        yours=str(got),
        expected=str(want),
        likely=likely,
    )


@exercise("7.4")
def check_cut(cut: Any) -> None:
    """The longer loses a token at a time, at the front or the back."""
    front, back = (lambda: 0.0), (lambda: 0.99)
    a, b = [1, 2, 3, 4, 5, 6], [11, 12]
    for coin, name, want in (
        (back, "always 0.99", [1, 2, 3]),
        (front, "always 0.0", [4, 5, 6]),
    ):
        given = f"a {a}, b {b}, room 5, coin {name}"
        got_a, got_b = _cut(cut, a, b, 5, coin, given)
        likely = ""
        if got_a in ([1, 2, 3], [4, 5, 6]) and got_b == b:
            likely = "front and back are swapped: below 0.5 cuts the front"
        elif got_b != b:
            likely = "the shorter is cut; only the longer loses tokens"
        elif len(got_a) != 3:
            likely = "room is for both together; you cut too much or too little"
        expect(
            (got_a, got_b) == (want, b),
            "The cut is wrong where A is much longer.",
            given=given,
            yours=f"{got_a}, {got_b}",
            expected=f"{want}, {b}",
            likely=likely,
        )
    given = "a [1, 2, 3, 4], b [11, 12, 13, 14], room 5, coin always 0.99"
    got = _cut(cut, [1, 2, 3, 4], [11, 12, 13, 14], 5, back, given)
    likely = ""
    if got == ([1, 2], [11, 12, 13]):
        likely = "when both are equally long, B is cut: > instead of >="
    elif abs(len(got[0]) - len(got[1])) > 1:
        likely = "only one of the two is cut; compare the lengths anew for each token"
    elif len(got[0]) + len(got[1]) < 5:
        likely = "too much is cut: stop as soon as both fit, at room itself"
    expect(
        got == ([1, 2, 3], [11, 12]),
        "The cut is wrong where both are equally long.",
        given=given,
        yours=str(got),
        expected="([1, 2, 3], [11, 12])",
        likely=likely,
    )
    given = "a [1, 2], b [11, 12, 13], room 5"
    expect(
        _cut(cut, [1, 2], [11, 12, 13], 5, back, given) == ([1, 2], [11, 12, 13]),
        "A pair that fits is changed.",
        given=given,
        likely="while ... > room, not >=",
    )
    given = "a [1], b [11, ..., 18], room 4, coin 0.4, 0.6, 0.1, 0.9, 0.2"
    tosses = iter([0.4, 0.6, 0.1, 0.9, 0.2])
    try:
        got = _cut(cut, [1], list(range(11, 19)), 4, lambda: next(tosses), given)
    except StopIteration:
        raise Wrong(
            "The coin is tossed more often than tokens are dropped.", given=given
        ) from None
    left = len(list(tosses))
    expect(
        left == 0,
        f"The coin is tossed {5 - left} times; five tokens go, so five tosses.",
        given=given,
        likely="toss anew for each token, not once for the whole pair",
    )
    expect(
        got == ([1], [14, 15, 16]),
        "The cut is wrong where front and back alternate.",
        given=given,
        yours=str(got),
        expected="([1], [14, 15, 16])",
    )
    rng = random.Random(1)
    for _ in range(200):
        a, b = list(range(rng.randint(1, 9))), list(range(50, 50 + rng.randint(1, 9)))
        room = rng.randint(2, 12)
        given = f"a {a}, b {b}, room {room}"
        got = _cut(cut, a, b, room, rng.random, given)
        for name, part, whole in (("a", got[0], a), ("b", got[1], b)):
            expect(
                part == list(range(part[0], part[0] + len(part))) if part else False,
                f"What is left of {name} is no piece of it.",
                given=given,
                yours=str(part),
                likely="tokens go at the ends only, and one is always left",
            )
            expect(
                set(part) <= set(whole),
                f"{name} holds tokens of the other.",
                given=given,
            )
        expect(
            sum(map(len, got)) == min(room, len(a) + len(b)),
            "The length of the two together is wrong.",
            given=given,
            yours=str(got),
        )


def _cut(
    cut: Any, a: list[int], b: list[int], room: int, coin: Any, given: str
) -> tuple[list[int], list[int]]:
    first, second = list(a), list(b)
    result = cut(first, second, room, coin)
    expect(
        (first, second) == (a, b),
        "Your function changes the lists it was given.",
        given=given,
        likely="pop and del change a list in place; work on copies, list(a)",
    )
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        f"Two lists must come back, not {type(result).__name__}.",
        given=given,
        likely="there is no return statement" if result is None else "",
    )
    return list(result[0]), list(result[1])


@exercise("7.5")
def check_collate(collate: Any) -> None:
    """Rows to rectangles."""
    rows = [([2, 8, 3], 3), ([2, 7, 3, 9, 9, 3], 3), ([2, 5, 6, 3, 3], 4)]
    given = "rows [2 8 3], 3; [2 7 3 9 9 3], 3; [2 5 6 3 3], 4; pad_id 0"
    ids, mask, segments = _collated(collate, rows, 0, given)
    true_mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1] * 6, [1, 1, 1, 1, 1, 0]]).bool()
    true_ids = torch.tensor(
        [[2, 8, 3, 0, 0, 0], [2, 7, 3, 9, 9, 3], [2, 5, 6, 3, 3, 0]]
    )
    expect_close(
        ids,
        true_ids,
        "input_ids are wrong.",
        given=given,
        mistakes={
            "the padding stands on the left; it belongs on the right": torch.tensor(
                [[0, 0, 0, 2, 8, 3], [2, 7, 3, 9, 9, 3], [0, 2, 5, 6, 3, 3]]
            ),
            "rows are cut to the shortest": true_ids[:, :3],
        },
        likely="rows are cut to the shortest; pad to the longest"
        if isinstance(ids, Tensor) and ids.shape[-1] == 3
        else "each row, and then pad_id as far as the longest row reaches",
    )
    expect_close(
        mask,
        true_mask,
        "attention_mask is wrong.",
        given=given,
        mistakes={
            "the mask is upside down: True is a token, False is padding": ~true_mask,
            "everything is looked at, padding too": torch.ones(3, 6).bool(),
        },
        likely="True for as many places as the row has tokens, then False",
    )
    true_segments = torch.tensor([[0] * 6, [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0]])
    expect_close(
        segments,
        true_segments,
        "token_type_ids are wrong.",
        given=given,
        mistakes={
            "padding is in segment 1; it must be 0": torch.tensor(
                [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
            ),
            "segments 0 and 1 are swapped": true_mask.long() - true_segments,
            "all of it is segment 0": torch.zeros(3, 6),
            "one too many in segment 1: it starts at place `first`": torch.tensor(
                [[0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0]]
            ),
            "one too few in segment 1: it starts at place `first`": torch.tensor(
                [[0] * 6, [0, 0, 0, 0, 1, 1], [0] * 6]
            ),
        },
        likely="1 from place `first` to the last token of the row, 0 elsewhere",
    )
    for name, x, dtype in (
        ("input_ids", ids, torch.int64),
        ("attention_mask", mask, torch.bool),
        ("token_type_ids", segments, torch.int64),
    ):
        expect(
            x.dtype == dtype,
            f"{name} has dtype {x.dtype}; it must be {dtype}.",
            given=given,
            likely="say the dtype where the tensor is made; torch.zeros makes floats",
        )
    given = "rows [2 8 1 3], 4; [2 3], 2; pad_id 1"
    ids, mask, _ = _collated(collate, [([2, 8, 1, 3], 4), ([2, 3], 2)], 1, given)
    expect_close(
        ids,
        torch.tensor([[2, 8, 1, 3], [2, 3, 1, 1]]),
        "input_ids are wrong where pad_id is not 0.",
        given=given,
        mistakes={
            "the padding is 0, whatever pad_id is": torch.tensor(
                [[2, 8, 1, 3], [2, 3, 0, 0]]
            )
        },
        likely="what stands behind the end of a row is pad_id",
    )
    expect_close(
        mask,
        torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool(),
        "attention_mask is wrong where the text holds the padding id.",
        given=given,
        mistakes={
            "the mask comes from input_ids != pad_id, so a token is hidden": ids != 1,
            "the mask comes from input_ids != 0, so padding is looked at": ids != 0,
        },
        likely="the length of a row says where its padding begins, not the ids",
    )
    given = "the single row [2 5 3], 3"
    ids, mask, segments = _collated(collate, [([2, 5, 3], 3)], 0, given)
    likely = "a single row has no padding, and is still a batch: shape (1, 3)"
    what, want = "A single row is wrong.", torch.tensor([[2, 5, 3]])
    expect_close(ids, want, what, given=given, likely=likely)
    what = "The mask of a single row hides tokens."
    expect(bool(mask.all()), what, given=given, likely=likely)


def _collated(collate: Any, rows: Any, pad: int, given: str) -> tuple[Any, Any, Any]:
    before = [(list(ids), first) for ids, first in rows]
    result = collate(rows, pad)
    expect(
        rows == before,
        "Your function changes the rows it was given.",
        given=given,
        likely="append, += or extend on a row; make new tensors",
    )
    expect(
        isinstance(result, tuple | list) and len(result) == 3,
        f"Three tensors must come back, not {type(result).__name__}.",
        given=given,
        likely="there is no return statement"
        if result is None
        else "return input_ids, attention_mask, token_type_ids",
    )
    for x in result:
        expect_tensor(x, "Three tensors must come back.", given=given)
    return result[0], result[1], result[2]


@exercise("7.6")
def check_buckets(buckets: Any) -> None:
    """Every row once, in batches of similar length, in random order."""
    rng = random.Random(2)
    lengths = [min(200, 5 + int(rng.expovariate(0.04))) for _ in range(403)]
    given = "403 random lengths from 5 to 200, batch_size 16"
    before = list(lengths)
    batches = _batches(buckets, lengths, 16, random.Random(0), given)
    expect(
        lengths == before,
        "Your function changes the list of lengths.",
        given=given,
        likely="sort() on lengths; sort row numbers instead",
    )
    rows = [i for batch in batches for i in batch]
    if sorted(rows) != list(range(403)):
        if len(rows) < 403 and len(rows) == len(set(rows)):
            likely = "the last batch, which is smaller, is dropped"
        elif set(rows) <= set(lengths) and max(rows) <= 200:
            likely = "lengths came back instead of row numbers"
        else:
            likely = "rows are drawn with repetition, or counted from 1"
        raise Wrong(
            f"Not every row is there once: {len(rows)} rows, {len(set(rows))} of them "
            "different.",
            given=given,
            likely=likely,
        )
    sizes = sorted(map(len, batches))
    expect(
        sizes == [403 % 16] + [16] * 25,
        "The batches have the wrong size; one may be smaller, the others hold 16.",
        given=given,
        yours=f"{len(batches)} batches of {sizes[0]} to {sizes[-1]} rows",
        likely="batch_size was taken for the number of batches; it is that of the rows "
        "in each"
        if len(batches) == 16
        else "cut the sorted rows at every 16th; what is left makes the last batch",
    )
    places = sum(len(b) * max(lengths[i] for i in b) for b in batches)
    share = 1 - sum(lengths) / places
    expect(
        share < 0.25,
        f"{share:.0%} of the positions are padding; 3 % is possible.",
        given=given,
        likely="the rows are not sorted by length, or shuffled again after sorting",
    )
    longest = [max(lengths[i] for i in b) for b in batches]
    expect(
        longest not in (sorted(longest), sorted(longest, reverse=True)),
        "The batches come in order of length.",
        given=given,
        likely="shuffle the batches at the end; or short rows come first",
    )
    again = _batches(buckets, lengths, 16, random.Random(0), given)
    expect(
        again == batches,
        "The same rng gives another result.",
        given=given,
        likely="the global random module; use the rng you were given",
    )
    other = _batches(buckets, lengths, 16, random.Random(1), given)
    expect(
        other != batches,
        "Another rng gives the same result.",
        given=given,
        likely="a generator with a fixed seed inside; use the rng you were given",
    )
    expect(
        {frozenset(b) for b in other} != {frozenset(b) for b in batches},
        "Another rng gives the same batches in another order.",
        given=given,
        likely="rows of equal length are not shuffled; shuffle all rows before sorting",
    )


def _batches(buckets: Any, *inputs: Any) -> list[list[int]]:
    *inputs_, given = inputs
    result = buckets(*inputs_)
    expect(
        isinstance(result, list | tuple)
        and all(isinstance(b, list | tuple) for b in result),
        "A list of lists of row numbers must come back.",
        given=given,
        likely="there is no return statement"
        if result is None
        else "a flat list, or a generator that nobody has read",
    )
    return [[int(i) for i in b] for b in result]


@exercise("7.7")
def check_rows(my_rows: Any) -> None:
    """Disjoint, complete, reproducible, shuffled."""
    for n, world in ((12, 3), (13, 4), (3, 5), (10, 1)):
        given = f"n {n}, seed 0, epoch 0, world_size {world}"
        shares = [_row_list(my_rows, n, 0, 0, r, world) for r in range(world)]
        rows = sorted(i for share in shares for i in share)
        if rows != list(range(n)):
            likely = "the rank is in the seed, so each rank shuffles in its own way"
            if len(rows) < n and len(rows) == len(set(rows)):
                likely = "the rows that do not divide evenly are dropped"
            elif n > 0 and rows and min(rows) == 1:
                likely = "rows are counted from 1"
            raise Wrong(
                "The shares of all ranks together are not each row once.",
                given=given,
                yours=str(shares),
                likely=likely,
            )
        sizes = [len(share) for share in shares]
        expect(
            max(sizes) - min(sizes) <= 1,
            "The shares differ in size by more than one.",
            given=given,
            yours=str(sizes),
            likely="take every world_size-th row: [rank::world_size]",
        )
    first = _row_list(my_rows, 50, 3, 1, 0, 1)
    given = "n 50, seed 3, epoch 1, rank 0, world_size 1"
    expect(
        first != sorted(first),
        "The rows are not shuffled.",
        given=given,
        likely="arange instead of permutation, or sorted at the end",
    )
    np.random.rand(3)  # noqa: NPY002 - somebody else draws in between
    random.random()
    torch.rand(3)
    expect(
        _row_list(my_rows, 50, 3, 1, 0, 1) == first,
        "The same call gives another order the second time.",
        given=given,
        likely="a global generator without a seed; make a new one from seed and epoch",
    )
    shares = [_row_list(my_rows, 50, 3, 1, rank, 4) for rank in range(4)]
    blocks = [i for share in shares for i in share]
    expect(
        blocks == first or shares == [first[rank::4] for rank in range(4)],
        "Four processes share out another order than the one that one process has.",
        given="n 50, seed 3, epoch 1, world_size 4 and 1",
        likely="world_size is in the seed; seed and epoch alone decide the order",
    )
    expect(
        _row_list(my_rows, 50, 3, 2, 0, 1) != first,
        "Epoch 1 and epoch 2 have the same order.",
        given=given,
        likely="the epoch is not used",
    )
    expect(
        _row_list(my_rows, 50, 4, 1, 0, 1) != first,
        "Seed 3 and seed 4 have the same order.",
        given=given,
        likely="the seed is not used",
    )
    pairs = {(s, e): tuple(_row_list(my_rows, 50, s, e, 0, 1)) for s, e in _KEYS}
    for one, rows_ in pairs.items():
        for two, others in pairs.items():
            expect(
                one == two or rows_ != others,
                f"Seed {one[0]}, epoch {one[1]} has the order of seed {two[0]}, "
                f"epoch {two[1]}.",
                given="n 50, rank 0, world_size 1",
                likely="seed + epoch or seed * epoch mixes the two up; give both "
                "numbers to the generator, as a list",
            )


_KEYS = ((0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (0, 3), (3, 0), (2, 2), (1, 4), (4, 1))


def _row_list(my_rows: Any, *inputs: int) -> list[int]:
    result = my_rows(*inputs)
    if result is None:
        raise Wrong(
            "No rows come back.",
            given="n {}, seed {}, epoch {}, rank {}, world_size {}".format(*inputs),
            likely="there is no return statement",
        )
    return [int(i) for i in result]


@exercise("7.8")
def check_read(read: Any) -> None:
    """One sentence out of a file, and no more than that."""
    with tempfile.TemporaryDirectory() as name:
        _read_cases(read, Path(name))


def _read_cases(read: Any, folder: Path) -> None:
    tokens, ends = [5, 6, 7, 40_000, 65_535, 9, 300, 8], [3, 4, 6, 8]
    path = folder / "small.tokens"
    path.write_bytes(b"".join(i.to_bytes(2, "little") for i in tokens))
    starts = [0, 3, 4, 6]
    for k, start in enumerate(starts):
        given = f"tokens {tokens}, ends {ends}, k {k}"
        got = read(path, ends, k)
        if got is None:
            likely = "there is no return statement"
            raise Wrong("Nothing comes back.", given=given, likely=likely)
        numbers = [int(i) for i in got]
        expect(
            numbers == tokens[start : ends[k]],
            f"Sentence {k} is wrong.",
            given=given,
            yours=str(numbers),
            expected=str(tokens[start : ends[k]]),
            likely=_misread(numbers, tokens, start, ends, k),
        )
        expect(
            isinstance(got, list) and all(type(i) is int for i in got),
            f"A list of Python ints must come back, not {type(got).__name__} of "
            f"{type(got[0]).__name__}.",
            given=given,
            likely="an array of uint16 overflows as soon as it is computed with; "
            ".tolist()",
        )
    expect(
        read(str(path), np.array(ends), 1) == [40_000],
        "A path as str, or ends as an array, gives another result.",
        given=f"tokens {tokens}, ends as an array, k 1",
        likely="often a test of the kind of path or ends: a str is a path, too, and an "
        "array may be ends",
    )
    _read_large(read, folder / "large.tokens")


def _misread(
    numbers: list[int], tokens: list[int], start: int, ends: list[int], k: int
) -> str:
    """The mistake that reads these numbers for sentence k."""
    right, data = (
        tokens[start : ends[k]],
        b"".join(i.to_bytes(2, "little") for i in tokens),
    )
    shifted = data[start : start + 2 * len(right)]
    if k == 0 and not numbers:
        return "for k = 0, ends[k - 1] is the *last* end; the start is 0"
    if numbers == tokens[ends[k] : ends[k + 1] if k + 1 < len(ends) else None]:
        return "this is sentence k + 1: ends[k] is where sentence k ends"
    if any(i < 0 for i in numbers):
        return 'signed numbers; "<u2" is unsigned'
    if numbers == [int.from_bytes(i.to_bytes(2, "little"), "big") for i in right]:
        return 'the bytes are read in the wrong order; "<u2", not ">u2"'
    if numbers == [
        a + 256 * b for a, b in zip(shifted[::2], shifted[1::2], strict=True)
    ]:
        return "a place in a file counts bytes, and a token has two: 2 * ends[k - 1]"
    if len(numbers) == 2 * len(right) and max(numbers, default=0) < 256:
        return "bytes came back; two of them make one id"
    if numbers == right[:-1]:
        return "the last token is missing: ends[k] is the first place after it"
    if numbers == tokens[start : ends[k] + 1]:
        return "one token too many: ends[k] is the first place after it"
    return "often tokens and bytes are mixed up: ends counts tokens, of two bytes each"


def _read_large(read: Any, path: Path) -> None:
    """Half a gigabyte, of which nothing stands on the disk."""
    path.touch()
    os.truncate(path, 500_000_000)
    tracemalloc.start()
    try:
        got = read(path, [3, 125_000_000, 125_000_005, 250_000_000], 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expect(
        got == [0] * 5,
        "A sentence in the middle of a large file is wrong.",
        given="a file of 250,000,000 tokens, all 0, k a sentence in its middle",
    )
    expect(
        peak < 20_000_000,
        f"{peak / 1e6:.0f} MB were read for a sentence of five tokens.",
        given="a file of 500 MB",
        likely="np.fromfile or read_bytes reads everything, or all that follows; "
        "np.memmap does not",
    )


def _by_hand(left: Tensor, hit: Tensor, n: int) -> Tensor:
    """One row, all choices written out."""
    sums = []
    for k in range(n + 1):
        terms = [
            math.prod(
                (hit if t in chosen else left)[t].item() for t in range(len(left))
            )
            for chosen in itertools.combinations(range(len(left)), k)
        ]
        sums.append(math.fsum(terms))
    return torch.tensor(sums, dtype=left.dtype)


def _sweep(left: Tensor, hit: Tensor, n: int, how: str) -> Tensor:
    """One row, as a known mistake does it."""
    ways = torch.zeros(n + 1, dtype=left.dtype)
    ways[0] = 1.0
    for stay, take in zip(left.tolist(), hit.tolist(), strict=True):
        if how == "twice":  # in place, from small k to large
            ways[0] *= stay
            for k in range(1, n + 1):
                ways[k] = ways[k] * stay + ways[k - 1] * take
        elif how == "kept":  # a position that is not chosen costs nothing
            ways[1:] = ways[1:] + ways[:-1].clone() * take
        elif how == "both":  # a chosen position shows its word twice
            old = ways.clone()
            ways = old * stay
            ways[1:] += old[:-1] * take * stay
    return ways


@exercise("7.9")
def check_sum_over_choices(sum_over_choices: Any) -> None:
    """The sums over choices, against all choices written out."""
    left, hit = torch.tensor([0.5, 0.25]), torch.tensor([0.2, 0.1])
    given = "left [0.5, 0.25], hit [0.2, 0.1], n = 2"
    expect_close(
        call(sum_over_choices, left, hit, 2),
        torch.tensor([0.125, 0.1, 0.02]),
        "The sums are wrong.",
        given=given,
        mistakes=_mistakes(left, hit, 2, torch.tensor([0.125, 0.1, 0.02])),
        likely="new = ways * left, then add the old ways * hit one place further on",
    )
    torch.manual_seed(0)
    left, hit = torch.rand(2, 5)
    right = _by_hand(left, hit, 3)
    expect_close(
        call(sum_over_choices, left, hit, 3),
        right,
        "The sums of a longer row are wrong.",
        given="5 positions, n = 3, random numbers",
        mistakes=_mistakes(left, hit, 3, right),
        likely="a choice is missing, or counted more than once",
    )
    left, hit = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.5, 0.0, 0.25])
    expect_close(
        call(sum_over_choices, left, hit, 2),
        torch.tensor([0.0, 0.0, 0.125]),
        "Zeros break it.",
        given="left [0, 1, 0], hit [0.5, 0, 0.25], n = 2",
        likely="a division by left, or a logarithm; sums and products are enough",
    )
    left, hit = torch.tensor([0.5, 0.25]), torch.tensor([0.2, 0.1])
    expect_close(
        call(sum_over_choices, left, hit, 4),
        torch.tensor([0.125, 0.1, 0.02, 0.0, 0.0]),
        "More positions are to be chosen than there are: those sums are empty, so 0.",
        given="2 positions, n = 4",
    )
    left, hit = torch.rand(2, 3, 4, 6)
    rows = [
        _by_hand(a, b, 2)
        for a, b in zip(left.flatten(0, 1), hit.flatten(0, 1), strict=True)
    ]
    expect_close(
        call(sum_over_choices, left, hit, 2),
        torch.stack(rows).view(3, 4, 3),
        "Batch axes break it.",
        given="left and hit of shape (3, 4, 6), n = 2",
        likely="a position is an entry of the last axis: left[..., t]",
    )
    left, hit = torch.rand(2, 30, dtype=torch.float64)
    start = time.process_time()
    result = sum_over_choices(left, hit, 5)
    expect(
        time.process_time() - start < 0.25,  # it takes 1 ms; a loop, a second or more
        "It takes too long.",
        given="30 positions, n = 5",
        likely="a loop over the choices themselves; keep one sum for each k instead",
    )
    # The sums are the coefficients of the polynomial with factors left + hit x.
    points = torch.linspace(-1, 1, 31, dtype=torch.float64)
    values = (left + hit * points[:, None]).prod(dim=1)
    powers = points[:, None] ** torch.arange(31)
    want = torch.linalg.solve(powers, values)[:6]
    expect_close(
        result, want, "A long row is wrong.", given="30 positions, n = 5", tol=1e-3
    )


def _mistakes(left: Tensor, hit: Tensor, n: int, right: Tensor) -> dict[str, Tensor]:
    orders = torch.tensor([math.factorial(k) for k in range(n + 1)])
    choices = torch.tensor([math.comb(len(left), k) for k in range(n + 1)])
    return {
        "a position is chosen twice: the sums are updated in place, from small k to "
        "large, so the new ways[k - 1] goes into ways[k]": _sweep(
            left, hit, n, "twice"
        ),
        "`left` is left out: positions that are not chosen count too": _sweep(
            left, hit, n, "kept"
        ),
        "a chosen position is multiplied by left as well": _sweep(left, hit, n, "both"),
        "left and hit are swapped": _by_hand(hit, left, n),
        "each choice is counted once for every order of its positions; use "
        "combinations, not permutations": right * orders,
        "this is the mean over the choices; the sum is asked for": right / choices,
        "the sums are normalised; leave them as they are": right / right.sum(),
        "this is the sum for k = n alone; all of k = 0 ... n are asked for": right[-1],
        "the sums come in the opposite order; k = 0 comes first": right.flip(0),
        "k = 0 is missing; there is one way to choose nothing": right[1:],
    }
