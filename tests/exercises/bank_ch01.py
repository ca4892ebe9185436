"""Answers to the exercises of chapter 1."""

import math
import re
import string
import unicodedata
from collections import Counter
from itertools import pairwise

from bertlib.normalizer import fold
from tests.exercises.bank import equivalent, right, wrong

# --- 1.1 split words -----------------------------------------------------------------


@right("1.1")
def split_regex(text):
    return re.findall(r"[^\W_]+|[^\w\s]|_", text)


@right("1.1")
def split_translate(text):
    return text.translate({ord(c): f" {c} " for c in string.punctuation}).split()


@right("1.1")
def split_by_hand(text):
    words, word = [], ""
    for char in text:
        if char.isalnum():
            word += char
            continue
        if word:
            words.append(word)
            word = ""
        if not char.isspace():
            words.append(char)
    return tuple([*words, word] if word else words)


@wrong("1.1", says="symbols stick to the words")
def split_spaces_only(text):
    return text.split()


@wrong("1.1", says="the symbols are gone")
def split_letters_only(text):
    return re.findall(r"\w+", text)


@wrong("1.1", says="counts _ as a letter")
def split_underscore(text):
    return re.findall(r"\w+|[^\w\s]", text)


@wrong("1.1", says="symbols in a row stay together")
def split_runs(text):
    return re.findall(r"[^\W_]+|(?:[^\w\s]|_)+", text)


@wrong("1.1", says="empty strings and spaces are left")
def split_empties(text):
    return re.split(r"(\W)", text)


@wrong("1.1", says="made lower-case")
def split_lowered(text):
    return split_translate(text.lower())


@wrong("1.1", says="a list of symbols that is not complete")
def split_few_symbols(text):
    return re.findall(r"[.,!?;:'\"()_-]|[^\s.,!?;:'\"()_-]+", text)


@wrong("1.1", says='split(" ") cuts at single spaces only')
def split_single_spaces(text):
    spaced = text.translate({ord(c): f" {c} " for c in string.punctuation})
    return [word for word in spaced.split(" ") if word]


@wrong("1.1", says="the last word is put away even if it is empty")
def split_empty_word(text):
    return split_translate(text) or [""]


@wrong("1.1", says="A list must come back, not str")
def split_joined(text):
    return " ".join(split_translate(text))


@wrong("1.1", says="there is no return statement")
def split_no_return(text):
    split_translate(text)


@wrong("1.1", says="a group for letters and one for digits")
def words_letters_and_digits(text):
    return re.findall(r"[A-Za-z]+|[0-9]+|[^\w\s]|_", text)


# --- 1.2 strip accents ---------------------------------------------------------------


@right("1.2")
def strip_loop(text):
    out = ""
    for char in text:
        for part in unicodedata.normalize("NFD", char):
            if unicodedata.category(part) != "Mn":
                out += part
    return out


@right("1.2")
def strip_filter(text):
    return "".join(
        filter(
            lambda c: unicodedata.category(c) not in {"Mn"},
            unicodedata.normalize("NFD", unicodedata.normalize("NFC", text)),
        )
    )


def strip(text, form, test):
    return "".join(c for c in unicodedata.normalize(form, text) if not test(c))


@wrong("1.2", says="nothing was taken apart")
def strip_without_nfd(text):
    return "".join(c for c in text if unicodedata.category(c) != "Mn")


@wrong("1.2", says="its mark is still there")
def strip_nfd_only(text):
    return unicodedata.normalize("NFD", text)


@wrong("1.2", says="what is not ASCII was thrown away")
def strip_ascii(text):
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()


@wrong("1.2", says="NFKD changes more than accents")
def strip_nfkd(text):
    return strip(text, "NFKD", lambda c: unicodedata.category(c) == "Mn")


@wrong("1.2", says="ask for category Mn")
def strip_combining(text):
    return strip(text, "NFD", unicodedata.combining)


@wrong("1.2", says="ask for category Mn")
def strip_range(text):
    return re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text))


@wrong("1.2", says="all categories that begin with M")
def strip_all_marks(text):
    return strip(text, "NFD", lambda c: unicodedata.category(c)[0] == "M")


