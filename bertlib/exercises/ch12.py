"""The checks of chapter 12: words and pieces, tags, spans, scores, and legal paths."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from bertlib.exercises.checking import Wrong, call, exercise, expect, show


def _plain(value: Any) -> Any:
    """Tensors, arrays and tuples as lists and numbers; everything else as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _named(got: Any, mistakes: dict[str, Any]) -> str:
    """The name of the mistake that gives exactly `got`."""
    return next((name for name, wrong in mistakes.items() if got == _plain(wrong)), "")


def _expect_list(got: Any, what: str, given: str) -> list[Any]:
    """`got` as a plain list, or what it is instead."""
    expect(
        got is not None,
        f"{what} must come back, and nothing did.",
        given=given,
        likely="there is no return statement",
    )
    plain = _plain(got)
    if not isinstance(plain, list):
        raise Wrong(
            f"{what} must come back, not {type(got).__name__}.",
            given=given,
            likely="often one of several things, a generator, or a dict",
        )
    return plain


# --- 12.1 align -----------------------------------------------------------------------

_CLS, _SEP, _UNK, _NONE = 1, 2, 3, -100
_CUTS = {
    "Marta": [10],
    "Venn": [11, 12],
    "Brenn": [13, 14, 15],
    "left": [16],
    "\u200b": [],
}


def _aligned(
    words: Sequence[str], labels: Sequence[int], rule: Callable[[int, int, int], int]
) -> tuple[list[int], list[int]]:
    """Ids, and for piece k of n of a word with this label what `rule` says."""
    ids, out = [_CLS], [_NONE]
    for word, label in zip(words, labels, strict=True):
        own = _CUTS[word] or [_UNK]
        ids += own
        out += [rule(label, k, len(own)) for k in range(len(own))]
    return [*ids, _SEP], [*out, _NONE]


def _defaults(ids: list[Any]) -> str:
    """The mistake of ids that are always 101, 102 and 100."""
    if any(i in (101, 102, 100) for i in ids):
        return "101, 102 and 100 are only defaults; use cls, sep and unk"
    return ""


@exercise("12.1")
def check_align(align: Any) -> None:
    """A label at each word's first piece, and nowhere else."""
    rows: list[tuple[list[str], list[int]]] = [
        (["left", "Brenn"], [0, 3]),
        (["Marta", "Venn", "left", "Brenn"], [1, 2, 0, 3]),
        (["Venn", "Venn"], [4, 5]),
        (["left", "\u200b", "Venn"], [5, 6, 7]),
        ([], []),
        (["Brenn"], [0]),
    ]
    for words, labels in rows:
        given = f"words {words}, labels {labels}, pieces {[_CUTS[w] for w in words]}"
        words_before, labels_before = list(words), list(labels)
        cuts = {word: list(own) for word, own in _CUTS.items()}
        got = align(words, labels, cuts.__getitem__, cls=_CLS, sep=_SEP, unk=_UNK)
        plain = _expect_list(got, "Two lists", given)
        expect(
            len(plain) == 2 and all(isinstance(part, list) for part in plain),
            "Two lists must come back: ids and labels.",
            given=given,
            yours=show(plain),
            likely="return ids, labels",
        )
        expect(
            words == words_before and labels == labels_before,
            "Your function changes the lists that it was given.",
            given=given,
            likely="append, insert or pop on the input; build new lists",
        )
        expect(
            cuts == _CUTS,
            "Your function changes the list of pieces that cut returned.",
            given=given,
            likely="own.append or own += ...; the tokenizer may keep that list",
        )
        ids, out = plain
        right_ids, right = _aligned(words, labels, lambda y, k, n: _NONE if k else y)
        bare = [i for word in words for i in _CUTS[word]]
        if ids != right_ids:
            raise Wrong(
                "The ids are wrong.",
                given=given,
                yours=show(ids),
                expected=show(right_ids),
                likely=_named(
                    ids,
                    {
                        "a word without a piece has vanished, and its tag with it; it "
                        "gets the piece unk": [_CLS, *bare, _SEP],
                        "[CLS] and [SEP] are missing": right_ids[1:-1],
                        "[SEP] is missing at the end": right_ids[:-1],
                        "[CLS] is missing at the start": right_ids[1:],
                        "only the first piece of each word is left; the model reads "
                        "all of them": [
                            _CLS,
                            *((_CUTS[word] or [_UNK])[0] for word in words),
                            _SEP,
                        ],
                    },
                )
                or _defaults(ids),
            )
        expect(
            len(out) == len(ids),
            f"There are {len(ids)} ids and {len(out)} labels.",
            given=given,
            yours=show(out),
            expected=show(right),
            likely=_named(
                out,
                {
                    "one label for each word; it takes one for each piece": labels,
                    "[CLS] and [SEP] have no label; theirs is -100": right[1:-1],
                },
            ),
        )
        size = len(ids)
        slid = [_NONE, *labels, *[_NONE] * size][:size]
        slid[-1] = _NONE
        alike = {
            which: dict(zip(words[::step], labels[::step], strict=True))
            for which, step in (("last", 1), ("first", -1))
        }
        mistakes = {
            **{
                f"words that are spelled alike share the label of the {which}; each "
                "place has its own": _aligned(
                    words, [own[w] for w in words], lambda y, k, n: _NONE if k else y
                )[1]
                for which, own in alike.items()
            },
            "every piece bears its word's label; only the first does": _aligned(
                words, labels, lambda y, k, n: y
            )[1],
            "the label stands at the last piece; it belongs to the first": _aligned(
                words, labels, lambda y, k, n: y if k == n - 1 else _NONE
            )[1],
            "the later pieces are labelled 0, which is a label too; -100 means none": (
                _aligned(words, labels, lambda y, k, n: 0 if k else y)[1]
            ),
            "[CLS] and [SEP] are labelled 0, which is a label too; -100 means none": [
                0,
                *right[1:-1],
                0,
            ],
            "unk is that word's first piece and bears its label": [
                _NONE if i == _UNK else y for i, y in zip(ids, right, strict=True)
            ],
            "the labels are one place too early: [CLS] stands before the first word": [
                *right[1:],
                _NONE,
            ],
            "the labels are laid over the pieces one by one; each belongs to a word's "
            "first piece": slid,
        }
        if out != right:
            raise Wrong(
                "The labels are wrong.",
                given=given,
                yours=show(out),
                expected=show(right),
                likely=_named(out, mistakes)
                or "label n at the first piece of word n, -100 at every other piece",
            )
    got = _expect_list(
        align(["Venn", "\u200b"], [4, 5], _CUTS.__getitem__),
        "Two lists",
        "the defaults",
    )
    own = [101, *_CUTS["Venn"], 100, 102]
    expect(
        got[0] == own,
        "With the defaults of cls, sep and unk the ids are wrong.",
        given=f"align({['Venn', chr(0x200B)]}, [4, 5], cut) and no more arguments",
        yours=show(got[0]),
        expected=show(own),
        likely="the defaults were changed; BERT's are 101, 102 and 100",
    )


