// Stand-in for Prisma's client: needs `prisma generate` first and tables in the database.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const file = path.join(__dirname, '..', '..', '.prisma', 'client', 'schema.json');

class PrismaClient {
  constructor() {
    if (!fs.existsSync(file)) {
      throw new Error('@prisma/client did not initialize yet. Please run "prisma generate" and try to import it again.');
    }
    this.path = JSON.parse(fs.readFileSync(file, 'utf8')).database;
  }

  open(table) {
    const { DatabaseSync } = require('node:sqlite');
    if (!fs.existsSync(this.path)) throw new Error(`Unable to open the database file: ${this.path}`);
    const connection = new DatabaseSync(this.path);
    const found = connection.prepare("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?").get(table);
    if (!found) {
      connection.close();
      throw new Error(`The table \`main.${table}\` does not exist in the current database.`);
    }
    return connection;
  }

  rows(table) {
    const connection = this.open(table);
    try {
      return connection.prepare(`SELECT * FROM "${table}"`).all();
    } finally {
      connection.close();
    }
  }

  put(key, value) {
    const connection = this.open('Settings');
    try {
      connection.prepare('INSERT INTO "Settings" ("key", "value") VALUES (?, ?) ON CONFLICT("key") DO UPDATE SET "value" = excluded."value"').run(key, value);
    } finally {
      connection.close();
    }
  }
}

module.exports = { PrismaClient };
