import { context, propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { KubeClient } from '../../../src/kube/client.ts';
import { createKubeClient } from '../../../src/kube/http-client.ts';
import { FakeApiServer, replyStatus } from '../../support/fake-api-server.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const path = '/apis/test.proconsul.dev/v1/namespaces/default/widgets/a';
const template = '/apis/test.proconsul.dev/v1/namespaces/{namespace}/widgets/{name}';
const never = new AbortController().signal;
const exporter = new InMemorySpanExporter();

let server: FakeApiServer;
let client: KubeClient;

beforeAll(() => {
  const processor = new SimpleSpanProcessor({ exporter });
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [processor] }));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
});
afterAll(() => {
  trace.disable();
  propagation.disable();
  context.disable();
});
beforeEach(async () => {
  server = await FakeApiServer.start();
  client = createKubeClient({ clock: new FakeClock(), kubeconfig: server.kubeconfig() });
});
afterEach(async () => {
  await client.close();
  await server.stop();
  exporter.reset();
});

test('a request is one client span by the HTTP conventions, which the API server can continue', async () => {
  server.put('a');
  await client.request({
    method: 'GET',
    path,
    query: { fieldSelector: 'metadata.name=private' },
    signal: never,
  });
  const [span] = exporter.getFinishedSpans();
  expect(span?.name).toBe(`GET ${template}`);
  expect(span?.attributes).toEqual({
    'http.request.method': 'GET',
    'url.template': template,
    'server.address': '127.0.0.1',
    'server.port': server.port,
    'http.response.status_code': 200,
  });
  expect(server.requests[0]?.headers['traceparent']).toContain(span?.spanContext().spanId);
});

test('a refusal is an error by its status, and nothing of bodies or tokens is recorded', async () => {
  server.failNext((_, response) => replyStatus(response, 409, 'Conflict'));
  const body = { data: 'private' };
  await expect(client.request({ method: 'PATCH', path, body, signal: never })).rejects.toThrow('409');
  const [span] = exporter.getFinishedSpans();
  expect(span).toMatchObject({
    attributes: { 'http.response.status_code': 409, 'error.type': '409' },
    status: { code: 2 },
  });
  const { name, attributes, events, status } = span ?? {};
  expect(JSON.stringify({ name, attributes, events, status })).not.toMatch(/private|secret-token/);
});

test('without an answer the error is named by its code', async () => {
  server.failNext((_, response) => response.destroy());
  await expect(client.request({ method: 'GET', path, signal: never })).rejects.toThrow('API server');
  expect(exporter.getFinishedSpans()).toMatchObject([{ attributes: { 'error.type': 'KUBE_UNREACHABLE' } }]);
});

test('a request that we cut short ourselves is no error', async () => {
  server.failNext(() => undefined);
  const caller = new AbortController();
  const request = client.request({ method: 'GET', path, signal: caller.signal });
  await until(() => server.requests.length === 1);
  caller.abort();
  await expect(request).rejects.toThrow('aborted');
  expect(exporter.getFinishedSpans()).toMatchObject([{ status: { code: 0 } }]);
});

test('a watch has no span: it would last for minutes and tell nothing', async () => {
  await client.stream({
    method: 'GET',
    path: '/apis/test.proconsul.dev/v1/widgets',
    query: { watch: true },
    signal: never,
  });
  expect(exporter.getFinishedSpans()).toEqual([]);
});
