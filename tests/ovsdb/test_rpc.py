"""Requests, notifications and replies are told apart; nothing else is any of them."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.rpc import Notification, Reply, Request, decode, encode


@pytest.mark.parametrize("message", [
    Request("echo", [1, "a"], "id"), Request("transact", [], 0), Request("monitor", [None, {"T": {}}], [1]),
    Notification("update", [None, {}]), Reply(1, {"a": [1]}), Reply("x", None, {"error": "no"}), Reply(3, None, "no"),
])
def test_what_is_written_reads_the_same(message: Request | Notification | Reply) -> None:
    assert decode(encode(message)) == message


def test_a_notification_need_not_say_that_it_has_no_id() -> None:
    assert decode(b'{"method":"update","params":[]}') == Notification("update", [])


@pytest.mark.parametrize(("text", "what"), [
    (b'{"id":1', "not JSON"), (b'{"id":"\xff"}', "not JSON"), (b'{"id":"\\ud800"}', "not JSON"),
    (b'{"id":' + b"1" * 5000 + b"}", "not JSON"), (b"[]", "neither"), (b'{"id":1,"result":0,"more":1}', "neither"),
    (b'{"method":1,"params":[],"id":1}', "a request that is none"),
    (b'{"method":"a","id":1}', "a request that is none"),
    (b'{"method":"a","params":{},"id":1}', "a request that is none"),
    (b'{"method":"a","params":[],"id":1,"result":1}', "a request that is none"),
    (b'{"id":null,"result":1,"error":null}', "a reply that is none"), (b"{}", "a reply that is none"),
    (b'{"id":1,"error":null}', "a reply that is none"), (b'{"id":1,"result":1,"params":[]}', "a reply that is none"),
])
def test_what_is_none_of_them_is_refused(text: bytes, what: str) -> None:
    with pytest.raises(DatabaseError, match=what):
        decode(text)


KEYS = st.sampled_from(["id", "method", "params", "result", "error", "x"])
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


@given(st.binary(max_size=60) | st.dictionaries(KEYS, VALUES).map(lambda value: json.dumps(value).encode()))
def test_anything_is_a_message_or_the_named_error(text: bytes) -> None:
    try:
        message = decode(text)
    except DatabaseError:
        return
    assert decode(encode(message)) == message
