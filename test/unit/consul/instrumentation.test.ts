import { SpanStatusCode } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { expect, test } from 'vitest';
import type { RequestSample } from '../../../src/consul/instrumentation.ts';
import { encodeOperation } from '../../../src/consul/txn.ts';
import { NOT_THERE } from '../../../src/consul/types.ts';
import { eventually } from '../../support/eventually.ts';
import { aConsulClient, signal } from '../../support/consul-client.ts';
import { answer, closedAddress, entryJson, FakeServer, type Respond } from './server.ts';

async function recorded(
  respond: Respond,
  use: (client: ReturnType<typeof aConsulClient>) => Promise<unknown>,
) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const samples: RequestSample[] = [];
  await using server = await FakeServer.start(respond);
  await using client = aConsulClient([await closedAddress(), server.address], {
    token: 'canary-token',
    tracer: provider.getTracer('test'),
    onRequest: sample => void samples.push(sample),
  });
  const error = await use(client).catch((thrown: unknown) => thrown);
  return { spans: exporter.getFinishedSpans(), samples, error, server };
}

test('every attempt is a span of its own, by the HTTP conventions', async () => {
  const { spans, server } = await recorded(answer(200, entryJson()), client =>
    client.kv.get('k', { signal }),
  );
  expect(spans.map(span => [span.name, span.status.code])).toEqual([
    ['GET /v1/kv/{key}', SpanStatusCode.ERROR],
    ['GET /v1/kv/{key}', SpanStatusCode.UNSET],
  ]);
  expect(spans[0]?.attributes).toMatchObject({ 'error.type': 'CONSUL_UNREACHABLE' });
  expect(spans[1]?.attributes).toEqual({
    'http.request.method': 'GET',
    'url.template': '/v1/kv/{key}',
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(server.address).port),
    'http.response.status_code': 200,
    'http.request.resend_count': 1,
  });
});

test('and a sample for the metrics', async () => {
  const { samples } = await recorded(answer(403, 'ACL not found'), client => client.kv.get('k', { signal }));
  const sample = { method: 'GET', template: '/v1/kv/{key}', blocking: false, durationMs: expect.any(Number) };
  expect(samples).toEqual([
    { ...sample, status: undefined, error: 'CONSUL_UNREACHABLE' },
    { ...sample, status: 403, error: 'CONSUL_DENIED' },
  ]);
});

test('an absent key and a lost race are no errors', async () => {
  const { spans } = await recorded(answer(409, '{"Errors":[{"OpIndex":0,"What":"x"}]}'), client =>
    client.txn.submit([encodeOperation({ verb: 'check-not-exists', key: 'k' })], { signal }),
  );
  expect(spans.at(-1)?.status.code).toBe(SpanStatusCode.UNSET);
});

test('a blocking query that we end ourselves is no error', async () => {
  const controller = new AbortController();
  let reached = false;
  const { spans, samples } = await recorded(
    () => void (reached = true),
    async client => {
      const block = { index: 1, waitSeconds: 55 };
      const query = client.kv.get('k', { signal: controller.signal, block });
      await eventually(() => reached, { what: 'the query blocks' }).then(() => controller.abort());
      await query;
    },
  );
  expect(spans.at(-1)?.status.code).toBe(SpanStatusCode.UNSET);
  expect(samples.at(-1)).toMatchObject({ blocking: true, error: 'ABORTED' });
});

test('no token, key or value is told to anybody, however the request ends', async () => {
  const cas = encodeOperation({
    verb: 'cas',
    key: 'canary-key',
    value: Buffer.from('canary-value'),
    flags: 0n,
    index: NOT_THERE,
  });
  const value = Buffer.from('canary-value').toString('base64');
  const replies = [
    answer(200, `{"Results":[{"KV":{"Key":"canary-key","Value":"${value}"}}],"Errors":null}`),
    answer(200, `${value} canary-value`),
    answer(500, ''),
  ];
  for (const reply of replies) {
    const { spans, samples, error } = await recorded(reply, client => client.txn.submit([cas], { signal }));
    const told = [
      ...spans.map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
      ...samples,
      error,
      String(error),
      String((error as Error).cause),
      (error as Error).stack,
    ];
    expect(error).toBeInstanceOf(Error);
    expect(JSON.stringify(told)).not.toMatch(new RegExp(`canary|${value}`));
  }
});
