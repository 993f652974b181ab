import type { Access } from './access.ts';
import { createTransport, type Transport } from './transport.ts';

interface Pools {
  readonly tlsFingerprint: string;
  readonly plain: Transport;
  readonly watches: Transport;
}

/**
 * The connections of one client: at most `maxPlain` for plain requests, and one more for each watch. They belong
 * to the certificates they were made with: when these change, new connections are made and the old ones end with
 * what is in flight on them.
 */
export class Connections {
  readonly #origin: string;
  readonly #maxPlain: number;
  #current: Pools | undefined;

  constructor(origin: string, maxPlain: number) {
    this.#origin = origin;
    this.#maxPlain = maxPlain;
  }

  plain(access: Access): Transport {
    return this.#for(access).plain;
  }

  watches(access: Access): Transport {
    return this.#for(access).watches;
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#current?.plain.destroy(), this.#current?.watches.destroy()]);
  }

  #for({ tls, tlsFingerprint }: Access): Pools {
    if (this.#current?.tlsFingerprint === tlsFingerprint) return this.#current;
    this.#current?.plain.retire();
    this.#current?.watches.retire();
    this.#current = {
      tlsFingerprint,
      plain: createTransport(this.#origin, tls, this.#maxPlain),
      watches: createTransport(this.#origin, tls, null),
    };
    return this.#current;
  }
}
