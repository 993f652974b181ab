import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { becomesStanding, type Subject, SUBJECTS } from '../support/invariants/subject.ts';
import type { Resources } from '../support/resources.ts';
import { World } from '../support/world.ts';

/** Promise P2, row 28: what others have in Consul stays byte for byte as it is, beside ours, whatever happens to ours. */

const OURS = 'shared/ours';
/** Beside it, in a folder of their own, of nearly the same name, and where a resource wants to be that may not. */
const STRANGERS = ['shared/stranger', 'alone/stranger', 'shared/our', 'shared/ours2', 'shared/wanted'];

describe.each(SUBJECTS)('$kind', ({ of }) => {
  let world: World;
  let subject: Subject;
  let resources: Resources;

  beforeEach(async () => {
    world = await World.create('foreign');
    subject = of(world);
    ({ resources } = subject);
    for (const place of STRANGERS) await subject.putByHand(place, `of ${place}`);
    await world.startOperator();
  });

  afterEach(async () => {
    await world.close();
    await subject.clear();
  });

  const strangers = () => Promise.all(STRANGERS.map(place => subject.at(place)));
  const declare = (text: string, policies: object = {}) =>
    resources.declareReady('ours', { ...subject.spec(OURS, text), ...policies });

  /** Each leaves the resource as the next one expects it. */
  const life: Readonly<Record<string, () => Promise<unknown>>> = {
    'created beside them': () => declare('first'),
    changed: () => declare('second'),
    'edited and put back': async () => {
      await subject.putByHand(OURS, 'edited');
      await resources.event('ours', 'DriftCorrected');
      await resources.ready('ours');
    },
    'refused where one of them stands': async () => {
      const wanted = { ...subject.spec('shared/wanted', 'wanted'), adoptionPolicy: 'Never' };
      await resources.declare('wanting', wanted);
      await resources.stalled('wanting', 'AlreadyExists');
      await resources.remove('wanting');
    },
    'refused where one of them stands that is not equal': async () => {
      await resources.declare('wanting', subject.spec('shared/wanted', 'wanted'));
      await resources.stalled('wanting', 'AlreadyExists');
      await resources.remove('wanting');
    },
    'looked at by another process': async () => {
      await world.stopOperators();
      await world.startOperator();
      await resources.lookAgain('ours');
    },
    'left behind': async () => {
      await declare('second', { deletionPolicy: 'Retain' });
      await resources.remove('ours');
    },
    'taken over and removed': async () => {
      await declare('second', { deletionPolicy: 'Delete' });
      await resources.remove('ours');
    },
  };

  test('strangers stay as they are through the whole life of a resource', async () => {
    const before = await strangers();
    expect(before).not.toContain(undefined);
    for (const [step, happens] of Object.entries(life)) {
      await happens();
      expect(await strangers(), step).toEqual(before);
    }
    await becomesStanding(subject, Object.fromEntries(STRANGERS.map(place => [place, `of ${place}`])));
  });
});
