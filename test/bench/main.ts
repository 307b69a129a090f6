/** `npm run bench [-- NAME ...]`: runs the measurements (API server, store, scheduler, pod start and churn, service proxy, DNS), each a program that prints JSON lines. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const ALL = ['controllers', 'apiserver', 'store', 'scheduler', 'podstart', 'churn', 'proxy', 'dns'];
const chosen = process.argv.slice(2);
const unknown = chosen.find((c) => !ALL.includes(c));
if (unknown !== undefined) {
  process.stderr.write(`there is no measurement ${unknown}; there are: ${ALL.join(', ')}\n`);
  process.exit(1);
}
for (const name of chosen.length ? chosen : ALL) {
  process.stdout.write(`# ${name}\n`);
  const { status } = spawnSync(process.execPath, [join(here, `${name}.ts`)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
