import { readJson } from '../formats/json.ts';
import { checkProfile } from '../gpu/profile.ts';
import { Bpe } from '../train/bpe.ts';
import { type Evaluation, evaluate, evaluationTable } from '../train/evaluate.ts';
import { writeAtomic } from '../train/io.ts';
import {
  CACHE,
  CACHE_HELP,
  type Command,
  cacheOf,
  parseOptions,
  text,
  usageError,
  wholeNumberOf,
} from './args.ts';
import { openModel, openModelFolder } from './io.ts';

/** `shishulm evaluate`: prints a table of one or several models, and writes JSON with --json. */
export const command: Command = {
  help: `shishulm evaluate MODEL... [--chats N] [--seed N] [--json FILE] [--profile P]
  Perplexity by kind and exact-answer accuracy on held-out chats of the built-in corpus, several models side
  by side. Each must be a model of shishulm train: a folder, or a name on a hub. --chats is per kind (60).
  --profile takes the kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter).

${CACHE_HELP}`,

  async run(argv, signal, corpus) {
    const { values, positionals } = parseOptions(argv, {
      chats: text,
      seed: text,
      json: text,
      profile: text,
      ...CACHE,
    });
    const cache = cacheOf(values);
    if (positionals.length === 0) throw usageError('No model was given.', 'Name a model of shishulm train.');
    const chats = wholeNumberOf('chats', values.chats, 1, 100_000);
    const seed = wholeNumberOf('seed', values.seed, 0, 2 ** 31 - 1);
    const profile = checkProfile(values.profile ?? 'auto');
    const results: [string, Evaluation][] = [];
    for (const folder of positionals) {
      const source = await openModelFolder(folder, cache);
      const bpe = Bpe.fromJson(await readJson(source, 'tokenizer.json', { code: 'bad-tokenizer' }));
      const model = await openModel(source, { profile, signal });
      try {
        const onProgress = (done: number, total: number): void => {
          if (process.stderr.isTTY) process.stderr.write(`\r${folder}: ${done}/${total} chats `);
        };
        results.push([folder, await evaluate(model, bpe, corpus, { chats, seed, onProgress })]);
      } finally {
        await model.dispose();
      }
    }
    console.log(evaluationTable(results));
    if (values.json !== undefined)
      await writeAtomic(values.json, `${JSON.stringify(Object.fromEntries(results), null, 2)}\n`);
  },
};
