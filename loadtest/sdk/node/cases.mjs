// What each case asks of an official SDK, and what its answer comes to.

import { createHash } from 'node:crypto';
import { deflateSync, crc32 } from 'node:zlib';

/** What the SDK made of an answer; the same fields as the Python driver's. */
function outcome(fields = {}) {
  return {
    text: '',
    finish: null,
    usage: null,
    events: 0,
    artefact_sha256: null,
    artefact_bytes: null,
    detail: {},
    ...fields,
  };
}

function artefact(out, data) {
  out.artefact_sha256 = createHash('sha256').update(data).digest('hex');
  out.artefact_bytes = data.length;
  return out;
}

function extra(ask) {
  return Object.keys(ask.headers).length > 0 ? { headers: ask.headers } : {};
}

/** A PNG of 8 by 8 opaque pixels. */
function picture() {
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const head = Buffer.from([0, 0, 0, 8, 0, 0, 0, 8, 8, 6, 0, 0, 0]);
  const row = (y) => [0, ...Array.from({ length: 8 }, () => [32 * y, 128, 255 - 32 * y, 255]).flat()];
  const rows = Buffer.from(Array.from({ length: 8 }, (_, y) => row(y)).flat());
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A quarter of a second of a 16 kHz square wave, as WAV. */
function sound() {
  const frames = 4000;
  const out = Buffer.alloc(44 + frames * 2);
  out.write('RIFF', 0, 'latin1');
  out.writeUInt32LE(36 + frames * 2, 4);
  out.write('WAVEfmt ', 8, 'latin1');
  out.writeUInt32LE(16, 16);
  out.writeUInt16LE(1, 20);
  out.writeUInt16LE(1, 22);
  out.writeUInt32LE(16_000, 24);
  out.writeUInt32LE(32_000, 28);
  out.writeUInt16LE(2, 32);
  out.writeUInt16LE(16, 34);
  out.write('data', 36, 'latin1');
  out.writeUInt32LE(frames * 2, 40);
  for (let n = 0; n < frames; n += 1) {
    out.writeInt16LE(Math.floor(n / 20) % 2 ? 8000 : -8000, 44 + n * 2);
  }
  return out;
}

async function chat(client, ask) {
  const answer = await client.chat.completions.create(
    {
      model: ask.model,
      messages: [{ role: 'user', content: ask.prompt }],
      max_tokens: ask.maxTokens,
    },
    extra(ask),
  );
  const [choice] = answer.choices;
  return outcome({
    text: choice.message.content ?? '',
    finish: choice.finish_reason,
    usage: answer.usage ?? null,
  });
}

async function streamChat(client, ask, abortAfter) {
  const out = outcome();
  const stream = await client.chat.completions.create(
    {
      model: ask.model,
      messages: [{ role: 'user', content: ask.prompt }],
      max_tokens: ask.maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    },
    extra(ask),
  );
  for await (const chunk of stream) {
    out.events += 1;
    for (const choice of chunk.choices) {
      out.text += choice.delta.content ?? '';
      out.finish = choice.finish_reason ?? out.finish;
    }
    out.usage = chunk.usage ?? out.usage;
    if (out.events === abortAfter) break;
  }
  return out;
}

async function responses(client, ask) {
  const answer = await client.responses.create(
    { model: ask.model, input: ask.prompt, max_output_tokens: ask.maxTokens },
    extra(ask),
  );
  return outcome({
    text: answer.output_text,
    finish: answer.status,
    usage: answer.usage ?? null,
    detail: { id: answer.id },
  });
}

async function responsesStream(client, ask) {
  const out = outcome();
  const stream = await client.responses.create(
    { model: ask.model, input: ask.prompt, max_output_tokens: ask.maxTokens, stream: true },
    extra(ask),
  );
  for await (const event of stream) {
    out.events += 1;
    if (event.type === 'response.output_text.delta') out.text += event.delta;
    if (['response.completed', 'response.incomplete', 'response.failed'].includes(event.type)) {
      out.finish = event.response.status;
      out.usage = event.response.usage ?? null;
      out.detail.id = event.response.id;
    }
  }
  return out;
}

async function embeddings(client, ask) {
  const answer = await client.embeddings.create({ model: ask.model, input: [ask.prompt] }, extra(ask));
  const vector = Float32Array.from(answer.data[0].embedding);
  const out = outcome({ usage: answer.usage, detail: { dimensions: vector.length } });
  return artefact(out, Buffer.from(vector.buffer));
}

async function models(client, ask) {
  const page = await client.models.list({}, extra(ask));
  return outcome({ detail: { models: page.data.map((model) => model.id).sort() } });
}

// OpenAI's list takes no parameters before its options.
async function openaiModels(client, ask) {
  const page = await client.models.list(extra(ask));
  return outcome({ detail: { models: page.data.map((model) => model.id).sort() } });
}

function pictured(answer) {
  const out = outcome({ usage: answer.usage ?? null });
  const [first] = answer.data;
  if (first.b64_json) return artefact(out, Buffer.from(first.b64_json, 'base64'));
  out.detail.url = first.url;
  return out;
}

async function image(client, ask) {
  return pictured(await client.images.generate({ model: ask.model, prompt: ask.prompt }, extra(ask)));
}

async function imageEdit(client, ask) {
  const file = new File([picture()], 'picture.png', { type: 'image/png' });
  return pictured(
    await client.images.edit({ model: ask.model, prompt: ask.prompt, image: file }, extra(ask)),
  );
}

async function transcription(client, ask) {
  const file = new File([sound()], 'sound.wav', { type: 'audio/wav' });
  const answer = await client.audio.transcriptions.create({ model: ask.model, file }, extra(ask));
  return outcome({ text: answer.text, usage: answer.usage ?? null });
}

async function speech(client, ask) {
  const answer = await client.audio.speech.create(
    { model: ask.model, voice: 'alloy', input: ask.prompt },
    extra(ask),
  );
  return artefact(outcome(), Buffer.from(await answer.arrayBuffer()));
}

const say = (ask) => ({ model: ask.model, messages: [{ role: 'user', content: ask.prompt }] });

async function messages(client, ask) {
  const answer = await client.messages.create({ max_tokens: ask.maxTokens, ...say(ask) }, extra(ask));
  const text = answer.content.filter((block) => block.type === 'text').map((block) => block.text);
  return outcome({ text: text.join(''), finish: answer.stop_reason, usage: answer.usage });
}

// Of each usage field, the last one in a stream that carries a figure counts.
function merge(usage, update) {
  const given = Object.entries(update ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return { ...usage, ...Object.fromEntries(given) };
}

async function streamMessages(client, ask, abortAfter) {
  const out = outcome({ usage: {} });
  const stream = await client.messages.create(
    { max_tokens: ask.maxTokens, stream: true, ...say(ask) },
    extra(ask),
  );
  for await (const event of stream) {
    out.events += 1;
    if (event.type === 'message_start') {
      out.usage = merge(out.usage, event.message.usage);
    } else if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
      out.text += event.delta.text;
    } else if (event.type === 'message_delta') {
      out.finish = event.delta.stop_reason ?? out.finish;
      out.usage = merge(out.usage, event.usage);
    }
    if (out.events === abortAfter) break;
  }
  return out;
}

async function countTokens(client, ask) {
  const answer = await client.messages.countTokens(say(ask), extra(ask));
  return outcome({ usage: { input_tokens: answer.input_tokens } });
}

export const OPENAI = {
  chat,
  'chat-stream': (client, ask) => streamChat(client, ask, null),
  responses,
  'responses-stream': responsesStream,
  embeddings,
  models: openaiModels,
  image,
  'image-edit': imageEdit,
  transcription,
  speech,
  'abort-stream': (client, ask) => streamChat(client, ask, ask.abortAfter),
};

export const ANTHROPIC = {
  messages,
  'messages-stream': (client, ask) => streamMessages(client, ask, null),
  'count-tokens': countTokens,
  models,
  'abort-stream': (client, ask) => streamMessages(client, ask, ask.abortAfter),
};
