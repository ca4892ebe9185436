"""The checks of chapter 4: the encoder layer and the stack."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.config import BertConfig
from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)


@exercise("4.1")
def check_gelu(gelu: Any) -> None:
    """Both forms of GELU against PyTorch's."""
    z = torch.tensor([[-2.5, -1.0, -0.5], [0.0, 1.0, 2.5]])
    given = f"z {show(z)}"
    exact, tanh = F.gelu(z), F.gelu(z, approximate="tanh")
    root = math.sqrt(2 / math.pi)
    both = {
        "tanh of z alone; it is the root times (z + 0.044715 z^3)": (
            0.5 * z * (1 + torch.tanh(z))
        ),
        "this is the ReLU": F.relu(z),
        "this is z * sigmoid(1.702 z), a third approximation": z
        * torch.sigmoid(1.702 * z),
        "this is z * sigmoid(z), called SiLU": F.silu(z),
    }
    expect_close(
        call(gelu, z),
        exact,
        "The exact form is wrong.",
        given=given,
        mistakes={
            "this is the form with tanh; without tanh=True the exact one is "
            "asked for": tanh,
            "erf(z) instead of erf(z / sqrt 2): libraries define erf for another "
            "variance": 0.5 * z * (1 + torch.erf(z)),
            "erf(z * sqrt 2) instead of erf(z / sqrt 2)": 0.5
            * z
            * (1 + torch.erf(z * math.sqrt(2))),
            "the factor 1/2 is missing": 2 * exact,
            "a bracket is missing around 1 + erf(...)": 0.5 * z
            + torch.erf(z / math.sqrt(2)),
            "this is phi(z) alone; it must be multiplied by z": 0.5
            * (1 + torch.erf(z / math.sqrt(2))),
            "z times the density of the normal, not its distribution function": z
            * torch.exp(-z * z / 2)
            / math.sqrt(2 * math.pi),
            **both,
        },
        likely="where the numbers are close, it is an approximation; the exact form is "
        "0.5 z (1 + erf(z / sqrt 2))",
    )
    cubic = z + 0.044715 * z**3
    expect_close(
        call(gelu, z, tanh=True),
        tanh,
        "The form with tanh is wrong.",
        given=f"{given}, tanh=True",
        mistakes={
            "this is the exact form; tanh=True asks for the other": exact,
            "the root multiplies z alone; the bracket holds z + 0.044715 z^3": 0.5
            * z
            * (1 + torch.tanh(root * z + 0.044715 * z**3)),
            "z squared instead of z cubed": 0.5
            * z
            * (1 + torch.tanh(root * (z + 0.044715 * z**2))),
            "the root of 2/pi is missing": 0.5 * z * (1 + torch.tanh(cubic)),
            "2/pi without the root": 0.5 * z * (1 + torch.tanh(2 / math.pi * cubic)),
            "the factor 1/2 is missing": 2 * tanh,
            "the constant is 0.044715, with a zero after the point": 0.5
            * z
            * (1 + torch.tanh(root * (z + 0.44715 * z**3))),
            "the term with z cubed is missing": 0.5 * z * (1 + torch.tanh(root * z)),
            **both,
        },
        likely="a sign, a constant or a bracket in 0.5 z (1 + tanh(sqrt(2 / pi) "
        "(z + 0.044715 z^3)))",
    )
    _gelu_extremes(gelu)


def _gelu_extremes(gelu: Any) -> None:
    for tanh in (False, True):
        z = torch.tensor([-100.0, 100.0], requires_grad=True)
        given = f"z [-100.0, 100.0], tanh={tanh}"
        result = gelu(z, tanh=tanh)
        expect_tensor(result, "The result.", given=given)
        expect_close(
            result,
            torch.tensor([0.0, 100.0]),
            "Large numbers break it.",
            given=given,
            likely="a hand-made tanh or erf: exp overflows; torch.tanh does not",
        )
        expect(
            result.requires_grad,
            "The result has lost its gradient.",
            given=f"{given}; z asks for a gradient",
            likely="detach, .data, .item() or torch.no_grad; stay with tensors",
        )
        result.sum().backward()
        expect_close(
            z.grad,
            torch.tensor([0.0, 1.0]),
            "The gradient of large numbers is wrong.",
            given=given,
            likely="clamp, where or nan_to_num cuts the gradient, or hides a NaN in it",
        )
        z = torch.tensor([-1.5, 0.5], requires_grad=True)
        want = torch.tensor([-1.5, 0.5], requires_grad=True)
        gelu(z, tanh=tanh).sum().backward()
        F.gelu(want, approximate="tanh" if tanh else "none").sum().backward()
        expect_close(
            z.grad,
            want.grad if want.grad is not None else want,
            "The gradient is wrong.",
            given=f"z [-1.5, 0.5], tanh={tanh}",
            likely="a part of the formula was detached",
        )


