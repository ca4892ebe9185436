"""BertEmbeddings and BertConfig against transformers."""

import json
from dataclasses import asdict

import pytest
import torch
import transformers
from transformers.models.bert.modeling_bert import BertEmbeddings as TheirEmbeddings

from bertlib.config import BertConfig
from bertlib.embeddings import BertEmbeddings

NAMES = {  # ours: theirs
    "word_embeddings.weight": "word_embeddings.weight",
    "position_embeddings.weight": "position_embeddings.weight",
    "token_type_embeddings.weight": "token_type_embeddings.weight",
    "layer_norm.weight": "LayerNorm.weight",
    "layer_norm.bias": "LayerNorm.bias",
}


def drawn(low: int, high: int) -> int:
    return int(torch.randint(low, high, ()))


def random_config(seed: int) -> BertConfig:
    torch.manual_seed(seed)
    heads = drawn(1, 5)
    vocab_size = drawn(5, 60)
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=heads * drawn(2, 20),
        num_hidden_layers=drawn(1, 4),
        num_attention_heads=heads,
        intermediate_size=drawn(1, 50),
        hidden_act=["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"][seed % 4],
        hidden_dropout_prob=drawn(0, 5) / 10,
        attention_probs_dropout_prob=drawn(0, 5) / 10,
        max_position_embeddings=drawn(3, 30),
        type_vocab_size=drawn(1, 5),
        initializer_range=drawn(1, 9) / 100,
        layer_norm_eps=[1e-12, 1e-5, 1e-3, 0.1][seed // 4 % 4],
        pad_token_id=drawn(0, vocab_size),
    )


def twins(config: BertConfig) -> tuple[BertEmbeddings, TheirEmbeddings]:
    """Both modules with the same random numbers in every parameter."""
    ours = BertEmbeddings(config).eval()
    theirs = TheirEmbeddings(transformers.BertConfig(**asdict(config))).eval()
    assert dict(theirs.named_parameters()).keys() == set(NAMES.values())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(torch.randn_like(parameter))
            theirs.get_parameter(NAMES[name]).copy_(parameter)
    return ours, theirs


def inputs(config: BertConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch with padding at the ends, and segments."""
    B, T = drawn(2, 5), drawn(2, config.max_position_embeddings + 1)
    ids = torch.randint(config.vocab_size, (B, T))
    ids[1, T // 2 :] = config.pad_token_id
    return ids, torch.randint(config.type_vocab_size, (B, T))


@pytest.mark.parametrize("seed", range(24))
def test_hidden_states_are_those_of_transformers(seed):
    config = random_config(seed)
    ours, theirs = twins(config)
    ids, types = inputs(config)
    for given in [(ids, types), (ids, None)]:
        want = theirs(*given)
        torch.testing.assert_close(ours(*given), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(24))
def test_all_gradients_are_those_of_transformers(seed):
    config = random_config(seed)
    ours, theirs = twins(config)
    ids, types = inputs(config)
    upstream = torch.randn(*ids.shape, config.hidden_size)
    ours(ids, types).backward(upstream)
    theirs(ids, types).backward(upstream)
    for name, parameter in ours.named_parameters():
        want = theirs.get_parameter(NAMES[name]).grad
        torch.testing.assert_close(parameter.grad, want, atol=1e-6, rtol=1e-6)
    assert ours.word_embeddings.weight.grad.any() == (ids != config.pad_token_id).any()


def test_training_drops_where_transformers_does():
    config = BertConfig(vocab_size=30, hidden_size=16, hidden_dropout_prob=0.3)
    ours, theirs = (module.train() for module in twins(config))
    theirs.dropout = ours.dropout  # the draws are the course's own; see chapter 2
    ids = torch.randint(30, (4, 9))
    torch.manual_seed(1)
    got = ours(ids)
    torch.manual_seed(1)
    torch.testing.assert_close(got, theirs(ids), atol=1e-6, rtol=0)
    assert (got == 0).any()


@pytest.mark.parametrize("seed", range(8))
def test_transformers_reads_the_file_that_we_write(seed, tmp_path):
    config = random_config(seed)
    config.to_json(tmp_path / "config.json")
    for theirs in [
        transformers.BertConfig.from_json_file(tmp_path / "config.json"),
        transformers.AutoConfig.from_pretrained(tmp_path),
    ]:
        assert isinstance(theirs, transformers.BertConfig)
        assert {name: getattr(theirs, name) for name in asdict(config)} == asdict(
            config
        )


@pytest.mark.parametrize("seed", range(8))
def test_we_read_the_file_that_transformers_writes(seed, tmp_path):
    config = random_config(seed)
    transformers.BertConfig(**asdict(config)).save_pretrained(tmp_path)
    assert BertConfig.from_json(tmp_path / "config.json") == config


def test_a_file_that_says_little_means_the_same_to_both(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bert", "vocab_size": 77}))
    theirs = transformers.BertConfig.from_json_file(path)
    ours = asdict(BertConfig.from_json(path))
    assert ours == {name: getattr(theirs, name) for name in ours}
