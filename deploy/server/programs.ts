/** The programs that make a server: store, API server, controllers, scheduler, registry, routes. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../../base/exec.ts';
import { LOCAL_PATH_DIRECTORY } from '../node/options.ts';
import type { Program } from '../cluster/supervisor.ts';
import { INSIGHT_NAMESPACE, INSIGHT_SERVICE } from '../manifests/insight.ts';
import { componentSpec } from '../replace.ts';
import { DASHBOARD_PORT, ETCD_PORT, INSIGHT_PORT, REGISTRY_PORT, type ServerOptions } from './options.ts';

const flags = (values: Record<string, string | number | boolean>) =>
  Object.entries(values).map(([k, v]) => `--${k}=${v}`);

/** Everything that runs on a server, in the order of starting. */
export function serverPrograms(options: ServerOptions): Program[] {
  const replaced = options.replace;
  if (replaced?.['apiserver'] && options.store !== 'etcd')
    throw new Error('an API server that is not ours stores its objects in etcd: add --store=etcd');
  const pki = (name: string) => join(options.dataDir, 'pki', name);
  const list: Program[] = [registryProgram(options)];
  if (options.store === 'etcd') list.push(etcdProgram(options));
  list.push(
    componentSpec('apiserver', {
      file: 'apiserver/main.ts',
      replaced,
      flags: {
        'secure-port': options.port,
        'bind-address': '0.0.0.0',
        'advertise-address': options.address,
        'client-ca-file': pki('ca.crt'),
        'tls-cert-file': pki('apiserver.crt'),
        'tls-private-key-file': pki('apiserver.key'),
        'service-account-issuer': `https://kubernetes.default.svc.${options.clusterDomain}`,
        'service-account-key-file': pki('sa.pub'),
        'service-account-signing-key-file': pki('sa.key'),
        'authorization-mode': 'Node,RBAC',
        'enable-admission-plugins': 'NodeRestriction',
        'enable-bootstrap-token-auth': true,
        // no Service rules apply beside the API server: webhooks and aggregated servers are reached by their pods
        'enable-aggregator-routing': true,
        'service-cluster-ip-range': options.serviceCidr,
        'allow-privileged': true,
        'requestheader-client-ca-file': pki('front-proxy-ca.crt'),
        'requestheader-allowed-names': 'front-proxy-client',
        'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
        'requestheader-group-headers': 'X-Remote-Group',
        'requestheader-username-headers': 'X-Remote-User',
        'proxy-client-cert-file': pki('front-proxy-client.crt'),
        'proxy-client-key-file': pki('front-proxy-client.key'),
        'kubelet-client-certificate': pki('apiserver-kubelet-client.crt'),
        'kubelet-client-key': pki('apiserver-kubelet-client.key'),
        'kubelet-preferred-address-types': 'InternalIP,Hostname',
        ...(options.store === 'etcd'
          ? { 'storage-backend': 'etcd3', 'etcd-servers': `http://127.0.0.1:${ETCD_PORT}` }
          : { 'storage-backend': 'lmdb', 'data-dir': join(options.dataDir, 'store') }),
      },
    }),
    componentSpec('controllers', {
      file: 'controllers/main.ts',
      replaced,
      flags: {
        kubeconfig: pki('controller-manager.conf'),
        controllers: '*,bootstrap-signer-controller,token-cleaner-controller',
        'root-ca-file': pki('ca.crt'),
        'cluster-signing-cert-file': pki('ca.crt'),
        'cluster-signing-key-file': pki('ca.key'),
        'service-account-private-key-file': pki('sa.key'),
        'use-service-account-credentials': true,
        'allocate-node-cidrs': true,
        'cluster-cidr': options.podCidr,
        'service-cluster-ip-range': options.serviceCidr,
        'bind-address': '127.0.0.1',
      },
      own: {
        'identity-file': join(options.dataDir, 'controllers.identity'),
        'load-balancer-cidrs': options.loadBalancerCidrs,
        'local-path-directory': LOCAL_PATH_DIRECTORY,
      },
    }),
    componentSpec('scheduler', {
      file: 'scheduler/main.ts',
      replaced,
      flags: {
        kubeconfig: pki('scheduler.conf'),
        'bind-address': '127.0.0.1',
      },
      own: { 'identity-file': join(options.dataDir, 'scheduler.identity') },
    }),
    componentSpec('insight', {
      file: 'insight/main.ts',
      replaced,
      flags: {
        kubeconfig: pki('insight.conf'),
        'tls-cert-file': pki('insight-server.crt'),
        'tls-private-key-file': pki('insight-server.key'),
        'secure-port': INSIGHT_PORT,
        'publish-service': `${INSIGHT_NAMESPACE}/${INSIGHT_SERVICE}`,
        scheduler: 'https://127.0.0.1:10259',
      },
    }),
    componentSpec('dashboard', {
      file: 'dashboard/main.ts',
      replaced,
      flags: {
        server: `https://${options.address}:${options.port}`,
        'certificate-authority': pki('ca.crt'),
        'tls-cert-file': pki('apiserver.crt'),
        'tls-private-key-file': pki('apiserver.key'),
        'secure-port': DASHBOARD_PORT,
      },
    }),
    componentSpec('routes', {
      file: 'proxy/main.ts',
      replaced,
      flags: { kubeconfig: pki('proxy.conf'), 'routes-only': true, network: options.network },
    }),
  );
  return list;
}

function registryProgram(options: ServerOptions): Program {
  const dir = join(options.dataDir, 'registry');
  mkdirSync(dir, { recursive: true });
  const config = join(options.dataDir, 'registry.yml');
  writeFileSync(
    config,
    [
      'version: 0.1',
      'log: {level: warn, accesslog: {disabled: true}}',
      `storage: {filesystem: {rootdirectory: ${JSON.stringify(dir)}}, delete: {enabled: true}}`,
      `http: {addr: "0.0.0.0:${REGISTRY_PORT}"}`,
      '',
    ].join('\n'),
  );
  return { name: 'registry', command: findProgram('docker-registry') ?? 'docker-registry', args: ['serve', config] };
}

function etcdProgram(options: ServerOptions): Program {
  const dir = join(options.dataDir, 'etcd');
  if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const args = flags({
    'data-dir': dir,
    'listen-client-urls': `http://127.0.0.1:${ETCD_PORT}`,
    'advertise-client-urls': `http://127.0.0.1:${ETCD_PORT}`,
    'listen-peer-urls': 'http://127.0.0.1:2380',
    'quota-backend-bytes': 8 * 2 ** 30,
  });
  return { name: 'etcd', command: findProgram('etcd') ?? 'etcd', args };
}
