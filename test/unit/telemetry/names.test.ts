import { describe, expect, test } from 'vitest';
import { ATTRIBUTES, LOG_FIELDS, METRICS, type MetricDefinition } from '../../../src/telemetry/names.ts';

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
