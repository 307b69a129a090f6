/** YAML of configuration files. Programs write theirs as JSON, which is YAML too: the parser costs 13 MiB once it is loaded. */
import { lazyModule } from './lazy.ts';

const yaml = lazyModule<typeof import('yaml')>(import.meta.url, 'yaml');

/** The first document of a text in YAML or JSON. Throws what the parser for YAML throws. */
export function parseYaml(text: string): unknown {
  if (text.startsWith('{'))
    try {
      return JSON.parse(text);
    } catch {
      // YAML that begins with a mapping in braces
    }
  return yaml().parse(text);
}
