"""The dialogue with a database, bytes in and bytes out: what it is asked, what it may say, and what ends it."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.ovsdb.session import ANSWER, PROBE, Session
from hvproxy.ovsdb.vswitch import DATABASE, TABLES, observe
from tests.ovsdb.rows import Contents, Vif, initial, messages, update

EMPTY = Contents()


def opened(contents: Contents = EMPTY) -> Session:
    """A session that has its contents; what it wrote is taken."""
    session = Session(DATABASE, TABLES, 0.0)
    session.receive(initial(contents), 1.0)
    assert session.complete and session.changed and session.closed is None
    session.send.clear()
    session.changed = False
    return session


def written(session: Session) -> list[dict[str, Any]]:
    found = messages(session.send)
    session.send.clear()
    return found


def say(session: Session, now: float = 1.0, **message: object) -> None:
    session.receive(json.dumps(message).encode(), now)


def test_it_asks_to_monitor_what_is_read() -> None:
    (request,) = written(Session(DATABASE, TABLES, 0.0))
    assert (request["method"], request["params"][:2]) == ("monitor", ["Open_vSwitch", None])
    assert request["params"][2]["Port"] == {"columns": ["interfaces"]} and request["params"][2].keys() == TABLES.keys()


def test_updates_change_the_replica() -> None:
    one = Contents([Vif("x", 1)])
    session = opened()
    session.receive(update(EMPTY, one), 1.0)
    assert session.changed and [vif.iface_id for vif in observe(session.replica.tables).vifs] == ["x"]


@given(st.lists(st.integers(0, 5000)))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int]) -> None:
    one, two = Contents([Vif("x", 1)]), Contents([Vif("x", 2), Vif('"}{\\', 3)])
    stream = initial(one) + update(one, two) + b'{"id":"e","method":"echo","params":[]}'
    session = Session(DATABASE, TABLES, 0.0)
    at = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    for a, b in zip(at, at[1:]):
        session.receive(stream[a:b], 1.0)
    assert session.closed is None and written(session)[-1]["id"] == "e"
    assert [vif.port_no for vif in observe(session.replica.tables).vifs] == [3, 2]


def test_it_answers_echoes_and_refuses_other_requests() -> None:
    session = opened()
    say(session, id="e", method="echo", params=[1, {"a": 2}])
    say(session, id=7, method="steal", params=[])
    assert written(session) == [{"id": "e", "result": [1, {"a": 2}], "error": None},
                                {"id": 7, "result": None, "error": "unknown method"}]


def test_silence_is_probed_once_and_then_ends_it() -> None:
    session = opened()
    assert session.deadline == 1.0 + PROBE
    session.tick(1.0 + PROBE - 0.1)
    assert not written(session)
    session.tick(1.0 + PROBE)
    assert written(session) == [{"method": "echo", "params": [], "id": "echo"}]
    say(session, 7.0, id="echo", result=[], error=None)
    session.tick(7.0 + PROBE)
    assert written(session) and session.closed is None
    session.tick(7.0 + 2 * PROBE)
    assert session.closed == "it was silent for 10 s"


def test_whatever_it_says_is_a_sign_of_life() -> None:
    session = opened()
    session.tick(1.0 + PROBE)
    session.receive(update(EMPTY, Contents([Vif("x")])), 7.0)
    assert session.deadline == 7.0 + PROBE and session.closed is None


def test_an_echo_may_be_answered_after_what_was_under_way() -> None:
    session = opened()
    session.tick(1.0 + PROBE)
    session.receive(update(EMPTY, Contents([Vif("x")])), 7.0)
    say(session, 7.1, id="echo", result=[], error=None)
    assert session.closed is None
    say(session, 7.2, id="echo", result=[], error=None)
    assert session.closed == "a reply to what was not asked"


def test_half_a_message_is_none() -> None:
    session = opened()
    for now, part in ((5.0, b'{"'), (6.0, b"x"), (11.0, b"x")):
        session.receive(part, now)
        session.tick(now)
    assert session.closed == "it was silent for 10 s"


def test_contents_that_do_not_come_end_it() -> None:
    session = Session(DATABASE, TABLES, 0.0)
    say(session, ANSWER - 1, id="e", method="echo", params=[])
    session.tick(ANSWER)
    assert session.closed == "it has not told its contents within 15 s"


def test_a_transaction_is_told_its_end() -> None:
    session = opened()
    told: list[object] = []
    for _ in range(2):
        session.transact([{"op": "x"}], lambda why, now: told.append((why, now)))
    first, second = written(session)
    assert (first["method"], first["params"]) == ("transact", ["Open_vSwitch", {"op": "x"}])
    say(session, 3.0, id=second["id"], result=[{"error": "no"}], error=None)
    say(session, 4.0, id=first["id"], result=[{"count": 1}], error=None)
    assert told == [("no", 3.0), (None, 4.0)]
    say(session, 5.0, id=first["id"], result=[{"count": 1}], error=None)
    assert session.closed == "a reply to what was not asked"


@pytest.mark.parametrize(("message", "reason"), [
    ({"id": "monitor", "result": {}, "error": None}, "a reply to what was not asked"),
    ({"id": "echo", "result": [], "error": None}, "a reply to what was not asked"),
    ({"id": 5, "result": [], "error": None}, "a reply to what was not asked"),
    ({"id": [5], "result": [], "error": None}, "a reply to what was not asked"),
    ({"id": None, "method": "update2", "params": []}, "a notification that was not asked for: update2"),
    ({"id": None, "method": "update", "params": ["other", {}]}, "a notification that was not asked for: update"),
    ({"id": None, "method": "update", "params": [None, {"X": {}}]}, "an update of table X, which was not asked for"),
])
def test_what_was_not_asked_for_ends_it(message: dict[str, object], reason: str) -> None:
    session = opened()
    say(session, **message)
    assert session.closed == reason
    session.receive(b'{"id":"e","method":"echo","params":[]}', 2.0)
    session.tick(100.0)
    assert not session.send and session.closed == reason


def test_an_update_before_the_contents_ends_it() -> None:
    session = Session(DATABASE, TABLES, 0.0)
    session.receive(update(EMPTY, Contents([Vif("x")])), 1.0)
    assert session.closed == "a notification that was not asked for: update"


def test_a_database_without_the_columns_says_so() -> None:
    session = Session(DATABASE, TABLES, 0.0)
    say(session, id="monitor", result=None, error={"error": "syntax error", "details": "no column x"})
    assert session.closed == "it does not let itself be monitored: syntax error: no column x"


@given(st.lists(st.binary(max_size=50) | st.sampled_from([
    initial(EMPTY), update(EMPTY, Contents([Vif("x")])), b'{"id":"e","method":"echo","params":[]}',
    b'{"id":1,"result":[],"error":null}', b"{", b"}", b'"', b"\\", b'{"id":"monitor","result":{"Bridge":[]}}']),
    max_size=8))
def test_nothing_that_comes_raises(parts: list[bytes]) -> None:
    session = Session(DATABASE, TABLES, 0.0)
    for now, part in enumerate(parts):
        session.receive(part, float(now))
        session.tick(float(now))
    messages(session.send)
