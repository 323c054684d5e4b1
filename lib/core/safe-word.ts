// None of them has a space, and those that begin with a digit are short: a SQLSTATE, a status of HTTP.
const WORD = /^(?=\D|.{1,5}$)[\w$][\w$.:-]{0,63}$/;

/**
 * A word by which a client, a server or a runtime names a failure (`TypeError`, `ECONNREFUSED`, `57P01`), or `undefined` for any
 * other text: an error may carry a whole sentence as its name or its code, with a payload in it.
 * @internal
 */
export function safeWord(text: unknown): string | undefined {
  return typeof text === 'string' && WORD.test(text) ? text : undefined;
}
