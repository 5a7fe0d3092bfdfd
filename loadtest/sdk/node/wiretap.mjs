// Hashes what an SDK sends and receives, without standing in its way.
//
// Node's own fetch reports each request on diagnostics channels: the bodies as
// they go out and come in, before any content decoding. The SDK and its fetch are
// untouched, and no body is kept.

import { createHash } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { performance } from 'node:perf_hooks';

const exchanges = [];
const byRequest = new WeakMap();

function note(channel, handle) {
  subscribe(channel, (message) => {
    const exchange = byRequest.get(message.request);
    if (exchange) handle(exchange, message);
  });
}

// Header names and values come as one flat list of buffers.
function headersOf(response) {
  const headers = {};
  for (let i = 0; i + 1 < response.headers.length; i += 2) {
    headers[response.headers[i].toString('latin1').toLowerCase()] = response.headers[i + 1].toString('latin1');
  }
  return headers;
}

subscribe('undici:request:create', ({ request }) => {
  const exchange = {
    method: request.method,
    path: request.path,
    sent: createHash('sha256'),
    sentBytes: 0,
    received: createHash('sha256'),
    receivedBytes: 0,
    complete: false,
    status: null,
    headers: {},
    started: performance.now(),
    firstByteMs: null,
  };
  byRequest.set(request, exchange);
  exchanges.push(exchange);
});

note('undici:request:bodyChunkSent', (exchange, { chunk }) => {
  exchange.sent.update(chunk);
  exchange.sentBytes += Buffer.byteLength(chunk);
});

note('undici:request:headers', (exchange, { response }) => {
  exchange.status = response.statusCode;
  exchange.headers = headersOf(response);
});

note('undici:request:bodyChunkReceived', (exchange, { chunk }) => {
  exchange.firstByteMs ??= performance.now() - exchange.started;
  exchange.received.update(chunk);
  exchange.receivedBytes += chunk.length;
});

note('undici:request:trailers', (exchange) => {
  exchange.complete = true;
});

/** Forgets what was seen so far: the next case begins. */
export function reset() {
  exchanges.length = 0;
}

/** The last exchange (a retry is its own), and how many there were. */
export function report() {
  const last = exchanges.at(-1);
  if (!last) return { attempts: 0 };
  return {
    method: last.method,
    path: last.path,
    status: last.status,
    weft_request_id: last.headers['weft-request-id'] ?? null,
    content_type: last.headers['content-type'] ?? null,
    content_encoding: last.headers['content-encoding'] ?? null,
    request_sha256: last.sent.copy().digest('hex'),
    request_bytes: last.sentBytes,
    response_sha256: last.received.copy().digest('hex'),
    response_bytes: last.receivedBytes,
    // False where the SDK hung up before the body's end.
    response_complete: last.complete,
    first_byte_ms: last.firstByteMs,
    attempts: exchanges.length,
  };
}
