import type { ToolFormat } from '../formats/chat-template.ts';
import { heldLength } from '../formats/stop-filter.ts';
import type { Constraint } from '../grammar/constraint.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/** A function that the model may call. */
export interface ChatTool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** JSON schema of the arguments; none means no arguments. */
    parameters?: Record<string, unknown>;
    /** Taken and not used: arguments keep to the schema where `tool_choice` demands a call, and only there. */
    strict?: boolean | null;
  };
}

/** A call as the model made it; `arguments` is JSON. */
export interface ToolCall {
  name: string;
  arguments: string;
}

/** A piece of a reply: text, or a whole call. */
export type ReplyPart = { text: string } | { call: ToolCall };

/** Makes the reply one call of one of the tools, with arguments by its schema, in the form that the model's template writes. */
export function callConstraint(format: ToolFormat, tools: readonly ChatTool[]): Constraint {
  const given = format === 'hermes' ? 'arguments' : 'parameters';
  const anyOf = tools.map(({ function: { name, parameters = { type: 'object', properties: {} } } }, i) => ({
    type: 'object',
    properties: {
      name: { const: name },
      [given]: qualifyRefs(parameters, `#/anyOf/${i}/properties/${given}`),
    },
    required: ['name', given],
    additionalProperties: false,
  }));
  const around = format === 'hermes' ? { before: `${OPEN}\n`, after: `\n${CLOSE}` } : {};
  return { jsonSchema: { anyOf }, ...around };
}

/** A schema to be put at `path` into another: its references to itself then lead there. */
function qualifyRefs(schema: unknown, path: string): unknown {
  if (Array.isArray(schema)) return schema.map((each) => qualifyRefs(each, path));
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) =>
    key === '$ref' && typeof value === 'string' && value.startsWith('#')
      ? [key, path + value.slice(1)]
      : [key, key === 'const' || key === 'enum' ? value : qualifyRefs(value, path)],
  );
  return Object.fromEntries(entries);
}

/**
 * Parts a reply into text and calls, as it streams. Calls are `<tool_call>{"name", "arguments"}</tool_call>` (Hermes, Qwen),
 * or a reply that is nothing but one or more such objects, also with `parameters` (Llama 3). What only looks like a call,
 * or names another function, stays text.
 */
export class ToolCallParser {
  readonly #names: ReadonlySet<string>;
  #held = '';
  /** Space before a tag, which is text only where no call follows. */
  #space = '';
  /** In a call, at the beginning of a reply that may be one, or in text. */
  #mode: 'start' | 'text' | 'tagged' | 'bare' = 'start';
  #called = false;

  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  push(text: string): ReplyPart[] {
    this.#held += text;
    const parts: ReplyPart[] = [];
    while (this.#step(parts));
    return parts;
  }

  /** Goes one part on; false when more of the reply must come first. */
  #step(parts: ReplyPart[]): boolean {
    if (this.#mode === 'bare') return false;
    if (this.#mode === 'start') {
      const first = this.#held.trimStart()[0];
      if (first === undefined) return false;
      this.#mode = first === '{' ? 'bare' : 'text';
      return true;
    }
    if (this.#mode === 'tagged') {
      const end = this.#held.indexOf(CLOSE);
      if (end < 0) return false;
      this.#tagged(this.#held.slice(0, end), CLOSE, parts);
      this.#held = this.#held.slice(end + CLOSE.length);
      this.#mode = 'text';
      return true;
    }
    const start = this.#held.indexOf(OPEN);
    if (start >= 0) {
      const shown = this.#held.slice(0, start).trimEnd();
      this.#text(shown, parts);
      this.#space = this.#held.slice(shown.length, start);
      this.#held = this.#held.slice(start + OPEN.length);
      this.#mode = 'tagged';
      return true;
    }
    // Space at the end waits for what follows.
    const half = heldLength(this.#held, [OPEN]);
    const shown = this.#held.slice(0, this.#held.length - half).trimEnd().length;
    this.#text(this.#held.slice(0, shown), parts);
    this.#held = this.#held.slice(shown);
    return false;
  }

  #text(text: string, parts: ReplyPart[]): void {
    if (text) parts.push({ text });
  }

  #tagged(json: string, close: string, parts: ReplyPart[]): void {
    const call = this.#call(json);
    this.#called ||= call !== undefined;
    parts.push(call ? { call } : { text: this.#space + OPEN + json + close });
  }

  #call(json: string): ToolCall | undefined {
    try {
      const { name, arguments: given, parameters } = JSON.parse(json) as Record<string, unknown>;
      const args = given ?? parameters ?? {};
      if (typeof name !== 'string' || !this.#names.has(name)) return undefined;
      return { name, arguments: typeof args === 'string' ? args : JSON.stringify(args) };
    } catch {
      return undefined;
    }
  }

  /** The reply has ended: what was held back. */
  flush(): ReplyPart[] {
    const held = this.#held;
    this.#held = '';
    const parts: ReplyPart[] = [];
    if (this.#mode === 'tagged') this.#tagged(held, '', parts);
    else if (this.#mode === 'bare') {
      const calls = held.split(/(?<=\})\s*[;\n]\s*(?=\{)/).map((json) => this.#call(json));
      if (calls.every((call) => call !== undefined)) parts.push(...calls.map((call) => ({ call })));
      else this.#text(held, parts);
    } else if (!this.#called || held.trim()) this.#text(held, parts);
    return parts;
  }
}
