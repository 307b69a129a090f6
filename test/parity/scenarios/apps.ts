/** What Helm and Argo CD send: installs, upgrades by three-way patches, takeovers, removals. */
import type { JsonObject } from '../../../api/types.ts';
import { gateway } from './gateway.ts';
import { election, rollout } from './rollouts.ts';
import { Scenario } from './step.ts';
import { LABELS, podTemplate } from './templates.ts';

/** A release installed, upgraded by three-way patches, rolled back, and removed with each propagation. */
function helm(): Scenario {
  const s = new Scenario('apps', 'helm');
  const ns = s.namespace('helm');
  const [core, apps] = [`/api/v1/namespaces/${ns}`, `/apis/apps/v1/namespaces/${ns}`];
  const by = '?fieldManager=helm';
  const release = (n: number) => ({
    metadata: { name: `release.v${n}`, labels: { owner: 'helm', version: `${n}` } },
    type: 'helm.sh/release.v1',
    data: { release: 'SDRz' },
  });
  s.post(`${core}/secrets${by}`, release(1));
  s.post(`${core}/secrets${by}`, { metadata: { name: 'db', labels: LABELS }, stringData: { password: 'x' } });
  s.post(`${core}/services${by}`, {
    metadata: { name: 'db', labels: LABELS },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: LABELS,
      ports: [{ name: 'tcp', port: 5432, targetPort: 'tcp' }],
    },
  });
  const set = (image: string, replicas: number) => ({
    metadata: { name: 'db', labels: LABELS },
    spec: {
      serviceName: 'db',
      replicas,
      podManagementPolicy: 'Parallel',
      updateStrategy: { rollingUpdate: { partition: 1 } },
      selector: { matchLabels: LABELS },
      template: podTemplate(image),
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '8Gi' } } },
        },
      ],
    },
  });
  s.post(`${apps}/statefulsets${by}`, set('db:1', 2));
  s.post(`${apps}/deployments${by}`, {
    metadata: { name: 'web', labels: LABELS },
    spec: {
      selector: { matchLabels: LABELS },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: podTemplate('web:1'),
    },
  });
  s.patch('strategic', `${apps}/statefulsets/db${by}`, {
    spec: {
      replicas: 3,
      template: {
        metadata: { annotations: { 'checksum/config': 'db:2' } },
        spec: {
          $setElementOrder: null,
          '$setElementOrder/containers': [{ name: 'main' }],
          containers: [
            {
              name: 'main',
              image: 'db:2',
              env: [
                { name: 'IP', $patch: 'delete' },
                { name: 'NEW', value: '1' },
              ],
            },
          ],
          '$setElementOrder/volumes': [{ name: 'tmp' }, { name: 'data' }],
          volumes: [{ name: 'tmp', $retainKeys: ['name', 'secret'], projected: null, secret: { secretName: 's' } }],
        },
      },
    },
  });
  s.patch('strategic', `${apps}/statefulsets/db${by}`, { spec: { podManagementPolicy: 'OrderedReady' } });
  s.patch('strategic', `${apps}/statefulsets/db${by}`, {
    spec: {
      minReadySeconds: 5,
      persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete' },
      ordinals: { start: 1 },
    },
  });
  s.patch('strategic', `${apps}/deployments/web${by}`, {
    spec: {
      strategy: { $retainKeys: ['type'], type: 'Recreate', rollingUpdate: null },
      template: { spec: { containers: [{ name: 'main', ports: [{ containerPort: 5432, protocol: 'UDP' }] }] } },
    },
  });
  s.patch('strategic', `${apps}/deployments/web${by}`, {
    spec: { template: { spec: { containers: [{ image: 'nameless' }] } } },
  });
  s.patch('strategic', `${core}/services/db${by}`, {
    spec: {
      ports: [
        { port: 5432, name: 'pg' },
        { port: 9187, name: 'metrics' },
      ],
    },
  });
  s.patch('merge', `${core}/services/db${by}`, { spec: { clusterIP: '10.96.3.4' } });
  s.patch('merge', `${core}/secrets/release.v1${by}`, { metadata: { labels: { status: 'superseded' } } });
  s.patch('merge', `${core}/secrets/release.v1${by}`, { type: 'Opaque' });
  s.patch('merge', `${core}/secrets/release.v1${by}`, { immutable: true });
  s.patch('merge', `${core}/secrets/release.v1${by}`, { data: { release: 'eA==' } });
  s.get(`${core}/secrets?labelSelector=owner%3Dhelm,status!%3Dsuperseded`);
  for (const p of ['Foreground', 'Orphan', 'Background', 'Sideways'])
    s.del(`${apps}/deployments/web`, { propagationPolicy: p, dryRun: ['All'] });
  s.del(`${apps}/deployments/web`, { propagationPolicy: 'Foreground' });
  s.get(`${apps}/deployments/web`);
  s.patch('json', `${apps}/deployments/web`, [{ op: 'add', path: '/metadata/finalizers/-', value: 'a.b/c' }]);
  s.patch('json', `${apps}/deployments/web`, [
    { op: 'test', path: '/metadata/finalizers/0', value: 'foregroundDeletion' },
    { op: 'remove', path: '/metadata/finalizers' },
  ]);
  s.get(`${apps}/deployments/web`);
  s.del(`${apps}/statefulsets/db`, { propagationPolicy: 'Orphan' });
  s.patch('merge', `${apps}/statefulsets/db`, { metadata: { finalizers: null } });
  s.del(`${core}/secrets?labelSelector=owner%3Dhelm`);
  s.table(`${core}/secrets`);
  return s;
}

