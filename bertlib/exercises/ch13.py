"""The checks of chapter 13: spans, windows, measures, and when to say nothing."""

import math
import operator
import random
import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bertlib.exercises.checking import Wrong, call, exercise, expect, number_in, show


def _pair(got: Any, what: str, given: str) -> tuple[int, int] | None:
    """A pair of whole numbers, or None; tensors of one number will do."""
    if got is None:
        return None
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"{what} Two numbers must come back, or None.",
        given=given,
        yours=show(got),
        likely="the first and the last position alone, (first, last), and not all that "
        "lie between",
    )
    found = []
    for x in got:
        if isinstance(x, Tensor) and x.numel() == 1:
            x = x.item()
        expect(
            not isinstance(x, bool) and hasattr(x, "__index__"),
            f"{what} Positions are whole numbers.",
            given=given,
            yours=show(got),
            likely="the scores came back in place of their positions"
            if isinstance(x, float)
            else "",
        )
        found.append(int(x))
    return found[0], found[1]


class _Case(NamedTuple):
    """One input: what it is about, what came back, what is right, and what each known
    mistake gives where that differs from the right answer."""

    what: str
    given: str
    got: Any
    right: Any
    mistakes: dict[str, Any]


def _try(
    read: Callable[..., Any], about: tuple[str, ...], answer: Any, *inputs: Any
) -> Any:
    """What the student's code returns, as `read` understands it, or the exception that
    it ends with. `about` goes into the message where that is of a wrong form."""
    try:
        return read(answer(*inputs), *about)
    except NotImplementedError:
        raise
    except Exception as error:
        return error


def _judge(cases: list[_Case], likely: str = "") -> None:
    """Raise `Wrong` for the first case that is wrong. All cases are looked at before a
    mistake is named: on one input several mistakes may look alike. `likely` is for an
    answer that fits none of them."""
    failed = [case for case in cases if case.got != case.right]
    if not failed:
        return
    case = failed[0]
    if isinstance(case.got, Exception):
        raise case.got
    names = dict.fromkeys(name for c in cases for name in c.mistakes)
    fits = {
        name: sum(c.got == c.mistakes.get(name, c.right) for c in cases)
        for name in names
        if case.got == case.mistakes.get(name, case.right)
    }
    best = max(fits, key=lambda name: fits[name], default="")
    if best and fits[best] > 0.9 * len(cases):
        likely = best
    elif case.got is None:
        likely = "there is no return statement, or None where an answer belongs"
    raise Wrong(
        case.what,
        given=case.given,
        yours=show(case.got),
        expected=show(case.right),
        likely=likely,
    )


# --- 13.1 the joint choice -----------------------------------------------------------


def _every_pair(
    start: Tensor,
    end: Tensor,
    first: int,
    last: int,
    longest: int,
    *,
    join: Callable[[float, float], float] = operator.add,
) -> tuple[int, int] | None:
    s, e = start.tolist(), end.tolist()
    pairs = [
        (join(s[i], e[j]), -i, -j)
        for i in range(len(s))
        for j in range(len(e))
        if first <= i <= j <= last and j - i < longest
    ]
    if not pairs:
        return None
    _, i, j = max(pairs)
    return -i, -j


def _span_mistakes(
    s: Tensor, e: Tensor, first: int, last: int, longest: int
) -> dict[str, Any]:
    """What known mistakes give on the same input."""
    T = len(s)
    right = _every_pair(s, e, first, last, longest)
    inside = (slice(first, last + 1),)
    i, j = int(s[inside].argmax()) + first, int(e[inside].argmax()) + first
    then_j = int(e[i : min(i + longest, last + 1)].argmax()) + i
    from_j = max(first, j - longest + 1)
    then_i = int(s[from_j : j + 1].argmax()) + from_j
    wrong: dict[str, Any] = {
        "the highest start and the highest end were taken each on its own": (
            int(s.argmax()),
            int(e.argmax()),
        ),
        "each was taken on its own, within the context; they have to be chosen "
        "together": (i, j),
        "the best start was fixed first, and the end chosen for it; another start may "
        "have a better sum": (i, then_j),
        "the best end was fixed first, and the start chosen for it; another end may "
        "have a better sum": (then_i, j),
        "the pair came back in order, but it is no span that was chosen: swapping does "
        "not mend it": (min(i, j), max(i, j)),
        "tokens outside of the context were allowed": _every_pair(
            s, e, 0, T - 1, longest
        ),
        "the question was allowed as well": _every_pair(s, e, 0, last, longest),
        "what stands behind the context, [SEP] and padding, was allowed": _every_pair(
            s, e, first, T - 1, longest
        ),
        "the last token of the context was left out: last is included": _every_pair(
            s, e, first, last - 1, longest
        ),
        "the first token of the context was left out": _every_pair(
            s, e, first + 1, last, longest
        ),
        "the answer is one token too long: i to j are j - i + 1 tokens": _every_pair(
            s, e, first, last, longest + 1
        ),
        "answers of `longest` tokens were left out: j may be i + longest - 1": (
            _every_pair(s, e, first, last, longest - 1)
        ),
        "the longest answer was not limited": _every_pair(s, e, first, last, T),
        "starts and ends were exchanged": _every_pair(e, s, first, last, longest),
        "the scores were multiplied; probabilities multiply, and their logarithms, the "
        "scores, add": _every_pair(s, e, first, last, longest, join=operator.mul),
        "answers of one token were left out: i may be j": _longer_than_one(
            s, e, first, last, longest
        ),
    }
    if right is not None:
        wrong |= {
            "counted from the beginning of the context; tokens of the row are wanted": (
                right[0] - first,
                right[1] - first,
            ),
            "the end is one too far: both ends are included": (right[0], right[1] + 1),
            "a start and a length came back; wanted are start and end": (
                right[0],
                right[1] - right[0] + 1,
            ),
        }
    return {name: pair for name, pair in wrong.items() if pair != right}


