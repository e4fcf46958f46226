import { totalmem } from 'node:os';
import {
  bytesText,
  FULL,
  PRESETS,
  parseSettings,
  QUICK,
  runBench,
  settingsToLink,
  toCsv,
  toJson,
  toMarkdown,
} from '../bench.ts';
import { ShishuError } from '../errors.ts';
import { checkProfile } from '../gpu/profile.ts';
import { DTYPES_TEXT } from '../quant/index.ts';
import {
  CACHE,
  CACHE_HELP,
  type Command,
  cacheOf,
  flag,
  numberOf,
  parseOptions,
  text,
  usageError,
} from './args.ts';
import { provideGpu } from './gpu.ts';
import { openModelFolder } from './io.ts';

/** Half of the machine's memory: the rest of it needs some, and a GPU of its own may have less. */
const defaultBudget = (): number => totalmem() / 2;

const OPTIONS = {
  dtype: text,
  kv: text,
  blocks: text,
  prompts: text,
  positions: text,
  batches: text,
  steps: text,
  repetitions: text,
  kernels: text,
  training: text,
  full: flag,
  memory: text,
  adapter: text,
  profile: text,
  json: flag,
  csv: flag,
  ...CACHE,
} as const;

/** `shishulm bench`: the harness of the benchmark page, on this machine. */
export const command: Command = {
  help: `shishulm bench PARENT CHILD [options]
  Measures two models in turn: time to the first token, decoding against context, batches, memory, GPU time by
  kernel. A model is a folder, its owner/name on a hub or its URL, or a shape with random weights made on the
  GPU: a preset's name (the parent), or preset:front,mlp,shared,end (a child; shared counts pairs), for example
  shishulm bench MobileLLM-125M MobileLLM-125M:15,15,7,0 --blocks 6
  Presets: ${PRESETS.map(({ name }) => name).join(', ')}.

  --dtype D          weights on the GPU: ${DTYPES_TEXT} (${QUICK.dtype})
  --kv D             KV cache: f32 or f16 (${QUICK.kv})
  --blocks N         a slice of a shape's stack, for slow machines (all)
  --prompts LIST     prompt lengths (${QUICK.prompts})
  --positions LIST   context positions at which decoding is timed (${QUICK.positions})
  --batches LIST     sequences that decode together (${QUICK.batches})
  --steps N          timed tokens a sample (${QUICK.steps})
  --repetitions N    samples a point (${QUICK.repetitions})
  --kernels yes|no   GPU time by kernel (yes)
  --training yes|no  time of a training step too (no)
  --full             prompts ${FULL.prompts}; positions ${FULL.positions}; batches ${FULL.batches}; more samples
  --memory GB        most memory for the pair (half of this machine's)
  --adapter NAME     the GPU to use, by part of its name
  --profile P        kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)
${CACHE_HELP}
  --json, --csv      instead of Markdown, on stdout`,

  async run(argv, signal) {
    const { values, positionals } = parseOptions(argv, OPTIONS);
    const [parent, child, extra] = positionals;
    if (parent === undefined || child === undefined)
      throw usageError('A parent and a child to measure are needed.', 'Name two models or shapes.');
    if (extra !== undefined) throw usageError(`"${extra}" is one argument too many.`);
    if (values.json && values.csv) throw usageError('Give either --json or --csv.');
    const {
      'no-cache': _,
      refresh: __,
      full,
      memory,
      adapter,
      json,
      csv,
      profile: named = 'auto',
      ...texts
    } = values;
    const cache = cacheOf(values);
    const profile = checkProfile(named);
    const settings = parseSettings({ ...texts, parent, child }, full ? FULL : QUICK);
    const budget = memory === undefined ? defaultBudget() : numberOf('memory', memory)! * 1e9;
    if (!(budget > 0)) throw usageError(`--memory is ${memory}, expected GB above 0.`);
    provideGpu(adapter);
    const { stderr } = process;
    const result = await runBench(settings, {
      openFolder: (model) => openModelFolder(model, cache),
      runtime: `Node ${process.versions.node}, Dawn`,
      budget,
      gpu: { profile },
      signal,
      loadTraining: () => import('../train/step-times.ts'),
      onProgress: ({ done, total, what }) => {
        if (stderr.isTTY) stderr.write(`\r\x1b[K${done} of ${total}: ${what}`);
      },
    });
    if (stderr.isTTY) stderr.write('\r\x1b[K');
    process.stdout.write(json ? toJson(result) : csv ? toCsv(result) : toMarkdown(result));
    if (!json && !csv)
      process.stdout.write(
        `\nThe page with these settings: bench.html${profile === 'auto' ? '' : `?profile=${profile}`}#${settingsToLink(settings)}\n`,
      );
    if (result.ended !== 'complete')
      throw new ShishuError(
        result.ended === 'device-lost' ? 'device-lost' : result.ended === 'cancelled' ? 'aborted' : 'io',
        `The run did not finish: ${result.error ?? 'it was cancelled.'}`,
        { mend: `What was measured is above (memory limit ${bytesText(budget)}).` },
      );
  },
};
