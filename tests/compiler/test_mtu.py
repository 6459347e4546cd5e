"""What links leave of an MTU."""
from __future__ import annotations

import pytest

from hvproxy.compiler.mtu import overhead


@pytest.mark.parametrize("kind, six, bytes_more", [
    ("vlan", False, 0), ("vlan", True, 0), ("gre", False, 42), ("gre", True, 62), ("vxlan", False, 50),
    ("vxlan", True, 70), ("geneve", False, 50), ("geneve", True, 70)])
def test_a_link_takes_what_its_headers_are_beyond_what_interfaces_let_through(kind: str, six: bool, bytes_more: int
                                                                              ) -> None:
    assert overhead(kind, six=six) == bytes_more
