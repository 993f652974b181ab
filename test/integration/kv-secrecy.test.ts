import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import type { KubeObject } from '../support/kube-api.ts';
import type { Operator } from '../support/operator.ts';
import { OtlpReceiver } from '../support/otlp-receiver.ts';
import { isTransaction } from '../support/traffic.ts';
import { unique, World } from '../support/world.ts';

const canary = unique('canary');
const token = unique('token');
let world: World;
let kvs: ConsulKvs;
let receiver: OtlpReceiver;
let operator: Operator;

beforeAll(async () => {
  world = await World.create('kv-secret');
  kvs = new ConsulKvs(world);
  receiver = await OtlpReceiver.start();
  operator = await world.startOperator({
    LOG_LEVEL: 'trace',
    CONSUL_HTTP_TOKEN: token,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
});

afterAll(async () => {
  await world.close();
  receiver.close();
});

/** As it is, and as it travels to either server. */
function formsOf(secret: string): string[] {
  const once = Buffer.from(secret);
  // Inside other bytes base64 looks otherwise at each of three offsets; its middle is enough to know it by.
  const shifted = [0, 1, 2].map(by =>
    Buffer.concat([Buffer.alloc(by), once])
      .toString('base64')
      .slice(4, -4),
  );
  return [secret, once.toString('hex'), encodeURIComponent(secret), ...shifted];
}

function expectFreeOf(secret: string, text: string, where: string): void {
  const telling = text.split('\n').filter(line => formsOf(secret).some(form => line.includes(form)));
  expect(telling, where).toEqual([]);
}

async function everythingTold(): Promise<Record<string, string>> {
  const told = async (apiVersion: string, kind: string): Promise<KubeObject[]> =>
    world.kube.list({ apiVersion, kind }, world.namespace);
  return {
    resources: JSON.stringify(await told('proconsul.dev/v1alpha1', 'ConsulKV')),
    events: JSON.stringify(await told('events.k8s.io/v1', 'Event')),
    records: JSON.stringify(await world.records()),
    logs: [...operator.strays, ...operator.logs.map(line => JSON.stringify(line))].join('\n'),
    metrics: await operator.metrics(),
    probes:
      (await operator.probe('/readyz?verbose')).body.toString() +
      (await operator.probe('/livez?verbose')).body.toString(),
    spans: JSON.stringify(receiver.spans),
  };
}

const password = (name: string) => ({ secretKeyRef: { name, key: 'password' } });

test('a value from a Secret, and the token, are told nowhere, whatever becomes of them', async () => {
  // What goes well: created, changed, put back, taken over, reported, suspended, removed.
  await world.secret('login', { password: canary, [`other.${'x'.repeat(20)}`]: canary });
  await kvs.declareReady('single', { key: world.key('single'), valueFrom: password('login') });
  await kvs.declareReady('tree', {
    prefix: world.key('tree/'),
    dataFrom: [{ secretRef: { name: 'login' } }],
    data: { plain: 'x' },
  });
  await world.secret('login', { password: `${canary} again` });
  await world.becomesStored('single', { '': `${canary} again` });
  await world.consul.kvPut(world.key('single'), 'edited');
  await world.becomesStored('single', { '': `${canary} again` });
  await world.consul.kvPut(world.key('adopted'), `${canary} again`);
  await kvs.declareReady('adopted', { key: world.key('adopted'), valueFrom: password('login') });
  await kvs.declareReady('reported', {
    key: world.key('reported'),
    valueFrom: password('login'),
    driftPolicy: 'Report',
  });
  await world.consul.kvPut(world.key('reported'), `${canary} edited`);
  await kvs.drifted('reported');
  await kvs.change('tree', { suspend: true, data: { plain: 'y' } });
  await kvs.suspended('tree', false);

  // What does not: in the way of others, too large, of a name that cannot be.
  await world.consul.kvPut(world.key('exists'), `${canary} of a stranger`);
  await kvs.declare('exists', { key: world.key('exists'), valueFrom: password('login') });
  await kvs.stalled('exists', 'AlreadyExists');
  await kvs.declare('conflict', { key: world.key('single'), valueFrom: password('login') });
  await kvs.stalled('conflict', 'Conflict');
  await world.secret('huge', { password: canary.repeat(10_000) });
  await kvs.declare('huge', { key: world.key('huge'), valueFrom: password('huge') });
  await kvs.stalled('huge', 'TooLarge');
  await world.secret('long', { ['n'.repeat(253)]: canary });
  const dataFrom = [{ secretRef: { name: 'long' }, prefix: `${'p'.repeat(253)}/` }];
  await kvs.declare('long', { prefix: world.key('long/'), dataFrom });
  await kvs.stalled('long', 'InvalidSpec');

  // A server that answers with what it was sent.
  const echo = `panic while handling ${canary} ${Buffer.from(canary).toString('base64')} for ${token}`;
  for (const reply of [
    { status: 500, body: echo },
    { status: 400, body: echo },
    { status: 409, body: JSON.stringify({ Results: null, Errors: [{ OpIndex: 1, What: echo }] }) },
    { status: 200, body: echo },
  ]) {
    const rule = world.toConsul.when(isTransaction, { kind: 'reply', ...reply }, { times: 2 });
    await world.secret('login', { password: `${canary} ${reply.status}` });
    await world.toConsul.waitFor(request => rule.hits.includes(request));
    rule.remove();
    await world.becomesStored('single', { '': `${canary} ${reply.status}` });
  }
  await kvs.remove('adopted');
  await world.kube.delete(world.object('v1', 'Secret', 'login'));
  await kvs.waiting('single', 'SourceNotFound');
  await kvs.event('single', 'DriftCorrected');
  await receiver.until(({ spans }) => spans.some(span => span.name === 'transaction'));

  for (const [where, text] of Object.entries(await everythingTold())) {
    // Or nothing was looked at.
    expect(text.length, where).toBeGreaterThan(10);
    expectFreeOf(canary, text, where);
    expectFreeOf(token, text, where);
  }
});

test('what is looked for would be found', () => {
  const text = Buffer.from(`{"password":"${canary}"}`).toString('base64');
  expect(() => expectFreeOf(canary, text, 'base64 inside of base64')).toThrow();
  expect(() => expectFreeOf(canary, `x ${canary} y`, 'plain')).toThrow();
});
