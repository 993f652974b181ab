import { z } from 'zod';
import { commonSpecFields, specObjectWith, statusObject } from './common.ts';
import {
  type ENTERPRISE_FIELDS,
  HEADER_NAME,
  HEADER_RULES,
  HTTP_RULES,
  INTENTION_RULES,
  MAX_DESCRIPTION_BYTES,
  MAX_HEADER_REGEX_CHARS,
  MAX_HEADERS,
  MAX_MATCHER_CHARS,
  MAX_METHODS,
  MAX_NAME_CHARS,
  MAX_PERMISSIONS,
  MAX_PROVIDERS,
  MAX_SOURCES,
  CONSUL_NAME,
  SOURCE_RULES,
} from './consulintention-cel.ts';
import { intentionProblem } from './consulintention-problem.ts';
import { COLUMNS, type KindDefinition } from './definition.ts';
import { issueSentence, type Parsed, type ParsedSpec, parseResource, type Resource } from './resource.ts';

/** A list that is replaced as a whole: what its entries mean hangs on their order or on each other. */
const ATOMIC = { 'x-kubernetes-list-type': 'atomic' } as const;

const name = z.string().max(MAX_NAME_CHARS);
/** Never empty: to Consul an empty matcher is none, which is not what `exact: ""` says. */
const matcher = (description: string, maxChars = MAX_MATCHER_CHARS) =>
  z.string().min(1).max(maxChars).exactOptional().describe(description);
const action = z.enum(['allow', 'deny']);

const claim = z
  .object({
    path: z
      .array(z.string().min(1).max(128).describe('One step of the path.'))
      .min(1)
      .max(16)
      .meta({
        ...ATOMIC,
        description:
          'Path of the claim in the payload of the token: [perms, role] for {"perms": {"role": …}}. 1 to 16 steps.',
      }),
    value: z
      .string()
      .min(1)
      .max(512)
      .describe('Value that the claim must have, or contain where the claim is a list.'),
  })
  .describe('A claim of the token that must have a certain value.');

const provider = z
  .object({
    name: name
      .regex(CONSUL_NAME)
      .describe(
        'Name of the config entry jwt-provider in Consul. While it does not exist the reason is DependencyNotReady.',
      ),
    verifyClaims: z
      .array(claim)
      .max(16)
      .exactOptional()
      .meta({ ...ATOMIC, description: 'Claims that the token must have, all of them. At most 16.' }),
  })
  .describe('An issuer of tokens, and what is asked of its tokens.');

const jwt = (description: string) =>
  z
    .object({
      providers: z
        .array(provider)
        .min(1)
        .max(MAX_PROVIDERS)
        .meta({
          ...ATOMIC,
          description: 'Whose tokens are taken: a valid one of any of them will do. 1 to 16.',
        }),
    })
    .exactOptional()
    .describe(description);

const header = z
  .object({
    name: name.regex(HEADER_NAME).describe('Name of the header, or of a pseudo-header such as :authority.'),
    present: z
      .boolean()
      .exactOptional()
      .describe('True: the header is there, with any value. False is the same as not given.'),
    exact: matcher('The value is this text.'),
    prefix: matcher('The value begins with this text.'),
    suffix: matcher('The value ends with this text.'),
    contains: matcher('The value contains this text.'),
    regex: matcher(
      'The whole value matches this regular expression (RE2). At most 128 characters.',
      MAX_HEADER_REGEX_CHARS,
    ),
    invert: z
      .boolean()
      .exactOptional()
      .describe('True: requests match for which the rest does not hold. Defaults to false.'),
    ignoreCase: z
      .boolean()
      .exactOptional()
      .describe(
        'True: upper and lower case are the same to exact, prefix, suffix and contains. Defaults to false.',
      ),
  })
  .meta({
    description:
      'A header of the request: exactly one of present, exact, prefix, suffix, contains and regex.',
    'x-kubernetes-validations': HEADER_RULES,
  });

const http = z
  .object({
    pathExact: matcher('The path is this one. Begins with "/".'),
    pathPrefix: matcher('The path begins with this text. Begins with "/".'),
    pathRegex: matcher('The whole path matches this regular expression (RE2).'),
    header: z
      .array(header)
      .max(MAX_HEADERS)
      .exactOptional()
      .meta({ ...ATOMIC, description: 'Headers that must match, all of them. At most 16.' }),
    methods: z
      .array(z.string().max(7).describe('A method of HTTP, in upper or lower case.'))
      .max(MAX_METHODS)
      .exactOptional()
      .meta({
        ...ATOMIC,
        description:
          'Methods, one of which the request must have: GET, HEAD, POST, PUT, PATCH, DELETE, CONNECT, OPTIONS, TRACE. Defaults to any.',
      }),
  })
  .meta({
    description:
      'Which requests: those for which all that is given holds. At most one of pathExact, pathPrefix and pathRegex. Must not be empty; pathPrefix: / is every request.',
    'x-kubernetes-validations': HTTP_RULES,
  });

const permission = z
  .object({
    action: action.describe('What happens to the requests that match: allow or deny.'),
    http,
    jwt: jwt('Tokens (JWT) that the matching requests must carry besides.'),
  })
  .describe('A rule for some of the requests (L7).');

const enterpriseOnly = z
  .string()
  .exactOptional()
  .describe('Not supported: Consul Enterprise only. Refused, so that it is not ignored.');

