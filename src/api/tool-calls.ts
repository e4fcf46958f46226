import type { ThoughtTags, ToolFormat } from '../formats/chat-template.ts';
import { writtenMembers } from '../formats/json-text.ts';
import { heldLength } from '../formats/stop-filter.ts';
import type { Constraint } from '../grammar/constraint.ts';
import { ObjectScanner } from './call-scanner.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/** A function that the model may call. */
export interface ChatTool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** JSON schema of the arguments, which are an object; none means no arguments, `{}` and `true` mean any. */
    parameters?: Record<string, unknown> | true | null;
    /** Taken and not used: arguments keep to the schema where `tool_choice` demands a call, and only there. */
    strict?: boolean | null;
  };
}

/** A call as the model made it; `arguments` is JSON, as it was written. */
export interface ToolCall {
  name: string;
  arguments: string;
}

/** A piece of a reply: text, or a whole call. */
export type ReplyPart = { text: string } | { call: ToolCall };

/** Makes the reply one call of one of the tools, with arguments by its schema, in the form that the model's template writes. */
export function callConstraint(format: ToolFormat, tools: readonly ChatTool[]): Constraint {
  const given = format === 'hermes' ? 'arguments' : 'parameters';
  const anyOf = tools.map(({ function: { name, parameters } }, i) => ({
    type: 'object',
    properties: {
      name: { const: name },
      [given]: objectSchema(parameters ?? { type: 'object', properties: {} }, `tool-${i}`),
    },
    required: ['name', given],
    additionalProperties: false,
  }));
  const around = format === 'hermes' ? { before: `${OPEN}\n`, after: `\n${CLOSE}` } : {};
  return { jsonSchema: { anyOf }, ...around };
}

/**
 * A schema of objects alone, to stand in another: its references to itself stay its own by an `$id`.
 * @param id where it has none
 */
export function objectSchema(schema: object | true, id: string): object {
  if (schema === true || Object.keys(schema).length === 0) return { type: 'object' };
  const { $id } = schema as { $id?: unknown };
  // Before 2019 a name within the schema was written so.
  const named = typeof $id === 'string' && $id.startsWith('#') ? { $anchor: $id.slice(1) } : {};
  const own = { ...named, ...schema, $id: typeof $id === 'string' && !$id.startsWith('#') ? $id : id };
  return (schema as { type?: unknown }).type === 'object' ? own : { type: 'object', anyOf: [own] };
}

/** Tags around thought that no template need show. */
export const THINK: ThoughtTags = { open: '<think>', close: '</think>' };

export interface ParserOptions {
  /** Tags around what the model thinks, where nothing is a call (default `<think>`). */
  thoughts?: readonly ThoughtTags[];
  /** The prompt has opened a thought: the tag that ends it. */
  thinking?: string | undefined;
}

/**
 * Parts a reply into text and calls, as it streams. Calls are `<tool_call>{"name", "arguments"}</tool_call>` (Hermes, Qwen),
 * or a reply that is nothing but one or more such objects, also with `parameters` (Llama 3). What only looks like a call,
 * names another function, or is thought, stays text.
 */
export class ToolCallParser {
  readonly #names: ReadonlySet<string>;
  readonly #thoughts: readonly ThoughtTags[];
  #held = '';
  /** Space before a tag, which is text only where no call follows. */
  #space = '';
  /** In a call, at the beginning of a reply that may be one, in thought, or in text. */
  #mode: 'start' | 'text' | 'thought' | 'tagged' | 'bare' = 'start';
  /** The tag that ends the thought. */
  #thinking = '';
  /** Of the call that `#held` begins with. */
  #scanner = new ObjectScanner();
  #end: number | undefined;
  /** Text was told that is no thought. */
  #said = false;
  #called = false;

