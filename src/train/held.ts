// What training holds on the GPU, as its plan has it.
import type { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { ropeTable } from '../model/rope.ts';
import { attentionOf, type ModelSpec } from '../model/spec.ts';
import type { DeviceModel, Product } from './blocks.ts';
import { adamW, clip, sumOfSquares } from './kernels/adamw.ts';
import { type Layout, Tensors } from './parameters.ts';
import type { Plan } from './plan.ts';
import { Program } from './program.ts';
import type { TrainingBuffers } from './record.ts';
import { type InnerRoom, type Room, ropeKey } from './room.ts';
import { productNames } from './trained.ts';

/** Buffers of a plan. */
export function allocate(ledger: Ledger, plan: Plan, specs: readonly ModelSpec[]): TrainingBuffers {
  const made = (sizes: Record<string, number>): Record<string, GPUBuffer> =>
    Object.fromEntries(
      Object.entries(sizes).flatMap(([name, count]) =>
        count > 0 ? [[name, ledger.storage(name, 4 * count, 'scratch')]] : [],
      ),
    );
  const ropes = new Map<string, GPUBuffer>();
  const mixers = specs.flatMap((spec) => [...attentionOf(spec).values()]);
  for (const key of plan.ropes.keys()) {
    const mixer = mixers.find((one) => ropeKey(one) === key)!;
    ropes.set(key, ledger.from('rope', ropeTable(mixer, plan.windows.length), 'scratch'));
  }
  return {
    ropes,
    room: { ...made(plan.room.passing), ...made(plan.room.inner) } as Room,
    kept: Array.from({ length: plan.keeping }, () => made(plan.room.inner) as InnerRoom),
    others: made(plan.others) as TrainingBuffers['others'],
    inputs: Array.from({ length: plan.inputs.count }, (_, i) =>
      ledger.storage(`input ${plan.set.lowest + i}`, 4 * plan.inputs.size, 'scratch'),
    ),
  };
}

/** A model's weights and what goes with them, on the GPU. */
export interface Held {
  trained: Tensors;
  gradients: Tensors;
  first: Tensors;
  second: Tensors;
  frozen: Tensors;
  teacher: Tensors | undefined;
}

export function holdTensors(ledger: Ledger, plan: Plan): Held {
  const make = (label: string, layout: Layout = plan.trained): Tensors => new Tensors(ledger, label, layout);
  return {
    trained: make('weights'),
    gradients: make('gradients'),
    first: make('first moments'),
    second: make('second moments'),
    frozen: make('frozen weights', plan.frozen),
    teacher: plan.teacher && make('teacher', plan.teacher),
  };
}

export function deviceModel(
  spec: ModelSpec,
  { trained, gradients, frozen, teacher }: Held,
  plan: Plan,
): DeviceModel {
  return {
    spec,
    weight: (name) => (trained.place(name) ?? frozen.place(name) ?? teacher?.place(name))!,
    gradient: (name) => gradients.place(name),
    product(matrix): Product | undefined {
      const found = plan.set.products.get(matrix);
      if (!found) return undefined;
      const { a, b } = productNames(matrix);
      const [weights, slopes] = [trained, gradients].map((of) => ({ a: of.place(a)!, b: of.place(b)! }));
      return { rank: found.rank, ...weights!, da: slopes!.a, db: slopes!.b };
    },
  };
}

/** The gradient's norm, and the step of AdamW that goes by it. */
export function recordUpdate(
  gpu: Gpu,
  { trained, gradients, first, second }: Held,
  others: TrainingBuffers['others'],
): Program {
  const program = new Program(gpu);
  const { recorder } = program;
  const { sums, hyper } = others;
  const { buffers } = trained.layout;
  for (const [slot, { count }] of buffers.entries())
    sumOfSquares(recorder, { x: gradients.buffers[slot]!, count, into: sums, slot });
  clip(recorder, { sums, slots: buffers.length, hyper });
  for (const [i, { count, decays }] of buffers.entries())
    adamW(recorder, {
      weights: trained.buffers[i]!,
      gradient: gradients.buffers[i]!,
      first: first.buffers[i]!,
      second: second.buffers[i]!,
      count,
      hyper,
      decays,
    });
  return program;
}
