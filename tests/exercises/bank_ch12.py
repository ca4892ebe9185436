"""Answers to the exercises of chapter 12."""

import re
from functools import cache
from itertools import groupby, pairwise, product

import numpy as np
import torch

from tests.exercises.bank import right, wrong

# --- 12.1 align ----------------------------------------------------------------------


@right("12.1")
def align_by_word_numbers(words, labels, cut, cls=101, sep=102, unk=100):
    pieces = [(n, i) for n, w in enumerate(words) for i in (list(cut(w)) or [unk])]
    ids = torch.tensor([cls, *(i for _, i in pieces), sep])
    out = torch.full_like(ids, -100)
    seen = set()
    for at, (n, _) in enumerate(pieces, start=1):
        if n not in seen:
            out[at] = labels[n]
            seen.add(n)
    return ids, out


@right("12.1")
def align_recursively(words, labels, cut, cls=101, sep=102, unk=100):
    if not words:
        return (cls, sep), (-100, -100)
    ids, out = align_recursively(words[1:], labels[1:], cut, cls, sep, unk)
    own = tuple(cut(words[0])) or (unk,)
    rest = (-100,) * (len(own) - 1)
    return (cls, *own, *ids[1:]), (-100, labels[0], *rest, *out[1:])


def aligned(words, labels, cut, cls, sep, unk, rule):
    ids, out = [cls], [-100]
    for word, label in zip(words, labels, strict=True):
        own = list(cut(word)) or [unk]
        ids += own
        out += [rule(label, k, len(own)) for k in range(len(own))]
    return [*ids, sep], [*out, -100]


@wrong("12.1", says="every piece bears its word's label")
def align_every_piece(words, labels, cut, cls=101, sep=102, unk=100):
    return aligned(words, labels, cut, cls, sep, unk, lambda y, k, n: y)


@wrong("12.1", says="the label stands at the last piece")
def align_last_piece(words, labels, cut, cls=101, sep=102, unk=100):
    rule = lambda y, k, n: y if k == n - 1 else -100  # noqa: E731
    return aligned(words, labels, cut, cls, sep, unk, rule)


@wrong("12.1", says="the later pieces are labelled 0")
def align_zero_pieces(words, labels, cut, cls=101, sep=102, unk=100):
    return aligned(words, labels, cut, cls, sep, unk, lambda y, k, n: 0 if k else y)


