import { z } from 'zod';
import { type ServiceRegistration, wireService } from './registration.ts';
import { SERVICE, toService } from './nodes.ts';
import { answerAt, type ConsulReply, parseBody, requireConsul } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import { type CheckId, parseCheckId, parseServiceId, type ServiceId } from './service-ids.ts';
import type { Answer, CallOptions } from './types.ts';

/** A check as an agent runs it. Durations in milliseconds. */
export interface AgentCheck {
  readonly id: CheckId;
  readonly name: string;
  readonly notes: string;
  readonly kind: AgentCheckKind;
  readonly successBeforePassing: number;
  readonly failuresBeforeCritical: number;
  /** Undefined: never. */
  readonly deregisterAfterMs: number | undefined;
}

export type AgentCheckKind =
  | { readonly kind: 'ttl'; readonly ttlMs: number }
  | (RunByAgent & { readonly kind: 'tcp'; readonly tcp: string })
  | (RunByAgent & { readonly kind: 'grpc'; readonly grpc: string; readonly tls: boolean })
  | (RunByAgent & { readonly kind: 'script'; readonly args: readonly string[] })
  | (RunByAgent & {
      readonly kind: 'http';
      readonly url: string;
      readonly method: string;
      readonly headers: ReadonlyMap<string, readonly string[]>;
      readonly body: string;
      readonly tlsServerName: string;
      readonly tlsSkipVerify: boolean;
    });

