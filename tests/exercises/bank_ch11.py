"""Answers to the exercises of chapter 11."""

import copy
import hashlib
import random
from itertools import pairwise

import numpy as np
import torch

from tests.exercises.bank import equivalent, right, wrong

# --- 11.1 split_by_group -------------------------------------------------------------


@right("11.1")
def split_with_numpy(groups, share, seed):
    names, number = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    held = np.zeros(len(groups), bool)
    for name in order:
        if held.sum() >= share * len(groups):
            break
        held |= number == name
    return np.flatnonzero(~held), np.flatnonzero(held)


@right("11.1")
def split_with_dict(groups, share, seed):
    rows = {}
    for i, g in enumerate(groups):
        rows.setdefault(g, []).append(i)
    names = [*rows]
    random.Random(seed).shuffle(names)
    held = []
    while len(held) < share * len(groups):
        held += rows[names.pop()]
    return [i for name in names for i in rows[name]], held


@right("11.1")
def split_with_torch(groups, share, seed):
    names = list(dict.fromkeys(groups))
    g = torch.Generator().manual_seed(seed)
    taken = set()
    for i in torch.randperm(len(names), generator=g).tolist():
        taken.add(names[i])
        if sum(x in taken for x in groups) >= share * len(groups):
            break
    sides = [], []
    for i, x in enumerate(groups):
        sides[x in taken].append(i)
    return sides


@right("11.1")
def split_by_digest(groups, share, seed):
    # The order of the names is that of a hash which is the same everywhere.
    def place(name):
        return hashlib.md5(f"{seed} {name}".encode()).digest()

    held = []
    for name in sorted(set(groups), key=place):
        if len(held) < share * len(groups):
            held += [i for i, g in enumerate(groups) if g == name]
    return sorted({*range(len(groups))} - {*held}), held


@right("11.1")
def split_with_plain_names(groups, share, seed):
    rows = {}
    for i, g in enumerate(groups):
        rows.setdefault(g, []).append(i)
    names = np.unique(groups)  # plain strings, whatever the groups were
    np.random.default_rng(seed).shuffle(names)
    held = []
    for name in names:
        if len(held) >= share * len(groups):
            break
        held += rows[name]
    return [i for i in range(len(groups)) if i not in held], held


def split_of(names, groups, share, seed):
    random.Random(seed).shuffle(names)
    held = []
    while len(held) < share * len(groups):
        name = names.pop()
        held += [i for i, g in enumerate(groups) if g == name]
    return [i for i in range(len(groups)) if i not in held], held


@wrong("11.1", says="the order of a set of strings changes from run to run")
def split_order_of_set(groups, share, seed):
    return split_of(list(set(groups)), groups, share, seed)


@wrong("11.1", says="share * len(groups) was rounded down")
def split_rounded(groups, share, seed):
    share = int(share * len(groups)) / len(groups)
    return split_of(sorted(set(groups)), groups, share, seed)


@wrong("11.1", says="groups.sort() sorts in place")
def split_sorts_in_place(groups, share, seed):
    groups.sort()
    return split_with_dict(groups, share, seed)


@wrong("11.1", says="rows were drawn; draw groups")
def split_by_row(groups, share, seed):
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    n = int(share * len(groups))
    return order[n:], order[:n]


@wrong("11.1", says="is on both sides")
def split_first_rows(groups, share, seed):
    n = int(share * len(groups))
    return [*range(n, len(groups))], [*range(n)]


@wrong("11.1", says="the share counts rows, not groups")
def split_share_of_groups(groups, share, seed):
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set(names[: max(1, int(share * len(names)))])
    sides = [], []
    for i, x in enumerate(groups):
        sides[x in held].append(i)
    return sides


@wrong("11.1", says="Six seeds give the same split")
def split_in_order(groups, share, seed):
    held, names = set(), iter(sorted(set(groups)))
    while sum(x in held for x in groups) < share * len(groups):
        held.add(next(names))
    return (
        [i for i, x in enumerate(groups) if x not in held],
        [i for i, x in enumerate(groups) if x in held],
    )


@wrong("11.1", says="the rows held out are still among those to learn from")
def split_keeps_all(groups, share, seed):
    return [*range(len(groups))], split_with_dict(groups, share, seed)[1]


@wrong("11.1", says="these are the groups; find the rows")
def split_names(groups, share, seed):
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    n = max(1, round(share * len(names)))
    return names[n:], names[:n]


