import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { clusterRoleBindings, clusterRoles, serviceAccounts } from '../../../client/resources.ts';
import { registerProxyHandlers } from '../../../apiserver/proxying/handlers.ts';
import { isReady, startTestNode, type TestNode } from './harness.ts';

interface Answer {
  status: number;
  text: string;
}

describe("the kubelet's server", () => {
  let node: TestNode;
  let logs: string;
  let admin: { cert: string; key: string };
  before(async () => {
    logs = mkdtempSync(join(tmpdir(), 'kubelet-server-'));
    const ca = join(logs, 'ca.crt');
    const agents: { agent?: Agent } = {};
    node = await startTestNode({
      fields: {
        port: 0,
        healthzPort: 0,
        address: '127.0.0.1',
        podLogsDir: logs,
        enableSystemLogQuery: true,
        tlsCipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
        authentication: { x509: { clientCAFile: ca } },
      },
      server: {
        handlers: (parts) =>
          registerProxyHandlers(parts.special, {
            reader: parts.reader,
            rand: parts.rand,
            clock: parts.clock,
            kubelet: {
              preferredAddressTypes: ['InternalIP'],
              get agent() {
                return (agents.agent ??= new Agent({ ...admin, rejectUnauthorized: false }));
              },
            },
          }),
      },
      hollow: {
        behaviour: ({ args }) => ({ exit: args?.[0] === 'exit' ? { code: Number(args[1]) } : undefined }),
      },
      kubelet: { hollowServer: true },
      prepare(server) {
        writeFileSync(ca, server.ca);
        admin = server.identity('admin', 'system:masters');
      },
    });
    await node.kubelet.registered();
    await node.create('web');
    await node.until('web', isReady);
  });
  after(async () => {
    await node.stop();
    rmSync(logs, { recursive: true, force: true });
  });

  function open(path: string, options: https.RequestOptions): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      https
        .get(
          { host: '127.0.0.1', port: node.kubelet.port, path, rejectUnauthorized: false, agent: false, ...options },
          resolve,
        )
        .on('error', reject);
    });
  }
  async function get(path: string, options: https.RequestOptions = admin): Promise<Answer> {
    const res = await open(path, options);
    let text = '';
    for await (const chunk of res) text += String(chunk);
    return { status: res.statusCode!, text };
  }
  const logFile = () => {
    const path = node.kubelet.pods.byName('default', 'web')!.state.containers[0]!.log_path;
    mkdirSync(dirname(path), { recursive: true });
    return path;
  };

  it('knows nobody without a certificate or a token, and lets only those in who may', async () => {
    assert.deepEqual(await get('/pods', {}), { status: 401, text: 'Unauthorized' });
    assert.equal((await get('/pods', { headers: { Authorization: 'Bearer nonsense' } })).status, 401);
    const nobody = node.server.identity('nobody');
    const refused = await get('/pods', nobody);
    assert.equal(refused.status, 403);
    assert.match(refused.text, /^Forbidden \(user=nobody, verb=get, resource=nodes, subresource\(s\)=\[pods proxy\]\)/);
  });

  it('takes service account tokens by what the API server says of them', async () => {
    const { client } = node;
    await client.create(serviceAccounts, { metadata: { name: 'monitor', namespace: 'default' } });
    await client.create(clusterRoles, {
      metadata: { name: 'monitor' },
      rules: [{ apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get'] }],
    });
    await client.create(clusterRoleBindings, {
      metadata: { name: 'monitor' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'monitor' },
      subjects: [{ kind: 'ServiceAccount', name: 'monitor', namespace: 'default' }],
    });
    const answer = await client.request<{ status: { token: string } }>({
      method: 'POST',
      path: '/api/v1/namespaces/default/serviceaccounts/monitor/token',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    });
    const as = { headers: { Authorization: `Bearer ${answer.status.token}` } };
    const metrics = await get('/metrics', as);
    assert.equal(metrics.status, 200, metrics.text);
    assert.match(metrics.text, /^kubelet_running_pods 1$/m);
    assert.equal((await get('/pods', as)).status, 403);
  });

  it('speaks the cipher suites that it is told', async () => {
    const cipherFor = async (ciphers: string) => {
      const res = await open('/healthz', { ...admin, ciphers, maxVersion: 'TLSv1.2' });
      res.resume();
      return (res.socket as TLSSocket).getCipher().name;
    };
    const [told, other] = [
      'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
    ];
    assert.match(await cipherFor(`${other}:ECDHE-RSA-AES256-GCM-SHA384:${told}`), /AES128-GCM-SHA256$/);
    await assert.rejects(cipherFor(`${other}:ECDHE-RSA-AES256-GCM-SHA384`));
  });

  it('shows pods, configuration, health and statistics', async () => {
    assert.deepEqual(
      (JSON.parse((await get('/pods')).text) as { items: { metadata: { name: string } }[] }).items.map(
        (p) => p.metadata.name,
      ),
      ['web'],
    );
    assert.equal(
      (JSON.parse((await get('/configz')).text) as { kubeletconfig: { kind: string } }).kubeletconfig.kind,
      'KubeletConfiguration',
    );
    assert.deepEqual(await get('/healthz'), { status: 200, text: 'ok' });
    assert.equal(
      (JSON.parse((await get('/stats/summary')).text) as { node: { nodeName: string } }).node.nodeName,
      'n1',
    );
    interface Use {
      name: string;
      cpu: Record<string, number>;
      memory: Record<string, number>;
    }
    const summary = JSON.parse((await get('/stats/summary')).text) as { node: Use & { systemContainers: Use[] } };
    assert.ok(summary.node.memory['rssBytes']! > 0 && summary.node.memory['pageFaults']! > 0);
    const own = summary.node.systemContainers.find((c) => c.name === 'kubelet')!;
    assert.ok(own.cpu['usageCoreNanoSeconds']! > 0 && own.memory['rssBytes']! > 1 << 20);
    assert.match((await get('/metrics/resource')).text, /^resource_scrape_error 0$/m);
    assert.equal((await get('/nothing')).status, 404);
    assert.equal((await get('/constructor')).status, 404);
  });

  it('shows logs, their end, and what is written while it is followed', async () => {
    const path = logFile();
    writeFileSync(
      path,
      '2030-01-01T00:00:01Z stdout F one\n2030-01-01T00:00:02Z stderr F two\n2030-01-01T00:00:03Z stdout F three\n',
    );
    assert.equal((await get('/containerLogs/default/web/c')).text, 'one\ntwo\nthree\n');
    assert.equal(
      (await get('/containerLogs/default/web/c?tailLines=1&timestamps=true')).text,
      '2030-01-01T00:00:03Z three\n',
    );
    assert.equal((await get('/containerLogs/default/web/c?limitBytes=5')).text, 'one\nt');
    assert.equal((await get('/containerLogs/default/web/c?sinceTime=2030-01-01T00:00:03Z')).text, 'three\n');
    assert.deepEqual(await get('/containerLogs/default/web/other'), {
      status: 404,
      text: 'container "other" not found in pod "web"',
    });
    assert.equal((await get('/containerLogs/default/web/c?previous=true')).status, 400);

    const res = await open('/containerLogs/default/web/c?follow=true&tailLines=1', admin);
    const seen: string[] = [];
    for await (const chunk of res) {
      seen.push(String(chunk));
      if (seen.join('') === 'three\n') appendFileSync(path, '2030-01-01T00:00:04Z stdout F four\n');
      if (seen.join('') === 'three\nfour\n') break;
    }
    assert.equal(seen.join(''), 'three\nfour\n');
  });

  it('counts how containers ended', async () => {
    await node.create('crash', {
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'busybox:1', args: ['exit', '3'] }],
    });
    await node.until('crash', (p) => p?.status?.phase === 'Failed');
    const counted =
      /^kubelet_terminated_containers_total\{container_type="container",exit_code="3",reason="Error"\} 1$/m;
    assert.match((await get('/metrics')).text.replace(/ \d{13}$/gm, ''), counted);
  });

  it("shows the node's log files", async () => {
    const folder = mkdtempSync(join(logs, 'system-'));
    writeFileSync(join(folder, 'a&b.log'), 'hello\n');
    mkdirSync(join(folder, 'more'));
    const path = `/logs/${basename(logs)}/${basename(folder)}`;
    assert.match((await get(path)).text, /<a href="a&amp;b\.log">a&amp;b\.log<\/a>\n<a href="more\/">/);
    assert.deepEqual(await get(`${path}/a&b.log`), { status: 200, text: 'hello\n' });
    assert.equal((await get(`${path}/none.log`)).status, 404);
    assert.equal((await get('/logs/%2e%2e%2fetc/passwd')).status, 400);
  });

  it("answers queries of services' logs and of files", async () => {
    const root = dirname(logs);
    const name = `${basename(logs)}-service`;
    const [own, nested, link] = [join(root, `${name}.log`), join(root, `${name}-n`), join(root, `${name}-link.log`)];
    try {
      writeFileSync(own, 'one\n');
      mkdirSync(nested);
      writeFileSync(join(nested, `${name}-n.log`), 'two\n');
      symlinkSync('/etc/passwd', link);
      const ask = (query: string) => get(`/logs/?${query}`);
      const ok = (text: string) => ({ status: 200, text });
      assert.deepEqual(await ask(`query=${name}`), ok('one\n'));
      assert.deepEqual(
        await ask(`query=${name}-n&query=${name}&query=none`),
        ok('two\none\n\nlog not found for none\n'),
      );
      assert.deepEqual(await ask(`query=${name}-link`), ok(`\nlog not found for ${name}-link\n`));
      assert.deepEqual(await ask(`query=/${name}.log`), ok('one\n'));
      assert.deepEqual(await ask(`query=${name}-n/${name}-n.log`), ok('two\n'));
      assert.match((await ask(`query=${name}&tailLines=1`)).text, /options present .* \[.*-service\]/);
      for (const [query, status, text] of [
        ['query', 400, 'query: Invalid value: [""]: may not be empty'],
        [
          'query=a&sinceTime=x&boot=y',
          400,
          '[sinceTime: Invalid value: "x": invalid time format, boot: Invalid value: "y": ',
        ],
        ['tailLines=3', 406, 'query: Required value: cannot be empty with options'],
        ['query=a;b', 406, 'query: Invalid value: "a;b": input contains unsupported characters'],
        ['query=a&boot=1', 406, 'boot: Invalid value: 1: must be less than 1'],
        ['query=a&tailLines=-1', 406, 'tailLines: Invalid value: -1: must be between 0 and 100000, inclusive'],
        ['query=a&pattern=(', 406, 'pattern: Invalid value: "(": '],
        ['query=/a&boot=0', 406, 'query: Invalid value: ["/a"]: cannot specify file with options'],
        ['query=../etc/passwd', 406, 'query: Invalid value: ["../etc/passwd"]: '],
        [`query=/${name}-link.log`, 406, 'query: Invalid value: '],
        ['query=a&query=b&query=c&query=d&query=e', 406, 'query: Too many: 5: must have at most 4 items'],
        ['query=a&sinceTime=2030-01-02T00:00:00Z&untilTime=2030-01-01T00:00:00Z', 406, 'untilTime: Invalid value: '],
      ] as const) {
        const answer = await ask(query);
        assert.equal(answer.status, status, query);
        assert.ok(answer.text.startsWith(text), answer.text);
      }
      assert.equal((await get(`/logs/${name}.log?query=a`)).status, 406);
    } finally {
      for (const path of [own, nested, link]) rmSync(path, { recursive: true, force: true });
    }
  });

  it('is reached through the API server', async () => {
    const log = await node.client.request<string>({
      path: '/api/v1/namespaces/default/pods/web/log',
      query: { tailLines: 1 },
      accept: '*/*',
    });
    assert.equal(log, 'four\n');
    assert.equal(await node.client.request({ path: '/api/v1/nodes/n1/proxy/healthz', accept: '*/*' }), 'ok');
  });

  it('refuses upgrades it can not make with an ordinary answer', async () => {
    assert.equal((await get('/exec/default/web/c?command=ls&stdout=1')).status, 400);
    const upgrade = { ...admin, headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' } };
    const pod = await get('/exec/default/none/c?command=ls&stdout=1', upgrade);
    assert.deepEqual(pod, { status: 404, text: 'pod does not exist' });
    const streams = await get('/exec/default/web/c?command=ls', upgrade);
    assert.match(streams.text, /at least 1 of stdin, stdout, stderr/);
    const hollow = await get('/exec/default/web/c?command=ls&stdout=1', upgrade);
    assert.match(hollow.text, /a hollow container has no streams/);
  });
});
