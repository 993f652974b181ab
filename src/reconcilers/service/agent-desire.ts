import type { ConsulService } from '../../api/v1alpha1/consulservice.ts';
import { checkKindOf, checkSettingsOf, type ServiceCheck } from '../../api/v1alpha1/service-check.ts';
import { durationMs } from '../../api/v1alpha1/duration-rules.ts';
import type { AgentCheck, AgentCheckKind, AgentSidecar } from '../../consul/agent-services.ts';
import { canonicalText } from '../../consul/registration.ts';
import { instanceName } from '../../core/instance-names.ts';
import type { AgentView } from '../../mirror/agent-mirror.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import { agentFingerprint } from './agent-fingerprints.ts';
import type { AgentWish, WishedAgentInstance } from './agent-types.ts';
import { checkIdOf, definitionOf, probeSpecOf } from './checks.ts';
import { declaredInstances } from './declared.ts';
import { serviceOf } from './desire.ts';
import type { KubernetesSource, Unresolved } from './endpoints.ts';
import type { DeclaredInstance } from './types.ts';

/** In front of the notes of every check that an agent runs for us. A fingerprint follows of what the agent does not show of it. */
const NOTES = 'Declared by Proconsul: ';

/** Whether a check is one of ours. */
export function isNoted(notes: string): boolean {
  return notes.startsWith(NOTES);
}

export interface AgentDesiring {
  readonly resource: Pick<ConsulService, 'metadata' | 'spec'>;
  readonly installId: string;
  /** What there is of `spec.kubernetes`; undefined where the spec has none. */
  readonly endpoints: KubernetesSource | undefined;
  readonly fingerprinter: Pick<Fingerprinter, 'of'>;
  readonly agent: Pick<AgentView, 'node' | 'memory' | 'runsScripts'>;
  /** The two switches of whoever runs the operator. */
  readonly allowed: { readonly agent: boolean; readonly scripts: boolean };
  /** Why no check may reach a host; undefined: it may. */
  readonly refusalOf: (host: string) => string | undefined;
}

export type AgentDesire =
  | { readonly kind: 'desired'; readonly wish: AgentWish }
  | Unresolved
  | { readonly kind: 'refuse'; readonly reason: 'NotAllowed'; readonly message: string };

/** What the agent is to have for a resource of `registration: Agent`, as its Service is now. */
export function desireAgentService(desiring: AgentDesiring): AgentDesire {
  const { resource, endpoints } = desiring;
  const forbidden = switchProblem(desiring);
  if (forbidden !== undefined) return notAllowed(forbidden);
  const declared = declaredInstances(resource, endpoints);
  if (declared.kind !== 'declared') return declared;
  const unreachable = addressProblem(declared.instances, desiring);
  if (unreachable !== undefined) return notAllowed(unreachable);
  const wished = declared.instances.map(instance => wish(instance, desiring));
  const instances = new Map(wished.map(one => [one.name, one]));
  return { kind: 'desired', wish: { instances, missing: declared.missing } };
}

function notAllowed(message: string): AgentDesire {
  return { kind: 'refuse', reason: 'NotAllowed', message };
}

function switchProblem({ resource, allowed, agent }: AgentDesiring): string | undefined {
  const scripts = (resource.spec.checks ?? []).some(({ script }) => script !== undefined);
  if (!allowed.agent)
    return 'registration: Agent needs PROCONSUL_AGENT_MODE=true, which this operator was not given';
  if (!scripts) return undefined;
  if (!allowed.scripts)
    return 'script checks need PROCONSUL_ALLOW_SCRIPT_CHECKS=true, which this operator was not given';
  return agent.runsScripts
    ? undefined
    : `the agent of the node ${agent.node} runs no scripts: it needs enable_script_checks`;
}

/** The agent asks wherever it is told to, from where it stands; so it does where it adds a check, as to every sidecar. */
function addressProblem(
  instances: readonly DeclaredInstance[],
  { resource, refusalOf }: AgentDesiring,
): string | undefined {
  const { checks = [], connect } = resource.spec;
  const isAsked = connect?.sidecar !== undefined || checks.some(({ http, tcp, grpc }) => http ?? tcp ?? grpc);
  if (!isAsked) return undefined;
  for (const { id, address } of instances) {
    const refusal = refusalOf(address);
    if (refusal !== undefined) return `the checks of ${id} must not be run: ${refusal}`;
  }
  return undefined;
}

