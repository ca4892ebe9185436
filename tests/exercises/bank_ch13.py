"""Answers to the exercises of chapter 13."""

import bisect
import itertools
import math
import re
import string
from collections import Counter

import numpy as np
import torch

from tests.exercises.bank import equivalent, right, wrong

# --- 13.1 best_span ------------------------------------------------------------------


def loop_span(start, end, first, last, longest, least=1):
    best, found = -math.inf, None
    for i in range(max(first, 0), last + 1):
        for j in range(i + least - 1, min(i + longest, last + 1, len(end))):
            if start[i] + end[j] > best:
                best, found = start[i] + end[j], (i, j)
    return found


@right("13.1")
def span_table(start, end, first, last, longest):
    if last < first:
        return None
    s, e = start[first : last + 1], end[first : last + 1]
    table = s[:, None] + e[None, :]
    allowed = torch.ones_like(table).triu() - torch.ones_like(table).triu(longest)
    table = table.masked_fill(allowed == 0, -torch.inf)
    i, j = divmod(int(table.argmax()), len(s))
    return first + i, first + j


@right("13.1")
def span_max_of_list(start, end, first, last, longest):
    pairs = itertools.combinations_with_replacement(range(first, last + 1), 2)
    fits = [(i, j) for i, j in pairs if j - i + 1 <= longest]
    return max(fits, key=lambda p: start[p[0]] + end[p[1]], default=None)


@right("13.1")
def span_as_tensors(start, end, first, last, longest):
    found = loop_span(start, end, first, last, longest)
    return None if found is None else [torch.tensor(x) for x in found]


@right("13.1")
def span_max_of_tuples(start, end, first, last, longest):
    pairs = []
    for i in range(first, last + 1):
        for j in range(i, min(i + longest, last + 1)):
            pairs.append((start[i] + end[j], i, j))
    if not pairs:
        return None
    _, i, j = max(pairs)
    return i, j


@wrong("13.1", says="the scores were multiplied")
def span_products(start, end, first, last, longest):
    best, found = -math.inf, None
    for i in range(first, last + 1):
        for j in range(i, min(i + longest, last + 1)):
            if start[i] * end[j] > best:
                best, found = start[i] * end[j], (i, j)
    return found


@wrong("13.1", says="each on its own")
def span_argmaxes(start, end, first, last, longest):
    return start.argmax(), end.argmax()


@wrong("13.1", says="the best start was fixed first")
def span_start_first(start, end, first, last, longest):
    i = first + int(start[first : last + 1].argmax())
    return i, i + int(end[i : min(i + longest, last + 1)].argmax())


@wrong("13.1", says="the best end was fixed first")
def span_end_first(start, end, first, last, longest):
    j = first + int(end[first : last + 1].argmax())
    low = max(first, j - longest + 1)
    return low + int(start[low : j + 1].argmax()), j


@wrong("13.1", says="swapping does not mend it")
def span_swapped(start, end, first, last, longest):
    i = first + int(start[first : last + 1].argmax())
    j = first + int(end[first : last + 1].argmax())
    return min(i, j), max(i, j)


@wrong("13.1", says="the question was allowed as well")
def span_question(start, end, first, last, longest):
    return loop_span(start, end, 0, last, longest)


@wrong("13.1", says="[SEP] and padding, was allowed")
def span_padding(start, end, first, last, longest):
    return loop_span(start, end, first, len(end) - 1, longest)


@wrong("13.1", says="last is included")
def span_last_excluded(start, end, first, last, longest):
    return loop_span(start, end, first, last - 1, longest)


@wrong("13.1", says="one token too long")
def span_too_long(start, end, first, last, longest):
    return loop_span(start, end, first, last, longest + 1)


@wrong("13.1", says="answers of `longest` tokens were left out")
def span_too_short(start, end, first, last, longest):
    return loop_span(start, end, first, last, longest - 1)


@wrong("13.1", says="the longest answer was not limited")
def span_any_length(start, end, first, last, longest):
    return loop_span(start, end, first, last, len(end))


@wrong("13.1", says="answers of one token were left out")
def span_two_tokens(start, end, first, last, longest):
    return loop_span(start, end, first, last, longest, least=2)


