// The browsers' Prompt API: the browser's own model where there is one, else ours.
import { promptApi } from 'shishulm/prompt-api';
import { answerWith } from './form';

const LanguageModel: ReturnType<typeof promptApi> =
  (globalThis as { LanguageModel?: ReturnType<typeof promptApi> }).LanguageModel ?? promptApi('model/');

answerWith(async function* (prompt) {
  const session = await LanguageModel.create();
  // A regular expression holds the answer: a sentence.
  yield* session.promptStreaming(prompt, { responseConstraint: /[A-Z][a-z ,']{20,60}\./ });
  session.destroy();
});
