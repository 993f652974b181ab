import { describe, expect, test } from 'vitest';
import { type Checks, probePage } from '../../../src/telemetry/probes.ts';

const good: Checks = { loop: () => undefined, workers: () => undefined };
const bad: Checks = { loop: () => undefined, caches: () => 'consulkvs has not synced' };

async function ask(checks: Checks, query = '') {
  return probePage('readyz', checks)(new URL(`http://localhost/readyz${query}`));
}

describe('a probe', () => {
  test('is ok when all checks pass', async () => {
    expect(await ask(good)).toEqual({ status: 200, body: 'ok\n' });
  });

  test('lists the checks when asked to', async () => {
    const body = '[+]loop ok\n[+]workers ok\nreadyz check passed\n';
    expect(await ask(good, '?verbose')).toEqual({ status: 200, body });
  });

  test.each(['', '?verbose'])('lists the checks when one fails%s', async query => {
    const body = '[+]loop ok\n[-]caches failed: consulkvs has not synced\nreadyz check failed\n';
    expect(await ask(bad, query)).toEqual({ status: 503, body });
  });

  test('shows a notice to those who look, and fails for none', async () => {
    const noticed: Checks = { ...good, removals: () => ({ notice: '25 of 30 wait' }) };
    expect(await ask(noticed)).toEqual({ status: 200, body: 'ok\n' });
    const body = '[+]loop ok\n[+]workers ok\n[!]removals: 25 of 30 wait\nreadyz check passed\n';
    expect(await ask(noticed, '?verbose')).toEqual({ status: 200, body });
  });

  test('fails when a check throws, and keeps the error to itself', async () => {
    const checks = {
      broken: () => {
        throw new Error('s3cr3t');
      },
    };
    const { status, body } = await ask(checks);
    expect(status).toBe(503);
    expect(body).toContain('[-]broken failed: the check itself failed');
    expect(body).not.toContain('s3cr3t');
  });

  test('is asked anew each time', async () => {
    let failure: string | undefined = 'not yet';
    const page = probePage('readyz', { start: () => failure });
    expect((await page(new URL('http://localhost/readyz'))).status).toBe(503);
    failure = undefined;
    expect((await page(new URL('http://localhost/readyz'))).status).toBe(200);
  });
});
