"""Asks a users' door over HTTP/3 with one of two clients, one JSON line for each case.

`aioquic` is a QUIC and HTTP/3 written in Python; `pycurl` is libcurl on ngtcp2 and nghttp3. They
share no code, and neither falls back to TCP here.

    http3.py --client aioquic --port 8443 --case chat,chat-stream

The key comes from `WEFT_SDK_KEY`, the hub's CA from `SSL_CERT_FILE`. `--case spki --cert FILE` prints
what a browser is told to trust instead. After each case the client waits for a line on standard
input, its connection open. Exit codes: 0 every case was told, 1 a client failed, 2 the
command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import sys
import traceback
from typing import Any, Callable

sys.dont_write_bytecode = True

HOST = "localhost"
LIMIT_SECONDS = 60


def body_of(stream: bool, pad: int = 0) -> bytes:
    text = "Say what a weft is – naïvely, in 三 words." + "x" * pad
    asked = {"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked, ensure_ascii=False).encode()


# What each case sends: method, path, body, how the simulated provider answers, further headers.
CASES: dict[str, tuple[str, str, bytes, str, dict[str, str]]] = {
    "liveness": ("GET", "/health/liveness", b"", "", {}),
    "models": ("GET", "/v1/models", b"", "", {}),
    "unknown": ("GET", "/v1/nothing-of-the-kind", b"", "", {}),
    "websocket": ("GET", "/v1/realtime?model=gpt-realtime", b"", "", {}),
    "chat": ("POST", "/v1/chat/completions", body_of(False), "", {}),
    "chat-stream": ("POST", "/v1/chat/completions", body_of(True), "", {}),
    "upload": ("POST", "/v1/chat/completions", body_of(False, 3 * 1024 * 1024), "", {}),
    "large-head": ("GET", "/health/liveness", b"", "", {"x-large": "v" * 60_000}),
    "broken": ("POST", "/v1/chat/completions", body_of(True), "pace=20ms,fault=cut,at=9", {}),
    "leave-silence": ("POST", "/v1/chat/completions", body_of(True), "stall-head", {}),
    "leave-stream": ("POST", "/v1/chat/completions", body_of(True), "pace=20ms,deltas=10000", {}),
    "leave-stall": ("POST", "/v1/chat/completions", body_of(True), "deltas=200000", {}),
    "farewell": ("POST", "/v1/chat/completions", body_of(True), "pace=20ms,deltas=150", {}),
}


class Told:
    """What became of one case."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.body = CASES[case][2]
        self.status = 0
        self.headers: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.ended = False
        self.more: dict[str, Any] = {}

    def took(self, data: bytes) -> None:
        self.digest.update(data)
        self.bytes += len(data)

    def line(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "status": self.status,
            "headers": self.headers,
            "request_sha256": hashlib.sha256(self.body).hexdigest(),
            "request_bytes": len(self.body),
            "response_sha256": self.digest.hexdigest(),
            "response_bytes": self.bytes,
            "ended": self.ended,
            **self.more,
        }


def headers_of(case: str, key: str) -> dict[str, str]:
    method, _, _, sim, more = CASES[case]
    headers = {"authorization": f"Bearer {key}", **more}
    if method == "POST":
        headers["content-type"] = "application/json"
    if sim:
        headers["x-weft-sim"] = sim
    return headers


# --- aioquic -----------------------------------------------------------------


