"""Answers one question on each line: what genai-prices reads in an answer."""

import json
import sys

from genai_prices import extract_usage


def values(body):
    """The JSON values of an answer that may hold a usage, the last of them first."""
    if body.lstrip()[:1] == "{":
        yield json.loads(body)
        return
    events = []
    for line in body.splitlines():
        data = line[5:].strip() if line.startswith("data:") else ""
        if data.startswith("{"):
            events.append(json.loads(data))
    started = next((e["message"] for e in events if e.get("type") == "message_start"), None)
    for event in reversed(events):
        if started is not None and event.get("type") == "message_delta":
            usage = dict(started["usage"])
            usage.update({k: v for k, v in event["usage"].items() if v is not None})
            yield dict(started, usage=usage)
        elif isinstance(event.get("response"), dict) and event["response"].get("usage"):
            yield event["response"]
        elif event.get("usage"):
            yield event


for line in sys.stdin.readlines():
    question = json.loads(line)
    answer = {"line": question["line"], "input": None, "output": None, "error": None}
    try:
        value = next(values(question["body"]))
        usage = extract_usage(
            value, provider_id=question["provider"], api_flavor=question["flavor"]
        ).usage
        answer["input"] = usage.input_tokens
        answer["output"] = usage.output_tokens
    except Exception as error:  # Whatever it cannot read is its answer.
        answer["error"] = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps(answer))