def _linear(module: Any, name: str, width: int, out: int, given: str) -> nn.Linear:
    layer = getattr(module, name, None)
    expect(
        isinstance(layer, nn.Linear),
        f"There must be a layer self.{name} = nn.Linear({width}, {out}).",
        given=given,
        likely=f"another name, or a layer inside an nn.Sequential; it must be "
        f"self.{name}",
    )
    assert isinstance(layer, nn.Linear)
    if tuple(layer.weight.shape) != (out, width):
        raise Wrong(
            f"self.{name} maps {layer.in_features} to {layer.out_features} numbers; "
            f"it must map {width} to {out}.",
            given=given,
            likely="the hidden width was taken to be 4 D; it is given"
            if 4 * min(width, out) in layer.weight.shape
            else "the two layers, or their widths, are swapped",
        )
    expect(
        layer.bias is not None,
        f"self.{name} has no bias.",
        given=given,
        likely="bias=False; every linear layer of BERT has one",
    )
    return layer


@exercise("4.2")
def check_feed_forward(cls: Any) -> None:
    """Linear, exact GELU, linear, on the last axis."""
    given = "D = 6, F = 20"
    module = cls(6, 20)
    widen = _linear(module, "intermediate", 6, 20, given)
    narrow = _linear(module, "output", 20, 6, given)
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # biases too: none may be forgotten
    x = torch.randn(3, 4, 6)
    given = "D = 6, F = 20, x of shape (3, 4, 6)"
    got = call(module, x)
    z = F.linear(x, widen.weight, widen.bias)
    right = F.linear(F.gelu(z), narrow.weight, narrow.bias)
    expect_close(
        got,
        right,
        "The output is wrong.",
        given=given,
        mistakes={
            "the activation is missing: two linear layers make one": narrow(z),
            "the activation is ReLU; BERT has GELU": narrow(F.relu(z)),
            "the GELU is the form with tanh; the exact one is asked for": narrow(
                F.gelu(z, approximate="tanh")
            ),
            "a second activation at the end: the output layer comes last": F.gelu(
                right
            ),
            "the activation comes after the second layer; it belongs between the "
            "two": F.gelu(narrow(z)),
            "the activation comes before the first layer; it belongs between the "
            "two": narrow(widen(F.gelu(x))),
            "the input is added: the residual comes later, outside of this "
            "network": right + x,
            "the bias of the first layer is left out": narrow(
                F.gelu(x @ widen.weight.T)
            ),
            "the bias of the second layer is left out": F.gelu(z) @ narrow.weight.T,
            "a mean over the tokens; each token stands alone": right.mean(
                1, keepdim=True
            ).expand_as(right),
            "the output is normalised: LayerNorm comes later, outside of this "
            "network": F.layer_norm(right, (6,)),
        },
        likely="self.output(F.gelu(self.intermediate(x))), and nothing else; no "
        "dropout yet",
    )
    for shape in [(6,), (2, 6), (2, 3, 4, 6)]:
        x = torch.randn(shape, requires_grad=True)
        expect_close(
            module(x),
            narrow(F.gelu(widen(x))),
            "It works for (B, T, D), and not for another number of axes.",
            given=f"x of shape {shape}",
            likely="a fixed axis number, or a reshape; nn.Linear works on the last "
            "axis by itself",
        )
    result, want = module(x), narrow(F.gelu(widen(x)))
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given="x of shape (2, 3, 4, 6), which asks for a gradient",
        likely="detach, .data or torch.no_grad; stay with tensors",
    )
    expect_close(
        torch.autograd.grad(result.sin().sum(), x)[0],
        torch.autograd.grad(want.sin().sum(), x)[0],
        "The gradient is wrong.",
        given="x of shape (2, 3, 4, 6)",
        likely="a part was detached",
        tol=1e-4,
    )


