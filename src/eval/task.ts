// Questions of a task, a line of JSON each.
import { ShishuError } from '../errors.ts';

/** The likeliest of some continuations is the answer. */
export interface MultipleChoice {
  kind: 'choice';
  prompt: string;
  choices: readonly string[];
  /** Which is right. */
  answer: number;
}

/** What the model says is the answer, or not. */
export interface ExactMatch {
  kind: 'match';
  prompt: string;
  /** Each of these is right, but for space around it. */
  answers: readonly string[];
}

/** How likely a text is. */
export interface PlainText {
  kind: 'text';
  text: string;
}

export type Item = MultipleChoice | ExactMatch | PlainText;

const FORMS =
  '{"prompt", "choices": [texts], "answer": number}, {"prompt", "answer": text or texts} or {"text"}';

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string');

/** @returns what is wrong, where it is no item */
function itemOf(value: unknown): Item | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `it is none of ${FORMS}`;
  const { prompt, choices, answer, text, id: _, ...others } = value as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) return `"${other}" is no field of ${FORMS}`;
  if (text !== undefined) {
    if (prompt !== undefined || choices !== undefined || answer !== undefined) return '"text" stands alone';
    return typeof text === 'string' && text !== '' ? { kind: 'text', text } : '"text" is no text';
  }
  if (typeof prompt !== 'string') return '"prompt" is no text';
  if (choices === undefined) {
    const answers = typeof answer === 'string' ? [answer] : answer;
    return isTexts(answers) ? { kind: 'match', prompt, answers } : '"answer" is no text, nor a list of texts';
  }
  if (!isTexts(choices) || choices.length < 2) return '"choices" is no list of two texts or more';
  if (!Number.isInteger(answer) || (answer as number) < 0 || (answer as number) >= choices.length)
    return `"answer" is no whole number from 0 to ${choices.length - 1}`;
  return { kind: 'choice', prompt, choices, answer: answer as number };
}

/**
 * Items of a file of JSON lines; empty lines are passed over.
 * @throws ShishuError `bad-argument` that names the line
 */
export function parseTask(file: string, name: string): Item[] {
  const fail = (line: number, why: string): never => {
    throw new ShishuError('bad-argument', `Line ${line} of ${name}: ${why}.`, {
      details: { file: name, line },
    });
  };
  const items = file.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      fail(i + 1, `it is no JSON (${(error as Error).message})`);
    }
    const item = itemOf(value);
    return typeof item === 'string' ? fail(i + 1, item) : [item];
  });
  if (items.length === 0)
    throw new ShishuError('bad-argument', `${name} has no questions.`, { mend: `Lines: ${FORMS}.` });
  return items;
}
