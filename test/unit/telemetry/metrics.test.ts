import { emptyResource } from '@opentelemetry/resources';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventLoopMonitor, type EventLoopMonitor } from '../../../src/telemetry/event-loop.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { METRICS, type MetricDefinition } from '../../../src/telemetry/names.ts';
import { observeProcess } from '../../../src/telemetry/process-metrics.ts';
import { createMetering, type Metering } from '../../../src/telemetry/prometheus.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { parsePrometheusText, sampleValue } from '../../support/prometheus-text.ts';

const definitions: readonly MetricDefinition[] = Object.values(METRICS);

let clock: FakeClock;
let metering: Metering;
let problems: unknown[];
let metrics: Metrics;
let eventLoop: EventLoopMonitor;

beforeEach(() => {
  clock = new FakeClock();
  problems = [];
  metering = createMetering({
    resource: emptyResource(),
    readers: [],
    onError: error => problems.push(error),
  });
  metrics = new Metrics(metering.meter);
  eventLoop = createEventLoopMonitor(clock);
});

afterEach(async () => {
  eventLoop.close();
  await metering.shutdown();
});

/** Calls everything there is once. */
function exerciseAll(): void {
  const controller = metrics.controller('consulkv', { workers: 8, monotonic: () => clock.monotonic() });
  for (const failure of ['error', 'terminal', 'timeout', 'panic'] as const) {
    controller.start()({ result: 'error', failure });
  }
  controller.driftCorrected();
  const queue = metrics.queue('resources');
  metrics.queueProgress('resources', { longestRunningMs: 1500, unfinishedWorkMs: 2500 });
  queue.added();
  queue.depthChanged(-100, 1);
  queue.delayed();
  queue.handedOut(3);
  queue.finished(4);
  const reflector = metrics.reflector('consulkvs', clock);
  reflector.relisted('start');
  reflector.failed(new Error('gone'), { during: 'watch' });
  reflector.heard();
  metrics.store('consulkvs', () => 17);
  metrics.kubeRequest({ code: '200', method: 'GET', host: '127.0.0.1:6443', durationMs: 5, watch: false });
  metrics.consulRequest({ method: 'PUT', template: '/v1/txn', status: 200, durationMs: 7 });
  metrics.transaction({ result: 'applied', operations: 64 });
  metrics.conditions(() => [
    { controller: 'consulkv', type: 'Ready', status: 'True', reason: 'Applied', count: 12 },
  ]);
  metrics.eventDropped('rate');
  metrics.removalsHeld(3);
  metrics.checks({ size: 7, waiting: 2 });
  metrics.checkRan('passing', clock.now());
  metrics.spansDropped('queue_full', 5);
  observeProcess(metrics.instruments, { version: '1.2.3', eventLoop, startedAtMs: clock.now() });
}

describe('/metrics', () => {
  test('shows exactly the names of the table, none altered, none missing', async () => {
    exerciseAll();
    const families = parsePrometheusText(await metering.scrape());
    expect([...families.keys()].sort()).toEqual(definitions.map(({ name }) => name).sort());
  });

  test.each(definitions)('$name has the type, the help and the labels of the table', async definition => {
    exerciseAll();
    const family = parsePrometheusText(await metering.scrape()).get(definition.name);
    expect(family?.type).toBe(definition.kind);
    expect(family?.help).toBe(definition.description);
    const labels = new Set(family?.samples.flatMap(sample => Object.keys(sample.labels)));
    labels.delete('le');
    expect([...labels].sort()).toEqual([...definition.labels].sort());
  });

  test.each(definitions.filter(({ kind }) => kind === 'histogram'))(
    '$name has the buckets of the table',
    async definition => {
      exerciseAll();
      const family = parsePrometheusText(await metering.scrape()).get(definition.name);
      const bounds = family?.samples
        .filter(({ name }) => name.endsWith('_bucket'))
        .map(({ labels }) => labels.le);
      expect([...new Set(bounds)]).toEqual([...(definition.buckets ?? []).map(String), '+Inf']);
    },
  );
});

describe('before anything happened', () => {
  test.each(['success', 'error', 'requeue', 'requeue_after'])(
    'reconciles that ended in %s stand at 0',
    async result => {
      metrics.controller('consulkv', { workers: 8, monotonic: () => 0 });
      const text = await metering.scrape();
      const labels = { controller: 'consulkv', result };
      expect(sampleValue(text, 'controller_runtime_reconcile_total', labels)).toBe(0);
    },
  );

  test.each([
    ['controller_runtime_reconcile_errors_total', { controller: 'consulkv' }],
    ['controller_runtime_terminal_reconcile_errors_total', { controller: 'consulkv' }],
    ['controller_runtime_reconcile_panics_total', { controller: 'consulkv' }],
    ['controller_runtime_reconcile_timeouts_total', { controller: 'consulkv' }],
    ['controller_runtime_active_workers', { controller: 'consulkv' }],
    ['proconsul_drift_corrected_total', { controller: 'consulkv' }],
    ['proconsul_transactions_total', { result: 'failed' }],
    ['proconsul_events_dropped_total', { reason: 'queue' }],
    ['proconsul_check_runs_total', { result: 'unknown' }],
    ['proconsul_trace_spans_dropped_total', { reason: 'export_failed' }],
    ['proconsul_removals_held', {}],
  ])('%s stands at 0', async (name, labels) => {
    metrics.controller('consulkv', { workers: 8, monotonic: () => 0 });
    expect(sampleValue(await metering.scrape(), name, labels)).toBe(0);
  });
});

