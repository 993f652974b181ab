import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { expect, test } from 'vitest';
import { COMPILE_CACHE, NODE_FLAGS } from '../../tools/node-flags.ts';

test('npm run operator starts it as the demonstration and the tests do', async () => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: { operator: string } };
  const cache = relative(process.cwd(), COMPILE_CACHE);
  expect(scripts.operator).toContain(` NODE_COMPILE_CACHE=\${NODE_COMPILE_CACHE:-${cache}} exec `);
  expect(scripts.operator).toContain(`/node ${NODE_FLAGS.join(' ')} src/main.ts`);
});
