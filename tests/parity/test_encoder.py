"""The layer and the stack against transformers and torch, weights copied."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig as TheirConfig
from transformers.models.bert import modeling_bert as theirs_module

from bertlib.config import BertConfig
from bertlib.encoder import BertEncoder, BertLayer


@dataclass(frozen=True)
class Case:
    """One random small configuration and the batch that goes through it."""

    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    num_hidden_layers: int
    layer_norm_eps: float
    hidden_act: str
    B: int
    T: int

    @property
    def sizes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in "BT"}


CASES = [
    Case(12, 3, 20, 3, 1e-12, "gelu", 2, 5),
    Case(16, 4, 64, 2, 1e-5, "gelu", 3, 9),
    Case(24, 2, 10, 4, 0.1, "gelu_new", 2, 7),
    Case(8, 8, 33, 1, 1e-3, "gelu_new", 4, 1),
    Case(32, 1, 128, 2, 1e-7, "gelu_pytorch_tanh", 2, 12),
    Case(20, 5, 16, 3, 0.5, "relu", 5, 6),
]
NAMES = {  # ours -> theirs
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}


def randomise(module: nn.Module) -> None:
    """Weights and biases that no two places share; norms near 1."""
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, std=0.2)
        if "norm" in name and name.endswith("weight"):
            nn.init.normal_(parameter, mean=1.0, std=0.2)


def copy_layer(ours: nn.Module, theirs: nn.Module) -> None:
    for mine, other in NAMES.items():
        part = theirs.get_submodule(other)
        part.load_state_dict(ours.get_submodule(mine).state_dict())


def batch_of(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, our mask, and the mask in the form that transformers adds to the scores."""
    x = torch.randn(case.B, case.T, case.hidden_size)
    lengths = torch.randint(1, case.T + 1, (case.B, 1))
    lengths[0] = case.T  # and no sentence is empty
    mask = (torch.arange(case.T) < lengths)[:, None, None, :]
    shift = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    return x, mask, shift


def their_config(case: Case) -> TheirConfig:
    config = TheirConfig(**case.sizes)
    config._attn_implementation = "eager"
    return config


def assert_close(got: Any, want: Any, name: str = "") -> None:
    torch.testing.assert_close(
        got, want, atol=1e-5, rtol=1e-5, msg=lambda text: f"{name}: {text}"
    )


def assert_same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    for mine, other in NAMES.items():
        one, two = ours.get_submodule(mine), theirs.get_submodule(other)
        assert_close(one.weight.grad, two.weight.grad, f"{mine}.weight")
        assert_close(one.bias.grad, two.bias.grad, f"{mine}.bias")


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer_equals_transformers(case, need_weights):
    torch.manual_seed(case.hidden_size)
    ours = BertLayer(BertConfig(**case.sizes)).eval()
    theirs = theirs_module.BertLayer(their_config(case)).eval()
    randomise(ours)
    copy_layer(ours, theirs)
    x, mask, shift = batch_of(case)
    out, weights = ours(x, mask, need_weights)
    want = theirs(x, shift)
    want = want[0] if isinstance(want, tuple) else want
    assert_close(out, want)
    if need_weights:
        assert_close(weights, theirs.attention.self(x, shift)[1])
    out.sin().mean().backward()
    want.sin().mean().backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("output_attentions", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_stack_equals_transformers(case, output_attentions):
    torch.manual_seed(case.hidden_size)
    ours = BertEncoder(BertConfig(**case.sizes)).eval()
    theirs = theirs_module.BertEncoder(their_config(case)).eval()
    randomise(ours)
    wanted: list[torch.Tensor] = []
    for mine, other in zip(ours.layers, theirs.layer, strict=True):
        copy_layer(mine, other)
        other.attention.self.register_forward_hook(
            lambda _, inputs, result: wanted.append(result[1])
        )
    x, mask, shift = batch_of(case)
    out, attentions = ours(x, mask, output_attentions)
    want = theirs(x, shift).last_hidden_state
    assert_close(out, want)
    if output_attentions:
        assert len(attentions) == len(wanted) == case.num_hidden_layers
        for layer, (got, weights) in enumerate(zip(attentions, wanted, strict=True)):
            assert_close(got, weights, f"attention of layer {layer}")
    out.sin().mean().backward()
    want.sin().mean().backward()
    for mine, other in zip(ours.layers, theirs.layer, strict=True):
        assert_same_gradients(mine, other)


@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_layer_equals_torch_encoder_layer(case):
    torch.manual_seed(case.hidden_size)
    ours = BertLayer(BertConfig(**case.sizes)).eval()
    randomise(ours)
    theirs = nn.TransformerEncoderLayer(
        case.hidden_size,
        case.num_attention_heads,
        case.intermediate_size,
        activation="gelu",
        layer_norm_eps=case.layer_norm_eps,
        batch_first=True,
        norm_first=False,
    ).eval()
    a = ours.attention
    with torch.no_grad():
        parts = [a.query, a.key, a.value]
        theirs.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
    theirs.self_attn.out_proj.load_state_dict(a.output.state_dict())
    theirs.linear1.load_state_dict(ours.intermediate.state_dict())
    theirs.linear2.load_state_dict(ours.output.state_dict())
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.output_norm.state_dict())
    x, mask, _ = batch_of(case)
    want = theirs(x, src_key_padding_mask=~mask[:, 0, 0])
    assert_close(ours(x, mask)[0], want)


def test_the_wrong_form_of_gelu_would_be_noticed():
    case = CASES[0]
    torch.manual_seed(0)
    exact = BertLayer(BertConfig(**case.sizes)).eval()
    tanh = BertLayer(BertConfig(**{**case.sizes, "hidden_act": "gelu_new"})).eval()
    randomise(exact)
    tanh.load_state_dict(exact.state_dict())
    x, mask, _ = batch_of(case)
    assert (exact(x, mask)[0] - tanh(x, mask)[0]).abs().max() > 2e-5
