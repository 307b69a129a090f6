/** Probes and lifecycle hooks. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import type { Field, Rule } from '../validation/field.ts';
import { httpHeaderName, portNumber, portNumberOrName } from '../validation/formats.ts';

type Probe = Json<k8s.V1Probe>;
interface Handler {
  exec?: Json<k8s.V1ExecAction>;
  httpGet?: Json<k8s.V1HTTPGetAction>;
  tcpSocket?: Json<k8s.V1TCPSocketAction>;
  grpc?: Json<k8s.V1GRPCAction>;
  sleep?: Json<k8s.V1SleepAction>;
}

const ACTIONS: { [K in keyof Handler]-?: (f: Field<NonNullable<Handler[K]>>, grace: number | undefined) => void } = {
  exec: (f) => f.get('command').required(),
  httpGet: (f) => {
    f.get('path').required();
    portNumberOrName(f.get('port'));
    f.get('scheme').with((s) => s.oneOf(['HTTP', 'HTTPS']));
    if (!f.get('scheme').isSet) f.get('scheme').notSupported(['HTTP', 'HTTPS'], '');
    f.value?.httpHeaders?.forEach((h) => f.named('httpHeaders', h.name).formatAll(httpHeaderName));
  },
  tcpSocket: (f) => portNumberOrName(f.get('port')),
  grpc: (f) => portNumber(f.get('port')),
  sleep: (f, grace) =>
    f.check(
      grace === undefined || ((f.value?.seconds ?? 0) >= 0 && (f.value?.seconds ?? 0) <= grace),
      `must be non-negative and less than terminationGracePeriodSeconds (${grace})`,
    ),
};

function handler(f: Field<Handler>, grace: number | undefined): void {
  let count = 0;
  for (const name of Object.keys(ACTIONS) as (keyof Handler)[]) {
    if (!f.get(name).isSet) continue;
    if (count++ > 0) f.get(name).forbidden('may not specify more than 1 handler type');
    else (ACTIONS[name] as (f: Field<unknown>, g: number | undefined) => void)(f.get(name) as Field<unknown>, grace);
  }
  if (count === 0) f.missing('must specify a handler type');
}

const probe: Rule<Probe> = (f) => {
  handler(f as Field<Handler>, undefined);
  for (const k of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    f.get(k).nonNegative();
  }
  f.get('terminationGracePeriodSeconds').with((t) => t.check((t.value ?? 0) > 0, 'must be greater than 0'));
};
const once = (f: Field<Probe>) => f.get('successThreshold').check((f.value?.successThreshold ?? 0) === 1, 'must be 1');

type Probed = Pick<Json<k8s.V1Container>, 'livenessProbe' | 'readinessProbe' | 'startupProbe' | 'lifecycle'>;

const SIGNALS = (
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP ' +
  'TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
)
  .split(' ')
  .map((s) => `SIG${s}`)
  .concat(
    Array.from({ length: 15 }, (_, i) => `SIGRTMIN+${i + 1}`),
    Array.from({ length: 14 }, (_, i) => `SIGRTMAX-${i + 1}`),
  );

/** All probes and hooks of a container that runs for long. */
export function probesAndHooks(c: Field<Probed>, grace: number | undefined, os: string | undefined): void {
  const life = c.get('lifecycle');
  for (const hook of ['postStart', 'preStop'] as const) life.get(hook).with((h) => handler(h as Field<Handler>, grace));
  life.get('stopSignal').with((s) => {
    if (os === undefined) s.forbidden('may not be set for containers with empty `spec.os.name`');
    else if (os === 'windows') s.oneOf(['SIGKILL', 'SIGTERM']);
    else if (os === 'linux') s.oneOf(SIGNALS);
  });
  c.get('livenessProbe').with((f) => (probe(f), once(f)));
  c.get('startupProbe').with((f) => (probe(f), once(f)));
  c.get('readinessProbe').with((f) => {
    probe(f);
    const t = f.get('terminationGracePeriodSeconds');
    if (t.isSet) t.invalid('must not be set for readinessProbes');
  });
}
