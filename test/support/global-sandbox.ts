import type { TestProject } from 'vitest/node';
import { addressesOf, type SandboxAddresses } from '../../tools/sandbox/addresses.ts';
import { startSandbox } from '../../tools/sandbox/sandbox.ts';

declare module 'vitest' {
  interface ProvidedContext {
    readonly sandbox: SandboxAddresses;
  }
}

const variable = 'PROCONSUL_TEST_SANDBOX';

/**
 * One sandbox for the whole run. Vitest calls this for every project, one after the other, each with an own copy
 * of this module; the first leaves the addresses in the environment. Set from outside (the line that
 * `npm run sandbox -- --json` prints), the variable makes a run use that sandbox and leave it alone.
 */
export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env[variable];
  if (given) {
    project.provide('sandbox', JSON.parse(given) as SandboxAddresses);
    return undefined;
  }
  const sandbox = await startSandbox({ kubernetes: { controllerManager: true } });
  const addresses = addressesOf(sandbox);
  process.env[variable] = JSON.stringify(addresses);
  project.provide('sandbox', addresses);
  return async () => {
    delete process.env[variable];
    await sandbox.close();
  };
}
