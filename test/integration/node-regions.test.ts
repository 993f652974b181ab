import { emptyResource } from '@opentelemetry/resources';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NodeRegions } from '../../src/operator/node-regions.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { createMetering } from '../../src/telemetry/prometheus.ts';
import { eventually } from '../support/eventually.ts';
import { unique } from '../support/world.ts';
import { KubeWorld } from './kube-support.ts';

let world: KubeWorld;

beforeAll(async () => {
  world = await KubeWorld.create();
});

afterAll(() => world.close());

function aNode(region: string | undefined) {
  const name = unique('node');
  const labels = region === undefined ? {} : { 'topology.kubernetes.io/region': region };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
}

async function regionsOf(namespaces: 'all' | readonly string[]) {
  const moved: number[] = [];
  const logger = pino({ enabled: false });
  const regions = new NodeRegions(
    {
      client: await world.client(),
      clock: systemClock,
      random: Math.random,
      logger,
      metrics: new Metrics(createMetering({ resource: emptyResource(), readers: [], onError() {} }).meter),
      config: { namespaces },
    },
    () => moved.push(1),
  );
  regions.open();
  world.closeLater(() => regions.close());
  await regions.settled;
  return { regions, moved };
}

test('the region of a Node is what its label says, and one that moves is told', async () => {
  const known = aNode('eu-1');
  await world.api.create(known);
  world.closeLater(() => world.api.delete(known));
  const { regions, moved } = await regionsOf('all');
  expect(regions.of(known.metadata.name)).toBe('eu-1');
  expect(moved).toEqual([]);

  await world.api.patch(known, { metadata: { labels: { 'topology.kubernetes.io/region': 'eu-2' } } });
  await eventually(() => regions.of(known.metadata.name) === 'eu-2', { what: 'the other region' });
  expect(moved).toEqual([1]);

  const without = aNode(undefined);
  await world.api.create(without);
  world.closeLater(() => world.api.delete(without));
  await world.api.patch(known, { metadata: { labels: { 'topology.kubernetes.io/region': 'eu-3' } } });
  await eventually(() => regions.of(known.metadata.name) === 'eu-3', { what: 'the third region' });
  expect(regions.of(without.metadata.name)).toBeUndefined();
  expect(moved).toEqual([1, 1]);
});

test('an operator of some namespaces reads no Nodes', async () => {
  const known = aNode('eu-1');
  await world.api.create(known);
  world.closeLater(() => world.api.delete(known));
  const { regions } = await regionsOf(['shop']);
  expect(regions.of(known.metadata.name)).toBeUndefined();
});
