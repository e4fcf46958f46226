// The section of docs/models.md on published configs: what the loader says of each.
import { sizeOf } from '../src/engine/size.ts';
import { ShishuError } from '../src/errors.ts';
import { specOf } from '../src/families/index.ts';
import { kvBytesPerToken, type ModelSpec, parameterCount, planOf } from '../src/model/spec.ts';
import { adapterOf, paperGpu } from '../test/support/paper-gpu.ts';

/** A model of test/fixtures/published-configs.json. */
export interface PublishedConfig {
  /** At the hub. */
  repo: string;
  /** Where the config comes from. */
  source: 'copy' | 'fields' | 'documented';
  config: Record<string, unknown>;
  /** What transformers makes of it; of those alone that are not refused. */
  judged?: {
    parameters: number;
    /** SHA-256 of the names and shapes of the tensors. */
    tensors: string;
    /** Elements of K and V of one token. */
    kv: number;
    /** Width of the window of each block that has one. */
    windows: number[];
    /** Sum of the frequencies, and factor of cosines and sines, of each way that blocks rotate. */
    ropes: [number, number][];
  };
}

/** The model of a config, or why it is refused. */
export function readPublished({ config }: PublishedConfig): ModelSpec | ShishuError {
  try {
    return specOf(config);
  } catch (error) {
    if (error instanceof ShishuError) return error;
    throw error;
  }
}

const gpu = paperGpu(adapterOf('gpu', true));
const grouped = (value: number): string => value.toLocaleString('en-US');

/** Decimal megabytes of the weights on the GPU. */
function megabytes(spec: ModelSpec, dtype: 'f16' | 'q8' | 'q4'): string {
  const { bytes } = sizeOf(gpu, spec, { dtype, kv: 'f16', contextLength: 1024, batch: 1 });
  return grouped(Math.round(bytes.weights / 1e6));
}

/** @param models of the fixture */
export function publishedSection(models: readonly PublishedConfig[]): string {
  const accepted: string[] = [];
  const refused: string[] = [];
  for (const model of models) {
    const { repo, source } = model;
    const read = readPublished(model);
    if (read instanceof ShishuError) {
      const said = read.message.replace('config.json: ', '').replace(/ Supported: .*/, '');
      refused.push(`| ${repo} | ${source} | ${said} |`);
      continue;
    }
    const sizes = [megabytes(read, 'f16'), megabytes(read, 'q8'), megabytes(read, 'q4')];
    const counts = [parameterCount(read), kvBytesPerToken(read, planOf(read), 2), read.maxPositions];
    const [parameters, kv, context] = counts.map(grouped);
    accepted.push(`| ${[repo, source, parameters, ...sizes, kv, context].join(' | ')} |`);
  }
  return `## Published configs

This section is written by \`scripts/make-configs-doc.mjs\` from \`test/fixtures/published-configs.json\`. It tells what the loader says of
the configs of these repositories; their weights were not run. The column config tells where each config comes from:

- *copy*: the text of a copy in public code, which for some was saved again by a later transformers;
- *fields*: the fields that public code quotes of it, the others as transformers writes them;
- *documented*: put together from the model's documentation, and no proof of what the file itself has.

Parameters, the names and shapes of all tensors, K and V of a token, windows and rotary frequencies are those that transformers has
for the same config (\`scripts/make-config-fixtures.py\`). Megabytes of weights are those on the GPU. Unasked, weights stored in 16 bits
are kept as f16. KV bytes are of one token in f16; blocks with a window stop adding to them [where it ends](#sliding-windows).

| repository | config | parameters | f16, MB | q8, MB | q4, MB | KV bytes a token | longest context |
|---|---|---|---|---|---|---|---|
${accepted.join('\n')}

These are refused before any weights are read:

| repository | config | the loader says |
|---|---|---|
${refused.join('\n')}

`;
}
