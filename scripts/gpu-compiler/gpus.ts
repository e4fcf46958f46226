// The GPUs whose compilers are asked, and what makes Mesa's drivers believe that one is there.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Maker = 'amd' | 'intel' | 'adreno';

export interface Target {
  name: string;
  maker: Maker;
  /** Environment under which the driver is that GPU's. */
  env: Record<string, string>;
  /** Tells one build of the driver from another. */
  driver: string;
}

/** Names as people say them, and as RADV does. */
const AMD = { navi31: 'navi31', navi21: 'navi21', gfx1103: 'phoenix', vega10: 'vega10' };
const INTEL = ['tgl', 'adl', 'mtl', 'lnl', 'dg2'];
const ADRENO = ['adreno730', 'adreno740'];

export const GPU_NAMES = [...Object.keys(AMD), ...INTEL, ...ADRENO];

const digest = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16);

/** Debian's driver for AMD. */
function radv(): { icd: string; library: string } {
  const folder = '/usr/share/vulkan/icd.d';
  const file = existsSync(folder) && readdirSync(folder).find((name) => /^radeon_icd.*\.json$/.test(name));
  if (!file)
    throw new Error(
      "Mesa's driver for AMD is missing: install mesa-vulkan-drivers, version 25 or later (on Debian 12 from backports).",
    );
  const { library_path: path } = JSON.parse(readFileSync(join(folder, file), 'utf8')).ICD as {
    library_path: string;
  };
  const libraries = ['', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];
  const library = libraries.map((at) => join(at, path)).find((found) => existsSync(found));
  if (!library) throw new Error(`${file} names ${path}, which is not there.`);
  return { icd: join(folder, file), library };
}

/** A driver of the folder of drivers, with the library that stands in for its kernel driver. */
function stub(drivers: string, work: string, vulkan: string, shim: string) {
  const library = join(drivers, `libvulkan_${vulkan}.so`);
  const preload = join(drivers, `lib${shim}_noop_drm_shim.so`);
  for (const file of [library, preload])
    if (!existsSync(file)) throw new Error(`GPU_COMPILER_DRIVERS names a folder that lacks ${file}.`);
  const icd = join(work, `${vulkan}_icd.json`);
  writeFileSync(
    icd,
    JSON.stringify({
      file_format_version: '1.0.0',
      ICD: { library_path: library, api_version: '1.3.0' },
    }),
  );
  return { env: { VK_ICD_FILENAMES: icd, LD_PRELOAD: preload }, driver: digest(library) };
}

/**
 * The GPUs that can be asked here: AMD's always, the others where a folder of drivers is named.
 * @param work a folder for what drivers need to find
 */
export function targets(drivers: string | undefined, work: string): Target[] {
  const amd = radv();
  const driver = digest(amd.library);
  const all: Target[] = Object.entries(AMD).map(([name, family]) => ({
    name,
    maker: 'amd',
    env: { VK_ICD_FILENAMES: amd.icd, RADV_FORCE_FAMILY: family },
    driver,
  }));
  if (!drivers) return all;
  const intel = stub(drivers, work, 'intel', 'intel');
  const adreno = stub(drivers, work, 'freedreno', 'freedreno');
  for (const name of INTEL)
    all.push({ ...intel, name, maker: 'intel', env: { ...intel.env, INTEL_STUB_GPU_PLATFORM: name } });
  for (const name of ADRENO)
    all.push({ ...adreno, name, maker: 'adreno', env: { ...adreno.env, FD_GPU_ID: name.slice(6) } });
  return all;
}
