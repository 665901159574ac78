"use strict";
// Starts the Firestore emulator of npm: `node main.js PORT`.
//
// Writes that ask for a document to exist, or to have a certain time, are refused as Google's
// emulator refuses them; the package itself writes.

const { status } = require("@grpc/grpc-js");
const { FirestoreServer, FirestoreState } = require("@firestore-emulator/server");

// The only errors that it sends with their code are of a class that it does not export.
function refusal() {
  const missing = "projects/p/databases/(default)/documents/c/d";
  const expected = { has_exists: true, exists: true };
  const change = { has_delete: true, delete: missing, has_current_document: true, current_document: expected };
  try {
    new FirestoreState().writeV1Document(new Date(), change);
  } catch (error) {
    return error.constructor;
  }
}

const Refused = refusal();

function check(state, change) {
  if (!change.has_current_document) return;
  const expected = change.current_document;
  const name = change.has_update ? change.update.name : change.delete;
  const found = state.getDocument(name);
  if (expected.has_exists && expected.exists && !found.metadata.hasExist) {
    throw new Refused(status.NOT_FOUND, `No document to update: ${name}`);
  }
  if (expected.has_update_time) {
    const have = found.metadata.hasExist ? found.toV1DocumentObject().update_time : {};
    const want = expected.update_time;
    if (Number(have.seconds) !== Number(want.seconds) || have.nanos !== want.nanos) {
      throw new Refused(status.FAILED_PRECONDITION, `the stored version of ${name} is another one`);
    }
  }
}

const server = new FirestoreServer();
const write = server.state.writeV1Document.bind(server.state);
server.state.writeV1Document = (date, change) => {
  check(server.state, change);
  return write(date, change);
};
server.start(Number(process.argv[2])).catch((error) => {
  console.error(`[firestore] ${error.message}`);
  process.exit(1);
});
