/**
 * The codes of errors that are neither Consul's nor the API server's, with what they mean and the way out.
 * Those two have catalogues of their own; `docs/errors.md` is generated from all three.
 */
export const OPERATOR_ERROR_CODES = {
  ABORTED: 'The turn was cut short by shutdown or by losing the lead. Nothing was lost: it runs again.',
  AGENT_NOT_ALLOWED:
    'The operator was not told that services may be registered with its agent, or with script checks. The message names the setting.',
  CLUSTER_NOT_LISTED:
    'Pods, Services or EndpointSlices cannot be listed, so nobody knows who may lead. Grant list and watch as the message says.',
  COMMAND_UNKNOWN: 'The process was started with a command it does not have. Use `run` or `release`.',
  CONSUL_NOT_READ:
    'Owner records and keys have not been read completely yet. It is tried by itself; the message says what is in the way.',
  CONSUL_TXN_CONTENDED: 'Other writers were faster several times in a row. It is tried again by itself.',
  CONSUL_TXN_REFUSED:
    'Consul refused a transaction without naming an operation of it. It is tried again by itself; the log of the server may say more.',
  DRY_RUN: 'PROCONSUL_DRY_RUN is set: the message says what would have been written.',
  ENTRY_TOO_LARGE:
    'All intentions of one destination together would be over 512 KiB, which is too much for one write. Split the destination, or shorten permissions and descriptions.',
  INSTALL_ID_UNKNOWN:
    'The uid of the namespace kube-system cannot be read. Grant get on that namespace, or set PROCONSUL_INSTALL_ID.',
  INSTALL_ID_TAKEN:
    'Another install leads under the same id. Give one of the two another PROCONSUL_INSTALL_ID.',
  KEY_INVALID: 'A key that Consul could store but not address safely. Change it as the message says.',
  KEY_NOT_ALLOWED: 'Tenancy does not let this namespace write the key.',
  KEY_NOT_OURS: 'A write would have left the records of this install. This is a defect: please report it.',
  LEASE_TIMING: 'The TTL or the lock-delay of a lease is out of bounds; the message says what they are.',
  LOCK_CONFLICT:
    'The key of a lock is used for something else, which is left alone. Choose another key, or delete that one if nobody needs it.',
  LOCK_TAKEN:
    'A lock that was asked for once, without waiting for it, is held by another or in its lock-delay.',
  LEASE_CONTENDED:
    'The Lease of this install kept changing while a tenure was opened. It is tried again by itself.',
  NODE_NOT_OURS:
    'A node of the catalog that is not for instances: it has a Consul agent, or belongs to the operator. Name another node.',
  OWN_SERVERS_UNKNOWN:
    'A name under which Consul or the API server is reached does not resolve, so nobody knows which addresses checks must not ask. It is tried again by itself.',
  PORT_UNAVAILABLE:
    'A port for probes or metrics is taken or not allowed. Change the setting that the message names.',
  PRIVATE_KEY_DAMAGED:
    'Something else stands where the private key of this install should be. Remove it to have a new one made.',
  PRIVATE_KEY_RACE: 'Another process made the private key at the same moment. It is read again by itself.',
  RECORDS_HIDDEN:
    'The ACL token does not show all owner records of this install. Extend its policy as the message says.',
  RELEASE_CONTENDED:
    'A record kept changing while the install was being released. Stop the operator, then release again.',
  SETTING_INVALID: 'A setting is wrong; the message names it and says what would be right.',
  TENURE_DOES_NOT_END:
    'A reconcile did not end when the lead was lost. The process ends itself, as it must not lead again like that.',
  TURN_CONTENDED:
    'Consul changed under the hands of the operator several times in a row. It is tried again by itself.',
  TURN_DEADLINE: 'A reconcile was not done in time. It is tried again by itself.',
  TURN_GONE: 'The resource was deleted while it was worked on.',
  TURN_TOO_LONG: 'A change needs more transactions than one turn makes. It goes on by itself.',
} as const satisfies Record<string, string>;
