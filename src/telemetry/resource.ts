import {
  defaultResource,
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { RESOURCE_ATTRIBUTES } from './names.ts';

/** Which process is speaking. */
export interface Identity {
  readonly version: string;
  /** Unique to this process: the Pod's uid, or a random one. */
  readonly instanceId: string;
  readonly namespace?: string | undefined;
  readonly podName?: string | undefined;
  readonly podUid?: string | undefined;
}

const DEFAULT_SERVICE_NAME = 'proconsul';

/** What everything exported says of its origin. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win. */
export function createResource({ version, instanceId, namespace, podName, podUid }: Identity): Resource {
  const own = {
    [RESOURCE_ATTRIBUTES.serviceName]: DEFAULT_SERVICE_NAME,
    [RESOURCE_ATTRIBUTES.serviceVersion]: version,
    [RESOURCE_ATTRIBUTES.serviceInstanceId]: instanceId,
    ...(namespace === undefined ? {} : { [RESOURCE_ATTRIBUTES.namespaceName]: namespace }),
    ...(podName === undefined ? {} : { [RESOURCE_ATTRIBUTES.podName]: podName }),
    ...(podUid === undefined ? {} : { [RESOURCE_ATTRIBUTES.podUid]: podUid }),
  };
  return defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
}
