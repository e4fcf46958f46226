import { refuseOption } from '../errors.ts';

/** Which kernels, chunks and defaults a device gets: those for a CPU that plays GPU, or those for a GPU. */
export type Profile = 'software' | 'gpu';

/** `auto` is the profile of what the adapter is; the others force one, whatever the adapter. */
export type ProfileOption = 'auto' | Profile;

const OPTIONS: readonly unknown[] = ['auto', 'software', 'gpu'] satisfies ProfileOption[];

/** @throws ShishuError `bad-argument` for a value that is none */
export const checkProfile = (value: unknown): ProfileOption =>
  OPTIONS.includes(value)
    ? (value as ProfileOption)
    : refuseOption('profile', value, 'auto, software or gpu');

/** Text of an adapter's names, in lower case. */
export const adapterWords = (info: GPUAdapterInfo | undefined): string =>
  `${info?.vendor} ${info?.architecture} ${info?.device} ${info?.description}`.toLowerCase();

/** Whether a CPU plays this adapter. */
export const isSoftware = (info: GPUAdapterInfo | undefined): boolean =>
  info?.isFallbackAdapter === true ||
  /swiftshader|llvmpipe|lavapipe|microsoft basic/.test(adapterWords(info));

/** The one place where it is chosen. */
export const profileOf = (option: ProfileOption, software: boolean): Profile =>
  option !== 'auto' ? option : software ? 'software' : 'gpu';
