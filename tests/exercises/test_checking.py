"""How an answer is judged, whatever the exercise."""

import sys

import pytest
import torch

from bertlib.exercises import check
from bertlib.exercises.checking import Wrong, call, expect_close, judge, show


def test_the_decorator_prints_the_verdict_and_returns_the_answer(capsys):
    def answer(scores, values):
        return scores.softmax(-1) @ values

    assert check("3.1")(answer) is answer
    assert capsys.readouterr().out == "Exercise 3.1: passed.\n"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), RecursionError()])
def test_an_answer_that_raises_does_not_stop_the_notebook(error):
    def answer(*inputs):
        raise error

    assert judge("3.1", answer).status == "not yet"


def test_an_answer_that_exits_is_told_so():
    verdict = judge("3.1", lambda *inputs: sys.exit())
    assert "ends the program" in verdict.message


def test_an_exception_is_reported_with_the_line_of_the_answer():
    def answer(scores, values):
        return scores.no_such_thing

    message = judge("3.1", answer).message
    assert "AttributeError" in message
    assert "return scores.no_such_thing" in message


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
