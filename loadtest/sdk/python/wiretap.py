"""Hashes what one SDK client sends and receives, without changing either.

Built on the HTTP client's public event hooks: the SDK keeps its own transport,
retries and defaults. Request bytes are hashed as they leave, response bytes as
they arrive, before any content decoding. No body is kept.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import httpx2


class Exchange:
    """One HTTP request of the SDK and what came back for it; a retry is its own exchange."""

    def __init__(self, request: httpx2.Request) -> None:
        self.method = request.method
        self.path = request.url.raw_path.decode("ascii")
        self.sent = hashlib.sha256()
        self.sent_bytes = 0
        self.received = hashlib.sha256()
        self.received_bytes = 0
        self.complete = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.started = time.monotonic()
        self.first_byte_ms: float | None = None

    def note_sent(self, chunk: bytes) -> None:
        self.sent.update(chunk)
        self.sent_bytes += len(chunk)

    def note_received(self, chunk: bytes) -> None:
        if self.first_byte_ms is None:
            self.first_byte_ms = (time.monotonic() - self.started) * 1000
        self.received.update(chunk)
        self.received_bytes += len(chunk)

    def report(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "weft_request_id": self.headers.get("weft-request-id"),
            "content_type": self.headers.get("content-type"),
            "content_encoding": self.headers.get("content-encoding"),
            "request_sha256": self.sent.hexdigest(),
            "request_bytes": self.sent_bytes,
            "response_sha256": self.received.hexdigest(),
            "response_bytes": self.received_bytes,
            # False where the SDK hung up before the body's end (OpenAI's does after `[DONE]`).
            "response_complete": self.complete,
            "first_byte_ms": self.first_byte_ms,
        }


class _Request(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """Passes a request body on and hashes it; a replayed body starts the hash anew."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    def _restart(self) -> None:
        self._exchange.sent = hashlib.sha256()
        self._exchange.sent_bytes = 0

    def __iter__(self) -> Any:
        self._restart()
        for chunk in self._inner:
            self._exchange.note_sent(chunk)
            yield chunk

    async def __aiter__(self) -> Any:
        self._restart()
        async for chunk in self._inner:
            self._exchange.note_sent(chunk)
            yield chunk

    def close(self) -> None:
        if hasattr(self._inner, "close"):
            self._inner.close()

    async def aclose(self) -> None:
        if hasattr(self._inner, "aclose"):
            await self._inner.aclose()


class _SyncResponse(httpx2.SyncByteStream):
    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    def __iter__(self) -> Any:
        for chunk in self._inner:
            self._exchange.note_received(chunk)
            yield chunk
        self._exchange.complete = True

    @property
    def elapsed(self) -> Any:
        return getattr(self._inner, "elapsed", None)

    def close(self) -> None:
        self._inner.close()


class _AsyncResponse(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    async def __aiter__(self) -> Any:
        async for chunk in self._inner:
            self._exchange.note_received(chunk)
            yield chunk
        self._exchange.complete = True

    @property
    def elapsed(self) -> Any:
        return getattr(self._inner, "elapsed", None)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Wiretap:
    """The exchanges of one client, in the order in which they were sent."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def _request(self, request: httpx2.Request) -> None:
        exchange = Exchange(request)
        request.extensions["weft.exchange"] = exchange
        request.stream = _Request(request.stream, exchange)
        self.exchanges.append(exchange)

    def _response(self, response: httpx2.Response, wrapper: Any) -> None:
        exchange: Exchange = response.request.extensions["weft.exchange"]
        exchange.status = response.status_code
        exchange.headers = {name.lower(): value for name, value in response.headers.items()}
        response.stream = wrapper(response.stream, exchange)

    def hooks(self) -> dict[str, list[Any]]:
        """Event hooks for a synchronous client."""
        return {
            "request": [self._request],
            "response": [lambda response: self._response(response, _SyncResponse)],
        }

    def async_hooks(self) -> dict[str, list[Any]]:
        """Event hooks for an asynchronous client."""

        async def on_request(request: httpx2.Request) -> None:
            self._request(request)

        async def on_response(response: httpx2.Response) -> None:
            self._response(response, _AsyncResponse)

        return {"request": [on_request], "response": [on_response]}
