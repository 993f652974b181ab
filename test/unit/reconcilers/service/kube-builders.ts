import type { KubeObject } from '../../../../src/kube/types.ts';
import type { KubernetesSource } from '../../../../src/reconcilers/service/endpoints.ts';

/** One entry of a slice: the Pod `a` at `192.0.2.1`, ready. */
export interface EndpointFields {
  /** Undefined: no targetRef. */
  readonly pod: string | undefined;
  readonly uid: string;
  readonly addresses: readonly string[];
  readonly conditions: Readonly<Record<string, unknown>> | undefined;
  readonly zone: unknown;
}

const ENDPOINT: EndpointFields = {
  pod: 'a',
  uid: 'uid-a',
  addresses: ['192.0.2.1'],
  conditions: { ready: true, serving: true, terminating: false },
  zone: undefined,
};

export function anEndpoint(fields: Partial<EndpointFields> = {}): object {
  const { pod, uid, addresses, conditions, zone } = { ...ENDPOINT, ...fields };
  return {
    addresses,
    ...(conditions !== undefined && { conditions }),
    ...(pod !== undefined && { targetRef: { kind: 'Pod', namespace: 'shop', name: pod, uid } }),
    ...(zone !== undefined && { zone }),
  };
}

export const READY = { ready: true, serving: true, terminating: false };
export const NOT_READY = { ready: false, serving: false, terminating: false };
export const TERMINATING = { ready: false, serving: true, terminating: true };

export interface SliceFields {
  readonly addressType: string;
  readonly ports: unknown;
  readonly endpoints: unknown;
}

/** A slice of the Service `orders`, as the API server hands it out. */
export function aSlice(fields: Partial<SliceFields> = {}): KubeObject {
  const whole: SliceFields = {
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [anEndpoint()],
    ...fields,
  };
  return { ...whole, metadata: { name: 'orders-x', namespace: 'shop', uid: 'u', resourceVersion: '1' } };
}

export function aKubeService(ports: unknown = [{ name: 'http', port: 80 }]): KubeObject {
  return {
    metadata: { name: 'orders', namespace: 'shop', uid: 'u', resourceVersion: '1' },
    spec: { ports },
  };
}

/** The Service `orders` with one port `http`, and its slices. */
export function aSource(...slices: readonly KubeObject[]): KubernetesSource {
  return { service: aKubeService(), slices };
}
