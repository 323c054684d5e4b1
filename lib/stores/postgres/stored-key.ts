// What Postgres text cannot hold (NUL, lone surrogates), what a terminal should not show, and the escape itself.
const ODD = /[\\\p{Cc}\p{Cs}]/u;
const EACH_ODD = new RegExp(ODD, 'gu');

/** Longer ones are stored by their digest: an index takes 2,704 bytes a row. */
const MAX_KEY_BYTES = 512;

/**
 * The text of the column `event_id` for an idempotency key: the key itself where Postgres can hold it, else with escapes
 * (`\\`, `\u0000`), so that no two keys become the same.
 * @internal
 */
export function storedKey(key: string): string {
  if (!ODD.test(key)) return key;
  return key.replace(EACH_ODD, (odd) =>
    odd === '\\' ? '\\\\' : `\\u${odd.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Whether a stored key may have to be stored by its digest: UTF-8 has at most 3 bytes for a unit of text. @internal */
export function mayBeLong(key: string): boolean {
  return key.length * 3 > MAX_KEY_BYTES;
}

/** The SQL that stores a long key by its digest; `\#` is no escape of `storedKey`. @internal */
export function storedKeySql(column: string): string {
  const digest = `chr(92) || '#' || encode(sha256(convert_to(${column}, 'UTF8')), 'hex')`;
  return `CASE WHEN octet_length(${column}) <= ${MAX_KEY_BYTES} THEN ${column} ELSE ${digest} END`;
}

/** The expression of a key that is no parameter. @internal */
export function storedLiteral(key: string): string {
  return Buffer.byteLength(key) <= MAX_KEY_BYTES ? literal(key) : storedKeySql(literal(key));
}

// Nothing that could end it, nothing that is an escape anywhere.
const PLAIN = /^[\w .:/@+-]{0,256}$/;

/** Text as SQL, most often of hexadecimal digits alone, so that nothing in it can end it. @internal */
export function literal(text: string): string {
  if (PLAIN.test(text)) return `'${text}'`;
  return `convert_from(${hexLiteral(Buffer.from(text))}, 'UTF8')`;
}

/** Bytes as SQL; text is UTF-8. @internal */
export function bytesLiteral(value: Uint8Array | string | null | undefined): string {
  if (value === null || value === undefined) return 'NULL::bytea';
  const bytes =
    typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.length);
  return hexLiteral(bytes);
}

// Without a backslash, which is an escape where `standard_conforming_strings` is off.
function hexLiteral(bytes: Buffer): string {
  return `decode('${bytes.toString('hex')}', 'hex')`;
}
