import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import rxjsX from 'eslint-plugin-rxjs-x';
import tsdoc from 'eslint-plugin-tsdoc';
import tseslint from 'typescript-eslint';

// House rules that a tool can see; CONTRIBUTING.md has them in words.

const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'requestAnimationFrame'];
const throughRxjs = 'Time goes through RxJS schedulers or core/environment.ts, so that virtual time holds.';
const throughEnvironment = 'Goes through core/environment.ts.';
const noPromise = 'No Promise in core and operators: Observables, or the PromiseLike that a user gave.';

/** What no TypeScript here may write. */
const everywhere = [
  { selector: 'ExportDefaultDeclaration', message: 'No default exports.' },
  { selector: 'TSEnumDeclaration', message: 'No enums: a union of strings.' },
];

/** What `lib` as a whole may not write. */
const shape = [
  ...everywhere,
  {
    selector: ':matches(ClassDeclaration, ClassExpression)[superClass!=null]:not([superClass.name="Error"])',
    message: 'No inheritance but from Error: compose.',
  },
  { selector: 'ImportExpression', message: 'No dynamic import: one instance, one graph.' },
  {
    selector:
      'Program > :not(ImportDeclaration, VariableDeclaration, FunctionDeclaration, ClassDeclaration, [type=/^(Export|TS)/])',
    message: 'Importing does nothing: no statement at module scope that acts.',
  },
];
/** What users hand in and throw may be of another realm, and a Proxy may throw where it is asked for its prototype. */
const realmless = {
  selector: 'BinaryExpression[operator="instanceof"]',
  message: 'Tells the classes of this realm alone: isError, isBytes, isDate; isInstance for a class of our own.',
};
const kinds = {
  selector: 'TemplateLiteral > UnaryExpression[operator="typeof"]',
  message: 'kindOf names it with its article: an object, a string, undefined.',
};
const namedExports = { selector: 'ExportAllDeclaration', message: 'Public is explicit: list every name.' };

/** The compiler's lib is the DOM's, for these alone: they are in Node, browsers, Bun and Deno alike. */
const platform = [
  'AbortController',
  'AbortSignal',
  'TextDecoder',
  'TextEncoder',
  'atob',
  'btoa',
  'console',
  'performance',
];

/** What core and operators may not write on top of that. */
const pure = [
  { selector: ':function[async=true]', message: noPromise },
  { selector: 'AwaitExpression', message: noPromise },
  { selector: 'ForOfStatement[await=true]', message: noPromise },
  { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: throughEnvironment },
  { selector: 'CallExpression[callee.name="Date"]', message: throughEnvironment },
];

export default defineConfig(
  globalIgnores(['dist/', 'temp/', 'coverage/', 'etc/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        console: 'readonly',
        module: 'writable',
        process: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
      },
    },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Our ports are objects of closures; what a user gives is called on its object.
      '@typescript-eslint/unbound-method': 'off',
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', ...everywhere],
    },
  },
  {
    // Here code is written as a user writes it, and things are done wrong on purpose.
    files: ['{spec,examples,bench,scripts}/**/*.ts'],
    rules: {
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['spec/types/**/*.ts', 'scripts/consumer/**/*.ts'],
    rules: { '@typescript-eslint/no-unsafe-member-access': 'off', '@typescript-eslint/no-unsafe-return': 'off' },
  },
  {
    files: ['lib/**/*.ts'],
    plugins: { 'rxjs-x': rxjsX, tsdoc },
    languageOptions: {
      globals: Object.fromEntries(platform.map((name) => [name, 'readonly'])),
      parserOptions: { lib: ['es2022'] },
    },
    rules: {
      'no-undef': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      'max-lines': ['error', 400],
      'no-console': 'error',
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: `^(node:.*|(${builtinModules.join('|')})(/.*)?)$`, message: 'lib uses no Node built-in.' },
          ],
        },
      ],
      'no-restricted-syntax': ['error', ...shape, realmless, kinds, namedExports],
      'tsdoc/syntax': 'error',

      'rxjs-x/no-exposed-subjects': 'error',
      'rxjs-x/no-finnish': 'error',
      'rxjs-x/no-floating-observables': 'error',
      'rxjs-x/no-ignored-error': 'error',
      'rxjs-x/no-ignored-subscribe': 'error',
      'rxjs-x/no-internal': 'error',
      'rxjs-x/no-misused-observables': 'error',
      'rxjs-x/no-nested-subscribe': 'error',
      'rxjs-x/no-redundant-notify': 'error',
      'rxjs-x/no-subclass': 'error',
      'rxjs-x/no-subject-unsubscribe': 'error',
      'rxjs-x/no-topromise': 'error',
      'rxjs-x/no-unsafe-takeuntil': 'error',
      'rxjs-x/prefer-root-operators': 'error',
    },
  },
  {
    files: ['lib/core/**/*.ts', 'lib/operators/**/*.ts'],
    ignores: ['lib/core/environment.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...shape, realmless, kinds, namedExports, ...pure],
      'no-restricted-globals': [
        'error',
        { name: 'Promise', message: noPromise },
        { name: 'console', message: 'Observability is an input: the telemetry port.' },
        { name: 'performance', message: throughEnvironment },
        ...timers.map((name) => ({ name, message: throughRxjs })),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: throughEnvironment },
        { object: 'Math', property: 'random', message: throughEnvironment },
        ...['globalThis', 'self', 'window'].flatMap((object) =>
          ['Promise', 'console', 'performance', ...timers].map((property) => ({
            object,
            property,
            message: throughEnvironment,
          })),
        ),
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { name: 'rxjs', importNames: ['firstValueFrom', 'lastValueFrom'], message: noPromise },
      ],
    },
  },
  {
    // The one place that knows of realms, and of articles.
    files: ['lib/core/is-*.ts', 'lib/core/kind-of.ts'],
    rules: { 'no-restricted-syntax': ['error', ...shape, namedExports, ...pure] },
  },
  {
    // kafkajs runs on Node alone, and takes Buffers.
    files: ['lib/brokers/kafka/**/*.ts'],
    languageOptions: { globals: { Buffer: 'readonly' } },
  },
  {
    // pg runs on servers alone; all of them have it.
    files: ['lib/stores/postgres/**/*.ts'],
    languageOptions: {
      globals: { crypto: 'readonly', Buffer: 'readonly', setTimeout: 'readonly', clearTimeout: 'readonly' },
    },
  },
  {
    files: ['lib/core/environment.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    // It alone may re-export whole files: a private barrel, for the API report.
    files: ['lib/api.ts'],
    rules: { 'no-restricted-syntax': ['error', ...shape, realmless, kinds] },
  },
  {
    // An error that ends a pipeline is reported as RxJS reports any unhandled one.
    files: ['lib/operators/run.ts'],
    rules: { 'rxjs-x/no-ignored-error': 'off', 'rxjs-x/no-ignored-subscribe': 'off' },
  },
);
