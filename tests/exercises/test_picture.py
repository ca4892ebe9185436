"""The picture of a wrong answer: the student's matrix beside the expected one."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from nbclient import NotebookClient

from bertlib.exercises import check, picture
from bertlib.exercises.checking import Picture, judge
from tests.exercises import bank

RIGHT = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
# Wrong in what a matrix shows, and the matrix that the message is about.
PICTURED = {
    "3.1": "the softmax runs over the queries",
    "3.3": "inverted",
    "3.4": "the mask comes after the softmax",
    "3.8": "the upper triangle",
    "5.1": "yours masks the queries",
    "5.8": "the token after was scored",
}


def wrong_answer(number: str) -> object:
    return next(
        a.answer
        for a in bank.load()
        if a.number == number and a.says and PICTURED[number] in a.says
    )


def found(yours: object, expected: torch.Tensor = RIGHT) -> object:
    return picture.differing(Picture(yours, expected))


@pytest.mark.parametrize("number", PICTURED)
def test_a_wrong_matrix_is_set_beside_the_expected_one(number):
    verdict = judge(number, wrong_answer(number))
    assert verdict.picture is not None
    shown = picture.differing(verdict.picture)
    assert shown is not None
    yours, expected, _ = shown
    assert yours.shape == expected.shape
    assert bool(picture.unlike(yours, expected).any())


def test_the_weights_of_3_1_are_those_of_the_student():
    verdict = judge("3.1", wrong_answer("3.1"))
    assert verdict.picture is not None
    scores = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(verdict.picture.yours, scores.softmax(0))
    torch.testing.assert_close(verdict.picture.expected, scores.softmax(1))


def test_a_score_shows_the_cells_that_it_is_made_of():
    """5.8 gives a number for each head; its gradient says where that came from."""
    shown = judge("5.8", lambda w: w.diagonal(1, -2, -1).mean(-1)).picture
    assert shown is not None
    above = torch.tensor([[0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]])
    torch.testing.assert_close(shown.yours[0, 0], above)
    torch.testing.assert_close(shown.expected[0, 0], above.T)


def test_a_right_answer_and_a_stub_have_no_picture():
    assert judge("3.8", lambda T: torch.ones(T, T).tril().bool()).picture is None


@pytest.mark.parametrize(
    "yours",
    [
        None,
        "weights",
        RIGHT[0],
        RIGHT.T.reshape(1, 4),
        RIGHT.to(torch.complex64),
        RIGHT.clone(),
    ],
    ids=["none", "text", "row", "other shape", "complex", "equal"],
)
def test_what_cannot_be_compared_has_no_picture(yours):
    assert found(yours) is None


def test_a_matrix_too_large_to_read_has_no_picture():
    assert found(torch.zeros(30, 30), torch.ones(30, 30)) is None


def test_a_nan_is_shown_as_one():
    yours = RIGHT.clone()
    yours[0, 1] = torch.nan
    pair = found(yours)
    assert "row 0, column 1: yours nan, expected 0." in picture.describe(
        Picture(yours, RIGHT), *pair
    )
    assert picture.draw(Picture(yours, RIGHT), *pair).startswith(b"\x89PNG")


def test_of_a_batch_the_first_matrix_that_differs_is_shown():
    right = torch.stack([RIGHT, RIGHT, RIGHT])[:, None]
    yours = right.clone()
    yours[1, 0, 1] = torch.tensor([0.25, 0.75])
    first, _, where = found(yours, right)
    assert where == "[1, 0]"
    assert first.tolist() == [[1.0, 0.0], [0.25, 0.75]]


def test_the_alt_text_says_what_is_drawn_and_what_differs():
    shown = Picture(RIGHT.T, RIGHT)
    assert picture.describe(shown, *picture.differing(shown)) == (
        "Two grids of 2 by 2, yours and expected. A row looks, a column is looked at. "
        "2 of 4 cells differ; row 0, column 1: yours 0.50, expected 0; "
        "row 1, column 0: yours 0, expected 0.50."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.004, "0.00"), (0.5, "0.50"),
     (22026.5, "2e+04"), (float("nan"), "nan"), (-float("inf"), "-inf")],
)  # fmt: skip
def test_a_label_fits_its_cell_and_only_a_true_zero_is_0(value, text):
    assert picture.label(value) == text


def test_the_picture_can_be_read_on_a_light_and_on_a_dark_page():
    """It brings its own light ground, from edge to edge."""
    shown = Picture(RIGHT.T, RIGHT)
    pixels = imread(io.BytesIO(picture.draw(shown, *picture.differing(shown))))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert edge[:, :3].min() > 0.9
    assert edge[:, 3].min() == 1


def test_outside_a_notebook_there_is_the_text_alone(capsys):
    check("3.8")(wrong_answer("3.8"))
    text = capsys.readouterr().out
    assert text.strip() == str(judge("3.8", wrong_answer("3.8")))


CELLS = [
    "import torch\nfrom bertlib.exercises import check",
    '@check("3.8")\ndef causal_mask(T):\n    return torch.ones(T, T).triu().bool()',
    '@check("3.8")\ndef causal_mask(T):\n    raise NotImplementedError',
    '@check("3.8")\ndef causal_mask(T):\n    return torch.ones(T, T)',
    'import sys\nprint("matplotlib.pyplot" in sys.modules)',
]


def test_a_notebook_shows_the_picture_after_the_text(tmp_path: Path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS]
    )
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    text, shown = notebook.cells[1].outputs
    assert text.text.startswith("Exercise 3.8: not yet.")
    image = re.fullmatch(
        r'<img alt="(.*?)" style="max-width:100%" src="data:image/png;base64,(.*?)">',
        shown.data["text/html"],
    )
    assert image is not None
    assert image[1] == shown.data["text/plain"]
    assert image[1].startswith("Two grids of 3 by 3, yours and expected.")
    assert imread(io.BytesIO(base64.b64decode(image[2]))).shape[0] > 100
    for cell in notebook.cells[2:4]:  # not attempted; of another dtype
        assert [output.output_type for output in cell.outputs] == ["stream"]
    assert notebook.cells[4].outputs[0].text == "False\n"  # no state of pyplot
