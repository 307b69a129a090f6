/** The server's certificates, keys and kubeconfigs: made on first start, renewed when two thirds of their life is over. */
import { createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Clock } from '../../base/clock.ts';
import {
  createAuthority,
  generateKey,
  issue,
  keyToPem,
  parseCertificate,
  publicKeyToPem,
  type AltNames,
  type Identity,
  type Subject,
} from '../../base/pki.ts';
import { INSIGHT_HOST, INSIGHT_USER } from '../manifests/insight.ts';
import { addressAt, type ServerOptions } from './options.ts';

const DAY = 86_400_000;
const AUTHORITY_LIFE = 3650 * DAY;
const LIFE = 365 * DAY;

interface Leaf {
  name: string;
  authority: 'ca' | 'front-proxy-ca';
  subject: Subject;
  altNames?: AltNames;
  server?: boolean;
  /** Also written as NAME.conf. */
  kubeconfig?: boolean;
}

function leaves(options: ServerOptions): Leaf[] {
  const service = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${options.clusterDomain}`,
  ];
  return [
    {
      name: 'apiserver',
      authority: 'ca',
      subject: { commonName: 'kube-apiserver' },
      altNames: {
        dns: [...service, 'localhost'],
        ip: ['127.0.0.1', '::1', addressAt(options.serviceCidr, 1), options.address],
      },
      server: true,
    },
    {
      name: 'apiserver-kubelet-client',
      authority: 'ca',
      subject: { commonName: 'kube-apiserver-kubelet-client', organizations: ['system:masters'] },
    },
    { name: 'front-proxy-client', authority: 'front-proxy-ca', subject: { commonName: 'front-proxy-client' } },
    {
      name: 'admin',
      authority: 'ca',
      subject: { commonName: 'kubernetes-admin', organizations: ['system:masters'] },
      kubeconfig: true,
    },
    {
      name: 'controller-manager',
      authority: 'ca',
      subject: { commonName: 'system:kube-controller-manager' },
      kubeconfig: true,
    },
    { name: 'scheduler', authority: 'ca', subject: { commonName: 'system:kube-scheduler' }, kubeconfig: true },
    { name: 'insight', authority: 'ca', subject: { commonName: INSIGHT_USER }, kubeconfig: true },
    {
      name: 'insight-server',
      authority: 'ca',
      subject: { commonName: INSIGHT_HOST },
      altNames: { dns: [INSIGHT_HOST, 'localhost'], ip: ['127.0.0.1', options.address] },
      server: true,
    },
    { name: 'proxy', authority: 'ca', subject: { commonName: 'system:kube-proxy' }, kubeconfig: true },
  ];
}

function put(dir: string, file: string, text: string, secret: boolean): void {
  const path = join(dir, file);
  writeFileSync(`${path}.new`, text, { mode: secret ? 0o600 : 0o644 });
  chmodSync(`${path}.new`, secret ? 0o600 : 0o644);
  renameSync(`${path}.new`, path);
}

const read = (dir: string, name: string): Identity | undefined =>
  existsSync(join(dir, `${name}.crt`)) && existsSync(join(dir, `${name}.key`))
    ? { cert: readFileSync(join(dir, `${name}.crt`), 'utf8'), key: readFileSync(join(dir, `${name}.key`), 'utf8') }
    : undefined;

/** Whether a certificate is good for at least a third of its life still, and for these names. */
function stillGood(identity: Identity, leaf: Leaf, now: number): boolean {
  const info = parseCertificate(identity.cert);
  const names = new Set([...info.altNames.dns, ...info.altNames.ip]);
  const covers = [...(leaf.altNames?.dns ?? []), ...(leaf.altNames?.ip ?? [])].every((n) => names.has(n));
  return covers && now > info.notBefore && info.notAfter - now > (info.notAfter - info.notBefore) / 3;
}

/** A kubeconfig with everything inline: YAML for people, or JSON (which is YAML as well) for programs to read. */
function kubeconfigText(options: {
  format: 'yaml' | 'json';
  clusterName: string;
  server: string;
  ca: string;
  user: string;
  identity: Identity;
}): string {
  const b64 = (s: string) => Buffer.from(s).toString('base64');
  const context = `${options.user}@${options.clusterName}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: options.clusterName, cluster: { server: options.server, 'certificate-authority-data': b64(options.ca) } },
    ],
    users: [
      {
        name: options.user,
        user: { 'client-certificate-data': b64(options.identity.cert), 'client-key-data': b64(options.identity.key) },
      },
    ],
    contexts: [{ name: context, context: { cluster: options.clusterName, user: options.user } }],
    'current-context': context,
  };
  return options.format === 'yaml' ? stringify(config) : `${JSON.stringify(config, null, 2)}\n`;
}

/** Makes what is missing and renews what is old; returns whether anything changed. */
export function ensurePki(options: ServerOptions, clock: Clock): boolean {
  const dir = join(options.dataDir, 'pki');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const now = clock.now();
  const notBefore = now - 5 * 60_000;
  let changed = false;
  const keep = (name: string, identity: Identity) => {
    put(dir, `${name}.key`, identity.key, true);
    put(dir, `${name}.crt`, identity.cert, false);
    changed = true;
    return identity;
  };
  const authority = (name: string, commonName: string) =>
    read(dir, name) ?? keep(name, createAuthority({ commonName, notBefore, notAfter: now + AUTHORITY_LIFE }));
  const authorities = {
    ca: authority('ca', 'kubernetes'),
    'front-proxy-ca': authority('front-proxy-ca', 'front-proxy-ca'),
  };
  if (!existsSync(join(dir, 'sa.key'))) {
    const key = generateKey('rsa-2048');
    put(dir, 'sa.key', keyToPem(key), true);
    changed = true;
  }
  put(dir, 'sa.pub', publicKeyToPem(createPrivateKey(readFileSync(join(dir, 'sa.key')))), false);

  for (const leaf of leaves(options)) {
    const have = read(dir, leaf.name);
    const identity =
      have && stillGood(have, leaf, now)
        ? have
        : keep(
            leaf.name,
            issue(authorities[leaf.authority], {
              subject: leaf.subject,
              altNames: leaf.altNames,
              extendedUsages: leaf.server ? ['server auth'] : ['client auth'],
              notBefore,
              notAfter: now + LIFE,
            }),
          );
    if (leaf.kubeconfig) {
      const server = `https://${leaf.name === 'admin' ? options.address : '127.0.0.1'}:${options.port}`;
      const text = kubeconfigText({
        format: leaf.name === 'admin' ? 'yaml' : 'json',
        clusterName: options.clusterName,
        server,
        ca: authorities.ca.cert,
        user: leaf.subject.commonName!,
        identity,
      });
      put(dir, `${leaf.name}.conf`, text, true);
    }
  }
  return changed;
}
