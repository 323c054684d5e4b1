import { NEVER, Observable, of, throwError } from 'rxjs';
import { type Delivery, permanent, unavailable } from '../../../lib/index.js';
import { inAnotherRealm } from '../another-realm.js';
import { hostile } from '../hostile.js';
import { CANARY, goodValue, type CorpusEntry, type Fate } from './entry.js';

/** What a handler does with the message that asks for it; `tried` counts its attempts. */
export type Deed = (delivery: Delivery<unknown>, tried: number) => unknown;

const thrown =
  (make: () => unknown): Deed =>
  () => {
    throw make();
  };

class Named extends Error {}
Object.defineProperty(Named, 'name', { value: `${CANARY} `.repeat(100_000) });

/** Each may be thrown; beside it stands the class that a dead letter tells of it. */
const THROWN: Readonly<Record<string, readonly [fate: Fate, make: () => unknown]>> = {
  'an error': ['letter RangeError', () => new RangeError(CANARY)],
  null: ['letter object', () => null],
  undefined: ['letter none', () => undefined],
  'the number 0': ['letter number', () => 0],
  NaN: ['letter number', () => NaN],
  false: ['letter boolean', () => false],
  'a bigint': ['letter bigint', () => 1n],
  'a symbol': ['letter symbol', () => Symbol(CANARY)],
  'a function': ['letter function', () => () => CANARY],
  'text of nothing': ['letter string', () => ''],
  'text of 5 MB': ['letter string', () => CANARY.repeat(500_000)],
  'text of halves of surrogate pairs': ['letter string', () => '\ud800'.repeat(5_000)],
  'an error with a message of 5 MB': ['letter Error', () => new Error(CANARY.repeat(500_000))],
  'an error with a stack of 5 MB': [
    'letter Error',
    () => Object.assign(new Error('m'), { stack: 'x\n'.repeat(2_500_000) }),
  ],
  'an error with a class of 1 MB': ['letter Error', () => new Named('m')],
  'an error whose message is a symbol': ['letter Error', () => Object.assign(new Error('m'), { message: Symbol('m') })],
  'an error whose message is an error': [
    'letter Error',
    () => Object.assign(new Error('m'), { message: new Error(CANARY) }),
  ],
  'an error with line ends and NULs': ['letter Error', () => new Error(`a\r\nb\0${CANARY}`)],
  'an error that is frozen': ['letter Error', () => Object.freeze(new Error(CANARY))],
  'an error that is its own cause': ['letter Error', () => ownCause()],
  '100,000 errors at once': [
    'letter AggregateError',
    () => new AggregateError(Array.from({ length: 100_000 }, () => new Error(CANARY))),
  ],
  '10,000 causes': ['letter Error', () => causes(10_000)],
  'an error of another realm': ['letter TypeError', () => inAnotherRealm('new TypeError("m")')],
  'a time-out of the platform': ['letter TimeoutError', () => new DOMException(CANARY, 'TimeoutError')],
  'a thenable': ['letter object', () => ({ then: (go: (value: unknown) => void) => go(CANARY) })],
  'an error that says it is permanent': ['letter RangeError', () => permanent(new RangeError(CANARY))],
  'text that is marked as permanent': ['letter string', () => permanent(CANARY)],
  'a revoked Proxy that is marked as permanent': ['letter object', () => permanent(revoked())],
  'a frozen error that is marked as permanent': ['letter Error', () => permanent(Object.freeze(new Error(CANARY)))],
  'a message in the place of an error': ['letter object', () => ({ key: CANARY, value: CANARY })],
};

