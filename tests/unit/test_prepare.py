"""Text to token shards: the same bytes always, little memory, errors that help."""

import contextlib
import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from bertlib.prepare import main
from bertlib.shards import Shards
from bertlib.sources import Piece, documents, find_cut, plan, read_lines, sentences
from bertlib.stream import PairStream
from bertlib.tokenizer import WordPieceTokenizer

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["bertlib.prepare"])
WORDS = ["the", "cat", "dog", "sees", "bird", "a", "small", "old", "runs", "naïve"]


def some_text(documents: int, seed: int = 0) -> str:
    """Documents of one sentence a line, a blank line after each."""
    rng, lines = random.Random(seed), []
    for _ in range(documents):
        for _ in range(rng.randint(2, 9)):
            lines.append(" ".join(rng.choices(WORDS, k=rng.randint(2, 14))))
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(some_text(200), encoding="utf-8")
    return path


def run(*arguments: Any) -> int:
    return main([*map(str, arguments)])


QUICK = ["--workers", 1, "--vocab-size", 80, "--shard-tokens", 1000]


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def decoded(shards: Shards) -> list[str]:
    """The documents, as text."""
    texts = []
    for number in range(len(shards)):
        shard = shards[number]
        for document in shard.spans():
            ids = shard.tokens[document[0].start : document[-1].stop].tolist()
            texts.append(shards.tokenizer.decode(ids))
    return texts


# --- what comes out ------------------------------------------------------------------


def test_no_document_is_lost_or_there_twice(text, tmp_path):
    out = tmp_path / "out"
    assert run(text, "--out", out, *QUICK) == 0
    both = decoded(Shards(out)) + decoded(Shards(out / "held-out"))
    tokenizer = Shards(out).tokenizer
    wanted = [
        tokenizer.decode(tokenizer.ids(document.replace("\n", " ")))
        for document in text.read_text(encoding="utf-8").split("\n\n")
        if document.strip()
    ]
    assert sorted(both) == sorted(wanted)
    assert len(Shards(out)) > 3


def test_the_manifest_says_what_is_there(text, tmp_path):
    out = tmp_path / "out"
    run(text, "--out", out, *QUICK)
    shards = Shards(out).verify()
    manifest = shards.manifest
    assert manifest["tokens"] == sum(len(shards[i].tokens) for i in range(len(shards)))
    [source] = manifest["sources"]
    assert (source["path"], source["bytes"]) == (str(text), text.stat().st_size)
    assert not (out / "drafts").exists()


def test_two_workers_write_the_same_bytes_as_one(text, tmp_path):
    for workers in (1, 2):
        run(text, "--out", tmp_path / str(workers), *QUICK, "--workers", workers)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(text, tmp_path):
    rng = random.Random(0)
    run(text, "--out", tmp_path / "whole", *QUICK)
    out = tmp_path / "killed"
    arguments = [*map(str, [text, "--out", out, *QUICK, "--workers", 2])]
    for _ in range(8):
        process = FORK.Process(target=main, args=(arguments,))
        process.start()
        time.sleep(rng.uniform(0.02, 0.5))
        process.kill()
        process.join()
    assert main(arguments) == 0
    assert files(out) == files(tmp_path / "whole")


def test_a_second_run_changes_nothing(text, tmp_path):
    run(text, "--out", tmp_path / "out", *QUICK)
    before = files(tmp_path / "out")
    assert run(text, "--out", tmp_path / "out", *QUICK) == 0
    assert files(tmp_path / "out") == before


def test_a_given_vocabulary_is_used(text, tmp_path):
    vocab = tmp_path / "vocab.txt"
    WordPieceTokenizer.train(WORDS, 60, min_frequency=1).save_vocab(vocab)
    run(text, "--out", tmp_path / "out", *QUICK, "--vocab", vocab)
    assert (tmp_path / "out/vocab.txt").read_bytes() == vocab.read_bytes()