class _Doubles(nn.Module):
    """In the place of dropout: what went through it can be told."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@exercise("4.3")
def check_add_and_norm(add_and_norm: Any) -> None:
    """Dropout on the change, then the sum, then the norm."""
    norm = nn.LayerNorm(4, eps=0.1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 3.0]))
    dropout = _Doubles()
    x = torch.tensor([[[1.0, 2.0, 0.0, 4.0]], [[0.0, -1.0, 3.0, 1.0]]])
    change = torch.tensor([[[0.5, -1.0, 2.0, 0.0]], [[1.0, 1.0, -2.0, 0.5]]])
    given = "B = 2, T = 1, D = 4; in the place of dropout stands a module that doubles"
    right = norm(x + 2 * change)
    expect_close(
        call(add_and_norm, x, change, norm, dropout),
        right,
        "The stream after the step is wrong.",
        given=given,
        mistakes={
            "there is no dropout": norm(x + change),
            "dropout hits the sum, and so the stream itself; it belongs on the "
            "change alone": norm(2 * (x + change)),
            "dropout hits the stream; it belongs on the change": norm(2 * x + change),
            "dropout comes after the norm; it belongs on the change": 2
            * norm(x + change),
            "dropout is called twice, on the change and after the norm": 2 * right,
            "x is not added: this is no residual": norm(2 * change),
            "the change is normalised, and not the sum: LayerNorm comes last": x
            + norm(2 * change),
            "the change is normalised before dropout, and the sum not at all": x
            + 2 * norm(change),
            "the stream is normalised before the sum; post-LN normalises the sum": (
                norm(x) + 2 * change
            ),
            "both terms are normalised, each for itself; normalise the sum": norm(x)
            + norm(2 * change),
            "the norm is missing": x + 2 * change,
            "x is added once more after the norm": x + right,
            "the change is subtracted": norm(x - 2 * change),
            "a norm of its own: the scale, shift and eps of the one that is given "
            "are not used": F.layer_norm(x + 2 * change, (4,)),
        },
        likely="norm(x + dropout(change))",
    )
    # In evaluation nn.Dropout hands back the very tensor that it was given.
    expect_close(
        call(add_and_norm, x, change, norm, nn.Dropout().eval()),
        norm(x + change),
        "With a dropout that drops nothing, the stream after the step is wrong.",
        given="the same x and change, and nn.Dropout in evaluation",
    )
    x.requires_grad_()
    change.requires_grad_()
    result = add_and_norm(x, change, norm, dropout)
    want = torch.autograd.grad(norm(x + 2 * change).sin().sum(), [x, change])
    for name, tensor, slope in zip(["x", "change"], [x, change], want, strict=True):
        got = None
        if result.requires_grad:
            (got,) = torch.autograd.grad(
                result.sin().sum(), tensor, retain_graph=True, allow_unused=True
            )
        expect(
            got is not None,
            f"No gradient reaches {name}.",
            given=f"{given}; x and change ask for a gradient",
            likely="detach, .data or torch.no_grad on the way",
        )
        expect_close(
            got,
            slope,
            f"The gradient of {name} is wrong.",
            given=given,
            likely="a part was detached",
        )


SIZES: dict[str, Any] = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "attention_probs_dropout_prob": 0.0,
}
GIVEN = "D = 12, H = 3, F = 20"


def _randomise(module: nn.Module) -> None:
    """Weights, biases and norms that no two places share."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.4)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)


def _torch_layer(layer: Any, config: BertConfig) -> nn.TransformerEncoderLayer:
    """PyTorch's encoder layer with copies of an answer's own weights."""
    oracle = nn.TransformerEncoderLayer(
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        activation="gelu",
        layer_norm_eps=config.layer_norm_eps,
        batch_first=True,
        norm_first=False,
    ).eval()
    a = layer.attention
    copies: dict[Any, Any] = {
        oracle.self_attn.out_proj: a.output,
        oracle.linear1: layer.intermediate,
        oracle.linear2: layer.output,
        oracle.norm1: layer.attention_norm,
        oracle.norm2: layer.output_norm,
    }
    with torch.no_grad():
        three = [a.query, a.key, a.value]
        oracle.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in three]))
        oracle.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in three]))
        for to, source in copies.items():
            to.weight.copy_(source.weight)
            to.bias.copy_(source.bias)
    return oracle


