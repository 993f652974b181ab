import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TokenFile } from '../../../src/consul/token.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let folder: string;
let path: string;
let clock: FakeClock;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'token-'));
  path = join(folder, 'token');
  clock = new FakeClock();
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('gives the token without the line break that editors add', async () => {
  await writeFile(path, 'first\n');
  expect(await new TokenFile(path, clock).current()).toBe('first');
});

test('follows the file within a second', async () => {
  await writeFile(path, 'first');
  const file = new TokenFile(path, clock);
  await file.current();
  await writeFile(path, 'second');
  expect(await file.current()).toBe('first');
  clock.advance(1000);
  expect(await file.current()).toBe('second');
});

test('looks at once when a token was refused', async () => {
  await writeFile(path, 'first');
  const file = new TokenFile(path, clock);
  await file.current();
  expect(await file.hasChangedFrom('first')).toBe(false);
  await writeFile(path, 'other');
  expect(await file.hasChangedFrom('first')).toBe(true);
  expect(await file.current()).toBe('other');
});

test('keeps the last good token while the file is away or empty', async () => {
  await writeFile(path, 'first');
  const file = new TokenFile(path, clock);
  await file.current();
  await rm(path);
  clock.advance(1000);
  expect(await file.current()).toBe('first');
  await writeFile(path, '');
  clock.advance(1000);
  expect(await file.current()).toBe('first');
});

test.each([
  ['no file', undefined],
  ['an empty file', ''],
  ['two lines', 'one\ntwo'],
  ['what no header can carry', 'töken'],
  ['what is far too long', 'x'.repeat(20_000)],
])('%s is no token, and the message shows nothing of it', async (_, content) => {
  if (content !== undefined) await writeFile(path, content);
  const file = new TokenFile(path, clock);
  const error = await file.current().catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ code: 'CONSUL_TOKEN_FILE', reason: 'ConsulDenied' });
  expect(String(error)).toContain(path);
  expect(String(error)).not.toMatch(/two|töken|xxx/);
});

test('a token that appears later is used', async () => {
  const file = new TokenFile(path, clock);
  await expect(file.current()).rejects.toMatchObject({ code: 'CONSUL_TOKEN_FILE' });
  await writeFile(path, 'late');
  expect(await file.current()).toBe('late');
});
