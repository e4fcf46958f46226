// What `npm run check:gpu` reads out of compilers' answers, and what it holds against the table that is kept.
import { describe, expect, test } from 'vitest';
import { readAssembly } from '../../scripts/gpu-compiler/assembly.ts';
import type { Figure } from '../../scripts/gpu-compiler/gates.ts';
import { changes, keptText, missesOf, readKept, shrunk } from '../../scripts/gpu-compiler/table.ts';

describe('machine code', () => {
  test('of AMD: two instructions for three multiply-adds, a conversion; three loads, of which a wait leaves one', () => {
    const text = `
BB0:
  s_load_b128 s[0:3], s[2:3], 0x10                ; f4
  s_load_b128 s[4:7], s[2:3], null                ; f4
  s_waitcnt vmcnt(0)
  s_barrier
BB1:
  buffer_load_b128 v[0:3], v4, s[0:3], 0 offen   ; e0
  buffer_load_b128 v[4:7], v4, s[0:3], 0 offen   ; e0
  buffer_load_b32 v8, v4, s[4:7], 0 offen        ; e0
  s_waitcnt vmcnt(1)                              ; bf
  buffer_load_d16_b16 v9, v4, s[0:3], 0 offen    ; e0
  ds_load_b128 v[4:7], v4
  v_fma_mix_f32 v9, v1, 1.0, neg(0) op_sel_hi:[1,0,0]
  v_fmac_f32_e32 v1, v2, v3
  v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6
  s_cbranch_scc0 BB1
  v_add_f32 v1, v1, v2
  v_add_f32 v1, v1, v2
`;
    expect(readAssembly('amd', text)).toEqual({
      flight: 3,
      flightBytes: 36,
      barriers: 1,
      perMultiplyAdd: 1,
      loop: { vector: 3, loaded: { 0: 4, 1: 34 } },
      perSharedRead: 3,
      wide: 32 / 38,
    });
  });

  test('of AMD before RDNA 3: other names', () => {
    const text = `
BB1:
  buffer_load_dwordx4 v[0:3], v4, s[0:3], 0 offen
  buffer_load_dword v8, v4, s[0:3], 0 offen
  ds_read2_b64 v[4:7], v4
  v_fmac_f32_e32 v1, v2, v3
  s_cbranch_scc0 BB1
`;
    const { wide, perSharedRead } = readAssembly('amd', text);
    expect([wide, perSharedRead]).toEqual([0.8, 1]);
  });

  test('of Intel: loads by their tokens, local memory apart', () => {
    const text = `
LABEL1:
send(16)        g16UD           g14UD           nullUD          0x04205e01                0x00000000
       ugm MsgDesc: ( load, a32, d32, V4, L1STATE_L3MOCS dst_len = 2 bti )  BTI 3  base_offset 0  { align1 1H $5 };
send(16)        g18UD           g14UD           nullUD          0x04205e01                0x00000000
       slm MsgDesc: ( load, a32, d32, V1, L1STATE_L3MOCS dst_len = 2 flat )  base_offset 0  { align1 1H $6 };
send(16)        g20UD           g14UD           nullUD          0x04205e01                0x00000000
       dp data 1 MsgDesc: (untyped surface read, Surface = 1, SIMD16, Mask = 0xc)  mlen 2 rlen 2 { align1 1H @1 $10 };
send(16)        g20UD           g14UD           nullUD          0x04205e01                0x00000000
       dp data 1 MsgDesc: (untyped surface read, Surface = 254, SIMD16, Mask = 0x0)  mlen 2 rlen 2 { align1 1H @1 $11 };
send(16)        nullUD          g103UD          nullUD          0x02000004                0x00000000
       gateway MsgDesc: (barrier msg)  mlen 1 ex_mlen 0 rlen 0 { align1 WE_all 1H @1 $2 };
sync nop(1)     null<0,1,0>UB                   { align1 WE_all 1N $5.dst };
mad(16)         g115<1>F        g119<8,8,1>F    g89<8,8,1>F     g117<1,1,1>F { align1 1H F@1 };
mov(16)         g4<1>UD         g6<8,8,1>UW                     { align1 1H $10.dst };
(+f0.0) while(16) JIP:  LABEL1                                  { align1 1H };
`;
    expect(readAssembly('intel', text)).toEqual({
      flight: 2,
      flightBytes: 24,
      barriers: 1,
      perMultiplyAdd: 2,
      loop: { vector: 2, loaded: {} },
      perSharedRead: 0.5,
      wide: 16 / 24,
    });
  });

  test('of Adreno: repeats count, and waits are on the instruction', () => {
    const text = `
l1:
ldib.b.untyped.1d.u32.4.imm.base0 r2.y, r1.z, 0
(nop2) ldib.b.untyped.1d.u32.4.imm.base0 r3.y, r1.w, 0
(sy)(ss)(rpt3)mad.f32 r1.x, (r)r2.y, r3.y, (r)r1.x
ldib.b.untyped.1d.u16.1.imm.base0 r3.y, r1.w, 0
isam.v.base0 (u32)(xyzw)r13.z, r4.w, s#0, t#0
ldl.u32 r19.w, l[r20.x], 1
ldl.u32 r19.z, l[r20.x], 1
(rpt1)cov.f16f32 r1.x, (r)hr2.x
(sy)bar.g
br p0.x, #l1
end
`;
    expect(readAssembly('adreno', text)).toEqual({
      flight: 2,
      flightBytes: 32,
      barriers: 1,
      perMultiplyAdd: 1.5,
      loop: { vector: 6, loaded: {} },
      perSharedRead: 2,
      wide: 48 / 50,
    });
  });

  test('of several loops that multiply, the one with fewest loads under way', () => {
    const loop = (label: string, loads: number): string =>
      `${label}:\n${'buffer_load_b128 v[0:3], v4, s[0:3], 0 offen\n'.repeat(loads)}s_waitcnt vmcnt(0)
v_fmac_f32_e32 v1, v2, v3\ns_cbranch_scc0 ${label}\n`;
    expect(readAssembly('amd', loop('BB1', 8) + loop('BB2', 2)).flight).toBe(2);
  });

  test('without multiply-adds: loads alone', () => {
    const text = 'BB0:\n  buffer_load_b32 v8, v4, s[0:3], 0 offen\n';
    expect(readAssembly('amd', text)).toEqual({ flight: 1, flightBytes: 4, barriers: 0 });
  });
});

