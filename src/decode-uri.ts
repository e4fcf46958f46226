/** Part of an address without its escapes; undefined where a `%` begins none, or they are no UTF-8. */
export function decodeUri(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
