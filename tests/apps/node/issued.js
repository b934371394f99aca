// What a scenario issued to PostgreSQL: counted by who issues it, printed as one line of JSON.
"use strict";

class Issued {
  constructor(scenario) {
    this.scenario = scenario;
    // By the name in the text; by the operation for a statement without one.
    this.executions = {};
    this.rows = 0;
    // By SQLSTATE.
    this.errors = {};
    this.commits = 0;
    // On request, and because of an error.
    this.rollbacks = 0;
    this.failed = 0;
    this.connections = 0;
    // Commits of the server's statistics that are none: Syncs after which nothing had run.
    this.idle = 0;
  }

  // Statements of this name ended well, with so many rows in all.
  ran(what, { times = 1, rows = 0, commits = 0 } = {}) {
    this.executions[what] = (this.executions[what] ?? 0) + times;
    this.rows += rows;
    this.commits += commits;
  }

  // A statement of this name ended with an error, and so did its transaction.
  broke(what, sqlstate, { failed = 1 } = {}) {
    this.executions[what] = (this.executions[what] ?? 0) + 1;
    this.refused(sqlstate, { failed });
  }

  // An error before anything ran.
  refused(sqlstate, { failed = 1 } = {}) {
    this.errors[sqlstate] = (this.errors[sqlstate] ?? 0) + 1;
    this.failed += failed;
  }
}

// A statement with its name in it, as sqlc writes them.
const named = (name, text) => `-- name: ${name} :many\n${text}`;

module.exports = { Issued, named };
