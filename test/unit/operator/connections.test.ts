import { expect, test } from 'vitest';
import { ELECTING_CONNECTIONS, WORKING_CONNECTIONS } from '../../../src/operator/consul-options.ts';

test('all connections to Consul together are no more than the design promises', () => {
  const counts = [WORKING_CONNECTIONS, ELECTING_CONNECTIONS].flatMap(limits => Object.values(limits));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(16);
  expect(Math.min(...counts)).toBeGreaterThan(0);
});
