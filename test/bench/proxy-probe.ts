/**
 * Runs inside the measured node. Commands on standard input, answers as JSON lines:
 * `await HOST PORT LETTER` answers the wall time at which a new connection first gets this letter,
 * `latency HOST PORT COUNT` the milliseconds that each of COUNT connections took to be set up.
 */
import net from 'node:net';
import { createInterface } from 'node:readline';

function connect(host: string, port: number): Promise<{ ms: number; text: string }> {
  return new Promise((resolve) => {
    const began = performance.now();
    let ms = NaN;
    let text = '';
    const socket = net.connect({ host, port, noDelay: true }, () => (ms = performance.now() - began));
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on('data', (c) => (text += String(c)));
    socket.on('error', () => {});
    socket.on('close', () => resolve({ ms, text }));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const [what = '', host = '', port = '', arg = ''] = line.split(' ');
  if (what === 'await') {
    let at = 0;
    const until = Date.now() + 120_000;
    while (Date.now() < until) {
      const { text } = await connect(host, Number(port));
      if (text === arg) {
        at = Date.now();
        break;
      }
      await new Promise((r) => setTimeout(r, 1));
    }
    process.stdout.write(`${JSON.stringify({ at })}\n`);
  } else {
    const ms: number[] = [];
    for (let i = 0; i < Number(arg); i++) ms.push((await connect(host, Number(port))).ms);
    process.stdout.write(`${JSON.stringify({ ms })}\n`);
  }
}
