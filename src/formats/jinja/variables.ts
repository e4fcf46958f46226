// The names that a template reads and does not set itself, as jinja2.meta.find_undeclared_variables finds them.
import { CONSTANTS } from './evaluate.ts';
import type { Argument, Node, Parameter, Slice } from './nodes.ts';

/** Names that are set where a node stands. */
type Names = Set<string>;

/** Names that a template reads before it has surely set them: what its caller gives, and what is built in. */
export function freeNames(body: readonly Node[]): Set<string> {
  const free = new Set<string>();
  readBlock(body, new Set(), free);
  return free;
}

/** Reads statements in turn; those that set names add them to `names`. */
function readBlock(nodes: readonly Node[], names: Names, free: Names): void {
  for (const node of nodes) read(node, names, free);
}

function read(node: Node | Slice | Argument | undefined, names: Names, free: Names): void {
  const into = (...inner: (Node | Slice | Argument | undefined)[]): void => {
    for (const each of inner) read(each, names, free);
  };
  switch (node?.type) {
    case 'Identifier':
      if (!names.has(node.value) && !Object.hasOwn(CONSTANTS, node.value) && !/^\d/.test(node.value))
        free.add(node.value);
      return;
    case 'Set':
      if (node.value) into(node.value);
      else readBlock(node.body, new Set(names), free);
      assign(node.assignee, names, free);
      return;
    case 'If': {
      into(node.test);
      const ways = [node.body, node.alternate].map((block) => {
        const own = new Set(names);
        readBlock(block, own, free);
        return own;
      });
      // What only one way sets may still be the caller's behind it.
      for (const name of ways[0]!) if (ways[1]!.has(name)) names.add(name);
      return;
    }
    case 'For': {
      const { iterable } = node;
      const [source, test] =
        iterable.type === 'SelectExpression' ? [iterable.lhs, iterable.test] : [iterable];
      into(source);
      const own = new Set([...names, 'loop']);
      assign(node.loopvar, own, free);
      read(test, own, free);
      readBlock(node.body, own, free);
      readBlock(node.defaultBlock, new Set(names), free);
      return;
    }
    case 'Macro':
      names.add(node.name.value);
      readMacro(node.args, node.body, names, free);
      return;
    case 'CallStatement':
      into(node.call);
      readMacro(node.callerArgs ?? [], node.body, names, free);
      return;
    case 'FilterStatement':
      readFilter(node.filter, names, free);
      readBlock(node.body, new Set(names), free);
      return;
    case 'ArrayLiteral':
    case 'TupleLiteral':
      into(...node.value);
      return;
    case 'ObjectLiteral':
      for (const [key, value] of node.value) into(key, value);
      return;
    case 'MemberExpression':
      into(node.object);
      if (node.computed || node.property.type === 'SliceExpression') into(node.property);
      return;
    case 'SliceExpression':
      into(node.start, node.stop, node.step);
      return;
    case 'CallExpression':
      into(node.callee, ...node.args);
      return;
    case 'KeywordArgumentExpression':
      into(node.value);
      return;
    case 'SpreadExpression':
    case 'KeywordSpreadExpression':
    case 'UnaryExpression':
      into(node.argument);
      return;
    case 'FilterExpression':
      into(node.operand);
      readFilter(node.filter, names, free);
      return;
    case 'Ternary':
      into(node.condition, node.trueExpr, node.falseExpr);
      return;
    case 'SelectExpression':
      into(node.lhs, node.test);
      return;
    case 'BinaryExpression':
      into(node.left, node.right);
      return;
  }
}

/** The name of a filter is no variable. */
function readFilter(filter: Node, names: Names, free: Names): void {
  if (filter.type === 'CallExpression') for (const each of filter.args) read(each, names, free);
}

function readMacro(parameters: readonly Parameter[], body: readonly Node[], names: Names, free: Names): void {
  const own = new Set([...names, 'caller', 'varargs', 'kwargs']);
  for (const parameter of parameters) {
    if (parameter.type !== 'Identifier') read(parameter.value, own, free);
    own.add(parameter.type === 'Identifier' ? parameter.value : parameter.key.value);
  }
  readBlock(body, own, free);
}

/** A name, or several; the field of a namespace reads that. */
function assign(target: Node, names: Names, free: Names): void {
  if (target.type === 'Identifier') names.add(target.value);
  else if (target.type === 'TupleLiteral') for (const each of target.value) assign(each, names, free);
  else read(target, names, free);
}