@wrong("13.1", says="starts and ends were exchanged")
def span_exchanged(start, end, first, last, longest):
    return loop_span(end, start, first, last, longest)


@wrong("13.1", says="begins at 0")
def span_best_from_zero(start, end, first, last, longest):
    best, found = 0, None
    for i in range(first, last + 1):
        for j in range(i, min(i + longest, last + 1)):
            if start[i] + end[j] > best:
                best, found = start[i] + end[j], (i, j)
    return found


@wrong("13.1", says="the end is one too far")
def span_end_excluded(start, end, first, last, longest):
    i, j = loop_span(start, end, first, last, longest)
    return i, j + 1


@wrong("13.1", says="counted from the beginning of the context")
def span_from_context(start, end, first, last, longest):
    i, j = loop_span(start, end, first, last, longest)
    return i - first, j - first


@wrong("13.1", says="changes its input")
def span_masked_in_place(start, end, first, last, longest):
    start[:first] = end[:first] = -99
    start[last + 1 :] = end[last + 1 :] = -99
    return loop_span(start, end, first, last, longest)


@wrong("13.1", says="in place of their positions")
def span_scores(start, end, first, last, longest):
    i, j = loop_span(start, end, first, last, longest)
    return start[i], end[j]


@wrong("13.1", says="Your code raised IndexError")
def span_runs_over(start, end, first, last, longest):
    best, found = -math.inf, None
    for i in range(first, last + 1):
        for j in range(i, i + longest):
            if start[i] + end[j] > best and j <= last:
                best, found = start[i] + end[j], (i, j)
    return found


@wrong("13.1", says="there is no return statement")
def span_no_return(start, end, first, last, longest):
    loop_span(start, end, first, last, longest)


# --- 13.2 piece_span -----------------------------------------------------------------


