import { createHash } from 'node:crypto';
import { messageOf } from '../core/errors.ts';
import { kubeError } from './errors.ts';
import type { TlsMaterial } from './transport.ts';

/** What one request needs to be let in. */
export interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsMaterial;
  /** Equal as long as `tls` is: connections made under another one must not be used any more. */
  readonly tlsFingerprint: string;
}

/** Where the API server is and what lets us in: a kubeconfig, or the account of a Pod. */
export interface AccessSource {
  readonly server: URL;
  readonly contextNamespace: string | undefined;
  /** Reads the files it stands for. */
  readAccess(): Promise<Access>;
  /** The same source as it is now. `refused`: what it gave was not accepted. */
  renewed(refused: boolean): AccessSource;
}

export function accessOf(headers: Access['headers'], tls: TlsMaterial): Access {
  const tlsFingerprint = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
  return { headers, tls, tlsFingerprint };
}

/** The first line only, and no cause: the YAML parser quotes the file, tokens included, further down. */
export function unusable(what: string, error: unknown): Error {
  return kubeError('KUBE_CONFIG', `${what}: ${messageOf(error).split('\n', 1)[0]}`);
}
