// Who may import whom in lib: core <- operators, brokers/*, stores/* <- testing, nestjs, cli.

/** Whoever is in `from` imports nothing of ours but `to`. */
const only = (name, from, to, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: '^(lib|spec|examples|bench|scripts)/', pathNot: to },
});

const npm = (name, from, packages, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { dependencyTypes: ['npm', 'npm-dev', 'npm-peer', 'npm-optional', 'npm-no-pkg', 'unknown'], pathNot: packages },
});

const rxjs = '(^|/)node_modules/rxjs/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    only('core-imports-core', '^lib/core/', '^lib/core/', 'The core knows nobody.'),
    only('operators-import-core', '^lib/operators/', '^lib/(core|operators)/', 'Operators know the core alone.'),
    only(
      'a-broker-imports-core',
      '^lib/brokers/([^/]+)/',
      '^lib/(core/|brokers/$1/)',
      'A broker knows the core and its own folder.',
    ),
    only(
      'a-store-imports-core',
      '^lib/stores/([^/]+)/',
      '^lib/(core/|stores/$1/)',
      'A store knows the core and its own folder.',
    ),
    npm('core-and-operators-import-rxjs', '^lib/(core|operators)/', rxjs, 'And no other package.'),
    npm('memory-imports-rxjs', '^lib/(brokers|stores)/memory/', rxjs, 'The embedded broker has no other package.'),
    npm('testing-imports-rxjs', '^lib/testing/', rxjs, 'And no test runner.'),
    only(
      'testing-knows-no-server',
      '^lib/testing/',
      '^lib/(core|operators|testing|(brokers|stores)/memory)/',
      'Loading ./testing pulls in no broker client.',
    ),
    {
      name: 'nobody-imports-the-top',
      comment: 'testing, nestjs and cli stand on top of everything.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(testing|nestjs|cli)(/|\\.ts$)|^lib/api\\.ts$' },
      to: { path: '^lib/(testing|nestjs|cli)/' },
    },
    {
      name: 'the-top-parts-are-apart',
      severity: 'error',
      from: { path: '^lib/(testing|nestjs|cli)/' },
      to: { path: '^lib/(testing|nestjs|cli)/', pathNot: '^lib/$1/' },
    },
    {
      name: 'the-root-imports-no-broker',
      comment: 'Root and ./broker pull in no broker, no store.',
      severity: 'error',
      from: { path: '^lib/(index|broker)\\.ts$' },
      to: { path: '^lib/(brokers|stores)/', reachable: true },
    },
    {
      name: 'nobody-imports-an-entry',
      comment: 'Entries are for users; lib/api.ts is the private barrel of the API report.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/api\\.ts$' },
      to: { path: '^lib/[^/]+\\.ts$' },
    },
    {
      name: 'lib-imports-only-lib',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(spec|examples|bench|scripts)/' },
    },
    {
      name: 'no-dev-dependency',
      comment: 'What lib imports is installed with it: a peer, required or optional.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm-peer'] },
    },
    {
      name: 'no-node-built-in',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/cli/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-circular',
      comment: 'At run time; cycles of types alone are fine.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      // `node` is the types package, named by a reference in the Kafka adapter.
      to: { couldNotResolve: true, pathNot: '^node$' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.json'],
    },
  },
};
