import { isDeepStrictEqual } from 'node:util';
import type { ConfigEntryBody } from '../../../../src/consul/config-entry.ts';

type Source = Readonly<Record<string, unknown>> & { readonly Name: string };

interface Stored {
  readonly body: ConfigEntryBody;
  readonly index: number;
}

/** Consul's `service-intentions`, as far as writes and reads of whole entries go; fixed by the contract tests. */
export class ModelEntries {
  readonly #entries = new Map<string, Stored>();
  #index = 10;
  /** Requests that changed something. */
  writes = 0;

  get(destination: string): Stored | undefined {
    return this.#entries.get(destination);
  }

  destinations(): string[] {
    return [...this.#entries.keys()];
  }

  /** Equal content is dropped before the compare. */
  put(destination: string, body: ConfigEntryBody, index: number): boolean {
    const stored = normalize(destination, body);
    const present = this.#entries.get(destination);
    if (isDeepStrictEqual(present?.body, stored)) return true;
    if ((present?.index ?? 0) !== index) return false;
    this.#entries.set(destination, { body: stored, index: ++this.#index });
    this.writes += 1;
    return true;
  }

  delete(destination: string, index: number): boolean {
    const present = this.#entries.get(destination);
    if (present === undefined) return true;
    if (present.index !== index) return false;
    this.#entries.delete(destination);
    this.writes += 1;
    return true;
  }
}

/** What Consul makes of an entry before it stores it. @throws where Consul refuses it */
export function normalize(destination: string, body: ConfigEntryBody): ConfigEntryBody {
  const sources = (body['Sources'] as readonly Source[]).map(source => normalizeSource(destination, source));
  if (sources.length === 0) throw new Error('At least one source is required');
  const identities = new Set(sources.map(({ Name, Peer }) => JSON.stringify([Peer, Name])));
  if (identities.size < sources.length) throw new Error('defines a source more than once');
  const Sources = sources.sort((one, other) => Number(other['Precedence']) - Number(one['Precedence']));
  return { ...(clean(body) as ConfigEntryBody), Sources };
}

function normalizeSource(destination: string, source: Source): Source {
  const precedence = destination === '*' ? 6 : 9;
  return {
    Type: 'consul',
    ...(clean(source, 'Source') as Source),
    Precedence: source.Name === '*' ? precedence - 1 : precedence,
  };
}

/** Empty strings, false and empty lists are not stored; an empty object is. */
function clean(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) {
    return value.map(item => (field === 'Methods' ? String(item).toUpperCase() : clean(item, 'item')));
  }
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, member]) => !isEmpty(member));
  return Object.fromEntries(kept.map(([name, member]) => [name, clean(member, name)]));
}

function isEmpty(member: unknown): boolean {
  if (Array.isArray(member)) return member.length === 0;
  return member === undefined || member === null || member === '' || member === false;
}
