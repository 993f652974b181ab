import type { CatalogWrite } from '../../commit/operations.ts';
import { sameCheck } from '../../consul/registration.ts';
import { foldId, parseCheckId } from '../../consul/service-ids.ts';
import { NOT_THERE } from '../../consul/types.ts';
import { markClaimed, markOut } from '../../core/instance-names.ts';
import { type Comparison, dueChecks, isSameService, placeOf, replacedChecks, rowOf } from './compare.ts';
import { type Decision, isToBeClaimed } from './decide.ts';
import { drainEnd } from './drain.ts';
import { declaresSameTags } from './fingerprints.ts';
import { type Health, isNews } from './health.ts';
import { checkRemoval, checkWrite, type CheckWrite, presence, removal } from './operations.ts';
import type { InstanceChange, RegisterChange, ServiceFacts } from './types.ts';

/** What a commit is drawn up with. */
export interface Draft {
  readonly nodes: MissingNodes;
  readonly health: Health;
}

/** Nodes that a change makes: each once, in front of the first that needs it. */
export class MissingNodes {
  readonly #facts: Pick<ServiceFacts, 'node'>;
  readonly #made = new Set<string>();

  constructor(facts: Pick<ServiceFacts, 'node'>) {
    this.#facts = facts;
  }

  creation({ wished: { node } }: Comparison): CatalogWrite[] {
    if (this.#facts.node(node.node) !== undefined || this.#made.has(node.node)) return [];
    this.#made.add(node.node);
    return [{ realm: 'catalog', verb: 'node-create', node }];
  }
}

/** What a decision does in transactions. A service that none carries has to stand already. */
export function commitChange(decision: Decision, draft: Draft): InstanceChange {
  const { comparison, cause, verb } = decision;
  const { wished, recorded } = comparison;
  const to = verb === 'take-out' ? markOut(wished.fingerprint) : wished.fingerprint;
  // Until its new checks have run, it does not stand as declared.
  const isPart = verb === 'put' && comparison.awaited.length > 0;
  const record = recorded === to || isPart ? undefined : { to };
  return { name: wished.name, cause, record, operations: operationsOf(decision, draft) };
}

function operationsOf({ comparison, verb }: Decision, draft: Draft): CatalogWrite[] {
  const { wished, seen } = comparison;
  const place = placeOf(wished);
  switch (verb) {
    case 'record':
      return [];
    case 'take-out':
      return seen === undefined ? [] : [removal(place, seen)];
    case 'put':
      return [
        ...draft.nodes.creation(comparison),
        ...serviceOperations(comparison, draft.health),
        ...drainEnd(place, seen),
        ...replacedChecks(comparison, seen).map(row =>
          checkRemoval(place, parseCheckId(foldId(row.id)), row),
        ),
      ];
  }
}

/** A service and its checks, as far as they differ. A new check has its service in front of it. */
function serviceOperations(comparison: Comparison, health: Health): CatalogWrite[] {
  const { wished, seen, service, isOurs } = comparison;
  const { node } = wished.node;
  const checks = checkWrites(comparison, health);
  // What is taken over is written even if it is equal: so it is taken as it was seen.
  const isToBeWritten = seen === undefined || !isOurs || !isSameService(service, seen);
  if (service.connect === undefined && isToBeWritten) {
    const index = seen?.row.modifyIndex ?? NOT_THERE;
    return [{ realm: 'catalog', verb: 'service-cas', node, service, index }, ...checks];
  }
  const isAnyNew = checks.some(({ index }) => index === NOT_THERE);
  return isAnyNew ? [presence(placeOf(wished), service.name), ...checks] : checks;
}

function checkWrites(comparison: Comparison, health: Health): CheckWrite[] {
  const { wished, seen } = comparison;
  return dueChecks(comparison).flatMap((wishedCheck): CheckWrite[] => {
    const { check } = wishedCheck;
    const row = rowOf(check.id, seen);
    const result = health.resultOf(wishedCheck, comparison);
    const isThere = row !== undefined && sameCheck(check, row.check) && !isNews(result, row);
    return isThere ? [] : [checkWrite(wished.node.node, check, result, row)];
  });
}

/** What has to be there before a service can be registered: its node, and the record's word that it comes. */
export function announcement(decision: Decision, { nodes }: Pick<Draft, 'nodes'>): InstanceChange[] {
  const { comparison, cause } = decision;
  const { name } = comparison.wished;
  const operations = nodes.creation(comparison);
  const record = isToBeClaimed(decision) ? { to: claimOf(comparison) } : undefined;
  return record === undefined && operations.length === 0 ? [] : [{ name, cause, record, operations }];
}

/** Without a fingerprint where the tags are to be written: those that stand then are nobody's to keep. */
function claimOf({ wished: { fingerprint, service }, recorded }: Comparison): string {
  const areTagsKept = recorded !== undefined && declaresSameTags(recorded, fingerprint);
  return markClaimed(service.enableTagOverride && !areTagsKept ? '' : fingerprint);
}

export function registerChange({ comparison, cause }: Decision): RegisterChange {
  const { wished, service, seen } = comparison;
  const before = seen?.row.modifyIndex ?? NOT_THERE;
  return { name: wished.name, cause, node: wished.node.node, service, before };
}
