import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Prints the modules of client-node that a client of the API server has loaded. */
const SCRIPT = `
  import { registerHooks } from 'node:module';
  const loaded = [];
  registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
  const { createKubeClient } = await import('./src/kube/index.ts');
  const { systemClock } = await import('./src/runtime/system-clock.ts');
  createKubeClient({ clock: systemClock, accountFolder: process.env.ACCOUNT });
  console.log(JSON.stringify(loaded.filter(url => url.includes('client-node/dist')).map(url => url.split('/dist/')[1])));
`;

/** client-node as a whole takes 80 MB and half a second of CPU; nearly all of it is models of Kubernetes' kinds. */
test('a Pod loads no more of client-node than it uses', () => {
  const account = mkdtempSync(join(tmpdir(), 'pod-modules-'));
  writeFileSync(join(account, 'token'), 'x');
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: root,
    encoding: 'utf8',
    env: { ACCOUNT: account, HOME: account, KUBERNETES_SERVICE_HOST: '10.0.0.1' },
  });
  rmSync(account, { recursive: true });
  expect(JSON.parse(printed)).toEqual(['file_auth.js']);
});
