import { virtualNodes } from '../../commit/catalog-nodes.ts';
import type { EmptyNodes } from '../../commit/empty-nodes.ts';
import type { CatalogWrite, WriteOperation } from '../../commit/operations.ts';
import type { ServiceRegistrations } from '../../commit/service-registrations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { NodeName } from '../../consul/service-ids.ts';
import { AbortedError, isOperatorError } from '../../core/errors.ts';
import { inParallel } from './in-parallel.ts';
import type { Logger } from '../../core/logger.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { ServiceMirror } from '../../mirror/service-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { commitRecord, isUnwritten, type RecordOutcome } from '../../ownership/record-commit.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { ServiceObservation, ServiceSubject } from './observe.ts';
import { receiptFor } from './report.ts';
import type { RegisterChange, ServiceChange } from './types.ts';
import { cutCommit, type ServiceCut } from './units.ts';

export interface ServiceApplierOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly serviceMirror: ServiceMirror;
  readonly serviceRegistrations: ServiceRegistrations;
  readonly emptyNodes: EmptyNodes;
  readonly logger: Logger;
}

type Commit = Extract<ServiceChange, { step: 'commit' }>;
type Register = Extract<ServiceChange, { step: 'register' }>;

/** Fewer than there are connections, so that nobody else waits for long. */
const REGISTRATIONS_AT_ONCE = 3;

/** Carries out one step of a plan, and remembers what came of it. */
export class ServiceApplier {
  readonly #options: ServiceApplierOptions;

  constructor(options: ServiceApplierOptions) {
    this.#options = options;
  }

  /**
   * `refused`: nothing was written as it was to be. The nodes where something else stood are read again by the next look.
   *
   * @throws TerminalError `DryRun`; RetryableError `ConsulDenied` when the token may not do one of the operations; others as
   *   `WriteGate.commit` and `ServiceRegistrations.register`.
   */
  async apply(
    subject: ServiceSubject,
    change: ServiceChange,
    observed: ServiceObservation,
  ): Promise<Receipt> {
    switch (change.step) {
      case 'commit':
        return this.#commit(subject, change, observed);
      case 'register':
        return this.#register(subject, change, observed);
      case 'agent':
        throw new TypeError('a step of the agent');
    }
  }

  async #commit(subject: ServiceSubject, change: Commit, { facts }: ServiceObservation): Promise<Receipt> {
    const { serviceMirror, emptyNodes, installId } = this.#options;
    const { ref } = subject;
    const { record, claims } = facts;
    const claimsIndex = claims.complete ? claims.index : undefined;
    const cut = cutCommit(change, { installId, ref, record, claimsIndex });
    const written = catalogWrites(cut.operations);
    const nodes = new Set(written.map(nodeOf));
    const outcome = await emptyNodes.whileWriting(nodes, () => this.#send(ref, cut));
    if (outcome.kind === 'refused') {
      for (const node of catalogWrites(outcome.operations.map(({ operation }) => operation)).map(nodeOf)) {
        serviceMirror.doubt(node);
      }
      return { kind: 'refused' };
    }
    serviceMirror.wrote(written, outcome.indexes);
    await this.#removeEmptied(written);
    return receiptFor(change, cut.done, { record, deleting: subject.deleting });
  }

  async #send(ref: ResourceRef, cut: ServiceCut): Promise<RecordOutcome> {
    try {
      return await commitRecord(this.#options, { ref, ...cut });
    } catch (error) {
      // Committed or not: nothing that is remembered of these nodes can be trusted until it was read again.
      if (!isUnwritten(error)) this.#doubt(catalogWrites(cut.operations).map(nodeOf));
      throw error;
    }
  }

  async #register(
    subject: ServiceSubject,
    change: Register,
    { facts, signal }: ServiceObservation,
  ): Promise<Receipt> {
    const { emptyNodes } = this.#options;
    const { instances } = change;
    const done: RegisterChange[] = [];
    const nodes = new Set(instances.map(({ node }) => node));
    await emptyNodes.whileWriting(nodes, () =>
      inParallel(instances, REGISTRATIONS_AT_ONCE, async instance => {
        if (signal.aborted) throw new AbortedError('aborted', signal.reason);
        if (await this.#registerOne(subject.ref, instance)) done.push(instance);
      }),
    );
    if (done.length === 0) return { kind: 'refused' };
    return receiptFor(change, done, { record: facts.record, deleting: subject.deleting });
  }

  /** False: it does not stand as it was sent. */
  async #registerOne(ref: ResourceRef, { node, service, before }: RegisterChange): Promise<boolean> {
    const { serviceRegistrations, serviceMirror } = this.#options;
    try {
      const { applied, asSent, row } = await serviceRegistrations.register(ref, { node, service, before });
      if (applied && row !== undefined) serviceMirror.registered(node, row);
      else serviceMirror.doubt(node);
      return asSent;
    } catch (error) {
      // Also where nothing was written, something else stands there than was believed.
      this.#doubt([node]);
      throw error;
    }
  }

  #doubt(nodes: Iterable<NodeName>): void {
    for (const node of new Set(nodes)) this.#options.serviceMirror.doubt(node);
  }

  /** A node of ours goes with its last instance. Should that fail, the next tenure sees to it. */
  async #removeEmptied(written: readonly CatalogWrite[]): Promise<void> {
    const { serviceMirror, emptyNodes, logger } = this.#options;
    for (const node of new Set(written.filter(({ verb }) => verb === 'service-delete-cas').map(nodeOf))) {
      if (!this.#mayBeEmpty(node)) continue;
      try {
        const stays = await emptyNodes.remove(node);
        if (stays === undefined) serviceMirror.doubt(node);
        logger.debug(
          { node, reason: stays },
          stays === undefined ? 'an empty node was removed' : 'an empty node stays',
        );
      } catch (error) {
        if (error instanceof AbortedError || !isOperatorError(error)) throw error;
        logger.debug({ node, err: error }, 'an empty node could not be removed yet');
      }
    }
  }

  /** What others have taken from a node that is only swept is known some seconds later. */
  #mayBeEmpty(node: NodeName): boolean {
    const { serviceMirror, installId } = this.#options;
    return !virtualNodes(installId).includes(node) || serviceMirror.seen(node)?.isEmpty === true;
  }
}

function catalogWrites(operations: readonly WriteOperation[]): CatalogWrite[] {
  return operations.filter(operation => operation.realm === 'catalog');
}

function nodeOf(operation: CatalogWrite): NodeName {
  return operation.verb === 'node-create' ? operation.node.node : operation.node;
}