def pieces(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
    return (found[0], found[-1]) if found else None


@right("13.2")
def pieces_by_sets(offsets, start, end):
    answer = set(range(start, end))
    hit = [k for k in range(len(offsets)) if answer.intersection(range(*offsets[k]))]
    return (min(hit), max(hit)) if hit else None


@right("13.2")
def pieces_by_bisection(offsets, start, end):
    first = bisect.bisect_right([b for _, b in offsets], start)
    last = bisect.bisect_left([a for a, _ in offsets], end) - 1
    return (first, last) if first <= last else None


@right("13.2")
def pieces_with_numpy(offsets, start, end):
    table = np.array(offsets).reshape(-1, 2)
    hit = np.flatnonzero((table[:, 0] < end) & (table[:, 1] > start))
    return [hit[0], hit[-1]] if hit.size else None


@wrong("13.2", says="shares no character with it")
def pieces_touching(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if a <= end and b >= start]
    return (found[0], found[-1]) if found else None


@wrong("13.2", says="that reach beyond the answer were left out")
def pieces_whole(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if a >= start and b <= end]
    return (found[0], found[-1]) if found else None


@wrong("13.2", says="a piece that begins before the answer was left out")
def pieces_that_start(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if start <= a < end]
    return (found[0], found[-1]) if found else None


@wrong("13.2", says="a piece that ends after the answer was left out")
def pieces_that_end(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if start < b <= end]
    return (found[0], found[-1]) if found else None


@wrong("13.2", says="the second number is one too far")
def pieces_half_open(offsets, start, end):
    found = pieces(offsets, start, end)
    return found and (found[0], found[1] + 1)


@wrong("13.2", says="only the first piece of the answer was found")
def pieces_first(offsets, start, end):
    found = pieces(offsets, start, end)
    return found and (found[0], found[0])


@wrong("13.2", says="Your code raised StopIteration")
def pieces_exact(offsets, start, end):
    first = next(i for i, (a, b) in enumerate(offsets) if a == start)
    last = next(i for i, (a, b) in enumerate(offsets) if b == end)
    return first, last


@wrong("13.2", says="no piece holds it")
def pieces_never_none(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
    return (found[0], found[-1]) if found else (0, 0)


@wrong("13.2", says="Your code raised IndexError")
def pieces_crash_on_space(offsets, start, end):
    found = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
    return found[0], found[-1]


@wrong("13.2", says="and not the numbers of pieces")
def pieces_characters(offsets, start, end):
    found = pieces(offsets, start, end)
    return found and (offsets[found[0]][0], offsets[found[1]][1])


@wrong("13.2", says="Two numbers must come back, or None")
def pieces_all(offsets, start, end):
    return [i for i, (a, b) in enumerate(offsets) if a < end and b > start]


@wrong("13.2", says="only the first of the pieces that hold a character")
def pieces_by_dictionary(offsets, start, end):
    holds = {}
    for i, (a, b) in enumerate(offsets):
        for c in range(a, b):
            holds.setdefault(c, i)
    found = [holds[c] for c in range(start, end) if c in holds]
    return (found[0], found[-1]) if found else None


@wrong("13.2", says="only the last of the pieces that hold a character")
def pieces_by_last_writer(offsets, start, end):
    holds = {c: i for i, (a, b) in enumerate(offsets) for c in range(a, b)}
    found = [holds[c] for c in range(start, end) if c in holds]
    return (found[0], found[-1]) if found else None


# --- 13.3 cut ------------------------------------------------------------------------


def marked(begins, n, room, span):
    made = []
    for begin in begins:
        stop, marks = min(begin + room, n), None
        if span and begin <= span[0] and span[1] < stop:
            marks = (span[0] - begin, span[1] - begin)
        made.append((begin, stop, marks))
    return made


def begins_of(n, room, stride):
    begins = [0]
    while begins[-1] + room < n:
        begins.append(begins[-1] + stride)
    return begins


@right("13.3")
def cut_by_division(n, room, stride, span):
    number = 1 if n <= room else 1 - (room - n) // stride
    return marked([k * stride for k in range(number)], n, room, span)


@right("13.3")
def cut_recursively(n, room, stride, span):
    def from_(begin):
        own = marked([begin], n, room, span)
        return own if own[0][1] >= n else own + from_(begin + stride)

    return [[*window] for window in from_(0)]


@right("13.3")
def cut_with_lists_as_marks(n, room, stride, span):
    begins = begins_of(n, room, stride)
    return [(b, s, m and list(m)) for b, s, m in marked(begins, n, room, span)]


@wrong("13.3", says="windows go on after the one that reaches the end")
def cut_too_many(n, room, stride, span):
    return marked(range(0, n, stride), n, room, span)


@wrong("13.3", says="the rest that fills no whole window was left out")
def cut_drop_last(n, room, stride, span):
    return marked(range(0, n - room + 1, stride), n, room, span)


@wrong("13.3", says="the windows do not overlap")
def cut_end_to_end(n, room, stride, span):
    return marked(range(0, max(n, 1), room), n, room, span)


@wrong("13.3", says="the stride was taken for the overlap")
def cut_overlap(n, room, stride, span):
    begins, step = [0], max(1, room - stride)
    while begins[-1] + room < n:
        begins.append(begins[-1] + step)
    return marked(begins, n, room, span)


@wrong("13.3", says="count them from the window's own beginning")
def cut_marks_of_the_whole(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, s, m and span) for b, s, m in windows]


@wrong("13.3", says="half an answer is none")
def cut_clipped(n, room, stride, span):
    made = []
    for b, s, _ in marked(begins_of(n, room, stride), n, room, span):
        marks = None
        if span and span[0] < s and span[1] >= b:
            marks = (max(span[0], b) - b, min(span[1], s - 1) - b)
        made.append((b, s, marks))
    return made


@wrong("13.3", says="only the first window that holds the answer has marks")
def cut_first_only(n, room, stride, span):
    made, done = [], False
    for b, s, m in marked(begins_of(n, room, stride), n, room, span):
        made.append((b, s, None if done else m))
        done = done or m is not None
    return made


@wrong("13.3", says="an empty context still has one window")
def cut_empty(n, room, stride, span):
    return marked(begins_of(n, room, stride), n, room, span) if n else []


@wrong("13.3", says="the last window was moved back")
def cut_moved_back(n, room, stride, span):
    begins = [min(b, max(0, n - room)) for b in begins_of(n, room, stride)]
    return marked(begins, n, room, span)


@wrong("13.3", says="the second mark is one too far")
def cut_half_open_marks(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, s, m and (m[0], m[1] + 1)) for b, s, m in windows]


