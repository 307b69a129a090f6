/** Warnings of files in one volume that hide one another. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, PodSpec } from '../../../api/types.ts';

interface Place {
  path: string;
  source: string;
}
type Items = readonly { path: string }[] | undefined;
type Projection = Json<k8s.V1VolumeProjection> & {
  podCertificate?: { certificateChainPath?: string; keyPath?: string; credentialBundlePath?: string };
};

const quoted = (s: string | undefined) => JSON.stringify(s ?? '');
const places = (items: Items, source = ''): Place[] => (items ?? []).map((i) => ({ path: i.path ?? '', source }));
const text = (p: Place) => (p.source === '' ? quoted(p.path) : `${quoted(p.path)} (${p.source})`);

/** Whether one is the other, or lies in it. */
const clash = (a: string, b: string) =>
  a !== '' && b !== '' && (`${a}/`.startsWith(`${b}/`) || `${b}/`.startsWith(`${a}/`));

function overlaps(list: readonly Place[]): string[] {
  if (list.length < 2) return [];
  const seen: Place[] = [];
  return list.flatMap((p) => {
    const place = { ...p, path: p.path.replace(/\/+$/, '') };
    const found = seen.filter((s) => clash(s.path, place.path)).map((s) => `${text(place)} with ${text(s)}`);
    seen.push(place);
    return found;
  });
}

function projected(s: Projection): Place[] {
  if (s.configMap?.items) return places(s.configMap.items, `ConfigMap ${quoted(s.configMap.name)}`);
  if (s.secret?.items) return places(s.secret.items, `Secret ${quoted(s.secret.name)}`);
  if (s.downwardAPI?.items) return places(s.downwardAPI.items, 'DownwardAPI');
  if (s.serviceAccountToken) return [{ path: s.serviceAccountToken.path, source: 'ServiceAccountToken' }];
  const bundle = s.clusterTrustBundle;
  if (bundle) return [{ path: bundle.path, source: `ClusterTrustBundle ${quoted(bundle.name ?? bundle.signerName)}` }];
  const { certificateChainPath, keyPath, credentialBundlePath } = s.podCertificate ?? {};
  return [
    { path: certificateChainPath ?? '', source: 'PodCertificate chain' },
    { path: keyPath ?? '', source: 'PodCertificate key' },
    { path: credentialBundlePath ?? '', source: 'PodCertificate credential bundle' },
  ].filter((p) => p.path !== '');
}

/** One sentence for each pair. */
export function overlapWarnings(volumes: PodSpec['volumes']): string[] {
  const out: string[] = [];
  for (const v of volumes ?? []) {
    const warn = (what: () => string, list: readonly Place[]) => {
      for (const o of overlaps(list)) out.push(`volume ${quoted(v.name)} (${what()}): overlapping paths: ${o}`);
    };
    if (v.configMap) warn(() => `ConfigMap ${quoted(v.configMap?.name)}`, places(v.configMap.items));
    if (v.secret) warn(() => `Secret ${quoted(v.secret?.secretName)}`, places(v.secret.items));
    if (v.downwardAPI) warn(() => 'DownwardAPI', places(v.downwardAPI.items));
    const sources = (v.projected?.sources ?? []) as Projection[];
    if (sources.length === 0) continue;
    for (const s of sources)
      if (Object.keys(s).length === 0) out.push(`volume ${quoted(v.name)} (Projected) has no sources provided`);
    warn(() => 'Projected', sources.flatMap(projected));
  }
  return out;
}
