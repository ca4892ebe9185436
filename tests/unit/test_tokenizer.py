"""The tokenizer in small: what each promise of its docstrings means."""

import copy
import pickle
import random
from collections import Counter
from itertools import pairwise

import pytest

from bertlib.corpus import minilm_folder
from bertlib.tokenizer import SPECIAL_TOKENS, WordPieceTokenizer, learn_pieces

PIECES = ["un", "##want", "##ed", "want", "film", "e", "##e", "a", "b", "the"]
MARKS = [".", ",", "!", "#", "[", "]", "'", "=", "中", "##film"]


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer([*SPECIAL_TOKENS, *PIECES, *MARKS])


# -- cutting ------------------------------------------------------------------------


def test_the_longest_piece_wins(tokenizer):
    assert tokenizer.tokenize("Unwanted film") == ["un", "##want", "##ed", "film"]


def test_a_word_that_fails_is_one_unknown(tokenizer):
    assert tokenizer.tokenize("unwantedx film") == ["[UNK]", "film"]


def test_a_word_of_100_characters_is_cut_and_one_of_101_is_unknown(tokenizer):
    assert tokenizer.tokenize("e" * 100) == ["e"] + ["##e"] * 99
    assert tokenizer.tokenize("e" * 101) == ["[UNK]"]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u0301", "\u200b", "\0"])
def test_nothing_gives_no_tokens(tokenizer, text):
    assert tokenizer.tokenize(text) == []
    assert tokenizer.encode(text).tokens == ["[CLS]", "[SEP]"]


def test_special_tokens_in_a_text_are_text(tokenizer):
    assert tokenizer.tokenize("[CLS]") == ["[", "[UNK]", "]"]


def test_double_hash_in_a_text_is_punctuation(tokenizer):
    assert tokenizer.tokenize("##ed") == ["#", "#", "[UNK]"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't!", ["don", "'", "t", "!"]),
        ("Café CAFE\u0301", ["cafe", "cafe"]),
        ("$5.00", ["$", "5", ".", "00"]),
        ("snake_case", ["snake", "_", "case"]),
        ("中文film", ["中", "文", "film"]),
        ("한국", ["\u1112\u1161\u11ab\u1100\u116e\u11a8"]),
        ("ひらがな", ["ひらかな"]),
        ("İstanbul", ["istanbul"]),
        ("ΑΣ", ["ας".replace("ς", "σ")]),
        ("ﬁlm", ["ﬁlm"]),
        ("a\u200bb a\xadb a\x0bb", ["ab", "ab", "ab"]),
        ("a\xa0b\u3000c\u2028d", ["a", "b", "c", "d"]),
        ("≠", ["="]),
        ("a\ud800b", ["ab"]),
    ],
)
def test_words(tokenizer, text, words):
    assert tokenizer.words(text) == words


def test_cased_keeps_case_and_accents():
    cased = WordPieceTokenizer(SPECIAL_TOKENS, lowercase=False)
    assert cased.words("Café, ÉTÉ e\u0301") == ["Café", ",", "ÉTÉ", "e\u0301"]


# -- offsets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("un film", [(0, 2), (3, 7)]),
        ("  un\n\nfilm ", [(2, 4), (6, 10)]),
        ("unwanted", [(0, 2), (2, 6), (6, 8)]),
        ("éé", [(0, 1), (1, 2)]),
        ("e\u0301e\u0301", [(0, 1), (2, 3)]),
        ("fi\u200blm", [(0, 5)]),
        ("\u200bfilm\u200b", [(1, 5)]),
        ("film中film", [(0, 4), (4, 5), (5, 9)]),
        ("film xyz", [(0, 4), (5, 8)]),
    ],
)
def test_offsets_point_into_the_original_string(tokenizer, text, offsets):
    assert tokenizer.encode(text).offsets == [(0, 0), *offsets, (0, 0)]


def test_offsets_of_a_pair_start_again_at_zero(tokenizer):
    got = tokenizer.encode("un film", "film")
    assert got.offsets == [(0, 0), (0, 2), (3, 7), (0, 0), (0, 4), (0, 0)]


# -- encode -------------------------------------------------------------------------


