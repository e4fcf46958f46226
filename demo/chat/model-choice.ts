import type { SourceLike } from '../../src/formats/open-source.ts';
import { addressOf } from '../hub.ts';
import { plainName } from './names.ts';
import type { SavedChoice } from './store.ts';

/** A model that the reader chose. */
export interface ModelChoice {
  label: string;
  description?: string;
  source: SourceLike;
  /** How a reload finds it again. */
  saved: SavedChoice;
  /** False: the model's folder holds no analysis, so that there is no need to ask for one. */
  analysed?: boolean;
  /** How its weights are to be kept, where what they are stored in does not fit. */
  dtype?: string;
  /** Prompts that suit the model. */
  openers: readonly string[];
}

/** @throws ShishuError `bad-argument` for what is neither a name of a hub nor an address */
export function fromUrl(url: string): ModelChoice {
  const { source, label } = addressOf(url);
  return { label: plainName(label), source, saved: { kind: 'url', url: source }, openers: [] };
}
