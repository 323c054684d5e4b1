// Each is matched from a word that is spelt out, and what is matched is passed over, so that the time grows with the text alone.
// A password in a URL may hold anything where nobody has encoded it: up to the last "@", then.
const OF_URL = /:\/\/(?:[^\s/?#@:"'<>]{0,256}:[^\s"'<>]{1,128}|[^\s/?#@]{1,512})@/g;
const SCHEME = /\b(Bearer|Basic)(:?) [\w.~+/=-]{1,2048}/gi;
// The text between a name and its value: in a setting, in JSON, in JSON inside of JSON, in an object as Node shows it.
const IS = String.raw`[\w-]{0,32}\\{0,4}["']?\s{0,4}(?:=>?|:)\s{0,4}\[?\s{0,4}`;
// Up to its end, or to that of the text where somebody has cut it off.
const QUOTED = String.raw`\\{1,4}"[^"\\]{0,4096}(?:\\{1,4}")?|"(?:[^"\\]|\\.){0,4096}"?|'(?:[^'\\]|\\.){0,4096}'?`;
const NAMES =
  'passw(?:or)?d|passphrase|\\bpass\\b|pwd|secret|token|api[-_ ]?key|access[-_]?key|account[-_]?key|private[-_]?key|signature|\\bsig\\b|' +
  '\\bauth\\b|credentials?';
const NAMED = new RegExp(`(${NAMES})(${IS})(${QUOTED}|[^\\s,;&"')}\\]]{1,4096})`, 'gi');
// Several words, up to the end of the line.
const HEADER = new RegExp(`(authorization|cookie)(${IS})(${QUOTED}|[^\\r\\n"']{1}[^\\r\\n]{0,4096})`, 'gi');
// Up to its end, or to that of the text where somebody has cut it off; its lines may be escaped.
const KEY_BLOCK = /-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?/g;
// Tokens that say what they are by their form: a JWT, and those of AWS, Google and GitHub.
const TOKEN =
  /\b(?:eyJ[\w-]{8,4096}\.[\w-]{8,4096}(?:\.[\w-]{0,4096})?|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|ya29\.[\w-]{16,4096}|gh[opsu]_\w{36,255})/g;
const NOT_JSON = ' is not valid JSON';

/**
 * A text without what looks like a credential (in a URL, of a header, after a name such as `password`, a private key, a token of a
 * form that is known), and without the piece of a text that `JSON.parse` of V8 quotes. It knows the usual forms alone.
 * @internal
 */
export function withoutSecrets(text: string): string {
  const safe = text
    .replace(KEY_BLOCK, '***')
    .replace(OF_URL, '://***@')
    .replace(HEADER, '$1$2***')
    .replace(SCHEME, '$1$2 ***')
    .replace(NAMED, '$1$2***')
    .replace(TOKEN, '***');
  const [start, end] = [safe.indexOf('"'), safe.lastIndexOf(NOT_JSON)];
  return start === -1 || start > end ? safe : `${safe.slice(0, start)}"…"${safe.slice(end)}`;
}
