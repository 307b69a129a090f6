/** Links of an HTML page that came through a proxy path lead back through it: paths from the root get its prefix. */

/** Attributes that hold one URL. */
const LINK =
  /(\s(?:href|src|action|formaction|cite|background|codebase|data|icon|longdesc|manifest|poster|profile|usemap)\s*=\s*)("[^"]*"|'[^']*')/gi;
const TAG = /<[a-z][^<>]*>/gi;

/** Rewrites the URLs within tags by `map`; text between tags stays as it is. */
export function rewriteLinks(html: string, map: (url: string) => string): string {
  return html.replace(TAG, (tag) =>
    tag.replace(LINK, (_all, before: string, quoted: string) => {
      const quote = quoted.charAt(0);
      return `${before}${quote}${map(quoted.slice(1, -1))}${quote}`;
    }),
  );
}
