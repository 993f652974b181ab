import { z } from 'zod';
import { badReply } from './errors.ts';
import type { ConsulReply } from './reply.ts';
import type { KvEntry, ModifyIndex, SessionId } from './types.ts';

/** `DirEntry` in `agent/structs/structs.go`. An empty value is null; without a lock there is no Session. */
export const KV_ENTRY = z.object({
  Key: z.string(),
  Value: z.string().nullable(),
  Flags: z.union([z.int().nonnegative(), z.bigint().nonnegative()]),
  CreateIndex: z.int().nonnegative(),
  ModifyIndex: z.int().nonnegative(),
  LockIndex: z.int().nonnegative(),
  Session: z.guid().optional(),
});

export type WireKvEntry = z.infer<typeof KV_ENTRY>;

/** @throws RetryableError `CONSUL_BAD_REPLY` when the value is not base64. */
export function toKvEntry(wire: WireKvEntry, reply: ConsulReply): KvEntry {
  return {
    key: wire.Key,
    value: decodeValue(wire.Value ?? '', reply),
    flags: BigInt(wire.Flags),
    createIndex: wire.CreateIndex,
    modifyIndex: wire.ModifyIndex as ModifyIndex,
    lockIndex: wire.LockIndex,
    session: wire.Session as SessionId | undefined,
  };
}

/** Node skips what is not base64, so a wrong text shows in the length. */
function decodeValue(text: string, reply: ConsulReply): Buffer {
  const value = Buffer.from(text, 'base64');
  const padding = text.endsWith('==') ? 2 : Number(text.endsWith('='));
  if (value.length !== (text.length / 4) * 3 - padding)
    throw badReply(reply.site, 'a value that is not base64');
  return value;
}
