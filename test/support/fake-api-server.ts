import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject } from '../../src/kube/types.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
  /** Local port of the client: one for each connection. */
  readonly clientPort: number | undefined;
}

/** Answers one request in place of the server. */
export type Fault = (request: SeenRequest, response: ServerResponse) => void;

interface LoggedEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly namespace: string | undefined;
  readonly metadataOnly: boolean;
}

/**
 * One kind served the way kube-apiserver does, from memory: a log of versions, lists in pages, watches with
 * bookmarks, WatchList; and on demand everything that goes wrong with these.
 */
export class FakeApiServer {
  /** How a watch from a forgotten version is refused. */
  goneAs: 'http' | 'event' = 'http';
  /** `ignored`: as a server too old to know the parameter. */
  watchList: 'served' | 'refused' | 'ignored' = 'served';
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #folder = mkdtempSync(join(tmpdir(), 'fake-api-'));
  readonly #objects = new Map<string, KubeObject>();
  readonly #log: LoggedEvent[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #faults: { readonly fault: Fault; readonly matches: (request: SeenRequest) => boolean }[] = [];
  readonly #pages = new Map<string, readonly KubeObject[]>();
  #version = 100;
  #forgottenUpTo = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.#listen(0);
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get version(): string {
    return String(this.#version);
  }

  get objects(): Iterable<KubeObject> {
    return this.#objects.values();
  }

  has(name: string, namespace = 'default'): boolean {
    return this.#objects.has(`${namespace}/${name}`);
  }

  get openWatches(): number {
    return this.#watchers.size;
  }

  get lists(): readonly SeenRequest[] {
    return this.requests.filter(isList);
  }

  get watches(): readonly SeenRequest[] {
    return this.requests.filter(isWatch);
  }

  /** Path of a kubeconfig for this server. */
  kubeconfig(user: Record<string, unknown> = { token: 'secret-token' }): string {
    const config = {
      'current-context': 'fake',
      clusters: [{ name: 'fake', cluster: { server: this.url } }],
      users: [{ name: 'fake', user }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake', namespace: 'from-context' } }],
    };
    return this.file('kubeconfig', JSON.stringify(config));
  }

  /** Writes a file that goes when the server does. */
  file(name: string, content: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** Creates or changes an object; `uid` stays unless given. */
  put(name: string, fields: { namespace?: string; spec?: unknown; uid?: string } = {}): KubeObject {
    const { namespace = 'default', spec = {}, uid } = fields;
    const known = this.#objects.get(`${namespace}/${name}`);
    this.#version += 1;
    const object: KubeObject = {
      apiVersion: 'test.proconsul.dev/v1',
      kind: 'Widget',
      metadata: {
        name,
        namespace,
        uid: uid ?? known?.metadata.uid ?? `uid-${this.#version}`,
        resourceVersion: this.version,
        managedFields: [{ manager: 'test' }],
      },
      spec,
    };
    this.#objects.set(`${namespace}/${name}`, object);
    this.#publish({ version: this.#version, type: known === undefined ? 'ADDED' : 'MODIFIED', object });
    return object;
  }

  remove(name: string, namespace = 'default'): void {
    const known = this.#objects.get(`${namespace}/${name}`);
    if (known === undefined) throw new Error(`no object ${namespace}/${name}`);
    this.#version += 1;
    this.#objects.delete(`${namespace}/${name}`);
    const object = { ...known, metadata: { ...known.metadata, resourceVersion: this.version } };
    this.#publish({ version: this.#version, type: 'DELETED', object });
  }

  /** Sends the present version to all watches. */
  bookmark(): void {
    this.toWatches({ type: 'BOOKMARK', object: { metadata: { resourceVersion: this.version } } });
  }

  /** Sends anything to all watches: a line for an object, raw bytes for a string. */
  toWatches(event: object | string): void {
    const text = typeof event === 'string' ? event : `${JSON.stringify(event)}\n`;
    for (const { response } of this.#watchers) response.write(text);
  }

  endWatches(how: 'cleanly' | 'broken' = 'cleanly'): void {
    for (const { response } of this.#watchers) {
      if (how === 'cleanly') response.end();
      else response.destroy();
    }
    this.#watchers.clear();
  }

  /** Changes and bookmarks no longer reach the present watches, whose connections stay open: they are half-open. */
  blackHoleWatches(): void {
    this.#watchers.clear();
  }

  /** Watches from before now, and lists begun before now, are refused from here on. */
  compact(): void {
    this.#forgottenUpTo = this.#version;
    this.#pages.clear();
  }

  /** As a restored backup: present and past are gone, versions start over. */
  rewind(): void {
    this.#objects.clear();
    this.#log.length = 0;
    this.#version = 10;
    this.#forgottenUpTo = 0;
  }

  /** Answers the next request that matches with `fault`; several are used in order. */
  failNext(fault: Fault, matches: (request: SeenRequest) => boolean = () => true): void {
    this.#faults.push({ fault, matches });
  }

  async stop(): Promise<void> {
    await this.#close();
    rmSync(this.#folder, { recursive: true });
  }

  /** Closes the port and all connections, then serves again on the same port. */
  async restart(): Promise<void> {
    const { port } = this;
    await this.#close();
    await this.#listen(port);
  }

  async #listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async #close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await readRequest(message);
    this.requests.push(request);
    const index = this.#faults.findIndex(({ matches }) => matches(request));
    const [planned] = index === -1 ? [] : this.#faults.splice(index, 1);
    if (planned !== undefined) planned.fault(request, response);
    else if (request.method !== 'GET') reply(response, 201, request.body ?? {});
    else if (isWatch(request)) this.#watch(request, response);
    else if (isList(request)) this.#list(request, response);
    else this.#get(request, response);
  }

  #get(request: SeenRequest, response: ServerResponse): void {
    const [, namespace = '', name = ''] = /namespaces\/([^/]+)\/[^/]+\/([^/]+)$/.exec(request.path) ?? [];
    const object = this.#objects.get(`${namespace}/${name}`);
    if (object === undefined) replyStatus(response, 404, 'NotFound');
    else reply(response, 200, object);
  }

  #list(request: SeenRequest, response: ServerResponse): void {
    const token = request.query.get('continue');
    const rest = token === null ? this.#within(namespaceOf(request)) : this.#pages.get(token);
    if (rest === undefined) return replyStatus(response, 410, 'Expired');
    const limit = Number(request.query.get('limit') ?? rest.length);
    const version = token?.split(':')[0] ?? this.version;
    const next = `${version}:${this.#pages.size}`;
    if (rest.length > limit) this.#pages.set(next, rest.slice(limit));
    const metadata = { resourceVersion: version, ...(rest.length > limit ? { continue: next } : {}) };
    const items = rest.slice(0, limit).map(object => view(object, wantsMetadata(request)));
    reply(response, 200, { kind: 'WidgetList', apiVersion: 'test.proconsul.dev/v1', metadata, items });
  }

  #watch(request: SeenRequest, response: ServerResponse): void {
    const initial = request.query.get('sendInitialEvents') === 'true';
    if (initial && this.watchList === 'refused') return replyStatus(response, 422, 'Invalid');
    const since = Number(request.query.get('resourceVersion') ?? 0);
    const gone = !initial && since < this.#forgottenUpTo;
    if (gone && this.goneAs === 'http') return replyStatus(response, 410, 'Expired');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (gone)
      return void response.end(`${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired') })}\n`);
    const watcher = { response, namespace: namespaceOf(request), metadataOnly: wantsMetadata(request) };
    if (initial) this.#sendInitial(watcher);
    else for (const event of this.#log) if (event.version > since) send(watcher, event);
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #sendInitial(watcher: Watcher): void {
    for (const object of this.#within(watcher.namespace)) send(watcher, { type: 'ADDED', object });
    if (this.watchList === 'ignored') return;
    const annotations = { 'k8s.io/initial-events-end': 'true' };
    const object = { metadata: { resourceVersion: this.version, annotations } };
    watcher.response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  #publish(event: LoggedEvent): void {
    this.#log.push(event);
    for (const watcher of this.#watchers) send(watcher, event);
  }

  #within(namespace: string | undefined): readonly KubeObject[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }
}

/** A `metav1.Status`, as body of a refusal or object of an ERROR event. */
export function statusOf(code: number, reason: string, message = `${reason} by test`): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, code };
}

export function replyStatus(response: ServerResponse, code: number, reason: string): void {
  reply(response, code, statusOf(code, reason));
}

export function reply(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function isWatch(request: SeenRequest): boolean {
  return request.query.get('watch') === 'true';
}

export function isList(request: SeenRequest): boolean {
  const ofCollection = /^\/(api|apis\/[^/]+)\/[^/]+\/(namespaces\/[^/]+\/)?[^/]+$/.test(request.path);
  return request.method === 'GET' && !isWatch(request) && ofCollection;
}

function wantsMetadata({ headers }: SeenRequest): boolean {
  return headers.accept?.includes('PartialObjectMetadata') ?? false;
}

function namespaceOf({ path }: SeenRequest): string | undefined {
  return /\/namespaces\/([^/]+)\//.exec(path)?.[1];
}

function send(watcher: Watcher, { type, object }: Pick<LoggedEvent, 'type' | 'object'>): void {
  if (watcher.namespace !== undefined && watcher.namespace !== object.metadata.namespace) return;
  watcher.response.write(`${JSON.stringify({ type, object: view(object, watcher.metadataOnly) })}\n`);
}

function view(object: KubeObject, metadataOnly: boolean): object {
  return metadataOnly ? { kind: 'PartialObjectMetadata', metadata: object.metadata } : object;
}

async function readRequest(message: IncomingMessage): Promise<SeenRequest> {
  const { pathname, searchParams } = new URL(message.url ?? '', 'http://fake');
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return {
    method: message.method ?? '',
    path: pathname,
    query: searchParams,
    headers: message.headers,
    body: text === '' ? undefined : JSON.parse(text),
    clientPort: message.socket.remotePort,
  };
}
