import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

const blockSize = 48;
// Below the range from which Linux (32768) and macOS (49152) take ports for outgoing connections: a server that
// is stopped and started again must find its port free.
const firstPort = 20_000;
const blocks = Math.floor((32_768 - firstPort) / blockSize);

export interface PortBlock {
  /** A port on 127.0.0.1 nobody else listens on, each time another one. */
  next(): Promise<number>;
  release(): void;
}

/**
 * Claims a block of ports by listening on its first one for as long as the block is held. The kernel lets only
 * one process do so and ends the claim with the process, so two sandboxes never share a port.
 *
 * @param draw a number in [0, 1): where the search starts, so that sandboxes started together rarely meet.
 */
export async function claimPorts(draw: number): Promise<PortBlock> {
  for (let tried = 0; tried < blocks; tried += 1) {
    const anchor = firstPort + ((Math.floor(draw * blocks) + tried) % blocks) * blockSize;
    const claim = await listen(anchor);
    if (claim !== undefined) return portsAfter(anchor, claim);
  }
  throw new Error(`no free block of ports between ${firstPort} and 32767`);
}

function portsAfter(anchor: number, claim: Server): PortBlock {
  claim.unref();
  let last = anchor;
  return {
    next: async () => {
      while (last + 1 < anchor + blockSize) {
        last += 1;
        const port = last; // callers may overlap
        const probe = await listen(port);
        if (probe === undefined) continue;
        await new Promise(resolve => probe.close(resolve));
        return port;
      }
      throw new Error(`all ports of the block at ${anchor} are taken`);
    },
    release: () => void claim.close(),
  };
}

async function listen(port: number): Promise<Server | undefined> {
  const server = createServer(socket => socket.destroy());
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}
