import type { Log } from './healing-run.ts';

/** Seconds as 0:07, 12:30 or 1:02:30. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

const EVERY_MS = 5000;

/**
 * Tells how far something is, how long it has taken and will about take: as it begins, at its end, and every few seconds between.
 * @param tokens of the text that it goes over
 */
export function timeLeft(
  log: Log,
  what: string,
  tokens?: number,
  now: () => number = () => performance.now(),
): (done: number, total: number) => void {
  const begun = now();
  let told = begun;
  log(`${what}: 0 %, 0:00${tokens === undefined ? '' : `, ${tokens} tokens`}`, 0, 1);
  return (done, total) => {
    const at = now();
    if (done < total && at - told < EVERY_MS) return;
    told = at;
    const seconds = (at - begun) / 1000;
    const left = done > 0 && done < total ? `, about ${clock((seconds * (total - done)) / done)} left` : '';
    log(`${what}: ${Math.floor((100 * done) / total)} %, ${clock(seconds)}${left}`, done, total);
  };
}