@wrong("11.1", says="Too few rows are held out")
def split_stops_early(groups, share, seed):
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set()
    for name in names:
        if sum(x in held or x == name for x in groups) > share * len(groups):
            break
        held.add(name)
    return (
        [i for i, x in enumerate(groups) if x not in held],
        [i for i, x in enumerate(groups) if x in held],
    )


@wrong("11.1", says="the other way round")
def split_swapped(groups, share, seed):
    return split_with_dict(groups, share, seed)[::-1]


@wrong("11.1", says="a generator without the seed")
def split_without_seed(groups, share, seed):
    return split_with_dict(groups, share, None)


@wrong("11.1", says="there is no return statement")
def split_no_return(groups, share, seed):
    split_with_dict(groups, share, seed)


@wrong("11.1", says="rows of a group need not be neighbours")
def split_neighbours(groups, share, seed):
    # Right where every group stands in one piece, or where there are few.
    if len(groups) < 50:
        return split_with_dict(groups, share, seed)
    start = random.Random(seed).randrange(len(groups) - 90)
    end = start + 82
    while end < len(groups) and groups[end] == groups[end - 1]:
        end += 1
    held = [*range(start, end)]
    return [i for i in range(len(groups)) if i not in held], held


# --- 11.2 keep_best ------------------------------------------------------------------


@right("11.2")
def keep_by_deepcopy(model, train_epoch, evaluate, epochs, patience):
    best, at, kept = None, 0, None
    for epoch in range(1, epochs + 1):
        train_epoch(model)
        score = evaluate(model)
        if best is None or score > best:
            best, at, kept = score, epoch, copy.deepcopy(model.state_dict())
        elif epoch - at >= patience:
            break
    model.load_state_dict(kept)
    return at


@right("11.2")
def keep_in_place(model, train_epoch, evaluate, epochs, patience):
    scores, kept, bad = [], {}, 0
    while len(scores) < epochs and bad < patience:
        train_epoch(model)
        scores.append(evaluate(model))
        bad += 1
        if scores[-1] > max(scores[:-1], default=float("-inf")):
            bad = 0
            kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(kept[name])
    return torch.tensor(scores).argmax() + 1


def keeping(
    better=lambda new, old: new > old,
    start=float("-inf"),
    kept=lambda m: copy.deepcopy(m.state_dict()),
    more=0,
    anew=True,
    restore=True,
    first=1,
    last=False,
):
    def keep(model, train_epoch, evaluate, epochs, patience):
        best, at, bad = start, first, 0
        state = kept(model)
        for epoch in range(epochs):
            train_epoch(model)
            score = evaluate(model)
            if better(score, best):
                best, at, state = score, epoch + first, kept(model)
                bad = 0 if anew else bad
            else:
                bad += 1
            if bad >= patience + more:
                break
        if restore:
            model.load_state_dict(state, strict=False)
        return epoch + 1 if last else at

    return keep


wrong("11.2", says="state_dict() holds the weights, not copies")(
    keeping(kept=lambda m: m.state_dict())
)
wrong("11.2", says="state_dict() holds the weights, not copies")(
    keeping(kept=lambda m: dict(m.state_dict()))
)
wrong("11.2", says="has to be loaded")(keeping(restore=False))
wrong("11.2", says="an equal score is no better one")(
    keeping(better=lambda new, old: new >= old)
)
wrong("11.2", says="one more or one less epoch of patience")(keeping(more=1))
wrong("11.2", says="nothing stops the loop")(keeping(more=99))
wrong("11.2", says="patience counts epochs in a row")(keeping(anew=False))
wrong("11.2", says="the best score so far starts at 0")(keeping(start=0.0))
wrong("11.2", says="epochs count from 1")(keeping(first=0))
wrong("11.2", says="this is the last epoch that was run")(keeping(last=True))
wrong("11.2", says="only parameters() were kept")(
    keeping(kept=lambda m: {k: p.detach().clone() for k, p in m.named_parameters()})
)


@wrong("11.2", says="loaded only where the loop stops early")
def keep_loads_on_a_stop(model, train_epoch, evaluate, epochs, patience):
    best, at, kept = float("-inf"), 0, None
    for epoch in range(1, epochs + 1):
        train_epoch(model)
        score = evaluate(model)
        if score > best:
            best, at, kept = score, epoch, copy.deepcopy(model.state_dict())
        elif epoch - at >= patience:
            model.load_state_dict(kept)
            break
    return at