def _longer_than_one(
    s: Tensor, e: Tensor, first: int, last: int, longest: int
) -> tuple[int, int] | None:
    pairs = [
        (float(s[i] + e[j]), i, j)
        for i in range(first, last + 1)
        for j in range(i + 1, min(i + longest, last + 1))
    ]
    return max(pairs)[1:] if pairs else None


@exercise("13.1")
def check_best_span(best_span: Any) -> None:
    """The highest sum among the allowed pairs, against every pair tried."""
    cases = [
        (
            "The start must not lie behind the end.",
            [0, 9, 1, 0, 4, 0],
            [0, 0, 0, 6, 0, 0],
            (2, 5, 9),
        ),
        (
            "The pair is not the one with the highest sum.",
            [0, 0, 2.8, 0, 3.0, 0],
            [0, 0, 3.1, 0, 2.5, 0],
            (1, 5, 9),
        ),
        (
            "The pair is not the one with the highest sum.",
            [0, 3, 0, 0, 2.5, 0],
            [0, 0, 2, 0, 0, 5],
            (1, 5, 2),
        ),
        (
            "The question takes no part in an answer.",
            [0, 7, 0, 1, 0, 0, 0],
            [0, 7, 0, 0, 1, 0, 0],
            (3, 5, 9),
        ),
        (
            "[SEP] and padding take no part in an answer.",
            [0, 0, 1, 0, 0, 7, 8],
            [0, 0, 0, 1, 0, 7, 8],
            (2, 4, 9),
        ),
        (
            "The last token of the context may be an answer.",
            [0, 0, 0, 1, 5, 0],
            [0, 0, 0, 1, 5, 0],
            (2, 4, 9),
        ),
        (
            "The answer has more tokens than allowed, or fewer than it might.",
            [0, 5, 0, 0, 0, 0, 0],
            [0, 0, 0, 3, 4, 0, 0],
            (1, 6, 3),
        ),
        (
            "Scores may all be below 0.",
            [-9, -5, -3, -8, -9],
            [-9, -6, -7, -2, -9],
            (1, 3, 9),
        ),
    ]
    seen = []

    def add(what: str, given: str, s: Tensor, e: Tensor, *rest: int) -> None:
        got = _try(_pair, (what, given), call, best_span, s, e, *rest)
        wrong = _span_mistakes(s, e, *rest)
        if what.startswith("Scores may"):
            wrong["the best sum so far begins at 0; begin at -inf"] = None
        seen.append(_Case(what, given, got, _every_pair(s, e, *rest), wrong))

    for what, s, e, (first, last, longest) in cases:
        given = f"start {s}, end {e}, context {first} to {last}, longest {longest}"
        start, end = torch.tensor(s).float(), torch.tensor(e).float()
        add(what, given, start, end, first, last, longest)
    generator = torch.Generator().manual_seed(1)
    for T, first, last, longest in [(12, 4, 10, 3), (30, 7, 25, 30), (30, 9, 28, 1)]:
        for _ in range(12):
            start, end = torch.randn(2, T, generator=generator)
            given = f"{T} random scores, context {first} to {last}, longest {longest}"
            what = "The pair is not the one with the highest sum."
            add(what, given, start, end, first, last, longest)
    _judge(
        seen,
        "of all pairs first <= i <= j <= last with j - i < longest, the one with the "
        "highest start[i] + end[j]",
    )
    start, end = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0])
    given = "start [1, 2, 3], end [3, 2, 1], context 2 to 1, longest 5"
    what = "The context is empty, and so there is no span: None."
    got = _pair(call(best_span, start, end, 2, 1, 5), what, given)
    _judge([_Case(what, given, got, None, {})])


# --- 13.2 characters to pieces -------------------------------------------------------


def _by_characters(
    offsets: list[tuple[int, int]], start: int, end: int
) -> tuple[int, int] | None:
    wanted = set(range(start, end))
    shared = [i for i, (a, b) in enumerate(offsets) if wanted & set(range(a, b))]
    return (min(shared), max(shared)) if shared else None


