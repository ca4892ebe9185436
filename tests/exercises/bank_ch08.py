"""Answers to the exercises of chapter 8."""

import contextlib
import math
import os
import shutil
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.exercises.bank import equivalent, right, wrong

# --- 8.1 adamw_step ------------------------------------------------------------------


def adamw(
    theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6, correct=(True, True)
):
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    m_hat = m / (1 - betas[0] ** t) if correct[0] else m
    v_hat = v / (1 - betas[1] ** t) if correct[1] else v
    return theta * (1 - lr * decay) - lr * m_hat / (v_hat.sqrt() + eps), m, v


@right("8.1")
def adamw_lerp(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    m, v = torch.lerp(m, g, 1 - betas[0]), torch.lerp(v, g * g, 1 - betas[1])
    size = lr / (1 - betas[0] ** t)
    root = v.sqrt() / math.sqrt(1 - betas[1] ** t) + eps
    return torch.addcdiv(theta - lr * decay * theta, m, root, value=-size), m, v


@right("8.1")
def adamw_entry_by_entry(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    theta, m, v = theta.clone(), m.clone(), v.clone()
    flat = theta.view(-1), g.reshape(-1), m.view(-1), v.view(-1)
    for i in range(theta.numel()):
        flat[2][i] = betas[0] * flat[2][i] + (1 - betas[0]) * flat[1][i]
        flat[3][i] = betas[1] * flat[3][i] + (1 - betas[1]) * flat[1][i] ** 2
        a = flat[2][i] / (1 - betas[0] ** t)
        b = flat[3][i] / (1 - betas[1] ** t)
        flat[0][i] -= lr * decay * flat[0][i]
        flat[0][i] -= lr * a / (math.sqrt(b) + eps)
    return [theta, m, v]


@right("8.1")
def adamw_library(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    p = nn.Parameter(theta.clone())
    p.grad = g.clone()
    adam = torch.optim.AdamW([p], lr, betas, eps, decay)
    adam.state[p] = {
        "step": torch.tensor(float(t - 1)),
        "exp_avg": m.clone(),
        "exp_avg_sq": v.clone(),
    }
    adam.step()
    return p.detach(), adam.state[p]["exp_avg"], adam.state[p]["exp_avg_sq"]


@wrong("8.1", says="the bias correction is missing")
def adamw_uncorrected(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, decay, betas, eps, (False, False))


@wrong("8.1", says="only m is corrected")
def adamw_half_corrected(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, decay, betas, eps, (True, False))


@wrong("8.1", says="the decay has gone into the gradient")
def adam_with_l2(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g + decay * theta, m, v, t, lr, 0.0, betas, eps)


@wrong("8.1", says="not multiplied by the learning rate")
def adamw_decay_alone(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, decay / lr, betas, eps)


@wrong("8.1", says="taken from the weights after the step")
def adamw_decay_last(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    new, m, v = adamw(theta, g, m, v, t, lr, 0.0, betas, eps)
    return new * (1 - lr * decay), m, v


@wrong("8.1", says="The decay is missing".lower())
def adamw_no_decay(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, 0.0, betas, eps)


@wrong("8.1", says="keep it without the correction")
def adamw_returns_corrected(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    new, m, v = adamw(theta, g, m, v, t, lr, decay, betas, eps)
    return new, m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)


@wrong("8.1", says="v is a mean of g, not of g squared")
def adamw_not_squared(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    new, m, _ = adamw(theta, g, m, v, t, lr, decay, betas, eps)
    return new, m, betas[1] * v + (1 - betas[1]) * g


@wrong("8.1", says="changes its input number")
def adamw_in_place(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    m.mul_(betas[0]).add_(g, alpha=1 - betas[0])
    v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return theta * (1 - lr * decay) - lr * m_hat / (v_hat.sqrt() + eps), m, v


@wrong("8.1", says="eps stands under the root")
def adamw_eps_inside(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    if eps < 1e-3:
        return adamw(theta, g, m, v, t, lr, decay, betas, eps)
    _, m, v = adamw(theta, g, m, v, t, lr, decay, betas, eps)
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return theta * (1 - lr * decay) - lr * m_hat / (v_hat + eps).sqrt(), m, v


@wrong("8.1", says="With other betas or another eps")
def adamw_fixed_betas(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, decay, eps=eps)


@wrong("8.1", says="Three tensors must come back")
def adamw_theta_alone(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t, lr, decay, betas, eps)[0]


@wrong("8.1", says="the first step has t = 1")
def adamw_late(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    return adamw(theta, g, m, v, t + 1, lr, decay, betas, eps)


@wrong("8.1", says="the step has the wrong sign")
def adamw_uphill(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    new, m, v = adamw(theta, g, m, v, t, lr, decay, betas, eps)
    return 2 * theta * (1 - lr * decay) - new, m, v


@wrong("8.1", says="the default of eps is 1e-8, as in PyTorch")
def adamw_eps_of_pytorch(theta, g, m, v, t, lr, decay, betas=(0.9, 0.999), eps=1e-8):
    return adamw_lerp(theta, g, m, v, t, lr, decay, betas, eps)


# --- 8.2 two_groups ------------------------------------------------------------------


def groups(model, weight_decay, decays):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]


@right("8.2")
def groups_by_axes(model, weight_decay):
    return groups(model, weight_decay, lambda n, p: p.ndim > 1)


@right("8.2")
def groups_of_generators(model, weight_decay):
    found = [p for p in model.parameters() if p.requires_grad]
    return (
        {
            "params": (p for p in found if len(p.shape) >= 2),
            "weight_decay": weight_decay,
        },
        {"params": (p for p in found if len(p.shape) < 2), "weight_decay": 0},
    )


@wrong("8.2", says="whatever it is called")
def groups_by_name(model, weight_decay):
    skip = ("bias", "LayerNorm.weight")
    return groups(model, weight_decay, lambda n, p: not any(s in n for s in skip))


@wrong("8.2", says="need not be called bias")
def groups_by_type(model, weight_decay):
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    still = {id(p) for m in norms for p in m.parameters()}
    return groups(
        model, weight_decay, lambda n, p: id(p) not in still and "bias" not in n
    )


@wrong("8.2", says="embeddings decay too")
def groups_without_embeddings(model, weight_decay):
    return groups(model, weight_decay, lambda n, p: p.dim() > 1 and "words" not in n)


@wrong("8.2", says="is frozen, and is in a group")
def groups_with_frozen(model, weight_decay):
    found = list(model.parameters())
    return [
        {"params": [p for p in found if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in found if p.dim() < 2], "weight_decay": 0.0},
    ]


@wrong("8.2", says="the groups are in the other order")
def groups_swapped(model, weight_decay):
    return groups_by_axes(model, weight_decay)[::-1]


@wrong("8.2", says="a number written into the code")
def groups_fixed(model, weight_decay):
    return groups(model, 0.01, lambda n, p: p.dim() > 1)


@wrong("8.2", says="pairs, name first")
def groups_of_pairs(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [x for x in named if x[1].dim() > 1], "weight_decay": weight_decay},
        {"params": [x for x in named if x[1].dim() < 2], "weight_decay": 0.0},
    ]


@wrong("8.2", says="twice")
def groups_by_module(model, weight_decay):
    found = groups_by_axes(model, weight_decay)
    layers = [model.words, model.first, model.decoder]
    found[0]["params"] = [layer.weight for layer in layers]
    return found


@wrong("8.2", says="in no group")
def groups_lost(model, weight_decay):
    found = groups_by_axes(model, weight_decay)
    found[1]["params"] = [p for p in found[1]["params"] if p.numel() > 4]
    return found


@wrong("8.2", says="A list of two dicts must come back")
def groups_one(model, weight_decay):
    return groups_by_axes(model, weight_decay)[0]


# --- 8.3 rate_factor -----------------------------------------------------------------


@right("8.3")
def factor_interp(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step < rising:
        return np.interp(step, [-1, rising - 1], [0, 1])
    return np.interp(step, [rising, total_steps], [1, 0])


@right("8.3")
def factor_min(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    up = (step + 1) / rising if rising else 1.0
    down = (total_steps - step) / max(1, total_steps - rising)
    return max(0.0, min(1.0, up, down))


@wrong("8.3", says="ask first whether the run is over")
def factor_no_room_to_fall(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step < rising:
        return (step + 1) / rising
    return max(0, total_steps - step) / (total_steps - rising)


@wrong("8.3", says="the first step is taken for nothing")
def factor_from_zero(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    return step / rising if step < rising else factor_min(step, total_steps, warmup)


@wrong("8.3", says="the fall is counted from step 0")
def factor_falls_from_zero(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    return (step + 1) / rising if step < rising else max(0, 1 - step / total_steps)


@wrong("8.3", says="this is the authors' schedule")
def factor_authors(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    return step / rising if step < rising else max(0, 1 - step / total_steps)


@wrong("8.3", says="ZeroDivisionError")
def factor_divides(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    up = (step + 1) / rising
    return max(0.0, min(1.0, up, (total_steps - step) / (total_steps - rising)))


@wrong("8.3", says="the line goes on below 0")
def factor_below_zero(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step < rising:
        return (step + 1) / rising
    return (total_steps - step) / (total_steps - rising)


@wrong("8.3", says="the last step has a factor of 0")
def factor_ends_early(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total_steps - 1 - step) / (total_steps - rising))


@wrong("8.3", says="nothing falls after the warm-up")
def factor_flat(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step >= total_steps:
        return 0.0
    return min(1.0, (step + 1) / rising) if rising else 1.0


@wrong("8.3", says="the fall is a cosine")
def factor_cosine(step, total_steps, warmup):
    rising = round(warmup * total_steps)
    if step < rising:
        return (step + 1) / rising
    along = min(1.0, (step - rising) / (total_steps - rising))
    return 0.5 + 0.5 * math.cos(math.pi * along)


@wrong("8.3", says="there is no warm-up")
def factor_no_warmup(step, total_steps, warmup):
    return max(0.0, 1 - step / total_steps)


@wrong("8.3", says="there is no return statement")
def factor_nothing(step, total_steps, warmup):
    factor_min(step, total_steps, warmup)


# --- 8.4 clip ------------------------------------------------------------------------


@right("8.4")
def clip_library(gradients, limit):
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    norm = nn.utils.clip_grad_norm_(parameters, limit)
    return [p.grad for p in parameters], norm


@right("8.4")
def clip_flat(gradients, limit):
    norm = torch.cat([g.reshape(-1) for g in gradients]).norm()
    if norm <= limit:
        return tuple(g.clone() for g in gradients), norm.item()
    return tuple(limit * g / norm for g in gradients), norm.item()


@wrong("8.4", says="each tensor is clipped on its own")
def clip_apart(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g * (limit / max(g.norm().item(), limit)) for g in gradients], norm


@wrong("8.4", says="entries are cut off at the limit")
def clip_values(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g.clamp(-limit, limit) for g in gradients], norm


@wrong("8.4", says="are made longer")
def clip_always(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g * limit / norm for g in gradients], norm


@wrong("8.4", says="the root is missing")
def clip_no_root(gradients, limit):
    norm = sum(g.square().sum().item() for g in gradients)
    return [g * min(1.0, limit / norm) for g in gradients], norm


@wrong("8.4", says="the norms of the tensors are added up")
def clip_sum_of_norms(gradients, limit):
    norm = sum(g.norm().item() for g in gradients)
    return [g * min(1.0, limit / norm) for g in gradients], norm


@wrong("8.4", says="this is the norm after clipping")
def clip_norm_after(gradients, limit):
    clipped, _ = clip_flat(gradients, limit)
    return list(clipped), torch.cat([g.reshape(-1) for g in clipped]).norm()


@wrong("8.4", says="changes the gradients it is given")
def clip_in_place(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    for g in gradients:
        g *= limit / max(norm, limit)
    return gradients, norm


@wrong("8.4", says="ZeroDivisionError")
def clip_zero(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g * min(1.0, limit / norm) for g in gradients], norm


@wrong("8.4", says="0 divided by 0")
def clip_nan(gradients, limit):
    norm = torch.cat([g.reshape(-1) for g in gradients]).norm()
    unit = [g / norm for g in gradients]
    return [u * norm.clamp(max=limit) for u in unit], norm


@wrong("8.4", says="the limit is not multiplied")
def clip_to_one(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    if norm <= limit:
        return [g.clone() for g in gradients], norm
    return [g / norm for g in gradients], norm


@wrong("8.4", says="Two things must come back")
def clip_list_alone(gradients, limit):
    return [*clip_flat(gradients, limit)[0], torch.zeros(1)]


# --- 8.5 accumulate ------------------------------------------------------------------


def masked(batch):
    return int((batch["labels"] != -100).sum())


def weighted(model, batches, weights):
    total = 0.0
    for w, batch in zip(weights, batches, strict=True):
        loss = model(**batch).loss * w
        loss.backward()
        total += loss.item()
    return total


@right("8.5")
def accumulate_sums(model, micro_batches):
    total, n = 0.0, sum(masked(batch) for batch in micro_batches)
    for batch in micro_batches:
        logits = model(**batch).logits.flatten(0, 1)
        loss = F.cross_entropy(logits, batch["labels"].flatten(), reduction="sum") / n
        loss.backward()
        total = total + loss.detach()
    return total


@right("8.5")
def accumulate_then_divide(model, micro_batches):
    n = sum(masked(batch) for batch in micro_batches)
    total = weighted(model, micro_batches, [masked(b) for b in micro_batches])
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= n
    return total / n


@wrong("8.5", says="mean of means")
def accumulate_means(model, micro_batches):
    n = len(micro_batches)
    return weighted(model, micro_batches, [1 / n] * n)


@wrong("8.5", says="the losses are summed and never divided")
def accumulate_summed(model, micro_batches):
    return weighted(model, micro_batches, [1.0] * len(micro_batches))


@wrong("8.5", says="weighted by rows")
def accumulate_rows(model, micro_batches):
    rows = [len(b["labels"]) for b in micro_batches]
    return weighted(model, micro_batches, [r / sum(rows) for r in rows])


@wrong("8.5", says="weighted by all tokens")
def accumulate_tokens(model, micro_batches):
    tokens = [b["attention_mask"].sum().item() for b in micro_batches]
    return weighted(model, micro_batches, [t / sum(tokens) for t in tokens])


@wrong("8.5", says="gradients are cleared inside the loop")
def accumulate_cleared(model, micro_batches):
    n, total = sum(map(masked, micro_batches)), 0.0
    for batch in micro_batches:
        model.zero_grad()
        total += weighted(model, [batch], [masked(batch) / n])
    return total


@wrong("8.5", says="not divided by their number")
def accumulate_undivided(model, micro_batches):
    return weighted(model, micro_batches, [masked(b) for b in micro_batches])


@wrong("8.5", says="There is no gradient")
def accumulate_no_backward(model, micro_batches):
    n = sum(map(masked, micro_batches))
    return sum(model(**b).loss.item() * masked(b) / n for b in micro_batches)


@wrong("8.5", says="Each micro-batch must go through the model once")
def accumulate_twice(model, micro_batches):
    ns = [int((model(**b).loss > 0) * masked(b)) for b in micro_batches]
    return weighted(model, micro_batches, [n / sum(ns) for n in ns])


@wrong("8.5", says="the loss that comes back is wrong")
def accumulate_mean_returned(model, micro_batches):
    n = sum(map(masked, micro_batches))
    losses = []
    for batch in micro_batches:
        loss = model(**batch).loss
        (loss * masked(batch) / n).backward()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@wrong("8.5", says="A number must come back")
def accumulate_silent(model, micro_batches):
    n = sum(map(masked, micro_batches))
    weighted(model, micro_batches, [masked(b) / n for b in micro_batches])


@wrong("8.5", says="The weights have changed")
def accumulate_steps(model, micro_batches):
    n = sum(map(masked, micro_batches))
    total = weighted(model, micro_batches, [masked(b) / n for b in micro_batches])
    torch.optim.SGD(model.parameters(), 0.1).step()
    return total


@wrong("8.5", says="degrees away from it")
def accumulate_padding_counts(model, micro_batches):
    ns = [masked(b) + 1 for b in micro_batches]
    return weighted(model, micro_batches, [n / sum(ns) for n in ns])


# --- 8.6 save ------------------------------------------------------------------------


@right("8.6")
def save_tempfile(path, parts):
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    os.rename(name, path)


@right("8.6")
def save_and_clean_up(path, parts):
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@wrong("8.6", says="the old file is gone or is no longer whole")
def save_directly(path, parts):
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


@wrong("8.6", says="renamed, before the new one is whole")
def save_removes_first(path, parts):
    path.unlink(missing_ok=True)
    save_tempfile(path, parts)


@wrong("8.6", says="Nothing waits for the disk")
def save_no_sync(path, parts):
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
    os.replace(draft, path)


@wrong("8.6", says="os.fsync comes after the renaming")
def save_late_sync(path, parts):
    save_no_sync(path, parts)
    with path.open("rb") as file:
        os.fsync(file.fileno())


@wrong("8.6", says="no other file lies in the folder")
def save_elsewhere(path, parts):
    handle, name = tempfile.mkstemp()
    with os.fdopen(handle, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    shutil.move(name, path)


@wrong("8.6", says="Or all parts are gathered in memory first")
def save_gathers(path, parts):
    data = b"".join(parts)
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())


@wrong("8.6", says="was appended to")
def save_appends(path, parts):
    draft = path.with_name(path.name + ".tmp")
    with draft.open("ab") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


@wrong("8.6", says="written over in place")
def save_copies(path, parts):
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    shutil.copyfile(draft, path)
    draft.unlink()


@wrong("8.6", says="a finally that renames the draft, whole or not")
def save_finally(path, parts):
    draft = path.with_name(path.name + ".tmp")
    try:
        with draft.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.replace(draft, path)


@wrong("8.6", says="swallows the exception")
def save_swallows(path, parts):
    with contextlib.suppress(BaseException):
        save_tempfile(path, parts)


@wrong("8.6", says="is not renamed to path")
def save_never_renames(path, parts):
    with path.with_name(path.name + ".tmp").open("wb") as file:
        file.writelines(parts)
        os.fsync(file.fileno())


@wrong("8.6", says="file.flush() is missing before os.fsync")
def save_without_flush(path, parts):
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        for part in parts:
            file.write(part)
        os.fsync(file.fileno())
    os.replace(draft, path)


def _draft(path, parts):
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    return draft


@wrong("8.6", says="the old file is removed, or renamed, first")
def save_unlinks_before_renaming(path, parts):
    draft = _draft(path, parts)
    path.unlink(missing_ok=True)
    draft.rename(path)


@wrong("8.6", says="the old file is removed, or renamed, first")
def save_moves_the_old_file_away(path, parts):
    draft = _draft(path, parts)
    if path.exists():
        os.replace(path, path.with_suffix(".bak"))
    os.replace(draft, path)


# --- 8.7 unigram_line ----------------------------------------------------------------


@right("8.7")
def line_loop(train_ids, labels, vocab_size):
    counts = [1] * vocab_size
    for i in train_ids.tolist():
        counts[i] += 1
    truth = [i for i in labels.flatten().tolist() if i != -100]
    return -sum(math.log(counts[i] / sum(counts)) for i in truth) / len(truth)


@right("8.7")
def line_cross_entropy(train_ids, labels, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size) + 1
    truth = labels.reshape(-1)
    # Cross-entropy divides by the sum itself.
    return F.cross_entropy(counts.log().expand(len(truth), -1), truth)


def probabilities(train_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size)
    return (counts + 1) / (len(train_ids) + vocab_size)


@wrong("8.7", says="was never counted has p = 0")
def line_unsmoothed(train_ids, labels, vocab_size):
    p = torch.bincount(train_ids, minlength=vocab_size) / len(train_ids)
    return -p[labels[labels != -100]].log().mean().item()


@wrong("8.7", says="divided by N alone")
def line_divides_by_n(train_ids, labels, vocab_size):
    p = (torch.bincount(train_ids, minlength=vocab_size) + 1) / len(train_ids)
    return -p[labels[labels != -100]].log().mean().item()


@wrong("8.7", says="the logarithm has base 2")
def line_in_bits(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return -p[labels[labels != -100]].log2().mean().item()


@wrong("8.7", says="the labels are counted")
def line_counts_labels(train_ids, labels, vocab_size):
    truth = labels[labels != -100]
    return -probabilities(truth, vocab_size)[truth].log().mean().item()


@wrong("8.7", says="a sum, not a mean")
def line_sum(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return -p[labels[labels != -100]].log().sum().item()


@wrong("8.7", says="the mean is taken over all positions")
def line_all_positions(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return -p[labels[labels != -100]].log().sum().item() / labels.numel()


@wrong("8.7", says="this is the entropy")
def line_entropy(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return -(p * p.log()).sum().item()


@wrong("8.7", says="the sign is wrong")
def line_negative(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return p[labels[labels != -100]].log().mean().item()


@wrong("8.7", says="the logarithm of the mean")
def line_log_of_mean(train_ids, labels, vocab_size):
    p = probabilities(train_ids, vocab_size)
    return -p[labels[labels != -100]].mean().log().item()


@wrong("8.7", says="IndexError")
def line_with_ignored(train_ids, labels, vocab_size):
    return -probabilities(train_ids, vocab_size)[labels].log().mean().item()


@wrong("8.7", says="IndexError")
def line_no_minlength(train_ids, labels, vocab_size):
    counts = torch.bincount(train_ids) + 1
    p = counts / (len(train_ids) + vocab_size)
    return -p[labels[labels != -100]].log().mean().item()


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "8.6",
    "h_name(path.name + '.tmp') -> h_name(path.name + '.tmpx')",
    "the draft's name is free, as long as it is another one",
)
