import { glob, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { CONSUL_ERROR_CODES } from '../../src/consul/error-codes.ts';
import { OPERATOR_ERROR_CODES } from '../../src/core/error-codes.ts';
import { KUBE_ERROR_CODES } from '../../src/kube/errors.ts';

const catalogued = new Set(
  [CONSUL_ERROR_CODES, OPERATOR_ERROR_CODES, KUBE_ERROR_CODES].flatMap(codes => Object.keys(codes)),
);

describe('error codes', () => {
  test('every code that is thrown stands in a catalogue, and so on the page', async () => {
    const thrown = await codesIn('src/**/*.ts', /code: (?:\w+ \? )?'([A-Z][A-Z_]+)'/g);
    expect([...thrown].filter(code => !catalogued.has(code))).toEqual([]);
    expect(thrown.size).toBeGreaterThan(15);
  });

  test('every code of the operator itself is thrown somewhere', async () => {
    const used = await codesIn(
      'src/{config,commit,core,election,main,operator,ownership,reconcilers,runtime,telemetry}{/**/*,}.ts',
      /'([A-Z][A-Z_]+)'/g,
    );
    expect(Object.keys(OPERATOR_ERROR_CODES).filter(code => !used.has(code))).toEqual([]);
  });
});

async function codesIn(files: string, pattern: RegExp): Promise<Set<string>> {
  const codes = new Set<string>();
  for await (const file of glob(files)) {
    const text = await readFile(file, 'utf8');
    for (const [, code] of text.matchAll(pattern)) codes.add(code as string);
  }
  return codes;
}
