// Writes docs/models.md: the families, what each took, and how far its logits are from transformers', as the test says:
//   npx vitest run --project dawn test/kernel/families.test.ts | node scripts/make-models-doc.mjs
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';

const FOLDS = ['src/model/spec.ts', 'src/model/fold.ts', 'src/model/weights.ts', 'src/model/load.ts'];
const ROPE = ['src/families/rope.ts', 'src/model/rope.ts', 'src/model/spec.ts'];
const ROWS = ['src/model/spec.ts', 'src/formats/checkpoint.ts', 'src/families/decoder.ts'];

/**
 * Model type, repositories whose configs it is for, tiny models, the file of its own, files of what it needed first.
 * @type {[string, string, string[], string, string[]][]}
 */
const FAMILIES = [
  ['llama', 'HuggingFaceTB/SmolLM2-135M-Instruct, meta-llama/Llama-3.2-1B', ['llama'], 'llama.ts', []],
  ['mistral', 'mistralai/Mistral-7B-Instruct-v0.3', ['mistral'], 'llama.ts', []],
  ['qwen2', 'Qwen/Qwen2.5-0.5B-Instruct', ['qwen2'], 'qwen.ts', []],
  ['qwen3', 'Qwen/Qwen3-0.6B', ['qwen3', 'yarn'], 'qwen.ts', ROPE],
  ['smollm3', 'HuggingFaceTB/SmolLM3-3B', ['smollm3'], 'smollm3.ts', []],
  ['granite', 'ibm-granite/granite-3.3-2b-instruct', ['granite'], 'granite.ts', FOLDS],
  ['granitemoehybrid', 'ibm-granite/granite-4.0-350m', ['granite4'], 'granite.ts', [...FOLDS, ...ROWS]],
  ['phi3', 'microsoft/Phi-4-mini-instruct', ['phi3', 'phi3-long'], 'phi.ts', [...ROPE, ...ROWS, ...FOLDS]],
];

const said = stripVTControlCharacters(await text(process.stdin));
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
  return `| \`${type}\` | ${repositories} | ${worst(models)} | yes | ${took} |`;
});

writeFileSync(
  new URL('../docs/models.md', import.meta.url),
  `# Models

Written by \`scripts/make-models-doc.mjs\` from what \`test/kernel/families.test.ts\` says. Each family is judged on tiny random
models that transformers made (\`scripts/make-family-fixtures.py\`): logits of a prompt in f32 within 1e-4 of the largest, 64 greedy
tokens equal, also two replies at once, and a layer without its attention. The weights of the repositories named were not run.

| \`model_type\` | configs it is for | worst relative error of logits | 64 greedy tokens equal | files in \`src/families\` it took |
|---|---|---|---|---|
${rows.join('\n')}

\`mobilellm\` is read as \`llama\`; \`shishu-llama\` is the project's own. Rotary embeddings: default, linear, dynamic (up to the
model's own context), llama3, YaRN and longrope, whose long factors count where the model is loaded with a context past the
original one. A sliding window narrower than the context, and any field of a config that is neither read nor known to change
nothing, is refused by name.
`,
);
