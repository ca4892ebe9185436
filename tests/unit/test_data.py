"""Masking, pairs, collation, buckets and order: what holds for every row."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertlib.data import (
    Example,
    Masker,
    collate,
    cut_rows,
    epoch_order,
    length_buckets,
)
from bertlib.masking import mask_tokens, number_to_mask, row_noise
from bertlib.pairs import cut_pair, make_pairs
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vocabulary import SPECIAL_TOKENS

WORDS = [f"w{i}" for i in range(300)] + [f"##p{i}" for i in range(200)]
TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS])
CLS, SEP, MASK = TOKENIZER.cls, TOKENIZER.sep, TOKENIZER.vocab["[MASK]"]
V = len(TOKENIZER)


def row(size, number=0, seed=0, second=0):
    """[CLS] size ids [SEP], and [SEP] after `second` more."""
    rng = np.random.default_rng([seed, number])
    ids = [CLS, *rng.integers(5, V, size).tolist(), SEP]
    first = len(ids)
    if second:
        ids += [*rng.integers(5, V, second).tolist(), SEP]
    return Example(ids, first, number=number)


def rows(sizes, start=0):
    return [row(size, start + i) for i, size in enumerate(sizes)]


def asked(batch):
    return batch["labels"] != -100


# --- how many, and which -------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "n"), [(0, 0), (1, 1), (3, 1), (9, 1), (10, 2), (30, 4), (128, 19)]
)
def test_the_number_to_mask_is_that_of_the_authors(length, n):
    assert number_to_mask(length) == n


def test_max_predictions_is_a_limit():
    assert number_to_mask(512, max_predictions=20) == 20
    assert number_to_mask(20, max_predictions=20) == 3


@pytest.mark.parametrize("whole_words", [False, True])
def test_special_tokens_and_padding_are_never_chosen(whole_words):
    masker = Masker(TOKENIZER, share=0.9, whole_words=whole_words)
    examples = [row(k % 9 + 1, k, second=k % 4) for k in range(300)]
    batch = masker(examples)
    plain = collate(examples)["input_ids"]
    special = (plain == CLS) | (plain == SEP) | ~batch["attention_mask"]
    assert not (asked(batch) & special).any()
    assert torch.equal(batch["input_ids"][special], plain[special])


def test_every_row_has_exactly_its_number_of_questions():
    examples = rows([1, 2, 5, 10, 40, 126, 126])
    n = asked(Masker(TOKENIZER)(examples)).sum(dim=1).tolist()
    assert n == [number_to_mask(len(example.input_ids)) for example in examples]


def test_a_row_without_words_has_no_question():
    batch = Masker(TOKENIZER)([Example([CLS, SEP], 2), row(5, 1)])
    assert asked(batch).sum(dim=1).tolist() == [0, 1]


def test_a_row_with_fewer_words_than_questions_asks_them_all():
    batch = Masker(TOKENIZER, share=0.9)([row(2)])  # 4 tokens, round(3.6) of 2
    assert asked(batch).sum() == 2


def test_labels_are_the_true_ids():
    examples = rows([60] * 50)
    batch = Masker(TOKENIZER)(examples)
    plain = collate(examples)["input_ids"]
    assert torch.equal(batch["labels"][asked(batch)], plain[asked(batch)])
    untouched = ~asked(batch)
    assert torch.equal(batch["input_ids"][untouched], plain[untouched])


def test_every_position_is_chosen_equally_often():
    batch = Masker(TOKENIZER)([row(18, number) for number in range(6000)])
    count = asked(batch)[:, 1:-1].sum(dim=0).double()  # 18 positions
    expected = 6000 * number_to_mask(20) / 18
    chi = ((count - expected) ** 2 / expected).sum().item()
    assert chi < 45  # 17 degrees of freedom: beyond this, 0.03 % of all seeds


def test_the_shares_are_80_10_10():
    examples = rows([126] * 800)
    batch = Masker(TOKENIZER)(examples)
    shown, true = batch["input_ids"][asked(batch)], batch["labels"][asked(batch)]
    n = len(true)
    masked, kept = (shown == MASK).sum().item(), (shown == true).sum().item()
    observed = np.array([masked, kept, n - masked - kept])
    p = np.array([0.8 + 0.1 / V, 0.1 + 0.1 / V, 0.1 - 0.2 / V])
    chi = ((observed - n * p) ** 2 / (n * p)).sum()
    assert n == 800 * 19
    assert chi < 14  # 2 degrees of freedom: 0.1 %


def test_the_random_token_comes_from_the_whole_vocabulary():
    ids = torch.full((400, 100), 7)
    shown, _ = mask_tokens(
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        torch.rand(400, 100, 3, generator=torch.Generator().manual_seed(0)),
        vocab_size=30,
        mask_token_id=4,
        share=0.9,
    )
    count = torch.bincount(shown.flatten(), minlength=30)
    assert len(count) == 30
    others = [i for i in range(30) if i not in (4, 7)]
    assert count[others].min() > 60  # 36,000 asked, 3,600 random, 120 each
    assert count[others].max() < 180


def test_masking_leaves_its_inputs_alone():
    ids = torch.arange(5, 25).expand(2, -1).clone()
    before, maskable = ids.clone(), torch.ones_like(ids, dtype=torch.bool)
    noise = row_noise([0, 1], 20, 0)
    twin = noise.clone()
    for starts in (None, maskable.clone()):
        mask_tokens(
            ids,
            maskable,
            noise,
            vocab_size=99,
            mask_token_id=4,
            word_starts=starts,
        )
    assert torch.equal(ids, before)
    assert torch.equal(noise, twin)
    assert maskable.all()


def test_a_share_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match=r"share is 1\.5; it must lie between"):
        Masker(TOKENIZER, share=1.5)


# --- a row's mask is its own ---------------------------------------------------------


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_row_is_masked_alike_in_any_batch(whole_words):
    examples = rows(np.random.default_rng(3).integers(1, 60, 40).tolist(), start=1000)
    masker = Masker(TOKENIZER, seed=5, whole_words=whole_words)
    whole = masker(examples)
    for i in (0, 7, 39):
        alone = masker([examples[i]])
        T = alone["labels"].size(1)
        for key, x in alone.items():
            assert torch.equal(x[0], whole[key][i, :T])


def test_the_order_of_the_rows_does_not_matter():
    examples = rows([20, 30, 25])
    one, two = Masker(TOKENIZER)(examples), Masker(TOKENIZER)(examples[::-1])
    assert torch.equal(one["input_ids"], two["input_ids"].flip(0))


def test_the_same_number_is_static_and_another_is_dynamic():
    masker, example = Masker(TOKENIZER), row(126)
    first = asked(masker([example]))
    assert torch.equal(asked(masker([example])), first)
    later = [asked(masker([example._replace(number=k)])) for k in range(1, 11)]
    assert all(not torch.equal(first, other) for other in later)
    covered = torch.stack([first, *later]).any(dim=0).sum().item() / 126
    assert covered > 0.7  # eleven draws of 19: 0.83 on average


def test_another_seed_masks_otherwise():
    examples = rows([50] * 4)
    one, two = (Masker(TOKENIZER, seed=s)(examples)["labels"] for s in (0, 1))
    assert not torch.equal(one, two)


def test_noise_does_not_depend_on_the_width():
    assert torch.equal(row_noise([4, 9], 30, 1)[:, :11], row_noise([4, 9], 11, 1))


def test_noise_is_uniform_and_differs_between_rows():
    noise = row_noise(range(400), 40, 0)
    assert ((noise >= 0) & (noise < 1)).all()
    assert abs(noise.mean().item() - 0.5) < 0.005
    assert len(set(noise[:, 0, 0].tolist())) == 400


# --- whole words ---------------------------------------------------------------------


def words_of(ids):
    """The places of each word of a row, special tokens left out."""
    words, word = [], []
    for i, token in enumerate(ids):
        name = TOKENIZER.tokens[token]
        special = name in ("[CLS]", "[SEP]", "[PAD]")
        if word and (special or not name.startswith("##")):
            words.append(word)
            word = []
        if not special:
            word.append(i)
    return words


@given(st.integers(0, 10_000), st.integers(1, 80), st.floats(0.05, 0.9))
@settings(max_examples=60, deadline=None)
def test_words_are_chosen_whole_and_as_many_as_fit(number, size, share):
    example = row(size, number)
    masker = Masker(TOKENIZER, share=share, whole_words=True)
    chosen = asked(masker([example]))[0].tolist()
    words = words_of(example.input_ids)
    taken = [word for word in words if chosen[word[0]]]
    assert all(len({chosen[i] for i in word}) == 1 for word in words)
    left = number_to_mask(size + 2, share) - sum(map(len, taken))
    assert left >= 0
    others = [len(word) for word in words if word not in taken]
    assert not others or left < min(others)


def test_a_piece_at_the_start_of_a_segment_is_a_word_of_its_own():
    piece, word = TOKENIZER.vocab["##p0"], TOKENIZER.vocab["w0"]
    ids = [CLS, word, SEP, piece, SEP]
    masker = Masker(TOKENIZER, whole_words=True)
    seen = Counter()
    for number in range(200):
        labels = asked(masker([Example(ids, 3, number=number)]))[0]
        seen[tuple(labels.nonzero().flatten().tolist())] += 1
    assert set(seen) == {(1,), (3,)}


def test_the_fate_of_each_piece_is_its_own():
    word, piece = TOKENIZER.vocab["w0"], TOKENIZER.vocab["##p0"]
    masker = Masker(TOKENIZER, share=0.5, whole_words=True)
    batch = masker([Example([CLS, word, piece, SEP], 4, number=n) for n in range(500)])
    masked = batch["input_ids"][:, 1:3] == MASK
    assert (masked[:, 0] != masked[:, 1]).float().mean() > 0.2  # 0.32 expected


# --- pairs ---------------------------------------------------------------------------


def corpus(seed, n=12, longest=30):
    """Documents of sentences; every token is another number."""
    rng, count, documents = random.Random(seed), iter(range(10**9)), []
    for _ in range(n):
        sentences = [rng.randint(1, longest) for _ in range(rng.randint(1, 25))]
        documents.append([[next(count) for _ in range(size)] for size in sentences])
    return documents


def where(documents):
    return {
        token: (d, s)
        for d, document in enumerate(documents)
        for s, sentence in enumerate(document)
        for token in sentence
    }


def run_of(tokens):
    """Whether the tokens follow each other in the corpus."""
    return tokens == list(range(tokens[0], tokens[0] + len(tokens)))


@given(st.integers(0, 1000), st.integers(5, 140))
@settings(max_examples=60, deadline=None)
def test_pairs_are_pieces_of_documents_and_fit(seed, max_length):
    documents, rng = corpus(seed), random.Random(seed)
    place = where(documents)
    for number in range(len(documents)):
        for a, b, label in make_pairs(documents, number, max_length, rng):
            assert a
            assert b
            assert len(a) + len(b) + 3 <= max_length
            assert run_of(a)
            assert run_of(b)
            assert place[a[0]][0] == number
            assert (place[b[0]][0] == number) == (label == 0)


def test_a_next_segment_follows_the_first():
    documents, rng = corpus(1, longest=4), random.Random(1)
    for number in range(len(documents)):
        for a, b, label in make_pairs(documents, number, 512, rng, short_share=0):
            if label == 0:  # 25 sentences of 4 fit: nothing was cut
                assert run_of(a + b)


@pytest.mark.parametrize("seed", range(5))
def test_every_sentence_of_a_document_is_used(seed):
    documents, rng = corpus(seed, longest=4), random.Random(seed)
    for number, document in enumerate(documents):
        pairs = make_pairs(documents, number, 512, rng)
        used = {i for a, b, label in pairs for i in (a if label else a + b)}
        assert used == {i for sentence in document for i in sentence}


def test_half_of_the_pairs_with_a_choice_are_random():
    documents, rng = [[[i] for i in range(n)] for n in (20_000, 50)], random.Random(0)
    pairs = make_pairs(documents, 0, 13, rng, short_share=0)
    share = sum(label for *_, label in pairs) / len(pairs)
    assert 0.46 < share < 0.54  # more than 2,000 pairs


def test_one_pair_in_ten_is_short():
    documents = [[[i] for i in range(40_000)], [[i] for i in range(500)]]
    pairs = make_pairs(documents, 0, 103, random.Random(0), random_next=0.0)
    full = sum(len(a) + len(b) == 100 for a, b, _ in pairs) / len(pairs)
    assert 0.86 < full < 0.94


def test_random_next_may_be_switched_off_but_not_for_a_lone_sentence():
    documents = [[[1, 2], [3, 4], [5, 6]], [[7, 8]]]
    pairs = make_pairs(documents, 0, 64, random.Random(0), 0.0, random_next=0.0)
    assert [label for *_, label in pairs] == [0]
    pairs = make_pairs(documents, 1, 64, random.Random(0), 0.0, random_next=0.0)
    assert [label for *_, label in pairs] == [1]


def test_b_comes_from_any_other_document():
    documents = [[[d]] for d in range(4)]
    rng = random.Random(0)
    seen = {b[0] for _ in range(100) for _, b, _ in make_pairs(documents, 2, 16, rng)}
    assert seen == {0, 1, 3}


def test_the_longer_is_cut_at_both_ends():
    rng = random.Random(0)
    a, b = zip(*(cut_pair(30, 4, 20, rng) for _ in range(400)), strict=True)
    assert all(cut == slice(0, 4) for cut in b)
    assert {cut.stop - cut.start for cut in a} == {16}
    starts = [cut.start for cut in a]
    assert 6.5 < np.mean(starts) < 7.5  # 14 coins
    assert 1.5 < np.std(starts) < 2.2


def test_pairs_of_one_seed_are_the_same():
    documents = corpus(3)
    one, two = (make_pairs(documents, 0, 64, random.Random(8)) for _ in range(2))
    assert one == two


def test_pairs_need_a_second_document_and_room():
    with pytest.raises(ValueError, match="there must be two at least"):
        make_pairs([[[1, 2]]], 0, 64, random.Random(0))
    with pytest.raises(ValueError, match="max_length is 4"):
        make_pairs([[[1]], [[2]]], 0, 4, random.Random(0))
    with pytest.raises(ValueError, match=r"documents\[1\] is empty"):
        make_pairs([[[1]], []], 0, 64, random.Random(0))


# --- collation -----------------------------------------------------------------------


def test_collate_pads_to_the_longest():
    batch = collate(
        [Example([2, 9, 3], 3), Example([2, 8, 3, 7, 3], 3)], pad_token_id=1
    )
    assert batch["input_ids"].tolist() == [[2, 9, 3, 1, 1], [2, 8, 3, 7, 3]]
    assert batch["attention_mask"].tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch["token_type_ids"].tolist() == [[0] * 5, [0, 0, 0, 1, 1]]
    assert "next_sentence_label" not in batch
    assert batch["attention_mask"].dtype == torch.bool
    assert batch["input_ids"].dtype == batch["token_type_ids"].dtype == torch.int64


def test_collate_takes_arrays_of_any_integers():
    ids = np.array([2, 9, 3], dtype=np.uint16)
    batch = collate([Example(ids, 3), Example([2, 9, 9, 3], 4)])
    assert batch["input_ids"].tolist() == [[2, 9, 3, 0], [2, 9, 9, 3]]
    assert batch["input_ids"].dtype == torch.int64


def test_next_sentence_labels_come_along_when_there_are_any():
    batch = collate([Example([2, 3], 2, 1), Example([2, 3], 2)])
    assert batch["next_sentence_label"].tolist() == [1, -100]


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="examples is empty"):
        collate([])


def test_a_batch_is_what_a_model_takes():
    from bertlib.config import BertConfig
    from bertlib.heads import BertForPreTraining

    config = BertConfig(
        vocab_size=V,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    examples = [row(9, k, second=4)._replace(next_sentence_label=k % 2) for k in (0, 1)]
    out = BertForPreTraining(config)(**Masker(TOKENIZER)(examples))
    assert torch.isfinite(out.loss)


@given(st.lists(st.integers(5, 300), max_size=80), st.integers(3, 20))
def test_cut_rows_loses_nothing(ids, length):
    examples = cut_rows(ids, length, CLS, SEP)
    assert [i for e in examples for i in e.input_ids[1:-1]] == ids
    assert all(len(e.input_ids) == e.first <= length for e in examples)
    assert all(len(e.input_ids) == length for e in examples[:-1])
    assert [e.number for e in examples] == list(range(len(examples)))


def test_cut_rows_needs_room():
    with pytest.raises(ValueError, match="length is 2"):
        cut_rows([1, 2], 2, CLS, SEP)


# --- order ---------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 7), st.integers(0, 5), st.integers(0, 5))
def test_ranks_are_disjoint_and_complete(n, world, seed, epoch):
    shares = [epoch_order(n, seed, epoch, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(epoch_order(40, seed, e)) for seed in range(5) for e in range(5)}
    assert len(orders) == 25
    assert epoch_order(40, 1, 2).tolist() == epoch_order(40, 1, 2).tolist()


def test_a_rank_outside_the_world_is_refused():
    with pytest.raises(ValueError, match="rank is 2; it must be one of 0 to 1"):
        epoch_order(10, 0, 0, rank=2, world_size=2)


# --- buckets -------------------------------------------------------------------------


def padded(lengths, batches):
    return sum(len(b) * max(lengths[i] for i in b) for b in batches)


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=120),
    st.integers(1, 17),
    st.integers(0, 9),
)
def test_buckets_hold_every_row_once(lengths, batch_size, epoch):
    batches = length_buckets(lengths, batch_size, seed=1, epoch=epoch)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_size
    assert len(batches) == -(-len(lengths) // batch_size)
    assert batches == length_buckets(lengths, batch_size, seed=1, epoch=epoch)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=120), st.integers(1, 300))
def test_token_buckets_stay_within_their_budget(lengths, max_tokens):
    batches = length_buckets(lengths, max_tokens=max_tokens)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or padded(lengths, [batch]) <= max_tokens


def test_buckets_save_most_of_the_padding():
    lengths = np.random.default_rng(0).geometric(0.03, 2000).tolist()
    order = epoch_order(2000, 0, 0).tolist()
    plain = padded(lengths, [order[i : i + 32] for i in range(0, 2000, 32)])
    bucketed = padded(lengths, length_buckets(lengths, 32))
    assert bucketed < 1.1 * sum(lengths) < 0.5 * plain


def test_buckets_come_in_random_order_and_differ_between_epochs():
    lengths = [5] * 300 + [9] * 300
    one, two = (length_buckets(lengths, 20, epoch=epoch) for epoch in (0, 1))
    longest = [max(lengths[i] for i in batch) for batch in one]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))
    assert not {frozenset(b) for b in one} & {frozenset(b) for b in two}


def test_buckets_need_one_measure():
    with pytest.raises(ValueError, match="either batch_size or max_tokens"):
        length_buckets([1, 2])
    with pytest.raises(ValueError, match="either batch_size or max_tokens"):
        length_buckets([1, 2], 3, max_tokens=9)
    with pytest.raises(ValueError, match="batch_size is 0; it must be 1"):
        length_buckets([1, 2], 0)


def test_no_rows_make_no_buckets():
    assert length_buckets([], 4) == []