def _piece_mistakes(
    offsets: list[tuple[int, int]], start: int, end: int
) -> dict[str, Any]:
    right = _by_characters(offsets, start, end)
    touching = [i for i, (a, b) in enumerate(offsets) if a <= end and b >= start]
    whole = [i for i, (a, b) in enumerate(offsets) if a >= start and b <= end]
    starts = [i for i, (a, b) in enumerate(offsets) if start <= a < end]
    ends = [i for i, (a, b) in enumerate(offsets) if start < b <= end]
    wrong: dict[str, Any] = {}
    for name, found in [
        ("a piece that only touches the answer shares no character with it", touching),
        ("pieces that reach beyond the answer were left out; they are taken", whole),
        ("a piece that begins before the answer was left out", starts),
        ("a piece that ends after the answer was left out", ends),
    ]:
        wrong[name] = (found[0], found[-1]) if found else None
    if right is not None:
        held: dict[int, list[int]] = {}
        for i, (a, b) in enumerate(offsets):
            for c in range(max(a, start), min(b, end)):
                held.setdefault(c, []).append(i)
        wrong |= {
            "only the first of the pieces that hold a character was found; there may "
            "be several": (right[0], held[max(held)][0]),
            "only the last of the pieces that hold a character was found; there may "
            "be several": (held[min(held)][-1], right[1]),
            "the second number is one too far: both are included": (
                right[0],
                right[1] + 1,
            ),
            "only the first piece of the answer was found": (right[0], right[0]),
            "characters came back; wanted are piece numbers": (start, end),
            "characters came back, and not the numbers of pieces": (
                offsets[right[0]][0],
                offsets[right[1]][1],
            ),
        }
    else:
        wrong["(0, 0) is the first piece; None says that no piece holds it"] = (0, 0)
    return {name: pair for name, pair in wrong.items() if pair != right}


@exercise("13.2")
def check_piece_span(piece_span: Any) -> None:
    """Pieces that share a character with the answer, against sets of characters."""
    # "the 1990s un|bak|ed pies."
    offsets = [(0, 3), (4, 9), (10, 12), (12, 15), (15, 17), (18, 22), (22, 23)]
    shared = [(0, 1), (0, 1), (0, 1), (2, 4)]
    cases = [
        ("An answer of two whole pieces.", offsets, 0, 9),
        ("The answer is one piece.", offsets, 18, 22),
        ("The answer ends inside a piece.", offsets, 4, 8),
        ("The answer begins inside a piece.", offsets, 13, 22),
        ("The answer lies inside one piece.", offsets, 5, 7),
        ("Neighbours that touch the answer are not part of it.", offsets, 12, 15),
        ("The answer begins and ends with a space.", offsets, 9, 18),
        ("The last piece is part of it.", offsets, 19, 23),
        ("The answer is a space, and no piece holds it: None.", offsets, 3, 4),
        ("The answer lies behind the last piece: None.", offsets, 23, 25),
        ("Three pieces come from one character; all hold it.", shared, 0, 1),
        ("There is no piece at all: None.", [], 0, 4),
    ]
    rng = random.Random(2)
    for _ in range(60):
        at, found = 0, []
        for _ in range(rng.randrange(1, 9)):
            at += rng.randrange(3)
            found.append((at, at := at + rng.randrange(1, 5)))
        start = rng.randrange(at)
        what = "The pieces are wrong."
        cases.append((what, found, start, rng.randrange(start + 1, at + 2)))
    seen = []
    for what, found, start, end in cases:
        given = f"offsets {found}, answer {start} to {end}"
        got = _try(_pair, (what, given), piece_span, [*found], start, end)
        right = _by_characters(found, start, end)
        seen.append(_Case(what, given, got, right, _piece_mistakes(found, start, end)))
    _judge(
        seen,
        "a piece (a, b) shares a character with the answer where a < end and b > start",
    )


# --- 13.3 windows --------------------------------------------------------------------


def _cut(n: int, room: int, stride: int, span: Any) -> list[tuple[int, int, Any]]:
    """By the number of windows: the fewest whose last one reaches the end."""
    number = 1 + max(0, math.ceil((n - room) / stride))
    made = []
    for begin in range(0, number * stride, stride):
        pieces = range(n)[begin : begin + room]
        inside = span is not None and all(i in pieces for i in span)
        marks = tuple(pieces.index(i) for i in span) if inside else None
        made.append((begin, begin + len(pieces), marks))
    return made


def _cut_mistakes(n: int, room: int, stride: int, span: Any) -> dict[str, Any]:
    right = _cut(n, room, stride, span)

    def marked(begins: Any, clip: bool = False, shift: bool = True) -> list[Any]:
        made = []
        for begin in begins:
            stop, marks = min(begin + room, n), None
            if span and begin <= span[0] and span[1] < stop:
                marks = (span[0] - begin, span[1] - begin) if shift else tuple(span)
            elif clip and span and span[0] < stop and span[1] >= begin:
                marks = max(0, span[0] - begin), min(stop - 1, span[1]) - begin
            made.append((begin, stop, marks))
        return made

    begins = [b for b, *_ in right]
    wrong = {
        "windows go on after the one that reaches the end; what they hold has been "
        "read": marked(range(0, n, stride)),
        "the rest that fills no whole window was left out": marked(
            range(0, n - room + 1, stride)
        ),
        "the windows do not overlap: the next begins `stride` later, not `room`": (
            marked(range(0, max(n, 1), room))
        ),
        "the stride was taken for the overlap; it is the step from start to start": (
            marked(
                [b for b, *_ in _cut(n, room, max(1, room - stride), None)],
            )
        ),
        "the marks are those of the whole context; count them from the window's own "
        "beginning": marked(begins, shift=False),
        "a window with half of the answer has marks; half an answer is none": marked(
            begins, clip=True
        ),
        "only the first window that holds the answer has marks; every one that holds "
        "it learns it": [
            (b, s, m if all(x[2] is None for x in right[:k]) else None)
            for k, (b, s, m) in enumerate(right)
        ],
        "an empty context still has one window, an empty one: the model has to see the "
        "question": right if n else [],
        "the last window was moved back so that it is full; it begins a stride after "
        "the one before": marked([min(b, max(0, n - room)) for b in begins]),
        "the second mark is one too far: both are included": [
            (b, s, m and (m[0], m[1] + 1)) for b, s, m in right
        ],
        "no window has marks": [(b, s, None) for b, s, _ in right],
        "the last piece of a window is in it: last < stop, where stop is excluded": [
            (b, s, m if m and m[1] < s - b - 1 else None) for b, s, m in right
        ],
        "the answer may begin with the first piece of a window": [
            (b, s, m if m and m[0] > 0 else None) for b, s, m in right
        ],
        "(0, 0) is the first piece of the window: None where the answer is not; [CLS] "
        "comes in later": [(b, s, m or (0, 0)) for b, s, m in right],
        "stop lies behind the end of the context": [
            (b, b + room, m) for b, _, m in right
        ],
        "the piece at stop is no longer in the window; stop is excluded: last < stop": [
            (
                b,
                s,
                (span[0] - b, s - b) if span and b <= span[0] and span[1] == s else m,
            )
            for b, s, m in right
        ],
    }
    return {name: made for name, made in wrong.items() if made != right}


