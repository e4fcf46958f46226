const form = document.querySelector('form')!;
const output = document.querySelector('output')!;

/** Answers what is written into the page's form, piece by piece. */
export function answerWith(answer: (prompt: string) => AsyncIterable<string>): void {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    output.value = '';
    output.dataset.state = 'busy';
    try {
      for await (const text of answer(String(new FormData(form).get('prompt')))) output.value += text;
      output.dataset.state = 'done';
    } catch (error) {
      output.value = String(error);
      output.dataset.state = 'failed';
    }
  });
}
