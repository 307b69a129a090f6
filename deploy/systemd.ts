/** systemd units for servers and agents on real machines: they survive a reboot; their pods survive a restart of them. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Exec } from '../base/exec.ts';
import { program } from './paths.ts';

const quote = (s: string) =>
  /^[\w@%+=:,./-]+$/.test(s) ? s : JSON.stringify(s).replaceAll('%', '%%').replaceAll('$', '$$$$');

/** The unit's text. Only the supervisor is signalled: it ends its programs in order, and pods go on in any case. Pure. */
export function unitText(role: 'server' | 'agent', args: readonly string[]): string {
  const { command, args: first, env } = program('deploy/main.ts');
  return `[Unit]
Description=k8ts ${role}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=${[command, ...first, role, ...args].map(quote).join(' ')}
${Object.entries(env)
  .map(([name, value]) => `Environment=${name}=${quote(value)}`)
  .join('\n')}
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
LimitNOFILE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`;
}

/** Writes and starts the unit; throws with one sentence where systemd doesn't run. */
export async function installUnit(exec: Exec, role: 'server' | 'agent', args: readonly string[]): Promise<string> {
  if (!existsSync('/run/systemd/system'))
    throw new Error('systemd does not run on this machine: start k8ts by other means, without --install');
  const name = `k8ts-${role}.service`;
  writeFileSync(join('/etc/systemd/system', name), unitText(role, args), { mode: 0o600 });
  await exec('systemctl', ['daemon-reload']);
  await exec('systemctl', ['enable', '--now', name]);
  return name;
}
