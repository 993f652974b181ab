import { z } from 'zod';
import { answerOf, type ConsulReply, parseBody, parseTrue, requireConsul } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import { type Answer, type CallOptions, parseSessionId, type ReadOptions, type SessionId } from './types.ts';

export interface Session {
  readonly id: SessionId;
  readonly name: string;
  readonly node: string;
  /** Go's notation, `20s`. */
  readonly ttl: string;
  readonly behavior: string;
  readonly createIndex: number;
}

export interface NewSession {
  /** A node of the catalog that is no machine: the session dies with its node, so never the node of a server. */
  readonly node: string;
  readonly name: string;
  /** 10 to 86,400. Consul ends the session after twice that without a renewal. */
  readonly ttlSeconds: number;
  /** 0 to 60: how long the lock stays closed after its holder's session was ended. */
  readonly lockDelaySeconds: number;
}

/** https://developer.hashicorp.com/consul/api-docs/session */
export interface SessionReads {
  info(id: SessionId, options: ReadOptions): Promise<Answer<Session | undefined>>;
  /** Also the way to find what an unclear `create` left behind, by its name. */
  listNode(node: string, options: ReadOptions): Promise<Answer<readonly Session[]>>;
}

export interface SessionWrites {
  /**
   * Makes a session that only its TTL and its node can end, and that releases its locks without deleting them.
   * @throws ConflictError `CONSUL_NODE_MISSING` when the node is not registered.
   */
  create(session: NewSession, options: CallOptions): Promise<SessionId>;
  /** Not alive: lost for good. Always asked of the leader, for a follower would reset a timer that nobody heeds. */
  renew(id: SessionId, options: CallOptions): Promise<{ readonly alive: boolean }>;
  /** Succeeds too when the session is already gone. A lock that it holds goes into its lock-delay: release first. */
  destroy(id: SessionId, options: CallOptions): Promise<void>;
}

export function createSessions(send: SendRequest): SessionReads & SessionWrites {
  return {
    info: async (id, options) => {
      const path = `/v1/session/info/${parseSessionId(id)}`;
      const request = { template: '/v1/session/info/{session}', path, parse: parseSessions };
      const answer = await sendGet(send, request, options);
      return { ...answer, value: answer.value[0] };
    },
    listNode: async (node, options) => {
      const path = `/v1/session/node/${encodeURIComponent(node)}`;
      return await sendGet(
        send,
        { template: '/v1/session/node/{node}', path, parse: parseSessions },
        options,
      );
    },
    create: async (session, options) =>
      await send(
        {
          method: 'PUT',
          template: '/v1/session/create',
          path: '/v1/session/create',
          body: encodeSession(session),
          writes: true,
          parse: reply => parseBody(CREATED, reply).ID,
        },
        options,
      ),
    renew: async (id, options) =>
      await send(
        {
          method: 'PUT',
          template: '/v1/session/renew/{session}',
          path: `/v1/session/renew/${parseSessionId(id)}`,
          writes: true,
          repeatable: true,
          answers: [200, 404],
          parse: parseRenewal,
        },
        options,
      ),
    destroy: async (id, options) =>
      await send(
        {
          method: 'PUT',
          template: '/v1/session/destroy/{session}',
          path: `/v1/session/destroy/${parseSessionId(id)}`,
          writes: true,
          repeatable: true,
          parse: parseTrue,
        },
        options,
      ),
  };
}

/** `NodeChecks: []`: by default a session also dies when the health check of its node fails. */
function encodeSession({ node, name, ttlSeconds, lockDelaySeconds }: NewSession): string {
  return JSON.stringify({
    Node: node,
    Name: name,
    TTL: `${ttlSeconds}s`,
    LockDelay: `${lockDelaySeconds}s`,
    NodeChecks: [],
    Behavior: 'release',
  });
}

const SESSION_ID = z.guid().transform(id => id as SessionId);

const CREATED = z.object({ ID: SESSION_ID });

const SESSION = z.object({
  ID: SESSION_ID,
  Name: z.string(),
  Node: z.string(),
  TTL: z.string(),
  Behavior: z.string(),
  CreateIndex: z.int().nonnegative(),
});

function parseSessions(reply: ConsulReply): Answer<readonly Session[]> {
  const sessions = parseBody(z.array(SESSION), reply).map(
    ({ ID, Name, Node, TTL, Behavior, CreateIndex }) => ({
      id: ID,
      name: Name,
      node: Node,
      ttl: TTL,
      behavior: Behavior,
      createIndex: CreateIndex,
    }),
  );
  return answerOf(sessions, reply);
}

/** @throws RetryableError `CONSUL_BAD_REPLY` on a 404 of something that is not Consul: it must not cost the lock. */
function parseRenewal(reply: ConsulReply): { readonly alive: boolean } {
  if (reply.status === 200) parseBody(z.array(SESSION).nonempty(), reply);
  else requireConsul(reply);
  return { alive: reply.status === 200 };
}
