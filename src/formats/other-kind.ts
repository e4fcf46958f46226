/** What came in place of a file. */
export interface OtherKind {
  what: string;
  mend: string;
  /** A page or a message of a server, which it may send for files that it has not. */
  page: boolean;
}

const LFS = 'version https://git-lfs.github.com/spec/';
const PACKED = 'Unpack it first, or let the server say how it is packed (Content-Encoding).';
const PAGE = 'The server has a page in its place: check the address, and whether it asks for a login.';

const isOf = (bytes: Uint8Array, ...magic: number[]): boolean => magic.every((byte, i) => bytes[i] === byte);

/**
 * What bytes are that should have been weights or JSON, judged by their beginning (eight bytes are enough); undefined where
 * that says nothing.
 */
export function otherKind(bytes: Uint8Array): OtherKind | undefined {
  const kind = (what: string, mend: string, page = false): OtherKind => ({ what, mend, page });
  const begin = String.fromCharCode(...bytes.subarray(0, 64));
  if (begin.length >= 8 && (begin.startsWith(LFS) || LFS.startsWith(begin)))
    return kind(
      'a Git LFS pointer, not the file that it stands for',
      'Run "git lfs pull" in the folder, or download the file itself.',
    );
  if (isOf(bytes, 0x1f, 0x8b)) return kind('packed with gzip', PACKED);
  if (isOf(bytes, 0x28, 0xb5, 0x2f, 0xfd)) return kind('packed with zstd', PACKED);
  if (begin.startsWith('GGUF')) return kind('a GGUF file', 'Give the file by a name that ends in .gguf.');
  if (begin.startsWith('PK\x03\x04'))
    return kind("a zip archive, as PyTorch's checkpoints are", 'Convert the weights to safetensors.');
  const text = begin.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/^<(!doctyp|html|head|body)/i.test(text)) return kind('an HTML page', PAGE, true);
  if (/^<\?xml/i.test(text)) return kind('an XML document', PAGE, true);
  return undefined;
}
