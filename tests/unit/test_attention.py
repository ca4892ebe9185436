"""Attention and its pictures: masks, empty rows, dropout, and the two paths."""

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from bertlib.attention import (
    MultiHeadSelfAttention,
    check_mask,
    scaled_dot_product_attention,
)
from bertlib.config import BertConfig
from bertlib.plots import heads, heatmap

D, H = 12, 3


def module_of(dropout: float = 0.0, seed: int = 0) -> MultiHeadSelfAttention:
    torch.manual_seed(seed)
    config = BertConfig(
        hidden_size=D, num_attention_heads=H, attention_probs_dropout_prob=dropout
    )
    module = MultiHeadSelfAttention(config)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def masks(B: int, T: int) -> dict[str, torch.Tensor | None]:
    """Masks of every shape that may be passed, the last with empty rows."""
    torch.manual_seed(1)
    some = torch.rand(B, H, T, T) > 0.3
    some[..., 0] = True
    empty = some.clone()
    empty[1] = False
    return {
        "none": None,
        "keys (T,)": torch.arange(T) < T - 1,
        "padding (B, 1, 1, T)": torch.arange(T) < torch.tensor([[[[T]]], [[[2]]]]),
        "causal (T, T)": torch.ones(T, T).tril().bool(),
        "full (B, H, T, T)": some,
        "empty rows": empty,
    }


# -------------------------------------------------------------------- the plain path


def test_rows_of_weights_sum_to_one():
    q, k, v = torch.randn(2, 4, 8), torch.randn(2, 6, 8), torch.randn(2, 6, 3)
    context, weights = scaled_dot_product_attention(q, k, v)
    assert context.shape == (2, 4, 3) and weights.shape == (2, 4, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4))


def test_a_worked_example():
    q = torch.tensor([[2.0**0.5, 0.0]])
    context, weights = scaled_dot_product_attention(q, torch.eye(2), torch.eye(2))
    want = torch.tensor([[0.7310586, 0.2689414]])  # softmax of (1, 0)
    torch.testing.assert_close(weights, want)
    torch.testing.assert_close(context, want)


def test_padding_gets_no_attention():
    x = torch.randn(2, 5, 8)
    mask = torch.arange(5) < 3
    _, weights = scaled_dot_product_attention(x, x, x, mask)
    assert (weights[..., 3:] == 0).all()


def test_a_padded_sentence_gives_what_it_gives_alone():
    module = module_of().eval()
    x = torch.randn(1, 6, D)
    mask = (torch.arange(6) < 4)[None, None, None]  # (B, 1, 1, T)
    for need_weights in (False, True):
        padded, _ = module(x, mask, need_weights)
        alone, _ = module(x[:, :4], None, need_weights)
        torch.testing.assert_close(padded[:, :4], alone)


def test_a_row_with_nothing_to_look_at_gives_zero():
    x = torch.randn(3, 8)
    mask = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1]]).bool()
    context, weights = scaled_dot_product_attention(x, x, x, mask)
    assert torch.equal(weights[1], torch.zeros(3))
    assert torch.equal(context[1], torch.zeros(8))


def test_a_row_with_nothing_to_look_at_has_gradient_zero():
    q = torch.randn(2, 4, requires_grad=True)
    k, v = torch.randn(2, 4), torch.randn(2, 4)
    mask = torch.tensor([[True, True], [False, False]])
    context, _ = scaled_dot_product_attention(q, k, v, mask)
    (slope,) = torch.autograd.grad(context.sin().sum(), q)
    assert slope.isfinite().all() and torch.equal(slope[1], torch.zeros(4))


def test_scores_of_ten_thousand_do_not_overflow():
    x = torch.tensor([[1e4], [-1e4]])
    _, weights = scaled_dot_product_attention(x, x, x)
    assert torch.equal(weights, torch.eye(2))


def test_dropout_drops_and_scales_the_context_but_not_the_weights_returned():
    torch.manual_seed(0)
    zero, value = torch.zeros(1000, 4), torch.eye(1000)
    context, weights = scaled_dot_product_attention(zero, zero, value, dropout=0.25)
    torch.testing.assert_close(weights, torch.full((1000, 1000), 1e-3))
    kept = context > 0
    assert abs(kept.float().mean() - 0.75) < 0.01
    torch.testing.assert_close(
        context[kept], torch.full_like(context[kept], 1e-3 / 0.75)
    )


# --------------------------------------------------------------------------- refusals


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(TypeError, match=r"mask has dtype torch.int64"):
        check_mask(torch.ones(2, 2, dtype=torch.int64), (2, 2))