# --- 12.2 tags_for --------------------------------------------------------------------

Place = tuple[int, int]
Marked = tuple[int, int, str]


def _tags(
    words: Sequence[Place],
    entities: Sequence[Marked],
    inside: Callable[[Place, Marked], bool],
    begin: Callable[[int, Place, Marked, str], bool],
) -> list[str]:
    """Tags where `inside` decides what belongs to an entity, and `begin`, from how many
    words it has so far, the word, the entity and the tag before, what is B-."""
    tags = ["O"] * len(words)
    for entity in entities:
        count = 0
        for n, word in enumerate(words):
            if inside(word, entity):
                before = tags[n - 1] if n else "O"
                first = begin(count, word, entity, before)
                tags[n] = ("B-" if first else "I-") + entity[2]
                count += 1
    return tags


def _overlap(word: Place, entity: Marked) -> bool:
    return word[0] < entity[1] and entity[0] < word[1]


def _within(word: Place, entity: Marked) -> bool:
    return entity[0] <= word[0] and word[1] <= entity[1]


def _touch(word: Place, entity: Marked) -> bool:
    return word[0] <= entity[1] and entity[0] <= word[1]


def _starts_in(word: Place, entity: Marked) -> bool:
    return entity[0] <= word[0] < entity[1]


def _end_in(word: Place, entity: Marked) -> bool:
    return _starts_in(word, entity) or entity[0] < word[1] <= entity[1]


