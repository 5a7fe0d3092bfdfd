"""Runs cases of an official Python SDK against a base URL, one JSON line each.

The SDK is used as its users use it: only base URL, key and CA (`SSL_CERT_FILE`
in the environment) are set; see `wiretap.py` for how the bytes are witnessed.

    driver.py --dialect openai --base-url https://localhost:8443/v1 \\
        --model gpt-4.1 --case chat,chat-stream

The key comes from `WEFT_SDK_KEY`, or from `--key` where it is a throwaway.
Exit codes: 0 all cases answered, 1 a case failed, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import traceback
from typing import Any

# The checkout is no place for compiled files: said before its own modules are imported.
sys.dont_write_bytecode = True

import cases  # noqa: E402
from wiretap import Wiretap  # noqa: E402

DIALECTS = ("openai", "azure", "azure-v1", "deepseek", "anthropic")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs an official SDK, unchanged, against a base URL.")
    parser.add_argument("--dialect", required=True, choices=DIALECTS)
    parser.add_argument("--mode", default="sync", choices=("sync", "async"))
    parser.add_argument("--base-url", required=True, help="what the SDK's own setting takes (azure: the endpoint)")
    parser.add_argument("--key", default=os.environ.get("WEFT_SDK_KEY"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--case", required=True, help="one case, or several with commas between")
    parser.add_argument("--prompt", default="Say what a weft is, in one sentence.")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--pad-bytes", type=int, default=0, help="lengthens the prompt by this many bytes")
    parser.add_argument("--abort-after", type=int, default=3, metavar="EVENTS", help="for abort-stream")
    parser.add_argument("--api-version", default="2024-10-21", help="for azure")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="sent with each case")
    parser.add_argument("--max-retries", type=int, help="the SDK's own default where absent")
    parser.add_argument("--timeout-seconds", type=float, help="the SDK's own default where absent")
    parsed = parser.parse_args()
    if not parsed.key:
        parser.error("no key: set WEFT_SDK_KEY or --key")
    table = cases.ANTHROPIC if parsed.dialect == "anthropic" else cases.OPENAI
    for case in parsed.case.split(","):
        if case not in table:
            parser.error(f"case {case!r} is not one of {parsed.dialect}'s: {', '.join(table)}")
    return parsed


def build(args: argparse.Namespace, tap: Wiretap) -> tuple[Any, str]:
    """The client, and the SDK's name and version."""
    settings: dict[str, Any] = {"api_key": args.key}
    if args.max_retries is not None:
        settings["max_retries"] = args.max_retries
    if args.timeout_seconds is not None:
        settings["timeout"] = args.timeout_seconds
    sync = args.mode == "sync"
    if args.dialect == "anthropic":
        import anthropic as sdk

        kind = sdk.Anthropic if sync else sdk.AsyncAnthropic
        settings["base_url"] = args.base_url
    else:
        import openai as sdk

        if args.dialect == "azure":
            kind = sdk.AzureOpenAI if sync else sdk.AsyncAzureOpenAI
            settings["azure_endpoint"] = args.base_url
            settings["api_version"] = args.api_version
        else:
            kind = sdk.OpenAI if sync else sdk.AsyncOpenAI
            settings["base_url"] = args.base_url
    if sync:
        http = sdk.DefaultHttpxClient(event_hooks=tap.hooks())
    else:
        http = sdk.DefaultAsyncHttpxClient(event_hooks=tap.async_hooks())
    return kind(http_client=http, **settings), f"{sdk.__name__}-python/{sdk.__version__}"


def failure(error: BaseException) -> dict[str, Any]:
    """What a test needs to know of an SDK's error."""
    body = getattr(error, "body", None)
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "request_id": getattr(error, "request_id", None),
        "cause": repr(error.__cause__) if error.__cause__ else None,
        "body": body if isinstance(body, (dict, list, str)) else None,
        "trace": traceback.format_exc(limit=-3) if not hasattr(error, "body") else None,
    }


async def run(args: argparse.Namespace) -> int:
    tap = Wiretap()
    client, sdk = build(args, tap)
    headers = dict((name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in args.header))
    prompt = args.prompt + "x" * args.pad_bytes
    ask = cases.Ask(args.model, prompt, args.max_tokens, args.abort_after, headers)
    table = cases.ANTHROPIC if args.dialect == "anthropic" else cases.OPENAI
    failed = 0
    for name in args.case.split(","):
        tap.exchanges.clear()
        line: dict[str, Any] = {"sdk": sdk, "dialect": args.dialect, "mode": args.mode, "case": name}
        try:
            outcome = await table[name](client, ask)
            line |= {"ok": True} | vars(outcome)
        except Exception as error:  # every failure of an SDK is an answer of this driver
            failed = 1
            line |= {"ok": False, "error": failure(error)}
        last = tap.exchanges[-1].report() if tap.exchanges else {}
        line |= last | {"attempts": len(tap.exchanges)}
        print(json.dumps(line), flush=True)
    await cases.settled(client.close())
    return failed


def main() -> int:
    return asyncio.run(run(arguments()))


if __name__ == "__main__":
    sys.exit(main())
