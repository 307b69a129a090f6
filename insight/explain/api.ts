/**
 * explain.k8ts.io/v1: why an object isn't what it should be, read as
 * `/apis/explain.k8ts.io/v1/namespaces/NAMESPACE/RESOURCE[.GROUP]/NAME`. Access is that of `get` on the resource of that
 * name in this group; what stands in an answer has been read with this program's own rights.
 */
import { isNotFound, notFound, pathNotFound } from '../../api/status.ts';
import type { JsonObject, KubeObject } from '../../api/types.ts';
import { findResource } from '../../client/discovery.ts';
import type { ApiGroup, KindInfo } from '../group.ts';
import { explainDeletion } from './deletion.ts';
import { fine, type Explanation, type Reason } from './model.ts';
import { explainPod } from './pods.ts';
import { warningsOf, type Sources } from './sources.ts';
import { explainDeployment, explainWorkload } from './workloads.ts';

const EXPLAIN_GROUP = 'explain.k8ts.io';
const VERSION = 'v1';
const WORKLOADS = new Set(['ReplicaSet', 'StatefulSet', 'DaemonSet', 'ReplicationController']);

const text = (description: string) => ({ type: 'string', description });
const list = (items: JsonObject, description: string) => ({ type: 'array', items, description });
const KINDS: Record<string, KindInfo> = {
  Explanation: {
    description: "Why an object isn't what it should be.",
    properties: {
      of: { $ref: 'Object' },
      state: text('Fine, Waiting, Deleting or Ended.'),
      summary: text('The whole in a sentence.'),
      reasons: list({ $ref: 'Reason' }, 'What is in its way.'),
      nodes: list({ $ref: 'NodeVerdict' }, 'Of a pod without a node: what stands against each node.'),
      smallestChange: { $ref: 'Change' },
    },
    top: true,
  },
  Object: {
    description: 'Which object is meant.',
    properties: {
      group: text('Its API group.'),
      version: text('The version of the group.'),
      resource: text('Its resource, in the plural.'),
      kind: text('Its kind.'),
      namespace: text('Its namespace, where it has one.'),
      name: text('Its name.'),
    },
  },
  Reason: {
    description: 'Something that is in the way.',
    properties: {
      message: text('What it is.'),
      fix: text('What would help.'),
      object: { $ref: 'Object' },
      because: list({ type: 'object' }, 'Further reasons behind this one.'),
    },
  },
  NodeVerdict: {
    description: 'Whether a pod fits on a node.',
    properties: {
      node: text('Its name.'),
      fits: { type: 'boolean', description: 'Nothing stands against it.' },
      objections: list({ $ref: 'Objection' }, 'What stands against it.'),
    },
  },
  Objection: {
    description: "A scheduler plugin's no to a node.",
    properties: {
      plugin: text('Its name.'),
      reasons: list({ type: 'string' }, 'What it says.'),
      changes: list({ type: 'string' }, 'What would change its mind.'),
    },
  },
  Change: {
    description: 'The least that would make a pod fit somewhere.',
    properties: {
      node: text('Where.'),
      changes: list({ type: 'string' }, 'What would have to change.'),
      tried: { type: 'boolean', description: 'It was tried on paper, and the pod fits.' },
    },
  },
};

/** The group explain.k8ts.io/v1. */
export function explainGroup(sources: Sources): ApiGroup {
  return {
    group: EXPLAIN_GROUP,
    version: VERSION,
    resources: [
      { name: 'pods', singularName: '', namespaced: true, kind: 'Explanation', verbs: ['get'] },
      { name: 'deployments.apps', singularName: '', namespaced: true, kind: 'Explanation', verbs: ['get'] },
      { name: 'namespaces', singularName: '', namespaced: false, kind: 'Explanation', verbs: ['get'] },
    ],
    kinds: KINDS,
    open: true,
    async read({ resource, namespace, name }) {
      if (name === undefined) throw pathNotFound();
      const known = findResource(await sources.discover(), resource);
      if (!known || known.namespaced !== (namespace !== undefined)) throw pathNotFound();
      let object: KubeObject;
      try {
        object = await sources.client.get<KubeObject>(known, name, namespace);
      } catch (error) {
        if (isNotFound(error)) throw notFound({ group: known.group, resource: known.resource }, name);
        throw error;
      }
      const explanation = await explain();
      return {
        kind: 'Explanation',
        apiVersion: `${EXPLAIN_GROUP}/${VERSION}`,
        metadata: { name, ...(namespace ? { namespace } : {}), uid: object.metadata?.uid },
        of: { group: known.group, version: known.version, resource: known.resource, kind: known.kind },
        ...explanation,
      } as unknown as JsonObject;

      async function explain(): Promise<Explanation> {
        if (object.metadata?.deletionTimestamp) return explainDeletion(sources, known!, object);
        const { kind } = known!;
        if (kind === 'Pod') return explainPod(sources, object);
        if (kind === 'Deployment') return explainDeployment(sources, object as never);
        if (WORKLOADS.has(kind)) return explainWorkload(sources, kind, object as never);
        return byConditions(sources, kind, object);
      }
    },
  };
}

interface Conditioned extends KubeObject {
  status?: { phase?: string; conditions?: { type: string; status: string; reason?: string; message?: string }[] };
}
/** Conditions that should be True; of others the name says that they shouldn't. */
const GOOD = new Set([
  'Ready',
  'Available',
  'Established',
  'Complete',
  'NamesAccepted',
  'Progressing',
  'AbleToScale',
  'ScalingActive',
  'DisruptionAllowed',
]);
const BAD = /Fail|Error|Degraded|Pressure/;
/** What a kind that nothing more is known of says of itself, and what was said about it. */
async function byConditions(s: Sources, kind: string, o: Conditioned): Promise<Explanation> {
  const what = `${kind.toLowerCase()} ${o.metadata?.name}`;
  const bad = (o.status?.conditions ?? []).filter((c) =>
    GOOD.has(c.type) ? c.status !== 'True' : BAD.test(c.type) && c.status === 'True',
  );
  const reasons: Reason[] = bad.map((c) => ({
    message: `${c.type} is ${c.status}${c.reason ? ` (${c.reason})` : ''}${c.message ? `: ${c.message}` : ''}`,
  }));
  const { phase } = o.status ?? {};
  if (phase === 'Pending' || phase === 'Failed' || phase === 'Lost')
    reasons.unshift({ message: `its phase is ${phase}` });
  if (reasons.length === 0) return fine(`${what}: nothing in its status is out of order`);
  for (const w of await warningsOf(s, o)) reasons.push({ message: `event ${w}` });
  return { state: 'Waiting', summary: `${what} is not as it should be`, reasons };
}
