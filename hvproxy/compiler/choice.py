"""How a switch is brought to choose a bucket of a tenant's SELECT group: safely, alike on every edge, and by weight.

Open vSwitch 3.1 hashes a SELECT group in its datapath unless told otherwise, and aborts when packets with an action
set meet one from an action list (dataplane 3.1). OpenFlow 1.3 cannot name another method: the Nicira message that can,
NXT_GROUP_MOD, is for OpenFlow 1.0 and refused over 1.3. But where the weights are too far apart for the datapath's hash
table, Open vSwitch falls back to a method of its own that is safe: each live bucket scores its weight times a 16-bit
hash of its place in the group and of the packet's Ethernet, VLAN and IP addresses and TCP or SCTP ports, and the
highest score wins. This depends on nothing else, so all edges choose alike (trap 21), and when a bucket dies only its
own flows move. Two hidden buckets that are never alive (`NEVER`) keep the weights far enough apart; they stand
last, so that the tenant's buckets keep their places.

Highest scores do not win in proportion to their weights; `scores` finds the weights that do. Tried on Open vSwitch 3.1;
a switch that is known to be another one gets plain SELECT groups. Knows weights only, no ports and no actions.
"""
from __future__ import annotations

from collections.abc import Sequence
from math import exp, log1p
from typing import Final

MOST: Final = 0xFFFF
"""The greatest weight there is."""
NEVER: Final = (MOST, 1)
"""The weights of the two hidden buckets."""


def scores(weights: Sequence[int]) -> list[int]:
    """Weights under which the highest score falls to each bucket as often as `weights` ask; 0 stays 0.

    With buckets in rising order of weight w and p their shares, m buckets from the i-th on, F(x) the chance that all
    scores are below x: p[i] is the integral of F(x)/x up to w[i], so p[i] - p[i-1] is that from w[i-1] to w[i], where
    F(x) = x**m / (w[i] ... w[n]); hence w[i-1]**m = w[i]**m - m (p[i] - p[i-1]) w[i] ... w[n], from the greatest down.
    """
    order = sorted((place for place, weight in enumerate(weights) if weight), key=lambda place: weights[place])
    found = [0] * len(weights)
    if not order:
        return found
    total = sum(weights)
    level = above = 0.0
    """Logarithms of w[i] and of w[i] ... w[n], where the greatest is 1."""
    found[order[-1]] = MOST
    for m, (lower, upper) in enumerate(zip(order[-2::-1], order[::-1], strict=False), start=1):
        above += level
        part = (weights[upper] - weights[lower]) / total
        if part:
            level += log1p(-min(m * part * exp(above - m * level), 1 - 1e-12)) / m
        found[lower] = max(1, round(MOST * exp(level)))
    return found