@exercise("13.3")
def check_cut(cut: Any) -> None:
    """Windows against a count by division, and marks against range.index."""
    cases = [
        ("A context of several windows.", 10, 4, 2, None),
        ("A stride that is not half of the room.", 11, 5, 2, None),
        ("A rest that fills no whole window.", 11, 4, 3, None),
        ("A context that fills one window exactly.", 4, 4, 2, None),
        ("A context shorter than a window.", 3, 5, 2, (1, 2)),
        ("An empty context.", 0, 4, 2, None),
        ("The answer is in one window.", 12, 4, 4, (5, 6)),
        ("The answer is in two windows.", 10, 6, 2, (3, 4)),
        ("The answer begins with the first piece of a window.", 10, 4, 3, (3, 4)),
        ("The answer ends with the last piece of a window.", 10, 4, 3, (5, 6)),
        ("The answer fills a window.", 10, 3, 1, (2, 4)),
        ("The answer straddles a cut.", 12, 4, 4, (3, 5)),
        ("The answer is longer than any window.", 9, 3, 2, (1, 6)),
    ]
    rng = random.Random(3)
    for _ in range(40):
        n, room = rng.randrange(25), rng.randrange(1, 9)
        span: Any = None
        if n and rng.random() < 0.8:
            span = tuple(sorted(rng.choices(range(n), k=2)))
        cases.append(
            (
                "A random case.",
                n,
                room,
                rng.randrange(1, room + 1),
                span,
            )
        )
    seen = []
    for what, n, room, stride, span in cases:
        given = f"n {n}, room {room}, stride {stride}, answer {span}"
        got = _try(_windows, (given,), cut, n, room, stride, span)
        right = _cut(n, room, stride, span)
        wrong = _cut_mistakes(n, room, stride, span)
        seen.append(_Case(f"{what} The windows are wrong.", given, got, right, wrong))
    _judge(
        seen,
        "a window begins a stride after the one before, the first that reaches n is "
        "the last, and marks count from its own beginning",
    )


def _windows(got: Any, given: str) -> list[tuple[int, int, Any]]:
    expect(
        isinstance(got, list | tuple),
        "A list of windows must come back.",
        given=given,
        yours=show(got),
        likely="there is no return statement" if got is None else "",
    )
    expect(
        all(isinstance(w, tuple | list) and len(w) == 3 for w in got),
        "Each window must be (begin, stop, marks).",
        given=given,
        yours=show(got),
        likely="often the marks are left out; they are None where the window does not "
        "hold the answer",
    )
    return [(b, s, tuple(m) if isinstance(m, list | tuple) else m) for b, s, m in got]


# --- 13.4 exact match and F1 ---------------------------------------------------------

_ARTICLES = ("a", "an", "the")
_ASCII_MARKS = {
    chr(c) for c in range(33, 127) if unicodedata.category(chr(c))[0] in "PS"
}


def _words(text: str) -> list[str]:
    """Normalised words, by going through the characters one by one."""
    kept = "".join(c for c in text.lower() if c not in _ASCII_MARKS)
    # A word in the sense of \b goes on through letters, digits and _.
    parts = re.findall(r"\w+|\W+", kept)
    return "".join(" " if p in ("a", "an", "the") else p for p in parts).split()


def _f1(said: list[str], right: list[str]) -> float:
    rest, same = list(right), 0
    for word in said:
        if word in rest:
            rest.remove(word)
            same += 1
    if not said or not right:
        return float(said == right)
    return 2 * same / (len(said) + len(right))


def _em_f1(said: str, answers: list[str]) -> tuple[float, float]:
    mine, right = _words(said), [_words(x) for x in answers] or [[]]
    return max(float(mine == x) for x in right), max(_f1(mine, x) for x in right)


