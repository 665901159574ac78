#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
// Stand-in for Prisma's command line: `generate` writes the client, `db push` creates the tables.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

function fail(message) {
  console.error(message);
  process.exit(1);
}

function schema() {
  const file = path.resolve('prisma', 'schema.prisma');
  if (!fs.existsSync(file)) fail('Error: Could not find Prisma Schema that is required for this command.');
  const text = fs.readFileSync(file, 'utf8');
  const url = /url\s*=\s*"file:([^"]+)"/.exec(text);
  if (!url) fail('Error: the lab knows SQLite files alone.');
  const models = [...text.matchAll(/^model (\w+) \{([^}]*)\}/gm)].map(([, name, body]) => ({
    name,
    columns: body.split('\n').map((line) => line.trim().split(/\s+/)).filter((words) => words.length > 1),
  }));
  return { database: path.resolve(path.dirname(file), url[1]), models };
}

function column([name, type, ...attributes]) {
  const sql = type.startsWith('Int') ? 'INTEGER' : 'TEXT';
  const rest = attributes.join(' ');
  const key = rest.includes('@id') ? ' PRIMARY KEY' : '';
  const unique = rest.includes('@unique') ? ' UNIQUE' : '';
  const value = /@default\("([^"]*)"\)/.exec(rest);
  return `"${name}" ${sql}${key}${unique}${value ? ` DEFAULT '${value[1]}'` : ''}`;
}

function generate() {
  const { database, models } = schema();
  const folder = path.resolve('node_modules', '.prisma', 'client');
  fs.mkdirSync(folder, { recursive: true });
  const text = JSON.stringify({ database, models: models.map((model) => model.name) });
  fs.writeFileSync(path.join(folder, 'schema.json'), text);
  console.log('✔ Generated Prisma Client (v6.3.1, lab stand-in) to ./node_modules/@prisma/client');
}

function push() {
  const { DatabaseSync } = require('node:sqlite');
  const { database, models } = schema();
  let connection;
  try {
    connection = new DatabaseSync(database);
    for (const { name, columns } of models) {
      connection.exec(`CREATE TABLE IF NOT EXISTS "${name}" (${columns.map(column).join(', ')})`);
    }
  } catch (error) {
    fail(`Error: Schema engine error:\nSQLite database error\n${error.message} in ${database}`);
  }
  connection.close();
  console.log(`🚀  Your database is now in sync with your Prisma schema: ${database}`);
}

const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
if (words[0] === 'generate') generate();
else if (words[0] === 'db' && words[1] === 'push') {
  push();
  if (!process.argv.includes('--skip-generate')) generate();
} else if (process.argv.includes('--version')) console.log('prisma : 6.3.1 (lab stand-in)');
else fail(`Error: not in the lab: prisma ${process.argv.slice(2).join(' ')}`);