@exercise("12.2")
def check_tags_for(tags_for: Any) -> None:
    """From characters to BIO tags."""
    text = "Marta Venn's boat left Brenn Oudekerk."
    words = [(0, 5), (6, 10), (10, 11), (11, 12), (13, 17), (18, 22)]
    words += [(23, 28), (29, 37), (37, 38)]
    cases: list[tuple[list[Place], list[Marked], str]] = [
        (words, [(23, 28, "LOC"), (29, 37, "LOC")], "two entities side by side"),
        (words, [(0, 10, "PER")], "one entity of two words"),
        (words, [(29, 37, "LOC")], "a word that touches the next"),
        (words, [(24, 33, "LOC")], "a part of the first word, a part of the last"),
        (words, [(5, 10, "PER")], "an entity that begins with a space"),
        ([(0, 12), (13, 17)], [(6, 10, "PER")], "a part in the middle of one word"),
        (words, [(13, 37, "creative-work")], "a type with a hyphen"),
        (words, [(0, 5, "PER"), (6, 10, "ORG")], "two types side by side"),
        (words, [], "no entity"),
        ([], [], "no word"),
        (
            [(0, 2), (2, 4), (4, 6)],
            [(0, 2, "A"), (2, 4, "A"), (4, 6, "A")],
            "three that touch",
        ),
        (words, [(29, 37, "LOC"), (0, 10, "PER")], "entities in another order"),
    ]
    for places, entities, what in cases:
        given = f"{what}: words {places}, entities {entities}"
        if places == words:
            shown = [text[a:b] for a, b in words]
            given = f"{what}: words {shown} at {places}, entities {entities}"
        got = _expect_list(tags_for(list(places), list(entities)), "A list", given)
        right = _tags(places, entities, _overlap, lambda n, *_: n == 0)
        expect(
            len(got) == len(places),
            f"There are {len(places)} words and {len(got)} tags.",
            given=given,
            yours=show(got),
            expected=show(right),
            likely="a tag for each word, also outside of all entities: begin with "
            '["O"] * len(words)',
        )
        mistakes = {
            "every word of the entity begins one; the second goes on, with I-": _tags(
                places, entities, _overlap, lambda *_: True
            ),
            "B- only if the word begins with the entity or before it; a space may lie "
            "between": _tags(
                places, entities, _overlap, lambda n, w, e, _: w[0] <= e[0]
            ),
            "B- only if the word begins exactly where the entity does; it may begin "
            "before": _tags(
                places, entities, _overlap, lambda n, w, e, _: w[0] == e[0]
            ),
            "no word begins the entity; its first tag is B-": _tags(
                places, entities, _overlap, lambda *_: False
            ),
            "B- only where it is needed to part neighbours (that is IOB1); here every "
            "entity begins with B-": _tags(
                places,
                entities,
                _overlap,
                lambda n, w, e, before: n == 0 and before[2:] == e[2],
            ),
            "B- only after O; a neighbour's end is no reason to go on with I-": _tags(
                places,
                entities,
                _overlap,
                lambda n, w, e, before: n == 0 and before == "O",
            ),
            "an entity in the middle of a word was missed: neither end of the word "
            "lies in it": _tags(places, entities, _end_in, lambda n, *_: n == 0),
            "a word is left out unless all of it lies in the entity; a part is "
            "enough": _tags(places, entities, _within, lambda n, *_: n == 0),
            "a word that only touches the entity was taken for a part of it: the end "
            "is excluded": _tags(places, entities, _touch, lambda n, *_: n == 0),
            "a word is left out unless its start lies in the entity; it may begin "
            "before": _tags(places, entities, _starts_in, lambda n, *_: n == 0),
            "these are types; the tags are B-TYPE and I-TYPE": [
                tag if tag == "O" else tag[2:] for tag in right
            ],
            "the type was cut at its hyphen": [
                "-".join(tag.split("-")[:2]) for tag in right
            ],
            "only the first word got a tag; the entity goes on with I-": [
                "O" if tag.startswith("I-") else tag for tag in right
            ],
        }
        if got != right:
            unsorted = entities != sorted(entities)
            raise Wrong(
                "The tags are wrong.",
                given=given,
                yours=show(got),
                expected=show(right),
                likely=_named(got, mistakes)
                or ("the entities come in any order" if unsorted else ""),
            )


# --- 12.3 spans_in --------------------------------------------------------------------


def _spans(
    tags: Sequence[str],
    *,
    merge_neighbours: bool = False,
    ignore_type: bool = False,
    strict: bool = False,
    after_type: bool = True,
    keep_last: bool = True,
    ends: int = 0,
) -> list[list[Any]]:
    """The spans of a row, by a walk that keeps the open one; options are mistakes."""
    spans: list[list[Any]] = []
    opened: list[Any] | None = None
    for at, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        goes_on = opened is not None and (prefix == "I" or merge_neighbours)
        goes_on = goes_on and tag != "O" and (ignore_type or opened[2] == kind)  # type: ignore[index]
        if goes_on:
            continue
        was = opened
        if opened:
            spans.append([opened[0], at + ends, opened[2]])
            opened = None
        if prefix == "B" or (
            prefix == "I" and not strict and (after_type or was is None)
        ):
            opened = [at, at, kind]
    if opened and keep_last:
        spans.append([opened[0], len(tags) + ends, opened[2]])
    return spans


def _across_o(tags: Sequence[str]) -> list[list[Any]]:
    """The spans of a walk that forgets to close an entity at O: the mistake."""
    spans: list[list[Any]] = []
    for at, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and spans and spans[-1][2] == kind:
            spans[-1][1] = at + 1
        elif tag != "O":
            spans.append([at, at + 1, kind])
    return spans


_CLOSES = "O closes the entity; the I- after it begins a new one"
_HYPHEN = (
    "the type was cut at its hyphen; only the first hyphen of a tag parts it from B or "
    "I"
)
_RULE = (
    "an entity begins at B-, and at an I- after O or after another type; it ends "
    "before the next beginning, before O, or with the row"
)


