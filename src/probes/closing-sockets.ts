import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { socketCode } from '../core/socket-code.ts';

interface Work {
  readonly sockets: Set<Socket>;
  over: boolean;
  /** Of the first connection that failed. */
  failure: string | undefined;
}

const current = new AsyncLocalStorage<Work>();

// nodejs.org/api/diagnostics_channel.html#event-netclientsocket: told before the socket starts to connect.
subscribe('net.client.socket', message => {
  const work = current.getStore();
  const { socket } = message as { readonly socket: Socket };
  if (work?.over) socket.destroy();
  else work?.sockets.add(socket);
  socket.once('error', (error: unknown) => {
    if (work !== undefined) work.failure ??= socketCode(error);
  });
});

/** The code of what a connection that began in this work has failed for, which its client tells in words of its own. */
export function connectionFailure(): string | undefined {
  return current.getStore()?.failure;
}

/**
 * Does the work, and when that has ended closes every connection that began in it.
 *
 * For a client that cannot be told to: grpc-js lets go of a connection only once TCP, TLS and HTTP/2 have been agreed,
 * and waits for that without limit. A target that accepts and says nothing would cost a socket each time it is asked.
 */
export async function closingSockets<T>(work: () => Promise<T>): Promise<T> {
  const mine: Work = { sockets: new Set(), over: false, failure: undefined };
  try {
    return await current.run(mine, work);
  } finally {
    mine.over = true;
    for (const socket of mine.sockets) socket.destroy();
  }
}
