import type { Kind } from '../../src/runtime/kind.ts';
import { createTurn } from '../../src/runtime/turn.ts';
import { FakeClock } from './fake-clock.ts';
import type { ModelCluster } from './kv-process.ts';

/** Turns of a kind that a test plays, over resources in memory. */
export function modelTurn<Change>(kind: Kind<object, object, undefined, Change>, objects: ModelCluster) {
  return createTurn({
    kind,
    objects,
    clock: new FakeClock(),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    dryRun: false,
    consulAway: () => undefined,
    mayRemove: () => true,
    span: (_object, _ref, run) =>
      run({ traceId: undefined, step: async (_name, step) => step(), note() {}, failed() {} }),
    observe: () => ({ applied() {}, settled() {}, aborted() {}, panicked() {} }),
  });
}
