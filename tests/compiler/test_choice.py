"""Highest scores under the weights that were found fall to buckets as often as was asked."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.compiler.choice import MOST, NEVER, scores


def shares(weights: list[int]) -> list[float]:
    """How often each of these weights, times a random number, is the greatest: the integral of F(x)/x up to it."""
    order = sorted((place for place, weight in enumerate(weights) if weight), key=lambda place: weights[place])
    found, share, below = [0.0] * len(weights), 0.0, 0.0
    for rank, place in enumerate(order):
        m = len(order) - rank
        here = weights[place] / MOST
        above = 1.0
        for other in order[rank:]:
            above *= weights[other] / MOST
        share += (here ** m - below ** m) / (m * above)
        found[place], below = share, here
    return found


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12).filter(any))
def test_every_bucket_gets_its_share(weights: list[int]) -> None:
    asked = [weight / sum(weights) for weight in weights]
    assert shares(scores(weights)) == pytest.approx(asked, abs=1e-3)


@pytest.mark.parametrize("weights, wanted", [
    ([], []), ([0], [0]), ([0, 0], [0, 0]), ([7], [MOST]), ([7, 0, 7], [MOST, 0, MOST]),
    ([1, 1, 2], [49151, 49151, MOST]),
])
def test_weights_that_can_be_worked_out_by_hand(weights: list[int], wanted: list[int]) -> None:
    assert scores(weights) == wanted


@given(st.lists(st.integers(0, MOST), max_size=300))
def test_they_are_weights_and_no_bucket_loses_its_own(weights: list[int]) -> None:
    found = scores(weights)
    assert [bool(weight) for weight in found] == [bool(weight) for weight in weights]
    assert all(0 <= weight <= MOST for weight in found)


def test_the_hidden_buckets_keep_any_weights_too_far_apart_for_a_hash_table() -> None:
    """Open vSwitch 3.1 makes one of at most 256 places, the least weight having one of its own."""
    assert sum(NEVER) / min(NEVER) > 256 and min(NEVER) == 1
