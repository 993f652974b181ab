import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConsulIntentions } from '../support/consulintention.ts';
import { eventually } from '../support/eventually.ts';
import { conditionsOf, standingOf } from '../support/resources.ts';
import { World } from '../support/world.ts';

/** Input that no single resource shows to be bad, and what others have in an entry. */

let world: World;
let intentions: ConsulIntentions;

beforeAll(async () => {
  world = await World.create('intent-hostile');
  intentions = new ConsulIntentions(world);
  await world.startOperator();
});

afterAll(async () => {
  await world.close();
  await intentions.clear();
});

const messageOf = async (name: string) => conditionsOf(await intentions.get(name))['Ready']?.message;
const allow = (name: string) => ({ name, action: 'allow' });
const to = (service: string, sources: readonly object[], more: object = {}) => ({
  destination: intentions.service(service),
  sources,
  ...more,
});

test('forty resources of 128 sources on one destination: those that fit are whole, the others are TooLarge and wrote nothing', async () => {
  const names = Array.from({ length: 40 }, (_, at) => `crowd-${at + 10}`); // equal in size
  const description = 'd'.repeat(80);
  const sourcesOf = (name: string) =>
    Array.from({ length: 128 }, (_, at) => ({ ...allow(`${name}-${at}`), description }));
  await intentions.declareReady('neighbour', to('beside', [allow('web')]));
  const neighbour = await intentions.entry('beside');

  // Not all at once: to look for doubles among so many sources takes the API server a while.
  for (const name of names) await intentions.declare(name, to('crowd', sourcesOf(name)));
  const before = await settledCrowd(names);
  expect(before.fitting.length).toBeGreaterThan(10);
  expect(before.refused.length).toBeGreaterThan(0);
  await standsFor(before.fitting);
  expect(await messageOf(before.refused[0] ?? '')).toContain('524288');

  const [leaving = ''] = before.fitting;
  await intentions.remove(leaving);
  const others = names.filter(name => name !== leaving);
  const after = await eventually(
    async () => {
      const crowd = await settledCrowd(others);
      expect(crowd.fitting).toHaveLength(before.fitting.length);
      return crowd;
    },
    { what: 'another one comes in its place' },
  );
  await standsFor(after.fitting);
  expect(await intentions.entry('beside')).toEqual(neighbour);

  /** Every source of these is in the entry and none of any other, and the others claim none. */
  async function standsFor(fitting: readonly string[]): Promise<void> {
    const expected = fitting.flatMap(name => sourcesOf(name).map(source => source.name));
    expect(Object.keys((await intentions.sources('crowd')) ?? {}).sort()).toEqual(expected.sort());
    const claimants = async (): Promise<string[]> => {
      const listing = Object.entries(await world.records()).filter(
        ([, { names }]) => Object.keys(names ?? {}).length > 0,
      );
      const owners = new Set(listing.map(([key]) => key.split('/')[2] ?? ''));
      return [...owners].filter(name => name.startsWith('crowd-')).sort();
    };
    await eventually(async () => expect(await claimants()).toEqual(fitting.toSorted()), {
      what: 'nobody else claims',
    });
  }
});

test('one source wanted by two: the second writes nothing at all, and takes over when the first goes', async () => {
  await intentions.declareReady('first', to('wanted', [allow('web'), allow('api')]));
  await intentions.declare('second', to('wanted', [{ name: 'web', action: 'deny' }, allow('other')]));
  await intentions.stalled('second', 'Conflict');
  expect(await messageOf('second')).toContain(`ConsulIntention ${world.namespace}/first`);
  const before = await intentions.entry('wanted');
  for (const name of ['second', 'first']) await intentions.lookAgain(name);
  expect(await intentions.entry('wanted')).toEqual(before);
  await intentions.changeReady('first', { sources: [allow('api')] });
  await intentions.ready('second');
  expect(await intentions.actions('wanted')).toEqual({ api: 'allow', web: 'deny', other: 'allow' });
});

test('the JWT requirement of somebody else stays, and is neither overwritten nor removed', async () => {
  for (const name of ['theirs', 'ours']) await intentions.jwtProvider(name);
  const JWT = {
    Providers: [{ Name: intentions.service('theirs'), VerifyClaims: [{ Path: ['a', 'B'], Value: 'x' }] }],
  };
  await intentions.writeByHand('jwt', [{ Name: 'hand', Action: 'allow' }], { JWT });
  const theirs = JSON.stringify((await intentions.entry('jwt'))?.JWT);
  const isTheirs = async () => expect(JSON.stringify((await intentions.entry('jwt'))?.JWT)).toBe(theirs);
  const jwt = { providers: [{ name: intentions.service('ours') }] };

  await intentions.declareReady('plain', to('jwt', [allow('web')]));
  await isTheirs();
  await intentions.declare('demanding', to('jwt', [allow('api')], { jwt }));
  await intentions.stalled('demanding', 'AlreadyExists');
  expect(await intentions.actions('jwt')).toEqual({ hand: 'allow', web: 'allow' });
  await intentions.remove('demanding');
  await intentions.remove('plain');
  expect(await intentions.actions('jwt')).toEqual({ hand: 'allow' });
  await isTheirs();
});

test('a JWT requirement is claimed as a source is: the first keeps it, and the next has it when the first lets go', async () => {
  await intentions.jwtProvider('claimed');
  const providers = [{ name: intentions.service('claimed') }];
  await intentions.declareReady('holder', to('claimed', [allow('web')], { jwt: { providers } }));
  await intentions.declare('heir', to('claimed', [allow('api')], { jwt: { providers } }));
  await intentions.stalled('heir', 'Conflict');
  expect(await intentions.actions('claimed')).toEqual({ web: 'allow' });
  await intentions.remove('holder');
  await intentions.ready('heir');
  expect((await intentions.entry('claimed'))?.JWT).toEqual({ Providers: [{ Name: providers[0]?.name }] });
  expect(await intentions.actions('claimed')).toEqual({ api: 'allow' });
});

interface Crowd {
  readonly fitting: readonly string[];
  readonly refused: readonly string[];
}

/** Resolves when each is Ready or refused for its size. */
async function settledCrowd(names: readonly string[]): Promise<Crowd> {
  const sorted = async (): Promise<Crowd> => {
    const all = await world.kube.list(intentions.object(''), world.namespace);
    const crowd = all.filter(({ metadata }) => names.includes(metadata.name));
    const named = (reason: string) =>
      crowd.filter(each => standingOf(each).reason === reason).map(({ metadata }) => metadata.name);
    const [fitting, refused] = [named('Applied'), named('TooLarge')];
    expect(fitting.length + refused.length).toBe(names.length);
    return { fitting, refused };
  };
  return eventually(sorted, { what: 'each fits or is refused', timeoutMs: 90_000, pollMs: 250 });
}
