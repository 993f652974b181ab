import { kubeError } from './errors.ts';

const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines wherever its chunks happen to end. Decodes whole lines only, so a character that
 * spans two chunks is not broken.
 *
 * @throws RetryableError (`KUBE_BAD_REPLY`) when the stream ends within a line: it was cut off.
 * @throws TerminalError (`KUBE_REPLY_TOO_LARGE`) when a line is over `maxBytes`.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...pending, chunk.subarray(start, end)]).toString('utf8');
      pending = [];
      pendingBytes = 0;
      start = end + 1;
      if (line.trim() !== '') yield line;
    }
    const rest = chunk.subarray(start);
    pendingBytes += rest.byteLength;
    if (pendingBytes > maxBytes)
      throw kubeError('KUBE_REPLY_TOO_LARGE', `API server: line is over ${maxBytes} bytes`);
    if (rest.byteLength > 0) pending.push(rest);
  }
  if (pendingBytes > 0) throw kubeError('KUBE_BAD_REPLY', 'API server: stream ended within a line');
}
