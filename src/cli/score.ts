import {
  COMMON_HELP,
  type Command,
  flag,
  idsOf,
  loadOptionsOf,
  parseCommand,
  text,
  usageError,
  wholeNumberOf,
} from './args.ts';
import { COMPARED, type ComparedText, compareDtypes, comparisonText, dtypesOf } from './compare.ts';
import { openModel, print, printJson, readText, withModel } from './io.ts';

const OPTIONS = {
  text,
  ids: text,
  compare: text,
  corpus: flag,
  tokens: text,
  seed: text,
  lora: text,
} as const;

/** `shishulm score`: how likely a model finds a text. */
export const command: Command = {
  help: `shishulm score MODEL --text FILE | --ids 1,2,3 [options]
  Mean negative log-likelihood (nats a token) and perplexity of a text or of token ids, which must fit the
  context. FILE may be - for stdin.

  --compare LIST   perplexity with the weights in f32 and in each of ${COMPARED.join(', ')} (commas between), and the ratio,
                   in windows of at most 256 tokens; without --text or --ids, of what the model says by itself
  --corpus         with --compare: of held-out chats of the built-in corpus
  --tokens N       with --compare: tokens of text, about (4000)
  --seed N         with --compare: of the text (1)
  --lora ADAPTER   with a LoRA adapter of peft, named as a model is
${COMMON_HELP}: {nll, perplexity, tokens, top1}; top1[i] is the likeliest token after token i;
                   with --compare {tokens, scores: [{dtype, nll, perplexity, ratio}]}`,

  async run(argv, signal, corpus) {
    const { values, folder } = parseCommand(argv, OPTIONS);
    const { compare } = values;
    const sources = [values.text, values.ids, values.corpus || undefined].filter(
      (value) => value !== undefined,
    );
    if (compare === undefined) {
      for (const name of ['corpus', 'tokens', 'seed'] as const)
        if (values[name] !== undefined) throw usageError(`--${name} is only for --compare.`);
      if (sources.length !== 1) throw usageError('Give either --text FILE or --ids 1,2,3.');
    } else {
      if (values.lora !== undefined) throw usageError('--lora has no meaning with --compare.');
      if (values.dtype !== undefined) throw usageError('--compare chooses the dtypes: leave --dtype out.');
      if (sources.length > 1) throw usageError('Give one of --text, --ids and --corpus.');
    }
    const given =
      values.ids !== undefined
        ? idsOf('ids', values.ids)
        : values.text !== undefined
          ? await readText(values.text)
          : undefined;
    const loadOptions = { ...loadOptionsOf(values), adapter: values.adapter, signal };
    if (compare !== undefined) {
      const dtypes = dtypesOf(compare);
      const comparison = await compareDtypes(
        (dtype) => openModel(folder, { ...loadOptions, dtype }),
        dtypes,
        async (model): Promise<ComparedText> =>
          given === undefined
            ? values.corpus
              ? { kind: 'corpus', corpus }
              : { kind: 'own' }
            : { kind: 'ids', ids: typeof given === 'string' ? await model.encode(given) : given },
        {
          tokens: wholeNumberOf('tokens', values.tokens, 2, 1e8) ?? 4000,
          seed: wholeNumberOf('seed', values.seed, 0, 2 ** 31 - 1) ?? 1,
          signal,
        },
      );
      return values.json ? printJson(comparison) : print(comparisonText(comparison));
    }
    await withModel(folder, { ...loadOptions, lora: values.lora }, async (model, adapter) => {
      const ids = typeof given === 'string' ? await model.encode(given) : given!;
      if (ids.length < 2)
        throw usageError(`There is nothing to predict in ${ids.length} token(s).`, 'Give at least 2 tokens.');
      const { nll, top1 } = await model.score(ids, { ...adapter, signal });
      const perplexity = Math.exp(nll);
      if (values.json) return printJson({ nll, perplexity, tokens: ids.length, top1: [...top1] });
      print(`nll ${nll.toFixed(6)} nats a token, perplexity ${perplexity.toFixed(4)}, ${ids.length} tokens`);
    });
  },
};
