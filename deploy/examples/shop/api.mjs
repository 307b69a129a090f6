// The middle tier: asks the store, adds who answered.
import http from 'node:http';

const read = async (req) => {
  let text = '';
  for await (const chunk of req) text += chunk;
  return text;
};
const server = http.createServer(async (req, res) => {
  const json = (code, value) => res.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
  try {
    if (req.url === '/healthz') return res.end('ok');
    if (req.url !== '/items') return json(404, { error: 'not found' });
    const body = req.method === 'POST' ? await read(req) : undefined;
    const answer = await fetch(`${process.env.STORE}/items`, { method: req.method, body });
    json(answer.status, { items: await answer.json(), servedBy: process.env.POD });
  } catch (error) {
    json(502, { error: String(error) });
  }
});
server.listen(8080);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
