import { type BenchResult, CLAIMS, CLAIMS_NOTE, runBench } from '../../src/bench.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';
import { openGpu } from '../../src/gpu/device.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { announce, byId, el } from '../chat/dom.ts';
import { attempt, showError } from '../chat/notices.ts';
import { includedModels } from '../chat/picker.ts';
import { showNoWebGpu, whyNoWebGpu } from '../chat/support.ts';
import { addressOf, hubOfPage } from '../hub.ts';
import { showPages } from '../nav.ts';
import { startPage } from '../profile.ts';
import { ResultList, showComparison } from './compare.ts';
import { Form } from './form.ts';
import { keepResult } from './kept.ts';
import { clearPlots } from './plots.ts';
import { showReport } from './report.ts';

/** Where a spec that is no preset leads. */
const openFolder = (source: string): Source => openSource(addressOf(source).source, { hub: hubOfPage() });

/** A hidden tab is throttled: its times are worth little. */
function watchTab(disturbed: (why: string) => void): () => void {
  const look = (): void => {
    if (document.hidden) disturbed('The tab was hidden.');
  };
  look();
  document.addEventListener('visibilitychange', look);
  return () => document.removeEventListener('visibilitychange', look);
}

const pointsOf = ({ models, prompts, decode, batches, profile, training }: BenchResult): number =>
  [models, prompts, decode, batches, profile, training].reduce((sum, { length }) => sum + length, 0);

class Page {
  readonly #form: Form;
  readonly #profile: ProfileOption;
  readonly #run = byId('run', HTMLButtonElement);
  readonly #cancel = byId('cancel', HTMLButtonElement);
  readonly #link = byId('link', HTMLButtonElement);
  readonly #loading = byId('loading', HTMLDivElement);
  readonly #bar = byId('progress', HTMLProgressElement);
  readonly #text = byId('progress-text', HTMLSpanElement);
  readonly #report = byId('report', HTMLElement);
  readonly #comparison = byId('comparison', HTMLElement);
  readonly #results: ResultList;
  #abort: AbortController | undefined;
  #result: BenchResult | undefined;
  #compared: readonly [BenchResult, BenchResult] | undefined;

  constructor(form: Form, profile: ProfileOption) {
    this.#form = form;
    this.#profile = profile;
    byId('settings', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#start();
    });
    this.#cancel.addEventListener('click', () => {
      this.#abort?.abort();
      this.#text.textContent = 'Cancelling…';
    });
    this.#link.addEventListener('click', () => attempt(() => this.#copyLink()));
    byId('files-field', HTMLLabelElement).hidden = false;
    this.#results = new ResultList({
      show: (result) => {
        this.#result = result;
        this.#compared = undefined;
        this.#show();
        this.#report.scrollIntoView({ block: 'start' });
      },
      compare: (...both) => {
        this.#compared = both;
        this.#show();
        this.#comparison.scrollIntoView({ block: 'start' });
      },
    });
    // The plots take their colours when they are drawn.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
    addEventListener('hashchange', () => this.#takeLink());
    this.#takeLink();
  }

  /** Takes the settings of a link: that of the page, or one that is put into the address later. */
  #takeLink(): void {
    if (location.hash.length > 1) void attempt(() => this.#form.fromLink(location.hash));
  }

  /** Puts the settings into the address. */
  #keepLink(): void {
    history.replaceState(null, '', `#${this.#form.toLink()}`);
  }

  async #copyLink(): Promise<void> {
    this.#keepLink();
    const copied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    const said = copied ? 'Link copied' : 'The address bar holds the link';
    this.#link.textContent = said;
    announce(said);
    setTimeout(() => {
      this.#link.textContent = 'Copy link to these settings';
    }, 2000);
  }

  /** Shows the result, or the comparison: the plots of both at once would be too many. */
  #show(): void {
    this.#report.hidden = true;
    this.#comparison.hidden = true;
    clearPlots();
    if (this.#compared) showComparison(this.#comparison, ...this.#compared);
    else if (this.#result) showReport(this.#report, this.#result);
  }

  #start(): Promise<void> {
    return attempt(async () => {
      if (this.#abort) return;
      const { settings, budget } = this.#form.read();
      this.#keepLink();
      this.#abort = new AbortController();
      this.#loading.hidden = false;
      // A disabled button would lose the focus to the beginning of the page.
      if (document.activeElement === this.#run) this.#cancel.focus();
      this.#run.disabled = true;
      this.#text.textContent = 'Opening the GPU…';
      this.#bar.removeAttribute('value');
      let shown = 0;
      this.#compared = undefined;
      try {
        this.#result = await runBench(settings, {
          openFolder,
          budget,
          gpu: { profile: this.#profile },
          runtime: navigator.userAgent,
          signal: this.#abort.signal,
          watch: watchTab,
          loadTraining: () => import('../../src/train/step-times.ts'),
          onProgress: ({ done, total, what, result }) => {
            this.#bar.max = total;
            this.#bar.value = done;
            this.#text.textContent = `${what} (${done} of ${total})`;
            if (pointsOf(result) === shown) return;
            shown = pointsOf(result);
            this.#result = result;
            this.#show();
          },
        });
        this.#show();
        await keepResult(this.#result);
        await this.#results.refresh();
        announce(this.#result.ended === 'complete' ? 'The run is complete.' : 'The run ended early.');
        this.#report.scrollIntoView({ block: 'start' });
      } finally {
        this.#abort = undefined;
        this.#run.disabled = false;
        if (document.activeElement === this.#cancel) this.#run.focus({ preventScroll: true });
        this.#loading.hidden = true;
      }
    });
  }
}

function showClaims(): void {
  byId('claims', HTMLElement).replaceChildren(
    el('h2', {}, 'For reference: what the paper claims'),
    el('ul', {}, ...CLAIMS.map(({ what, figure, from }) => el('li', {}, `${what}: ${figure} (${from})`))),
    el('p', {}, CLAIMS_NOTE),
  );
}

showPages(byId('pages', HTMLElement));
showClaims();
await startPage(async (profile) => {
  const why = await whyNoWebGpu();
  if (why) return showNoWebGpu(why);
  try {
    const included = await includedModels().catch(() => []);
    const gpu = await openGpu();
    gpu.close();
    new Page(new Form(included, gpu.software), profile);
  } catch (error) {
    showError(error, { label: 'Try again', run: () => location.reload() });
  }
});
