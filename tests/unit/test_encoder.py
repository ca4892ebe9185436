"""The encoder layer and the stack: what holds beside the numbers."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bertlib.config import HIDDEN_ACTS, BertConfig
from bertlib.encoder import ACTIVATIONS, BertEncoder, BertLayer, gelu, gelu_tanh

SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
}


def config_of(**changes: object) -> BertConfig:
    return BertConfig(**{**SIZES, **changes})  # type: ignore[arg-type]


def layer_of(seed: int = 0, **changes: object) -> BertLayer:
    torch.manual_seed(seed)
    layer = BertLayer(config_of(**changes))
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)  # norms and biases too
    return layer


def encoder_of(seed: int = 0, **changes: object) -> BertEncoder:
    torch.manual_seed(seed)
    return BertEncoder(config_of(**changes))


# ----------------------------------------------------------------------- activations


def test_every_activation_a_config_may_name_is_there():
    assert set(ACTIVATIONS) == set(HIDDEN_ACTS)


def test_gelu_is_x_times_the_normal_distribution_function():
    for x in (-3.0, -0.5, 0.0, 1.0, 2.5):
        phi = 0.5 * (1 + math.erf(x / math.sqrt(2)))
        assert math.isclose(gelu(torch.tensor(x).double()).item(), x * phi)


def test_gelu_tanh_is_the_formula_of_the_original_code():
    for x in (-3.0, -0.5, 0.0, 1.0, 2.5):
        cubic = x + 0.044715 * x**3
        want = 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * cubic))
        assert math.isclose(gelu_tanh(torch.tensor(x).double()).item(), want)


def test_the_two_forms_differ_by_less_than_five_ten_thousandths():
    x = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    largest = (gelu(x) - gelu_tanh(x)).abs().max()
    assert 4.7e-4 < largest < 5e-4


@pytest.mark.parametrize("name", HIDDEN_ACTS)
def test_activations_stay_finite_at_extreme_values(name):
    x = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    y = ACTIVATIONS[name](x)
    torch.testing.assert_close(y, torch.tensor([0.0, 0.0, 1e4]))
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("name", HIDDEN_ACTS)
def test_the_layer_uses_the_activation_of_the_config(name):
    layer = layer_of(hidden_act=name).eval()
    seen = []
    layer.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    before = []
    layer.intermediate.register_forward_hook(lambda _, i, out: before.append(out))
    layer(torch.randn(2, 4, 12))
    torch.testing.assert_close(seen[0], ACTIVATIONS[name](before[0]))


# ------------------------------------------------------------------------- the layer


def test_the_layer_has_the_names_that_chapter_5_maps():
    names = {name.split(".")[0] for name, _ in layer_of().named_parameters()}
    assert names == {
        "attention",
        "attention_norm",
        "intermediate",
        "output",
        "output_norm",
    }


def test_the_layer_is_post_ln():
    layer = layer_of().eval()
    x = torch.randn(2, 4, 12)
    h = layer.attention_norm(x + layer.attention(x)[0])
    want = layer.output_norm(h + layer.output(F.gelu(layer.intermediate(h))))
    torch.testing.assert_close(layer(x)[0], want)


def test_with_silent_parts_only_the_two_norms_are_left():
    layer = layer_of().eval()
    for part in (layer.attention.output, layer.output):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    x = torch.randn(2, 4, 12)
    want = layer.output_norm(layer.attention_norm(x))
    torch.testing.assert_close(layer(x)[0], want)


def test_eps_comes_from_the_config():
    layer = layer_of(layer_norm_eps=0.25)
    assert layer.attention_norm.eps == layer.output_norm.eps == 0.25


def test_the_two_norms_are_two():
    layer = layer_of()
    assert layer.attention_norm is not layer.output_norm


def test_the_number_of_parameters_is_the_formula():
    D, width = 12, 20
    count = sum(p.numel() for p in layer_of().parameters())
    assert count == 4 * (D * D + D) + 2 * D * width + width + D + 4 * D


def test_weights_come_only_when_asked_for():
    layer = layer_of().eval()
    x = torch.randn(2, 4, 12)
    assert layer(x)[1] is None
    assert layer(x, need_weights=True)[1].shape == (2, 3, 4, 4)


def test_asking_for_weights_does_not_change_the_output():
    layer = layer_of().eval()
    x = torch.randn(2, 4, 12)
    torch.testing.assert_close(layer(x)[0], layer(x, need_weights=True)[0])


def test_shuffled_tokens_come_out_shuffled():
    layer = layer_of().eval()
    x, order = torch.randn(2, 5, 12), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(layer(x[:, order])[0], layer(x)[0][:, order])


def test_sentences_of_a_batch_do_not_hear_of_each_other():
    layer = layer_of().eval()
    x = torch.randn(3, 4, 12)
    torch.testing.assert_close(layer(x)[0][1:2], layer(x[1:2])[0])


def test_padding_changes_nothing():
    layer = layer_of().eval()
    x = torch.randn(1, 6, 12)
    mask = torch.tensor([[[[True, True, True, True, False, False]]]])
    torch.testing.assert_close(layer(x, mask)[0][:, :4], layer(x[:, :4])[0])


def test_the_input_is_left_as_it_was():
    layer = layer_of().train()
    x = torch.randn(2, 4, 12)
    before = x.clone()
    layer(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(4, 12), (2, 4, 11), (2, 3, 4, 12)])
def test_an_input_of_the_wrong_shape_is_refused(shape):
    for training in (True, False):
        with pytest.raises(ValueError, match=r"x has shape .* \(B, T, 12\)"):
            layer_of().train(training)(torch.randn(shape))


def test_a_mask_of_numbers_is_refused():
    for training in (True, False):
        with pytest.raises(TypeError, match=r"mask has dtype torch.float32"):
            layer_of().train(training)(torch.randn(2, 4, 12), torch.ones(2, 1, 1, 4))


def test_a_mask_that_does_not_broadcast_is_refused():
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    for training in (True, False):
        with pytest.raises(ValueError, match=r"mask has shape \(2, 1, 1, 5\)"):
            layer_of().train(training)(torch.randn(2, 4, 12), mask)


# --------------------------------------------------------------------------- dropout


def test_there_is_no_dropout_in_evaluation():
    layer = layer_of().eval()
    x = torch.randn(2, 4, 12)
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize("silent", ["attention.output", "output"])
def test_each_change_is_dropped_in_training(silent):
    layer = layer_of(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.0)
    part = layer.get_submodule(silent)
    nn.init.zeros_(part.weight)
    nn.init.zeros_(part.bias)
    x = torch.randn(2, 4, 12)
    assert not torch.equal(layer(x)[0], layer(x)[0])


def test_the_stream_itself_is_never_dropped():
    layer = layer_of(hidden_dropout_prob=0.5)
    for part in (layer.attention.output, layer.output):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    x = torch.randn(2, 4, 12)
    torch.testing.assert_close(layer.train()(x)[0], layer.eval()(x)[0])


def test_hidden_numbers_of_the_feed_forward_network_are_never_dropped():
    layer = layer_of(hidden_dropout_prob=0.5).train()
    seen = []
    layer.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    layer(torch.randn(2, 4, 12))
    assert (seen[0] != 0).all()


# ------------------------------------------------------------------------- the stack


def test_the_stack_has_layers_of_its_own():
    encoder = encoder_of()
    assert len(encoder.layers) == 3
    assert len({id(p) for p in encoder.parameters()}) == 3 * 16
    first, second = encoder.layers[0], encoder.layers[1]
    assert not torch.equal(first.intermediate.weight, second.intermediate.weight)


def test_the_stack_is_its_layers_one_after_the_other():
    encoder = encoder_of().eval()
    x = torch.randn(2, 4, 12)
    want, weights = x, []
    for layer in encoder.layers:
        want, looked = layer(want, None, need_weights=True)
        weights.append(looked)
    out, attentions = encoder(x, output_attentions=True)
    torch.testing.assert_close(out, want)
    assert isinstance(attentions, tuple) and len(attentions) == 3
    for got, looked in zip(attentions, weights, strict=True):
        torch.testing.assert_close(got, looked)


def test_the_stack_returns_no_attentions_unless_asked():
    assert encoder_of().eval()(torch.randn(2, 4, 12))[1] is None


def test_every_layer_gets_the_mask():
    encoder = encoder_of().eval()
    mask = torch.tensor([[[[True, True, False, True]]]])
    _, attentions = encoder(torch.randn(2, 4, 12), mask, output_attentions=True)
    for weights in attentions:
        assert (weights[..., 2] == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4))


def test_an_empty_sentence_in_the_batch_gives_no_nan():
    encoder = encoder_of().eval()
    x = torch.randn(2, 4, 12, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]]).bool()[:, None, None, :]
    for wanted in (False, True):
        out, _ = encoder(x, mask, output_attentions=wanted)
        assert out.isfinite().all()
        assert torch.autograd.grad(out.sin().sum(), x)[0].isfinite().all()


def test_every_parameter_of_the_stack_gets_a_gradient():
    encoder = encoder_of().train()
    encoder(torch.randn(2, 4, 12))[0].sin().sum().backward()
    # A bias of the keys adds the same to a whole row of scores: no effect at all.
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("key.bias"):
            assert parameter.grad.abs().max() > 1e-8, name


def test_the_stack_works_in_float64():
    encoder = encoder_of().double().eval()
    x = torch.randn(2, 4, 12, dtype=torch.float64)
    out, attentions = encoder(x, output_attentions=True)
    assert out.dtype == attentions[0].dtype == torch.float64


def test_bf16_autocast_stays_close_to_float32():
    encoder = encoder_of().eval()
    x = torch.randn(2, 4, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = encoder(x)
    torch.testing.assert_close(out.float(), encoder(x)[0], atol=0.1, rtol=0.1)


def test_one_token_and_one_layer_work():
    encoder = encoder_of(num_hidden_layers=1).eval()
    out, attentions = encoder(torch.randn(1, 1, 12), output_attentions=True)
    assert out.shape == (1, 1, 12)
    assert torch.equal(attentions[0], torch.ones(1, 3, 1, 1))
