export type { KubeClient, KubeRequest, RequestReport } from './client.ts';
export { kubeStatus } from './errors.ts';
export type { EventNotice } from './event-body.ts';
export { createEventRecorder, type EventRecorder, type EventRecorderOptions } from './events.ts';
export { addFinalizer, type FinalizerChange, removeFinalizer } from './finalizers.ts';
export { createKubeClient, type KubeClientOptions } from './http-client.ts';
export { ownNamespace, readClusterUid } from './identity.ts';
export { collectionPath, objectPath } from './paths.ts';
export {
  createReflector,
  type Reflector,
  type ReflectorObserver,
  type ReflectorOptions,
} from './reflector.ts';
export type { ReflectorState, RelistReason } from './reflector-status.ts';
export { writeStatus, type WriteResult } from './status-writer.ts';
export { Store, type StoreHandlers } from './store.ts';
export {
  referenceTo,
  type KubeObject,
  type ObjectReference,
  type ResourceType,
} from './types.ts';