def _measure_mistakes(said: str, answers: list[str]) -> dict[str, tuple[float, float]]:
    right = answers or [""]

    def with_words(words: Any) -> tuple[float, float]:
        mine, theirs = words(said), [words(x) for x in right]
        return (
            max(float(mine == x) for x in theirs),
            max(_f1(mine, x) for x in theirs),
        )

    def lower(text: str) -> str:
        return text.lower()

    def bare(text: str) -> str:
        return "".join(c for c in text if c not in _ASCII_MARKS)

    def without(text: str) -> str:
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def overlap(x: list[str], y: list[str]) -> float:
        same = len(set(x) & set(y))
        return 2 * same / (len(set(x)) + len(set(y))) if x and y else float(x == y)

    def share(same: int, part: list[str], other: list[str]) -> float:
        return same / len(part) if part and other else float(part == other)

    mine, theirs = _words(said), [_words(x) for x in right]
    inside = bool(mine) and any(" ".join(mine) in " ".join(x) for x in theirs)
    em, f1 = _em_f1(said, answers)
    each = [_em_f1(said, [x]) for x in right]
    common = [sum(min(mine.count(w), x.count(w)) for w in set(mine)) for x in theirs]
    marks = re.escape("".join(sorted(_ASCII_MARKS)))
    return {
        "nothing was normalised": with_words(lambda t: t.split()),
        "articles were looked for between spaces; one may stand beside a mark that "
        "stays": with_words(
            lambda t: [w for w in bare(lower(t)).split() if w not in _ARTICLES]
        ),
        "articles were replaced by nothing; a space takes their place": with_words(
            lambda t: re.sub(r"\b(a|an|the)\b", "", bare(lower(t))).split()
        ),
        "casefold makes two letters of some; lower() is meant": with_words(
            lambda t: without(bare(t.casefold())).split()
        ),
        "case was not folded": with_words(lambda t: without(bare(t)).split()),
        "punctuation was not taken out": with_words(
            lambda t: without(lower(t)).split()
        ),
        "a, an and the were not taken out": with_words(
            lambda t: bare(lower(t)).split()
        ),
        "articles were taken out of the middle of words": with_words(
            lambda t: re.sub(r"the|an|a", " ", bare(lower(t))).split()
        ),
        "punctuation was taken off the ends of words only; inside of them it goes "
        "too": with_words(
            lambda t: without(
                " ".join(w.strip("".join(_ASCII_MARKS)) for w in lower(t).split())
            ).split()
        ),
        "punctuation was replaced by a space; it is taken out": with_words(
            lambda t: without(re.sub(f"[{marks}]", " ", lower(t))).split()
        ),
        "articles came out before punctuation; it is the other way round": with_words(
            lambda t: bare(without(lower(t))).split()
        ),
        "punctuation beyond ASCII was taken out as well": with_words(
            lambda t: [
                w
                for w in "".join(
                    c if unicodedata.category(c)[0] not in "PS" else ""
                    for c in " ".join(_words(t))
                ).split()
            ]
        ),
        "accents were taken out": with_words(
            lambda t: _words(
                "".join(
                    c
                    for c in unicodedata.normalize("NFD", t)
                    if not unicodedata.combining(c)
                )
            )
        ),
        "words were counted as a set: one that occurs twice counts twice": (
            em,
            max(overlap(mine, x) for x in theirs),
        ),
        "F1 was taken over characters; it is over words": (
            em,
            max(_f1(list("".join(mine)), list("".join(x))) for x in theirs),
        ),
        "this is precision": (
            em,
            max(share(c, mine, x) for c, x in zip(common, theirs, strict=True)),
        ),
        "this is recall": (
            em,
            max(share(c, x, mine) for c, x in zip(common, theirs, strict=True)),
        ),
        "this is the mean of precision and recall; F1 is 2PR / (P + R)": (
            em,
            max(
                share(c, mine, x) / 2 + share(c, x, mine) / 2
                for c, x in zip(common, theirs, strict=True)
            ),
        ),
        "the mean over the right answers; the best one counts": (
            sum(e for e, _ in each) / len(each),
            sum(f for _, f in each) / len(each),
        ),
        "only the first right answer was looked at": each[0],
        "only the last right answer was looked at": each[-1],
        "the worst of the right answers; the best one counts": (
            min(e for e, _ in each),
            min(f for _, f in each),
        ),
        "two empty answers agree: both measures are 1": (
            (em, f1) if mine and all(theirs) else (0.0, 0.0)
        ),
        "two empty answers agree in F1 too": (em, f1 if mine else 0.0),
        "the order of the two is wrong: exact match comes first": (f1, em),
        "F1 where exact match belongs": (f1, f1),
        "exact match is about the whole answer, not about a part of it": (
            float(em or inside),
            f1,
        ),
        "percent; numbers from 0 to 1 are wanted": (100 * em, 100 * f1),
    }


