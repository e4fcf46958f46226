import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MAPS_FILE } from '../convert/analysis-file.ts';
import { analysisTable, analyze } from '../convert/analyze.ts';
import { mapTensors } from '../convert/child.ts';
import { bytesOf, refuseChild, withOnGpu } from '../convert/on-gpu.ts';
import { tensorFile } from '../convert/staged.ts';
import { textWindows } from '../convert/text.ts';
import { timeLeft } from '../convert/time-left.ts';
import { writeAtomic } from '../train/io.ts';
import { type Command, cacheOf, flag, GPU_HELP, text, usageError, wholeNumberOf } from './args.ts';
import {
  CHOICE_HELP,
  CHOICE_OPTIONS,
  choiceOptionsOf,
  parseTextCommand,
  TEXT_HELP,
  textOptionsOf,
} from './convert-options.ts';
import { provideGpu } from './gpu.ts';
import { log, openModelFolder, print, printJson, showBytes } from './io.ts';

/** `shishulm analyze`: what each attention block does, and what a linear map of it loses. */
export const command: Command = {
  help: `shishulm analyze MODEL [options]
  For each attention block, on text that nothing was fitted to: R² of the best linear map from its normalised
  input to its output (without the residual, by place in the window), block influence, the perplexity with that
  block's attention dropped or made linear, its GPU time (where the adapter has timestamp-query) and its bytes.
  Then the order in which attention may go: blocks are chosen one by one, each time the one that is missed least.

  --choose N       how many are chosen; the others follow by what they cost when last measured (a third)
${CHOICE_HELP}
${TEXT_HELP}
  --out FILE       also write the analysis as JSON; as analysis.json beside a model, the chat page's slider follows it
  --maps           and the maps, beside it as analysis.safetensors: the slider puts them in the place of attention
${GPU_HELP}
  --json           one JSON object on stdout instead of the table`,

  async run(argv, signal, corpus) {
    const { values, folder, profile } = parseTextCommand(argv, {
      out: text,
      json: flag,
      maps: flag,
      choose: text,
      ...CHOICE_OPTIONS,
    });
    if (values.maps && values.out === undefined) throw usageError('--maps has no meaning without --out.');
    const count = wholeNumberOf('choose', values.choose, 1, 9999);
    const choosing = choiceOptionsOf(values);
    const options = await textOptionsOf(values, signal);
    provideGpu(values.adapter);
    await withOnGpu(
      await openModelFolder(folder, cacheOf(values)),
      { profile, signal, onProgress: showBytes },
      async (model) => {
        refuseChild(model);
        const windows = await textWindows(model, { ...options, corpus }, log);
        const { analysis, fits } = await analyze(model, windows, {
          storedBytes: bytesOf(model.dtype),
          count,
          choosing,
          signal,
          onProgress: timeLeft(log, 'measuring and choosing blocks'),
        });
        if (values.out !== undefined) {
          const maps = values.maps ? { maps: MAPS_FILE } : {};
          await writeFile(values.out, `${JSON.stringify({ ...analysis, ...maps }, null, 2)}\n`);
          if (values.maps)
            await writeAtomic(
              join(dirname(values.out), MAPS_FILE),
              tensorFile(mapTensors(fits, model.dtype)),
            );
        }
        if (values.json) printJson(analysis);
        else print(analysisTable(analysis));
      },
    );
  },
};
