// What `npm run check:gpu` reads out of compilers' answers, and what it holds against the table that is kept.
import { describe, expect, test } from 'vitest';
import { readAssembly } from '../../scripts/gpu-compiler/assembly.ts';
import type { Compiled } from '../../scripts/gpu-compiler/driver.ts';
import {
  addResult,
  changes,
  keptText,
  type Results,
  readKept,
  spilling,
} from '../../scripts/gpu-compiler/table.ts';

const compiled = (spills = 0, scratch = 0): Compiled => ({
  registers: 32,
  spills,
  scratch,
  shared: 0,
  instructions: 100,
  flight: 2,
});

describe('machine code', () => {
  test('of AMD: two instructions for three multiply-adds, a conversion; three loads, of which a wait leaves one', () => {
    const text = `
BB0:
  s_waitcnt vmcnt(0)
BB1:
  buffer_load_b128 v[0:3], v4, s[0:3], 0 offen   ; e0
  buffer_load_b128 v[4:7], v4, s[0:3], 0 offen   ; e0
  buffer_load_b32 v8, v4, s[0:3], 0 offen        ; e0
  s_waitcnt vmcnt(1)                              ; bf
  buffer_load_b32 v9, v4, s[0:3], 0 offen        ; e0
  v_fma_mix_f32 v9, v1, 1.0, neg(0) op_sel_hi:[1,0,0]
  v_fmac_f32_e32 v1, v2, v3
  v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6
  s_cbranch_scc0 BB1
  v_add_f32 v1, v1, v2
  v_add_f32 v1, v1, v2
`;
    expect(readAssembly('amd', text)).toEqual({ flight: 3, perMultiplyAdd: 1 });
  });

  test('of Intel: loads by their tokens, local memory apart', () => {
    const text = `
LABEL1:
send(16)        g16UD           g14UD           nullUD          0x04205e01                0x00000000
       ugm MsgDesc: ( load, a32, d32, V1, L1STATE_L3MOCS dst_len = 2 bti )  BTI 3  base_offset 0  { align1 1H $5 };
send(16)        g18UD           g14UD           nullUD          0x04205e01                0x00000000
       slm MsgDesc: ( load, a32, d32, V1, L1STATE_L3MOCS dst_len = 2 flat )  base_offset 0  { align1 1H $6 };
send(16)        g20UD           g14UD           nullUD          0x04205e01                0x00000000
       dp data 1 MsgDesc: (untyped surface read, Surface = 1, SIMD16, Mask = 0xe)  mlen 2 rlen 2 { align1 1H @1 $10 };
sync nop(1)     null<0,1,0>UB                   { align1 WE_all 1N $5.dst };
mad(16)         g115<1>F        g119<8,8,1>F    g89<8,8,1>F     g117<1,1,1>F { align1 1H F@1 };
mov(16)         g4<1>UD         g6<8,8,1>UW                     { align1 1H $10.dst };
(+f0.0) while(16) JIP:  LABEL1                                  { align1 1H };
`;
    expect(readAssembly('intel', text)).toEqual({ flight: 2, perMultiplyAdd: 2 });
  });

  test('of Adreno: repeats count, and waits are on the instruction', () => {
    const text = `
l1:
ldib.b.untyped.1d.u32.4.imm.base0 r2.y, r1.z, 0
(nop2) ldib.b.untyped.1d.u32.4.imm.base0 r3.y, r1.w, 0
(sy)(ss)(rpt3)mad.f32 r1.x, (r)r2.y, r3.y, (r)r1.x
ldib.b.untyped.1d.u32.4.imm.base0 r3.y, r1.w, 0
(rpt1)cov.f16f32 r1.x, (r)hr2.x
br p0.x, #l1
end
`;
    expect(readAssembly('adreno', text)).toEqual({ flight: 2, perMultiplyAdd: 1.5 });
  });

  test('without multiply-adds: loads alone', () => {
    expect(readAssembly('amd', 'BB0:\n  buffer_load_b32 v8, v4, s[0:3], 0 offen\n')).toEqual({ flight: 1 });
  });
});

describe('the table that is kept', () => {
  const results: Results = new Map();
  addResult(results, 'matvec TOKENS=4', 'tgl', compiled());
  addResult(results, 'matvec TOKENS=4', 'tgl', compiled(95, 2048));
  addResult(results, 'matvec TOKENS=4', 'navi31', compiled());
  addResult(results, 'norm', 'tgl', compiled());

  test('holds kernels that spill, the worst of their sizes, and reads as it was written', () => {
    const kept = spilling(results);
    expect([...kept.keys()]).toEqual(['matvec TOKENS=4']);
    const text = keptText(kept, ['navi31', 'tgl']);
    expect(text).toContain('| matvec TOKENS=4 |  | 95 / 2048 |');
    expect(readKept(text)).toEqual(kept);
    expect(changes(results, readKept(text))).toEqual([]);
  });

  test('a kernel that spills more, or for the first time, is worse', () => {
    const kept = readKept(
      keptText(new Map([['norm', new Map([['tgl', { spills: 5, scratch: 16 }]])]]), ['tgl']),
    );
    expect(changes(results, kept)).toEqual([
      { kernel: 'matvec TOKENS=4', gpu: 'tgl', before: '0 / 0', now: '95 / 2048', worse: true },
      { kernel: 'norm', gpu: 'tgl', before: '5 / 16', now: '0 / 0', worse: false },
    ]);
  });
});
