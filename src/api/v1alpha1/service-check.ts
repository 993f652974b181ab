import { z } from 'zod';
import { durationMs } from './duration-rules.ts';
import {
  CHECK_KINDS,
  CHECK_RULES,
  HTTP_CHECK_RULES,
  MAX_CHECK_NAME_CHARS,
  MAX_HEADER_VALUES,
  MAX_HEADERS,
  TTL_RULES,
} from './service-check-cel.ts';

const DEFAULTS = {
  interval: '10s',
  timeout: '10s',
  scriptTimeout: '30s',
} as const;

/** A port of TCP or UDP, as instances, sidecars and checks have it. */
export const portNumber = z.int().min(1).max(65_535);
/** No control character, nor one that is invisible or turns the text round. */
export const VISIBLE = /^[^\p{Cc}\p{Cf}]+$/u;
const checkPort = portNumber
  .exactOptional()
  .describe('Port to ask, at the address of the instance. Defaults to the port of the instance.');
const duration = z.string().min(1).max(32);
const times = z.int().min(1).max(100).exactOptional();
const serverName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/);

const http = z
  .object({
    path: z
      .string()
      .min(1)
      .max(1024)
      .exactOptional()
      .describe('Path, with the query if there is one. Begins with "/". Defaults to "/".'),
    port: checkPort,
    scheme: z.enum(['http', 'https']).exactOptional().describe('Defaults to http.'),
    method: z
      .enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      .exactOptional()
      .describe('Defaults to GET.'),
    headers: z
      .record(
        z.string(),
        z
          .array(
            z
              .string()
              .max(2048)
              .regex(/^([!-~]([ -~]*[!-~])?)?$/)
              .describe('A value of the header: ASCII, without spaces at its edges.'),
          )
          .min(1)
          .max(MAX_HEADER_VALUES)
          .meta({
            description: 'Values of the header, 1 to 8.',
            'x-kubernetes-list-type': 'atomic',
          }),
      )
      .exactOptional()
      .meta({
        description:
          'Headers of the request, by name, with their values. At most 16. Whoever may read this resource can read them: put no token here that opens more than a health page.',
        maxProperties: MAX_HEADERS,
      }),
    body: z
      .string()
      .max(4096)
      .exactOptional()
      .describe('Body of the request, at most 4096 characters. Defaults to none.'),
    tls: z
      .object({
        serverName: serverName
          .exactOptional()
          .describe(
            'Name to ask for (SNI) and to find in the certificate. Defaults to the address of the instance.',
          ),
        skipVerify: z
          .boolean()
          .exactOptional()
          .describe('True: whatever certificate comes is taken. Defaults to false.'),
      })
      .exactOptional()
      .describe('How the certificate is checked. Only with scheme: https.'),
  })
  .exactOptional()
  .meta({
    description:
      'Sends a request. 2xx is passing, 429 a warning, anything else and no answer critical. Whoever runs the check is the client: the operator with registration: Catalog, the agent with Agent.',
    'x-kubernetes-validations': HTTP_CHECK_RULES,
  });

const tcp = z
  .object({ port: checkPort })
  .exactOptional()
  .describe('Opens a connection and closes it again. Passing when it opens.');

const grpc = z
  .object({
    service: z
      .string()
      .min(1)
      .max(255)
      .regex(/^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$/)
      .exactOptional()
      .describe('Name of the gRPC service whose health is asked for. Defaults to the server as a whole.'),
    port: checkPort,
    tls: z.boolean().exactOptional().describe('True: by TLS. Defaults to false.'),
  })
  .exactOptional()
  .describe('Asks by the health protocol of gRPC (grpc.health.v1). Passing when it says SERVING.');

const ttl = z
  .object({
    ttl: duration.describe(
      'How long the check stays as it is without hearing from the application, 1s to 24h; then it is critical.',
    ),
  })
  .exactOptional()
  .meta({
    description:
      'Waits to hear from the application, which calls /v1/agent/check/update on the agent. Only with registration: Agent.',
    'x-kubernetes-validations': TTL_RULES,
  });

