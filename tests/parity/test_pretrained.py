"""Folders in the published layout, both ways between bertlib and transformers.

Outputs agree within 1e-5, ids exactly, and nothing is missing or left over.
"""

import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertlib import heads
from bertlib.config import BertConfig
from bertlib.corpus import load_results, load_reviews, minilm_folder
from bertlib.model import BertModel
from bertlib.pretrained import (
    load_labels,
    load_pretrained,
    load_tokenizer,
    save_pretrained,
)
from bertlib.tokenizer import WordPieceTokenizer

# Ours -> the class of transformers that a user would load it with.
AUTO = {
    "BertModel": "AutoModel",
    "BertForPreTraining": "AutoModelForPreTraining",
    "BertForMaskedLM": "AutoModelForMaskedLM",
    "BertForNextSentencePrediction": "AutoModelForNextSentencePrediction",
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
}
OURS = {name: getattr(heads, name, BertModel) for name in AUTO}
CLASSIFIERS = ("BertForSequenceClassification", "BertForTokenClassification")
LABELS = ["O", "B-PER", "I-PER", "B-Übung", "none of them"]
TEXTS = [
    "Grant is certainly amusing, but keeps him at arm's length.",
    "naïve CAFÉ déjà-vu ÅNGSTRÖM 東京 2024 e\u0301 [MASK] x\u200by",
    "",
    "unaffable\tun##able \u00a0 $9.99 … 🙂 ﬁne İstanbul straße",
]
each_model = pytest.mark.parametrize("name", AUTO)


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer.train([r.text for r in load_reviews()[:400]], 700)


def config_of(tokenizer: WordPieceTokenizer) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        layer_norm_eps=1e-9,
        hidden_act="gelu_new",
    )


def lively(model: nn.Module) -> nn.Module:
    """Weights of a size that shows any that is not where it belongs."""
    torch.manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def our_model(name: str, tokenizer: WordPieceTokenizer) -> nn.Module:
    more = {"num_labels": len(LABELS)} if name in CLASSIFIERS else {}
    return lively(OURS[name](config_of(tokenizer), **more))


def their_model(name: str, tokenizer: WordPieceTokenizer) -> Any:
    classes = len(LABELS) if name in CLASSIFIERS else 2
    config = transformers.BertConfig(**vars(config_of(tokenizer)), num_labels=classes)
    if name in CLASSIFIERS:
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {label: i for i, label in enumerate(LABELS)}
    return lively(getattr(transformers, name)(config))


def batch_of(size: int) -> dict[str, Tensor]:
    """(3, 12), padded, in two segments."""
    generator = torch.Generator().manual_seed(1)
    places = torch.arange(12).expand(3, 12)
    lengths = torch.tensor([[12], [7], [9]])
    return {
        "input_ids": torch.randint(size, (3, 12), generator=generator),
        "attention_mask": (places < lengths).long(),
        "token_type_ids": (places >= 5).long(),
    }


def numbers(out: Any) -> list[Tensor]:
    """The tensors that a model returns: ours a named tuple, theirs a dict."""
    values = out.values() if isinstance(out, dict) else out
    return [x for x in values if isinstance(x, Tensor)]