def _make_layer(cls: Any, **changes: Any) -> tuple[Any, BertConfig]:
    """An answer to exercise 4.4 with its parts checked."""
    config = BertConfig(**{**SIZES, **changes})
    module = cls(config)
    attention = getattr(module, "attention", None)
    expect(
        all(hasattr(attention, name) for name in ("query", "key", "value", "output")),
        "There must be self.attention = MultiHeadSelfAttention(config).",
        given=GIVEN,
        likely="another name, or another class: it has query, key, value and output",
    )
    _linear(module, "intermediate", 12, 20, GIVEN)
    _linear(module, "output", 20, 12, GIVEN)
    for name in ("attention_norm", "output_norm"):
        norm = getattr(module, name, None)
        expect(
            isinstance(norm, nn.Module)
            and getattr(getattr(norm, "weight", None), "shape", ()) == (12,),
            f"There must be self.{name} = nn.LayerNorm(D, eps=...).",
            given=GIVEN,
            likely="LayerNorm over another axis, or another name",
        )
        eps = getattr(norm, "eps", config.layer_norm_eps)
        expect(
            eps == config.layer_norm_eps,
            f"self.{name} has eps {eps}; the config says {config.layer_norm_eps}.",
            given=GIVEN,
            likely="nn.LayerNorm(D) takes 1e-5; pass eps=config.layer_norm_eps",
        )
    expect(
        module.attention_norm is not module.output_norm,
        "One norm serves both places.",
        given=GIVEN,
        likely="self.output_norm = self.attention_norm; make two, each with a scale "
        "and a shift of its own",
    )
    _randomise(module)
    return module, config


@exercise("4.4")
def check_layer(cls: Any) -> None:
    """One post-LN layer against nn.TransformerEncoderLayer."""
    module, config = _make_layer(cls, layer_norm_eps=0.1, hidden_dropout_prob=0.5)
    module.eval()
    x = torch.randn(2, 5, 12)
    given = f"{GIVEN}, x of shape (2, 5, 12), in evaluation"
    got = call(module, x)
    expect_tensor(got, "The output.", given=given)
    expect(
        torch.equal(got, module(x)),
        "Two calls in evaluation give two results.",
        given=given,
        likely="dropout is active in evaluation; nn.Dropout knows by itself, "
        "F.dropout needs training=self.training",
    )
    oracle = _torch_layer(module, config)
    expect_close(
        got,
        oracle(x),
        "The output differs from nn.TransformerEncoderLayer's.",
        given=given,
        mistakes=_layer_mistakes(module, x),
        likely="attention, add, norm, feed-forward, add, norm: print the shapes and "
        "compare step by step with the drawing",
    )
    _layer_padding(module, oracle)
    _layer_gradient(module, oracle)
    _layer_dropout(cls)


def _layer_mistakes(module: Any, x: Tensor) -> dict[str, Tensor]:
    n1, n2 = module.attention_norm, module.output_norm

    def attend(x: Tensor) -> Tensor:
        return module.attention(x)[0]

    def feed(h: Tensor, act: Any = F.gelu) -> Tensor:
        return module.output(act(module.intermediate(h)))

    h = n1(x + attend(x))
    pre = x + attend(n1(x))
    tanh = feed(h, lambda z: F.gelu(z, approximate="tanh"))
    return {
        "this is pre-LN: BERT normalises after the sum, norm(x + part(x))": (
            pre + feed(n2(pre))
        ),
        "the second half is pre-LN: normalise the sum": h + feed(n2(h)),
        "the activation is the form with tanh; the exact GELU is asked for": n2(
            h + tanh
        ),
        "the activation is ReLU; BERT has GELU": n2(h + feed(h, F.relu)),
        "the activation is missing": n2(h + feed(h, lambda z: z)),
        "the activation comes after self.output; it belongs between the two linear "
        "layers": n2(h + F.gelu(feed(h, lambda z: z))),
        "a second activation, after self.output": n2(h + F.gelu(feed(h))),
        "one norm serves both places: attention_norm is used twice": n1(h + feed(h)),
        "one norm serves both places: output_norm is used twice": n2(
            n2(x + attend(x)) + feed(n2(x + attend(x)))
        ),
        "the two norms are swapped": n1(n2(x + attend(x)) + feed(n2(x + attend(x)))),
        "the residual around attention is missing": n2(
            n1(attend(x)) + feed(n1(attend(x)))
        ),
        "the residual around the feed-forward network is missing": n2(feed(h)),
        "both residuals are missing": n2(feed(n1(attend(x)))),
        "the second residual adds the input of the layer; it adds the stream as "
        "the first norm left it": n2(x + feed(h)),
        "the feed-forward network gets the input of the layer, not the stream as "
        "the first norm left it": n2(h + feed(x)),
        "the second residual takes the stream before the first norm": n2(
            x + attend(x) + feed(h)
        ),
        "the changes are normalised, not the sums": (x + n1(attend(x)))
        + n2(feed(x + n1(attend(x)))),
        "the first norm is missing": n2(x + attend(x) + feed(x + attend(x))),
        "the second norm is missing": h + feed(h),
        "attention is missing": n2(n1(x) + feed(n1(x))),
        "the feed-forward network is missing": h,
    }


