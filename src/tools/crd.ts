import { API_VERSION, GROUP, VERSION } from '../api/v1alpha1/common.ts';
import type { KindDefinition, PrinterColumn } from '../api/v1alpha1/definition.ts';
import { structuralSchema } from './structural.ts';

/** Where the CRD of a kind is kept. */
export function crdPath(kind: KindDefinition): string {
  return `crds/${GROUP}_${kind.plural}.yaml`;
}

/** The CustomResourceDefinition of a kind, ready to be applied. */
export function customResourceDefinition(kind: KindDefinition): object {
  const { kind: name, plural, singular, shortNames } = kind;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: { kind: name, listKind: `${name}List`, plural, singular, shortNames, categories: ['consul'] },
      versions: [version(kind)],
    },
  };
}

function version(kind: KindDefinition): object {
  return {
    name: VERSION,
    served: true,
    storage: true,
    subresources: { status: {} },
    selectableFields: kind.selectableFields.map(jsonPath => ({ jsonPath })),
    additionalPrinterColumns: kind.columns.map(printerColumn),
    schema: {
      openAPIV3Schema: {
        type: 'object',
        description: kind.description,
        required: ['spec'],
        ...(kind.rules === undefined ? {} : { 'x-kubernetes-validations': kind.rules }),
        properties: {
          apiVersion: {
            type: 'string',
            description: `Version of the schema of this object: ${API_VERSION}.`,
          },
          kind: { type: 'string', description: `Kind of this object: ${kind.kind}.` },
          metadata: { type: 'object' },
          spec: structuralSchema(kind.spec, 'spec'),
          status: structuralSchema(kind.status, 'status'),
        },
      },
    },
  };
}

function printerColumn({ wide, ...column }: PrinterColumn): object {
  return { ...column, priority: wide === true ? 1 : 0 };
}
