import { checkKindOf, checkSettingsOf, type ServiceCheck } from '../../api/v1alpha1/service-check.ts';
import {
  type CheckDefinition,
  type CheckRegistration,
  type CheckResult,
  NO_DEFINITION,
  type ServiceRegistration,
} from '../../consul/registration.ts';
import { type CheckId, parseCheckId, type ServiceId } from '../../consul/service-ids.ts';
import { authorityOf, type ProbeSpec, type ProbeTarget, withoutQuery } from '../../probes/spec.ts';
import type { DeclaredInstance, WishedCheck } from './types.ts';

/** In every check that the operator writes: one without it, and of an id that is not wished, is somebody else's. */
export const CHECK_NOTES = 'Checked by Proconsul.';

/** Names of the checks that no spec has. */
export const OWN_CHECKS = {
  /** Of an endpoint: whether Kubernetes has it ready. */
  readiness: 'proconsul-readiness',
  /** Of a sidecar: whether its instance is healthy. */
  instance: 'proconsul-instance',
  /** Of an instance that is about to go. */
  draining: 'proconsul-draining',
} as const;

/** Shown beside a check of our own, where others show `http`. */
const OWN_TYPES = {
  readiness: 'kubernetes-readiness',
  instance: 'alias',
  draining: 'draining',
} as const;

/** What a check says that nobody has run yet: no client is sent to an instance that nobody has asked. */
export const NOT_RUN_YET: CheckResult = { status: 'critical', output: 'not run yet' };

const READY: CheckResult = { status: 'passing', output: 'ready in Kubernetes' };
const NOT_READY: CheckResult = { status: 'critical', output: 'not ready in Kubernetes' };

/** Where a check belongs. */
type OfService = Pick<ServiceRegistration, 'id' | 'name'>;

export function checkIdOf(serviceId: ServiceId, name: string): CheckId {
  return parseCheckId(`service:${serviceId}:${name}`);
}

/** A check of our own, as it is registered. */
export function ownCheck(of: OfService, which: keyof typeof OWN_CHECKS): CheckRegistration {
  return registration(of, { name: OWN_CHECKS[which], type: OWN_TYPES[which], definition: NO_DEFINITION });
}

/** The checks of an instance: its readiness, if it is an endpoint, and those that the spec declares. */
export function checksOf(
  instance: DeclaredInstance,
  of: OfService,
  declared: readonly ServiceCheck[],
): WishedCheck[] {
  return [...readinessOf(instance, of), ...declared.map(check => probeOf(check, instance, of))];
}

/** The only check of a sidecar: that its instance is healthy. */
export function sidecarCheck(sidecar: OfService, serviceId: ServiceId): WishedCheck {
  return { check: ownCheck(sidecar, 'instance'), says: { kind: 'follows', serviceId } };
}

function readinessOf({ isReady }: DeclaredInstance, of: OfService): WishedCheck[] {
  if (isReady === undefined) return [];
  const result = isReady ? READY : NOT_READY;
  return [{ check: ownCheck(of, 'readiness'), says: { kind: 'known', result } }];
}

function probeOf(check: ServiceCheck, instance: DeclaredInstance, of: OfService): WishedCheck {
  const spec = probeSpecOf(check, instance);
  const { name } = check;
  const { deregisterAfterMs } = checkSettingsOf(check);
  const definition = definitionOf(shown(spec), deregisterAfterMs);
  return {
    check: registration(of, { name, type: checkKindOf(check), definition }),
    says: { kind: 'probe', spec, deregisterAfterMs },
  };
}

/** Whoever may read the catalog reads it. */
function shown({ target, ...run }: ProbeSpec): ProbeSpec {
  if (target.kind !== 'http') return { ...run, target };
  return { ...run, target: { ...target, path: withoutQuery(target.path) } };
}

/**
 * How this process runs a check of an instance.
 * @throws TypeError for one of kind `ttl` or `script`, which the API refuses where no agent runs it.
 */
export function probeSpecOf(
  check: ServiceCheck,
  instance: Pick<DeclaredInstance, 'address' | 'port'>,
): ProbeSpec {
  const { intervalMs, timeoutMs, successBeforePassing, failuresBeforeCritical } = checkSettingsOf(check);
  return {
    target: targetOf(check, instance),
    intervalMs,
    timeoutMs,
    thresholds: { successBeforePassing, failuresBeforeCritical },
  };
}

function targetOf(
  { http, tcp, grpc }: ServiceCheck,
  { address: host, port: own }: Pick<DeclaredInstance, 'address' | 'port'>,
): ProbeTarget {
  if (http !== undefined) {
    const { path = '/', port = own, scheme, method = 'GET', headers = {}, body = '', tls = {} } = http;
    const { serverName, skipVerify = false } = tls;
    const asked = scheme === 'https' ? { serverName, skipVerify } : undefined;
    return { kind: 'http', host, port, tls: asked, path, method, headers, body };
  }
  if (tcp !== undefined) return { kind: 'tcp', host, port: tcp.port ?? own };
  if (grpc === undefined) throw new TypeError('a check that only an agent can run');
  const { port = own, service = '' } = grpc;
  const tls = grpc.tls === true ? { serverName: undefined, skipVerify: false } : undefined;
  return { kind: 'grpc', host, port, tls, service };
}

/** How a check is run, for people who look into Consul. Without headers and body, which may be nobody's business there. */
export function definitionOf(
  { target, intervalMs, timeoutMs }: ProbeSpec,
  deregisterAfterMs: number | undefined = 0,
): CheckDefinition {
  const run = { ...NO_DEFINITION, ...whole({ intervalMs, timeoutMs, deregisterAfterMs }) };
  const authority = authorityOf(target);
  switch (target.kind) {
    case 'http': {
      const { method, path, tls } = target;
      const http = `${tls === undefined ? 'http' : 'https'}://${authority}${path}`;
      const tlsServerName = tls?.serverName ?? '';
      return { ...run, http, method, tlsServerName, tlsSkipVerify: tls?.skipVerify ?? false };
    }
    case 'tcp':
      return { ...run, tcp: authority };
    case 'grpc': {
      const { service, tls } = target;
      const grpc = service === '' ? authority : `${authority}/${service}`;
      return { ...run, grpc, grpcUseTls: tls !== undefined };
    }
  }
}

type Durations = Pick<CheckDefinition, 'intervalMs' | 'timeoutMs' | 'deregisterAfterMs'>;

/** In whole milliseconds: a part of one is not the same any more when Consul has written it its own way. */
function whole({ intervalMs, timeoutMs, deregisterAfterMs }: Durations): Durations {
  return {
    intervalMs: Math.round(intervalMs),
    timeoutMs: Math.round(timeoutMs),
    deregisterAfterMs: Math.round(deregisterAfterMs),
  };
}

function registration(
  { id, name: serviceName }: OfService,
  { name, type, definition }: Pick<CheckRegistration, 'name' | 'type' | 'definition'>,
): CheckRegistration {
  return { id: checkIdOf(id, name), serviceId: id, serviceName, name, notes: CHECK_NOTES, type, definition };
}
