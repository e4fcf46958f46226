// OpenAI's own client, whose requests a model in the page answers.
import OpenAI from 'openai';
import { loadModel } from 'shishulm';
import { openaiFetch } from 'shishulm/openai-fetch';
import { answerWith } from './form';

const loading = loadModel('model/', { worker: true });

answerWith(async function* (prompt) {
  const openai = new OpenAI({
    apiKey: 'none',
    // Nothing is asked of this address.
    baseURL: 'http://local/v1',
    fetch: openaiFetch(await loading),
    dangerouslyAllowBrowser: true,
  });
  const stream = await openai.chat.completions.create({
    model: 'any',
    messages: [{ role: 'user', content: prompt }],
    max_tokens: 16,
    temperature: 0,
    stream: true,
  });
  for await (const { choices } of stream) yield choices[0]?.delta.content ?? '';
});
