import type { ResourceRef } from '../../core/resource.ts';

/** In the meta of a service: the resource that declares it. */
export const OWNER_MARK = 'proconsul-owner';

/** Unlike that of any other resource, of whatever install. */
export function ownerMark(installId: string, { namespace, name }: Omit<ResourceRef, 'kind'>): string {
  return `${installId}/${namespace}/${name}`;
}

/** The resource of this install whose mark the meta of a service has; undefined: none. */
export function markedOwner(meta: ReadonlyMap<string, string>, installId: string): ResourceRef | undefined {
  const [install, namespace, name, ...rest] = meta.get(OWNER_MARK)?.split('/') ?? [];
  if (install !== installId || !namespace || !name || rest.length > 0) return undefined;
  return { kind: 'ConsulService', namespace, name };
}

/** Has Consul's UI show where a service comes from, and that it is not edited there. */
const SOURCE_MARK = ['external-source', 'kubernetes'] as const;

/** `meta` with the operator's own marks over it. */
export function marked(
  meta: ReadonlyMap<string, string>,
  installId: string,
  ref: Omit<ResourceRef, 'kind'>,
): ReadonlyMap<string, string> {
  return new Map([...meta, SOURCE_MARK, [OWNER_MARK, ownerMark(installId, ref)]]);
}
