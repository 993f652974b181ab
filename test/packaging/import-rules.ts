import { posix } from 'node:path';
import { parseSync, type Program, Visitor } from 'oxc-parser';
import {
  GUARDED_CALLS,
  LAYERS,
  OPEN_TO_ALL,
  OUTSIDE,
  PACKAGES,
  PURE_FILES,
  PURE_IMPORTS,
  PURE_LAYERS,
  WRITE_SIDE,
} from './import-directions.ts';

/** One file of src/, by its path below src/. */
export interface SourceFile {
  readonly path: string;
  readonly source: string;
}

interface Import {
  readonly from: string;
  /** Undefined: everything, or for its side effects. */
  readonly name: string | undefined;
  readonly isType: boolean;
}

/** The rules that `file` breaks, one line each; none when all is well. */
export function brokenRules(file: SourceFile): string[] {
  const { program, imports, problems } = read(file);
  const broken = [
    ...problems,
    ...imports.flatMap(one => importRules(file.path, one).map(rule => `imports ${one.from}: ${rule}`)),
    ...(onlyComputes(file.path)
      ? impurities(program).map(what => `${what}: core and pure files only compute`)
      : []),
    ...(file.path === GUARDED_CALLS.openTo ? [] : guardedCalls(program)),
  ];
  return [...new Set(broken)].map(rule => `${file.path} ${rule}`);
}

function importRules(path: string, one: Import): string[] {
  if (one.from.startsWith('.')) return relativeRules(path, one);
  if (onlyComputes(path) && !one.isType && !isPureImport(path, one))
    return ['core and pure files use no package'];
  return one.from.startsWith('node:') ? [] : packageRules(path, one.from);
}

function isPureImport(path: string, { from, name }: Import): boolean {
  return PURE_IMPORTS.some(pure => pure.by === path && pure.from === from && pure.name === name);
}

function packageRules(path: string, specifier: string): string[] {
  const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  const owned = PACKAGES.find(
    one => one.name === name || (one.name.endsWith('/*') && name.startsWith(one.name.slice(0, -1))),
  );
  if (owned === undefined) return [`${name} has no owner in PACKAGES`];
  if (owned.owners.some(owner => isIn(path, owner))) return [];
  return [`${owned.name} belongs to ${owned.owners.join(', ')}`];
}

function relativeRules(path: string, { from, name, isType }: Import): string[] {
  const target = posix.join(posix.dirname(path), from);
  if (target.startsWith('..')) {
    return target === OUTSIDE.file && path === OUTSIDE.readBy ? [] : ['src/ imports nothing outside of it'];
  }
  return [
    ...layerRules(path, target, isType),
    ...(isPure(path) && !isType && !isOpenToPure(target)
      ? [`pure files use ${PURE_LAYERS.join(', ')} and types`]
      : []),
    ...(isWriteSide(target, name) && !WRITE_SIDE.openTo.some(folder => isIn(path, folder))
      ? [`only ${WRITE_SIDE.openTo.join(', ')} may write to Consul`]
      : []),
  ];
}

function layerRules(path: string, target: string, isType: boolean): string[] {
  const [from, to] = [layerOf(path), layerOf(target)];
  if (target === OPEN_TO_ALL) return [];
  if (from === to) {
    const isOther = from === 'reconcilers' && path.split('/')[1] !== target.split('/')[1];
    return isOther ? ['reconcilers do not know each other'] : [];
  }
  const layer = LAYERS.find(one => one.name === from);
  if (layer === undefined) return [`${from}/ is no layer of LAYERS`];
  if (layer.uses.includes(to)) return [];
  if (layer.knows?.includes(to) === true) return isType ? [] : [`${from} knows only the types of ${to}`];
  return [`${from} -> ${layer.uses.join(', ') || 'nothing'}`];
}

function layerOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] ?? '') : 'main';
}

function isIn(path: string, owner: string): boolean {
  return owner === 'main/'
    ? layerOf(path) === 'main'
    : owner.endsWith('/')
      ? path.startsWith(owner)
      : path === owner;
}

