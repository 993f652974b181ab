import { type ClientRequest, type IncomingMessage, request as httpRequest, STATUS_CODES } from 'node:http';
import { dial } from './dial.ts';
import { requestHeaders, secretsOf } from './http-headers.ts';
import { MAX_OUTPUT_BYTES } from './output.ts';
import { authorityOf, type HttpTarget, type ProbeOutcome, type ProbeStatus, withoutQuery } from './spec.ts';

const MAX_HEADER_BYTES = 16_384;

/**
 * One request on a connection of its own. 2xx is passing, 429 a warning, all else critical, as on a Consul agent; but
 * redirects are not followed, which agents do by default: where they lead nobody has looked at. No proxy is used.
 *
 * @throws Error with a `code` when there is no answer, or none in HTTP.
 */
export async function probeHttp(
  target: HttpTarget,
  address: string,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const request = send(target, address, signal);
  try {
    const response = await responseTo(request);
    if (response === undefined) {
      return { status: 'critical', output: `HTTP ${target.method} ${urlOf(target)}: connection closed` };
    }
    const status = response.statusCode ?? 0;
    const secrets = secretsOf(target);
    const body = await startOf(response, secrets);
    const reason = mask(response.statusMessage ?? STATUS_CODES[status] ?? '', secrets);
    const shown = `${status} ${reason}`.trim();
    return {
      status: statusFor(status),
      output: `HTTP ${target.method} ${urlOf(target)}: ${shown} Output: ${body}`,
    };
  } finally {
    request.destroy();
  }
}

function statusFor(status: number): ProbeStatus {
  if (status >= 200 && status <= 299) return 'passing';
  return status === 429 ? 'warning' : 'critical';
}

function send(target: HttpTarget, address: string, signal: AbortSignal): ClientRequest {
  const request = httpRequest({
    // With a connection handed in there is no agent: nothing is kept alive, and no proxy setting is heeded.
    createConnection: () => dial({ ...target, address }),
    method: target.method,
    path: target.path,
    headers: requestHeaders(target),
    maxHeaderSize: MAX_HEADER_BYTES,
    signal,
  });
  // It may yet fail when nobody is interested any more.
  request.on('error', () => {});
  request.end(target.body);
  return request;
}

/** Undefined when the connection ended without an answer and without an error. */
function responseTo(request: ClientRequest): Promise<IncomingMessage | undefined> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve(response);
    });
    request.once('error', reject);
    // The last word in every case: a CONNECT that is granted, say, would else be waited for until time is up.
    request.once('close', () => resolve(undefined));
  });
}

/**
 * The beginning of a body, without the secrets it repeats. It is read so far that a secret which begins within the
 * output is whole. That it breaks off or takes too long changes nothing: the status has been said.
 */
async function startOf(response: IncomingMessage, secrets: readonly string[]): Promise<string> {
  const limit = MAX_OUTPUT_BYTES + Math.max(0, ...secrets.map(secret => Buffer.byteLength(secret)));
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= limit) break;
    }
  } catch {
    // What has come is what there is.
  }
  const text = Buffer.concat(chunks).subarray(0, limit).toString('utf8');
  return mask(text, secrets);
}

/** All that comes from the target: the rest of the output are our own words. */
function mask(text: string, secrets: readonly string[]): string {
  return secrets.reduce((masked, secret) => masked.replaceAll(secret, '[redacted]'), text);
}

function urlOf(target: HttpTarget): string {
  const scheme = target.tls === undefined ? 'http' : 'https';
  return `${scheme}://${authorityOf(target)}${withoutQuery(target.path)}`;
}
