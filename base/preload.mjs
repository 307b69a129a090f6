// Preloaded into every program. Node writes its compile cache when a process ends, and ours seldom end by themselves.
import { flushCompileCache } from 'node:module';

setTimeout(() => flushCompileCache(), 15_000).unref();

// An `import ... from 'node:http'` reads all that the module has, and with its WebSocket all of undici: 4 MiB for nothing.
const http = process.getBuiltinModule('node:http');
for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent'])
  if (Object.getOwnPropertyDescriptor(http, name)?.configurable) delete http[name];