interface RunByAgent {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface AgentRegistration {
  readonly service: ServiceRegistration;
  readonly checks: readonly AgentCheck[];
  /** Expanded by the agent into a service of its own, with two checks. Undefined: none; one that is there stays. */
  readonly sidecar: AgentSidecar | undefined;
  /** Which checks go that are not named: all, of whomever, and maintenance mode with them; or these and no others. */
  readonly superseded: 'all' | readonly CheckId[];
}

export interface AgentSidecar {
  /** Undefined: the agent chooses, and keeps it. */
  readonly port: number | undefined;
  readonly upstreams: readonly {
    readonly destinationName: string;
    readonly localBindPort: number;
    readonly datacenter: string;
  }[];
}

/** An agent tells no more of a check than this: not what it asks. */
export interface AgentCheckSeen {
  readonly id: string;
  /** Empty for a check of the node. */
  readonly serviceId: string;
  readonly name: string;
  /** Of maintenance mode: the reason that was given for it. */
  readonly notes: string;
  readonly type: string;
  readonly interval: string;
  readonly timeout: string;
  readonly status: string;
  readonly output: string;
}

/** What one agent knows of its own: neither is a blocking query. https://developer.hashicorp.com/consul/api-docs/agent/service */
export interface AgentServiceReads {
  services(options: CallOptions): Promise<Answer<readonly ServiceRegistration[]>>;
  checks(options: CallOptions): Promise<Answer<readonly AgentCheckSeen[]>>;
}

export interface AgentServiceWrites {
  /**
   * Registers with the agent, which then runs the checks. Equal content keeps statuses and starts every check anew: look first. What it takes is in the catalog some moments later.
   * @throws TerminalError `CONSUL_BAD_REQUEST`, `CONSUL_INVALID` for what the agent refuses, scripts that it does not run among it.
   */
  register(registration: AgentRegistration, options: CallOptions): Promise<void>;
  /** Its checks go with it, and the sidecar that the agent expanded. One that is gone already counts as deregistered. */
  deregister(id: ServiceId, options: CallOptions): Promise<void>;
  /**
   * Begins maintenance mode, in which the service is critical, or ends it (`reason` undefined). One that is begun already keeps the
   * reason it has; of a service that is not there nothing is to be maintained.
   */
  maintain(id: ServiceId, reason: string | undefined, options: CallOptions): Promise<void>;
}

export function createAgentServices(send: SendRequest): AgentServiceReads & AgentServiceWrites {
  return {
    services: async options => await list(send, '/v1/agent/services', parseServices, options),
    checks: async options => await list(send, '/v1/agent/checks', parseChecks, options),
    register: async (registration, options) => {
      const { superseded } = registration;
      await send(
        {
          method: 'PUT',
          template: '/v1/agent/service/register',
          path: '/v1/agent/service/register',
          query: superseded === 'all' ? { 'replace-existing-checks': true } : {},
          body: JSON.stringify(wireRegistration(registration)),
          confidential: true,
          writes: true,
          repeatable: true,
          parse: () => {},
        },
        options,
      );
      const stale = superseded === 'all' ? [] : superseded;
      for (const id of stale) await put(send, '/v1/agent/check/deregister/{id}', parseCheckId(id), options);
    },
    deregister: async (id, options) =>
      await put(send, '/v1/agent/service/deregister/{id}', parseServiceId(id), options),
    maintain: async (id, reason, options) => {
      const query = reason === undefined ? { enable: 'false' } : { enable: 'true', reason };
      const template = '/v1/agent/service/maintenance/{id}';
      await put(send, template, parseServiceId(id), { ...options, query });
    },
  };
}

async function list<T>(
  send: SendRequest,
  path: string,
  parse: (reply: ConsulReply) => T,
  options: CallOptions,
): Promise<Answer<T>> {
  const answer = (reply: ConsulReply) => answerAt(0, parse(reply), reply);
  return await sendGet(send, { template: path, path, parse: answer }, options);
}

/** What is not there any more counts as done. */
async function put(
  send: SendRequest,
  template: string,
  id: string,
  { query = {}, ...options }: CallOptions & { readonly query?: Readonly<Record<string, string>> },
): Promise<void> {
  await send(
    {
      method: 'PUT',
      template,
      path: template.replace('{id}', encodeURIComponent(id)),
      query,
      answers: [200, 404],
      writes: true,
      repeatable: true,
      parse: requireConsul,
    },
    options,
  );
}

function parseServices(reply: ConsulReply): readonly ServiceRegistration[] {
  return Object.values(parseBody(z.record(z.string(), SERVICE), reply)).map(toService);
}

const CHECKS = z.record(
  z.string(),
  z.object({
    CheckID: z.string(),
    Name: z.string(),
    Notes: z.string(),
    Status: z.string(),
    Output: z.string(),
    ServiceID: z.string(),
    Type: z.string(),
    Interval: z.string(),
    Timeout: z.string(),
  }),
);

function parseChecks(reply: ConsulReply): readonly AgentCheckSeen[] {
  return Object.values(parseBody(CHECKS, reply)).map(check => ({
    id: check.CheckID,
    serviceId: check.ServiceID,
    name: check.Name,
    notes: check.Notes,
    type: check.Type,
    interval: check.Interval,
    timeout: check.Timeout,
    status: check.Status,
    output: check.Output,
  }));
}

/** @throws TypeError for an id that is none. */
function wireRegistration({ service, checks, sidecar }: AgentRegistration): object {
  if (service.connect?.kind === 'proxy') throw new TypeError('a proxy that the agent is to expand itself');
  const { Service: name, Connect: native, ...fields } = wireService(service);
  const connect = sidecar === undefined ? native : { SidecarService: wireSidecar(sidecar) };
  return {
    ...fields,
    ID: parseServiceId(service.id),
    Name: name,
    Checks: checks.map(wireCheck),
    ...(connect !== undefined && { Connect: connect }),
  };
}

function wireSidecar({ port, upstreams }: AgentSidecar): object {
  const wired = upstreams.map(({ destinationName, localBindPort, datacenter }) => ({
    DestinationName: destinationName,
    LocalBindPort: localBindPort,
    ...(datacenter !== '' && { Datacenter: datacenter }),
  }));
  return { ...(port !== undefined && { Port: port }), Proxy: { Upstreams: wired } };
}

function wireCheck(check: AgentCheck): object {
  const { deregisterAfterMs } = check;
  return {
    CheckID: parseCheckId(check.id),
    Name: check.name,
    Notes: check.notes,
    SuccessBeforePassing: check.successBeforePassing,
    FailuresBeforeCritical: check.failuresBeforeCritical,
    ...(deregisterAfterMs !== undefined && { DeregisterCriticalServiceAfter: `${deregisterAfterMs}ms` }),
    ...wireKind(check.kind),
  };
}

function wireKind(kind: AgentCheckKind): object {
  if (kind.kind === 'ttl') return { TTL: `${kind.ttlMs}ms` };
  const run = { Interval: `${kind.intervalMs}ms`, Timeout: `${kind.timeoutMs}ms` };
  switch (kind.kind) {
    case 'tcp':
      return { ...run, TCP: kind.tcp };
    case 'grpc':
      return { ...run, GRPC: kind.grpc, GRPCUseTLS: kind.tls };
    case 'script':
      return { ...run, Args: kind.args };
    case 'http':
      return {
        ...run,
        HTTP: kind.url,
        // Whoever answers could send the agent, method and body included, to addresses that only it reaches: its own API.
        DisableRedirects: true,
        Method: kind.method,
        Header: Object.fromEntries(kind.headers),
        Body: kind.body,
        TLSServerName: kind.tlsServerName,
        TLSSkipVerify: kind.tlsSkipVerify,
      };
  }
}
