import type { AgentCheckSeen } from '../../consul/agent-services.ts';
import type { ServiceId } from '../../consul/service-ids.ts';

/**
 * In maintenance mode a service is critical, whatever its checks say. So are endpoints that are not ready, and instances that are
 * about to go. The reason says since when, for it cannot be changed without a moment in which the service is healthy: what has been
 * critical for being not ready has been drained meanwhile.
 */
export type Maintenance =
  /** Begun by us. @param sinceMs wall clock. */
  | { readonly kind: 'own'; readonly sinceMs: number }
  /** Somebody else put it there, and ends it. */
  | { readonly kind: 'others' };

const REASON = /^(?:draining|not ready in Kubernetes) since (\S+)$/;

export function drainReason(nowMs: number): string {
  return `draining since ${new Date(nowMs).toISOString()}`;
}

export function notReadyReason(nowMs: number): string {
  return `not ready in Kubernetes since ${new Date(nowMs).toISOString()}`;
}

/** Undefined: it is in use. */
export function maintenanceOf(id: ServiceId, checks: readonly AgentCheckSeen[]): Maintenance | undefined {
  // `serviceMaintCheckID` in Consul's `agent/agent.go`.
  const check = checks.find(one => one.id === `_service_maintenance:${id}`);
  if (check === undefined) return undefined;
  const sinceMs = Date.parse(REASON.exec(check.notes)?.[1] ?? '');
  return Number.isNaN(sinceMs) ? { kind: 'others' } : { kind: 'own', sinceMs };
}
