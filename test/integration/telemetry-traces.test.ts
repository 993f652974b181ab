import { type AddressInfo, createServer } from 'node:net';
import { context, SpanKind, trace } from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { AbortedError, RetryableError } from '../../src/core/errors.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { SCOPE } from '../../src/telemetry/names.ts';
import type { Identity } from '../../src/telemetry/resource.ts';
import { startTelemetry, type Telemetry } from '../../src/telemetry/sdk.ts';
import {
  type ReconcileSpan,
  type ReconcileSpanOptions,
  withReconcileSpan,
  withTransactionSpan,
} from '../../src/telemetry/tracing.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts';
import { sampleValue } from '../support/prometheus-text.ts';

const CALLER = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const TRACEPARENT = `00-${CALLER.traceId}-${CALLER.spanId}-01`;

const IN_A_POD: Identity = {
  version: '1.2.3',
  instanceId: 'uid-1',
  namespace: 'consul',
  podName: 'proconsul-0',
  podUid: 'uid-1',
};

const reconcileOf = (name: string): ReconcileSpanOptions => ({
  ref: { kind: 'ConsulKV', namespace: 'shop', name },
  generation: 3,
  turn: `turn-${name}`,
});

let receiver: OtlpReceiver;
let telemetry: Telemetry | undefined;
let lines: string[];
let clock: FakeClock;

beforeEach(async () => {
  lines = [];
  clock = new FakeClock();
  receiver = await OtlpReceiver.start();
});

afterEach(async () => {
  const ended = telemetry?.shutdown();
  clock.advance(2_000);
  await ended;
  telemetry = undefined;
  receiver.close();
  vi.unstubAllEnvs();
});

/** The exporters read the environment of the process themselves, so it is set there. */
async function start(
  env: Readonly<Record<string, string>> = {},
  endpoint = receiver.endpoint,
  identity: Identity = IN_A_POD,
): Promise<Telemetry> {
  // Its own, since a collector that hung may still be talked of in the next test.
  const sink = lines;
  const all = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '1', ...env };
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value);
  const logger = createLogger({
    level: 'debug',
    base: {},
    destination: { write: line => void sink.push(line) },
  });
  telemetry = await startTelemetry({ env: process.env, identity, logger, clock });
  return telemetry;
}

/** One reconcile with all its steps; every step but `plan` sends a request: eight spans. */
function reconcile(options: ReconcileSpanOptions): Promise<string | undefined> {
  return withReconcileSpan(options, async span => {
    for (const step of ['observe', 'plan', 'apply', 'status'] as const) {
      await span.step(step, () => (step === 'plan' ? undefined : request(`PUT /v1/${step}`)));
    }
    span.note({
      result: 'success',
      reason: 'Applied',
      plan: 'change',
      actions: 2,
      driftFields: ['orders/url'],
    });
    return span.traceId;
  });
}

/** A client span as `consul/` and `kube/` make them. */
async function request(name: string): Promise<void> {
  await Promise.resolve();
  trace.getTracer(SCOPE).startSpan(name, { kind: SpanKind.CLIENT }).end();
}

