import { expect, test } from 'vitest';
import { compareResourceVersions } from '../../../src/kube/resource-version.ts';

test.each([
  ['9', '10', 'a longer number is newer'],
  ['99', '100', 'a longer number is newer'],
  ['123', '124', 'numbers of one length compare digit by digit'],
  ['18446744073709551615', '18446744073709551616', 'numbers beyond 64 bits keep their order'],
])('%s is older than %s: %s', (older, newer) => {
  expect(compareResourceVersions(older, newer)).toBeLessThan(0);
  expect(compareResourceVersions(newer, older)).toBeGreaterThan(0);
});

test('a version is neither older nor newer than itself', () => {
  expect(compareResourceVersions('7', '7')).toBe(0);
  expect(compareResourceVersions('opaque', 'opaque')).toBe(0);
});

test('what is no number counts as newer than anything else, so that it is never ignored for ever', () => {
  expect(compareResourceVersions('opaque', '7')).toBeGreaterThan(0);
  expect(compareResourceVersions('7', 'opaque')).toBeGreaterThan(0);
  expect(compareResourceVersions('007', '8')).toBeGreaterThan(0);
});
