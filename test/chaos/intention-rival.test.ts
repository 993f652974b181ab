import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulIntentions } from '../support/consulintention.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { World } from '../support/world.ts';

/** Row 28: a rival who shares an entry of intentions with us, and does not leave it alone. */

const EDITS = 100;
const EDIT_EVERY_MS = 50;
/** One edit in so many is of our source; all others are of the rival's own. */
const OURS_EVERY = 10;
/** To put one edit back takes one write. The rival may overtake that, which is then refused and tried again. */
const TRIES = 2;

let world: World;
let intentions: ConsulIntentions;

beforeEach(async () => {
  world = await World.create('intent-rival');
  intentions = new ConsulIntentions(world);
  await world.startOperator();
});

afterEach(async () => {
  await world.close();
  await intentions.clear();
});

test('a rival edits the entry twenty times a second: it loses nothing, and we write no more than it edits of ours', async () => {
  const ours = [
    { name: 'web', action: 'allow' },
    { name: 'api', action: 'allow' },
  ];
  await intentions.declareReady('fought', { destination: intentions.service('shared'), sources: ours });
  await intentions.declareReady('beside', { destination: intentions.service('own'), sources: ours });
  const beside = await intentions.entry('own');
  const begun = world.toConsul.requests.length;

  const rival = new Rival();
  await rival.edit();
  await intentions.becomes('shared', { web: 'allow', api: 'allow', ...rival.sources });
  await intentions.lookAgain('fought');
  await intentions.ready('fought');

  expect(rival.lost, 'own sources that it missed').toEqual([]);
  expect(await intentions.actions('shared')).toEqual({ web: 'allow', api: 'allow', ...rival.sources });
  const writes = world.toConsul.requests.slice(begun).filter(isEntryWrite).length;
  expect(rival.editsOfOurs).toBe(EDITS / OURS_EVERY);
  expect(writes).toBeGreaterThan(0);
  expect(writes, 'writes sent').toBeLessThanOrEqual(rival.editsOfOurs * TRIES);
  expect(await intentions.entry('own')).toEqual(beside);
});

/** Somebody else who writes the entry by compare-and-set, so that only an operator could lose sources of it. */
class Rival {
  readonly sources: Record<string, string> = {};
  readonly lost: string[] = [];
  editsOfOurs = 0;

  async edit(): Promise<void> {
    const begun = performance.now();
    for (let at = 0; at < EDITS; at += 1) {
      await this.#look();
      await (at % OURS_EVERY === 0 ? this.#editOurs() : this.#editOwn(at));
      const leftMs = begun + (at + 1) * EDIT_EVERY_MS - performance.now();
      await new Promise(resolve => setTimeout(resolve, Math.max(0, leftMs)));
    }
    await this.#look();
  }

  async #editOurs(): Promise<void> {
    this.editsOfOurs += 1;
    await intentions.editByHand('shared', 'web', { Action: 'deny' });
  }

  /** Five of them: they come, and from then on change. */
  async #editOwn(at: number): Promise<void> {
    const name = `rival-${at % 5}`;
    const action = this.sources[name] === 'allow' ? 'deny' : 'allow';
    await intentions.editByHand('shared', name, { Action: action });
    this.sources[name] = action;
  }

  async #look(): Promise<void> {
    const stands = (await intentions.actions('shared')) ?? {};
    const missed = Object.entries(this.sources).filter(([name, action]) => stands[name] !== action);
    this.lost.push(...missed.map(([name]) => name));
  }
}

function isEntryWrite({ method, path }: RecordedRequest): boolean {
  return method !== 'GET' && path.startsWith('/v1/config');
}