@wrong("12.1", says="[CLS] and [SEP] are labelled 0")
def align_zero_special(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = align_by_word_numbers(words, labels, cut, cls, sep, unk)
    out[0] = out[-1] = 0
    return ids, out


@wrong("12.1", says="the labels are one place too early")
def align_not_moved(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = aligned(
        words, labels, cut, cls, sep, unk, lambda y, k, n: -100 if k else y
    )
    return ids, [*out[1:], -100]


@wrong("12.1", says="laid over the pieces one by one")
def align_zip(words, labels, cut, cls=101, sep=102, unk=100):
    ids = [cls] + [i for w in words for i in (cut(w) or [unk])] + [sep]
    out = [-100] * len(ids)
    for at, label in enumerate(labels, start=1):
        out[at] = label
    return ids, out


@wrong("12.1", says="a word without a piece has vanished")
def align_vanished(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = [cls], [-100]
    for word, label in zip(words, labels, strict=True):
        for k, i in enumerate(cut(word)):
            ids.append(i)
            out.append(-100 if k else label)
    return [*ids, sep], [*out, -100]


@wrong("12.1", says="[CLS] and [SEP] are missing")
def align_no_special(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = aligned(
        words, labels, cut, cls, sep, unk, lambda y, k, n: -100 if k else y
    )
    return ids[1:-1], out[1:-1]


@wrong("12.1", says="[CLS] and [SEP] have no label")
def align_special_unlabelled(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = aligned(
        words, labels, cut, cls, sep, unk, lambda y, k, n: -100 if k else y
    )
    return ids, out[1:-1]


@wrong("12.1", says="one label for each word; it takes one for each piece")
def align_labels_of_words(words, labels, cut, cls=101, sep=102, unk=100):
    ids, _ = aligned(words, labels, cut, cls, sep, unk, lambda y, k, n: y)
    return ids, labels


@wrong("12.1", says="only the first piece of each word is left")
def align_first_only(words, labels, cut, cls=101, sep=102, unk=100):
    ids = [cls] + [(cut(w) or [unk])[0] for w in words] + [sep]
    return ids, [-100, *labels, -100]


@wrong("12.1", says="changes the list of pieces that cut returned")
def align_edits_pieces(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = [cls], [-100]
    for word, label in zip(words, labels, strict=True):
        own = cut(word)
        if not own:
            own.append(unk)
        ids += own
        out += [label] + [-100] * (len(own) - 1)
    return [*ids, sep], [*out, -100]


@wrong("12.1", says="changes the lists that it was given")
def align_edits_labels(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = aligned(
        words, labels, cut, cls, sep, unk, lambda y, k, n: -100 if k else y
    )
    labels.insert(0, -100)
    return ids, out


@wrong("12.1", says="there is no return statement")
def align_no_return(words, labels, cut, cls=101, sep=102, unk=100):
    aligned(words, labels, cut, cls, sep, unk, lambda y, k, n: y)


@wrong("12.1", says="The labels are wrong")
def align_equal_words(words, labels, cut, cls=101, sep=102, unk=100):
    by_word = dict(zip(words, labels, strict=True))
    own = [by_word[w] for w in words]
    return aligned(words, own, cut, cls, sep, unk, lambda y, k, n: -100 if k else y)


@wrong("12.1", says="101, 102 and 100 are only defaults")
def align_hard_coded(words, labels, cut, cls=101, sep=102, unk=100):
    return align_by_word_numbers(words, labels, cut)


@wrong("12.1", says="101, 102 and 100 are only defaults")
def align_hard_coded_unk(words, labels, cut, cls=101, sep=102, unk=100):
    return align_by_word_numbers(words, labels, cut, cls, sep)


@wrong("12.1", says="unk is that word's first piece and bears its label")
def align_unk_unlabelled(words, labels, cut, cls=101, sep=102, unk=100):
    ids, out = align_by_word_numbers(words, labels, cut, cls, sep, unk)
    return ids, out.masked_fill(ids == unk, -100)


# --- 12.2 tags_for -------------------------------------------------------------------


@right("12.2")
def tags_by_characters(words, entities):
    owner = {c: n for n, e in enumerate(entities) for c in range(e[0], e[1])}
    tags, before = [], None
    for start, end in words:
        now = next((owner[c] for c in range(start, end) if c in owner), None)
        if now is None:
            tags.append("O")
        else:
            tags.append(("I-" if now == before else "B-") + entities[now][2])
        before = now
    return tags


@right("12.2")
def tags_by_search(words, entities):
    tags = np.full(len(words), "O", dtype=object)
    for start, end, kind in sorted(entities):
        inside = [n for n, (a, b) in enumerate(words) if min(b, end) > max(a, start)]
        tags[inside] = f"I-{kind}"
        tags[inside[0]] = f"B-{kind}"
    return tags.tolist()


def tagged(words, entities, inside, begin):
    tags = ["O"] * len(words)
    for start, end, kind in entities:
        count = 0
        for n, (a, b) in enumerate(words):
            if inside(a, b, start, end):
                before = tags[n - 1] if n else "O"
                tags[n] = (
                    "B-" if begin(count, a, start, before, kind) else "I-"
                ) + kind
                count += 1
    return tags


def overlaps(a, b, start, end):
    return a < end and start < b


def at_first(count, a, start, before, kind):
    return count == 0


@wrong("12.2", says="every word of the entity begins one")
def tags_all_b(words, entities):
    return tagged(words, entities, overlaps, lambda *_: True)


@wrong("12.2", says="no word begins the entity")
def tags_all_i(words, entities):
    return tagged(words, entities, overlaps, lambda *_: False)


@wrong("12.2", says="that is IOB1")
def tags_iob1(words, entities):
    begin = lambda count, a, start, before, kind: count == 0 and before[2:] == kind  # noqa: E731
    return tagged(words, entities, overlaps, begin)


@wrong("12.2", says="B- only after O")
def tags_b_after_o(words, entities):
    begin = lambda count, a, start, before, kind: count == 0 and before == "O"  # noqa: E731
    return tagged(words, entities, overlaps, begin)


@wrong("12.2", says="unless all of it lies in the entity")
def tags_whole_words_only(words, entities):
    inside = lambda a, b, start, end: start <= a and b <= end  # noqa: E731
    return tagged(words, entities, inside, at_first)


@wrong("12.2", says="only touches the entity")
def tags_touching(words, entities):
    inside = lambda a, b, start, end: a <= end and start <= b  # noqa: E731
    return tagged(words, entities, inside, at_first)


@wrong("12.2", says="unless its start lies in the entity")
def tags_start_inside(words, entities):
    inside = lambda a, b, start, end: start <= a < end  # noqa: E731
    return tagged(words, entities, inside, at_first)


@wrong("12.2", says="B- only if the word begins exactly where the entity does")
def tags_exact_start(words, entities):
    begin = lambda count, a, start, before, kind: a == start  # noqa: E731
    return tagged(words, entities, overlaps, begin)


@wrong("12.2", says="these are types")
def tags_types(words, entities):
    tags = tagged(words, entities, overlaps, at_first)
    return [tag.removeprefix("B-").removeprefix("I-") for tag in tags]


@wrong("12.2", says="only the first word got a tag")
def tags_first_word(words, entities):
    tags = ["O"] * len(words)
    for start, end, kind in entities:
        for n, (a, b) in enumerate(words):
            if a < end and start < b:
                tags[n] = f"B-{kind}"
                break
    return tags


@wrong("12.2", says="a tag for each word, also outside")
def tags_entities_only(words, entities):
    return [tag for tag in tagged(words, entities, overlaps, at_first) if tag != "O"]


@wrong("12.2", says="there is no return statement")
def tags_no_return(words, entities):
    tagged(words, entities, overlaps, at_first)


@wrong("12.2", says="the entities come in any order")
def tags_two_pointers(words, entities):
    tags, i, prefix = [], 0, "B-"
    for a, b in words:
        while i < len(entities) and entities[i][1] <= a:
            i, prefix = i + 1, "B-"
        if i < len(entities) and entities[i][0] < b:
            tags.append(prefix + entities[i][2])
            prefix = "I-"
        else:
            tags.append("O")
    return tags


@wrong("12.2", says="neither end of the word lies in it")
def tags_by_ends(words, entities):
    inside = lambda a, b, start, end: start <= a < end or start < b <= end  # noqa: E731
    return tagged(words, entities, inside, at_first)


@wrong("12.2", says="a space may lie between")
def tags_begin_at_or_before(words, entities):
    tags = ["O"] * len(words)
    for start, end, kind in entities:
        for n, (a, b) in enumerate(words):
            if a < end and start < b:
                tags[n] = ("B-" if a <= start else "I-") + kind
    return tags


# --- 12.3 spans_in -------------------------------------------------------------------


@right("12.3")
def spans_by_state(tags):
    spans, start, kind = [], None, ""
    for at, tag in enumerate([*tags, "O"]):
        prefix, own = tag[0], tag[2:]
        if start is not None and not (prefix == "I" and own == kind):
            spans.append((start, at, kind))
            start = None
        if prefix != "O" and start is None:
            start, kind = at, own
    return spans


@right("12.3")
def spans_by_pattern(tags):
    # Letter by letter: b begins, i goes on, o is outside; then a regular expression.
    code, before = "", "O"
    for tag in tags:
        goes_on = tag[0] == "I" and before != "O" and before[2:] == tag[2:]
        code += "o" if tag == "O" else "i" if goes_on else "b"
        before = tag
    found = re.finditer("bi*", code)
    return [[m.start(), m.end(), tags[m.start()].split("-", 1)[1]] for m in found]


@right("12.3")
def spans_by_groups(tags):
    number, before, marks = 0, "O", []
    for at, tag in enumerate(tags):
        if tag[0] == "B" or tag[2:] != before[2:]:
            number += 1
        marks.append((number if tag != "O" else -1, at, tag[2:]))
        before = tag
    spans = []
    for own, group in groupby(marks, key=lambda mark: mark[0]):
        if own != -1:
            found = list(group)
            spans.append((found[0][1], found[-1][1] + 1, found[0][2]))
    return spans


def walked(tags, strict=False, after_type=True, ignore_type=False, merge=False):
    spans, start, kind = [], None, ""
    for at, tag in enumerate([*tags, "O"]):
        prefix, _, own = tag.partition("-")
        goes_on = start is not None and (prefix == "I" or (merge and prefix == "B"))
        if goes_on and (own == kind or ignore_type):
            continue
        was = start
        if start is not None:
            spans.append((start, at, kind))
            start = None
        if prefix == "B" or (
            prefix == "I" and not strict and (after_type or was is None)
        ):
            start, kind = at, own
    return spans


@wrong("12.3", says="the entity at the end of the row is missing")
def spans_no_flush(tags):
    spans, start, kind = [], None, ""
    for at, tag in enumerate(tags):
        prefix, _, own = tag.partition("-")
        if start is not None and not (prefix == "I" and own == kind):
            spans.append((start, at, kind))
            start = None
        if prefix != "O" and start is None:
            start, kind = at, own
    return spans


@wrong("12.3", says="an illegal I- was passed over (the strict reading)")
def spans_strict(tags):
    return walked(tags, strict=True)


@wrong("12.3", says="an I- of another type was passed over")
def spans_type_passed_over(tags):
    return walked(tags, after_type=False)


@wrong("12.3", says="an I- of another type was taken to go on")
def spans_type_ignored(tags):
    return walked(tags, ignore_type=True)


@wrong("12.3", says="two entities of one type side by side became one")
def spans_merged(tags):
    return walked(tags, merge=True)


@wrong("12.3", says="the end is excluded")
def spans_end_included(tags):
    return [(a, b - 1, kind) for a, b, kind in walked(tags)]


@wrong("12.3", says="the ends are one too far")
def spans_end_too_far(tags):
    return [(a, b + 1, kind) for a, b, kind in walked(tags)]


@wrong("12.3", says="the type was cut at its hyphen")
def spans_hyphen(tags):
    return [(a, b, kind.split("-")[0]) for a, b, kind in walked(tags)]


@wrong("12.3", says="the order is (start, end, type)")
def spans_type_first(tags):
    return [(kind, a, b) for a, b, kind in walked(tags)]


@wrong("12.3", says="the spans come in another order")
def spans_by_type(tags):
    return sorted(walked(tags), key=lambda span: (span[2], span[0]))


@wrong("12.3", says="The spans are wrong")
def spans_single_words(tags):
    return [(at, at + 1, tag[2:]) for at, tag in enumerate(tags) if tag != "O"]


@wrong("12.3", says="there is no return statement")
def spans_no_return(tags):
    walked(tags)


@wrong("12.3", says="O closes the entity; the I- after it begins a new one")
def spans_across_o(tags):
    spans, open_kind = [], None
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        prefix, kind = tag.split("-", 1)
        if prefix == "I" and kind == open_kind:
            spans[-1] = (spans[-1][0], at + 1, kind)
        else:
            spans.append((at, at + 1, kind))
        open_kind = kind
    return spans


@wrong("12.3", says="the type was cut at its hyphen")
def spans_last_hyphen(tags):
    return walked([t if t == "O" else f"{t[0]}-{t.rsplit('-', 1)[1]}" for t in tags])


# --- 12.4 entity_f1 ------------------------------------------------------------------


@right("12.4")
def f1_by_numbered_rows(true, found):
    a = {(n, *span) for n, row in enumerate(true) for span in row}
    b = {(n, *span) for n, row in enumerate(found) for span in row}
    p = len(a & b) / max(1, len(b))
    r = len(a & b) / max(1, len(a))
    return np.array([p, r, 2 * len(a & b) / max(1, len(a) + len(b))])


@right("12.4")
def f1_by_counts(true, found):
    tp = fp = fn = 0
    for a, b in zip(true, found, strict=True):
        for span in b:
            tp, fp = (tp + 1, fp) if span in a else (tp, fp + 1)
        fn += sum(span not in b for span in a)
    p = tp / (tp + fp) if tp else 0
    r = tp / (tp + fn) if tp else 0
    return p, r, tp / (tp + (fp + fn) / 2) if tp else 0


def f1_from(n_right, n_found, n_true):
    p = n_right / n_found if n_found else 0.0
    r = n_right / n_true if n_true else 0.0
    return p, r, 2 * p * r / (p + r) if p + r else 0.0


def sizes(true, found):
    return sum(map(len, found)), sum(map(len, true))


@wrong("12.4", says="precision and recall are in the other order")
def f1_swapped(true, found):
    p, r, f1 = f1_by_counts(true, found)
    return r, p, f1


@wrong("12.4", says="thrown together")
def f1_flat_sets(true, found):
    a = {span for row in true for span in row}
    b = {span for row in found for span in row}
    return f1_from(len(a & b), len(b), len(a))


@wrong("12.4", says="thrown together")
def f1_flat_lists(true, found):
    a = [span for row in true for span in row]
    b = [span for row in found for span in row]
    return f1_from(sum(span in a for span in b), len(b), len(a))


@wrong("12.4", says="the type was not compared")
def f1_no_type(true, found):
    n = sum(
        len({s[:2] for s in a} & {s[:2] for s in b})
        for a, b in zip(true, found, strict=True)
    )
    return f1_from(n, *sizes(true, found))


@wrong("12.4", says="an overlap was counted as right")
def f1_overlap(true, found):
    n = 0
    for a, b in zip(true, found, strict=True):
        for s in b:
            n += any(t[2] == s[2] and t[0] < s[1] and s[0] < t[1] for t in a)
    return f1_from(n, *sizes(true, found))


@wrong("12.4", says="the last word was not compared")
def f1_starts(true, found):
    n = 0
    for a, b in zip(true, found, strict=True):
        n += len({(s[0], s[2]) for s in a} & {(s[0], s[2]) for s in b})
    return f1_from(n, *sizes(true, found))


@wrong("12.4", says="words were counted")
def f1_of_words(true, found):
    def words(rows):
        return {
            (n, at, kind)
            for n, row in enumerate(rows)
            for start, end, kind in row
            for at in range(start, end)
        }

    a, b = words(true), words(found)
    return f1_from(len(a & b), len(b), len(a))


@wrong("12.4", says="the mean of the rows' scores")
def f1_mean_of_rows(true, found):
    scores = [f1_by_counts([a], [b]) for a, b in zip(true, found, strict=True)]
    return [sum(x) / len(scores) for x in zip(*scores, strict=True)] or [0.0] * 3


@wrong("12.4", says="this is the arithmetic one")
def f1_arithmetic(true, found):
    p, r, _ = f1_by_counts(true, found)
    return p, r, (p + r) / 2


@wrong("12.4", says="the 2 is missing")
def f1_without_2(true, found):
    p, r, f1 = f1_by_counts(true, found)
    return p, r, f1 / 2


@wrong("12.4", says="what would be 0/0 is 0")
def f1_divides_by_zero(true, found):
    n_right = sum(len({*a} & {*b}) for a, b in zip(true, found, strict=True))
    p = n_right / sum(map(len, found))
    r = n_right / sum(map(len, true))
    return p, r, 2 * p * r / (p + r)


@wrong("12.4", says="numbers from 0 to 1 are asked for")
def f1_percent(true, found):
    return [100 * x for x in f1_by_counts(true, found)]


@wrong("12.4", says="Three numbers must come back")
def f1_alone(true, found):
    return [f1_by_counts(true, found)[2]]


@wrong("12.4", says="the first word was not compared")
def f1_ends(true, found):
    n = 0
    for a, b in zip(true, found, strict=True):
        n += len({s[1:] for s in a} & {s[1:] for s in b})
    return f1_from(n, *sizes(true, found))


@wrong("12.4", says="the mean of the types' scores (macro)")
def f1_macro(true, found):
    def only(rows, kind):
        return [[s for s in row if s[2] == kind] for row in rows]

    kinds = {s[2] for row in [*true, *found] for s in row}
    scores = [f1_by_counts(only(true, k), only(found, k)) for k in kinds]
    return [sum(x) / len(scores) for x in zip(*scores, strict=True)] or [0.0] * 3


@wrong("12.4", says="spans were compared by position (zip)")
def f1_by_position(true, found):
    rows = zip(true, found, strict=True)
    n = sum(x == y for a, b in rows for x, y in zip(a, b, strict=False))
    return f1_from(n, *sizes(true, found))


@wrong("12.4", says="the scores are rounded to 2 decimals")
def f1_rounded(true, found):
    return [round(x, 2) for x in f1_by_counts(true, found)]


# --- 12.5 best_path ------------------------------------------------------------------


@right("12.5")
def path_brute_force(scores, first, allowed):
    best, found = -float("inf"), []
    for path in product(range(len(first)), repeat=len(scores)):
        if path and not first[path[0]]:
            continue
        if all(allowed[i, j] for i, j in pairwise(path)):
            total = sum(float(scores[t, k]) for t, k in enumerate(path))
            if total > best:
                best, found = total, list(path)
    return found


@right("12.5")
def path_from_the_back(scores, first, allowed):
    T, K = scores.shape

    @cache
    def best(t, j):
        here = float(scores[t, j])
        if t == T - 1:
            return here, (j,)
        ways = [best(t + 1, k) for k in range(K) if allowed[j, k]]
        total, path = max(ways, default=(-float("inf"), ()))
        return here + total, (j, *path)

    if not T:
        return []
    return list(max(best(0, j) for j in range(K) if first[j])[1])


@right("12.5")
def path_numpy(scores, first, allowed):
    s = scores.numpy().astype(float)
    step = np.where(allowed.numpy(), 0.0, -np.inf)
    paths, total = [()], np.zeros(1)
    for t, word in enumerate(s):
        if t == 0:
            total = np.where(first.numpy(), word, -np.inf)
            paths = [(k,) for k in range(len(word))]
            continue
        table = total[:, None] + step
        came = table.argmax(0)
        total = table.max(0) + word
        paths = [(*paths[i], j) for j, i in enumerate(came)]
    return torch.tensor(paths[int(total.argmax())], dtype=torch.long)


def forward(scores, first, allowed):
    best, steps = scores[0].masked_fill(~first, -torch.inf), []
    for word in scores[1:]:
        table = best[:, None].expand(allowed.shape).masked_fill(~allowed, -torch.inf)
        best, came = table.max(0)
        best = best + word
        steps.append(came)
    return best, steps


def back(best, steps):
    path = [int(best.argmax())]
    for came in reversed(steps):
        path.append(int(came[path[-1]]))
    return path[::-1]


@wrong("12.5", says="this is each word's own best tag")
def path_argmax(scores, first, allowed):
    return scores.argmax(1).tolist()


@wrong("12.5", says="word by word the best tag that may follow")
def path_greedy(scores, first, allowed):
    path, may = [], first
    for word in scores:
        path.append(int(word.masked_fill(~may, -torch.inf).argmax()))
        may = allowed[path[-1]]
    return path


@wrong("12.5", says="it was read the other way round")
def path_transposed(scores, first, allowed):
    if not len(scores):
        return []
    return back(*forward(scores, first, allowed.T))


@wrong("12.5", says="the first word may only have a tag that `first` allows")
def path_any_start(scores, first, allowed):
    if not len(scores):
        return []
    return back(*forward(scores, torch.ones_like(first), allowed))


@wrong("12.5", says="the path is the right one, turned round")
def path_reversed(scores, first, allowed):
    if not len(scores):
        return []
    return back(*forward(scores, first, allowed))[::-1]


@wrong("12.5", says="walk back from the last word instead")
def path_forward_only(scores, first, allowed):
    return [
        int(forward(scores[: t + 1], first, allowed)[0].argmax())
        for t in range(len(scores))
    ]


@wrong("12.5", says="the smallest sum; the largest is asked for")
def path_smallest(scores, first, allowed):
    return path_brute_force(-scores, first, allowed)


@wrong("12.5", says="the scores of the last word are not in the sum")
def path_last_forgotten(scores, first, allowed):
    return path_brute_force(
        torch.cat([scores[:-1], torch.zeros_like(scores[-1:])]), first, allowed
    )


@wrong("12.5", says="A row without words has an empty path")
def path_no_empty_row(scores, first, allowed):
    return back(*forward(scores, first, allowed))


@wrong("12.5", says="The path is illegal")
def path_mended(scores, first, allowed):
    # Each word's own best tag, and where that is illegal, tag 0.
    path = scores.argmax(1).tolist()
    for t, k in enumerate(path):
        if not (allowed[path[t - 1], k] if t else first[k]):
            path[t] = 0
    return path


@wrong("12.5", says="the walk back has one step less")
def path_short(scores, first, allowed):
    if not len(scores):
        return []
    return back(*forward(scores, first, allowed))[1:]


@wrong("12.5", says="changes its input")
def path_in_place(scores, first, allowed):
    if not len(scores):
        return []
    scores[0].masked_fill_(~first, -torch.inf)
    return back(*forward(scores, first, allowed))


def with_penalty(penalty, add):
    def path(scores, first, allowed):
        if not len(scores):
            return []
        step = (~allowed) * penalty
        best = scores[0].masked_fill(~first, penalty)
        steps = []
        for word in scores[1:]:
            table = best[:, None].expand(allowed.shape)
            table = table + step if add else table.masked_fill(~allowed, penalty)
            best, came = table.max(0)
            best = best + word
            steps.append(came)
        return back(best, steps)

    path.__name__ = f"path_penalty_{'added' if add else 'filled'}_{-penalty:g}"
    return path


for penalty in (-10.0, -100.0, -1e4):
    for add in (False, True):
        wrong("12.5", says="a number that large scores outweigh")(
            with_penalty(penalty, add)
        )


@wrong("12.5", says="only some paths were kept (a beam)")
def path_beam_of_two(scores, first, allowed):
    paths = [((), 0.0)]
    for word in scores:
        longer = [
            ((*path, k), total + float(word[k]))
            for path, total in paths
            for k in range(len(first))
            if (allowed[path[-1], k] if path else first[k])
        ]
        paths = sorted(longer, key=lambda pair: -pair[1])[:2]
    return list(paths[0][0])


@wrong("12.5", says="the maximum is over j")
def path_over_j(scores, first, allowed):
    if not len(scores):
        return []
    best, steps = scores[0].masked_fill(~first, -torch.inf), []
    for word in scores[1:]:
        table = best[:, None].expand(allowed.shape).masked_fill(~allowed, -torch.inf)
        best, came = table.max(dim=1)
        best = best + word
        steps.append(came)
    return back(best, steps)


@wrong("12.5", says="forbidden was made 0")
def path_times_allowed(scores, first, allowed):
    if not len(scores):
        return []
    best, steps = scores[0].masked_fill(~first, -torch.inf), []
    for word in scores[1:]:
        best, came = (best[:, None] * allowed).max(0)
        best = best + word
        steps.append(came)
    return back(best, steps)


@wrong("12.5", says="what may not begin was made 0")
def path_times_first(scores, first, allowed):
    if not len(scores):
        return []
    best, steps = scores[0] * first, []
    for word in scores[1:]:
        table = best[:, None].expand(allowed.shape).masked_fill(~allowed, -torch.inf)
        best, came = table.max(0)
        best = best + word
        steps.append(came)
    return back(best, steps)


@wrong("12.5", says="the remembered steps from the last to the first")
def path_steps_forwards(scores, first, allowed):
    if not len(scores):
        return []
    best, steps = forward(scores, first, allowed)
    return back(best, steps[::-1])


# --- 12.6 read_entities --------------------------------------------------------------


@right("12.6")
def read_by_words(text, offsets, word_of, tags):
    numbers = sorted({n for n in word_of if n is not None})
    starts, ends, own = {}, {}, {}
    for (a, b), n, tag in zip(offsets, word_of, tags, strict=True):
        if n is not None:
            starts.setdefault(n, a)
            own.setdefault(n, tag)
            ends[n] = b
    found = []
    for a, b, kind in spans_by_state([own[n] for n in numbers]):
        start, end = starts[numbers[a]], ends[numbers[b - 1]]
        found.append([text[start:end], kind, start, end])
    return found


@right("12.6")
def read_by_growing(text, offsets, word_of, tags):
    found, before_word, kind_open = [], None, ""
    for (a, b), n, tag in zip(offsets, word_of, tags, strict=True):
        if n is None:
            continue
        first = n != before_word
        before_word = n
        if first and not (tag[0] == "I" and tag[2:] == kind_open):
            kind_open = tag[2:]
            if kind_open:
                found.append([a, b, kind_open])
        elif kind_open:
            found[-1][1] = b
    return [(text[a:b], kind, a, b) for a, b, kind in found]


def token_spans(text, offsets, tags):
    found = []
    for a, b, kind in spans_by_state(tags):
        start, end = offsets[a][0], offsets[b - 1][1]
        found.append((text[start:end], kind, start, end))
    return found


def words_only(offsets, word_of, tags):
    rows = zip(offsets, word_of, tags, strict=True)
    kept = [(o, t) for o, n, t in rows if n is not None]
    return [o for o, _ in kept], [t for _, t in kept]


@wrong("12.6", says="ends with its last word's first piece")
def read_first_pieces(text, offsets, word_of, tags):
    seen, kept = set(), []
    for at, n in enumerate(word_of):
        if n is not None and n not in seen:
            seen.add(n)
            kept.append(at)
    return token_spans(text, [offsets[i] for i in kept], [tags[i] for i in kept])


@wrong("12.6", says="the tags of later pieces were read")
def read_every_piece(text, offsets, word_of, tags):
    return token_spans(text, *words_only(offsets, word_of, tags))


@wrong("12.6", says="the string is lower-case")
def read_lower(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(name.lower(), *rest) for name, *rest in found]


@wrong("12.6", says="joined with one space")
def read_joined(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(" ".join(name.split()), *rest) for name, *rest in found]


@wrong("12.6", says="the end is excluded")
def read_end_included(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(name, kind, a, b - 1) for name, kind, a, b in found]


@wrong("12.6", says="an illegal I- was passed over")
def read_strict(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    starts = {
        offsets[at][0]
        for at, tag in enumerate(tags)
        if word_of[at] is not None and tag[0] == "B"
    }
    return [entity for entity in found if entity[2] in starts]


@wrong("12.6", says="the order is (string, type, start, end)")
def read_other_order(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(name, a, b, kind) for name, kind, a, b in found]


@wrong("12.6", says="the entity at the end of the text is missing")
def read_no_flush(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    last = max((b for _, b in offsets), default=0)
    return [entity for entity in found if entity[3] != last]


@wrong("12.6", says="start and end are right")
def read_pieces_joined(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    made = []
    for _, kind, start, end in found:
        inside = [text[a:b] for a, b in offsets if start <= a and b <= end and b]
        made.append((" ".join(inside), kind, start, end))
    return made


@wrong("12.6", says="goes on was cut in two")
def read_word_by_word(text, offsets, word_of, tags):
    found, before = [], None
    for (a, b), n, tag in zip(offsets, word_of, tags, strict=True):
        if n is None:
            continue
        if n == before and found and found[-1][3] == a:
            _, kind, start, _ = found.pop()
            found.append((text[start:b], kind, start, b))
        elif n != before and tag != "O":
            kind = tag[2:]
            found.append((text[a:b], kind, a, b))
        before = n
    return found


@wrong("12.6", says="there is no return statement")
def read_no_return(text, offsets, word_of, tags):
    read_by_words(text, offsets, word_of, tags)


@wrong("12.6", says="O closes the entity; the I- after it begins a new one")
def read_across_o(text, offsets, word_of, tags):
    found, before_word, inside, open_kind = [], None, False, ""
    for (a, b), n, tag in zip(offsets, word_of, tags, strict=True):
        if n is None:
            continue
        if n == before_word:
            if inside:
                found[-1][1] = b
            continue
        before_word, inside = n, tag != "O"
        if not inside:
            continue
        if tag[0] == "I" and tag[2:] == open_kind:
            found[-1][1] = b
        else:
            found.append([a, b, tag[2:]])
        open_kind = tag[2:]
    return [(text[a:b], kind, a, b) for a, b, kind in found]


@wrong("12.6", says="the place was searched for in the text")
def read_by_find(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [
        (name, kind, text.find(name), text.find(name) + len(name))
        for name, kind, *_ in found
    ]


@wrong("12.6", says="the type was cut at its hyphen")
def read_first_part(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(name, kind.split("-")[0], a, b) for name, kind, a, b in found]


@wrong("12.6", says="the type was cut at its hyphen")
def read_last_part(text, offsets, word_of, tags):
    found = read_by_words(text, offsets, word_of, tags)
    return [(name, kind.split("-")[-1], a, b) for name, kind, a, b in found]
