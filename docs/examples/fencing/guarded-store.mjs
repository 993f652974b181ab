// A store that takes part in fencing: it remembers the highest token it has seen, and refuses lower ones. Plain
// Node.js, no packages. A real one keeps token and text in one row, and changes them in one statement:
//
//   UPDATE state SET text = $1, token = $2 WHERE token <= $2
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const state = { token: 0n, text: '' };

const server = createServer(async (request, response) => {
  if (request.method === 'PUT') {
    const token = /^\d{1,20}$/.exec(request.headers['fencing-token'] ?? '')?.[0];
    const body = await text(request);
    if (token === undefined) return response.writeHead(400).end('a fencing-token is needed');
    if (BigInt(token) < state.token)
      return response.writeHead(412).end(`token ${token} is behind ${state.token}`);
    Object.assign(state, { token: BigInt(token), text: body });
  }
  response.end(state.text);
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${server.address().port}/`);
