/** The bytes behind a URL that `import.meta.glob` gave. */
export async function bytesAt(url: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}

export const unbase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** f32 values, as fixtures have them. */
export const unpacked = (base64: string): Float32Array<ArrayBuffer> =>
  new Float32Array(unbase64(base64).buffer);
