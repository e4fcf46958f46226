/** A path that stays in its folder. */
export function isPlainPath(path: string): boolean {
  return !/[\\:]/.test(path) && path.split('/').every((part) => !/^\.{0,2}$/.test(part));
}