@exercise("12.3")
def check_spans_in(spans_in: Any) -> None:
    """Entities from tags, by conlleval's rule."""
    rows = [
        "O B-PER I-PER O",
        "B-LOC O B-ORG I-ORG I-ORG O",
        "O B-PER I-PER",
        "B-LOC",
        "O B-LOC B-LOC I-LOC O",
        "O I-PER I-PER O",
        "I-PER O O",
        "B-PER I-LOC I-LOC O",
        "I-PER B-PER O",
        "B-PER O I-PER",
        "B-creative-work I-creative-work O",
        "B-A-x I-A-y O",
        "O O",
        "",
    ]
    dice = random.Random(0)
    tags = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    rows += [" ".join(dice.choices(tags, k=dice.randint(1, 9))) for _ in range(300)]
    for text in rows:
        row = text.split()
        given = f"tags {row}"
        got = _expect_list(spans_in(list(row)), "A list of spans", given)
        expect(
            all(isinstance(span, list) and len(span) == 3 for span in got),
            "Each span must be (start, end, type).",
            given=given,
            yours=show(got),
            likely="often the type is missing; a span is a tuple of three",
        )
        right = _spans(row)
        if got == right:
            continue
        mistakes = {
            "the entity at the end of the row is missing: nothing comes after it to "
            "close it": _spans(row, keep_last=False),
            "an illegal I- was passed over (the strict reading); by conlleval's rule "
            "it begins an entity": _spans(row, strict=True),
            "an I- of another type was passed over; it closes the entity before it and "
            "begins one": _spans(row, after_type=False),
            "an I- of another type was taken to go on with the entity": _spans(
                row, ignore_type=True
            ),
            "two entities of one type side by side became one; B- begins a new "
            "one": _spans(row, merge_neighbours=True),
            "the end is excluded: it is the number of the word after the last": _spans(
                row, ends=-1
            ),
            "the ends are one too far": _spans(row, ends=1),
            _CLOSES: _across_o(row),
            "each tagged word became an entity; an I- of the same type goes on with "
            "the one before it": [
                [at, at + 1, tag[2:]] for at, tag in enumerate(row) if tag != "O"
            ],
            "the order is (start, end, type)": [[k, a, b] for a, b, k in right],
            "the spans come in another order than in the row": sorted(
                right, key=lambda span: (span[2], span[0])
            ),
        }
        halves = [[[a, b, k.split("-")[i]] for a, b, k in right] for i in (0, -1)]
        raise Wrong(
            "The spans are wrong.",
            given=given,
            yours=show(got),
            expected=show(right),
            likely=_named(got, mistakes) or (_HYPHEN if got in halves else _RULE),
        )


# --- 12.4 entity_f1 -------------------------------------------------------------------

Rows = Sequence[Sequence[Marked]]


def _from_counts(right: float, found: float, true: float) -> list[float]:
    p, r = right / found if found else 0.0, right / true if true else 0.0
    return [p, r, 2 * p * r / (p + r) if p + r else 0.0]


def _counted(true: Rows, found: Rows, same: Callable[[Marked, Marked], bool]) -> float:
    """How many found spans equal a true one of their row, by comparing all pairs."""
    pairs = zip(true, found, strict=True)
    return sum(any(same(x, y) for x in a) for a, b in pairs for y in b)


def _words_of(span: Marked) -> list[tuple[int, str]]:
    return [(at, span[2]) for at in range(span[0], span[1])]


def _flat(true: Rows, found: Rows) -> list[list[Marked]]:
    """The right spans, those found and the true ones, of all rows."""
    right = [s for a, b in zip(true, found, strict=True) for s in b if s in a]
    return [right, [s for row in found for s in row], [s for row in true for s in row]]


def _mean(scores: Sequence[Sequence[float]]) -> list[float]:
    return [sum(x) / len(scores) for x in zip(*scores, strict=True)]


def _f1_mistakes(true: Rows, found: Rows) -> dict[str, list[float]]:
    n_true, n_found = sum(map(len, true)), sum(map(len, found))
    right = _counted(true, found, lambda x, y: x == y)
    p, r, f1 = _from_counts(right, n_found, n_true)
    flat = [{s for row in rows for s in row} for rows in (true, found)]
    each = [
        _from_counts(len({*a} & {*b}), len(b), len(a))
        for a, b in zip(true, found, strict=True)
    ]
    by_type = [
        _from_counts(*(sum(s[2] == kind for s in spans) for spans in counted))
        for kind in sorted({s[2] for row in [*true, *found] for s in row})
        for counted in [_flat(true, found)]
    ]
    by_word = [
        {(n, *w) for n, row in enumerate(rows) for s in row for w in _words_of(s)}
        for rows in (true, found)
    ]
    return {
        "precision and recall are in the other order": [r, p, f1],
        "rows were thrown together; a span must stand in its own row": _from_counts(
            len(flat[0] & flat[1]), len(flat[1]), len(flat[0])
        ),
        "spans of all rows were thrown together: a span is right only if its own row "
        "holds it": _from_counts(
            sum(s in flat[0] for row in found for s in row), n_found, n_true
        ),
        "the type was not compared": _from_counts(
            _counted(true, found, lambda x, y: x[:2] == y[:2]), n_found, n_true
        ),
        "the last word was not compared": _from_counts(
            _counted(true, found, lambda x, y: (x[0], x[2]) == (y[0], y[2])),
            n_found,
            n_true,
        ),
        "the first word was not compared": _from_counts(
            _counted(true, found, lambda x, y: x[1:] == y[1:]), n_found, n_true
        ),
        "an overlap was counted as right; both boundaries must be": _from_counts(
            _counted(
                true,
                found,
                lambda x, y: x[2] == y[2] and x[0] < y[1] and y[0] < x[1],
            ),
            n_found,
            n_true,
        ),
        "words were counted; count whole entities": _from_counts(
            len(by_word[0] & by_word[1]), len(by_word[1]), len(by_word[0])
        ),
        "the mean of the rows' scores; count over all rows first, and divide once": (
            _mean(each)
        ),
        "the mean of the types' scores (macro); here every entity weighs the same": (
            _mean(by_type)
        ),
        "spans were compared by position (zip); one that is missing moves all that "
        "follow": _from_counts(
            sum(
                x == y
                for a, b in zip(true, found, strict=True)
                for x, y in zip(a, b, strict=False)
            ),
            n_found,
            n_true,
        ),
        "F1 is the harmonic mean, 2 P R / (P + R); this is the arithmetic one": [
            p,
            r,
            (p + r) / 2,
        ],
        "the 2 is missing in 2 P R / (P + R)": [p, r, f1 / 2],
        "what would be 0/0 is 0 here": [p or 1.0, r or 1.0, f1 or 1.0],
        "percent; numbers from 0 to 1 are asked for": [100 * p, 100 * r, 100 * f1],
        "these are counts; divide them": [right, n_found, n_true],
        **{
            f"the scores are rounded to {n} decimals; return them as they are": [
                round(x, n) for x in (p, r, f1)
            ]
            for n in range(6)
        },
    }


