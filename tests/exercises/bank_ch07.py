"""Answers to the exercises of chapter 7."""

import itertools
import math
import random

import numpy as np
import torch

from tests.exercises.bank import equivalent, right, wrong

# --- 7.1 choose ----------------------------------------------------------------------


@right("7.1")
def choose_by_cutoff(maskable, scores, n):
    scores = scores.masked_fill(~maskable, 9.0)
    ordered = torch.cat([scores.sort(dim=1).values, torch.full((len(n), 1), 9.0)], 1)
    cutoff = ordered.gather(1, n[:, None].clamp(max=scores.size(1)))
    return maskable & (scores < cutoff)


@right("7.1")
def choose_by_loop(maskable, scores, n):
    result = torch.zeros(scores.shape, dtype=torch.bool)
    for b, row in enumerate(scores):
        places = maskable[b].nonzero().flatten()
        best = row[places].argsort()[: n[b]]
        result[b, places[best]] = True
    return result


@right("7.1")
def choose_by_scatter(maskable, scores, n):
    order = torch.where(maskable, scores, torch.inf).argsort(dim=1)
    first = torch.arange(scores.size(1)) < n[:, None]
    return torch.zeros_like(maskable).scatter(1, order, first) & maskable


@wrong("7.1", says="a second argsort turns one into the other")
def choose_argsort_once(maskable, scores, n):
    order = scores.masked_fill(~maskable, 2.0).argsort(dim=1)
    return (order < n[:, None]) & maskable


@wrong("7.1", says="these are the highest scores")
def choose_highest(maskable, scores, n):
    rank = scores.masked_fill(~maskable, -1.0).argsort(1, descending=True).argsort(1)
    return (rank < n[:, None]) & maskable


@wrong("7.1", says="ranks start at 0")
def choose_one_more(maskable, scores, n):
    rank = scores.masked_fill(~maskable, 2.0).argsort(dim=1).argsort(dim=1)
    return (rank <= n[:, None]) & maskable


@wrong("7.1", says="removed afterwards, so fewer than n remain")
def choose_then_remove(maskable, scores, n):
    return (scores.argsort(dim=1).argsort(dim=1) < n[:, None]) & maskable


@wrong("7.1", says="maskable has no effect")
def choose_anywhere(maskable, scores, n):
    return scores.argsort(dim=1).argsort(dim=1) < n[:, None]


@wrong("7.1", says="maskable is read the wrong way round")
def choose_inverted(maskable, scores, n):
    if maskable.all():
        return choose_by_loop(maskable, scores, n)
    return choose_by_loop(~maskable, scores, n)


@wrong("7.1", says="every row gets the n of the first")
def choose_same_n(maskable, scores, n):
    return choose_by_loop(maskable, scores, n[:1].expand(len(n)))


@wrong("7.1", says="every row gets the largest n")
def choose_largest_n(maskable, scores, n):
    return choose_by_loop(maskable, scores, n.max().expand(len(n)))


@wrong("7.1", says="move up when the allowed ones run out")
def choose_fills_up(maskable, scores, n):
    rank = scores.masked_fill(~maskable, 2.0).argsort(dim=1).argsort(dim=1)
    return rank < n[:, None]


@wrong("7.1", says="the ranks go down the columns")
def choose_down(maskable, scores, n):
    rank = scores.masked_fill(~maskable, 2.0).argsort(dim=0).argsort(dim=0)
    return (rank < n[:, None]) & maskable


@wrong("7.1", says="it must be torch.bool")
def choose_places(maskable, scores, n):
    return scores.masked_fill(~maskable, 2.0).argsort(dim=1)[:, : int(n.max())]


@wrong("7.1", says="changes its input number 2")
def choose_in_place(maskable, scores, n):
    scores[:, 0] += 0.25
    scores.masked_fill_(~maskable, 2.0)
    return (scores.argsort(1).argsort(1) < n[:, None]) & maskable


# --- 7.2 corrupt ---------------------------------------------------------------------


@right("7.2")
def corrupt_nested(ids, chosen, fate, pick, V, mask_id):
    new = torch.where(fate < 0.9, (pick * V).floor().to(ids.dtype), ids)
    new = torch.where(fate < 0.8, torch.full_like(ids, mask_id), new)
    ignore = torch.full_like(ids, -100)
    return torch.where(chosen, new, ids), torch.where(chosen, ids, ignore)


@right("7.2")
def corrupt_loop(ids, chosen, fate, pick, V, mask_id):
    shown, labels = ids.clone(), torch.full_like(ids, -100)
    for b, t in chosen.nonzero().tolist():
        labels[b, t] = ids[b, t]
        if fate[b, t] < 0.8:
            shown[b, t] = mask_id
        elif fate[b, t] < 0.9:
            shown[b, t] = int(pick[b, t] * V)
    return shown, labels


