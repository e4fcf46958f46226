// Writes the section on families of docs/models.md: what each took, and how far its logits are from transformers', as the test says:
//   npx vitest run --project dawn test/kernel/families.test.ts | node scripts/make-models-doc.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';

const FOLDS = ['src/model/spec.ts', 'src/model/fold.ts', 'src/model/weights.ts', 'src/model/load.ts'];
const ROPE = ['src/families/rope.ts', 'src/model/rope.ts', 'src/model/spec.ts'];
const WINDOWS = [
  ...['attention', 'attention_decode', 'attention_tiled', 'attention_reduce', 'shared/attention_out'].map(
    (name) => `shaders/${name}.wgsl`,
  ),
  ...[
    'kernels/attention.ts',
    'model/spec.ts',
    'model/forward.ts',
    'families/decoder.ts',
    'families/refusals.ts',
  ].map((name) => `src/${name}`),
];
const NORM_AFTER = ['shaders/norm.wgsl', 'src/kernels/norm.ts', 'src/model/weights.ts', 'src/model/fold.ts'];
const GELU = ['shaders/shared/out_swiglu.wgsl', 'src/kernels/matmul.ts'];
const NORM_WHOLE = ['shaders/rope.wgsl', 'src/kernels/rope.ts', 'src/kernels/matmul.ts', 'src/model/spec.ts'];
const CONV = [
  'shaders/features/conv.wgsl',
  ...['conv', 'all'].map((name) => `src/kernels/${name}.ts`),
  ...['spec', 'fold', 'weights', 'kvcache', 'forward'].map((name) => `src/model/${name}.ts`),
  ...['runner', 'prefix-cache', 'modes'].map((name) => `src/engine/${name}.ts`),
];
const ROWS = ['src/model/spec.ts', 'src/formats/checkpoint.ts', 'src/families/decoder.ts'];

/**
 * Model type, repositories whose configs it is for, tiny models, the file of its own, files of what it needed first.
 * @type {[string, string, string[], string, string[]][]}
 */
const FAMILIES = [
  ['llama', 'HuggingFaceTB/SmolLM2-135M-Instruct, meta-llama/Llama-3.2-1B', ['llama'], 'llama.ts', []],
  [
    'mistral',
    'mistralai/Mistral-7B-Instruct-v0.1, -v0.3',
    ['mistral', 'mistral-window'],
    'llama.ts',
    WINDOWS,
  ],
  ['qwen2', 'Qwen/Qwen2.5-0.5B-Instruct', ['qwen2'], 'qwen.ts', []],
  [
    'qwen3',
    'Qwen/Qwen3-0.6B, Qwen/Qwen3-Embedding-0.6B',
    ['qwen3', 'qwen3-window', 'yarn'],
    'qwen.ts',
    [...ROPE, ...WINDOWS],
  ],
  ['smollm3', 'HuggingFaceTB/SmolLM3-3B', ['smollm3'], 'smollm3.ts', []],
  ['granite', 'ibm-granite/granite-3.3-2b-instruct', ['granite'], 'granite.ts', FOLDS],
  ['granitemoehybrid', 'ibm-granite/granite-4.0-350m', ['granite4'], 'granite.ts', [...FOLDS, ...ROWS]],
  [
    'phi3',
    'microsoft/Phi-4-mini-instruct',
    ['phi3', 'phi3-long', 'phi3-window'],
    'phi.ts',
    [...ROPE, ...ROWS, ...FOLDS],
  ],
  [
    'olmo2',
    'allenai/OLMo-2-0425-1B-Instruct',
    ['olmo2'],
    'olmo.ts',
    [...NORM_AFTER, ...NORM_WHOLE, 'src/model/forward.ts'],
  ],
  [
    'gemma3_text',
    'google/gemma-3-270m-it, google/gemma-3-1b-it',
    ['gemma3'],
    'gemma.ts',
    [...WINDOWS, ...NORM_AFTER, ...GELU],
  ],
  [
    'llama4_text',
    'facebook/MobileLLM-R1-140M, -360M, -950M',
    ['llama4'],
    'llama4.ts',
    ['src/model/spec.ts', 'src/model/fold.ts', 'src/model/weights.ts', 'src/families/decoder.ts'],
  ],
  ['lfm2', 'LiquidAI/LFM2-350M, LFM2-700M, LFM2-1.2B', ['lfm2', 'lfm2-bias'], 'lfm2.ts', CONV],
];

const said = stripVTControlCharacters(await text(process.stdin));
if (!/^\d+ passed, 0 failed/m.test(said)) throw new Error('The test does not pass.');
const errors = new Map(
  [...said.matchAll(/^(\S+): (\d\.\de[-+]\d+)$/gm)].map(([, name, error]) => [name, error]),
);
/** @param {string[]} names */
const worst = (names) => {
  const missing = names.find((name) => !errors.has(name));
  if (missing) throw new Error(`The test says nothing of ${missing}.`);
  return Math.max(...names.map((name) => Number(errors.get(name)))).toExponential(1);
};
const rows = FAMILIES.map(([type, repositories, models, own, shared]) => {
  const files = new Set(shared).size;
  const took = `${own}, index.ts${files > 0 ? ` (+ ${files} for what others use too)` : ''}`;
  return `| \`${type}\` | ${repositories} | ${worst(models)} | ${took} |`;
});

const section = `## Families

This section is written by \`scripts/make-models-doc.mjs\` from what \`test/kernel/families.test.ts\` says. Each family is judged on tiny
random models that transformers made (\`scripts/make-family-fixtures.py\`): logits of a prompt in f32 within 1e-4 of the largest,
64 greedy tokens equal, also of two replies at once, and a layer without its attention. The weights of the repositories named were
not run.

| \`model_type\` | configs it is for | worst relative error of logits | files in \`src/families\` it took |
|---|---|---|---|
${rows.join('\n')}

\`mobilellm\` is read as \`llama\`; \`shishu-llama\` and \`shishu\` are ShishuLMs ([layouts](convert.md#the-childs-folder)). Rotary embeddings: default, linear, dynamic (up to the
model's own context), llama3, YaRN and longrope, whose long factors count where the model is loaded with a context past the
original one. [Sliding windows](#sliding-windows) of Mistral, Phi-3, Qwen 2 and 3 and Gemma 3 cost what they hold. Any field of a
config that is neither read nor known to change nothing is refused by name. Gemma's embeddings are multiplied by the root of the
hidden size itself, which BF16 would round.

MobileLLM-R1 is a dense Llama 4: experts are refused. Its context goes up to where all layers attend to all that is before, unscaled:
one chunk, where the config has layers of chunked attention, and up to \`floor_scale\` where layers that do not rotate scale their
queries. \`convert\` makes a ShishuLM of it.

Most blocks of LFM2 are short convolutions, which see the last 3 positions. What they see is kept by position, for as many positions as
run at once and those 3 (f32, in \`bytes.kv\`), so that conversations go on, go back and break off by the rule of [sliding
windows](#sliding-windows). Its attention can be left out by \`setModes\`, its convolutions cannot. It is neither trained nor converted.

`;
const doc = new URL('../docs/models.md', import.meta.url);
const [head, ...sections] = readFileSync(doc, 'utf8').split(/^(?=## )/m);
const others = sections.filter((each) => !each.startsWith('## Families'));
writeFileSync(doc, [head, section, ...others].join(''));
