import { z } from 'zod';

/** Marks a zod union of an integer and a string. */
const INT_OR_STRING = 'x-kubernetes-int-or-string';

/** A node of an OpenAPI v3 schema as the API server takes it. */
export interface SchemaNode {
  [keyword: string]: unknown;
  type?: string;
  description?: string;
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  additionalProperties?: SchemaNode;
}

/** Keywords that a structural schema must not have, or that zod writes where none of our kinds needs them. */
const FORBIDDEN = ['$ref', '$schema', 'const', 'propertyNames', 'anyOf', 'oneOf', 'allOf', 'not', 'nullable'];

/**
 * The structural schema of a zod object, as a CRD may hold it ("Specifying a structural schema", Kubernetes docs).
 *
 * @throws Error with the path of the first node that the API server would refuse or that has no description.
 */
export function structuralSchema(schema: z.ZodObject, root: string): SchemaNode {
  const node = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    cycles: 'throw',
    unrepresentable: 'throw',
    override: ({ jsonSchema }) => tidy(jsonSchema as SchemaNode),
  }) as SchemaNode;
  assertStructural(node, root);
  return node;
}

function tidy(node: SchemaNode): void {
  if (node.type === 'integer') tidyInteger(node);
  // The API server checks the format itself; zod's pattern for it has 200 characters.
  if (node['format'] === 'date-time') delete node['pattern'];
  if (node[INT_OR_STRING] === true) tidyIntOrString(node);
}

/**
 * The one union a structural schema knows has no type: bounds of numbers and of texts stand beside each other, and each
 * is asked of what it fits.
 */
function tidyIntOrString(node: SchemaNode): void {
  const members = (node['anyOf'] ?? []) as readonly SchemaNode[];
  delete node['anyOf'];
  for (const { type: _type, format: _format, ...bounds } of members) Object.assign(node, bounds);
}

/** JSON numbers are doubles to zod, so it writes the bounds of exact integers; the API server has int64. */
function tidyInteger(node: SchemaNode): void {
  node['format'] = 'int64';
  if (node['minimum'] !== Number.MIN_SAFE_INTEGER) return;
  delete node['minimum'];
  if (node['maximum'] === Number.MAX_SAFE_INTEGER) delete node['maximum'];
}

function assertStructural(node: SchemaNode, path: string): void {
  const forbidden = FORBIDDEN.find(keyword => keyword in node);
  if (forbidden !== undefined) throw new Error(`${path}: ${forbidden} is not structural`);
  if (typeof node.type !== 'string' && node[INT_OR_STRING] !== true) throw new Error(`${path}: no type`);
  if (node.description === undefined) throw new Error(`${path}: no description`);
  if (node.properties !== undefined && node.additionalProperties !== undefined) {
    throw new Error(`${path}: additionalProperties beside properties`);
  }
  for (const [name, property] of Object.entries(node.properties ?? {}))
    assertStructural(property, `${path}.${name}`);
  if (node.items !== undefined) assertStructural(node.items, `${path}[]`);
  if (node.additionalProperties !== undefined) assertStructural(node.additionalProperties, `${path}{}`);
}
