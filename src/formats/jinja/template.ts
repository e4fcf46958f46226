// Chat templates as transformers runs them. The parser is that of @huggingface/jinja; its interpreter and its lexer differ from
// Python's jinja2 in ways that change prompts (test/unit/jinja.test.ts says in which, and when this can go).
import { parse } from '@huggingface/jinja';
import { LoopExit, runBlock, Scope } from './evaluate.ts';
import { Refusal, TemplateFault } from './faults.ts';
import { tokenize } from './lexer.ts';
import type { Node } from './nodes.ts';
import {
  type Callable,
  fromJs,
  intOf,
  iterate,
  Namespace,
  str,
  Undefined,
  type Value,
  view,
} from './values.ts';
import { freeNames } from './variables.ts';

const nameIn = (date: Date, field: 'weekday' | 'month', length: 'long' | 'short'): string =>
  date.toLocaleDateString('en-US', { [field]: length });

/** Python's `strftime`, in English. */
function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const dayOfYear = (): number =>
    1 +
    Math.round(
      (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) /
        864e5,
    );
  const hour = date.getHours() % 12 || 12;
  const parts: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    e: () => String(date.getDate()).padStart(2, ' '),
    B: () => nameIn(date, 'month', 'long'),
    b: () => nameIn(date, 'month', 'short'),
    A: () => nameIn(date, 'weekday', 'long'),
    a: () => nameIn(date, 'weekday', 'short'),
    j: () => String(dayOfYear()).padStart(3, '0'),
    H: () => two(date.getHours()),
    I: () => two(hour),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    f: () => String(date.getMilliseconds() * 1000).padStart(6, '0'),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    w: () => String(date.getDay()),
    F: () => strftime(date, '%Y-%m-%d'),
    D: () => strftime(date, '%m/%d/%y'),
    T: () => strftime(date, '%H:%M:%S'),
    R: () => strftime(date, '%H:%M'),
    Z: () => '',
    z: () => '',
    '%': () => '%',
  };
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, bare, letter) => {
    const text = parts[letter]?.() ?? whole;
    return bare ? text.replace(/^[0 ]+(?=.)/, '') : text;
  });
}

const range: Callable = (args) => {
  const [start, stop, step] =
    args.length > 1 ? [args[0]!, args[1]!, args[2] ?? BigInt(1)] : [BigInt(0), args[0] ?? null, BigInt(1)];
  const [from, to, by] = [intOf(start), intOf(stop), intOf(step)];
  const count = by === 0 ? Number.NaN : Math.ceil((to - from) / by);
  if (!(count <= 100_000)) throw new TypeError(`a range of ${count} numbers is too long`);
  const numbers = Array.from({ length: Math.max(0, count) }, (_, i) => BigInt(from + i * by));
  return view('range', numbers, () => `range(${from}, ${to}${by === 1 ? '' : `, ${by}`})`);
};

const dict = ([from]: Value[], named: ReadonlyMap<string, Value>): Map<Value, Value> => {
  const entries = from instanceof Map ? [...from] : iterate(from ?? []).map((pair) => iterate(pair));
  return new Map<Value, Value>([...(entries as [Value, Value][]), ...named]);
};

function joiner([separator]: Value[], named: ReadonlyMap<string, Value>): Callable {
  const given = separator === undefined ? named.get('sep') : separator;
  let used = false;
  return () => {
    const text = used ? str(given === undefined ? ', ' : given) : '';
    used = true;
    return text;
  };
}

function cycler(items: Value[]): Namespace {
  let at = 0;
  const fields = new Map<string, Value>();
  const show = (): void => void fields.set('current', items[at % items.length]!);
  fields.set('next', () => {
    const item = items[at++ % items.length]!;
    show();
    return item;
  });
  fields.set('reset', () => {
    at = 0;
    show();
    return null;
  });
  show();
  return new Namespace(fields);
}

function globals(): Scope {
  const scope = new Scope();
  scope.set('range', range);
  scope.set('dict', dict);
  scope.set('namespace', (args, named) => {
    const fields = [...dict(args, named)].map(([key, value]): [string, Value] => [str(key), value]);
    return new Namespace(new Map(fields));
  });
  scope.set('joiner', joiner);
  scope.set('cycler', cycler);
  scope.set('raise_exception', ([message]) => {
    throw new Refusal(message === undefined ? '' : str(message));
  });
  scope.set('strftime_now', ([format]) => strftime(new Date(), str(format ?? '')));
  return scope;
}

/** A parsed template. */
export class Template {
  readonly #body: readonly Node[];

  /** @throws TemplateFault where it is none */
  constructor(text: string) {
    try {
      const tokens = tokenize(text) as Parameters<typeof parse>[0];
      this.#body = parse(tokens).body as unknown as Node[];
    } catch (cause) {
      if (cause instanceof TemplateFault) throw cause;
      throw new TemplateFault(cause instanceof Error ? cause.message : String(cause), { cause });
    }
  }

  /** Names that it reads and does not set: the caller's, and built-in ones. */
  get variables(): Set<string> {
    return freeNames(this.#body);
  }

  /** @throws TemplateFault; Refusal, where the template raises an exception; TypeError, for what it cannot work with */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = new Scope(globals());
    for (const [name, value] of Object.entries(variables))
      scope.set(name, value instanceof Undefined ? value : fromJs(value));
    try {
      return runBlock(this.#body, scope);
    } catch (error) {
      if (error instanceof LoopExit)
        throw new TemplateFault(`"${error.kind.toLowerCase()}" stands in no loop`);
      if (error instanceof TemplateFault || error instanceof Refusal || error instanceof TypeError)
        throw error;
      // The stack is used up, or a text or a number is too long for JavaScript.
      throw new TemplateFault('it is nested too deep, or what it writes is too long', { cause: error });
    }
  }
}
