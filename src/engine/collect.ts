import type { GenerateChunk, GenerateResult } from './types.ts';

/** The whole reply; `onChunk` sees it grow. */
export async function collect(
  reply: AsyncGenerator<GenerateChunk, GenerateResult>,
  onChunk: (chunk: GenerateChunk) => void = () => {},
): Promise<GenerateResult> {
  for (;;) {
    const step = await reply.next();
    if (step.done) return step.value;
    onChunk(step.value);
  }
}