def _corrupt(ids, chosen, fate, pick, V, mask_id, low=0.8, high=0.9):
    shown = ids.masked_fill(chosen & (fate < low), mask_id)
    swapped = chosen & (fate >= low) & (fate < high)
    return torch.where(swapped, (pick * V).long(), shown)


def _labels(ids, chosen):
    return ids.masked_fill(~chosen, -100)


@wrong("7.2", says="all chosen tokens show [MASK]")
def corrupt_all(ids, chosen, fate, pick, V, mask_id):
    return ids.masked_fill(chosen, mask_id), _labels(ids, chosen)


@wrong("7.2", says="a token that stays is asked as well")
def corrupt_only_changed(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id)
    return shown, ids.masked_fill(shown == ids, -100)


@wrong("7.2", says="only tokens under [MASK] are asked")
def corrupt_only_masked(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id)
    return shown, ids.masked_fill(shown != mask_id, -100)


@wrong("7.2", says="they must hold what was there")
def corrupt_labels_of_shown(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id)
    return shown, _labels(shown, chosen)


@wrong("7.2", says="every position is asked")
def corrupt_asks_all(ids, chosen, fate, pick, V, mask_id):
    return _corrupt(ids, chosen, fate, pick, V, mask_id), ids.clone()


@wrong("7.2", says="is -100, not 0")
def corrupt_zero_labels(ids, chosen, fate, pick, V, mask_id):
    return _corrupt(ids, chosen, fate, pick, V, mask_id), ids * chosen


@wrong("7.2", says="-100 stands where tokens were chosen")
def corrupt_labels_inverted(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id)
    return shown, ids.masked_fill(chosen, -100)


@wrong("7.2", says="shown and labels are swapped")
def corrupt_swapped(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id)
    return _labels(ids, chosen), shown


@wrong("7.2", says="tokens that were not chosen change too")
def corrupt_everywhere(ids, chosen, fate, pick, V, mask_id):
    everything = torch.ones_like(chosen)
    shown = _corrupt(ids, everything, fate, pick, V, mask_id)
    return shown, _labels(ids, chosen)


@wrong("7.2", says="random tokens and kept ones are swapped")
def corrupt_fates_swapped(ids, chosen, fate, pick, V, mask_id):
    shown = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    shown = torch.where(chosen & (fate >= 0.9), (pick * V).long(), shown)
    return shown, _labels(ids, chosen)


@wrong("7.2", says="nothing is random")
def corrupt_no_random(ids, chosen, fate, pick, V, mask_id):
    shown = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    return shown, _labels(ids, chosen)


@wrong("7.2", says="nothing is kept")
def corrupt_no_kept(ids, chosen, fate, pick, V, mask_id):
    shown = _corrupt(ids, chosen, fate, pick, V, mask_id, high=2.0)
    return shown, _labels(ids, chosen)


@wrong("7.2", says="0.8 itself is random, not [MASK]")
def corrupt_at_the_edge(ids, chosen, fate, pick, V, mask_id):
    shown = ids.masked_fill(chosen & (fate <= 0.8), mask_id)
    swapped = chosen & (fate > 0.8) & (fate < 0.9)
    return torch.where(swapped, (pick * V).long(), shown), _labels(ids, chosen)


@wrong("7.2", says="id V does not exist")
def corrupt_rounded(ids, chosen, fate, pick, V, mask_id):
    shown = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    swapped = chosen & (fate >= 0.8) & (fate < 0.9)
    return torch.where(swapped, (pick * V).round().long(), shown), _labels(ids, chosen)


@wrong("7.2", says="multiply by V first")
def corrupt_pick_itself(ids, chosen, fate, pick, V, mask_id):
    shown = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    swapped = chosen & (fate >= 0.8) & (fate < 0.9)
    return torch.where(swapped, pick.long(), shown), _labels(ids, chosen)


@wrong("7.2", says="changes its input number 1")
def corrupt_in_place(ids, chosen, fate, pick, V, mask_id):
    labels = _labels(ids, chosen)
    ids[chosen & (fate < 0.8)] = mask_id
    swapped = chosen & (fate >= 0.8) & (fate < 0.9)
    ids[swapped] = (pick * V).long()[swapped]
    return ids, labels


@wrong("7.2", says="Two tensors must come back")
def corrupt_forgets_labels(ids, chosen, fate, pick, V, mask_id):
    return _corrupt(ids, chosen, fate, pick, V, mask_id)