/** Applied by one manager, patched by another, scaled by a third, taken over, given up. */
function argo(): Scenario {
  const s = new Scenario('apps', 'argo');
  const ns = s.namespace('argo');
  const at = `/apis/apps/v1/namespaces/${ns}/deployments/web`;
  const by = (manager: string, force = false) => `?fieldManager=${manager}${force ? '&force=true' : ''}`;
  const web = (spec: JsonObject, metadata: JsonObject = {}) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', ...metadata },
    spec,
  });
  const full = { replicas: 2, selector: { matchLabels: LABELS }, template: podTemplate('web:1') };
  s.patch('apply', at + by('argocd'), web(full, { labels: LABELS }));
  s.patch('apply', at + by('argocd'), web(full, { labels: LABELS }));
  s.patch('merge', `${at}/scale${by('hpa')}`, { spec: { replicas: 5 } });
  s.patch('apply', at + by('argocd'), web({ ...full, template: podTemplate('web:2') }));
  const { replicas: _, ...rest } = full;
  s.patch('apply', at + by('argocd'), web({ ...rest, template: podTemplate('web:2') }));
  s.patch('strategic', at + by('kubectl-set'), {
    spec: {
      template: {
        spec: {
          containers: [
            { name: 'main', image: 'web:3' },
            { name: 'side', image: 's' },
          ],
        },
      },
    },
  });
  s.patch('apply', at + by('argocd'), web({ ...rest, template: podTemplate('web:4') }));
  s.patch(
    'apply',
    at + by('argocd', true),
    web({ ...rest, template: podTemplate('web:4', { volumes: [{ name: 'data', emptyDir: {} }] }) }),
  );
  s.patch(
    'apply',
    at + by('limits'),
    web({
      selector: rest.selector,
      template: { spec: { containers: [{ name: 'main', resources: { limits: { cpu: 1 } } }] } },
    } as JsonObject),
  );
  s.patch('apply', at + by('limits'), web({}));
  s.patch('apply', `${at}/status${by('controller')}`, {
    ...web({ replicas: 9 }),
    status: {
      replicas: 5,
      observedGeneration: 1,
      conditions: [{ type: 'Available', status: 'True', reason: 'R', lastTransitionTime: '2020-01-01T00:00:00Z' }],
    },
  });
  s.patch('apply', `${at}/status${by('other')}`, {
    ...web({}),
    status: {
      conditions: [
        { type: 'Available', status: 'False' },
        { type: 'Progressing', status: 'True' },
      ],
    },
  });
  s.patch('apply', `${at}/status${by('other', true)}`, {
    ...web({}),
    status: { conditions: [{ type: 'Progressing', status: 'True' }] },
  });
  s.patch('apply', at + by('argocd'), web({ ...rest, paused: true }));
  s.patch('apply', at + by('argocd', true), { ...web(rest), metadata: { name: 'web', managedFields: [{}] } });
  s.patch('json', at, [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }]);
  s.patch('apply', at + by('argocd'), web({ ...rest, template: podTemplate('web:5') }));
  s.patch('apply', at, web(rest));
  s.patch('apply', `${at}-x${by('argocd')}`, web(full));
  s.patch('apply', at + by('argocd'), { ...web(rest), apiVersion: 'apps/v2' });
  s.patch('apply', at + by('argocd'), { ...web(rest), kind: 'StatefulSet' });
  s.get(at);
  return s;
}

export const appScenarios = (): Scenario[] => [helm(), argo(), rollout(), election(), gateway()];
