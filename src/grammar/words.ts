import type { Term, Terms } from './term.ts';

interface Node {
  next: Map<number, Node>;
  ends: boolean;
}

/** Any of some texts, as a trie of their bytes: texts share the path of their common prefix. */
export function words(terms: Terms, texts: Iterable<string>): Term {
  const root: Node = { next: new Map(), ends: false };
  // Parents come before their children.
  const nodes = [root];
  for (const text of texts) {
    let at = root;
    for (const byte of new TextEncoder().encode(text)) {
      let next = at.next.get(byte);
      if (!next) {
        next = { next: new Map(), ends: false };
        at.next.set(byte, next);
        nodes.push(next);
      }
      at = next;
    }
    at.ends = true;
  }
  const termOf = new Map<Node, Term>();
  for (const node of nodes.reverse()) {
    const branches = [...node.next].map(([byte, next]) =>
      terms.seq(terms.set(byte, byte), termOf.get(next)!),
    );
    termOf.set(node, terms.any(node.ends ? [terms.empty, ...branches] : branches));
  }
  return termOf.get(root)!;
}
