import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { closingSockets, connectionFailure } from '../../../src/probes/closing-sockets.ts';

/** A port that nobody listens at any more. */
async function aClosedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('why a connection failed is known to the work in which it began, and to no other', async () => {
  const port = await aClosedPort();
  const [failed, other] = await Promise.all([
    closingSockets(async () => {
      const socket = connect({ host: '127.0.0.1', port });
      await once(socket, 'close').catch(() => {});
      return connectionFailure();
    }),
    closingSockets(async () => connectionFailure()),
  ]);
  expect([failed, other, connectionFailure()]).toEqual(['ECONNREFUSED', undefined, undefined]);
});
