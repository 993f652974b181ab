import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConsulIntentions } from '../support/consulintention.ts';
import { eventually } from '../support/eventually.ts';
import { World } from '../support/world.ts';

/**
 * Three resources and somebody by hand on one destination: each creates, changes and deletes what is its own, in any
 * order, some at the same time. After every step the entry is all of theirs and nothing else.
 */

const SEED = 20_260_722;
const RUNS = 12;

const RESOURCES = ['one', 'two', 'three'] as const;
type Resource = (typeof RESOURCES)[number];
type Author = Resource | 'hand';
const AUTHORS: readonly Author[] = [...RESOURCES, 'hand'];

/** What an author has after its first step, its second and its third. */
const STATES = ['first', 'second', 'none'] as const;
type State = (typeof STATES)[number];

const permissions = (pathPrefix: string) => [
  { action: 'deny', http: { pathPrefix, methods: ['GET', 'PUT'] } },
];

/** Some stay as they are in the second state, one changes, one comes and one goes. */
const SOURCES: Readonly<Record<Resource, Readonly<Record<State, readonly object[]>>>> = {
  one: {
    first: [
      { name: 'one-kept', action: 'allow' },
      { name: 'one-gone', action: 'deny' },
    ],
    second: [
      { name: 'one-kept', action: 'allow' },
      { name: '*', action: 'deny', description: 'all others' },
    ],
    none: [],
  },
  two: {
    first: [{ name: 'two-changed', permissions: permissions('/first') }],
    second: [
      { name: 'two-changed', permissions: permissions('/second') },
      { name: 'two-new', action: 'allow' },
    ],
    none: [],
  },
  // The same name is another source with a peer.
  three: {
    first: [{ name: 'one-kept', peer: 'dc3', action: 'deny' }],
    second: [{ name: 'one-kept', peer: 'dc3', action: 'allow' }],
    none: [],
  },
};

const BY_HAND: Readonly<Record<State, object | undefined>> = {
  first: {
    Name: 'hand',
    Description: 'by hand, "as it is"',
    Permissions: [
      {
        Action: 'allow',
        HTTP: {
          Header: [
            { Name: 'x-Team', Exact: 'A' },
            { Name: 'x-b', Present: true },
          ],
        },
      },
      { Action: 'deny', HTTP: { PathRegex: '/v[0-9]+/.*', Methods: ['PUT', 'GET'] } },
    ],
  },
  second: { Name: 'hand', Action: 'allow', Description: '' },
  none: undefined,
};

let world: World;
let intentions: ConsulIntentions;
/** What is written by hand, as Consul shows it where nobody else writes. */
let untouched: Readonly<Record<State, string | undefined>>;

beforeAll(async () => {
  world = await World.create('intent-orders');
  intentions = new ConsulIntentions(world);
  untouched = { first: await alone('first'), second: await alone('second'), none: undefined };
  await world.startOperator();
});

afterAll(async () => {
  await world.close();
  await intentions.clear();
});

async function alone(state: State): Promise<string> {
  const service = `alone-${state}`;
  await intentions.protocol(service, 'http');
  await intentions.writeByHand(service, [BY_HAND[state] ?? {}]);
  return JSON.stringify((await intentions.entry(service))?.Sources[0]);
}

const ALL_STEPS = AUTHORS.flatMap(author => STATES.map(() => author));

/** Every author's three steps, in an order, cut into groups that happen at the same time. */
const orders = fc
  .tuple(
    fc.shuffledSubarray(
      ALL_STEPS.map((_, at) => at),
      { minLength: ALL_STEPS.length },
    ),
    fc.array(fc.boolean(), { minLength: ALL_STEPS.length, maxLength: ALL_STEPS.length }),
  )
  .map(([order, joins]) =>
    grouped(
      order.map(at => ALL_STEPS[at] as Author),
      joins,
    ),
  );

/** @param joins Whether a step happens together with the one before. */
function grouped(steps: readonly Author[], joins: readonly boolean[]): Author[][] {
  const groups: Author[][] = [];
  for (const [at, author] of steps.entries()) {
    const last = groups.at(-1);
    if (last !== undefined && joins[at]) last.push(author);
    else groups.push([author]);
  }
  return groups;
}

