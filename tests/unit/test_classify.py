"""The classifier: its data, its scores, and the command as its user meets it."""

import argparse
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bertlib.classifier import (
    collate,
    encode_text,
    load_classifier,
    new_classifier,
    probabilities,
)
from bertlib.classify import main, rows_to_learn_from
from bertlib.config import BertConfig
from bertlib.corpus import NotFetched
from bertlib.demo_cls import new_toy
from bertlib.heads import BertForSequenceClassification
from bertlib.labelled import (
    NAMED,
    Row,
    distinct,
    groups_of,
    merged,
)
from bertlib.opinions import opinions
from bertlib.pretrained import save_pretrained
from bertlib.rowfile import read_rows
from bertlib.scores import confusion_matrix, f1_by_class, reliability
from bertlib.textfile import Refused

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--epochs", "2", "--batch-size", "8", "--precision", "float32"]


@pytest.fixture(scope="module")
def init(tmp_path_factory: Any) -> Path:
    """A small encoder with a vocabulary, in the published layout."""
    toy = new_toy(0)
    return save_pretrained(
        toy.bert.bert, toy.tokenizer, tmp_path_factory.mktemp("m") / "e"
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory: Any) -> Path:
    """120 sentences in a CSV file."""
    path = tmp_path_factory.mktemp("data") / "own.csv"
    rows = [f'"{row.text}",{row.label}' for row in opinions(120)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def options(own: Path, init: Path, out: Path, *more: str) -> list[str]:
    paths = ["--data", str(own), "--init", str(init), "--out", str(out)]
    return ["train", *paths, "--max-length", "20", *QUICK, *more]


@pytest.fixture(scope="module")
def trained(own: Path, init: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(options(own, init, out)) == 0
    return out


# --- rows ----------------------------------------------------------------------------


def test_groups_that_share_a_text_become_one():
    rows = [Row("x", "", None, "b"), Row("y", "", None, "c"), Row("x", "", None, "c")]
    rows += [Row("y", "", None, "a"), Row("z", "", None, "d")]
    assert [row.group for row in merged(rows)] == ["a", "a", "a", "a", "d"]


def test_rows_without_a_group_are_not_merged():
    rows = [
        Row("x", "", None, "b"),
        Row("x", ""),
        Row("y", ""),
        Row("y", "", None, "a"),
    ]
    assert [row.group for row in merged(rows)] == ["b", "", "", "a"]


def test_each_text_is_kept_once():
    rows = [Row("x", "1"), Row("", "1"), Row("x", "2"), Row("x", "3", "pair")]
    assert [row.label for row in distinct(rows)] == ["1", "3"]


def test_rows_without_a_group_are_groups_of_their_own():
    assert groups_of([Row("x", ""), Row("y", "", None, "g")]) == [0, "g"]


SIZES = {
    "reviews": (2, 12_752),
    "sentence_polarity": (2, 10_662),
    "subjectivity": (2, 10_000),
    "qc": (6, 5_871),
    "rte": (2, 4_164),
}


@pytest.mark.usefixtures("public_data")
@pytest.mark.parametrize("name", NAMED)
def test_public_sets_are_complete_and_do_not_leak(name):
    learn, test = NAMED[name]()
    labels, size = SIZES[name]
    assert abs(len(learn) + len(test) - size) < 8  # texts that occur twice
    assert len({row.label for row in learn}) == labels
    assert {row.label for row in learn} == {row.label for row in test}
    assert not {r.group for r in learn if r.group} & {r.group for r in test if r.group}
    assert not {r.text for r in learn} & {r.text for r in test}
    assert all(row.text.strip() for row in [*learn, *test])
    assert (name == "rte") == (test[0].text_b is not None)


def test_the_test_films_are_as_good_as_all_films():
    learn, test = NAMED["reviews"]()
    shares = [
        Counter(r.label for r in part)["fresh"] / len(part) for part in (learn, test)
    ]
    assert abs(shares[0] - shares[1]) < 0.01


def rows_in(tmp_path: Path, name: str, text: str | bytes) -> list[Row]:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_rows(path)


def test_a_csv_file_is_read_with_its_quotes_and_line_breaks(tmp_path):
    text = '﻿label,note,text,group\na,x,"two\nlines, ""one"" text",g\n\nb,y,plain,\n'
    first, second = rows_in(tmp_path, "a.csv", text)
    assert first[:4] == ('two\nlines, "one" text', "a", None, "g")
    assert second[:4] == ("plain", "b", None, "")
    assert second.where.endswith("a.csv, line 5")


def test_a_jsonl_file_is_read_with_pairs_and_numbers(tmp_path):
    lines = [
        '{"text": "a", "label": 1, "text_b": "b"}',
        "",
        '{"text": "c", "label": "0"}',
    ]
    first, second = rows_in(tmp_path, "a.jsonl", "\n".join(lines))
    assert first[:3] == ("a", "1", "b")
    assert second[:3] == ("c", "0", None)
    assert second.where.endswith("a.jsonl, line 3")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "text;label\na;b\n", "line 1: the header is 'text;label'"),
        ("a.csv", "text,label\na,b\nc, d,e\n", "line 3: 3 cells, the header has 2"),
        ("a.csv", "text,label\na,b\n ,b\n", "line 3: text is missing or empty"),
        ("a.csv", "text,label\na,\n", "line 2: label is missing or empty"),
        ("a.csv", 'text,label\n"a,b\n', "line 2: no CSV row"),
        ("a.csv", 'text,label\n"two\nlines",b\nc\n', "line 4: 1 cells"),
        ("a.csv", "text,label\n", "holds no rows"),
        ("a.csv", b"text,label\n\xe9t\xe9,b\n", "no UTF-8 text"),
        (
            "a.jsonl",
            '{"text": "a", "label": "b"}\n{"text": "a"',
            "line 2: no JSON: Expecting",
        ),
        ("a.jsonl", '{"text": "a", "label":\n', "no JSON: Expecting value, column 23"),
        ("a.jsonl", '["a", "b"]', "line 1: it must be an object"),
        ("a.jsonl", '{"text": 3, "label": "b"}', "line 1: text is 3; it must be"),
        ("a.jsonl", '{"text": "a", "label": true}', "line 1: label is True"),
        ("a.jsonl", '{"text": "a"}', "line 1: label is missing or empty"),
        ("a.jsonl", b'{"text": "\xe9", "label": "b"}', "no UTF-8 text"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(name, text, says, tmp_path):
    with pytest.raises(Refused) as refused:
        rows_in(tmp_path, name, text)
    assert says in str(refused.value)
    assert name in str(refused.value)


# --- scores --------------------------------------------------------------------------


def test_scores_by_hand():
    truth = torch.tensor([0, 0, 0, 1, 1, 2])
    guess = torch.tensor([0, 0, 1, 1, 0, 0])
    table = confusion_matrix(truth, guess, 4)
    assert table.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0] * 4]
    torch.testing.assert_close(f1_by_class(table).tolist(), [4 / 7, 2 / 4, 0.0, 0.0])


