import { trainedText } from '../../src/convert/heal-plan.ts';
import { ShishuError } from '../../src/errors.ts';
import { bytes } from '../chat/format.ts';
import { type DeviceSpeed, durationText } from './device-speed.ts';
import type { Forecast, Work } from './forecast.ts';

/** Of a child that is healed further. */
export const furtherWork = ({ work: { text, written = 0, healing = 0 } }: Forecast): Work => ({
  ...(text && { text }),
  written,
  healing,
});

const diskOf = ({ diskBytes: { parent, child, checkpoint } }: Forecast): number =>
  parent + child + checkpoint;

export function forecastText(known: Forecast, { perSecond, measured }: DeviceSpeed): string {
  const { blocks, parameters, dtype, lost, plan, gpuBytes, work, tokensNeeded } = known;
  const seconds = Object.values(work).reduce((sum, each) => sum + each, 0) / perSecond;
  return [
    `${blocks} blocks, ${(parameters / 1e6).toPrecision(3)} million parameters in ${dtype}`,
    lost === undefined
      ? ', as many lose their attention as perplexity allows. '
      : `, ${lost} lose their attention. `,
    `Memory: about ${bytes(gpuBytes)} of the GPU`,
    plan ? ` (${bytes(plan.bytes)} of it for healing, which trains ${trainedText(plan.trained)})` : '',
    `, ${bytes(diskOf(known))} of this browser’s storage. `,
    `Text: at least ${tokensNeeded.toLocaleString('en')} tokens. `,
    `Time: about ${durationText(seconds)}`,
    measured ? ', by what the last one took here.' : ', a guess: this device has not converted yet.',
  ].join('');
}

/**
 * Why a device has no room for a conversion; undefined where nothing is known to speak against it.
 * @param memory most bytes that a model may take here, where there is reason for a limit
 * @param free bytes of storage
 */
export function whyNoRoom(
  known: Forecast,
  memory: number | undefined,
  free: number | undefined,
): ShishuError | undefined {
  const { gpuBytes, plan } = known;
  if (memory !== undefined && gpuBytes > memory)
    return new ShishuError(
      'does-not-fit',
      `This conversion takes about ${bytes(gpuBytes)} of memory, of ${bytes(memory)} that it may on this device.`,
      {
        details: { bytes: gpuBytes, limit: memory },
        mend: plan
          ? 'Heal less of it (changed blocks, or LoRA), do without healing, or choose a smaller parent.'
          : 'Choose a smaller parent, or a computer with more memory.',
      },
    );
  const needed = diskOf(known);
  if (free === undefined || needed <= free) return undefined;
  return new ShishuError(
    'io',
    `This conversion takes about ${bytes(needed)} of the browser's storage, of ${bytes(free)} that are free.`,
    {
      details: { needed, free },
      mend: 'Free some disk space, remove models that were made before, or heal less.',
    },
  );
}