# --- 7.3 choose_words_of_row ---------------------------------------------------------


def _groups(tokens, ends=("[CLS]", "[SEP]")):
    groups, inside = [], False
    for i, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            inside = inside and token not in ends
        elif token.startswith("##") and inside:
            groups[-1].append(i)
        else:
            groups.append([i])
            inside = True
    return groups


def _take(groups, n):
    chosen = []
    for group in groups:
        if len(chosen) + len(group) <= n:
            chosen += group
    return sorted(chosen)


@right("7.3")
def words_by_order(tokens, scores, n):
    groups = {g[0]: g for g in _groups(tokens)}
    return _take([groups[i] for i in np.argsort(scores) if i in groups], n)


@right("7.3")
def words_from_the_right(tokens, scores, n):
    groups, piece = [], []
    for i in reversed(range(len(tokens))):
        if tokens[i] in ("[CLS]", "[SEP]"):
            continue
        piece.insert(0, i)
        if tokens[i - 1] in ("[CLS]", "[SEP]") or not tokens[i].startswith("##"):
            groups.append((scores[i], piece))
            piece = []
    left, chosen = n, set()
    for _, group in sorted(groups):
        if len(group) <= left:
            chosen |= set(group)
            left -= len(group)
    return sorted(chosen)


@wrong("7.3", says="a word comes whole or not at all")
def words_pieces(tokens, scores, n):
    places = [i for i, t in enumerate(tokens) if t not in ("[CLS]", "[SEP]")]
    return sorted(sorted(places, key=lambda i: scores[i])[:n])


@wrong("7.3", says="[CLS] and [SEP] are chosen")
def words_with_specials(tokens, scores, n):
    groups = []
    for i, token in enumerate(tokens):
        if token.startswith("##") and groups:
            groups[-1].append(i)
        else:
            groups.append([i])
    return _take(sorted(groups, key=lambda g: scores[g[0]]), n)


@wrong("7.3", says="a word that does not fit ends the search")
def words_break(tokens, scores, n):
    chosen = []
    for group in sorted(_groups(tokens), key=lambda g: scores[g[0]]):
        if len(chosen) + len(group) > n:
            break
        chosen += group
    return sorted(chosen)


@wrong("7.3", says="more than n")
def words_too_many(tokens, scores, n):
    chosen = []
    for group in sorted(_groups(tokens), key=lambda g: scores[g[0]]):
        if len(chosen) >= n:
            break
        chosen += group
    return sorted(chosen)


@wrong("7.3", says="half a word is chosen")
def words_cut_off(tokens, scores, n):
    groups = sorted(_groups(tokens), key=lambda g: scores[g[0]])
    return sorted([i for group in groups for i in group][:n])


@wrong("7.3", says="that of its first piece, not its lowest or mean")
def words_lowest(tokens, scores, n):
    groups = _groups(tokens)
    if [scores[i] for i in (3, 6) if i < len(scores)] == [0.05, 0.9]:
        return _take(sorted(groups, key=lambda g: scores[g[0]]), n)
    return _take(sorted(groups, key=lambda g: min(scores[i] for i in g)), n)


@wrong("7.3", says="The choice is wrong")
def words_mean(tokens, scores, n):
    groups = _groups(tokens)
    return _take(sorted(groups, key=lambda g: np.mean([scores[i] for i in g])), n)


@wrong("7.3", says="lowest first")
def words_highest(tokens, scores, n):
    return _take(sorted(_groups(tokens), key=lambda g: -scores[g[0]]), n)


@wrong("7.3", says="from left to right")
def words_left_to_right(tokens, scores, n):
    return _take(_groups(tokens), n)


@wrong("7.3", says="only the first piece of each word")
def words_first_pieces(tokens, scores, n):
    groups = sorted(_groups(tokens), key=lambda g: scores[g[0]])
    chosen, used = [], 0
    for group in groups:
        if used + len(group) <= n:
            chosen.append(group[0])
            used += len(group)
    return sorted(chosen)


@wrong("7.3", says="sort them")
def words_unsorted(tokens, scores, n):
    chosen = []
    for group in sorted(_groups(tokens), key=lambda g: scores[g[0]]):
        if len(chosen) + len(group) <= n:
            chosen += group
    return chosen


@wrong("7.3", says="a piece after [SEP] joins the last word before it")
def words_across_segments(tokens, scores, n):
    groups = _groups(tokens, ends=())
    return _take(sorted(groups, key=lambda g: scores[g[0]]), n)