def test_calibration_by_hand():
    confidence = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.5, 1.0])
    p = torch.stack([confidence, 1 - confidence], dim=1)
    found = reliability(p, torch.tensor([0, 1, 0, 0, 0, 0]), bins=5)
    assert found.rows.tolist() == [0, 0, 3, 0, 3]
    gaps = 3 * (1 - 0.5) + 3 * (2.8 / 3 - 2 / 3)
    assert found.error == pytest.approx(gaps / 6, abs=1e-6)


def test_a_sure_and_right_model_is_calibrated():
    found = reliability(torch.eye(3), torch.arange(3))
    assert found.error == 0
    assert found.rows[-1] == 3


# --- rows into a model ---------------------------------------------------------------


def test_pairs_have_two_segments_and_are_cut_to_length():
    toy = new_toy(0)
    text = encode_text(toy.tokenizer, "the film was good", "the plot was bad", 1, 8)
    batch = collate([text, encode_text(toy.tokenizer, "good")])
    assert batch["input_ids"].shape == (2, 8)
    first = text.input_ids.index(toy.tokenizer.sep) + 1
    assert batch["token_type_ids"][0].tolist() == [0] * first + [1] * (8 - first)
    assert batch["attention_mask"][1].tolist() == [True] * 3 + [False] * 5
    assert batch["labels"].tolist() == [1, 0]


