import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/runtime/system-clock.ts';

test('calls back no earlier than asked for', async () => {
  const startedAtMs = systemClock.monotonic();
  await new Promise<void>(resolve => {
    systemClock.after(5.5, resolve);
  });
  // A timer may fire up to 1 ms early by the clock it is not driven by.
  expect(systemClock.monotonic() - startedAtMs).toBeGreaterThanOrEqual(4.5);
});

test('a cancelled timer does not fire', async () => {
  const fired: string[] = [];
  const cancel = systemClock.after(1, () => fired.push('cancelled'));
  cancel();
  await new Promise<void>(resolve => {
    systemClock.after(10, resolve);
  });
  expect(fired).toEqual([]);
});

test('a timer does not keep the process alive', () => {
  const clock = JSON.stringify(new URL('../../../src/runtime/system-clock.ts', import.meta.url).href);
  const script = `import { systemClock } from ${clock};
    process.on('exit', () => console.log('ended'));
    systemClock.after(2_000_000_000, () => {});`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    timeout: 30_000,
  });
  expect(String(printed)).toBe('ended\n');
});
