import { isObject } from '../../api/v1alpha1/resource.ts';
import type { KubeObject } from '../../kube/types.ts';

/** Names one Pod for good: another of the same name has another uid. */
export interface PodRef {
  readonly name: string;
  readonly uid: string;
}

export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

/** What a lease needs to know of a Pod. */
export interface Pod extends PodRef {
  readonly labels: Readonly<Record<string, string>>;
  readonly isReady: boolean;
  /** Milliseconds since 1970; infinitely late when it is not Ready, or when nobody knows. */
  readonly readySinceMs: number;
  readonly createdMs: number;
  /** Being deleted: it may still run, and must not lead. */
  readonly isDeleting: boolean;
  /** All of its containers have ended for good. */
  readonly isTerminal: boolean;
  /** The IPv4 address, the IPv6 address, or both. */
  readonly addresses: readonly string[];
  readonly node: string | undefined;
  /** Those that have a name, of containers and sidecars. */
  readonly ports: readonly ContainerPort[];
}

/** Reads a Pod as the API server hands it out. Never throws: what cannot be read counts as not there. */
export function readPod({ metadata, spec, status }: KubeObject): Pod {
  const ready = readyCondition(status);
  const isReady = ready?.['status'] === 'True';
  const node = field(spec, 'nodeName');
  return {
    name: metadata.name,
    uid: metadata.uid,
    labels: metadata.labels ?? {},
    isReady,
    readySinceMs: isReady ? timeOf(ready['lastTransitionTime']) : Number.POSITIVE_INFINITY,
    createdMs: timeOf(metadata.creationTimestamp),
    isDeleting: metadata.deletionTimestamp !== undefined,
    isTerminal: ['Succeeded', 'Failed'].includes(String(field(status, 'phase'))),
    addresses: addressesOf(status),
    node: typeof node === 'string' ? node : undefined,
    ports: [...listIn(spec, 'containers'), ...listIn(spec, 'initContainers').filter(isSidecar)].flatMap(
      namedPorts,
    ),
  };
}

/** A Pod without what `readPod` does not read, which is most of it. */
export function trimPod({ metadata, spec, status }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp } = metadata;
  const ready = readyCondition(status);
  const kept = { name, uid, resourceVersion };
  return {
    metadata: { ...kept, ...defined({ namespace, labels, creationTimestamp, deletionTimestamp }) },
    spec: defined({
      nodeName: field(spec, 'nodeName'),
      containers: listIn(spec, 'containers').flatMap(portsOf),
      initContainers: listIn(spec, 'initContainers').filter(isSidecar).flatMap(portsOf),
    }),
    status: defined({
      phase: field(status, 'phase'),
      conditions: ready && [
        { type: 'Ready', status: ready['status'], lastTransitionTime: ready['lastTransitionTime'] },
      ],
      podIP: field(status, 'podIP'),
      podIPs: field(status, 'podIPs'),
    }),
  };
}

/** A container that has a named port, with nothing but those. */
function portsOf(container: Readonly<Record<string, unknown>>): object[] {
  const ports = listIn(container, 'ports').filter(({ name }) => name !== undefined);
  if (ports.length === 0) return [];
  return [defined({ restartPolicy: container['restartPolicy'], ports })];
}

function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The port a Service's port leads to on this Pod; undefined when it has none of that name (`podutil.FindPort`). */
export function targetPortOn(
  { ports }: Pod,
  { port, targetPort = port, protocol = 'TCP' }: ServicePort,
): number | undefined {
  if (typeof targetPort === 'number') return targetPort;
  return ports.find(one => one.name === targetPort && one.protocol === protocol)?.port;
}

interface ServicePort {
  readonly port: number;
  readonly targetPort?: number | string;
  readonly protocol?: string;
}

function readyCondition(status: unknown): Readonly<Record<string, unknown>> | undefined {
  return listIn(status, 'conditions').find(({ type }) => type === 'Ready');
}

function addressesOf(status: unknown): string[] {
  const listed = listIn(status, 'podIPs').map(({ ip }) => ip);
  const addresses = listed.length > 0 ? listed : [field(status, 'podIP')];
  return addresses.filter(ip => typeof ip === 'string' && ip !== '') as string[];
}

/** An init container that goes on running. */
function isSidecar(container: unknown): boolean {
  return field(container, 'restartPolicy') === 'Always';
}

function namedPorts(container: unknown): ContainerPort[] {
  return listIn(container, 'ports').flatMap(({ name, containerPort: port, protocol = 'TCP' }) => {
    const isNamed = typeof name === 'string' && typeof port === 'number' && typeof protocol === 'string';
    return isNamed ? [{ name, port, protocol }] : [];
  });
}

function timeOf(text: unknown): number {
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? Number.POSITIVE_INFINITY : ms;
}

function field(of: unknown, name: string): unknown {
  return isObject(of) ? of[name] : undefined;
}

function listIn(of: unknown, name: string): readonly Readonly<Record<string, unknown>>[] {
  const list = field(of, name);
  return Array.isArray(list) ? list.filter(isObject) : [];
}
