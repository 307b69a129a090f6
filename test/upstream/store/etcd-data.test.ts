/** kube-apiserver and ours take turns on one etcd, and stand side by side on it: each serves what the other wrote. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { KubeObject } from '../../../api/types.ts';
import { startEtcd, type Etcd } from '../../integration/store/etcd.ts';
import { CRD, OBJECTS, WIDGET } from './objects.ts';
import { makePki, startOn, type Running } from './servers.ts';

const program = process.env['K8TS_KUBE_APISERVER'] ?? '';
interface Resource {
  name: string;
  verbs: string[];
}
interface Body {
  resources?: Resource[];
  groups?: { versions: { groupVersion: string }[] }[];
  items?: KubeObject[];
}

/** What each server writes by itself, for as long as it lives. */
const OWN =
  /^(\/api\/v1\/(componentstatuses|events)|\/apis\/events|\S+ kube-system\/apiserver-|\S+ default\/kubernetes$)/;

async function get(s: Running, path: string): Promise<Body> {
  const { code, body } = await s.send({ method: 'GET', path });
  assert.equal(code, 200, `${path}: ${JSON.stringify(body)}`);
  return body as Body;
}

/** The paths of all collections that can be listed. */
async function collections(s: Running): Promise<string[]> {
  const groups = (await get(s, '/apis')).groups!.flatMap((g) => g.versions.map((v) => `/apis/${v.groupVersion}`));
  const all = await Promise.all(
    ['/api/v1', ...groups].map(async (path) => {
      const { resources = [] } = await get(s, path);
      return resources.filter((r) => r.verbs.includes('list')).map((r) => `${path}/${r.name}`);
    }),
  );
  return all.flat();
}

/** Every object of the cluster, by collection and name. */
async function everything(s: Running): Promise<Map<string, KubeObject>> {
  const out = new Map<string, KubeObject>();
  for (const path of await collections(s))
    for (const o of (await get(s, path)).items!) {
      const name = `${path} ${o.metadata!.namespace ?? ''}/${o.metadata!.name}`;
      if (!OWN.test(name)) out.set(name, o);
    }
  return out;
}

/** Until `look` finds no fault; its last one otherwise. */
async function settled(look: () => Promise<string | undefined>): Promise<void> {
  let fault: string | undefined;
  for (const deadline = Date.now() + 120_000; Date.now() < deadline;) {
    fault = await look().catch((error: unknown) => String(error));
    if (fault === undefined) return;
    await new Promise((r) => setTimeout(r, 200));
  }
  assert.fail(fault);
}

function difference(expected: ReadonlyMap<string, KubeObject>, found: ReadonlyMap<string, KubeObject>) {
  for (const [name, object] of expected) {
    try {
      assert.deepEqual(found.get(name), object);
    } catch (error) {
      return `${name}: ${(error as Error).message}`;
    }
  }
  const more = [...found.keys()].filter((k) => !expected.has(k));
  return more.length > 0 ? `nobody made ${more.join()}` : undefined;
}

/** The types and names of a watch's events, as they come. */
function watch(url: string, dir: string, path: string) {
  const seen: string[] = [];
  const read = (f: string) => readFileSync(join(dir, f));
  const tls = { ca: read('ca.crt'), cert: read('admin.crt'), key: read('admin.key') };
  const req = request(`${url}${path}`, tls, (res) => {
    res.on('error', () => {});
    const lines = createInterface(res);
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const { type, object } = JSON.parse(line) as { type: string; object: KubeObject };
      seen.push(`${type} ${object.metadata!.name} ${object.metadata!.labels?.['turn'] ?? ''}`.trim());
    });
  });
  req.on('error', () => {});
  req.end();
  return { seen, close: () => req.destroy() };
}