@exercise("13.4")
def check_em_and_f1(em_and_f1: Any) -> None:
    """Both measures, against words counted off one by one."""
    cases: list[tuple[str, str, list[str]]] = [
        ("Two answers that share words.", "an old ferry", ["keeper's old ferry"]),
        ("Case does not count.", "Old FERRY", ["old ferry"]),
        ("Articles do not count.", "the ferry at a pier", ["ferry at an pier"]),
        ("Words that contain an article stay whole.", "theatre", ["atre"]),
        ("Punctuation does not count.", "(ferry), at last.", ["ferry at last"]),
        ("Punctuation inside of words is taken out.", "U.S. ships", ["us ships"]),
        ("A hyphen is punctuation too.", "the-end", ["theend"]),
        ("Runs of spaces do not count.", "old \t\n ferry", ["old ferry"]),
        ("Words that occur twice count twice.", "row row row", ["row row your boat"]),
        ("Words that occur twice count twice.", "row row", ["row"]),
        ("The order of words counts for exact match.", "old ferry", ["ferry old"]),
        ("A part of the answer is no exact match.", "ferry", ["old green ferry"]),
        ("A long answer has a low precision.", "it was the ferry of Brenn", ["ferry"]),
        ("The best of several answers counts.", "old ferry", ["x", "old ferry", "old"]),
        ("The best of several answers counts.", "a b c", ["b", "b c", "z"]),
        ("No word in common.", "ferry", ["train"]),
        ("Both say that there is no answer.", "", []),
        ("Nothing was said, and there is an answer.", "", ["ferry"]),
        ("Something was said, and there is no answer.", "ferry", []),
        ("Nothing is left of either after normalising.", "the", ["A."]),
        ("Punctuation beyond ASCII stays.", "«ferry»", ["ferry"]),
        ("Accents stay.", "café", ["cafe"]),
        ("Articles beside a mark that stays.", "“the ferry”", ["“ ferry”"]),
        ("A space takes the article's place.", "«the»ferry", ["« »ferry"]),
        ("Lower case, nothing more.", "STRASSE", ["Straße"]),
        ("Every kind of space.", "old\u00a0ferry", ["old ferry"]),
    ]
    pool = ["the", "a", "an", "ferry", "Ferry", "old.", "old,", "U.S.", "us", "row"]
    pool += ["row", "theatre", "café", "«", "東京", "1,250"]
    rng = random.Random(4)
    for _ in range(60):
        said = " ".join(rng.choices(pool, k=rng.randrange(5)))
        answers = [
            " ".join(rng.choices(pool, k=rng.randrange(1, 5)))
            for _ in range(rng.randrange(3))
        ]
        # Where an answer has no words, scripts differ; the statement says nothing.
        if all(_words(x) for x in answers):
            cases.append(("A random case.", said, answers))
    seen = []
    for what, said, answers in cases:
        given = f"said {said!r}, answers {answers!r}"
        got = _try(_measures, (given,), em_and_f1, said, [*answers])
        right = _digits(_em_f1(said, answers))
        wrong = {
            name: _digits(pair)
            for name, pair in _measure_mistakes(said, answers).items()
        }
        seen.append(_Case(f"{what} The measures are wrong.", given, got, right, wrong))
    _judge(seen)


def _digits(pair: Any) -> tuple[float, float]:
    return round(float(pair[0]), 9), round(float(pair[1]), 9)


def _measures(got: Any, given: str) -> tuple[float, float]:
    """Two numbers, to nine digits."""
    what = "Two numbers must come back, exact match and F1."
    if hasattr(got, "tolist"):
        got = got.tolist()
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        what,
        given=given,
        yours=show(got),
        likely="there is no return statement" if got is None else "",
    )
    numbers = [x.item() if hasattr(x, "item") else x for x in got]  # NumPy's too
    good = all(isinstance(x, int | float) for x in numbers)
    expect(good, what, given=given, yours=show(got))
    return _digits(numbers)


# --- 13.5 all windows of a question --------------------------------------------------

_Seen = tuple[int, int, list[tuple[float, int, int]], float]


def _choice(windows: list[_Seen], threshold: float) -> tuple[int, int] | None:
    best, silence = (-math.inf, 0, 0), math.inf
    for at, first, spans, silent in windows:
        silence = min(silence, silent)
        for score, i, j in spans:
            if score > best[0]:
                best = score, at + i - first, at + j - first
    if best[0] == -math.inf or silence - best[0] > threshold:
        return None
    return best[1:]


def _choice_mistakes(windows: list[_Seen], threshold: float) -> dict[str, Any]:
    right = _choice(windows, threshold)
    spans = [
        (score, k, i, j)
        for k, (_, _, found, _) in enumerate(windows)
        for score, i, j in found
    ]
    if not spans:
        return {
            "without a span there is nothing to answer with, whatever the threshold": (
                0,
                0,
            )
        }
    score, k, i, j = max(spans)
    at, first, _, silent = windows[k]
    silences = [w[3] for w in windows]
    mean = sum(silences) / len(silences)
    pair = (i - first + at, j - first + at)
    one_each = [_choice([w], threshold) for w in windows]

    def unless(silence: bool) -> tuple[int, int] | None:
        return None if silence else pair

    wrong = {
        "the tokens of the row came back; pieces of the context are wanted": (
            right and (i, j)
        ),
        "counted from where the context begins in the row; add the window's `at`": (
            right and (i - first, j - first)
        ),
        "at was added, and first not taken off": right and (i + at, j + at),
        "the pieces are counted as in the first window": (
            right
            and (i - windows[0][1] + windows[0][0], j - windows[0][1] + windows[0][0])
        ),
        "the lowest sum of spans was taken; the highest is best": _shifted(
            windows, min(spans)
        ),
        'the highest silence was taken; one window that does not say "not here" is '
        "enough": unless(max(silences) - score > threshold),
        "the mean of the silences was taken; the lowest counts": unless(
            mean - score > threshold
        ),
        "the silence of the best span's own window was taken; the lowest of all "
        "counts": unless(silent - score > threshold),
        "the silence of the first window was taken; the lowest counts": unless(
            silences[0] - score > threshold
        ),
        "the silence of the last window was taken; the lowest counts": unless(
            silences[-1] - score > threshold
        ),
        "silence was never chosen": pair,
        "the margin is silence minus span; here it is the other way round": unless(
            score - min(silences) > threshold
        ),
        "the threshold itself is not above the threshold": unless(
            min(silences) - score >= threshold
        ),
        "the threshold has the wrong sign: silence minus span is compared with it": (
            unless(min(silences) - score > -threshold)
        ),
        "the silence of a window without a span was left out; it counts too": unless(
            min(w[3] for w in windows if w[2]) - score > threshold
        ),
        "the threshold was not used": unless(min(silences) > score),
        "the silence alone was compared with the threshold": unless(
            min(silences) > threshold
        ),
        "the sum of the span alone was compared with the threshold": unless(
            score < threshold
        ),
        "each window was judged alone, and the first answer taken": next(
            (x for x in one_each if x is not None), None
        ),
        "only the first span of each window was looked at": _shifted(
            windows,
            max((w[2][0][0], k, *w[2][0][1:]) for k, w in enumerate(windows) if w[2]),
        ),
        "only the first window was looked at": one_each[0],
        "only the last window was looked at": one_each[-1],
    }
    return {name: x for name, x in wrong.items() if x != right}