@exercise("12.4")
def check_entity_f1(entity_f1: Any) -> None:
    """Counts over all rows, each entity alike."""
    A: Marked = (0, 2, "PER")
    B: Marked = (4, 8, "ORG")
    C: Marked = (9, 10, "LOC")
    cases: list[tuple[Rows, Rows]] = [
        ([[B, C]], [[(5, 7, "ORG"), C]]),
        ([[A, B, C]], [[A, (4, 5, "LOC"), (5, 8, "ORG"), C]]),
        ([[A, B], []], [[], [A, B]]),
        ([[A], [A], [B]], [[A], [], [B]]),
        ([[A, C]], [[(0, 2, "LOC"), C]]),
        ([[B]], [[(5, 8, "ORG")]]),
        ([[B, C]], [[(4, 7, "ORG"), C]]),
        ([[A]], [[]]),
        ([[]], [[A]]),
        ([[]], [[]]),
        ([], []),
    ]
    dice = random.Random(1)
    for _ in range(200):
        rows = []
        for _ in range(dice.randint(1, 4)):
            pool = [(a, a + b, k) for a in (0, 3, 6) for b in (1, 2) for k in "XY"]
            row = {s[0]: s for s in dice.sample(pool, dice.randint(0, 3))}
            other = {s[0]: s for s in dice.sample(pool, dice.randint(0, 3))}
            kept = {**other, **(row if dice.random() < 0.5 else {})}
            rows.append((list(row.values()), list(kept.values())))
        cases.append(([a for a, _ in rows], [b for _, b in rows]))
    for true, found in cases:
        given = f"true {true}, found {found}"
        try:
            got = entity_f1([list(a) for a in true], [list(b) for b in found])
        except ZeroDivisionError:
            raise Wrong(
                "A division by zero.",
                given=given,
                likely="nothing was found, or nothing is there; what would be 0/0 is 0",
            ) from None
        plain = _expect_list(got, "Three numbers", given)
        expect(
            len(plain) == 3 and all(isinstance(x, int | float) for x in plain),
            "Three numbers must come back: precision, recall, F1.",
            given=given,
            yours=show(plain),
            likely="return precision, recall, f1, all three over all rows",
        )
        n_true, n_found = sum(map(len, true)), sum(map(len, found))
        right = _from_counts(
            _counted(true, found, lambda x, y: x == y), n_found, n_true
        )
        if _near(plain, right):
            continue
        named = (
            name for name, x in _f1_mistakes(true, found).items() if _near(plain, x)
        )
        raise Wrong(
            "The scores are wrong.",
            given=given,
            yours=show([float(f"{x:.4g}") for x in plain]),
            expected=show([float(f"{x:.4g}") for x in right]),
            likely=next(
                named,
                "three counts over all rows decide: spans found, spans that are true, "
                "and spans that are both",
            ),
        )


