import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.ts';
import { defaultInstallId } from '../../../src/config/install-id.ts';

const install = {
  kubeSystemUid: 'e2a1f0c4-0000-4000-8000-000000000001',
  namespace: 'consul',
  release: 'proconsul',
};

test('is the start of the SHA-256 of uid/namespace/release, as `sha256sum` prints it', () => {
  expect(defaultInstallId(install)).toBe('29a1531b880803b2');
});

test.each([{ kubeSystemUid: 'other' }, { namespace: 'other' }, { release: 'other' }])(
  'differs between installs that differ in %o',
  change => {
    expect(defaultInstallId({ ...install, ...change })).not.toBe(defaultInstallId(install));
  },
);

test('would be accepted as PROCONSUL_INSTALL_ID', () => {
  expect(parseConfig({ PROCONSUL_INSTALL_ID: defaultInstallId(install) }).ok).toBe(true);
});
