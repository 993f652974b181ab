import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, ConflictError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { watch } from '../consul/blocking-query.ts';
import type { KvReads } from '../consul/kv.ts';
import type { Candidate } from './candidate.ts';
import type { Leadership } from './leadership.ts';

export interface SlotOptions {
  readonly slotKeys: readonly string[];
  /** One that gives up when its slot is not to be had at once. */
  readonly candidateFor: (slotKey: string) => Candidate;
  readonly retire: (candidate: Candidate) => Promise<void>;
  readonly consul: { readonly kv: Pick<KvReads, 'list'> };
  /** Of the keys of all slots. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signals: readonly AbortSignal[];
}

export interface TakenSlot {
  readonly slot: number;
  readonly candidate: Candidate;
  readonly leadership: Leadership;
}

/** Slots that look free may be in their lock-delay, which only an attempt shows. */
const RETRY_MS = 1000;
const WAIT_SECONDS = 10;

/**
 * Waits until one of the slots is free, and takes it. In no order: one in its lock-delay must not keep the others from
 * being taken.
 *
 * @throws AbortedError when one of the signals aborts; TerminalError `LOCK_CONFLICT`.
 */
export async function takeSlot(options: SlotOptions): Promise<TakenSlot> {
  const { slotKeys, clock, random } = options;
  const signal = AbortSignal.any([...options.signals]);
  while (!signal.aborted) {
    const free = await freeSlots(options, signal);
    for (const slot of shuffled(free, random)) {
      const taken = await tryOnce(slot, slotKeys[slot] as string, options, signal);
      if (taken !== undefined) return taken;
    }
    await pause(clock, RETRY_MS * (0.75 + random() / 2), signal);
  }
  throw new AbortedError('the wait for a slot was ended', signal.reason);
}

/** As soon as there are any; none when the signal aborts. */
async function freeSlots(options: SlotOptions, signal: AbortSignal): Promise<readonly number[]> {
  const { consul, prefix, slotKeys, clock, random } = options;
  const read = (params: { index: number; waitSeconds: number; signal: AbortSignal }) =>
    consul.kv.list(prefix, { signal: params.signal, consistency: 'consistent', block: params });
  for await (const { value } of watch({ read, signal, clock, random, waitSeconds: WAIT_SECONDS })) {
    const held = new Set(value.value.filter(entry => entry.session !== undefined).map(({ key }) => key));
    const free = [...slotKeys.keys()].filter(slot => !held.has(slotKeys[slot] as string));
    if (free.length > 0) return free;
  }
  return [];
}

async function tryOnce(
  slot: number,
  key: string,
  options: SlotOptions,
  signal: AbortSignal,
): Promise<TakenSlot | undefined> {
  const candidate = options.candidateFor(key);
  try {
    return { slot, candidate, leadership: await candidate.campaign(signal) };
  } catch (error) {
    await options.retire(candidate);
    if (error instanceof ConflictError && error.code === 'LOCK_TAKEN') return undefined;
    throw error;
  }
}

function shuffled(items: readonly number[], random: Random): number[] {
  return items
    .map(item => ({ item, rank: random() }))
    .sort((one, other) => one.rank - other.rank)
    .map(({ item }) => item);
}
