// A worker that notes loads: it is told which of two to begin, and which of them to end.
import { CrashNotes } from '../../src/api/crash-notes.ts';

addEventListener('message', async ({ data }: MessageEvent<{ begin: string[]; end: string[] }>) => {
  for (const model of data.begin) {
    const end = await CrashNotes.here().begin(model, { dtype: 'q8' });
    if (data.end.includes(model)) await end();
  }
  postMessage(await CrashNotes.here().crashed());
});
