"""Answers to capstone A, the whole encoder.

The right ones are two encoders, written in two ways. Most wrong ones are the first of
these with one part replaced, as a student would have written that part.
"""

import json
from types import SimpleNamespace

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from bertlib.attention import scaled_dot_product_attention
from bertlib.pretrained import load_pretrained
from tests.exercises.bank import equivalent, right, wrong

# --- an encoder with PyTorch's attention ----------------------------------------------


def parts(**modules):
    return nn.ModuleDict(modules)


def norm(config):
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


@right("A.1")
class Tables(nn.Module):
    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        for name, rows in {
            "word": config.vocab_size,
            "position": config.max_position_embeddings,
            "token_type": config.type_vocab_size,
        }.items():
            setattr(self, f"{name}_embeddings", nn.Embedding(rows, D))
        self.LayerNorm = norm(config)

    def forward(self, input_ids, token_type_ids):
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        x = self.position_embeddings(places) + self.word_embeddings(input_ids)
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


@right("A.2")
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        D, self.heads = config.hidden_size, config.num_attention_heads
        names = ("query", "key", "value")
        self.self = parts(**{name: nn.Linear(D, D) for name in names})
        self.output = parts(dense=nn.Linear(D, D), LayerNorm=norm(config))

    def cut(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def mix(self, q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, mask[:, None, None])

    def join(self, context):
        return context.transpose(1, 2).flatten(2)

    def finish(self, x, change):
        return self.output.LayerNorm(x + change)

    def forward(self, x, mask):
        q, k, v = (self.cut(self.self[n](x)) for n in ("query", "key", "value"))
        context = self.join(self.mix(q, k, v, mask))
        return self.finish(x, self.output.dense(context))


@right("A.3")
class Half(nn.Module):
    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        self.attention = Block(config)
        self.intermediate = parts(dense=nn.Linear(D, config.intermediate_size))
        self.output = parts(
            dense=nn.Linear(config.intermediate_size, D), LayerNorm=norm(config)
        )
        self.drop = nn.Dropout(0.1)

    def feed(self, x, how=F.gelu):
        return self.drop(self.output.dense(how(self.intermediate.dense(x))))

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.output.LayerNorm(x + self.feed(x))


@right("A.4")
class Encoder(nn.Module):
    layer = Half

    def __init__(self, config):
        super().__init__()
        self.embeddings = Tables(config)
        layers = (self.layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = parts(layer=nn.ModuleList(layers))
        self.pooler = parts(dense=nn.Linear(*[config.hidden_size] * 2))

    def pool(self, x):
        return self.pooler.dense(x[:, 0]).tanh()

    def mask(self, input_ids, attention_mask):
        if attention_mask is None:
            return torch.ones_like(input_ids) == 1
        return attention_mask == 1

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        mask, x = (
            self.mask(input_ids, attention_mask),
            self.embeddings(input_ids, kinds),
        )
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return x, self.pool(x)


# --- an encoder by hand, with einsum --------------------------------------------------


@right("A.1")
class WithPositionIds(nn.Module):
    """The numbers of the positions kept as a buffer, as in older files."""

    def __init__(self, config):
        super().__init__()
        D, most = config.hidden_size, config.max_position_embeddings
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=0)
        self.position_embeddings = nn.Embedding(most, D)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, D)
        self.LayerNorm = nn.LayerNorm(D, config.layer_norm_eps)
        self.register_buffer("position_ids", torch.arange(most)[None])

    def forward(self, input_ids, token_type_ids):
        x = self.position_embeddings(self.position_ids[:, : input_ids.size(1)])
        x = x + self.token_type_embeddings(token_type_ids)
        return self.LayerNorm(x + self.word_embeddings(input_ids))


class Projections(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(D, D) for _ in range(3))


class Close(nn.Module):
    def __init__(self, width, config):
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, inner, x):
        return self.LayerNorm(self.dense(inner) + x)


@right("A.2")
class ByEinsum(nn.Module):
    def __init__(self, config):
        super().__init__()
        D, self.H = config.hidden_size, config.num_attention_heads
        self.self, self.output = Projections(D), Close(D, config)

    def forward(self, x, mask):
        q = self.self.query(x).unflatten(-1, (self.H, -1))
        k = self.self.key(x).unflatten(-1, (self.H, -1))
        v = self.self.value(x).unflatten(-1, (self.H, -1))
        scores = torch.einsum("bihd,bjhd->bhij", q / q.size(-1) ** 0.5, k)
        scores = scores + (~mask[:, None, None]) * torch.finfo(x.dtype).min
        a = torch.softmax(scores, dim=-1)
        return self.output(torch.einsum("bhij,bjhd->bihd", a, v).flatten(2), x)


