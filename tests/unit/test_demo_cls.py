"""The demo of classification, as its user meets it."""

import io
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bertlib.demo_cls import SHOWN, main
from bertlib.opinions import BAD, GOOD, count_words, opinion_tokenizer, opinions

ROOT = Path(__file__).resolve().parents[2]
TURNS = ("not", "nobody", "anything")


def meaning(text: str) -> str:
    """What a sentence says, worked out another way than it was made."""
    words = text.split(" , but ")[-1].split()
    good = any(word in GOOD for word in words)
    assert good != any(word in BAD for word in words)
    return "good" if good != any(word in TURNS for word in words) else "bad"


def test_every_sentence_has_the_label_that_it_means():
    rows = opinions(500, seed=7)
    assert [row.label for row in rows] == [meaning(row.text) for row in rows]
    assert len({row.text for row in rows}) == 500
    assert 0.4 < Counter(row.label for row in rows)["good"] / 500 < 0.6


def test_the_seed_makes_the_sentences():
    assert opinions(20, 1) == opinions(20, 1)
    assert opinions(20, 1) != opinions(20, 2)


def test_every_word_is_one_token():
    tokenizer = opinion_tokenizer()
    for row in opinions(200):
        assert tokenizer.tokenize(row.text) == row.text.split()


def test_counting_words_is_not_enough():
    rows = opinions(2400)
    assert count_words(rows[400:], rows[:400]) < 0.7


def demo(folder: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "bertlib.demo_cls", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The demo from nothing, in a process of its own, and its seconds of computing."""
    folder = tmp_path_factory.mktemp("demo")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = demo(folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert done.returncode == 0, done.stderr
    return folder, done, seconds


def test_it_learns_from_nothing_in_less_than_20_seconds(finished, record_property):
    _, done, seconds = finished
    record_property("seconds of computing", seconds)
    assert seconds < 20
    found = re.search(r"this BERT +([\d.]+)% right", done.stdout)
    assert found is not None
    assert float(found[1]) > 95
    for sentence in SHOWN:
        assert re.search(rf"^{meaning(sentence)} .*{sentence}$", done.stdout, re.M)


def test_it_answers_sentences_of_the_command_line_and_piped_ones(finished):
    folder, _, _ = finished
    done = demo(folder, "predict", "the plot was not bad", "the plot was not good")
    assert [line[:4] for line in done.stdout.splitlines()] == ["good", "bad "]
    typed = "nobody called the film weak\n\nthe zebra was good\n"
    piped = demo(folder, "predict", typed=typed).stdout.splitlines()
    assert piped[0].startswith("good")
    assert "unknown words: 1" in piped[1]
    assert len(piped) == 2


def test_a_second_call_shows_it_again_without_training(finished):
    folder, first, _ = finished
    again = demo(folder)
    assert again.stdout == first.stdout
    assert "step" not in again.stderr


def test_another_seed_needs_another_folder(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished[0])
    assert main(["--seed", "1"]) == 2
    assert "seed is 1, it was 0" in capsys.readouterr().err


def test_predict_without_a_model_trains_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("the film was not bad\n"))
    assert main(["predict"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("good")


def test_a_run_that_was_stopped_early_begins_anew(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("bertlib.command.Bar.__call__", stop)
        assert main([]) == 130
    assert capsys.readouterr().err == "demo_cls: stopped\n"
    assert main([]) == 0
    said = capsys.readouterr()
    assert "the run begins anew" in said.err
    assert "this BERT" in said.out


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("mine")
    assert main(["--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_the_reviews_have_to_be_learned_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--data", "reviews", "a fine film"]) == 2
    assert "no trained model" in capsys.readouterr().err


def test_the_reviews_go_through_the_command_with_its_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr("bertlib.classify.main", lambda a: calls.append(a) or 0)
    assert main(["--data", "reviews", "--out", "here"]) == 0
    train, evaluate = calls
    assert train == ["train", "--data", "reviews", "--out", "here", "--seed", "0"]
    assert evaluate == ["evaluate", "--data", "reviews", "--init", "here"]
