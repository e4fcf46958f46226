// The browsers' Prompt API: the browser's own model where it is there already, else ours.
import { promptApi } from 'shishulm/prompt-api';
import { answerWith } from './form';

type LanguageModel = ReturnType<typeof promptApi>;

const ours = promptApi('model/');
const { LanguageModel: own } = globalThis as { LanguageModel?: LanguageModel };

answerWith(async function* (prompt) {
  const ready = (await own?.availability()) === 'available';
  const session = await (own && ready ? own : ours).create();
  // A regular expression holds the answer: a sentence.
  yield* session.promptStreaming(prompt, { responseConstraint: /[A-Z][a-z ,']{20,60}\./ });
  session.destroy();
});
