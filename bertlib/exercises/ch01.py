"""The checks of chapter 1: tokenizer."""

import copy
import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bertlib.exercises.checking import Wrong, exercise, expect


def _plain(value: Any) -> Any:
    """Lists for tuples, a dict for a Counter: kinds that no answer is refused for."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: count for key, count in value.items() if count}
    return value


def _call(function: Callable[..., Any], *inputs: Any) -> Any:
    """Call the answer, and raise `Wrong` if it edits one of its inputs."""
    before = copy.deepcopy(inputs)
    result = function(*inputs)
    for position, (now, old) in enumerate(zip(inputs, before, strict=True), start=1):
        if now != old:
            raise Wrong(
                f"Your function changes its input number {position}.",
                given=repr(old),
                likely="append, pop, del, +=, or an assignment to an item of the "
                "input; work on a new list",
            )
    return result


def _expect(
    got: Any,
    want: Any,
    what: str,
    *,
    given: str,
    mistakes: Mapping[str, Any] | None = None,
    likely: str = "",
) -> None:
    """Raise `Wrong` unless `got` equals `want`; a tuple will do for a list.

    Args:
        mistakes: what known mistakes give on the same input, {name: value}. The one
            that equals `got` is named as the likely mistake; otherwise `likely` is.
    """
    kinds: dict[Any, Any] = {list: Sequence, dict: Mapping, str: str}
    kind = kinds[type(want)]
    expect(
        got is not None or want is None,
        f"{what} Nothing came back.",
        given=given,
        likely="there is no return statement",
    )
    if not isinstance(got, kind) or (kind is Sequence and isinstance(got, str)):
        raise Wrong(
            f"{what} A {type(want).__name__} must come back, not {type(got).__name__}.",
            given=given,
            yours=ascii(got) if isinstance(got, str) else "",
            likely=_kind_mistake(got, want),
        )
    got, want = _plain(got), _plain(want)
    if got == want:
        return
    for name, wrong in (mistakes or {}).items():
        if got == _plain(wrong):
            likely = name
            break
    yours, expected = _short(got), _short(want)
    raise Wrong(what, given=given, yours=yours, expected=expected, likely=likely)


def _kind_mistake(got: Any, want: Any) -> str:
    """How another kind than the one asked for comes back."""
    if isinstance(want, dict):
        return "each key with its number: {key: number}"
    if isinstance(want, str):
        return 'the characters were not put together: "".join(...)'
    if isinstance(got, str):
        return (
            "the parts were joined to one string, or a single one has no [ ] around it"
        )
    return "often a generator, a set or a single value; the parts belong in a list"


def _short(value: Any) -> str:
    """A value as text, escaped so that nothing in it is invisible."""
    if isinstance(value, list) and len(value) > 24:
        return f"a list of {len(value)}"
    return ascii(value)


@exercise("1.1")
def check_split_words(split_words: Any) -> None:
    """Cut ASCII text at spaces, and around symbols."""
    text = "Don't go."
    parts = ["Don", "'", "t", "go", "."]
    _expect(
        _call(split_words, text),
        parts,
        "The words are wrong.",
        given=repr(text),
        mistakes={
            "symbols stick to the words: split() cuts at spaces only": text.split(),
            "the symbols are gone; each is a word of its own": ["Don", "t", "go"],
            "the words were made lower-case; here they stay as they are": [
                part.lower() for part in parts
            ],
            "empty strings and spaces are left between the words: drop them": re.split(
                r"(\W)", text
            ),
            "empty strings are left between the words: drop them": [
                part.strip() for part in re.split(r"(\W)", text)
            ],
            "the spaces came back as words": ["Don", "'", "t", " ", "go", "."],
            "every character became a word": list(text.replace(" ", "")),
        },
        likely="a word ends at a space and at a symbol; a symbol is a word of its own, "
        "and spaces vanish",
    )
    _expect(
        _call(split_words, "snake_case"),
        ["snake", "_", "case"],
        "The underscore is a symbol, too.",
        given="'snake_case'",
        likely=r"\w in a regular expression counts _ as a letter",
    )
    text = "Hm... (no)"
    _expect(
        _call(split_words, text),
        ["Hm", ".", ".", ".", "(", "no", ")"],
        "Each symbol of several is a word of its own.",
        given=repr(text),
        mistakes={
            "symbols in a row stay together: a + in the regular expression, or a "
            "group": ["Hm", "...", "(", "no", ")"],
        },
        likely="a symbol at the beginning or end, or the second of two, is treated "
        "in another way",
    )
    for symbol in string.punctuation:
        text = f"5{symbol}b"
        _expect(
            _call(split_words, text),
            ["5", symbol, "b"],
            f"The symbol {symbol} is one of the 32.",
            given=repr(text),
            likely="a list of symbols that is not complete, or a - or ] in a "
            "character class; string.punctuation has them all",
        )
    text = " film\tnoir\r\n\n 1940  "
    _expect(
        _call(split_words, text),
        ["film", "noir", "1940"],
        "Tabs, line ends and several spaces in a row separate words, and vanish.",
        given=repr(text),
        likely='split(" ") cuts at single spaces only, and leaves empty strings; '
        "split() without an argument takes them all",
    )
    _expect(
        _call(split_words, "R2-D2"),
        ["R2", "-", "D2"],
        "Letters and digits of a word stay together.",
        given="'R2-D2'",
        likely="a regular expression with a group for letters and one for digits",
    )
    for text in ("", " \n"):
        _expect(
            _call(split_words, text),
            [],
            "A text with nothing in it has no words.",
            given=repr(text),
            likely="the last word is put away even if it is empty",
        )


@exercise("1.2")
def check_strip_accents(strip_accents: Any) -> None:
    """NFD, and drop category Mn."""

    def marks_dropped(
        text: str, form: Literal["NFD"], test: Callable[[str], bool]
    ) -> str:
        return "".join(c for c in unicodedata.normalize(form, text) if not test(c))

    def is_mark(char: str) -> bool:
        return unicodedata.category(char) == "Mn"

    def expect_stripped(text: str, what: str, mistakes: dict[str, str]) -> None:
        _expect(
            strip_accents(text),
            marks_dropped(text, "NFD", is_mark),
            what,
            given=f"{text!a}, that is {text}",
            mistakes=mistakes,
        )

    expect_stripped(
        "Caf\u00e9",
        "The accent of a composed letter must go.",
        {
            "nothing was taken apart: in one character there is no mark to drop; "
            "NFD comes first": "Caf\u00e9",
            "the letter was taken apart, and its mark is still there": "Cafe\u0301",
            "the whole letter was dropped, not its mark": "Caf",
            "capitals were made lower-case; here they stay": "cafe",
        },
    )
    expect_stripped(
        "Ame\u0301lie Ti\u1ebfng Vi\u1ec7t",
        "A mark of its own must go, and both marks of a letter that has two.",
        {"a mark that was not part of a letter is still there": "Ame\u0301lie"},
    )
    strokes = "\u0141\u00f3d\u017a sm\u00f8rrebr\u00f8d"
    expect_stripped(
        strokes,
        "Letters with a stroke are letters, and stay.",
        {
            "what is not ASCII was thrown away": marks_dropped(
                strokes, "NFD", lambda c: not c.isascii()
            ),
            "the strokes were taken off; Unicode does not count them as marks": (
                "Lodz smorrebrod"
            ),
        },
    )
    expect_stripped(
        "\ufb01lm\u00b2",
        "Only accents go; the ligature and the small two stay as they are.",
        {"NFKD changes more than accents; NFD is asked for": "film2"},
    )
    hindi = "\u0939\u093f\u0902\u0926\u0940"
    expect_stripped(
        hindi,
        "In Hindi, one of the marks is of category Mn, and the vowels are not.",
        {
            "the mark is still there: unicodedata.combining, or a range of code "
            "points, misses it; ask for category Mn": hindi,
            "all categories that begin with M were dropped; only Mn is asked "
            "for": "\u0939\u0926",
        },
    )
    expect_stripped(
        "\ud55c",
        "Korean is taken apart too, into three letters without marks.",
        {
            "the text was put together again (NFC), or not taken apart": "\ud55c",
            "the Korean letters were dropped": "",
        },
    )
    expect_stripped("", "An empty text stays empty.", {})


@exercise("1.3")
def check_count_pairs(count_pairs: Any) -> None:
    """Pairs of neighbours, weighted by the counts of the words."""
    words = [["p", "##l", "##a", "##y"], ["s", "##t", "##a", "##y"]]
    given = f"words {words}, counts [5, 4]"
    got = _call(count_pairs, words, [5, 4])
    want = {
        ("p", "##l"): 5,
        ("##l", "##a"): 5,
        ("##a", "##y"): 9,
        ("s", "##t"): 4,
        ("##t", "##a"): 4,
    }
    if isinstance(got, Mapping) and ("##y", "s") in got:
        raise Wrong(
            "A pair reaches from one word into the next.",
            given=given,
            yours="('##y', 's') is counted",
            likely="all words were joined into one list",
        )
    _expect(
        got,
        want,
        "The counts are wrong.",
        given=given,
        mistakes={
            "each word is counted once; a word that occurs five times adds 5": {
                pair: 2 if n == 9 else 1 for pair, n in want.items()
            },
            "the last count stays: a pair in two words needs both (+=)": want
            | {("##a", "##y"): 4},
            "the keys are strings; they must be tuples (left, right)": {
                a + b: n for (a, b), n in want.items()
            },
            "the ## is gone from the keys": {
                (a.removeprefix("##"), b.removeprefix("##")): n
                for (a, b), n in want.items()
            },
            "the last pair of each word is missing": {
                pair: n for pair, n in want.items() if pair != ("##a", "##y")
            },
        },
        likely="for each word and each pair of neighbours in it, add the word's count",
    )
    words = [["b", "##a", "##n", "##a", "##n", "##a"]]
    want = {("b", "##a"): 3, ("##a", "##n"): 6, ("##n", "##a"): 6}
    _expect(
        _call(count_pairs, words, [3]),
        want,
        "A pair that occurs twice in a word counts twice.",
        given=f"words {words}, counts [3]",
        mistakes={
            "the pairs of a word were put into a set or a dict: twice became "
            "once": dict.fromkeys(want, 3),
            "the pair is sorted, so that (a, n) and (n, a) fall together": {
                ("##a", "b"): 3,
                ("##a", "##n"): 12,
            },
        },
    )
    words = [["h", "##a", "##a", "##a"]]
    _expect(
        _call(count_pairs, words, [1]),
        {("h", "##a"): 1, ("##a", "##a"): 2},
        "Pairs may overlap: three equal pieces are two pairs of neighbours.",
        given=f"words {words}, counts [1]",
        likely="after a pair, the search goes on behind it, or a set was used",
    )
    words = [["play"], ["play", "##ed"], []]
    _expect(
        _call(count_pairs, words, [7, 2, 1]),
        {("play", "##ed"): 2},
        "Pieces may be longer than a letter, and a word may be a single piece.",
        given=f"words {words}, counts [7, 2, 1]",
        likely="the word was taken apart into letters again",
    )


@exercise("1.4")
def check_merge_pair(merge_pair: Any) -> None:
    """Merge a pair everywhere, from the left."""
    first = (["p", "##l", "##a"], ("p", "##l"), ["pl", "##a"])
    inside = (["s", "##t", "##a"], ("##t", "##a"), ["s", "##ta"])
    banana = ["b", "##a", "##n", "##a", "##n", "##a"]
    cases: list[tuple[Any, Any, Any, str, dict[str, Any], str]] = [
        (
            *first,
            "The pair is not merged as it should be.",
            {
                "the right part keeps its ##, in the middle of the piece": [
                    "p##l",
                    "##a",
                ],
                "nothing was merged": ["p", "##l", "##a"],
                "the merged piece got a ##, though it begins the word": ["##pl", "##a"],
                "what comes after the pair is lost": ["pl"],
                "the parts stay beside the merged piece": ["pl", "##l", "##a"],
            },
            "",
        ),
        (
            *inside,
            "A merged piece inside a word keeps the ## of its left part.",
            {
                "every ## was removed; only that of the right part goes": ["s", "ta"],
                "the right part keeps its ##": ["s", "##t##a"],
                "nothing was merged, because the pair stands at the end": inside[0],
            },
            "",
        ),
        (
            banana,
            ("##a", "##n"),
            ["b", "##an", "##an", "##a"],
            "Every occurrence must be merged.",
            {
                "only the first was merged": ["b", "##an", "##a", "##n", "##a"],
                "only the last was merged": ["b", "##a", "##n", "##an", "##a"],
            },
            "",
        ),
        (
            ["h", "##a", "##a", "##a"],
            ("##a", "##a"),
            ["h", "##aa", "##a"],
            "Three in a row: the first two are merged.",
            {
                "it goes from the right": ["h", "##a", "##aa"],
                "the middle piece is used twice; go on by two after a merge": [
                    "h",
                    "##aa",
                    "##aa",
                ],
            },
            "",
        ),
        (
            ["b", "##a", "##a"],
            ("a", "##a"),
            ["b", "##a", "##a"],
            "The pair ('a', '##a') does not stand in this word.",
            {
                "the pieces were joined into one string and searched there; a is also "
                "the end of ##a": ["b", "##aa"],
            },
            "pieces are equal only with their ##",
        ),
        (
            ["p", "##la", "##y"],
            ("p", "##l"),
            ["p", "##la", "##y"],
            "The pair ('p', '##l') does not stand in this word.",
            {
                "the pieces were joined into one string and searched there; ##l is "
                "also the beginning of ##la": ["pla", "##y"],
            },
            "pieces are equal only as a whole",
        ),
        (
            ["#", "###", "##a"],
            ("#", "###"),
            ["##", "##a"],
            "The character # may be a piece: inside a word it is ###.",
            {
                "lstrip('#') strips every #; removeprefix('##') takes the two": [
                    "#",
                    "##a",
                ],
            },
            "replace('##', '') hits more than the beginning of the right part; "
            "removeprefix does not",
        ),
        (
            ["film"],
            ("f", "##i"),
            ["film"],
            "A word of one piece stays as it is.",
            {"the word is lost": []},
            "the last piece is added only when a pair is tested",
        ),
    ]
    for pieces, pair, want, what, mistakes, likely in cases:
        _expect(
            _call(merge_pair, list(pieces), pair),
            want,
            what,
            given=f"pieces {pieces}, pair {pair}",
            mistakes=mistakes,
            likely=likely,
        )
    _expect(
        _call(merge_pair, [], ("a", "##b")),
        [],
        "An empty list stays empty.",
        given="pieces [], pair ('a', '##b')",
    )


@exercise("1.5")
def check_best_pair(best_pair: Any) -> None:
    """Both scores, and ties to the smaller ids."""

    def expect_pair(
        paired: dict[tuple[int, int], int],
        single: dict[int, int],
        score: str,
        want: tuple[int, int],
        what: str,
        mistakes: dict[str, tuple[int, int]],
    ) -> None:
        _expect(
            _call(best_pair, dict(paired), dict(single), score),
            list(want),
            what,
            given=f"paired {paired}, single {single}, score {score!r}",
            mistakes=mistakes,
        )

    paired = {(0, 1): 1, (1, 2): 3, (2, 3): 7, (3, 0): 5}
    single = dict.fromkeys(range(4), 9)
    expect_pair(
        paired,
        single,
        "frequency",
        (2, 3),
        "By frequency, the pair with the highest count wins.",
        {
            "the lowest score won; with min, the score needs a minus": (0, 1),
            "the largest ids won, not the highest count": (3, 0),
        },
    )
    paired = {(0, 1): 1, (2, 3): 16, (4, 5): 6, (6, 7): 5, (8, 9): 4, (10, 11): 12}
    counts = [20, 20, 18, 18, 6, 20, 20, 5, 5, 5, 13, 13]
    single = dict(enumerate(counts))
    expect_pair(
        paired,
        single,
        "likelihood",
        (8, 9),
        "By likelihood, another pair wins.",
        {
            "the count alone decides; the score was not looked at": (2, 3),
            "divided by count(a) + count(b); it is the product": (10, 11),
            "divided by count(a) alone: n / a * b is (n / a) * b; the product needs "
            "parentheses": (4, 5),
            "divided by count(b) alone": (6, 7),
            "a whole-number division: every score became 0": (0, 1),
        },
    )
    expect_pair(
        paired,
        single,
        "frequency",
        (2, 3),
        "By frequency, the counts of the single pieces do not matter.",
        {"the likelihood was used for both scores": (8, 9)},
    )
    tied = {(2, 8): 4, (3, 1): 4, (1, 5): 4, (1, 2): 4, (0, 9): 1, (2, 0): 4}
    expect_pair(
        tied,
        dict.fromkeys(range(10), 9),
        "frequency",
        (1, 2),
        "Of pairs with the same score, the one with smaller ids wins.",
        {
            "the first in the dict won; the ids must decide": (2, 8),
            "the largest ids won: max((score, pair)) prefers them": (3, 1),
            "the left ids were compared, and not the right ones": (1, 5),
            "the right id was compared first, or the last in the dict won": (2, 0),
        },
    )
    tied = {(5, 6): 2, (0, 7): 2, (1, 2): 9}
    expect_pair(
        tied,
        {5: 4, 6: 4, 0: 4, 7: 4, 1: 30, 2: 30},
        "likelihood",
        (0, 7),
        "The rule for ties holds under the likelihood score, too.",
        {"the ids do not decide here; one rule for both scores is enough": (5, 6)},
    )
    expect_pair(
        {(0, 1): 3, (2, 3): 2},
        {0: 10, 1: 3, 2: 4, 3: 5},
        "likelihood",
        (0, 1),
        "Both scores are 1/10, so the smaller ids win.",
        {
            "two divisions (or logarithms) round where one does not; divide by the "
            "product": (2, 3)
        },
    )


@exercise("1.6")
def check_cut_word(cut_word: Any) -> None:
    """Greedy longest match."""

    def expect_cut(
        word: str,
        tokens: list[str],
        want: list[str],
        what: str,
        mistakes: dict[str, Any],
        likely: str = "",
    ) -> None:
        vocab = {token: i for i, token in enumerate(["[UNK]", *tokens])}
        ids = {
            "ids came back; tokens, the strings, are asked for": [
                vocab[piece] for piece in want
            ]
        }
        named = word if len(word) < 30 else f"{word[0]} * {len(word)}"
        listed = ", ".join(tokens)
        _expect(
            _call(cut_word, word, vocab),
            want,
            what,
            given=f"word {named}, vocabulary [UNK], {listed}",
            mistakes=mistakes | ids,
            likely=likely,
        )

    expect_cut(
        "film",
        ["f", "##i", "##l", "##m", "fil", "film"],
        ["film"],
        "A word that is in the vocabulary is one piece.",
        {
            "the shortest piece was taken; try the longest first": [
                "f",
                "##i",
                "##l",
                "##m",
            ],
            "the whole word was never tried: the slice ends one too early": [
                "fil",
                "##m",
            ],
        },
        likely="the first candidate is word[0:len(word)]",
    )
    tokens = ["un", "##want", "##ed", "want", "ed", "##wa"]
    expect_cut(
        "unwanted",
        tokens,
        ["un", "##want", "##ed"],
        "The pieces are wrong.",
        {
            "the ## is missing, when looking and in the answer": ["un", "want", "ed"],
            "nothing fits: the ## is missing when looking": ["[UNK]"],
            "a shorter piece was taken": ["un", "##wa"],
        },
        likely="a candidate that does not begin the word has ## before it",
    )
    expect_cut(
        "unwantedx",
        tokens,
        ["[UNK]"],
        "When the end of a word does not fit, the whole word is one [UNK].",
        {
            "the pieces found before were kept; they are thrown away": [
                "un",
                "##want",
                "##ed",
                "[UNK]",
            ],
            "the rest was dropped in silence": ["un", "##want", "##ed"],
            "nothing came back for it; [UNK] must": [],
        },
        likely='return ["[UNK]"] at once when nothing fits',
    )
    expect_cut(
        "axb",
        ["a", "##b"],
        ["[UNK]"],
        "When the middle of a word does not fit, the whole word is one [UNK].",
        {
            "the letter that does not fit became an [UNK] of its own": [
                "a",
                "[UNK]",
                "##b",
            ],
            "the letter that does not fit was skipped": ["a", "##b"],
        },
        likely="return at once when nothing fits",
    )
    expect_cut(
        "able",
        ["##able", "a"],
        ["[UNK]"],
        "A piece with ## cannot begin a word.",
        {
            "the ## was put before the first piece as well, or left aside": ["##able"],
            "## was left aside when looking": ["able"],
        },
        likely="only a candidate that does not begin the word has ## before it",
    )
    expect_cut(
        "abc",
        ["ab", "a", "##bc"],
        ["[UNK]"],
        "BERT does not go back: the longest first piece is taken, and then it fails.",
        {"after the failure a shorter first piece was tried": ["a", "##bc"]},
    )
    tokens = ["re", "rem", "##make", "##a", "##k", "##e"]
    expect_cut(
        "remake",
        tokens,
        ["rem", "##a", "##k", "##e"],
        "The longest piece that fits is taken, even if fewer pieces were possible.",
        {"the way with the fewest pieces was taken": ["re", "##make"]},
    )
    expect_cut("a", ["a"], ["a"], "A word of one letter.", {})
    expect_cut("x", ["a"], ["[UNK]"], "An unknown word of one letter.", {})
    expect_cut(
        "e" * 100,
        ["e", "##e"],
        ["e", *["##e"] * 99],
        "A word of 100 characters is still cut.",
        {"100 characters are not too many; over 100 are": ["[UNK]"]},
    )
    expect_cut(
        "e" * 101,
        ["e", "##e"],
        ["[UNK]"],
        "A word of 101 characters is one [UNK].",
        {"there is no limit of 100 characters": ["e", *["##e"] * 100]},
    )


def _two_lists(result: Any, given: str, names: str) -> tuple[list[Any], list[Any]]:
    """Both results of an answer that returns two lists."""
    expect(
        result is not None,
        "Nothing came back.",
        given=given,
        likely="there is no return statement",
    )
    fits = isinstance(result, list | tuple) and len(result) == 2
    if not (fits and all(isinstance(each, list | tuple) for each in result)):
        raise Wrong(
            f"Two lists must come back: {names}.",
            given=given,
            yours=ascii(result),
            likely=f"return {names}",
        )
    return list(result[0]), list(result[1])


@exercise("1.7")
def check_add_special(add_special: Any) -> None:
    """[CLS] a [SEP] b [SEP], and the segments."""

    def expect_lists(
        a: list[int],
        b: list[int] | None,
        special: tuple[int, int],
        want: tuple[list[int], list[int]],
        what: str,
        id_mistakes: dict[str, list[int]],
        type_mistakes: dict[str, list[int]],
    ) -> None:
        given = f"a {a}, b {b}, cls {special[0]}, sep {special[1]}"
        result = _call(add_special, list(a), None if b is None else list(b), *special)
        ids, types = _two_lists(result, given, "input_ids, token_type_ids")
        _expect(
            ids,
            want[0],
            f"{what} The input_ids are wrong.",
            given=given,
            mistakes=id_mistakes | {"the two lists are swapped": want[1]},
        )
        _expect(
            types,
            want[1],
            f"{what} The token_type_ids are wrong.",
            given=given,
            mistakes=type_mistakes,
            likely="one number for each id",
        )

    expect_lists(
        [7, 8],
        None,
        (101, 102),
        ([101, 7, 8, 102], [0, 0, 0, 0]),
        "One text.",
        {
            "[SEP] is missing at the end": [101, 7, 8],
            "[CLS] is missing at the front": [7, 8, 102],
            "a second [SEP], for a text that is not there": [101, 7, 8, 102, 102],
        },
        {"[CLS] and [SEP] have segments, too": [0, 0], "the first text is 0": [1] * 4},
    )
    expect_lists(
        [7, 8],
        [9],
        (101, 102),
        ([101, 7, 8, 102, 9, 102], [0, 0, 0, 0, 1, 1]),
        "Two texts.",
        {
            "the last [SEP] is missing": [101, 7, 8, 102, 9],
            "the [SEP] between the texts is missing": [101, 7, 8, 9, 102],
            "[CLS] stands once, at the very front": [101, 7, 8, 102, 101, 9, 102],
        },
        {
            "the first [SEP] belongs to the first text: 0": [0, 0, 0, 1, 1, 1],
            "the last [SEP] belongs to the second text: 1": [0, 0, 0, 0, 1, 0],
            "both [SEP] are wrong: each belongs to the text before it": [
                0,
                0,
                0,
                1,
                1,
                0,
            ],
            "the segments are 0 and 1, not 1 and 2": [1, 1, 1, 1, 2, 2],
            "everything is 0; the second text is 1": [0] * 6,
            "the numbers are inverted: the first text is 0": [1, 1, 1, 1, 0, 0],
        },
    )
    expect_lists(
        [7, 8],
        [],
        (101, 102),
        ([101, 7, 8, 102, 102], [0, 0, 0, 0, 1]),
        "An empty second text is still a second text.",
        {
            "`if b` is False for an empty list too; ask `b is not None`": [
                101,
                7,
                8,
                102,
            ]
        },
        {},
    )
    expect_lists(
        [],
        [5],
        (2, 3),
        ([2, 3, 5, 3], [0, 0, 1, 1]),
        "An empty first text, and other ids for [CLS] and [SEP].",
        {"101 and 102 are written into the code; use cls and sep": [101, 102, 5, 102]},
        {},
    )


def _fair(m: int, n: int, room: int) -> set[tuple[int, int]]:
    """Every pair of lengths that longest-first may end with."""
    if m + n <= room:
        return {(m, n)}
    ends: set[tuple[int, int]] = set()
    if m >= n:
        ends |= _fair(m - 1, n, room)
    if n >= m:
        ends |= _fair(m, n - 1, room)
    return ends


@exercise("1.8")
def check_truncate_pair(truncate_pair: Any) -> None:
    """Longest first, at the end."""
    cases = [
        (3, 2, 9, "A pair that fits stays as it is."),
        (4, 1, 5, "A pair that fits exactly stays as it is."),
        (8, 3, 7, "The first is long: it alone is cut."),
        (3, 8, 7, "The second is long: it alone is cut."),
        (8, 3, 8, "The first is long, by an odd number: use all the room."),
        (6, 9, 8, "Both are long: they end equally long."),
        (7, 6, 5, "Both are long, and the room is odd: use all of it."),
        (9, 4, 9, "The short one fits into half the room: it stays whole."),
        (4, 4, 0, "There is no room at all."),
        (3, 1, 1, "There is room for a single id."),
    ]
    for m, n, room, what in cases:
        a, b = list(range(1, m + 1)), list(range(11, n + 11))
        given = f"a {a}, b {b}, room {room}"
        result = _call(truncate_pair, list(a), list(b), room)
        new_a, new_b = _two_lists(result, given, "a, b")
        lengths = len(new_a), len(new_b)
        fair = _fair(m, n, room)
        keep_a, keep_b = sorted(fair)[-1]
        in_turn = _in_turn(m, n, room)
        wrong: dict[tuple[int, int], str] = {
            (min(m, room // 2), min(n, room // 2)): "each got half the room; what the "
            "shorter leaves free belongs to the longer",
            (min(m, room), max(0, room - m)): "only the second was cut",
            (max(0, room - n), min(n, room)): "only the first was cut",
            in_turn: "they were cut in turn; cut whichever is longer now",
            (m, n): "nothing was cut",
        }
        if lengths not in fair:
            likely = wrong.get(lengths, "")
            if not likely and sum(lengths) > room:
                likely = "it stops too early: repeat until both fit"
            elif not likely and sum(lengths) < min(room, m + n):
                likely = "it cuts more than it must"
            raise Wrong(
                what,
                given=given,
                yours=f"{new_a} and {new_b}",
                expected=f"{a[:keep_a]} and {b[:keep_b]}",
                likely=likely or "while both do not fit, shorten whichever is longer",
            )
        expect(
            new_a == a[: lengths[0]] and new_b == b[: lengths[1]],
            f"{what} The lengths are right, and the ids are not.",
            given=given,
            yours=f"{new_a} and {new_b}",
            expected=f"{a[: lengths[0]]} and {b[: lengths[1]]}",
            likely="the front was cut; the beginning of each stays",
        )


def _in_turn(m: int, n: int, room: int) -> tuple[int, int]:
    turn = 0
    while m + n > room:
        if (turn == 0 and m > 0) or n == 0:
            m -= 1
        else:
            n -= 1
        turn = 1 - turn
    return m, n


@exercise("1.9")
def check_words_with_offsets(words_with_offsets: Any) -> None:
    """Places in the original string."""

    def expect_words(
        text: str,
        want: list[tuple[str, int, int]],
        what: str,
        mistakes: dict[str, list[tuple[str, int, int]]] | None = None,
        likely: str = "",
    ) -> None:
        _expect(
            words_with_offsets(text),
            want,
            what,
            given=ascii(text),
            mistakes=mistakes,
            likely=likely,
        )

    expect_words(
        "A film.",
        [("a", 0, 1), ("film", 2, 6), (".", 6, 7)],
        "Plain words, and a full stop.",
        {
            "the end is the place of the last character; it must be one more": [
                ("a", 0, 0),
                ("film", 2, 5),
                (".", 6, 6),
            ],
            "the words are not cleaned; capitals are folded": [
                ("A", 0, 1),
                ("film", 2, 6),
                (".", 6, 7),
            ],
            "these are places in the cleaned text, where spaces stand around the full "
            "stop": [("a", 0, 1), ("film", 2, 6), (".", 7, 8)],
            "the last word is lost: after the loop, one may be left": [
                ("a", 0, 1),
                ("film", 2, 6),
            ],
            "the full stop sticks to the word": [("a", 0, 1), ("film.", 2, 7)],
            "the word was searched for, in a text where it has a capital": [
                ("a", -1, 0),
                ("film", 2, 6),
                (".", 6, 7),
            ],
            "a length came back in place of the end": [
                ("a", 0, 1),
                ("film", 2, 4),
                (".", 6, 1),
            ],
        },
        likely="fold one character at a time, and remember which one it came from",
    )
    expect_words(
        "film, a film",
        [("film", 0, 4), (",", 4, 5), ("a", 6, 7), ("film", 8, 12)],
        "A word that occurs twice has two places.",
        {
            "text.find(word) finds the first one again": [
                ("film", 0, 4),
                (",", 4, 5),
                ("a", 6, 7),
                ("film", 0, 4),
            ]
        },
    )
    expect_words(
        "e\u0301t\u00e9 vu",
        [("ete", 0, 4), ("vu", 5, 7)],
        "A mark of its own vanishes, and takes a place in the original.",
        {
            "these are places in the cleaned text": [("ete", 0, 3), ("vu", 4, 6)],
            "the end is start + len(word); the original may be longer": [
                ("ete", 0, 3),
                ("vu", 5, 7),
            ],
            "the word was searched for, and is not in the original": [
                ("ete", -1, 2),
                ("vu", 5, 7),
            ],
        },
    )
    expect_words(
        "cafe\u0301 \u200bvu",
        [("cafe", 0, 4), ("vu", 7, 9)],
        "What vanishes at the edge of a word does not belong to it.",
        {
            "the word includes what vanished before and behind it": [
                ("cafe", 0, 5),
                ("vu", 6, 9),
            ],
            "the end includes a mark that vanished": [("cafe", 0, 5), ("vu", 7, 9)],
            "the start includes a character that vanished": [
                ("cafe", 0, 4),
                ("vu", 6, 9),
            ],
        },
        likely="text[start] and text[end - 1] are characters that stayed",
    )
    expect_words(
        "re\u00admake",
        [("remake", 0, 7)],
        "A character that vanishes inside a word does not end it.",
        {
            "the soft hyphen cut the word": [("re", 0, 2), ("make", 3, 7)],
            "the soft hyphen is still in the word": [("re\u00admake", 0, 7)],
            "the end is start + len(word)": [("remake", 0, 6)],
        },
    )
    expect_words(
        "film\x0bnoir",
        [("filmnoir", 0, 9)],
        "A vertical tab vanishes, as every control character does.",
        {
            "Python's split, \\s and isspace take it for a space; fold decides, so cut "
            "after it": [("film", 0, 4), ("noir", 5, 9)]
        },
    )
    expect_words(
        "\ud55c film",
        [("\u1112\u1161\u11ab", 0, 1), ("film", 2, 6)],
        "One character became three, and they all came from the same place.",
        {
            "these are places in the cleaned text": [
                ("\u1112\u1161\u11ab", 0, 3),
                ("film", 4, 8),
            ],
            "the end is start + len(word)": [
                ("\u1112\u1161\u11ab", 0, 3),
                ("film", 2, 6),
            ],
        },
    )
    expect_words(
        "film\u770b\u7535",
        [("film", 0, 4), ("\u770b", 4, 5), ("\u7535", 5, 6)],
        "Each Chinese character is a word of its own.",
        likely="fold puts spaces around it: they end a word, too",
    )
    expect_words("", [], "An empty text has no words.")
    expect_words(" \n", [], "A text of spaces has no words.")
