/** Every condition reason there is, with what it means and the way out. `docs/reasons.md` is generated from it. */
export const REASONS = {
  Applied: 'Consul equals the spec.',
  Suspended: 'spec.suspend is set: nothing new is written to Consul. Set it to false to resume.',
  Progressing: 'The last turn did not finish and is tried again by itself.',
  ConsulUnreachable:
    'Consul cannot be reached or has no leader. It is tried again by itself; check the servers and CONSUL_HTTP_ADDR.',
  ConsulDenied:
    "The operator's ACL token lacks a right named in the message. Extend its policy; no restart is needed.",
  Conflict:
    'Another resource or operator install owns what this one declares. Remove one of the two declarations.',
  AlreadyExists:
    'The object exists in Consul, nobody owns it, and adoptionPolicy does not allow to take it. Remove it, make it equal, or set adoptionPolicy: Always.',
  SourceNotFound:
    'A ConfigMap, Secret, key in one, or Service that the spec refers to is missing and not optional. Create it; it is picked up by itself.',
  SourceForbidden:
    'The operator may not read what the spec needs; the message names the right that is missing. For Secrets: add the namespace to the chart value secrets.namespaces.',
  DependencyNotReady:
    'Another Consul object that is needed is missing or of the wrong kind. It is applied by itself once that is there.',
  InvalidSpec: 'The spec cannot be carried out as written; the message says which field and why.',
  TooLarge: "The declared data is over Consul's limits. Split it over several resources, or shorten values.",
  NotAllowed: 'A tenancy rule or a feature switch forbids this.',
  UnsupportedByConsul: 'This Consul cannot do what the spec asks for.',
  NoCandidates: 'No Ready Pod matches the selector.',
  DryRun: 'The operator runs with PROCONSUL_DRY_RUN: the message says what it would write.',
  DeletionBlocked:
    'What the resource owns in Consul could not be removed yet. It is tried again; the message says what is in the way. Where the kind has it, deletionPolicy: Retain lets go of it.',
} as const;

export type Reason = keyof typeof REASONS;

/** Reasons that only a change from outside the operator can clear: they set `Stalled`. */
export const STALLING_REASONS: ReadonlySet<string> = new Set<Reason>([
  'Conflict',
  'AlreadyExists',
  'InvalidSpec',
  'TooLarge',
  'NotAllowed',
  'UnsupportedByConsul',
]);
