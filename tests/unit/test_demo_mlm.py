"""The command demo_mlm, as its user meets it: real processes with tiny budgets."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertlib.checkpoint import latest_checkpoint
from bertlib.demo_mlm import main
from bertlib.evaluation import Metrics
from bertlib.textfile import (
    CHUNK,
    Refused,
    Rows,
    encode_file,
    learn_tokenizer,
    read_text,
)
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS
from bertlib.watch import verdict

ROOT = Path(__file__).resolve().parents[2]
TEXT = "the cat saw a dog . the dog saw the old cat . a cat ran home . " * 60


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bertlib.demo_mlm", *map(str, arguments)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def demo(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, "--threads", 1),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(folder: Path, *arguments: object) -> str:
    """The one sentence that the command says when it cannot do as it was told."""
    done = demo(folder, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    return one_sentence(done.stderr)


def one_sentence(said: str) -> str:
    assert "Traceback" not in said
    assert said.count("\n") == 1
    return said


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """As `refusal`, in this process, where it costs no time."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        assert main([*map(str, arguments), "--threads", "1"]) == 2
        return one_sentence(capsys.readouterr().err)

    return run


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "own text.txt"  # with a space in its name
    path.write_text(TEXT, encoding="utf-8")
    return path


# --- what it does --------------------------------------------------------------------


def test_it_trains_measures_fills_masks_and_saves(tmp_path, text):
    done = demo(tmp_path, text.name, "--steps", 40)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.search(
        r"step 40/40  loss \d\.\d+  [\d,]+ tokens/s  0:00 left$", done.stdout, re.M
    )
    assert "\r" not in done.stdout  # no terminal: whole lines, few of them
    assert sum(line.startswith("step ") for line in lines) < 10
    unigram = float(re.search(r"unigram baseline +([\d.]+)", done.stdout)[1])  # type: ignore[index]
    held = float(re.search(r"held-out loss +([\d.]+)", done.stdout)[1])  # type: ignore[index]
    assert held < unigram
    assert "below the unigram line" in done.stdout
    filled = done.stdout.split("Masks filled in:")[1]
    assert filled.count("[MASK]") == filled.count("guesses:") == 5
    path = latest_checkpoint(tmp_path / "own text-bert")
    assert path is not None
    assert "Saved in" in lines[-1] and lines[-1].endswith(path.name)
    assert (path / "vocab.txt").exists()


def test_two_words_are_enough(tmp_path):
    (tmp_path / "two.txt").write_text("hello world")
    done = demo(tmp_path, "two.txt")
    assert done.returncode == 0, done.stderr
    assert "too short to hold a part of it out" in done.stdout
    word = re.search(r"was: (\w+); guesses: (\w+)", done.stdout)
    assert word is not None and word[1] == word[2]  # it had nothing else to learn


def test_latin_1_can_be_named(tmp_path):
    (tmp_path / "a.txt").write_bytes((TEXT + "café ").encode("latin-1"))
    said = refusal(tmp_path, "a.txt", "--steps", 2)
    assert f"byte {len(TEXT) + 3:,} cannot be read" in said
    assert "--encoding" in said
    assert not (tmp_path / "a-bert").exists()  # nothing is left behind
    done = demo(tmp_path, "a.txt", "--steps", 2, "--encoding", "latin-1")
    assert done.returncode == 0, done.stderr


# --- Ctrl-C --------------------------------------------------------------------------


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments, "--threads", 1),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with Ctrl-C switched off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_saves_and_the_printed_command_ends_as_if_nothing_had_happened(
    tmp_path, text
):
    running = start(tmp_path, text.name, "--steps", 40)
    assert running.stdout is not None
    while "step 1/40" not in running.stdout.readline():
        pass
    running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=100)
    assert running.returncode == 130
    assert "Traceback" not in errors
    step = int(re.search(r"Stopped after step (\d+), saved in", rest)[1])  # type: ignore[index]
    assert 1 <= step < 40
    words = shlex.split(rest.splitlines()[-1])
    assert words[:3] == ["python", "-m", "bertlib.demo_mlm"]

    done = demo(tmp_path, *words[3:])
    assert done.returncode == 0, done.stderr
    assert f"step {step + 1}/40" in done.stdout
    assert "step 40/40" in done.stdout

    whole = demo(tmp_path, text.name, "--steps", 40, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    ends = [latest_checkpoint(tmp_path / out) for out in ("whole", "own text-bert")]
    one, other = [path / "model.safetensors" for path in ends if path is not None]
    assert one.read_bytes() == other.read_bytes()


# --- what it refuses, in one sentence ------------------------------------------------


def test_an_empty_file_is_refused(tmp_path):
    for name, content in (("empty.txt", ""), ("blank.txt", " \n\t\n")):
        (tmp_path / name).write_text(content)
        assert f"{name} holds no text" in refusal(tmp_path, name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "nowhere.txt: No such file" in refusal(tmp_path, "nowhere.txt")
    (tmp_path / "folder").mkdir()
    assert "folder is a folder; name a text file" in refusal(tmp_path, "folder")


def test_an_out_that_cannot_be_written_is_refused(refused, text):
    assert "Not a directory" in refused(text.name, "--out", f"{text.name}/x")


def test_an_out_that_holds_a_run_is_refused_and_left_alone(tmp_path, refused, text):
    held = tmp_path / "held"
    (held / "step-00000007").mkdir(parents=True)
    (held / "step-00000007" / "model.safetensors").write_bytes(b"precious")
    said = refused(text.name, "--out", "held")
    assert "--out held is not empty" in said and "--resume" in said
    assert (held / "step-00000007" / "model.safetensors").read_bytes() == b"precious"


def test_there_must_be_something_to_resume(refused, text):
    said = refused(text.name, "--out", "nothing", "--resume")
    assert "there is no checkpoint in nothing" in said


def test_a_run_at_its_end_is_measured_again(
    tmp_path, refused, text, capsys, monkeypatch
):
    again = [text.name, "--out", "run", "--threads", "1", "--resume"]
    assert main([*again[:-1], "--steps", "3"]) == 0
    first = capsys.readouterr().out.partition("unigram baseline")[2]
    assert main(again) == 0
    assert first and capsys.readouterr().out.endswith(first)
    with pytest.raises(SystemExit):
        main([*again, "--minutes", "3"])
    said = capsys.readouterr().err
    assert "argument --minutes: --resume goes on as the run was begun" in said

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bertlib.demo_mlm.report", stopped)
    assert main(again) == 130
    assert "the run is saved in run/step-00000003" in capsys.readouterr().err


def test_another_file_cannot_go_on_with_a_run(tmp_path, refused, text):
    arguments = [text.name, "--steps", "1", "--out", "run", "--threads", "1"]
    assert main(arguments) == 0
    (tmp_path / "other.txt").write_text(TEXT + "more")
    said = refused("other.txt", "--out", "run", "--resume")
    assert "is not the file that run was trained on" in said


def test_encodings_and_vocabularies_that_cannot_be_are_refused(refused, text):
    for name in ("klingon", "hex", "undefined", "idna"):
        said = refused(text.name, "--encoding", name)
        assert f"--encoding {name}: Python knows no such encoding" in said
    said = refused(text.name, "--vocab-size", 6)
    assert "--vocab-size 6" in said and "too small" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", 0],
        ["--minutes", -1],
        ["--minutes", "inf"],
        ["--vocab-size", 70_000],
        ["--max-length", 4],
        ["--seed", -1],
        ["--seed", 2**70],
    ],
)
def test_numbers_out_of_range_are_refused(text, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(text), *map(str, arguments)])
    assert stop.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


