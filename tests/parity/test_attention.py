"""Self-attention against nn.MultiheadAttention and transformers, weights copied."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig as TheirConfig
from transformers.models.bert.modeling_bert import BertSelfAttention, BertSelfOutput

from bertlib.attention import MultiHeadSelfAttention
from bertlib.config import BertConfig

# D, H, B, T
SHAPES = [(12, 3, 2, 5), (8, 1, 3, 4), (6, 6, 1, 7), (32, 4, 4, 1), (48, 12, 2, 17)]


def ours_of(D: int, H: int, seed: int) -> MultiHeadSelfAttention:
    torch.manual_seed(seed)
    module = MultiHeadSelfAttention(
        BertConfig(hidden_size=D, num_attention_heads=H)
    ).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=D**-0.5)
    return module


def tokens_of(B: int, T: int) -> torch.Tensor:
    """(B, T), True for a token; the first sentence is full, no sentence is empty."""
    lengths = torch.randint(1, T + 1, (B, 1))
    lengths[0] = T
    return torch.arange(T) < lengths


def torch_of(ours: MultiHeadSelfAttention, D: int, H: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, H, batch_first=True).eval()
    parts = [ours.query, ours.key, ours.value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs


def assert_close(got: Any, want: Any) -> None:
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(("D", "H", "B", "T"), SHAPES)
def test_equals_torch_multihead_attention(D, H, B, T, need_weights):
    ours = ours_of(D, H, seed=D)
    theirs = torch_of(ours, D, H)
    x, tokens = torch.randn(B, T, D), tokens_of(B, T)
    out, weights = ours(x, tokens[:, None, None, :], need_weights)
    want, wanted = theirs(x, x, x, key_padding_mask=~tokens, average_attn_weights=False)
    assert_close(out, want)
    if need_weights:
        assert_close(weights, wanted)
    out.sin().mean().backward()
    want.sin().mean().backward()
    for part, grad in zip(
        [ours.query, ours.key, ours.value],
        theirs.in_proj_weight.grad.split(D),
        strict=True,
    ):
        assert_close(part.weight.grad, grad)
    assert_close(ours.output.weight.grad, theirs.out_proj.weight.grad)
    assert_close(ours.output.bias.grad, theirs.out_proj.bias.grad)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(("D", "H", "B", "T"), SHAPES)
def test_equals_transformers_self_attention(D, H, B, T, need_weights):
    config = TheirConfig(hidden_size=D, num_attention_heads=H)
    config._attn_implementation = "eager"
    theirs, dense = BertSelfAttention(config).eval(), BertSelfOutput(config).dense
    ours = ours_of(D, H, seed=D)
    pairs = [
        (ours.query, theirs.query),
        (ours.key, theirs.key),
        (ours.value, theirs.value),
        (ours.output, dense),
    ]
    for mine, other in pairs:
        other.load_state_dict(mine.state_dict())
    x, tokens = torch.randn(B, T, D), tokens_of(B, T)
    shift = torch.zeros(B, 1, 1, T).masked_fill(
        ~tokens[:, None, None, :], torch.finfo(torch.float32).min
    )
    out, weights = ours(x, tokens[:, None, None, :], need_weights)
    context, wanted = theirs(x, shift)
    want = dense(context)
    assert_close(out, want)
    if need_weights:
        assert_close(weights, wanted)
    out.sin().mean().backward()
    want.sin().mean().backward()
    for mine, other in pairs:
        assert_close(mine.weight.grad, other.weight.grad)
        assert_close(mine.bias.grad, other.bias.grad)
