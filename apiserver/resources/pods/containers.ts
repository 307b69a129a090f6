/** A pod's containers of all three sorts. */
import type * as k8s from '@kubernetes/client-node';
import type { Container, Json, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { portName, portNumber } from '../validation/formats.ts';
import { dns1123Label } from '../validation/names.ts';
import { env, envFrom } from './environment.ts';
import { probesAndHooks } from './handlers.ts';
import { volumeDevices, volumeMounts } from './mounts.ts';
import type { PodOptions } from './options.ts';
import { containerResources } from './resources.ts';
import { containerSecurity } from './security.ts';
import type { Volume } from './volumes.ts';

/** What containers may refer to in their pod. */
export interface ContainerScope {
  readonly spec: PodSpec;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly claims: ReadonlySet<string>;
  readonly pod: PodOptions;
}

export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
export const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];

function ports(list: Field<Json<k8s.V1ContainerPort>[]>): void {
  const names = new Set<string>();
  list.each((p) => {
    const { name, hostPort } = p.value ?? {};
    if (name) {
      const errors = portName(name);
      for (const m of errors) p.get('name').invalid(m);
      if (names.has(name)) p.get('name').duplicate();
      else if (errors.length === 0) names.add(name);
    }
    if (p.get('containerPort').need()) portNumber(p.get('containerPort'));
    if (hostPort) portNumber(p.get('hostPort'));
    p.get('protocol').enumerated(PROTOCOLS);
  });
}

/** No two containers may want one port of the host. */
function hostPorts(list: Field<Container[]>, containers: readonly Container[]): void {
  const taken = new Set<string>();
  containers.forEach((c, i) => {
    c.ports?.forEach((p, j) => {
      if (!p.hostPort) return;
      const key = `${p.protocol}/${p.hostIP ?? ''}/${p.hostPort}`;
      if (taken.has(key)) list.at(i, c).named('ports').at(j, p).get('hostPort').duplicate(key);
      taken.add(key);
    });
  });
}

/** Complaints are about the list. */
function resizePolicy(f: Field<Json<k8s.V1ContainerResizePolicy>[]>, podPolicy: string | undefined): void {
  const seen = new Set<string>();
  f.each((p) => {
    const { resourceName = '', restartPolicy = '' } = p.value ?? {};
    if (seen.has(resourceName)) p.duplicate(resourceName);
    seen.add(resourceName);
    f.named('', resourceName).enumerated(['cpu', 'memory']);
    f.named('', restartPolicy).enumerated(['NotRequired', 'RestartContainer']);
    if (podPolicy === 'Never' && restartPolicy !== 'NotRequired') {
      f.invalid("must be 'NotRequired' when pod `restartPolicy` is 'Never'", restartPolicy);
    }
  });
}

const RULES_NEED_POLICY = 'must specify restartPolicy when restart rules are used';

function restartRules(c: Field<Container>): void {
  const rules = c.get('restartPolicyRules') as Field<Json<k8s.V1ContainerRestartRule>[]>;
  if (!c.get('restartPolicy').isSet) {
    if (!rules.isEmpty) c.get('restartPolicy').missing(RULES_NEED_POLICY);
  } else c.get('restartPolicy').oneOf(['Always', 'Never', 'OnFailure']);
  rules.maxItems(20).each((r) => {
    const actions = ['Restart', 'RestartAllContainers'];
    if (!actions.includes(r.value?.action ?? '')) r.get('action').notSupported(actions, r.value?.action ?? '');
    const codes = r.get('exitCodes');
    if (!codes.isSet) return void codes.missing('must be specified');
    if (!['In', 'NotIn'].includes(codes.value?.operator ?? ''))
      codes.get('operator').notSupported(['In', 'NotIn'], codes.value?.operator ?? '');
    codes.get('values').maxItems(255);
  });
}

function common(c: Field<Container>, scope: ContainerScope): void {
  const { spec, pod } = scope;
  c.get('name').requiredFormat(dns1123Label);
  c.get('image').required();
  c.get('terminationMessagePolicy').enumerated(['File', 'FallbackToLogsOnError']);
  ports(c.get('ports'));
  env(c.get('env'));
  envFrom(c.get('envFrom'));
  volumeMounts(c, scope.volumes);
  volumeDevices(c, scope.volumes);
  c.get('imagePullPolicy').enumerated(PULL_POLICIES);
  containerResources(c.get('resources'), scope.claims, pod);
  resizePolicy(c.get('resizePolicy'), spec.restartPolicy);
  containerSecurity(c.get('securityContext'), spec.hostUsers !== false);
}

/** Ordinary containers: at least one, each name once. */
export function containers(list: Field<Container[]>, scope: ContainerScope): void {
  if (!list.need()) return;
  const grace = scope.spec.terminationGracePeriodSeconds;
  list.unique(
    (c) => c.name ?? '',
    (c) => c.get('name'),
  );
  list.each((c) => {
    common(c, scope);
    probesAndHooks(c, grace, scope.spec.os?.name);
    restartRules(c);
  });
  hostPorts(list, list.value ?? []);
}

/** Init containers, those with restartPolicy Always (sidecars, KEP-753) among them. */
export function initContainers(list: Field<Container[]>, scope: ContainerScope): void {
  const names = new Set((scope.spec.containers ?? []).map((c) => c.name));
  list.each((c) => {
    common(c, scope);
    const name = c.value?.name ?? '';
    const sidecar = c.value?.restartPolicy === 'Always';
    if (c.get('restartPolicy').isSet || c.get('restartPolicyRules').isEmpty) restartRules(c);
    else c.get('restartPolicy').missing(RULES_NEED_POLICY);
    if (names.has(name)) c.get('name').duplicate();
    else if (name) names.add(name);
    hostPorts(list, [c.value!]);
    if (sidecar) probesAndHooks(c, scope.spec.terminationGracePeriodSeconds, scope.spec.os?.name);
    else {
      for (const k of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
        if (c.get(k).isSet) c.get(k).forbidden('may not be set for init containers without restartPolicy=Always');
      }
      c.get('resizePolicy').each((p) => {
        if (p.value?.restartPolicy === 'RestartContainer') {
          p.get('restartPolicy').invalid("must not be set to 'RestartContainer' for non-sidecar initContainers");
        }
      });
    }
  });
}

const NOT_EPHEMERAL = [
  'ports',
  'resources',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
] as const;

/** Without ports, probes, hooks and resources (KEP-277). */
export function ephemeralContainers(list: Field<Json<k8s.V1EphemeralContainer>[]>, scope: ContainerScope): void {
  const { spec } = scope;
  const others = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((c) => c.name));
  const names = new Set(others);
  list.each((e) => {
    common(e as Field<Container>, scope);
    imageWhitespace(e as Field<Container>);
    const name = e.value?.name ?? '';
    if (names.has(name)) e.get('name').duplicate();
    names.add(name);
    const target = e.get('targetContainerName');
    if (target.value && !others.has(target.value)) target.notFound();
    for (const k of NOT_EPHEMERAL) {
      const f = e.get(k);
      if (k === 'resources' ? !f.isEmpty : f.isSet) f.forbidden('cannot be set for an Ephemeral Container');
    }
    e.get('volumeMounts').each((m) => {
      m.get('subPath').absent('cannot be set for an Ephemeral Container');
      m.get('subPathExpr').absent('cannot be set for an Ephemeral Container');
    });
  });
}

/** Images of pods (templates may hold anything) have no blanks around them. */
export function imageWhitespace(c: Field<Container>): void {
  const image = c.value?.image ?? '';
  if (image !== image.trim()) c.get('image').invalid('must not have leading or trailing whitespace');
}
