const UNITS = ['B', 'kB', 'MB', 'GB'];

/** Bytes for people: three digits and a unit (powers of 1000). */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${digits(value)} ${UNITS[unit]}`;
}

/** A positive number with three digits that matter, whole ones kept. */
export function digits(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3);
}

/** Milliseconds, from 10 s on seconds. */
export function milliseconds(ms: number): string {
  return ms < 10_000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}
