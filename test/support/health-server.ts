import { fileURLToPath } from 'node:url';
import {
  loadPackageDefinition,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

type ServingStatus = 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
type Call = ServerUnaryCall<{ readonly service: string }, { readonly status: ServingStatus }>;

/** A gRPC server with the health service, or without. */
export class HealthServer {
  readonly #server = new Server();
  /** By service; what is not here is NOT_FOUND, and `hangs` never answers. */
  readonly services = new Map<string, ServingStatus | 'hangs'>();
  readonly authorities: string[] = [];
  cancelled = 0;
  port = 0;

  static async start(
    options: {
      readonly identity?: { readonly cert: Buffer; readonly key: Buffer };
      readonly withoutHealth?: boolean;
      readonly host?: string;
    } = {},
  ): Promise<HealthServer> {
    const health = new HealthServer();
    if (!options.withoutHealth) health.#server.addService(healthService(), { Check: health.#check });
    const { identity, host = '127.0.0.1' } = options;
    const credentials =
      identity === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ cert_chain: identity.cert, private_key: identity.key }]);
    health.port = await new Promise<number>((resolve, reject) => {
      health.#server.bindAsync(`${host}:0`, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    return health;
  }

  close(): void {
    this.#server.forceShutdown();
  }

  readonly #check = (call: Call, answer: sendUnaryData<{ readonly status: ServingStatus }>): void => {
    this.authorities.push(call.getHost());
    const serving = this.services.get(call.request.service);
    if (serving === undefined) answer({ code: status.NOT_FOUND, details: 'unknown service' });
    else if (serving !== 'hangs') answer(null, { status: serving });
    else call.on('cancelled', () => void (this.cancelled += 1));
  };
}

function healthService(): ServiceClientConstructor['service'] {
  const file = fileURLToPath(new URL('health.proto', import.meta.url));
  const loaded = loadPackageDefinition(loadSync(file, { enums: String, defaults: true })) as unknown as {
    readonly grpc: { readonly health: { readonly v1: { readonly Health: ServiceClientConstructor } } };
  };
  return loaded.grpc.health.v1.Health.service;
}
