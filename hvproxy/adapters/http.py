"""Serves the API, health, metrics, the OpenAPI page and the dashboard over HTTP: routing, headers, bytes and limits.

Whatever a client sends, it gets an answer that says what is wrong with it; an answer 500 is a fault of ours. Pages of
other origins get nothing: no answer allows them to read it, and what changes something they cannot send.
"""
from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request as TwistedRequest
from twisted.web.server import Site as TwistedSite
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from hvproxy.adapters.api import Answer, Api, Route
from hvproxy.adapters.carrying import Carrying, RuntimeLike
from hvproxy.adapters.configuring import Configuring
from hvproxy.adapters.metrics import CONTENT_TYPE, Metrics
from hvproxy.adapters.openapi import document
from hvproxy.config import Config
from hvproxy.errors import ConfigError, ModelError
from hvproxy.hypervisor import report
from hvproxy.model.address import Address

MAX_BODY = 1024 * 1024
MAX_FILE = 128 * 1024 * 1024
"""The same of a body that is a file."""
IDLE = 60
"""Seconds a client may take over a request."""
_METHOD = re.compile(rb"[A-Z]{1,32}")
_JSON = "application/json"
_BYTES = "application/octet-stream"


class Wrong(Exception):
    """A request that cannot be taken as it is."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def make_site(
    runtime: RuntimeLike, metrics: Metrics | None = None, taken: Sequence[Address] = (), clock: Any = None,
    configuring: Configuring | None = None,
) -> Site:
    """Everything hvproxy serves over HTTP. `taken` is where hvproxy itself listens: no tenant may.

    `clock` is an IReactorTime, by default Twisted's reactor; `configuring` knows the configuration that was applied
    last, by default an empty one.
    """
    if clock is None:
        from twisted.internet import reactor

        clock = reactor
    carrying = Carrying(runtime, clock, taken)
    api = Api(carrying, configuring or Configuring(carrying, Config()))
    pages = Pages(api, Metrics(runtime) if metrics is None else metrics, runtime)
    return Site(pages.app.resource(), requestFactory=Request, timeout=IDLE, reactor=clock)


class Request(TwistedRequest):
    """A request whose body is kept up to MAX_BODY, and which is well-formed before it is looked at."""

    _received = 0

    def gotLength(self, length: int | None) -> None:
        self.content = self._body = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= self._most:
            super().handleContentChunk(data)  # the rest is read, for who still sends does not listen, and let go

    @property
    def _most(self) -> int:
        return MAX_FILE if _kind(self) == _BYTES else MAX_BODY

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.content = BytesIO()  # Twisted would read forms out of the body
        super().requestReceived(command, path, version)

    def getRequestHostname(self) -> bytes:
        """Whatever name a client has for us, the pages are the same."""
        return b"hvproxy"

    def process(self) -> None:
        self.content = self._body
        self.content.seek(0)
        wrong = self._wrong()
        if wrong is None:
            super().process()
        else:
            self.write(finish_with(self, wrong))
            self.finish()

    def _wrong(self) -> Answer | None:
        if self._received > self._most:
            return refusal(413, f"the body is larger than {self._most // 2**20} MiB")
        if not _METHOD.fullmatch(self.method):
            return refusal(400, "that is not a method")
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return refusal(400, "the path is not UTF-8")
        origin = self.getHeader("origin")
        if origin is not None and _host(origin) != (self.getHeader("host") or "?").lower():
            return refusal(403, "pages of other origins have no access")
        return None


class Site(TwistedSite):
    """Without Twisted's access log: one line per request at level debug, in ours."""

    noisy = False
    displayTracebacks = False
    _logger = Logger(namespace="hvproxy.adapters.http")

    def startFactory(self) -> None:
        """There is no access log to open, nor a clock to be kept for its dates."""

    def log(self, request: TwistedRequest) -> None:
        self._logger.debug("request", method=_shown(request.method), path=_shown(request.uri),
                           status=request.code, peer=request.getClientAddress())


