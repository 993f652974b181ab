import { consulIntention } from './consulintention.ts';
import { consulKV } from './consulkv.ts';
import { consulLeaderLease } from './consulleaderlease.ts';
import { consulService } from './consulservice.ts';
import type { KindDefinition } from './definition.ts';

/** Every kind of this version; its CRDs and pages are generated from here. */
export const KINDS: readonly KindDefinition[] = [consulIntention, consulKV, consulLeaderLease, consulService];