def test_a_folder_stands_for_its_files(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b/one.txt").write_text(some_text(10, 1), encoding="utf-8")
    (folder / "a.txt").write_text(some_text(10, 2), encoding="utf-8")
    (folder / ".hidden").write_bytes(b"\xff")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_bytes(b"\xff")
    assert run(folder, "--out", tmp_path / "out", *QUICK) == 0
    sources = Shards(tmp_path / "out").manifest["sources"]
    names = [Path(source["path"]).name for source in sources]
    assert names == ["a.txt", "one.txt"]


def test_one_document_still_makes_pairs(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a cat sees\na dog runs\nthe bird\nan old cat\n")
    assert run(path, "--out", tmp_path / "out", *QUICK, "--held-out", 0) == 0
    assert len(PairStream(Shards(tmp_path / "out"), 16, 0).take(10)) == 10
    assert not (tmp_path / "out/held-out").exists()


# --- documents and sentences ---------------------------------------------------------


def test_a_short_line_is_a_sentence_whatever_it_holds():
    assert sentences("Dr. Smith went. He ran.\n") == ["Dr. Smith went. He ran."]


def test_a_long_line_is_cut_after_full_stops():
    line = "This is one sentence. Is it? " * 20
    assert sentences(line)[:3] == [
        "This is one sentence.",
        "Is it?",
        sentences(line)[0],
    ]


def test_a_long_sentence_is_cut_between_words():
    found = sentences("word " * 1000)
    assert max(map(len, found)) <= 1000
    assert set(" ".join(found).split()) == {"word"}
    assert [len(part) for part in sentences("x" * 2500)] == [1000, 1000, 500]


def test_text_without_blank_lines_becomes_documents_too(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a cat sees a dog\n" * 1000)
    piece = Piece(str(path), 0, path.stat().st_size)
    assert [len(d) for d in documents([piece], "utf-8") if d] == [200] * 5


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 100_000])
def test_the_cuts_lose_no_byte(text, tmp_path, size):
    other = tmp_path / "other.txt"
    other.write_text("é" * 300 + "\n\n" + "x y " * 50, encoding="utf-8")
    pieces = [piece for shard in plan([text, other], size) for piece in shard]
    for path in (text, other):
        mine = [piece for piece in pieces if piece.path == str(path)]
        ends = [0, *(piece.end for piece in mine)]
        assert [piece.start for piece in mine] == ends[:-1]
        assert ends[-1] == path.stat().st_size
        joined = "\n".join("\n".join(read_lines(piece, "utf-8")) for piece in mine)
        assert joined.split() == path.read_text(encoding="utf-8").split() or size == 1


def test_a_cut_is_where_a_document_begins(text):
    data = text.read_bytes()
    for at in range(1, 2000, 37):
        cut = find_cut(text, at)
        assert data[:cut].endswith(b"\n\n")
        assert b"\n\n" not in data[at : cut - 1]


# --- memory --------------------------------------------------------------------------


def most_memory(process: Any) -> int:
    """The most bytes that a process and its children had at once."""
    import psutil

    most = 0
    while process.is_alive():
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for one in (parent, *parent.children(recursive=True)):
                total += one.memory_info().rss
        most = max(most, total)
        time.sleep(0.02)
    return most


@pytest.mark.parametrize(
    ("unit", "size"),
    [("many words of a line, ", 20e6), ("abcdefgh,", 20e6), ("word\n", 3e6)],
    ids=["one long line", "no spaces", "a word a line"],
)
def test_memory_does_not_grow_with_the_text(unit, size, tmp_path):
    path = tmp_path / "text.txt"
    with path.open("w") as file:
        for _ in range(int(size) // (len(unit) * 1000)):
            file.write(unit * 1000)
    arguments = [str(path), "--out", str(tmp_path / "out"), "--workers", "2"]
    process = FORK.Process(target=main, args=(arguments,), daemon=False)
    process.start()
    most = most_memory(process)
    assert process.exitcode == 0
    print(f"{most / 1e6:.0f} MB")
    assert most < 1e9


# --- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments", "says"),
    [
        (None, ["none.txt"], "none.txt does not exist"),
        (b"", ["text.txt"], "there is no text, 0 bytes"),
        (b"\n \n", ["text.txt"], "nothing but blank lines"),
        (
            b"caf\xc3\xa9 " * 20_000 + b"caf\xe9",
            ["text.txt"],
            "text.txt is not utf-8: byte 120,003 (0xe9) cannot be read; name the "
            "right one, for example --encoding latin-1",
        ),
        (b"a b", ["text.txt", "--encoding", "klingon"], "no such encoding"),
        (b"a b", ["text.txt", "--encoding", "utf-16"], "convert it to utf-8 first"),
        (b"a b", ["text.txt", "--vocab", "none.txt"], "none.txt: No such file"),
        (
            b"a b",
            ["text.txt", "--out", "text.txt"],
            "text.txt is a file; name a folder",
        ),
        (b"a b", ["text.txt", "--out", "."], "holds something else"),
        (b"a b", [".", "--out", "out"], "lies inside"),
        (b"abcdefgh", ["text.txt", "--vocab-size", "9"], "is too small"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(
    make, arguments, says, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if make is not None:
        Path("text.txt").write_bytes(make)
    assert run("--out", "out", "--workers", 1, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_latin_1_is_read_when_it_is_named(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("un café\nnoir\n\nun thé\nvert\n".encode("latin-1"))
    options = [*QUICK, "--encoding", "latin-1", "--cased", "--vocab-size", 99]
    assert run(path, "--out", tmp_path / "out", *options) == 0
    assert decoded(Shards(tmp_path / "out")) == ["un café noir", "un thé vert"]


def test_other_settings_in_the_same_folder_are_refused(text, tmp_path, capsys):
    out = tmp_path / "out"
    run(text, "--out", out, *QUICK)
    assert run(text, "--out", out, *QUICK, "--cased") == 2
    assert "was begun with lowercase True, not False" in capsys.readouterr().err
    text.write_text("something else", encoding="utf-8")
    assert run(text, "--out", out, *QUICK) == 2
    assert "was begun with other sources" in capsys.readouterr().err


def test_a_setting_can_be_mended_before_anything_is_written(tmp_path, capsys):
    path, out = tmp_path / "latin.txt", tmp_path / "out"
    path.write_text("un café noir\nun thé vert\n", encoding="latin-1")
    assert run(path, "--out", out, *QUICK) == 2
    assert "--encoding latin-1" in capsys.readouterr().err
    assert run(path, "--out", out, *QUICK, "--encoding", "latin-1") == 0
    assert run(path, "--out", tmp_path / "other", *QUICK, "--vocab", path) == 2
    assert f"--vocab {path} is not UTF-8" in capsys.readouterr().err


def test_no_worker_outlives_its_parent(tmp_path):
    import psutil

    path = tmp_path / "text.txt"
    path.write_text(some_text(20_000), encoding="utf-8")
    out = tmp_path / "out"
    arguments = [str(path), "--out", str(out), "--workers", "2"]
    process = FORK.Process(target=main, args=(arguments,))
    process.start()
    while not (out / "vocab.txt").exists() and process.is_alive():
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert children and not alive


def test_the_settings_are_kept(text, tmp_path):
    run(text, "--out", tmp_path / "out", *QUICK)
    kept = json.loads((tmp_path / "out/prepare.json").read_text())
    assert (kept["vocab_size"], kept["encoding"]) == (80, "utf-8")
