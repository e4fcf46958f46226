import { calibrate } from './calibrate.ts';
import { type Choice, type ChooseOptions, choiceText, chooseBlocks } from './choose.ts';
import type { Log } from './healing-run.ts';
import type { OnGpu } from './on-gpu.ts';
import { recallListsOf } from './recall.ts';
import { timeLeft } from './time-left.ts';
import { countTokens, type Windows } from './windows.ts';

export type ChoosingOptions = Pick<ChooseOptions, 'weights' | 'among' | 'notes' | 'onMeasured' | 'onChosen'>;

/** Chooses blocks one by one, with maps in their place where the child is to have them. */
export async function chooseLayers(
  parent: OnGpu,
  windows: Windows,
  target: Pick<ChooseOptions, 'mode' | 'count' | 'within'>,
  options: ChoosingOptions & { log?: Log | undefined; signal?: AbortSignal | undefined } = {},
): Promise<Choice> {
  const { runner, plan, spec, source } = parent;
  const { log = () => {}, signal, ...choosing } = options;
  const lists = recallListsOf(parent, windows);
  // Every block needs a map to be compared with the others.
  if (target.mode === 'linear') {
    const calibrated = countTokens(windows.calibration) + countTokens(windows.choosing);
    const told = timeLeft(log, 'fitting a map to every block', calibrated);
    await calibrate(
      runner,
      plan,
      windows,
      plan.filter(({ kind }) => kind === 'attention').map(({ layer }) => layer),
      { signal, onProgress: told },
    );
  }
  const tokens = countTokens(windows.choosing) + countTokens(lists.map(({ ids }) => ids));
  const told = timeLeft(log, 'choosing blocks', tokens);
  const choice = await chooseBlocks(runner, plan, windows.choosing, lists, {
    ...target,
    ...choosing,
    about: JSON.stringify([source.name, spec, windows.calibration]),
    signal,
    onProgress: told,
    onChosen: (block, measure) => {
      const { nats, recall } = measure;
      choosing.onChosen?.(block, measure);
      log(
        `block ${block.layer}: ${(block.nats - nats).toFixed(3)} nats over the parent` +
          (recall && block.recall
            ? `, recall ${block.recall.accuracy.toFixed(2)} of ${recall.accuracy.toFixed(2)}`
            : ''),
      );
    },
  });
  log(choiceText(target.mode === 'skip' ? 'dropped' : 'linear', choice));
  return choice;
}
