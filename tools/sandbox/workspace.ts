import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimPorts, type PortBlock } from './ports.ts';
import { startWatchdog, type Watchdog } from './watchdog.ts';

/** What the servers of one sandbox share: a temporary folder, ports, and the watchdog that ends them all. */
export interface Workspace {
  readonly folder: string;
  readonly ports: PortBlock;
  readonly watchdog: Watchdog;
  /** True from the first moment of closing: no server may be started any more. */
  readonly closing: boolean;
  /** Ends every server at once, by force (nothing here is worth a flush), and removes the folder. */
  close(): Promise<void>;
}

export async function createWorkspace(): Promise<Workspace> {
  // In one tick: a folder the watchdog does not know of would stay behind.
  const folder = mkdtempSync(join(tmpdir(), 'proconsul-'));
  const watchdog = startWatchdog(folder);
  const ports = await claimPorts(Math.random());
  let closing = false;
  return {
    folder,
    ports,
    watchdog,
    get closing() {
      return closing;
    },
    close: async () => {
      closing = true;
      await watchdog.close();
      ports.release();
    },
  };
}
