"""Asks a running hvproxy over its HTTP API, as any other client does, and puts into words what goes wrong.

Knows no command and no output: the command line does.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

FILE = "application/octet-stream"
TIMEOUT = 30.0
"""Seconds an answer may take."""


class Unanswered(Exception):
    """There is no answer to be had; says why, and what to do."""


class Refusal(Unanswered):
    """The answer is a refusal."""

    def __init__(self, what: str, status: int, mistakes: list[tuple[str, str]]) -> None:
        super().__init__(what)
        self.status = status
        """Of HTTP."""
        self.mistakes = mistakes
        """Paths in the body and what is wrong there, as far as they are told."""


def ask(api: str, path: str, body: object = None, method: str | None = None, timeout: float = TIMEOUT) -> Any:
    """The answer to a GET, or with a body to a POST, unless `method` says another; a body of bytes goes as a file, and
    a file is answered as bytes, and nothing as None. Raises Unanswered."""
    url = api.rstrip("/") + path
    try:
        request = Request(url, headers={"Accept": "application/json"}, method=method)
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.add_header("Content-Type", FILE if isinstance(body, bytes) else "application/json")
        # Without the environment's HTTP proxy: the API is a local affair.
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as response:
            data = response.read()
            if response.status == HTTPStatus.NO_CONTENT:
                return None
            return data if response.headers.get("Content-Type") == FILE else json.loads(data)
    except HTTPError as error:
        raise _refusal(url, error) from error
    except ValueError as error:
        what = "is not a URL; write --api http://HOST:PORT" if "url" in str(error) else "did not answer JSON"
        raise Unanswered(f"{url}: {what}") from error
    except (URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Unanswered(f"cannot reach {api}: {reason}\nIs hvproxy running (hvproxy serve CONFIG)? "
                         "If its api.listen is another address, name it with --api URL.") from error


def _refusal(url: str, error: HTTPError) -> Refusal:
    said = None
    mistakes: list[tuple[str, str]] = []
    try:
        answer = json.load(error)
        said, path = answer.get("error"), answer.get("path")
        listed = answer.get("mistakes") or ([{"path": path, "error": said}] if said else [])
        mistakes = [(str(each["path"]), str(each["error"])) for each in listed if isinstance(each, Mapping)]
        if said and path and not said.startswith(path):
            said = f"{path}: {said}"
    except (ValueError, AttributeError, KeyError, OSError):
        said = None
    hint = "; hvproxy show switches and hvproxy show logical-switches list what there is" if error.code == 404 else ""
    return Refusal(f"{url}: {said or error.reason} (HTTP status {error.code}){hint}", error.code, mistakes)
