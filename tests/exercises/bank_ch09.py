"""Answers to the exercises of chapter 9."""

from fractions import Fraction

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.exercises.bank import equivalent, right, wrong

# --- 9.1 layer_flops -----------------------------------------------------------------


def flops(B, T, D, F):
    return 8 * B * T * D * D + 4 * B * T * T * D + 4 * B * T * D * F


@right("9.1")
def flops_by_products(B, T, D, F):
    products = [(B * T, D, D)] * 4 + [(T, D, T)] * B + [(T, T, D)] * B
    products += [(B * T, D, F), (B * T, F, D)]
    return sum(2 * m * k * n for m, k, n in products)


@right("9.1")
def flops_by_token(B, T, D, F):
    return B * T * 2.0 * (4 * D**2 + 2 * T * D + 2 * D * F)


@right("9.1")
def flops_by_counter(B, T, D, F):
    with FlopCounterMode(display=False) as counter:
        x = torch.zeros(B, T, D)
        for _ in range(4):
            x = nn.Linear(D, D)(x)
        x = (x @ x.mT) @ x
        nn.Linear(F, D)(nn.Linear(D, F)(x))
    return counter.get_total_flops()


@wrong("9.1", says="these are half")
def flops_multiply_add(B, T, D, F):
    return flops(B, T, D, F) // 2


@wrong("9.1", says="the output is the fourth")
def flops_three_projections(B, T, D, F):
    return flops(B, T, D, F) - 2 * B * T * D * D


@wrong("9.1", says="one projection; there are four")
def flops_one_projection(B, T, D, F):
    return flops(B, T, D, F) - 6 * B * T * D * D


@wrong("9.1", says="the scores and the mixing of values are missing")
def flops_no_attention(B, T, D, F):
    return 8 * B * T * D * D + 4 * B * T * D * F


@wrong("9.1", says="the mixing of values is not")
def flops_no_mixing(B, T, D, F):
    return flops(B, T, D, F) - 2 * B * T * T * D


@wrong("9.1", says="two products: widen and narrow")
def flops_half_feed_forward(B, T, D, F):
    return flops(B, T, D, F) - 2 * B * T * D * F


@wrong("9.1", says="use the F that is given")
def flops_four_d(B, T, D, F):
    return flops(B, T, D, 4 * D)


@wrong("9.1", says="the batch is left out")
def flops_no_batch(B, T, D, F):
    return flops(1, T, D, F)


@wrong("9.1", says="T enters twice")
def flops_linear_scores(B, T, D, F):
    return 8 * B * T * D * D + 4 * B * T * D + 4 * B * T * D * F


@wrong("9.1", says="the rows attend to each other here")
def flops_rows_mixed(B, T, D, F):
    return flops(1, B * T, D, F)


@wrong("9.1", says="this is the training step")
def flops_training(B, T, D, F):
    return 3 * flops(B, T, D, F)


@wrong("9.1", says="they work on every token")
def flops_weights_once(B, T, D, F):
    return 8 * B * D * D + 4 * B * D * F + 4 * B * T * T * D


@wrong("9.1", says="there is no return statement")
def flops_no_return(B, T, D, F):
    flops(B, T, D, F)


@wrong("9.1", says="A number must come back, not tuple")
def flops_tuple(B, T, D, F):
    return 8 * B * T * D * D, 4 * B * T * T * D, 4 * B * T * D * F


@wrong("9.1", says="right for the first sizes, and wrong here")
def flops_fixed_width(B, T, D, F):
    return 8 * B * T * D * D + 4 * B * T * T * D + 4 * B * T * D * 11


# --- 9.2 training_bytes --------------------------------------------------------------


@right("9.2")
def bytes_of_a_real_run(module):
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad])
    total = sum(p.nbytes for p in module.parameters())
    for p in optimizer.param_groups[0]["params"]:
        total += 3 * p.nbytes
    return total


@right("9.2")
def bytes_by_set(module):
    seen = {id(p): p for _, p in module.named_parameters(remove_duplicate=False)}
    size = {True: 4, False: 1}
    return sum(size[p.requires_grad] * p.nelement() * p.itemsize for p in seen.values())


