"""How an answer is judged, whatever the exercise."""

import json
import re
import sys

import numpy as np
import pytest
import torch

from bertlib.corpus import NotFetched
from bertlib.exercises import check
from bertlib.exercises.checking import (
    CHECKS,
    Wrong,
    call,
    expect_close,
    judge,
    number_in,
    show,
)
from tests.exercises import bank


def test_the_decorator_prints_the_verdict_and_returns_the_answer(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # for the progress

    def answer(scores, values):
        return scores.softmax(-1) @ values

    assert check("3.1")(answer) is answer
    assert capsys.readouterr().out.startswith("Exercise 3.1: passed.\n")


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), RecursionError()])
def test_an_answer_that_raises_does_not_stop_the_notebook(error):
    def answer(*inputs):
        raise error

    assert judge("3.1", answer).status == "not yet"


def test_a_crash_in_pythons_library_names_the_line_of_the_cell():
    def answer(*inputs):
        return json.loads("no JSON")

    assert 'return json.loads("no JSON")' in judge("3.1", answer).message


def test_an_answer_that_exits_is_told_so():
    verdict = judge("3.1", lambda *inputs: sys.exit())
    assert "ends the program" in verdict.message


def test_an_exception_is_reported_with_the_line_of_the_answer():
    def answer(scores, values):
        return scores.no_such_thing

    message = judge("3.1", answer).message
    assert "AttributeError" in message
    assert "return scores.no_such_thing" in message


def test_where_a_file_cannot_be_fetched_the_answer_is_not_blamed(monkeypatch):
    def check_that_needs_weights(answer):
        raise NotFetched("no vocab.txt here")

    judge("3.1", None)  # loads the chapter's checks
    monkeypatch.setitem(CHECKS, "3.1", check_that_needs_weights)
    message = judge("3.1", torch.matmul).message
    assert "no vocab.txt here" in message
    assert "your code may be right" in message


def test_an_unknown_number_is_refused():
    with pytest.raises(KeyError, match=r"number is '3\.99'"):
        judge("3.99", None)


def test_judging_leaves_the_random_state_alone():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    judge("3.1", lambda scores, values: torch.rand(3, 3))
    assert torch.rand(1) == wanted


def test_the_same_answer_gets_the_same_words_twice():
    def answer(scores, values):
        return scores.softmax(0) @ values

    assert judge("3.1", answer) == judge("3.1", answer)


def test_an_edit_in_place_is_noticed():
    with pytest.raises(Wrong, match="changes its input number 2"):
        call(lambda a, b: b.add_(1), torch.ones(2), torch.ones(2))


def test_a_known_mistake_is_named():
    with pytest.raises(Wrong, match="doubled"):
        expect_close(
            torch.tensor([2.0]),
            torch.tensor([1.0]),
            "Wrong.",
            mistakes={"halved": torch.tensor([0.5]), "doubled": torch.tensor([2.0])},
        )


def test_a_missing_return_is_named():
    with pytest.raises(Wrong, match="there is no return statement"):
        expect_close(None, torch.ones(1), "Wrong.")


def test_a_nan_is_never_close():
    with pytest.raises(Wrong, match="NaN"):
        expect_close(torch.tensor([torch.nan]), torch.tensor([1.0]), "Wrong.")


def test_a_large_tensor_is_shown_by_its_shape():
    assert show(torch.zeros(5, 5)) == "a tensor of shape (5, 5)"


def test_a_small_tensor_is_shown_in_full():
    assert show(torch.tensor([[0.5, 1 / 3]])) == "[[0.5, 0.3333]], shape (1, 2)"


def test_whole_numbers_and_truth_values_are_shown_as_such():
    assert show(torch.tensor([1, 2])) == "[1, 2], shape (2,)"
    assert show(torch.tensor([True])) == "[True], shape (1,)"


def test_a_wrong_mask_is_shown_in_truth_values():
    with pytest.raises(Wrong, match=r"\[True, True\]"):
        expect_close(torch.tensor([True, True]), torch.tensor([True, False]), "Wrong.")


@pytest.mark.parametrize(
    ("got", "likely"),
    [
        (torch.ones(3, 2), "the axes are in another order"),
        (torch.ones(1, 2, 3), "an axis of size 1 too many"),
        (torch.ones(3), "an axis was summed over, or indexed away"),
        (torch.ones(4, 2, 3), "a sum, a mean or an index is missing"),
        (torch.ones(2, 4), "axis 1 has 4 entries, and 3 are asked for"),
    ],
)
def test_a_wrong_shape_says_what_the_two_shapes_show(got, likely):
    with pytest.raises(Wrong, match=likely):
        expect_close(got, torch.ones(2, 3), "Wrong.")


def test_a_missing_axis_of_size_1_is_named():
    with pytest.raises(Wrong, match="an axis of size 1 is missing"):
        expect_close(torch.ones(2), torch.ones(2, 1), "Wrong.")


@pytest.mark.parametrize(
    ("got", "likely"),
    [
        ((torch.ones(1), torch.ones(1)), "more came back than was asked for"),
        (1.0, "took the number out"),
        (np.ones(1), "stay with torch"),
        (torch.ones, "not its result"),
    ],
)
def test_something_that_is_no_tensor_says_how_that_happens(got, likely):
    with pytest.raises(Wrong, match=likely):
        expect_close(got, torch.ones(1), "Wrong.")


def test_several_numbers_in_place_of_one_are_named():
    with pytest.raises(Wrong, match="a sum or a mean is missing"):
        number_in(torch.ones(3), "Wrong.")


WRONG = [answer for answer in bank.load() if answer.says is not None]


@pytest.mark.parametrize("number", sorted({answer.number for answer in WRONG}))
def test_a_message_says_what_is_wrong_where_it_shows_and_what_it_may_be(number):
    """To somebody who has been stuck for ten minutes."""
    incomplete = []
    for answer in (a for a in WRONG if a.number == number):
        message = judge(number, answer.answer).message
        labels = set(re.findall(r"^(\S.*):$", message, re.MULTILINE))
        what = "What is wrong" in labels
        where = labels & {"Smallest input", "Where", "Expected"}
        why = labels & {"Likely mistake", "Where"}
        if not (what and where and why):
            incomplete.append((answer.answer.__name__, sorted(labels)))
    assert not incomplete