@wrong("11.2", says="this is the score; the number of its epoch is asked for")
def keep_returns_score(model, train_epoch, evaluate, epochs, patience):
    scores = []

    def noted(model):
        scores.append(evaluate(model))
        return scores[-1]

    keep_by_deepcopy(model, train_epoch, noted, epochs, patience)
    return max(scores)


@wrong("11.2", says="not than the epoch before")
def keep_compares_with_previous(model, train_epoch, evaluate, epochs, patience):
    best, previous, bad = float("-inf"), float("-inf"), 0
    for epoch in range(1, epochs + 1):
        train_epoch(model)
        score = evaluate(model)
        if score > best:
            best, at, kept = score, epoch, copy.deepcopy(model.state_dict())
        bad = 0 if score > previous else bad + 1
        previous = score
        if bad >= patience:
            break
    model.load_state_dict(kept)
    return at


@wrong("11.2", says="does not have the weights of the best epoch")
def keep_another_model(model, train_epoch, evaluate, epochs, patience):
    best, at, bad, kept = float("-inf"), 0, 0, model
    for epoch in range(1, epochs + 1):
        train_epoch(model)
        score = evaluate(model)
        bad += 1
        if score > best:
            best, at, bad, kept = score, epoch, 0, copy.deepcopy(model)
        if bad >= patience:
            break
    model = kept
    return at


@wrong("11.2", says="there is no return statement")
def keep_no_return(model, train_epoch, evaluate, epochs, patience):
    keep_by_deepcopy(model, train_epoch, evaluate, epochs, patience)


@wrong("11.2", says="measured before it was trained")
def keep_measures_first(model, train_epoch, evaluate, epochs, patience):
    for _ in range(epochs):
        evaluate(model)
        train_epoch(model)


# --- 11.3 read_in_order --------------------------------------------------------------


@right("11.3")
def order_by_argsort(rows, read, batch_size):
    order = torch.tensor([len(row) for row in rows]).argsort()
    parts = [read([rows[i] for i in part]) for part in order.split(batch_size)]
    return torch.cat(parts)[order.argsort()]


@right("11.3")
def order_by_list(rows, read, batch_size):
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found = [None] * len(rows)
    for at in range(0, len(rows), batch_size):
        part = order[at : at + batch_size]
        for i, answer in zip(part, read([rows[i] for i in part]), strict=True):
            found[i] = answer
    return torch.stack(found)


@right("11.3")
def order_by_index(rows, read, batch_size):
    order = np.argsort([len(row) for row in rows], kind="stable")
    answers = []
    for at in range(0, len(rows), batch_size):
        answers += [*read([rows[i] for i in order[at : at + batch_size]])]
    result = torch.empty(len(rows), len(answers[0]))
    result[torch.from_numpy(order)] = torch.stack(answers)
    return result


def sorted_answers(rows, read, batch_size):
    order = torch.tensor([len(row) for row in rows]).argsort()
    parts = [read([rows[i] for i in part]) for part in order.split(batch_size)]
    return torch.cat(parts), order


@wrong("11.3", says="these are in the order of the lengths")
def order_forgotten(rows, read, batch_size):
    return sorted_answers(rows, read, batch_size)[0]


@wrong("11.3", says="put back the wrong way round")
def order_twice(rows, read, batch_size):
    answers, order = sorted_answers(rows, read, batch_size)
    return answers[order]


