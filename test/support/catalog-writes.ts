import { eventually } from './eventually.ts';
import type { RecordedRequest } from './fault-rules.ts';
import { isConsulWrite, isTransaction } from './traffic.ts';

/** One thing that a request changed in the catalog. */
export interface CatalogWrite {
  /** `register`: by a request of its own. */
  readonly what:
    | 'put node'
    | 'remove node'
    | 'put'
    | 'register'
    | 'remove'
    | 'put check'
    | 'remove check'
    | 'deregister';
  /** Of the node, the instance or the check. */
  readonly id: string;
  /** Of a check that was put. */
  readonly status?: string;
}

/** One operation of a transaction; that of a key has none of these. */
interface Operation {
  readonly Node?: { readonly Verb: string; readonly Node: { readonly Node: string } };
  readonly Service?: { readonly Verb: string; readonly Service: { readonly ID: string } };
  readonly Check?: {
    readonly Verb: string;
    readonly Check: { readonly CheckID: string; readonly Status: string };
  };
}

/** What the requests that Consul carried out changed in the catalog, in their order. */
export function catalogWrites(requests: readonly RecordedRequest[]): readonly CatalogWrite[] {
  return requests.filter(({ upstreamStatus }) => upstreamStatus === 200).flatMap(writesOf);
}

/** How often each kind of change was made, of those that matter: `{ put: 20, 'put check': 20 }`. */
export function tallyOf(
  requests: readonly RecordedRequest[],
  matters: (write: CatalogWrite) => boolean = () => true,
): Readonly<Record<string, number>> {
  const tally: Record<string, number> = {};
  for (const { what } of catalogWrites(requests).filter(matters)) tally[what] = (tally[what] ?? 0) + 1;
  return tally;
}

/** The same once every write among the requests has its answer: what it did can be seen before that. */
export async function settledTallyOf(
  requests: readonly RecordedRequest[],
  matters?: (write: CatalogWrite) => boolean,
): Promise<Readonly<Record<string, number>>> {
  const isSettled = (): boolean => requests.filter(isConsulWrite).every(({ finished }) => finished);
  await eventually(isSettled, { what: 'every write has its answer' });
  return tallyOf(requests, matters);
}

function writesOf(request: RecordedRequest): readonly CatalogWrite[] {
  if (isTransaction(request)) {
    return (JSON.parse(request.body) as readonly Operation[]).flatMap(operation => ofOperation(operation));
  }
  if (request.method !== 'PUT') return [];
  const body = request.path.startsWith('/v1/catalog/')
    ? (JSON.parse(request.body) as Record<string, unknown>)
    : {};
  if (request.path === '/v1/catalog/register' && body['Service'] !== undefined) {
    return [{ what: 'register', id: (body['Service'] as { ID: string }).ID }];
  }
  return request.path === '/v1/catalog/deregister'
    ? [{ what: 'deregister', id: JSON.stringify([body['Node'], body['ServiceID'], body['CheckID']]) }]
    : [];
}

function ofOperation({ Node, Service, Check }: Operation): readonly CatalogWrite[] {
  const verb = (Node ?? Service ?? Check)?.Verb;
  if (verb === undefined || verb.startsWith('get')) return [];
  const isRemoval = verb.startsWith('delete');
  if (Node) return [{ what: isRemoval ? 'remove node' : 'put node', id: Node.Node.Node }];
  if (Service) return [{ what: isRemoval ? 'remove' : 'put', id: Service.Service.ID }];
  if (Check === undefined) return [];
  const { CheckID: id, Status: status } = Check.Check;
  return [isRemoval ? { what: 'remove check', id } : { what: 'put check', id, status }];
}
