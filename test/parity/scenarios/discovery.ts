/** Discovery, OpenAPI and health in every form they can be asked for. */
import { Scenario } from './step.ts';

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'admissionregistration.k8s.io': ['v1'],
  'apiextensions.k8s.io': ['v1'],
  'apiregistration.k8s.io': ['v1'],
  apps: ['v1', 'v1beta2'],
  'authentication.k8s.io': ['v1', 'v1beta1'],
  'authorization.k8s.io': ['v1', 'v1beta1'],
  autoscaling: ['v1', 'v2', 'v2beta2'],
  batch: ['v1', 'v1beta1'],
  'certificates.k8s.io': ['v1', 'v1beta1', 'v1alpha1'],
  'coordination.k8s.io': ['v1', 'v1beta1'],
  'discovery.k8s.io': ['v1', 'v1beta1'],
  'events.k8s.io': ['v1', 'v1beta1'],
  'flowcontrol.apiserver.k8s.io': ['v1', 'v1beta3'],
  'internal.apiserver.k8s.io': ['v1alpha1'],
  'networking.k8s.io': ['v1', 'v1beta1'],
  'node.k8s.io': ['v1'],
  policy: ['v1', 'v1beta1'],
  'rbac.authorization.k8s.io': ['v1'],
  'resource.k8s.io': ['v1', 'v1beta1', 'v1beta2'],
  'scheduling.k8s.io': ['v1', 'v1alpha1', 'v1alpha2'],
  'storage.k8s.io': ['v1', 'v1beta1'],
  'storagemigration.k8s.io': ['v1beta1', 'v1alpha1'],
  'no.such': ['v1'],
};
const AGGREGATED = (v: string, form = 'application/json') =>
  `${form};g=apidiscovery.k8s.io;v=${v};as=APIGroupDiscoveryList`;
const ACCEPTS = [
  '*/*',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
  'application/vnd.kubernetes.protobuf,application/json;q=0.5',
  'application/json;as=Table;v=v1;g=meta.k8s.io',
  'text/html',
  'text/html,*/*;q=0.1',
  'application/json;q=0',
  AGGREGATED('v2'),
  AGGREGATED('v2beta1'),
  AGGREGATED('v1'),
  `${AGGREGATED('v9')},application/json`,
  `${AGGREGATED('v2', 'application/vnd.kubernetes.protobuf')},application/json`,
  `${AGGREGATED('v2')};profile=nopeer`,
  `${AGGREGATED('v2')};profile=foo`,
  'application/json;as=APIGroupDiscoveryList',
  'application/json;g=apidiscovery.k8s.io;v=v2;as=Foo',
];

export function discovery(): Scenario {
  const s = new Scenario('content', 'discovery2');
  const accept = (a: string, view?: string) => ({ headers: { Accept: a }, ...(view ? { view } : {}) });
  for (const path of ['/api', '/apis', '/api/v1', '/apis/apps', '/apis/apps/v1', '/version', '/openapi/v3'])
    for (const a of ACCEPTS)
      s.get(path, accept(a, path === '/version' ? 'version' : path === '/openapi/v3' ? 'openapi3index' : 'discovery'));
  for (const [group, versions] of Object.entries(GROUPS)) {
    s.get(`/apis/${group}`);
    s.get(`/apis/${group}/`);
    s.get(`/apis/${group}`, accept('application/vnd.kubernetes.protobuf'));
    for (const v of versions) {
      s.get(`/apis/${group}/${v}`);
      s.get(`/apis/${group}/${v}/`);
      s.get(`/apis/${group}/${v}`, accept('application/vnd.kubernetes.protobuf'));
      s.get(`/openapi/v3/apis/${group}/${v}`, { view: 'openapi3' });
      s.get(`/openapi/v3/apis/${group}/${v}?hash=X`, { view: 'code' });
    }
    s.get(`/openapi/v3/apis/${group}`, { view: 'openapi3' });
  }
  for (const path of [
    '/openapi/v3/api/v1',
    '/openapi/v3/api',
    '/openapi/v3/apis',
    '/openapi/v3/version',
    '/openapi/v3/logs',
    '/openapi/v3/.well-known/openid-configuration',
    '/openapi/v3/openid/v1/jwks',
  ])
    for (const a of [
      'application/json',
      'application/com.github.proto-openapi.spec.v3.v1.0+protobuf',
      'application/com.github.proto-openapi.spec.v3@v1.0+protobuf',
      'application/yaml',
    ])
      s.get(path, accept(a, a === 'application/json' ? 'openapi3' : 'code'));
  for (const a of [
    'application/json',
    'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
    'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
    'application/vnd.kubernetes.protobuf',
    '*/*',
    'application/yaml',
    '',
  ])
    for (const view of ['openapi2', 'openapi2paths'])
      s.get('/openapi/v2', accept(a, a === 'application/json' || a === '*/*' ? view : 'code'));
  for (const path of [
    '/',
    '/index.html',
    '/api/',
    '/apis/',
    '/api/v2',
    '/apis/apps/v1/nosuch',
    '/nosuch',
    '/healthz/',
    '/livez/ping',
    '/readyz/ping',
    '/readyz/shutdown',
    '/readyz/informer-sync',
    '/readyz/nosuch',
    '/livez?exclude=ping',
    '/livez?exclude=nosuch',
    '/healthz?verbose=1',
    '/healthz?verbose&exclude=etcd',
    '/readyz?verbose=false',
    '/healthz/poststarthook/rbac/bootstrap-roles',
    '/healthz/etcd',
    '/livez/poststarthook/start-kube-apiserver-admission-initializer',
    '/openid/v1/jwks',
    '/.well-known/openid-configuration',
    '/.well-known/none',
    '/openapi',
    '/openapi/',
    '/openapi/v2/',
    '/swagger.json',
    '/swagger-2.0.0.pb-v1',
    '/logs',
    '/logs/',
    '/debug/pprof',
    '/debug/pprof/',
    '/debug/flags/v',
    '/flagz',
    '/statusz',
    '/ui',
    '/metrics/slis',
    '/api/v1/namespaces/default/pods/x/y/z',
    '/api/v1/watch',
    '/api/v1/watch/pods?timeoutSeconds=1',
    '/api/v1/proxy/namespaces/default/pods/x',
    '/apis/apps/v1/watch/deployments?timeoutSeconds=1',
    '/apis/apps/v1/watch/namespaces/default/deployments/x?timeoutSeconds=1',
  ])
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'])
      s.send(
        method,
        path,
        undefined,
        path.includes('watch')
          ? { watch: { timeoutMs: 2500 } }
          : { view: /^\/(metrics|$|index)/.test(path) ? 'code' : 'sortedLines' },
      );
  for (const path of [
    '/api',
    '/apis',
    '/version',
    '/healthz',
    '/openapi/v3',
    '/api/v1/pods',
    '/apis/apps/v1',
    '/openid/v1/jwks',
  ])
    for (const [method, type] of [
      ['PUT', 'application/json'],
      ['PATCH', 'application/json'],
      ['PATCH', 'application/merge-patch+json'],
      ['POST', 'text/plain'],
      ['CONNECT', ''],
      ['LINK', ''],
    ] as const)
      if (method !== 'CONNECT') s.send(method, path, {}, { view: 'code', contentType: type });
  return s;
}
