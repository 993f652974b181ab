import { expect, test } from 'vitest';
import { collectionPath, objectPath, urlTemplate } from '../../../src/kube/paths.ts';
import type { ResourceType } from '../../../src/kube/types.ts';

const widget: ResourceType = {
  group: 'test.proconsul.dev',
  version: 'v1',
  plural: 'widgets',
  kind: 'Widget',
  namespaced: true,
};
const namespace: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

test('paths follow the API conventions', () => {
  expect(collectionPath(widget)).toBe('/apis/test.proconsul.dev/v1/widgets');
  expect(collectionPath(widget, 'shop')).toBe('/apis/test.proconsul.dev/v1/namespaces/shop/widgets');
  expect(objectPath(widget, { namespace: 'shop', name: 'a' }, 'status')).toBe(
    '/apis/test.proconsul.dev/v1/namespaces/shop/widgets/a/status',
  );
  expect(objectPath(namespace, { name: 'kube-system' })).toBe('/api/v1/namespaces/kube-system');
});

test('a name cannot leave its place in the path', () => {
  expect(objectPath(widget, { namespace: 'a/b', name: '../../secrets?x=1#y' })).toBe(
    '/apis/test.proconsul.dev/v1/namespaces/a%2Fb/widgets/..%2F..%2Fsecrets%3Fx%3D1%23y',
  );
});

test.each(['', '.', '..'])('%j is refused as a name: it would point to another path', name => {
  expect(() => objectPath(widget, { namespace: 'shop', name })).toThrow('is no object name');
  expect(() => collectionPath(widget, name)).toThrow('is no object name');
});

test.each([
  [
    '/apis/test.proconsul.dev/v1/namespaces/shop/widgets/a/status',
    '/apis/test.proconsul.dev/v1/namespaces/{namespace}/widgets/{name}/status',
  ],
  [
    '/apis/test.proconsul.dev/v1/namespaces/shop/widgets',
    '/apis/test.proconsul.dev/v1/namespaces/{namespace}/widgets',
  ],
  ['/apis/test.proconsul.dev/v1/widgets', '/apis/test.proconsul.dev/v1/widgets'],
  ['/api/v1/namespaces/kube-system', '/api/v1/namespaces/{name}'],
  ['/api/v1/secrets', '/api/v1/secrets'],
  ['/readyz/ping', '/readyz'],
])('the template of %s names no object', (path, template) => {
  expect(urlTemplate(path)).toBe(template);
});
