import { DNS_LABEL } from './common.ts';
import type { IntentionPermission, WrittenIntentionSpec } from './consulintention.ts';
import {
  absolutePath,
  ANY_SERVICE,
  DESTINATION_NAME,
  ENTERPRISE_FIELDS,
  enterpriseOnly,
  MAX_DESCRIPTION_BYTES,
  messages,
  METHODS,
  PATHS,
  PEER_NAME,
  CONSUL_NAME,
  TEXT_MATCHERS,
} from './consulintention-cel.ts';

type Source = WrittenIntentionSpec['sources'][number];
type Http = IntentionPermission['http'];
type Header = NonNullable<Http['header']>[number];

/**
 * The rules of `consulintention-cel.ts` once more, in code: a spec may have been stored before the API server knew a rule.
 * Says what is wrong with the first field that breaks one, in a sentence that starts with its path. A test runs both
 * against the same specs. Only whether a regular expression is one is left to the API server: JavaScript has another kind.
 */
export function intentionProblem(spec: WrittenIntentionSpec): string | undefined {
  const { destination, datacenter, sources } = spec;
  if (datacenter !== undefined && !DNS_LABEL.test(datacenter)) return 'spec.datacenter is not a DNS label';
  if (destination !== ANY_SERVICE && !DESTINATION_NAME.test(destination)) {
    return `spec.destination: ${messages.destination}`;
  }
  return (
    sourcesProblem(destination, sources) ??
    first(sources, (source, index) => sourceProblem(`spec.sources[${index}]`, source))
  );
}

function sourcesProblem(destination: string, sources: readonly Source[]): string | undefined {
  if (destination === ANY_SERVICE && sources.some(hasPermissions)) {
    return `spec.sources: ${messages.noWildcardPermissions}`;
  }
  const identities = new Set(sources.map(({ peer = '', name }) => `${peer}/${name}`));
  return identities.size < sources.length ? `spec.sources: ${messages.twice}` : undefined;
}

function hasPermissions({ permissions = [] }: Source): boolean {
  return permissions.length > 0;
}

function sourceProblem(path: string, source: Source): string | undefined {
  const { name, peer, description = '', action, permissions = [] } = source;
  const foreign = ENTERPRISE_FIELDS.find(field => Object.hasOwn(source, field));
  if (foreign !== undefined) return `${path}.${foreign}: ${enterpriseOnly(foreign)}`;
  if (name !== ANY_SERVICE && !CONSUL_NAME.test(name)) return `${path}.name: ${messages.sourceName}`;
  if (peer !== undefined && !PEER_NAME.test(peer)) return `${path}.peer: ${messages.peer}`;
  if (Buffer.byteLength(description) > MAX_DESCRIPTION_BYTES) {
    return `${path}.description: ${messages.description}`;
  }
  if ((action !== undefined) === hasPermissions(source)) {
    return `${path}.action: ${messages.actionOrPermissions}`;
  }
  return first(permissions, ({ http }, index) => httpProblem(`${path}.permissions[${index}].http`, http));
}

function httpProblem(path: string, http: Http): string | undefined {
  const { header = [], methods = [] } = http;
  const paths = PATHS.filter(field => http[field] !== undefined);
  if (paths.length + header.length + methods.length === 0) return `${path}.pathPrefix: ${messages.emptyHttp}`;
  if (paths.length > 1) return `${path}.pathExact: ${messages.onePath}`;
  for (const field of ['pathExact', 'pathPrefix'] as const) {
    if (http[field]?.startsWith('/') === false) return `${path}.${field}: ${absolutePath(field)}`;
  }
  if (!methods.every(isMethod)) return `${path}.methods: ${messages.methods}`;
  return first(header, (one, index) => headerProblem(`${path}.header[${index}]`, one));
}

function isMethod(method: string): boolean {
  return METHODS.some(known => known === method.toUpperCase());
}

function headerProblem(path: string, header: Header): string | undefined {
  const { present = false, regex, ignoreCase = false } = header;
  const matchers = TEXT_MATCHERS.filter(matcher => header[matcher] !== undefined).length + (present ? 1 : 0);
  if (matchers !== 1) return `${path}.present: ${messages.oneMatcher}`;
  if (ignoreCase && (present || regex !== undefined)) return `${path}.ignoreCase: ${messages.ignoreCase}`;
  return undefined;
}

/** The first problem among the items, if any has one. */
function first<Item>(
  items: readonly Item[],
  problemOf: (item: Item, index: number) => string | undefined,
): string | undefined {
  for (const [index, item] of items.entries()) {
    const problem = problemOf(item, index);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
