import { describeResource, type ResourceRef } from '../core/resource.ts';

/** Who owns a name: a resource of this install, or one of another install on the same Consul. */
export type Owner =
  | { readonly kind: 'resource'; readonly ref: ResourceRef }
  | { readonly kind: 'install'; readonly install: string; readonly ref: ResourceRef };

/** As messages name it: `ConsulKV shop/orders`, or `install <id>` for one of another install. */
export function describeOwner(owner: Owner): string {
  return owner.kind === 'resource' ? describeResource(owner.ref) : `install ${owner.install}`;
}
