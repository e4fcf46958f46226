import { checkEmbedOptions } from '../engine/embedding.ts';
import type { EmbedOptions } from '../engine/types.ts';
import {
  COMMON_HELP,
  type Command,
  flag,
  loadOptionsOf,
  numberOf,
  parseCommand,
  text,
  usageError,
} from './args.ts';
import { print, printJson, readText, withModel } from './io.ts';

const texts = { type: 'string', multiple: true } as const;
const OPTIONS = {
  text: texts,
  file: text,
  batch: text,
  pooling: text,
  instruction: text,
  dimensions: text,
  'no-normalize': flag,
  truncate: flag,
  similarity: flag,
  lora: text,
} as const;

type Values = ReturnType<typeof parseCommand<typeof OPTIONS>>['values'];

/** Options, checked before a model is loaded; the number of dimensions is known only then. */
function embedOptionsOf(values: Values): EmbedOptions {
  const dimensions = numberOf('dimensions', values.dimensions);
  const options: EmbedOptions = {
    ...(values.pooling !== undefined && { pooling: values.pooling as 'last' }),
    ...(values.instruction !== undefined && { instruction: values.instruction }),
    ...(dimensions !== undefined && { dimensions }),
    ...(values['no-normalize'] && { normalize: false }),
    ...(values.truncate && { truncate: true }),
  };
  return checkEmbedOptions(options, Number.MAX_SAFE_INTEGER);
}

async function textsOf({ text = [], file }: Values): Promise<string[]> {
  const lines = file === undefined ? [] : (await readText(file)).split(/\r?\n/).filter((line) => line !== '');
  const all = [...text, ...lines];
  if (all.length === 0) throw usageError('No text was given.', 'Give --text TEXT, or --file FILE.');
  return all;
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return dot / (Math.hypot(...a) * Math.hypot(...b) || 1);
}

/** `shishulm embed`: a line of JSON for each text. */
export const command: Command = {
  help: `shishulm embed MODEL --text TEXT | --file FILE [options]
  A vector for each text, as {"text", "tokens", "embedding"}, a line of JSON each.

  --text TEXT        a text; may be repeated
  --file FILE        a text a line, behind those of --text; - for stdin
  --instruction I    put before each text: a prompt that the model's files name, as query, or a text
  --pooling P        last or mean (what the model's files say, else last)
  --dimensions N     the first N numbers of each vector
  --no-normalize     leave lengths as they are
  --truncate         cut texts that are longer than the context
  --batch N          texts that run at once (1); each has a KV cache of --context tokens
  --similarity       print how alike the others are to the first text (cosine), the most alike first
  --lora ADAPTER     with a LoRA adapter of peft, named as a model is
${COMMON_HELP}: {embeddings, tokens}`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, OPTIONS);
    const options = embedOptionsOf(values);
    const loadOptions = { ...loadOptionsOf(values), adapter: values.adapter, signal };
    const batch = numberOf('batch', values.batch) ?? 1;
    const given = await textsOf(values);
    if (values.similarity && (values.json || given.length < 2))
      throw usageError('--similarity needs two texts or more, and no --json.');
    await withModel(folder, { ...loadOptions, batch, lora: values.lora }, async (model, adapter) => {
      const { embeddings, tokens } = await model.embed(given, { ...options, ...adapter, signal });
      if (values.json) return printJson({ embeddings: embeddings.map((each) => Array.from(each)), tokens });
      if (values.similarity) {
        const [first, ...others] = embeddings;
        const alike = others.map((each, i) => ({ text: given[i + 1]!, cosine: cosine(first!, each) }));
        for (const { text, cosine } of alike.sort((a, b) => b.cosine - a.cosine))
          print(`${cosine.toFixed(4)} ${text}`);
        return;
      }
      for (const [i, embedding] of embeddings.entries())
        printJson({ text: given[i], tokens: tokens[i], embedding: Array.from(embedding) });
    });
  },
};
