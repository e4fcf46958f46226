const CONSTANTS: Record<string, number> = { pi: Math.PI, e: Math.E };
const FUNCTIONS: Record<string, (x: number) => number> = {
  abs: Math.abs,
  ceil: Math.ceil,
  cos: Math.cos,
  exp: Math.exp,
  floor: Math.floor,
  ln: Math.log,
  log: Math.log10,
  round: Math.round,
  sin: Math.sin,
  sqrt: Math.sqrt,
  tan: Math.tan,
};
const TOKEN = /\s*(?:(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)|([a-z]\w*)|(\*\*|[-+*/%^()])|(\S))/giy;
/** Deepest brackets and longest chains of signs. */
const MOST_DEPTH = 100;

/**
 * Works out an expression: numbers, + - * / % ^ (or **), brackets, pi, e, and functions of one number as sqrt(2).
 * @throws Error that says what is wrong with it
 */
export function calculate(expression: string): number {
  const tokens = tokensOf(expression);
  let at = 0;
  let depth = 0;
  const take = (...signs: string[]): string | undefined =>
    signs.includes(tokens[at]!) ? tokens[at++] : undefined;
  const within = <T>(read: () => T): T => {
    if (++depth > MOST_DEPTH) throw new Error('It is nested too deeply.');
    const value = read();
    depth--;
    return value;
  };

  const sum = (): number => {
    let value = product();
    for (let sign = take('+', '-'); sign; sign = take('+', '-')) {
      const other = product();
      value = sign === '+' ? value + other : value - other;
    }
    return value;
  };
  const product = (): number => {
    let value = signed();
    for (let sign = take('*', '/', '%'); sign; sign = take('*', '/', '%')) {
      const other = signed();
      if (sign !== '*' && other === 0) throw new Error('It divides by zero.');
      value = sign === '*' ? value * other : sign === '/' ? value / other : value % other;
    }
    return value;
  };
  const signed = (): number => {
    const sign = take('+', '-');
    if (!sign) return power();
    const value = within(signed);
    return sign === '-' ? -value : value;
  };
  const power = (): number => {
    const base = single();
    // From the right: 2 ^ 3 ^ 2 is 2 ^ 9.
    return take('^', '**') ? base ** within(signed) : base;
  };
  const bracket = (): number => {
    const value = within(sum);
    if (!take(')')) throw new Error('A ")" is missing.');
    return value;
  };
  const single = (): number => {
    if (take('(')) return bracket();
    const token = tokens[at++];
    if (token === undefined) throw new Error('It ends too early.');
    if (/^[\d.]/.test(token)) return Number(token);
    const name = token.toLowerCase();
    if (Object.hasOwn(FUNCTIONS, name) && take('(')) return FUNCTIONS[name]!(bracket());
    if (Object.hasOwn(CONSTANTS, name)) return CONSTANTS[name]!;
    throw new Error(`"${token}" is not understood.`);
  };

  const value = sum();
  if (at < tokens.length) throw new Error(`"${tokens[at]}" is not understood.`);
  if (!Number.isFinite(value)) throw new Error('The result is no finite number.');
  // 0.1 + 0.2 is 0.3 to people.
  return Number(value.toPrecision(15));
}

function tokensOf(expression: string): string[] {
  const tokens: string[] = [];
  for (const [, number, name, sign, other] of expression.trimEnd().matchAll(TOKEN)) {
    if (other !== undefined) throw new Error(`"${other}" is not understood.`);
    tokens.push((number ?? name ?? sign)!);
  }
  return tokens;
}
