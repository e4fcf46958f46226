import { createHash } from 'node:crypto';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { ShishuError } from '../errors.ts';
import { judge, type Outcome, type Report, reportOf } from '../eval/judge.ts';
import { parseTask } from '../eval/task.ts';
import { readJson } from '../formats/json.ts';
import {
  COMMON_HELP,
  type Command,
  flag,
  loadOptionsOf,
  parseCommand,
  text,
  usageError,
  wholeNumberOf,
} from './args.ts';
import { log, openModelFolder, print, printJson, readText, withModel } from './io.ts';

const OPTIONS = {
  task: text,
  limit: text,
  out: text,
  chat: flag,
  delimiter: text,
  stop: { type: 'string', multiple: true },
  'max-tokens': text,
  lora: text,
} as const;

/** Milliseconds between lines of progress where there is no terminal. */
const PROGRESS_MS = 10_000;

/** What was judged before, of a file that begins with the same question. */
async function readOutcomes(path: string, head: string): Promise<Outcome[]> {
  const file = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new ShishuError('io', `Could not read ${path}: ${error.message}.`, { details: { file: path } });
  });
  if (file === undefined) return [];
  const [first, ...lines] = file.split('\n');
  if (first !== head)
    throw usageError(`${path} holds outcomes of another model, task or options.`, 'Name another --out.');
  // The last line is whole, or was not written to its end.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Outcome);
}

function table({ items, figures }: Report): string {
  const rows = Object.entries(figures).map(([name, { value, stderr }]) => {
    const error = stderr === undefined ? '' : ` ± ${stderr.toFixed(4)}`;
    return `${name.padEnd(16)}${value.toFixed(4).padStart(10)}${error}`;
  });
  const counted = Object.entries(items).filter(([, count]) => count > 0);
  return [...rows, `of ${counted.map(([kind, count]) => `${count} ${kind}`).join(', ')}`].join('\n');
}

/** The token that texts begin behind: the model's first, else its last, as tools for evaluation have it. */
async function prefixOf(source: Parameters<typeof readJson>[0]): Promise<number | undefined> {
  const config = (await readJson(source, 'config.json', { code: 'bad-config' }).catch(() => ({}))) as {
    bos_token_id?: unknown;
    eos_token_id?: unknown;
  };
  const id = config.bos_token_id ?? [config.eos_token_id].flat()[0];
  return Number.isInteger(id) ? (id as number) : undefined;
}

/** `shishulm eval`: questions with known answers, and how likely texts are. */
export const command: Command = {
  help: `shishulm eval MODEL --task FILE.jsonl [options]
  How a model does on a task, counted as lm-evaluation-harness counts it. Each line of FILE is one of
    {"prompt": "...", "choices": ["...", "..."], "answer": 0}   acc, acc_norm: the likeliest choice
    {"prompt": "...", "answer": "..."}                          exact_match: a greedy reply; or a list of answers
    {"text": "..."}                                             word_perplexity, byte_perplexity, bits_per_byte

  --out FILE       keep each outcome there, a line each; the same command goes on where it was stopped
  --limit N        the first N lines alone
  --chat           ask by the model's chat template
  --delimiter TEXT between a prompt and a choice (a space; nothing with --chat)
  --stop TEXT      what ends a reply (an empty line); several are allowed
  --max-tokens N   most tokens of a reply (256)
  --lora ADAPTER   with a LoRA adapter of peft, named as a model is
${COMMON_HELP}: {model, task, items, figures}`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, OPTIONS);
    if (values.task === undefined) throw usageError('Give --task FILE.jsonl.');
    const limit = wholeNumberOf('limit', values.limit, 1, 1e9);
    const maxTokens = wholeNumberOf('max-tokens', values['max-tokens'], 1, 1e6);
    const file = await readText(values.task);
    const items = parseTask(file, values.task).slice(0, limit);
    const { chat, delimiter, stop } = values;
    const options = {
      ...(chat && { chat }),
      ...(delimiter !== undefined && { delimiter }),
      ...(stop && { stop }),
      ...(maxTokens !== undefined && { maxTokens }),
    };
    const load = loadOptionsOf(values);
    const { dtype, kv, contextLength, profile } = load;
    const asked = { model: folder, lora: values.lora, dtype, kv, contextLength, profile, ...options };
    const task = createHash('sha256').update(file).digest('hex').slice(0, 16);
    const head = JSON.stringify({ ...asked, task });
    const { out } = values;
    const outcomes = out === undefined ? [] : (await readOutcomes(out, head)).slice(0, items.length);
    const lines = outcomes.map((each) => JSON.stringify(each));
    if (out !== undefined) await writeFile(out, `${[head, ...lines].join('\n')}\n`);
    if (outcomes.length > 0) log(`${outcomes.length} of ${items.length} were judged before.`);
    const source = await openModelFolder(folder, load.cache);
    const prefix = await prefixOf(source);
    await withModel(
      source,
      { ...load, adapter: values.adapter, lora: values.lora, signal },
      async (model) => {
        let told = performance.now();
        for (const item of items.slice(outcomes.length)) {
          const outcome = await judge(model, item, { ...options, prefix, signal });
          outcomes.push(outcome);
          if (out !== undefined) await appendFile(out, `${JSON.stringify(outcome)}\n`);
          const line = `${outcomes.length} of ${items.length}`;
          const now = performance.now();
          if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
          else if (now > told + PROGRESS_MS) {
            log(line);
            told = now;
          }
        }
      },
    );
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    const report = reportOf(outcomes);
    if (values.json) return printJson({ model: folder, task: values.task, ...report });
    print(table(report));
  },
};
