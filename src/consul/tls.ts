import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { consulError } from './errors.ts';

export interface TlsFiles {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name that the server's certificate has to carry, where it differs from the address. */
  readonly serverName?: string;
}

/** Options of `tls.connect`. */
export interface TlsSettings {
  readonly secureContext: SecureContext;
  readonly servername?: string;
  /** Set, not left to a default that NODE_TLS_REJECT_UNAUTHORIZED could turn. There is no way to switch it off. */
  readonly rejectUnauthorized: true;
}

/** Reads the files anew each time, so that a rotated certificate counts from the next connection on. */
export class TlsLoader {
  readonly #files: TlsFiles;
  #loaded: { readonly fingerprint: string; readonly settings: TlsSettings } | undefined;

  constructor(files: TlsFiles) {
    this.#files = files;
  }

  /**
   * The same object as long as the files stay the same.
   * @throws RetryableError `CONSUL_TLS` that names the file, or says that they do not go together.
   */
  async load(): Promise<TlsSettings> {
    const { caFile, certFile, keyFile } = this.#files;
    const texts = await Promise.all([caFile, certFile, keyFile].map(readPem));
    const fingerprint = JSON.stringify(texts);
    if (this.#loaded?.fingerprint !== fingerprint) {
      this.#loaded = { fingerprint, settings: this.#settings(texts) };
    }
    return this.#loaded.settings;
  }

  #settings([ca, cert, key]: readonly (string | undefined)[]): TlsSettings {
    const { serverName } = this.#files;
    return {
      secureContext: this.#context({
        minVersion: 'TLSv1.2',
        ...(ca !== undefined && { ca }),
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
      }),
      ...(serverName !== undefined && { servername: serverName }),
      rejectUnauthorized: true,
    };
  }

  #context(options: Parameters<typeof createSecureContext>[0]): SecureContext {
    try {
      return createSecureContext(options);
    } catch (cause) {
      const names = Object.values(this.#files).join(', ');
      throw consulError('CONSUL_TLS', `the TLS files cannot be used together (${names})`, { cause });
    }
  }
}

async function readPem(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw consulError('CONSUL_TLS', `the TLS file ${path} cannot be read`, { cause });
  }
}
