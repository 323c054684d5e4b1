import type { Message, MessageHeaders } from '../../lib/index.js';

/** A broken adapter, the case that must catch it, and what that must say. */
export interface Mutant<D> {
  readonly name: string;
  readonly driver: D;
  /** How the name of the case begins. */
  readonly caughtBy: string;
  readonly seen: RegExp;
}

/** A broken adapter keeps each wait until its bound. */
export const MUTANT_TIMINGS = { withinMs: 500, quietMs: 30, drainMs: 40, leaseMs: 60 };

export function throughText(bytes: Message['value']): Message['value'] {
  return bytes instanceof Uint8Array ? new TextEncoder().encode(new TextDecoder().decode(bytes)) : bytes;
}

export function changeHeaders(headers: MessageHeaders, change: (value: unknown) => unknown): MessageHeaders {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, change(value)])) as MessageHeaders;
}

export function lastOnly(value: unknown): unknown {
  return Array.isArray(value) ? (value as unknown[]).at(-1) : value;
}

const left = new Set<ReturnType<typeof setInterval>>();

/** What a broken adapter never ends; `endLeftTimers` does. */
export function leaveATimer(): void {
  left.add(setInterval(() => undefined, 1_000));
}

export function endLeftTimers(): void {
  for (const timer of left) clearInterval(timer);
  left.clear();
}
