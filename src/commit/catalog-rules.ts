import { nodeProblem } from './catalog-nodes.ts';
import type { CatalogWrite } from './operations.ts';

/** The check by which Consul knows whether an agent lives: the leader reaps a node that carries it without one. */
const OF_AGENTS: ReadonlySet<string> = new Set(['serfhealth', '_node_maintenance']);

/** Metadata by which others would take a node over: consul-esm the checks of the first. */
const OF_OTHERS: readonly string[] = ['external-node', 'external-probe'];

/** Why an operation on the catalog must not be sent, as a clause. */
export function catalogProblem(installId: string, operation: CatalogWrite): string | undefined {
  const name = operation.verb === 'node-create' ? operation.node.node : operation.node;
  const problem = nodeProblem(installId, name);
  if (problem !== undefined) return `the node ${JSON.stringify(name)} ${problem}`;
  if (operation.verb === 'node-create') {
    const taken = OF_OTHERS.find(key => operation.node.meta.has(key));
    return taken && `the node ${JSON.stringify(name)} would have the meta ${taken}, which is consul-esm's`;
  }
  const check = checkIdOf(operation);
  return check !== undefined && OF_AGENTS.has(check.toLowerCase())
    ? `the check ${JSON.stringify(check)} is Consul's own`
    : undefined;
}

function checkIdOf(operation: Exclude<CatalogWrite, { verb: 'node-create' }>): string | undefined {
  if (operation.verb === 'check-cas') return operation.check.id;
  return operation.verb === 'check-delete-cas' ? operation.id : undefined;
}