def _layer_padding(module: Any, oracle: Any) -> None:
    x = torch.randn(2, 4, 12)
    tokens = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    expect_close(
        call(module, x, tokens[:, None, None, :]),
        oracle(x, src_key_padding_mask=~tokens),
        "The output under a padding mask differs from nn.TransformerEncoderLayer's.",
        given=f"{GIVEN}, x (2, 4, 12), mask (2, 1, 1, 4), sentence 0 has 2 tokens",
        mistakes={"the mask is not handed on to attention": module(x)},
        likely="hand the mask to attention as it is: self.attention(x, mask)",
    )


def _layer_gradient(module: Any, oracle: Any) -> None:
    x = torch.randn(2, 3, 12, requires_grad=True)
    same = x.detach().clone().requires_grad_()
    given = f"{GIVEN}, x of shape (2, 3, 12), which asks for a gradient"
    result = module(x)
    expect(
        result.requires_grad,
        "The result has lost its gradient.",
        given=given,
        likely="detach, .data or torch.no_grad; stay with tensors",
    )
    result.sin().sum().backward()
    expect(
        x.grad is not None,
        "No gradient reaches x.",
        given=given,
        likely="detach, .data or torch.no_grad on the way",
    )
    oracle(same).sin().sum().backward()
    assert same.grad is not None
    for name, mine, theirs in [
        ("attention.output", module.attention.output, oracle.self_attn.out_proj),
        ("attention_norm", module.attention_norm, oracle.norm1),
        ("intermediate", module.intermediate, oracle.linear1),
        ("output", module.output, oracle.linear2),
        ("output_norm", module.output_norm, oracle.norm2),
    ]:
        for part in ("weight", "bias"):
            grad = getattr(mine, part).grad
            expect(
                grad is not None,
                f"No gradient reaches {name}.{part}.",
                given=given,
                likely="detach, .data or torch.no_grad on the way",
            )
            expect_close(
                grad,
                getattr(theirs, part).grad,
                f"The gradient of {name}.{part} is wrong.",
                given="x of shape (2, 3, 12)",
                likely="a part was detached",
                tol=1e-4,
            )
    expect_close(
        x.grad,
        same.grad,
        "The gradient of x is wrong.",
        given="x of shape (2, 3, 12)",
        likely="the stream was detached before the sum",
        tol=1e-4,
    )


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _layer_dropout(cls: Any) -> None:
    x = torch.randn(2, 5, 12)
    module, _ = _make_layer(cls, hidden_dropout_prob=0.5)
    _zero(module.attention.output)
    _zero(module.output)
    still = module.eval()(x)
    expect_close(
        module.train()(x),
        still,
        "In training, dropout hits what is on the stream already.",
        given="both changes are 0, so dropout has nothing to drop",
        likely="dropout on the sum, on x or after a norm; it belongs on the change: "
        "norm(x + dropout(change))",
    )
    for part, name in [("attention.output", "attention"), ("output", "feed-forward")]:
        module, _ = _make_layer(cls, hidden_dropout_prob=0.5)
        _zero(module.output if name == "attention" else module.attention.output)
        module.train()
        expect(
            not torch.equal(module(x), module(x)),
            f"In training, nothing is dropped from the change of {part}.",
            given="hidden_dropout_prob = 0.5",
            likely="dropout is missing there; both changes go through it before the "
            "sum",
        )
    _dropout_rate(cls)
    _dropout_between(cls)


