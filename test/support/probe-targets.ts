import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr } from '../../src/core/cidr.ts';
import { createProber, type ProberOptions } from '../../src/probes/prober.ts';
import type { GrpcTarget, HttpTarget, Prober, ProbeTarget, TcpTarget } from '../../src/probes/spec.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { findTools } from '../../tools/sandbox/binaries.ts';
import { createTlsFiles } from '../../tools/sandbox/consul-tls.ts';

export const LOOPBACK: readonly Cidr[] = [
  { family: 'ipv4', address: '127.0.0.0', prefix: 8 },
  { family: 'ipv6', address: '::1', prefix: 128 },
];

/** A prober that may reach this machine, as the targets of tests are here. */
export function aProber(options: Partial<ProberOptions> = {}): Prober {
  return createProber({ allow: LOOPBACK, servers: () => [], clock: systemClock, ...options });
}

/** Asks as a check with a generous timeout does. */
export function ask(target: ProbeTarget, probe = aProber(), timeoutMs = 10_000) {
  return probe(target, AbortSignal.timeout(timeoutMs));
}

export function anHttpTarget(port: number, target: Partial<HttpTarget> = {}): HttpTarget {
  const defaults = { host: '127.0.0.1', path: '/', method: 'GET', headers: {}, body: '', tls: undefined };
  return { kind: 'http', port, ...defaults, ...target };
}

export function aTcpTarget(port: number, host = '127.0.0.1'): TcpTarget {
  return { kind: 'tcp', host, port };
}

export function aGrpcTarget(port: number, target: Partial<GrpcTarget> = {}): GrpcTarget {
  return { kind: 'grpc', host: '127.0.0.1', port, service: '', tls: undefined, ...target };
}

/** A listening server that counts its connections. */
export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      this.accepted += 1;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(server: Server, host = '127.0.0.1', port = 0): Promise<Listener> {
    const listener = new Listener(server);
    server.listen(port, host);
    await once(server, 'listening');
    return listener;
  }

  static http(handler: RequestListener, host?: string, port?: number): Promise<Listener> {
    return Listener.start(createHttpServer(handler), host, port);
  }

  static https(identity: { readonly cert: Buffer; readonly key: Buffer }, handler: RequestListener) {
    return Listener.start(createHttpsServer(identity, handler));
  }

  static tcp(handler: (socket: Socket) => void, host?: string, port?: number): Promise<Listener> {
    return Listener.start(createTcpServer(handler), host, port);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** An authority, and a server certificate for 127.0.0.1, localhost and server.dc1.consul. */
export async function createIdentity() {
  const { consul } = await findTools(['consul'], { env: process.env, report: () => {} });
  const folder = await mkdtemp(join(tmpdir(), 'probe-targets-'));
  try {
    const files = await createTlsFiles(consul, folder);
    const [cert, key] = await Promise.all([readFile(files.serverCertFile), readFile(files.serverKeyFile)]);
    return { ca: files.ca, cert, key };
  } finally {
    await rm(folder, { recursive: true });
  }
}
