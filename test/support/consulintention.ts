import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import { Resources } from './resources.ts';
import type { World } from './world.ts';

/** A source as Consul shows it, without what the server computes. */
export interface ShownSource {
  readonly Name: string;
  readonly Peer?: string;
  readonly Action?: string;
  readonly Permissions?: unknown;
  readonly Description?: string;
}

/** An entry of intentions as Consul shows it. */
export interface ShownEntry {
  readonly Kind: string;
  readonly Name: string;
  readonly Sources: readonly ShownSource[];
  readonly JWT?: unknown;
  readonly Meta?: Readonly<Record<string, string>>;
  readonly ModifyIndex: number;
}

const ALL = '/v1/config/service-intentions';

const COMPUTED: ReadonlySet<string> = new Set(['Precedence', 'Type']);

/** The ConsulIntentions of one world, and the entries that they share with others. Services are named for the world. */
export class ConsulIntentions extends Resources {
  readonly #world: World;

  constructor(world: World) {
    super(world, 'ConsulIntention');
    this.#world = world;
  }

  /** A service that no other world has intentions for. */
  service(name: string): string {
    return `${this.#world.namespace}-${name}`;
  }

  /** The service of an entry, as `service` takes it. */
  nameOf(entry: string): string {
    return entry.slice(this.service('').length);
  }

  /** All that are named for the world. */
  async entries(): Promise<readonly ShownEntry[]> {
    const all = (await this.#world.consul.get(`${ALL}?consistent`)) as readonly ShownEntry[];
    return all.filter(({ Name }) => Name.startsWith(this.service('')));
  }

  async entry(service: string): Promise<ShownEntry | undefined> {
    const path = `${ALL}/${this.service(service)}?consistent`;
    const reply = await this.#world.consul.request('GET', path);
    if (reply.status === 404) return undefined;
    if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${reply.text}`);
    return JSON.parse(reply.text) as ShownEntry;
  }

  /** Sources of the entry by name, those of a peer as `name@peer`; undefined without an entry. */
  async sources(service: string): Promise<Readonly<Record<string, object>> | undefined> {
    const entry = await this.entry(service);
    if (entry === undefined) return undefined;
    const named = entry.Sources.map(source => {
      const { Name, Peer } = source;
      const shown = Object.entries(source).filter(([field]) => !COMPUTED.has(field));
      return [Peer ? `${Name}@${Peer}` : Name, Object.fromEntries(shown)] as const;
    });
    return Object.fromEntries(named);
  }

  /** What each source is allowed: `allow`, `deny`, or how many permissions it has. */
  async actions(service: string): Promise<Readonly<Record<string, string>> | undefined> {
    const sources = await this.sources(service);
    if (sources === undefined) return undefined;
    const actions = Object.entries(sources).map(([name, source]) => {
      const { Action, Permissions } = source as ShownSource;
      return [name, Action || `${(Permissions as readonly unknown[] | undefined)?.length ?? 0} permissions`];
    });
    return Object.fromEntries(actions);
  }

  /** Resolves once the entry says exactly this; undefined: once there is none. */
  async becomes(service: string, expected: Readonly<Record<string, string>> | undefined): Promise<void> {
    const what = `the intentions of ${service} are ${JSON.stringify(expected)}`;
    await eventually(async () => expect(await this.actions(service)).toEqual(expected), { what });
  }

  /** As somebody by hand: puts the sources in the place of all that stand there, whatever they are. */
  async writeByHand(service: string, sources: readonly object[], more: object = {}): Promise<void> {
    const name = this.service(service);
    const entry = { Kind: 'service-intentions', Name: name, Sources: sources, ...more };
    await this.#world.consul.put('/v1/config', entry);
  }

  /** As somebody by hand: changes one source and leaves all others as they are. */
  async editByHand(service: string, source: string, edit: object | undefined): Promise<void> {
    const sent = edit && { Name: source, ...edit };
    const what = `${source} edited by hand`;
    if ((await this.entry(service)) === undefined) throw new Error(`no intentions of ${service}`);
    await eventually(() => this.placeByHand(service, source, sent), { what });
  }

  /**
   * As somebody by hand, by compare-and-set: the source, or none of that name, beside all others as they are. The entry
   * comes and goes with it. False when somebody else wrote in between.
   */
  async placeByHand(service: string, name: string, source: object | undefined): Promise<boolean> {
    const entry = await this.entry(service);
    const others = entry?.Sources.filter(({ Name }) => Name !== name) ?? [];
    const Sources = source === undefined ? others : [...others, source];
    const index = entry?.ModifyIndex ?? 0;
    if (Sources.length === 0) {
      const path = `${ALL}/${this.service(service)}?cas=${index}`;
      return (await this.#world.consul.call('DELETE', path)).text.trim() === 'true';
    }
    const body = { Kind: 'service-intentions', Name: this.service(service), ...written(entry), Sources };
    const reply = await this.#world.consul.call('PUT', `/v1/config?cas=${index}`, JSON.stringify(body));
    return reply.text.trim() === 'true';
  }

  async protocol(service: string, protocol: string | undefined): Promise<void> {
    const name = this.service(service);
    if (protocol === undefined)
      await this.#world.consul.call('DELETE', `/v1/config/service-defaults/${name}`);
    else
      await this.#world.consul.put('/v1/config', {
        Kind: 'service-defaults',
        Name: name,
        Protocol: protocol,
      });
  }

  /** An issuer of tokens that nobody asks for any. */
  async jwtProvider(name: string): Promise<void> {
    const JSONWebKeySet = { Local: { JWKS: Buffer.from('{"keys":[]}').toString('base64') } };
    await this.#world.consul.put('/v1/config', {
      Kind: 'jwt-provider',
      Name: this.service(name),
      Issuer: 'test',
      JSONWebKeySet,
    });
  }

  /** Takes out of Consul what is named for the world, in the order in which Consul lets go of it. */
  async clear(): Promise<void> {
    for (const kind of ['service-intentions', 'service-defaults', 'jwt-provider']) {
      const entries = (await this.#world.consul.get(`/v1/config/${kind}`)) as readonly {
        readonly Name: string;
      }[];
      for (const { Name } of entries.filter(entry => entry.Name.startsWith(`${this.#world.namespace}-`))) {
        await this.#world.consul.call('DELETE', `/v1/config/${kind}/${Name}`);
      }
    }
  }
}

/** The entry as it may be sent back. */
function written(entry: ShownEntry | undefined): object {
  const { CreateIndex: _, Hash: __, ModifyIndex: ___, ...body }: Record<string, unknown> = { ...entry };
  return body;
}