def _dropout_rate(cls: Any) -> None:
    for part in ("attention.output", "output"):
        module, _ = _make_layer(cls, hidden_dropout_prob=0.25)
        _zero(module.attention.output)
        _zero(module.output)
        nn.init.ones_(module.get_submodule(part).bias)  # the change is 1 everywhere
        for norm in (module.attention_norm, module.output_norm):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        dropped = (module.train()(torch.zeros(4, 100, 12)) < -1e-3).float().mean()
        expect(
            abs(dropped - 0.25) < 0.05,
            f"In training, another share of the change of {part} is dropped than "
            "hidden_dropout_prob says.",
            given="hidden_dropout_prob = 0.25",
            likely="a rate written into the code, attention's rate, or dropout twice "
            "on the same change",
        )


def _dropout_between(cls: Any) -> None:
    module, _ = _make_layer(cls, hidden_dropout_prob=0.5)
    holes: dict[str, float] = {}  # the share of zeros in what goes into a part

    def watch(name: str) -> None:
        def note(_: nn.Module, inputs: Any, named: Any) -> None:
            x = [*inputs, *named.values()][0]
            holes[name] = (x == 0).float().mean().item()

        module.get_submodule(name).register_forward_pre_hook(note, with_kwargs=True)

    for name in ("attention", "intermediate", "output"):
        watch(name)
    module.train()(torch.randn(2, 5, 12))
    for name in ("attention", "intermediate"):
        expect(
            holes.get(name, 0) < 0.2,
            f"In training, numbers are dropped from what goes into self.{name}.",
            given="hidden_dropout_prob = 0.5",
            likely="one dropout too many: BERT drops what a part brings, not what it "
            "is given",
        )
    expect(
        holes.get("output", 0) < 0.2,
        "In training, hidden numbers of the feed-forward network are dropped.",
        given="hidden_dropout_prob = 0.5",
        likely="dropout after the activation, as nn.TransformerEncoderLayer has it; "
        "BERT drops only the change, after self.output",
    )


@exercise("4.5")
def check_layer_parameters(layer_parameters: Any) -> None:
    """The number of parameters of one layer."""
    D, width, given = 6, 11, "D = 6, F = 11"
    got = layer_parameters(D, width)
    expect(
        got is not None,
        "A number must come back, and nothing did.",
        given=given,
        likely="there is no return statement",
    )
    attention, widen, narrow, norms = 4 * 42, 77, 72, 24
    right = attention + widen + narrow + norms
    mistakes = {
        right - norms: "4 D are missing: the two norms are left out, or the biases of "
        "attention",
        right - 12: "one norm is left out, or the shift of both",
        right - 42: "attention has four linear layers: query, key, value and output",
        right - 42 - norms: "attention has four linear layers: query, key, value and "
        "output; and the norms are left out",
        right - 3 * 42: "attention is not one linear layer: it has four",
        right - 24 - 17: "the biases of the linear layers are left out",
        right - 24 - 17 - norms: "biases and norms are left out",
        right - 17: "the biases of the feed-forward network are left out",
        right - 5: "the bias of the first feed-forward layer has F numbers, not D",
        right + 5: "the bias of the second feed-forward layer has D numbers, not F",
        right - narrow: "the second feed-forward layer is left out",
        right - widen - narrow: "the feed-forward network is left out",
        attention + norms + (6 * 24 + 24) + (24 * 6 + 6): (
            "F was taken to be 4 D; use the F that is given"
        ),
    }
    if not isinstance(got, bool) and got != right:
        raise Wrong(
            "The number is wrong.",
            given=given,
            yours=show(got),
            expected=str(right),
            likely=next(
                (why for n, why in mistakes.items() if n == got),
                "count part by part, weights and biases: four layers of attention, two "
                "of the network, two norms",
            ),
        )
    for D, width in [(768, 3072), (256, 1024), (10, 6), (8, 8)]:
        layer = nn.TransformerEncoderLayer(D, 1, width, device="meta")
        right = sum(p.numel() for p in layer.parameters())
        got = layer_parameters(D, width)
        if got != right:
            raise Wrong(
                "The number is right for D = 6, F = 11, and wrong here.",
                given=f"D = {D}, F = {width}",
                yours=show(got),
                expected=str(right),
                likely="a number that holds for one size only; use D and F",
            )