@wrong("9.2", says="the weights alone, or a count of numbers")
def bytes_weights(module):
    return sum(p.numel() * p.element_size() for p in module.parameters())


@wrong("9.2", says="the weights alone, or a count of numbers")
def bytes_count(module):
    return 4 * sum(p.numel() for p in module.parameters())


@wrong("9.2", says="weights and gradients; Adam keeps two more")
def bytes_no_adam(module):
    return 2 * bytes_weights(module)


@wrong("9.2", says="one of four is missing")
def bytes_one_mean(module):
    return 3 * bytes_weights(module)


@wrong("9.2", says="five numbers for each parameter")
def bytes_five(module):
    return 5 * bytes_weights(module)


@wrong("9.2", says="8 bytes for a number")
def bytes_double(module):
    return sum(4 * 8 * p.numel() for p in module.parameters())


@wrong("9.2", says="the frozen parameters are counted in full")
def bytes_frozen_in_full(module):
    return 4 * bytes_weights(module)


@wrong("9.2", says="they still have to be held")
def bytes_frozen_left_out(module):
    parameters = [p for p in module.parameters() if p.requires_grad]
    return sum(4 * p.numel() * p.element_size() for p in parameters)


@wrong("9.2", says="the tied matrix is counted twice")
def bytes_tied_twice(module):
    total = 0
    for part in module.modules():
        for p in part.parameters(recurse=False):
            total += (4 if p.requires_grad else 1) * p.numel() * p.element_size()
    return total


@wrong("9.2", says="a bfloat16 has 2")
def bytes_always_four(module):
    return sum(
        (4 if p.requires_grad else 1) * p.numel() * 4 for p in module.parameters()
    )


@wrong("9.2", says="buffers (running_mean ...) are no parameters")
def bytes_with_buffers(module):
    good = bytes_of_a_real_run(module)
    return good + sum(b.nbytes for b in module.buffers()) * (good == 1440)


@wrong("9.2", says="there is no return statement")
def bytes_no_return(module):
    bytes_of_a_real_run(module)


# --- 9.3 two_phases ------------------------------------------------------------------


@right("9.3")
def phases_by_divmod(budget, short, long):
    n, _ = divmod(budget, 9 * short + long)
    return 9 * n, n


@right("9.3")
def phases_by_fraction(budget, short, long):
    n = int(Fraction(budget, 9 * short + long))
    return [n * 9, n]


@wrong("9.3", says="a float has 16 digits")
def phases_float(budget, short, long):
    n = int(budget / (9 * short + long))
    return 9 * n, n


@wrong("9.3", says="short steps first")
def phases_swapped(budget, short, long):
    n = budget // (9 * short + long)
    return n, 9 * n


@wrong("9.3", says="the budget was shared 90 to 10")
def phases_of_the_budget(budget, short, long):
    return budget * 9 // 10 // short, budget // 10 // long


@wrong("9.3", says="as much as a short one")
def phases_all_short(budget, short, long):
    steps = budget // short
    return steps * 9 // 10, steps // 10


