"""Token files, and the stream of examples that is read from them."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from bertlib.data import Masker
from bertlib.shards import (
    Shards,
    token_dtype,
    whole,
    write_manifest,
    write_shard,
)
from bertlib.stream import PairStream
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS


def tokenizer_of(size):
    words = [f"w{i}" for i in range(size - len(SPECIAL_TOKENS))]
    return WordPieceTokenizer([*SPECIAL_TOKENS, *words])


TOKENIZER = tokenizer_of(3000)


def corpus(seed, n):
    """n documents of sentences of ids."""
    rng = random.Random(seed)
    return [
        [
            [rng.randrange(5, 3000) for _ in range(rng.randint(1, 20))]
            for _ in range(rng.randint(1, 15))
        ]
        for _ in range(n)
    ]


def fill(folder, shards, tokenizer=TOKENIZER):
    size = len(tokenizer)
    entries = [write_shard(folder, i, docs, size) for i, docs in enumerate(shards)]
    write_manifest(folder, tokenizer, entries, ["a.txt"])
    return Shards(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards")
    fill(path, [corpus(seed, 9) for seed in range(3)])
    return path


@pytest.fixture
def own(tmp_path):
    """A folder of two shards that a test may spoil."""
    fill(tmp_path, [corpus(seed, 4) for seed in range(2)])
    return tmp_path


# --- files ---------------------------------------------------------------------------


def test_what_was_written_is_read(folder):
    shards = Shards(folder).verify()
    assert len(shards) == 3
    for i in range(3):
        shard, documents = shards[i], corpus(i, 9)
        spans = shard.spans()
        assert [
            [shard.tokens[s.start : s.stop].tolist() for s in d] for d in spans
        ] == (documents)


def test_the_manifest_counts(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    documents = [d for seed in range(3) for d in corpus(seed, 9)]
    assert manifest["documents"] == len(documents) == 27
    assert manifest["sentences"] == sum(map(len, documents))
    assert manifest["tokens"] == sum(len(s) for d in documents for s in d)
    assert manifest["sources"] == ["a.txt"]
    assert manifest["dtype"] == "<u2"


def test_two_bytes_hold_65536_ids_and_no_more():
    assert token_dtype(65_536) == "<u2"
    assert token_dtype(65_537) == "<u4"


@pytest.mark.parametrize(("size", "width"), [(65_536, 2), (65_537, 4)])
def test_the_highest_id_survives(tmp_path, size, width):
    ids = [size - 1, 32_768, 0]
    shards = fill(tmp_path, [[[ids], [[7]]]], tokenizer_of(size))
    assert shards[0].tokens[:3].tolist() == ids
    assert (tmp_path / "shard-00000.tokens").stat().st_size == 4 * width


def test_empty_sentences_and_documents_are_left_out(tmp_path):
    documents = [[], [[]], [[5], [], [6, 7]], [[8]]]
    shards = fill(tmp_path, [documents])
    spans = [[list(s) for s in document] for document in shards[0].spans()]
    assert spans == [[[0], [1, 2]], [[3]]]


def test_documents_may_be_a_generator_of_arrays(tmp_path):
    documents = ([np.array([5, 6]), np.array([k])] for k in (7, 8))
    assert fill(tmp_path, [documents])[0].tokens.tolist() == [5, 6, 7, 5, 6, 8]


@pytest.mark.parametrize("bad", [-1, 3000, 70_000])
def test_an_id_outside_the_vocabulary_is_refused_and_leaves_no_file(tmp_path, bad):
    with pytest.raises(ValueError, match=f"id {bad} is not one of 0 to 2999"):
        write_shard(tmp_path, 0, [[[5, bad]]], 3000)
    assert not list(tmp_path.iterdir())


def test_a_shard_without_tokens_is_refused(tmp_path):
    with pytest.raises(ValueError, match="documents holds no token"):
        write_shard(tmp_path, 0, [[[]]], 3000)
    assert not list(tmp_path.iterdir())


def test_a_file_that_fails_halfway_leaves_the_old_one(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


# --- what is wrong is said -----------------------------------------------------------


def test_a_folder_without_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json is missing"):
        Shards(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3"])
def test_a_manifest_that_is_none(own, text):
    (own / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="is no manifest"):
        Shards(own)


@pytest.mark.parametrize("key", ["shards", "dtype", "vocab_sha256", "lowercase"])
def test_a_manifest_without_one_of_its_keys(own, key):
    path = own / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=f"is no manifest: .*{key}"):
        Shards(own)


def test_another_format(own):
    path = own / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(ValueError, match="has format 7; this version reads 1"):
        Shards(own)


@pytest.mark.parametrize(
    "name", ["shard-00001.tokens", "shard-00000.sentences.npy", "vocab.txt"]
)
def test_a_missing_file(own, name):
    (own / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Shards(own)


def test_a_token_file_of_another_size(own):
    path = own / "shard-00001.tokens"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"shard-00001\.tokens has \d+ bytes; the"):
        Shards(own)


def test_another_vocabulary(own):
    (own / "vocab.txt").write_text("\n".join(SPECIAL_TOKENS) + "\n")
    with pytest.raises(ValueError, match="is not the vocabulary that made the shards"):
        Shards(own)


def test_a_changed_byte_is_found_by_verify(own):
    path = own / "shard-00000.tokens"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00000\.tokens has changed"):
        Shards(own).verify()


@pytest.mark.parametrize("data", [b"", b"no array", None])
def test_an_index_that_is_spoilt(own, data):
    path = own / "shard-00000.documents.npy"
    if data is None:
        np.save(path, np.array([1, 2]))
    else:
        path.write_bytes(data)
    with pytest.raises(ValueError, match="shard-00000: its "):
        Shards(own)[0]


# --- memory --------------------------------------------------------------------------

MEMORY = """
import sys
import numpy as np
from bertlib.shards import Shards

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):  # not pages of files, which can be dropped
            return int(line.split()[1]) / 1024

