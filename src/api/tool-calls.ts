import type { ToolFormat } from '../formats/chat-template.ts';
import { writtenMembers } from '../formats/json-text.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import { heldLength } from '../formats/stop-filter.ts';
import type { Constraint } from '../grammar/constraint.ts';
import { ObjectScanner } from './call-scanner.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';
/** With which a call without tags begins: a reply in JSON that begins with another key is told as it comes. */
const CALL_KEYS = ['name', 'arguments', 'parameters', 'type', 'id'];

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
 * names another function, or is thought, stays text; so do tags within an object that begins a reply.
 */
export class ToolCallParser {
  readonly #names: ReadonlySet<string>;
  readonly #thoughts: readonly ThoughtTags[];
  #held = '';
  /** Space before a tag, which is text only where no call follows. */
  #space = '';
  /**
   * At the beginning of a reply, in text, in thought, in a call with tags, in objects that are calls if they are the whole
   * reply (`bare`), or in an object that is none (`object`).
   */
  #mode: 'start' | 'text' | 'thought' | 'tagged' | 'bare' | 'object' = 'start';
  /** The tag that ends the thought. */
  #thinking = '';
  /** Of the object that `#held` begins with; of the last one where there are bare calls before it. */
  #scanner = new ObjectScanner();
  #end: number | undefined;
  /** Calls without tags so far, and the length of their text, which `#held` begins with. */
  #bareCalls: ToolCall[] = [];
  #bareLength = 0;
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
      case 'bare':
        return this.#bare(parts);
      case 'object':
        return this.#object(parts);
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

  /** Objects at the beginning of a reply, with white space or semicolons between: calls, if nothing else follows. */
  #bare(parts: ReplyPart[]): boolean {
    if (this.#bareCalls.length > 0)
      this.#bareLength += /^[\s;]*/.exec(this.#held.slice(this.#bareLength))![0].length;
    const json = this.#held.slice(this.#bareLength);
    const end = this.#scanner.scan(json);
    if (end === undefined && this.#mayBeCall(json)) return false;
    const call = end !== undefined && end > 0 ? this.#read(json.slice(0, end)) : undefined;
    if (call) {
      this.#bareCalls.push(call);
      this.#bareLength += end!;
    } else {
      // What looked like calls before it is text, too.
      const shown = this.#held.slice(0, this.#bareLength).trimEnd().length;
      this.#say(this.#held.slice(0, shown), parts);
      this.#held = this.#held.slice(shown);
      this.#mode = 'object';
    }
    this.#scanner = new ObjectScanner();
    return true;
  }

  /** Whether the call of a known function may come of an object's beginning. */
  #mayBeCall(json: string): boolean {
    const [, key, value] = /^\s*\{\s*"([^"\\]*)"(?:\s*:\s*"([^"\\]*)")?/.exec(json) ?? [];
    if (key === undefined) return true;
    return CALL_KEYS.includes(key) && (key !== 'name' || value === undefined || this.#names.has(value));
  }

  /** An object that is no call, as it comes. What is no object after all ends with its first odd character. */
  #object(parts: ReplyPart[]): boolean {
    const end = this.#scanner.scan(this.#held);
    // Space at the end waits for what follows.
    const shown = end !== undefined && end > 0 ? end : this.#held.slice(0, this.#scanner.at).trimEnd().length;
    this.#say(this.#held.slice(0, shown), parts);
    this.#held = this.#held.slice(shown);
    this.#scanner.drop(shown);
    if (end !== undefined) this.#mode = 'text';
    return end !== undefined;
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
    } else if (this.#mode === 'bare' && this.#held.slice(this.#bareLength).trim() === '') {
      parts.push(...this.#bareCalls.map((call) => ({ call })));
    } else if (!this.#called || this.#held.trim()) this.#tell(this.#held, parts);
    this.#held = '';
    return parts;
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
