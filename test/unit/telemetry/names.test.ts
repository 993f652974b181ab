import { describe, expect, test } from 'vitest';
import {
  ATTRIBUTES,
  LOG_FIELDS,
  METRICS,
  type MetricDefinition,
  RECONCILE_RESULTS,
} from '../../../src/telemetry/names.ts';

const definitions: readonly MetricDefinition[] = Object.values(METRICS);

const SUFFIX = { s: /_seconds(_total)?$/, By: /_bytes$/, '1': /(?<!_seconds|_bytes)$/ } as const;

test('no two metrics share a name', () => {
  const names = definitions.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test('no two attributes share a name', () => {
  const names = Object.values(ATTRIBUTES);
  expect(new Set(names).size).toBe(names.length);
});

test("has controller-runtime's and client-go's names and labels, as their dashboards query them", () => {
  const labelsOf = Object.fromEntries(definitions.map(({ name, labels }) => [name, labels]));
  expect(labelsOf).toMatchObject({
    controller_runtime_reconcile_total: ['controller', 'result'],
    controller_runtime_reconcile_errors_total: ['controller'],
    controller_runtime_terminal_reconcile_errors_total: ['controller'],
    controller_runtime_reconcile_panics_total: ['controller'],
    controller_runtime_reconcile_timeouts_total: ['controller'],
    controller_runtime_reconcile_time_seconds: ['controller'],
    controller_runtime_max_concurrent_reconciles: ['controller'],
    controller_runtime_active_workers: ['controller'],
    workqueue_depth: ['name', 'controller', 'priority'],
    workqueue_adds_total: ['name', 'controller'],
    workqueue_queue_duration_seconds: ['name', 'controller'],
    workqueue_work_duration_seconds: ['name', 'controller'],
    workqueue_unfinished_work_seconds: ['name', 'controller'],
    workqueue_longest_running_processor_seconds: ['name', 'controller'],
    workqueue_retries_total: ['name', 'controller'],
    rest_client_requests_total: ['code', 'method', 'host'],
    rest_client_request_duration_seconds: ['verb', 'host'],
  });
  expect(METRICS.reconcileTime.buckets).toHaveLength(40);
  expect(METRICS.queueWait.buckets).toHaveLength(12);
  expect([...RECONCILE_RESULTS]).toEqual(['success', 'error', 'requeue', 'requeue_after']);
});

describe.each(definitions)('$name', ({ name, kind, unit, labels, buckets }) => {
  test('follows the Prometheus conventions', () => {
    expect(name).toMatch(/^[a-z][a-z0-9_]*[a-z0-9]$/);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
    expect(name).toMatch(SUFFIX[unit]);
  });

  test('names no single object in its labels', () => {
    // `name` is that of a queue or a watched resource, of which there are a handful.
    expect(labels).not.toEqual(expect.arrayContaining(['namespace']));
    expect(labels.some(label => /^(key|uid|path|resource_name|generation)$/.test(label))).toBe(false);
  });

  test('has rising buckets if it is a histogram, else none', () => {
    expect(buckets !== undefined).toBe(kind === 'histogram');
    expect([...(buckets ?? [])].sort((a, b) => a - b)).toEqual(buckets ?? []);
  });
});

test('no log field has a name under which a credential or a value would come', () => {
  const suspicious = /token|authorization|password|secret|value|data$|body|header|credential|cookie/i;
  expect(Object.keys(LOG_FIELDS).filter(field => suspicious.test(field))).toEqual([]);
});