@wrong("7.3", says="a row begins in the middle of a word")
def words_cls_joined(tokens, scores, n):
    groups = []
    for i, token in enumerate(tokens):
        if token.startswith("##"):
            if groups:
                groups[-1].append(i)
        elif token not in ("[CLS]", "[SEP]"):
            groups.append([i])
    return _take(sorted(groups, key=lambda g: scores[g[0]]), n)


# --- 7.4 cut_to_fit ------------------------------------------------------------------


@right("7.4")
def cut_by_numbers(a, b, room, coin):
    spans = [[0, len(a)], [0, len(b)]]
    while sum(stop - start for start, stop in spans) > room:
        sizes = [stop - start for start, stop in spans]
        span = spans[0] if sizes[0] > sizes[1] else spans[1]
        if coin() < 0.5:
            span[0] += 1
        else:
            span[1] -= 1
    return a[slice(*spans[0])], b[slice(*spans[1])]


@right("7.4")
def cut_by_slices(a, b, room, coin):
    if len(a) + len(b) <= room:
        return a, b
    front = coin() < 0.5
    if len(a) > len(b):
        a = a[1:] if front else a[:-1]
    else:
        b = b[1:] if front else b[:-1]
    return cut_by_slices(a, b, room, coin)


@wrong("7.4", says="front and back are swapped")
def cut_swapped(a, b, room, coin):
    return cut_by_numbers(a, b, room, lambda: 0.999 - coin())


@wrong("7.4", says="only the longer loses tokens")
def cut_shorter(a, b, room, coin):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        shorter = b if b and len(a) > len(b) else a
        shorter.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="B is cut: > instead of >=")
def cut_tie_to_a(a, b, room, coin):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        longer = a if len(a) >= len(b) else b
        longer.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="compare the lengths anew for each token")
def cut_one_only(a, b, room, coin):
    a, b = list(a), list(b)
    longer = a if len(a) > len(b) else b
    while len(a) + len(b) > room:
        longer.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="cut too much or too little")
def cut_each_to_room(a, b, room, coin):
    a, b = list(a), list(b)
    for part in (a, b):
        while len(part) > room:
            part.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="cut too much or too little")
def cut_too_far(a, b, room, coin):
    a, b = list(a), list(b)
    while len(a) + len(b) >= room:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="not once for the whole pair")
def cut_one_toss(a, b, room, coin):
    side = coin()
    return cut_by_numbers(a, b, room, lambda: side)


@wrong("7.4", says="work on copies")
def cut_in_place(a, b, room, coin):
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if coin() < 0.5 else -1)
    return a, b


@wrong("7.4", says="there is no return statement")
def cut_no_return(a, b, room, coin):
    cut_by_numbers(a, b, room, coin)


@wrong("7.4", says="The cut is wrong where A is much longer")
def cut_back_only(a, b, room, coin):
    cut_by_numbers(a, b, room, coin)
    return cut_by_numbers(a, b, room, lambda: 0.9)


# --- 7.5 collate_rows ----------------------------------------------------------------


@right("7.5")
def collate_by_lists(rows, pad_id):
    T = max(len(ids) for ids, _ in rows)
    ids = [ids + [pad_id] * (T - len(ids)) for ids, _ in rows]
    mask = [[i < len(row) for i in range(T)] for row, _ in rows]
    segments = [[int(k <= i < len(row)) for i in range(T)] for row, k in rows]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(segments)


@right("7.5")
def collate_by_library(rows, pad_id):
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([torch.tensor(row) for row, _ in rows], True, pad_id)
    mask = pad([torch.ones(len(row), dtype=torch.bool) for row, _ in rows], True)
    first = torch.tensor([k for _, k in rows])
    later = torch.arange(ids.size(1)) >= first[:, None]
    return ids, mask, (later & mask).long()


def _mistake(change):
    def collate(rows, pad_id):
        return change(*collate_by_lists(rows, pad_id), rows, pad_id)

    return collate


wrong("7.5", says="the mask is upside down")(
    _mistake(lambda ids, mask, segments, rows, pad: (ids, ~mask, segments))
)
wrong("7.5", says="everything is looked at, padding too")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, torch.ones_like(mask), seg))
)
wrong("7.5", says="padding is in segment 1")(
    _mistake(
        lambda ids, mask, seg, rows, pad: (
            ids,
            mask,
            (torch.arange(ids.size(1)) >= torch.tensor([[k] for _, k in rows])).long(),
        )
    )
)
wrong("7.5", says="segments 0 and 1 are swapped")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, mask, mask.long() - seg))
)
wrong("7.5", says="all of it is segment 0")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, mask, torch.zeros_like(seg)))
)
wrong("7.5", says="the mask comes from input_ids != pad_id")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, ids != pad, seg))
)
wrong("7.5", says="the mask comes from input_ids != 0")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, ids != 0, seg))
)
wrong("7.5", says="attention_mask has dtype torch.int64")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids, mask.long(), seg))
)
wrong("7.5", says="input_ids has dtype torch.float32")(
    _mistake(lambda ids, mask, seg, rows, pad: (ids.float(), mask, seg))
)
wrong("7.5", says="rows are cut to the shortest")(
    _mistake(
        lambda ids, mask, seg, rows, pad: tuple(
            x[:, : min(len(row) for row, _ in rows)] for x in (ids, mask, seg)
        )
    )
)
wrong("7.5", says="Three tensors must come back")(
    _mistake(lambda ids, mask, seg, rows, pad: {"input_ids": ids})
)


