"""What each exercise of chapters 2 to 5 stands for in bertlib, for `yours`.

An adapter is called in place of the original, with what the original is called with,
and calls the student's answer. Exercises that are not here have no counterpart: what
they ask for is a line inside of something larger, or a thing of its own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

import bertlib.dropout
from bertlib.config import BertConfig
from bertlib.encoder import ACTIVATIONS
from bertlib.model import BertOutput

Function = Callable[..., Any]
Mask = Tensor | None


class Part(NamedTuple):
    """A function of a module, or Class.method, and what is called in its place.

    adapt: (answer, original, *inputs). For a method, the first input is our module.
    make: (answer, our module) -> the module of the answer, where the answer is a class.
    """

    module: str
    name: str
    adapt: Function
    make: Function | None


PARTS: dict[str, list[Part]] = {}


def stands_for(
    number: str, path: str, make: Function | None = None
) -> Callable[[Function], Function]:
    """Register the decorated adapter; `number` stands for what is at `path`."""

    def register(adapt: Function) -> Function:
        package, module, name = path.split(".", 2)
        part = Part(f"{package}.{module}", name, adapt, make)
        PARTS.setdefault(number, []).append(part)
        return adapt

    return register


def _embeddings(answer: Any, ours: Any) -> Any:
    config = BertConfig(
        vocab_size=ours.word_embeddings.num_embeddings,
        hidden_size=ours.word_embeddings.embedding_dim,
        num_attention_heads=1,
        max_position_embeddings=ours.position_embeddings.num_embeddings,
        type_vocab_size=ours.token_type_embeddings.num_embeddings,
        pad_token_id=ours.word_embeddings.padding_idx,
        layer_norm_eps=ours.layer_norm.eps,
        hidden_dropout_prob=ours.dropout.p,
    )
    return answer(config)


def _config_of(layer: Any, layers: int = 1) -> BertConfig:
    """The settings that one of our layers was built with."""
    return BertConfig(
        hidden_size=layer.output.out_features,
        num_hidden_layers=layers,
        num_attention_heads=layer.attention.num_heads,
        intermediate_size=layer.intermediate.out_features,
        layer_norm_eps=layer.output_norm.eps,
        hidden_dropout_prob=layer.dropout.p,
        attention_probs_dropout_prob=layer.attention.dropout,
    )


@stands_for("2.7", "bertlib.embeddings.BertEmbeddings.forward", make=_embeddings)
@stands_for(
    "5.2",
    "bertlib.model.BertPooler.forward",
    make=lambda answer, ours: answer(ours.dense.in_features),
)
def module(answer: Any, original: Any, ours: Any, *inputs: Any, **named: Any) -> Any:
    return answer(*inputs, **named)


@stands_for("4.1", "bertlib.encoder.gelu")
@stands_for("5.3", "bertlib.model.init_weights")
@stands_for("5.5", "bertlib.model.count_parameters")
def function(answer: Any, original: Any, *inputs: Any, **named: Any) -> Any:
    return answer(*inputs, **named)


@stands_for("2.5", "torch.nn.LayerNorm.forward")
def layer_norm(answer: Any, original: Any, norm: Any, input: Tensor) -> Tensor:
    if norm.weight is None or norm.bias is None or norm.weight.dim() > 1:
        return original(norm, input)  # none of BERT's
    return answer(input, norm.weight, norm.bias, norm.eps)


@stands_for("2.6", "bertlib.dropout.drop")
def drop(answer: Any, original: Any, x: Tensor, p: float) -> Tensor:
    return answer(x, p, True)


@stands_for("3.4", "bertlib.attention.scaled_dot_product_attention")
def attend(
    answer: Any,
    original: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    context, weights = answer(query, key, value, mask)
    if dropout > 0:  # not in the exercise
        context = bertlib.dropout.drop(weights, dropout) @ value
    return context, weights


@stands_for("3.4", "bertlib.attention.MultiHeadSelfAttention.forward")
def explicit_path(
    answer: Any,
    original: Any,
    ours: Any,
    x: Tensor,
    mask: Mask = None,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The fast path asks PyTorch's function, and would leave the answer out."""
    output, weights = original(ours, x, mask, True)
    return output, weights if need_weights else None


