import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ConsulIntentions } from '../support/consulintention.ts';
import { conditionsOf, type Resources } from '../support/resources.ts';
import { World } from '../support/world.ts';

let world: World;
let intentions: ConsulIntentions;
let service: string;

beforeAll(async () => {
  world = await World.create('intent');
  intentions = new ConsulIntentions(world);
  await world.startOperator();
});

let count = 0;

beforeEach(() => {
  service = `svc${++count}`;
});

afterAll(async () => {
  await world.close();
  await intentions.clear();
});

const to = (sources: readonly object[], more: object = {}): Record<string, unknown> => ({
  destination: intentions.service(service),
  sources,
  ...more,
});

const allow = (name: string) => ({ name, action: 'allow' });
const deny = (name: string) => ({ name, action: 'deny' });
const L7 = {
  name: 'admin',
  permissions: [{ action: 'allow', http: { pathPrefix: '/admin', methods: ['get', 'POST'] } }],
};

async function messageOf(resources: Resources, name: string): Promise<string | undefined> {
  return conditionsOf(await resources.get(name))['Ready']?.message;
}

/** Requests that write config entries, so far. */
function writes(): number {
  return world.toConsul.requests.filter(
    ({ method, path }) => method !== 'GET' && path.startsWith('/v1/config'),
  ).length;
}

test('sources come, change and go with the resource, and a source written by hand survives it all', async () => {
  await intentions.writeByHand(service, [{ Name: 'hand', Action: 'allow', Description: 'by hand' }], {
    Meta: { team: 'shop' },
  });
  const byHand = (await intentions.sources(service))?.['hand'];

  const made = await intentions.declareReady('life', to([allow('web'), deny('*')]));
  expect(made['status']).toMatchObject({
    sources: 2,
    precedence: [
      { source: 'web', precedence: 9 },
      { source: '*', precedence: 8 },
    ],
    effective: { datacenter: 'dc1', drift: 'Watched' },
  });
  expect(await intentions.actions(service)).toEqual({ web: 'allow', '*': 'deny', hand: 'allow' });
  expect((await intentions.entry(service))?.Meta).toEqual({
    team: 'shop',
    [`proconsul-${world.installId}`]: expect.stringMatching(/^\d+$/),
  });

  await intentions.changeReady('life', { sources: [deny('web'), allow('api')] });
  expect(await intentions.actions(service)).toEqual({ web: 'deny', api: 'allow', hand: 'allow' });

  await intentions.remove('life');
  expect(await intentions.actions(service)).toEqual({ hand: 'allow' });
  expect((await intentions.sources(service))?.['hand']).toEqual(byHand);
  expect((await intentions.entry(service))?.Meta).toEqual({ team: 'shop' });
  expect(Object.keys(await world.records()).filter(key => key.includes('/life'))).toEqual([]);
});

test('the entry goes with its last source', async () => {
  await intentions.declareReady('last', to([allow('web')]));
  await intentions.remove('last');
  expect(await intentions.entry(service)).toBeUndefined();
});

test('two resources share a destination; each takes out its own', async () => {
  await intentions.declare('share-a', to([allow('a')]));
  await intentions.declare('share-b', to([allow('b'), { name: 'a', peer: 'dc3', action: 'deny' }]));
  await Promise.all(['share-a', 'share-b'].map(name => intentions.ready(name)));
  expect(await intentions.actions(service)).toEqual({ a: 'allow', b: 'allow', 'a@dc3': 'deny' });
  await intentions.editByHand(service, 'hand', { Action: 'allow' });
  const mark = [`proconsul-${world.installId}`];
  await intentions.remove('share-a');
  expect(await intentions.actions(service)).toEqual({ b: 'allow', 'a@dc3': 'deny', hand: 'allow' });
  expect(Object.keys((await intentions.entry(service))?.Meta ?? {})).toEqual(mark);
  await intentions.remove('share-b');
  expect(await intentions.actions(service)).toEqual({ hand: 'allow' });
  expect((await intentions.entry(service))?.Meta).toBeUndefined();
});

test('an outside edit is put back by one PUT, and a source added by hand stays', async () => {
  await intentions.declareReady('drift', to([allow('web'), deny('old')]));
  const before = writes();
  await intentions.editByHand(service, 'web', { Action: 'deny' });
  await intentions.becomes(service, { web: 'allow', old: 'deny' });
  await intentions.event('drift', 'DriftCorrected');
  expect(writes() - before).toBe(1);
  await intentions.editByHand(service, 'stranger', { Action: 'allow' });
  await intentions.lookAgain('drift');
  expect(await intentions.actions(service)).toEqual({ web: 'allow', old: 'deny', stranger: 'allow' });
  expect(writes() - before).toBe(1);
});

