"""Texts of like length share batches, whatever else an epoch's order is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tftune.training.batches import grouped_by_length


@given(
    st.integers(1, 300), st.integers(1, 40), st.integers(0, 9), st.sampled_from((3, 30, 3_000_000))
)
def test_grouping_only_reorders_and_leaves_the_last_batch_at_random(count, size, seed, longest):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, count)
    order = generator.permutation(count)
    grouped = grouped_by_length(order, lengths, size, np.random.default_rng(seed))
    assert sorted(grouped) == list(range(count))
    rest = count % size
    np.testing.assert_array_equal(grouped[count - rest :], order[count - rest :])

    def cost(indices):
        whole = indices[: count - rest].reshape(-1, size)
        return lengths[whole].max(axis=1).sum()

    assert cost(grouped) <= cost(order)


def test_many_batches_become_tight_and_examples_meet_others_in_the_next_epoch():
    lengths = np.random.default_rng(0).integers(4, 64, 2000)
    orders = [np.random.default_rng(epoch).permutation(2000) for epoch in (1, 2)]
    first, second = (
        grouped_by_length(order, lengths, 20, np.random.default_rng(epoch))
        for epoch, order in enumerate(orders)
    )
    longest = lengths[first.reshape(-1, 20)].max(axis=1)
    assert longest.sum() < 1.1 * lengths.sum() / 20
    assert lengths[orders[0].reshape(-1, 20)].max(axis=1).sum() > 1.7 * lengths.sum() / 20
    assert np.abs(np.diff(longest)).mean() > 10  # long and short batches take turns
    together = [{frozenset(batch) for batch in order.reshape(-1, 20)} for order in (first, second)]
    assert not together[0] & together[1]
