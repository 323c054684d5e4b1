// Each is matched from a word that is spelt out, so that the time grows with the text alone.
const OF_URL = /:\/\/[^\s/?#@]{1,512}@/g;
const SCHEME = /\b(Bearer|Basic) [\w.~+/=-]{1,2048}/gi;
const NAMED =
  /(passw(?:or)?d|pwd|secret|token|api[-_]?key|access[-_]?key|authorization|credentials?)([\w-]{0,32}["']?\s{0,4}[=:]\s{0,4})("[^"]{0,2048}"|'[^']{0,2048}'|[^\s,;&"')}\]]{1,2048})/gi;
const NOT_JSON = ' is not valid JSON';

/**
 * A text without what looks like a credential (in a URL, of a header, after a name such as `password`), and without the piece of a
 * text that `JSON.parse` of V8 quotes. It knows the usual forms alone.
 * @internal
 */
export function withoutSecrets(text: string): string {
  const safe = text.replace(OF_URL, '://***@').replace(SCHEME, '$1 ***').replace(NAMED, '$1$2***');
  const [start, end] = [safe.indexOf('"'), safe.lastIndexOf(NOT_JSON)];
  return start === -1 || start > end ? safe : `${safe.slice(0, start)}"…"${safe.slice(end)}`;
}