def test_a_label_that_the_model_does_not_know_is_named():
    with pytest.raises(Refused, match=r"a\.csv.*line 7: the label is 'fine'"):
        new_toy(0).encode([Row("the film", "fine", where="a.csv, line 7")])


def test_a_new_head_is_random_by_the_seed_and_the_encoder_is_not(init):
    heads = [new_classifier(init, ["a", "b"], seed).bert for seed in (0, 0, 1)]
    weights = [bert.classifier.weight for bert in heads]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    words = [bert.bert.embeddings.word_embeddings.weight for bert in heads]
    assert torch.equal(words[0], words[2])


def test_from_scratch_keeps_nothing_but_the_sizes(init):
    old = new_classifier(init, ["a", "b"])
    new = new_classifier(init, ["a", "b"], seed=3, from_scratch=True)
    assert new.bert.config == old.bert.config
    pooler = [m.bert.bert.pooler.dense.weight for m in (old, new)]
    assert not torch.equal(*pooler)


def test_a_trained_head_is_kept_for_the_same_labels(trained):
    kept = load_classifier(trained / "best")
    again = new_classifier(trained / "best", kept.labels[::-1], seed=5)
    assert again.labels == kept.labels
    assert torch.equal(again.bert.classifier.weight, kept.bert.classifier.weight)
    other = new_classifier(trained / "best", ["x", "y", "z"])
    assert other.bert.classifier.weight.shape[0] == 3


# --- the command ---------------------------------------------------------------------


def test_training_leaves_model_metrics_and_log(trained):
    names = sorted(path.name for path in trained.iterdir() if path.name != "board")
    assert names == ["best", "log.jsonl", "metrics.json", "step-00000028"]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["best"]["rows"] == 12
    assert set(metrics["best"]["f1"]) == {"bad", "good"}


def test_other_libraries_load_what_was_trained(trained):
    transformers = pytest.importorskip("transformers")
    theirs, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        trained / "best", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert theirs.config.id2label == {0: "bad", 1: "good"}
    ours = load_classifier(trained / "best")
    texts = [encode_text(ours.tokenizer, row.text) for row in opinions(9, seed=3)]
    batch = collate(texts)
    batch.pop("labels")
    with torch.no_grad():
        want = theirs.eval()(**batch).logits.softmax(-1)
    torch.testing.assert_close(probabilities(ours.bert, texts), want)


def test_evaluate_prints_and_writes_what_it_measured(trained, own, tmp_path, capsys):
    paths = ["--data", str(own), "--init", str(trained), "--out", str(tmp_path)]
    assert main(["evaluate", *paths, "--max-length", "20"]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert f"accuracy {found['accuracy']:.4f}" in said
    assert sum(map(sum, found["confusion"])) == found["rows"] == 120
    assert said.count("\n") == 5


def test_predict_gives_a_line_for_every_line(trained, monkeypatch, capsys):
    lines = "the film was good\n\nthe plot was not bad\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["predict", "--init", str(trained), "--max-length", "20"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["text"] for entry in found] == lines.split("\n")[:3]
    assert found[1]["label"] is None
    for entry in (found[0], found[2]):
        assert entry["probability"] == max(entry["probabilities"].values())
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_predict_takes_a_pair_of_texts(trained, capsys):
    base = ["predict", "--init", str(trained), "--max-length", "20", "--pairs"]
    assert main([*base, "--text", "the film\tthe plot"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["text"], entry["text_b"]) == ("the film", "the plot")
    assert main([*base, "--text", "no tab"]) == 2
    assert "line 1: --pairs needs a tab" in capsys.readouterr().err


def test_groups_of_a_file_stay_together_in_the_dev_split(init, tmp_path, capsys):
    rows = [
        f"{r.text.replace(',', '')},{r.label},g{i % 6}"
        for i, r in enumerate(opinions(60))
    ]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["text,label,group", *rows]))
    assert main(options(path, init, tmp_path / "out", "--epochs", "1")) == 0
    assert "50 rows to learn from" in capsys.readouterr().out