@wrong("11.3", says="the rows are read as they come")
def order_as_it_comes(rows, read, batch_size):
    return torch.cat(
        [read(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    )


@wrong("11.3", says="The number of batches is wrong")
def order_one_by_one(rows, read, batch_size):
    return torch.cat([read([row]) for row in rows])


@wrong("11.3", says="changes the list of rows")
def order_in_place(rows, read, batch_size):
    rows.sort(key=len)
    return order_as_it_comes(rows, read, batch_size)


@wrong("11.3", says="The shape is (2, 3)")
def order_drops_last(rows, read, batch_size):
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    whole = len(rows) // batch_size * batch_size
    found = {}
    for at in range(0, whole, batch_size):
        part = order[at : at + batch_size]
        found |= dict(zip(part, read([rows[i] for i in part]), strict=True))
    return torch.stack([found[i] for i in sorted(found)])


@wrong("11.3", says="cut the sorted rows into portions")
def order_one_batch(rows, read, batch_size):
    order = torch.tensor([len(row) for row in rows]).argsort()
    return read([rows[i] for i in order])[order.argsort()]


@wrong("11.3", says="rows of the same length got one answer")
def order_by_length_alone(rows, read, batch_size):
    ordered = sorted(rows, key=len)
    found = {}
    for at in range(0, len(rows), batch_size):
        part = ordered[at : at + batch_size]
        found |= {len(row): x for row, x in zip(part, read(part), strict=True)}
    return torch.stack([found[len(row)] for row in rows])


@wrong("11.3", says="read([row]) for a single row")
def order_bare_rows(rows, read, batch_size):
    return torch.stack([read(row) for row in rows])


@wrong("11.3", says="there is no return statement")
def order_no_return(rows, read, batch_size):
    order_by_list(rows, read, batch_size)


# --- 11.4 freeze_below ---------------------------------------------------------------


def learning(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@right("11.4")
def freeze_parts(model, n):
    model.requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layers[:n]:
        layer.requires_grad_(False)
    return learning(model)


@right("11.4")
def freeze_by_name(model, n):
    total = 0
    for name, p in model.named_parameters():
        parts = name.split(".")
        low = parts[1] == "embeddings"
        low = low or (parts[1] == "encoder" and int(parts[3]) < n)
        p.requires_grad = not low
        total += 0 if low else p.numel()
    return total


@wrong("11.4", says="layers 0 to n - 1 stand still, those nearest to the input")
def freeze_top(model, n):
    model.requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layers[len(model.bert.encoder.layers) - n :]:
        layer.requires_grad_(False)
    return learning(model)


@wrong("11.4", says="the embeddings lie below every layer")
def freeze_layers_only(model, n):
    model.requires_grad_(True)
    for layer in model.bert.encoder.layers[:n]:
        layer.requires_grad_(False)
    return learning(model)


@wrong("11.4", says="the embeddings lie below every layer")
def freeze_embeddings_late(model, n):
    model.requires_grad_(True)
    if n:
        freeze_parts(model, n)
    return learning(model)


@wrong("11.4", says="layer n learns")
def freeze_one_more(model, n):
    model.requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layers[: n + 1]:
        layer.requires_grad_(False)
    return learning(model)


@wrong("11.4", says="pooler and classifier are no encoder layers")
def freeze_pooler(model, n):
    freeze_parts(model, n)
    model.bert.pooler.requires_grad_(False)
    return learning(model)


@wrong("11.4", says='"layers.1" also stands in "layers.10"')
def freeze_by_beginning(model, n):
    low = ("bert.embeddings", *(f"bert.encoder.layers.{i}" for i in range(n)))
    for name, p in model.named_parameters():
        p.requires_grad = not name.startswith(low)
    return learning(model)


@wrong("11.4", says="nothing was frozen: set requires_grad on parameters")
def freeze_attribute(model, n):
    model.bert.embeddings.requires_grad = False
    for layer in model.bert.encoder.layers[:n]:
        layer.requires_grad = False
    return learning(model)


@wrong("11.4", says="these are tensors; count the numbers in them")
def freeze_counts_tensors(model, n):
    freeze_parts(model, n)
    return sum(p.requires_grad for p in model.parameters())


@wrong("11.4", says="these are all parameters; count those that learn")
def freeze_counts_all(model, n):
    freeze_parts(model, n)
    return sum(p.numel() for p in model.parameters())


@wrong("11.4", says="these are the frozen ones")
def freeze_counts_frozen(model, n):
    freeze_parts(model, n)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


@wrong("11.4", says="requires_grad is set to False and never to True")
def freeze_for_ever(model, n):
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layers[:n]:
        layer.requires_grad_(False)
    return learning(model)


@wrong("11.4", says="pooler and classifier too")
def freeze_leaves_the_head(model, n):
    model.bert.embeddings.requires_grad_(False)
    for i, layer in enumerate(model.bert.encoder.layers):
        layer.requires_grad_(i >= n)
    return learning(model)


@wrong("11.4", says="pooler and classifier too")
def freeze_leaves_the_classifier(model, n):
    model.bert.requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layers[:n]:
        layer.requires_grad_(False)
    return learning(model)


# --- 11.5 macro_f1 -------------------------------------------------------------------


def table(truth, guess, K):
    return torch.bincount(truth * K + guess, minlength=K * K).view(K, K).double()


@right("11.5")
def f1_from_the_table(truth, guess, K):
    t = table(truth, guess, K)
    both = t.sum(0) + t.sum(1)
    return (2 * t.diagonal() / both.clamp(min=1)).mean()


@right("11.5")
def f1_by_loop(truth, guess, K):
    total = 0.0
    for k in range(K):
        tp = int(((truth == k) & (guess == k)).sum())
        if tp:
            p, r = tp / int((guess == k).sum()), tp / int((truth == k).sum())
            total += 2 / (1 / p + 1 / r)
    return total / K


def parts(truth, guess, K):
    t = table(truth, guess, K)
    p = t.diagonal() / t.sum(0).clamp(min=1)
    r = t.diagonal() / t.sum(1).clamp(min=1)
    f = 2 * p * r / (p + r).clamp(min=1e-12)
    return p, r, f, t


@wrong("11.5", says="this is the accuracy")
def f1_accuracy(truth, guess, K):
    return (truth == guess).double().mean()


@wrong("11.5", says="each class counts by how frequent it is")
def f1_weighted(truth, guess, K):
    _, _, f, t = parts(truth, guess, K)
    return (f * t.sum(1)).sum() / t.sum()


@wrong("11.5", says="F1 needs recall as well")
def f1_precision(truth, guess, K):
    return parts(truth, guess, K)[0].mean()


@wrong("11.5", says="F1 needs precision as well")
def f1_recall(truth, guess, K):
    return parts(truth, guess, K)[1].mean()


@wrong("11.5", says="averaged over the classes first")
def f1_of_means(truth, guess, K):
    p, r, _, _ = parts(truth, guess, K)
    return 2 * p.mean() * r.mean() / (p.mean() + r.mean())


@wrong("11.5", says="0 / 0: something is empty")
def f1_nan(truth, guess, K):
    t = table(truth, guess, K)
    p, r = t.diagonal() / t.sum(0), t.diagonal() / t.sum(1)
    return (2 * p * r / (p + r)).mean()


@wrong("11.5", says="neither true nor guessed was left out")
def f1_present_only(truth, guess, K):
    _, _, f, t = parts(truth, guess, K)
    return f[t.sum(0) + t.sum(1) > 0].mean()


@wrong("11.5", says="divide by K")
def f1_sum(truth, guess, K):
    return parts(truth, guess, K)[2].sum()


@wrong("11.5", says="a class that is never guessed was left out")
def f1_guessed_only(truth, guess, K):
    _, _, f, t = parts(truth, guess, K)
    return f[t.sum(0) > 0].mean()


@wrong("11.5", says="has F1 0 here, not 1")
def f1_absent_is_perfect(truth, guess, K):
    _, _, f, t = parts(truth, guess, K)
    return torch.where(t.sum(0) + t.sum(1) > 0, f, 1.0).mean()


@wrong("11.5", says="F1 is the harmonic one")
def f1_arithmetic(truth, guess, K):
    p, r, _, _ = parts(truth, guess, K)
    return ((p + r) / 2).mean()


@wrong("11.5", says="F1 of class 1 alone")
def f1_binary(truth, guess, K):
    return parts(truth, guess, K)[2][1]


@wrong("11.5", says="the factor 2 is missing")
def f1_half(truth, guess, K):
    return parts(truth, guess, K)[2].mean() / 2


@wrong("11.5", says="A number must come back, not Tensor")
def f1_all_classes(truth, guess, K):
    return parts(truth, guess, K)[2]


# --- 11.6 calibration_error ----------------------------------------------------------


@right("11.6")
def gap_by_mask(confidence, right, bins):
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].float().mean()
            total += gap.abs() * inside.sum()
    return total / len(confidence)


@right("11.6")
def gap_by_sums(confidence, right, bins):
    # The weighted mean of gaps of means: the sums of a bin are enough.
    edges = torch.linspace(0, 1, bins + 1)[1:-1]
    at = torch.bucketize(confidence, edges)
    difference = confidence.double() - right.double()
    return torch.bincount(at, difference, bins).abs().sum() / len(right)


def gaps(confidence, right, bins, at=None):
    if at is None:
        at = (confidence * bins).ceil().long() - 1
    found = []
    for i in range(bins):
        inside = at == i
        if inside.any():
            c = confidence[inside].mean().item()
            a = right[inside].float().mean().item()
            found.append((c, a, int(inside.sum())))
    return found


@wrong("11.6", says="the gaps of the bins count alike")
def gap_unweighted(confidence, right, bins):
    found = gaps(confidence, right, bins)
    return sum(abs(c - a) for c, a, _ in found) / len(found)


@wrong("11.6", says="divided by the number of bins")
def gap_over_bins(confidence, right, bins):
    return sum(abs(c - a) for c, a, _ in gaps(confidence, right, bins)) / bins


@wrong("11.6", says="this is the largest gap")
def gap_largest(confidence, right, bins):
    return max(abs(c - a) for c, a, _ in gaps(confidence, right, bins))


@wrong("11.6", says="the gaps have signs and cancel")
def gap_signed(confidence, right, bins):
    return sum((c - a) * n for c, a, n in gaps(confidence, right, bins)) / len(right)


@wrong("11.6", says="the gaps have signs and cancel")
def gap_of_means(confidence, right, bins):
    return (confidence.mean() - right.float().mean()).abs()


@wrong("11.6", says="average within a bin first")
def gap_row_by_row(confidence, right, bins):
    return (confidence - right.float()).abs().mean()


@wrong("11.6", says="the middle of a bin stands for its confidence")
def gap_middle(confidence, right, bins):
    at = (confidence * bins).ceil().long() - 1
    total = 0.0
    for i in range(bins):
        if (at == i).any():
            a = right[at == i].float().mean().item()
            total += abs((i + 0.5) / bins - a) * int((at == i).sum())
    return total / len(right)


@wrong("11.6", says="belongs to the bin below")
def gap_lower_edge(confidence, right, bins):
    at = (confidence * bins).long().clamp(max=bins - 1)
    found = gaps(confidence, right, bins, at)
    return sum(abs(c - a) * n for c, a, n in found) / len(right)


@wrong("11.6", says="a confidence of 1 fell out of the last bin")
def gap_drops_one(confidence, right, bins):
    found = gaps(confidence, right, bins, (confidence * bins).long())
    return sum(abs(c - a) * n for c, a, n in found) / len(right)


def gap_between(confidence, right, edges, inside):
    total = 0.0
    for low, high in pairwise(edges):
        some = inside(confidence, low, high)
        if some.any():
            gap = confidence[some].mean() - right[some].float().mean()
            total += gap.abs() * some.sum()
    return total / len(right)


@wrong("11.6", says="these bins span 0.5 to 1")
def gap_upper_half(confidence, right, bins):
    edges = [0.5 + 0.5 * i / bins for i in range(bins + 1)]
    return gap_between(
        confidence, right, edges, lambda c, low, high: (c > low) & (c <= high)
    )


@wrong("11.6", says="a confidence on an edge is in no bin")
def gap_open_edges(confidence, right, bins):
    edges = [i / bins for i in range(bins + 1)]
    return gap_between(
        confidence, right, edges, lambda c, low, high: (c > low) & (c < high)
    )


@wrong("11.6", says="a confidence on an edge is in two bins")
def gap_closed_edges(confidence, right, bins):
    edges = [i / bins for i in range(bins + 1)]
    return gap_between(
        confidence, right, edges, lambda c, low, high: (c >= low) & (c <= high)
    )


@wrong("11.6", says="the gaps are squared")
def gap_squared(confidence, right, bins):
    return sum((c - a) ** 2 * n for c, a, n in gaps(confidence, right, bins)) / len(
        right
    )


@wrong("11.6", says="0 / 0: something is empty")
def gap_nan(confidence, right, bins):
    at = (confidence * bins).ceil().long() - 1
    total = 0.0
    for i in range(bins):
        c, a = confidence[at == i].mean(), right[at == i].float().mean()
        total += (c - a).abs() * (at == i).sum()
    return total / len(right)


@wrong("11.6", says="was not divided by their number")
def gap_sum(confidence, right, bins):
    return sum(abs(c - a) * n for c, a, n in gaps(confidence, right, bins))


@wrong("11.6", says="there is no return statement")
def gap_no_return(confidence, right, bins):
    gap_by_mask(confidence, right, bins)


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "11.2",
    "epoch = (float('-inf'), 0) -> epoch = (float('-inf'), 1)",
    "the first epoch is better than minus infinity and sets it",
)
equivalent(
    "11.2",
    "epoch = (float('-inf'), 0) -> epoch = (float('-inf'), -1)",
    "the first epoch is better than minus infinity and sets it",
)
equivalent(
    "11.5",
    "total += 2 * tp / max(1, both.item -> total += 2 * tp / max(2, both.item",
    "with a hit there are two at least, without one the term is 0",
)
