from __future__ import annotations

import pytest

from hvproxy.model.address import Address, DatabaseAddress


@pytest.mark.parametrize(("text", "address", "in_full"), [
    ("tcp:127.0.0.1:6633", Address("tcp", "127.0.0.1", 6633), "tcp:127.0.0.1:6633"),
    ("tcp:127.0.0.1", Address("tcp", "127.0.0.1", 6653), "tcp:127.0.0.1:6653"),
    ("ssl:controller.example:1", Address("ssl", "controller.example", 1), "ssl:controller.example:1"),
    ("tcp:[::1]", Address("tcp", "::1", 6653), "tcp:[::1]:6653"),
    ("tcp:[0:0::1]:7", Address("tcp", "::1", 7), "tcp:[::1]:7"),
    ("unix:/run/c:1.sock", Address("unix", path="/run/c:1.sock"), "unix:/run/c:1.sock"),
    ("ptcp:", Address("ptcp", "0.0.0.0", 6653), "ptcp:6653:0.0.0.0"),
    ("ptcp:0", Address("ptcp", "0.0.0.0", 0), "ptcp:0:0.0.0.0"),
    ("ptcp::127.0.0.1", Address("ptcp", "127.0.0.1", 6653), "ptcp:6653:127.0.0.1"),
    ("pssl:6640:[::]", Address("pssl", "::", 6640), "pssl:6640:[::]"),
])
def test_is_read_as_open_vswitch_writes_it_and_written_in_full(text: str, address: Address, in_full: str) -> None:
    assert Address.parse(text) == address
    assert str(address) == in_full
    assert Address.parse(in_full) == address


FORMS = "tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH, ptcp:[PORT][:HOST], pssl:[PORT][:HOST]"


@pytest.mark.parametrize(("text", "what"), [
    ("", f"'' is not an address; write one of {FORMS}"),
    ("127.0.0.1:6633", f"'127.0.0.1:6633' is not an address; write one of {FORMS}"),
    ("punix:/x", f"'punix:/x' is not an address; write one of {FORMS}"),
    ("unix:", "'unix:' names no socket; write unix:PATH"),
    ("tcp:", "'tcp:' names no host; write tcp:HOST[:PORT]"),
    ("tcp:::1", "'tcp:::1' names no host; write tcp:HOST[:PORT]"),
    ("tcp:[::1", "'tcp:[::1': '[::1' is not a host name; an IPv6 address stands in brackets"),
    ("tcp:[::g]", "'tcp:[::g]': '[::g]' is not an IP address"),
    ("tcp:256.1.1.1", "'tcp:256.1.1.1': '256.1.1.1' is not an IP address"),
    ("tcp:a_b", "'tcp:a_b': 'a_b' is not a host name; an IPv6 address stands in brackets"),
    ("tcp:-a", "'tcp:-a': '-a' is not a host name; an IPv6 address stands in brackets"),
    ("tcp:h:0", "'tcp:h:0': '0' is not a port number from 1 to 65535"),
    ("tcp:h:65536", "'tcp:h:65536': '65536' is not a port number from 1 to 65535"),
    ("tcp:h:6633:1", "'tcp:h:6633:1': '6633:1' is not a port number from 1 to 65535"),
    ("tcp:h:-1", "'tcp:h:-1': '-1' is not a port number from 1 to 65535"),
    ("tcp:h:\xb2", "'tcp:h:\xb2': '\xb2' is not a port number from 1 to 65535"),
    ("ptcp:x", "'ptcp:x': 'x' is not a port number from 0 to 65535"),
    ("ptcp:1:localhost", "'ptcp:1:localhost': 'localhost' is not an IP address"),
])
def test_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(text)
    assert str(caught.value) == what


@pytest.mark.parametrize(("one", "other", "collide"), [
    ("ptcp:1:127.0.0.1", "ptcp:1:127.0.0.1", True),
    ("ptcp:1:127.0.0.1", "pssl:1:127.0.0.1", True),
    ("ptcp:1", "ptcp:1:127.0.0.1", True),
    ("ptcp:1:[::]", "ptcp:1:[::1]", True),
    ("ptcp:1:127.0.0.1", "ptcp:1:127.0.0.2", False),
    ("ptcp:1", "ptcp:1:[::1]", False),
    ("ptcp:1", "ptcp:2", False),
    ("ptcp:0", "ptcp:0", False),
    ("ptcp:6653", "tcp:0.0.0.0:6653", False),
])
def test_listeners_collide_where_the_system_would_let_only_one_listen(one: str, other: str, collide: bool) -> None:
    assert Address.parse(one).collides(Address.parse(other)) is collide
    assert Address.parse(other).collides(Address.parse(one)) is collide


def test_knows_who_opens_it_and_whether_tls_is_spoken() -> None:
    kinds = {kind: Address(kind) for kind in ("tcp", "ssl", "unix", "ptcp", "pssl")}
    assert {kind for kind, address in kinds.items() if address.is_passive} == {"ptcp", "pssl"}
    assert {kind for kind, address in kinds.items() if address.is_tls} == {"ssl", "pssl"}


def test_a_database_has_a_default_port_of_its_own() -> None:
    assert DatabaseAddress.parse("tcp:127.0.0.1") == DatabaseAddress("tcp", "127.0.0.1", 6640)
    assert str(DatabaseAddress.parse("ssl:[::1]")) == "ssl:[::1]:6640"
    assert str(DatabaseAddress.parse("tcp:db:6653")) == "tcp:db:6653"
    assert str(DatabaseAddress.parse("unix:/run/db.sock")) == "unix:/run/db.sock"
