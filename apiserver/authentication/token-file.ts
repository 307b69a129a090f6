/** --token-auth-file: lines of token,user,uid[,"group1,group2"]. */
import type { TokenAuthenticator } from './service-account.ts';
import type { Authenticated } from './types.ts';

function fields(line: string): string[] {
  const out: string[] = [];
  for (const m of line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    out.push(m[1] === undefined ? m[2]!.trim() : m[1].replaceAll('""', '"'));
  }
  return out;
}

/** Reads the file's text; throws an Error that names the line which is wrong. */
export function createTokenFileAuthenticator(csv: string): TokenAuthenticator {
  const users = new Map<string, Authenticated>();
  csv.split('\n').forEach((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const [token, name, uid, groups] = fields(line.trim());
    if (!token || !name || uid === undefined)
      throw new Error(`token auth file, line ${i + 1}: token, user and uid are needed`);
    users.set(token, {
      user: {
        name,
        ...(uid ? { uid } : {}),
        groups: (groups ?? '')
          .split(',')
          .map((g) => g.trim())
          .filter(Boolean),
      },
    });
  });
  return { authenticateToken: async (token) => users.get(token) };
}
