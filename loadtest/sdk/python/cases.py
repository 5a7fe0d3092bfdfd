"""What each case asks of an official SDK, and what its answer comes to.

`settled` and `each` take what a synchronous or an asynchronous client gives, so
the same text serves both.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
import struct
import wave
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Ask:
    """The parameters of one case."""

    model: str
    prompt: str
    max_tokens: int
    abort_after: int
    headers: dict[str, str]

    def extra(self) -> dict[str, Any]:
        return {"extra_headers": self.headers} if self.headers else {}


@dataclass
class Outcome:
    """What the SDK made of the answer."""

    text: str = ""
    finish: str | None = None
    usage: dict[str, Any] | None = None
    events: int = 0
    # Set where the answer is not text: an image, sound, a vector, a list.
    artefact_sha256: str | None = None
    artefact_bytes: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def artefact(self, data: bytes) -> None:
        self.artefact_sha256 = hashlib.sha256(data).hexdigest()
        self.artefact_bytes = len(data)


def plain(value: Any) -> Any:
    """The SDK's model as plain data, fields that the answer did not carry left out."""
    if value is None:
        return None
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    return value


async def settled(value: Any) -> Any:
    """The value itself, awaited first where the client is asynchronous."""
    return await value if inspect.isawaitable(value) else value


async def each(stream: Any) -> Any:
    """The events of a synchronous or an asynchronous stream."""
    if hasattr(stream, "__aiter__"):
        async for event in stream:
            yield event
    else:
        for event in stream:
            yield event


