/** Whether this is a phone or a tablet, whose system ends pages that take much memory or run hidden. */
export function isPhone({ userAgent, maxTouchPoints } = navigator): boolean {
  // An iPad says that it is a Mac, and Macs have no touch screens.
  return (
    /Android|iPhone|iPad|iPod|Mobile/.test(userAgent) || (/Macintosh/.test(userAgent) && maxTouchPoints > 1)
  );
}

const GB = 1e9;

/**
 * Most bytes that a model may take here, undefined where there is no reason for a limit. Systems of phones end a page that takes
 * a large part of the memory, without a word: iOS at about 1.5 GB, Android at about a half of what the device has.
 */
export function memoryLimit({ phone, deviceGb } = deviceHere()): number | undefined {
  if (phone) return deviceGb === undefined ? 1.2 * GB : Math.min(4, Math.max(0.5, 0.4 * deviceGb)) * GB;
  // Browsers tell of no more than 8 GB.
  return deviceGb !== undefined && deviceGb <= 4 ? 0.5 * deviceGb * GB : undefined;
}

const deviceHere = (): { phone: boolean; deviceGb: number | undefined } => ({
  phone: isPhone(),
  deviceGb: (navigator as { deviceMemory?: number }).deviceMemory,
});

/** On a phone a hidden page waits until it is seen again; elsewhere a reply goes on behind other tabs. */
export async function whenVisible(signal?: AbortSignal): Promise<void> {
  if (!globalThis.document?.hidden || signal?.aborted || !isPhone()) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      if (document.hidden && !signal?.aborted) return;
      document.removeEventListener('visibilitychange', end);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    document.addEventListener('visibilitychange', end);
    signal?.addEventListener('abort', end);
  });
}

/** Keeps the screen awake until the function that it returns is called; a page that was hidden meanwhile asks again. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | undefined;
  let ended = false;
  const ask = async (): Promise<void> => {
    if (document.hidden || (lock && !lock.released)) return;
    // A device that is low on power refuses.
    lock = await navigator.wakeLock?.request('screen').catch(() => undefined);
    if (ended) void lock?.release();
  };
  void ask();
  document.addEventListener('visibilitychange', ask);
  return () => {
    ended = true;
    document.removeEventListener('visibilitychange', ask);
    void lock?.release();
  };
}
