import { collect } from '../engine/collect.ts';
import { checkOptions } from '../engine/options.ts';
import type { GenerateChunk, GenerateOptions, Message, ModelInfo } from '../engine/types.ts';
import {
  COMMON_HELP,
  type Command,
  flag,
  idsOf,
  loadOptionsOf,
  numberOf,
  parseCommand,
  text,
  usageError,
} from './args.ts';
import { print, printJson, readText, withModel } from './io.ts';

const NUMBERS = {
  'max-tokens': 'maxTokens',
  temperature: 'temperature',
  'top-k': 'topK',
  'top-p': 'topP',
  'min-p': 'minP',
  'repetition-penalty': 'repetitionPenalty',
  'frequency-penalty': 'frequencyPenalty',
  'presence-penalty': 'presencePenalty',
  seed: 'seed',
  'top-logprobs': 'topLogprobs',
  'reasoning-budget': 'reasoningBudget',
} as const satisfies Record<string, keyof GenerateOptions>;

const texts = { type: 'string', multiple: true } as const;
const OPTIONS = {
  prompt: text,
  messages: text,
  ids: flag,
  stop: texts,
  'stop-ids': text,
  'logit-bias': texts,
  logprobs: flag,
  'ignore-eos': flag,
  'max-tokens': text,
  temperature: text,
  'top-k': text,
  'top-p': text,
  'min-p': text,
  'repetition-penalty': text,
  'frequency-penalty': text,
  'presence-penalty': text,
  seed: text,
  'top-logprobs': text,
  'template-variable': texts,
  think: flag,
  'no-think': flag,
  'reasoning-budget': text,
  lora: text,
} as const;

type Values = ReturnType<typeof parseCommand<typeof OPTIONS>>['values'];

/** Options of the reply, checked before a model is loaded; the vocabulary is known only then. */
function generateOptionsOf(values: Values): GenerateOptions {
  const options: GenerateOptions = {};
  for (const [name, key] of Object.entries(NUMBERS) as [
    keyof typeof NUMBERS,
    (typeof NUMBERS)[keyof typeof NUMBERS],
  ][]) {
    const value = numberOf(name, values[name]);
    if (value !== undefined) options[key] = value;
  }
  if (values.stop) options.stop = values.stop;
  if (values['stop-ids'] !== undefined) options.stopTokenIds = idsOf('stop-ids', values['stop-ids']);
  if (values['ignore-eos']) options.ignoreEos = true;
  if (values.logprobs) options.logprobs = true;
  if (values['logit-bias'])
    options.logitBias = Object.fromEntries(
      values['logit-bias'].map((entry) => {
        const [, id, add] = /^(\d+)=(.+)$/.exec(entry) ?? [];
        if (id === undefined) throw usageError(`--logit-bias is "${entry}", expected ID=NUMBER.`);
        return [Number(id), numberOf('logit-bias', add)!];
      }),
    );
  const variables = variablesOf(values);
  const forChats = variables !== undefined || options.reasoningBudget !== undefined;
  if (forChats && values.prompt !== undefined)
    throw usageError('Template variables and --reasoning-budget go with --messages FILE, not with --prompt.');
  if (variables) options.templateVariables = variables;
  checkOptions(options, Number.MAX_SAFE_INTEGER);
  return options;
}

/** What the chat template is told: `--think`, `--no-think` and `--template-variable NAME=JSON`. */
function variablesOf({ think, 'no-think': noThink, 'template-variable': entries = [] }: Values) {
  if (think && noThink) throw usageError('Give either --think or --no-think.');
  const variables: [string, unknown][] = think || noThink ? [['enable_thinking', think === true]] : [];
  for (const entry of entries) {
    const [, name, json] = /^([^=]+)=(.*)$/s.exec(entry) ?? [];
    if (name === undefined) throw usageError(`--template-variable is "${entry}", expected NAME=JSON.`);
    try {
      variables.push([name, JSON.parse(json!)]);
    } catch {
      throw usageError(
        `--template-variable ${name} is ${json}, expected JSON.`,
        `A text is '${name}="..."'.`,
      );
    }
  }
  return variables.length > 0 ? Object.fromEntries(variables) : undefined;
}

/** Reasoning as it comes, on stderr, apart from the answer: dimmed in a terminal. */
function reasoningWriter({ stderr } = process): (chunk: GenerateChunk) => void {
  let open = false;
  return ({ text, reasoning }) => {
    if (reasoning) stderr.write(`${!open && stderr.isTTY ? '\x1b[2m' : ''}${reasoning}`);
    open ||= Boolean(reasoning);
    if (!open || (reasoning !== undefined && text === '')) return;
    stderr.write(stderr.isTTY ? '\x1b[22m\n\n' : '\n\n');
    open = false;
  };
}