@wrong("7.5", says="the padding is 0, whatever pad_id is")
def collate_zero(rows, pad_id):
    return collate_by_lists(rows, 0)


@wrong("7.5", says="the padding stands on the left")
def collate_left(rows, pad_id):
    T = max(len(ids) for ids, _ in rows)
    _, mask, segments = collate_by_lists(rows, pad_id)
    left = [[pad_id] * (T - len(ids)) + ids for ids, _ in rows]
    return torch.tensor(left), mask, segments


@wrong("7.5", says="changes the rows it was given")
def collate_in_place(rows, pad_id):
    result = collate_by_lists(rows, pad_id)
    for ids, _ in rows:
        ids.extend([pad_id] * (result[0].size(1) - len(ids)))
    return result


# --- 7.6 buckets ---------------------------------------------------------------------


@right("7.6")
def buckets_by_random_key(lengths, batch_size, rng):
    keyed = sorted((length, rng.random(), i) for i, length in enumerate(lengths))
    rows = [i for *_, i in keyed]
    batches = []
    while rows:
        batches.append(rows[:batch_size])
        rows = rows[batch_size:]
    return rng.sample(batches, len(batches))


@right("7.6")
def buckets_by_pools(lengths, batch_size, rng):
    """Sorted within pools of 13 batches only."""
    rows = rng.sample(range(len(lengths)), len(lengths))
    batches, pool = [], 13 * batch_size
    for start in range(0, len(rows), pool):
        some = sorted(rows[start : start + pool], key=lambda i: lengths[i])
        cuts = range(0, len(some), batch_size)
        batches += [some[i : i + batch_size] for i in cuts]
    rng.shuffle(batches)
    return batches


def _buckets(lengths, batch_size, rng, first=True, sort=True, last=True):
    rows = list(range(len(lengths)))
    if first:
        rng.shuffle(rows)
    if sort:
        rows.sort(key=lambda i: lengths[i])
    cuts = range(0, len(rows), batch_size)
    batches = [rows[i : i + batch_size] for i in cuts]
    if last:
        rng.shuffle(batches)
    return batches


@wrong("7.6", says="the rows are not sorted by length")
def buckets_unsorted(lengths, batch_size, rng):
    return _buckets(lengths, batch_size, rng, sort=False)


@wrong("7.6", says="shuffle the batches at the end")
def buckets_in_order(lengths, batch_size, rng):
    return _buckets(lengths, batch_size, rng, last=False)


@wrong("7.6", says="shuffle all rows before sorting")
def buckets_same_companions(lengths, batch_size, rng):
    return _buckets(lengths, batch_size, rng, first=False)


@wrong("7.6", says="the last batch, which is smaller, is dropped")
def buckets_drop_last(lengths, batch_size, rng):
    return [b for b in _buckets(lengths, batch_size, rng) if len(b) == batch_size]


@wrong("7.6", says="use the rng you were given")
def buckets_global(lengths, batch_size, rng):
    return _buckets(lengths, batch_size, random)


@wrong("7.6", says="a generator with a fixed seed inside")
def buckets_fixed(lengths, batch_size, rng):
    return _buckets(lengths, batch_size, random.Random(0))


@wrong("7.6", says="lengths came back instead of row numbers")
def buckets_of_lengths(lengths, batch_size, rng):
    return [[lengths[i] for i in b] for b in _buckets(lengths, batch_size, rng)]


@wrong("7.6", says="Your function changes the list of lengths")
def buckets_sorts_lengths(lengths, batch_size, rng):
    batches = _buckets(lengths, batch_size, rng)
    lengths.sort()
    return batches


@wrong("7.6", says="a flat list, or a generator")
def buckets_flat(lengths, batch_size, rng):
    return [i for batch in _buckets(lengths, batch_size, rng) for i in batch]