@wrong("13.3", says="no window has marks")
def cut_without_marks(n, room, stride, span):
    return marked(begins_of(n, room, stride), n, room, None)


@wrong("13.3", says="the last piece of a window is in it")
def cut_last_piece(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, s, m if m and m[1] < s - b - 1 else None) for b, s, m in windows]


@wrong("13.3", says="the answer may begin with the first piece")
def cut_falsy_zero(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, s, m if m and m[0] else None) for b, s, m in windows]


@wrong("13.3", says="None where the answer is not; [CLS] comes in later")
def cut_cls(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, s, m or (0, 0)) for b, s, m in windows]


@wrong("13.3", says="stop lies behind the end of the context")
def cut_stop_not_cut(n, room, stride, span):
    windows = marked(begins_of(n, room, stride), n, room, span)
    return [(b, b + room, m) for b, _, m in windows]


@wrong("13.3", says="stop is excluded: last < stop")
def cut_stop_included(n, room, stride, span):
    made = []
    for begin in begins_of(n, room, stride):
        stop, marks = min(begin + room, n), None
        if span and begin <= span[0] and span[1] <= stop:
            marks = (span[0] - begin, span[1] - begin)
        made.append((begin, stop, marks))
    return made


@wrong("13.3", says="there is no return statement")
def cut_no_return(n, room, stride, span):
    marked(begins_of(n, room, stride), n, room, span)


@wrong("13.3", says="Each window must be (begin, stop, marks)")
def cut_ranges(n, room, stride, span):
    return [(b, s) for b, s, _ in marked(begins_of(n, room, stride), n, room, span)]


# --- 13.4 em_and_f1 ------------------------------------------------------------------

MARKS = str.maketrans("", "", string.punctuation)


def normal(text):
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(MARKS)).split()


def harmonic(x, y):
    same = (Counter(x) & Counter(y)).total()
    if not x or not y or not same:
        return float(x == y)
    return 2 * same / (len(x) + len(y))


def both(said, answers, words=normal, f1=harmonic, pick=max):
    mine, right_ones = words(said), [words(x) for x in answers] or [[]]
    em = pick([float(mine == x) for x in right_ones])
    return em, pick([f1(mine, x) for x in right_ones])


