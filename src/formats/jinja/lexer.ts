// The tokens of a template, as Python's jinja2 takes it apart with trim_blocks and lstrip_blocks.
import { TemplateFault } from './faults.ts';
import { concatenationsFirst, refuseChains, rewritten, type Token, token } from './rewrite.ts';
import { stripEnd, WHITE } from './values.ts';

const OPERATORS: readonly [string, string][] = [
  ['**', 'ExponentiationBinaryOperator'],
  ['//', 'MultiplicativeBinaryOperator'],
  ['<=', 'ComparisonBinaryOperator'],
  ['>=', 'ComparisonBinaryOperator'],
  ['==', 'ComparisonBinaryOperator'],
  ['!=', 'ComparisonBinaryOperator'],
  ['<', 'ComparisonBinaryOperator'],
  ['>', 'ComparisonBinaryOperator'],
  ['+', 'AdditiveBinaryOperator'],
  ['-', 'AdditiveBinaryOperator'],
  ['~', 'AdditiveBinaryOperator'],
  ['*', 'MultiplicativeBinaryOperator'],
  ['/', 'MultiplicativeBinaryOperator'],
  ['%', 'MultiplicativeBinaryOperator'],
  ['(', 'OpenParen'],
  [')', 'CloseParen'],
  ['{', 'OpenCurlyBracket'],
  ['}', 'CloseCurlyBracket'],
  ['[', 'OpenSquareBracket'],
  [']', 'CloseSquareBracket'],
  [',', 'Comma'],
  ['.', 'Dot'],
  [':', 'Colon'],
  ['|', 'Pipe'],
  ['=', 'Equals'],
];
const OPENING = ['(', '[', '{'];
const CLOSING = [')', ']', '}'];

const SPACE = new RegExp(`[${WHITE}]*`, 'uy');
const NUMBER =
  /(?:0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d[\d_]*)?)/uy;
const NAME = /[\p{L}\p{N}_]+/uy;
const STRING = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y;
const RAW = new RegExp(`\\{%[-+]?[${WHITE}]*raw[${WHITE}]*(-%\\}[${WHITE}]*|%\\})`, 'uy');
const ENDRAW = new RegExp(`\\{%([-+]?)[${WHITE}]*endraw[${WHITE}]*(\\+%\\}|-%\\}[${WHITE}]*|%\\}\\n?)`, 'u');
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${WHITE}]*|#\\}\\n?`, 'u');
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}[${WHITE}]*|%\\}\\n?`, 'uy');
const VARIABLE_END = new RegExp(`-\\}\\}[${WHITE}]*|\\}\\}`, 'uy');

const ESCAPES: Record<string, string> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
};

/** What a string literal stands for; an escape that there is not stays as it is. */
function unescaped(literal: string): string {
  return literal.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x, u, long, octal, other) => {
      const hex = x ?? u ?? long;
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      return ESCAPES[other] ?? whole;
    },
  );
}

/** A number as the parser reads it: a float has a point, and an integer that a float cannot hold stands as a name. */
function numberToken(literal: string): Token {
  const text = literal.replaceAll('_', '');
  if (!/^0[xob]/i.test(text) && /[.e]/i.test(text))
    return token('NumericLiteral', text.includes('.') ? text : text.replace(/(?=e)/i, '.0'));
  const whole = BigInt(text);
  return token(Number.isSafeInteger(Number(whole)) ? 'NumericLiteral' : 'Identifier', String(whole));
}

/** @throws TemplateFault for what is no template */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let at = 0;
  let lineStarting = true;

  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const fault = (message: string): never => {
    const line = source.slice(0, at).split('\n').length;
    throw new TemplateFault(`line ${line}: ${message}`);
  };
  const addText = (text: string): void => {
    if (text) tokens.push(token('Text', text));
  };
  /** Text before a tag, less what the tag strips. */
  const before = (text: string, sign: string, variable: boolean): string => {
    if (sign === '-') return stripEnd(text);
    if (sign === '+' || variable) return text;
    const line = text.lastIndexOf('\n') + 1;
    const alone = (line > 0 || lineStarting) && stripEnd(text.slice(line)) === '';
    return alone ? text.slice(0, line) : text;
  };
  /** What stands in a tag, up to its end. */
  const inside = (end: RegExp): Token[] => {
    const found: Token[] = [];
    const open: string[] = [];
    for (;;) {
      match(SPACE);
      if (at >= source.length) return fault('a tag is not closed.');
      if (open.length === 0) {
        const closed = match(end);
        if (closed !== undefined) {
          lineStarting = closed.endsWith('\n');
          refuseChains(found);
          return found;
        }
      }
      const number = /\d/.test(source[at]!) && !(found.at(-1)?.type === 'Dot') ? match(NUMBER) : undefined;
      if (number !== undefined) {
        found.push(numberToken(number));
        continue;
      }
      const name = match(NAME);
      if (name !== undefined) {
        found.push(token(/^\d/.test(name) ? 'NumericLiteral' : 'Identifier', name));
        continue;
      }
      const string = match(STRING);
      if (string !== undefined) {
        found.push(token('StringLiteral', unescaped(string.slice(1, -1))));
        continue;
      }
      const [sign, type] = OPERATORS.find(([each]) => source.startsWith(each, at)) ?? [];
      if (sign === undefined) return fault(`unexpected character ${JSON.stringify(source[at])}.`);
      if (OPENING.includes(sign)) open.push(CLOSING[OPENING.indexOf(sign)]!);
      else if (CLOSING.includes(sign) && open.pop() !== sign) return fault(`unexpected "${sign}".`);
      found.push(token(type!, sign));
      at += sign.length;
    }
  };

  while (at < source.length) {
    const rest = source.slice(at);
    const tag = rest.search(/\{[%{#]/);
    if (tag < 0) {
      addText(rest);
      break;
    }
    const text = rest.slice(0, tag);
    at += tag;
    const kind = source[at + 1]!;
    const sign = /[-+]/.test(source[at + 2] ?? '') ? source[at + 2]! : '';
    addText(before(text, sign, kind === '{'));
    const raw = match(RAW);
    if (raw !== undefined) {
      const end = ENDRAW.exec(source.slice(at)) ?? fault('raw text is not closed.');
      const held = source.slice(at, at + end.index);
      lineStarting = raw.endsWith('\n');
      addText(before(held, end[1]!, false));
      at += end.index + end[0].length;
      lineStarting = end[0].endsWith('\n');
      continue;
    }
    at += 2 + sign.length;
    if (kind === '#') {
      const end = COMMENT_END.exec(source.slice(at)) ?? fault('a comment is not closed.');
      at += end.index + end[0].length;
      lineStarting = end[0].endsWith('\n');
      continue;
    }
    let content = inside(kind === '%' ? BLOCK_END : VARIABLE_END);
    // Marks what a model is trained on: a block that is written as it is.
    const marked = kind === '%' && content.length === 1 && /^(end)?generation$/.exec(content[0]!.value);
    if (marked)
      content = marked[1]
        ? [token('Identifier', 'endfilter')]
        : [token('Identifier', 'filter'), token('Identifier', 'string')];
    const [open, close] = kind === '%' ? ['{%', '%}'] : ['{{', '}}'];
    const what = kind === '%' ? 'Statement' : 'Expression';
    tokens.push(
      token(`Open${what}`, open!),
      ...concatenationsFirst(rewritten(content)),
      token(`Close${what}`, close!),
    );
  }
  return tokens;
}
