import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface TlsFiles {
  readonly caFile: string;
  readonly serverCertFile: string;
  readonly serverKeyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  readonly ca: Buffer;
  readonly clientCert: Buffer;
  readonly clientKey: Buffer;
}

/** An authority, a server certificate for 127.0.0.1 and a client's, made by Consul's own `tls` commands. */
export async function createTlsFiles(consul: string, parentFolder: string): Promise<TlsFiles> {
  const folder = join(parentFolder, 'tls');
  await mkdir(folder);
  const run = (...args: string[]) => promisify(execFile)(consul, ['tls', ...args], { cwd: folder });
  await run('ca', 'create');
  await run('cert', 'create', '-server', '-dc=dc1');
  await run('cert', 'create', '-client', '-dc=dc1');
  const at = (name: string) => join(folder, name);
  const caFile = at('consul-agent-ca.pem');
  const clientCertFile = at('dc1-client-consul-0.pem');
  const clientKeyFile = at('dc1-client-consul-0-key.pem');
  return {
    caFile,
    serverCertFile: at('dc1-server-consul-0.pem'),
    serverKeyFile: at('dc1-server-consul-0-key.pem'),
    clientCertFile,
    clientKeyFile,
    ca: await readFile(caFile),
    clientCert: await readFile(clientCertFile),
    clientKey: await readFile(clientKeyFile),
  };
}
