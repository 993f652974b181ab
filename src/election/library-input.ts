import { clip } from '../core/conditions.ts';
import { TerminalError } from '../core/errors.ts';
import { pathProblem } from '../core/keys.ts';
import { MAX_LOCK_TEXT_CHARS } from '../core/lock-value.ts';

/** @throws TerminalError `KEY_INVALID` for a key that Consul could store but not address safely. */
export function assertKey(key: string): void {
  const problem = pathProblem(key);
  if (problem === undefined) return;
  throw new TerminalError(`the key ${JSON.stringify(clip(key, 128))} of a lock ${problem}`, {
    code: 'KEY_INVALID',
    reason: 'InvalidSpec',
  });
}

/** @throws TerminalError `SETTING_INVALID` for a holder that could not be written at the key. */
export function assertHolder(holder: string): void {
  if (holder !== '' && holder.length <= MAX_LOCK_TEXT_CHARS) return;
  throw new TerminalError(`the holder of a lock has to be a text of 1 to ${MAX_LOCK_TEXT_CHARS} characters`, {
    code: 'SETTING_INVALID',
    reason: 'InvalidSpec',
  });
}
