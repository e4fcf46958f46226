// The nodes that the parser of @huggingface/jinja makes, as far as they are used.

/** A name; or the digits of an integer that a float cannot hold. */
interface Named {
  type: 'Identifier';
  value: string;
}

interface Keyword {
  type: 'KeywordArgumentExpression';
  key: Named;
  value: Node;
}

export type Parameter = Named | Keyword;

export interface Macro {
  type: 'Macro';
  name: Named;
  args: Parameter[];
  body: Node[];
}

export type Argument =
  | Node
  | Keyword
  | { type: 'SpreadExpression'; argument: Node }
  | { type: 'KeywordSpreadExpression'; argument: Node };

interface Call {
  type: 'CallExpression';
  callee: Node;
  args: Argument[];
}

export interface Slice {
  type: 'SliceExpression';
  start?: Node;
  stop?: Node;
  step?: Node;
}

export type Node =
  | Named
  | Macro
  | Call
  | { type: 'If'; test: Node; body: Node[]; alternate: Node[] }
  | { type: 'For'; loopvar: Node; iterable: Node; body: Node[]; defaultBlock: Node[] }
  | { type: 'Break' | 'Continue' | 'Comment' }
  | { type: 'Set'; assignee: Node; value: Node | null; body: Node[] }
  | { type: 'CallStatement'; call: Call; callerArgs: Parameter[] | null; body: Node[] }
  | { type: 'FilterStatement'; filter: Node; body: Node[] }
  | { type: 'StringLiteral'; value: string }
  | { type: 'IntegerLiteral' | 'FloatLiteral'; value: number }
  | { type: 'ArrayLiteral' | 'TupleLiteral'; value: Node[] }
  | { type: 'ObjectLiteral'; value: Map<Node, Node> }
  | { type: 'MemberExpression'; object: Node; property: Node | Slice; computed: boolean }
  | { type: 'FilterExpression'; operand: Node; filter: Node }
  | { type: 'Ternary'; condition: Node; trueExpr: Node; falseExpr: Node }
  | { type: 'SelectExpression'; lhs: Node; test: Node }
  | { type: 'UnaryExpression'; operator: { value: string }; argument: Node }
  | { type: 'BinaryExpression'; operator: { value: string }; left: Node; right: Node };
