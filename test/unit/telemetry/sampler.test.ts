import { type Link, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace';
import { describe, expect, test } from 'vitest';
import { samplerFromEnv } from '../../../src/telemetry/sampler.ts';

/** The last 14 digits decide under a ratio: small ones are in, large ones out. */
const LOW = `${'1'.repeat(18)}00000000000001`;
const HIGH = `${'1'.repeat(18)}fffffffffffffe`;

function isSampled(
  env: NodeJS.ProcessEnv,
  traceId: string,
  links: Link[] = [],
  context = ROOT_CONTEXT,
): boolean {
  const sampler = samplerFromEnv(env, () => {});
  const { decision } = sampler.shouldSample(context, traceId, 'reconcile', SpanKind.INTERNAL, {}, links);
  return decision === SamplingDecision.RECORD_AND_SAMPLED;
}

describe('OTEL_TRACES_SAMPLER', () => {
  test.each([
    [undefined, undefined, [true, true]],
    ['always_on', undefined, [true, true]],
    ['always_off', undefined, [false, false]],
    ['parentbased_always_on', undefined, [true, true]],
    ['parentbased_always_off', undefined, [false, false]],
    ['traceidratio', '0', [false, false]],
    ['traceidratio', '1', [true, true]],
    ['parentbased_traceidratio', '0', [false, false]],
  ])('%s with argument %s', (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, sampled) => {
    const env = { OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG };
    expect([isSampled(env, LOW), isSampled(env, HIGH)]).toEqual(sampled);
  });

  test('a ratio takes some traces and leaves others', () => {
    const env = { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' };
    expect(isSampled(env, LOW)).not.toBe(isSampled(env, HIGH));
  });

  test.each([
    ['OTEL_TRACES_SAMPLER', { OTEL_TRACES_SAMPLER: 'sometimes' }],
    ['OTEL_TRACES_SAMPLER_ARG', { OTEL_TRACES_SAMPLER: 'traceidratio' }],
    ['OTEL_TRACES_SAMPLER_ARG', { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' }],
  ])('a wrong %s is named and left out', (setting, env) => {
    const ignored: string[] = [];
    samplerFromEnv(env, name => ignored.push(name));
    expect(ignored).toEqual([setting]);
    expect(isSampled(env, HIGH)).toBe(true);
  });
});

test('a request outside a reconcile has no trace', () => {
  const sampler = samplerFromEnv({}, () => {});
  const { decision } = sampler.shouldSample(ROOT_CONTEXT, LOW, 'GET /v1/kv/{key}', SpanKind.CLIENT, {}, []);
  expect(decision).toBe(SamplingDecision.NOT_RECORD);
});

describe('a link', () => {
  const never = { OTEL_TRACES_SAMPLER: 'always_off' };
  const linkTo = (traceFlags: number): Link[] => [
    { context: { traceId: LOW, spanId: '1'.repeat(16), traceFlags } },
  ];

  test('to a sampled trace samples, whatever the sampler', () => {
    expect(isSampled(never, HIGH, linkTo(1))).toBe(true);
  });

  test('to another does not', () => {
    expect(isSampled(never, HIGH, linkTo(0))).toBe(false);
  });

  test('does not part a span from its unsampled parent', () => {
    const parent = { traceId: LOW, spanId: '2'.repeat(16), traceFlags: 0 };
    const context = trace.setSpanContext(ROOT_CONTEXT, parent);
    expect(isSampled({}, LOW, linkTo(1), context)).toBe(false);
  });
});
