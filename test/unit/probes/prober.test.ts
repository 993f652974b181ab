import { expect, test } from 'vitest';
import { isOwnFault } from '../../../src/probes/own-faults.ts';
import { createProber } from '../../../src/probes/prober.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

/** Asks a name whose lookup fails. */
function askThrowing(thrown: Error) {
  const lookup = () => Promise.reject(thrown);
  const probe = createProber({ allow: [], servers: () => [], clock: new FakeClock(), lookup });
  return probe({ kind: 'tcp', host: 'orders.example', port: 80 }, signal);
}

test.each([
  ['ENOTFOUND', 'critical'],
  ['ENODATA', 'critical'],
  ['EBADNAME', 'critical'],
  ['ESERVFAIL', 'unknown'],
  ['EREFUSED', 'unknown'],
  ['ETIMEOUT', 'unknown'],
  ['ECONNREFUSED', 'unknown'],
  ['EBADRESP', 'unknown'],
  ['EMFILE', 'unknown'],
  ['ENFILE', 'unknown'],
  ['ENOBUFS', 'unknown'],
  ['ENOMEM', 'unknown'],
])('%s is %s: what our own DNS or process lacks says nothing of the target', async (code, status) => {
  const found = await askThrowing(Object.assign(new Error(`failed: ${code}`), { code }));
  expect(found).toEqual({ status, output: expect.stringContaining(`failed: ${code}`) as string });
});

test('a DNS that hangs until time is up says nothing of the target', async () => {
  const late = new AbortController();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const lookup = (_name: string, until: AbortSignal) =>
    new Promise<never>((_, reject) => {
      until.addEventListener('abort', () => reject(new Error('cancelled')), { once: true });
      resolve();
    });
  const probe = createProber({ allow: [], servers: () => [], clock: new FakeClock(), lookup });
  const found = probe({ kind: 'tcp', host: 'orders.example', port: 80 }, late.signal);
  await asked;
  late.abort(new Error('late'));
  expect(await found).toMatchObject({ status: 'unknown', output: expect.stringContaining('DNS') as string });
});

test.each([
  ['ECONNREFUSED', false],
  ['ECONNRESET', false],
  ['EHOSTUNREACH', false],
  ['CERT_HAS_EXPIRED', false],
  ['ENETUNREACH', true],
  ['ENETDOWN', true],
  ['EADDRNOTAVAIL', true],
  ['EAFNOSUPPORT', true],
  ['EMFILE', true],
])('%s of a connection is our own fault: %s', (code, isOwn) => {
  expect(isOwnFault(code)).toBe(isOwn);
});

test('a defect is not taken for an answer', async () => {
  await expect(askThrowing(new TypeError('of undefined'))).rejects.toThrow(TypeError);
});
