/** A figure of the paper, which this program did not measure. */
export interface Claim {
  what: string;
  figure: string;
  from: string;
}

/** From the abstracts of arXiv 2510.13860. */
export const CLAIMS: readonly Claim[] = [
  { what: 'Memory', figure: 'up to 25 % less', from: 'v1, Oct 2025' },
  { what: 'Latency, training and inference', figure: 'up to 40 % lower', from: 'v1, Oct 2025' },
  { what: 'Generation latency', figure: '10-60 % lower', from: 'v2, Mar 2026' },
  { what: 'Throughput', figure: '1.3-5x', from: 'v2, Mar 2026' },
  { what: 'Memory, from sharing', figure: 'up to 20 % less', from: 'v2, Mar 2026' },
];

export const CLAIMS_NOTE =
  'Claims of the abstracts of arXiv 2510.13860, not measured here. Hardware, software, precision, batch size, prompt and ' +
  'generation lengths, and which child a figure belongs to are not known to us (v1 speaks of 125M and 600M shapes, v2 of ' +
  '125M and 350M).';
