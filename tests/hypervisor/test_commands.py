"""The outbox keeps commands in order."""
from __future__ import annotations

from hvproxy.hypervisor.commands import Close, Commit, Dial, Listen, Log, Outbox, Send, StopDialing, StopListening


def test_outbox_gives_out_once_and_in_order_what_was_put_in() -> None:
    outbox = Outbox()
    outbox.send(1, b"bytes")
    outbox.close(1, "why")
    outbox.log("info", "something happened", dpid=7)
    outbox.dial("red", "tcp:127.0.0.1:6653")
    outbox.stop_dialing("red")
    outbox.listen("api", "ptcp:8080:127.0.0.1")
    outbox.stop_listening("api")
    outbox.commit(3, {"key": b"value"}, ("gone",))
    assert outbox.drain() == [
        Send(1, b"bytes"), Close(1, "why"), Log("info", "something happened", {"dpid": 7}),
        Dial("red", "tcp:127.0.0.1:6653"), StopDialing("red"), Listen("api", "ptcp:8080:127.0.0.1"),
        StopListening("api"), Commit(3, {"key": b"value"}, ("gone",)),
    ]
    assert outbox.drain() == []
