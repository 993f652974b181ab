import { expect, test } from 'vitest';
import { aProber, ask, aTcpTarget, Listener } from '../support/probe-targets.ts';
import { until } from '../support/until.ts';

test('passing where somebody listens; nothing is sent and nothing left open', async () => {
  const received: Buffer[] = [];
  await using server = await Listener.tcp(socket => socket.on('data', chunk => received.push(chunk)));
  expect(await ask(aTcpTarget(server.port))).toEqual({
    status: 'passing',
    output: `TCP connect 127.0.0.1:${server.port}: Success`,
  });
  await until(() => server.accepted === 1 && server.open === 0);
  expect(received).toEqual([]);
});

test('by IPv6 too', async () => {
  await using server = await Listener.tcp(() => {}, '::1');
  expect(await ask(aTcpTarget(server.port, '::1'))).toEqual({
    status: 'passing',
    output: `TCP connect [::1]:${server.port}: Success`,
  });
});

test('critical where nobody does', async () => {
  const server = await Listener.tcp(() => {});
  const { port } = server;
  await server[Symbol.asyncDispose]();
  expect(await ask(aTcpTarget(port))).toEqual({
    status: 'critical',
    output: `TCP 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`,
  });
});

test('nobody is asked when nobody waits any more', async () => {
  await using server = await Listener.tcp(() => {});
  const { status } = await aProber()(aTcpTarget(server.port), AbortSignal.abort(new Error('gone')));
  expect(status).toBe('unknown');
  expect(await ask(aTcpTarget(server.port))).toMatchObject({ status: 'passing' });
  await until(() => server.accepted > 0);
  expect(server.accepted).toBe(1);
});