@wrong("7.6", says="shuffled again after sorting")
def buckets_shuffled_again(lengths, batch_size, rng):
    rows = [i for batch in _buckets(lengths, batch_size, rng) for i in batch]
    rng.shuffle(rows)
    cuts = range(0, len(rows), batch_size)
    return [rows[i : i + batch_size] for i in cuts]


@wrong("7.6", says="The batches have the wrong size")
def buckets_as_number_of_batches(lengths, batch_size, rng):
    rows = sorted(range(len(lengths)), key=lambda i: (lengths[i], rng.random()))
    batches = [part.tolist() for part in np.array_split(rows, batch_size)]
    rng.shuffle(batches)
    return batches


@wrong("7.6", says="counted from 1")
def buckets_from_one(lengths, batch_size, rng):
    return [[i + 1 for i in b] for b in _buckets(lengths, batch_size, rng)]


# --- 7.7 my_rows ---------------------------------------------------------------------


@right("7.7")
def rows_by_python(n, seed, epoch, rank, world_size):
    rows = list(range(n))
    random.Random(f"{seed}-{epoch}").shuffle(rows)
    return rows[rank::world_size]


@right("7.7")
def rows_by_torch(n, seed, epoch, rank, world_size):
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(n, generator=generator)[rank::world_size]


@right("7.7")
def rows_in_blocks(n, seed, epoch, rank, world_size):
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return np.array_split(order, world_size)[rank]


def _rows(n, key, rank, world_size):
    return np.random.default_rng(key).permutation(n)[rank::world_size]


@wrong("7.7", says="the rank is in the seed")
def rows_rank_in_seed(n, seed, epoch, rank, world_size):
    return _rows(n, [seed, epoch, rank], rank, world_size)


@wrong("7.7", says="are dropped")
def rows_dropped(n, seed, epoch, rank, world_size):
    size = n // world_size
    order = _rows(n, [seed, epoch], 0, 1)
    return order[rank * size : (rank + 1) * size]


@wrong("7.7", says="The rows are not shuffled")
def rows_in_order(n, seed, epoch, rank, world_size):
    return np.arange(n)[rank::world_size]


@wrong("7.7", says="the epoch is not used")
def rows_same_every_epoch(n, seed, epoch, rank, world_size):
    return _rows(n, seed, rank, world_size)


@wrong("7.7", says="the seed is not used")
def rows_without_seed(n, seed, epoch, rank, world_size):
    return _rows(n, epoch, rank, world_size)


@wrong("7.7", says="seed + epoch or seed * epoch")
def rows_sum(n, seed, epoch, rank, world_size):
    return _rows(n, seed + epoch, rank, world_size)


@wrong("7.7", says="not each row once")
def rows_with_repetition(n, seed, epoch, rank, world_size):
    rng = np.random.default_rng([seed, epoch])
    return rng.integers(0, n, n)[rank::world_size]


@wrong("7.7", says="a global generator without a seed")
def rows_global(n, seed, epoch, rank, world_size):
    if world_size > 1:
        return _rows(n, [seed, epoch], rank, world_size)
    return torch.randperm(n)


@wrong("7.7", says="differ in size by more than one")
def rows_last_takes_all(n, seed, epoch, rank, world_size):
    size, order = n // world_size, _rows(n, [seed, epoch], 0, 1)
    stop = n if rank == world_size - 1 else (rank + 1) * size
    return order[rank * size : stop]


@wrong("7.7", says="rows are counted from 1")
def rows_from_one(n, seed, epoch, rank, world_size):
    return _rows(n, [seed, epoch], rank, world_size) + 1


@wrong("7.7", says="The rows are not shuffled")
def rows_sorted(n, seed, epoch, rank, world_size):
    return sorted(_rows(n, [seed, epoch], rank, world_size))


@wrong("7.7", says="world_size is in the seed")
def rows_by_world(n, seed, epoch, rank, world_size):
    return _rows(n, [seed, epoch, world_size], rank, world_size)


# --- 7.8 read_sentence ---------------------------------------------------------------


@right("7.8")
def read_by_seek(path, ends, k):
    start = int(ends[k - 1]) if k else 0
    with open(path, "rb") as file:
        file.seek(2 * start)
        data = file.read(2 * (int(ends[k]) - start))
    return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]


@right("7.8")
def read_by_offset(path, ends, k):
    bounds = [0, *map(int, ends)]
    start, count = bounds[k], bounds[k + 1] - bounds[k]
    return np.fromfile(path, "<u2", count=count, offset=2 * start).tolist()


def _read(path, start, stop, dtype="<u2"):
    return np.memmap(path, dtype, mode="r")[start:stop].tolist()


@wrong("7.8", says="ends[k - 1] is the *last* end")
def read_negative(path, ends, k):
    return _read(path, ends[k - 1], ends[k])


