/** /statusz and /flagz (KEP-4827, KEP-4828): what runs here, since when, with which flags. */
import { encodeYaml } from '../../api/codec/yaml.ts';
import { notAcceptable } from '../../api/status.ts';
import type { JsonObject } from '../../api/types.ts';
import { formatTime, type Clock } from '../../base/clock.ts';
import { parseAccept } from '../http/negotiate.ts';
import type { PathRoutes } from '../http/paths.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import { VERSION } from './routes.ts';

const PATHS = ['/flagz', '/healthz', '/livez', '/metrics', '/readyz', '/statusz', '/version'];
const VERSIONS = ['v1beta1', 'v1alpha1'];
const NOTE = 'For people who look for a fault; programs should ask for the structured form, as this one may change.';

/** What a page is made of: an object's own fields, and the lines for people. */
interface Page {
  readonly fields: JsonObject;
  readonly lines: readonly string[];
}

/** Registers the two pages. `flags` are names and values as kube-apiserver shows them. */
export function zpages(paths: PathRoutes, clock: Clock, flags: () => Readonly<Record<string, string>>): void {
  const started = clock.now();
  const status = (): Page => {
    const seconds = Math.floor((clock.now() - started) / 1000);
    const emulated = `${VERSION.emulationMajor}.${VERSION.emulationMinor}`;
    const binary = VERSION.gitVersion.replace(/^v/, '');
    const part = (size: number, of: number) => Math.floor(seconds / size) % of;
    return {
      fields: {
        startTime: formatTime(started),
        uptimeSeconds: seconds,
        goVersion: VERSION.goVersion,
        binaryVersion: binary,
        emulationVersion: emulated,
        paths: PATHS,
      },
      lines: [
        `Started: ${new Date(started).toUTCString()}`,
        `Up: ${Math.floor(seconds / 3600)} hr ${part(60, 60)} min ${part(1, 60)} sec`,
        `Binary version: ${binary}`,
        `Emulation version: ${emulated}`,
        `Paths: ${PATHS.join(' ')}`,
      ],
    };
  };
  const given = (): Page => {
    const values = Object.entries(flags()).sort(([a], [b]) => (a < b ? -1 : 1));
    return { fields: { flags: Object.fromEntries(values) }, lines: values.map(([name, value]) => `${name}=${value}`) };
  };
  // Any method will do, as upstream.
  paths.exact('/statusz', (request, reply) => serve(request, reply, 'Statusz', status()));
  paths.exact('/flagz', (request, reply) => serve(request, reply, 'Flagz', given()));
}

/** Text, or an object of its own group where one is asked for. Throws 406. */
function serve(request: ApiRequest, reply: Reply, kind: string, page: Page): void {
  const name = kind.toLowerCase();
  for (const { type, subtype, params } of parseAccept(request.header('accept') || '*/*')) {
    const { as, g, v } = params;
    if ((type === '*' && subtype === '*') || (type === 'text' && subtype === 'plain')) {
      const text = `\napiserver ${name}\n${NOTE}\n\n${page.lines.join('\n')}\n`;
      return reply.send(200, 'text/plain; charset=utf-8', Buffer.from(text));
    }
    if (type !== 'application' || (subtype !== 'json' && subtype !== 'yaml')) continue;
    if (as !== kind || g !== 'config.k8s.io' || v === undefined || !VERSIONS.includes(v)) continue;
    if (v === 'v1alpha1')
      reply.header(
        'warning',
        `299 - "This version of the ${name} endpoint is deprecated. Please use a newer version."`,
      );
    const object = { kind, apiVersion: `config.k8s.io/${v}`, metadata: { name: 'apiserver' }, ...page.fields };
    const body = subtype === 'yaml' ? encodeYaml(object) : JSON.stringify(object, null, 2);
    return reply.send(200, `application/${subtype};g=config.k8s.io;v=${v};as=${kind}`, Buffer.from(body));
  }
  const error = notAcceptable(
    'only the following media types are accepted: application/json, application/yaml, text/plain',
  );
  delete error.status.details;
  throw error;
}
