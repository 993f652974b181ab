import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulIntentions } from '../support/consulintention.ts';
import { World } from '../support/world.ts';

/** Who may call whom, as Consul itself answers when it is asked, once what is declared stands there. */

type Answer = 'allow' | 'deny';

/** By destination. `*` as destination is the whole mesh, so each Consul here serves these tests alone. */
const DECLARED = {
  orders: [
    { name: 'web', action: 'allow' },
    { name: 'banned', action: 'deny' },
    { name: '*', action: 'deny' },
    { name: 'partner', peer: 'dc3', action: 'allow' },
  ],
  billing: [
    { name: 'web', action: 'deny' },
    { name: '*', action: 'allow' },
    { name: '*', peer: 'dc3', action: 'deny' },
  ],
  db: [
    { name: 'api', action: 'allow' },
    { name: '*', peer: 'dc3', action: 'allow' },
  ],
  shop: [
    {
      name: 'reader',
      permissions: [
        { action: 'allow', http: { pathPrefix: '/', methods: ['get'] } },
        { action: 'deny', http: { header: [{ name: 'x-internal', present: true, invert: true }] } },
      ],
    },
  ],
  '*': [
    { name: 'web', action: 'allow' },
    { name: 'admin', action: 'allow' },
    { name: 'intruder', action: 'deny' },
  ],
} as const;

/**
 * The rows are sources, the columns destinations. `-`: no source fits. The endpoint knows no peers, so what is said of a
 * namesake in one counts for nothing here; for a source with permissions it always says deny.
 */
const EXPECTED = `
  -         orders  billing  db     shop   elsewhere
  web       allow   deny     allow  allow  allow
  banned    deny    allow    -      -      -
  api       deny    allow    allow  -      -
  admin     deny    allow    allow  allow  allow
  intruder  deny    allow    deny   deny   deny
  reader    deny    allow    -      deny   -
  partner   deny    allow    -      -      -
  other     deny    allow    -      -      -
`;

/** Without what the first resource declared: then the sources of the destination `*` count for it, too. */
const WITHOUT_ORDERS = `
  -         orders
  web       allow
  banned    -
  admin     allow
  intruder  deny
  partner   -
  other     -
`;

/** The endpoint asks the default policy of ACLs, and knows nothing of `default_intention_policy`. */
describe.each<{ standard: Answer; other: Answer; acl: boolean }>([
  { standard: 'allow', other: 'deny', acl: false },
  { standard: 'deny', other: 'allow', acl: true },
])('where calls are $standard by default', ({ standard, other, acl }) => {
  let own: Consul & { close(): Promise<void> };
  let world: World;
  let intentions: ConsulIntentions;

  beforeAll(async () => {
    own = await startConsulSandbox({ acl, config: { default_intention_policy: other } });
    const { address: consulAddress, managementToken } = own;
    world = await World.create('intent-check', {
      consulAddress,
      ...(managementToken !== undefined && { consulToken: managementToken }),
    });
    intentions = new ConsulIntentions(world);
    await world.consul.put('/v1/config', { Kind: 'service-defaults', Name: 'shop', Protocol: 'http' });
    await world.startOperator({ CONSUL_HTTP_TOKEN: managementToken });
    await Promise.all(
      Object.entries(DECLARED).map(([destination, sources]) =>
        intentions.declareReady(nameOf(destination), { destination, sources }),
      ),
    );
  });

  afterAll(async () => {
    await world.close();
    await own.close();
  });

  async function answers(pairs: readonly Pair[]): Promise<Readonly<Record<string, string>>> {
    const asked = pairs.map(async ({ source, destination }) => {
      const query = new URLSearchParams({ source, destination });
      const reply = await world.consul.get(`/v1/connect/intentions/check?${query.toString()}`);
      const { Allowed } = reply as { Allowed: boolean };
      return [`${source} to ${destination}`, Allowed ? 'allow' : 'deny'] as const;
    });
    return Object.fromEntries(await Promise.all(asked));
  }

  test('every pair of the table is answered as the most exact source says, or else by default', async () => {
    const pairs = parse(EXPECTED);
    expect(pairs.length).toBeGreaterThanOrEqual(30);
    expect(await answers(pairs)).toEqual(expected(pairs, standard));
  });

  test('of everybody to everybody comes before the default, and after all else', async () => {
    await intentions.declareReady('all', { destination: '*', sources: [{ name: '*', action: other }] });
    const pairs = parse(EXPECTED);
    expect(await answers(pairs)).toEqual(expected(pairs, other));
    await intentions.remove('all');
    expect(await answers(pairs)).toEqual(expected(pairs, standard));
  });

  test('a resource that goes leaves the answer to what is less exact', async () => {
    await intentions.remove(nameOf('orders'));
    const pairs = parse(WITHOUT_ORDERS);
    expect(await answers(pairs)).toEqual(expected(pairs, standard));
    await intentions.declareReady(nameOf('orders'), { destination: 'orders', sources: DECLARED.orders });
    expect(await answers(parse(EXPECTED))).toEqual(expected(parse(EXPECTED), standard));
  });

  test('what the endpoint cannot tell stands in the entries: peers, and rules for requests', async () => {
    expect(await stored('orders')).toMatchObject([
      { Name: 'banned', Action: 'deny', Precedence: 9 },
      { Name: 'partner', Peer: 'dc3', Action: 'allow', Precedence: 9 },
      { Name: 'web', Action: 'allow', Precedence: 9 },
      { Name: '*', Action: 'deny', Precedence: 8 },
    ]);
    expect(await stored('billing')).toMatchObject([
      { Name: 'web', Action: 'deny' },
      { Name: '*', Action: 'allow' },
      { Name: '*', Peer: 'dc3', Action: 'deny' },
    ]);
    expect(await stored('shop')).toMatchObject([
      {
        Name: 'reader',
        Permissions: [
          { Action: 'allow', HTTP: { PathPrefix: '/', Methods: ['GET'] } },
          { Action: 'deny', HTTP: { Header: [{ Name: 'x-internal', Present: true, Invert: true }] } },
        ],
      },
    ]);
  });

  /** By name and peer within what Consul sorts as one: it orders by precedence, the most exact first. */
  async function stored(destination: string): Promise<unknown> {
    const path = `/v1/config/service-intentions/${destination}`;
    const entry = (await world.consul.get(path)) as { Sources: { Name: string; Precedence: number }[] };
    return entry.Sources.toSorted(
      (one, two) => two.Precedence - one.Precedence || (one.Name < two.Name ? -1 : 1),
    );
  }
});

interface Pair {
  readonly source: string;
  readonly destination: string;
  readonly answer: string;
}

function parse(table: string): Pair[] {
  const [head = [], ...rows] = table
    .trim()
    .split('\n')
    .map(line => line.trim().split(/ +/));
  return rows.flatMap(([source = '', ...cells]) =>
    cells.map((answer, at) => ({ source, destination: head[at + 1] ?? '', answer })),
  );
}

function expected(pairs: readonly Pair[], standard: Answer): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map(({ source, destination, answer }) => [
      `${source} to ${destination}`,
      answer === '-' ? standard : answer,
    ]),
  );
}

function nameOf(destination: string): string {
  return destination === '*' ? 'mesh' : destination;
}
