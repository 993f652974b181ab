import { readFile } from 'node:fs/promises';
import { consulError } from './errors.ts';

export interface TlsFiles {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name that the server's certificate has to carry, where it differs from the address. */
  readonly serverName?: string;
}

/** Options of `tls.connect`. Verification is set, not left to a default that NODE_TLS_REJECT_UNAUTHORIZED could turn. */
export interface TlsMaterial {
  readonly rejectUnauthorized: true;
  readonly minVersion: 'TLSv1.2';
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

/**
 * Reads the files anew, so that a rotated certificate counts from the next connection on.
 * @throws RetryableError `CONSUL_TLS` that names the file.
 */
export async function loadTls(files: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all([files.caFile, files.certFile, files.keyFile].map(readPem));
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(files.serverName !== undefined && { servername: files.serverName }),
  };
}

async function readPem(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw consulError('CONSUL_TLS', `the TLS file ${path} cannot be read`, { cause });
  }
}
