import type { HeaderValue, MessageHeaders } from '../../core/message.js';

type Stored = readonly (readonly [string, string | { readonly base64: string }])[];

/** Headers as JSON: pairs in their order, bytes as base64. @internal */
export function storedHeaders(headers: MessageHeaders = {}): string {
  const pairs: Stored = Object.entries(headers).flatMap(([name, values]) =>
    (isList(values) ? values : [values])
      .filter((value) => value !== undefined)
      .map((value) => [name, typeof value === 'string' ? value : { base64: base64Of(value) }] as const),
  );
  return JSON.stringify(pairs);
}

/** What `storedHeaders` made them of. @internal */
export function headersOf(stored: string): MessageHeaders {
  if (stored === '[]') return {};
  const headers: Record<string, HeaderValue | HeaderValue[]> = {};
  for (const [name, value] of JSON.parse(stored) as Stored) {
    const header = typeof value === 'string' ? value : bytesOf(value.base64);
    const before = Object.hasOwn(headers, name) ? headers[name] : undefined;
    const all = before === undefined ? header : [...(isList(before) ? before : [before]), header];
    // Also one that is called `__proto__`.
    Object.defineProperty(headers, name, { value: all, enumerable: true, configurable: true, writable: true });
  }
  return headers;
}

function isList(value: MessageHeaders[string]): value is readonly HeaderValue[] {
  return Array.isArray(value);
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}