test('Report shows an outside edit and leaves it', async () => {
  await intentions.declareReady('report', to([allow('web')], { driftPolicy: 'Report' }));
  await intentions.editByHand(service, 'web', { Action: 'deny' });
  await intentions.drifted('report');
  expect(await intentions.actions(service)).toEqual({ web: 'deny' });
});

test('one source declared twice: the first keeps it, the other goes on when it lets go', async () => {
  await intentions.declareReady('first', to([allow('web')]));
  await intentions.declare('second', to([deny('web'), allow('more')]));
  await intentions.stalled('second', 'Conflict');
  expect(await messageOf(intentions, 'second')).toContain(`ConsulIntention ${world.namespace}/first`);
  expect(await intentions.actions(service)).toEqual({ web: 'allow' });
  await intentions.remove('first');
  await intentions.ready('second');
  expect(await intentions.actions(service)).toEqual({ web: 'deny', more: 'allow' });
});

test('a source that stands there without an owner is taken only as adoptionPolicy says', async () => {
  await intentions.writeByHand(service, [{ Name: 'web', Action: 'allow' }]);
  await intentions.declare('adopter', to([deny('web'), allow('more')]));
  await intentions.stalled('adopter', 'AlreadyExists');
  expect(await intentions.actions(service)).toEqual({ web: 'allow' });
  await intentions.changeReady('adopter', { adoptionPolicy: 'Always' });
  expect(await intentions.actions(service)).toEqual({ web: 'deny', more: 'allow' });
  await intentions.event('adopter', 'Adopted');

  service = `${service}-equal`;
  await intentions.writeByHand(service, [{ Name: 'web', Action: 'allow' }]);
  const { ModifyIndex } = (await intentions.entry(service)) ?? {};
  await intentions.declareReady('equal', to([allow('web')]));
  expect((await intentions.entry(service))?.ModifyIndex).toBe(ModifyIndex);
});

test('rules for requests wait for the protocol of the destination, and are applied when it is there', async () => {
  await intentions.declare('l7', to([L7]));
  await intentions.waiting('l7', 'DependencyNotReady');
  expect(await messageOf(intentions, 'l7')).toContain(`service-defaults/${intentions.service(service)}`);
  expect(await intentions.entry(service)).toBeUndefined();
  const tried = writes();
  await intentions.lookAgain('l7');
  expect(writes() - tried).toBe(1);
  await intentions.protocol(service, 'http');
  await intentions.ready('l7');
  expect(await intentions.sources(service)).toMatchObject({
    admin: { Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/admin', Methods: ['GET', 'POST'] } }] },
  });
  const settled = writes();
  await intentions.lookAgain('l7');
  expect(writes()).toBe(settled);
  await intentions.remove('l7');
});

test('a JWT provider that does not exist is waited for', async () => {
  const provider = intentions.service('okta');
  await intentions.protocol(service, 'http');
  await intentions.declare('jwt', to([allow('web')], { jwt: { providers: [{ name: provider }] } }));
  await intentions.waiting('jwt', 'DependencyNotReady');
  expect(await messageOf(intentions, 'jwt')).toContain(`jwt-provider/${provider} does not exist`);
  await intentions.jwtProvider('okta');
  await intentions.ready('jwt');
  expect((await intentions.entry(service))?.JWT).toEqual({ Providers: [{ Name: provider }] });
  await intentions.remove('jwt');
  expect(await intentions.entry(service)).toBeUndefined();
});

test('Retain leaves the sources, and the name can be declared anew', async () => {
  await intentions.declareReady('keep', to([allow('web')], { deletionPolicy: 'Retain' }));
  await intentions.remove('keep');
  expect(await intentions.actions(service)).toEqual({ web: 'allow' });
  await intentions.declareReady('keep', to([allow('web')]));
  await intentions.remove('keep');
  expect(await intentions.entry(service)).toBeUndefined();
});

test('a suspended resource writes nothing new and says what it would', async () => {
  await intentions.declareReady('pause', to([allow('web')]));
  await intentions.change('pause', { suspend: true, sources: [allow('web'), allow('api')] });
  await intentions.suspended('pause', false);
  expect(await messageOf(intentions, 'pause')).toBe('suspended: would write api');
  expect(await intentions.actions(service)).toEqual({ web: 'allow' });
  await intentions.change('pause', { suspend: false });
  await intentions.becomes(service, { web: 'allow', api: 'allow' });
});