describe('what kube-apiserver keeps in etcd', function () {
  this.timeout(600_000);
  let dir: string;
  let etcd: Etcd;
  let flags: string[];
  const running = new Set<Running>();
  const start = async (which: 'ours' | 'upstream') => {
    const own = which === 'ours' ? ['--storage-backend=etcd3'] : [];
    const s = await startOn(which === 'ours' ? 'ours' : { program }, dir, ...flags, ...own);
    running.add(s);
    return s;
  };
  const stop = async (s: Running) => {
    running.delete(s);
    await s.stop();
  };
  const label = async (s: Running, name: string, object: KubeObject, turn: string) => {
    const [collection] = name.split(' ');
    const { namespace, name: n } = object.metadata!;
    const path = collection!.replace(/[^/]+$/, (r) => `${namespace ? `namespaces/${namespace}/` : ''}${r}/${n}`);
    const body = { metadata: { labels: { turn } } };
    const answer = await s.send({ method: 'PATCH', path, type: 'application/merge-patch+json', body });
    assert.equal(answer.code, 200, `${path}: ${JSON.stringify(answer.body)}`);
  };

  before(async () => {
    assert.ok(program, 'K8TS_KUBE_APISERVER names the program');
    dir = mkdtempSync(join(tmpdir(), 'k8ts-etcd-data-'));
    makePki(dir);
    const file = join(dir, 'encryption.yaml');
    const key = Buffer.alloc(32, 7).toString('base64');
    writeFileSync(
      file,
      `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, deployments.apps, widgets.example.com]
  providers:
  - aesgcm: {keys: [{name: one, secret: ${key}}]}
  - identity: {}
`,
    );
    etcd = await startEtcd();
    flags = [`--etcd-servers=${etcd.options.servers[0]}`, `--encryption-provider-config=${file}`];
  });
  after(async () => {
    for (const s of running) await s.stop();
    await etcd?.close();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  it('is served and changed by ours, and by kube-apiserver again', async () => {
    const first = await start('upstream');
    const make = async (path: string, body: object) => {
      const answer = await first.send({ method: 'POST', path, body });
      assert.equal(answer.code, 201, `${path}: ${JSON.stringify(answer.body)}`);
    };
    for (const [path, object] of OBJECTS) await make(path, object);
    await make('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', CRD);
    const widgets = '/apis/example.com/v1/namespaces/data/widgets';
    await settled(async () => {
      const { code, body } = await first.send({ method: 'POST', path: widgets, body: WIDGET });
      return code === 201 ? undefined : JSON.stringify(body);
    });
    // The automatic APIService of the custom group comes a little later.
    await settled(async () => {
      const { code } = await first.send({
        method: 'GET',
        path: '/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com',
      });
      return code === 200 ? undefined : 'no APIService';
    });
    const made = await everything(first);
    await stop(first);

    const second = await start('ours');
    await settled(async () => difference(made, await everything(second)));
    for (const [name, object] of made) await label(second, name, object, 'second');
    const changed = await everything(second);
    assert.equal(changed.size, made.size);
    await stop(second);

    const third = await start('upstream');
    await settled(async () => difference(changed, await everything(third)));
    await stop(third);
  });

  it('is watched by ours while kube-apiserver writes it, and the other way round', async () => {
    const [theirs, ours] = [await start('upstream'), await start('ours')];
    for (const [writer, reader, turn] of [
      [theirs, ours, 'third'],
      [ours, theirs, 'fourth'],
    ] as const)
      for (const path of ['/apis/apps/v1/deployments', '/api/v1/services', '/apis/example.com/v1/widgets']) {
        const [object] = (await get(writer, path)).items!.filter((o) => o.metadata!.namespace === 'data');
        const w = watch(reader.url, dir, `${path}?watch=true&resourceVersion=${object!.metadata!.resourceVersion}`);
        try {
          await label(writer, `${path} `, object!, turn);
          await settled(async () => (w.seen.length > 0 ? undefined : `no event of ${path}`));
          assert.deepEqual(w.seen, [`MODIFIED ${object!.metadata!.name} ${turn}`]);
        } finally {
          w.close();
        }
      }
    for (const s of [theirs, ours]) await stop(s);
  });
});
