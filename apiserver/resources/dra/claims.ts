/** Resource claims and their templates. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json, KubeObject } from '../../../api/types.ts';
import { isIP } from 'node:net';
import type { StrategyContext } from '../../registry/definition.ts';
import { define, statusEndpoint } from '../define.ts';
import { nodeSelector } from '../pods/scheduling.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import { Field, type FieldError } from '../validation/field.ts';
import { canonicalAddress } from '../validation/formats.ts';
import { dns1123Subdomain } from '../validation/names.ts';
import { annotations, conditions, labels, type Labels } from '../validation/values.ts';
import {
  bindingConditions,
  configuration,
  driverName,
  fullAttributeName,
  GROUP,
  label,
  MAX,
  poolName,
  rawObject,
  selectors,
  toleration,
} from './common.ts';
import { bounded, set } from './sets.ts';
import { deviceId, statusRights } from './status-rights.ts';

type Claim = Json<k8s.ResourceV1ResourceClaim>;
type Template = Json<k8s.V1ResourceClaimTemplate>;
type Devices = Json<k8s.V1DeviceClaim>;
type Request = Json<k8s.V1DeviceRequest>;
type Exact = Json<k8s.V1ExactDeviceRequest>;
type Names = ReadonlyMap<string, ReadonlySet<string>>;

function exactDefaults(r: { allocationMode?: string; count?: number } | undefined): void {
  if (!r) return;
  r.allocationMode ||= 'ExactCount';
  if (r.allocationMode === 'ExactCount') r.count ||= 1;
}
function deviceDefaults(d: Devices | undefined): void {
  for (const r of d?.requests ?? []) {
    exactDefaults(r.exactly);
    for (const s of r.firstAvailable ?? []) exactDefaults(s);
  }
}

/** Names that constraints and configuration may mention: requests, and alternatives below them. */
const requestNames = (d: DeepReadonly<Devices> | undefined): Names =>
  new Map((d?.requests ?? []).map((r) => [r.name, new Set((r.firstAvailable ?? []).map((s) => s.name))]));

function requestRef(f: Field<string>, names: Names): void {
  const unknown =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const parts = (f.value ?? '').split('/');
  if (parts.length > 2) return void f.invalid(unknown);
  for (const p of parts) label(f.named('', p));
  const below = names.get(parts[0]!);
  if (!below || (parts.length === 2 && !below.has(parts[1]!))) f.invalid(unknown);
}
const requestRefs = (f: Field<string[]>, names: Names) =>
  set(
    f,
    MAX.requests,
    (n) => n,
    (n) => requestRef(n, names),
  );

function exactRequest(f: Field<Exact>): void {
  f.get('deviceClassName').requiredFormat(dns1123Subdomain);
  selectors(f.get('selectors'));
  const count = f.get('count');
  f.get('allocationMode').enumerated(['All', 'ExactCount']);
  if (f.value?.allocationMode === 'All')
    count.check(count.isEmpty, "must not be specified when allocationMode is 'All'");
  if (f.value?.allocationMode === 'ExactCount') count.check((count.value ?? 0) > 0, 'must be greater than zero');
  bounded(f.get('tolerations'), MAX.tolerations, toleration);
}

function request(f: Field<Request>): void {
  label(f.get('name'));
  const some = !f.get('firstAvailable').isEmpty;
  const { exactly } = f.value!;
  if (!some && !exactly) f.missing('exactly one of `exactly` or `firstAvailable` is required');
  else if (some && exactly)
    f.invalid('exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set', null);
  else if (exactly) exactRequest(f.get('exactly'));
  else {
    set(
      f.get('firstAvailable'),
      MAX.alternatives,
      (s) => s.name,
      (s) => {
        label(s.get('name'));
        exactRequest(s as unknown as Field<Exact>);
      },
    );
  }
}

function devices(f: Field<Devices>): void {
  const names = requestNames(f.value);
  set(f.get('requests'), MAX.requests, (r) => r.name, request);
  bounded(f.get('constraints'), MAX.constraints, (c) => {
    requestRefs(c.get('requests'), names);
    const { matchAttribute, distinctAttribute } = c.value!;
    if (matchAttribute !== undefined) fullAttributeName(c.get('matchAttribute'));
    else if (distinctAttribute !== undefined) fullAttributeName(c.get('distinctAttribute'));
    else c.missing('exactly one of "matchAttribute" or "distinctAttribute" is required');
  });
  bounded(f.get('config'), MAX.config, (c) => {
    requestRefs(c.get('requests'), names);
    configuration(c as never);
  });
}

