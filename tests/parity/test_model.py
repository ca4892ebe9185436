"""BertModel against transformers.BertModel: equal weights, numbers and gradients.

Tolerance: 1e-5, absolute and relative to the largest number of the tensor compared.
"""

from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from bertlib.config import BertConfig
from bertlib.corpus import load_reviews, minilm_folder
from bertlib.model import BertModel, BertOutput
from bertlib.tokenizer import WordPieceTokenizer

TOLERANCE = 1e-5
CONFIGS = [
    {"hidden_act": "gelu", "layer_norm_eps": 1e-5},
    {"hidden_act": "gelu_new", "layer_norm_eps": 1e-6, "num_hidden_layers": 3},
    {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "num_attention_heads": 1},
    {"hidden_act": "gelu_new", "hidden_size": 30, "num_attention_heads": 5},
    {"hidden_act": "gelu", "intermediate_size": 7, "type_vocab_size": 4},
    {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2, "vocab_size": 11},
    {"hidden_act": "gelu", "num_hidden_layers": 5, "max_position_embeddings": 9},
    {"hidden_act": "gelu_new", "hidden_size": 16, "num_attention_heads": 16},
    {"hidden_act": "gelu", "layer_norm_eps": 1e-4, "pad_token_id": 3},
    {"hidden_act": "gelu", "num_hidden_layers": 1, "hidden_size": 64},
]
DEFAULT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
    "layer_norm_eps": 1e-7,
}


def published_name(name: str) -> str:
    """Our parameter's name in transformers; written the other way than chapter 5's."""
    module, kind = name.rsplit(".", 1)
    if not module.startswith("encoder.layers."):
        return f"{module.replace('layer_norm', 'LayerNorm')}.{kind}"
    _, _, number, part = module.split(".", 3)
    part = {
        "attention.query": "attention.self.query",
        "attention.key": "attention.self.key",
        "attention.value": "attention.self.value",
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }[part]
    return f"encoder.layer.{number}.{part}.{kind}"


def pair_of(config: BertConfig) -> tuple[BertModel, Any]:
    """Ours and theirs, in eval, with equal weights of a lively size."""
    theirs = transformers.BertModel(
        transformers.BertConfig(**vars(config), attn_implementation="eager")
    ).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = BertModel(config).eval()
    weights = dict(theirs.named_parameters())
    loaded = {name: weights.pop(published_name(name)) for name in ours.state_dict()}
    assert not weights  # all of theirs were used
    ours.load_state_dict(loaded, strict=True)
    return ours, theirs