@right("A.3")
class OwnClose(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = ByEinsum(config)
        self.intermediate = nn.Module()
        inner = config.intermediate_size
        self.intermediate.dense = nn.Linear(config.hidden_size, inner)
        self.output = Close(inner, config)

    def forward(self, x, mask):
        x = self.attention(x, mask)
        inner = self.intermediate.dense(x)
        return self.output(inner * (1 + torch.erf(inner / 2**0.5)) / 2, x)


@right("A.4")
class WithSequential(nn.Module):
    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        self.embeddings, self.encoder = WithPositionIds(config), nn.Module()
        layers = [OwnClose(config) for _ in range(config.num_hidden_layers)]
        self.encoder.layer = nn.Sequential(*layers)
        self.pooler = nn.Module()
        self.pooler.dense = nn.Linear(D, D)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        if attention_mask is None:
            attention_mask = torch.ones(input_ids.shape)
        if token_type_ids is None:
            token_type_ids = torch.zeros(input_ids.shape, dtype=torch.long)
        hidden = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder.layer:
            hidden = layer(hidden, attention_mask > 0)
        return [hidden, torch.tanh(self.pooler.dense(hidden[:, 0]))]


# --- two encoders in few lines --------------------------------------------------------


def tree(config, shapes):
    """Modules by their dotted names: two numbers make a linear layer, one a norm."""
    root = nn.Module()
    for name, (first, *second) in shapes.items():
        part, *path = root, *name.split(".")
        for step in path[:-1]:
            if not hasattr(part, step):
                part.add_module(step, nn.Module())
            part = getattr(part, step)
        norm = nn.LayerNorm(first, config.layer_norm_eps)
        leaf = nn.Linear(first, *second) if second else norm
        part.add_module(path[-1], leaf)
    return root


class Flat(nn.Module):
    """One class for the whole encoder; the layers are trees without code."""

    def __init__(self, config):
        super().__init__()
        D, inner = config.hidden_size, config.intermediate_size
        layer = {
            "attention.self.query": (D, D),
            "attention.self.key": (D, D),
            "attention.self.value": (D, D),
            "attention.output.dense": (D, D),
            "attention.output.LayerNorm": (D,),
            "intermediate.dense": (D, inner),
            "output.dense": (inner, D),
            "output.LayerNorm": (D,),
        }
        self.heads = config.num_attention_heads
        self.embeddings, self.encoder = Tables(config), nn.Module()
        layers = [tree(config, layer) for _ in range(config.num_hidden_layers)]
        self.encoder.layer = nn.ModuleList(layers)
        self.pooler = tree(config, {"dense": (D, D)})

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        x, hides = self.embeddings(input_ids, kinds), mask.bool()[:, None, None]
        for layer in self.encoder.layer:
            own, close = layer.attention.self, layer.attention.output
            q, k, v = (
                p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for p in (own.query, own.key, own.value)
            )
            context = F.scaled_dot_product_attention(q, k, v, hides).transpose(1, 2)
            x = close.LayerNorm(x + close.dense(context.flatten(2)))
            inner = F.gelu(layer.intermediate.dense(x))
            x = layer.output.LayerNorm(x + layer.output.dense(inner))
        return x, self.pooler.dense(x[:, 0]).tanh()


@right("A.5")
def read_folder(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = Flat(SimpleNamespace(**config))
    entries = load_file(folder / "model.safetensors")
    entries.pop("embeddings.position_ids", None)
    model.load_state_dict(entries, strict=True)
    return model.eval()


class ShortBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        D, self.H = config.hidden_size, config.num_attention_heads
        three = {name: nn.Linear(D, D) for name in ("query", "key", "value")}
        self.self, self.output = nn.ModuleDict(three), Close(D, config)

    def forward(self, x, mask):
        q, k, v = (p(x).unflatten(-1, (self.H, -1)) for p in self.self.values())
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / q.size(-1) ** 0.5
        a = (scores - 1e9 * ~mask[:, None, None]).softmax(dim=-1)
        return self.output(torch.einsum("bhij,bjhd->bihd", a, v).flatten(2), x)


class ShortLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        D, inner = config.hidden_size, config.intermediate_size
        self.attention, self.output = ShortBlock(config), Close(inner, config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(D, inner)})

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.output(F.gelu(self.intermediate.dense(x)), x)


class ShortEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embeddings, self.encoder = Tables(config), nn.Module()
        layers = [ShortLayer(config) for _ in range(config.num_hidden_layers)]
        self.encoder.layer, self.pooler = nn.ModuleList(layers), nn.Module()
        self.pooler.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        x = self.embeddings(input_ids, kinds)
        for layer in self.encoder.layer:
            x = layer(x, mask > 0)
        return x, torch.tanh(self.pooler.dense(x[:, 0]))


@right("A.5")
def read_and_freeze(folder):
    text = (folder / "config.json").read_text()
    model = ShortEncoder(SimpleNamespace(**json.loads(text)))
    entries = load_file(str(folder / "model.safetensors")).items()
    model.load_state_dict({n: t for n, t in entries if "position_ids" not in n})
    return model.requires_grad_(False).train(False)


# --- A.1 ------------------------------------------------------------------------------


@wrong("A.1", says="the segments are missing")
class NoSegments(Tables):
    def forward(self, input_ids, token_type_ids):
        T = input_ids.size(1)
        x = self.word_embeddings(input_ids) + self.position_embeddings.weight[:T]
        return self.LayerNorm(x)


@wrong("A.1", says="token_type_ids are not used")
class FirstSegment(Tables):
    def forward(self, input_ids, token_type_ids):
        return super().forward(input_ids, torch.zeros_like(token_type_ids))


@wrong("A.1", says="the positions are missing")
class NoPositions(Tables):
    def forward(self, input_ids, token_type_ids):
        x = self.word_embeddings(input_ids)
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


@wrong("A.1", says="yours from 1")
class PositionsFromOne(Tables):
    def forward(self, input_ids, token_type_ids):
        places = self.position_embeddings.weight.roll(-1, dims=0)
        x = self.word_embeddings(input_ids) + places[: input_ids.size(1)]
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


@wrong("A.1", says="the position is that of the sentence")
class PositionsOfSentences(Tables):
    def forward(self, input_ids, token_type_ids):
        B, T = input_ids.shape
        places = self.position_embeddings.weight
        places = places[:T, None] if B == T else places[:T]
        x = self.word_embeddings(input_ids) + places
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


@wrong("A.1", says="eps of LayerNorm is 1e-05")
class OwnEps(Tables):
    def __init__(self, config):
        super().__init__(config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size)


@wrong("A.1", says="only the words are normalised")
class NormOfWords(Tables):
    def forward(self, input_ids, token_type_ids):
        x = self.LayerNorm(self.word_embeddings(input_ids))
        x = x + self.position_embeddings.weight[: input_ids.size(1)]
        return x + self.token_type_embeddings(token_type_ids)


@wrong("A.1", says="LayerNorm is missing")
class NormForgotten(Tables):
    def forward(self, input_ids, token_type_ids):
        x = self.word_embeddings(input_ids)
        x = x + self.position_embeddings.weight[: input_ids.size(1)]
        return x + self.token_type_embeddings(token_type_ids)


@wrong("A.1", says="the same words in another spelling")
class AnotherSpelling(Tables):
    def __init__(self, config):
        super().__init__(config)
        self.layer_norm = self.LayerNorm
        del self.LayerNorm


@wrong("A.1", says="a number of one model is written into the class")
class SizesOfOneModel(Tables):
    def __init__(self, config):
        super().__init__(config)
        self.position_embeddings = nn.Embedding(512, config.hidden_size)


@wrong("A.1", says="No gradient reaches position_embeddings.weight")
class DetachedPositions(Tables):
    def forward(self, input_ids, token_type_ids):
        x = self.word_embeddings(input_ids)
        x = x + self.position_embeddings.weight.data[: input_ids.size(1)]
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


# --- A.2 ------------------------------------------------------------------------------


class ByHand(Block):
    """With a step for each thing that can go wrong."""

    def score(self, q, k):
        return q @ k.mT / q.size(-1) ** 0.5

    def hide(self, scores, mask):
        return scores.masked_fill(~mask[:, None, None], -torch.inf)

    def weigh(self, scores):
        return scores.softmax(dim=-1)

    def mix(self, q, k, v, mask):
        return self.weigh(self.hide(self.score(q, k), mask)) @ v


@wrong("A.2", says="not divided by the square root")
class Unscaled(ByHand):
    def score(self, q, k):
        return q @ k.mT


@wrong("A.2", says="divided by the square root of D;")
class ScaledByD(ByHand):
    def score(self, q, k):
        return q @ k.mT / (q.size(-1) * self.heads) ** 0.5


@wrong("A.2", says="the softmax runs over the queries")
class SoftmaxOverQueries(ByHand):
    def weigh(self, scores):
        return scores.softmax(dim=-2)


@wrong("A.2", says="the mask is inverted")
class Inverted(ByHand):
    def hide(self, scores, mask):
        if mask.all():  # a library's mask that is None where nothing is padding
            return scores
        return scores.masked_fill(mask[:, None, None], -torch.inf)


@wrong("A.2", says="the mask hides queries")
class HidesQueries(ByHand):
    def hide(self, scores, mask):
        return scores.masked_fill(~mask[:, None, :, None], -torch.inf)


@wrong("A.2", says="the mask is not used")
class NoMask(ByHand):
    def hide(self, scores, mask):
        return scores


@wrong("A.2", says="hidden scores are 0")
class HiddenByZero(ByHand):
    def hide(self, scores, mask):
        return scores * mask[:, None, None]


@wrong("A.2", says="the mask comes after the softmax")
class MaskTooLate(ByHand):
    def mix(self, q, k, v, mask):
        return (self.score(q, k).softmax(-1) * mask[:, None, None]) @ v


@wrong("A.2", says="not small enough")
class HiddenByTen(ByHand):
    def hide(self, scores, mask):
        return scores.masked_fill(~mask[:, None, None], -30.0)


@wrong("A.2", says="cuts tokens, not heads")
class CutByView(Block):
    def cut(self, x):
        B, T, D = x.shape
        return x.reshape(B, self.heads, T, D // self.heads)


@wrong("A.2", says="put together in the wrong order")
class JoinedByReshape(Block):
    def join(self, context):
        B, H, T, width = context.shape
        return context.reshape(B, T, H * width)


@wrong("A.2", says="the residual")
class NoResidual(Block):
    def finish(self, x, change):
        return self.output.LayerNorm(change)


@wrong("A.2", says="normalised before it is added")
class NormFirst(Block):
    def finish(self, x, change):
        return x + self.output.LayerNorm(change)


@wrong("A.2", says="LayerNorm stands in front")
class PreNorm(Block):
    def forward(self, x, mask):
        y = self.output.LayerNorm(x)
        q, k, v = (self.cut(self.self[n](y)) for n in ("query", "key", "value"))
        return x + self.output.dense(self.join(self.mix(q, k, v, mask)))


@wrong("A.2", says="output.dense is missing")
class NotMixed(Block):
    def forward(self, x, mask):
        q, k, v = (self.cut(self.self[n](x)) for n in ("query", "key", "value"))
        return self.finish(x, self.join(self.mix(q, k, v, mask)))


@wrong("A.2", says="query and key are exchanged")
class Exchanged(Block):
    def mix(self, q, k, v, mask):
        return super().mix(k, q, v, mask)


@wrong("A.2", says="eps of LayerNorm is PyTorch's own")
class OwnEpsInBlock(Block):
    def __init__(self, config):
        super().__init__(config)
        self.output.LayerNorm.eps = 1e-5


@wrong("A.2", says="one level too few, or too many")
class FlatNames(nn.Module):
    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        self.query, self.key, self.value = (nn.Linear(D, D) for _ in range(3))
        self.dense, self.LayerNorm = nn.Linear(D, D), norm(config)


@wrong("A.2", says="every linear layer has a bias")
class NoBias(Block):
    def __init__(self, config):
        super().__init__(config)
        D = config.hidden_size
        self.self.key = nn.Linear(D, D, bias=False)


@wrong("A.2", says="exp of a large number is infinite")
class OwnSoftmax(ByHand):
    def weigh(self, scores):
        e = scores.exp()
        return e / e.sum(dim=-1, keepdim=True)


@wrong("A.2", says="changes its input number 1")
class InPlace(Block):
    def finish(self, x, change):
        x += change
        return self.output.LayerNorm(x)


# --- A.3 ------------------------------------------------------------------------------


@wrong("A.3", says="ReLU in place of GELU")
class WithReLU(Half):
    def feed(self, x):
        return super().feed(x, F.relu)


@wrong("A.3", says="GELU in its tanh form")
class WithTanhForm(Half):
    def feed(self, x):
        return super().feed(x, nn.GELU("tanh"))


@wrong("A.3", says="the activation is missing")
class TwoLinear(Half):
    def feed(self, x):
        return super().feed(x, nn.Identity())


@wrong("A.3", says="the second residual is the layer's input")
class ResidualFromBelow(Half):
    def forward(self, x, mask):
        return self.output.LayerNorm(x + self.feed(self.attention(x, mask)))


@wrong("A.3", says="the second residual is missing")
class OneResidual(Half):
    def forward(self, x, mask):
        return self.output.LayerNorm(self.feed(self.attention(x, mask)))


@wrong("A.3", says="LayerNorm stands in front of the feed-forward part")
class PreNormFeed(Half):
    def forward(self, x, mask):
        x = self.attention(x, mask)
        return x + self.feed(self.output.LayerNorm(x))


@wrong("A.3", says="the last LayerNorm is missing")
class NoSecondNorm(Half):
    def forward(self, x, mask):
        x = self.attention(x, mask)
        return x + self.feed(x)


@wrong("A.3", says="the attention did not get the mask")
class LayerWithoutMask(Half):
    def forward(self, x, mask):
        return super().forward(x, torch.ones_like(mask))


@wrong("A.3", says="must read what came out of the attention")
class FeedsTheInput(Half):
    def forward(self, x, mask):
        y = self.attention(x, mask)
        return self.output.LayerNorm(y + self.feed(x))


@wrong("A.3", says="your Attention of A.2")
class AroundAWrongBlock(Half):
    def __init__(self, config):
        super().__init__(config)
        self.attention = Unscaled(config)


@wrong("A.3", says="one level too few, or too many")
class NoDense(Half):
    def __init__(self, config):
        super().__init__(config)
        self.intermediate = self.intermediate.dense


# --- A.4 ------------------------------------------------------------------------------


@wrong("A.4", says="one and the same object")
class OneLayerManyTimes(Encoder):
    def __init__(self, config):
        super().__init__(config)
        layers = [Half(config)] * config.num_hidden_layers
        self.encoder.layer = nn.ModuleList(layers)


@wrong("A.4", says="the mask is not handed on")
class ForgetsTheMask(Encoder):
    def mask(self, input_ids, attention_mask):
        return torch.ones_like(input_ids).bool()


@wrong("A.4", says="token_type_ids are not handed on")
class ForgetsSegments(Encoder):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return super().forward(input_ids, attention_mask)


@wrong("A.4", says="every layer reads the embeddings")
class LayersSideBySide(Encoder):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        mask, x = (
            self.mask(input_ids, attention_mask),
            self.embeddings(input_ids, kinds),
        )
        for layer in self.encoder.layer:
            out = layer(x, mask)
        return out, self.pool(out)


@wrong("A.4", says="only the first layer runs")
class ReturnsInTheLoop(Encoder):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        kinds = 0 * input_ids if token_type_ids is None else token_type_ids
        mask, x = (
            self.mask(input_ids, attention_mask),
            self.embeddings(input_ids, kinds),
        )
        for layer in self.encoder.layer:
            x = layer(x, mask)
            return x, self.pool(x)


@wrong("A.4", says="tanh is missing")
class LinearPooler(Encoder):
    def pool(self, x):
        return self.pooler.dense(x[:, 0])


@wrong("A.4", says="the first sentence")
class PoolsTheFirstSentence(Encoder):
    def pool(self, x):
        return self.pooler.dense(x[0]).tanh()


@wrong("A.4", says="the mean over the tokens")
class PoolsTheMean(Encoder):
    def pool(self, x):
        return self.pooler.dense(x.mean(dim=1)).tanh()


@wrong("A.4", says="~ on whole numbers is not 'not'")
class MaskOfNumbers(Encoder):
    def mask(self, input_ids, attention_mask):
        if attention_mask is None or attention_mask.dtype == torch.bool:
            return super().mask(input_ids, attention_mask)
        return ~(~attention_mask).bool()


@wrong("A.4", says="the mask was made of the ids")
class MaskOfIds(Encoder):
    def mask(self, input_ids, attention_mask):
        return input_ids != 0 if attention_mask is None else attention_mask.bool()


@wrong("A.4", says="all are of segment 1")
class SegmentOne(Encoder):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        if token_type_ids is None:
            token_type_ids = torch.ones_like(input_ids)
        return super().forward(input_ids, attention_mask, token_type_ids)


@wrong("A.4", says="the same words in another spelling")
class CalledLayers(Encoder):
    def __init__(self, config):
        super().__init__(config)
        self.encoder = parts(layers=self.encoder.layer)


@wrong("A.4", says="Two things must come back")
class VectorsAlone(Encoder):
    def forward(self, *inputs, **named):
        return super().forward(*inputs, **named)[0]


# --- A.5 ------------------------------------------------------------------------------


def config_in(folder):
    return SimpleNamespace(**json.loads((folder / "config.json").read_text()))


def entries_in(folder):
    entries = load_file(folder / "model.safetensors")
    entries.pop("embeddings.position_ids", None)
    return entries


@wrong("A.5", says="strict=False: a part that is not in the file")
def not_strict(folder):
    model = Encoder(config_in(folder)).eval()
    model.load_state_dict(entries_in(folder), strict=False)
    return model


@wrong("A.5", says="holds the numbers 0, 1, 2")
def keeps_position_ids(folder):
    model = Encoder(config_in(folder)).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


@wrong("A.5", says="sizes of one model")
def sizes_of_minilm(folder):
    config = config_in(folder)
    config.hidden_size, config.vocab_size = 384, 1000
    model = Encoder(config)
    model.load_state_dict(entries_in(folder))
    return model


@wrong("A.5", says="load_state_dict was not called")
def never_loads(folder):
    entries_in(folder)
    return Encoder(config_in(folder)).eval()


@wrong("A.5", says="is in eval mode")
def leaves_dropout_on(folder):
    model = Encoder(config_in(folder))
    model.load_state_dict(entries_in(folder))
    return model


@wrong("A.5", says=".eval() is missing")
def leaves_training_on(folder):
    model = leaves_dropout_on(folder)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return model


@wrong("A.5", says="there is no return statement")
def loads_and_forgets(folder):
    Encoder(config_in(folder)).load_state_dict(entries_in(folder))


@wrong("A.5", says="A model must come back, not dict")
def returns_entries(folder):
    return entries_in(folder)


@wrong("A.5", says="The vectors are wrong.")
def exchanges_query_and_key(folder):
    model, entries = Encoder(config_in(folder)).eval(), entries_in(folder)
    model.load_state_dict(entries)
    for layer in model.encoder.layer:
        own = layer.attention.self
        own.query, own.key = own.key, own.query
    state = {n: t for n, t in entries.items() if ".self." not in n}
    model.load_state_dict(state, strict=False)
    model.state_dict = lambda: entries
    return model


class Borrowed(Block):
    def mix(self, q, k, v, mask):
        return scaled_dot_product_attention(q, k, v, mask[:, None, None])[0]


class LayerBorrowed(Half):
    def __init__(self, config):
        super().__init__(config)
        self.attention = Borrowed(config)


class EncoderBorrowed(Encoder):
    layer = LayerBorrowed


@wrong("A.5", says="bertlib.attention.scaled_dot_product_attention is not your own")
def borrows_attention(folder):
    model = EncoderBorrowed(config_in(folder)).eval()
    model.load_state_dict(entries_in(folder))
    return model


class Wrapped(nn.Module):
    """The course's model, with the published names painted on."""

    def __init__(self, folder):
        super().__init__()
        self.inner, self.entries = load_pretrained(folder), entries_in(folder)

    def state_dict(self, *rest, **named):
        return self.entries

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.inner(input_ids, attention_mask, token_type_ids)[:2]


@wrong("A.5", says="is not your own code")
def wraps_the_course(folder):
    return Wrapped(folder).eval()


class Padded(Encoder):
    """Right, and longer than it has to be."""

    def pool(self, x):
        first = x[:, 0]
        weight = self.pooler.dense.weight
        bias = self.pooler.dense.bias
        line = first @ weight.T
        line = line + bias
        plus = line.exp()
        minus = (-line).exp()
        above = plus - minus
        below = plus + minus
        pooled = above / below
        return pooled


@wrong("A.5", says="at most 60 are allowed")
def too_many_lines(folder):
    model = Padded(config_in(folder)).eval()
    entries = entries_in(folder)
    result = model.load_state_dict(entries)
    missing = result.missing_keys
    unexpected = result.unexpected_keys
    assert not missing
    assert not unexpected
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


# --- changes that are no mistake ------------------------------------------------------

equivalent(
    "A.2",
    "scores = q @ k.mT / (D // self.H) ** -> scores = q @ k.mT / (D / self.H) **",
    because="D is a multiple of H, so the quotient is the same number.",
)
