import { convertFolder } from '../convert/convert-folder.ts';
import { QUESTIONS } from '../convert/questions.ts';
import { reportText } from '../convert/report.ts';
import { SHARES } from '../convert/share.ts';
import { layersOf, riseOf, savingOf } from '../convert/target.ts';
import { CACHE_HELP, type Command, cacheOf, flag, text, usageError, wholeNumberOf } from './args.ts';
import {
  CHOICE_HELP,
  CHOICE_OPTIONS,
  choiceOptionsOf,
  parseTextCommand,
  TEXT_HELP,
  textOptionsOf,
} from './convert-options.ts';
import { provideGpu } from './gpu.ts';
import { HEAL_HELP, HEAL_OPTIONS, healOptionsOf } from './heal-options.ts';
import { log, openLora, openModelFolder, print, printJson, showBytes } from './io.ts';

const OPTIONS = {
  out: { type: 'string', short: 'o' },
  'keep-attention': text,
  layers: text,
  'target-memory': text,
  'max-perplexity': text,
  ...CHOICE_OPTIONS,
  linear: flag,
  rank: text,
  inputs: text,
  'share-pairs': text,
  share: text,
  ...HEAL_OPTIONS,
  questions: text,
  lora: text,
  force: flag,
} as const;

/** `shishulm convert`: the ShishuLM of a parent. */
export const command: Command = {
  help: `shishulm convert MODEL -o OUT [options]
  Makes a ShishuLM of a model whose blocks all attend: takes the attention from blocks that are chosen one by one,
  each time the one that is missed least, on text that nothing was fitted to and on words to recall; writes a folder
  that this engine and, with the code beside it, transformers load, with a report and a model card; for a run of
  neighbours without --linear in the public shishu-llama layout where that has all of the parent's sums.

  -o, --out OUT        the folder to write; it appears whole or not at all
  --keep-attention N   attention blocks to keep (half)
  --layers 1,5-8       or: the layers to take it from
  --target-memory=-25% or: the bytes to save, of weights and the KV cache (f32) of 2048 tokens
  --max-perplexity=+5% or: take as many as raise perplexity by no more, before healing
${CHOICE_HELP}
  --linear             put a fitted linear map where attention was, as extra tensors
  --rank N             with --linear: maps of at most that rank (the hidden size), two factors below half of it
  --inputs N           with --linear: maps of the last N positions (1), up to 16; N - 1 rows are kept of each sequence
  --share-pairs N      pairs of neighbours without attention that share one MLP, those of which it costs least (0)
  --share HOW          ${SHARES.join(', ')} (average)
  --heal TOKENS        then distil it to its parent on so many tokens of the text, none of which is held out
${HEAL_HELP}
  --questions N        compare the child's answers to so many questions with the parent's (50, 0 to leave it out)
  --lora ADAPTER       merge a LoRA adapter of peft, named as a model is, into the parent first
  --force              replace OUT
${TEXT_HELP}
  --adapter NAME       the GPU to use, by part of its name
  --profile P          kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)
${CACHE_HELP}
  --json               the report as one JSON object on stdout`,

  async run(argv, signal, corpus) {
    const { values, folder, profile } = parseTextCommand(argv, OPTIONS);
    if (values.out === undefined) throw usageError('No output folder was given.', 'Name it with -o.');
    const share = SHARES.find((each) => each === (values.share ?? 'average'));
    if (!share) throw usageError(`--share is "${values.share}", expected ${SHARES.join(', ')}.`);
    const texts = await textOptionsOf(values, signal);
    const heal = healOptionsOf(values, texts.seed);
    const options = {
      keepAttention: wholeNumberOf('keep-attention', values['keep-attention'], 0, 9999),
      layers: values.layers === undefined ? undefined : layersOf(values.layers),
      saveMemory: values['target-memory'] === undefined ? undefined : savingOf(values['target-memory']),
      maxPerplexity: values['max-perplexity'] === undefined ? undefined : riseOf(values['max-perplexity']),
      choosing: choiceOptionsOf(values),
      linear: values.linear ?? false,
      rank: wholeNumberOf('rank', values.rank, 1, 1e6),
      inputs: wholeNumberOf('inputs', values.inputs, 1, 16),
      sharePairs: wholeNumberOf('share-pairs', values['share-pairs'], 0, 9999) ?? 0,
      share,
      questions: wholeNumberOf('questions', values.questions, 0, QUESTIONS.length),
      heal,
      parentName: folder,
      adapter: await openLora(values.lora, cacheOf(values)),
      force: values.force ?? false,
      log,
      ...texts,
      corpus,
    };
    provideGpu(values.adapter);
    const report = await convertFolder(await openModelFolder(folder, cacheOf(values)), values.out, options, {
      profile,
      signal,
      onProgress: showBytes,
    });
    if (values.json) printJson(report);
    else print(reportText(report));
  },
};
