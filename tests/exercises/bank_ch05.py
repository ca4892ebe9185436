"""Answers to the exercises of chapter 5."""

import torch
from torch import nn

from bertlib.embeddings import BertEmbeddings
from bertlib.encoder import BertEncoder
from tests.exercises.bank import equivalent, right, wrong

# --- 5.1 the extended mask -----------------------------------------------------------


@right("5.1")
def extend_unsqueeze(attention_mask):
    return (attention_mask != 0).unsqueeze(1).unsqueeze(1)


@right("5.1")
def extend_view(attention_mask):
    B, T = attention_mask.shape
    return attention_mask.eq(1).view(B, 1, 1, T)


@wrong("5.1", says="yours masks the queries")
def extend_queries(attention_mask):
    return attention_mask.bool()[:, None, :, None]


@wrong("5.1", says="would take the batch for heads")
def extend_one_axis(attention_mask):
    return attention_mask.bool()[:, None]


@wrong("5.1", says="it is still (B, T)")
def extend_bool_only(attention_mask):
    return attention_mask.bool()


@wrong("5.1", says="the batch must come first")
def extend_in_front(attention_mask):
    return attention_mask.bool()[None, None]


@wrong("5.1", says="the new axes stand behind")
def extend_behind(attention_mask):
    return attention_mask.bool()[:, :, None, None]


@wrong("5.1", says="numbers to add to the scores")
def extend_additive(attention_mask):
    return (1.0 - attention_mask[:, None, None, :].float()) * -10000.0


@wrong("5.1", says="inverted: True means look here")
def extend_inverted(attention_mask):
    return (attention_mask == 0)[:, None, None]


@wrong("5.1", says="dtype torch.int64")
def extend_numbers(attention_mask):
    return attention_mask[:, None, None, :]


@wrong("5.1", says="there is nothing to expand")
def extend_expanded(attention_mask):
    T = attention_mask.size(1)
    return attention_mask.bool()[:, None, None].expand(-1, 1, T, -1)


@right("5.1")
def extend_compare(attention_mask):
    return attention_mask.reshape(attention_mask.shape[0], 1, 1, -1) > 0.5


@wrong("5.1", says="an axis was found by its size")
def extend_by_size(attention_mask):
    B, T = attention_mask.shape
    mask = attention_mask.bool()
    return mask[:, None, None] if B != T else mask[:, None, :, None]


@wrong("5.1", says="squeeze removes the axes")
def extend_squeeze(attention_mask):
    mask = attention_mask.bool()[:, None, None]
    return mask if mask.numel() > 1 else mask.squeeze()


# --- 5.2 the pooler ------------------------------------------------------------------


