import { GROUP, VERSION } from '../api/v1alpha1/common.ts';
import { consulIntention } from '../api/v1alpha1/consulintention.ts';
import { consulKV } from '../api/v1alpha1/consulkv.ts';
import { consulLeaderLease } from '../api/v1alpha1/consulleaderlease.ts';
import { consulService } from '../api/v1alpha1/consulservice.ts';
import type { KindDefinition } from '../api/v1alpha1/definition.ts';
import type { ResourceType } from '../kube/index.ts';

/** The served kinds, as paths of the API server need them. */
export const CONSUL_KVS = resourceType(consulKV);
export const CONSUL_INTENTIONS = resourceType(consulIntention);
export const CONSUL_LEADER_LEASES = resourceType(consulLeaderLease);
export const CONSUL_SERVICES = resourceType(consulService);

/** All that a resource of this group can be. */
export const SERVED_KINDS: readonly ResourceType[] = [
  CONSUL_KVS,
  CONSUL_INTENTIONS,
  CONSUL_LEADER_LEASES,
  CONSUL_SERVICES,
];

function resourceType({ plural, kind }: KindDefinition): ResourceType {
  return { group: GROUP, version: VERSION, plural, kind, namespaced: true };
}