def test_a_dev_file_is_used_as_it_is(own, init, tmp_path, capsys):
    dev = tmp_path / "dev.csv"
    rows = [f'"{row.text}",{row.label}' for row in opinions(150)]  # the first are own's
    dev.write_text("\n".join(["text,label", *rows[100:], *rows[100:105]]))
    more = ["--dev", str(dev), "--epochs", "1", "--freeze", "2"]
    assert main(options(own, init, tmp_path / "out", *more)) == 0
    said = capsys.readouterr().out
    assert "100 rows to learn from" in said  # without the 20 that are dev rows
    assert "55 dev rows" in said
    assert "4,290 parameters learn" in said  # pooler 64 * 65, head 2 * 65


def test_a_dev_file_with_all_texts_leaves_nothing_to_learn_from(
    own, init, tmp_path, capsys
):
    assert main(options(own, init, tmp_path / "out", "--dev", str(own))) == 2
    assert "own.csv: it holds all texts of --data" in capsys.readouterr().err


def test_equal_texts_of_a_file_count_once(init, tmp_path, capsys):
    rows = [f'"{row.text}",{row.label}' for row in opinions(40)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["text,label", *rows, *rows]))
    assert main(options(path, init, tmp_path / "out", "--epochs", "1")) == 0
    assert "36 rows to learn from" in (said := capsys.readouterr().out)
    assert "4 dev rows" in said


