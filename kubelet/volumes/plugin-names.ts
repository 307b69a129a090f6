/** What volume plugins are called in metrics. */

const NAMES = {
  configMap: 'kubernetes.io/configmap',
  downwardAPI: 'kubernetes.io/downward-api',
  emptyDir: 'kubernetes.io/empty-dir',
  hostPath: 'kubernetes.io/host-path',
  image: 'kubernetes.io/image',
  local: 'kubernetes.io/local-volume',
  nfs: 'kubernetes.io/nfs',
  projected: 'kubernetes.io/projected',
  secret: 'kubernetes.io/secret',
} as const;
const KINDS = Object.keys(NAMES) as (keyof typeof NAMES)[];

/** As far as nothing is known of a claim's volume. */
const UNKNOWN = 'N/A';

type Source = { readonly [K in keyof typeof NAMES]?: unknown } & { readonly csi?: { readonly driver: string } };

/** The plugin of a pod's volume or of a PersistentVolume's spec. */
export function pluginOf(source: Source): string {
  if (source.csi) return `kubernetes.io/csi:${source.csi.driver}`;
  const kind = KINDS.find((k) => source[k]);
  return kind ? NAMES[kind] : UNKNOWN;
}
