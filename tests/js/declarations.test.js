/** The hand-written types say what the modules have, no less and no more. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import ts from 'typescript';
import * as client from '../../static/events/client.js';
import * as context from '../../static/events/sse-context.js';

const STATIC = new URL('../../static/events/', import.meta.url);

function declarationsOf(name) {
  const source = ts.createSourceFile(name, readFileSync(new URL(name, STATIC), 'utf8'), ts.ScriptTarget.Latest);
  return source.statements;
}

/** The names of what exists when the code runs: classes, functions, constants. */
function valuesOf(name) {
  return declarationsOf(name).flatMap((statement) => {
    if (ts.isClassDeclaration(statement) || ts.isFunctionDeclaration(statement)) return [statement.name.text];
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map((one) => one.name.text);
    return [];
  });
}

test('client.d.ts declares what client.js exports', () => {
  assert.deepEqual(valuesOf('client.d.ts').sort(), Object.keys(client).sort());
});

test('sse-context.d.ts declares what sse-context.js exports', () => {
  assert.deepEqual(valuesOf('sse-context.d.ts').sort(), Object.keys(context).sort());
});

test('client.d.ts declares the public members that EventStream has', () => {
  const { members } = declarationsOf('client.d.ts').find(ts.isClassDeclaration);
  const declared = members.map((member) => member.name?.text ?? 'constructor');
  assert.deepEqual(declared.sort(), Object.getOwnPropertyNames(client.EventStream.prototype).sort());
});

test('ConnectionStats declares what getConnectionStats gives', () => {
  const stats = declarationsOf('client.d.ts').find((one) => ts.isInterfaceDeclaration(one) && one.name.text === 'ConnectionStats');
  const declared = stats.members.map((member) => member.name.text);
  assert.deepEqual(declared.sort(), Object.keys(new client.EventStream().getConnectionStats()).sort());
});

test('no comment holds an import, which Django\'s manifest storage would follow, in a circle even', () => {
  for (const name of readdirSync(STATIC).filter((file) => file.endsWith('.js'))) {
    assert.doesNotMatch(readFileSync(new URL(name, STATIC), 'utf8'), /^\s*(\/?\*|\/\/).*\bimport\b.*['"]/m, name);
  }
});
