import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TerminalError } from '../core/errors.ts';

export interface PageAnswer {
  readonly status: number;
  readonly body: string;
  /** Default `text/plain; charset=utf-8`. */
  readonly contentType?: string;
}

/** Answers a GET; HEAD gets the same without the body. What it throws becomes a 500 without words. */
export type Page = (url: URL) => PageAnswer | Promise<PageAnswer>;

export interface HttpServerOptions {
  /** Address to bind to. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The setting that the port came from, for the message when it cannot be had. */
  readonly setting: string;
  /** By path. Any other path is a 404. */
  readonly pages: Readonly<Record<string, Page>>;
  readonly onError?: (error: unknown) => void;
}

export interface HttpServer {
  /** The one really listened on. */
  readonly port: number;
  /** Takes no more connections, cuts off those there are. */
  close(): Promise<void>;
}

/** Kubelets, Prometheus and people: a handful. */
const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Listens for GET and HEAD on a few fixed paths. Requests are bounded in number, size and time; bodies are not
 * read.
 *
 * @throws TerminalError `PORT_UNAVAILABLE` when the port cannot be bound; the message names the setting.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 2,
      keepAliveTimeout: 5 * REQUEST_TIMEOUT_MS,
    },
    (request, response) => void answer(options, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => close(server),
  };
}

async function answer(
  { pages, onError }: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = await replyTo(request, pages).catch((error: unknown) => {
    onError?.(error);
    return { status: 500, body: 'internal error\n' };
  });
  const { status, body, contentType = 'text/plain; charset=utf-8' }: PageAnswer = reply;
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  // For HEAD, Node leaves the body out.
  response.end(body);
}

async function replyTo(
  { method, url = '/' }: IncomingMessage,
  pages: HttpServerOptions['pages'],
): Promise<PageAnswer> {
  const target = URL.parse(url, 'http://localhost');
  if (target === null) return { status: 400, body: 'bad request\n' };
  const page = pages[target.pathname];
  if (page === undefined) return { status: 404, body: 'not found\n' };
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'method not allowed\n' };
  return page(target);
}

function listen(server: Server, { host, port, setting }: HttpServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is in use' : `cannot be bound (${cause.code})`;
      const message = `${setting}: port ${port} on ${host} ${why}; set it to a free port, or to 0 for any`;
      reject(new TerminalError(message, { code: 'PORT_UNAVAILABLE', reason: 'InvalidSpec', cause }));
    });
    server.listen({ host, port }, resolve);
  });
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
