/** Paths and objects that many scenarios begin with. */
import type { JsonObject } from '../../../api/types.ts';

/** The collection of a core resource. */
export const core = (ns: string, resource: string) => `/api/v1/namespaces/${ns}/${resource}`;
/** The collection of a resource of apps/v1. */
export const apps = (ns: string, resource: string) => `/apis/apps/v1/namespaces/${ns}/${resource}`;
/** What a workload makes its pods of. */
export const template = (labels: JsonObject = { a: 'b' }): JsonObject => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'i' }] },
});
/** A Deployment of one pod; `spec` adds to its spec, or replaces parts. */
export const deployment = (name: string, spec: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: { selector: { matchLabels: { a: 'b' } }, template: template(), ...spec },
});
/** A container of a pod; `more` adds to it, or replaces parts. */
export const container = (more: JsonObject = {}): JsonObject => ({ name: 'c', image: 'i', ...more });
/** A pod of one container; `spec` adds to its spec, or replaces parts. */
export const pod = (name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { containers: [container()], ...spec },
});
/** Writes of core resources, as policies name what they are for. */
export const rules = (resources: string[], more: JsonObject = {}) => ({
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources, ...more }],
});