def test_a_pair_has_two_types(tokenizer):
    got = tokenizer.encode("un film", "film")
    assert got.tokens == ["[CLS]", "un", "film", "[SEP]", "film", "[SEP]"]
    assert got.token_type_ids == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("first", "second", "max_length", "kept"),
    [
        (9, 0, 6, (4, 0)),
        (9, 2, 9, (4, 2)),
        (2, 9, 9, (2, 4)),
        (9, 8, 10, (4, 3)),
        (8, 9, 10, (3, 4)),
        (9, 9, 10, (3, 4)),
        (9, 9, 3, (0, 0)),
    ],
)
def test_truncation_cuts_the_longer_first(tokenizer, first, second, max_length, kept):
    pair = "b " * second if second or max_length == 3 else None
    got = tokenizer.encode("a " * first, pair, max_length)
    assert len(got.input_ids) == min(max_length, len(got.input_ids))
    assert (got.tokens.count("a"), got.tokens.count("b")) == kept
    assert len(got.input_ids) == len(got.token_type_ids) == len(got.offsets)


def test_a_batch_is_each_of_its_texts(tokenizer):
    texts, pairs = ["un film", "", "the film"], ["a", "b", "film film"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts, pairs, 5) == [
        tokenizer.encode(text, pair, 5) for text, pair in zip(texts, pairs, strict=True)
    ]


def test_results_can_be_changed_without_spoiling_the_next(tokenizer):
    tokenizer.encode("film").input_ids.clear()
    tokenizer.encode("film").offsets.clear()
    got = tokenizer.encode("film")
    assert (got.tokens, got.offsets[1]) == (["[CLS]", "film", "[SEP]"], (0, 4))


def test_a_tokenizer_can_be_pickled_and_copied(tokenizer):
    assert tokenizer.encode("unwanted film").offsets[1] == (0, 2)
    for twin in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert (
            twin.encode("The film").input_ids == tokenizer.encode("The film").input_ids
        )
        assert twin.encode("The film").offsets == tokenizer.encode("The film").offsets


def test_memory_is_bounded(tokenizer):
    for number in range(250_000):
        tokenizer.tokenize(str(number))
    assert len(tokenizer._chunk_ids) <= 200_000


# -- decode -------------------------------------------------------------------------


def test_decode_joins_pieces_and_closes_up_punctuation(tokenizer):
    ids = tokenizer.encode("Unwanted film, the film!").input_ids
    assert tokenizer.decode(ids) == "unwanted film, the film!"
    kept = tokenizer.decode(ids, skip_special_tokens=False)
    assert kept == "[CLS] unwanted film, the film! [SEP]"


@pytest.mark.parametrize("bad", [-1, 25, 10**9])
def test_decode_refuses_an_id_out_of_range(tokenizer, bad):
    with pytest.raises(ValueError, match=rf"ids: {bad} is not one of 0 to 24"):
        tokenizer.decode([1, bad])


# -- vocabulary file ----------------------------------------------------------------


def test_vocab_file_round_trip_is_byte_identical(tmp_path):
    original = minilm_folder() / "vocab.txt"
    WordPieceTokenizer.from_vocab_file(original).save_vocab(tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_bytes() == original.read_bytes()


def test_vocab_file_from_windows_reads_the_same(tmp_path, tokenizer):
    path = tmp_path / "vocab.txt"
    path.write_bytes("".join(t + "\r\n" for t in tokenizer.tokens).encode())
    assert WordPieceTokenizer.from_vocab_file(path).tokens == tokenizer.tokens


def test_a_line_separator_inside_a_token_is_no_line_end(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "a\u2028", "\x85b"]), encoding="utf-8")
    assert WordPieceTokenizer.from_vocab_file(path).tokens[5:] == ["a\u2028", "\x85b"]


# -- errors -------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, 3, b"film", ["film"]])
def test_a_text_must_be_a_string(tokenizer, text):
    with pytest.raises(TypeError, match="text must be a str, not"):
        tokenizer.encode(text)
    with pytest.raises(TypeError, match="text must be a str, not"):
        tokenizer.tokenize(text)


def test_a_batch_must_not_be_one_string(tokenizer):
    with pytest.raises(TypeError, match="must be lists of strings"):
        tokenizer.encode_batch("film")
    with pytest.raises(TypeError, match="texts must be many strings"):
        WordPieceTokenizer.train("film", 100)


def test_pairs_must_be_as_many_as_texts(tokenizer):
    with pytest.raises(ValueError, match="pairs: 1 of them for 2 texts"):
        tokenizer.encode_batch(["a", "b"], ["a"])


