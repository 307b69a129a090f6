/** Which container has which devices, kept on disk: a kubelet that starts again must not hand them out twice. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** A plugin's answer to Allocate: what the container is to be given. */
export interface AllocateAnswer {
  envs: Record<string, string>;
  mounts: { container_path: string; host_path: string; read_only: boolean }[];
  devices: { container_path: string; host_path: string; permissions: string }[];
  annotations: Record<string, string>;
  cdi_devices: { name: string }[];
}

export interface Grant {
  uid: string;
  container: string;
  resource: string;
  ids: string[];
  answer: AllocateAnswer;
}

export interface DeviceLedger {
  get(uid: string, container: string, resource: string): Grant | undefined;
  of(uid: string, container: string): Grant[];
  has(uid: string): boolean;
  /** UIDs of the pods that have any of a resource. */
  users(resource: string): string[];
  set(grant: Grant): void;
  release(which: (grant: Grant) => boolean): void;
  /** Ids that pods among `living` have. */
  used(resource: string, living: ReadonlySet<string>): Set<string>;
  resources(): Record<string, string[]>;
  setResources(resources: Record<string, string[]>): void;
}

export function createDeviceLedger(file: string): DeviceLedger {
  let state: { grants: Grant[]; resources: Record<string, string[]> } = { grants: [], resources: {} };
  let loaded = false;
  const load = () => {
    if (loaded) return state;
    loaded = true;
    try {
      const read = JSON.parse(readFileSync(file, 'utf8')) as Partial<typeof state>;
      if (Array.isArray(read.grants)) state = { grants: read.grants, resources: read.resources ?? {} };
    } catch {
      // none yet, or another kubelet's
    }
    return state;
  };
  const save = () => {
    writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  return {
    get: (uid, container, resource) =>
      load().grants.find((g) => g.uid === uid && g.container === container && g.resource === resource),
    users: (resource) => [...new Set(load().grants.flatMap((g) => (g.resource === resource ? [g.uid] : [])))],
    has: (uid) => load().grants.some((g) => g.uid === uid),
    of: (uid, container) => load().grants.filter((g) => g.uid === uid && g.container === container),
    set(grant) {
      load().grants.push(grant);
      save();
    },
    release(which) {
      const left = load().grants.filter((g) => !which(g));
      if (left.length === state.grants.length) return;
      state.grants = left;
      save();
    },
    used: (resource, living) =>
      new Set(load().grants.flatMap((g) => (g.resource === resource && living.has(g.uid) ? g.ids : []))),
    resources: () => load().resources,
    setResources(resources) {
      if (JSON.stringify(load().resources) === JSON.stringify(resources)) return;
      state.resources = resources;
      save();
    },
  };
}
