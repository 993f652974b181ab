import { defineConfig } from 'vitest/config';

const servers = {
  globalSetup: ['test/support/global-sandbox.ts'],
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
};

/** Promises about time, which the tests beside them would break: alone, after all others. */
const TIMED = ['test/chaos/election-handover.test.ts'];

/** One project a layer (see docs/testing in CONTRIBUTING.md): the first and last need no server. */
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        extends: true,
        test: { name: 'packaging', include: ['test/packaging/**/*.test.ts'], testTimeout: 60_000 },
      },
      { extends: true, test: { name: 'contract', include: ['test/contract/**/*.test.ts'], ...servers } },
      {
        extends: true,
        test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...servers },
      },
      {
        extends: true,
        test: { name: 'chaos', include: ['test/chaos/**/*.test.ts'], exclude: TIMED, ...servers },
      },
      { extends: true, test: { name: 'timed', include: TIMED, sequence: { groupOrder: 1 }, ...servers } },
    ],
    coverage: { provider: 'v8', include: ['src/**'] },
  },
});
