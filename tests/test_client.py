"""Asking a running hvproxy: answers, refusals with every mistake, and silence."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hvproxy import client


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked, and refuses what is under /refused."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/refused":
            self._answer(400, {"error": "a: wrong", "path": "a", "mistakes": [
                {"path": "a", "error": "wrong"}, {"path": "b[1]", "error": "is missing"}]})
        elif self.path == "/alone":
            self._answer(409, {"error": "in use", "path": "ports[0].attach"})
        elif self.path == "/garbage":
            self._answer(500, ["?"])
        else:
            self._answer(200, {"method": self.command, "body": body, "type": self.headers.get("Content-Type")})

    do_PUT = do_POST = do_GET

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_body_makes_a_post_unless_another_method_is_named(api: str) -> None:
    assert client.ask(api, "/x") == {"method": "GET", "body": "", "type": None}
    assert client.ask(api, "/x", {"a": 1}) == {"method": "POST", "body": '{"a": 1}', "type": "application/json"}
    assert client.ask(api + "/", "/x", {}, "PUT")["method"] == "PUT"


def test_a_refusal_has_every_mistake(api: str) -> None:
    with pytest.raises(client.Refusal) as raised:
        client.ask(api, "/refused")
    assert raised.value.status == 400
    assert raised.value.mistakes == [("a", "wrong"), ("b[1]", "is missing")]
    assert str(raised.value) == f"{api}/refused: a: wrong (HTTP status 400)"


def test_a_refusal_of_one_thing_has_its_place(api: str) -> None:
    with pytest.raises(client.Refusal) as raised:
        client.ask(api, "/alone")
    assert raised.value.mistakes == [("ports[0].attach", "in use")]
    assert str(raised.value) == f"{api}/alone: ports[0].attach: in use (HTTP status 409)"


def test_a_refusal_that_says_nothing_is_told_by_its_status(api: str) -> None:
    with pytest.raises(client.Refusal) as raised:
        client.ask(api, "/garbage")
    assert raised.value.mistakes == [] and "HTTP status 500" in str(raised.value)


def test_silence_is_told_with_what_to_do() -> None:
    with pytest.raises(client.Unanswered, match="Is hvproxy running"):
        client.ask("http://127.0.0.1:9", "/x")
    with pytest.raises(client.Unanswered, match="is not a URL"):
        client.ask("nowhere", "/x")
