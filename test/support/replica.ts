import { FaultProxy } from './fault-proxy.ts';
import type { RecordedRequest } from './fault-rules.ts';
import { type LogLine, Operator } from './operator.ts';
import { isReadOnlyTransaction, isSessionCreation, isTransaction } from './traffic.ts';

export interface ReplicaOptions {
  readonly name: string;
  readonly apiServer: { readonly apiServerUrl: string; readonly caFile: string; readonly adminToken: string };
  /** In the order in which this replica tries them. */
  readonly consulAddresses: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** One replica of an operator: a process with a way of its own to the API server and to each Consul server. */
export class Replica {
  readonly name: string;
  readonly toKube: FaultProxy;
  /** One before each Consul server. */
  readonly toConsul: readonly FaultProxy[];
  readonly #options: ReplicaOptions;
  #processes: Operator[] = [];

  private constructor(options: ReplicaOptions, toKube: FaultProxy, toConsul: readonly FaultProxy[]) {
    this.name = options.name;
    this.#options = options;
    this.toKube = toKube;
    this.toConsul = toConsul;
  }

  static async create(options: ReplicaOptions): Promise<Replica> {
    const { apiServerUrl, caFile } = options.apiServer;
    const toKube = await FaultProxy.start({ upstream: apiServerUrl, caFile });
    const keepReplies = (request: RecordedRequest): boolean =>
      (isTransaction(request) && !isReadOnlyTransaction(request)) || isSessionCreation(request);
    const toConsul = await Promise.all(
      options.consulAddresses.map(upstream => FaultProxy.start({ upstream, keepReplies })),
    );
    return new Replica(options, toKube, toConsul);
  }

  /** The process that runs now, or ran last. */
  get operator(): Operator {
    const last = this.#processes.at(-1);
    if (last === undefined) throw new Error(`${this.name} was not started`);
    return last;
  }

  /** Of every process it has had. */
  get logs(): readonly LogLine[] {
    return this.#processes.flatMap(({ logs }) => logs);
  }

  /** What it asked of Consul, in the order of arrival. */
  get consulRequests(): readonly RecordedRequest[] {
    return this.toConsul.flatMap(({ requests }) => requests).sort((one, other) => one.at - other.at);
  }

  /** Which of the Consul servers a request went to. */
  consulAddressOf(request: RecordedRequest): string | undefined {
    const at = this.toConsul.findIndex(({ requests }) => requests.includes(request));
    return this.#options.consulAddresses[at];
  }

  /** Starts a process and does not wait for it. */
  async spawn(): Promise<Operator> {
    const { apiServer, env, name } = this.#options;
    const operator = await Operator.start({
      server: this.toKube.url,
      token: apiServer.adminToken,
      consulAddress: this.toConsul.map(({ url }) => url).join(','),
      env: { POD_NAME: name, ...env },
    });
    this.#processes.push(operator);
    return operator;
  }

  async start(): Promise<void> {
    await (await this.spawn()).ready();
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map(operator => operator[Symbol.asyncDispose]()));
    await Promise.all([this.toKube, ...this.toConsul].map(proxy => proxy.close()));
  }
}
