/**
 * Sources and JWT requirements in the one form in which they can be compared: as Consul writes them in
 * `/v1/config/service-intentions`, without what is empty, with the fields in a fixed order, and with nothing that the
 * server computes (Precedence, Type, Legacy*). So two that mean the same have the same JSON.
 *
 * Fields that this program does not know are not compared: a newer Consul may add some.
 */
import type {
  IntentionJwt,
  IntentionPermission,
  IntentionSource,
} from '../../api/v1alpha1/consulintention.ts';

export interface CanonicalSource {
  readonly Name: string;
  readonly Peer?: string;
  readonly Action?: string;
  readonly Permissions?: readonly CanonicalPermission[];
  readonly Description?: string;
}

/** In the order given: an earlier one takes from a later one. */
export interface CanonicalPermission {
  readonly Action?: string;
  readonly HTTP?: CanonicalHttp;
  readonly JWT?: CanonicalJwt;
}

export interface CanonicalHttp {
  readonly PathExact?: string;
  readonly PathPrefix?: string;
  readonly PathRegex?: string;
  readonly Header?: readonly CanonicalHeader[];
  /** Upper-cased, each once. */
  readonly Methods?: readonly string[];
}

export interface CanonicalHeader {
  readonly Name?: string;
  readonly Present?: true;
  readonly Exact?: string;
  readonly Prefix?: string;
  readonly Suffix?: string;
  readonly Contains?: string;
  readonly Regex?: string;
  readonly Invert?: true;
  readonly IgnoreCase?: true;
}

export interface CanonicalJwt {
  readonly Providers: readonly CanonicalProvider[];
}

export interface CanonicalProvider {
  readonly Name?: string;
  readonly VerifyClaims?: readonly CanonicalClaim[];
}

export interface CanonicalClaim {
  readonly Path?: readonly string[];
  readonly Value?: string;
}

/** What Consul is to hold for a declared source. */
export function canonicalSource(source: IntentionSource): CanonicalSource {
  const { name, peer, action, permissions, description } = source;
  return readSource({
    Name: name,
    Peer: peer,
    Action: action,
    Permissions: permissions?.map(permissionAsStored),
    Description: description,
  });
}

/** Undefined: it demands nothing, which is the same as none. */
export function canonicalJwt(jwt: IntentionJwt | undefined): CanonicalJwt | undefined {
  return readJwt(jwtAsStored(jwt));
}

/** What a source in an entry says; undefined: it is no source, or has no name. */
export function canonicalStored(raw: unknown): CanonicalSource | undefined {
  return isObject(raw) && text(raw['Name']) !== undefined ? readSource(raw) : undefined;
}

/** What an entry's `JWT` says; undefined: there is none, or it demands nothing. */
export function canonicalStoredJwt(raw: unknown): CanonicalJwt | undefined {
  return readJwt(raw);
}

/** Equal exactly for what means the same. */
export function canonicalJson(content: CanonicalSource | CanonicalJwt): string {
  return JSON.stringify(content);
}

function permissionAsStored({ action, http, jwt }: IntentionPermission): Stored {
  const { pathExact, pathPrefix, pathRegex, header, methods } = http;
  return {
    Action: action,
    HTTP: {
      PathExact: pathExact,
      PathPrefix: pathPrefix,
      PathRegex: pathRegex,
      Header: header?.map(headerAsStored),
      Methods: methods,
    },
    JWT: jwtAsStored(jwt),
  };
}

type IntentionHeader = NonNullable<IntentionPermission['http']['header']>[number];

function headerAsStored(header: IntentionHeader): Stored {
  const { name, present, exact, prefix, suffix, contains, regex, invert, ignoreCase } = header;
  return {
    Name: name,
    Present: present,
    Exact: exact,
    Prefix: prefix,
    Suffix: suffix,
    Contains: contains,
    Regex: regex,
    Invert: invert,
    IgnoreCase: ignoreCase,
  };
}

function jwtAsStored(jwt: IntentionJwt | undefined): Stored | undefined {
  if (jwt === undefined) return undefined;
  return {
    Providers: jwt.providers.map(({ name, verifyClaims }) => ({
      Name: name,
      VerifyClaims: verifyClaims?.map(({ path, value }) => ({ Path: path, Value: value })),
    })),
  };
}

type Stored = Readonly<Record<string, unknown>>;

function readSource(raw: Stored): CanonicalSource {
  return {
    Name: text(raw['Name']) ?? '',
    ...filled('Peer', text(raw['Peer'])),
    ...filled('Action', text(raw['Action'])),
    ...filled('Permissions', list(raw['Permissions'], readPermission)),
    ...filled('Description', text(raw['Description'])),
  };
}

function readPermission(raw: Stored): CanonicalPermission {
  return {
    ...filled('Action', text(raw['Action'])),
    ...filled('HTTP', readHttp(raw['HTTP'])),
    ...filled('JWT', readJwt(raw['JWT'])),
  };
}

function readHttp(raw: unknown): CanonicalHttp | undefined {
  if (!isObject(raw)) return undefined;
  return {
    ...filled('PathExact', text(raw['PathExact'])),
    ...filled('PathPrefix', text(raw['PathPrefix'])),
    ...filled('PathRegex', text(raw['PathRegex'])),
    ...filled('Header', list(raw['Header'], readHeader)),
    ...filled('Methods', methods(raw['Methods'])),
  };
}

function readHeader(raw: Stored): CanonicalHeader {
  return {
    ...filled('Name', text(raw['Name'])),
    ...filled('Present', flag(raw['Present'])),
    ...filled('Exact', text(raw['Exact'])),
    ...filled('Prefix', text(raw['Prefix'])),
    ...filled('Suffix', text(raw['Suffix'])),
    ...filled('Contains', text(raw['Contains'])),
    ...filled('Regex', text(raw['Regex'])),
    ...filled('Invert', flag(raw['Invert'])),
    ...filled('IgnoreCase', flag(raw['IgnoreCase'])),
  };
}

function readJwt(raw: unknown): CanonicalJwt | undefined {
  const providers = isObject(raw) ? list(raw['Providers'], readProvider) : undefined;
  return providers === undefined ? undefined : { Providers: providers };
}

function readProvider(raw: Stored): CanonicalProvider {
  return {
    ...filled('Name', text(raw['Name'])),
    ...filled('VerifyClaims', list(raw['VerifyClaims'], readClaim)),
  };
}

function readClaim(raw: Stored): CanonicalClaim {
  return { ...filled('Path', texts(raw['Path'])), ...filled('Value', text(raw['Value'])) };
}

function isObject(raw: unknown): raw is Stored {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw);
}

function text(raw: unknown): string | undefined {
  return typeof raw === 'string' && raw !== '' ? raw : undefined;
}

function flag(raw: unknown): true | undefined {
  return raw === true ? raw : undefined;
}

function texts(raw: unknown): string[] | undefined {
  if (!Array.isArray(raw) || raw.length === 0) return undefined;
  return raw.filter(item => typeof item === 'string');
}

/** Consul upper-cases them and refuses one that stands twice. */
function methods(raw: unknown): string[] | undefined {
  const upper = texts(raw)?.map(method => method.toUpperCase());
  return upper === undefined ? undefined : [...new Set(upper)];
}

function list<Item>(raw: unknown, read: (item: Stored) => Item): Item[] | undefined {
  if (!Array.isArray(raw) || raw.length === 0) return undefined;
  return raw.filter(isObject).map(read);
}

/** The field, unless it is empty. */
function filled<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [Field in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [Field in Name]?: Value });
}
