import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ownNamespace } from '../../../src/kube/identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'identity-'));
const accountNamespaceFile = join(folder, 'namespace');
writeFileSync(accountNamespaceFile, 'from-account\n');
afterAll(() => rmSync(folder, { recursive: true }));

const absent = join(folder, 'absent');

test.each([
  [
    'POD_NAMESPACE',
    { podNamespace: 'from-env', contextNamespace: 'from-context', accountNamespaceFile },
    'from-env',
  ],
  [
    "the Pod's account",
    { podNamespace: '', contextNamespace: 'from-context', accountNamespaceFile },
    'from-account',
  ],
  [
    'the context',
    { podNamespace: undefined, contextNamespace: 'from-context', accountNamespaceFile: absent },
    'from-context',
  ],
  [
    'nothing else',
    { podNamespace: undefined, contextNamespace: undefined, accountNamespaceFile: absent },
    'default',
  ],
])('the own namespace comes from %s before what follows', (_, sources, namespace) => {
  expect(ownNamespace(sources)).toBe(namespace);
});
