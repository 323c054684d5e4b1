const boom = (what: string): never => {
  throw new Error(`${what} was asked`);
};

const withGetter = (property: PropertyKey, of: object = new Error('m')): object =>
  Object.defineProperty(of, property, { get: () => boom(String(property)) });

/** Things that may be thrown, or handed in, and that throw themselves where they are looked at; made anew each time. */
export function hostile(): Readonly<Record<string, () => object>> {
  const traps: ProxyHandler<object> = {
    get: () => boom('a property'),
    has: () => boom('a property'),
    set: () => boom('a property'),
    ownKeys: () => boom('the keys'),
    getPrototypeOf: () => boom('the prototype'),
    getOwnPropertyDescriptor: () => boom('a descriptor'),
    defineProperty: () => boom('a definition'),
    isExtensible: () => boom('an extension'),
  };
  const getters = ['cause', 'name', 'code', 'message', 'stack', 'constructor', 'errors', 'syscall', 'then'];
  return {
    ...Object.fromEntries(getters.map((each) => [`an error whose ${each} throws`, () => withGetter(each)])),
    'an error whose tag throws': () => withGetter(Symbol.toStringTag),
    'an error whose marks throw': () =>
      withGetter(Symbol.for('rxsluice.failure'), withGetter(Symbol.for('rxsluice.error'))),
    'an object that cannot become text': () => ({ toString: () => boom('its text'), valueOf: () => boom('its value') }),
    'an object without a prototype': () => Object.create(null) as object,
    'a Proxy whose traps all throw': () => new Proxy({}, traps),
    'a Proxy of an error': () => new Proxy(new Error('m'), traps),
    'a Proxy of an array': () => new Proxy([], traps),
    'a Proxy that is revoked': () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
    'an error with errors that throw': () => Object.assign(new Error('m'), { errors: new Proxy([], traps) }),
    'an error whose cause is hostile': () => new Error('m', { cause: new Proxy({}, traps) }),
    'an error whose causes never end': () => endless(),
  };
}

function endless(): Error {
  return Object.defineProperty(new Error('m'), 'cause', { get: () => endless() });
}