@pytest.mark.parametrize(("pair", "length"), [(None, 1), ("b", 2), (None, -5)])
def test_max_length_must_hold_the_special_tokens(tokenizer, pair, length):
    with pytest.raises(ValueError, match=f"max_length={length} leaves no room"):
        tokenizer.encode("a", pair, max_length=length)


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_a_vocabulary_must_have_the_special_tokens(token):
    rest = [each for each in SPECIAL_TOKENS if each != token]
    with pytest.raises(
        ValueError, match=rf"special token \[{token[1:-1]}\] is missing"
    ):
        WordPieceTokenizer(rest)


def test_a_token_twice_is_refused_with_both_ids():
    with pytest.raises(ValueError, match="'a' is there twice, as ids 5 and 7"):
        WordPieceTokenizer([*SPECIAL_TOKENS, "a", "b", "a"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 6}, "vocab_size=6 is too small"),
        ({"score": "count"}, "score='count'"),
        ({"min_frequency": 0}, "min_frequency=0"),
        ({"max_alphabet": 0}, "max_alphabet=0"),
    ],
)
def test_training_refuses_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.train(["a film"], **({"vocab_size": 100} | arguments))


# -- training -----------------------------------------------------------------------


def naive_pieces(word_counts, vocab_size, min_frequency, score):
    """The same rule the slow way: count everything again after every merge."""
    words = {w: [w[0], *("##" + c for c in w[1:])] for w in word_counts}
    inside = {s for symbols in words.values() for s in symbols[1:]}
    alphabet = {c for word in words for c in word}
    tokens = [*SPECIAL_TOKENS, *sorted(alphabet), *sorted(inside)]
    while len(tokens) < vocab_size:
        single, paired = Counter(), Counter()
        for word, symbols in words.items():
            for symbol in symbols:
                single[symbol] += word_counts[word]
            for pair in pairwise(symbols):
                paired[pair] += word_counts[word]
        best = [
            (
                n / (single[a] * single[b]) if score == "likelihood" else n,
                (-tokens.index(a), -tokens.index(b)),
                a,
                b,
            )
            for (a, b), n in paired.items()
            if n >= min_frequency
        ]
        if not best:
            break
        *_, a, b = max(best)
        new = a + b.removeprefix("##")
        if new not in tokens:
            tokens.append(new)
        for symbols in words.values():
            i = 0
            while i + 1 < len(symbols):
                if symbols[i : i + 2] == [a, b]:
                    symbols[i : i + 2] = [new]
                i += 1
    return tokens


@pytest.mark.parametrize("score", ["frequency", "likelihood"])
@pytest.mark.parametrize("min_frequency", [1, 3])
def test_training_follows_the_rule_merge_by_merge(score, min_frequency):
    rng = random.Random(1)
    for alphabet in ("ab", "aaab", "abcdefgh"):
        for _ in range(10):
            words = (
                "".join(rng.choices(alphabet, k=rng.randint(1, 9))) for _ in range(40)
            )
            counts = Counter(words)
            size = rng.choice([30, 60, 1000])
            got = learn_pieces(counts, size, min_frequency, score)
            assert got == naive_pieces(counts, size, min_frequency, score)


def test_training_learns_what_recurs():
    got = WordPieceTokenizer.train(["the film", "the films", "The FILM!"], 40)
    assert got.tokenize("films the film") == ["film", "##s", "the", "film"]
    assert got.tokens[:5] == list(SPECIAL_TOKENS)


def test_the_two_scores_differ_as_the_formulas_say():
    """e and s are everywhere; q and u are rare, but never without each other."""
    texts = ["les des ses mes tes res ees ses les des qu qu qu"]
    by_count = WordPieceTokenizer.train(texts, 100).tokens
    by_likelihood = WordPieceTokenizer.train(texts, 100, score="likelihood").tokens
    first = len(SPECIAL_TOKENS) + len({*"lesdmtrqu"}) + len({*"esu"})
    assert by_count[first] == "##es"
    assert by_likelihood[first] == "qu"


def test_training_twice_gives_the_same_vocabulary():
    texts = ["a film about films", "unwanted filming", "the the the wanted"]
    first = WordPieceTokenizer.train(texts, 60, min_frequency=1)
    assert (
        first.tokens == WordPieceTokenizer.train(texts[:], 60, min_frequency=1).tokens
    )


def test_training_keeps_only_the_most_frequent_characters():
    got = WordPieceTokenizer.train(["aaa aaa bb c"], 50, max_alphabet=2)
    assert not any("c" in token for token in got.tokens[5:])


def test_training_on_nothing_knows_the_special_tokens():
    assert WordPieceTokenizer.train([], 100).tokens == list(SPECIAL_TOKENS)
