import type { ConsulLeaderLeaseSpec, LeaseServicePort } from '../../api/v1alpha1/consulleaderlease.ts';
import { type Pod, targetPortOn } from './pods.ts';

/** The part of an EndpointSlice that is decided here. */
export interface EndpointSliceBody {
  readonly name: string;
  /** The Service that it belongs to. */
  readonly service: string;
  /** Cannot be changed later, so it is part of the name. */
  readonly addressType: 'IPv4' | 'IPv6';
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly Readonly<Record<string, unknown>>[];
}

interface SlicePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

interface Reachable {
  readonly pod: Pod;
  readonly address: string;
  readonly addressType: 'IPv4' | 'IPv6';
  readonly ports: readonly SlicePort[];
}

type ServiceWish = NonNullable<ConsulLeaderLeaseSpec['service']>;

/**
 * The EndpointSlices that name the leaders: one for each address family, and, where a named target port is another
 * number on another Pod, one for each set of ports, as Kubernetes itself makes them.
 */
export function sliceBodies(
  { name, ports }: ServiceWish,
  leaders: readonly Pod[],
  namespace: string,
): { readonly bodies: readonly EndpointSliceBody[]; readonly problems: readonly string[] } {
  const missing = leaders.flatMap(pod => missingPorts(pod, ports));
  const nowhere = leaders
    .filter(({ addresses }) => addresses.length === 0)
    .map(pod => `Pod ${pod.name} has no address yet`);
  const reachable = leaders.flatMap(pod => reachableAt(pod, ports));
  const bodies = (['IPv4', 'IPv6'] as const).flatMap(family =>
    groupByPorts(reachable.filter(({ addressType }) => addressType === family)).map((group, place) => ({
      name: `${name}-${family.toLowerCase()}${place === 0 ? '' : `-${place}`}`,
      service: name,
      addressType: family,
      ports: group[0]?.ports ?? [],
      endpoints: group.map(one => endpointFor(one, namespace)),
    })),
  );
  return { bodies, problems: [...nowhere, ...missing] };
}

function missingPorts(pod: Pod, ports: readonly LeaseServicePort[]): string[] {
  return ports
    .filter(port => targetPortOn(pod, port) === undefined)
    .map(({ targetPort }) => `Pod ${pod.name} has no port named ${targetPort}`);
}

function reachableAt(pod: Pod, wanted: readonly LeaseServicePort[]): Reachable[] {
  const ports = wanted.flatMap(one => {
    const port = targetPortOn(pod, one);
    return port === undefined ? [] : [{ name: one.name ?? '', port, protocol: one.protocol ?? 'TCP' }];
  });
  if (ports.length === 0) return [];
  return pod.addresses.map(address => {
    return { pod, address, ports, addressType: address.includes(':') ? 'IPv6' : 'IPv4' };
  });
}

/** In an order of their own, so that a slice keeps its ports whoever leads first. */
function groupByPorts(reachable: readonly Reachable[]): Reachable[][] {
  const groups = new Map<string, Reachable[]>();
  for (const one of reachable) {
    const ports = one.ports.map(({ name, port, protocol }) => `${name}/${port}/${protocol}`).join();
    groups.set(ports, [...(groups.get(ports) ?? []), one]);
  }
  return [...groups.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, group]) => group);
}

function endpointFor({ pod, address }: Reachable, namespace: string): Readonly<Record<string, unknown>> {
  const { name, uid, isReady, isDeleting, node } = pod;
  return {
    addresses: [address],
    conditions: { ready: isReady && !isDeleting, serving: isReady, terminating: isDeleting },
    ...(node === undefined ? {} : { nodeName: node }),
    targetRef: { kind: 'Pod', namespace, name, uid },
  };
}