def batch_of(config: BertConfig, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and segments (B, T) with padding, B = 4."""
    generator = torch.Generator().manual_seed(seed)
    T = config.max_position_embeddings - seed % 3
    lengths = torch.tensor([T, 2, T // 2, T - 1])
    mask = (torch.arange(T) < lengths[:, None]).long()
    ids = torch.randint(config.vocab_size, (4, T), generator=generator)
    ids = ids.where(mask == 1, config.pad_token_id)
    kinds = torch.randint(config.type_vocab_size, (4, T), generator=generator)
    return ids, mask, kinds


def assert_near(ours: Tensor, theirs: Tensor, what: str) -> None:
    scale = max(1.0, theirs.abs().max().item())
    worst = (ours - theirs).abs().max().item()
    assert worst <= TOLERANCE * scale, f"{what}: {worst:.2e} off, largest {scale:.2e}"


def assert_same_numbers(ours: BertOutput, theirs: Any) -> None:
    assert_near(ours.last_hidden_state, theirs.last_hidden_state, "hidden states")
    assert_near(ours.pooler_output, theirs.pooler_output, "pooler output")
    assert ours.attentions is not None
    for number, (a, b) in enumerate(
        zip(ours.attentions, theirs.attentions, strict=True)
    ):
        assert_near(a, b, f"attentions of layer {number}")


def assert_same_gradients(
    model: BertModel, other: Any, ours: BertOutput, theirs: Any
) -> None:
    """One random loss over everything that comes back; all parameters compared."""
    for out, net in ((ours, model), (theirs, other)):
        torch.manual_seed(0)
        results = [out.last_hidden_state, out.pooler_output, *(out.attentions or ())]
        loss = sum((x * torch.randn(x.shape)).sum() for x in results)
        net.zero_grad()
        (loss / len(results[0])).backward()
    wanted = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        grad = wanted.pop(published_name(name)).grad
        assert grad is not None and parameter.grad is not None, name
        assert_near(parameter.grad, grad, f"gradient of {name}")
    assert not wanted


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_numbers_and_gradients_equal_transformers(number: int):
    torch.manual_seed(number)
    config = BertConfig(**{**DEFAULT, **CONFIGS[number]})  # type: ignore[arg-type]
    assert config.layer_norm_eps != BertConfig().layer_norm_eps
    ours, theirs = pair_of(config)
    ids, mask, kinds = batch_of(config, number)
    mine = ours(ids, mask, kinds, output_attentions=True)
    other = theirs(ids, mask, kinds, output_attentions=True)
    assert_same_numbers(mine, other)
    assert_same_gradients(ours, theirs, mine, other)


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_the_fast_path_equals_transformers_too(number: int):
    torch.manual_seed(number)
    config = BertConfig(**{**DEFAULT, **CONFIGS[number]})  # type: ignore[arg-type]
    ours, theirs = pair_of(config)
    ids, mask, kinds = batch_of(config, number)
    mine, other = ours(ids, mask, kinds), theirs(ids, mask, kinds)
    assert_near(mine.last_hidden_state, other.last_hidden_state, "hidden states")
    assert_near(mine.pooler_output, other.pooler_output, "pooler output")


def test_without_mask_and_segments_it_equals_transformers():
    torch.manual_seed(0)
    config = BertConfig(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = pair_of(config)
    ids = torch.randint(config.vocab_size, (3, 8))
    assert_same_numbers(
        ours(ids, output_attentions=True), theirs(ids, output_attentions=True)
    )


@pytest.fixture(scope="module")
def minilm() -> tuple[BertModel, Any, WordPieceTokenizer]:
    folder = minilm_folder()
    published = load_file(folder / "model.safetensors")
    published.pop("embeddings.position_ids")
    ours = BertModel(BertConfig.from_json(folder / "config.json")).eval()
    ours.load_state_dict(
        {name: published.pop(published_name(name)) for name in ours.state_dict()}
    )
    assert not published
    theirs = transformers.BertModel.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    return ours, theirs, WordPieceTokenizer.from_vocab_file(folder / "vocab.txt")


def test_minilm_on_real_reviews_equals_transformers(minilm):
    ours, theirs, tokenizer = minilm
    texts = [review.text for review in load_reviews() if review.label != "plot"]
    encoded = [tokenizer.encode(text, max_length=64) for text in texts[::1500]]
    pair = tokenizer.encode(texts[0], texts[1], max_length=48)
    encoded.append(pair)
    T = max(len(e.input_ids) for e in encoded)
    fill = [T - len(e.input_ids) for e in encoded]
    assert len(encoded) >= 8 and min(fill) == 0 and max(fill) > 10
    rows = list(zip(encoded, fill, strict=True))
    ids = torch.tensor([e.input_ids + [0] * n for e, n in rows])
    mask = torch.tensor([[1] * (T - n) + [0] * n for _, n in rows])
    kinds = torch.tensor([e.token_type_ids + [0] * n for e, n in rows])
    assert kinds.any()
    mine = ours(ids, mask, kinds, output_attentions=True)
    other = theirs(ids, mask, kinds, output_attentions=True)
    assert_same_numbers(mine, other)
    assert_same_gradients(ours, theirs, mine, other)
