import { specOf } from '../families/index.ts';
import { readOptional } from '../formats/source.ts';
import { childTensors } from './child.ts';
import { MODELING_FILE } from './child-config.ts';
import type { Fit } from './fit.ts';
import type { OnGpu } from './on-gpu.ts';
import type { Share } from './share.ts';
import { type Staged, tensorFile } from './staged.ts';

const { [`./${MODELING_FILE}`]: MODELING = '' } = import.meta.glob<string>('./modeling_shishu.py', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** Files beside the weights that a child takes over from its parent. */
const COPIED = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
  'additional_chat_templates/tool_use.jinja',
  'generation_config.json',
];

/** Writes the child's folder but for its report. */
export async function writeChild(
  staged: Staged,
  parent: OnGpu,
  json: Record<string, unknown>,
  fits: ReadonlyMap<number, Fit>,
  share: Share,
): Promise<void> {
  await staged.write('config.json', `${JSON.stringify(json, null, 2)}\n`);
  await staged.write('model.safetensors', tensorFile(childTensors(parent, specOf(json), fits, share)));
  if (json.model_type === 'shishu') await staged.write(MODELING_FILE, MODELING);
  for (const file of COPIED) {
    const bytes = await readOptional(parent.source, file);
    if (bytes) await staged.write(file, bytes);
  }
}