test('the entry is the sum of all authors after every step, and what was written by hand stays as it was', async () => {
  process.stdout.write(`orders of four authors: seed ${SEED}, ${RUNS} runs\n`);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(orders, async groups => {
      run += 1;
      await new Destination(`run${run}`).live(groups);
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
});

/** One life of a destination, from no entry to no entry. */
class Destination {
  readonly #service: string;
  readonly #states: Record<Author, State> = { one: 'none', two: 'none', three: 'none', hand: 'none' };
  readonly #steps: Record<Author, number> = { one: 0, two: 0, three: 0, hand: 0 };

  constructor(service: string) {
    this.#service = service;
  }

  async live(groups: readonly (readonly Author[])[]): Promise<void> {
    await intentions.protocol(this.#service, 'http');
    for (const group of groups) {
      await Promise.all([...new Set(group)].map(author => this.#act(author, count(group, author))));
      await Promise.all(RESOURCES.map(resource => this.#settled(resource)));
      const what = `the merge after ${group.join(', ')} of ${groups.map(each => each.join('+')).join(' ')}`;
      await eventually(() => this.#isMerged(), { what });
    }
    expect(await intentions.entry(this.#service)).toBeUndefined();
  }

  /** As many of its next steps, one after the other. */
  async #act(author: Author, times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      const state = STATES[this.#steps[author]++] as State;
      this.#states[author] = state;
      if (author === 'hand') await this.#byHand(BY_HAND[state]);
      else await this.#declare(author, SOURCES[author][state]);
    }
  }

  async #declare(resource: Resource, sources: readonly object[]): Promise<void> {
    const name = this.#nameOf(resource);
    if (sources.length === 0) return world.kube.delete(intentions.object(name));
    await intentions.declare(name, { destination: intentions.service(this.#service), sources });
  }

  async #settled(resource: Resource): Promise<unknown> {
    const name = this.#nameOf(resource);
    return this.#states[resource] === 'none' ? intentions.gone(name) : intentions.ready(name);
  }

  /** Once more whenever the operator was faster: by compare-and-set, as everybody should who shares an entry. */
  async #byHand(source: object | undefined): Promise<void> {
    await eventually(() => intentions.placeByHand(this.#service, 'hand', source), {
      what: 'written by hand',
    });
  }

  async #isMerged(): Promise<void> {
    const entry = await intentions.entry(this.#service);
    const sources = entry?.Sources ?? [];
    const byHand = sources.find(({ Name }) => Name === 'hand');
    expect(byHand && JSON.stringify(byHand)).toBe(untouched[this.#states.hand]);
    const declared = RESOURCES.flatMap(resource => SOURCES[resource][this.#states[resource]]);
    expect(byName(sources.filter(source => source !== byHand).map(withoutComputed))).toEqual(
      byName(declared.map(asConsulWrites)),
    );
    const marks = declared.length === 0 ? [] : [`proconsul-${world.installId}`];
    expect(Object.keys(entry?.Meta ?? {})).toEqual(marks);
  }

  #nameOf(resource: Resource): string {
    return `${this.#service}-${resource}`;
  }
}

function count(group: readonly Author[], author: Author): number {
  return group.filter(each => each === author).length;
}

/** `{name, http: {pathPrefix}}` as `{Name, HTTP: {PathPrefix}}`. */
function asConsulWrites(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asConsulWrites);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [consulName(name), asConsulWrites(field)]);
  return Object.fromEntries(fields);
}

function consulName(field: string): string {
  return field === 'http' ? 'HTTP' : field.charAt(0).toUpperCase() + field.slice(1);
}

function withoutComputed(source: object): object {
  return Object.fromEntries(
    Object.entries(source).filter(([name]) => name !== 'Precedence' && name !== 'Type'),
  );
}

/** A source is one by its name and its peer. */
function byName(sources: readonly unknown[]): unknown[] {
  const nameOf = (source: unknown) => {
    const { Name, Peer = '' } = source as { Name: string; Peer?: string };
    return `${Name}@${Peer}`;
  };
  return sources.toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
}
