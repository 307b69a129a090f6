/** The steps of a scenario, in the form that the players beside the recorded corpus read. */
import type { JsonObject } from '../../../api/types.ts';

export interface Step {
  readonly id: string;
  readonly group: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly bodyB64?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly user?: { readonly name: string; readonly groups?: readonly string[] };
  readonly auth?: 'none';
  readonly capture?: Readonly<Record<string, string>>;
  readonly watch?: Readonly<Record<string, unknown>>;
  readonly retry?: boolean;
  readonly until?: Readonly<Record<string, unknown>>;
  readonly sleep?: number;
  readonly expect?: number;
  readonly view?: string;
}
export type More = Partial<Omit<Step, 'id' | 'group' | 'method' | 'path' | 'body'>>;

/** A word of this run: names of one run don't meet those of another on the same servers. */
export const RUN = `r${process.pid}`;

/** Steps that run in order and may use what earlier ones captured. */
export class Scenario {
  readonly steps: Step[] = [];
  readonly group: string;
  readonly name: string;
  constructor(group: string, name: string) {
    this.group = group;
    this.name = name;
  }
  send(method: string, path: string, body?: unknown, more: More = {}): this {
    const id = `${this.group}.${this.name}.${String(this.steps.length + 1).padStart(3, '0')}`;
    this.steps.push({ id, group: this.group, method, path, ...(body === undefined ? {} : { body }), ...more });
    return this;
  }
  get(path: string, more?: More): this {
    return this.send('GET', path, undefined, more);
  }
  post(path: string, body: unknown, more?: More): this {
    return this.send('POST', path, body, more);
  }
  put(path: string, body: unknown, more?: More): this {
    return this.send('PUT', path, body, more);
  }
  del(path: string, body?: unknown, more?: More): this {
    return this.send('DELETE', path, body, more);
  }
  /** `form`: json, merge, strategic or apply. */
  patch(form: keyof typeof PATCH_TYPES, path: string, body: unknown, more?: More): this {
    return this.send('PATCH', path, body, { contentType: PATCH_TYPES[form], ...more });
  }
  table(path: string): this {
    return this.get(path, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
  }
  /** Makes a namespace with its service account; returns its name. */
  namespace(name: string, labels?: Record<string, string>): string {
    const full = `${name}-${RUN}`;
    this.post('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: full, ...(labels ? { labels } : {}) },
    });
    this.post(`/api/v1/namespaces/${full}/serviceaccounts`, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default' },
    });
    return full;
  }
  /** Makes a CustomResourceDefinition and waits until it is served; returns the collection's path. */
  crd(crd: JsonObject, namespace?: string): string {
    const { metadata, spec } = crd as {
      metadata: { name: string };
      spec: { group: string; names: { plural: string }; versions: { name: string; served: boolean }[] };
    };
    const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const version = spec.versions.find((v) => v.served)!.name;
    const where = namespace === undefined ? '' : `namespaces/${namespace}/`;
    const path = `/apis/${spec.group}/${version}/${where}${spec.names.plural}`;
    this.post(all, crd);
    this.get(`${all}/${metadata.name}`, { until: { '.status.conditions[?type=Established].status': 'True' } });
    this.get(path, { expect: 200, retry: true });
    return path;
  }
}

const PATCH_TYPES = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** A CustomResourceDefinition with one namespaced version `v1`; `over` replaces parts of its spec. */
export function crdOf(kind: string, spec: JsonObject, over: JsonObject = {}, version: JsonObject = {}): JsonObject {
  const plural = `${kind.toLowerCase()}s`;
  const group = `${plural}.${RUN}.example.com`;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, kind },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
            },
          },
          ...version,
        },
      ],
      ...over,
    },
  };
}
export const groupOf = (crd: JsonObject) => (crd['spec'] as { group: string }).group;
export const removeCrd = (s: Scenario, crd: JsonObject) =>
  s.del(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${(crd['metadata'] as { name: string }).name}`);

/** The schema of an object. */
export const obj = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: 'object',
  properties,
  ...more,
});
export const KEEP = { 'x-kubernetes-preserve-unknown-fields': true };

/** A schema with one rule. */
export const rule = (r: JsonObject | string, type: JsonObject = { type: 'string' }): JsonObject => ({
  ...type,
  'x-kubernetes-validations': [typeof r === 'string' ? { rule: r } : r],
});
