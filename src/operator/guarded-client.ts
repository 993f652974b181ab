import type { KubeClient, KubeRequest } from '../kube/index.ts';

/** @returns what aborts when that right ends. @throws AbortedError for whoever has no right to write now. */
export type RightToWrite = () => AbortSignal;

/**
 * The same client, for writes in the name of the lead: each is preceded, at the last moment before it is sent, by a
 * look whether this process still may (rule F9), and is given up when it may no longer (rule F10).
 */
export function guardedClient(client: KubeClient, rightToWrite: RightToWrite): KubeClient {
  const guard = (request: KubeRequest): KubeRequest => {
    if (request.method === 'GET') return request;
    const signal = AbortSignal.any([request.signal, rightToWrite()]);
    return { ...request, signal, beforeSend: () => void rightToWrite() };
  };
  return {
    host: client.host,
    contextNamespace: client.contextNamespace,
    request: async request => client.request(guard(request)),
    stream: request => client.stream(request),
    close: () => client.close(),
  };
}
