import { isConsulError } from './errors.ts';

/** Another config entry that has to be there, or to be otherwise, before Consul takes this one. */
export type EntryDependency =
  | { readonly kind: 'protocol'; readonly service: string }
  | { readonly kind: 'jwt-provider'; readonly name: string };

/**
 * `dependency`: another object can put it right. `invalid`, `unsupported`, `tooLarge`: only the one who wrote this
 * entry can.
 */
export type EntryRefusal =
  | { readonly kind: 'dependency'; readonly missing: readonly EntryDependency[] }
  | { readonly kind: 'invalid' | 'unsupported' | 'tooLarge' };

/**
 * What it means that Consul refused a config entry; undefined for an error that says nothing of the entry.
 * A dependency may come without names, when Consul's words are not those of 1.22.
 */
export function classifyEntryRefusal(error: unknown): EntryRefusal | undefined {
  if (!isConsulError(error)) return undefined;
  switch (error.code) {
    case 'CONSUL_DEPENDENCY':
      return {
        kind: 'dependency',
        missing: missingIn(error.cause instanceof Error ? error.cause.message : ''),
      };
    case 'CONSUL_INVALID':
      return { kind: 'invalid' };
    case 'CONSUL_BAD_REQUEST':
      return { kind: 'unsupported' };
    case 'CONSUL_TOO_LARGE':
      return { kind: 'tooLarge' };
    default:
      return undefined;
  }
}

/** For people: what is missing, by its name in Consul. */
export function describeDependency(dependency: EntryDependency): string {
  return dependency.kind === 'protocol'
    ? `service-defaults/${dependency.service}: protocol must be http, http2 or grpc`
    : `jwt-provider/${dependency.name} does not exist`;
}

/** `agent/consul/state/config_entry.go`: providers are looked at first, and all that are missing are named. */
function missingIn(text: string): EntryDependency[] {
  const providers = [...text.matchAll(/JWT Provider does not exist\. Provider Name: ([^\n]*\S)/g)];
  const services = [...text.matchAll(/service "(.*)" has protocol ".*", which is incompatible with L7/g)];
  const names = new Set(providers.map(([, name]) => name as string));
  return [
    ...[...names].map(name => ({ kind: 'jwt-provider', name }) as const),
    ...services.map(([, service]) => ({ kind: 'protocol', service: service as string }) as const),
  ];
}
