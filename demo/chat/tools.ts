import { calculate } from './calculator.ts';

/** A function that a model may call, which runs in the page. */
interface Tool {
  type: 'function';
  function: { name: string; description: string; parameters: object };
  run(given: Record<string, unknown>): string;
}

/** Examples of tools: neither leaves the page. */
export const TOOLS: readonly Tool[] = [
  {
    type: 'function',
    function: {
      name: 'clock',
      description: 'The date and time now, with the weekday and the time zone.',
      parameters: { type: 'object', properties: {} },
    },
    run: () => new Date().toLocaleString('en', { dateStyle: 'full', timeStyle: 'long' }),
  },
  {
    type: 'function',
    function: {
      name: 'calculator',
      description: 'Works out an arithmetic expression, as (2 + 3) * 4 ^ 2 or sqrt(2) / 3.',
      parameters: {
        type: 'object',
        properties: { expression: { type: 'string', description: 'The expression.' } },
        required: ['expression'],
      },
    },
    run: ({ expression }) => String(calculate(String(expression ?? ''))),
  },
];

/** What the templates of models are told of the tools. */
export const toolsForModel = (): object[] =>
  TOOLS.map(({ type, function: described }) => ({ type, function: described }));

/** Runs a call; what is wrong with it is told to the model, which may mend it. */
export function runTool(name: string, given: string): string {
  try {
    const tool = TOOLS.find((tool) => tool.function.name === name);
    if (!tool) return `Error: there is no tool "${name}".`;
    return tool.run(JSON.parse(given || '{}') ?? {});
  } catch (error) {
    return `Error: ${error instanceof Error ? error.message : error}`;
  }
}