const ADMIN_LABEL = 'resource.kubernetes.io/admin-access';
const adminDetail = `admin access to devices requires the \`${ADMIN_LABEL}: true\` label on the containing namespace`;
const isAdminNamespace = (ctx: StrategyContext) =>
  ctx.reader.get<KubeObject>('namespaces', '', ctx.namespace)?.metadata?.labels?.[ADMIN_LABEL] === 'true';

function adminAccess(f: Field<Devices>, ctx: StrategyContext): void {
  const list = f.get('requests');
  const i = (list.value ?? []).findIndex((r) => r.exactly?.adminAccess);
  if (i >= 0 && !isAdminNamespace(ctx)) list.at(i, list.value![i]).named('adminAccess').forbidden(adminDetail);
}

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const shareId = (f: Field<string>) =>
  f.check(
    f.value === undefined || UID.test(f.value),
    'uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters',
  );

function allocation(f: Field<Json<k8s.V1AllocationResult>>, names: Names): void {
  const d = f.get('devices');
  bounded(d.get('results'), MAX.results, (r) => {
    requestRef(r.get('request'), names);
    driverName(r.get('driver'));
    poolName(r.get('pool'));
    label(r.get('device'));
    bindingConditions(r as never);
    shareId(r.get('shareID'));
  });
  bounded(d.get('config'), 2 * MAX.config, (c) => {
    c.get('source').enumerated(['FromClaim', 'FromClass']);
    requestRefs(c.get('requests'), names);
    configuration(c as never);
  });
  f.get('nodeSelector').with((s) => nodeSelector(s));
}

function interfaceAddress(f: Field<string>): void {
  const [address = '', length = '', ...rest] = f.value!.split('/');
  const bits = isIP(address) === 6 ? 128 : 32;
  if (isIP(address) === 0 || rest.length > 0 || !/^\d+$/.test(length) || Number(length) > bits) {
    return void f.invalid('must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)');
  }
  const text = `${canonicalAddress(address)}/${Number(length)}`;
  f.check(text === f.value, `must be in canonical form (${JSON.stringify(text)})`);
}

function deviceStatus(f: Field<Json<k8s.V1AllocatedDeviceStatus>>, allocated: ReadonlySet<string>): void {
  driverName(f.get('driver'));
  poolName(f.get('pool'));
  label(f.get('device'));
  shareId(f.get('shareID'));
  f.check(allocated.has(deviceId(f.value!)), 'must be an allocated device in the claim');
  f.get('conditions').maxItems(8);
  conditions(f.get('conditions') as never);
  if (f.get('data').isSet) rawObject(f.get('data') as Field<unknown>, MAX.parameters);
  const network = f.get('networkData');
  network.get('interfaceName').maxLength(256);
  network.get('hardwareAddress').maxLength(128);
  set(network.get('ips'), 16, (a) => a, interfaceAddress);
}

function claimStatus(f: Field<Claim>, old: DeepReadonly<Claim>): void {
  const s = f.get('status');
  const results = s.value?.allocation?.devices?.results ?? [];
  const reserved = s.get('reservedFor');
  set(
    reserved,
    MAX.reservedFor,
    (r) => r.uid,
    (r) => {
      for (const k of ['resource', 'name', 'uid'] as const) r.get(k).required();
    },
  );
  const allocated = new Set(results.map(deviceId));
  const list = s.get('devices');
  list.each((d) => deviceStatus(d, allocated));
  list.unique(deviceId);
  if (!reserved.isEmpty && !s.value?.allocation) reserved.forbidden('may not be specified when `allocated` is not set');
  else if (!reserved.isEmpty && f.value?.metadata?.deletionTimestamp) {
    const before = new Set((old.status?.reservedFor ?? []).map((r) => JSON.stringify(r)));
    if (reserved.value!.some((r) => !before.has(JSON.stringify(r))))
      reserved.forbidden('new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set');
  }
  const result = s.get('allocation');
  if (!result.isSet) return;
  if (old.status?.allocation) result.immutable(old.status.allocation);
  else allocation(result, requestNames(f.value?.spec?.devices));
}

