import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulPolicy } from '../support/consul-policy.ts';
import { ConsulIntentions } from '../support/consulintention.ts';
import { conditionsOf } from '../support/resources.ts';
import { World } from '../support/world.ts';

let own: Consul & { close(): Promise<void> };
let world: World;
let intentions: ConsulIntentions;

beforeAll(async () => {
  own = await startConsulSandbox({ acl: true });
});

afterAll(() => own.close());

beforeEach(async () => {
  const consulToken = own.managementToken as string;
  world = await World.create('intent-acl', { consulAddress: own.address, consulToken });
  intentions = new ConsulIntentions(world);
});

afterEach(() => world.close());

/** What README says, but for keys of resources. */
function rights(): string[] {
  return [
    'key_prefix "proconsul/" { policy = "write" }',
    'key_prefix "proconsul-private/" { policy = "write" }',
    'session_prefix "proconsul-" { policy = "write" }',
    'node_prefix "proconsul-" { policy = "write" }',
    `service_prefix "${intentions.service('')}" { policy = "read" intentions = "write" }`,
    'mesh = "read"',
  ];
}

async function startWith(rules: readonly string[]): Promise<void> {
  const { secret } = await new ConsulPolicy(world).token(rules);
  await world.startOperator({ CONSUL_HTTP_TOKEN: secret });
}

const spec = (service: string, more: object = {}) => ({
  destination: intentions.service(service),
  sources: [{ name: 'web', action: 'allow' }],
  ...more,
});

test('the rights that are documented are enough: for intentions, and to see what they wait for appear', async () => {
  await startWith(rights());
  await intentions.declareReady('plain', spec('plain'));
  await intentions.changeReady('plain', { sources: [{ name: 'web', action: 'deny' }] });
  await intentions.editByHand('plain', 'web', { Action: 'allow' });
  await intentions.becomes('plain', { web: 'deny' });

  const permissions = [{ action: 'allow', http: { pathPrefix: '/' } }];
  await intentions.declare('l7', spec('l7', { sources: [{ name: 'web', permissions }] }));
  await intentions.waiting('l7', 'DependencyNotReady');
  await intentions.protocol('l7', 'http');
  await intentions.ready('l7');

  const providers = [{ name: intentions.service('okta') }];
  await intentions.declare('jwt', spec('jwt', { jwt: { providers } }));
  await intentions.waiting('jwt', 'DependencyNotReady');
  await intentions.jwtProvider('okta');
  await intentions.ready('jwt');

  for (const name of ['plain', 'l7', 'jwt']) await intentions.remove(name);
  expect(await world.consul.get('/v1/config/service-intentions')).toEqual([]);
});

test('a destination that the token may not write is denied by name of the right, and the others converge', async () => {
  const forbidden = `service "${intentions.service('forbidden')}" { policy = "read" intentions = "read" }`;
  await startWith([...rights(), forbidden]);
  await intentions.declare('denied', spec('forbidden'));
  await intentions.declareReady('allowed', spec('allowed'));
  const denied = await intentions.stands('denied', {
    ready: 'False',
    reason: 'ConsulDenied',
    reconciling: true,
  });
  expect(conditionsOf(denied)['Ready']?.message).toMatch(/intention:write|service:write/);
  expect(await intentions.entry('forbidden')).toBeUndefined();
});
