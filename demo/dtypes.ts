import { DTYPES, FORMATS } from '../src/quant/index.ts';

/** Fills a list with the weight formats that there are. */
export function addDtypes(list: HTMLSelectElement): void {
  for (const dtype of DTYPES) {
    const { perBlock, bits } = FORMATS[dtype];
    list.add(new Option(perBlock ? `${dtype} (${bits} bits)` : dtype, dtype));
  }
}
