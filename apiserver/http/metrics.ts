/** What /metrics tells of requests, under the names that dashboards of Kubernetes expect. */
import type { Clock } from '../../base/clock.ts';
import {
  exponential,
  processMetrics,
  TimedValue,
  type Handle,
  type HistogramHandle,
  type MetricsRegistry,
} from '../../base/metrics.ts';
import { VERSION } from '../discovery/routes.ts';
import type { Catalog } from '../registry/catalog.ts';
import type { ChainSeams } from './chain.ts';
import type { PathRoutes } from './paths.ts';
import type { ApiRequest } from './request.ts';
import { isLongRunning } from './request-info.ts';

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const SHORT = exponential(0.001, 2, 15);
const FRACTIONS = [0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const BYTES = [1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
const TARGET = ['group', 'resource', 'scope', 'subresource', 'verb', 'version'];

export interface ServerMetrics {
  readonly registry: MetricsRegistry;
  readonly seam: NonNullable<ChainSeams['metrics']>;
}

/** The values that one kind of request adds to. */
interface RequestValues {
  readonly duration: HistogramHandle;
  readonly sli: HistogramHandle;
  readonly sizes: HistogramHandle;
  readonly longRunning: Handle;
}

const VERBS = new Set(
  'get list watch create update patch delete deletecollection proxy post put head options'.split(' '),
);
/** Users that are told apart; the others are one. */
const SYSTEM_USERS = new Set(['admin', 'client', 'kube_proxy', 'kubelet', 'system:serviceaccount:kube-system:default']);

/**
 * Registers /metrics and gives the chain what it reports to. `limits`: how many requests there may be at a time. Label values never come from clients alone.
 */
export function serverMetrics(
  registry: MetricsRegistry,
  paths: PathRoutes,
  clock: Clock,
  catalog: Catalog,
  limits: { readonly read: number; readonly write: number },
): ServerMetrics {
  processMetrics(registry, clock.now());
  registry
    .gauge('kubernetes_build_info', 'The version of Kubernetes that is served.', Object.keys(BUILD))
    .set(Object.values(BUILD), 1);
  const requests = registry.counter('apiserver_request_total', 'Requests by verb, resource and code.', [
    'code',
    'component',
    'dry_run',
    ...TARGET,
  ]);
  const timed = (name: string, help: string) =>
    registry.histogram(name, help, ['component', 'dry_run', ...TARGET], SECONDS);
  const duration = timed('apiserver_request_duration_seconds', 'Time to answer in seconds.');
  const sli = timed('apiserver_request_sli_duration_seconds', 'Time to answer in seconds, for service levels.');
  const sizes = registry.histogram(
    'apiserver_response_sizes',
    'Answer sizes in bytes.',
    ['component', ...TARGET],
    BYTES,
  );
  const longRunning = registry.gauge('apiserver_longrunning_requests', 'Open watches and streams.', [
    'component',
    ...TARGET,
  ]);
  const deprecated = registry.gauge('apiserver_requested_deprecated_apis', 'Deprecated APIs that were asked for.', [
    'group',
    'removed_release',
    'resource',
    'subresource',
    'version',
  ]);
  const terminations = registry.counter('apiserver_request_terminations_total', 'Requests that were cut short.', [
    'code',
    'component',
    ...TARGET,
  ]);
  const inFlight = registry.gauge('apiserver_current_inflight_requests', 'Requests being worked on.', ['request_kind']);
  const shares = registry.histogram(
    'apiserver_flowcontrol_read_vs_write_current_requests',
    'Nanoseconds by the fraction of requests of a kind that there may be.',
    ['phase', 'request_kind'],
    FRACTIONS,
  );
  const flight = (kind: string, limit: number) => ({
    current: inFlight.handle([kind]),
    share: new TimedValue(shares.handle(['executing', kind]), clock.monotonic()),
    limit: Math.max(1, limit),
  });
  const flights = { read: flight('readOnly', limits.read), write: flight('mutating', limits.write) };
  registry.onCollect(() => {
    for (const f of Object.values(flights)) f.share.advance(clock.monotonic());
  });
  const attempts = registry.counter('authentication_attempts', 'Authentications by result.', ['result']);
  const users = registry.counter('authenticated_user_requests', 'Requests by user.', ['username']);
  const authentication = registry.histogram(
    'authentication_duration_seconds',
    'Time to authenticate in seconds.',
    ['result'],
    SHORT,
  );
  const decisions = registry.counter('authorization_attempts_total', 'Authorizations by result.', ['result']);
  const authorization = registry.histogram(
    'authorization_duration_seconds',
    'Time to authorize in seconds.',
    ['result'],
    SHORT,
  );
  paths.exact('/metrics', (_request, reply) =>
    reply.send(200, 'text/plain; version=0.0.4; charset=utf-8', Buffer.from(registry.text())),
  );

  /** By what is asked for; a path below no known resource counts as nothing in particular. */
  const kinds = new Map<string, RequestValues & { readonly target: readonly string[] }>();
  const counts = new Map<string, Handle>();
  const valuesOf = (request: ApiRequest, dry: string) => {
    const { info } = request;
    const key = `${info.apiGroup}/${info.apiVersion}/${info.resource}/${info.subresource}/${info.verb}/${scopeOf(request)}/${dry}`;
    const found = kinds.get(key);
    if (found) return found;
    const served = info.isResourceRequest ? catalog.get(info.apiGroup, info.apiVersion, info.resource) : undefined;
    const isKnownSub = info.subresource === '' || served?.subresources.has(info.subresource);
    const verb = VERBS.has(info.verb) ? info.verb.toUpperCase() : 'OTHER';
    const target = served
      ? [info.apiGroup, info.resource, scopeOf(request), isKnownSub ? info.subresource : '', verb, info.apiVersion]
      : ['', '', '', '', verb, ''];
    const made = {
      target,
      duration: duration.handle(['apiserver', dry, ...target]),
      sli: sli.handle(['apiserver', dry, ...target]),
      sizes: sizes.handle(['apiserver', ...target]),
      longRunning: longRunning.handle(['apiserver', ...target]),
    };
    if (served && isKnownSub && verb !== 'OTHER') kinds.set(key, made);
    return made;
  };
  const results = new Map<string, { count: Handle; time: HistogramHandle }>();
  const noted = (what: 'authn' | 'authz', result: string, seconds: number) => {
    const key = `${what} ${result}`;
    let r = results.get(key);
    if (!r) {
      const isAuthn = what === 'authn';
      r = {
        count: (isAuthn ? attempts : decisions).handle([result]),
        time: (isAuthn ? authentication : authorization).handle([result]),
      };
      results.set(key, r);
    }
    r.count.value++;
    r.time.observe(seconds);
  };
  const other = users.handle(['other']);

  return {
    registry,
    seam: {
      observe(request, code, bytes, seconds) {
        if (!request.info) return;
        const dry = request.rawQuery.includes('dryRun=All') ? 'All' : '';
        const values = valuesOf(request, dry);
        const key = `${code}/${dry}/${values.target.join('/')}`;
        let count = counts.get(key);
        if (!count) {
          count = requests.handle([String(code), 'apiserver', dry, ...values.target]);
          counts.set(key, count);
        }
        count.value++;
        if (code === 429 || code === 504) terminations.add([String(code), 'apiserver', ...values.target]);
        if (request.deprecated) {
          const { apiGroup, apiVersion, resource, subresource } = request.info;
          deprecated.set([apiGroup, request.deprecated.removedRelease, resource, subresource, apiVersion], 1);
        }
        if (isLongRunning(request.info)) return;
        values.duration.observe(seconds);
        values.sli.observe(seconds);
        const { verb } = request.info;
        if (verb === 'get' || verb === 'list') values.sizes.observe(bytes);
      },
      longRunning(request) {
        const { longRunning: open } = valuesOf(request, '');
        open.value++;
        return () => void open.value--;
      },
      inFlight(mutating, delta) {
        const { current, share, limit } = mutating ? flights.write : flights.read;
        current.value += delta;
        share.set(current.value / limit, clock.monotonic());
      },
      authenticated(result, user, seconds) {
        noted('authn', result, seconds);
        if (result !== 'success') return;
        if (SYSTEM_USERS.has(user)) users.add([user]);
        else other.value++;
      },
      authorized: (result, seconds) => noted('authz', result, seconds),
    },
  };
}

const BUILD = {
  build_date: VERSION.buildDate,
  git_commit: VERSION.gitCommit,
  git_version: VERSION.gitVersion,
  major: VERSION.major,
  minor: VERSION.minor,
  platform: VERSION.platform,
};

function scopeOf(request: ApiRequest): string {
  const { info } = request;
  if (!info.isResourceRequest) return '';
  if (info.parts.length > 1) return 'resource';
  return info.namespace !== '' ? 'namespace' : 'cluster';
}
