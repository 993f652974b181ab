import { fileURLToPath } from 'node:url';
import {
  type sendUnaryData,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** A span as it arrived over the wire, ids in hex. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Attributes;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0 unset, 1 ok, 2 error. */
  readonly status: { readonly code: number; readonly message: string };
  readonly resource: Attributes;
}

type Attributes = Readonly<Record<string, unknown>>;

/** `accept` stores what comes; `hang` takes requests and never answers; `refuse` answers UNAVAILABLE. */
export type ReceiverMode = 'accept' | 'hang' | 'refuse';

/** A real OTLP gRPC collector on loopback that keeps the spans it is sent. */
export class OtlpReceiver {
  readonly #server = new Server();
  readonly #listeners = new Set<() => void>();
  readonly spans: ReceivedSpan[] = [];
  readonly metricNames = new Set<string>();
  /** gRPC metadata of every export of spans that arrived. */
  readonly requests: Readonly<Record<string, unknown>>[] = [];
  mode: ReceiverMode;
  #port = 0;

  private constructor(mode: ReceiverMode) {
    this.mode = mode;
    this.#server.addService(service('otlp-traces.proto', 'trace', 'TraceService'), {
      Export: (call: Call, answer: Answer) => this.#take(call, answer),
    });
    this.#server.addService(service('otlp-metrics.proto', 'metrics', 'MetricsService'), {
      Export: ({ request }: MetricsCall, answer: Answer) => {
        for (const name of namesOf(request)) this.metricNames.add(name);
        answer(null, {});
      },
    });
  }

  static async start(mode: ReceiverMode = 'accept'): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver(mode);
    receiver.#port = await bind(receiver.#server);
    return receiver;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Resolves as soon as `isThere` holds, which is asked after every request. Bounded by the test's timeout. */
  async until(isThere: (receiver: OtlpReceiver) => boolean): Promise<void> {
    while (!isThere(this)) {
      await new Promise<void>(resolve => {
        const listener = (): void => {
          this.#listeners.delete(listener);
          resolve();
        };
        this.#listeners.add(listener);
      });
    }
  }

  /** The one span of this name; throws when there is none or more than one. */
  span(name: string): ReceivedSpan {
    const found = this.spans.filter(span => span.name === name);
    const [span] = found;
    if (span === undefined || found.length > 1) throw new Error(`${found.length} spans are called ${name}`);
    return span;
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #take({ request, metadata }: Call, answer: Answer): void {
    this.requests.push(metadata.getMap());
    if (this.mode === 'accept') {
      this.spans.push(...spansOf(request));
      answer(null, {});
    }
    if (this.mode === 'refuse') answer({ code: status.UNAVAILABLE, details: 'the test refuses' });
    for (const listener of this.#listeners) listener();
  }
}

type Call = ServerUnaryCall<ExportRequest, object>;
type MetricsCall = ServerUnaryCall<MetricsRequest, object>;
type Answer = sendUnaryData<object>;

interface WireValue {
  readonly value?: string;
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly WireValue[] };
}
type WireAttributes = readonly { readonly key: string; readonly value?: WireValue }[];
interface WireSpan {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId: Buffer;
  readonly name: string;
  readonly kind: number;
  readonly attributes: WireAttributes;
  readonly links: readonly { readonly traceId: Buffer; readonly spanId: Buffer }[];
  readonly status?: { readonly code: number; readonly message: string } | null;
}
interface MetricsRequest {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}
interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes: WireAttributes };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

function service(file: string, signal: string, name: string): ServiceClientConstructor['service'] {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const definition = loadSync(path, { longs: Number, oneofs: true, defaults: true });
  const root = loadPackageDefinition(definition) as unknown as {
    opentelemetry: {
      proto: { collector: { [signal: string]: { v1: Record<string, ServiceClientConstructor> } } };
    };
  };
  const constructor = root.opentelemetry.proto.collector[signal]?.v1[name];
  if (constructor === undefined) throw new Error(`${file} has no ${name}`);
  return constructor.service;
}

function bind(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

function spansOf({ resourceSpans }: ExportRequest): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(span => ({
        traceId: span.traceId.toString('hex'),
        spanId: span.spanId.toString('hex'),
        parentSpanId: span.parentSpanId.length === 0 ? undefined : span.parentSpanId.toString('hex'),
        name: span.name,
        kind: span.kind,
        attributes: attributesOf(span.attributes),
        links: span.links.map(link => ({
          traceId: link.traceId.toString('hex'),
          spanId: link.spanId.toString('hex'),
        })),
        status: { code: span.status?.code ?? 0, message: span.status?.message ?? '' },
        resource: attributesOf(resource?.attributes ?? []),
      })),
    ),
  );
}

function namesOf({ resourceMetrics }: MetricsRequest): string[] {
  const scopes = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics);
  return scopes.flatMap(({ metrics }) => metrics.map(({ name }) => name));
}

function attributesOf(attributes: WireAttributes): Attributes {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

/** With `oneofs` the loader names the member that is set in `value`. */
function plain(wire: WireValue | undefined): unknown {
  if (wire?.value === 'arrayValue') return (wire.arrayValue?.values ?? []).map(plain);
  return wire?.[wire.value as keyof WireValue];
}
