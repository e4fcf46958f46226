import { writeFile } from 'node:fs/promises';
import { analysisTable, analyze } from '../convert/analyze.ts';
import { bytesOf, refuseChild, withOnGpu } from '../convert/on-gpu.ts';
import { textWindows } from '../convert/text.ts';
import { type Command, cacheOf, flag, GPU_HELP, text } from './args.ts';
import { parseTextCommand, TEXT_HELP, textOptionsOf } from './convert-options.ts';
import { provideGpu } from './gpu.ts';
import { log, openModelFolder, print, printJson, showBytes } from './io.ts';

/** `shishulm analyze`: what each attention block does, and what a linear map of it loses. */
export const command: Command = {
  help: `shishulm analyze MODEL [options]
  For each attention block, on text that nothing was fitted to: R² of the best linear map from its normalised
  input to its output (without the residual, by place in the window), block influence, the perplexity with that
  block's attention dropped or made linear, its GPU time (where the adapter has timestamp-query) and its bytes.

${TEXT_HELP}
  --out FILE       also write the analysis as JSON
${GPU_HELP}
  --json           one JSON object on stdout instead of the table`,

  async run(argv, signal, corpus) {
    const { values, folder, profile } = parseTextCommand(argv, { out: text, json: flag });
    const options = await textOptionsOf(values, signal);
    provideGpu(values.adapter);
    await withOnGpu(
      await openModelFolder(folder, cacheOf(values)),
      { profile, signal, onProgress: showBytes },
      async (model) => {
        refuseChild(model);
        const windows = await textWindows(model, { ...options, corpus }, log);
        const { analysis } = await analyze(model.runner, model.plan, windows, {
          storedBytes: bytesOf(model.dtype),
          signal,
        });
        if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(analysis, null, 2)}\n`);
        if (values.json) printJson(analysis);
        else print(analysisTable(analysis));
      },
    );
  },
};
