import { refuseOption } from '../errors.ts';
import { checkProfile } from '../gpu/profile.ts';
import { DTYPES, DTYPES_TEXT } from '../quant/index.ts';
import { checkTuning } from './kept-tuning.ts';
import type { LoadOptions } from './types.ts';

/** Checks what can be wrong with options whatever the model. */
export function checkLoadOptions({
  dtype = 'auto',
  kv = 'auto',
  batch = 1,
  selfTest = true,
  tune,
  tuning,
  profile,
}: LoadOptions) {
  if (!['auto', ...DTYPES].includes(dtype)) refuseOption('dtype', dtype, `auto, ${DTYPES_TEXT}`);
  if (kv !== 'auto' && kv !== 'f32' && kv !== 'f16') refuseOption('kv', kv, 'auto, f32 or f16');
  if (typeof selfTest !== 'boolean') refuseOption('selfTest', selfTest, 'true or false');
  if (!Number.isInteger(batch) || batch < 1 || batch > 256)
    refuseOption('batch', batch, 'a whole number from 1 to 256');
  if (tune !== undefined && typeof tune !== 'boolean' && tune !== 'off')
    refuseOption('tune', tune, "true, false or 'off'");
  if (tuning !== undefined) checkTuning(tuning);
  if (profile !== undefined) checkProfile(profile);
  return { dtype, kv, batch };
}
