import { open } from 'node:fs/promises';
import type { Clock } from '../core/clock.ts';
import { tokenFileError } from './errors.ts';

/** Where the ACL token comes from. `undefined` stands for the anonymous token. */
export interface TokenSource {
  /** @throws RetryableError while there is no token to be had. */
  current(): Promise<string | undefined>;
  /** After Consul refused `refused`: looks again at once. True if there is another token to try. */
  hasChangedFrom(refused: string | undefined): Promise<boolean>;
}

export function fixedToken(token: string | undefined): TokenSource {
  return { current: async () => token, hasChangedFrom: async () => false };
}

/** How stale a rotated token may be. Read on use: a watch would miss the symlink swap of a mounted Secret. */
const READ_EVERY_MS = 1000;

/** No token is longer; a path that names something else must not fill the memory. */
const MAX_TOKEN_BYTES = 16 * 1024;

/** The token in a file, followed as the file changes. While it cannot be read, the last good one stays in use. */
export class TokenFile implements TokenSource {
  readonly #path: string;
  readonly #clock: Clock;
  #token: string | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<string> | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  async current(): Promise<string> {
    const fresh = this.#clock.monotonic() - this.#readAt < READ_EVERY_MS;
    return this.#token !== undefined && fresh ? this.#token : await this.#read();
  }

  async hasChangedFrom(refused: string | undefined): Promise<boolean> {
    return (await this.#read()) !== refused;
  }

  /** One read at a time, however many calls want one. */
  #read(): Promise<string> {
    this.#reading ??= this.#reload().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #reload(): Promise<string> {
    try {
      this.#token = await readToken(this.#path);
    } catch (error) {
      if (this.#token === undefined) throw error;
    }
    this.#readAt = this.#clock.monotonic();
    return this.#token;
  }
}

async function readToken(path: string): Promise<string> {
  const text = await readStart(path).catch((error: unknown) => {
    throw tokenFileError(path, 'cannot be read', error);
  });
  const token = text.trim();
  if (!isUsableToken(token)) throw tokenFileError(path, 'does not hold exactly one token');
  return token;
}

async function readStart(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_TOKEN_BYTES), 0, MAX_TOKEN_BYTES);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** What fits into a header: visible ASCII, in one piece. Consul's own tokens are UUIDs. */
export function isUsableToken(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token) && token.length < MAX_TOKEN_BYTES;
}
