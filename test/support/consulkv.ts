import { Resources } from './resources.ts';
import type { World } from './world.ts';

export {
  type Condition,
  conditionsOf,
  type Event,
  type Standing,
  standingOf,
  turnsOf,
} from './resources.ts';

/** The ConsulKV of one world. */
export class ConsulKvs extends Resources {
  constructor(world: World) {
    super(world, 'ConsulKV');
  }
}
