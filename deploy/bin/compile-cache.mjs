// Preloaded into every program: Node writes its compile cache when a process ends, and ours seldom end by themselves.
import { flushCompileCache } from 'node:module';

setTimeout(() => flushCompileCache(), 15_000).unref();
