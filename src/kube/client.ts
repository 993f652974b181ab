export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** How the body of a PATCH is meant; without one the API server refuses it. */
export type PatchType =
  | 'application/merge-patch+json'
  | 'application/json-patch+json'
  | 'application/apply-patch+yaml';

export interface KubeRequest {
  readonly method: Method;
  /** From `collectionPath` or `objectPath`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: PatchType | 'application/json';
  readonly accept?: string;
  readonly signal: AbortSignal;
  /** Milliseconds from the moment the request is sent to the end of its answer; default 30,000. */
  readonly deadlineMs?: number;
  /**
   * Called synchronously when the connection stands and nothing is written to it yet, again for each resend. When it
   * throws, so does the call, and nothing is sent: the place for "do I still lead?". Not for streams.
   */
  readonly beforeSend?: () => void;
}

/** One answered or failed request, for `rest_client_requests_total` and its duration. */
export interface RequestReport {
  /** HTTP status, or `<error>` when none came, as client-go counts. */
  readonly code: string;
  readonly method: Method;
  readonly host: string;
  readonly durationMs: number;
  readonly watch: boolean;
}

/** Raw JSON in, raw JSON out. */
export interface KubeClient {
  /** `host:port` of the API server. */
  readonly host: string;
  /** Namespace of the kubeconfig's current context, or of the Pod's account. */
  readonly contextNamespace: string | undefined;
  /**
   * Sends one request and resolves with its answer, parsed.
   *
   * @throws RetryableError unreachable, late, 401, 403, 429, 5xx. `outcomeUnknown` when a write may have happened.
   * @throws ConflictError 409 and 410.
   * @throws TerminalError 404, 400, 422 and other refusals, and an answer over the limit.
   * @throws AbortedError when `signal` aborts or the client is closed.
   */
  request<T>(request: KubeRequest): Promise<T>;
  /**
   * Opens a watch on a connection of its own and resolves once the server has accepted it. The chunks end when the
   * server ends the watch; leaving the loop early, or aborting `signal`, destroys the connection. Whoever does not
   * read them has to abort.
   *
   * @throws as `request`; so does the iteration, when the connection breaks.
   */
  stream(request: KubeRequest): Promise<AsyncIterable<Uint8Array>>;
  /** Cuts off whatever is in flight. */
  close(): Promise<void>;
}