def _near(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(
        abs(x - y) < 1e-6 for x, y in zip(a, b, strict=True)
    )


# --- 12.5 best_path -------------------------------------------------------------------


def _all_paths(scores: Tensor, first: Tensor, allowed: Tensor) -> list[int]:
    """The best path, by trying out every one."""
    best, found = -float("inf"), [0] * len(scores)
    for path in product(range(len(first)), repeat=len(scores)):
        steps = pairwise(path)
        if path and (not first[path[0]] or not all(allowed[i, j] for i, j in steps)):
            continue
        total = sum(scores[t, k].item() for t, k in enumerate(path))
        if total > best:
            best, found = total, [*path]
    return found


def _greedy(scores: Tensor, first: Tensor, allowed: Tensor) -> list[int]:
    """Each word's best among those that the word before allows."""
    path: list[int] = []
    for word in scores:
        may = allowed[path[-1]] if path else first
        path.append(int(word.masked_fill(~may, -torch.inf).argmax()))
    return path


def _walk(
    scores: Tensor,
    first: Tensor,
    allowed: Tensor,
    *,
    dim: int = 0,
    zero_steps: bool = False,
    zero_start: bool = False,
    forwards: bool = False,
) -> list[int]:
    """The best path by Viterbi; options are mistakes."""
    if not len(scores):
        return []
    best = scores[0].masked_fill(~first, 0.0 if zero_start else -torch.inf)
    steps = []
    for word in scores[1:]:
        table = best[:, None].expand(allowed.shape)
        table = (
            table * allowed if zero_steps else table.masked_fill(~allowed, -torch.inf)
        )
        best, came = table.max(dim)
        best = best + word
        steps.append(came)
    path = [int(best.argmax())]
    for came in steps if forwards else steps[::-1]:
        path.append(int(came[path[-1]]))
    return path[::-1]


def _forward_only(scores: Tensor, first: Tensor, allowed: Tensor) -> list[int]:
    """The best tag of each word's own best partial path, without walking back."""
    best, path = torch.zeros(len(first)), []
    for t, word in enumerate(scores):
        if t:
            table = best[:, None].expand(allowed.shape)
            best = table.masked_fill(~allowed, -torch.inf).max(0).values + word
        else:
            best = word.masked_fill(~first, -torch.inf)
        path.append(int(best.argmax()))
    return path


_LARGE = "large scores"
_WORST = "only the worst first tag leads to the best second"


@exercise("12.5")
def check_best_path(best_path: Any) -> None:
    """The legal path with the largest sum, against all paths."""
    # O, B, I; nothing but B and I before I.
    bio = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]]).bool()
    start = torch.tensor([1, 1, 0]).bool()
    cases: list[tuple[str, Tensor, Tensor, Tensor]] = [
        (
            "each word's own best tags are legal",
            torch.tensor([[0.0, 3.0, 1.0], [0.0, 1.0, 4.0], [0.0, 1.0, 2.0]]),
            start,
            bio,
        ),
        (
            "only negative scores",
            torch.tensor([[-3.0, -1.0, -2.0], [-4.0, -9.0, -1.0]]),
            start,
            bio,
        ),
        (
            "a table that is not symmetric: after 0 only 1, after 1 only 2, after 2 "
            "only 0",
            torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 2.25], [5.0, 0.0, 1.0]]),
            torch.ones(3).bool(),
            torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]]).bool(),
        ),
        (
            "the last word pulls the second",
            torch.tensor([[0.0, 1.0, 3.0], [2.0, 1.5, 0.0], [0.0, 0.5, 2.0]]),
            start,
            bio,
        ),
        (
            "one word, whose best tag may not begin",
            torch.tensor([[1.0, 0.0, 5.0]]),
            start,
            bio,
        ),
        (
            "the second word pulls the first",
            torch.tensor([[2.0, 1.5, 0.0], [0.0, 0.5, 2.0], [3.0, 0.0, 0.5]]),
            start,
            bio,
        ),
        (
            "the last word pulls the first",
            torch.tensor([[3.0, 1.5, 0.0], [1.5, 0.0, 1.0], [0.0, 0.0, 6.0]]),
            start,
            bio,
        ),
        (_LARGE, torch.tensor([[0.0, -3e5, 0.0], [1.0, 0.0, 2e5]]), start, bio),
        (
            _WORST,
            torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 9.0]]),
            torch.ones(4).bool(),
            torch.tensor([[1, 1, 1, 0]] * 3 + [[1, 1, 1, 1]]).bool(),
        ),
        ("no word", torch.zeros(0, 3), start, bio),
    ]
    dice = torch.Generator().manual_seed(5)
    for n in range(60):
        K, T = 2 + n % 3, 1 + n % 5
        table = torch.rand(K, K, generator=dice) < 0.6
        table[torch.arange(K), (torch.arange(K) + 1) % K] = True  # always a way on
        begin = torch.rand(K, generator=dice) < 0.6
        begin[n % K] = True
        scores = 4 * torch.randn(T, K, generator=dice)
        cases.append(("random numbers", scores, begin, table))
    for what, scores, begin, table in cases:
        given = (
            f"{what}: scores {show(scores)}; first {begin.int().tolist()}, allowed "
            f"{table.int().tolist()}"
        )
        try:
            got = call(best_path, scores, begin, table)
        except IndexError:
            if len(scores):
                raise
            raise Wrong(
                "A row without words has an empty path.",
                given=given,
                likely="return [] before you look at the first word",
            ) from None
        path = _expect_list(got, "A list of tags", given)
        # Whoever comes as far as these has made no other mistake.
        alone = {
            _LARGE: "forbidden is a number that large scores outweigh; use -torch.inf",
            _WORST: "only some paths were kept (a beam); keep the best to every tag",
        }
        _expect_path(path, scores, begin, table, given, alone.get(what, ""))