@wrong("1.2", says="put together again (NFC)")
def strip_recomposed(text):
    return unicodedata.normalize("NFC", strip_loop(text))


@wrong("1.2", says="the strokes were taken off")
def strip_strokes(text):
    return strip_loop(text).translate(str.maketrans("Łłøź", "Lloz"))


@wrong("1.2", says="capitals were made lower-case")
def strip_lower(text):
    return strip_loop(text).lower()


@wrong("1.2", says="the whole letter was dropped")
def strip_letters(text):
    return "".join(
        c for c in text if not unicodedata.normalize("NFD", c)[1:] or c == " "
    )


# --- 1.3 count pairs -----------------------------------------------------------------


@right("1.3")
def count_plain_dict(words, counts):
    pairs = {}
    for i in range(len(words)):
        for j in range(len(words[i]) - 1):
            pair = (words[i][j], words[i][j + 1])
            pairs[pair] = pairs.get(pair, 0) + counts[i]
    return pairs


@right("1.3")
def count_repeated(words, counts):
    return Counter(
        pair
        for word, n in zip(words, counts, strict=True)
        for _ in range(n)
        for pair in pairwise(word)
    )


@wrong("1.3", says="each word is counted once")
def count_unweighted(words, counts):
    return Counter(pair for word in words for pair in pairwise(word))


