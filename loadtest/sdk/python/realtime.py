"""Talks to a realtime endpoint with clients that its users use, one JSON line each.

`openai` is the official SDK's realtime over its own WebSocket library; `browser` is that library
alone, with the key among the sub-protocols, as pages in a browser send it.

Both are the asyncio clients. The threaded ones read and write one TLS session from two threads,
which OpenSSL forbids and Python before 3.13 does not prevent: there, one run in ten loses a close
frame or never sees its handshake answered, whatever the server does.

    realtime.py --base-url https://localhost:8443/v1 --model gpt-realtime

The key comes from `WEFT_SDK_KEY`, the hub's CA from `SSL_CERT_FILE`. Exit codes: 0 both were
answered, 1 one failed, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import traceback
from typing import Any, Awaitable, Callable

sys.dont_write_bytecode = True

LONG = "a word, " * 20_000


async def openai_sdk(args: argparse.Namespace) -> dict[str, Any]:
    import openai

    client = openai.AsyncOpenAI(api_key=args.key, base_url=args.base_url)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": LONG}]}
    async with client.realtime.connect(model=args.model) as connection:
        created = await connection.recv()
        await connection.send({"type": "conversation.item.create", "event_id": "mine", "item": item})
        # An event of the client's comes back: the SDK knows none such from a server.
        back = json.loads(await connection.recv_bytes())
        text = back["item"]["content"][0]["text"]
        asked = {"type": "sim.close", "code": 4001, "reason": "as asked"}
        await connection.send(asked)
        try:
            await connection.recv()
            closed = None
        except Exception as error:
            closed = getattr(error, "rcvd", None)
    return {
        "sdk": f"openai-python/{openai.__version__}",
        "created": created.type,
        "model": created.session.model,
        "same": text == LONG,
        "closed": [closed.code, closed.reason] if closed else None,
    }


async def browser(args: argparse.Namespace) -> dict[str, Any]:
    import websockets
    from websockets.asyncio.client import connect

    url = args.base_url.replace("https://", "wss://") + f"/realtime?model={args.model}&sim-deflate=on"
    protocols = ["realtime", f"openai-insecure-api-key.{args.key}", "openai-beta.realtime-v1"]
    blob = hashlib.sha512(b"weft").digest() * 90_000
    async with connect(url, subprotocols=protocols, max_size=None) as socket:
        created = json.loads(await socket.recv())
        await socket.send(LONG)
        same = await socket.recv() == LONG
        await socket.send([LONG[:70_000], "in three ", "pieces"])
        pieces = await socket.recv() == LONG[:70_000] + "in three pieces"
        await socket.send(blob)
        binary = await socket.recv() == blob
        await asyncio.wait_for(await socket.ping(), 30)
        chosen, extensions = socket.subprotocol, [str(one.name) for one in socket.protocol.extensions]
        await socket.close(1000, "done")
        closed = [socket.protocol.close_code, socket.protocol.close_reason]
    return {
        "sdk": f"websockets/{websockets.__version__}",
        "created": created["type"],
        "model": created["session"]["model"],
        "same": same and pieces and binary,
        "protocol": chosen,
        "extensions": extensions,
        "closed": closed,
    }


CASES: dict[str, Callable[[argparse.Namespace], Awaitable[dict[str, Any]]]] = {"openai": openai_sdk, "browser": browser}


def main() -> int:
    parser = argparse.ArgumentParser(description="Talks to a realtime endpoint with its users' clients.")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--key", default=os.environ.get("WEFT_SDK_KEY"))
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    if not args.key:
        parser.error("no key: set WEFT_SDK_KEY or --key")
    failed = 0
    for name, case in CASES.items():
        try:
            line = {"case": name, "ok": True} | asyncio.run(case(args))
        except Exception as error:  # every failure of a client is an answer of this driver
            failed = 1
            line = {"case": name, "ok": False, "error": repr(error), "trace": traceback.format_exc(limit=-3)}
        print(json.dumps(line), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
