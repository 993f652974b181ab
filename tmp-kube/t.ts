import { Pool } from 'undici';
import { TcpGate } from '../test/support/tcp-gate.ts';
const gate = await TcpGate.listen({ host: '127.0.0.1', port: 27443 });
const mk = () => new Pool(`https://127.0.0.1:${gate.port}`, { connections: 16, pipelining: 1, allowH2: false, headersTimeout: 0, bodyTimeout: 0, connect: { rejectUnauthorized: false } });
async function get(pool: Pool, signal?: AbortSignal) { const t = performance.now(); try { const r = await pool.request({ method: 'GET', path: '/readyz', headers: {authorization:'Bearer admintoken'}, ...(signal?{signal}:{}) }); await r.body.text(); return [r.statusCode, Math.round(performance.now()-t)] } catch (e: any) { return [e.code ?? e.name, Math.round(performance.now()-t)] } }
for (const mode of ['fresh', 'used']) {
  const pool = mk();
  if (mode === 'used') { console.log(await get(pool)); await new Promise(r => setTimeout(r, 50)); }
  gate.freeze();
  console.log(mode, 'late', await get(pool, AbortSignal.timeout(200)));
  gate.thaw();
  console.log(mode, 'next', await get(pool), gate.connections);
  await pool.destroy();
}
gate.close();