def test_groups_of_a_file_that_share_a_text_stay_together_in_the_split(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f"text {g} {i},a,{g}" for g in "bcdef" for i in range(4)]
    # "a" and "b" are one group under two names.
    lines += [f"text a {i},a,a" for i in range(15)] + ["text b 0,a,a"]
    path.write_text("\n".join(["text,label,group", *lines]))
    for seed in range(5):
        a = argparse.Namespace(data=str(path), dev=None, seed=seed)
        learn, dev = rows_to_learn_from(a)
        sides = [{row.text[5] for row in side} for side in (learn, dev)]
        assert len(learn) + len(dev) == 35
        assert not sides[0] & sides[1]
        assert ({"a", "b"} <= sides[0]) != ({"a", "b"} <= sides[1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ["--data", "none"],
            "--data none: there is no such file; the sets are reviews",
        ),
        (["--init", "nowhere"], "nowhere is neither a folder here"),
        (["--max-length", "600"], "--max-length 600: it may be 3 to 32 here"),
        (["--freeze", "3"], "layers (--freeze) is 3; it must be one of 0 to 2"),
        (["--batch-size", "6", "--precision", "fp16"], "precision is 'fp16'"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(
    change, says, own, init, tmp_path, capsys
):
    out = tmp_path / "out"
    assert main(options(own, init, out, *change)) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("classify: ")
    assert said.count("\n") == 1


def test_one_label_alone_is_refused(init, tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text("text,label\na,b\nc,b\nd,b\n")
    assert main(options(path, init, tmp_path / "out")) == 2
    assert "every row has the label 'b'" in capsys.readouterr().err


def test_a_label_that_is_held_out_alone_is_a_class_all_the_same(init, tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text("text,label\nthe film,a\nthe plot,b\n")
    assert main(options(path, init, tmp_path / "out", "--epochs", "1")) == 0
    assert load_classifier(tmp_path / "out/best").labels == ["a", "b"]
    assert "1 rows to learn from" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["text,label\na,b\n", "text,label,group\na,b,g\nc,d,g\n"]
)
def test_a_file_of_one_group_needs_dev_rows(text, init, tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(text)
    assert main(options(path, init, tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert f"--data {path} is one text or one group" in said
    assert "name a file with others: --dev FILE" in said


def test_ctrl_c_promises_only_what_is_there(own, init, trained, tmp_path, monkeypatch):
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr("bertlib.command.Bar.__call__", stop)
    monkeypatch.setattr("bertlib.classify.require_length", stop)
    model = ["--init", str(trained)]
    assert main(["evaluate", "--data", str(own), *model]) == 130
    assert main(["predict", "--text", "a", *model]) == 130
    assert main(options(own, init, tmp_path / "none")) == 130
    assert said.getvalue() == "classify: stopped\n" * 3


def test_standard_input_in_another_encoding_is_one_sentence(
    trained, monkeypatch, capsys
):
    text = io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", text)
    assert main(["predict", "--init", str(trained), "--max-length", "20"]) == 2
    said = capsys.readouterr().err
    assert said == "classify: standard input is not UTF-8 text; it must be\n"


def test_a_reader_that_has_enough_is_no_mistake(trained):
    command = [sys.executable, "-m", "bertlib.classify", "predict"]
    asked = subprocess.Popen(
        [*command, "--init", str(trained), "--max-length", "20"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asked.stdin and asked.stdout and asked.stderr
    asked.stdout.close()  # as `| head` does
    asked.stdin.write(b"the film was good\n" * 9)
    asked.stdin.close()
    assert asked.stderr.read() == b""
    assert asked.wait(120) == 0


def test_resume_takes_up_a_run_that_was_stopped(
    own, init, trained, tmp_path, monkeypatch, capsys
):
    def stop(self: Any, step: Any, total: int) -> None:
        if step.step == 17:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bertlib.command.Bar.__call__", stop)
        assert main(options(own, init, tmp_path, "--save-every", "5")) == 130
    said = capsys.readouterr().err
    assert said.endswith("stopped; --resume goes on from the last checkpoint\n")
    assert (tmp_path / "step-00000015").is_dir()
    assert main(options(own, init, tmp_path, "--resume")) == 0
    ends = [load_file(p / "best/model.safetensors") for p in (trained, tmp_path)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_two_processes_write_the_model_of_one(own, init, tmp_path):
    same = ["--micro-batch", "4"]
    assert main(options(own, init, tmp_path / "one", *same)) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["-m", "bertlib.classify", *options(own, init, tmp_path / "two", *same)]
    done = subprocess.run(
        [*launch, "--nproc-per-node", "2", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rows to learn from") == 1
    ends = [load_file(tmp_path / p / "best/model.safetensors") for p in ("one", "two")]
    assert max((ends[0][n] - ends[1][n]).abs().max().item() for n in ends[0]) < 1e-6


def test_a_name_of_the_hub_that_is_not_pinned_has_to_be_asked_for(
    own, init, tmp_path, capsys, monkeypatch
):
    command = options(own, Path("org/some"), tmp_path / "out")
    assert main(command) == 2
    assert "--unpinned" in capsys.readouterr().err
    asked = []
    monkeypatch.setattr(
        "bertlib.command.find_folder", lambda *names: asked.append(names) or init
    )
    assert main([*command, "--unpinned"]) == 0
    assert [(str(name), unpinned) for name, unpinned in asked] == [("org/some", True)]


def test_a_model_that_names_no_classes_is_refused(init, capsys):
    assert main(["predict", "--init", str(init), "--text", "a"]) == 2
    assert "names no classes" in capsys.readouterr().err


def test_the_head_is_the_standard_one(init):
    bert = new_classifier(init, ["a", "b", "c"]).bert
    assert isinstance(bert, BertForSequenceClassification)
    assert isinstance(bert.config, BertConfig)
    assert bert.classifier.weight.shape == (3, 64)


def test_a_set_that_cannot_be_fetched_is_one_sentence(tmp_path, capsys, monkeypatch):
    def fail():
        raise NotFetched("qc.zip is not on this machine and could not be fetched.")

    monkeypatch.setitem(NAMED, "qc", fail)
    assert main(["train", "--data", "qc", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("classify: qc.zip is not on this machine")
    assert not (tmp_path / "out").exists()