describe('the trace of a reconcile', () => {
  test('holds its steps, and in each step its requests', async () => {
    await start();
    const traceId = await reconcile(reconcileOf('orders'));
    await receiver.until(({ spans }) => spans.length === 8);
    const root = receiver.span('reconcile ConsulKV');
    expect(root).toMatchObject({ traceId, parentSpanId: undefined, links: [] });
    const parentOf = (name: string) => receiver.span(name).parentSpanId;
    for (const step of ['observe', 'plan', 'apply', 'status']) expect(parentOf(step)).toBe(root.spanId);
    expect(parentOf('PUT /v1/observe')).toBe(receiver.span('observe').spanId);
    expect(parentOf('PUT /v1/apply')).toBe(receiver.span('apply').spanId);
    expect(parentOf('PUT /v1/status')).toBe(receiver.span('status').spanId);
    expect(new Set(receiver.spans.map(span => span.traceId))).toEqual(new Set([traceId]));
  });

  test('says what was reconciled and how it ended', async () => {
    await start();
    await reconcile(reconcileOf('orders'));
    await receiver.until(({ spans }) => spans.length === 8);
    expect(receiver.span('reconcile ConsulKV').attributes).toEqual({
      'consul.operator.kind': 'ConsulKV',
      'consul.operator.namespace': 'shop',
      'consul.operator.name': 'orders',
      'consul.operator.generation': 3,
      'consul.operator.turn': 'turn-orders',
      'consul.operator.result': 'success',
      'consul.operator.reason': 'Applied',
      'consul.operator.plan': 'change',
      'consul.operator.actions': 2,
      'consul.operator.drift.fields': ['orders/url'],
    });
  });

  test('names the process it comes from', async () => {
    await start({ OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test' });
    await reconcile(reconcileOf('orders'));
    await receiver.until(({ spans }) => spans.length === 8);
    expect(receiver.spans[0]?.resource).toMatchObject({
      'service.name': 'proconsul',
      'service.version': '1.2.3',
      'service.instance.id': 'uid-1',
      'k8s.namespace.name': 'consul',
      'k8s.pod.name': 'proconsul-0',
      'k8s.pod.uid': 'uid-1',
      'deployment.environment.name': 'test',
    });
  });

  test('leaves out what is not known of the process, without a word', async () => {
    await start({}, receiver.endpoint, { version: '1.2.3', instanceId: 'uid-1' });
    await reconcile(reconcileOf('orders'));
    await receiver.until(({ spans }) => spans.length === 8);
    expect(Object.keys(receiver.spans[0]?.resource ?? {}).filter(name => name.startsWith('k8s.'))).toEqual(
      [],
    );
    expect(lines).toEqual([]);
  });

  test('goes by the service name and with the headers of the environment', async () => {
    await start({ OTEL_SERVICE_NAME: 'consul-keeper', OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue' });
    await reconcile(reconcileOf('orders'));
    await receiver.until(({ spans }) => spans.length === 8);
    expect(receiver.spans[0]?.resource['service.name']).toBe('consul-keeper');
    expect(receiver.requests[0]).toMatchObject({ 'x-tenant': 'blue' });
  });

  test('is linked to that of the caller and never part of it', async () => {
    await start();
    const annotations = { 'tracing.k8s.io/traceparent': TRACEPARENT };
    await reconcile({ ...reconcileOf('orders'), annotations });
    await receiver.until(({ spans }) => spans.length === 8);
    const root = receiver.span('reconcile ConsulKV');
    expect(root.links).toEqual([CALLER]);
    expect(root.parentSpanId).toBeUndefined();
    expect(root.traceId).not.toBe(CALLER.traceId);
  });

  test('is not part of whatever happens to be going on when it starts', async () => {
    await start();
    await withReconcileSpan(reconcileOf('outer'), () => reconcile(reconcileOf('inner')));
    await receiver.until(({ spans }) => spans.length === 9);
    const roots = receiver.spans.filter(span => span.name === 'reconcile ConsulKV');
    expect(roots.map(span => span.parentSpanId)).toEqual([undefined, undefined]);
    expect(new Set(roots.map(span => span.traceId)).size).toBe(2);
  });

  test('carries its id into the log lines written meanwhile', async () => {
    await start();
    const destination = { write: (line: string) => void lines.push(line) };
    const logger = createLogger({ level: 'info', base: {}, destination });
    const traceId = await withReconcileSpan(reconcileOf('orders'), async span => {
      await Promise.resolve();
      logger.info({}, 'inside');
      return span.traceId;
    });
    logger.info({}, 'outside');
    const [inside, outside] = lines.map(line => JSON.parse(line) as Record<string, unknown>);
    expect(inside).toMatchObject({
      trace_id: traceId,
      span_id: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
    });
    expect(outside).not.toHaveProperty('trace_id');
  });
});

describe('a reconcile that fails', () => {
  async function failing(error: unknown): Promise<ReceivedSpan> {
    await start();
    const reconciled = withReconcileSpan(reconcileOf('orders'), span =>
      span.step('apply', () => Promise.reject(error)),
    );
    await expect(reconciled).rejects.toBe(error);
    await receiver.until(({ spans }) => spans.length === 2);
    return receiver.span('reconcile ConsulKV');
  }

  test('shows code, reason and message of an error of ours', async () => {
    const details = { code: 'CONSUL_TIMEOUT', reason: 'ConsulUnreachable' };
    expect(await failing(new RetryableError('Consul is away', details))).toMatchObject({
      status: { code: 2, message: 'Consul is away' },
      attributes: { 'error.type': 'CONSUL_TIMEOUT', 'consul.operator.reason': 'ConsulUnreachable' },
    });
  });

  test("shows only the type of a library's error, which may quote what it was given", async () => {
    const span = await failing(new SyntaxError('s3cr3t'));
    expect(span).toMatchObject({
      status: { code: 2, message: '' },
      attributes: { 'error.type': 'SyntaxError' },
    });
    expect(JSON.stringify(receiver.spans)).not.toContain('s3cr3t');
  });

  test('is no failure when it was aborted', async () => {
    expect(await failing(new AbortedError())).toMatchObject({
      status: { code: 0 },
      attributes: { 'consul.operator.result': 'aborted' },
    });
  });

  test('is marked also when the error was dealt with', async () => {
    await start();
    await withReconcileSpan(reconcileOf('orders'), async span => span.failed(new TypeError('x')));
    await receiver.until(({ spans }) => spans.length === 1);
    expect(receiver.spans[0]?.status.code).toBe(2);
  });
});

test('a request outside a reconcile has no span', async () => {
  await start();
  await request('GET /v1/watch');
  await reconcile(reconcileOf('orders'));
  await telemetry?.shutdown();
  expect(receiver.spans).toHaveLength(8);
  expect(receiver.spans.map(span => span.name)).not.toContain('GET /v1/watch');
});

describe('a transaction that serves several reconciles', () => {
  /** Turns that all wait in `apply` for one transaction, as in group commit. */
  async function commitTogether(names: readonly string[]): Promise<void> {
    const turns: ReturnType<typeof context.active>[] = [];
    const committed = Promise.withResolvers<void>();
    const submit = (span: ReconcileSpan) =>
      span.step('apply', () => {
        turns.push(context.active());
        return committed.promise;
      });
    const reconciles = names.map(name => withReconcileSpan(reconcileOf(name), submit));
    await withTransactionSpan(turns, 64, () => request('PUT /v1/txn'));
    committed.resolve();
    await Promise.all(reconciles);
  }

  test('is a child of the first, with its request, and linked both ways with the others', async () => {
    await start();
    await commitTogether(['a', 'b', 'c']);
    await receiver.until(({ spans }) => spans.length === 8);
    const transaction = receiver.span('transaction');
    const applies = receiver.spans.filter(span => span.name === 'apply');
    const first = applies.filter(({ traceId }) => traceId === transaction.traceId);
    const others = applies.filter(({ traceId }) => traceId !== transaction.traceId);
    const idsOf = ({ traceId, spanId }: ReceivedSpan) => ({ traceId, spanId });
    expect(first.map(({ spanId }) => spanId)).toEqual([transaction.parentSpanId]);
    expect(transaction.links).toEqual(others.map(idsOf));
    expect(others.map(({ links }) => links)).toEqual([[idsOf(transaction)], [idsOf(transaction)]]);
    expect(receiver.span('PUT /v1/txn').parentSpanId).toBe(transaction.spanId);
    expect(transaction.attributes).toEqual({
      'consul.operator.transaction.operations': 64,
      'consul.operator.transaction.turns': 3,
    });
  });

  test('is left out when none of them is sampled', async () => {
    await start({ OTEL_TRACES_SAMPLER: 'always_off' });
    await commitTogether(['a', 'b']);
    await telemetry?.shutdown();
    expect(receiver.requests).toHaveLength(0);
  });
});

describe('what status.lastTraceID shows', () => {
  test('is nothing while tracing is off', async () => {
    await start({ OTEL_EXPORTER_OTLP_ENDPOINT: '' });
    expect(telemetry?.tracing).toBe(false);
    expect(await reconcile(reconcileOf('orders'))).toBeUndefined();
  });

  test('is nothing for a trace that is not sampled', async () => {
    await start({ OTEL_TRACES_SAMPLER: 'always_off' });
    expect(await reconcile(reconcileOf('orders'))).toBeUndefined();
  });

  test('is the trace when the caller traces, whatever the sampler', async () => {
    await start({ OTEL_TRACES_SAMPLER: 'always_off' });
    const traceId = await reconcile({ ...reconcileOf('orders'), annotations: { traceparent: TRACEPARENT } });
    await receiver.until(({ spans }) => spans.length === 8);
    expect(receiver.spans[0]?.traceId).toBe(traceId);
  });
});

describe('a collector that does not do its part', () => {
  const QUEUE = { OTEL_BSP_MAX_QUEUE_SIZE: '16', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '8' };
  const RECONCILES = 50;
  const SPANS = 8 * RECONCILES;

  /** More spans than the queue holds. Each reconcile must end although no span is taken. */
  async function reconcileAll(): Promise<void> {
    for (let times = 0; times < RECONCILES; times++) await reconcile(reconcileOf(`r${times}`));
  }

  async function dropped(reason: string): Promise<number> {
    const text = (await telemetry?.scrape()) ?? '';
    return sampleValue(text, 'proconsul_trace_spans_dropped_total', { reason }) ?? Number.NaN;
  }

  /** Takes connections and never says a word, not even HTTP/2's. */
  async function aSilentServer(): Promise<string> {
    const server = createServer(() => {});
    onTestFinished(() => void server.close());
    await new Promise<void>(resolve => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const HANGING: readonly [string, () => string | Promise<string>][] = [
    ['takes requests and never answers', () => ((receiver.mode = 'hang'), receiver.endpoint)],
    ['takes connections and is silent', aSilentServer],
  ];

  test.each(HANGING)(
    'and %s keeps one batch and one full queue, the other spans are dropped',
    async (_case, endpointOf) => {
      await start(QUEUE, await endpointOf());
      await reconcileAll();
      expect(await dropped('queue_full')).toBe(SPANS - 16 - 8);
    },
  );

  test.each(HANGING)(
    'and %s holds up the shutdown for as long as it may and no longer',
    async (_case, endpointOf) => {
      await start(QUEUE, await endpointOf());
      await reconcileAll();
      const ended = telemetry?.shutdown(900);
      clock.advance(900);
      await ended;
      expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([
        { level: 'warn', msg: 'collector did not answer in time, spans are lost', dropped: 16 + 8 },
      ]);
    },
  );

  test.each([
    ['refuses', () => void (receiver.mode = 'refuse')],
    ['is not there', () => receiver.close()],
  ])('and %s loses every span, said once', async (_case, harm) => {
    harm();
    await start(QUEUE);
    await reconcileAll();
    await expect
      .poll(async () => (await dropped('queue_full')) + (await dropped('export_failed')))
      .toBe(SPANS);
    await telemetry?.shutdown();
    expect(lines.join('')).not.toContain('trace_id');
    expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([
      { level: 'warn', msg: 'collector takes no spans, they are dropped', err: { code: 14 } },
    ]);
  });

  test('gets the spans that come once it is well again', async () => {
    receiver.mode = 'refuse';
    await start();
    await reconcile(reconcileOf('lost'));
    await receiver.until(({ requests }) => requests.length > 0);
    receiver.mode = 'accept';
    await reconcile(reconcileOf('kept'));
    await receiver.until(({ spans }) => spans.length >= 8);
    expect(receiver.spans.map(span => span.attributes['consul.operator.name'])).toContain('kept');
  });
});

test('a setting that is not supported is named in the log', async () => {
  const wrong = {
    OTEL_BSP_MAX_QUEUE_SIZE: 'many',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    OTEL_TRACES_SAMPLER: 'sometimes',
  };
  await start(wrong);
  const named = lines.map(line => (JSON.parse(line) as { setting?: string }).setting);
  expect(new Set(named)).toEqual(new Set(Object.keys(wrong)));
});

test('metrics are pushed when they are asked for, else not', async () => {
  await start();
  await telemetry?.shutdown();
  expect(receiver.metricNames.size).toBe(0);
  await start({ OTEL_METRICS_EXPORTER: 'otlp' });
  await telemetry?.shutdown();
  expect(receiver.metricNames).toContain('proconsul_transactions_total');
});

test('the endpoint may be that for traces alone', async () => {
  await start({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: receiver.endpoint }, '');
  await reconcile(reconcileOf('orders'));
  await receiver.until(({ spans }) => spans.length === 8);
  expect(telemetry?.tracing).toBe(true);
});
