import { TemplateFault } from './faults.ts';

/** A token in the words of @huggingface/jinja, whose parser takes them. */
export interface Token {
  type: string;
  value: string;
}

export const token = (type: string, value: string): Token => ({ type, value });

/** The name of a tuple without items. */
export const EMPTY_TUPLE = '()';
/** The filter that makes a tuple of a value. */
export const TUPLE_OF_ONE = '(,)';

/** Tests that may take their argument without parentheses. */
const WITH_ARGUMENT = /^(divisibleby|sameas|in|eq|equalto|ne|gt|greaterthan|ge|lt|lessthan|le)$/;

/** One past the bracket that closes the one at `start`. */
function closing(tokens: readonly Token[], start: number): number {
  let depth = 0;
  for (let i = start; i < tokens.length; i++) {
    if (tokens[i]!.type.startsWith('Open')) depth++;
    else if (tokens[i]!.type.startsWith('Close') && --depth === 0) return i + 1;
  }
  return tokens.length;
}

/** One past the operand that begins at `start`: a literal, a name or brackets, and what is taken of it. */
function operandEnd(tokens: readonly Token[], start: number): number {
  let end = tokens[start]?.type.startsWith('Open') ? closing(tokens, start) : start + 1;
  for (;;) {
    const type = tokens[end]?.type;
    if (type === 'Dot') end += 2;
    else if (type === 'OpenSquareBracket' || type === 'OpenParen') end = closing(tokens, end);
    else return end;
  }
}

/** Words before which brackets are no call. */
const WORDS = /^(in|not|and|or|else|if|is)$/;

/** Whether the brackets at a place are those of a call. */
function isCall(tokens: readonly Token[], at: number): boolean {
  const { type, value } = tokens[at - 1] ?? token('', '');
  return type === 'Identifier' ? !WORDS.test(value) : /^(Close|String)/.test(type);
}

/** `()` and `(a,)`, and a comma before the end of longer ones; undefined for other brackets. */
function tuple(inner: readonly Token[]): Token[] | undefined {
  if (inner.length === 0) return [token('Identifier', EMPTY_TUPLE)];
  if (inner.at(-1)!.type !== 'Comma') return undefined;
  let commas = 0;
  for (let i = 0; i < inner.length; i = operandEnd(inner, i)) if (inner[i]!.type === 'Comma') commas++;
  const inBrackets = (tokens: readonly Token[]): Token[] => [
    token('OpenParen', '('),
    ...tokens,
    token('CloseParen', ')'),
  ];
  const items = inBrackets(rewritten(inner.slice(0, -1)));
  return commas > 1 ? items : inBrackets([...items, token('Pipe', '|'), token('Identifier', TUPLE_OF_ONE)]);
}

/** Says in other words what the parser does not know: tests with arguments, which become filters (`is NAME`, `is not NAME`), and some tuples. */
export function rewritten(tokens: readonly Token[]): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]!.type === 'OpenParen' && !isCall(tokens, i)) {
      const end = closing(tokens, i);
      const asTuple = tuple(tokens.slice(i + 1, end - 1));
      if (asTuple) {
        out.push(...asTuple);
        i = end - 1;
        continue;
      }
    }
    const isTest =
      tokens[i]!.type === 'Identifier' && tokens[i]!.value === 'is' && out.at(-1)?.type !== 'Dot';
    if (!isTest) {
      out.push(tokens[i]!);
      continue;
    }
    const negated = tokens[i + 1]?.value === 'not' && tokens[i + 1]?.type === 'Identifier';
    const at = i + (negated ? 2 : 1);
    const name = tokens[at]?.value ?? '';
    let argument: Token[] = [];
    let end = at + 1;
    if (tokens[end]?.type === 'OpenParen') {
      const close = closing(tokens, end);
      argument = tokens.slice(end + 1, close - 1);
      end = close;
    } else if (WITH_ARGUMENT.test(name)) {
      const close = operandEnd(tokens, end);
      argument = tokens.slice(end, close);
      end = close;
    }
    out.push(
      token('Pipe', '|'),
      token('Identifier', `is ${negated ? 'not ' : ''}${name}`),
      token('OpenParen', '('),
      ...rewritten(argument),
      token('CloseParen', ')'),
    );
    i = end - 1;
  }
  return out;
}

/** Signs and words beside which a concatenation ends; a sign without an operand before it is that of a number. */
const APART_OF_CONCATENATION = /^(Comma|Colon|Equals|ComparisonBinaryOperator|AdditiveBinaryOperator)$/;
const WORDS_APART = /^(and|or|not|if|elif|else|in|for|set)$/;

/** The parser takes `+`, `-` and `~` in turn; in Python's jinja2 `~` binds closer: brackets say so. */
export function concatenationsFirst(tokens: readonly Token[]): Token[] {
  const out: Token[] = [];
  const outer: { start: number; concatenates: boolean }[] = [];
  let start = 0;
  let concatenates = false;
  const end = (): void => {
    if (!concatenates) return;
    out.splice(start, 0, token('OpenParen', '('));
    out.push(token('CloseParen', ')'));
  };
  for (const each of tokens) {
    const { type, value } = each;
    const before = out.at(-1);
    const hasOperand =
      before !== undefined &&
      (/^(Close|Numeric|String)/.test(before.type) ||
        (before.type === 'Identifier' && !WORDS_APART.test(before.value)));
    const isApart =
      type === 'Identifier'
        ? WORDS_APART.test(value) && before?.type !== 'Dot'
        : APART_OF_CONCATENATION.test(type) && value !== '~' && (!type.startsWith('Additive') || hasOperand);
    if (isApart || type.startsWith('Close')) end();
    if (type.startsWith('Close')) ({ start, concatenates } = outer.pop() ?? { start, concatenates });
    out.push(each);
    if (type.startsWith('Open')) outer.push({ start, concatenates });
    if (isApart || type.startsWith('Open')) {
      start = out.length;
      concatenates = false;
    } else if (value === '~' && type.startsWith('Additive')) concatenates = true;
  }
  end();
  return out;
}

/** Words and signs after which another comparison begins. */
const APART = /^(and|or|if|elif|else|for|set|=|,|:)$/;

/** The parser reads `a < b < c` as `(a < b) < c`, which Python does not mean by it. @throws TemplateFault */
export function refuseChains(tokens: readonly Token[]): void {
  const outer: boolean[] = [];
  let compared = false;
  let loop = false;
  tokens.forEach(({ type, value }, i) => {
    const [last, before] = [tokens[i - 1]?.value, tokens[i - 2]?.value];
    const tested = last === 'is' || (last === 'not' && before === 'is');
    const isIn = type === 'Identifier' && value === 'in' && !tested;
    if (type.startsWith('Open')) {
      outer.push(compared);
      compared = false;
    } else if (type.startsWith('Close')) compared = outer.pop() ?? false;
    else if (type === 'StringLiteral') return;
    else if (APART.test(value)) {
      compared = false;
      loop ||= value === 'for' && i === 0;
    } else if (isIn && loop) loop = false;
    else if (isIn || type === 'ComparisonBinaryOperator') {
      if (compared) throw new TemplateFault('chains of comparisons, like "a < b < c", are not supported');
      compared = true;
    }
  });
}
