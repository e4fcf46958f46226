import { writeFile } from 'node:fs/promises';
import { refuseChild, withOnGpu } from '../convert/on-gpu.ts';
import { QUESTIONS } from '../convert/questions.ts';
import { textWindows } from '../convert/text.ts';
import { compareWays, waysTable } from '../convert/ways.ts';
import { type Command, cacheOf, GPU_HELP, text, usageError, wholeNumberOf } from './args.ts';
import { parseTextCommand, TEXT_HELP, textOptionsOf } from './convert-options.ts';
import { provideGpu } from './gpu.ts';
import { HEAL_HELP, HEAL_OPTIONS, healOptionsOf } from './heal-options.ts';
import { log, openModelFolder, print, showBytes } from './io.ts';

const FRACTIONS = '0.875,0.75,0.5,0.25';
const TOKENS = 12_000;
const CHATS = 12;

function fractionsOf(list: string): number[] {
  return list.split(',').map((item) => {
    const fraction = Number(item);
    if (item.trim() === '' || !(fraction >= 0 && fraction < 1))
      throw usageError(`--fractions holds "${item}".`, 'Give numbers from 0 to below 1, as 0.75,0.5.');
    return fraction;
  });
}

/** `shishulm quality`: what a parent loses with its attention, by fraction kept and by way. */
export const command: Command = {
  help: `shishulm quality MODEL [options]
  What a model loses as its attention goes: a table of perplexity, recall, the share of the parent's answers that is
  still the likeliest, and for models of the built-in corpus exact answers, against the fraction of blocks that keep
  attention, for attention dropped, linear maps, linear maps with shared MLPs, and these healed. Says how far
  perplexity stays within 5 %. Writes no model.

  --fractions LIST fractions of the attention blocks to keep (${FRACTIONS})
  --heal TOKENS    also distil each child to the parent on so many tokens
${HEAL_HELP}
  --scratch DIR    also measure this child, trained from scratch
  --chats N        chats of each of nine kinds to ask questions of (${CHATS})
  --questions N    compare the answers to so many questions with the parent's (50, 0 to leave it out)
${TEXT_HELP.replace('20000', String(TOKENS))}
  --json FILE      also write it all as JSON
${GPU_HELP}`,

  async run(argv, signal, corpus) {
    const { values, folder, profile } = parseTextCommand(argv, {
      fractions: text,
      ...HEAL_OPTIONS,
      scratch: text,
      chats: text,
      questions: text,
      json: text,
    });
    const fractions = fractionsOf(values.fractions ?? FRACTIONS);
    const chats = wholeNumberOf('chats', values.chats, 0, 100_000) ?? CHATS;
    const questions = wholeNumberOf('questions', values.questions, 0, QUESTIONS.length);
    const textOptions = await textOptionsOf(values, signal);
    const heal = healOptionsOf(values, textOptions.seed);
    provideGpu(values.adapter);
    const scratch =
      values.scratch === undefined ? undefined : await openModelFolder(values.scratch, cacheOf(values));
    await withOnGpu(
      await openModelFolder(folder, cacheOf(values)),
      { profile, signal, onProgress: showBytes },
      async (parent) => {
        refuseChild(parent);
        const tokens = textOptions.tokens ?? Math.max(TOKENS, 6 * parent.spec.hiddenSize);
        const healTokens = heal?.tokens;
        const windows = await textWindows(parent, { ...textOptions, corpus, tokens, healTokens }, log);
        const asked = chats > 0 ? { corpus, count: chats } : undefined;
        const options = { fractions, heal, scratch, chats: asked, questions, log, signal };
        const compared = await compareWays(parent, windows, options, { profile });
        if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(compared, null, 2)}\n`);
        print(waysTable(compared));
      },
    );
  },
};
