import type { Message } from '../core/message.js';

/** `m0`, `m1`, … @internal */
export function names(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** Messages of these values, over five keys. @internal */
export function messages(texts: readonly string[], rest: Partial<Message> = {}): Message[] {
  return texts.map((value, index) => ({ value, key: `key-${index % 5}`, ...rest }));
}
