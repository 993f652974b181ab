import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { structuralSchema } from '../../../src/tools/structural.ts';

const text = z.string().describe('A text.');
const schemaOf = (fields: z.ZodRawShape) => structuralSchema(z.object(fields).describe('An object.'), 'spec');

describe('a structural schema', () => {
  test('requires what is not optional, and refuses nothing that is unknown', () => {
    expect(schemaOf({ a: text, b: text.exactOptional() })).toEqual({
      type: 'object',
      description: 'An object.',
      required: ['a'],
      properties: {
        a: { type: 'string', description: 'A text.' },
        b: { type: 'string', description: 'A text.' },
      },
    });
  });

  test('has integers of 64 bits, with the bounds that were set and none that were not', () => {
    const { properties } = schemaOf({
      any: z.int().describe('Any.'),
      some: z.int().min(0).max(Number.MAX_SAFE_INTEGER).describe('Some.'),
    });
    expect(properties).toEqual({
      any: { type: 'integer', format: 'int64', description: 'Any.' },
      some: {
        type: 'integer',
        format: 'int64',
        description: 'Some.',
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      },
    });
  });

  test('leaves the form of a time to the API server', () => {
    const { properties } = schemaOf({ at: z.iso.datetime().describe('A time.') });
    expect(properties).toEqual({ at: { type: 'string', format: 'date-time', description: 'A time.' } });
  });

  test('takes the one union that Kubernetes knows, with the bounds of both sides', () => {
    const port = z.union([z.int().min(1).max(9), z.string().min(1).regex(/^a/)]);
    const { properties } = schemaOf({
      port: port.meta({ 'x-kubernetes-int-or-string': true, description: 'A port.' }),
    });
    expect(properties?.['port']).toEqual({
      'x-kubernetes-int-or-string': true,
      description: 'A port.',
      minimum: 1,
      maximum: 9,
      minLength: 1,
      pattern: '^a',
    });
  });

  test('keeps what Kubernetes adds to OpenAPI', () => {
    const rules = [{ rule: 'self == oldSelf', message: 'cannot be changed', fieldPath: '.a' }];
    const { properties } = schemaOf({ a: text.meta({ 'x-kubernetes-validations': rules }) });
    expect(properties?.['a']?.['x-kubernetes-validations']).toEqual(rules);
  });
});

describe('what the API server would refuse is refused here, by path', () => {
  const described = 'Something.';
  test.each([
    ['a union', z.union([z.string(), z.int()]), /spec\.list\[\]\.field: anyOf is not structural/],
    ['a nullable field', z.string().nullable(), /spec\.list\[\]\.field: nullable is not structural/],
    [
      'a strict object',
      z.strictObject({ b: text }),
      /spec\.list\[\]\.field: additionalProperties beside properties/,
    ],
    ['a field of any type', z.unknown(), /spec\.list\[\]\.field: no type/],
    ['a field that cannot be written as JSON', z.date(), /Date cannot be represented/],
  ])('%s', (_, field, message) => {
    const item = z.object({ field: field.describe(described) }).describe(described);
    expect(() => schemaOf({ list: z.array(item).describe(described) })).toThrow(message);
  });

  test('a field without a description', () => {
    expect(() => schemaOf({ map: z.record(z.string(), z.string()).describe(described) })).toThrow(
      'spec.map{}: no description',
    );
  });
});
