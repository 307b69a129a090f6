/** DefaultTolerationSeconds: pods stay five minutes on a node that isn't ready or can't be reached. */
import type { Pod } from '../../../api/types.ts';
import { isOn, type PluginFactory } from '../plugin.ts';

const SECONDS = 300;

export const defaultTolerationSeconds: PluginFactory = ({ settings }) => {
  const seconds: Readonly<Record<string, number>> = {
    'node.kubernetes.io/not-ready': settings.notReadySeconds ?? SECONDS,
    'node.kubernetes.io/unreachable': settings.unreachableSeconds ?? SECONDS,
  };
  const keys = Object.keys(seconds);
  return {
    name: 'DefaultTolerationSeconds',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    admit(a) {
      if (!isOn(a, '', 'pods')) return;
      const spec = (a.object as Pod).spec;
      if (!spec) return;
      const given = spec.tolerations ?? [];
      const missing = keys.filter(
        (key) => !given.some((t) => (!t.key || t.key === key) && (!t.effect || t.effect === 'NoExecute')),
      );
      if (missing.length === 0) return;
      spec.tolerations = [
        ...given,
        ...missing.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: seconds[key] })),
      ];
    },
  };
};
