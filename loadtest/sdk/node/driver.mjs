// Runs cases of an official Node SDK against a base URL, one JSON line each.
//
// The SDK is used as its users use it: only base URL, key and CA
// (`NODE_EXTRA_CA_CERTS` in the environment) are set; see `wiretap.mjs` for how
// the bytes are witnessed. The same arguments and the same output as driver.py.
//
// SDK packages are looked up in `WEFT_SDK_NODE_MODULES`, or as Node itself would.
// Exit codes: 0 all cases answered, 1 a case failed, 2 the command line is wrong.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { ANTHROPIC, OPENAI } from './cases.mjs';
import { report, reset } from './wiretap.mjs';

const DIALECTS = ['openai', 'azure', 'azure-v1', 'deepseek', 'anthropic'];

function usage(problem) {
  process.stderr.write(`driver.mjs: ${problem}\n`);
  process.exit(2);
}

function parse() {
  const { values } = parseArgs({
    options: {
      dialect: { type: 'string' },
      mode: { type: 'string', default: 'async' },
      'base-url': { type: 'string' },
      key: { type: 'string' },
      model: { type: 'string' },
      case: { type: 'string' },
      prompt: { type: 'string', default: 'Say what a weft is, in one sentence.' },
      'max-tokens': { type: 'string', default: '64' },
      'pad-bytes': { type: 'string', default: '0' },
      'abort-after': { type: 'string', default: '3' },
      'api-version': { type: 'string', default: '2024-10-21' },
      header: { type: 'string', multiple: true, default: [] },
      'max-retries': { type: 'string' },
      'timeout-seconds': { type: 'string' },
    },
  });
  values.key ??= process.env.WEFT_SDK_KEY;
  for (const name of ['dialect', 'base-url', 'model', 'case', 'key']) {
    if (!values[name]) usage(`--${name} is missing`);
  }
  if (!DIALECTS.includes(values.dialect)) usage(`no dialect ${values.dialect}`);
  if (values.mode !== 'async') usage('Node has only --mode async');
  return values;
}

/** Imports an SDK, and tells its version. */
async function load(name) {
  const home = process.env.WEFT_SDK_NODE_MODULES ?? path.join(import.meta.dirname, 'node_modules');
  const folder = path.join(home, name);
  if (!existsSync(folder)) usage(`${folder} is missing: run deploy/dev/need test`);
  const entry = createRequire(path.join(folder, 'package.json')).resolve(name);
  // The resolver answers with the CommonJS build; its twin for `import` stands beside it.
  const module = entry.replace(/\.js$/, '.mjs');
  const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  return { sdk: await import(pathToFileURL(existsSync(module) ? module : entry)), version };
}

async function build(args) {
  const settings = { apiKey: args.key };
  if (args['max-retries'] !== undefined) settings.maxRetries = Number(args['max-retries']);
  if (args['timeout-seconds'] !== undefined) settings.timeout = Number(args['timeout-seconds']) * 1000;
  if (args.dialect === 'anthropic') {
    const { sdk, version } = await load('@anthropic-ai/sdk');
    const client = new sdk.default({ baseURL: args['base-url'], ...settings });
    return { client, name: `anthropic-node/${version}` };
  }
  const { sdk, version } = await load('openai');
  const client =
    args.dialect === 'azure'
      ? new sdk.AzureOpenAI({
          endpoint: args['base-url'],
          apiVersion: args['api-version'],
          ...settings,
        })
      : new sdk.OpenAI({ baseURL: args['base-url'], ...settings });
  return { client, name: `openai-node/${version}` };
}

/** What a test needs to know of an SDK's error. */
function failure(error) {
  return {
    kind: error.constructor.name,
    message: String(error.message),
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    request_id: error.requestID ?? error.request_id ?? null,
    cause: error.cause ? String(error.cause) : null,
    body: error.error ?? null,
    trace: error.status === undefined ? String(error.stack) : null,
  };
}

async function main() {
  const args = parse();
  const table = args.dialect === 'anthropic' ? ANTHROPIC : OPENAI;
  const cases = args.case.split(',');
  for (const name of cases) {
    if (!Object.hasOwn(table, name)) {
      usage(`case ${name} is not one of ${args.dialect}'s: ${Object.keys(table).join(', ')}`);
    }
  }
  const { client, name: sdk } = await build(args);
  const headers = Object.fromEntries(
    args.header.map((header) => {
      const colon = header.indexOf(':');
      return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()];
    }),
  );
  const ask = {
    model: args.model,
    prompt: args.prompt + 'x'.repeat(Number(args['pad-bytes'])),
    maxTokens: Number(args['max-tokens']),
    abortAfter: Number(args['abort-after']),
    headers,
  };
  let failed = 0;
  for (const name of cases) {
    reset();
    const line = { sdk, dialect: args.dialect, mode: args.mode, case: name };
    try {
      Object.assign(line, { ok: true }, await table[name](client, ask));
    } catch (error) {
      failed = 1;
      Object.assign(line, { ok: false, error: failure(error) });
    }
    process.stdout.write(`${JSON.stringify({ ...line, ...report() })}\n`);
  }
  process.exitCode = failed;
}

await main();
