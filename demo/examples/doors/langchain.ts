// A chain of LangChain.js: a prompt's template, the model, its text.
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { loadModel } from 'shishulm';
import { ChatShishuLM } from 'shishulm/langchain';
import { answerWith } from './form';

const loading = loadModel('model/', { worker: true });

answerWith(async function* (prompt) {
  const chat = new ChatShishuLM({ model: await loading, fields: { temperature: 0, max_tokens: 16 } });
  const chain = ChatPromptTemplate.fromMessages([['human', '{prompt}']])
    .pipe(chat)
    .pipe(new StringOutputParser());
  yield* await chain.stream({ prompt });
});