  constructor(names: Iterable<string>, { thoughts = [THINK], thinking }: ParserOptions = {}) {
    this.#names = new Set(names);
    // Tags of XML's kind may have attributes.
    this.#thoughts = thoughts.flatMap(({ open, close }) =>
      /^<[\w:]+>$/.test(open)
        ? [
            { open, close },
            { open: `${open.slice(0, -1)} `, close },
          ]
        : [{ open, close }],
    );
    if (thinking === undefined) return;
    this.#thinking = thinking;
    this.#mode = 'thought';
  }

  push(text: string): ReplyPart[] {
    this.#held += text;
    const parts: ReplyPart[] = [];
    while (this.#step(parts));
    return parts;
  }

  /** Goes one part on; false when more of the reply must come first. */
  #step(parts: ReplyPart[]): boolean {
    switch (this.#mode) {
      case 'start': {
        const first = this.#held.trimStart()[0];
        if (first !== undefined) this.#mode = first === '{' && !this.#said ? 'bare' : 'text';
        return first !== undefined;
      }
      case 'thought':
        return this.#thought(parts);
      case 'tagged':
        return this.#tagged(parts);
      case 'text':
        return this.#plain(parts);
      default:
        return false;
    }
  }

  #plain(parts: ReplyPart[]): boolean {
    const tags = [OPEN, ...this.#thoughts.map(({ open }) => open)];
    const starts = tags.map((tag) => this.#held.indexOf(tag));
    const start = Math.min(...starts.filter((at) => at >= 0));
    if (start < this.#held.length) {
      const tag = tags[starts.indexOf(start)]!;
      const shown = tag === OPEN ? this.#held.slice(0, start).trimEnd() : this.#held.slice(0, start);
      this.#say(shown, parts);
      this.#space = this.#held.slice(shown.length, start);
      this.#held = this.#held.slice(start + tag.length);
      if (tag === OPEN) this.#open();
      else {
        this.#tell(tag, parts);
        this.#thinking = this.#thoughts.find(({ open }) => open === tag)!.close;
        this.#mode = 'thought';
      }
      return true;
    }
    // Space at the end waits for what follows.
    const half = heldLength(this.#held, tags);
    const shown = this.#held.slice(0, this.#held.length - half).trimEnd().length;
    this.#say(this.#held.slice(0, shown), parts);
    this.#held = this.#held.slice(shown);
    return false;
  }

  #thought(parts: ReplyPart[]): boolean {
    const close = this.#held.indexOf(this.#thinking);
    const end =
      close >= 0
        ? close + this.#thinking.length
        : this.#held.length - heldLength(this.#held, [this.#thinking]);
    this.#tell(this.#held.slice(0, end), parts);
    this.#held = this.#held.slice(end);
    if (close >= 0) this.#mode = 'start';
    return close >= 0;
  }

  #open(): void {
    this.#mode = 'tagged';
    this.#scanner = new ObjectScanner();
    this.#end = undefined;
  }

  #tagged(parts: ReplyPart[]): boolean {
    this.#end ??= this.#scanner.scan(this.#held);
    if (this.#end === undefined) return false;
    const after = this.#held.slice(Math.max(0, this.#end)).trimStart();
    if (this.#end < 0 || !(after.startsWith(CLOSE) || CLOSE.startsWith(after))) return this.#noCall(parts);
    if (!after.startsWith(CLOSE)) return false;
    const whole = this.#held.length - after.length + CLOSE.length;
    this.#call(this.#held.slice(0, this.#end), OPEN + this.#held.slice(0, whole), parts);
    this.#held = this.#held.slice(whole);
    return true;
  }

  /** The tag began no call: it is text, and so is what follows, up to the next. */
  #noCall(parts: ReplyPart[]): boolean {
    this.#say(this.#space + OPEN, parts);
    this.#mode = 'text';
    return true;
  }

  /** Tells a call, or the text that only looks like one. */
  #call(json: string, text: string, parts: ReplyPart[]): void {
    const call = this.#read(json);
    if (call) parts.push({ call });
    else this.#say(this.#space + text, parts);
    this.#called ||= call !== undefined;
    this.#mode = 'text';
  }

  #tell(text: string, parts: ReplyPart[]): void {
    if (text) parts.push({ text });
  }

  #say(text: string, parts: ReplyPart[]): void {
    this.#said ||= text.trim() !== '';
    this.#tell(text, parts);
  }

  #read(json: string): ToolCall | undefined {
    try {
      const value = JSON.parse(json) as Record<string, unknown>;
      const { name } = value;
      if (typeof name !== 'string' || !this.#names.has(name)) return undefined;
      const key = value.arguments === undefined || value.arguments === null ? 'parameters' : 'arguments';
      return { name, arguments: argumentsOf(value[key], writtenMembers(json).get(key)) };
    } catch {
      return undefined;
    }
  }

  /** The reply has ended: what was held back. */
  flush(): ReplyPart[] {
    const parts: ReplyPart[] = [];
    while (this.#step(parts) || (this.#mode === 'tagged' && this.#end === undefined && this.#noCall(parts)));
    if (this.#mode === 'tagged') {
      // The call lacks its last tag, or a part of it.
      this.#call(this.#held.slice(0, this.#end), OPEN + this.#held, parts);
    } else if (this.#mode === 'bare') {
      const calls = this.#bare(this.#held);
      if (calls) parts.push(...calls.map((call) => ({ call })));
      else this.#tell(this.#held, parts);
    } else if (!this.#called || this.#held.trim()) this.#tell(this.#held, parts);
    this.#held = '';
    return parts;
  }

  /** The calls of a reply that is nothing else: objects, with white space or semicolons between. */
  #bare(text: string): ToolCall[] | undefined {
    const calls: ToolCall[] = [];
    for (let rest = text; rest.trim() !== ''; ) {
      const end = new ObjectScanner().scan(rest) ?? -1;
      const call = end < 0 ? undefined : this.#read(rest.slice(0, end));
      if (!call) return undefined;
      calls.push(call);
      rest = rest.slice(end).replace(/^[\s;]+/, '');
    }
    return calls;
  }
}

/** Arguments as JSON: as written, also where they are written as the text of it. */
function argumentsOf(value: unknown, written: string | undefined): string {
  if (value === undefined || value === null || written === undefined) return '{}';
  if (typeof value !== 'string') return written;
  if (value.trim() === '') return '{}';
  try {
    JSON.parse(value);
    return value;
  } catch {
    return written;
  }
}
