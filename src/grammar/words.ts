import type { Term, Terms } from './term.ts';

interface Node {
  next: Map<number, Node>;
  ends: boolean;
}

/** One of some texts, as a tree of their bytes: those that begin alike are one way to read until they part. */
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
  const made = new Map<Node, Term>();
  for (const node of nodes.reverse()) {
    const parts = [...node.next].map(([byte, next]) => terms.seq(terms.set(byte, byte), made.get(next)!));
    made.set(node, terms.any(node.ends ? [terms.empty, ...parts] : parts));
  }
  return made.get(root)!;
}
