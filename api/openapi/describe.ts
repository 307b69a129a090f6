/**
 * Descriptions for the schemas of built-in kinds. The facts carry none, and `kubectl explain` shows a hole where there is
 * none; so each says in plain words what its name says. A schema that has a description of its own keeps it.
 */

import { API_VERSION_TEXT, KIND_TEXT, METADATA_TEXT } from './custom.ts';

interface Described {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
}

/** Custom resources are described by those who define them, or not at all. */
const BUILT_IN = /^io\.k8s\.(api|apimachinery|apiextensions-apiserver|kube-aggregator)\./;

/** Words that stay as they are within a sentence. */
const KEPT = /^(?:[A-Z0-9]{2,}s?|v\d.*)$/;

/** `terminationGracePeriodSeconds` -> `termination grace period seconds`, `podIPs` -> `pod IPs`. */
export function wordsOf(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]{2,})([A-Z][a-z])/g, '$1 $2')
    .split(' ')
    .map((w) => (KEPT.test(w) ? w : w.toLowerCase()))
    .join(' ');
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
const withArticle = (noun: string) => `${/^[AEIOU]/.test(noun) ? 'an' : 'a'} ${noun}`;

const COMMON: Readonly<Record<string, string>> = {
  apiVersion: API_VERSION_TEXT,
  kind: KIND_TEXT,
  metadata: METADATA_TEXT,
};
/** Sentences for single fields where the name alone says too little. */
const OWN: Readonly<Record<string, string>> = {
  'ObjectMeta.creationTimestamp':
    'CreationTimestamp is a timestamp that the server sets when it stores the object first.',
  'ObjectMeta.deletionTimestamp':
    'DeletionTimestamp is a timestamp that the server sets when deletion is asked for and something must end before it.',
  'ObjectMeta.generation': 'Generation counts the changes of what is wanted (the spec).',
  'ObjectMeta.resourceVersion':
    'ResourceVersion changes with every write; send it back to write only over what was read.',
  'ObjectMeta.uid': 'UID tells this object from all others that ever had its name.',
};

/** `io.k8s.api.apps.v1.DeploymentSpec` -> kind `DeploymentSpec`, home `apps/v1`. */
function partsOf(name: string): { kind: string; home: string } {
  const parts = name.split('.');
  return { kind: parts.at(-1)!, home: parts.slice(-3, -1).join('/') };
}

/** The built-in schemas with descriptions on each and on every property; what is given isn't changed. */
export function describe(schemas: Readonly<Record<string, object>>): Record<string, object> {
  const out: Record<string, object> = {};
  for (const [name, given] of Object.entries(schemas)) {
    if (!BUILT_IN.test(name)) {
      out[name] = given;
      continue;
    }
    const schema = given as Described;
    const { kind, home } = partsOf(name);
    const ownKind = 'x-kubernetes-group-version-kind' in given;
    const properties = schema.properties && {
      properties: Object.fromEntries(
        Object.entries(schema.properties).map(([field, p]) => [
          field,
          p.description === undefined
            ? {
                description:
                  OWN[`${kind}.${field}`] ??
                  ((ownKind && COMMON[field]) || sentence(`${wordsOf(field)} of ${withArticle(kind)}`)),
                ...p,
              }
            : p,
        ]),
      ),
    };
    out[name] = { description: sentence(`${withArticle(kind)} of ${home}`), ...schema, ...properties };
  }
  return out;
}
