import assert from 'node:assert/strict';
import http from 'node:http';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { hostAddress, loadCluster, serverAddress } from '../../deploy/cluster/config.ts';
import { REGISTRY_PORT } from '../../deploy/server/options.ts';
import { CLUSTER, DIR, eventually, inNamespace, Kubectl, withFolder } from './cluster.ts';

const NAME = 'private.example.com:5000';
const IMAGE = `${NAME}/library/busybox:latest`;
const PASSWORD = 'open sesame';

describe('a private registry', () => {
  let server: http.Server;
  let node: string;
  const hosts = () => join(DIR, node, 'agent', 'certs.d', NAME);
  /** The cluster's registry behind a door. */
  before(async () => {
    const cluster = loadCluster(CLUSTER)!;
    node = (await new Kubectl('default').run('get', 'nodes', '-o', 'name')).split('\n')[0]!.split('/')[1]!;
    const wanted = `Basic ${Buffer.from(`me:${PASSWORD}`).toString('base64')}`;
    server = http.createServer((req, res) => {
      if (req.headers.authorization !== wanted) {
        res.writeHead(401, { 'WWW-Authenticate': 'Basic realm="private"' }).end();
        return;
      }
      const { authorization: _a, host: _h, ...headers } = req.headers;
      const options = { host: serverAddress(cluster), port: REGISTRY_PORT, path: req.url, method: req.method, headers };
      const onward = http.request(options, (answer) => {
        res.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(res);
      });
      onward.on('error', () => res.destroy());
      onward.end();
    });
    await new Promise<void>((resolve) => server.listen(0, hostAddress(cluster), resolve));
    const url = `http://${hostAddress(cluster)}:${(server.address() as AddressInfo).port}`;
    mkdirSync(hosts(), { recursive: true });
    writeFileSync(
      join(hosts(), 'hosts.toml'),
      `server = "${url}"\n[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  });
  after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(hosts(), { recursive: true, force: true });
  });

  it('opens to pods with its pull secret only, also when the image is on the node already', async function () {
    const k = await inNamespace('private');
    const run = (name: string, more: string) =>
      k.apply(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 1
  ${more}
  containers: [{name: c, image: '${IMAGE}', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
`);
    const waiting = async (pod: string) =>
      (await k.path(`pod ${pod}`, '{.status.containerStatuses[0].state.waiting.reason}')).trim();
    const refused = (pod: string) =>
      eventually(async () => {
        const reason = await waiting(pod);
        return /^(ErrImagePull|ImagePullBackOff)$/.test(reason) ? undefined : reason;
      });
    await run('stranger', '');
    await refused('stranger');
    await withFolder(async (dir) => {
      const auth = Buffer.from(`me:${PASSWORD}`).toString('base64');
      writeFileSync(join(dir, 'config.json'), JSON.stringify({ auths: { [NAME]: { auth } } }));
      const file = `--from-file=.dockerconfigjson=${join(dir, 'config.json')}`;
      await k.run('create', 'secret', 'generic', 'key', '--type=kubernetes.io/dockerconfigjson', file);
    });
    await run('friend', 'imagePullSecrets: [{name: key}]');
    await k.run('wait', 'pod/friend', '--for=condition=Ready', '--timeout=180s');
    await run('late-stranger', '');
    await refused('late-stranger');
    assert.equal(await k.path('pod late-stranger', '{.status.phase}'), 'Pending');
    await new Kubectl('default').run('delete', 'namespace', 'private');
  });
});