class Pages:
    """Every page by its path."""

    _logger = Logger(namespace="hvproxy.adapters.http")

    def __init__(self, api: Api, metrics: Metrics, runtime: RuntimeLike) -> None:
        self.app = Klein()
        self._api = api
        self._metrics = metrics
        self._runtime = runtime
        self._dashboard = (files("hvproxy.adapters") / "dashboard.html").read_bytes()
        self._dashboard_policy = content_policy(self._dashboard)
        self._openapi = json.dumps(document(_version())).encode()
        for route in Api.ROUTES:
            self.app.route(route.path, methods=[route.method], endpoint=f"{route.method} {route.path}")(
                self._endpoint(route))
        for path, page in (("/", self._root), ("/healthz", self._healthz), ("/readyz", self._readyz),
                           ("/metrics", self._metrics_page), ("/openapi.json", self._openapi_page)):
            self.app.route(path, methods=["GET"], endpoint=path)(page)
        self.app.handle_errors(Exception)(self._failed)

    def _endpoint(self, route: Route) -> Callable[..., Deferred[bytes]]:
        async def call(request: TwistedRequest, **names: str) -> bytes:
            body: object = None
            if route.takes is not None:
                body = read_json(request)
            elif route.binary and route.method == "POST":
                body = read_bytes(request)
            answer = await route.handler(self._api, body=body, **names)
            if route.changes:
                await self._api.stored()
            return finish_with(request, answer)

        def endpoint(request: TwistedRequest, **names: str) -> Deferred[bytes]:
            return ensureDeferred(call(request, **names))

        return endpoint

    def _failed(self, request: TwistedRequest, failure: Failure) -> bytes:
        error = failure.value
        if isinstance(error, CancelledError):
            return b""  # the client has gone
        answer = answer_to(error)
        if answer is None:
            self._logger.failure("a fault in hvproxy itself; please report it", failure, path=_shown(request.uri))
            answer = refusal(500, "a fault in hvproxy itself; its log says more")
        return finish_with(request, answer)

    # Pages that are not of the API

    def _root(self, request: TwistedRequest) -> bytes:
        request.setHeader("Content-Security-Policy", self._dashboard_policy)
        return finish_bytes(request, 200, self._dashboard, "text/html; charset=utf-8")

    def _healthz(self, request: TwistedRequest) -> bytes:
        return finish_bytes(request, 200, b"ok\n", "text/plain; charset=utf-8")

    def _readyz(self, request: TwistedRequest) -> bytes:
        reasons = report.reasons_unready(self._runtime.hv)
        return finish_with(request, Answer(503 if reasons else 200, {"ready": not reasons, "reasons": reasons}))

    def _metrics_page(self, request: TwistedRequest) -> bytes:
        return finish_bytes(request, 200, self._metrics.text(), CONTENT_TYPE)

    def _openapi_page(self, request: TwistedRequest) -> bytes:
        return finish_bytes(request, 200, self._openapi, _JSON)


# Answers

def refusal(status: int, error: str, path: str = "", **more: object) -> Answer:
    """An error as the API tells it."""
    return Answer(status, {"error": error, "path": path, **more})


def answer_to(error: BaseException | None) -> Answer | None:
    """What a client is told about what went wrong; None when it is a fault of ours."""
    if isinstance(error, ConfigError):
        (path, what), *rest = error.mistakes
        more = f" (and {len(rest)} more mistake{'s' if len(rest) > 1 else ''})" if rest else ""
        return refusal(400, f"{path}: {what}{more}" if path else what + more, path,
                       mistakes=[{"path": path, "error": what} for path, what in error.mistakes])
    if isinstance(error, ModelError):
        return refusal(error.status, error.what, error.path)
    if isinstance(error, Wrong):
        return refusal(error.status, error.error)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return Answer(405, {"error": f"only {allowed} here", "path": ""}, {"Allow": allowed})
    if isinstance(error, HTTPException):
        return refusal(404, "there is no such page; /openapi.json lists what there is")
    return None


def finish_with(request: TwistedRequest, answer: Answer) -> bytes:
    """Set status and headers; returns the bytes to be written."""
    for name, value in answer.headers.items():
        request.setHeader(name, value)
    if answer.status == 204:
        request.setResponseCode(204)
        _common_headers(request)
        return b""
    if isinstance(answer.body, bytes):
        return finish_bytes(request, answer.status, answer.body, _BYTES)
    return finish_bytes(request, answer.status, json.dumps(answer.body).encode() + b"\n", _JSON)


def finish_bytes(request: TwistedRequest, status: int, body: bytes, content_type: str) -> bytes:
    """Set status and headers; returns the bytes to be written."""
    request.setResponseCode(status)
    _common_headers(request)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    return body


def _common_headers(request: TwistedRequest) -> None:
    request.setHeader("Server", "hvproxy")
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("X-Content-Type-Options", "nosniff")


# Requests

def read_json(request: TwistedRequest) -> object:
    """The body of a request. Raises Wrong."""
    kind = _kind(request)
    if kind != _JSON:
        raise Wrong(415, f"the body must be {_JSON}" + (f", not {kind}" if kind else "; there is no Content-Type"))
    assert request.content is not None
    data = request.content.read()
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Wrong(400, f"not JSON: byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Wrong(400, f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise Wrong(400, "nested too deep") from error
    except ValueError as error:
        raise Wrong(400, f"not JSON: {error}") from error


def read_bytes(request: TwistedRequest) -> bytes:
    """The body of a request that is a file. Raises Wrong."""
    kind = _kind(request)
    if kind != _BYTES:
        raise Wrong(415, f"the body must be {_BYTES}" + (f", not {kind}" if kind else "; there is no Content-Type"))
    assert request.content is not None
    data: bytes = request.content.read()
    return data


def _kind(request: TwistedRequest) -> str:
    return (request.getHeader("content-type") or "").partition(";")[0].strip().lower()


def _unique(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in an object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def content_policy(page: bytes) -> str:
    """What a browser may do with a page: run its own script, use its own style, and ask us."""
    def hashes(tag: bytes) -> str:
        found = re.findall(rb"<%s>(.*?)</%s>" % (tag, tag), page, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in found) or "'none'"

    return (f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def _shown(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")


def _version() -> str:
    try:
        return version("hvproxy")
    except PackageNotFoundError:
        return "0"
