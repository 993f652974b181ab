import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Respond = (request: SeenRequest, response: ServerResponse) => void;

/** An HTTP server in the place of Consul that answers as the test says, and remembers what it was asked. */
export class FakeServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #port = 0;
  readonly #connections = { open: 0, peak: 0 };
  #respond: Respond;

  private constructor(respond: Respond) {
    this.#respond = respond;
    this.#server.on('connection', socket => {
      this.#connections.open += 1;
      this.#connections.peak = Math.max(this.#connections.peak, this.#connections.open);
      socket.on('close', () => {
        this.#connections.open -= 1;
      });
    });
  }

  static async start(respond: Respond): Promise<FakeServer> {
    const server = new FakeServer(respond);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    server.#port = (server.#server.address() as AddressInfo).port;
    return server;
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get connections(): { readonly open: number; readonly peak: number } {
    return this.#connections;
  }

  respondWith(respond: Respond): void {
    this.#respond = respond;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    const seen = { method, url, headers, body: Buffer.concat(chunks).toString() };
    this.requests.push(seen);
    this.#respond(seen, response);
  }
}

/** What a healthy Consul sets on the answer of a read. */
export const READ_HEADERS = {
  'x-consul-index': '7',
  'x-consul-knownleader': 'true',
  'x-consul-default-acl-policy': 'allow',
};

export function answer(
  status: number,
  body: string,
  headers: Record<string, string> = READ_HEADERS,
): Respond {
  return (_, response) => {
    response.writeHead(status, headers).end(body);
  };
}

/** As Consul sends it; `change` makes it something else. */
export function entryJson(change: Readonly<Record<string, unknown>> = {}): string {
  const entry = {
    Key: 'k',
    Value: 'aGk=',
    Flags: 0,
    CreateIndex: 5,
    ModifyIndex: 7,
    LockIndex: 0,
    ...change,
  };
  return JSON.stringify([entry]);
}

/** A port of loopback where nobody listens. */
export async function closedAddress(): Promise<string> {
  const server = await FakeServer.start(answer(200, ''));
  const { address } = server;
  await server[Symbol.asyncDispose]();
  return address;
}