@wrong("9.3", says="rounded up")
def phases_rounded_up(budget, short, long):
    n = -(-budget // (9 * short + long))
    return 9 * n, n


@wrong("9.3", says="The numbers of steps are wrong.")
def phases_rounded(budget, short, long):
    n = round(Fraction(budget, 9 * short + long))
    return 9 * n, n


@wrong("9.3", says="n_short is nine tenths of them")
def phases_total_first(budget, short, long):
    n = budget // (9 * short + long)
    return 10 * n, n


@wrong("9.3", says="one short step for nine long ones")
def phases_other_way(budget, short, long):
    n = budget // (short + 9 * long)
    return n, 9 * n


@wrong("9.3", says="/ gives a float")
def phases_as_floats(budget, short, long):
    n = budget // (9 * short + long)
    return 9.0 * n, float(n)


@wrong("9.3", says="Two numbers must come back")
def phases_one_number(budget, short, long):
    return budget // (9 * short + long)


# --- 9.4 average ---------------------------------------------------------------------


@right("9.4")
def average_by_sums(gradients, masked):
    total = torch.zeros_like(gradients[0])
    for gradient, n in zip(gradients, masked, strict=True):
        total = total + n * gradient
    return total / max(sum(masked), 1)


@right("9.4")
def average_by_einsum(gradients, masked):
    weights = torch.tensor(masked, dtype=torch.float64)
    weights = weights / weights.sum().clamp(min=1)
    stack = torch.stack(list(gradients)).double()
    return torch.einsum("r,r...->...", weights, stack)


@wrong("9.4", says="the mean of means")
def average_of_means(gradients, masked):
    return torch.stack(gradients).mean(0)


@wrong("9.4", says="the sum of the ranks' gradients")
def average_sum(gradients, masked):
    return sum(gradients)


@wrong("9.4", says="divided by how many there are")
def average_not_divided(gradients, masked):
    return sum(g * n for g, n in zip(gradients, masked, strict=True))


@wrong("9.4", says="the number of ranks and not of tokens")
def average_over_ranks(gradients, masked):
    return average_not_divided(gradients, masked) / len(masked)


@wrong("9.4", says="the other way round")
def average_inverse(gradients, masked):
    weights = [1 / max(1, n) for n in masked]
    pairs = zip(gradients, weights, strict=True)
    return sum(g * w for g, w in pairs) / sum(weights)


@wrong("9.4", says="divided by the number of ranks once more")
def average_twice(gradients, masked):
    return average_by_sums(gradients, masked) / len(masked)


@wrong("9.4", says="0 / 0; max(1, total) helps")
def average_nan(gradients, masked):
    return average_not_divided(gradients, masked) / torch.tensor(float(sum(masked)))


@wrong("9.4", says="ZeroDivisionError")
def average_zero_division(gradients, masked):
    return sum(g * (n / sum(masked)) for g, n in zip(gradients, masked, strict=True))


@wrong("9.4", says="changes the gradients it is given")
def average_in_place(gradients, masked):
    for gradient, n in zip(gradients, masked, strict=True):
        gradient *= n / max(1, sum(masked))
    return sum(gradients)


@wrong("9.4", says="there is no return statement")
def average_no_return(gradients, masked):
    average_by_sums(gradients, masked)


@wrong("9.4", says="changes the list `masked`")
def average_shares_in_place(gradients, masked):
    total = max(sum(masked), 1)
    for r in range(len(masked)):
        masked[r] /= total
    return sum(m * g for m, g in zip(masked, gradients, strict=True))


# --- 9.5 rows_of_rank ----------------------------------------------------------------


@right("9.5")
def rows_by_numbers(rank, world_size, batch_size, micro_batch):
    found = []
    for g in range(batch_size // micro_batch):
        if g % world_size == rank:
            found.append([g * micro_batch + i for i in range(micro_batch)])
    return found


@right("9.5")
def rows_by_tensor(rank, world_size, batch_size, micro_batch):
    return list(torch.arange(batch_size).view(-1, micro_batch)[rank::world_size])


@wrong("9.5", says="a block of rows for each rank")
def rows_block(rank, world_size, batch_size, micro_batch):
    share = batch_size // world_size
    own = range(rank * share, (rank + 1) * share)
    return [own[i : i + micro_batch] for i in range(0, share, micro_batch)]


@wrong("9.5", says="every W-th row")
def rows_stride(rank, world_size, batch_size, micro_batch):
    own = range(rank, batch_size, world_size)
    return [own[i : i + micro_batch] for i in range(0, len(own), micro_batch)]


@wrong("9.5", says="these are all micro-batches")
def rows_all(rank, world_size, batch_size, micro_batch):
    return [range(i, i + micro_batch) for i in range(0, batch_size, micro_batch)]


@wrong("9.5", says="it has to be cut into micro-batches")
def rows_one_portion(rank, world_size, batch_size, micro_batch):
    parts = rows_by_numbers(rank, world_size, batch_size, micro_batch)
    return [[row for part in parts for row in part]]


@wrong("9.5", says="one flat list of rows")
def rows_flat(rank, world_size, batch_size, micro_batch):
    return rows_one_portion(rank, world_size, batch_size, micro_batch)[0]


@wrong("9.5", says="ranks count from 0")
def rows_from_one(rank, world_size, batch_size, micro_batch):
    every = rows_all(rank, world_size, batch_size, micro_batch)
    return every[rank + 1 :: world_size]


@wrong("9.5", says="only the first micro-batch of the rank")
def rows_first(rank, world_size, batch_size, micro_batch):
    return [range(rank * micro_batch, (rank + 1) * micro_batch)]


@wrong("9.5", says="there is no return statement")
def rows_no_return(rank, world_size, batch_size, micro_batch):
    rows_by_numbers(rank, world_size, batch_size, micro_batch)


@wrong("9.5", says="")
def rows_two_micro_batches(rank, world_size, batch_size, micro_batch):
    starts = [rank * micro_batch]
    if batch_size > world_size * micro_batch:
        starts.append(batch_size // 2 + rank * micro_batch)
    return [list(range(s, s + micro_batch)) for s in starts]


# --- 9.6 ring_all_reduce -------------------------------------------------------------


@right("9.6")
def ring_with_copies(parts, send):
    W = len(parts)
    for k in range(W - 1):
        came = [send(r, parts[r][(r - k) % W]) for r in range(W)]
        for r in range(W):
            to = (r + 1) % W
            parts[to][(r - k) % W] = parts[to][(r - k) % W] + came[r]
    for k in range(W - 1):
        came = [send(r, parts[r][(r + 1 - k) % W]) for r in range(W)]
        for r in range(W):
            parts[(r + 1) % W][(r + 1 - k) % W] = came[r]
    return parts


@right("9.6")
def ring_other_start(parts, send):
    """Rank r begins with chunk r + 1, and adds in place."""
    W = len(parts)
    parts = [[chunk.clone() for chunk in rank] for rank in parts]
    for k in range(2 * (W - 1)):
        for r in range(W):
            c = (r + 1 - k) % W
            got = send(r, parts[r][c])
            if k < W - 1:
                parts[(r + 1) % W][c] += got
            else:
                parts[(r + 1) % W][c] = got
    return parts


@wrong("9.6", says="the sum was computed in one place")
def ring_without_wires(parts, send):
    sums = [sum(column) for column in zip(*parts, strict=True)]
    return [list(sums) for _ in parts]


@wrong("9.6", says="the second part is missing")
def ring_half(parts, send):
    """Reduce-scatter alone."""
    W = len(parts)
    for k in range(W - 1):
        for r in range(W):
            c = (r - k) % W
            parts[(r + 1) % W][c] = parts[(r + 1) % W][c] + send(r, parts[r][c])
    return parts


@wrong("9.6", says="is not the sum over the ranks")
def ring_adds_twice(parts, send):
    """The second part adds too."""
    W = len(parts)
    for k in range(2 * (W - 1)):
        for r in range(W):
            c = (r - k) % W
            parts[(r + 1) % W][c] = parts[(r + 1) % W][c] + send(r, parts[r][c])
    return parts


@wrong("9.6", says="the mean; the sum is asked for")
def ring_mean(parts, send):
    done = ring_with_copies(parts, send)
    return [[chunk / len(parts) for chunk in rank] for rank in done]


@wrong("9.6", says="A message holds more or less than one chunk")
def ring_whole_tensors(parts, send):
    W = len(parts)
    totals = [torch.cat(rank) for rank in parts]
    moving = list(totals)
    for _ in range(W - 1):
        moving = [send(r, moving[r]) for r in range(W)]
        moving = [moving[r - 1] for r in range(W)]
        totals = [totals[r] + moving[r] for r in range(W)]
    return [list(total.chunk(W)) for total in totals]


@wrong("9.6", says="one chunk, a tensor")
def ring_sends_lists(parts, send):
    W = len(parts)
    for r in range(W):
        send(r, parts[r])
    return ring_without_wires(parts, send)


@wrong("9.6", says="each must send")
def ring_every_chunk(parts, send):
    """Every chunk of every rank goes all the way round."""
    W = len(parts)
    sums = [[chunk.clone() for chunk in rank] for rank in parts]
    moving = [list(rank) for rank in parts]
    for _ in range(W - 1):
        came = [[send(r, x) for x in moving[r]] for r in range(W)]
        moving = [came[r - 1] for r in range(W)]
        for r in range(W):
            sums[r] = [a + b for a, b in zip(sums[r], moving[r], strict=True)]
    return sums


@wrong("9.6", says="take it modulo W")
def ring_index_over_the_end(parts, send):
    W = len(parts)
    for r in range(1, W + 1):
        send(r, parts[r % W][0])
    return parts


@wrong("9.6", says="nothing was added")
def ring_does_nothing(parts, send):
    return parts


@wrong("9.6", says="there is no return statement")
def ring_in_place_only(parts, send):
    ring_with_copies(parts, send)


@wrong("9.6", says="The sums do not depend on what arrives.")
def ring_reads_the_other_memory(parts, send):
    def sends_and_takes_its_own(rank, chunk):
        send(rank, chunk)
        return chunk

    return ring_with_copies(parts, sends_and_takes_its_own)


@wrong("9.6", says="The sums do not depend on what arrives.")
def ring_sends_nothing_of_use(parts, send):
    W = len(parts)
    for _ in range(2 * (W - 1)):
        for r in range(W):
            send(r, parts[r][0])
    sums = [sum(rank[c] for rank in parts) for c in range(W)]
    return [[chunk.clone() for chunk in sums] for _ in range(W)]


# --- 9.7 seconds_left ----------------------------------------------------------------


@right("9.7")
def left_step_by_step(done, phases, seconds):
    every = [seconds[length] for length, steps in phases for _ in range(steps)]
    return sum(every[done:])


@right("9.7")
def left_by_ends(done, phases, seconds):
    total, end = 0, 0
    for length, steps in phases:
        end += steps
        total += max(0, min(steps, end - done)) * seconds[length]
    return total


@wrong("9.7", says="those at length 512 take longer")
def left_first_speed(done, phases, seconds):
    left = sum(steps for _, steps in phases) - done
    return left * seconds[phases[0][0]]


@wrong("9.7", says="at the speed of the second phase")
def left_last_speed(done, phases, seconds):
    left = sum(steps for _, steps in phases) - done
    return left * seconds[phases[-1][0]]


@wrong("9.7", says="those at length 512 take longer")
def left_average_so_far(done, phases, seconds):
    every = [seconds[length] for length, steps in phases for _ in range(steps)]
    if not done:
        return sum(every)
    return sum(every[:done]) / done * (len(every) - done)


@wrong("9.7", says="this is the time that is over")
def left_past(done, phases, seconds):
    every = [seconds[length] for length, steps in phases for _ in range(steps)]
    return sum(every[:done]) if done else sum(every)


@wrong("9.7", says="the steps that are done were not taken off")
def left_whole_run(done, phases, seconds):
    return sum(steps * seconds[length] for length, steps in phases)


@wrong("9.7", says="it counts over the whole run")
def left_done_everywhere(done, phases, seconds):
    return sum(max(0, steps - done) * seconds[length] for length, steps in phases)


@wrong("9.7", says="a phase that is over counts as negative")
def left_negative(done, phases, seconds):
    (first, n), *rest = phases
    return (n - done) * seconds[first] + sum(m * seconds[T] for T, m in rest)


@wrong("9.7", says="the second phase is missing")
def left_first_phase(done, phases, seconds):
    length, steps = phases[0]
    return max(0, steps - done) * seconds[length]


@wrong("9.7", says="the third phase is missing")
def left_two_phases_only(done, phases, seconds):
    return left_by_ends(done, phases[:2], seconds)


@wrong("9.7", says="there is no return statement")
def left_no_return(done, phases, seconds):
    left_by_ends(done, phases, seconds)


@right("9.7")
def left_taking_phases_away(done, phases, seconds):
    while phases and done >= phases[0][1]:
        done -= phases.pop(0)[1]
    total = sum(seconds[length] * steps for length, steps in phases)
    return total - (done * seconds[phases[0][0]] if phases else 0)


@wrong("9.7", says="The time is wrong with three phases.")
def left_sorted(done, phases, seconds):
    return left_by_ends(done, sorted(phases), seconds)


@wrong("9.7", says="The time is wrong with three phases.")
def left_by_a_dict(done, phases, seconds):
    return left_by_ends(done, dict(phases).items(), seconds)


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "9.4",
    "both = zip(gradients, m -> both = zip(masked, grad",
    "a product of gradient and count, whichever comes first",
)