function wish(instance: DeclaredInstance, desiring: AgentDesiring): WishedAgentInstance {
  const { resource, agent, fingerprinter } = desiring;
  const { checks: declared = [], connect } = resource.spec;
  const service = serviceOf(instance, desiring);
  const name = instanceName({ kind: 'agent', node: agent.node, id: instance.id });
  const checks = declared.map(check => noted(agentCheck(check, instance), name, fingerprinter));
  const sidecar = connect?.sidecar === undefined ? undefined : agentSidecar(connect.sidecar);
  const notes = checks.map(check => check.notes);
  const content = JSON.stringify([canonicalText({ ...service, tags: [] }), notes, sidecar]);
  const fingerprint = agentFingerprint(fingerprinter, {
    name,
    content,
    tags: service.tags,
    memory: agent.memory,
  });
  return { name, service, checks, sidecar, isReady: instance.isReady ?? true, fingerprint };
}

/** With a name for all that it is: an agent does not tell what it asks, how often it fails first, or what becomes of it then. */
function noted(
  check: Omit<AgentCheck, 'notes'>,
  name: string,
  fingerprinter: Pick<Fingerprinter, 'of'>,
): AgentCheck {
  const value = Buffer.from(JSON.stringify(asText(check)));
  return { ...check, notes: `${NOTES}${fingerprinter.of(`${name}/${check.id}`, { value, flags: 0n })}` };
}

function asText({ kind, ...check }: Omit<AgentCheck, 'notes'>): unknown {
  return kind.kind === 'http' ? { ...check, ...kind, headers: [...kind.headers] } : { ...check, ...kind };
}

function agentCheck(check: ServiceCheck, instance: DeclaredInstance): Omit<AgentCheck, 'notes'> {
  const { successBeforePassing, failuresBeforeCritical, deregisterAfterMs } = checkSettingsOf(check);
  return {
    id: checkIdOf(instance.id, check.name),
    name: check.name,
    kind: kindOf(check, instance),
    successBeforePassing,
    failuresBeforeCritical,
    deregisterAfterMs: deregisterAfterMs === undefined ? undefined : Math.round(deregisterAfterMs),
  };
}

function kindOf(check: ServiceCheck, instance: DeclaredInstance): AgentCheckKind {
  const { http: { headers = {}, body = '' } = {}, ttl, script } = check;
  if (ttl !== undefined) return { kind: 'ttl', ttlMs: Math.round(durationMs(ttl.ttl)) };
  if (script !== undefined) {
    const { intervalMs, timeoutMs } = checkSettingsOf(check);
    const run = { intervalMs: Math.round(intervalMs), timeoutMs: Math.round(timeoutMs) };
    return { ...run, kind: 'script', args: script.args };
  }
  const definition = definitionOf(probeSpecOf(check, instance));
  const { intervalMs, timeoutMs, http, method, tcp, grpc, grpcUseTls } = definition;
  const run = { intervalMs, timeoutMs };
  if (checkKindOf(check) === 'tcp') return { ...run, kind: 'tcp', tcp };
  if (checkKindOf(check) === 'grpc') return { ...run, kind: 'grpc', grpc, tls: grpcUseTls };
  const { tlsServerName, tlsSkipVerify } = definition;
  const tls = { tlsServerName, tlsSkipVerify };
  return { ...run, kind: 'http', url: http, method, headers: new Map(Object.entries(headers)), body, ...tls };
}

type DeclaredSidecar = NonNullable<NonNullable<ConsulService['spec']['connect']>['sidecar']>;

function agentSidecar({ port, upstreams = [] }: DeclaredSidecar): AgentSidecar {
  return {
    port,
    upstreams: upstreams.map(({ datacenter = '', ...upstream }) => ({ ...upstream, datacenter })),
  };
}
