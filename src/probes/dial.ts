import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls';
import type { ProbeTls } from './spec.ts';

export interface DialOptions {
  /** An IP address: no name is resolved here. */
  readonly address: string;
  readonly port: number;
  /** The host as declared: what a certificate is for, unless `tls` names another. */
  readonly host: string;
  readonly tls: ProbeTls | undefined;
}

/** A socket that is being connected; who gets it has to listen for its error. */
export function dial({ address, port, host, tls }: DialOptions): Socket {
  if (tls === undefined) return connectTcp({ host: address, port });
  const name = serverName(host, tls);
  return connectTls({
    host: address,
    port,
    // An IP address is no server name (RFC 6066), but certificates may be for one.
    servername: isIP(name) === 0 ? name : '',
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkServerIdentity(name, certificate),
    // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    rejectUnauthorized: !tls.skipVerify,
    ALPNProtocols: ['http/1.1'],
  });
}

/** The name that the certificate has to carry. */
export function serverName(host: string, tls: ProbeTls): string {
  return tls.serverName ?? host;
}