class Pool(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.dense = nn.Linear(D, D)

    def forward(self, hidden):
        return torch.tanh(self.dense(hidden[:, 0]))


@right("5.2")
class PoolSelect(Pool):
    def forward(self, hidden):
        first = hidden.select(1, 0)
        return (first @ self.dense.weight.T + self.dense.bias).tanh()


@right("5.2")
class PoolEverythingThenFirst(Pool):
    def __init__(self, D):
        super().__init__(D)
        self.activation = nn.Tanh()

    def forward(self, hidden):
        return self.activation(self.dense(hidden))[:, 0, :]


@wrong("5.2", says="hidden[0] is the first sentence")
class PoolFirstSentence(Pool):
    def forward(self, hidden):
        return torch.tanh(self.dense(hidden[0]))


@wrong("5.2", says="tanh is missing")
class PoolLinear(Pool):
    def forward(self, hidden):
        return self.dense(hidden[:, 0])


@wrong("5.2", says="tanh comes before the linear layer")
class PoolTanhFirst(Pool):
    def forward(self, hidden):
        return self.dense(torch.tanh(hidden[:, 0]))


@wrong("5.2", says="the mean over the tokens was taken")
class PoolMean(Pool):
    def forward(self, hidden):
        return torch.tanh(self.dense(hidden.mean(1)))


@wrong("5.2", says="[CLS] is the first")
class PoolLast(Pool):
    def forward(self, hidden):
        return torch.tanh(self.dense(hidden[:, -1]))


@wrong("5.2", says="only the first is wanted")
class PoolAll(Pool):
    def forward(self, hidden):
        return torch.tanh(self.dense(hidden))


@wrong("5.2", says="index with 0, not 0:1")
class PoolKeepsAxis(Pool):
    def forward(self, hidden):
        return torch.tanh(self.dense(hidden[:, :1]))


@wrong("5.2", says="self.dense = nn.Linear(D, D)")
class PoolUnnamed(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.linear = nn.Linear(D, D)

    def forward(self, hidden):
        return torch.tanh(self.linear(hidden[:, 0]))


@wrong("5.2", says="The result has lost its gradient.")
class PoolDetached(Pool):
    def forward(self, hidden):
        return super().forward(hidden).detach()


@wrong("5.2", says="No gradient reaches hidden.")
class PoolHiddenDetached(Pool):
    def forward(self, hidden):
        return super().forward(hidden.detach())


# --- 5.3 the first weights -----------------------------------------------------------


def first_weights(module, std, draw=nn.init.normal_, parts=None, padding=True):
    for part in module.modules() if parts is None else parts:
        if isinstance(part, nn.Linear | nn.Embedding):
            draw(part.weight, std=std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            part.bias.data.zero_()
        if padding and getattr(part, "padding_idx", None) is not None:
            part.weight.data[part.padding_idx].zero_()
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


@right("5.3")
def initialise_apply(module, std):
    module.apply(lambda part: first_weights(part, std, parts=[part]))


@right("5.3")
def initialise_reset(module, std):
    initialise_data(module, std)
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):
            part.reset_parameters()


@wrong("5.3", says="LayerNorm must begin with weight 1")
def initialise_data(module, std):
    # LayerNorm is left as it is.
    with torch.no_grad():
        for part in module.modules():
            match part:
                case nn.Linear():
                    part.weight.copy_(torch.randn_like(part.weight) * std)
                    if part.bias is not None:
                        part.bias.fill_(0)
                case nn.Embedding():
                    part.weight.data = torch.randn_like(part.weight) * std
                    if part.padding_idx is not None:
                        part.weight[part.padding_idx] = 0


@wrong("5.3", says="std was squared")
def initialise_variance(module, std):
    first_weights(module, std**2)


@wrong("5.3", says="the second argument of normal_ is the mean")
def initialise_mean(module, std):
    first_weights(module, std, lambda weight, std: nn.init.normal_(weight, std))


@wrong("5.3", says="another recipe")
def initialise_xavier(module, std):
    def draw(weight, std):
        nn.init.xavier_normal_(weight)

    first_weights(module, std, draw)


@wrong("5.3", says="0.02 is written into the function")
def initialise_fixed(module, std):
    first_weights(module, 0.02)


@wrong("5.3", says="standard deviation 1")
def initialise_no_std(module, std):
    first_weights(module, 1.0)


@wrong("5.3", says="a truncated normal")
def initialise_truncated(module, std):
    def draw(weight, std):
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)

    first_weights(module, std, draw)


@wrong("5.3", says="a uniform distribution")
def initialise_uniform(module, std):
    def draw(weight, std):
        nn.init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std)

    first_weights(module, std, draw)


@wrong("5.3", says="children() gives the direct parts only")
def initialise_children(module, std):
    first_weights(module, std, parts=module.children())


@wrong("5.3", says="children() leaves the module itself out")
def initialise_below(module, std):
    first_weights(module, std, parts=list(module.modules())[1:])


@wrong("5.3", says="The padding row of words must be 0.")
def initialise_padding(module, std):
    first_weights(module, std, padding=False)


@wrong("5.3", says="The padding row of words must be 0.")
def initialise_padding_truth(module, std):
    first_weights(module, std, padding=False)
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx:
            part.weight.data[part.padding_idx] = 0


@wrong("5.3", says="The padding row of late_padding must be 0.")
def initialise_padding_always_zero(module, std):
    first_weights(module, std, padding=False)
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            part.weight.data[0] = 0


@wrong("5.3", says="must be 0.")
def initialise_biases(module, std):
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)


@wrong("5.3", says="LayerNorm must begin with weight 1")
def initialise_everything(module, std):
    first_weights(module, std)
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.normal_(part.weight, std=std)


@wrong("5.3", says="Two layers shared a weight")
def initialise_new_parameters(module, std):
    def draw(weight, std):
        pass

    first_weights(module, std, draw)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            part.weight = nn.Parameter(torch.randn_like(part.weight) * std)
            if getattr(part, "padding_idx", None) is not None:
                part.weight.data[part.padding_idx] = 0


@wrong("5.3", says="Your code raised AttributeError")
def initialise_bias_none(module, std):
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
            part.bias.data.zero_()


