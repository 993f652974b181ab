import { once } from 'node:events';
import { dial } from './dial.ts';
import { authorityOf, type ProbeOutcome, type TcpTarget } from './spec.ts';

/**
 * Passing once a connection stands; it is closed without a byte. @throws Error with a `code` when it does not come
 * about.
 */
export async function probeTcp(
  target: TcpTarget,
  address: string,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const socket = dial({ ...target, address, tls: undefined });
  try {
    await once(socket, 'connect', { signal });
    return { status: 'passing', output: `TCP connect ${authorityOf(target)}: Success` };
  } finally {
    socket.on('error', () => {}).destroy();
  }
}
