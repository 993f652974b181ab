import type { Cidr } from '../core/cidr.ts';
import type { Clock } from '../core/clock.ts';
import { messageOf } from '../core/errors.ts';
import { socketCode } from '../core/socket-code.ts';
import { AddressPolicy } from './address-policy.ts';
import { type DestinationOptions, findDestination } from './destination.ts';
import { createDnsLookup, type Lookup, systemLookup } from './dns.ts';
import { probeHttp } from './http-probe.ts';
import { isOwnFault } from './own-faults.ts';
import { OwnServers } from './own-servers.ts';
import { authorityOf, type ProbeOutcome, type Prober, type ProbeTarget } from './spec.ts';
import { probeTcp } from './tcp-probe.ts';

export interface ProberOptions {
  /** PROCONSUL_PROBE_ALLOW_CIDRS: ranges that may be probed though they are forbidden by default. */
  readonly allow: readonly Cidr[];
  /**
   * Hosts, by address or name, of the API server and of Consul: not probed, on any port. Asked again before each run.
   */
  readonly servers: () => readonly string[];
  /** More of them, asked for once a minute. */
  readonly discover?: () => Promise<readonly string[]>;
  readonly clock: Clock;
  /** Default: the DNS that this machine uses. */
  readonly lookup?: Lookup;
}

/** Asks targets by HTTP, TCP and gRPC. An address that must not be probed gets no packet, whatever name led to it. */
export function createProber(options: ProberOptions): Prober {
  const destinations: DestinationOptions = {
    policy: new AddressPolicy(options.allow),
    servers: new OwnServers({
      hosts: options.servers,
      discover: options.discover,
      lookup: systemLookup,
      clock: options.clock,
    }),
    lookup: options.lookup ?? createDnsLookup(),
  };
  return async (target, signal) => {
    try {
      const found = await findDestination(target.host, destinations, signal);
      return 'outcome' in found ? found.outcome : await ask(target, found.address, signal);
    } catch (thrown) {
      return outcomeOf(thrown, target, signal);
    }
  };
}

async function ask(target: ProbeTarget, address: string, signal: AbortSignal): Promise<ProbeOutcome> {
  signal.throwIfAborted();
  switch (target.kind) {
    case 'http':
      return probeHttp(target, address, signal);
    case 'tcp':
      return probeTcp(target, address, signal);
    case 'grpc': {
      // A few megabytes, for those who need them.
      const { probeGrpc } = await import('./grpc-probe.ts');
      return probeGrpc(target, address, signal);
    }
  }
}

/** What sockets, TLS, HTTP and the DNS throw has a code and is an answer; anything else is a defect. */
function outcomeOf(thrown: unknown, target: ProbeTarget, signal: AbortSignal): ProbeOutcome {
  const code = socketCode(thrown);
  if (signal.aborted || code === undefined) throw thrown;
  const status = isOwnFault(code) ? 'unknown' : 'critical';
  return { status, output: `${target.kind.toUpperCase()} ${authorityOf(target)}: ${messageOf(thrown)}` };
}
