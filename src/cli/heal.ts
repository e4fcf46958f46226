import { resolve } from 'node:path';
import { healFolder } from '../convert/heal-folder.ts';
import { QUESTIONS } from '../convert/questions.ts';
import { healingText, REPORT_FILE } from '../convert/report.ts';
import { readOptionalJson } from '../formats/json.ts';
import { openFolder } from '../formats/node-folder.ts';
import { CACHE_HELP, type Command, cacheOf, flag, text, usageError, wholeNumberOf } from './args.ts';
import { parseTextCommand, TEXT_HELP, textOptionsOf } from './convert-options.ts';
import { provideGpu } from './gpu.ts';
import { HEAL_HELP, HEAL_OPTIONS, healOptionsOf } from './heal-options.ts';
import { log, openModelFolder, print, printJson, showBytes } from './io.ts';

const OPTIONS = {
  parent: text,
  out: { type: 'string', short: 'o' },
  ...HEAL_OPTIONS,
  questions: text,
  force: flag,
} as const;

/** `shishulm heal`: goes on healing a child. */
export const command: Command = {
  help: `shishulm heal CHILD --heal TOKENS [options]
  Goes on distilling a child to its parent, on text that it was not healed with yet: with the options of its
  conversion, its text and --tokens, --window and --seed, what was held out then is held out again.

  --parent MODEL       the parent (the one that the child's report names)
  -o, --out OUT        the folder to write (CHILD, which is replaced once all is done)
  --heal TOKENS        tokens to train on
${HEAL_HELP}
  --questions N        compare the child's answers to so many questions with the parent's (50, 0 to leave it out)
  --force              replace OUT
${TEXT_HELP}
  --adapter NAME       the GPU to use, by part of its name
  --profile P          kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)
${CACHE_HELP}
  --json               what healing did as one JSON object on stdout`,

  async run(argv, signal, corpus) {
    const { values, folder, profile } = parseTextCommand(argv, OPTIONS);
    const texts = await textOptionsOf(values, signal);
    const heal = healOptionsOf(values, texts.seed);
    if (!heal) throw usageError('It is not said how much to heal.', 'Give --heal with a number of tokens.');
    const child = await openFolder(folder);
    const report = await readOptionalJson(child, REPORT_FILE, { code: 'bad-config' });
    const known = report?.parent;
    const parent = values.parent ?? (typeof known === 'string' ? known : undefined);
    if (parent === undefined)
      throw usageError(`${folder} does not say what its parent is.`, 'Name it with --parent.');
    const out = values.out ?? folder;
    const force = values.force === true || resolve(out) === resolve(folder);
    const questions = wholeNumberOf('questions', values.questions, 0, QUESTIONS.length);
    provideGpu(values.adapter);
    const healing = await healFolder(
      folder,
      await openModelFolder(parent, cacheOf(values)),
      out,
      { heal, questions, force, log, ...texts, corpus },
      { profile, signal, onProgress: showBytes },
    );
    if (values.json) printJson(healing);
    else print(healingText(healing));
  },
};
