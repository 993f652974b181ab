import type { CatalogWrite } from '../../commit/operations.ts';
import type { CheckRow } from '../../consul/nodes.ts';
import type { CheckResult, CheckStatus } from '../../consul/registration.ts';
import { checkPlace, type ServiceId } from '../../consul/service-ids.ts';
import { instanceName } from '../../core/instance-names.ts';
import { NOT_RUN_YET } from './checks.ts';
import {
  type Comparison,
  type Comparisons,
  drainingId,
  dueChecks,
  placeOf,
  rowOf,
  replacedChecks,
} from './compare.ts';
import type { Decision } from './decide.ts';
import { drainEnd } from './drain.ts';
import { checkWrite } from './operations.ts';
import type { InstanceChange, SeenInstance, ServiceFacts, WishedCheck } from './types.ts';

/** What one change does to the rows of instances; those that are not named here stay as they are. */
export type Fates = ReadonlyMap<string, 'written' | 'gone'>;

/** What the checks of instances say, given what a change does to them. */
export class Health {
  readonly #comparisons: Comparisons;
  readonly #facts: ServiceFacts;
  readonly #fates: Fates;

  constructor(comparisons: Comparisons, facts: ServiceFacts, fates: Fates = new Map()) {
    this.#comparisons = comparisons;
    this.#facts = facts;
    this.#fates = fates;
  }

  /** What a check is to say; what is stored of it, where this process has not run it yet. */
  resultOf({ check, says }: WishedCheck, { wished, seen }: Comparison): CheckResult {
    switch (says.kind) {
      case 'known':
        return says.result;
      case 'follows':
        return this.#follow(says.serviceId, wished.node.node);
      case 'probe': {
        const verdict = this.#facts.health.verdict(checkPlace(wished.node.node, check.id));
        return verdict ?? storedResult(rowOf(check.id, seen)) ?? NOT_RUN_YET;
      }
    }
  }

  /** What has changed about the health of what stands: of what is ours, and not written or removed anyway. */
  changes(): InstanceChange[] {
    return [...this.#comparisons].flatMap(([name, comparison]) => {
      if (this.#fates.has(name) || !comparison.isOurs) return [];
      const operations = this.#operations(comparison);
      return operations.length === 0 ? [] : [{ name, cause: 'health', record: undefined, operations }];
    });
  }

  #operations(comparison: Comparison): CatalogWrite[] {
    const { wished, seen, checks } = comparison;
    const { node } = wished.node;
    // What stands beside an agent goes: it takes out what others registered.
    if (seen === undefined || this.#facts.node(node)?.hasAgent === true) return [];
    const results = checks.flatMap((wishedCheck): CatalogWrite[] => {
      const row = rowOf(wishedCheck.check.id, seen);
      if (row === undefined) return [];
      const result = this.resultOf(wishedCheck, comparison);
      if (!isNews(result, row)) return [];
      const { id, serviceId } = wishedCheck.check;
      // As it stands otherwise: what differs is for the plan, which may have to leave it.
      const check = { ...row.check, id, serviceId };
      return [checkWrite(node, check, result, row)];
    });
    return [...results, ...drainEnd(placeOf(wished), seen)];
  }

  /** An instance is as healthy as its worst check. */
  #follow(serviceId: ServiceId, node: string): CheckResult {
    const name = instanceName({ kind: 'catalog', node, id: serviceId });
    const status = this.#statusOf(name);
    const output = `${serviceId} is ${status ?? 'not registered'}`;
    return { status: status ?? 'critical', output };
  }

  /** Undefined: it does not stand. */
  #statusOf(name: string): CheckStatus | undefined {
    const comparison = this.#comparisons.get(name);
    const isWritten = this.#fates.get(name) === 'written';
    if (comparison === undefined || this.#fates.get(name) === 'gone') return undefined;
    const { seen } = comparison;
    if (seen === undefined && !isWritten) return undefined;
    const own = dueChecks(comparison).filter(({ check }) => isWritten || rowOf(check.id, seen) !== undefined);
    const others = othersChecks(comparison, isWritten);
    return worstOf([
      ...own.map(check => this.resultOf(check, comparison).status),
      ...others.map(({ status }) => status),
    ]);
  }
}

/** What a change of these decisions, but for those that take requests of their own, does to rows. */
export function fatesOf(decisions: readonly Decision[]): Fates {
  return new Map(
    decisions.flatMap(({ comparison, verb }): [string, 'written' | 'gone'][] => {
      if (verb === 'record') return [];
      return [[comparison.wished.name, verb === 'put' ? 'written' : 'gone']];
    }),
  );
}

/** What counts for the health of a wished instance without being wished; its drain ends in any case. */
function othersChecks(comparison: Comparison, isWritten: boolean): readonly CheckRow[] {
  const { seen, checks, service } = comparison;
  const wished = new Set<CheckRow | undefined>(checks.map(({ check }) => rowOf(check.id, seen)));
  const goes = new Set(isWritten ? replacedChecks(comparison, seen) : []);
  const drain = rowOf(drainingId(service.id), seen);
  return (seen?.checks ?? []).filter(row => row !== drain && !wished.has(row) && !goes.has(row));
}

/**
 * Whether Consul should hear of it. The same in other words is no news, but for what the first run found that is bad: nobody
 * could tell otherwise why.
 */
export function isNews({ status, output }: CheckResult, row: CheckRow): boolean {
  const isFirst = row.output === NOT_RUN_YET.output && output !== NOT_RUN_YET.output;
  return row.status !== status || isFirst;
}

/** Consul takes any text for a status. */
export function storedResult(row: CheckRow | undefined): CheckResult | undefined {
  return row !== undefined && isStatus(row.status) ? { status: row.status, output: row.output } : undefined;
}

const STATUSES: readonly CheckStatus[] = ['passing', 'warning', 'critical'];

function isStatus(status: string): status is CheckStatus {
  return STATUSES.some(one => one === status);
}

/** Without any check it is passing. */
export function worstOf(statuses: readonly string[]): CheckStatus {
  const worst = statuses.map(status => (isStatus(status) ? STATUSES.indexOf(status) : STATUSES.length - 1));
  return STATUSES[Math.max(0, ...worst)] as CheckStatus;
}

/** What an instance is shown as: the checks of its node count. */
export function healthOf({ checks }: SeenInstance, ofNode: readonly CheckRow[] = []): CheckStatus {
  return worstOf([...checks, ...ofNode].map(({ status }) => status));
}
