import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Subject, SUBJECTS } from '../support/invariants/subject.ts';
import { conditionsOf, type Resources } from '../support/resources.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Promise P9: two installs in one cluster and on one Consul. Each world is one; both want places of the first's. */

const PLACES = 20;
const names = Array.from({ length: PLACES }, (_, at) => `thing-${at}`);
const placeOf = (name: string): string => `shared/${name}`;

interface Install {
  readonly world: World;
  readonly subject: Subject;
  readonly resources: Resources;
}

let one: Install;
let other: Install;

describe.each(SUBJECTS)('$kind', ({ of }) => {
  beforeEach(async () => {
    const [first, second] = await Promise.all(['one', 'other'].map(name => World.create(`install-${name}`)));
    one = install(first as World, of(first as World));
    other = install(second as World, of(second as World, first));
  });

  afterEach(async () => {
    await Promise.all([one.world.close(), other.world.close()]);
    await one.subject.clear();
  });

  test('both adopt the same twenty places at once: each gets one owner, and the loser names the winner', async () => {
    for (const name of names) await one.subject.putByHand(placeOf(name), 'unowned');
    await Promise.all([one.world.startOperator(), other.world.startOperator()]);

    await Promise.all([one, other].map(each => declareAll(each, { adoptionPolicy: 'Always' })));

    await eachHasOneOwner();
  });

  test('both create at the same twenty places at once: the same', async () => {
    await Promise.all([one.world.startOperator(), other.world.startOperator()]);

    await Promise.all([one, other].map(each => declareAll(each, { adoptionPolicy: 'Always' })));

    await eachHasOneOwner();
  });

  test('what one install owns and records, the other never writes to; when it lets go, only a matching wish takes it', async () => {
    await one.world.startOperator();
    await declareAll(one, {});
    for (const name of names) await one.resources.ready(name);
    const owned = await everythingOf(one);
    await other.world.startOperator();
    await declareAll(other, { adoptionPolicy: 'Always' });
    for (const name of names) await other.resources.stalled(name, 'Conflict');
    expect(await everythingOf(one)).toEqual(owned);
    expect(
      other.world.toConsul.requests
        .filter(isWritingTransaction)
        .filter(({ body }) => body.includes('/owners/')),
    ).toEqual([]);

    // What is wanted with `Always` would take all of it over as soon as it is let go.
    for (const name of names) await other.resources.remove(name);
    await one.world.stopOperators();
    const { code } = await (await one.world.spawnOperator({}, ['release'])).waitForExit();
    expect(code).toBe(0);
    for (const name of names) await one.world.kube.delete(one.resources.object(name));
    await one.world.startOperator();
    await eventually(async () => expect(await one.world.records()).toEqual({}), {
      what: 'the first install has let go',
    });

    const IfEqual = { adoptionPolicy: 'IfEqual' };
    const [equal = '', unlike = ''] = names;
    await other.resources.declare(equal, { ...other.subject.spec(placeOf(equal), 'one'), ...IfEqual });
    await other.resources.declare(unlike, { ...other.subject.spec(placeOf(unlike), 'unlike'), ...IfEqual });
    await other.resources.ready(equal);
    await other.resources.stalled(unlike, 'AlreadyExists');
    expect((await one.subject.standing())[placeOf(unlike)]).toBe('one');
  });
});

function install(world: World, subject: Subject): Install {
  return { world, subject, resources: subject.resources };
}

async function declareAll(
  { subject, resources }: Install,
  policies: Readonly<Record<string, string>>,
): Promise<void> {
  const text = subject === one.subject ? 'one' : 'other';
  await Promise.all(
    names.map(name => resources.declare(name, { ...subject.spec(placeOf(name), text), ...policies })),
  );
}

async function everythingOf({ world, subject }: Install): Promise<unknown> {
  const folders = [`proconsul/${world.installId}/`, `proconsul-private/${world.installId}`];
  return Promise.all([subject.exact(), ...folders.map(folder => world.consul.kvList(folder))]);
}

/** Both are done with every place, one as its owner; its text, and the two installs' records, say the same. */
async function eachHasOneOwner(): Promise<void> {
  for (const name of names) {
    const winner = await eventually(() => winnerOf(name), { what: `${name} has an owner and a loser` });
    const loser = winner === one ? other : one;
    expect((await one.subject.standing())[placeOf(name)]).toBe(winner === one ? 'one' : 'other');
    const claim = one.subject.claim(placeOf(name));
    expect(await claimed(winner)).toContain(claim);
    expect(await claimed(loser)).not.toContain(claim);
  }
}

async function winnerOf(name: string): Promise<Install> {
  const [readyOne, readyOther] = await Promise.all(
    [one, other].map(({ resources }) => ready(resources, name)),
  );
  const isWon = readyOne?.status === 'True';
  const [won, lost] = isWon ? [readyOne, readyOther] : [readyOther, readyOne];
  const loser = isWon ? other : one;
  const winner = isWon ? one : other;
  expect([won?.status, lost?.reason]).toEqual(['True', 'Conflict']);
  expect(lost?.message).toContain(`install ${winner.world.installId}`);
  expect(conditionsOf(await loser.resources.get(name))['Stalled']?.status).toBe('True');
  return winner;
}

async function ready(resources: Resources, name: string) {
  return conditionsOf(await resources.get(name))['Ready'];
}

async function claimed({ world }: Install): Promise<string[]> {
  return Object.values(await world.records()).flatMap(record => Object.keys(record.names));
}