function adminStatus(f: Field<Claim>, old: DeepReadonly<Claim>, ctx: StrategyContext): void {
  const list = f.get('status').get('allocation').get('devices').get('results');
  const granted = (old.status?.allocation?.devices?.results ?? []).some((r) => r.adminAccess);
  const i = (list.value ?? []).findIndex((r) => r.adminAccess);
  if (!granted && i >= 0 && !isAdminNamespace(ctx))
    list.at(i, list.value![i]).named('adminAccess').forbidden(adminDetail);
}

export const resourceClaims = define<Claim>(GROUP, 'resourceclaims', 'ResourceClaim', 'Namespaced', {
  returnDeletedObject: true,
  strategy: {
    resetFields: [['status']],
    defaults: (c) => deviceDefaults(c.spec?.devices),
    prepareForCreate: (c) => void (c.status = {}),
    prepareForUpdate: (c, old) => void (c.status = (deepCopy(old.status) ?? {}) as Claim['status']),
    ...rules<Claim>({
      scope: 'Namespaced',
      create(f, ctx) {
        adminAccess(f.get('spec').get('devices'), ctx);
        devices(f.get('spec').get('devices'));
      },
      update: (f, old) => f.get('spec').immutable(old.spec),
    }),
  },
  subresources: {
    status: statusEndpoint<Claim>({
      ...statusRules(claimStatus),
      async authorizeUpdate(c, old, ctx, rights) {
        const errors: FieldError[] = [];
        const f = new Field<Claim>(c, errors);
        adminStatus(f, old, ctx);
        await statusRights(f, old, ctx.user, rights);
        return errors;
      },
      resetFields: [['metadata'], ['spec']],
      prepareForUpdate(c, old) {
        // What is no longer allocated has no status.
        const now = new Set((c.status?.allocation?.devices?.results ?? []).map(deviceId));
        const gone = new Set((old.status?.allocation?.devices?.results ?? []).map(deviceId).filter((d) => !now.has(d)));
        if (!c.status?.devices) return;
        c.status.devices = c.status.devices.filter((d) => !gone.has(deviceId(d)));
        if (c.status.devices.length === 0) delete c.status.devices;
      },
    }),
  },
  table: {
    cells(c, now) {
      const deleted = c.metadata?.deletionTimestamp !== undefined;
      const { allocation: result, reservedFor } = c.status ?? {};
      const states = [
        deleted && 'deleted',
        !result && !deleted && 'pending',
        result && 'allocated',
        result && reservedFor?.length && 'reserved',
      ];
      return [nameOf(c), states.filter(Boolean).join(','), age(c, now)];
    },
  },
});

/** Metadata in which 0 is a value like any other. */
const POINTERS: readonly string[] = ['deletionGracePeriodSeconds'];

export const resourceClaimTemplates = define<Template>(
  GROUP,
  'resourceclaimtemplates',
  'ResourceClaimTemplate',
  'Namespaced',
  {
    returnDeletedObject: true,
    strategy: {
      defaults: (t) => deviceDefaults(t.spec?.spec?.devices),
      ...rules<Template>({
        scope: 'Namespaced',
        create: (f, ctx) => adminAccess(f.named('spec').named('devices', f.value?.spec?.spec?.devices), ctx),
        always(f) {
          const meta = f.get('spec').get('metadata');
          labels(meta.get('labels') as Field<Labels>);
          annotations(meta.get('annotations') as Field<Labels>);
          for (const k of Object.keys(meta.value ?? {}) as 'name'[])
            if (!['annotations', 'labels'].includes(k) && (!meta.get(k).isEmpty || POINTERS.includes(k)))
              meta.named(k === ('uid' as string) ? 'uID' : k).forbidden('cannot be set');
          devices(f.get('spec').get('spec').get('devices'));
        },
        update: (f, old) => f.get('spec').immutable(old.spec),
      }),
    },
    table: { cells: (t, now) => [nameOf(t), age(t, now)] },
  },
);