describe('a controller', () => {
  const of = { controller: 'consulkv' };
  const start = () =>
    metrics.controller('consulkv', { workers: 8, monotonic: () => clock.monotonic() }).start();

  test('counts a worker as active until its turn ends', async () => {
    const end = start();
    expect(sampleValue(await metering.scrape(), 'controller_runtime_active_workers', of)).toBe(1);
    end({ result: 'success' });
    expect(sampleValue(await metering.scrape(), 'controller_runtime_active_workers', of)).toBe(0);
  });

  test('times a turn in seconds', async () => {
    const end = start();
    clock.advance(1500);
    end({ result: 'success' });
    expect(sampleValue(await metering.scrape(), 'controller_runtime_reconcile_time_seconds_sum', of)).toBe(
      1.5,
    );
  });

  test('counts an aborted turn as nothing', async () => {
    start()({ result: 'aborted' });
    const text = await metering.scrape();
    expect(sampleValue(text, 'controller_runtime_reconcile_time_seconds_count', of)).toBeUndefined();
    expect(sampleValue(text, 'controller_runtime_reconcile_errors_total', of)).toBe(0);
  });

  test.each([
    ['terminal', 'controller_runtime_terminal_reconcile_errors_total'],
    ['timeout', 'controller_runtime_reconcile_timeouts_total'],
    ['panic', 'controller_runtime_reconcile_panics_total'],
  ] as const)('counts a %s failure as an error and as what it is', async (failure, name) => {
    start()({ result: 'error', failure });
    const text = await metering.scrape();
    expect(sampleValue(text, 'controller_runtime_reconcile_errors_total', of)).toBe(1);
    expect(sampleValue(text, name, of)).toBe(1);
  });
});

test('the depth of a queue is kept by priority', async () => {
  const queue = metrics.queue('resources');
  queue.depthChanged(100, 1);
  queue.depthChanged(100, 1);
  queue.depthChanged(100, -1);
  const labels = { name: 'resources', controller: 'resources', priority: '100' };
  expect(sampleValue(await metering.scrape(), 'workqueue_depth', labels)).toBe(1);
});

test('of reflectors that share a name, the one silent for longest gives the time of the last event', async () => {
  const first = metrics.reflector('consulkvs', clock);
  const second = metrics.reflector('consulkvs', clock);
  clock.advance(60_000);
  first.heard();
  const seconds = async () =>
    sampleValue(await metering.scrape(), 'reflector_last_event_timestamp_seconds', { name: 'consulkvs' });
  expect(await seconds()).toBe(new FakeClock().now() / 1000);
  second.heard();
  expect(await seconds()).toBe(clock.now() / 1000);
});

test('watches and blocking queries are counted, but not timed', async () => {
  metrics.kubeRequest({ code: '200', method: 'GET', host: 'k', durationMs: 300_000, watch: true });
  metrics.consulRequest({
    method: 'GET',
    template: '/v1/kv/{key}',
    status: 200,
    durationMs: 55_000,
    blocking: true,
  });
  const families = parsePrometheusText(await metering.scrape());
  expect(families.get('rest_client_requests_total')?.samples).toHaveLength(1);
  expect(families.has('rest_client_request_duration_seconds')).toBe(false);
  expect(families.get('proconsul_consul_requests_total')?.samples).toHaveLength(1);
  expect(families.has('proconsul_consul_request_duration_seconds')).toBe(false);
});

test('two caches of different names are both shown', async () => {
  metrics.store('consulkvs', () => 1);
  metrics.store('secrets', () => 2);
  const text = await metering.scrape();
  expect(sampleValue(text, 'reflector_store_objects', { name: 'consulkvs' })).toBe(1);
  expect(sampleValue(text, 'reflector_store_objects', { name: 'secrets' })).toBe(2);
});

test('a metric that cannot be read is reported and leaves the others alone', async () => {
  const defect = new Error('defect');
  metrics.store('consulkvs', () => {
    throw defect;
  });
  metrics.store('secrets', () => 2);
  const text = await metering.scrape();
  expect(problems).toEqual([defect]);
  expect(sampleValue(text, 'reflector_store_objects', { name: 'secrets' })).toBe(2);
  expect(sampleValue(text, 'proconsul_removals_held')).toBe(0);
});
