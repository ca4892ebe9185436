"""Answers to the exercises of chapter 3."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from tests.exercises.bank import equivalent, right, wrong

# --- 3.1 mix -------------------------------------------------------------------------


@right("3.1")
def mix_with_einsum(scores, values):
    return torch.einsum("...qk,...kd->...qd", torch.softmax(scores, -1), values)


@right("3.1")
def mix_by_hand(scores, values):
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    return (e / e.sum(-1, keepdim=True)).matmul(values)


@wrong("3.1", says="the softmax runs over the queries")
def mix_over_queries(scores, values):
    return scores.softmax(-2) @ values


@wrong("3.1", says="softmax runs over axis 1; count from the end")
def mix_axis_one(scores, values):
    return scores.softmax(1) @ values


@wrong("3.1", says="there is no softmax")
def mix_raw_scores(scores, values):
    return scores @ values


@wrong("3.1", says="exponentials are not divided")
def mix_without_sum(scores, values):
    return scores.exp() @ values


@wrong("3.1", says="divided by their sum; use exp first")
def mix_without_exp(scores, values):
    return scores / scores.sum(-1, keepdim=True) @ values


@right("3.1")
def mix_in_float64(scores, values):
    return scores.double().log_softmax(-1).exp() @ values.double()


@wrong("3.1", says="over the whole matrix")
def mix_over_everything(scores, values):
    return scores.flatten().softmax(0).view(scores.shape) @ values


@wrong("3.1", says="the weights came back")
def mix_weights_only(scores, values):
    return scores.softmax(-1)


@wrong("3.1", says="A large score breaks it.")
def mix_overflow(scores, values):
    return scores.exp() / scores.exp().sum(-1, keepdim=True) @ values


@wrong("3.1", says="changes its input number 1")
def mix_in_place(scores, values):
    scores -= scores.max()
    return scores.softmax(-1) @ values


@wrong("3.1", says="there is no return statement")
def mix_no_return(scores, values):
    scores.softmax(-1) @ values


@wrong("3.1", says="one maximum was subtracted from all rows")
def mix_one_maximum(scores, values):
    e = (scores - scores.max()).exp()
    return e / e.sum(-1, keepdim=True) @ values


# --- 3.2 softmax ---------------------------------------------------------------------


@right("3.2")
def softmax_library(scores):
    return F.softmax(scores, dim=-1)


@right("3.2")
def softmax_logsumexp(scores):
    return (scores - scores.logsumexp(-1, keepdim=True)).exp()


@wrong("3.2", says="exp(1000) overflows: subtract")
def softmax_textbook(scores):
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


@wrong("3.2", says="one maximum for the whole tensor")
def softmax_global_max(scores):
    e = (scores - scores.max()).exp()
    return e / e.sum(-1, keepdim=True).clamp(min=1e-30)


@wrong("3.2", says="the mean or the minimum was subtracted")
def softmax_minus_mean(scores):
    e = (scores - scores.mean(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


@wrong("3.2", says="the mean or the minimum was subtracted")
def softmax_minus_minimum(scores):
    e = (scores - scores.min(-1, keepdim=True).values).exp()
    return e / e.sum(-1, keepdim=True)


@wrong("3.2", says="the largest absolute value")
def softmax_minus_absolute(scores):
    e = (scores - scores.abs().amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


@wrong("3.2", says="each row must sum to 1")
def softmax_first_axis(scores):
    return scores.softmax(0)


@wrong("3.2", says="exponentials are not divided")
def softmax_without_sum(scores):
    return (scores - scores.max(-1, keepdim=True).values).exp()


@wrong("3.2", says="a fixed axis number")
def softmax_axis_one(scores):
    return scores.softmax(1) if scores.dim() > 1 else scores.softmax(0)


@wrong("3.2", says="The result has lost its gradient.")
def softmax_detached(scores):
    return scores.detach().softmax(-1)


@wrong("3.2", says="the scores were clamped")
def softmax_clamped(scores):
    e = scores.clamp(-50, 50).exp()
    return e / e.sum(-1, keepdim=True)


@wrong("3.2", says="must get weight 0, exactly")
def softmax_clamped_below(scores):
    e = (scores - scores.amax(-1, keepdim=True)).clamp(min=-20).exp()
    return e / e.sum(-1, keepdim=True)


# --- 3.3 padding mask ----------------------------------------------------------------


@right("3.3")
def padding_mask_loop(lengths, T):
    mask = torch.zeros(len(lengths), T, dtype=torch.bool)
    for row, length in zip(mask, lengths.tolist(), strict=True):
        row[:length] = True
    return mask


@right("3.3")
def padding_mask_list(lengths, T):
    return torch.tensor([[j < n for j in range(T)] for n in lengths.tolist()])


@wrong("3.3", says="inverted")
def padding_mask_inverted(lengths, T):
    return torch.arange(T) >= lengths[:, None]


@wrong("3.3", says="<= instead of <")
def padding_mask_one_more(lengths, T):
    return torch.arange(T) <= lengths[:, None]


@wrong("3.3", says="one token too few")
def padding_mask_from_one(lengths, T):
    return torch.arange(1, T + 1) < lengths[:, None]


@wrong("3.3", says="dtype torch.float32")
def padding_mask_float(lengths, T):
    return (torch.arange(T) < lengths[:, None]).float()


@wrong("3.3", says="the width is lengths.max()")
def padding_mask_narrow(lengths, T):
    return torch.arange(int(lengths.max())) < lengths[:, None]


@wrong("3.3", says="counted from the end")
def padding_mask_left(lengths, T):
    return (torch.arange(T) < lengths[:, None]).flip(1)


@wrong("3.3", says="the axes are swapped")
def padding_mask_transposed(lengths, T):
    return torch.arange(T)[:, None] < lengths


# --- 3.4 scaled dot-product attention ------------------------------------------------


def attend(q, k, v, mask=None, scale=None, fill=-torch.inf, empty=0.0):
    scale = math.sqrt(q.size(-1)) if scale is None else scale
    scores = q @ k.mT / scale
    if mask is not None:
        scores = scores.masked_fill(~mask, fill)
    weights = scores.softmax(-1)
    if mask is not None and empty is not None:
        weights = weights.masked_fill(~mask, empty)
    return weights @ v, weights


@right("3.4")
def attend_einsum(query, key, value, mask=None):
    s = torch.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
    if mask is None:
        w = torch.softmax(s, -1)
    else:
        w = torch.softmax(s + torch.zeros(()).masked_fill(~mask, -1e30), -1)
        w = w * mask
    return torch.einsum("...qk,...kd->...qd", w, value), w


@right("3.4")
def attend_library(query, key, value, mask=None):
    context = F.scaled_dot_product_attention(query, key, value, mask)
    return context, attend(query, key, value, mask)[1]


@right("3.4")
def attend_list_in_float64(query, key, value, mask=None):
    return list(attend(query.double(), key.double(), value.double(), mask))


@wrong("3.4", says="a number such as -10,000 in place of -inf")
def attend_minus_ten_thousand(query, key, value, mask=None):
    return attend(query, key, value, mask, fill=-1e4)


@wrong("3.4", says="The gradient of the query is wrong.")
def attend_detached_sum(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = e / e.sum(-1, keepdim=True).detach()
    if mask is not None:
        weights = weights * mask
    return weights @ value, weights


@wrong("3.4", says="No gradient reaches the query.")
def attend_detached_weights(query, key, value, mask=None):
    weights = attend(query, key, value, mask)[1].detach()
    return weights @ value, weights


@wrong("3.4", says="The context has lost its gradient.")
def attend_detached(query, key, value, mask=None):
    return attend(query.detach(), key.detach(), value.detach(), mask)


@wrong("3.4", says="one empty row emptied the others too")
def attend_all_or_nothing(query, key, value, mask=None):
    context, weights = attend(query, key, value, mask)
    if mask is not None and not mask.any(-1).all():
        return context * 0, weights * 0
    return context, weights


@wrong("3.4", says="not divided by the square root of d_k")
def attend_unscaled(query, key, value, mask=None):
    return attend(query, key, value, mask, scale=1.0)


@wrong("3.4", says="divided by d_k, not by its square root")
def attend_by_d(query, key, value, mask=None):
    return attend(query, key, value, mask, scale=query.size(-1))


@wrong("3.4", says="number of keys, not of d_k")
def attend_scale_of_keys(query, key, value, mask=None):
    return attend(query, key, value, mask, scale=math.sqrt(key.size(-2)))


@wrong("3.4", says="the softmax runs over axis 1")
def attend_axis_one(query, key, value, mask=None):
    weights = (query @ key.mT / math.sqrt(query.size(-1))).softmax(1)
    return weights @ value, weights


@wrong("3.4", says="the mask is not used")
def attend_no_mask(query, key, value, mask=None):
    return attend(query, key, value)


@wrong("3.4", says="the mask is inverted")
def attend_inverted(query, key, value, mask=None):
    return attend(query, key, value, None if mask is None else ~mask)


@wrong("3.4", says="the mask comes after the softmax")
def attend_mask_after(query, key, value, mask=None):
    _, weights = attend(query, key, value)
    weights = weights if mask is None else weights * mask
    return weights @ value, weights


@wrong("3.4", says="e^0 is 1, so padding keeps a share")
def attend_zero_scores(query, key, value, mask=None):
    return attend(query, key, value, mask, fill=0.0, empty=None)


@wrong("3.4", says="the softmax of a row of -inf is 0/0")
def attend_nan_rows(query, key, value, mask=None):
    return attend(query, key, value, mask, empty=None)


@wrong("3.4", says="the row comes out even")
def attend_large_negative(query, key, value, mask=None):
    return attend(query, key, value, mask, fill=-1e9, empty=None)


@right("3.4")
def attend_nan_to_num(query, key, value, mask=None):
    _, weights = attend(query, key, value, mask, empty=None)
    weights = weights.nan_to_num()
    return weights @ value, weights


@wrong("3.4", says="NaN flows back into them")
def attend_added_mask(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1).nan_to_num()
    return weights @ value, weights


@wrong("3.4", says="computed from weights before the mask")
def attend_context_before_mask(query, key, value, mask=None):
    return attend(query, key, value)[0], attend(query, key, value, mask)[1]


@wrong("3.4", says="return context, weights")
def attend_context_only(query, key, value, mask=None):
    return attend(query, key, value, mask)[0]


@wrong("3.4", says="Your code raised RuntimeError")
def attend_key_T(query, key, value, mask=None):
    return attend(query, key.permute(3, 2, 1, 0) if key.dim() > 2 else key, value, mask)


@wrong("3.4", says="the context was computed before the weights were set to 0")
def attend_context_first(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    context = weights @ value
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)
    return context, weights


# --- 3.5 split and merge -------------------------------------------------------------


def divides(D, H):
    if D % H:
        raise ValueError(f"{H} heads do not divide {D}")


class RightHeads:
    @staticmethod
    def split_heads(x, H):
        divides(x.size(-1), H)
        return torch.stack(x.chunk(H, dim=-1), dim=1)

    @staticmethod
    def merge_heads(x):
        return torch.cat(x.unbind(1), dim=-1)


@right("3.5")
class HeadsByChunks(RightHeads):
    pass


@right("3.5")
class HeadsByUnflatten:
    @staticmethod
    def split_heads(x, H):
        divides(x.size(-1), H)
        return x.unflatten(-1, (H, -1)).permute(0, 2, 1, 3)

    @staticmethod
    def merge_heads(x):
        return x.permute(0, 2, 1, 3).flatten(2)


@wrong("3.5", says="view straight to (B, H, T, D/H)")
class HeadsViewOnly(RightHeads):
    @staticmethod
    def split_heads(x, H):
        divides(x.size(-1), H)
        B, T, D = x.shape
        return x.view(B, H, T, D // H)


@wrong("3.5", says="every H-th number")
class HeadsStrided(RightHeads):
    @staticmethod
    def split_heads(x, H):
        divides(x.size(-1), H)
        B, T, D = x.shape
        return x.view(B, T, D // H, H).permute(0, 3, 1, 2)


@wrong("3.5", says="reshape without the transpose")
class HeadsMergeReshape(RightHeads):
    @staticmethod
    def merge_heads(x):
        B, H, T, d = x.shape
        return x.reshape(B, T, H * d)


@wrong("3.5", says="nothing was raised")
class HeadsDropping(RightHeads):
    @staticmethod
    def split_heads(x, H):
        x = x[..., : x.size(-1) // H * H]
        return RightHeads.split_heads(x, H)


@wrong("3.5", says="view size is not compatible")
class HeadsMergeView(RightHeads):
    @staticmethod
    def merge_heads(x):
        B, H, T, d = x.shape
        return x.transpose(1, 2).view(B, T, H * d)


@wrong("3.5", says="AssertionError came out; it must be ValueError")
class HeadsAssert(RightHeads):
    @staticmethod
    def split_heads(x, H):
        assert x.size(-1) % H == 0
        return RightHeads.split_heads(x, H)


@wrong("3.5", says="RuntimeError came out; it must be ValueError")
class HeadsUnchecked(RightHeads):
    @staticmethod
    def split_heads(x, H):
        B, T, D = x.shape
        return x.view(B, T, H, D // H).transpose(1, 2)


@wrong("3.5", says="The shape is")
class HeadsNotMoved(RightHeads):
    @staticmethod
    def split_heads(x, H):
        divides(x.size(-1), H)
        B, T, D = x.shape
        return x.view(B, T, H, D // H).transpose(0, 1)


# --- 3.6 multi-head self-attention ---------------------------------------------------


class Base(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D)
        self.value = nn.Linear(D, D)
        self.output = nn.Linear(D, D)

    def split(self, x):
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def keys_mask(self, mask):
        return mask[:, None, None, :]

    def scale(self, x):
        return math.sqrt(x.size(-1) // self.H)

    def merge(self, c):
        return c.transpose(1, 2).flatten(2)

    def forward(self, x, mask=None):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key, self.value))
        scores = q @ k.mT / self.scale(x)
        if mask is not None:
            scores = scores.masked_fill(~self.keys_mask(mask), -torch.inf)
        weights = scores.softmax(-1)
        return self.output(self.merge(weights @ v)), weights


@right("3.6")
class AttentionPlain(Base):
    pass


@right("3.6")
class AttentionLoop(Base):
    def forward(self, x, mask=None):
        q, k, v = self.query(x), self.key(x), self.value(x)
        d = x.size(-1) // self.H
        contexts, weights = [], []
        for h in range(self.H):
            mine = slice(h * d, (h + 1) * d)
            scores = torch.einsum("btd,bsd->bts", q[..., mine], k[..., mine]) / d**0.5
            if mask is not None:
                scores = torch.where(mask[:, None], scores, -torch.inf)
            weights.append(scores.softmax(-1))
            contexts.append(weights[-1] @ v[..., mine])
        return self.output(torch.cat(contexts, -1)), torch.stack(weights, 1)


@wrong("3.6", says="each head has width D/H")
class AttentionScaleD(Base):
    def scale(self, x):
        return math.sqrt(x.size(-1))


@wrong("3.6", says="the scores are not scaled")
class AttentionUnscaled(Base):
    def scale(self, x):
        return 1.0


@wrong("3.6", says="view straight to (B, H, T, D/H)")
class AttentionViewOnly(Base):
    def split(self, x):
        B, T, D = x.shape
        return x.view(B, self.H, T, D // self.H)


@wrong("3.6", says="heads merged without the transpose")
class AttentionMergeReshape(Base):
    def merge(self, c):
        B, H, T, d = c.shape
        return c.reshape(B, T, H * d)


@wrong("3.6", says="the queries are masked too")
class AttentionMaskOnBoth(Base):
    def forward(self, x, mask=None):
        output, weights = super().forward(x, mask)
        if mask is not None:
            weights = weights * mask[:, None, :, None]
            values = self.split(self.value(x))
            output = self.output(self.merge(weights @ values))
        return output, weights


@wrong("3.6", says="the mask of one sentence was used for another")
class AttentionFirstMask(Base):
    def keys_mask(self, mask):
        return mask[:1, None, None, :]


@wrong("3.6", says="the keys were mixed")
class AttentionMixesKeys(Base):
    def forward(self, x, mask=None):
        _, weights = super().forward(x, mask)
        return self.output(self.merge(weights @ self.split(self.key(x)))), weights


@wrong("3.6", says="x was added")
class AttentionResidual(Base):
    def forward(self, x, mask=None):
        output, weights = super().forward(x, mask)
        return x + output, weights


@wrong("3.6", says="the output layer is left out")
class AttentionNoOutput(Base):
    def forward(self, x, mask=None):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key, self.value))
        weights = (q @ k.mT / self.scale(x)).softmax(-1)
        return self.merge(weights @ v), weights


@wrong("3.6", says="belongs on the keys")
class AttentionMaskOnQueries(Base):
    def keys_mask(self, mask):
        return mask[:, None, :, None]


@wrong("3.6", says="Padding gets attention.")
class AttentionIgnoresMask(Base):
    def forward(self, x, mask=None):
        return super().forward(x)


@wrong("3.6", says="no longer sum to 1")
class AttentionMaskAfter(Base):
    def forward(self, x, mask=None):
        _, weights = super().forward(x)
        if mask is not None:
            weights = weights * self.keys_mask(mask)
        return self.output(self.merge(weights @ self.split(self.value(x)))), weights


@wrong("3.6", says="self.output = nn.Linear(D, D)")
class AttentionUnnamed(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x, mask=None):
        return x, x


@wrong("3.6", says="query and key are swapped")
class AttentionSwapped(Base):
    def forward(self, x, mask=None):
        self.query, self.key = self.key, self.query
        result = super().forward(x, mask)
        self.query, self.key = self.key, self.query
        return result


@wrong("3.6", says="No gradient reaches x, the layer below.")
class AttentionDetached(Base):
    def forward(self, x, mask=None):
        return super().forward(x.detach(), mask)


# --- 3.7 entropy ---------------------------------------------------------------------


@right("3.7")
def entropy_where(weights):
    safe = torch.where(weights > 0, weights, 1.0)
    return -(weights * safe.log()).sum(-1)


@right("3.7")
def entropy_tiny(weights):
    return -torch.einsum("...t,...t->...", weights, (weights + 1e-12).log())


@wrong("3.7", says="0 times log 0 is NaN")
def entropy_nan(weights):
    return -(weights * weights.log()).sum(-1)


@right("3.7")
def entropy_library(weights):
    return torch.distributions.Categorical(probs=weights).entropy()


@right("3.7")
def entropy_in_float64(weights):
    weights = weights.double().clamp(min=1e-9)
    return -(weights * weights.log()).sum(-1)


@wrong("3.7", says="the clamp is too high")
def entropy_high_clamp(weights):
    return -(weights * weights.clamp(min=0.01).log()).sum(-1)


@wrong("3.7", says="the sign")
def entropy_sign(weights):
    return (weights * weights.clamp(min=1e-30).log()).sum(-1)


@wrong("3.7", says="to base 2")
def entropy_bits(weights):
    return -(weights * weights.clamp(min=1e-30).log2()).sum(-1)


@wrong("3.7", says="the mean over the row")
def entropy_mean(weights):
    return -(weights * weights.clamp(min=1e-30).log()).mean(-1)


@wrong("3.7", says="A weight of 0 must add nothing.")
def entropy_shifted(weights):
    shifted = weights + 0.01
    return -(weights * shifted.log()).sum(-1) + math.log(0.26 / 0.25)


@wrong("3.7", says="not finite where a weight is 0")
def entropy_xlogy(weights):
    return -torch.xlogy(weights, weights).sum(-1)


@wrong("3.7", says="the sum runs over all rows")
def entropy_total(weights):
    return -(weights * weights.clamp(min=1e-30).log()).sum()


# --- 3.8 causal mask -----------------------------------------------------------------


@right("3.8")
def causal_tril(T):
    return torch.ones(T, T).tril().bool()


@right("3.8")
def causal_loop(T):
    return torch.tensor([[j <= i for j in range(T)] for i in range(T)])


@wrong("3.8", says="the upper triangle")
def causal_upper(T):
    return torch.ones(T, T).triu().bool()


@wrong("3.8", says="the diagonal is missing")
def causal_strict(T):
    return torch.ones(T, T).tril(-1).bool()


@wrong("3.8", says="one place too far")
def causal_looks_ahead(T):
    return torch.ones(T, T).tril(1).bool()


@wrong("3.8", says="inverted: True means look here")
def causal_inverted(T):
    return torch.ones(T, T).triu(1).bool()


@wrong("3.8", says="dtype torch.float32")
def causal_float(T):
    return torch.ones(T, T).tril()


@wrong("3.8", says="a fixed size")
def causal_fixed(T):
    return torch.ones(3, 3).tril().bool()


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "3.7",
    "ogs = weights.clamp(min=1e-30).log() -> ogs = weights.clamp(min=2e-30).log()",
    "both are far below any weight that adds to the entropy",
)
