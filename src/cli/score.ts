import { COMMON_HELP, type Command, idsOf, loadOptionsOf, parseCommand, text, usageError } from './args.ts';
import { openModel, print, printJson, readText } from './io.ts';

/** `shishulm score`: how likely a model finds a text. */
export const command: Command = {
  help: `shishulm score DIR --text FILE | --ids 1,2,3 [options]
  Mean negative log-likelihood (nats a token) and perplexity of a text or of token ids, which must fit the
  context. FILE may be - for stdin.

${COMMON_HELP}: {nll, perplexity, tokens, top1}; top1[i] is the likeliest token after token i`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, { text, ids: text });
    if ((values.text === undefined) === (values.ids === undefined))
      throw usageError('Give either --text FILE or --ids 1,2,3.');
    const given = values.ids !== undefined ? idsOf('ids', values.ids) : await readText(values.text!);
    const loadOptions = { ...loadOptionsOf(values), adapter: values.adapter, signal };
    const model = await openModel(folder, loadOptions);
    try {
      const ids = typeof given === 'string' ? model.encode(given) : given;
      if (ids.length < 2)
        throw usageError(`There is nothing to predict in ${ids.length} token(s).`, 'Give at least 2 tokens.');
      const { nll, top1 } = await model.score(ids, { signal });
      const perplexity = Math.exp(nll);
      if (values.json) return printJson({ nll, perplexity, tokens: ids.length, top1: [...top1] });
      print(`nll ${nll.toFixed(6)} nats a token, perplexity ${perplexity.toFixed(4)}, ${ids.length} tokens`);
    } finally {
      await model.dispose();
    }
  },
};