const source = z
  .object({
    name: name.describe(
      'Name of the service that calls, or "*" for all. Letters, digits, "-", "_" and ".", at most 128.',
    ),
    peer: z
      .string()
      .max(63)
      .exactOptional()
      .describe('Cluster peering from which the service comes. Defaults to none: a service of this Consul.'),
    action: action
      .exactOptional()
      .describe('What happens to its calls: allow or deny. Exactly one of action and permissions.'),
    permissions: z
      .array(permission)
      .max(MAX_PERMISSIONS)
      .exactOptional()
      .meta({
        ...ATOMIC,
        description:
          'Rules for single requests (L7), the first that matches decides; where none does, the default policy of Consul. The destination must speak http, http2 or grpc; until it does the reason is DependencyNotReady. At most 32. Exactly one of action and permissions.',
      }),
    description: z
      .string()
      .max(MAX_DESCRIPTION_BYTES)
      .exactOptional()
      .describe('For people; Consul keeps it with the source. At most 512 bytes.'),
    namespace: enterpriseOnly,
    partition: enterpriseOnly,
    samenessGroup: enterpriseOnly,
  })
  .meta({
    description: 'Who calls, and what becomes of the calls. Known by its peer and name.',
    'x-kubernetes-validations': SOURCE_RULES,
  });

const specSchema = specObjectWith(
  {
    ...commonSpecFields,
    datacenter: commonSpecFields.datacenter.describe(
      'A Consul datacenter, a DNS label. Intentions hold in all datacenters and are written to the primary one, whichever is named; status.effective.datacenter shows it. Defaults to the primary datacenter. Cannot be changed, set or unset later: make a new resource instead.',
    ),
  },
  {
    destination: name.describe(
      'Name of the service that is called, or "*" for all. Lower-case letters, digits, "-", "_" and ".", at most 128: Consul does not tell upper from lower case here. Cannot be changed: make a new resource instead.',
    ),
    sources: z
      .array(source)
      .min(1)
      .max(MAX_SOURCES)
      .meta({
        ...ATOMIC,
        description:
          'Who may call the destination and who may not, 1 to 128 sources in any order. Those of other ConsulIntentions, and those that others wrote, stay beside them.',
      }),
    jwt: jwt(
      'Tokens (JWT) that requests to the destination must carry, whichever of its sources they come from; looked at only where the destination speaks HTTP. There is one for a destination: only one resource can declare it.',
    ),
  },
  INTENTION_RULES,
);

const statusSchema = statusObject({
  sources: z.int().min(0).exactOptional().describe('How many sources this resource owns in Consul.'),
  precedence: z
    .array(
      z
        .object({
          source: z.string().describe('Name of the source.'),
          peer: z.string().exactOptional().describe('Its peer, where it has one.'),
          precedence: z
            .int()
            .describe('Of the sources that fit a call, the one with the highest number decides.'),
        })
        .describe('The precedence of one source.'),
    )
    .exactOptional()
    .meta({ ...ATOMIC, description: 'The precedence that Consul gave to the sources of this resource.' }),
});

/** The spec as the schema takes it: with fields that are there to be refused. */
export type WrittenIntentionSpec = Readonly<z.output<typeof specSchema>>;
type WrittenSource = WrittenIntentionSpec['sources'][number];
/** One of `sources`, as declared. */
export type IntentionSource = Readonly<Omit<WrittenSource, (typeof ENTERPRISE_FIELDS)[number]>>;
export type IntentionPermission = NonNullable<IntentionSource['permissions']>[number];
export type IntentionJwt = NonNullable<WrittenIntentionSpec['jwt']>;
export type ConsulIntentionSpec = Omit<WrittenIntentionSpec, 'sources'> & {
  readonly sources: readonly IntentionSource[];
};
export type ConsulIntentionStatus = Readonly<z.output<typeof statusSchema>>;
export type ConsulIntention = Resource<ConsulIntentionSpec, ConsulIntentionStatus>;

/**
 * Reads a ConsulIntention as the API server hands it out and holds it to every rule of the CRD but one: whether a regular
 * expression is one of RE2. Never throws.
 */
export function parseConsulIntention(object: unknown): Parsed<ConsulIntentionSpec, ConsulIntentionStatus> {
  return parseResource(object, { spec: parseSpec, status: statusSchema });
}

function parseSpec(raw: unknown): ParsedSpec<ConsulIntentionSpec> {
  const parsed = specSchema.safeParse(raw);
  if (!parsed.success) return { ok: false, problem: issueSentence(parsed.error, 'spec') };
  const problem = intentionProblem(parsed.data);
  return problem === undefined ? { ok: true, value: parsed.data } : { ok: false, problem };
}

export const consulIntention: KindDefinition = {
  kind: 'ConsulIntention',
  plural: 'consulintentions',
  singular: 'consulintention',
  shortNames: ['cint'],
  description: 'Who may call a service of the mesh: sources that are put into its intentions in Consul.',
  spec: specSchema,
  status: statusSchema,
  columns: [
    COLUMNS.ready,
    COLUMNS.reason,
    {
      name: 'Destination',
      type: 'string',
      jsonPath: '.spec.destination',
      description: 'The service that is called.',
    },
    {
      name: 'Sources',
      type: 'integer',
      jsonPath: '.status.sources',
      description: 'How many sources are owned in Consul.',
    },
    COLUMNS.drift,
    COLUMNS.age,
    COLUMNS.message,
    COLUMNS.lastApplied,
  ],
  selectableFields: ['.spec.destination', '.spec.datacenter'],
};
