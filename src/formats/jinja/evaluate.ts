// Runs a parsed template as Python's jinja2 does, with the sandbox, filters and functions that transformers gives it.
import { TemplateFault } from './faults.ts';
import { filterOf } from './filters.ts';
import { attributeOf, itemOf } from './members.ts';
import type { Argument, Macro, Node, Parameter, Slice } from './nodes.ts';
import { arithmetic, unary } from './operators.ts';
import { EMPTY_TUPLE } from './rewrite.ts';
import {
  type Callable,
  compare,
  contains,
  describe,
  equals,
  found,
  iterate,
  Namespace,
  slice,
  str,
  Tuple,
  truth,
  typeOf,
  Undefined,
  type Value,
} from './values.ts';

/** Of all loops of one prompt together. */
const MOST_TURNS = 1_000_000;
/** Macros that run within each other; Python ends at about as many. */
const MOST_CALLS = 200;

/** Names of a block of the template; those of the blocks around it are seen, and not set. */
export class Scope {
  readonly #names = new Map<string, Value>();
  readonly #around: Scope | undefined;
  readonly #work: { turns: number; calls: number };

  constructor(around?: Scope) {
    this.#around = around;
    this.#work = around ? around.#work : { turns: 0, calls: 0 };
  }

  /** Counts a turn of a loop, so that loops in loops end. @throws TypeError */
  turn(): void {
    if (++this.#work.turns > MOST_TURNS) throw new TypeError(`the loops take over ${MOST_TURNS} turns`);
  }

  /** Runs a macro, so that macros which call each other end. @throws TemplateFault */
  call(run: () => string): string {
    if (this.#work.calls >= MOST_CALLS)
      throw new TemplateFault(`over ${MOST_CALLS} macros run within each other`);
    this.#work.calls++;
    try {
      return run();
    } finally {
      this.#work.calls--;
    }
  }

  get(name: string): Value | undefined {
    return this.#names.has(name) ? this.#names.get(name) : this.#around?.get(name);
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }
}

/** `break` and `continue`: what was written before them stays. */
export class LoopExit {
  readonly kind: 'Break' | 'Continue';
  text = '';

  constructor(kind: 'Break' | 'Continue') {
    this.kind = kind;
  }
}

export const CONSTANTS: Record<string, Value> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  [EMPTY_TUPLE]: new Tuple(),
};

/** The text of statements. @throws TemplateFault, Refusal; TypeError where values do not fit */
export function runBlock(nodes: readonly Node[], scope: Scope): string {
  let text = '';
  for (const node of nodes) {
    try {
      text += run(node, scope);
    } catch (error) {
      if (error instanceof LoopExit) error.text = text + error.text;
      throw error;
    }
  }
  return text;
}

function run(node: Node, scope: Scope): string {
  switch (node.type) {
    case 'Set': {
      const value = node.value ? evaluate(node.value, scope) : runBlock(node.body, new Scope(scope));
      assign(node.assignee, value, scope);
      return '';
    }
    case 'If':
      return runBlock(truth(evaluate(node.test, scope)) ? node.body : node.alternate, scope);
    case 'For':
      return runFor(node, scope);
    case 'Macro':
      scope.set(node.name.value, macro(node.name.value, node, scope));
      return '';
    case 'CallStatement': {
      const caller = macro('caller', { args: node.callerArgs ?? [], body: node.body }, scope);
      const { args, named } = argumentsOf(node.call.args, scope);
      return str(called(node.call.callee, scope)(args, new Map([...named, ['caller', caller]])));
    }
    case 'FilterStatement':
      return str(filtered(runBlock(node.body, new Scope(scope)), node.filter, scope));
    case 'Break':
    case 'Continue':
      throw new LoopExit(node.type);
    case 'Comment':
      return '';
    default:
      return str(evaluate(node, scope));
  }
}

function assign(target: Node, value: Value, scope: Scope): void {
  if (target.type === 'TupleLiteral') {
    const values = iterate(value);
    if (values.length !== target.value.length)
      throw new TypeError(`${values.length} values are given for ${target.value.length} names`);
    target.value.forEach((each, i) => {
      assign(each, values[i]!, scope);
    });
    return;
  }
  if (target.type === 'Identifier') {
    scope.set(target.value, value);
    return;
  }
  const object = target.type === 'MemberExpression' ? evaluate(target.object, scope) : null;
  if (target.type !== 'MemberExpression' || !(object instanceof Namespace))
    throw new TemplateFault('only names and the fields of a namespace can be set');
  object.fields.set(nameOf(target.property), value);
}

const nameOf = (node: Node | Slice): string =>
  node.type === 'Identifier' || node.type === 'IntegerLiteral' ? String(node.value) : '';

function runFor(node: Extract<Node, { type: 'For' }>, scope: Scope): string {
  const { iterable } = node;
  const [source, test] = iterable.type === 'SelectExpression' ? [iterable.lhs, iterable.test] : [iterable];
  const inner = (item: Value): Scope => {
    const own = new Scope(scope);
    assign(node.loopvar, item, own);
    return own;
  };
  const all = iterate(evaluate(source, scope));
  const items = test ? all.filter((item) => truth(evaluate(test, inner(item)))) : all;
  let text = '';
  // jinja2 takes the other way also where `continue` or `break` ended all turns.
  let whole = false;
  let last: Value[] | undefined;
  const changed: Callable = (args) => {
    const same = last?.length === args.length && last.every((each, i) => equals(each, args[i]!));
    last = args;
    return !same;
  };
  for (const [i, item] of items.entries()) {
    scope.turn();
    const own = inner(item);
    const numbers = {
      index: i + 1,
      index0: i,
      revindex: items.length - i,
      revindex0: items.length - i - 1,
      length: items.length,
      depth: 1,
      depth0: 0,
    };
    const facts: [string, Value][] = [
      ...Object.entries(numbers).map(([name, value]): [string, Value] => [name, BigInt(value)]),
      ['first', i === 0],
      ['last', i === items.length - 1],
      ['previtem', found(items[i - 1], 'the previous item')],
      ['nextitem', found(items[i + 1], 'the next item')],
      ['cycle', (args) => args[i % args.length]!],
      ['changed', changed],
    ];
    own.set('loop', new Namespace(new Map(facts)));
    try {
      text += runBlock(node.body, own);
      whole = true;
    } catch (error) {
      if (!(error instanceof LoopExit)) throw error;
      text += error.text;
      if (error.kind === 'Break') break;
    }
  }
  return whole ? text : text + runBlock(node.defaultBlock, new Scope(scope));
}

/** A macro sees the names around its definition, not those around its call. */
function macro(
  name: string,
  { args: parameters, body }: Pick<Macro, 'args' | 'body'>,
  scope: Scope,
): Callable {
  const names = JSON.stringify(body, (_, value) => (value instanceof Map ? [...value] : value));
  const uses = (special: string): boolean => names.includes(`"value":"${special}"`);
  return (args, given) => {
    const own = new Scope(scope);
    const named = new Map(given);
    if (named.has('caller')) own.set('caller', named.get('caller')!);
    named.delete('caller');
    const late: [string, Node][] = [];
    parameters.forEach((parameter: Parameter, i) => {
      const key = parameter.type === 'Identifier' ? parameter.value : parameter.key.value;
      const value = i < args.length ? args[i] : named.get(key);
      if (i >= args.length) named.delete(key);
      if (value === undefined && parameter.type !== 'Identifier') late.push([key, parameter.value]);
      own.set(key, found(value, `the parameter "${key}"`));
    });
    own.set('varargs', Tuple.from<Value>(args.slice(parameters.length)));
    own.set('kwargs', new Map<Value, Value>(named));
    if (args.length > parameters.length && !uses('varargs'))
      throw new TypeError(`the macro "${name}" takes ${parameters.length} arguments, not ${args.length}`);
    const [odd] = named.keys();
    if (odd !== undefined && !uses('kwargs')) throw new TypeError(`the macro "${name}" takes no "${odd}"`);
    return own.call(() => {
      for (const [key, node] of late) own.set(key, evaluate(node, own));
      return runBlock(body, own);
    });
  };
}

function argumentsOf(nodes: readonly Argument[], scope: Scope): { args: Value[]; named: Map<string, Value> } {
  const args: Value[] = [];
  const named = new Map<string, Value>();
  for (const node of nodes) {
    if (node.type === 'KeywordArgumentExpression') named.set(node.key.value, evaluate(node.value, scope));
    else if (node.type === 'SpreadExpression') args.push(...iterate(evaluate(node.argument, scope)));
    else if (node.type === 'KeywordSpreadExpression') {
      const more = evaluate(node.argument, scope);
      if (!(more instanceof Map)) throw new TypeError(`${describe(more)} is no dict`);
      for (const [key, value] of more) named.set(str(key), value);
    } else args.push(evaluate(node, scope));
  }
  return { args, named };
}

/** What a call calls; a function that there is not is the template's fault, a field of a message may be the message's. */
function called(callee: Node, scope: Scope): Callable {
  const value = evaluate(callee, scope);
  if (typeof value === 'function') return value;
  if (callee.type === 'Identifier' && value instanceof Undefined)
    throw new TemplateFault(`there is no function "${callee.value}"`);
  if (callee.type === 'MemberExpression' && value instanceof Undefined) {
    const object = evaluate(callee.object, scope);
    if (!(object instanceof Map) && !(object instanceof Undefined) && object !== null)
      throw new TemplateFault(`a ${typeOf(object)} has no method "${nameOf(callee.property)}"`);
  }
  throw new TypeError(`what is called is no function: ${describe(value)}`);
}

function filtered(value: Value, filter: Node, scope: Scope): Value {
  if (filter.type === 'Identifier') return filterOf(filter.value)([value], new Map());
  if (filter.type !== 'CallExpression' || filter.callee.type !== 'Identifier')
    throw new TemplateFault('a filter has no name');
  const { args, named } = argumentsOf(filter.args, scope);
  return filterOf(filter.callee.value)([value, ...args], named);
}

export function evaluate(node: Node, scope: Scope): Value {
  switch (node.type) {
    case 'StringLiteral':
      return node.value;
    case 'IntegerLiteral':
      return BigInt(node.value);
    case 'FloatLiteral':
      return node.value;
    case 'ArrayLiteral':
      return node.value.map((each) => evaluate(each, scope));
    case 'TupleLiteral':
      return Tuple.from<Value>(node.value.map((each) => evaluate(each, scope)));
    case 'ObjectLiteral':
      return new Map([...node.value].map(([key, value]) => [evaluate(key, scope), evaluate(value, scope)]));
    case 'Identifier': {
      if (Object.hasOwn(CONSTANTS, node.value)) return CONSTANTS[node.value]!;
      // An integer with many digits.
      if (/^\d/.test(node.value)) return BigInt(node.value);
      return found(scope.get(node.value), `"${node.value}"`);
    }
    case 'MemberExpression':
      return memberOf(node, scope);
    case 'CallExpression': {
      const callable = called(node.callee, scope);
      const { args, named } = argumentsOf(node.args, scope);
      return callable(args, named);
    }
    case 'FilterExpression':
      return filtered(evaluate(node.operand, scope), node.filter, scope);
    case 'Ternary':
      return evaluate(truth(evaluate(node.condition, scope)) ? node.trueExpr : node.falseExpr, scope);
    case 'SelectExpression':
      return truth(evaluate(node.test, scope))
        ? evaluate(node.lhs, scope)
        : new Undefined('the value of an "if" without "else"');
    case 'UnaryExpression':
      return unary(node.operator.value, evaluate(node.argument, scope));
    case 'BinaryExpression':
      return binary(node, scope);
    default:
      throw new TemplateFault(`"${node.type}" is not supported`);
  }
}

function memberOf(node: Extract<Node, { type: 'MemberExpression' }>, scope: Scope): Value {
  const object = evaluate(node.object, scope);
  const { property } = node;
  if (property.type === 'SliceExpression') {
    const bounds = [property.start, property.stop, property.step];
    return slice(
      object,
      bounds.map((bound) => bound && evaluate(bound, scope)),
    );
  }
  if (node.computed || property.type === 'IntegerLiteral') return itemOf(object, evaluate(property, scope));
  return attributeOf(object, nameOf(property));
}

function binary({ operator, left, right }: Extract<Node, { type: 'BinaryExpression' }>, scope: Scope): Value {
  const first = evaluate(left, scope);
  const { value: sign } = operator;
  if (sign === 'and') return truth(first) ? evaluate(right, scope) : first;
  if (sign === 'or') return truth(first) ? first : evaluate(right, scope);
  const second = evaluate(right, scope);
  switch (sign) {
    case '==':
      return equals(first, second);
    case '!=':
      return !equals(first, second);
    case 'in':
      return contains(second, first);
    case 'not in':
      return !contains(second, first);
    case '<':
      return compare(first, second) < 0;
    case '<=':
      return compare(first, second) <= 0;
    case '>':
      return compare(first, second) > 0;
    case '>=':
      return compare(first, second) >= 0;
    default:
      return arithmetic(sign, first, second);
  }
}
