import { ConsulKvs } from './consulkv.ts';
import type { Operator } from './operator.ts';
import { World } from './world.ts';

/** What most tests of ConsulKV begin with. */
export interface RunningWorld {
  readonly world: World;
  readonly kvs: ConsulKvs;
  readonly operator: Operator;
}

/** A world whose operator is ready. */
export async function createRunningWorld(topic: string): Promise<RunningWorld> {
  const world = await World.create(topic);
  try {
    return { world, kvs: new ConsulKvs(world), operator: await world.startOperator() };
  } catch (error) {
    await world.close();
    throw error;
  }
}