async def with_aioquic(args: argparse.Namespace, say: Callable[[dict[str, Any]], None]) -> None:
    from aioquic.asyncio import QuicConnectionProtocol, connect
    from aioquic.buffer import Buffer
    from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset

    control_stream, goaway_frame = 0x0, 0x7

    def farewells(stream: bytes) -> list[int]:
        """What the GOAWAY frames of a control stream say; aioquic itself reads over them."""
        buffer, found = Buffer(data=stream), []
        if buffer.eof() or buffer.pull_uint_var() != control_stream:
            return found
        while not buffer.eof():
            kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
            payload = Buffer(data=buffer.pull_bytes(length))
            if kind == goaway_frame:
                found.append(payload.pull_uint_var())
        return found

    class Client(QuicConnectionProtocol):
        def __init__(self, *of: Any, **more: Any) -> None:
            super().__init__(*of, **more)
            self.http = H3Connection(self._quic)
            self.of_the_door: dict[int, bytes] = {}
            self.running: dict[int, tuple[Told, asyncio.Event]] = {}
            self.closed: int | None = None
            self.gone = asyncio.Event()

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, StreamDataReceived) and event.stream_id % 4 == 3:
                self.of_the_door[event.stream_id] = self.of_the_door.get(event.stream_id, b"") + event.data
            if isinstance(event, ConnectionTerminated):
                self.closed = event.error_code
                self.gone.set()
                for _, changed in self.running.values():
                    changed.set()
            if isinstance(event, StreamReset) and event.stream_id in self.running:
                told, changed = self.running[event.stream_id]
                told.more["reset"] = event.error_code
                changed.set()
            for received in self.http.handle_event(event):
                if getattr(received, "stream_id", None) not in self.running:
                    continue
                told, changed = self.running[received.stream_id]
                if isinstance(received, HeadersReceived):
                    fields = {name.decode(): value.decode() for name, value in received.headers}
                    told.status = int(fields.pop(":status", told.status))
                    told.headers.update(fields)
                if isinstance(received, DataReceived):
                    told.took(received.data)
                if received.stream_ended:
                    told.ended = True
                changed.set()

        def ask(self, case: str) -> int:
            method, path, body, _, _ = CASES[case]
            stream = self._quic.get_next_available_stream_id()
            self.running[stream] = (Told(case), asyncio.Event())
            fields = [
                (b":method", method.encode()),
                (b":scheme", b"https"),
                (b":authority", f"{HOST}:{args.port}".encode()),
                (b":path", path.encode()),
            ]
            fields += [(name.encode(), value.encode()) for name, value in headers_of(case, args.key).items()]
            if body:
                fields.append((b"content-length", str(len(body)).encode()))
            self.http.send_headers(stream, fields, end_stream=not body)
            if body:
                self.http.send_data(stream, body, end_stream=True)
            self.transmit()
            return stream

        async def until(self, stream: int, reached: Callable[[Told], bool]) -> Told:
            told, changed = self.running[stream]
            while not reached(told) and "reset" not in told.more and self.closed is None:
                changed.clear()
                await asyncio.wait_for(changed.wait(), LIMIT_SECONDS)
            return told

        def leave(self, stream: int) -> None:
            self._quic.stop_stream(stream, 0x10C)
            self.transmit()

    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=HOST)
    settings.load_verify_locations(os.environ["SSL_CERT_FILE"])
    # A small window: a reader that does not read is soon in the way.
    settings.max_stream_data = 64 * 1024
    async with connect("127.0.0.1", args.port, configuration=settings, create_protocol=Client) as client:
        assert isinstance(client, Client)
        for case in args.case.split(","):
            stream = client.ask(case)
            if case == "leave-silence":
                await asyncio.sleep(0.5)
                told = client.running[stream][0]
                client.leave(stream)
            elif case == "leave-stream":
                told = await client.until(stream, lambda told: told.bytes > 2_000)
                client.leave(stream)
            elif case == "leave-stall":
                await client.until(stream, lambda told: told.bytes > 0)
                # Takes nothing from here on: the window is not opened again.
                client._quic._write_stream_limits = lambda *of, **more: None  # type: ignore[method-assign]
                client._quic._write_connection_limits = lambda *of, **more: None  # type: ignore[method-assign]
                await asyncio.sleep(1.5)
                told = client.running[stream][0]
                client.leave(stream)
            elif case == "farewell":
                await client.until(stream, lambda told: told.bytes > 0)
                say({"case": "begun"})
                told = await client.until(stream, lambda told: told.ended)
                await asyncio.wait_for(client.gone.wait(), LIMIT_SECONDS)
                said = [number for data in client.of_the_door.values() for number in farewells(data)]
                told.more |= {"stream": stream, "farewells": said, "closed": client.closed}
            else:
                told = await client.until(stream, lambda told: told.ended)
            settled = client.http.received_settings or {}
            told.more["field_section_max"] = settled.get(Setting.MAX_FIELD_SECTION_SIZE)
            say(told.line())
            await asyncio.to_thread(sys.stdin.readline)


# --- pycurl ------------------------------------------------------------------


def with_pycurl(args: argparse.Namespace, say: Callable[[dict[str, Any]], None]) -> None:
    import pycurl

    def prepared(case: str, told: Told) -> Any:
        method, path, body, _, _ = CASES[case]
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, f"https://{HOST}:{args.port}{path}")
        curl.setopt(pycurl.RESOLVE, [f"{HOST}:{args.port}:127.0.0.1"])
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_3ONLY)
        curl.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
        curl.setopt(pycurl.TIMEOUT, LIMIT_SECONDS)
        fields = [f"{name}: {value}" for name, value in headers_of(case, args.key).items()]
        curl.setopt(pycurl.HTTPHEADER, [*fields, "Expect:"])
        if method == "POST":
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, body)

        def header(line: bytes) -> None:
            name, colon, value = line.decode().strip().partition(":")
            if colon:
                told.headers[name.lower()] = value.strip()

        def take(data: bytes) -> int:
            told.took(data)
            return -1 if case == "leave-stream" and told.bytes > 2_000 else len(data)

        curl.setopt(pycurl.HEADERFUNCTION, header)
        curl.setopt(pycurl.WRITEFUNCTION, take)
        if case == "leave-silence":
            curl.setopt(pycurl.TIMEOUT_MS, 700)
        return curl

    def run(case: str, told: Told, curl: Any) -> None:
        try:
            curl.perform()
            told.ended = True
        except pycurl.error as error:
            told.more["error"] = error.args[0]
        told.status = curl.getinfo(pycurl.RESPONSE_CODE)
        told.more["version"] = curl.getinfo(pycurl.INFO_HTTP_VERSION)

    for case in args.case.split(","):
        told = Told(case)
        curl = prepared(case, told)
        run(case, told, curl)
        say(told.line())
        sys.stdin.readline()
        curl.close()


def spki(path: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    with open(path, "rb") as file:
        leaf = x509.load_pem_x509_certificates(file.read())[0]
    der = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Asks a users' door over HTTP/3.")
    parser.add_argument("--client", default="aioquic", choices=("aioquic", "pycurl"))
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--case", required=True)
    parser.add_argument("--cert")
    args = parser.parse_args()
    args.key = os.environ.get("WEFT_SDK_KEY", "")

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    if args.case == "spki":
        say({"case": "spki", "spki": spki(args.cert)})
        return 0
    try:
        if args.client == "aioquic":
            asyncio.run(with_aioquic(args, say))
        else:
            with_pycurl(args, say)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
