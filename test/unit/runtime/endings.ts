import type { CommonSpec } from '../../../src/api/v1alpha1/common.ts';
import type { Condition } from '../../../src/core/conditions.ts';
import { ConflictError, RetryableError, TerminalError } from '../../../src/core/errors.ts';
import type { Ending } from '../../../src/runtime/ending.ts';
import type { AppliedWork, Report } from '../../../src/runtime/kind.ts';
import type { StatusContext } from '../../../src/runtime/status.ts';

export const REPORT: Report = {
  message: '2 keys in Consul equal the spec',
  driftSeen: 'Watched',
  datacenter: 'dc1',
  status: { keys: 2, hash: 'h' },
};

export const WORK: AppliedWork = { event: 'Created', note: 'write a, b', corrected: 0 };

export const converged = (more: Partial<Extract<Ending, { kind: 'converged' }>> = {}): Ending => ({
  kind: 'converged',
  report: REPORT,
  drifted: [],
  ...more,
});
export const withheld = (reason: 'Suspended' | 'DryRun', report?: Report): Ending => ({
  kind: 'withheld',
  reason,
  message: `${reason} says why`,
  report,
});
export const waiting = (reason = 'SourceNotFound'): Ending => ({
  kind: 'waiting',
  reason,
  message: 'no source',
});
export const refused = (reason = 'Conflict', message = 'not ours'): Ending => ({
  kind: 'refused',
  reason,
  message,
});
export const released = (): Ending => ({ kind: 'released' });
export const failed = (error: unknown, awayForMs?: number): Ending =>
  awayForMs === undefined ? { kind: 'failed', error } : { kind: 'failed', error, awayForMs };

export const unreachable = (retryAfterMs?: number) =>
  new RetryableError('Consul is away', {
    code: 'CONSUL_UNREACHABLE',
    reason: 'ConsulUnreachable',
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
export const denied = () => new RetryableError('no right', { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
export const throttled = (retryAfterMs: number) =>
  new RetryableError('too many', { code: 'KUBE_THROTTLED', reason: 'Progressing', retryAfterMs });
export const conflict = () =>
  new ConflictError('lost a race', { code: 'TURN_CONTENDED', reason: 'Progressing' });
export const terminal = () => new TerminalError('not so', { code: 'KUBE_INVALID', reason: 'Progressing' });

export const NOW = Date.UTC(2026, 5, 1, 12, 0, 0);
export const THEN_TEXT = '2026-01-01T00:00:00Z';

export const aCondition = (
  type: string,
  status: Condition['status'],
  reason: string,
  message = '',
): Condition => ({
  type,
  status,
  reason,
  message,
  observedGeneration: 1,
  lastTransitionTime: THEN_TEXT,
});

export const aContext = (more: Partial<StatusContext> = {}, spec: CommonSpec = {}): StatusContext => ({
  spec,
  generation: 5,
  deleting: false,
  previous: {},
  reconcileAt: undefined,
  appliedAtMs: undefined,
  nowMs: NOW,
  ...more,
});