def _shifted(
    windows: list[_Seen], span: tuple[float, int, int, int]
) -> tuple[int, int]:
    _, k, i, j = span
    shift = windows[k][0] - windows[k][1]
    return i + shift, j + shift


@exercise("13.5")
def check_put_together(put_together: Any) -> None:
    """The best span over the windows, and the lowest silence, against a loop."""
    one: _Seen = (0, 5, [(4.0, 6, 8), (3.0, 6, 6)], 1.0)
    late: _Seen = (128, 5, [(2.0, 9, 9), (6.0, 7, 9)], 3.0)
    none: _Seen = (256, 5, [], -2.0)
    quiet: _Seen = (128, 5, [(1.0, 9, 9)], -6.0)
    cases: list[tuple[str, list[_Seen], float]] = [
        ("One window.", [one], 0.0),
        ("The best span is in the second window.", [one, late], 0.0),
        ("The best span is in the first window.", [late, one], 0.0),
        ("Another question has another length.", [(7, 3, [(1.0, 4, 5)], 0.0)], 0.0),
        (
            "One window says loudly that the answer is not there, and one does not.",
            [(0, 4, [(5.0, 6, 6)], 9.0), (64, 4, [(2.0, 5, 5)], 1.0)],
            0.0,
        ),
        (
            "Every window says that the answer is not there.",
            [(0, 4, [(5.0, 6, 6)], 9.0), (64, 4, [(2.0, 5, 5)], 7.0)],
            1.0,
        ),
        (
            "The margin is the threshold: not above it.",
            [(0, 3, [(2.0, 4, 4)], 5.0)],
            3.0,
        ),
        ("The margin is above the threshold.", [(0, 3, [(2.0, 4, 4)], 5.5)], 3.0),
        ("The threshold is below 0.", [(0, 3, [(5.0, 4, 4)], 3.0)], -4.0),
        ("An infinite threshold: always answer.", [one, quiet], math.inf),
        ("A window without a span.", [none, one, late], 0.0),
        ("A window without a span.", [one, none], -7.0),
        ("A window without a span.", [one, none], -5.0),
    ]
    rng = random.Random(5)
    for _ in range(60):
        windows: list[_Seen] = []
        for k in range(rng.randrange(1, 5)):
            first = rng.randrange(3, 9)
            spans = [
                (
                    rng.uniform(-5, 5),
                    i := first + rng.randrange(9),
                    i + rng.randrange(4),
                )
                for _ in range(rng.randrange(1, 4))
            ]
            windows.append((k * 16, first, spans, rng.uniform(-5, 9)))
        cases.append(("A random case.", windows, rng.choice([-2.0, 0.0, 1.5])))
    cases.append(("There is no span in any window: None.", [none, none], 0.0))
    cases.append(("There is no span in any window: None.", [none], math.inf))
    seen = []
    for what, windows, threshold in cases:
        given = f"windows {_rounded(windows)}, threshold {threshold}"
        got = _try(
            _pair, (what, given), put_together, [(*w,) for w in windows], threshold
        )
        right = _choice(windows, threshold)
        wrong = _choice_mistakes(windows, threshold)
        seen.append(_Case(f"{what} The answer is wrong.", given, got, right, wrong))
    _judge(seen)


def _rounded(windows: list[_Seen]) -> list[Any]:
    return [
        (at, first, [(round(s, 2), i, j) for s, i, j in spans], round(silent, 2))
        for at, first, spans, silent in windows
    ]


# --- 13.6 the threshold --------------------------------------------------------------


def _total(
    t: float, margins: list[float], answered: list[float], silent: list[float]
) -> float:
    rows = zip(margins, answered, silent, strict=True)
    return sum(s if m > t else a for m, a, s in rows)


