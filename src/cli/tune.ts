import { COMMON_HELP, type Command, loadOptionsOf, parseCommand, refuseOptions } from './args.ts';
import { log, openModel, print, printJson } from './io.ts';

/** `shishulm tune`: the fastest kernels for a model on this GPU. */
export const command: Command = {
  help: `shishulm tune MODEL [options]
  Times variants of the kernels for a model on this GPU, keeps the fastest for later commands, and prints them: what
  --tuning FILE takes.

${COMMON_HELP}: {tuning, from, leftOut}`,

  async run(argv, signal) {
    const { values, folder } = parseCommand(argv, {});
    refuseOptions(values, ['tune', 'no-tune', 'tuning']);
    const model = await openModel(folder, { ...loadOptionsOf(values), adapter: values.adapter, signal });
    try {
      const tuning = await model.tune();
      if (values.json) return printJson(model.info.kernels);
      print(JSON.stringify(tuning, null, 1));
      for (const { kernel, variant, why } of model.info.kernels.leftOut) log(`${variant} ${why} ${kernel}`);
    } finally {
      await model.dispose();
    }
  },
};
