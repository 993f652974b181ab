import { z } from 'zod';
import type { NodeRow } from './nodes.ts';
import { type ServiceRegistration, wireService } from './registration.ts';
import { answerOf, type ConsulReply, parseBody, parseTrue } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import { parseNodeName, parseServiceId } from './service-ids.ts';
import type { Answer, CallOptions, ReadOptions } from './types.ts';

export interface CatalogNode {
  readonly node: string;
  readonly address: string;
  readonly meta: Readonly<Record<string, string>>;
}

/** https://developer.hashicorp.com/consul/api-docs/catalog */
export interface CatalogReads {
  /** A node that the token may not see is missing: `filteredByAcl`. */
  getNode(node: string, options: ReadOptions): Promise<Answer<CatalogNode | undefined>>;
  /** Every datacenter that is known, the nearest first, so the server's own; needs no right. */
  datacenters(options: CallOptions): Promise<readonly string[]>;
}

export interface CatalogWrites {
  /**
   * Writes a node that no agent stands behind, for sessions to belong to. Never to be used with the name of a real
   * one, whose agent would take our changes back. Equal content changes no index, but is a Raft entry all the same:
   * look first.
   */
  registerNode(node: CatalogNode, options: CallOptions): Promise<void>;
}

/** Handed to `commit/service-registrations.ts` and to nobody else. */
export interface ServiceWrites {
  /**
   * Writes a service with the fields that transactions drop, on a node that is there, in the place of whatever has its id:
   * nothing is compared. There is no deregistering here, for that takes down a whole node when an id is missing;
   * services and checks are deleted by transaction.
   *
   * @throws TerminalError `CONSUL_INVALID` for a service that Consul refuses.
   */
  register(node: NodeRow, service: ServiceRegistration, options: CallOptions): Promise<void>;
}

/** @param datacenter goes into the body of writes: they take no heed of `?dc=`. */
export function createCatalog(
  send: SendRequest,
  datacenter: string | undefined,
): CatalogReads & CatalogWrites {
  const register = createRegister(send, datacenter);
  return {
    getNode: async (node, options) => {
      const path = `/v1/catalog/node/${encodeURIComponent(node)}`;
      return await sendGet(send, { template: '/v1/catalog/node/{node}', path, parse: parseNode }, options);
    },
    datacenters: async options => {
      const path = '/v1/catalog/datacenters';
      const parse = (reply: ConsulReply): string[] => parseBody(z.array(z.string()), reply);
      return await sendGet(send, { template: path, path, parse }, options);
    },
    registerNode: async ({ node, address, meta }, options) =>
      await register({ Node: node, Address: address, NodeMeta: meta }, options),
  };
}

export function createServiceWrites(send: SendRequest, datacenter: string | undefined): ServiceWrites {
  const register = createRegister(send, datacenter);
  return {
    register: async ({ node, address }, service, options) => {
      const content = { ...wireService(service), ID: parseServiceId(service.id) };
      // Without SkipNodeUpdate the node would lose its meta.
      const place = { Node: parseNodeName(node), Address: address, SkipNodeUpdate: true };
      await register({ ...place, Service: content }, options);
    },
  };
}

function createRegister(send: SendRequest, datacenter: string | undefined) {
  return async (content: object, options: CallOptions): Promise<void> =>
    await send(
      {
        method: 'PUT',
        template: '/v1/catalog/register',
        path: '/v1/catalog/register',
        body: JSON.stringify({ Datacenter: datacenter, ...content }),
        writes: true,
        repeatable: true,
        parse: parseTrue,
      },
      options,
    );
}

/** `null` where there is no such node. */
const NODE = z
  .object({
    Node: z.object({
      Node: z.string(),
      Address: z.string(),
      Meta: z.record(z.string(), z.string()).nullish(),
    }),
  })
  .nullable();

function parseNode(reply: ConsulReply): Answer<CatalogNode | undefined> {
  const found = parseBody(NODE, reply)?.Node;
  const node = found && { node: found.Node, address: found.Address, meta: found.Meta ?? {} };
  return answerOf(node, reply);
}