@exercise("4.6")
def check_encoder(cls: Any) -> None:
    """The stack, layer by layer, against nn.TransformerEncoderLayer."""
    config = BertConfig(num_hidden_layers=3, **SIZES)
    given = f"num_hidden_layers = 3, {GIVEN}"
    module = cls(config)
    expect(
        any(True for _ in module.parameters()),
        "An optimiser would find no parameters in your module.",
        given=given,
        likely="the layers are in a plain list; PyTorch looks for them in an "
        "nn.ModuleList",
    )
    layers: list[Any] = [m for m in module.modules() if hasattr(m, "attention_norm")]
    expect(
        len(layers) == 3,
        f"There must be 3 layers with weights of their own; there are {len(layers)}.",
        given=given,
        likely="the same layer object, used again and again: [layer] * 3 makes three "
        "names for one layer. Call BertLayer(config) once for each"
        if len(layers) == 1
        else "the number of layers is config.num_hidden_layers",
    )
    _randomise(module)
    module.eval()
    x = torch.randn(2, 4, 12)
    _stack_outputs(module, layers, config, x, None)
    tokens = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    _stack_outputs(module, layers, config, x, tokens)
    module(x)[0].sin().sum().backward()
    for number, layer in enumerate(layers):
        expect(
            layer.output.weight.grad is not None,
            f"No gradient reaches layer {number}.",
            given=given,
            likely="detach, .data or torch.no_grad between the layers",
        )


def _stack_outputs(
    module: Any, layers: Any, config: BertConfig, x: Tensor, tokens: Tensor | None
) -> None:
    mask = None if tokens is None else tokens[:, None, None, :]
    hidden = None if tokens is None else ~tokens
    given = "3 layers, x of shape (2, 4, 12)"
    if tokens is not None:
        given += ", mask (2, 1, 1, 4), sentence 0 has 2 tokens"
    result = call(module, x, mask)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Wrong(
            f"Two things must come back, and {type(result).__name__} did.",
            given=given,
            likely="return x, attentions",
        )
    want, wanted = x, []
    for layer in layers:
        oracle = _torch_layer(layer, config)
        _, weights = oracle.self_attn(
            want,
            want,
            want,
            key_padding_mask=hidden,
            average_attn_weights=False,
        )
        wanted.append(weights)
        want = oracle(want, src_key_padding_mask=hidden)

    def run(order: list[int], masked: tuple[int, ...] = (0, 1, 2)) -> Tensor:
        out = x
        for number in order:
            out = layers[number](out, mask if number in masked else None)[0]
        return out

    expect_close(
        result[0],
        want,
        "The output differs from that of PyTorch's layers."
        if tokens is None
        else "The output under a padding mask differs from that of PyTorch's layers.",
        given=given,
        mistakes={
            "every layer gets the first x; it must get what the layer before "
            "returned": run([2]),
            "only the first layer is used": run([0]),
            "the last layer is left out": run([0, 1]),
            "the layers come in the opposite order": run([2, 1, 0]),
            "the first layer is used three times": run([0, 0, 0]),
            "x is added once more around each layer; the layer has its residuals "
            "inside": _with_residual(layers, x, mask),
            "the mask is not handed on": run([0, 1, 2], masked=()),
            "only the first layer gets the mask; every layer needs it": run(
                [0, 1, 2], masked=(0,)
            ),
        },
        likely="x, weights = layer(x, mask, need_weights=True), in a loop",
    )
    _stack_attentions(result[1], wanted, given)


def _with_residual(layers: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    for layer in layers:
        x = x + layer(x, mask)[0]
    return x


def _stack_attentions(attentions: Any, wanted: list[Tensor], given: str) -> None:
    if isinstance(attentions, Tensor) and attentions.dim() == 4:
        raise Wrong(
            "One tensor of weights came back; there must be one for each layer.",
            given=given,
            likely="the weights of the last layer alone; collect them in the loop",
        )
    if attentions is None or any(weights is None for weights in attentions):
        raise Wrong(
            "The attention weights are None.",
            given=given,
            likely="a layer returns them only with need_weights=True",
        )
    expect(
        len(attentions) == len(wanted),
        f"There are weights of {len(attentions)} layers; there must be {len(wanted)}.",
        given=given,
        likely="append inside the loop, once for each layer",
    )
    for number, (got, want) in enumerate(zip(attentions, wanted, strict=True)):
        expect_close(
            got,
            want,
            f"The weights of layer {number} are wrong.",
            given=given,
            mistakes={
                f"these are the weights of layer {other}; the first layer comes "
                "first": weights
                for other, weights in enumerate(wanted)
                if other != number
            },
        )
