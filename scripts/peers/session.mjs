// One browser: each engine loaded in a page of its own, then all of them in one page, row by row and in turn.
import { BROWSERS } from './browsers.mjs';
import { PEERS, ROWS } from './engines.mjs';
import { watchMemory } from './memory.mjs';

const QUESTION = 'The capital of France is';
const ANSWER_TOKENS = 4;
/** Of the time of a browser, at most this share goes to loading. */
const LOADING = 0.4;

/**
 * @typedef {{ browser: string, version?: string, adapter?: any, failed?: string,
 *   peers: Record<string, any>, rows: Record<string, Record<string, any>> }} Report
 * @typedef {{ names: string[], loads: number, repeat: number, steps: number, limitMs: number, rows: string[] }} Settings
 */

/** What an error says, in a line. @param {unknown} error */
const lineOf = (error) =>
  String(/** @type {Error} */ (error).message ?? error)
    .split('\n', 1)[0]
    ?.slice(0, 300) ?? '';

/**
 * A promise that gives up. @template T
 * @param {Promise<T>} promise @param {number} ms @param {string} what
 * @returns {Promise<T>}
 */
async function within(promise, ms, what) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  promise.catch(() => {});
  try {
    return await Promise.race([
      promise,
      new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what} took over ${Math.round(ms / 1000)} s`)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

export class BrowserRun {
  /**
   * @param {string} name @param {Awaited<ReturnType<typeof import('./server.mjs').serve>>} server
   * @param {Settings} settings @param {number} deadline @param {{ say(text: string): void, save(): void }} out
   */
  constructor(name, server, settings, deadline, out) {
    this.name = name;
    this.server = server;
    this.settings = settings;
    this.deadline = deadline;
    this.out = out;
    this.begun = Date.now();
    /** @type {Report} */
    this.report = { browser: name, peers: {}, rows: {} };
    for (const peer of settings.names) this.report.peers[peer] = { loads: [] };
  }

  get left() {
    return this.deadline - Date.now();
  }

  /** @param {string} text */
  say(text) {
    this.out.say(`${this.name}: ${text}`);
  }

  async open() {
    const browser = await /** @type {() => Promise<import('playwright').Browser>} */ (BROWSERS[this.name])();
    this.report.version ??= browser.version();
    const page = await browser.newPage();
    page.on('pageerror', (error) => this.say(`the page says: ${lineOf(error)}`));
    page.on('console', (message) => {
      if (message.type() === 'error') this.say(`the console says: ${message.text().slice(0, 600)}`);
    });
    await page.goto(this.server.url);
    await page.waitForFunction('globalThis.ready', undefined, { timeout: 60_000 });
    return { browser, page };
  }

  /** @param {import('playwright').Page} page @param {string} name */
  load(page, name) {
    const { kind, options, hide = [] } = /** @type {import('./engines.mjs').Peer} */ (PEERS[name]);
    const hidden = this.name === 'chromium' && process.env.WEBGPU_ADAPTER !== 'hardware' ? hide : [];
    const call = page.evaluate((what) => /** @type {any} */ (globalThis).peerLoad(what), {
      name,
      kind,
      options,
      hide: hidden,
    });
    return within(call, Math.max(this.left, 30_000), `loading ${name}`);
  }

  /** @param {import('playwright').Page} page @param {string} name @param {string} method @param {unknown[]} args */
  call(page, name, method, ...args) {
    const call = page.evaluate((what) => /** @type {any} */ (globalThis).peerRun(what), {
      name,
      method,
      args,
    });
    return within(call, Math.max(this.left, 30_000), `${method} of ${name}`);
  }

  async run() {
    try {
      for (let round = 0; round < this.settings.loads; round++)
        for (const name of this.settings.names) await this.loadAlone(name, round);
      await this.sideBySide();
    } catch (error) {
      this.report.failed = lineOf(error);
      this.say(this.report.failed);
    }
    this.out.save();
  }

  /** In a browser of its own: time, bytes, memory, and whether it answers as it should. @param {string} name @param {number} round */
  async loadAlone(name, round) {
    const peer = this.report.peers[name];
    const budget = (this.deadline - this.begun) * LOADING;
    const last = peer.loads.at(-1)?.wall ?? 0;
    if (peer.failed || (round > 0 && Date.now() + last - this.begun > budget)) return;
    this.say(`loads ${name} (${round + 1} of ${this.settings.loads})`);
    const begun = Date.now();
    const { browser, page } = await this.open();
    try {
      this.report.adapter ??= await page.evaluate('peerAdapter()');
      this.server.take();
      const memory = watchMemory();
      const { ms, about } = await this.load(page, name);
      const reply = await this.call(page, name, 'reply', QUESTION, ANSWER_TOKENS);
      const peak = memory.stop();
      peer.about = about;
      peer.reply = reply.result;
      peer.loads.push({ ms, reply: reply.wall, bytes: this.server.take(), peak, wall: Date.now() - begun });
    } catch (error) {
      peer.failed = lineOf(error);
      this.say(`${name}: ${peer.failed}`);
    } finally {
      await browser.close();
    }
    this.out.save();
  }

  async sideBySide() {
    const names = this.settings.names.filter((name) => !this.report.peers[name].failed);
    const { browser, page } = await this.open();
    try {
      for (const name of names) {
        this.say(`opens ${name} in the common page`);
        await this.load(page, name);
      }
      const rows = ROWS.filter(({ name }) => this.settings.rows.includes(name));
      for (const [at, row] of rows.entries()) {
        const share = Date.now() + this.left / (rows.length - at);
        await this.row(page, row, names, share);
      }
      await this.leftOut(page, rows);
    } finally {
      await browser.close();
    }
  }

  /**
   * @param {import('playwright').Page} page @param {typeof ROWS[number]} row @param {string[]} names @param {number} until
   */
  async row(page, row, names, until) {
    /** @type {Record<string, any>} */
    const cells = {};
    this.report.rows[row.name] = cells;
    for (const name of names) cells[name] = { samples: [] };
    for (let round = 0; round < this.settings.repeat; round++) {
      // The first of a round is another one each time.
      const order = names.map((_, i) => /** @type {string} */ (names[(i + round) % names.length]));
      for (const name of order) {
        const cell = cells[name];
        if (cell.failed || cell.skipped) continue;
        const cost = cell.wall ?? this.guess(row, name);
        if (Date.now() + cost <= until) await this.sample(page, row, name, cell);
        else if (cell.samples.length === 0) cell.skipped = cost;
      }
    }
  }

  /**
   * What was too long for its row, shortest first, with the time that is left.
   * @param {import('playwright').Page} page @param {typeof ROWS} rows
   */
  async leftOut(page, rows) {
    const cells = rows.flatMap((row) =>
      Object.entries(this.report.rows[row.name] ?? {}).map(([name, cell]) => ({ row, name, cell })),
    );
    const skipped = cells.filter(({ cell }) => cell.skipped).sort((a, b) => a.cell.skipped - b.cell.skipped);
    for (const { row, name, cell } of skipped) {
      const seconds = Math.round(cell.skipped / 1000);
      if (Date.now() + cell.skipped > this.deadline) {
        this.say(`${row.title}: ${name} would take about ${seconds} s, and is left out`);
        continue;
      }
      delete cell.skipped;
      await this.sample(page, row, name, cell);
    }
  }

  /** @param {import('playwright').Page} page @param {typeof ROWS[number]} row @param {string} name @param {any} cell */
  async sample(page, row, name, cell) {
    const { steps, limitMs } = this.settings;
    try {
      if (row.prompt) {
        const { result, wall } = await this.call(page, name, 'prompt', row.prompt);
        cell.samples.push(result);
        cell.wall = wall;
      } else {
        if (cell.samples.length === 0) cell.reach = (await this.call(page, name, 'reach', row.position)).wall;
        const { result, wall } = await this.call(page, name, 'decode', row.position, { steps, limitMs });
        cell.samples.push(result.ms);
        cell.steps = result.steps;
        cell.wall = wall;
      }
      this.say(`${row.title}: ${name} ${cell.samples.at(-1).toFixed(1)} ms`);
    } catch (error) {
      cell.failed = lineOf(error);
      this.say(`${row.title}: ${name}: ${cell.failed}`);
      // What hangs would hold up all others.
      if (/ took over /.test(cell.failed)) throw error;
    }
    this.out.save();
  }

  /** ms that the first sample of a row may take, from what is known. @param {typeof ROWS[number]} row @param {string} name */
  guess(row, name) {
    const wall = (/** @type {string} */ other) => this.report.rows[other]?.[name]?.wall;
    const { loads } = this.report.peers[name];
    const prompt = wall('prompt-128') ?? loads.at(-1)?.reply ?? 0;
    if (row.prompt) return row.prompt > 128 ? (prompt * row.prompt) / 128 : prompt * 1.5;
    if (row.position === 100) return prompt * 2;
    const reaches = PEERS[name]?.kind !== 'transformers';
    return (wall('decode-100') ?? prompt * 2) * 1.5 + (reaches ? (prompt * (row.position ?? 0)) / 128 : 0);
  }
}