def assert_same_outputs(ours: nn.Module, theirs: Any, size: int) -> None:
    batch = batch_of(size)
    with torch.no_grad():
        pairs = zip(numbers(ours(**batch)), numbers(theirs(**batch)), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def load_theirs(name: str, folder: Path, **more: Any) -> Any:
    """transformers' model, after a look at what it found in the folder."""
    model, info = getattr(transformers, AUTO[name]).from_pretrained(
        folder, output_loading_info=True, **more
    )
    assert not any(info.values()), info
    return model.eval()


def load_ours(name: str, folder: Path, **more: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is new
        return load_pretrained(folder, OURS[name], **more)


# --- ours, read by transformers ------------------------------------------------------


@each_model
def test_transformers_loads_what_we_save(name, tokenizer, tmp_path):
    ours = our_model(name, tokenizer)
    save_pretrained(ours, tokenizer, tmp_path / "ours")
    theirs = load_theirs(name, tmp_path / "ours")
    assert type(theirs).__name__ == name
    assert_same_outputs(ours, theirs, len(tokenizer))


def test_transformers_loads_our_encoder_without_a_pooler(tokenizer, tmp_path):
    ours = lively(BertModel(config_of(tokenizer), add_pooling_layer=False))
    save_pretrained(ours, tokenizer, tmp_path / "ours")
    theirs = load_theirs("BertModel", tmp_path / "ours", add_pooling_layer=False)
    assert_same_outputs(ours, theirs, len(tokenizer))


def test_transformers_reads_our_settings_and_labels(tokenizer, tmp_path):
    ours = our_model("BertForTokenClassification", tokenizer)
    save_pretrained(ours, tokenizer, tmp_path / "ours", LABELS)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert config.id2label == dict(enumerate(LABELS))
    assert config.label2id == {label: i for i, label in enumerate(LABELS)}
    for key, value in vars(config_of(tokenizer)).items():
        assert getattr(config, key) == value


@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
def test_transformers_cuts_text_as_our_saved_tokenizer(lowercase, tokenizer, tmp_path):
    ours = WordPieceTokenizer(tokenizer.tokens, lowercase)
    save_pretrained(our_model("BertModel", tokenizer), ours, tmp_path / "ours")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    texts = [r.text for r in load_reviews()[::20]] + TEXTS[:1] + TEXTS[2:]
    assert theirs(texts)["input_ids"] == [ours.encode(t).input_ids for t in texts]
    one, two = texts[0], texts[1]
    pair, their_pair = ours.encode(one, two), theirs(one, two)
    assert their_pair["input_ids"] == pair.input_ids
    assert their_pair["token_type_ids"] == pair.token_type_ids
    assert theirs.model_max_length == config_of(tokenizer).max_position_embeddings


def test_the_real_minilm_goes_out_and_gives_the_same_numbers(tmp_path):
    ours, tokenizer = load_pretrained("minilm"), load_tokenizer("minilm")
    save_pretrained(ours, tokenizer, tmp_path / "ours")
    theirs = load_theirs("BertModel", tmp_path / "ours")
    assert_same_outputs(ours, theirs, 30522)


# --- theirs, read by us --------------------------------------------------------------


@each_model
def test_we_load_what_transformers_saves(name, tokenizer, tmp_path):
    theirs = their_model(name, tokenizer)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_ours(name, tmp_path / "theirs")
    assert not ours.training
    assert_same_outputs(ours, theirs, len(tokenizer))


def test_we_read_the_labels_of_transformers(tokenizer, tmp_path):
    theirs = their_model("BertForTokenClassification", tokenizer)
    theirs.save_pretrained(tmp_path / "theirs")
    assert load_labels(tmp_path / "theirs") == LABELS


@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
@pytest.mark.parametrize("settings", [True, False], ids=["settings", "bare"])
def test_we_read_the_tokenizer_of_transformers(
    lowercase, settings, tokenizer, tmp_path
):
    """Newer versions write no vocab.txt; the vocabulary is in tokenizer.json alone."""
    tokenizer.save_vocab(tmp_path / "vocab.txt")
    theirs = transformers.BertTokenizer(
        str(tmp_path / "vocab.txt"), do_lower_case=lowercase
    )
    theirs.save_pretrained(tmp_path / "theirs")
    if not settings:
        (tmp_path / "theirs" / "tokenizer_config.json").unlink()
    ours = load_tokenizer(tmp_path / "theirs")
    assert ours.lowercase == lowercase
    texts = [r.text for r in load_reviews()[::20]] + TEXTS[:1] + TEXTS[2:]
    assert theirs(texts)["input_ids"] == [ours.encode(t).input_ids for t in texts]


def test_there_and_back_gives_the_same_file(tokenizer, tmp_path):
    theirs = their_model("BertForMaskedLM", tokenizer)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_ours("BertForMaskedLM", tmp_path / "theirs")
    save_pretrained(ours, tokenizer, tmp_path / "ours")
    first = load_file(tmp_path / "theirs" / "model.safetensors")
    second = load_file(tmp_path / "ours" / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


# --- the forms that are found in the wild --------------------------------------------

Entries = dict[str, Tensor]
WORDS = "bert.embeddings.word_embeddings.weight"


def without_prefix(entries: Entries) -> Entries:
    return {name.removeprefix("bert."): x for name, x in entries.items()}


def with_gamma_and_beta(entries: Entries) -> Entries:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, x in entries.items():
        for new, before in old.items():
            name = name.replace(new, before)
        renamed[name] = x
    return renamed


def with_position_ids(entries: Entries) -> Entries:
    return entries | {"bert.embeddings.position_ids": torch.arange(32)[None]}


def with_decoder(entries: Entries) -> Entries:
    return entries | {
        "cls.predictions.decoder.weight": entries[WORDS].clone(),
        "cls.predictions.decoder.bias": entries["cls.predictions.bias"].clone(),
    }


def with_decoder_alone(entries: Entries) -> Entries:
    entries = with_decoder(entries)
    del entries[WORDS], entries["cls.predictions.bias"]
    return entries


def in_half_precision(entries: Entries) -> Entries:
    return {name: x.half() for name, x in entries.items()}


def with_the_other_head(entries: Entries) -> Entries:
    return entries | {
        "cls.seq_relationship.weight": torch.ones(2, 24),
        "bert.pooler.dense.weight": torch.ones(24, 24),
    }


FORMS = [
    without_prefix,
    with_gamma_and_beta,
    with_position_ids,
    with_decoder,
    with_decoder_alone,
    in_half_precision,
    with_the_other_head,
]


def rewrite(folder: Path, form: Callable[[Entries], Entries]) -> None:
    path = folder / "model.safetensors"
    save_file(form(load_file(path)), path, {"format": "pt"})


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_found_in_the_wild_loads(form, tokenizer, tmp_path):
    theirs = their_model("BertForMaskedLM", tokenizer)
    if form is in_half_precision:
        theirs = theirs.half()
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, form)
    ours = load_ours("BertForMaskedLM", tmp_path)
    assert next(ours.parameters()).dtype == torch.float32
    assert_same_outputs(ours, theirs.float(), len(tokenizer))


@pytest.mark.parametrize("name", AUTO)
def test_a_bare_encoder_loads_under_every_head(name, tokenizer, tmp_path):
    """Its head is new, and a warning says so; the encoder's vectors are the file's."""
    theirs = their_model("BertModel", tokenizer)
    theirs.save_pretrained(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ours = load_pretrained(tmp_path, OURS[name])
    assert len(said) == (name != "BertModel")
    bert = getattr(ours, "bert", ours)
    batch = batch_of(len(tokenizer))
    with torch.no_grad():
        torch.testing.assert_close(
            bert(**batch).last_hidden_state,
            theirs(**batch).last_hidden_state,
            rtol=1e-5,
            atol=1e-5,
        )


def test_an_old_folder_without_pooler_loads_with_a_new_one(tokenizer, tmp_path):
    theirs = their_model("BertModel", tokenizer)
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda e: {k: v for k, v in e.items() if "pooler" not in k})
    with pytest.warns(UserWarning, match=r"pooler\.dense\.weight, pooler\.dense\.bias"):
        ours = load_pretrained(tmp_path)
    assert ours.pooler is not None
    bare = load_ours("BertModel", tmp_path, add_pooling_layer=False)
    assert bare.pooler is None


def test_an_untied_decoder_is_refused(tokenizer, tmp_path):
    """Ours has one table for both; quietly taking one of two would be another model."""
    their_model("BertForMaskedLM", tokenizer).save_pretrained(tmp_path)
    more = {"cls.predictions.decoder.weight": torch.ones(len(tokenizer), 24)}
    rewrite(tmp_path, lambda entries: entries | more)
    with pytest.raises(Exception, match=r"unexpected +cls\.predictions\.decoder"):
        load_pretrained(tmp_path, heads.BertForMaskedLM)
    load_ours("BertModel", tmp_path, add_pooling_layer=False)  # has no decoder


def test_a_config_that_leaves_sizes_out_means_bert_base(tmp_path):
    theirs = transformers.BertConfig(vocab_size=10, num_hidden_layers=1)
    transformers.BertModel(theirs).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    kept = ("model_type", "vocab_size", "num_hidden_layers")
    found = json.loads(path.read_text())
    path.write_text(json.dumps({key: found[key] for key in kept}))
    assert load_pretrained(tmp_path).config.hidden_size == 768


# --- the numbers that chapter 10 compares with ---------------------------------------


def tool(name: str) -> Any:
    """A script of tools/, as a module."""
    path = Path(__file__).resolve().parents[2] / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_chapter_10_is_what_transformers_computes():
    kept, anew = load_results("minilm_layers"), tool("reference_layers").reference()
    assert kept["ids"] == anew["ids"]
    assert kept["token_type_ids"] == anew["token_type_ids"]
    states, again = torch.tensor(kept["states"]), torch.tensor(anew["states"])
    assert states.shape == (7, 17, 8)
    torch.testing.assert_close(states, again, rtol=0, atol=1e-5)


def test_the_reference_of_chapter_10_was_cut_by_our_tokenizer_too():
    kept, pair = load_results("minilm_layers"), tool("reference_layers").PAIR
    ours = load_tokenizer("minilm").encode(*pair)
    assert ours.input_ids == kept["ids"]
    assert ours.token_type_ids == kept["token_type_ids"]


def test_the_attention_of_the_intro_is_what_transformers_computes():
    intro = tool("intro_attention")
    weights, tokens = intro.attend("minilm", intro.SENTENCE)
    theirs = transformers.BertModel.from_pretrained(
        minilm_folder(), attn_implementation="eager"
    ).eval()
    ids = torch.tensor([[load_tokenizer("minilm").vocab[t] for t in tokens]])
    with torch.no_grad():
        out = theirs(ids, output_attentions=True)
    torch.testing.assert_close(weights, torch.cat(out.attentions), rtol=0, atol=1e-5)
    with np.load(intro.OUTPUT) as kept:
        assert kept["tokens"].tolist() == tokens
        off = np.abs(kept["weights"].astype(int) - intro.encode(weights.numpy()))
    assert off.max() <= 1  # of 255: a rounding may fall to the other side