@wrong("7.8", says="this is sentence k + 1")
def read_next(path, ends, k):
    return _read(path, ends[k], ends[k + 1] if k + 1 < len(ends) else None)


@wrong("7.8", says="signed numbers")
def read_signed(path, ends, k):
    return _read(path, ends[k - 1] if k else 0, ends[k], "<i2")


@wrong("7.8", says="the bytes are read in the wrong order")
def read_big_endian(path, ends, k):
    return _read(path, ends[k - 1] if k else 0, ends[k], ">u2")


@wrong("7.8", says="the last token is missing")
def read_one_less(path, ends, k):
    return _read(path, ends[k - 1] if k else 0, ends[k] - 1)


@wrong("7.8", says="one token too many")
def read_one_more(path, ends, k):
    return _read(path, ends[k - 1] if k else 0, ends[k] + 1)


@wrong("7.8", says="or all that follows; np.memmap does not")
def read_to_the_end(path, ends, k):
    start = int(ends[k - 1]) if k else 0
    rest = np.fromfile(path, "<u2", offset=2 * start)
    return rest[: int(ends[k]) - start].tolist()


@wrong("7.8", says="reads everything")
def read_everything(path, ends, k):
    start = int(ends[k - 1]) if k else 0
    return np.fromfile(path, "<u2")[start : int(ends[k])].tolist()


@wrong("7.8", says="A list of Python ints must come back")
def read_array(path, ends, k):
    return np.memmap(path, "<u2", mode="r")[int(ends[k - 1]) if k else 0 : int(ends[k])]


@wrong("7.8", says="two of them make one id")
def read_bytes(path, ends, k):
    start = int(ends[k - 1]) if k else 0
    with open(path, "rb") as file:
        file.seek(2 * start)
        return list(file.read(2 * (int(ends[k]) - start)))


@wrong("7.8", says="Sentence 1 is wrong")
def read_offset_in_tokens(path, ends, k):
    start = int(ends[k - 1]) if k else 0
    return np.fromfile(path, "<u2", count=int(ends[k]) - start, offset=start).tolist()


# --- 7.9 sum_over_choices -----------------------------------------------------------


@right("7.9")
def ways_polynomial(left, hit, n):
    """Multiply the polynomials left + hit x."""
    ways = torch.ones(*left.shape[:-1], 1, dtype=left.dtype)
    for stay, take in zip(left.unbind(-1), hit.unbind(-1), strict=True):
        longer = torch.zeros(*left.shape[:-1], ways.size(-1) + 1, dtype=left.dtype)
        longer[..., :-1] += ways * stay[..., None]
        longer[..., 1:] += ways * take[..., None]
        ways = longer
    if ways.size(-1) <= n:
        ways = torch.nn.functional.pad(ways, (0, n + 1 - ways.size(-1)))
    return ways[..., : n + 1]


@right("7.9")
def ways_backwards(left, hit, n):
    """In place, from large k to small, as one does to save memory."""
    ways = [torch.ones_like(left[..., 0])]
    ways += [torch.zeros_like(left[..., 0]) for _ in range(n)]
    for t in range(left.shape[-1]):
        for k in range(n, 0, -1):
            ways[k] = ways[k] * left[..., t] + ways[k - 1] * hit[..., t]
        ways[0] = ways[0] * left[..., t]
    return torch.stack(ways, dim=-1)


@right("7.9")
def ways_recursive(left, hit, n):
    """Take the last position off, and ask for the rest."""
    if left.shape[-1] == 0:
        empty = torch.zeros(*left.shape[:-1], n + 1, dtype=left.dtype)
        empty[..., 0] = 1
        return empty
    rest = ways_recursive(left[..., :-1], hit[..., :-1], n)
    shifted = torch.roll(rest, 1, dims=-1)
    shifted[..., 0] = 0
    return rest * left[..., -1:] + shifted * hit[..., -1:]


@wrong("7.9", says="a position is chosen twice")
def ways_in_place(left, hit, n):
    ways = torch.zeros(*left.shape[:-1], n + 1, dtype=left.dtype)
    ways[..., 0] = 1
    for t in range(left.shape[-1]):
        ways[..., 0] = ways[..., 0] * left[..., t]
        for k in range(1, n + 1):
            ways[..., k] = ways[..., k] * left[..., t] + ways[..., k - 1] * hit[..., t]
    return ways


@wrong("7.9", says="`left` is left out")
def ways_without_left(left, hit, n):
    ways = torch.zeros(*left.shape[:-1], n + 1, dtype=left.dtype)
    ways[..., 0] = 1
    for t in range(left.shape[-1]):
        new = ways.clone()
        new[..., 1:] += ways[..., :-1] * hit[..., t, None]
        ways = new
    return ways