function isPure(path: string): boolean {
  return PURE_FILES.some(pattern => posix.matchesGlob(path, pattern));
}

function onlyComputes(path: string): boolean {
  return isPure(path) || layerOf(path) === 'core';
}

function isOpenToPure(target: string): boolean {
  return isPure(target) || PURE_LAYERS.includes(layerOf(target));
}

function isWriteSide(target: string, name: string | undefined): boolean {
  // A namespace import could reach every name there is.
  return (
    target.startsWith(WRITE_SIDE.of) && (name === undefined || WRITE_SIDE.names.some(one => one === name))
  );
}

/** Every way there is to import: statically, re-exporting, `import()`, and as a type. */
function read({ path, source }: SourceFile): { program: Program; imports: Import[]; problems: string[] } {
  const { program, module, errors } = parseSync(path, source);
  if (errors.length > 0) return { program, imports: [], problems: [`does not parse: ${errors[0]?.message}`] };
  const imports: Import[] = [];
  const problems: string[] = [];
  for (const { moduleRequest, entries } of module.staticImports) {
    if (entries.length === 0) imports.push({ from: moduleRequest.value, name: undefined, isType: false });
    for (const { importName, isType } of entries) {
      imports.push({ from: moduleRequest.value, name: importName.name ?? undefined, isType });
    }
  }
  for (const { moduleRequest, importName, isType } of module.staticExports.flatMap(
    ({ entries }) => entries,
  )) {
    if (moduleRequest)
      imports.push({ from: moduleRequest.value, name: importName.name ?? undefined, isType });
  }
  new Visitor({
    ImportExpression: ({ source: from }) => {
      if (from.type === 'Literal') imports.push({ from: String(from.value), name: undefined, isType: false });
      else problems.push('imports what only shows at run time');
    },
    TSImportType: ({ source: from }) => {
      imports.push({ from: from.value, name: undefined, isType: true });
    },
  }).visit(program);
  return { program, imports, problems };
}

/** `….configEntries.put` and the like, called or handed on. */
function guardedCalls(program: Program): string[] {
  const found: string[] = [];
  const { of, verbs, openTo } = GUARDED_CALLS;
  new Visitor({
    MemberExpression: ({ object, property }) => {
      if (object.type !== 'MemberExpression' || property.type !== 'Identifier') return;
      if (object.property.type !== 'Identifier' || object.property.name !== of) return;
      if (verbs.some(verb => verb === property.name))
        found.push(`uses ${of}.${property.name}: only ${openTo} may`);
    },
  }).visit(program);
  return found;
}

const IMPURE_GLOBALS: ReadonlySet<string> = new Set([
  'console',
  'crypto',
  'fetch',
  'performance',
  'process',
  'Promise',
  'queueMicrotask',
  'setImmediate',
  'setInterval',
  'setTimeout',
]);
const IMPURE_MEMBERS: ReadonlySet<string> = new Set(['Date.now', 'Math.random']);

/** What a program does beyond computing a result from its arguments. */
function impurities(program: Program): string[] {
  const found: string[] = [];
  const asyncFunction = ({ async: isAsync }: { async: boolean }) => void (isAsync && found.push('is async'));
  new Visitor({
    FunctionDeclaration: asyncFunction,
    FunctionExpression: asyncFunction,
    ArrowFunctionExpression: asyncFunction,
    AwaitExpression: () => void found.push('is async'),
    NewExpression: ({ callee, arguments: given }) => {
      if (callee.type === 'Identifier' && callee.name === 'Date' && given.length === 0)
        found.push('reads the clock');
    },
    MemberExpression: ({ object, property }) => {
      if (object.type !== 'Identifier' || property.type !== 'Identifier') return;
      const member = `${object.name}.${property.name}`;
      if (IMPURE_MEMBERS.has(member)) found.push(`uses ${member}`);
      if (IMPURE_GLOBALS.has(object.name)) found.push(`uses ${object.name}`);
    },
    CallExpression: ({ callee }) => {
      if (callee.type === 'Identifier' && IMPURE_GLOBALS.has(callee.name)) found.push(`uses ${callee.name}`);
    },
  }).visit(program);
  return found;
}