describe('the table that is kept', () => {
  const figure = (gpu: string, value: number, kernel = 'matvec q4'): Figure => ({
    gate: 'q4 and q8 matvec: threads',
    kernel,
    gpu,
    value,
  });
  const misses = missesOf([
    figure('tgl', 9216),
    figure('tgl', 4608),
    figure('tgl', 16_384),
    figure('navi31', 20_000),
    { gate: 'registers spilled', kernel: 'norm', gpu: 'tgl', value: 0 },
  ]);
  const key = 'q4 and q8 matvec: threads | matvec q4';
  const every = ['navi31', 'tgl'];

  test('holds gates that are missed, how often and the worst figure, and reads as it was written', () => {
    expect([...misses.keys()]).toEqual([key]);
    const text = keptText(misses);
    expect(text).toContain('| least 16384 | matvec q4 |  |  |  | 2 x 4608 |');
    expect(readKept(text)).toEqual(misses);
    expect(changes(misses, readKept(text), every, true)).toEqual([]);
  });

  test('one that is not kept, a worse figure and more of a row fail; fewer do not', () => {
    const worse = (...figures: Figure[]) =>
      changes(missesOf(figures), misses, every, true).map(({ worse }) => worse);
    expect(worse(figure('tgl', 9216), figure('tgl', 4608), figure('navi31', 9216))).toEqual([true]);
    expect(worse(figure('tgl', 4000), figure('tgl', 9216))).toEqual([true]);
    expect(worse(figure('tgl', 9216), figure('tgl', 9216), figure('tgl', 4608))).toEqual([true]);
    expect(worse(figure('tgl', 9216))).toEqual([false]);
    expect(worse()).toEqual([false]);
  });

  test('only shrinks', () => {
    const now = missesOf([figure('tgl', 9216), figure('navi31', 9216), figure('tgl', 9216, 'matvec q8')]);
    expect(shrunk(now, misses)).toEqual(new Map([[key, new Map([['tgl', { count: 1, worst: 9216 }]])]]));
    // What became worse stays as it was.
    expect(shrunk(missesOf([figure('tgl', 1), figure('tgl', 2), figure('tgl', 3)]), misses)).toEqual(misses);
  });

  test('of some kernels alone, says nothing of the others', () => {
    expect(changes(new Map(), misses, every, false)).toEqual([]);
    expect(changes(new Map(), misses, every, true)).toHaveLength(1);
  });
});
