import { basename } from 'node:path';
import { withClient } from '../api/chat.ts';
import { listen } from '../doors/node-server.ts';
import { openaiHandler } from '../doors/openai-http.ts';
import type { LoadOptions } from '../engine/types.ts';
import { COMMON_HELP, type Command, loadOptionsOf, parseCommand, text, wholeNumberOf } from './args.ts';
import { log, print, withModel } from './io.ts';

const OPTIONS = {
  port: text,
  host: text,
  name: text,
  key: text,
  cors: { type: 'string', multiple: true },
  batch: text,
  lora: text,
  'max-tokens': text,
  'body-limit': text,
  'queue-limit': text,
} as const;

/** `shishulm serve`: OpenAI's HTTP API on this machine. */
export const command: Command = {
  help: `shishulm serve MODEL [options]
  OpenAI's HTTP API on this machine: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /health.
  Requests run at once up to --batch, the others wait. Ctrl-C ends it.

  --port N         (8080; 0 takes a free one)
  --host ADDRESS   where to listen (127.0.0.1: programs on this machine alone)
  --name NAME      of the model in requests (as MODEL ends); any other name is answered too
  --key KEY        asked for as "Authorization: Bearer KEY" (also SHISHULM_API_KEY)
  --cors ORIGIN    pages of this origin may ask, as http://localhost:5173; * is any; several are allowed
  --batch N        replies that run at once (4)
  --max-tokens N   most tokens of a reply (what the context holds)
  --body-limit N   bytes of a request (10000000)
  --queue-limit N  requests that run or wait (64); further ones get 429
  --lora ADAPTER   serve the model with a LoRA adapter of peft beside it, named "lora"
${COMMON_HELP}: a line for each request`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, OPTIONS);
    const whole = (name: keyof typeof OPTIONS & keyof typeof values, from: number, to: number) =>
      wholeNumberOf(name, values[name] as string | undefined, from, to);
    const port = whole('port', 0, 65535) ?? 8080;
    const batch = whole('batch', 1, 64) ?? 4;
    const maxTokens = whole('max-tokens', 1, 1e6);
    const bodyLimit = whole('body-limit', 1, 1e9) ?? 10e6;
    const queueLimit = whole('queue-limit', 1, 1e6) ?? 64;
    const host = values.host ?? '127.0.0.1';
    const name = values.name ?? basename(folder).replace(/\.gguf$/i, '');
    const load: LoadOptions & { adapter?: string | undefined; lora: string | undefined } = {
      ...loadOptionsOf(values),
      batch,
      adapter: values.adapter,
      lora: values.lora,
      signal,
    };
    await withModel(folder, load, async (model) => {
      const server = await listen({
        handle: openaiHandler({
          models: withClient(model),
          name,
          ...(maxTokens !== undefined && { maxTokens }),
        }),
        port,
        host,
        key: values.key ?? process.env.SHISHULM_API_KEY,
        origins: values.cors ?? [],
        bodyLimit,
        queueLimit,
        onRequest: (request) => {
          const { method, path, status, ms } = request;
          if (values.json) print(JSON.stringify(request));
          else log(`${method} ${path} ${status} ${ms.toFixed(0)} ms`);
        },
      });
      const at = host.includes(':') ? `[${host}]` : host;
      log(`${name} is served at http://${at}:${server.port}/v1`);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await server.close();
    });
  },
};
