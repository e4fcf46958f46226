import { existsSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../../.models/smollm2-135m-instruct');
// A run that was told to cover it fails without it.
const runs = existsSync(folder) || (process.env.EXPECT_MODELS?.split(',').includes('smollm2') ?? false);

/** The real model of scripts/get-smollm2.py, and what its tests are called: where it is missing, that they are skipped. */
export const SMOLLM2 = {
  folder,
  runs,
  name: `SmolLM2-135M-Instruct${runs ? '' : ' (skipped: python3 scripts/get-smollm2.py makes it)'}`,
};
