import { type ConsulService, parseConsulService } from '../../../../src/api/v1alpha1/consulservice.ts';

/** The ConsulService `shop/orders` of a spec as users write it, which the API would take. */
export function aResource(spec: Readonly<Record<string, unknown>>): ConsulService {
  const metadata = { name: 'orders', namespace: 'shop', uid: 'u', resourceVersion: '1', generation: 1 };
  const parsed = parseConsulService({ metadata, spec });
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value;
}

/** A fixed instance as users write one. */
export const aVm = (fields: Readonly<Record<string, unknown>> = {}) => ({
  id: 'vm-1',
  address: '192.0.2.10',
  port: 5432,
  ...fields,
});
