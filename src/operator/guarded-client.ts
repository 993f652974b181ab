import type { KubeClient, KubeRequest } from '../kube/index.ts';

/**
 * The same client, for writes in the name of the lead: each is preceded, at the last moment before it is sent, by a
 * look whether this process still may (rule F9).
 */
export function guardedClient(client: KubeClient, assertMayWrite: () => void): KubeClient {
  const guard = (request: KubeRequest): KubeRequest =>
    request.method === 'GET' ? request : { ...request, beforeSend: assertMayWrite };
  return {
    host: client.host,
    contextNamespace: client.contextNamespace,
    request: request => client.request(guard(request)),
    stream: request => client.stream(request),
    close: () => client.close(),
  };
}