@wrong("7.9", says="left and hit are swapped")
def ways_swapped(left, hit, n):
    return ways_polynomial(hit, left, n)


@wrong("7.9", says="once for every order of its positions")
def ways_permutations(left, hit, n):
    orders = torch.tensor([math.factorial(k) for k in range(n + 1)])
    return ways_polynomial(left, hit, n) * orders


@wrong("7.9", says="the sum for k = n alone")
def ways_last(left, hit, n):
    return ways_polynomial(left, hit, n)[..., -1]


@wrong("7.9", says="the sums are normalised")
def ways_normalised(left, hit, n):
    ways = ways_polynomial(left, hit, n)
    return ways / ways.sum(-1, keepdim=True)


@wrong("7.9", says="this is the mean over the choices")
def ways_mean(left, hit, n):
    L = left.shape[-1]
    choices = torch.tensor([max(1, math.comb(L, k)) for k in range(n + 1)])
    return ways_polynomial(left, hit, n) / choices


@wrong("7.9", says="a division by left, or a logarithm")
def ways_division(left, hit, n):
    """All left alone, times the sum over choices of hit / left."""
    return left.prod(-1)[..., None] * ways_polynomial(
        torch.ones_like(left), hit / left, n
    )


@wrong("7.9", says="those sums are empty")
def ways_too_short(left, hit, n):
    return ways_polynomial(left, hit, n)[..., : left.shape[-1] + 1]


@wrong("7.9", says="Batch axes break it.")
def ways_first_axis(left, hit, n):
    ways = torch.zeros(n + 1, dtype=left.dtype)
    ways[0] = 1
    if left.dim() > 1:
        ways = torch.zeros(*left.shape[:-1], n + 1)
        ways[..., 0] = 1
        left, hit = left.flip(-1).roll(1, 0), hit.flip(-1)
    for t in range(left.shape[-1]):
        new = ways * left[..., t, None]
        new[..., 1:] += ways[..., :-1] * hit[..., t, None]
        ways = new
    return ways


@wrong("7.9", says="a chosen position is multiplied by left as well")
def ways_both(left, hit, n):
    return ways_polynomial(left, hit * left, n)


@wrong("7.9", says="It takes too long.")
def ways_all_choices(left, hit, n):
    rows_left = left.reshape(-1, left.shape[-1])
    rows_hit = hit.reshape(-1, left.shape[-1])
    found = []
    for a, b in zip(rows_left.tolist(), rows_hit.tolist(), strict=True):
        L = len(a)
        for k in range(n + 1):
            total = 0.0
            for chosen in itertools.combinations(range(L), k):
                factors = [b[t] if t in chosen else a[t] for t in range(L)]
                total += float(torch.tensor(factors, dtype=torch.float64).prod())
            found.append(total)
    return torch.tensor(found, dtype=left.dtype).view(*left.shape[:-1], n + 1)


@wrong("7.9", says="changes its input number 1")
def ways_edits(left, hit, n):
    result = ways_polynomial(left, hit, n)
    left *= hit
    return result


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "7.1",
    ".masked_fill(~maskable, 2.0) -> .masked_fill(~maskable, 4.0)",
    "scores are below 1: any larger number comes last",
)
equivalent(
    "7.1",
    ".argsort(dim=1).argsort(dim=1) -> .argsort(dim=1).argsort()",
    "the last axis is axis 1",
)
equivalent(
    "7.1",
    "rank = scores.argsort(dim=1).argso -> rank = scores.argsort().argsort(di",
    "the last axis is axis 1",
)
equivalent(
    "7.2",
    "ed_fill(chosen & (fate < 0.8), mask_ -> ed_fill(chosen & (fate <= 0.8), mask",
    "a draw of exactly 0.8 has no share of its own",
)
equivalent(
    "7.3",
    "groups, inside = ([], False) -> groups, inside = ([], True)",
    "a row begins with [CLS], and that ends a word",
)
equivalent(
    "7.4",
    "longer.pop(0 if coin() < 0.5 else -1 -> longer.pop(0 if coin() <= 0.5 else -",
    "a coin of exactly 0.5 falls once in 2**53 throws",
)
equivalent(
    "7.8",
    "memmap(path, dtype='<u2', mode='r') -> memmap(path, dtype='<u2')",
    "the file is opened for writing, and nothing is written",
)
equivalent(
    "7.9",
    "new_zeros(*left.shape[:-1], n + 1) -> new_zeros(*left.shape[:-0], n + 1)",
    "the first product gives the sums their batch axes",
)