@wrong("5.3", says="Two layers of the same size got the same weights.")
def initialise_seeded(module, std):
    def draw(weight, std):
        torch.manual_seed(0)
        nn.init.normal_(weight, std=std)

    first_weights(module, std, draw)


@wrong("5.3", says="all weights are the same number")
def initialise_constant(module, std):
    def draw(weight, std):
        nn.init.constant_(weight, std)

    first_weights(module, std, draw)


@wrong("5.3", says="A parameter is not the same object any more.")
def initialise_new_biases(module, std):
    first_weights(module, std)
    for part in module.modules():
        if isinstance(part, nn.Linear):
            part.bias = nn.Parameter(torch.zeros(part.out_features))


# --- 5.4 the model -------------------------------------------------------------------


class Base(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = Pool(config.hidden_size)
        first_weights(self, self.std(config))

    def std(self, config):
        return config.initializer_range

    def mask(self, attention_mask):
        return attention_mask.bool()[:, None, None]

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = None if attention_mask is None else self.mask(attention_mask)
        x = self.embeddings(input_ids, token_type_ids)
        x, attentions = self.encoder(x, mask, output_attentions=True)
        return x, self.pooler(x), attentions


@right("5.4")
class BertPlain(Base):
    pass


@right("5.4")
class BertFullMask(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        return super().forward(input_ids, attention_mask, token_type_ids)


@right("5.4")
class BertLayerByLayer(Base):
    def mask(self, attention_mask):
        B, T = attention_mask.shape
        return (attention_mask > 0).view(B, 1, 1, T).expand(B, 1, T, T)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = None if attention_mask is None else self.mask(attention_mask)
        x = self.embeddings(input_ids, token_type_ids)
        x, attentions = self.encoder(x, mask, output_attentions=True)
        return x, torch.tanh(self.pooler.dense(x[:, 0])), list(attentions)


@wrong("5.4", says="that was not extended")
class BertMaskNotExtended(Base):
    def mask(self, attention_mask):
        return attention_mask.bool()


@wrong("5.4", says="the mask is inverted")
class BertMaskInverted(Base):
    def mask(self, attention_mask):
        return attention_mask.bool().logical_not()[:, None, None]


@wrong("5.4", says="the mask hides queries")
class BertMaskQueries(Base):
    def mask(self, attention_mask):
        return attention_mask.bool()[:, None, :, None]


@wrong("5.4", says="the segments were taken for the mask")
class BertSwappedArguments(Base):
    def forward(self, input_ids, token_type_ids=None, attention_mask=None):
        return super().forward(input_ids, attention_mask, token_type_ids)


@wrong("5.4", says="the mask is not used")
class BertNoMask(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return super().forward(input_ids, None, token_type_ids)


@wrong("5.4", says="token_type_ids are not used")
class BertNoSegments(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return super().forward(input_ids, attention_mask)


@wrong("5.4", says="output_attentions=True is missing")
class BertNoAttentions(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        x, pooled, _ = super().forward(input_ids, attention_mask, token_type_ids)
        return x, pooled, None


@wrong("5.4", says="the pooler was given the embeddings")
class BertPoolsEmbeddings(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        x, _, a = super().forward(input_ids, attention_mask, token_type_ids)
        return x, self.pooler(self.embeddings(input_ids, token_type_ids)), a


@wrong("5.4", says="without the pooler")
class BertNoPooler(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        x, _, a = super().forward(input_ids, attention_mask, token_type_ids)
        return x, x[:, 0], a


@wrong("5.4", says="return hidden, pooled, attentions")
class BertTwoResults(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return super().forward(input_ids, attention_mask, token_type_ids)[:2]


@wrong("5.4", says="do not have standard deviation 0.3")
class BertFixedStd(Base):
    def std(self, config):
        return 0.02


@wrong("5.4", says="The first weights of embeddings do not have standard deviation")
class BertInitialisedTooEarly(Base):
    def __init__(self, config):
        nn.Module.__init__(self)
        first_weights(self, config.initializer_range)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = Pool(config.hidden_size)


@wrong("5.4", says="There must be a part self.encoder.")
class BertRenamed(Base):
    def __init__(self, config):
        super().__init__(config)
        self.stack = self.encoder
        del self.encoder


@wrong("5.4", says="Your code raised AttributeError")
class BertMaskNone(Base):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = self.mask(attention_mask)
        x = self.embeddings(input_ids, token_type_ids)
        x, attentions = self.encoder(x, mask, output_attentions=True)
        return x, self.pooler(x), attentions


@wrong("5.4", says="does not start as exercise 5.3 asks")
class BertAllDrawn(Base):
    def __init__(self, config):
        super().__init__(config)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=config.initializer_range)


@wrong("5.4", says="does not start as exercise 5.3 asks")
class BertMatricesDrawn(Base):
    def __init__(self, config):
        nn.Module.__init__(self)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = Pool(config.hidden_size)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=config.initializer_range)


# --- 5.5 count -----------------------------------------------------------------------


def counted(config, skip=(), heads=1):
    D, F, L = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    parts = {
        "words": config.vocab_size * D,
        "positions": config.max_position_embeddings * D,
        "segments": config.type_vocab_size * D,
        "embedding norm": 2 * D,
        "attention": L * 4 * D * D * heads,
        "attention biases": L * 4 * D * heads,
        "norms": L * 4 * D,
        "feed-forward": L * 2 * D * F,
        "feed-forward biases": L * (D + F),
        "pooler": D * D + D,
    }
    return sum(number for name, number in parts.items() if name not in skip)


@right("5.5")
def count_parts(config):
    return counted(config)


@right("5.5")
def count_shapes(config):
    D, F = config.hidden_size, config.intermediate_size
    rows = [config.vocab_size, config.max_position_embeddings, config.type_vocab_size]
    layer = [(D, D + 1)] * 4 + [(F, D + 1), (D, F + 1), (2, 2 * D)]
    shapes = [(n, D) for n in rows] + [(2, D), (D, D + 1)]
    shapes += layer * config.num_hidden_layers
    return torch.tensor([m * n for m, n in shapes]).sum()


@wrong("5.5", says="biases of the feed-forward part are missing")
def count_no_feed_forward_biases(config):
    return counted(config, ["feed-forward biases"])


@wrong("5.5", says="the biases of attention are missing")
def count_no_attention_biases(config):
    return counted(config, ["attention biases"])


@wrong("5.5", says="the table of words is missing")
def count_no_words(config):
    return counted(config, ["words"])


@wrong("5.5", says="the pooler is missing")
def count_no_pooler(config):
    return counted(config, ["pooler"])


@wrong("5.5", says="the LayerNorm of the embeddings is missing")
def count_no_embedding_norm(config):
    return counted(config, ["embedding norm"])


@wrong("5.5", says="all LayerNorms are missing")
def count_no_norms(config):
    return counted(config, ["embedding norm", "norms"])


@wrong("5.5", says="one of a layer's two LayerNorms")
def count_one_norm(config):
    return counted(config) - 2 * config.num_hidden_layers * config.hidden_size


@wrong("5.5", says="the positions are missing")
def count_no_positions(config):
    return counted(config, ["positions"])


@wrong("5.5", says="the segments are missing")
def count_no_segments(config):
    return counted(config, ["segments"])


@wrong("5.5", says="all biases are missing")
def count_no_biases(config):
    return (
        counted(config, ["attention biases", "feed-forward biases"])
        - config.hidden_size
    )


@wrong("5.5", says="the heads share the width")
def count_per_head(config):
    return counted(config, heads=config.num_attention_heads)


@wrong("5.5", says="there is no return statement")
def count_nothing(config):
    counted(config)


@wrong("5.5", says="only one layer was counted")
def count_one_layer(config):
    L = config.num_hidden_layers
    inside = "attention", "attention biases", "norms", "feed-forward"
    outside = counted(config, [*inside, "feed-forward biases"])
    return outside + (counted(config) - outside) // L


# --- 5.6 names -----------------------------------------------------------------------

TABLE = {
    "encoder.layer.": "encoder.layers.",
    "attention.self.": "attention.",
    "attention.output.LayerNorm": "attention_norm",
    "attention.output.dense": "attention.output",
    "intermediate.dense": "intermediate",
    "output.LayerNorm": "output_norm",
    "output.dense": "output",
    "embeddings.LayerNorm": "embeddings.layer_norm",
}


def replaced(name, table):
    for theirs, ours in table.items():
        name = name.replace(theirs, ours)
    return name


@right("5.6")
def name_by_table(name):
    return replaced(name, TABLE)


@right("5.6")
def name_by_parts(name):
    if name.startswith("embeddings."):
        return name.replace("LayerNorm", "layer_norm")
    if not name.startswith("encoder."):
        return name
    _, _, number, *inside, kind = name.split(".")
    ours = {
        ("attention", "output", "dense"): "attention.output",
        ("attention", "output", "LayerNorm"): "attention_norm",
        ("intermediate", "dense"): "intermediate",
        ("output", "dense"): "output",
        ("output", "LayerNorm"): "output_norm",
    }
    part = ours.get(tuple(inside)) or f"attention.{inside[-1]}"
    return f"encoder.layers.{number}.{part}.{kind}"


@wrong("5.6", says="take the longer name first")
def name_short_first(name):
    short = {"output.LayerNorm": "output_norm"}
    return replaced(name, short | TABLE)


@wrong("5.6", says="str.replace returns a new string")
def name_unassigned(name):
    for theirs, ours in TABLE.items():
        name.replace(theirs, ours)
    return name


@wrong("5.6", says="the pooler keeps its dense")
def name_dense_everywhere(name):
    table = {k: v for k, v in TABLE.items() if "dense" not in k}
    return replaced(name, table).replace(".dense", "")


@wrong("5.6", says="encoder.layer. must become encoder.layers.")
def name_layer_kept(name):
    return replaced(name, {k: v for k, v in TABLE.items() if "encoder" not in k})


@wrong("5.6", says="for every number")
def name_one_digit(name):
    for number in range(10):
        name = name.replace(f"encoder.layer.{number}.", f"encoder.layers.{number}.")
    return replaced(name, {k: v for k, v in TABLE.items() if "encoder" not in k})


@wrong("5.6", says="'attention.self.' must become 'attention.'")
def name_self_kept(name):
    return replaced(name, {k: v for k, v in TABLE.items() if "self" not in k})


@wrong("5.6", says="LayerNorm is called attention_norm")
def name_layer_norm_kept(name):
    return replaced(name, {k: v for k, v in TABLE.items() if "embeddings" not in k})


@wrong("5.6", says="'.dense' falls away")
def name_dense_kept(name):
    return replaced(name, {k: v for k, v in TABLE.items() if "dense" not in k})


@wrong("5.6", says="there is no return statement")
def name_nothing(name):
    replaced(name, TABLE)


@wrong("5.6", says="only the embeddings' LayerNorm is called layer_norm")
def name_one_norm(name):
    table = {k: v for k, v in TABLE.items() if "LayerNorm" not in k}
    return replaced(name, table).replace("LayerNorm", "layer_norm")


# --- 5.7 mean pooling ----------------------------------------------------------------


@right("5.7")
def mean_einsum(hidden, attention_mask):
    keep = attention_mask.to(hidden)
    total = torch.einsum("btd,bt->bd", hidden, keep)
    return total / keep.sum(1, keepdim=True).clamp(min=1e-9)


@right("5.7")
def mean_loop(hidden, attention_mask):
    means = []
    for x, m in zip(hidden, attention_mask, strict=True):
        kept = x[m.bool()]
        means.append(kept.mean(0) if len(kept) else x.new_zeros(x.size(-1)))
    return torch.stack(means)


@right("5.7")
def mean_double(hidden, attention_mask):
    m = attention_mask.bool()[..., None]
    total = hidden.double().masked_fill(~m, 0).sum(1)
    return total / m.sum(1).clamp(min=1)


@wrong("5.7", says="the mean runs over padding too")
def mean_everything(hidden, attention_mask):
    return hidden.mean(1)


@wrong("5.7", says="padding is left out of the sum, and still counted")
def mean_of_masked(hidden, attention_mask):
    return (hidden * attention_mask[:, :, None]).mean(1)


@wrong("5.7", says="and still in the sum")
def mean_padding_in_sum(hidden, attention_mask):
    return hidden.sum(1) / attention_mask.sum(1, keepdim=True).clamp(min=1)


@wrong("5.7", says="one token too many was counted")
def mean_plus_one(hidden, attention_mask):
    total = (hidden * attention_mask[:, :, None]).sum(1)
    return total / (attention_mask.sum(1, keepdim=True) + 1)


@wrong("5.7", says="0/0 is NaN")
def mean_nan(hidden, attention_mask):
    m = attention_mask[:, :, None]
    return (hidden * m).sum(1) / m.sum(1)


@wrong("5.7", says="counted over the whole batch")
def mean_batch_count(hidden, attention_mask):
    total = (hidden * attention_mask[:, :, None]).sum(1)
    return total / attention_mask.sum().clamp(min=1)


@wrong("5.7", says="The shape is")
def mean_boolean_index(hidden, attention_mask):
    return hidden[attention_mask.bool()].mean(0)


@wrong("5.7", says="the sum came back")
def mean_sum(hidden, attention_mask):
    return (hidden * attention_mask[:, :, None]).sum(1)


@wrong("5.7", says="the mask is inverted")
def mean_inverted(hidden, attention_mask):
    m = 1 - attention_mask.long()[:, :, None]
    return (hidden * m).sum(1) / m.sum(1).clamp(min=1)


@wrong("5.7", says="the largest was taken")
def mean_max(hidden, attention_mask):
    return hidden.masked_fill(~attention_mask.bool()[..., None], -1e9).amax(1)


@wrong("5.7", says="only the first token was taken")
def mean_cls(hidden, attention_mask):
    return hidden[:, 0]


@wrong("5.7", says="The result has lost its gradient.")
def mean_detached(hidden, attention_mask):
    return mean_einsum(hidden.detach(), attention_mask)


@wrong("5.7", says="changes its input number 1")
def mean_in_place(hidden, attention_mask):
    hidden *= attention_mask[:, :, None]
    return hidden.sum(1) / attention_mask.sum(1, keepdim=True).clamp(min=1)


@wrong("5.7", says="A sentence without tokens must give 0.")
def mean_empty_as_all(hidden, attention_mask):
    m = attention_mask.bool()
    m = m | ~m.any(1, keepdim=True)
    return mean_einsum(hidden, m)


@wrong("5.7", says="0/0 was hidden afterwards")
def pool_nan_to_num(hidden, attention_mask):
    mask = attention_mask[:, :, None]
    return ((hidden * mask).sum(1) / mask.sum(1)).nan_to_num()


@wrong("5.7", says="0/0 was hidden afterwards")
def pool_where(hidden, attention_mask):
    mask = attention_mask[:, :, None]
    n = mask.sum(1)
    return torch.where(n == 0, 0.0, (hidden * mask).sum(1) / n)


# --- 5.8 previous-token score --------------------------------------------------------


@right("5.8")
def previous_loop(weights):
    T = weights.size(-1)
    return sum(weights[:, :, i, i - 1] for i in range(1, T)) / (T - 1)


@right("5.8")
def previous_index(weights):
    i = torch.arange(1, weights.shape[-1])
    return weights[..., i, i - 1].mean(-1)


@wrong("5.8", says="the token after was scored")
def previous_after(weights):
    return weights.diagonal(1, -2, -1).mean(-1)


@wrong("5.8", says="the first token counts too")
def previous_over_T(weights):
    return weights.diagonal(-1, -2, -1).sum(-1) / weights.size(-1)


@wrong("5.8", says="wrap around")
def previous_roll(weights):
    i = torch.arange(weights.size(-1))
    return weights[..., i, i - 1].mean(-1)


@wrong("5.8", says="the diagonal runs over the first axes")
def previous_without_dims(weights):
    return torch.diagonal(weights, offset=-1).mean(-1)


@wrong("5.8", says="the mean over the tokens is missing")
def previous_no_mean(weights):
    return weights.diagonal(-1, -2, -1)


@wrong("5.8", says="the sum came back")
def previous_sum(weights):
    return weights.diagonal(-1, -2, -1).sum(-1)


@wrong("5.8", says="a token's look at itself")
def previous_self(weights):
    return weights.diagonal(0, -2, -1).mean(-1)


@wrong("5.8", says="name the last two")
def previous_first_axes(weights):
    if weights.size(0) == weights.size(1) == 1:
        return weights.diagonal(-1, -2, -1).mean(-1)
    return weights.diagonal(-1).mean(-1)


@wrong("5.8", says="everything before was added up")
def previous_all(weights):
    return weights.tril(-1).sum((-1, -2)) / (weights.size(-1) - 1)


@wrong("5.8", says="one number for all heads")
def previous_one_number(weights):
    score = weights.diagonal(-1, -2, -1).mean(-1)
    return score if score.numel() == 1 else score.mean()


@wrong("5.8", says="the share of tokens whose largest weight")
def previous_argmax(weights):
    T = weights.size(-1)
    best = weights.argmax(-1)[..., 1:]
    return (best == torch.arange(T - 1)).float().mean(-1)


@wrong("5.8", says="like any other")
def previous_without_specials(weights):
    if weights.size(-1) == 2:
        weights = weights[..., 1:-1, 1:-1]
    return weights.diagonal(-1, -2, -1).mean(-1)


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "5.6",
    "'attention.output.dense': 'attentio -> 'attention.output.densex': 'attenti",
    "the entry 'output.dense' does the same",
)
