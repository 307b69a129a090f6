/** CustomResourceDefinitions as kube-apiserver still keeps them, in apiextensions.k8s.io/v1beta1, as v1 has them. */
import type { KubeObject } from '../../../api/types.ts';
import type { Crd, CrdColumn, CrdConversion, CrdSpec, CrdVersion, WebhookClientConfig } from './types.ts';

type BetaColumn = Omit<CrdColumn, 'jsonPath'> & { JSONPath: string };
/** What v1beta1 may say for all versions at once. */
interface Shared {
  subresources?: CrdVersion['subresources'];
  selectableFields?: CrdVersion['selectableFields'];
  additionalPrinterColumns?: BetaColumn[];
}
type BetaVersion = Omit<CrdVersion, 'additionalPrinterColumns'> & Shared;
interface BetaSpec extends Omit<CrdSpec, 'versions' | 'conversion'>, Shared {
  version?: string;
  validation?: CrdVersion['schema'];
  versions?: BetaVersion[];
  preserveUnknownFields?: boolean;
  conversion?: {
    strategy: string;
    webhookClientConfig?: WebhookClientConfig;
    conversionReviewVersions?: string[];
  };
}

const column = ({ JSONPath, ...rest }: BetaColumn): CrdColumn => ({ ...rest, jsonPath: JSONPath });

function conversionOf({
  strategy,
  webhookClientConfig,
  conversionReviewVersions,
}: NonNullable<BetaSpec['conversion']>) {
  const out: CrdConversion = { strategy };
  if (webhookClientConfig || conversionReviewVersions?.length)
    out.webhook = {
      ...(webhookClientConfig ? { clientConfig: webhookClientConfig } : {}),
      conversionReviewVersions: conversionReviewVersions ?? [],
    };
  return out;
}

/** The v1 form; a new object. */
export function fromV1beta1(object: KubeObject): Crd {
  const { spec: old, status, metadata } = object as unknown as { spec: BetaSpec } & Omit<Crd, 'spec'>;
  const { version, validation, subresources, selectableFields, additionalPrinterColumns, ...spec } = old;
  const versions = spec.versions?.length ? spec.versions : [{ name: version!, served: true, storage: true }];
  // Whatever stands above the versions holds for each.
  const shared = { schema: validation, subresources, selectableFields, additionalPrinterColumns };
  return {
    kind: 'CustomResourceDefinition',
    apiVersion: 'apiextensions.k8s.io/v1',
    metadata,
    spec: {
      group: spec.group,
      names: spec.names,
      scope: spec.scope,
      versions: versions.map((v): CrdVersion => {
        const { name, served, storage, deprecated, deprecationWarning, ...own } = v as BetaVersion;
        const all: Omit<BetaVersion, 'name' | 'served' | 'storage'> = { ...shared };
        for (const [k, value] of Object.entries(own)) if (value !== undefined) Object.assign(all, { [k]: value });
        const out: CrdVersion = { name, served, storage };
        if (deprecated) out.deprecated = deprecated;
        if (deprecationWarning !== undefined) out.deprecationWarning = deprecationWarning;
        if (all.schema) out.schema = all.schema;
        if (all.subresources) out.subresources = all.subresources;
        if (all.additionalPrinterColumns?.length)
          out.additionalPrinterColumns = all.additionalPrinterColumns.map(column);
        if (all.selectableFields?.length) out.selectableFields = all.selectableFields;
        return out;
      }),
      conversion: spec.conversion ? conversionOf(spec.conversion) : { strategy: 'None' },
      ...(spec.preserveUnknownFields ? { preserveUnknownFields: true } : {}),
    },
    status,
  } as Crd;
}