@exercise("13.6")
def check_threshold_for(threshold_for: Any) -> None:
    """What a threshold reaches, against all cuts between two margins."""
    cases: list[tuple[str, list[float], list[float], list[float]]] = [
        ("Two questions that a threshold separates.", [-1, 3], [1, 0], [0, 1]),
        ("Silence where the margin is small would be wrong.", [-1, 3], [0, 1], [1, 0]),
        ("Answering always is best.", [-1, 2, 5], [1, 0.5, 1], [0, 0, 0]),
        ("Silence always is best.", [-4, -2, 1], [0, 0, 0.2], [1, 1, 1]),
        ("The best cut is far from 0.", [-9, -8, -7, 1], [1, 1, 0, 0], [0, 0, 1, 1]),
        ("The best cut is far from 0.", [4, 6, 9], [1, 1, 0], [0, 0, 1]),
        ("The best cut is far from 0.", [20, 30], [1, 0], [0, 1]),
        ("Margins close together.", [0.125, 0.140625], [1, 0], [0, 1]),
        ("The margins are in no order.", [5, -3, 2, 0], [0, 1, 0, 1], [1, 0, 1, 0]),
        ("F1 lies between 0 and 1.", [0, 1, 2], [0.4, 0.9, 0.1], [0, 0, 1]),
        (
            "Two equal margins: both answer, or neither.",
            [1, 1, 3],
            [0, 1, 0],
            [1, 0, 1],
        ),
        (
            "Two equal margins: both answer, or neither.",
            [1, 1, 0],
            [0.6, 0, 1],
            [0, 1, 0],
        ),
        ("One question alone.", [2], [0], [1]),
        ("One question alone.", [2], [0.3], [0]),
    ]
    rng = random.Random(6)
    for _ in range(40):
        n = rng.randrange(1, 12)
        has = [rng.random() < 0.6 for _ in range(n)]
        cases.append(
            (
                "A random case.",
                [rng.randrange(-12, 13) / 64 for _ in range(n)],
                [round(rng.random(), 2) * h for h in has],
                [float(not h) for h in has],
            )
        )
    results = []
    for case in cases:
        got = threshold_for(*map(list, case[1:]))
        results.append((case, number_in(got, "The threshold.", _questions(case[1:]))))
    for (what, *rows), got in results:
        expect(
            not math.isnan(got),
            "The threshold is NaN, not a number.",
            given=_questions(rows),
            likely="often inf - inf: the middle between -inf and inf",
        )
        if _total(got, *rows) > _best(rows) - 1e-9:
            continue
        n = len(rows[0])
        raise Wrong(
            f"{what} Another threshold is better.",
            given=_questions(rows),
            yours=f"{got:.4g}, which reaches a mean F1 of {_total(got, *rows) / n:.4g}",
            expected=f"one that reaches {_best(rows) / n:.4g}",
            likely=_threshold_mistake([(case[1:], got) for case, got in results]),
        )


def _questions(rows: Any) -> str:
    return "margins {}, answered {}, silent {}".format(*rows)


def _best(rows: Any) -> float:
    """What the best of all cuts reaches."""
    return max(_total(t, *rows) for t in [-math.inf, *rows[0], math.inf])


def _is_best_inside(got: float, margins: list[float], *scores: list[float]) -> bool:
    """Is it the best of the thresholds between two margins? True if there are none."""
    known = sorted(set(margins))
    middles = [(x + y) / 2 for x, y in pairwise(known)]
    if not middles:
        return True
    best = max(_total(t, margins, *scores) for t in middles)
    return known[0] <= got < known[-1] and _total(got, margins, *scores) > best - 1e-9


def _threshold_mistake(results: list[Any]) -> str:
    """The mistake that explains what came back in every case."""

    def chosen_by(score: Callable[..., float]) -> bool:
        """Does `got` have the highest sum of score(margin, t, answered, silent)?"""
        for rows, got in results:
            sums = {
                t: sum(score(m, t, a, s) for m, a, s in zip(*rows, strict=True))
                for t in (-math.inf, *rows[0], math.inf, got)
            }
            known = [total for t, total in sums.items() if t != got] or [sums[got]]
            if sums[got] < max(known) - 1e-9:
                return False
        return True

    if all(
        min(abs(got - _best(rows)), abs(got - _best(rows) / len(rows[0]))) < 1e-9
        for rows, got in results
    ):
        return "the score that the best threshold reaches; the threshold is wanted"
    constant = {
        0.0: "a threshold of 0, whatever the questions say",
        math.inf: "always answering; that is one of the candidates, not the only one",
        -math.inf: "never answering; that is one of the candidates, not the only one",
    }
    for value, name in constant.items():
        if all(got == value for _, got in results):
            return name
    if all(abs(got - sum(rows[0]) / len(rows[0])) < 1e-9 for rows, got in results):
        return "the mean of the margins; try every cut and take the best"
    if all(
        got in rows[0]
        and _total(got, *rows) > max(_total(t, *rows) for t in rows[0]) - 1e-9
        for rows, got in results
    ):
        return (
            "the best among the margins; below all of them lies one more candidate, "
            "never to answer"
        )
    if all(_is_best_inside(got, *rows) for rows, got in results):
        return (
            "the ends are missing: always to answer and never to answer are "
            "candidates too"
        )
    if chosen_by(lambda m, t, a, s: s if m >= t else a):
        return (
            "a question whose margin is the threshold was taken to be silent; only "
            "those above it are"
        )
    if chosen_by(lambda m, t, a, s: a if m > t else s):
        return "the worst threshold: silence belongs above it, and an answer below"
    if chosen_by(lambda m, t, a, s: (s >= a) == (m > t)):
        return "the number of right decisions was counted; sum up F1"
    if chosen_by(lambda m, t, a, s: (s if m > t else a) == 1):
        return "only an F1 of 1 was counted; sum up F1"
    return "try never and always to answer, and each margin; keep the best sum of F1"
