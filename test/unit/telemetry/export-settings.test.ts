import { describe, expect, test } from 'vitest';
import { TerminalError } from '../../../src/core/errors.ts';
import { exportedSignals } from '../../../src/telemetry/export-settings.ts';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317' };
const TRACES_ENDPOINT = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector:4317' };
const nothing = { traces: false, metrics: false };
const traces = { traces: true, metrics: false };

describe('what is exported', () => {
  test.each([
    ['nothing without an endpoint', {}, nothing],
    ['nothing with an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, nothing],
    ['traces with an endpoint', ENDPOINT, traces],
    ['traces with an endpoint for traces, also without a scheme', TRACES_ENDPOINT, traces],
    [
      'no traces with an endpoint for metrics',
      { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c:1' },
      nothing,
    ],
    ['nothing when the SDK is disabled', { ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' }, nothing],
    ['no traces when their exporter is none', { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }, nothing],
    [
      'metrics too when asked for',
      { ...ENDPOINT, OTEL_METRICS_EXPORTER: 'otlp' },
      { traces: true, metrics: true },
    ],
  ])('%s', (_case, env, signals) => {
    expect(exportedSignals(env)).toEqual(signals);
  });
});

test.each(['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'])(
  'a wrong %s stops the start, named but not quoted',
  setting => {
    const start = (): unknown => exportedSignals({ [setting]: 'http://me:s3cr3t@collector:port' });
    expect(start).toThrow(TerminalError);
    expect(start).toThrow(`${setting} is not a URL; an example of one is http://collector:4317`);
  },
);