def _expect_path(
    path: list[Any],
    scores: Tensor,
    first: Tensor,
    allowed: Tensor,
    given: str,
    likely: str,
) -> None:
    K, right = len(first), _all_paths(scores, first, allowed)
    expect(
        len(path) == len(scores),
        f"There are {len(scores)} words and {len(path)} tags.",
        given=given,
        yours=show(path),
        expected=show(right),
        likely="the walk back has one step less than there are words: begin it with "
        "the best tag of the last word",
    )
    expect(
        all(isinstance(k, int) and 0 <= k < K for k in path),
        f"Each tag must be a whole number from 0 to {K - 1}.",
        given=given,
        yours=show(path),
        likely="int(x.argmax()) is a number of a tag",
    )
    if path == right:
        return
    free = torch.ones_like(first)
    mistakes = {
        "this is each word's own best tag; it does not look at what is "
        "allowed": scores.argmax(1).tolist() if len(scores) else [],
        "word by word the best tag that may follow the one before (greedy): a word can "
        "be worth giving up for a later one": _greedy(scores, first, allowed),
        "allowed[i, j] says that j may stand after i; it was read the other way "
        "round": _all_paths(scores, first, allowed.T),
        "the first word may only have a tag that `first` allows": _all_paths(
            scores, free, allowed
        ),
        "the path is the right one, turned round": right[::-1],
        "at each word the end of its own best path so far; walk back from the last "
        "word instead": _forward_only(scores, first, allowed),
        "the maximum is over j; for each j it is over the i it can come from "
        "(dim=0)": _walk(scores, first, allowed, dim=1),
        "forbidden was made 0, which is larger than a negative score; use "
        "-torch.inf": _walk(scores, first, allowed, zero_steps=True),
        "what may not begin was made 0, which is larger than a negative score; use "
        "-torch.inf": _walk(scores, first, allowed, zero_start=True),
        "what is forbidden was made 0, which is larger than a negative score; use "
        "-torch.inf": _walk(scores, first, allowed, zero_steps=True, zero_start=True),
        "the walk back must go through the remembered steps from the last to the "
        "first": _walk(scores, first, allowed, forwards=True),
        "the smallest sum; the largest is asked for": _all_paths(
            -scores, first, allowed
        ),
        "the scores of the last word are not in the sum": _all_paths(
            torch.cat([scores[:-1], 0 * scores[-1:]]), first, allowed
        ),
    }
    steps = pairwise(path)
    legal = bool(first[path[0]]) and all(bool(allowed[i, j]) for i, j in steps)
    raise Wrong(
        "There is a legal path with a larger sum." if legal else "The path is illegal.",
        given=given,
        yours=show(path),
        expected=show(right),
        likely=likely
        or _named(path, mistakes)
        or (
            "keep, for every tag, the best sum that ends there and where it came from"
            if legal
            else "a tag was put in without a look at allowed[tag before, tag] and "
            "allowed[tag, tag after]; often in place of a forbidden one"
        ),
    )


# --- 12.6 read_entities ---------------------------------------------------------------


class _Token:
    """A token for the check: its characters, its word, and the tag it is given."""

    def __init__(self, start: int, end: int, word: int | None, tag: str) -> None:
        self.start, self.end, self.word, self.tag = start, end, word, tag


def _tokens(text: str, pieces: str, tags: str, noise: str) -> list[_Token]:
    """Tokens from "Mar|ta Ve|nn": words at spaces, pieces at bars; later pieces and the
    special tokens get `noise`."""
    tokens, at = [_Token(0, 0, None, noise)], 0
    for n, (word, tag) in enumerate(zip(pieces.split(), tags.split(), strict=True)):
        for k, piece in enumerate(word.split("|")):
            at = text.index(piece, at)
            tokens.append(_Token(at, at + len(piece), n, noise if k else tag))
            at += len(piece)
    return [*tokens, _Token(0, 0, None, noise)]


def _read(
    text: str,
    tokens: Sequence[_Token],
    *,
    every_piece: bool = False,
    first_piece_end: bool = False,
    spans_of: Callable[[Sequence[str]], list[list[Any]]] = _spans,
) -> list[list[Any]]:
    """The entities, by way of words; options are mistakes."""
    words: list[list[Any]] = []
    last: int | None = None
    for token in tokens:
        if token.word is None:
            continue
        if token.word != last or every_piece:
            words.append([token.start, token.end, token.tag])
        elif not first_piece_end:
            words[-1][1] = token.end
        last = token.word
    spans = spans_of([tag for _, _, tag in words])
    found = [[words[a][0], words[b - 1][1], kind] for a, b, kind in spans]
    return [[text[a:b], kind, a, b] for a, b, kind in found]


