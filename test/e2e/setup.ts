/** Mocha's global fixture of the e2e tier: one cluster for all files, made and removed as a person would. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'mocha';
import { createClient } from '../../client/client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { stateOf } from '../support/state.ts';
import { CLUSTER, k8ts, KUBECONFIG, replacements, ROOT } from './cluster.ts';

export function mochaGlobalSetup(): void {
  if (process.env['K8TS_E2E_KEEP'] === 'found') return;
  k8ts('down', '--name', CLUSTER);
  const store = process.env['K8TS_E2E_STORE'] ?? 'lmdb';
  const { K8TS_E2E_IP_FAMILY: family = 'ipv4', K8TS_E2E_NETWORK: network = 'auto' } = process.env;
  const replace = replacements().map(([name, file]) => `--replace=${name}=${file}`);
  const up = ['up', '--name', CLUSTER, '--nodes', '3', '--store', store, '--ip-family', family, '--network', network];
  execFileSync(process.execPath, [join(ROOT, 'deploy/bin/run.mjs'), ...up, ...replace], {
    stdio: 'inherit',
    timeout: 300_000,
  });
}

export function mochaGlobalTeardown(): void {
  if (process.env['K8TS_E2E_KEEP']) return;
  k8ts('down', '--name', CLUSTER);
}

/** A failure is told with what stood then: it may not come again for a long time. */
export const mochaHooks = {
  async afterEach(this: Context): Promise<void> {
    if (this.currentTest?.state !== 'failed' || !existsSync(KUBECONFIG)) return;
    const client = createClient({ ...loadKubeconfig(KUBECONFIG), userAgent: 'e2e' });
    process.stdout.write(`${await stateOf(client).finally(() => client.close())}\n`);
  },
};
