import { createHmac, type Hmac } from 'node:crypto';

/** What stands, or should stand, at a key. */
export interface Content {
  readonly value: Buffer;
  readonly flags: bigint;
}

/**
 * Names contents without telling them: HMAC-SHA-256 under the install's private key, cut to 128 bits. Equal
 * fingerprints mean equal name, flags and bytes; nobody without the key can test a guess of a Secret against one.
 */
export class Fingerprinter {
  #key: Buffer | undefined;

  constructor(key?: Buffer) {
    this.#key = key;
  }

  get key(): Buffer | undefined {
    return this.#key;
  }

  /** The key is read from Consul, so it comes after everything that holds this object was built. */
  use(key: Buffer): void {
    this.#key = key;
  }

  of(name: string, { value, flags }: Content): string {
    const hmac = this.#hmac().update(`${name}\0${flags}\0`).update(value);
    return hmac.digest().subarray(0, 16).toString('base64url');
  }

  /** One fingerprint for a whole set, whatever its order. */
  ofAll(fingerprints: ReadonlyMap<string, string>): string {
    const hmac = this.#hmac();
    for (const name of [...fingerprints.keys()].sort()) hmac.update(`${name}\0${fingerprints.get(name)}\0`);
    return hmac.digest().subarray(0, 16).toString('base64url');
  }

  #hmac(): Hmac {
    if (this.#key === undefined) throw new Error('the private key has not been read yet');
    return createHmac('sha256', this.#key);
  }
}
