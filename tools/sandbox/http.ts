import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface HttpOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** PEM of the authority to trust, for https. */
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly timeoutMs?: number;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * One request on Node's own client, a connection each. Deliberately not the client the operator uses: what waits
 * for servers and checks the world shares no code with what is checked. The path is sent as given, dots included.
 */
export function http(origin: string, path: string, options: HttpOptions = {}): Promise<HttpReply> {
  const { hostname, port, protocol } = new URL(origin);
  const { method = 'GET', headers = {}, body, ca, cert, key, timeoutMs = 30_000 } = options;
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const signal = AbortSignal.timeout(timeoutMs);
    const settings = {
      hostname,
      port,
      path,
      method,
      headers: { ...length, ...headers },
      signal,
      agent: false,
      ca,
      cert,
      key,
    };
    const request = send(settings, reply => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () =>
        resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
