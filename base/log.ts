/** Structured logs: one JSON object a line on stderr, or klog-like text for people. */
import type { Clock } from './clock.ts';

export type LogFields = Record<string, unknown>;

/** Levels grow in severity; `debug` is off unless asked for. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line. */
  with(fields: LogFields): Logger;
}

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

function plain(v: unknown): unknown {
  if (v instanceof Error) return v.stack ?? v.message;
  if (typeof v === 'bigint') return v.toString();
  return v;
}

/** A logger that writes lines of JSON through `write` (default: stderr). */
export function createLogger(options: {
  clock: Clock;
  component: string;
  /** Defaults to info. */
  level?: LogLevel;
  write?: (line: string) => void;
}): Logger {
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const min = ORDER[options.level ?? 'info'];
  const make = (bound: LogFields): Logger => {
    const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
      if (ORDER[level] < min) return;
      const line: LogFields = {
        ts: new Date(options.clock.now()).toISOString(),
        level,
        component: options.component,
        msg: message,
      };
      for (const [k, v] of Object.entries({ ...bound, ...fields })) line[k] = plain(v);
      write(JSON.stringify(line) + '\n');
    };
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      with: (f) => make({ ...bound, ...f }),
    };
  };
  return make({});
}

/** Says nothing: for tests. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => silentLogger };
