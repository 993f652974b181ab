import { z } from 'zod';
import { badReply, type RequestSite } from './errors.ts';
import { parseJson } from './json.ts';
import type { WireReply } from './transport.ts';
import type { Answer } from './types.ts';

/** An answer with a status that the endpoint knows. */
export interface ConsulReply extends WireReply {
  readonly site: RequestSite;
  readonly anonymous: boolean;
}

/**
 * The body as `schema` has it.
 * @throws RetryableError `CONSUL_BAD_REPLY`, saying what is wrong without quoting: a value may be a Secret's.
 */
export function parseBody<T>(schema: z.ZodType<T>, reply: ConsulReply): T {
  const result = schema.safeParse(bodyAsJson(reply));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw badReply(reply.site, `JSON of another shape (${issue?.code} at ${placeOf(issue?.path)})`);
}

function bodyAsJson(reply: ConsulReply): unknown {
  try {
    return parseJson(reply.body.toString('utf8'));
  } catch {
    // The parser's own message quotes the text around the mistake.
    throw badReply(reply.site, `${reply.body.length} bytes that are not JSON`);
  }
}

function placeOf(path: readonly PropertyKey[] = []): string {
  return (
    path.map(step => (typeof step === 'number' ? '[]' : String(step).slice(0, 40))).join('.') || 'the top'
  );
}

const INDEX = z.string().regex(/^\d+$/).transform(Number).pipe(z.int());

/**
 * A read's value with what the headers say about it.
 * @throws RetryableError `CONSUL_BAD_REPLY` without `X-Consul-Index`: then it is not Consul that says "not found".
 */
export function answerOf<T>(value: T, reply: ConsulReply): Answer<T> {
  const index = INDEX.safeParse(header(reply, 'x-consul-index'));
  if (!index.success) throw badReply(reply.site, 'no X-Consul-Index');
  return answerAt(index.data, value, reply);
}

/** For the reads that have no index of their own. */
export function answerAt<T>(index: number, value: T, reply: ConsulReply): Answer<T> {
  return {
    value,
    index,
    filteredByAcl: mayBeFiltered(reply),
    knownLeader: header(reply, 'x-consul-knownleader') === 'true',
    elapsedMs: reply.elapsedMs,
  };
}

/**
 * That it is Consul who says "not found", where the endpoint gives no index.
 * @throws RetryableError `CONSUL_BAD_REPLY`
 */
export function requireConsul(reply: ConsulReply): void {
  if (header(reply, ACL_POLICY) === undefined)
    throw badReply(reply.site, `a ${reply.status} that is not Consul's`);
}

/** On every answer of `/v1/…` (`setHeaders` in `agent/http.go`). */
const ACL_POLICY = 'x-consul-default-acl-policy';

/** Consul never sets the first header for the anonymous token, whatever it has left out. */
function mayBeFiltered(reply: ConsulReply): boolean {
  if (header(reply, 'x-consul-results-filtered-by-acls') === 'true') return true;
  return reply.anonymous && header(reply, ACL_POLICY) === 'deny';
}

function header(reply: ConsulReply, name: string): string | undefined {
  const value = reply.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** `true` or `false`, as writes with a precondition answer. */
export function parseApplied(reply: ConsulReply): { readonly applied: boolean } {
  return { applied: parseBody(z.boolean(), reply) };
}

/** For writes that have no precondition and so nothing to refuse: a `false` is no answer of Consul. */
export function parseTrue(reply: ConsulReply): void {
  parseBody(z.literal(true), reply);
}