def picture() -> bytes:
    """A PNG of 8 by 8 opaque pixels."""
    rows = b"".join(b"\x00" + bytes([32 * y, 128, 255 - 32 * y, 255]) * 8 for y in range(8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sound() -> bytes:
    """A quarter of a second of a 16 kHz square wave, as WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(b"".join(struct.pack("<h", 8000 if (n // 20) % 2 else -8000) for n in range(4000)))
    return out.getvalue()


async def chat(client: Any, ask: Ask) -> Outcome:
    answer = await settled(
        client.chat.completions.create(
            model=ask.model,
            messages=[{"role": "user", "content": ask.prompt}],
            max_tokens=ask.max_tokens,
            **ask.extra(),
        )
    )
    choice = answer.choices[0]
    return Outcome(choice.message.content or "", choice.finish_reason, plain(answer.usage), 0)


async def chat_stream(client: Any, ask: Ask) -> Outcome:
    return await _chat_stream(client, ask, None)


async def _chat_stream(client: Any, ask: Ask, abort_after: int | None) -> Outcome:
    out = Outcome()
    stream = await settled(
        client.chat.completions.create(
            model=ask.model,
            messages=[{"role": "user", "content": ask.prompt}],
            max_tokens=ask.max_tokens,
            stream=True,
            stream_options={"include_usage": True},
            **ask.extra(),
        )
    )
    async for chunk in each(stream):
        out.events += 1
        for choice in chunk.choices:
            out.text += choice.delta.content or ""
            out.finish = choice.finish_reason or out.finish
        out.usage = plain(chunk.usage) or out.usage
        if out.events == abort_after:
            break
    await settled(stream.close())
    return out


async def responses(client: Any, ask: Ask) -> Outcome:
    answer = await settled(
        client.responses.create(
            model=ask.model, input=ask.prompt, max_output_tokens=ask.max_tokens, **ask.extra()
        )
    )
    return Outcome(answer.output_text, answer.status, plain(answer.usage), 0, detail={"id": answer.id})


async def responses_stream(client: Any, ask: Ask) -> Outcome:
    out = Outcome()
    stream = await settled(
        client.responses.create(
            model=ask.model,
            input=ask.prompt,
            max_output_tokens=ask.max_tokens,
            stream=True,
            **ask.extra(),
        )
    )
    async for event in each(stream):
        out.events += 1
        if event.type == "response.output_text.delta":
            out.text += event.delta
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            out.finish = event.response.status
            out.usage = plain(event.response.usage)
            out.detail["id"] = event.response.id
    return out


async def embeddings(client: Any, ask: Ask) -> Outcome:
    answer = await settled(client.embeddings.create(model=ask.model, input=[ask.prompt], **ask.extra()))
    vector = answer.data[0].embedding
    out = Outcome("", None, plain(answer.usage), 0, detail={"dimensions": len(vector)})
    out.artefact(struct.pack(f"<{len(vector)}f", *vector))
    return out


async def models(client: Any, ask: Ask) -> Outcome:
    page = await settled(client.models.list(**ask.extra()))
    return Outcome(detail={"models": sorted([model.id for model in page.data])})


async def image(client: Any, ask: Ask) -> Outcome:
    answer = await settled(client.images.generate(model=ask.model, prompt=ask.prompt, **ask.extra()))
    return _image(answer)


async def image_edit(client: Any, ask: Ask) -> Outcome:
    answer = await settled(
        client.images.edit(
            model=ask.model,
            prompt=ask.prompt,
            image=("picture.png", picture(), "image/png"),
            **ask.extra(),
        )
    )
    return _image(answer)


def _image(answer: Any) -> Outcome:
    out = Outcome(usage=plain(answer.usage))
    first = answer.data[0]
    if first.b64_json is not None:
        out.artefact(base64.b64decode(first.b64_json))
    else:
        out.detail["url"] = first.url
    return out


async def transcription(client: Any, ask: Ask) -> Outcome:
    answer = await settled(
        client.audio.transcriptions.create(
            model=ask.model, file=("sound.wav", sound(), "audio/wav"), **ask.extra()
        )
    )
    return Outcome(answer.text, None, plain(getattr(answer, "usage", None)), 0)


async def speech(client: Any, ask: Ask) -> Outcome:
    answer = await settled(
        client.audio.speech.create(model=ask.model, voice="alloy", input=ask.prompt, **ask.extra())
    )
    out = Outcome()
    out.artefact(await settled(answer.read()))
    return out


def _say(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "messages": [{"role": "user", "content": ask.prompt}]}


async def messages(client: Any, ask: Ask) -> Outcome:
    answer = await settled(client.messages.create(max_tokens=ask.max_tokens, **_say(ask), **ask.extra()))
    text = "".join(block.text for block in answer.content if block.type == "text")
    return Outcome(text, answer.stop_reason, plain(answer.usage), 0)


async def messages_stream(client: Any, ask: Ask) -> Outcome:
    return await _messages_stream(client, ask, None)


async def _messages_stream(client: Any, ask: Ask, abort_after: int | None) -> Outcome:
    out = Outcome(usage={})
    stream = await settled(
        client.messages.create(max_tokens=ask.max_tokens, stream=True, **_say(ask), **ask.extra())
    )
    async for event in each(stream):
        out.events += 1
        if event.type == "message_start":
            out.usage |= _present(event.message.usage)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            out.text += event.delta.text
        elif event.type == "message_delta":
            out.finish = event.delta.stop_reason or out.finish
            out.usage |= _present(event.usage)
        if out.events == abort_after:
            break
    await settled(stream.close())
    return out


def _present(usage: Any) -> dict[str, Any]:
    """The fields that carry a figure: of each, the last one in a stream counts."""
    return {name: value for name, value in (plain(usage) or {}).items() if value is not None}


async def count_tokens(client: Any, ask: Ask) -> Outcome:
    answer = await settled(client.messages.count_tokens(**_say(ask), **ask.extra()))
    return Outcome(usage={"input_tokens": answer.input_tokens})


async def abort_chat(client: Any, ask: Ask) -> Outcome:
    return await _chat_stream(client, ask, ask.abort_after)


async def abort_messages(client: Any, ask: Ask) -> Outcome:
    return await _messages_stream(client, ask, ask.abort_after)


OPENAI = {
    "chat": chat,
    "chat-stream": chat_stream,
    "responses": responses,
    "responses-stream": responses_stream,
    "embeddings": embeddings,
    "models": models,
    "image": image,
    "image-edit": image_edit,
    "transcription": transcription,
    "speech": speech,
    "abort-stream": abort_chat,
}

ANTHROPIC = {
    "messages": messages,
    "messages-stream": messages_stream,
    "count-tokens": count_tokens,
    "models": models,
    "abort-stream": abort_messages,
}