async function promptOf({ prompt, messages }: Values): Promise<string | Message[]> {
  if ((prompt === undefined) === (messages === undefined))
    throw usageError('Give either --prompt TEXT or --messages FILE.');
  if (prompt !== undefined) return prompt;
  const json = await readText(messages!);
  try {
    const value: unknown = JSON.parse(json);
    if (Array.isArray(value)) return value;
  } catch (cause) {
    throw usageError(`${messages} is not JSON: ${(cause as Error).message}.`);
  }
  throw usageError(`${messages} holds no list.`, 'Expected [{"role": "user", "content": "..."}, ...].');
}

/** How the weights are kept. */
const weightsText = ({ formats }: ModelInfo): string =>
  `weights ${formats.map(({ dtype }) => dtype).join(' and ')}`;

/**
 * Writes token ids as they come, one behind: a last chunk that only completes the text repeats the id before it.
 * @returns `more` takes the ids so far, `done` those of the reply
 */
export function idWriter(write: (text: string) => void): {
  more(ids: readonly number[]): void;
  done(ids: readonly number[]): void;
} {
  let written = 0;
  const done = (ids: readonly number[]): void => {
    for (; written < ids.length; written++) write(`${written ? ',' : ''}${ids[written]}`);
  };
  return { more: (ids) => done(ids.slice(0, -1)), done };
}

/** `shishulm generate`: the reply on stdout as it comes, its figures on stderr where that is a terminal. */
export const command: Command = {
  help: `shishulm generate MODEL --prompt TEXT | --messages FILE [options]
  Continues a text, or answers a conversation: a JSON list of {"role", "content"}, through the model's chat
  template. FILE may be - for stdin.

  --max-tokens N           most new tokens (until the context is full)
  --ids                    print token ids instead of text
  --temperature X          0 is greedy (0)
  --top-k N, --top-p X, --min-p X
  --repetition-penalty X, --frequency-penalty X, --presence-penalty X
  --logit-bias ID=X        add to a token's logit; may be repeated
  --seed N                 same seed, same text
  --stop TEXT              end before this text; may be repeated
  --stop-ids 1,2,3         end at these tokens
  --ignore-eos             go on past the model's end-of-text tokens
  --logprobs               with --json: the log-probability of each token (nats)
  --top-logprobs N         and of the N likeliest
  --think, --no-think      the template's enable_thinking, for models that reason before they answer; what they
                           think goes to stderr
  --reasoning-budget N     most tokens of it
  --template-variable NAME=JSON   another variable of the chat template; may be repeated
  --lora ADAPTER           with a LoRA adapter of peft, named as a model is
${COMMON_HELP}: {text, reasoning, promptTokenIds, tokenIds, finishReason, usage, timings}`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, OPTIONS);
    const options = generateOptionsOf(values);
    if (options.logprobs && !values.json) throw usageError('--logprobs needs --json.');
    const loadOptions = { ...loadOptionsOf(values), adapter: values.adapter, signal };
    const prompt = await promptOf(values);
    await withModel(folder, { ...loadOptions, lora: values.lora }, async (model, adapter) => {
      const chunks: GenerateChunk[] = [];
      const reason = reasoningWriter();
      const ids = idWriter((text) => process.stdout.write(text));
      const result = await collect(model.generate(prompt, { ...options, ...adapter, signal }), (chunk) => {
        chunks.push(chunk);
        if (values.json) return;
        if (values.ids) ids.more(chunks.map(({ tokenId }) => tokenId));
        else {
          reason(chunk);
          process.stdout.write(chunk.text);
        }
      });
      if (values.json) {
        const logprobs = chunks.flatMap(({ tokenId, logprob }) => (logprob ? [{ tokenId, ...logprob }] : []));
        return printJson({ ...result, ...(options.logprobs && { logprobs }) });
      }
      if (values.ids) ids.done(result.tokenIds);
      // Cut while it reasoned.
      reason({ text: '', tokenId: 0 });
      print('');
      const { finishReason, usage, timings } = result;
      if (process.stderr.isTTY)
        process.stderr.write(
          `[${usage.completionTokens} tokens, ${finishReason}; first after ${timings.firstTokenMs.toFixed(0)} ms, ` +
            `then ${timings.decodeTokensPerSecond.toFixed(1)} tokens/s; ${weightsText(model.info)}, KV ${model.info.kv}; ` +
            `${model.info.adapter}]\n`,
        );
    });
  },
};
