import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { OtlpReceiver, type ReceivedSpan, type ReceiverMode } from '../support/otlp-receiver.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Row 33, and what the collector gets to see when it is well. */

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  world = await World.create('otlp');
  kvs = new ConsulKvs(world);
});

afterEach(() => world.close());

test('a reconcile is one trace: its steps, and in them the requests to both servers', async () => {
  const receiver = await OtlpReceiver.start();
  await world.startOperator({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_BSP_SCHEDULE_DELAY: '50',
  });
  const annotations = { 'tracing.k8s.io/traceparent': `00-${TRACE_ID}-${SPAN_ID}-01` };
  const object = kvs.object('traced', { key: world.key('traced'), value: 'declared' });
  await world.kube.apply({ ...object, metadata: { ...object.metadata, annotations } });
  const { lastTraceID } = (await kvs.ready('traced'))['status'];

  const ofTrace = (): ReceivedSpan[] => receiver.spans.filter(({ traceId }) => traceId === lastTraceID);
  await receiver.until(() => ofTrace().some(({ parentSpanId }) => parentSpanId === undefined));
  receiver.close();

  const tree = treeOf(ofTrace());
  expect(tree['reconcile ConsulKV']).toEqual(expect.arrayContaining(['observe', 'plan', 'apply', 'status']));
  expect(tree['reconcile ConsulKV > apply']).toEqual(['transaction']);
  expect(tree['reconcile ConsulKV > apply > transaction']).toEqual(['PUT /v1/txn']);
  expect(tree['reconcile ConsulKV > status']).toEqual([
    expect.stringMatching(/^PATCH .*consulkvs.*\/status$/),
  ]);
  const root = ofTrace().find(({ parentSpanId }) => parentSpanId === undefined);
  expect(root?.links).toEqual([{ traceId: TRACE_ID, spanId: SPAN_ID }]);
});

describe('a collector that does not work costs nothing but its spans:', () => {
  test.for<[string, ReceiverMode | 'dead']>([
    ['nobody listens', 'dead'],
    ['it takes requests and never answers', 'hang'],
    ['it refuses', 'refuse'],
  ])('%s', async ([, mode]) => {
    const receiver = await OtlpReceiver.start(mode === 'dead' ? 'accept' : mode);
    if (mode === 'dead') receiver.close();
    const operator = await world.startOperator({
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '50',
    });
    const names = Array.from({ length: 50 }, (_, at) => `kv-${at}`);
    const before = {
      consul: world.toConsul.count(isConsulWrite),
      kube: world.toKube.count(isKubernetesWrite),
    };

    for (const name of names) await kvs.declare(name, { key: world.key(name), value: 'declared' });
    for (const name of names) await kvs.ready(name);

    expect(world.toConsul.count(isConsulWrite) - before.consul, 'transactions').toBeLessThanOrEqual(
      names.length,
    );
    expect(world.toKube.count(isKubernetesWrite) - before.kube, 'a finalizer and a status each').toBe(
      2 * names.length,
    );
    expect((await operator.probe('/livez')).status).toBe(200);
    expect(await operator.stop()).toEqual({ code: 0, signal: null });
    receiver.close();
  });
});

/** The names of every span's children, in order, by the path of names from the root. */
function treeOf(spans: readonly ReceivedSpan[]): Record<string, string[]> {
  const tree: Record<string, string[]> = {};
  const visit = (span: ReceivedSpan, above: string): void => {
    const path = above === '' ? span.name : `${above} > ${span.name}`;
    const children = spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    if (children.length > 0) tree[path] ??= [];
    for (const child of children) {
      tree[path]?.push(child.name);
      visit(child, path);
    }
  };
  for (const span of spans) if (span.parentSpanId === undefined) visit(span, '');
  return tree;
}
