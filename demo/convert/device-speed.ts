// How fast this device converts: a guess before the first conversion, what the last one took after it.

/** Multiply-adds a second. */
export interface DeviceSpeed {
  perSecond: number;
  measured: boolean;
}

const KEY = 'shishulm-conversion-speed';
const GUESSES = { software: 4e9, gpu: 4e11 };

async function adapterOf(): Promise<{ name: string; software: boolean }> {
  const info = (await navigator.gpu?.requestAdapter())?.info;
  const name = [info?.vendor, info?.architecture, info?.description].filter(Boolean).join(' ');
  return { name, software: /swiftshader|llvmpipe|lavapipe/i.test(name) };
}

function kept(): Record<string, number> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}');
  } catch {
    // Blocked, or of another page.
    return {};
  }
}

export async function deviceSpeed(): Promise<DeviceSpeed> {
  const { name, software } = await adapterOf();
  const measured = kept()[name];
  if (typeof measured === 'number' && measured > 0) return { perSecond: measured, measured: true };
  return { perSecond: software ? GUESSES.software : GUESSES.gpu, measured: false };
}

export async function keepSpeed(perSecond: number): Promise<void> {
  if (!(perSecond > 0 && Number.isFinite(perSecond))) return;
  const { name } = await adapterOf();
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...kept(), [name]: perSecond }));
  } catch {
    // Blocked or full: the next estimate is a guess again.
  }
}

/** A time to come, as people say it. */
export function durationText(seconds: number): string {
  if (seconds < 10) return 'a few seconds';
  if (seconds < 90) return `${Math.ceil(seconds / 5) * 5} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