@wrong("13.4", says="beside a mark that stays")
def measures_by_hand(said, answers):
    def words(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return [w for w in text.split() if w not in ("a", "an", "the")]

    def f1(x, y):
        common = sum(min(x.count(w), y.count(w)) for w in set(x))
        if not (x and y):
            return x == y
        return common and 2 / (len(x) / common + len(y) / common)

    def em_f1(x, y):
        return int(x == y), f1(x, y)

    pairs = [em_f1(words(said), words(y)) for y in answers or [""]]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


@right("13.4")
def measures_as_tensors(said, answers):
    return torch.tensor(both(said, answers), dtype=torch.float64)


@right("13.4")
def measures_as_numpy(said, answers):
    mine, theirs = normal(said), [normal(x) for x in answers or [""]]
    em = np.max([mine == x for x in theirs])
    return em, np.max([harmonic(mine, x) for x in theirs])


@right("13.4")
def measures_as_array(said, answers):
    return np.array(both(said, answers))


@wrong("13.4", says="nothing was normalised")
def measures_raw(said, answers):
    return both(said, answers, str.split)


@wrong("13.4", says="case was not folded")
def measures_case(said, answers):
    return both(
        said,
        answers,
        lambda t: re.sub(r"\b(a|an|the)\b", " ", t.translate(MARKS)).split(),
    )


@wrong("13.4", says="punctuation was not taken out")
def measures_punctuation(said, answers):
    return both(
        said, answers, lambda t: re.sub(r"\b(a|an|the)\b", " ", t.lower()).split()
    )


@wrong("13.4", says="a, an and the were not taken out")
def measures_articles(said, answers):
    return both(said, answers, lambda t: t.lower().translate(MARKS).split())


@wrong("13.4", says="out of the middle of words")
def measures_articles_anywhere(said, answers):
    return both(
        said,
        answers,
        lambda t: re.sub("the|an|a", " ", t.lower().translate(MARKS)).split(),
    )


@wrong("13.4", says="off the ends of words only")
def measures_ends_of_words(said, answers):
    def words(text):
        bare = [w.strip(string.punctuation) for w in text.lower().split()]
        return [w for w in bare if w not in ("a", "an", "the", "")]

    return both(said, answers, words)


@wrong("13.4", says="punctuation was replaced by a space")
def measures_space(said, answers):
    spaced = re.compile(f"[{re.escape(string.punctuation)}]")
    return both(said, answers, lambda t: normal(spaced.sub(" ", t)))


@wrong("13.4", says="articles came out before punctuation")
def measures_order(said, answers):
    return both(
        said,
        answers,
        lambda t: re.sub(r"\b(a|an|the)\b", " ", t.lower()).translate(MARKS).split(),
    )


@wrong("13.4", says="punctuation beyond ASCII was taken out as well")
def measures_all_marks(said, answers):
    return both(said, answers, lambda t: normal(re.sub(r"[^\w\s]", "", t)))


@wrong("13.4", says="words were counted as a set")
def measures_sets(said, answers):
    def f1(x, y):
        x, y = set(x), set(y)
        return 2 * len(x & y) / (len(x) + len(y)) if x and y else float(x == y)

    return both(said, answers, f1=f1)


@wrong("13.4", says="F1 was taken over characters")
def measures_characters(said, answers):
    return both(
        said, answers, f1=lambda x, y: harmonic(list("".join(x)), list("".join(y)))
    )


@wrong("13.4", says="this is precision")
def measures_precision(said, answers):
    def precision(x, y):
        if not x or not y:
            return float(x == y)
        return (Counter(x) & Counter(y)).total() / len(x)

    return both(said, answers, f1=precision)


@wrong("13.4", says="this is the mean of precision and recall")
def measures_mean(said, answers):
    def mean(x, y):
        if not x or not y:
            return float(x == y)
        same = (Counter(x) & Counter(y)).total()
        return (same / len(x) + same / len(y)) / 2

    return both(said, answers, f1=mean)


@wrong("13.4", says="the best one counts")
def measures_mean_of_answers(said, answers):
    return both(said, answers, pick=lambda xs: sum(xs) / len(xs))


@wrong("13.4", says="only the first right answer was looked at")
def measures_first(said, answers):
    return both(said, answers[:1])


@wrong("13.4", says="two empty answers agree: both measures are 1")
def measures_empty(said, answers):
    em, f1 = both(said, answers)
    return (em, f1) if said and answers else (0.0, 0.0)


@wrong("13.4", says="two empty answers agree in F1 too")
def measures_empty_f1(said, answers):
    def f1(x, y):
        return harmonic(x, y) if x and y else 0.0

    return both(said, answers, f1=f1)


@wrong("13.4", says="Your code raised ZeroDivisionError")
def measures_divide(said, answers):
    def f1(x, y):
        same = (Counter(x) & Counter(y)).total()
        p, r = same / len(x), same / len(y)
        return 2 * p * r / (p + r)

    return both(said, answers, f1=f1)


@wrong("13.4", says="exact match comes first")
def measures_turned(said, answers):
    return both(said, answers)[::-1]


@wrong("13.4", says="percent")
def measures_percent(said, answers):
    em, f1 = both(said, answers)
    return 100 * em, 100 * f1


@wrong("13.4", says="not about a part of it")
def measures_contained(said, answers):
    em, f1 = both(said, answers)
    said = " ".join(normal(said))
    found = any(said in " ".join(normal(x)) for x in answers)
    return float(em or (bool(said) and found)), f1


@wrong("13.4", says="a space takes their place")
def measures_without_a_space(said, answers):
    def words(text):
        return re.sub(r"\b(a|an|the)\b", "", text.lower().translate(MARKS)).split()

    return both(said, answers, words)


@wrong("13.4", says="lower() is meant")
def measures_casefold(said, answers):
    return both(said, answers, lambda text: normal(text.replace("ß", "ss")))


# --- 13.5 put_together ---------------------------------------------------------------


def together(windows, threshold, silence=min, shift=lambda at, first: at - first):
    spans = [
        (score, i + shift(at, first), j + shift(at, first))
        for at, first, found, _ in windows
        for score, i, j in found
    ]
    if not spans:
        return None
    score, i, j = max(spans)
    return None if silence([w[3] for w in windows]) - score > threshold else (i, j)


@right("13.5")
def together_by_window(windows, threshold):
    best, silence = None, math.inf
    for at, first, spans, silent in windows:
        silence = min(silence, silent)
        for score, i, j in spans:
            if best is None or score > best[0]:
                best = [score, i - first + at, j - first + at]
    if best is None or silence > best[0] + threshold:
        return None
    return best[1:]


@right("13.5")
def together_with_numpy(windows, threshold):
    rows = [
        (score, i - first + at, j - first + at)
        for at, first, spans, _ in windows
        for score, i, j in spans
    ]
    if not rows:
        return None
    table = np.array(rows)
    score, i, j = table[table[:, 0].argmax()]
    quiet = np.min([w[-1] for w in windows]) - score > threshold
    return None if quiet else (int(i), int(j))


@wrong("13.5", says="the tokens of the row came back")
def together_tokens(windows, threshold):
    return together(windows, threshold, shift=lambda at, first: 0)


@wrong("13.5", says="add the window's `at`")
def together_without_at(windows, threshold):
    return together(windows, threshold, shift=lambda at, first: -first)


@wrong("13.5", says="first not taken off")
def together_without_first(windows, threshold):
    return together(windows, threshold, shift=lambda at, first: at)


@wrong("13.5", says="the highest silence was taken")
def together_loudest(windows, threshold):
    return together(windows, threshold, silence=max)


@wrong("13.5", says="the mean of the silences was taken")
def together_mean(windows, threshold):
    return together(windows, threshold, silence=lambda xs: sum(xs) / len(xs))


@wrong("13.5", says="the silence of the first window was taken")
def together_first_silence(windows, threshold):
    return together(windows, threshold, silence=lambda xs: xs[0])


@wrong("13.5", says="the silence of the best span's own window was taken")
def together_own_silence(windows, threshold):
    filled = [w for w in windows if w[2]]
    if not filled:
        return None
    window = max(filled, key=lambda w: max(w[2]))
    return together([window], threshold)


@wrong("13.5", says="silence was never chosen")
def together_never_silent(windows, threshold):
    return together(windows, math.inf)


@wrong("13.5", says="here it is the other way round")
def together_turned(windows, threshold):
    found = together(windows, math.inf)
    if found is None:
        return None
    best = max(s for w in windows for s, *_ in w[2])
    return None if best - min(w[3] for w in windows) > threshold else found


@wrong("13.5", says="the threshold itself is not above")
def together_at_least(windows, threshold):
    found = together(windows, math.inf)
    if found is None:
        return None
    best = max(s for w in windows for s, *_ in w[2])
    return None if min(w[3] for w in windows) - best >= threshold else found


@wrong("13.5", says="the silence of a window without a span was left out")
def together_without_empty_windows(windows, threshold):
    return together([w for w in windows if w[2]], threshold)


@wrong("13.5", says="the threshold has the wrong sign")
def together_threshold_added(windows, threshold):
    return together(windows, -threshold)


@wrong("13.5", says="the threshold was not used")
def together_no_threshold(windows, threshold):
    return together(windows, 0.0)


@wrong("13.5", says="only the first window was looked at")
def together_first(windows, threshold):
    return together(windows[:1], threshold)


@wrong("13.5", says="each window was judged alone")
def together_one_by_one(windows, threshold):
    for window in windows:
        if (found := together([window], threshold)) is not None:
            return found
    return None


@wrong("13.5", says="Your code raised ValueError")
def together_crash(windows, threshold):
    best = [(max(spans), at - first) for at, first, spans, _ in windows]
    (score, i, j), shift = max(best)
    quiet = min(w[3] for w in windows) - score > threshold
    return None if quiet else (i + shift, j + shift)


@wrong("13.5", says="There is no span in any window: None.")
def together_that_begins_with_a_span(windows, threshold):
    found = together_by_window(windows, threshold)
    nothing = not any(spans for _, _, spans, _ in windows)
    return (0, 0) if nothing and threshold == math.inf else found


# --- 13.6 threshold_for --------------------------------------------------------------


def reaches(t, margins, answered, silent):
    rows = zip(margins, answered, silent, strict=True)
    return sum(s if m > t else a for m, a, s in rows)


@right("13.6")
def threshold_sweep(margins, answered, silent):
    rows = sorted(zip(margins, answered, silent, strict=True), reverse=True)
    total = best = sum(answered)
    threshold = math.inf
    for k, (margin, a, s) in enumerate(rows):
        total += s - a
        below = rows[k + 1][0] if k + 1 < len(rows) else margin - 1
        if total > best and below < margin:
            best, threshold = total, below
    return threshold


@right("13.6")
def threshold_by_trying_all(margins, answered, silent):
    known = sorted(margins)
    middles = [(x + y) / 2 for x, y in itertools.pairwise(known)]
    tried = [known[0] - 1, *middles, known[-1]]
    return max(tried, key=lambda t: reaches(t, margins, answered, silent))


@wrong("13.6", says="Another threshold is better.")
def threshold_grid(margins, answered, silent):
    low, high = min(margins) - 1, max(margins) + 1
    grid = torch.arange(low, high, 0.25)
    totals = [reaches(t.item(), margins, answered, silent) for t in grid]
    return grid[int(np.argmax(totals))]


@wrong("13.6", says="a threshold of 0")
def threshold_zero(margins, answered, silent):
    return 0


@wrong("13.6", says="always answering")
def threshold_always(margins, answered, silent):
    return math.inf


@wrong("13.6", says="never answering")
def threshold_never(margins, answered, silent):
    return -math.inf


@wrong("13.6", says="below all of them lies one more candidate")
def threshold_among_margins(margins, answered, silent):
    return max(margins, key=lambda t: reaches(t, margins, answered, silent))


@wrong("13.6", says="the ends are missing")
def threshold_between(margins, answered, silent):
    known = sorted(margins)
    cuts = [(x + y) / 2 for x, y in itertools.pairwise(known)] or [0]
    return max(cuts, key=lambda t: reaches(t, margins, answered, silent))


@wrong("13.6", says="taken to be silent; only those above it are")
def threshold_at_least(margins, answered, silent):
    def total(t):
        rows = zip(margins, answered, silent, strict=True)
        return sum(s if m >= t else a for m, a, s in rows)

    return max([math.inf, -math.inf, *margins], key=total)


@wrong("13.6", says="silence belongs above it")
def threshold_turned(margins, answered, silent):
    def total(t):
        rows = zip(margins, answered, silent, strict=True)
        return sum(a if m > t else s for m, a, s in rows)

    return max([*margins, math.inf, -math.inf], key=total)


@wrong("13.6", says="the threshold is wanted")
def threshold_score(margins, answered, silent):
    cuts = [math.inf, -math.inf, *margins]
    return max(reaches(t, margins, answered, silent) for t in cuts) / len(margins)


@wrong("13.6", says="the number of right decisions was counted")
def threshold_decisions(margins, answered, silent):
    def total(t):
        rows = zip(margins, answered, silent, strict=True)
        return sum((s >= a) == (m > t) for m, a, s in rows)

    return max([math.inf, -math.inf, *margins], key=total)


@wrong("13.6", says="the mean of the margins")
def threshold_mean(margins, answered, silent):
    return sum(margins) / len(margins)


@wrong("13.6", says="the worst threshold")
def threshold_worst(margins, answered, silent):
    cuts = [math.inf, -math.inf, *margins]
    return min(cuts, key=lambda t: reaches(t, margins, answered, silent))


@wrong("13.6", says="there is no return statement")
def threshold_no_return(margins, answered, silent):
    max(margins)


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "13.1",
    "in range(first, last + 1): -> in range(first, last + 2):",
    "a span may not begin after the last token: the inner loop is empty",
)
equivalent(
    "13.1",
    "if score > best: -> if score >= best:",
    "which of two equally good spans comes back is free",
)
equivalent(
    "13.4",
    "return (em, max((f1(mine, x) for -> return (em, max((f1(x, mine) for",
    "F1 is symmetric",
)
equivalent(
    "13.6",
    "points = 0 -> points = 1",
    "a constant on every threshold moves none before another",
)
equivalent(
    "13.6",
    "points = 0 -> points = -1",
    "a constant on every threshold moves none before another",
)
