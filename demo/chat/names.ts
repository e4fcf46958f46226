/** Characters that turn the text around them, or that show nothing. */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}]/gu;
const MOST = 120;

/** A name that came from a file, a server or a model, so that it can only look like what it is. */
export function plainName(name: string): string {
  const plain = name.replace(UNSEEN, '');
  return plain.length <= MOST ? plain : `${plain.slice(0, MOST - 1)}…`;
}
