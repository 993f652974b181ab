/**
 * What this process has run out of, and a network that does not lead anywhere from here, say nothing about a target. An
 * unreachable host does: that is what a machine that is down looks like from beside it.
 */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'ENETDOWN',
  'ENETUNREACH',
]);

/** Whether a connection failed for a reason of our own. */
export function isOwnFault(code: string | undefined): boolean {
  return code !== undefined && OWN_FAULTS.has(code);
}

/** What the DNS says of a name; every other code says that the DNS could not be asked. nodejs.org/api/dns.html#error-codes */
const ANSWERS_OF_THE_DNS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME', 'ENONAME']);

/** Whether a name was looked up, and has no address. */
export function isAnswerOfTheDns(code: string | undefined): boolean {
  return code !== undefined && ANSWERS_OF_THE_DNS.has(code);
}
