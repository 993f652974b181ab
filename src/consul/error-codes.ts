interface ErrorKind {
  readonly meaning: string;
  /** Which class of `core/errors.ts`: tried again, observed again at once, or left until something changes. */
  readonly effect: 'retry' | 'conflict' | 'stop';
  /** Condition reason that the user sees. */
  readonly reason: string;
  /** Ends every message of this kind. */
  readonly wayOut: string;
}

const RETRIED = 'It is tried again by itself';

/** Every code that an error of the Consul client can carry. `docs/errors.md` is generated from it. */
export const CONSUL_ERROR_CODES = {
  CONSUL_UNREACHABLE: {
    meaning: 'No connection to Consul: refused, no route, unknown host, or a proxy with no server behind it.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; check that the servers run, and CONSUL_HTTP_ADDR.`,
  },
  CONSUL_CONNECTION_LOST: {
    meaning: 'The connection broke before the answer was complete.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; check whether the server restarted, demands a client certificate, or is behind a proxy that cuts long requests.`,
  },
  CONSUL_TIMEOUT: {
    meaning: 'No answer within the deadline.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; check the load of the servers and the network to them.`,
  },
  CONSUL_TLS: {
    meaning:
      'No TLS session with Consul: wrong scheme, CA, name or certificate, or a file that cannot be read.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut:
      'Check CONSUL_HTTP_ADDR, CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY and CONSUL_TLS_SERVER_NAME.',
  },
  CONSUL_NO_LEADER: {
    meaning: 'The servers have no leader, or it is just changing.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; if it lasts, check that a majority of the servers run.`,
  },
  CONSUL_DATACENTER: {
    meaning: 'The datacenter is unknown to the server asked, or not reachable from it.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: 'Check CONSUL_DATACENTER and the links between the datacenters.',
  },
  CONSUL_RATE_LIMITED: {
    meaning: 'Consul refuses requests for now because there are too many of them or too many connections.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; if it lasts, raise limits.request_limits or limits.http_max_conns_per_client.`,
  },
  CONSUL_SERVER_ERROR: {
    meaning: 'Consul answered with an error that is none of the others.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: `${RETRIED}; the log of the server may say more.`,
  },
  CONSUL_BAD_REPLY: {
    meaning:
      'The answer is not what Consul sends: cut short, HTML, or of another shape. Nothing is concluded from it.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: 'Check that CONSUL_HTTP_ADDR leads to the HTTP API of Consul, and any proxy between.',
  },
  CONSUL_REPLY_TOO_LARGE: {
    meaning: 'The answer is over the number of bytes that are read.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: 'Check what stands under the prefix that was read.',
  },
  CONSUL_REDIRECTED: {
    meaning:
      'Something answered with a redirect. It is not followed: it could lead the token or a write astray.',
    effect: 'retry',
    reason: 'ConsulUnreachable',
    wayOut: 'Set CONSUL_HTTP_ADDR to the address that answers without a redirect.',
  },
  CONSUL_DENIED: {
    meaning: 'The ACL token is unknown, has expired or lacks a right.',
    effect: 'retry',
    reason: 'ConsulDenied',
    wayOut: "Extend the policy of the operator's token or put in a valid token; no restart is needed.",
  },
  CONSUL_TOKEN_FILE: {
    meaning: 'The file that should hold the ACL token cannot be read, or holds no token.',
    effect: 'retry',
    reason: 'ConsulDenied',
    wayOut: 'Check CONSUL_HTTP_TOKEN_FILE; the file is read again by itself.',
  },
  CONSUL_INVALID_SESSION: {
    meaning: 'The session no longer exists.',
    effect: 'conflict',
    reason: 'Progressing',
    wayOut: 'A new one is made by itself.',
  },
  CONSUL_NODE_MISSING: {
    meaning: 'The node a session should belong to is not in the catalog.',
    effect: 'conflict',
    reason: 'Progressing',
    wayOut: 'It is registered again by itself.',
  },
  CONSUL_DEPENDENCY: {
    meaning: 'Another Consul object is missing or of the wrong kind, and may yet come.',
    effect: 'retry',
    reason: 'DependencyNotReady',
    wayOut: `${RETRIED} once that object is there.`,
  },
  CONSUL_TOO_LARGE: {
    meaning: "The request is over Consul's limit of bytes or operations.",
    effect: 'stop',
    reason: 'TooLarge',
    wayOut: 'Split the data over several resources, or shorten it.',
  },
  CONSUL_BAD_REQUEST: {
    meaning: 'Consul does not understand the request.',
    effect: 'stop',
    reason: 'UnsupportedByConsul',
    wayOut: 'This Consul may be older than what is asked of it.',
  },
  CONSUL_INVALID: {
    meaning: 'Consul understood the request and refuses what it asks for.',
    effect: 'stop',
    reason: 'InvalidSpec',
    wayOut: 'Change what the message names.',
  },
  CONSUL_SETTINGS: {
    meaning: 'The settings that say how to reach Consul are wrong.',
    effect: 'stop',
    reason: 'InvalidSpec',
    wayOut: 'The operator does not start before that is put right.',
  },
} as const satisfies Record<string, ErrorKind>;

export type ConsulErrorCode = keyof typeof CONSUL_ERROR_CODES;