# --- large files ---------------------------------------------------------------------


# The command, which says at its end how much memory it took at most, in kB. (The peak
# that getrusage reports of a child can be that of the process which started it.)
WITH_PEAK = """
import re, sys
from bertlib.demo_mlm import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_line_of_20_megabytes_needs_little_memory(tmp_path):
    path = tmp_path / "line.txt"
    words = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "nrst"]
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(50):
            file.write(" ".join(rng.choice(words, 100_000)) + " ")
    assert path.stat().st_size >= 19_000_000
    options = ["line.txt", "--steps", "2", "--vocab-size", "500", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", WITH_PEAK, *options],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1])
    assert peak < 900_000, f"{peak / 1000:.0f} MB"  # Python with torch alone: about 400


def test_pieces_of_a_file_are_its_text(tmp_path):
    path = tmp_path / "a.txt"
    words = " ".join(f"wörd{i}" for i in range(300_000))
    path.write_text(words, encoding="utf-8")
    assert path.stat().st_size > 3 * CHUNK
    pieces = list(read_text(path, "utf-8"))
    assert len(pieces) > 3
    assert "".join(pieces) == words
    for text in pieces[:-1]:
        assert text.endswith(" ")  # no word is cut in two
    assert list(read_text(path, "utf-8", every=2)) == pieces[::2]


def test_a_text_without_a_space_is_read_in_pieces_too(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("字" * 1_000_000, encoding="utf-8")
    pieces = list(read_text(path, "utf-8"))
    assert sum(map(len, pieces)) == 1_000_000
    assert max(map(len, pieces)) <= 2 * CHUNK


@pytest.mark.parametrize("before", [0, 10, CHUNK - 1, CHUNK, CHUNK + 5])
def test_the_byte_that_cannot_be_read_is_named(before, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x " * (before // 2) + b"x" * (before % 2) + b"\xe9 ! ")
    with pytest.raises(Refused, match=f"byte {before:,} cannot be read"):
        list(read_text(path, "utf-8"))


def test_a_character_that_is_cut_off_at_the_end_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("abc é".encode()[:-1])
    with pytest.raises(Refused, match="byte 4 cannot be read"):
        list(read_text(path, "utf-8"))


def test_ids_of_a_file_are_those_of_its_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    tokenizer = learn_tokenizer(path, "utf-8", 60)
    ids = encode_file(path, "utf-8", tokenizer)
    assert ids.dtype == np.uint16
    assert ids.tolist() == tokenizer.ids(TEXT)


def test_training_rows_and_held_out_rows_share_none():
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, *map(str, range(1000))])
    rows = Rows(np.arange(5, 1005, dtype=np.uint16), tokenizer, 64)
    assert rows.split
    epoch = [rows.training(i, seed=0) for i in range(rows.train)]
    seen = {i for example in epoch for i in example.input_ids[1:-1]}
    held = {i for k in range(rows.held) for i in rows.held_out(k).input_ids[1:-1]}
    assert seen | held == set(range(5, 1005))
    assert not seen & held
    assert seen == set(rows.seen().tolist())
    assert [e.number for e in epoch] == list(range(rows.train))
    assert rows.training(rows.train, 0).number == rows.train  # the next epoch goes on


# --- what the loss means -------------------------------------------------------------


def test_the_verdict_tells_plateau_from_success_and_from_learning_by_heart():
    line = Metrics(6.9, 0.04, 1000)

    def say(loss: float, train_loss: float, split: bool = True) -> str:
        return verdict(Metrics(loss, 0.1, 1000), line, train_loss, split)

    assert "below the unigram line" in say(6.5, 6.4)
    assert "on the plateau" in say(6.95, 6.9)
    assert "--minutes" in say(6.95, 6.9)
    assert "by heart" in say(7.5, 3.0)
    assert "too short" in say(0.1, 0.1, split=False)
