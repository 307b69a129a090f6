/** Services of type LoadBalancer: an address of the node network that answers, moves, and keeps to its policy. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { CLUSTER, eventually, inNamespace, Kubectl, Load, pidOf } from './cluster.ts';

const NODES = ['node1', 'node2', 'node3'];

/** The nodes that have an address on their interface. */
function holders(ip: string): string[] {
  return NODES.filter((n) =>
    execFileSync('ip', ['-n', `k8ts-${CLUSTER}.${n}`, 'addr', 'show'], { encoding: 'utf8' }).includes(` ${ip}/32 `),
  );
}

describe('load balancers', function () {
  this.timeout(400_000);
  let k: Kubectl;
  let ip = '';
  before(async () => {
    k = await inNamespace('balanced');
    await k.run('create', 'deployment', 'web', '--image=nginx', '--replicas=1');
    await k.run('expose', 'deployment', 'web', '--port=80', '--type=LoadBalancer');
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    await eventually(async () => {
      ip = await k.path('service web', '{.status.loadBalancer.ingress[0].ip}');
      return ip === '' ? 'no address' : undefined;
    });
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'balanced', '--wait=false']);
  });

  it('get an address that one node answers for', async () => {
    await eventually(async () => (holders(ip).length === 1 ? undefined : `${ip} is held by ${holders(ip).join()}`));
    const load = new Load([`http://${ip}/`]);
    await eventually(async () => (load.answered > 20 ? undefined : load.failures.join('\n') || 'no answer'));
    await load.stop();
    assert.deepEqual(load.failures, []);
  });

  it('are taken over by another node, and given back', async () => {
    const [first] = holders(ip);
    const pid = pidOf(`${first}/agent`, 'proxy');
    process.kill(pid, 'SIGSTOP');
    try {
      await eventually(async () => (holders(ip).length === 2 ? undefined : 'no other node has taken the address'));
      const load = new Load([`http://${ip}/`]);
      await eventually(async () => (load.answered > 20 ? undefined : load.failures.join('\n') || 'no answer'));
      await load.stop();
      assert.deepEqual(load.failures, []);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await eventually(async () => (holders(ip).join() === first ? undefined : `held by ${holders(ip).join()}`));
  });

  it('let in only whom they are for, and follow the policy to where the backends are', async () => {
    const get = () =>
      new Promise<boolean>((resolve) => {
        const req = http.get(`http://${ip}/`, { agent: false, timeout: 2_000 }, (res) => {
          res.resume();
          resolve(res.statusCode === 200);
        });
        req.on('timeout', () => req.destroy());
        req.on('error', () => resolve(false));
      });
    await k.run('patch', 'service', 'web', '-p', '{"spec":{"loadBalancerSourceRanges":["192.0.2.0/24"]}}');
    await eventually(async () => ((await get()) ? 'still answers everybody' : undefined));
    await k.run('patch', 'service', 'web', '-p', '{"spec":{"loadBalancerSourceRanges":null}}');
    await eventually(async () => ((await get()) ? undefined : 'answers nobody'), 120_000);

    await k.run('patch', 'service', 'web', '-p', '{"spec":{"externalTrafficPolicy":"Local"}}');
    await eventually(async () => {
      const on = (await k.path('pods -l app=web', '{.items[*].spec.nodeName}')).split(' ');
      return on.length === 1 && holders(ip).join() === on[0]
        ? undefined
        : `on ${on.join()}, held by ${holders(ip).join()}`;
    });
    await eventually(async () => ((await get()) ? undefined : 'answers nobody'), 120_000);
  });

  it('are gone with their Service', async () => {
    await k.run('delete', 'service', 'web');
    await eventually(async () => (holders(ip).length === 0 ? undefined : `held by ${holders(ip).join()}`));
  });
});
