// A leader that writes only what it may still write. Plain Node.js, no packages.
//
//   POD_UID=… CONSUL_HTTP_ADDR=http://127.0.0.1:8500 \
//     node fenced-writer.mjs <lock key> consul <data key> <text>
//     node fenced-writer.mjs <lock key> store <url> <text>
//
// It reads who leads, works until a line comes in on standard input, and then writes. Exit codes: 0 written,
// 2 somebody else leads, 3 refused, for the lead was lost while it worked.
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const [lockKey, target, place, text] = process.argv.slice(2);
const consul = process.env.CONSUL_HTTP_ADDR ?? 'http://127.0.0.1:8500';
const token = process.env.CONSUL_HTTP_TOKEN;
const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };

const lead = await readLead();
if (lead === undefined) end('somebody else leads', 2);
const write = target === 'consul' ? await toConsul(lead) : toStore(lead);

console.log(`leading with token ${lead.fencingToken}`);
await once(createInterface({ input: process.stdin }), 'line'); // the work, in which anything may happen
const refusal = await write();
end(refusal === undefined ? 'written' : `refused: ${refusal}`, refusal === undefined ? 0 : 3);

/** The lock as it stands; undefined unless this Pod holds it. */
async function readLead() {
  const entry = await readKey(lockKey, '?consistent');
  if (entry?.Session === undefined) return undefined;
  const { uid, fencingToken } = JSON.parse(Buffer.from(entry.Value, 'base64').toString());
  return uid === process.env.POD_UID ? { session: entry.Session, fencingToken } : undefined;
}

/** In Consul: one transaction that fails as a whole unless the session still holds the lock. */
async function toConsul({ session }) {
  const index = (await readKey(place, ''))?.ModifyIndex ?? 0;
  const value = Buffer.from(text).toString('base64');
  const operations = [
    { KV: { Verb: 'check-session', Key: lockKey, Session: session } },
    { KV: { Verb: 'cas', Key: place, Value: value, Index: index } },
  ];
  return async () => {
    const reply = await fetch(`${consul}/v1/txn`, {
      method: 'PUT',
      headers,
      body: JSON.stringify(operations),
    });
    if (reply.status === 409) return (await reply.json()).Errors[0].What;
    if (!reply.ok) throw new Error(`Consul answers ${reply.status}: ${await reply.text()}`);
  };
}

/** Anywhere else: the token goes along, and the store refuses one that is lower than it has seen. */
function toStore({ fencingToken }) {
  return async () => {
    const reply = await fetch(place, {
      method: 'PUT',
      headers: { 'fencing-token': fencingToken },
      body: text,
    });
    if (reply.status === 412) return await reply.text();
    if (!reply.ok) throw new Error(`the store answers ${reply.status}`);
  };
}

async function readKey(key, query) {
  const reply = await fetch(`${consul}/v1/kv/${encodeURIComponent(key)}${query}`, { headers });
  if (reply.status === 404) return undefined;
  if (!reply.ok) throw new Error(`Consul answers ${reply.status}: ${await reply.text()}`);
  return (await reply.json())[0];
}

function end(message, code) {
  console.log(message);
  process.exit(code);
}