shards = Shards(sys.argv[1])
rng = np.random.default_rng(0)
before = resident()
shard = shards[0]
total = 0
for at in rng.integers(0, len(shard.tokens) - 128, 500):
    total += int(shard.tokens[at : at + 128].sum())
print(resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_reading_a_large_shard_takes_little_memory(tmp_path):
    ids = np.random.default_rng(0).integers(5, 3000, 1_000_000).tolist()
    fill(tmp_path, [([ids] for _ in range(100))])  # 100 million ids, 200 MB
    assert (tmp_path / "shard-00000.tokens").stat().st_size == 200_000_000
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    grown = float(subprocess.run(command, check=True, capture_output=True).stdout)
    assert grown < 10  # MB


# --- the stream ----------------------------------------------------------------------


def epoch_length(stream):
    """How many examples there are up to the next epoch."""
    epoch = stream.epoch
    while stream.epoch == epoch:
        stream.take(1, [])
    return stream.number - 1


@pytest.mark.parametrize("next_sentence", [True, False])
def test_the_same_seed_gives_the_same_stream(folder, next_sentence):
    one, two = (
        PairStream(Shards(folder), 48, 3, next_sentence=next_sentence).take(700)
        for _ in range(2)
    )
    assert one == two
    other = PairStream(Shards(folder), 48, 4, next_sentence=next_sentence).take(700)
    assert one != other


@pytest.mark.parametrize("next_sentence", [True, False])
def test_the_stream_goes_on_from_any_position(folder, next_sentence):
    stream = PairStream(Shards(folder), 48, 0, next_sentence=next_sentence)
    positions = [stream.position()]
    examples = []
    for _ in range(900):
        examples += stream.take(1)
        positions.append(stream.position())
    assert positions[-1]["epoch"] >= 1
    for at in random.Random(0).sample(range(900), 25):
        again = PairStream(Shards(folder), 48, 0, next_sentence=next_sentence)
        again.seek(json.loads(json.dumps(positions[at])))
        count = min(60, 900 - at)
        assert again.take(count) == examples[at : at + count]
        assert again.position() == positions[at + count]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_build_the_rows_of_one_process(folder, world):
    whole_run = PairStream(Shards(folder), 48, 0)
    streams = [PairStream(Shards(folder), 48, 0) for _ in range(world)]
    for n in (8, 13, 400, 1):
        want = whole_run.take(n)
        for rank, stream in enumerate(streams):
            assert stream.take(n, range(rank, n, world)) == want[rank::world]
            assert stream.position() == whole_run.position()


def test_numbers_count_through_the_whole_run(folder):
    stream = PairStream(Shards(folder), 48, 0)
    assert [example.number for example in stream.take(900)] == list(range(900))
    assert stream.position()["epoch"] >= 1


def test_every_row_fits_and_is_marked_right(folder):
    shards = Shards(folder)
    cls, sep = TOKENIZER.cls, TOKENIZER.sep
    for example in PairStream(shards, 40, 1).take(500):
        ids = list(example.input_ids)
        assert ids[0] == cls
        assert ids[-1] == ids[example.first - 1] == sep
        assert ids.count(sep) == 2
        assert 5 <= len(ids) <= 40
        assert example.next_sentence_label in (0, 1)


def test_pairs_are_the_text_of_the_documents(folder):
    """A lies in one document; B follows it, or lies in another."""
    shards = Shards(folder)
    homes = []
    for i in range(3):
        for d, document in enumerate(shards[i].spans()):
            text = shards[i].tokens[document[0].start : document[-1].stop]
            homes.append(((i, d), " " + " ".join(map(str, text.tolist())) + " "))

    def home(ids):
        text = " " + " ".join(map(str, ids)) + " "
        return {place for place, whole_text in homes if text in whole_text}

    labels = []
    for example in PairStream(shards, 64, 2).take(300):
        a = list(example.input_ids[1 : example.first - 1])
        b = list(example.input_ids[example.first : -1])
        assert home(a)
        assert home(b)
        if len(a) > 2 and len(b) > 2:  # long enough to be in one place only
            assert bool(home(a) & home(b)) == (example.next_sentence_label == 0)
        labels.append(example.next_sentence_label)
    assert 0.4 < np.mean(labels) < 0.75


def test_epochs_bring_other_pairs_and_another_order(folder):
    stream = PairStream(Shards(folder), 48, 0)
    first = stream.take(epoch_length(PairStream(Shards(folder), 48, 0)))
    second = stream.take(len(first))
    rows = [{tuple(e.input_ids) for e in part} for part in (first, second)]
    assert len(rows[0] & rows[1]) < 0.5 * len(rows[0])


def test_the_mask_of_a_row_changes_from_epoch_to_epoch(tmp_path):
    shards = fill(tmp_path, [[[list(range(5, 45))]]])
    stream = PairStream(shards, 42, 0, next_sentence=False, short_share=0.0)
    batch = Masker(TOKENIZER)(stream.take(30))
    assert len({tuple(row) for row in batch["labels"].tolist()}) > 25


def test_without_pairs_no_token_is_lost(folder):
    shards = Shards(folder)
    stream = PairStream(shards, 30, 0, next_sentence=False)
    n = epoch_length(PairStream(shards, 30, 0, next_sentence=False))
    examples = stream.take(n)
    assert all(e.next_sentence_label == -100 for e in examples)
    assert all(e.first == len(e.input_ids) <= 30 for e in examples)
    found = sorted(i for e in examples for i in list(e.input_ids)[1:-1])
    assert found == sorted(i for k in range(3) for i in shards[k].tokens.tolist())


def test_one_row_in_ten_is_short_on_purpose(tmp_path):
    documents = [[[5]] * 9000, [[6]] * 9000]
    stream = PairStream(fill(tmp_path, [documents]), 53, 0)
    sizes = np.array([len(e.input_ids) for e in stream.take(300)])
    assert 0.05 < (sizes < 53).mean() < 0.17
    stream = PairStream(Shards(tmp_path), 53, 0, short_share=0.0)
    assert np.mean([len(e.input_ids) < 53 for e in stream.take(200)]) < 0.05


def test_pairs_need_two_documents_in_every_shard(tmp_path):
    shards = fill(tmp_path, [[[[5]], [[6]]], [[[7, 8, 9, 10]]]])
    with pytest.raises(ValueError, match="shard-00001 holds one document"):
        PairStream(shards, 32, 0)
    assert len(PairStream(shards, 32, 0, next_sentence=False).take(5)) == 5


@pytest.mark.parametrize(("length", "pairs"), [(4, True), (3, False)])
def test_a_length_without_room_is_refused(folder, length, pairs):
    with pytest.raises(ValueError, match=f"length is {length}; it must be"):
        PairStream(Shards(folder), length, 0, next_sentence=pairs)


@pytest.mark.parametrize(
    "change", [{"place": 9}, {"pair": 10**6}, {"pair": -1}, {"extra": 1}]
)
def test_a_position_of_another_stream_is_refused(folder, change):
    stream = PairStream(Shards(folder), 48, 0)
    with pytest.raises(ValueError, match="position is"):
        stream.seek({**stream.position(), **change})
