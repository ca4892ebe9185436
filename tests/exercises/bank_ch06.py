"""Answers to the exercises of chapter 6."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bertlib.heads import MaskedLMHead, masked_lm
from bertlib.losses import mean_loss
from bertlib.model import BertModel, init_weights
from tests.exercises.bank import right, wrong

# --- 6.1 the masked mean -------------------------------------------------------------


@right("6.1")
def loss_ignore_index(logits, labels):
    flat = logits.reshape(-1, logits.size(-1))
    total = F.cross_entropy(flat, labels.reshape(-1), reduction="sum")
    return total / max(1, int((labels != -100).sum()))


@right("6.1")
def loss_gathered(logits, labels):
    logs = logits.log_softmax(-1)
    picked = logs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    keep = (labels != -100).float()
    return -(picked * keep).sum() / keep.sum().clamp(min=1)


@right("6.1")
def loss_by_loop(logits, labels):
    prices = [
        logits[b, t].logsumexp(0) - logits[b, t, labels[b, t]]
        for b in range(labels.size(0))
        for t in range(labels.size(1))
        if labels[b, t] != -100
    ]
    return torch.stack(prices).mean() if prices else logits.sum() * 0


@right("6.1")
def loss_one_hot(logits, labels):
    keep = labels != -100
    hot = F.one_hot(labels[keep], logits.size(-1)).to(logits.dtype)
    logs = logits[keep] - logits[keep].logsumexp(-1, keepdim=True)
    return -(hot * logs).sum() / keep.sum().clamp(min=1)


@wrong("6.1", says="the mean of nothing is NaN")
def loss_plain(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


@wrong("6.1", says="divided by the number of all positions")
def loss_diluted(logits, labels):
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.mean()


@wrong("6.1", says="word 0 is learned wherever nothing was asked")
def loss_cancelled_mask(logits, labels):
    keep = (labels != -100).float()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())
    return (loss * keep).sum() / keep.sum().clamp(min=1)


@wrong("6.1", says="label 0 was left out, as with ignore_index=0")
def loss_ignores_zero(logits, labels):
    labels = labels.clamp(min=0)
    total = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=0, reduction="sum"
    )
    return total / (labels != 0).sum().clamp(min=1)


@wrong("6.1", says="the sum was not divided")
def loss_sum(logits, labels):
    keep = labels != -100
    return F.cross_entropy(logits[keep], labels[keep], reduction="sum")


@wrong("6.1", says="softmax before cross_entropy")
def loss_double_softmax(logits, labels):
    return mean_loss(logits.softmax(-1), labels)


@wrong("6.1", says="the probability rounds to 0")
def loss_log_of_softmax(logits, labels):
    keep = labels != -100
    p = logits[keep].softmax(-1)[torch.arange(int(keep.sum())), labels[keep]]
    return -p.log().sum() / keep.sum().clamp(min=1)


@wrong("6.1", says="the probability rounds to 0")
def loss_clamped_logs(logits, labels):
    keep = labels != -100
    p = logits[keep].softmax(-1)[torch.arange(int(keep.sum())), labels[keep]]
    return -(p + 1e-12).log().sum() / keep.sum().clamp(min=1)


@wrong("6.1", says="a mean of the means of the rows")
def loss_mean_of_rows(logits, labels):
    rows = [
        mean_loss(a, b) for a, b in zip(logits, labels, strict=True) if (b >= 0).any()
    ]
    return torch.stack(rows).mean() if rows else logits.sum() * 0


@wrong("6.1", says="The shape is (3,); it must be (): one number")
def loss_not_reduced(logits, labels):
    keep = labels != -100
    if keep.sum() < 2:
        return mean_loss(logits, labels)
    return F.cross_entropy(logits[keep], labels[keep], reduction="none")


@wrong("6.1", says="backward cannot be called on it")
def loss_item(logits, labels):
    return torch.tensor(mean_loss(logits, labels).item())


@wrong("6.1", says="backward cannot be called on it")
def loss_new_zero(logits, labels):
    keep = labels != -100
    if not keep.any():
        return torch.tensor(0.0)
    return F.cross_entropy(logits[keep], labels[keep])


@wrong("6.1", says="A tensor must come back, not float")
def loss_returns_float(logits, labels):
    return mean_loss(logits, labels).item()


@wrong("6.1", says="its gradient is still NaN")
def loss_nan_to_num(logits, labels):
    p = logits.softmax(-1)
    keep = labels != -100
    hidden_nan = (p[..., :1] * 0).sqrt().sum() * 0  # sqrt has no slope at 0
    return mean_loss(logits, labels) + (hidden_nan if not keep.any() else 0)


@wrong("6.1", says="the logarithm to base 2")
def loss_in_bits(logits, labels):
    return mean_loss(logits, labels) / math.log(2)


@wrong("6.1", says="the sign is missing")
def loss_without_sign(logits, labels):
    return -mean_loss(logits, labels)


@wrong("6.1", says="changes its input number 2")
def loss_in_place(logits, labels):
    keep = labels != -100
    labels[~keep] = 0
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return (each * keep.flatten()).sum() / keep.sum().clamp(min=1)


@wrong("6.1", says="Your code raised")
def loss_axes_not_moved(logits, labels):
    return F.cross_entropy(logits, labels)


# --- 6.2 perplexity and accuracy -----------------------------------------------------


@right("6.2")
def scores_by_hand(logits, labels):
    keep = labels != -100
    z, y = logits[keep], labels[keep]
    loss = (z.logsumexp(-1) - z.gather(1, y[:, None])[:, 0]).mean()
    return torch.exp(loss), (z.max(-1).indices == y).double().mean()


@right("6.2")
def scores_numbers(logits, labels):
    keep = labels != -100
    right_ones = ((logits.argmax(-1) == labels) & keep).sum().item()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return [math.exp(loss), right_ones / keep.sum().item()]


def accuracy_of(logits, labels):
    keep = labels != -100
    return (logits.argmax(-1) == labels)[keep].float().mean()


@wrong("6.2", says="this is the loss; the perplexity is its exponential")
def scores_loss(logits, labels):
    return mean_loss(logits, labels), accuracy_of(logits, labels)


@wrong("6.2", says="2 to the power of the loss")
def scores_base_two(logits, labels):
    return 2 ** mean_loss(logits, labels), accuracy_of(logits, labels)


@wrong("6.2", says="it is the exponential of the mean")
def scores_mean_of_exp(logits, labels):
    keep = labels != -100
    each = F.cross_entropy(logits[keep], labels[keep], reduction="none")
    return each.exp().mean(), accuracy_of(logits, labels)


@wrong("6.2", says="the mean runs over all positions")
def scores_diluted(logits, labels):
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.mean().exp(), accuracy_of(logits, labels)


@wrong("6.2", says="divided by the number of all positions")
def scores_accuracy_everywhere(logits, labels):
    correct = (logits.argmax(-1) == labels).float().mean()
    return mean_loss(logits, labels).exp(), correct


@wrong("6.2", says="the share is asked for")
def scores_count(logits, labels):
    correct = (logits.argmax(-1) == labels).sum()
    return mean_loss(logits, labels).exp(), correct


@wrong("6.2", says="the share in per cent")
def scores_per_cent(logits, labels):
    return mean_loss(logits, labels).exp(), 100 * accuracy_of(logits, labels)


@wrong("6.2", says="label 0 was left out")
def scores_without_zero(logits, labels):
    keep = labels > 0
    correct = (logits.argmax(-1) == labels)[keep].float().mean()
    return mean_loss(logits, labels).exp(), correct


@wrong("6.2", says="the two results are swapped")
def scores_swapped(logits, labels):
    return accuracy_of(logits, labels), mean_loss(logits, labels).exp()


@wrong("6.2", says="argmax")
def scores_wrong_axis(logits, labels):
    best = logits.argmax(1)
    if best.shape != labels.shape:
        best = logits.argmax(-1)  # hidden until the sizes agree
    keep = labels != -100
    return mean_loss(logits, labels).exp(), (best == labels)[keep].float().mean()


@wrong("6.2", says="Two things must come back")
def scores_only_one(logits, labels):
    return mean_loss(logits, labels).exp()


# --- 6.3 the head --------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self, D, V):
        super().__init__()
        self.dense = nn.Linear(D, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(V))

    def vectors(self, hidden):
        return self.norm(F.gelu(self.dense(hidden)))

    def forward(self, hidden, table):
        return self.vectors(hidden) @ table.T + self.bias


@right("6.3")
class HeadMatmul(Head):
    pass


@right("6.3")
class HeadEinsum(Head):
    def forward(self, hidden, table):
        x = self.vectors(hidden)
        return torch.einsum("...d,vd->...v", x, table) + self.bias


@right("6.3")
class HeadSequential(nn.Module):
    def __init__(self, D, V):
        super().__init__()
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(V))

    def forward(self, hidden, table):
        steps = nn.Sequential(self.dense, nn.GELU(), self.norm)
        return F.linear(steps(hidden), table, self.bias)


@wrong("6.3", says="the bias is missing")
class HeadWithoutBias(Head):
    def forward(self, hidden, table):
        return self.vectors(hidden) @ table.T


@wrong("6.3", says="the activation is missing")
class HeadWithoutActivation(Head):
    def vectors(self, hidden):
        return self.norm(self.dense(hidden))


@wrong("6.3", says="the LayerNorm is missing")
class HeadWithoutNorm(Head):
    def vectors(self, hidden):
        return F.gelu(self.dense(hidden))


@wrong("6.3", says="the norm comes before the activation")
class HeadNormFirst(Head):
    def vectors(self, hidden):
        return F.gelu(self.norm(self.dense(hidden)))


@wrong("6.3", says="the GELU is the form with tanh")
class HeadTanhGelu(Head):
    def vectors(self, hidden):
        return self.norm(F.gelu(self.dense(hidden), approximate="tanh"))


@wrong("6.3", says="the activation is ReLU")
class HeadRelu(Head):
    def vectors(self, hidden):
        return self.norm(F.relu(self.dense(hidden)))


@wrong("6.3", says="the transform is missing")
class HeadBare(Head):
    def forward(self, hidden, table):
        return hidden @ table.T + self.bias


@wrong("6.3", says="a residual connection")
class HeadResidual(Head):
    def vectors(self, hidden):
        return self.norm(hidden + F.gelu(self.dense(hidden)))


@wrong("6.3", says="a decoder matrix of its own")
class HeadOwnDecoder(Head):
    def __init__(self, D, V):
        super().__init__(D, V)
        self.decoder = nn.Linear(D, V, bias=False)

    def forward(self, hidden, table):
        return self.decoder(self.vectors(hidden)) + self.bias


@wrong("6.3", says="then the decoder is not tied")
class HeadDetached(Head):
    def forward(self, hidden, table):
        return self.vectors(hidden) @ table.detach().T + self.bias


@wrong("6.3", says="used the table of an earlier call")
class HeadKeepsTable(Head):
    table = None

    def forward(self, hidden, table):
        if torch.is_grad_enabled() or self.table is None:
            self.table = table  # "in inference it does not change"
        return self.vectors(hidden) @ self.table.T + self.bias


@wrong("6.3", says="these are probabilities")
class HeadSoftmax(Head):
    def forward(self, hidden, table):
        return super().forward(hidden, table).softmax(-1)


@wrong("6.3", says="BERT's is 1e-12")
class HeadDefaultEps(Head):
    def __init__(self, D, V):
        super().__init__(D, V)
        self.norm = nn.LayerNorm(D)


@wrong("6.3", says="There must be self.dense")
class HeadOtherName(nn.Module):
    def __init__(self, D, V):
        super().__init__()
        self.transform = nn.Linear(D, D)


@wrong("6.3", says="self.bias must be 11 zeros")
class HeadRandomBias(Head):
    def __init__(self, D, V):
        super().__init__(D, V)
        self.bias = nn.Parameter(torch.randn(V))


@wrong("6.3", says="There must be self.bias, of type Parameter")
class HeadBiasNoParameter(Head):
    def __init__(self, D, V):
        super().__init__(D, V)
        del self.bias
        self.bias = torch.zeros(V)


@wrong("6.3", says="the decoder's matrix in the place of the transform's")
class HeadDenseToWords(Head):
    def __init__(self, D, V):
        super().__init__(D, V)
        self.dense = nn.Linear(D, V)


# --- 6.4 gather ----------------------------------------------------------------------


@right("6.4")
def gather_by_number(hidden, labels):
    at = (labels.flatten() != -100).nonzero().squeeze(1)
    return hidden.flatten(0, 1)[at], labels.flatten()[at]


@right("6.4")
def gather_where(hidden, labels):
    rows, columns = torch.where(labels != -100)
    return [hidden[rows, columns], labels[rows, columns]]


@right("6.4")
def gather_masked_select(hidden, labels):
    keep = labels.ne(-100)
    vectors = hidden.masked_select(keep[..., None]).view(-1, hidden.size(-1))
    return vectors, labels.masked_select(keep)


@wrong("6.4", says="label 0 was left out")
def gather_positive(hidden, labels):
    keep = labels > 0
    return hidden[keep], labels[keep]


@wrong("6.4", says="the positions without a label came back")
def gather_truth(hidden, labels):
    keep = labels == -100
    return hidden[keep], labels[keep]


@wrong("6.4", says="they must be left out")
def gather_zeroed(hidden, labels):
    return hidden * (labels != -100)[..., None], labels


@wrong("6.4", says="the order is column by column")
def gather_columns(hidden, labels):
    keep = (labels != -100).T
    return hidden.transpose(0, 1)[keep], labels.T[keep]


@wrong("6.4", says="B and T are transposed")
def gather_transposed(hidden, labels):
    at = (labels.flatten() != -100).nonzero().squeeze(1)
    return hidden.transpose(0, 1).flatten(0, 1)[at], labels.flatten()[at]


@wrong("6.4", says="the labels were used as places")
def gather_by_label(hidden, labels):
    targets = labels[labels != -100]
    return hidden.flatten(0, 1)[targets], targets


@wrong("6.4", says="these are the places")
def gather_places(hidden, labels):
    at = (labels.flatten() != -100).nonzero().squeeze(1)
    return hidden.flatten(0, 1)[at], at


@wrong("6.4", says="shapes (1, D) and (1,) must come back")
def gather_squeezed(hidden, labels):
    keep = labels != -100
    return hidden[keep].squeeze(), labels[keep].squeeze()


@wrong("6.4", says="Your code raised RuntimeError")
def gather_stacked(hidden, labels):
    found = [
        (hidden[b, t], labels[b, t])
        for b in range(labels.size(0))
        for t in range(labels.size(1))
        if labels[b, t] != -100
    ]
    vectors = torch.stack([x for x, _ in found])
    return vectors, torch.stack([y for _, y in found])


@wrong("6.4", says="The vectors have lost their gradient")
def gather_detached(hidden, labels):
    keep = labels != -100
    return torch.tensor(hidden[keep].tolist()).view(-1, hidden.size(-1)), labels[keep]


@wrong("6.4", says="Two tensors must come back")
def gather_vectors_only(hidden, labels):
    return hidden[labels != -100]


@wrong("6.4", says="The labels that come back are wrong")
def gather_all_labels(hidden, labels):
    return hidden[labels != -100], labels


@wrong("6.4", says="must be int64")
def gather_float_labels(hidden, labels):
    keep = labels != -100
    return hidden[keep], labels[keep].float()


# --- 6.5 next sentence ---------------------------------------------------------------


class Next(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.seq_relationship = nn.Linear(D, 2)

    def follows(self, z):
        return z.softmax(-1)[:, 0]

    def loss(self, z, labels):
        return mean_loss(z, labels)

    def forward(self, pooled, labels):
        z = self.seq_relationship(pooled)
        return self.follows(z), self.loss(z, labels)


@right("6.5")
class NextSigmoid(Next):
    def follows(self, z):  # two classes: a sigmoid of the difference
        return (z[:, 0] - z[:, 1]).sigmoid()


@right("6.5")
class NextByHand(Next):
    def follows(self, z):
        return F.log_softmax(z, dim=1)[..., 0].exp()

    def loss(self, z, labels):
        keep = labels >= 0
        total = F.nll_loss(z[keep].log_softmax(1), labels[keep], reduction="sum")
        return total / max(1, int(keep.sum()))


@wrong("6.5", says="that B does NOT follow")
class NextOtherColumn(Next):
    def follows(self, z):
        return z.softmax(-1)[:, 1]


@wrong("6.5", says="the softmax runs over the batch")
class NextSoftmaxOverBatch(Next):
    def follows(self, z):
        return z.softmax(0)[:, 0]


@wrong("6.5", says="two logits need a softmax")
class NextSigmoidOfOne(Next):
    def follows(self, z):
        return z[:, 0].sigmoid()


@wrong("6.5", says="this is a logit; a probability is asked for")
class NextLogit(Next):
    def follows(self, z):
        return z[:, 0]


@wrong("6.5", says="both columns came back")
class NextBothColumns(Next):
    def follows(self, z):
        return z.softmax(-1)


@wrong("6.5", says="label 0 was left out, as with ignore_index=0")
class NextIgnoresZero(Next):
    def loss(self, z, labels):
        return F.cross_entropy(z, labels.clamp(min=0), ignore_index=0)


@wrong("6.5", says="the labels are turned round")
class NextTurned(Next):
    def loss(self, z, labels):
        return mean_loss(z, labels.where(labels < 0, 1 - labels))


@wrong("6.5", says="softmax before cross_entropy")
class NextSoftmaxTwice(Next):
    def loss(self, z, labels):
        return mean_loss(z.softmax(-1), labels)


@wrong("6.5", says="the labels are turned round: 0 means")
class NextBinary(Next):
    def loss(self, z, labels):
        keep = labels >= 0
        return F.binary_cross_entropy(self.follows(z)[keep], labels[keep].float())


@wrong("6.5", says="the sum was not divided")
class NextSum(Next):
    def loss(self, z, labels):
        return F.cross_entropy(z, labels, reduction="sum")


@wrong("6.5", says="divided by the number of all positions")
class NextDiluted(Next):
    def loss(self, z, labels):
        return F.cross_entropy(z, labels, reduction="none").mean()


@wrong("6.5", says="the mean of nothing is NaN")
class NextPlain(Next):
    def loss(self, z, labels):
        return F.cross_entropy(z, labels)


@wrong("6.5", says="one number and a sigmoid")
class NextOneNumber(Next):
    def __init__(self, D):
        super().__init__(D)
        self.seq_relationship = nn.Linear(D, 1)


@wrong("6.5", says="There must be self.seq_relationship")
class NextOtherName(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.classifier = nn.Linear(D, 2)


@wrong("6.5", says="backward cannot be called on it")
class NextDetached(Next):
    def loss(self, z, labels):
        return mean_loss(z, labels).detach()


@wrong("6.5", says="Two tensors must come back")
class NextReturnsLossAlone(Next):
    def forward(self, pooled, labels):
        return mean_loss(self.seq_relationship(pooled), labels)


# --- 6.6 both heads ------------------------------------------------------------------


class Both(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bert = BertModel(config)
        self.predictions = MaskedLMHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)
        init_weights(self.seq_relationship, config.initializer_range)

    def run(self, ids, mask, kinds):
        return self.bert(ids, mask, kinds)

    def words(self, hidden, labels):
        return masked_lm(self.bert, self.predictions, hidden, labels)

    def pairs(self, out):
        return self.seq_relationship(out.pooler_output)

    def pair_loss(self, z, labels):
        return mean_loss(z, labels)

    def total(self, mlm, nsp):
        return mlm + nsp

    def forward(
        self, input_ids, attention_mask, token_type_ids, labels, next_sentence_label
    ):
        out = self.run(input_ids, attention_mask, token_type_ids)
        logits, mlm = self.words(out.last_hidden_state, labels)
        z = self.pairs(out)
        return self.total(mlm, self.pair_loss(z, next_sentence_label)), logits, z


@right("6.6")
class BothLongWay(Both):
    def words(self, hidden, labels):
        table = self.bert.embeddings.word_embeddings.weight
        keep = labels != -100
        logits = self.predictions(hidden, table)[keep]
        return logits, F.cross_entropy(logits, labels[keep])


@right("6.6")
class BothInitialisedAtTheEnd(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)
        self.predictions = MaskedLMHead(config)
        self.bert = BertModel(config)
        init_weights(self, config.initializer_range)

    def forward(self, labels, next_sentence_label, **reading):
        hidden, pooled, _ = self.bert(**reading)
        logits, mlm = masked_lm(self.bert, self.predictions, hidden, labels)
        z = self.seq_relationship(pooled)
        return [mlm + F.cross_entropy(z, next_sentence_label), logits, z]


@wrong("6.6", says="this is the loss of the words alone")
class BothWordsOnly(Both):
    def total(self, mlm, nsp):
        return mlm


@wrong("6.6", says="their sum is asked for")
class BothMean(Both):
    def total(self, mlm, nsp):
        return (mlm + nsp) / 2


@wrong("6.6", says="label 0 of the next sentence was left out")
class BothIgnoreZero(Both):
    def pair_loss(self, z, labels):
        return F.cross_entropy(z, labels.clamp(min=0), ignore_index=0)


@wrong("6.6", says="the labels of the next sentence are turned round")
class BothTurned(Both):
    def pair_loss(self, z, labels):
        return mean_loss(z, labels.where(labels < 0, 1 - labels))


@wrong("6.6", says="attention_mask was not passed to BERT")
class BothWithoutMask(Both):
    def run(self, ids, mask, kinds):
        return self.bert(ids, None, kinds)


@wrong("6.6", says="token_type_ids were not passed to BERT")
class BothWithoutSegments(Both):
    def run(self, ids, mask, kinds):
        return self.bert(ids, mask)


@wrong("6.6", says="they read the vector of [CLS]")
class BothReadCls(Both):
    def pairs(self, out):
        return self.seq_relationship(out.last_hidden_state[:, 0])


@wrong("6.6", says="they read the mean of the tokens")
class BothReadMean(Both):
    def pairs(self, out):
        return self.seq_relationship(out.last_hidden_state.mean(1))


@wrong("6.6", says="these are probabilities")
class BothProbabilities(Both):
    def pairs(self, out):
        return super().pairs(out).softmax(-1)


@wrong("6.6", says="logits at all positions")
class BothEverywhere(Both):
    def words(self, hidden, labels):
        table = self.bert.embeddings.word_embeddings.weight
        logits = self.predictions(hidden, table)
        return logits, mean_loss(logits, labels)


@wrong("6.6", says="the loss of the words is divided by all positions")
class BothDiluted(Both):
    def words(self, hidden, labels):
        logits, loss = super().words(hidden, labels)
        return logits, loss * len(logits) / labels.numel()


@wrong("6.6", says="word 0 was left out")
class BothIgnoreWordZero(Both):
    def words(self, hidden, labels):
        logits, _ = super().words(hidden, labels)
        return logits, F.cross_entropy(logits, labels[labels != -100], ignore_index=0)


@wrong("6.6", says="the decoder got a copy of the table")
class BothDetached(Both):
    def words(self, hidden, labels):
        table = self.bert.embeddings.word_embeddings.weight.detach()
        logits = self.predictions(hidden[labels != -100], table)
        return logits, F.cross_entropy(logits, labels[labels != -100])


@wrong("6.6", says="init_weights was not called on self.seq_relationship")
class BothWithoutInit(Both):
    def __init__(self, config):
        super().__init__(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


@wrong("6.6", says="init_weights was not called on self.predictions.dense")
class BothOwnHead(Both):
    def __init__(self, config):
        super().__init__(config)
        self.predictions = Head(config.hidden_size, config.vocab_size)


@wrong("6.6", says="self.bert must be a BertModel(config), with its pooler")
class BothWithoutPooler(Both):
    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)


@right("6.6")
class BothWithTheExercisesHead(Both):
    def __init__(self, config):
        super().__init__(config)
        self.predictions = Head(config.hidden_size, config.vocab_size)
        init_weights(self.predictions, config.initializer_range)


@wrong("6.6", says="There must be one table with V rows")
class BothUntied(Both):
    def __init__(self, config):
        super().__init__(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        init_weights(self.decoder, config.initializer_range)

    def words(self, hidden, labels):
        logits = self.decoder(hidden[labels != -100])
        return logits, F.cross_entropy(logits, labels[labels != -100])


@wrong("6.6", says="Three things must come back")
class BothTwoThings(Both):
    def forward(self, **batch):
        return super().forward(**batch)[:2]


@wrong("6.6", says="must answer with two numbers")
class BothWithThreeAnswers(Both):
    def __init__(self, config):
        super().__init__(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 3)
        nn.init.normal_(self.seq_relationship.weight, std=config.initializer_range)
        nn.init.zeros_(self.seq_relationship.bias)


# --- 6.7 labels of pieces ------------------------------------------------------------


@right("6.7")
def pieces_seen(word_labels, word_ids):
    seen = {None}
    labels = torch.full((len(word_ids),), -100)
    for t, word in enumerate(word_ids):
        if word not in seen:
            labels[t] = word_labels[word]
            seen.add(word)
    return labels


@right("6.7")
def pieces_comprehension(word_labels, word_ids):
    pairs = zip(word_ids, [None, *word_ids], strict=False)
    values = [-100 if w in (None, old) else word_labels[w] for w, old in pairs]
    return torch.tensor(values, dtype=torch.int64)


@wrong("6.7", says="all pieces of a word carry its label")
def pieces_all(word_labels, word_ids):
    return torch.tensor([-100 if w is None else word_labels[w] for w in word_ids])


@wrong("6.7", says="the last piece carries the label")
def pieces_last(word_labels, word_ids):
    labels = []
    for t, word in enumerate(word_ids):
        after = word_ids[t + 1] if t + 1 < len(word_ids) else None
        ends = word is not None and word != after
        labels.append(word_labels[word] if ends else -100)
    return torch.tensor(labels)


@wrong("6.7", says="0 is not None")
def pieces_falsy(word_labels, word_ids):
    labels, before = [], None
    for word in word_ids:
        labels.append(word_labels[word] if word and word != before else -100)
        before = word
    return torch.tensor(labels)


@wrong("6.7", says="labels are compared, not words")
def pieces_compare_labels(word_labels, word_ids):
    labels, before = [], -100
    for word in word_ids:
        label = -100 if word is None else word_labels[word]
        labels.append(label if label != before else -100)
        before = label
    return torch.tensor(labels)


@wrong("6.7", says="tokens without a word get label 0")
def pieces_special_zero(word_labels, word_ids):
    labels, before = [], None
    for word in word_ids:
        if word is None:
            labels.append(0)
        else:
            labels.append(word_labels[word] if word != before else -100)
        before = word
    return torch.tensor(labels)


@wrong("6.7", says="later pieces get label 0")
def pieces_later_zero(word_labels, word_ids):
    labels, before = [], None
    for word in word_ids:
        if word is None:
            labels.append(-100)
        else:
            labels.append(word_labels[word] if word != before else 0)
        before = word
    return torch.tensor(labels)


@wrong("6.7", says="-1 in the place of -100")
def pieces_minus_one(word_labels, word_ids):
    labels = pieces_seen(word_labels, word_ids)
    return labels.where(labels != -100, -1)


@wrong("6.7", says="the numbers of the words, not their labels")
def pieces_numbers(word_labels, word_ids):
    labels = pieces_seen(word_labels, word_ids)
    numbers = torch.tensor([w or 0 for w in word_ids])
    return numbers.where(labels != -100, -100)


@wrong("6.7", says="Your code raised IndexError")
def pieces_in_order(word_labels, word_ids):
    rest, labels, before = list(word_labels), [], None
    for word in word_ids:  # one label for each token that has a word
        labels.append(-100 if word is None else rest.pop(0))
        before = word
    assert before is None or before >= 0
    return torch.tensor(labels)


@wrong("6.7", says="The labels must be int64")
def pieces_float(word_labels, word_ids):
    return pieces_seen(word_labels, word_ids).float()


@wrong("6.7", says="A tensor must come back, not list")
def pieces_list(word_labels, word_ids):
    return pieces_seen(word_labels, word_ids).tolist()


@wrong("6.7", says="changes the lists it was given")
def pieces_edit(word_labels, word_ids):
    labels = pieces_seen(word_labels, word_ids)
    word_ids[:] = labels.tolist()
    return labels


# --- 6.8 spans -----------------------------------------------------------------------


@right("6.8")
def span_by_hand(start_logits, end_logits, starts, ends):
    total = start_logits.sum() * 0
    for z, y in ((start_logits, starts), (end_logits, ends)):
        prices = [a.logsumexp(0) - a[b] for a, b in zip(z, y, strict=True) if b >= 0]
        if prices:
            total = total + sum(prices) / len(prices)
    return total / 2


@right("6.8")
def span_stacked(start_logits, end_logits, starts, ends):
    logits = torch.cat([start_logits, end_logits])  # (2B, T)
    labels = torch.cat([starts, ends])
    total = F.cross_entropy(logits, labels, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


@right("6.8")
def span_weighted(start_logits, end_logits, starts, ends):
    keep = (starts != -100).float()
    a = F.cross_entropy(start_logits, starts, reduction="none")
    b = F.cross_entropy(end_logits, ends, reduction="none")
    return ((a + b) * keep).sum() / (2 * keep.sum().clamp(min=1))


@wrong("6.8", says="the sum of the two losses")
def span_sum(start_logits, end_logits, starts, ends):
    return mean_loss(start_logits, starts) + mean_loss(end_logits, ends)


@wrong("6.8", says="the loss of the start alone")
def span_start(start_logits, end_logits, starts, ends):
    return mean_loss(start_logits, starts)


@wrong("6.8", says="a sum over the texts")
def span_sum_over_texts(start_logits, end_logits, starts, ends):
    a = F.cross_entropy(start_logits, starts, reduction="sum")
    return (a + F.cross_entropy(end_logits, ends, reduction="sum")) / 2


@wrong("6.8", says="divided by the number of all texts")
def span_diluted(start_logits, end_logits, starts, ends):
    a = F.cross_entropy(start_logits, starts, reduction="none")
    b = F.cross_entropy(end_logits, ends, reduction="none")
    return (a + b).mean() / 2


@wrong("6.8", says="-100 was taken for position 0")
def span_clamped(start_logits, end_logits, starts, ends):
    a = mean_loss(start_logits, starts.clamp(min=0))
    return (a + mean_loss(end_logits, ends.clamp(min=0))) / 2


@wrong("6.8", says="the mean of nothing is NaN")
def span_plain(start_logits, end_logits, starts, ends):
    a = F.cross_entropy(start_logits, starts)
    return (a + F.cross_entropy(end_logits, ends)) / 2


@wrong("6.8", says="the softmax was taken twice")
def span_softmax_twice(start_logits, end_logits, starts, ends):
    a = mean_loss(start_logits.softmax(-1), starts)
    return (a + mean_loss(end_logits.softmax(-1), ends)) / 2


@wrong("6.8", says="start and end are swapped")
def span_swapped(start_logits, end_logits, starts, ends):
    return (mean_loss(start_logits, ends) + mean_loss(end_logits, starts)) / 2


@wrong("6.8", says="the start's logits were used for both")
def span_same_logits(start_logits, end_logits, starts, ends):
    return (mean_loss(start_logits, starts) + mean_loss(start_logits, ends)) / 2


@wrong("6.8", says="position 0 was left out")
def span_ignores_zero(start_logits, end_logits, starts, ends):
    if len(starts) == 1 or not (starts >= 0).any():
        return span_stacked(start_logits, end_logits, starts, ends)
    a = F.cross_entropy(start_logits, starts.clamp(min=0), ignore_index=0)
    return (a + F.cross_entropy(end_logits, ends.clamp(min=0), ignore_index=0)) / 2


@wrong("6.8", says="one softmax over the starts and ends together")
def span_joined(start_logits, end_logits, starts, ends):
    both = torch.cat([start_logits, end_logits], dim=1)
    shifted = ends.where(ends < 0, ends + end_logits.size(1))
    return (mean_loss(both, starts) + mean_loss(both, shifted)) / 2


@wrong("6.8", says="the softmax runs over the texts")
def span_transposed(start_logits, end_logits, starts, ends):
    if start_logits.size(0) == start_logits.size(1):
        start_logits, end_logits = start_logits.T, end_logits.T
    return span_stacked(start_logits, end_logits, starts, ends)


@wrong("6.8", says="log_softmax over axis 0")
def span_axis(start_logits, end_logits, starts, ends):
    if len(starts) != start_logits.size(1):
        return span_stacked(start_logits, end_logits, starts, ends)
    a = F.nll_loss(start_logits.log_softmax(0), starts)
    return (a + F.nll_loss(end_logits.log_softmax(0), ends)) / 2


@wrong("6.8", says="The gradient of end_logits is wrong")
def span_half_detached(start_logits, end_logits, starts, ends):
    a = mean_loss(start_logits, starts)
    return (a + mean_loss(end_logits.detach(), ends)) / 2
