"""Answers to the exercises of chapter 4."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from bertlib.attention import MultiHeadSelfAttention
from bertlib.encoder import BertLayer
from tests.exercises.bank import right, wrong

ROOT = math.sqrt(2 / math.pi)

# --- 4.1 gelu ------------------------------------------------------------------------


def exact_gelu(z):
    return 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))


def tanh_gelu(z):
    return 0.5 * z * (1 + torch.tanh(ROOT * (z + 0.044715 * z**3)))


@right("4.1")
def gelu_library(z, tanh=False):
    return F.gelu(z, approximate="tanh" if tanh else "none")


@right("4.1")
def gelu_ndtr(z, tanh=False):
    if tanh:  # tanh written as a logistic function
        return z * torch.sigmoid(2 * ROOT * (z + 0.044715 * z.pow(3)))
    return z * torch.special.ndtr(z)


@right("4.1")
def gelu_double(z, tanh=False):
    normal = torch.distributions.Normal(0.0, 1.0)
    return tanh_gelu(z.double()) if tanh else z.double() * normal.cdf(z.double())


@wrong("4.1", says="this is the form with tanh; without tanh=True")
def gelu_always_tanh(z, tanh=False):
    return tanh_gelu(z)


@wrong("4.1", says="this is the exact form; tanh=True asks for the other")
def gelu_always_exact(z, tanh=False):
    return exact_gelu(z)


@wrong("4.1", says="erf(z) instead of erf(z / sqrt 2)")
def gelu_erf_plain(z, tanh=False):
    return 0.5 * z * (1 + torch.erf(z))


@wrong("4.1", says="erf(z * sqrt 2)")
def gelu_erf_times(z, tanh=False):
    return 0.5 * z * (1 + torch.erf(z * 2**0.5))


@wrong("4.1", says="The exact form is wrong. Smallest input")
def gelu_sigmoid_short(z, tanh=False):
    return z * torch.sigmoid(1.7 * z)


@wrong("4.1", says="a third approximation")
def gelu_sigmoid(z, tanh=False):
    return z * torch.sigmoid(1.702 * z)


@wrong("4.1", says="the factor 1/2 is missing")
def gelu_doubled(z, tanh=False):
    return z * (1 + torch.erf(z / 2**0.5))


@wrong("4.1", says="it must be multiplied by z")
def gelu_phi(z, tanh=False):
    return 0.5 * (1 + torch.erf(z / 2**0.5))


@wrong("4.1", says="z squared instead of z cubed")
def gelu_squared(z, tanh=False):
    if not tanh:
        return exact_gelu(z)
    return 0.5 * z * (1 + torch.tanh(ROOT * (z + 0.044715 * z**2)))


@wrong("4.1", says="the root multiplies z alone")
def gelu_bracket(z, tanh=False):
    if not tanh:
        return exact_gelu(z)
    return 0.5 * z * (1 + torch.tanh(ROOT * z + 0.044715 * z**3))


@wrong("4.1", says="the constant is 0.044715")
def gelu_constant(z, tanh=False):
    cubic = z + 0.44715 * z**3
    return 0.5 * z * (1 + torch.tanh(ROOT * cubic)) if tanh else exact_gelu(z)


@wrong("4.1", says="a bracket is missing around 1 + erf")
def gelu_no_bracket(z, tanh=False):
    return tanh_gelu(z) if tanh else 0.5 * z * 1 + torch.erf(z / 2**0.5)


@right("4.1")
def gelu_erfc(z, tanh=False):
    return nn.GELU("tanh")(z) if tanh else z * torch.special.erfc(-z / 2**0.5) / 2


@wrong("4.1", says="2/pi without the root")
def gelu_no_root(z, tanh=False):
    if not tanh:
        return exact_gelu(z)
    return 0.5 * z * (1 + torch.tanh(2 / math.pi * (z + 0.044715 * z**3)))


@wrong("4.1", says="exp overflows; torch.tanh does not")
def gelu_hand_made_tanh(z, tanh=False):
    if not tanh:
        return exact_gelu(z)
    e = (2 * ROOT * (z + 0.044715 * z**3)).exp()
    return 0.5 * z * (1 + (e - 1) / (e + 1))


@wrong("4.1", says="The gradient of large numbers is wrong.")
def gelu_hidden_nan(z, tanh=False):
    if not tanh:
        return exact_gelu(z)
    e = (2 * ROOT * (z + 0.044715 * z**3)).exp()
    return torch.where(z > 10, z, 0.5 * z * (1 + (e - 1) / (e + 1)))


@wrong("4.1", says="The result has lost its gradient.")
def gelu_detached(z, tanh=False):
    return gelu_library(z.detach(), tanh)


@wrong("4.1", says="a part of the formula was detached")
def gelu_half_detached(z, tanh=False):
    form = "tanh" if tanh else "none"
    return z * (F.gelu(z, approximate=form) / z).nan_to_num().detach()


@wrong("4.1", says="changes its input number 1")
def gelu_in_place(z, tanh=False):
    result = gelu_library(z, tanh)
    return z.copy_(result)


# --- 4.2 feed-forward ----------------------------------------------------------------


class Network(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.intermediate = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, x):
        return self.output(F.gelu(self.intermediate(x)))


@right("4.2")
class NetworkSequential(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.intermediate = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.output = nn.Linear(hidden, width)
        self.all = nn.Sequential(self.intermediate, self.act, self.output)

    def forward(self, x):
        return self.all(x)


@right("4.2")
class NetworkOfCells(Network):
    def forward(self, x):
        total = self.output.bias
        for i in range(self.output.in_features):
            key = self.intermediate.weight[i]
            fired = exact_gelu(x @ key + self.intermediate.bias[i])
            total = total + fired[..., None] * self.output.weight[:, i]
        return total


@right("4.2")
class NetworkEinsum(Network):
    def forward(self, x):
        z = torch.einsum("...d,fd->...f", x, self.intermediate.weight)
        z = exact_gelu(z + self.intermediate.bias)
        return torch.einsum("...f,df->...d", z, self.output.weight) + self.output.bias


@wrong("4.2", says="the activation is missing")
class NetworkLinear(Network):
    def forward(self, x):
        return self.output(self.intermediate(x))


@wrong("4.2", says="the activation is ReLU")
class NetworkReLU(Network):
    def forward(self, x):
        return self.output(self.intermediate(x).relu())


@wrong("4.2", says="the form with tanh; the exact one")
class NetworkTanh(Network):
    def forward(self, x):
        return self.output(tanh_gelu(self.intermediate(x)))


@wrong("4.2", says="the activation comes after the second layer")
class NetworkLate(Network):
    def forward(self, x):
        return F.gelu(self.output(self.intermediate(x)))


@wrong("4.2", says="the activation comes before the first layer")
class NetworkEarly(Network):
    def forward(self, x):
        return self.output(self.intermediate(F.gelu(x)))


@wrong("4.2", says="a second activation at the end")
class NetworkTwice(Network):
    def forward(self, x):
        return F.gelu(super().forward(x))


@wrong("4.2", says="the residual comes later")
class NetworkResidual(Network):
    def forward(self, x):
        return x + super().forward(x)


@wrong("4.2", says="the hidden width was taken to be 4 D")
class NetworkFour(Network):
    def __init__(self, width, hidden):
        super().__init__(width, 4 * width)


@wrong("4.2", says="or their widths, are swapped")
class NetworkSwapped(Network):
    def __init__(self, width, hidden):
        super().__init__(hidden, width)


@wrong("4.2", says="has no bias")
class NetworkNoBias(Network):
    def __init__(self, width, hidden):
        super().__init__(width, hidden)
        self.output = nn.Linear(hidden, width, bias=False)


@wrong("4.2", says="a layer inside an nn.Sequential")
class NetworkUnnamed(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x):
        return self.layers(x)


@wrong("4.2", says="no dropout yet")
class NetworkDropout(Network):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.1)


@wrong("4.2", says="not for another number of axes")
class NetworkThreeAxes(Network):
    def forward(self, x):
        flat = x.reshape(-1, x.size(-1))
        return super().forward(flat).view(-1, x.size(-2) if x.dim() > 1 else 1, 6)


@wrong("4.2", says="The result has lost its gradient.")
class NetworkDetached(Network):
    def forward(self, x):
        return super().forward(x).detach()


@wrong("4.2", says="there is no return statement")
class NetworkNoReturn(Network):
    def forward(self, x):
        super().forward(x)


# --- 4.3 add and norm ----------------------------------------------------------------


@right("4.3")
def add_swapped(x, change, norm, dropout):
    return norm(dropout(change) + x)


@right("4.3")
def add_stacked(x, change, norm, dropout):
    return norm(torch.stack([x, dropout(change)]).sum(dim=0))


@right("4.3")
def add_by_hand(x, change, norm, dropout):
    total = torch.add(x, dropout(change))
    return F.layer_norm(total, total.shape[-1:], norm.weight, norm.bias, norm.eps)


@wrong("4.3", says="there is no dropout")
def add_no_dropout(x, change, norm, dropout):
    return norm(x + change)


@wrong("4.3", says="dropout hits the sum")
def add_drop_sum(x, change, norm, dropout):
    return norm(dropout(x + change))


@wrong("4.3", says="dropout hits the stream; it belongs on the change")
def add_drop_stream(x, change, norm, dropout):
    return norm(dropout(x) + change)


@wrong("4.3", says="dropout comes after the norm")
def add_drop_after(x, change, norm, dropout):
    return dropout(norm(x + change))


@wrong("4.3", says="this is no residual")
def add_nothing(x, change, norm, dropout):
    return norm(dropout(change))


@wrong("4.3", says="the change is normalised, and not the sum")
def add_norm_change(x, change, norm, dropout):
    return x + norm(dropout(change))


@wrong("4.3", says="the change is normalised before dropout")
def add_norm_then_drop(x, change, norm, dropout):
    return x + dropout(norm(change))


@wrong("4.3", says="the stream is normalised before the sum")
def add_pre(x, change, norm, dropout):
    return norm(x) + dropout(change)


@wrong("4.3", says="the norm is missing")
def add_no_norm(x, change, norm, dropout):
    return x + dropout(change)


@wrong("4.3", says="a norm of its own")
def add_own_norm(x, change, norm, dropout):
    return F.layer_norm(x + dropout(change), x.shape[-1:])


@wrong("4.3", says="changes its input number 1")
def add_in_place(x, change, norm, dropout):
    x += dropout(change)
    return norm(x)


@wrong("4.3", says="No gradient reaches x.")
def add_detached(x, change, norm, dropout):
    return norm(x.detach() + dropout(change))


@wrong("4.3", says="changes its input number 2")
def add_in_place_after_dropout(x, change, norm, dropout):
    change = dropout(change)
    change += x
    return norm(change)


# --- 4.4 the encoder layer -----------------------------------------------------------


class Layer(nn.Module):
    """The right answer, in steps that a wrong one can replace."""

    def __init__(self, config):
        super().__init__()
        D, hidden = config.hidden_size, config.intermediate_size
        self.p = config.hidden_dropout_prob
        self.attention = MultiHeadSelfAttention(config)
        self.attention_norm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(D, hidden)
        self.output = nn.Linear(hidden, D)
        self.output_norm = nn.LayerNorm(D, eps=config.layer_norm_eps)

    def drop(self, x):
        return F.dropout(x, self.p, training=self.training)

    def attend(self, x, mask):
        return self.attention(x, mask)[0]

    def feed(self, x):
        return self.output(F.gelu(self.intermediate(x)))

    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(x + self.drop(self.feed(x)))


@right("4.4")
class LayerFunctional(Layer):
    pass


@right("4.4")
class LayerOtherDropouts(Layer):
    def __init__(self, config):
        super().__init__(config)
        self.drops = nn.ModuleList(nn.Dropout(self.p) for _ in range(2))
        self.act = nn.GELU()

    def forward(self, x, mask=None):
        change, _ = self.attention(x, mask, need_weights=True)
        stream = self.attention_norm(self.drops[0](change) + x)
        hidden = self.act(stream @ self.intermediate.weight.T + self.intermediate.bias)
        return self.output_norm(self.drops[1](self.output(hidden)) + stream)


@right("4.4")
class LayerBySentence(Layer):
    def feed(self, x):
        tokens = [exact_gelu(self.intermediate(x[:, t])) for t in range(x.size(1))]
        return torch.stack([self.output(token) for token in tokens], dim=1)


@wrong("4.4", says="this is pre-LN: BERT normalises after the sum")
class LayerPre(Layer):
    def forward(self, x, mask=None):
        x = x + self.drop(self.attend(self.attention_norm(x), mask))
        return x + self.drop(self.feed(self.output_norm(x)))


@wrong("4.4", says="the changes are normalised, not the sums")
class LayerNormChange(Layer):
    def forward(self, x, mask=None):
        x = x + self.attention_norm(self.drop(self.attend(x, mask)))
        return x + self.output_norm(self.drop(self.feed(x)))


@wrong("4.4", says="the residual around attention is missing")
class LayerNoFirstResidual(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(self.drop(self.attend(x, mask)))
        return self.output_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="the residual around the feed-forward network is missing")
class LayerNoSecondResidual(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(self.drop(self.feed(x)))


@wrong("4.4", says="the second residual adds the input of the layer")
class LayerOldResidual(Layer):
    def forward(self, x, mask=None):
        h = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(x + self.drop(self.feed(h)))


@wrong("4.4", says="the feed-forward network gets the input of the layer")
class LayerOldInput(Layer):
    def forward(self, x, mask=None):
        h = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(h + self.drop(self.feed(x)))


@wrong("4.4", says="One norm serves both places.")
class LayerSharedNorm(Layer):
    def __init__(self, config):
        super().__init__(config)
        self.output_norm = self.attention_norm


@wrong("4.4", says="attention_norm is used twice")
class LayerOneNorm(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.attention_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="the two norms are swapped")
class LayerSwappedNorms(Layer):
    def forward(self, x, mask=None):
        x = self.output_norm(x + self.drop(self.attend(x, mask)))
        return self.attention_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="the first norm is missing")
class LayerNoFirstNorm(Layer):
    def forward(self, x, mask=None):
        x = x + self.drop(self.attend(x, mask))
        return self.output_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="pass eps=config.layer_norm_eps")
class LayerDefaultEps(Layer):
    def __init__(self, config):
        super().__init__(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size)


@wrong("4.4", says="dropout is active in evaluation")
class LayerDropsInEval(Layer):
    def drop(self, x):
        return F.dropout(x, self.p)


@wrong("4.4", says="nothing is dropped from the change of attention.output")
class LayerNoFirstDropout(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.attend(x, mask))
        return self.output_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="nothing is dropped from the change of output")
class LayerNoSecondDropout(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(x + self.feed(x))


@wrong("4.4", says="dropout hits what is on the stream already")
class LayerDropsStream(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(self.drop(x + self.attend(x, mask)))
        return self.output_norm(self.drop(x + self.feed(x)))


@wrong("4.4", says="another share of the change of attention.output is")
class LayerFixedRate(Layer):
    def drop(self, x):
        return F.dropout(x, 0.1, training=self.training)


@wrong("4.4", says="another share of the change of output is dropped")
class LayerSecondRateFixed(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        change = F.dropout(self.feed(x), 0.1, training=self.training)
        return self.output_norm(x + change)


@wrong("4.4", says="what goes into self.attention")
class LayerDropsBeforeAttention(Layer):
    def attend(self, x, mask):
        return self.attention(x=self.drop(x), mask=mask)[0]


@wrong("4.4", says="what goes into self.intermediate")
class LayerDropsBeforeFeed(Layer):
    def feed(self, x):
        return super().feed(self.drop(x))


@wrong("4.4", says="The gradient of x is wrong.")
class LayerStreamDetached(Layer):
    def forward(self, x, mask=None):
        x = self.attention_norm(x.detach() + self.drop(self.attend(x, mask)))
        return self.output_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="the activation comes after self.output")
class LayerActivationLate(Layer):
    def feed(self, x):
        return F.gelu(self.output(self.intermediate(x)))


@wrong("4.4", says="a second activation, after self.output")
class LayerActivationTwice(Layer):
    def feed(self, x):
        return F.gelu(super().feed(x))


@right("4.4")
class LayerSequential(Layer):
    def __init__(self, config):
        super().__init__(config)
        self.ffn = nn.Sequential(
            self.intermediate, nn.GELU(), self.output, nn.Dropout(self.p)
        )

    def forward(self, x, mask=None):
        x = self.attention_norm(x + self.drop(self.attend(x, mask)))
        return self.output_norm(self.ffn(x) + x)


@wrong("4.4", says="dropout after the activation")
class LayerDropsHidden(Layer):
    def feed(self, x):
        return self.output(self.drop(F.gelu(self.intermediate(x))))


@wrong("4.4", says="the mask is not handed on to attention")
class LayerNoMask(Layer):
    def attend(self, x, mask):
        return self.attention(x)[0]


@wrong("4.4", says="the activation is ReLU")
class LayerReLU(Layer):
    def feed(self, x):
        return self.output(F.relu(self.intermediate(x)))


@wrong("4.4", says="the form with tanh; the exact GELU")
class LayerTanh(Layer):
    def feed(self, x):
        return self.output(tanh_gelu(self.intermediate(x)))


@wrong("4.4", says="No gradient reaches attention.output.weight.")
class LayerDetached(Layer):
    def attend(self, x, mask):
        with torch.no_grad():
            return self.attention(x, mask)[0]


@wrong("4.4", says="changes its input number 1")
class LayerInPlace(Layer):
    def forward(self, x, mask=None):
        x += self.drop(self.attend(x, mask))
        x = self.attention_norm(x)
        return self.output_norm(x + self.drop(self.feed(x)))


@wrong("4.4", says="A tensor must come back, not tuple.")
class LayerWithWeights(Layer):
    def forward(self, x, mask=None):
        return super().forward(x, mask), None


# --- 4.5 the number of parameters ----------------------------------------------------


@right("4.5")
def count_with_torch(D, F):
    layer = nn.TransformerEncoderLayer(D, 1, F, device="meta")
    return sum(p.numel() for p in layer.parameters())


@right("4.5")
def count_closed(D, F):
    return 4 * D**2 + 2 * D * F + 9 * D + F


@right("4.5")
def count_as_tensor(D, F):
    shapes = [(D, D)] * 4 + [(D, F), (F, D)]
    total = sum(torch.tensor(m * n + n) for m, n in shapes)
    return total + 4 * D


@wrong("4.5", says="the biases of the linear layers are left out")
def count_no_biases(D, F):
    return 4 * D * D + 2 * D * F + 4 * D


@wrong("4.5", says="the two norms are left out")
def count_no_norms(D, F):
    return count_closed(D, F) - 4 * D


@wrong("4.5", says="or the biases of attention")
def count_no_attention_biases(D, F):
    return count_closed(D, F) - 4 * D


@wrong("4.5", says="biases and norms are left out")
def count_weights(D, F):
    return 4 * D * D + 2 * D * F


@wrong("4.5", says="one norm is left out, or the shift of both")
def count_one_norm(D, F):
    return count_closed(D, F) - 2 * D


@wrong("4.5", says="query, key, value and output")
def count_three(D, F):
    return count_closed(D, F) - D * D - D


@wrong("4.5", says="and the norms are left out")
def count_three_no_norms(D, F):
    return count_closed(D, F) - D * D - 5 * D


@wrong("4.5", says="attention is not one linear layer")
def count_one(D, F):
    return count_closed(D, F) - 3 * (D * D + D)


@wrong("4.5", says="F was taken to be 4 D")
def count_four(D, F):
    return 12 * D * D + 13 * D


@wrong("4.5", says="the first feed-forward layer has F numbers")
def count_wrong_bias(D, F):
    return count_closed(D, F) - F + D


@wrong("4.5", says="a number that holds for one size only")
def count_fixed(D, F):
    return 341


@wrong("4.5", says="there is no return statement")
def count_nothing(D, F):
    count_closed(D, F)


# --- 4.6 the stack -------------------------------------------------------------------


class Stack(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(
            BertLayer(config) for _ in range(config.num_hidden_layers)
        )

    def forward(self, x, mask=None):
        attentions = []
        for layer in self.layers:
            x, weights = layer(x, mask, need_weights=True)
            attentions.append(weights)
        return x, tuple(attentions)


@right("4.6")
class StackByName(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.L = config.num_hidden_layers
        for number in range(self.L):
            self.add_module(f"layer_{number}", BertLayer(config))

    def forward(self, x, mask=None):
        attentions = ()
        for number in range(self.L):
            x, weights = getattr(self, f"layer_{number}")(x, mask, True)
            attentions += (weights,)
        return x, attentions


@right("4.6")
class StackRecursive(Stack):
    def forward(self, x, mask=None, start=0):
        if start == len(self.layers):
            return x, []
        x, weights = self.layers[start](x, mask=mask, need_weights=True)
        x, rest = self.forward(x, mask, start + 1)
        return x, [weights, *rest]


@right("4.6")
class StackTensor(Stack):
    def forward(self, x, mask=None):
        x, attentions = super().forward(x, mask)
        return x, torch.stack(attentions)


@wrong("4.6", says="the same layer object, used again and again")
class StackTimes(Stack):
    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList([BertLayer(config)] * config.num_hidden_layers)


@wrong("4.6", says="the same layer object, used again and again")
class StackOneLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.L, self.layer = config.num_hidden_layers, BertLayer(config)

    def forward(self, x, mask=None):
        results = []
        for _ in range(self.L):
            x, weights = self.layer(x, mask, need_weights=True)
            results.append(weights)
        return x, tuple(results)


@wrong("4.6", says="PyTorch looks for them in an nn.ModuleList")
class StackPlainList(Stack):
    def __init__(self, config):
        nn.Module.__init__(self)
        self.layers = [BertLayer(config) for _ in range(config.num_hidden_layers)]


@wrong("4.6", says="the number of layers is config.num_hidden_layers")
class StackTwelve(Stack):
    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList(copy.deepcopy(self.layers[0]) for _ in range(12))


@wrong("4.6", says="every layer gets the first x")
class StackParallel(Stack):
    def forward(self, x, mask=None):
        results = [layer(x, mask, need_weights=True) for layer in self.layers]
        return results[-1][0], tuple(weights for _, weights in results)


@wrong("4.6", says="the opposite order")
class StackReversed(Stack):
    def forward(self, x, mask=None):
        attentions = []
        for layer in reversed(self.layers):
            x, weights = layer(x, mask, need_weights=True)
            attentions.append(weights)
        return x, tuple(attentions)


@wrong("4.6", says="the mask is not handed on")
class StackNoMask(Stack):
    def forward(self, x, mask=None):
        return super().forward(x)


@wrong("4.6", says="only the first layer gets the mask")
class StackFirstMask(Stack):
    def forward(self, x, mask=None):
        attentions = []
        for layer in self.layers:
            x, weights = layer(x, mask, need_weights=True)
            mask = None
            attentions.append(weights)
        return x, tuple(attentions)


@wrong("4.6", says="the layer has its residuals inside")
class StackResidual(Stack):
    def forward(self, x, mask=None):
        attentions = []
        for layer in self.layers:
            out, weights = layer(x, mask, need_weights=True)
            x = x + out
            attentions.append(weights)
        return x, tuple(attentions)


@wrong("4.6", says="the weights of the last layer alone")
class StackLastWeights(Stack):
    def forward(self, x, mask=None):
        x, attentions = super().forward(x, mask)
        return x, attentions[-1]


@wrong("4.6", says="There are weights of 1 layers")
class StackReturnsEarly(Stack):
    def forward(self, x, mask=None):
        x, attentions = super().forward(x, mask)
        return x, attentions[-1:]


@wrong("4.6", says="these are the weights of layer 2")
class StackWeightsReversed(Stack):
    def forward(self, x, mask=None):
        x, attentions = super().forward(x, mask)
        return x, attentions[::-1]


@wrong("4.6", says="only with need_weights=True")
class StackNoWeights(Stack):
    def forward(self, x, mask=None):
        attentions = []
        for layer in self.layers:
            x, weights = layer(x, mask)
            attentions.append(weights)
        return x, tuple(attentions)


@wrong("4.6", says="return x, attentions")
class StackOnlyX(Stack):
    def forward(self, x, mask=None):
        return super().forward(x, mask)[0]
