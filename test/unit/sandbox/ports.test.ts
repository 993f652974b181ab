import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { claimPorts } from '../../../tools/sandbox/ports.ts';

test('claims made from the same draw share no port, and what is listened on is passed over', async () => {
  const [one, other] = [await claimPorts(0.5), await claimPorts(0.5)];
  const ports = await Promise.all([one.next(), one.next(), other.next(), other.next()]);
  expect(new Set(ports).size).toBe(4);

  const taken = createServer().listen(Math.max(...ports.slice(0, 2)) + 1, '127.0.0.1');
  await once(taken, 'listening');
  expect(await one.next()).toBe(Math.max(...ports.slice(0, 2)) + 2);
  taken.close();
  one.release();
  other.release();
});

test('a block runs out with an error, not with a wrong port', async () => {
  const block = await claimPorts(0.25);
  const all = async () => {
    for (;;) await block.next();
  };
  await expect(all()).rejects.toThrow('are taken');
  block.release();
});