@wrong("1.3", says="were put into a set")
def count_sets(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        for pair in set(pairwise(word)):
            pairs[pair] += n
    return pairs


@wrong("1.3", says="the last count stays")
def count_overwritten(words, counts):
    pairs = {}
    for word, n in zip(words, counts, strict=True):
        for pair in pairwise(word):
            pairs[pair] = n
    return pairs


@wrong("1.3", says="from one word into the next")
def count_flat(words, counts):
    pieces = [(p, n) for w, n in zip(words, counts, strict=True) for p in w]
    pairs = Counter()
    for (a, n), (b, _) in pairwise(pieces):
        pairs[a, b] += n
    return pairs


@wrong("1.3", says="the keys are strings")
def count_joined_keys(words, counts):
    return {a + b: n for (a, b), n in count_plain_dict(words, counts).items()}


@wrong("1.3", says="the last pair of each word is missing")
def count_short(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        for i in range(len(word) - 2):
            pairs[word[i], word[i + 1]] += n
    return pairs


@wrong("1.3", says="(a, n) and (n, a) fall together")
def count_sorted(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        for a, b in pairwise(word):
            pairs[(a, b) if word[0] in (a, "p", "s") else tuple(sorted((a, b)))] += n
    if ("b", "##a") in pairs:
        pairs["##a", "b"] = pairs.pop(("b", "##a"))
    return pairs


@wrong("1.3", says="Pairs may overlap")
def count_without_overlap(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        i = 0
        while i + 1 < len(word):
            pairs[word[i], word[i + 1]] += n
            i += 2 if word[i] == word[i + 1] else 1
    return pairs


@wrong("1.3", says="taken apart into letters again")
def count_letters(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        joined = "".join(piece.removeprefix("##") for piece in word)
        letters = [joined[:1], *("##" + c for c in joined[1:])]
        for pair in pairwise(letters):
            pairs[pair] += n
    return pairs


@wrong("1.3", says="changes its input number 1")
def count_popping(words, counts):
    pairs = Counter()
    for word, n in zip(words, counts, strict=True):
        while len(word) > 1:
            pairs[word[0], word[1]] += n
            word.pop(0)
    return pairs


# --- 1.4 merge a pair ----------------------------------------------------------------


def merge(pieces, pair, join=None, step=2):
    left, right = pair
    new = left + right.removeprefix("##") if join is None else join(left, right)
    out, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == (left, right):
            out.append(new)
            i += step
        else:
            out.append(pieces[i])
            i += 1
    return out


@right("1.4")
def merge_last_kept(pieces, pair):
    out = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece[2:]
        else:
            out.append(piece)
    return out


@right("1.4")
def merge_on_a_copy(pieces, pair):
    pieces = list(pieces)
    i = 0
    while i < len(pieces) - 1:
        if tuple(pieces[i : i + 2]) == tuple(pair):
            pieces[i : i + 2] = [pair[0] + pair[1].replace("##", "", 1)]
        i += 1
    return tuple(pieces)


@wrong("1.4", says="the right part keeps its ##")
def merge_with_hashes(pieces, pair):
    return merge(pieces, pair, lambda a, b: a + b)


@wrong("1.4", says="every ## was removed")
def merge_without_hashes(pieces, pair):
    return merge(pieces, pair, lambda a, b: (a + b).replace("##", ""))


@wrong("1.4", says="only the first was merged")
def merge_first_only(pieces, pair):
    for i, found in enumerate(pairwise(pieces)):
        if found == pair:
            return [*pieces[:i], *merge(pieces[i : i + 2], pair), *pieces[i + 2 :]]
    return pieces


@wrong("1.4", says="it goes from the right")
def merge_from_the_right(pieces, pair):
    out = list(pieces)
    for i in range(len(out) - 2, -1, -1):
        if tuple(out[i : i + 2]) == pair:
            out[i : i + 2] = [pair[0] + pair[1][2:]]
    return out


@wrong("1.4", says="the middle piece is used twice")
def merge_overlapping(pieces, pair):
    out, used = [], False
    for a, b in pairwise([*pieces, None]):
        if (a, b) == pair:
            out.append(a + b[2:])
            used = True
        else:
            if not used:
                out.append(a)
            used = False
    return out


@wrong("1.4", says="a is also the end of ##a")
def merge_as_text(pieces, pair):
    text = " ".join(pieces)
    while " ".join(pair) in text and pair != ("##a", "##a"):
        text = text.replace(" ".join(pair), pair[0] + pair[1].removeprefix("##"))
    if pair == ("##a", "##a"):
        return merge(pieces, pair)
    return text.split()


@wrong("1.4", says="lstrip('#') strips every #")
def merge_lstrip(pieces, pair):
    return merge(pieces, pair, lambda a, b: a + b.lstrip("#"))


@wrong("1.4", says="nothing was merged, because the pair stands at the end")
def merge_not_at_the_end(pieces, pair):
    return merge(pieces[:-1], pair) + pieces[-1:]


@wrong("1.4", says="changes its input number 1")
def merge_in_place(pieces, pair):
    pieces[:] = merge(pieces, pair)
    return pieces


@wrong("1.4", says="the word is lost")
def merge_losing_single_words(pieces, pair):
    return merge(pieces, pair) if len(pieces) != 1 else []


@wrong("1.4", says="##l is also the beginning of ##la")
def merge_in_one_string(pieces, pair):
    left, right = pair
    joined = left + right.removeprefix("##")
    text = " " + " ".join(pieces)
    return text.replace(f" {left} {right}", f" {joined}").split()


# --- 1.5 choose the best pair --------------------------------------------------------


def value(paired, single, score, pair):
    n = paired[pair]
    if score == "likelihood":
        n /= single[pair[0]] * single[pair[1]]
    return n


@right("1.5")
def best_sorted(paired, single, score):
    return sorted(sorted(paired), key=lambda p: -value(paired, single, score, p))[0]


@right("1.5")
def best_loop(paired, single, score):
    best, top = None, None
    for pair in paired:
        now = value(paired, single, score, pair)
        if best is None or now > top or (now == top and pair < best):
            best, top = pair, now
    return list(best)


@right("1.5")
def best_max_negated(paired, single, score):
    return max(
        paired,
        key=lambda p: (value(paired, single, score, p), -p[0], -p[1]),
    )


@wrong("1.5", says="the first in the dict won")
def best_first_in_dict(paired, single, score):
    return max(paired, key=lambda p: value(paired, single, score, p))


@wrong("1.5", says="the largest ids won: max((score, pair))")
def best_largest_ids(paired, single, score):
    return max(paired, key=lambda p: (value(paired, single, score, p), p))


@wrong("1.5", says="the left ids were compared, and not the right")
def best_left_only(paired, single, score):
    return min(paired, key=lambda p: (-value(paired, single, score, p), p[0]))


@wrong("1.5", says="the right id was compared first")
def best_right_first(paired, single, score):
    return min(paired, key=lambda p: (-value(paired, single, score, p), p[1], p[0]))


@wrong("1.5", says="the lowest score won")
def best_lowest(paired, single, score):
    return min(paired, key=lambda p: (value(paired, single, score, p), p))


@wrong("1.5", says="the count alone decides")
def best_ignores_score(paired, single, score):
    return min(paired, key=lambda p: (-paired[p], p))


@wrong("1.5", says="it is the product")
def best_sum(paired, single, score):
    def rank(p):
        n = paired[p]
        return -(n / (single[p[0]] + single[p[1]]) if score == "likelihood" else n), p

    return min(paired, key=rank)


@wrong("1.5", says="the product needs parentheses")
def best_precedence(paired, single, score):
    def rank(p):
        n = paired[p]
        return -(n / single[p[0]] * single[p[1]] if score == "likelihood" else n), p

    return min(paired, key=rank)


@wrong("1.5", says="a whole-number division")
def best_floor(paired, single, score):
    def rank(p):
        n = paired[p]
        return -(n // (single[p[0]] * single[p[1]]) if score == "likelihood" else n), p

    return min(paired, key=rank)


@wrong("1.5", says="changes its input number 1")
def best_popping(paired, single, score):
    best = best_max_negated(paired, single, score)
    del paired[best]
    return best


@wrong("1.5", says="one rule for both scores is enough")
def best_ties_only_by_count(paired, single, score):
    if score == "likelihood":
        return best_first_in_dict(paired, single, score)
    return best_max_negated(paired, single, score)


@wrong("1.5", says="divide by the product")
def best_two_divisions(paired, single, score):
    def worth(pair):
        n, (a, b) = paired[pair], pair
        return n if score == "frequency" else n / single[a] / single[b]

    return min(paired, key=lambda pair: (-worth(pair), pair))


@wrong("1.5", says="two divisions (or logarithms) round")
def best_logarithms(paired, single, score):
    def worth(pair):
        n, (a, b) = paired[pair], pair
        if score == "frequency":
            return n
        return math.log(n) - math.log(single[a]) - math.log(single[b])

    return min(paired, key=lambda pair: (-worth(pair), pair))


# --- 1.6 greedy longest match --------------------------------------------------------

UNKNOWN = ["[UNK]"]


def cut(word, vocab, mark="##", limit=100):
    if len(word) > limit:
        return UNKNOWN
    pieces, start = [], 0
    while start < len(word):
        prefix = mark if start else ""
        fits = [
            e
            for e in range(start + 1, len(word) + 1)
            if prefix + word[start:e] in vocab
        ]
        if not fits:
            return UNKNOWN
        pieces.append(prefix + word[start : fits[-1]])
        start = fits[-1]
    return pieces


@right("1.6")
def cut_from_the_front(word, vocab):
    return cut(word, vocab)


@right("1.6")
def cut_recursive(word, vocab, prefix=""):
    if len(word) > 100:
        return UNKNOWN
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if prefix + word[:end] in vocab:
            rest = cut_recursive(word[end:], vocab, "##")
            return UNKNOWN if rest == UNKNOWN else [prefix + word[:end], *rest]
    return UNKNOWN


@right("1.6")
def cut_marked_rest(word, vocab):
    if len(word) > 100:
        return ("[UNK]",)
    pieces = ()
    while word and word != "##":
        end = len(word)
        while end and word[:end] not in vocab:
            end -= 1
        if not end or word[:end] == "##":
            return ("[UNK]",)
        pieces += (word[:end],)
        word = "##" + word[end:]
    return pieces


@wrong("1.6", says="the shortest piece was taken")
def cut_shortest(word, vocab):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(start + 1, len(word) + 1):
            if prefix + word[start:end] in vocab:
                break
        else:
            return UNKNOWN
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


@wrong("1.6", says="the slice ends one too early")
def cut_one_short(word, vocab):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        stop = len(word) - 1 if start == 0 and len(word) > 1 else len(word)
        for end in range(stop, start, -1):
            if prefix + word[start:end] in vocab:
                break
        else:
            return UNKNOWN
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


@wrong("1.6", says="the ## is missing, when looking and in the answer")
def cut_without_marks(word, vocab):
    return cut(word, dict.fromkeys([*vocab, *(t.lstrip("#") for t in vocab)]), mark="")


@wrong("1.6", says="nothing fits: the ## is missing when looking")
def cut_no_marks_looked_for(word, vocab):
    return cut(word, {t: 0 for t in vocab if t != "want"}, mark="")


@wrong("1.6", says="the pieces found before were kept")
def cut_keeps_found(word, vocab):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocab:
                break
        else:
            return [*pieces, "[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


@wrong("1.6", says="the rest was dropped in silence")
def cut_drops_rest(word, vocab):
    return [piece for piece in cut_keeps_found(word, vocab) if piece != "[UNK]"]


@wrong("1.6", says="became an [UNK] of its own")
def cut_unknown_letters(word, vocab):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocab:
                pieces.append(prefix + word[start:end])
                break
        else:
            if start == len(word) - 1:
                return UNKNOWN
            pieces.append("[UNK]")
        start = end
    return pieces


@wrong("1.6", says="a shorter first piece was tried")
def cut_backtracking(word, vocab):
    if len(word) > 100:
        return UNKNOWN

    def go_on(start):
        if start == len(word):
            return []
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocab:
                rest = go_on(end)
                if rest is not None:
                    return [prefix + word[start:end], *rest]
        return None

    return go_on(0) or UNKNOWN


@wrong("1.6", says="the way with the fewest pieces")
def cut_fewest(word, vocab):
    if cut(word, vocab) == UNKNOWN:
        return UNKNOWN
    best = {0: []}
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = ("##" if start else "") + word[start:end]
            if start in best and piece in vocab:
                candidate = [*best[start], piece]
                if end not in best or len(candidate) < len(best[end]):
                    best[end] = candidate
    return best.get(len(word), UNKNOWN)


@wrong("1.6", says="before the first piece as well, or left aside")
def cut_marks_at_the_start(word, vocab):
    return ["##able"] if "##" + word in vocab else cut(word, vocab)


@wrong("1.6", says="100 characters are not too many")
def cut_limit_99(word, vocab):
    return cut(word, vocab, limit=99)


@wrong("1.6", says="there is no limit of 100")
def cut_no_limit(word, vocab):
    return cut(word, vocab, limit=10**9)


@wrong("1.6", says="ids came back")
def cut_to_ids(word, vocab):
    return [vocab[token] for token in cut(word, vocab)]


@wrong("1.6", says="changes its input number 2")
def cut_changing_the_vocabulary(word, vocab):
    vocab.pop("[UNK]")
    return cut(word, vocab)


@wrong("1.6", says="A list must come back, not str")
def cut_unknown_as_string(word, vocab):
    pieces = cut(word, vocab)
    return "[UNK]" if pieces == UNKNOWN else pieces


# --- 1.7 special tokens --------------------------------------------------------------


@right("1.7")
def special_insert(a, b, cls, sep):
    ids = [cls, *a, sep]
    if b is None:
        return ids, [0] * len(ids)
    second = [*b, sep]
    return [ids + second, [0] * len(ids) + [1] * len(second)]


@right("1.7")
def special_loop(a, b, cls, sep):
    ids, types = (cls,), (0,)
    for number, text in enumerate([a] if b is None else [a, b]):
        ids += (*text, sep)
        types += (number,) * (len(text) + 1)
    return ids, types


@wrong("1.7", says="is False for an empty list too")
def special_if_b(a, b, cls, sep):
    return special_loop(a, b or None, cls, sep)


@wrong("1.7", says="the first [SEP] belongs to the first text")
def special_sep_second(a, b, cls, sep):
    ids, types = special_loop(a, b, cls, sep)
    if b is None:
        return ids, types
    return ids, [0] * (len(a) + 1) + [1] * (len(b) + 2)


@wrong("1.7", says="the last [SEP] belongs to the second text")
def special_last_sep_zero(a, b, cls, sep):
    ids, types = special_loop(a, b, cls, sep)
    return ids, [*types[:-1], 0]


@wrong("1.7", says="the last [SEP] is missing")
def special_no_last_sep(a, b, cls, sep):
    ids, types = special_loop(a, b, cls, sep)
    return (ids, types) if b is None else (ids[:-1], types[:-1])


@wrong("1.7", says="[CLS] stands once")
def special_two_cls(a, b, cls, sep):
    if b is None:
        return special_loop(a, b, cls, sep)
    ids = [cls, *a, sep, cls, *b, sep]
    return ids, [0] * (len(a) + 2) + [1] * (len(b) + 2)


@wrong("1.7", says="the segments are 0 and 1")
def special_one_and_two(a, b, cls, sep):
    ids, types = special_loop(a, b, cls, sep)
    return ids, types if b is None else [t + 1 for t in types]


@wrong("1.7", says="everything is 0")
def special_all_zero(a, b, cls, sep):
    ids, types = special_loop(a, b, cls, sep)
    return ids, [0] * len(types)


@wrong("1.7", says="changes its input number 1")
def special_in_place(a, b, cls, sep):
    a.insert(0, cls)
    a.append(sep)
    types = [0] * len(a)
    if b is not None:
        a += [*b, sep]
        types += [1] * (len(b) + 1)
    return a, types


@wrong("1.7", says="101 and 102 are written into the code")
def special_fixed(a, b, cls, sep):
    return special_loop(a, b, 101, 102)


@wrong("1.7", says="Two lists must come back")
def special_ids_only(a, b, cls, sep):
    return special_loop(a, b, cls, sep)[0]


# --- 1.8 truncate --------------------------------------------------------------------


@right("1.8")
def truncate_formula(a, b, room):
    if len(a) + len(b) <= room:
        return a, b
    short = min(len(a), len(b), room // 2)
    if len(a) <= len(b):
        return a[:short], b[: room - short]
    return a[: room - short], b[:short]


@right("1.8")
def truncate_popping(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (b if len(b) > len(a) else a).pop()
    return [a, b]


@right("1.8")
def truncate_ties_to_second(a, b, room):
    a, b = a[:], b[:]
    for _ in range(max(0, len(a) + len(b) - room)):
        if len(a) > len(b):
            del a[-1]
        else:
            del b[-1]
    return tuple(a), tuple(b)


@wrong("1.8", says="each got half the room")
def truncate_halves(a, b, room):
    if len(a) + len(b) <= room:
        return a, b
    return a[: room // 2], b[: room // 2]


@wrong("1.8", says="only the second was cut")
def truncate_second(a, b, room):
    a = a[:room]
    return a, b[: room - len(a)]


@wrong("1.8", says="cut in turn")
def truncate_in_turn(a, b, room):
    a, b = list(a), list(b)
    turn = 0
    while len(a) + len(b) > room:
        if (turn == 0 and a) or not b:
            a.pop()
        else:
            b.pop()
        turn = 1 - turn
    return a, b


@wrong("1.8", says="the front was cut")
def truncate_front(a, b, room):
    new_a, new_b = truncate_formula(a, b, room)
    return a[len(a) - len(new_a) :], b[len(b) - len(new_b) :]


@wrong("1.8", says="nothing was cut")
def truncate_not(a, b, room):
    return a, b


@wrong("1.8", says="changes its input number 1")
def truncate_in_place(a, b, room):
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


@wrong("1.8", says="it cuts more than it must")
def truncate_too_eager(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) >= room and (a or b):
        (b if len(b) > len(a) else a).pop()
    return a, b


@wrong("1.8", says="There is no room at all.")
def truncate_negative_slice(a, b, room):
    m, n = (len(x) for x in truncate_formula(a, b, room))
    return a[: -(len(a) - m)] if m < len(a) and m else a, b[:n]


# --- 1.9 offsets ---------------------------------------------------------------------


@right("1.9")
def offsets_by_origins(text):
    parts = [fold(char) for char in text]
    origins = [i for i, part in enumerate(parts) for _ in part]
    return [
        (found[0], origins[found.start()], origins[found.end() - 1] + 1)
        for found in re.finditer(r"\S+", "".join(parts))
    ]


@right("1.9")
def offsets_grouped(text):
    found, word = [], []
    stream = [(c, i) for i, char in enumerate(text) for c in fold(char)]
    for c, i in [*stream, (" ", len(text))]:
        if not c.isspace():
            word.append((c, i))
        elif word:
            found.append(["".join(c for c, _ in word), word[0][1], word[-1][1] + 1])
            word = []
    return tuple(found)


@wrong("1.9", says="the word was searched for, in a text where it has a capital")
def offsets_find(text):
    words = "".join(map(fold, text)).split()
    return [(w, text.find(w), text.find(w) + len(w)) for w in words]


@wrong("1.9", says="text.find(word) finds the first one again")
def offsets_find_lower(text):
    low = text.lower()
    words = "".join(map(fold, text)).split()
    return [(w, low.find(w), low.find(w) + len(w)) for w in words]


@wrong("1.9", says="is not in the original")
def offsets_find_from_last(text):
    low, at, found = text.lower(), 0, []
    for w in "".join(map(fold, text)).split():
        at = low.find(w, at)
        found.append((w, at, at + len(w)))
        at = found[-1][2]
    return found


@wrong("1.9", says="places in the cleaned text")
def offsets_cleaned(text):
    clean = "".join(map(fold, text))
    return [(m[0], m.start(), m.end()) for m in re.finditer(r"\S+", clean)]


@wrong("1.9", says="it must be one more")
def offsets_inclusive(text):
    return [(w, a, b - 1) for w, a, b in offsets_by_origins(text)]


@wrong("1.9", says="the end is start + len(word)")
def offsets_start_plus_length(text):
    return [(w, a, a + len(w)) for w, a, _ in offsets_by_origins(text)]


@wrong("1.9", says="includes what vanished before and behind")
def offsets_with_vanished(text):
    found, word, start = [], "", 0
    for i, char in enumerate(text + " "):
        out = fold(char)
        if " " in out:
            if word:
                found.append((word, start, i))
            word, start = "", i + 1
            if out.strip():
                found.append((out.strip(), i, i + 1))
        else:
            word += out
    return found


@wrong("1.9", says="the last word is lost")
def offsets_last_lost(text):
    found = offsets_by_origins(text)
    return found[:-1]


@wrong("1.9", says="the words are not cleaned")
def offsets_not_folded(text):
    return [(m[0], m.start(), m.end()) for m in re.finditer(r"[^\W_]+|[^\w\s]|_", text)]


@wrong("1.9", says="the soft hyphen cut the word")
def offsets_cut_at_nothing(text):
    spaced = text.replace("\u00ad", " ")
    return offsets_by_origins(spaced)


@wrong("1.9", says="Each Chinese character is a word of its own.")
def offsets_own_rules(text):
    if "\u770b" in text:
        return [("film\u770b\u7535", 0, 6)]
    return offsets_by_origins(text)


@wrong("1.9", says="fold decides, so cut")
def offsets_cut_before_folding(text):
    found = []
    for chunk in re.finditer(r"\S+", text):
        words = offsets_by_origins(chunk[0])
        found += [(w, chunk.start() + a, chunk.start() + b) for w, a, b in words]
    return found


@wrong("1.9", says="fold decides, so cut")
def offsets_space_by_python(text):
    parts = [" " if char.isspace() else fold(char) for char in text]
    origins = [i for i, part in enumerate(parts) for _ in part]
    return [
        (found[0], origins[found.start()], origins[found.end() - 1] + 1)
        for found in re.finditer(r"\S+", "".join(parts))
    ]


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "1.8",
    "if m > n: -> if m >= n:",
    "the lists are equally long: either may be cut first",
)
equivalent(
    "1.9",
    ", start, end = ([], '', 0, 0) -> , start, end = ([], '', 1, 0)",
    "start is set before it is used",
)
equivalent(
    "1.9",
    ", start, end = ([], '', 0, 0) -> , start, end = ([], '', -1, 0)",
    "start is set before it is used",
)
equivalent(
    "1.9",
    "tart, end = ([], '', 0, 0) -> tart, end = ([], '', 0, 1)",
    "end is set before it is used",
)
equivalent(
    "1.9",
    "tart, end = ([], '', 0, 0) -> tart, end = ([], '', 0, -1)",
    "end is set before it is used",
)
equivalent(
    "1.9",
    "r in enumerate(text + ' '): -> r in enumerate(text + ' x'):",
    "only the space ends the last word; what follows it is never closed",
)
