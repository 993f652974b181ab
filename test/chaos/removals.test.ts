import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { becomesStanding, type Subject, SUBJECTS } from '../support/invariants/subject.ts';
import type { Operator } from '../support/operator.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Promise P4 and rows 14 and 15: resources that vanish while nobody looks. */

const RESOURCES = 30;
const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

/** All in one folder: what shares an object of Consul has to be told apart. */
const names = Array.from({ length: RESOURCES }, (_, at) => `thing-${at}`);
const placeOf = (name: string): string => `shared/${name}`;
const standingOf = (some: readonly string[]): Record<string, string> =>
  Object.fromEntries(some.map(name => [placeOf(name), 'declared']));
const lost = names.slice(0, 25);
const left = names.slice(25);

let world: World;
let subject: Subject;

describe.each(SUBJECTS)('$kind', ({ of }) => {
  beforeEach(async () => {
    world = await World.create('removals');
    subject = of(world);
  });

  afterEach(async () => {
    await world.close();
    await subject.clear();
  });

  test('one of thirty vanished while the operator was down: it goes from Consul at the next start, the others stay', async () => {
    await convergeAndStop();
    await vanish('thing-7');

    await start();

    await becomesStanding(subject, standingOf(names.filter(name => name !== 'thing-7')));
    await eventually(async () => expect(Object.keys(await world.records())).toHaveLength(RESOURCES - 1), {
      what: 'its record is gone, too',
    });
  });

  test('twenty-five of thirty vanished: held until the token is given', async () => {
    await convergeAndStop();
    await Promise.all(lost.map(vanish));
    const before = world.toConsul.requests.length;

    const operator = await world.spawnOperator(env());
    const said = await operator.waitForLog(({ confirmation }) => confirmation !== undefined, 'the token');
    const token = String(said['confirmation']);
    const { status, body } = await operator.probe('/readyz?verbose');
    expect([status, body.toString()]).toEqual([
      200,
      expect.stringContaining(`${lost.length} of ${RESOURCES}`),
    ]);
    expect(body.toString()).toContain(`proconsul.dev/confirm-removal=${token}`);
    await eventually(async () => expect(await leaseEvents()).toEqual([expect.stringContaining(token)]), {
      what: 'an Event at the Lease that names the token',
    });

    await annotateLease(`not-${token}`);
    await nextLook(); // one may have been under way
    await nextLook();
    expect(await subject.standing()).toEqual(standingOf(names));
    expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);

    await annotateLease(token);
    await becomesStanding(subject, standingOf(left));
    await operator.ready();
  });

  test('twenty-five of thirty deleted by their user are never held up, operator running or not', async () => {
    await convergeAndStop();
    for (const name of lost) await world.kube.delete(subject.resources.object(name));

    await start();

    for (const name of lost) await subject.resources.gone(name);
    expect(await subject.standing()).toEqual(standingOf(left));
  });

  test('deleted and made again with a new uid while the operator was down: Consul is not touched', async () => {
    await start();
    const spec = subject.spec('shared/again', 'declared');
    const first = await subject.resources.declareReady('again', spec);
    await world.stopOperators();
    const before = await subject.exact();
    await vanish('again');
    const second = await subject.resources.declare('again', spec);
    expect(second.metadata.uid).not.toBe(first.metadata.uid);

    await start();
    await subject.resources.ready('again');

    expect(await subject.exact()).toEqual(before);
    await eventually(
      async () => {
        const [record] = Object.values(await world.records());
        expect(record).toMatchObject({ uid: second.metadata.uid });
      },
      { what: 'the record names the new resource' },
    );
  });
});

/** The Lease that carries the go-ahead is looked for in the operator's own namespace. */
function env() {
  return { POD_NAMESPACE: world.namespace };
}

function start(): Promise<Operator> {
  return world.startOperator(env());
}

async function convergeAndStop(): Promise<void> {
  await start();
  const { resources } = subject;
  await Promise.all(names.map(name => resources.declare(name, subject.spec(placeOf(name), 'declared'))));
  for (const name of names) await resources.ready(name);
  await world.stopOperators();
}

/** Gone without the operator's consent, as by `kubectl patch … finalizers: null`. */
async function vanish(name: string): Promise<void> {
  await world.kube.patch(subject.resources.object(name), { metadata: { finalizers: null } });
  await world.kube.delete(subject.resources.object(name));
}

function lease() {
  return { ...LEASE, metadata: { name: `proconsul-${world.installId}`, namespace: world.namespace } };
}

async function annotateLease(token: string): Promise<void> {
  await world.kube.patch(lease(), { metadata: { annotations: { 'proconsul.dev/confirm-removal': token } } });
}

/** Resolves when the operator has looked at the Lease again. */
async function nextLook(): Promise<void> {
  const after = world.toKube.requests.length;
  const look = await world.toKube.waitFor(
    ({ method, path }) => method === 'GET' && path.endsWith(`/leases/${lease().metadata.name}`),
    { after, what: 'a look at the Lease' },
  );
  await eventually(() => look.finished, { what: 'the answer to it' });
}

async function leaseEvents(): Promise<string[]> {
  const events = await world.kube.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' }, world.namespace);
  return events.filter(({ regarding }) => regarding?.kind === 'Lease').map(({ note }) => note as string);
}
