"""Dropout: how much is dropped, what remains, and what its gradient is."""

import pytest
import torch

from bertlib.dropout import Dropout, drop

N = 1_000_000


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_p(p):
    share = (drop(torch.ones(N), p) == 0).double().mean().item()
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / N) ** 0.5)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_the_mean_stays(p):
    mean = drop(torch.ones(N, dtype=torch.float64), p).mean().item()
    assert mean == pytest.approx(1, abs=5 * (p / (1 - p) / N) ** 0.5)


def test_survivors_are_divided_by_what_is_left_of_the_rounded_p():
    x = torch.randn(N, dtype=torch.float64)
    y = drop(x, 0.1)
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / (1 - round(6553.6) / 65536))


def test_each_quarter_of_a_draw_is_dropped_alike_and_by_itself():
    dropped = (drop(torch.ones(N), 0.5) == 0).double().view(-1, 4)
    assert dropped.mean(dim=0) == pytest.approx([0.5] * 4, abs=0.005)
    together = torch.corrcoef(dropped.T)
    torch.testing.assert_close(together, torch.eye(4).double(), atol=0.01, rtol=0)


def test_the_gradient_goes_where_the_numbers_went():
    x = torch.randn(501, requires_grad=True)
    y = drop(x, 0.4)
    y.backward(torch.ones(501))
    torch.testing.assert_close(x.grad * x, y)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (0, 4), (5, 7, 3)])
def test_any_shape(shape):
    assert drop(torch.ones(shape), 0.5).shape == shape


def test_rows_that_do_not_lie_side_by_side():
    x = torch.ones(400, 300).T
    y = drop(x, 0.25)
    assert y.shape == (300, 400)
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_stays(dtype):
    assert drop(torch.ones(8, dtype=dtype), 0.1).dtype == dtype


def test_nothing_is_infinite_when_nearly_all_is_dropped():
    assert drop(torch.ones(N), 0.9999999).isfinite().all()


def test_p_0_is_the_input_itself():
    x = torch.randn(4)
    assert drop(x, 0.0).equal(x)


def test_the_seed_decides():
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(drop(torch.ones(1000), 0.5))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(drop(torch.ones(1000), 0.5))


def test_the_module_drops_in_training_only():
    module, x = Dropout(0.5), torch.ones(1000)
    assert not module(x).equal(x)
    assert module.eval()(x) is x


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_a_p_that_is_no_probability_below_1_is_refused(p):
    with pytest.raises(ValueError, match=r"p is .*; it must be at least 0 and below 1"):
        drop(torch.ones(4), p)
