"""BertConfig: what it holds, what it refuses, and its way through a file."""

import json
import math
import os
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from bertlib.config import BertConfig

SIZES = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
]
DROPOUTS = ["hidden_dropout_prob", "attention_probs_dropout_prob"]


def written(folder, **keys):
    path = folder / "config.json"
    path.write_text(json.dumps(keys), encoding="utf-8")
    return path


def test_the_default_is_four_layers_of_256():
    config = BertConfig()
    assert config.num_hidden_layers == config.num_attention_heads == 4
    assert (config.hidden_size, config.intermediate_size) == (256, 1024)
    assert (config.vocab_size, config.max_position_embeddings) == (30522, 512)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [0, -4, 8.0, "8", None, True])
def test_a_size_that_is_no_positive_whole_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; it must be"):
        BertConfig(**{name: value})


@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize("value", [1, 1.0, -0.1, math.nan, math.inf, "0.1", True, None])
def test_a_dropout_outside_0_to_1_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} is "):
        BertConfig(**{name: value})


@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize("value", [0, 0.0, 0.999])
def test_a_dropout_of_0_up_to_1_is_taken(name, value):
    assert getattr(BertConfig(**{name: value}), name) == value


@pytest.mark.parametrize("value", [0, 0.0, -1e-12, math.nan, math.inf, "1e-12", True])
def test_an_eps_that_is_not_above_0_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^layer_norm_eps is "):
        BertConfig(layer_norm_eps=value)


@pytest.mark.parametrize("value", [-0.02, math.nan, "0.02", True])
def test_a_negative_initializer_range_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^initializer_range is "):
        BertConfig(initializer_range=value)


@pytest.mark.parametrize("value", ["swish", "GELU", None, ["gelu"]])
def test_an_unknown_activation_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^hidden_act is .*gelu_pytorch_tanh"):
        BertConfig(hidden_act=value)


@pytest.mark.parametrize("value", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
def test_a_known_activation_is_taken(value):
    assert BertConfig(hidden_act=value).hidden_act == value


@pytest.mark.parametrize("value", [-1, 30522, 0.0, None, False])
def test_a_padding_id_outside_the_vocabulary_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^pad_token_id is "):
        BertConfig(pad_token_id=value)


def test_heads_that_do_not_divide_the_width_are_refused():
    says = "^hidden_size is 250; it must be divisible by num_attention_heads, 4$"
    with pytest.raises(ValueError, match=says):
        BertConfig(hidden_size=250)


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        BertConfig().hidden_size = 250


def test_replace_refuses_as_well():
    with pytest.raises(ValueError, match=r"^hidden_size is 250"):
        replace(BertConfig(), hidden_size=250)


def test_what_is_written_is_read_again(tmp_path):
    config = BertConfig(
        vocab_size=99,
        hidden_size=12,
        num_hidden_layers=5,
        num_attention_heads=3,
        intermediate_size=7,
        hidden_act="relu",
        hidden_dropout_prob=0.25,
        attention_probs_dropout_prob=0.5,
        max_position_embeddings=11,
        type_vocab_size=4,
        initializer_range=0.5,
        layer_norm_eps=1e-5,
        pad_token_id=98,
    )
    assert all(a != b for a, b in zip(asdict(config).values(), DEFAULTS, strict=True))
    config.to_json(tmp_path / "config.json")
    assert BertConfig.from_json(tmp_path / "config.json") == config
    assert BertConfig.from_json(str(tmp_path / "config.json")) == config


DEFAULTS = asdict(BertConfig()).values()


def test_the_file_says_that_it_is_a_bert(tmp_path):
    BertConfig().to_json(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"


def test_writing_leaves_nothing_else_in_the_folder(tmp_path):
    BertConfig().to_json(tmp_path / "config.json")
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    BertConfig().to_json(path)
    old = path.read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        BertConfig(hidden_size=512).to_json(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["config.json"]


def test_unknown_keys_are_passed_over(tmp_path):
    path = written(
        tmp_path,
        **asdict(BertConfig(hidden_size=64)),
        architectures=["BertForMaskedLM"],
        model_type="bert",
        position_embedding_type="absolute",
        is_decoder=False,
        gradient_checkpointing=False,
        classifier_dropout=None,
        torch_dtype="float16",
    )
    assert BertConfig.from_json(path) == BertConfig(hidden_size=64)


def test_sizes_that_the_file_leaves_out_are_those_of_bert_base(tmp_path):
    config = BertConfig.from_json(written(tmp_path, vocab_size=1000))
    assert (config.hidden_size, config.intermediate_size) == (768, 3072)
    assert (config.num_hidden_layers, config.num_attention_heads) == (12, 12)
    assert config.vocab_size == 1000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("model_type", "roberta"),
        ("pruned_heads", {"0": [1]}),
    ],
)
def test_another_model_is_refused_by_name(tmp_path, key, value):
    path = written(tmp_path, **asdict(BertConfig()), **{key: value})
    with pytest.raises(ValueError, match=f"config.json: {key} is "):
        BertConfig.from_json(path)


def test_a_bad_value_in_a_file_is_refused_with_file_and_name(tmp_path):
    path = written(tmp_path, hidden_size=250, num_attention_heads=4)
    with pytest.raises(ValueError, match=r"config.json: hidden_size is 250"):
        BertConfig.from_json(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"bert"', "null"])
def test_a_file_that_is_no_json_object_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.json: "):
        BertConfig.from_json(tmp_path / "config.json")


def test_a_file_that_is_not_there_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        BertConfig.from_json(tmp_path / "nothing.json")