@exercise("12.6")
def check_read_entities(read_entities: Any) -> None:
    """Entities as characters of the text."""
    cases = [
        ("Marta left", "Marta left", "B-PER O", "O"),
        ("Vandermeulen left", "Van|der|meulen left", "B-PER O", "B-LOC"),
        ("Marta Venn left", "Mar|ta Ve|nn left", "B-PER I-PER O", "O"),
        ("to Brenn", "to Br|enn", "O B-LOC", "O"),
        ("Lund  Museum.", "Lund Museum .", "B-ORG I-ORG O", "O"),
        ("Café  Ülm", "Ca|fé Ül|m", "B-ORG I-ORG", "B-ORG"),
        ("Brenn Oude", "Br|enn Oude", "B-LOC B-LOC", "I-LOC"),
        ("see Lund now", "see Lu|nd now", "O I-LOC O", "B-PER"),
        ("Ann Lund", "Ann Lund", "B-PER I-LOC", "O"),
        ("not there", "no|t the|re", "O O", "B-PER"),
        ("Ann Lea", "Ann Lea", "B-PER I-PER", "I-PER"),
        ("Ann met Lea", "Ann met Lea", "B-PER O I-PER", "O"),
        ("Ann met Lea Lund", "Ann met Lea Lund", "B-PER O B-PER I-PER", "O"),
        ("Lund and Lund", "Lund and Lund", "O O B-LOC", "O"),
        ("Blue Ox", "Blue Ox", "B-creative-work I-creative-work", "O"),
    ]
    for text, pieces, tags, noise in cases:
        tokens = _tokens(text, pieces, tags, noise)
        offsets = [(t.start, t.end) for t in tokens]
        word_of = [t.word for t in tokens]
        own = [t.tag for t in tokens]
        given = f"text {text!r}, offsets {offsets}, word_of {word_of}, tags {own}"
        got = read_entities(text, list(offsets), list(word_of), list(own))
        plain = _expect_list(got, "A list of entities", given)
        expect(
            all(isinstance(found, list) and len(found) == 4 for found in plain),
            "Each entity must be (string, type, start, end).",
            given=given,
            yours=show(plain),
        )
        right = _read(text, tokens)
        if plain == right:
            continue
        raise Wrong(
            "The entities are wrong.",
            given=given,
            yours=show(plain),
            expected=show(right),
            likely=_named(plain, _read_mistakes(text, tokens, right))
            or _like(plain, right),
        )


def _read_mistakes(
    text: str, tokens: Sequence[_Token], right: list[list[Any]]
) -> dict[str, Any]:
    inner = [t for t in tokens if t.word is not None]
    spans = _spans([t.tag for t in tokens])
    strict_words = {t.word: t.tag for t in reversed(inner) if t.word is not None}
    order = sorted(strict_words)
    kept = {
        _start_of(inner, order[a])
        for a, _, _ in _spans([strict_words[n] for n in order], strict=True)
    }
    return {
        "the entity ends with its last word's first piece; the word goes on to its "
        "last piece": _read(text, tokens, first_piece_end=True),
        "the tags of later pieces were read; only a word's first piece means "
        "anything": _read(text, tokens, every_piece=True),
        "the tags of [CLS], [SEP] and later pieces were read; only a word's first "
        "piece means anything": [
            [text[tokens[a].start : tokens[b - 1].end], kind, tokens[a].start, end]
            for a, b, kind in spans
            for end in [tokens[b - 1].end]
        ],
        "an illegal I- was passed over; it begins an entity": [
            found for found in right if found[2] in kept
        ],
        _CLOSES: _read(text, tokens, spans_of=_across_o),
        "the place was searched for in the text, and the same word stands there "
        "earlier; take it from offsets": [
            [name, kind, text.find(name), text.find(name) + len(name)]
            for name, kind, *_ in right
        ],
        "the string is lower-case; cut it out of the text": [
            [name.lower(), *rest] for name, *rest in right
        ],
        "the words were joined with one space; cut text[start:end] out of the text": [
            [" ".join(name.split()), *rest] for name, *rest in right
        ],
        "the end is excluded; text[start:end] must be the string": [
            [name, kind, a, b - 1] for name, kind, a, b in right
        ],
        "the order is (string, type, start, end)": [
            [name, a, b, kind] for name, kind, a, b in right
        ],
        "the entity at the end of the text is missing: nothing comes after it to close "
        "it": right[:-1],
    }


def _start_of(tokens: Sequence[_Token], word: int) -> int:
    """Where a word starts in the text."""
    return next(t.start for t in tokens if t.word == word)


def _like(got: list[Any], right: list[list[Any]]) -> str:
    """A mistake that shows in the strings only."""
    if [x[1:] for x in got] == [x[1:] for x in right]:
        return "start and end are right; the string must be text[start:end]"
    halves = [[[s, k.split("-")[i], a, b] for s, k, a, b in right] for i in (0, -1)]
    if got in halves:
        return _HYPHEN
    if len(got) > len(right):
        return "an entity that goes on was cut in two, or one was invented"
    return ""