@stands_for(
    "3.6",
    "bertlib.attention.MultiHeadSelfAttention.forward",
    make=lambda answer, ours: answer(ours.query.in_features, ours.num_heads),
)
def self_attention(
    answer: Any,
    original: Any,
    ours: Any,
    x: Tensor,
    mask: Mask = None,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    if mask is not None:
        B, T, _ = x.shape
        every = torch.broadcast_to(mask, (B, ours.num_heads, T, T))
        mask = every[:, 0, 0]  # (B, H, T, T) -> (B, T)
        if not torch.equal(every, mask[:, None, None].expand_as(every)):
            raise ValueError(
                "mask differs between queries or heads; for the answer to exercise 3.6 "
                "it must be one of padding"
            )
    output, weights = answer(x, mask)
    return output, weights if need_weights else None


@stands_for("4.1", "bertlib.encoder.gelu_tanh")
def gelu_tanh(answer: Any, original: Any, x: Tensor) -> Tensor:
    return answer(x, tanh=True)


@stands_for("4.1", "bertlib.encoder.BertLayer.forward")
@stands_for("4.1", "bertlib.heads.MaskedLMHead.forward")
def activated(answer: Any, original: Any, ours: Any, *inputs: Any, **named: Any) -> Any:
    """A module holds its activation; while it runs, it holds the answer."""
    own = ours.activation
    exact, with_tanh = ACTIVATIONS["gelu"], ACTIVATIONS["gelu_new"]
    instead = {exact: answer, with_tanh: partial(answer, tanh=True)}
    ours.activation = instead.get(own, own)
    try:
        return original(ours, *inputs, **named)
    finally:
        ours.activation = own


@stands_for(
    "4.4",
    "bertlib.encoder.BertLayer.forward",
    make=lambda answer, ours: answer(_config_of(ours)),
)
def layer(
    answer: Any,
    original: Any,
    ours: Any,
    x: Tensor,
    mask: Mask = None,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    weights = ours.attention(x, mask, True)[1] if need_weights else None
    return answer(x, mask), weights


@stands_for(
    "4.6",
    "bertlib.encoder.BertEncoder.forward",
    make=lambda answer, ours: answer(_config_of(ours.layers[0], len(ours.layers))),
)
def encoder(
    answer: Any,
    original: Any,
    ours: Any,
    x: Tensor,
    mask: Mask = None,
    output_attentions: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...] | None]:
    x, attentions = answer(x, mask)
    return x, tuple(attentions) if output_attentions else None


@stands_for("5.1", "bertlib.model.extend_mask")
def extend(
    answer: Any, original: Any, attention_mask: Tensor, input_ids: Tensor
) -> Tensor:
    return answer(attention_mask)


@stands_for(
    "5.4",
    "bertlib.model.BertModel.forward",
    make=lambda answer, ours: answer(ours.config),
)
def bert(
    answer: Any,
    original: Any,
    ours: Any,
    input_ids: Tensor,
    attention_mask: Mask = None,
    token_type_ids: Tensor | None = None,
    output_attentions: bool = False,
) -> BertOutput:
    hidden, pooled, attentions = answer(input_ids, attention_mask, token_type_ids)
    return BertOutput(
        hidden,
        None if ours.pooler is None else pooled,
        tuple(attentions) if output_attentions else None,
    )


@stands_for("5.7", "bertlib.vectors.pool")
def mean_pool(
    answer: Any,
    original: Any,
    hidden: Tensor,
    attention_mask: Tensor,
    how: str = "mean",
) -> Tensor:
    if how != "mean":
        return original(hidden, attention_mask, how)
    return answer(hidden, attention_mask)
