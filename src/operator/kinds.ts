import { GROUP, VERSION } from '../api/v1alpha1/common.ts';
import { consulKV } from '../api/v1alpha1/consulkv.ts';
import type { ResourceType } from '../kube/index.ts';

/** The served kinds, as paths of the API server need them. */
export const CONSUL_KVS: ResourceType = {
  group: GROUP,
  version: VERSION,
  plural: consulKV.plural,
  kind: consulKV.kind,
  namespaced: true,
};