/** Other things that a handler may do, and what comes of them. */
const OTHER: Readonly<Record<string, readonly [fate: Fate, deed: Deed]>> = {
  'acks twice': ['done', (delivery) => (delivery.ack(), delivery.ack())],
  'acks, then throws': ['done', (delivery) => thrown(() => new Error(CANARY))((delivery.ack(), delivery), 1)],
  'acks, then nacks': ['done', (delivery) => (delivery.ack(), delivery.nack(new Error(CANARY)))],
  'nacks, then acks': ['letter Error', (delivery) => (delivery.nack(new Error(CANARY)), delivery.ack())],
  'nacks without a reason': ['letter none', (delivery) => delivery.nack()],
  'nacks with a revoked Proxy': ['letter object', (delivery) => delivery.nack(revoked())],
  'nacks with a wait that is no number': [
    'letter Error',
    (delivery) => delivery.nack(new Error('m'), { delayMs: NaN }),
  ],
  'nacks with a wait below 0': ['letter Error', (delivery) => delivery.nack(new Error('m'), { delayMs: -1 })],
  'nacks with options that throw': ['letter Error', (delivery) => delivery.nack(new Error('m'), trapped())],
  'never ends': ['letter SluiceError', () => new Promise(() => undefined)],
  'is an Observable that never ends': ['letter SluiceError', () => NEVER],
  'is an Observable of an error': ['letter TypeError', () => throwError(() => new TypeError(CANARY))],
  'is an Observable of a revoked Proxy': ['done', () => ofOne(revoked())],
  'rejects with nothing': ['letter none', () => Promise.reject(undefined)],
  'rejects with a revoked Proxy': ['letter object', () => Promise.reject(revoked())],
  'rejects with a Proxy that throws': ['letter object', () => Promise.reject(trapped())],
  'resolves with a Proxy that throws': ['letter Error', () => Promise.resolve().then(() => trapped())],
  'gives a revoked Proxy': ['letter TypeError', () => revoked()],
  'gives what throws where it is asked for then': [
    'letter Error',
    () => Object.defineProperty({}, 'then', { get: boom }),
  ],
  'gives a then that throws': ['letter Error', () => ({ then: boom })],
  'gives a then that answers twice': ['done', () => ({ then: (go: (value: unknown) => void) => (go(1), go(2)) })],
  'gives a then that answers and throws': ['done', () => ({ then: (go: (value: unknown) => void) => (go(1), boom()) })],
  'gives a then that answers with a then': ['done', () => Promise.resolve(of(1)).then(() => ({ a: 1 }))],
  'gives a million numbers': ['done', () => new Float64Array(1_000_000)],
  'fails once': ['done', (_, tried) => (tried === 1 ? boom() : undefined)],
  'is out once': [
    'done',
    (_, tried) => (tried === 1 ? thrown(() => unavailable(new Error(CANARY)))(_, tried) : undefined),
  ],
  'is out once, by a revoked Proxy': [
    'done',
    (_, tried) => (tried === 1 ? thrown(() => unavailable(revoked()))(_, tried) : undefined),
  ],
};

// `of` looks whether its last argument is a scheduler.
function ofOne(value: unknown): Observable<unknown> {
  return new Observable((subscriber) => {
    subscriber.next(value);
    subscriber.complete();
  });
}

function boom(): never {
  throw new Error(CANARY);
}

function trapped(): object {
  return new Proxy({}, { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom });
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function ownCause(): Error {
  const error = new Error(CANARY);
  return Object.assign(error, { cause: error });
}

function causes(count: number): Error {
  let error = new Error('0');
  for (let number = 1; number < count; number++) error = new Error(String(number), { cause: error });
  return error;
}

// A dead letter tells these as objects: nothing says that they are errors, or nobody can ask.
const NO_ERRORS: ReadonlySet<string> = new Set([
  'a Proxy of an array',
  'a Proxy of an error',
  'a Proxy that is revoked',
  'a Proxy whose traps all throw',
  'an object that cannot become text',
  'an object without a prototype',
]);

const hostileDeeds = Object.entries(hostile()).map(([name, make]): readonly [string, Fate, Deed] => [
  `throws ${name}`,
  NO_ERRORS.has(name) ? 'letter object' : 'letter Error',
  thrown(make),
]);
const all: readonly (readonly [string, Fate, Deed])[] = [
  ...Object.entries(THROWN).map(([name, [fate, make]]) => [`throws ${name}`, fate, thrown(make)] as const),
  ...Object.entries(OTHER).map(([name, [fate, deed]]) => [name, fate, deed] as const),
  ...hostileDeeds,
];

/** By the name that a message gives as its `deed`. */
export const DEEDS: ReadonlyMap<string, Deed> = new Map(all.map(([name, , deed]) => [name, deed]));

/** Messages that are fine, over which the handler does what nobody would think of. */
export function deeds(): CorpusEntry[] {
  return all.map(([name, fate], number) => ({
    name: `a handler that ${name}`,
    fate,
    make: () => ({ key: `key-${number % 100}`, value: goodValue(CANARY, { deed: name }) }),
  }));
}
