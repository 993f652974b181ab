import { kubeError } from './errors.ts';
import type { ResourceType } from './types.ts';

export interface ObjectName {
  readonly name: string;
  readonly namespace?: string | undefined;
}

/** Path of a collection: of one namespace when given, else of the whole cluster. */
export function collectionPath(type: ResourceType, namespace?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = namespace === undefined ? '' : `/namespaces/${segment(namespace)}`;
  return `${root}${scope}/${type.plural}`;
}

/** Path of one object, or of one of its subresources. Names are encoded, so that none can leave its place. */
export function objectPath(type: ResourceType, object: ObjectName, subresource?: 'status'): string {
  const collection = collectionPath(type, type.namespaced ? object.namespace : undefined);
  const tail = subresource === undefined ? '' : `/${subresource}`;
  return `${collection}/${segment(object.name)}${tail}`;
}

/**
 * The path with its names replaced, for span names and `url.template`: of low cardinality, and telling no
 * tenant's names. Unknown shapes are cut to their first segment.
 */
export function urlTemplate(path: string): string {
  const parts = path.split('/');
  const rootLength = parts[1] === 'api' ? 3 : 4;
  if (parts[1] !== 'api' && parts[1] !== 'apis') return `/${parts[1] ?? ''}`;
  const root = parts.slice(0, rootLength);
  const rest = parts.slice(rootLength);
  const scoped = rest[0] === 'namespaces' && rest.length > 2;
  const [plural, name, ...subresource] = scoped ? rest.slice(2) : rest;
  const scope = scoped ? ['namespaces', '{namespace}'] : [];
  const object = name === undefined ? [] : ['{name}', ...subresource];
  return [...root, ...scope, ...(plural === undefined ? [] : [plural]), ...object].join('/');
}

/** An empty name would turn an object's path into its collection's; dots would be resolved away on the way. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw kubeError('KUBE_INVALID', `${JSON.stringify(name)} is no object name`);
  return encodeURIComponent(name);
}
