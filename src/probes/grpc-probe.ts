import { createSecureContext } from 'node:tls';
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  type ServiceError,
  status as codes,
} from '@grpc/grpc-js';
import { closingSockets, connectionFailure } from './closing-sockets.ts';
import { isOwnFault } from './own-faults.ts';
import { serverName } from './dial.ts';
import { decodeResponse, encodeRequest, HEALTH_CHECK_METHOD } from './grpc-health.ts';
import { authorityOf, type GrpcTarget, type ProbeOutcome, type ProbeTls } from './spec.ts';

const MAX_ANSWER_BYTES = 4096;

/**
 * Asks the health service of a server, on a connection of its own: SERVING is passing, all else critical.
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 *
 * @throws ServiceError when there is no answer from a health service.
 */
export function probeGrpc(target: GrpcTarget, address: string, signal: AbortSignal): Promise<ProbeOutcome> {
  return closingSockets(() => ask(target, address, signal));
}

async function ask(target: GrpcTarget, address: string, signal: AbortSignal): Promise<ProbeOutcome> {
  const client = new Client(channelTarget(target, address), credentialsFor(target), channelOptions(target));
  try {
    const status = await check(client, target.service, signal);
    return answer(target, status === 'SERVING' ? 'passing' : 'critical', status);
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    const status = isOwnFault(connectionFailure()) ? 'unknown' : 'critical';
    return answer(target, status, explain(thrown as ServiceError));
  } finally {
    client.close();
  }
}

function check(client: Client, service: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const call = client.makeUnaryRequest(
      HEALTH_CHECK_METHOD,
      encodeRequest,
      decodeResponse,
      service,
      (error, status) => {
        signal.removeEventListener('abort', cancel);
        if (error) reject(error);
        else resolve(status ?? 'UNKNOWN');
      },
    );
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
  });
}

/** By number: the library resolves nothing. */
function channelTarget({ port }: GrpcTarget, address: string): string {
  return address.includes(':') ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`;
}

function channelOptions(target: GrpcTarget): ChannelOptions {
  return {
    'grpc.default_authority': authorityOf(target),
    ...(target.tls && { 'grpc.ssl_target_name_override': serverName(target.host, target.tls) }),
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  };
}

function credentialsFor({ tls }: { readonly tls: ProbeTls | undefined }): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createFromSecureContext(createSecureContext(), { rejectUnauthorized: !tls.skipVerify });
}

function answer(target: GrpcTarget, status: 'passing' | 'critical' | 'unknown', text: string): ProbeOutcome {
  const service = target.service === '' ? '' : `/${target.service}`;
  return { status, output: `gRPC check ${authorityOf(target)}${service}: ${text}` };
}

function explain({ code, details }: ServiceError): string {
  if (code === codes.NOT_FOUND) return 'the server does not know this service (NOT_FOUND)';
  if (code === codes.UNIMPLEMENTED) return 'the server has no health service (UNIMPLEMENTED)';
  return `${codes[code] ?? String(code)}: ${details}`;
}
