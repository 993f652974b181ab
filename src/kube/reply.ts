import { parseJson } from '../core/json.ts';
import { type Asked, errorOfAnswer, kubeError } from './errors.ts';
import type { WireReply } from './transport.ts';

/** What is read of a refusal: a `metav1.Status` is a few hundred bytes. */
const MAX_REFUSAL_BYTES = 256 * 1024;

/**
 * The answer's body, parsed.
 *
 * @throws KubeError for any status but 2xx, for a body that is no JSON, and for one of more than `maxBytes`.
 */
export async function readJson(asked: Asked, reply: WireReply, maxBytes: number): Promise<unknown> {
  if (reply.status < 200 || reply.status > 299) throw await readRefusal(asked, reply);
  const text = await readText(reply.body, maxBytes);
  const parsed = parse(text);
  // An HTML page from something in between, or a body cut short at a chunk's border.
  if (parsed === undefined) throw kubeError('KUBE_BAD_REPLY', `API server ${asked.host}: answer is no JSON`);
  return parsed;
}

export async function readRefusal(asked: Asked, reply: WireReply): Promise<Error> {
  const text = await readText(reply.body, MAX_REFUSAL_BYTES);
  const retryAfter = reply.headers['retry-after'];
  return errorOfAnswer(asked, reply.status, parse(text), retryAfter);
}

async function readText(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes)
      throw kubeError('KUBE_REPLY_TOO_LARGE', `API server: answer is over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