const script = z
  .object({
    args: z
      .array(
        z
          .string()
          .min(1)
          .max(1024)
          .regex(VISIBLE)
          .describe('The program, or one of its arguments, without control characters.'),
      )
      .min(1)
      .max(32)
      .meta({
        description: 'The program and its arguments, 1 to 32. No shell reads them.',
        'x-kubernetes-list-type': 'atomic',
      }),
  })
  .exactOptional()
  .describe(
    'Runs a program on the host of the agent. Exit code 0 is passing, 1 a warning, any other critical. Only with registration: Agent, and only where the operator allows it and the agent has enable_script_checks.',
  );

export const check = z
  .object({
    name: z
      .string()
      .min(1)
      .max(MAX_CHECK_NAME_CHARS)
      .describe(
        'Name of the check; no other of this resource has it. Lower-case letters, digits, "-", "_" and ".", at most 63, not beginning with "proconsul-".',
      ),
    http,
    tcp,
    grpc,
    ttl,
    script,
    interval: duration
      .exactOptional()
      .describe('From one run to the next, 1s to 24h. Not for ttl. Defaults to 10s.'),
    timeout: duration
      .exactOptional()
      .describe(
        'How long a run may take, 10ms to 10m; then it has failed. Not for ttl. Defaults to 10s, for a script to 30s.',
      ),
    successBeforePassing: times.describe(
      'How many runs in a row must be good until a critical check is passing, 1 to 100. Not for ttl. Defaults to 1.',
    ),
    failuresBeforeCritical: times.describe(
      'How many runs in a row must be bad until the check is critical, 1 to 100. Not for ttl. Defaults to 1.',
    ),
    deregisterCriticalServiceAfter: duration
      .exactOptional()
      .describe(
        'How long an instance may be critical, 1m to 720h; then it is taken out of Consul. With registration: Catalog it is asked on and returns when it passes; with Agent it stays out until its declaration changes. Defaults to never.',
      ),
  })
  .meta({
    description:
      'A check that every instance gets: exactly one of http, tcp, grpc, ttl and script. An instance is as healthy as its worst check.',
    'x-kubernetes-validations': CHECK_RULES,
  });

/** A check as declared, without defaults. */
export type ServiceCheck = Readonly<z.output<typeof check>>;
export type CheckKind = (typeof CHECK_KINDS)[number];

/** What is in effect of a check: its own, else the defaults that the field descriptions name. Without a meaning for ttl. */
export interface CheckSettings {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly successBeforePassing: number;
  readonly failuresBeforeCritical: number;
  /** Undefined: never. */
  readonly deregisterAfterMs: number | undefined;
}

/** @throws TypeError for durations that `parseConsulService` would not have let pass. */
export function checkSettingsOf(check: ServiceCheck): CheckSettings {
  const { interval, timeout, deregisterCriticalServiceAfter: deregisterAfter } = check;
  const { successBeforePassing = 1, failuresBeforeCritical = 1 } = check;
  const longest = check.script === undefined ? DEFAULTS.timeout : DEFAULTS.scriptTimeout;
  return {
    intervalMs: durationMs(interval ?? DEFAULTS.interval),
    timeoutMs: durationMs(timeout ?? longest),
    successBeforePassing,
    failuresBeforeCritical,
    deregisterAfterMs: deregisterAfter === undefined ? undefined : durationMs(deregisterAfter),
  };
}

/** @throws TypeError for a check of no kind, which `parseConsulService` would not have let pass. */
export function checkKindOf(check: ServiceCheck): CheckKind {
  const kind = CHECK_KINDS.find(one => check[one] !== undefined);
  if (kind === undefined) throw new TypeError('not a check');
  return kind;
}
