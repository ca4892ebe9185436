"""Answers to the exercises of chapter 2."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from tests.exercises.bank import equivalent, right, wrong

# --- 2.1 one_hot ---------------------------------------------------------------------


@right("2.1")
def one_hot_library(ids, V):
    return F.one_hot(ids, V).float()


@right("2.1")
def one_hot_rows_of_identity(ids, V):
    return torch.eye(V)[ids]


@right("2.1")
def one_hot_scatter(ids, V):
    return torch.zeros(*ids.shape, V).scatter_(-1, ids[..., None], 1.0)


@right("2.1")
def one_hot_flat_loop(ids, V):
    hot = torch.zeros(ids.numel(), V)
    for row, i in zip(hot, ids.reshape(-1).tolist(), strict=True):
        row[i] = 1
    return hot.view(*ids.shape, V)


@wrong("2.1", says="dtype torch.int64; it must be torch.float32")
def one_hot_whole_numbers(ids, V):
    return F.one_hot(ids, V)


@wrong("2.1", says="dtype torch.float64; it must be torch.float32")
def one_hot_double(ids, V):
    return torch.eye(V, dtype=torch.float64)[ids]


@wrong("2.1", says="dtype torch.bool; it must be torch.float32")
def one_hot_truth_values(ids, V):
    return ids[..., None] == torch.arange(V)


@wrong("2.1", says="the width is max(ids) + 1")
def one_hot_narrow(ids, V):
    return F.one_hot(ids).float()


@wrong("2.1", says="the axes are swapped")
def one_hot_transposed(ids, V):
    return (torch.arange(V)[:, None] == ids).float()


@wrong("2.1", says="It works for one sentence, and not for a batch.")
def one_hot_one_axis(ids, V):
    hot = torch.zeros(len(ids), V)
    hot[torch.arange(len(ids)), ids if ids.dim() == 1 else ids[:, 0]] = 1
    return hot


@wrong("2.1", says="not for a single id")
def one_hot_no_scalar(ids, V):
    return torch.stack([torch.eye(V)[row] for row in ids])


@wrong("2.1", says="one place too far")
def one_hot_from_one(ids, V):
    return torch.eye(V).roll(1, 1)[ids]


@wrong("2.1", says="the id itself was written")
def one_hot_with_ids(ids, V):
    return torch.eye(V)[ids] * ids[..., None]


@wrong("2.1", says="there is no return statement")
def one_hot_no_return(ids, V):
    torch.eye(V)[ids]


# --- 2.2 table_gradient --------------------------------------------------------------


def flat(ids, grad):
    return ids.reshape(-1), grad.reshape(-1, grad.size(-1))


@right("2.2")
def gradient_by_product(ids, grad, V, padding_id):
    hot = torch.eye(V)[ids]
    hot[..., padding_id] = 0
    return torch.einsum("btv,btd->vd", hot, grad)


@right("2.2")
def gradient_by_loop(ids, grad, V, padding_id):
    result = torch.zeros(V, grad.size(-1))
    for row, rows in zip(ids, grad, strict=True):
        for i, vector in zip(row.tolist(), rows, strict=True):
            if i != padding_id:
                result[i] += vector
    return result


@right("2.2")
def gradient_by_accumulation(ids, grad, V, padding_id):
    result = torch.zeros(V, grad.size(-1))
    i, g = flat(ids, grad)
    result.index_put_((i,), g, accumulate=True)
    result[padding_id].zero_()
    return result


@right("2.2")
def gradient_by_autograd(ids, grad, V, padding_id):
    table = torch.zeros(V, grad.size(-1), requires_grad=True)
    F.embedding(ids, table, padding_idx=padding_id).backward(grad)
    return table.grad


@wrong("2.2", says="of equal ids only one counts")
def gradient_plus_equals(ids, grad, V, padding_id):
    result = torch.zeros(V, grad.size(-1))
    result[ids] += grad
    result[padding_id] = 0
    return result


@wrong("2.2", says="of equal ids only one counts")
def gradient_assigned(ids, grad, V, padding_id):
    result = torch.zeros(V, grad.size(-1))
    for i, vector in zip(*flat(ids.flip(1), grad.flip(1)), strict=True):
        result[i] = vector
    result[padding_id] = 0
    return result


@wrong("2.2", says="padding_id is not used")
def gradient_of_padding(ids, grad, V, padding_id):
    return torch.zeros(V, grad.size(-1)).index_add(0, *flat(ids, grad))


@wrong("2.2", says="row 0 was cleared; padding_id is 3")
def gradient_padding_zero(ids, grad, V, padding_id):
    return gradient_by_loop(ids, grad, V, 0)


@wrong("2.2", says="row 0 was cleared too")
def gradient_padding_and_zero(ids, grad, V, padding_id):
    result = gradient_by_loop(ids, grad, V, padding_id)
    result[0] = 0
    return result


@wrong("2.2", says="flattened in different orders")
def gradient_flat_orders(ids, grad, V, padding_id):
    return gradient_by_loop(ids.mT.reshape(ids.shape), grad, V, padding_id)


@wrong("2.2", says="the mean over the sentences")
def gradient_mean_of_sentences(ids, grad, V, padding_id):
    hot = torch.eye(V)[ids]
    result = (hot.mT @ grad).mean(0)
    result[padding_id] = 0
    return result


@right("2.2")
def gradient_in_float64(ids, grad, V, padding_id):
    result = torch.zeros(V, grad.size(-1), dtype=torch.float64)
    i, g = flat(ids, grad)
    result.scatter_add_(0, i[:, None].expand_as(g), g.double())
    result[padding_id] = 0
    return result


@wrong("2.2", says="the mean over the places")
def gradient_mean(ids, grad, V, padding_id):
    total = gradient_by_loop(ids, grad, V, padding_id)
    count = torch.bincount(ids.reshape(-1), minlength=V).clamp(min=1)
    return total / count[:, None]


@wrong("2.2", says="only the first sentence is used")
def gradient_first_sentence(ids, grad, V, padding_id):
    return gradient_by_loop(ids[:1], grad[:1], V, padding_id)


@wrong("2.2", says="one row per word")
def gradient_of_vectors(ids, grad, V, padding_id):
    return grad[0].clone()


@wrong("2.2", says="changes its input number 2")
def gradient_in_place(ids, grad, V, padding_id):
    grad[ids == padding_id] = 0
    grad *= 1.0 + (ids >= 0)[..., None]
    return gradient_by_loop(ids, grad / 2, V, padding_id)


# --- 2.3 sinusoids -------------------------------------------------------------------


def angles(T, D):
    t = torch.arange(T, dtype=torch.float64)[:, None]
    return t / 10_000 ** (torch.arange(0, D, 2) / D)


@right("2.3")
def sinusoids_double_precision(T, D):
    a = angles(T, D)
    return torch.stack([a.sin(), a.cos()], dim=-1).flatten(1)


@right("2.3")
def sinusoids_by_exponential(T, D):
    speed = torch.exp(torch.arange(0, D, 2) * (-math.log(10000.0) / D))
    table = torch.zeros(T, D)
    angle = torch.arange(T).float().unsqueeze(1) * speed
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return table


@right("2.3")
def sinusoids_loop(T, D):
    table = torch.zeros(T, D)
    for t in range(T):
        for i in range(D // 2):
            table[t, 2 * i] = math.sin(t / 10000 ** (2 * i / D))
            table[t, 2 * i + 1] = math.cos(t / 10000 ** (2 * i / D))
    return table


@right("2.3")
def sinusoids_shifted_sine(T, D):
    column = torch.arange(D)
    t = torch.arange(T)[:, None]
    angle = t / 10_000.0 ** (column // 2 * 2 / D)
    return (angle + (column % 2) * math.pi / 2).sin()


@wrong("2.3", says="the sines fill the first half")
def sinusoids_halves(T, D):
    a = angles(T, D)
    return torch.cat([a.sin(), a.cos()], dim=1)


@wrong("2.3", says="the positions start at 1")
def sinusoids_from_one(T, D):
    return sinusoids_double_precision(T + 1, D)[1:]


@wrong("2.3", says="sine and cosine are swapped")
def sinusoids_swapped(T, D):
    a = angles(T, D)
    return torch.stack([a.cos(), a.sin()], dim=-1).flatten(1)


@wrong("2.3", says="every column has a speed of its own")
def sinusoids_no_pairs(T, D):
    angle = torch.arange(T)[:, None] / 10_000 ** (torch.arange(D) / D)
    return torch.where(torch.arange(D) % 2 == 0, angle.sin(), angle.cos())


@wrong("2.3", says="the exponent is i/D; it is 2i/D")
def sinusoids_exponent_half(T, D):
    a = torch.arange(T)[:, None] / 10_000 ** (torch.arange(D // 2) / D)
    return torch.stack([a.sin(), a.cos()], dim=-1).flatten(1)


@wrong("2.3", says="the exponent is 4i/D")
def sinusoids_exponent_double(T, D):
    a = torch.arange(T)[:, None] / 10_000 ** (2 * torch.arange(0, D, 2) / D)
    return torch.stack([a.sin(), a.cos()], dim=-1).flatten(1)


@wrong("2.3", says="t is divided by the power, not multiplied")
def sinusoids_multiplied(T, D):
    a = torch.arange(T)[:, None] * 10_000 ** (
        torch.arange(0, D, 2, dtype=torch.float64) / D
    )
    return torch.stack([a.sin(), a.cos()], dim=-1).flatten(1)


@wrong("2.3", says="the axes are swapped")
def sinusoids_transposed(T, D):
    return sinusoids_double_precision(T, D).T


@wrong("2.3", says="a fixed number of positions or columns")
def sinusoids_fixed_width(T, D):
    t = torch.arange(T)[:, None]
    a = t / 10_000 ** (torch.arange(0, D, 2) / 6)
    return torch.stack([a.sin(), a.cos()], dim=-1).flatten(1)


# --- 2.4 segments --------------------------------------------------------------------


@right("2.4")
def segments_loop(input_ids, sep_id, pad_id):
    result = torch.zeros_like(input_ids)
    for b, row in enumerate(input_ids.tolist()):
        segment = 0
        for t, i in enumerate(row):
            if i == pad_id:
                break
            result[b, t] = segment
            segment += i == sep_id
    return result


@right("2.4")
def segments_argmax(input_ids, sep_id, pad_id):
    first = (input_ids == sep_id).int().argmax(1, keepdim=True)
    after = torch.arange(input_ids.size(1)) > first
    return torch.where(after & (input_ids != pad_id), 1, 0)


@right("2.4")
def segments_int32(input_ids, sep_id, pad_id):
    sep = input_ids == sep_id
    shifted = F.pad(sep, (1, 0))[:, :-1].cumsum(1)
    return ((shifted > 0) & (input_ids != pad_id)).int()


@wrong("2.4", says="[SEP] counts itself: the first one belongs to segment 0")
def segments_plain_cumsum(input_ids, sep_id, pad_id):
    return (input_ids == sep_id).cumsum(1)


@wrong("2.4", says="it closes the segment that stands before it")
def segments_between_seps(input_ids, sep_id, pad_id):
    return ((input_ids == sep_id).cumsum(1) == 1).long()


@wrong("2.4", says="the first [SEP] already has segment 1")
def segments_sep_included(input_ids, sep_id, pad_id):
    count = (input_ids == sep_id).cumsum(1)
    return ((count >= 1) & (input_ids != pad_id)).long()


def seps_before(input_ids, sep_id):
    sep = (input_ids == sep_id).long()
    return sep.cumsum(1) - sep


@wrong("2.4", says="roll() brought the last [SEP] to the front")
def segments_rolled(input_ids, sep_id, pad_id):
    count = (input_ids == sep_id).roll(1, 1).cumsum(1)
    return ((count == 1) & (input_ids != pad_id)).long()


@wrong("2.4", says="the last [SEP] gets segment 0")
def segments_last_sep(input_ids, sep_id, pad_id):
    between = (input_ids == sep_id).cumsum(1) == 1
    return (between & (input_ids != sep_id)).long()


@wrong("2.4", says="padding after the pair gets segment 2")
def segments_counted(input_ids, sep_id, pad_id):
    return seps_before(input_ids, sep_id)


@wrong("2.4", says="padding gets segment 1; it is 0")
def segments_clamped(input_ids, sep_id, pad_id):
    return seps_before(input_ids, sep_id).clamp(max=1)


@wrong("2.4", says="padding after a single sentence gets segment 1")
def segments_without_padding(input_ids, sep_id, pad_id):
    return (seps_before(input_ids, sep_id) == 1).long()


@wrong("2.4", says="The segments have dtype torch.bool")
def segments_truth_values(input_ids, sep_id, pad_id):
    return (seps_before(input_ids, sep_id) == 1) & (input_ids != pad_id)


@wrong("2.4", says="the first row's [SEP] was used for all")
def segments_first_row(input_ids, sep_id, pad_id):
    first = (input_ids[0] == sep_id).int().argmax()
    after = torch.arange(input_ids.size(1)) > first
    return (after & (input_ids != pad_id) & (seps_before(input_ids[:1], 2) < 2)).long()


@wrong("2.4", says="down the columns")
def segments_down(input_ids, sep_id, pad_id):
    sep = (input_ids == sep_id).long()
    flat_count = sep.view(-1).cumsum(0).view_as(sep) - sep
    return ((flat_count == 1) & (input_ids != pad_id)).long()


@wrong("2.4", says="written into the code as a number")
def segments_hard_coded(input_ids, sep_id, pad_id):
    return ((seps_before(input_ids, sep_id) == 1) & (input_ids != 0)).long()


# --- 2.5 layer_norm ------------------------------------------------------------------


@right("2.5")
def norm_library(x, gain, bias, eps):
    return F.layer_norm(x, x.shape[-1:], gain, bias, eps)


@right("2.5")
def norm_var(x, gain, bias, eps):
    variance = x.var(-1, unbiased=False, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) * torch.rsqrt(variance + eps) * gain + bias


@right("2.5")
def norm_in_float64(x, gain, bias, eps):
    y = x.double()
    y = y - torch.einsum("...d->...", y).unsqueeze(-1) / x.shape[-1]
    size = (y.pow(2).sum(-1, keepdim=True) / x.shape[-1] + eps) ** 0.5
    return torch.addcmul(bias, (y / size).to(x.dtype), gain)


def norm(x, gain, bias, eps, dim=-1, correction=0, outside=False):
    mean = x.mean(dim, keepdim=True)
    variance = x.var(dim, correction=correction, keepdim=True)
    size = variance.sqrt() + eps if outside else (variance + eps).sqrt()
    return gain * (x - mean) / size + bias


@wrong("2.5", says="the variance is unbiased")
def norm_unbiased(x, gain, bias, eps):
    return norm(x, gain, bias, eps, correction=1)


@wrong("2.5", says="eps is added to the standard deviation")
def norm_eps_outside(x, gain, bias, eps):
    return norm(x, gain, bias, eps, outside=True)


@wrong("2.5", says="eps is not used")
def norm_eps_fixed(x, gain, bias, eps):
    return norm(x, gain, bias, 1e-12)


@wrong("2.5", says="eps is not where it should be")
def norm_eps_default(x, gain, bias, eps):
    return norm(x, gain, bias, 1e-5)


@wrong("2.5", says="the root is missing")
def norm_by_variance(x, gain, bias, eps):
    mean = x.mean(-1, keepdim=True)
    return gain * (x - mean) / (x.var(-1, correction=0, keepdim=True) + eps) + bias


@wrong("2.5", says="run over the whole tensor")
def norm_whole(x, gain, bias, eps):
    return gain * (x - x.mean()) / (x.var(correction=0) + eps).sqrt() + bias


@wrong("2.5", says="run over the first axis")
def norm_first_axis(x, gain, bias, eps):
    return norm(x, gain, bias, eps, dim=0)


@wrong("2.5", says="run over axis 1; count from the end")
def norm_axis_one(x, gain, bias, eps):
    return norm(x, gain, bias, eps, dim=1)


@wrong("2.5", says="run over the tokens too")
def norm_tokens_too(x, gain, bias, eps):
    return norm(x, gain, bias, eps, dim=(-2, -1) if x.dim() > 2 else -1)


@wrong("2.5", says="the bias is added before the gain")
def norm_bias_first(x, gain, bias, eps):
    return (norm(x, 1, 0, eps) + bias) * gain


@wrong("2.5", says="the gain is not used")
def norm_no_gain(x, gain, bias, eps):
    return norm(x, 1, bias, eps)


@right("2.5")
def norm_std_squared(x, gain, bias, eps):
    std = x.std(-1, correction=0, keepdim=True)  # torch gives it a slope of 0 at 0
    return gain * (x - x.mean(-1, keepdim=True)) / (std**2 + eps).sqrt() + bias


@wrong("2.5", says="the square root of exactly 0")
def norm_root_squared(x, gain, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    std = centred.square().mean(-1, keepdim=True).sqrt()
    return gain * centred / (std.square() + eps).sqrt() + bias


@wrong("2.5", says="mean or variance is detached")
def norm_detached_statistics(x, gain, bias, eps):
    mean = x.mean(-1, keepdim=True).detach()
    variance = x.var(-1, correction=0, keepdim=True).detach()
    return gain * (x - mean) / (variance + eps).sqrt() + bias


@wrong("2.5", says="No gradient reaches x.")
def norm_detached(x, gain, bias, eps):
    return norm(x.detach(), gain, bias, eps)


@wrong("2.5", says="No gradient reaches the gain.")
def norm_module_with_data(x, gain, bias, eps):
    layer = nn.LayerNorm(x.size(-1), eps=eps)
    layer.weight.data, layer.bias.data = gain.data, bias.data
    return layer(x)


@wrong("2.5", says="two large numbers cancel")
def norm_mean_of_squares(x, gain, bias, eps):
    mean = x.mean(-1, keepdim=True)
    variance = (x.square().mean(-1, keepdim=True) - mean.square()).clamp(min=0)
    return gain * (x - mean) / (variance + eps).sqrt() + bias


@wrong("2.5", says="changes its input number 1")
def norm_in_place(x, gain, bias, eps):
    x -= x.mean(-1, keepdim=True)
    return gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt() + bias


# --- 2.6 dropout ---------------------------------------------------------------------


@right("2.6")
def dropout_library(x, p, training):
    return F.dropout(x, p, training)


@right("2.6")
def dropout_bernoulli(x, p, training):
    if training and p > 0:
        return x * torch.bernoulli(torch.full_like(x, 1 - p)).div(1 - p)
    return x.clone()


@right("2.6")
def dropout_where(x, p, training):
    if not training:
        return x
    return torch.where(torch.rand_like(x) < p, torch.zeros(()), x / (1 - p))


@right("2.6")
def dropout_module(x, p, training):
    return nn.Dropout(p).train(training)(x)


def kept(x, p):
    return torch.rand(x.shape) >= p


@wrong("2.6", says="the survivors are not divided by 1 - p")
def dropout_unscaled(x, p, training):
    return x * kept(x, p) if training else x


@wrong("2.6", says="the survivors are not divided by 1 - p")
def dropout_not_inverted(x, p, training):
    return x * kept(x, p) if training else x * (1 - p)


@wrong("2.6", says="the survivors are divided by p")
def dropout_divided_by_p(x, p, training):
    return x * kept(x, p) / max(p, 1e-9) if training else x


@wrong("2.6", says="the survivors are multiplied by 1 - p")
def dropout_multiplied(x, p, training):
    return x * kept(x, p) * (1 - p) if training else x


@wrong("2.6", says="p is the probability of dropping, not of keeping")
def dropout_keep_probability(x, p, training):
    return x * (torch.rand(x.shape) < p) / (1 - p) if training else x


@wrong("2.6", says="numbers are dropped in evaluation")
def dropout_always(x, p, training):
    return x * kept(x, p) / (1 - p)


@wrong("2.6", says="the survivors' factor is applied in evaluation too")
def dropout_scaled_in_evaluation(x, p, training):
    return x * kept(x, p) / (1 - p) if training else x / (1 - p)


@wrong("2.6", says="inverted dropout does it in training")
def dropout_scaled_in_both(x, p, training):
    return x * kept(x, p) / (1 - p) if training else x * (1 - p)


@wrong("2.6", says="nothing is dropped")
def dropout_training_misread(x, p, training):
    return x if training else x * kept(x, p) / (1 - p)


@wrong("2.6", says="All sentences lose the same numbers.")
def dropout_one_mask(x, p, training):
    if not training:
        return x
    keep = kept(x[0], p) if x.dim() > 2 else kept(x, p)
    return x * keep / (1 - p)


@wrong("2.6", says="All tokens lose the same numbers.")
def dropout_whole_columns(x, p, training):
    if not training:
        return x
    keep = kept(x[:, :1], p) if x.dim() > 2 else kept(x, p)
    return x * keep / (1 - p)


@wrong("2.6", says="Neighbouring columns are dropped together")
def dropout_four_by_four(x, p, training):
    if not training:
        return x
    draws = torch.rand(*x.shape[:-1], -(-x.size(-1) // 4))
    keep = draws.repeat_interleave(4, dim=-1)[..., : x.size(-1)] >= p
    return x * keep / (1 - p)


@wrong("2.6", says="Neighbouring columns are dropped together")
def dropout_one_of_four_sixteen_bits(x, p, training):
    if not training:
        return x
    n = x.numel()
    draws = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[::4].repeat_interleave(4)[:n].view(x.shape)
    return x * (bits >= round(p * 65536) - 32768) / (1 - p)


@right("2.6")
def dropout_sixteen_bits(x, p, training):
    if not training:
        return x
    bits = torch.randint(-32768, 32768, x.shape)
    return x * (bits >= round(p * 65536) - 32768) / (1 - p)


@wrong("2.6", says="All columns lose the same numbers.")
def dropout_whole_tokens(x, p, training):
    if not training:
        return x
    keep = kept(x[..., :1], p) if x.dim() > 2 else kept(x, p)
    return x * keep / (1 - p)


@wrong("2.6", says="the mask or the seed is fixed")
def dropout_fixed_seed(x, p, training):
    torch.manual_seed(1)
    return x * kept(x, p) / (1 - p) if training else x


@wrong("2.6", says="numbers are set to 0, not removed")
def dropout_removed(x, p, training):
    return x[kept(x, p)] / (1 - p) if training else x


@wrong("2.6", says="changes its input number 1")
def dropout_in_place(x, p, training):
    if training:
        x *= kept(x, p) / (1 - p)
    return x


@wrong("2.6", says="a fixed share is dropped")
def dropout_exact_share(x, p, training):
    if not training:
        return x
    keep = torch.ones(x.numel())
    keep[torch.randperm(x.numel())[: int(p * x.numel())]] = 0
    return x * keep.view(x.shape) / (1 - p)


@wrong("2.6", says="a fixed share is dropped")
def dropout_exact_share_of_a_row(x, p, training):
    if not training:
        return x
    keep = torch.rand(x.shape).argsort(-1) >= int(p * x.size(-1))
    return x * keep / (1 - p)


# --- 2.7 embeddings ------------------------------------------------------------------


class Base(nn.Module):
    padding = True
    eps = True
    rate = True

    def __init__(self, config):
        super().__init__()
        V, D = config.vocab_size, config.hidden_size
        pad = config.pad_token_id if self.padding else None
        self.word_embeddings = nn.Embedding(V, D, padding_idx=pad)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, D)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, D)
        eps = config.layer_norm_eps if self.eps else 1e-5
        self.layer_norm = nn.LayerNorm(D, eps=eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if self.rate else 0.1)

    def words(self, ids):
        return self.word_embeddings(ids)

    def places(self, ids):
        return self.position_embeddings(torch.arange(ids.size(1)))

    def kinds(self, ids, types):
        return self.token_type_embeddings(
            torch.zeros_like(ids) if types is None else types
        )

    def last(self, x):
        return self.dropout(self.layer_norm(x))

    def forward(self, input_ids, token_type_ids=None):
        x = self.words(input_ids) + self.places(input_ids)
        return self.last(x + self.kinds(input_ids, token_type_ids))


@right("2.7")
class EmbeddingsPlain(Base):
    pass


@right("2.7")
class EmbeddingsSliced(Base):
    def places(self, ids):
        return self.position_embeddings.weight[: ids.shape[1]].unsqueeze(0)

    def kinds(self, ids, types):
        table = self.token_type_embeddings.weight
        return table[0] if types is None else F.embedding(types, table)


@right("2.7")
class EmbeddingsExpanded(Base):
    def __init__(self, config):
        super().__init__(config)
        at = torch.arange(config.max_position_embeddings)
        self.register_buffer("position_ids", at[None])

    def places(self, ids):
        at = self.position_ids[:, : ids.size(1)].expand_as(ids)
        return self.position_embeddings(at)

    def last(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = x.var(-1, correction=0, keepdim=True)
        y = (x - mean) / (variance + self.layer_norm.eps).sqrt()
        return self.dropout(y * self.layer_norm.weight + self.layer_norm.bias)


@wrong("2.7", says="eps is nn.LayerNorm's default")
class EmbeddingsDefaultEps(Base):
    eps = False


@wrong("2.7", says="padding_idx=config.pad_token_id is missing")
class EmbeddingsNoPadding(Base):
    padding = False


@wrong("2.7", says="the rate is 0.1; take it from the config")
class EmbeddingsFixedRate(Base):
    rate = False


@wrong("2.7", says="LayerNorm is missing")
class EmbeddingsNoNorm(Base):
    def last(self, x):
        return self.dropout(x)


@wrong("2.7", says="dropout is not used, or stands before LayerNorm")
class EmbeddingsDropoutFirst(Base):
    def last(self, x):
        return self.layer_norm(self.dropout(x))


@wrong("2.7", says="dropout is not used, or stands before LayerNorm")
class EmbeddingsNoDropout(Base):
    def last(self, x):
        return self.layer_norm(x)


@wrong("2.7", says="Two calls in evaluation give different vectors.")
class EmbeddingsDropoutAlways(Base):
    def last(self, x):
        return F.dropout(self.layer_norm(x), self.dropout.p)


@wrong("2.7", says="the positions are missing")
class EmbeddingsNoPositions(Base):
    def places(self, ids):
        return 0


@wrong("2.7", says="the segments are missing")
class EmbeddingsNoSegments(Base):
    def kinds(self, ids, types):
        return 0


@wrong("2.7", says="Without token_type_ids every token must have segment 0.")
class EmbeddingsNothingWithoutTypes(Base):
    def kinds(self, ids, types):
        return 0 if types is None else self.token_type_embeddings(types)


@wrong("2.7", says="token_type_ids is not used")
class EmbeddingsIgnoresTypes(Base):
    def kinds(self, ids, types):
        return self.token_type_embeddings.weight[0]


@wrong("2.7", says="the positions run over the batch")
class EmbeddingsBatchPositions(Base):
    def places(self, ids):
        return self.position_embeddings(torch.arange(ids.size(0)))[:, None]


@wrong("2.7", says="the positions start at 1")
class EmbeddingsFromOne(Base):
    def places(self, ids):
        return self.position_embeddings(torch.arange(1, ids.size(1) + 1))


@wrong("2.7", says="Your code raised RuntimeError")
class EmbeddingsAllPositions(Base):
    def places(self, ids):
        return self.position_embeddings.weight


@wrong("2.7", says="scaled by the square root of D")
class EmbeddingsScaled(Base):
    def words(self, ids):
        return self.word_embeddings(ids) * math.sqrt(self.word_embeddings.embedding_dim)


@wrong("2.7", says="LayerNorm is applied to the words alone")
class EmbeddingsNormFirst(Base):
    def words(self, ids):
        return self.layer_norm(self.word_embeddings(ids))

    def last(self, x):
        return self.dropout(x)


@wrong("2.7", says="the vectors of padding are set to 0")
class EmbeddingsZeroPadding(Base):
    def forward(self, input_ids, token_type_ids=None):
        x = super().forward(input_ids, token_type_ids)
        return x * (input_ids != self.word_embeddings.padding_idx)[..., None]


@wrong("2.7", says="the three are averaged")
class EmbeddingsAveraged(Base):
    def last(self, x):
        return super().last(x / 3)


@wrong("2.7", says="No gradient reaches position_embeddings.weight")
class EmbeddingsDetached(Base):
    def places(self, ids):
        return self.position_embeddings.weight[: ids.size(1)].detach()


@wrong("2.7", says="There must be a layer self.layer_norm")
class EmbeddingsOtherName(Base):
    def __init__(self, config):
        super().__init__(config)
        self.LayerNorm = self.layer_norm
        del self.layer_norm


@wrong("2.7", says="position_embeddings is a table of shape (23, 12)")
class EmbeddingsWrongTable(Base):
    def __init__(self, config):
        super().__init__(config)
        self.position_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)


@wrong("2.7", says="padding_idx belongs to the table of words alone")
class EmbeddingsPaddedPositions(Base):
    def __init__(self, config):
        super().__init__(config)
        size, pad = config.max_position_embeddings, config.pad_token_id
        places = nn.Embedding(size, config.hidden_size, padding_idx=pad)
        self.position_embeddings = places


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "2.6",
    "= torch.rand(x.shape) >= p -> = torch.rand(x.shape) > p",
    "a random number equals p once in 2**24 draws",
)