@pytest.mark.parametrize("shape", [(3,), (2, 1), (3, 5), (1, 1, 2, 4, 5)])
def test_a_mask_that_does_not_broadcast_is_refused(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    if shape == (2, 1):
        mask = mask.expand(2, 2)
    with pytest.raises(ValueError, match=r"must broadcast .* \(2, 3, 4, 5\)"):
        check_mask(mask, (2, 3, 4, 5))


@pytest.mark.parametrize("shape", [(), (5,), (1,), (4, 1), (2, 1, 1, 5), (2, 3, 4, 5)])
def test_a_mask_that_broadcasts_is_accepted(shape):
    check_mask(torch.ones(shape, dtype=torch.bool), (2, 3, 4, 5))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_both_paths_refuse_what_cannot_be_right(need_weights, training):
    module = module_of().train(training)
    x = torch.randn(2, 4, D)
    with pytest.raises(TypeError, match=r"must be torch\.bool"):
        module(x, torch.ones(2, 1, 1, 4), need_weights)
    with pytest.raises(ValueError, match=r"mask has shape \(2, 4\)"):
        module(x, torch.ones(2, 4, dtype=torch.bool), need_weights)
    with pytest.raises(ValueError, match=r"x has shape \(2, 4, 11\)"):
        module(torch.randn(2, 4, 11), None, need_weights)
    with pytest.raises(ValueError, match=r"x has shape \(4, 12\)"):
        module(torch.randn(4, D), None, need_weights)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="num_attention_heads"):
        BertConfig(hidden_size=10, num_attention_heads=3)


# ---------------------------------------------------------------------- the two paths


@pytest.mark.parametrize("name", masks(2, 5))
def test_fast_and_explicit_give_the_same_output(name):
    module = module_of().eval()
    x, mask = torch.randn(2, 5, D), masks(2, 5)[name]
    fast, nothing = module(x, mask)
    explicit, weights = module(x, mask, need_weights=True)
    assert nothing is None and weights.shape == (2, H, 5, 5)
    torch.testing.assert_close(fast, explicit)


@pytest.mark.parametrize("name", masks(2, 5))
def test_fast_and_explicit_give_the_same_gradients(name):
    module = module_of().eval()
    x, mask = torch.randn(2, 5, D, requires_grad=True), masks(2, 5)[name]
    inputs = [x, *module.parameters()]
    slopes = [
        torch.autograd.grad(module(x, mask, need)[0].sin().sum(), inputs)
        for need in (False, True)
    ]
    for fast, explicit in zip(*slopes, strict=True):
        assert fast.isfinite().all()
        torch.testing.assert_close(fast, explicit, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("need_weights", [False, True])
def test_dropout_works_in_training_only(need_weights):
    module = module_of(dropout=0.5)
    x = torch.randn(2, 5, D)
    module.train()
    assert not torch.equal(module(x, None, need_weights)[0], module(x)[0])
    module.eval()
    first, second = (module(x, None, need_weights)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_float64_goes_through_both_paths():
    module = module_of().double().eval()
    x = torch.randn(2, 5, D, dtype=torch.float64)
    fast, _ = module(x)
    explicit, weights = module(x, need_weights=True)
    assert fast.dtype == weights.dtype == torch.float64
    torch.testing.assert_close(fast, explicit, atol=1e-12, rtol=1e-12)


def test_bf16_is_close_to_float32_on_both_paths():
    module = module_of().eval()
    x = torch.randn(2, 5, D)
    want, _ = module(x)
    for need_weights in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got, _ = module(x, None, need_weights)
        torch.testing.assert_close(got.float(), want, atol=0.05, rtol=0.05)


def test_the_number_of_heads_does_not_change_the_number_of_parameters():
    counts = {
        sum(
            p.numel()
            for p in MultiHeadSelfAttention(
                BertConfig(hidden_size=D, num_attention_heads=heads)
            ).parameters()
        )
        for heads in (1, 3, 12)
    }
    assert counts == {4 * (D * D + D)}


# ----------------------------------------------------------------------- the pictures


@pytest.fixture(autouse=True)
def close_figures():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_a_heatmap_names_rows_and_columns():
    ax = heatmap(torch.rand(2, 3), ["a", "b"], keys=["x", "y", "z"], title="t")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "z"]
    assert ax.get_title(loc="center") + ax.get_title(loc="left") == "t"


def test_a_small_heatmap_writes_the_weights():
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    ax = heatmap(weights, ["a", "b"])
    assert [t.get_text() for t in ax.texts] == ["0.25", "0.75", "1.00", "0.00"]


def test_a_large_heatmap_writes_no_numbers():
    assert not heatmap(torch.rand(7, 7), list("abcdefg")).texts


def test_a_heatmap_draws_where_it_is_told_to():
    _, ax = plt.subplots()
    assert heatmap(torch.rand(2, 2), ["a", "b"], ax=ax) is ax


def test_a_heatmap_takes_weights_that_need_a_gradient_and_bf16():
    weights = torch.rand(2, 2, requires_grad=True).bfloat16()
    assert heatmap(weights, ["a", "b"]).images


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,), (1, 2, 2)])
def test_names_that_do_not_fit_the_weights_are_refused(shape):
    with pytest.raises(ValueError, match=r"need shape \(2, 2\)"):
        heatmap(torch.rand(shape), ["a", "b"])


@pytest.mark.parametrize("number", [1, 3, 4, 5])
def test_every_head_gets_one_picture(number):
    figure = heads(torch.rand(number, 3, 3), ["a", "b", "c"])
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == number
    titles = [ax.get_title(loc="left") + ax.get_title() for ax in shown]
    assert all(str(i) in title for i, title in enumerate(titles))
