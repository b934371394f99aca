"""What a scenario issued to PostgreSQL: counted by who issues it, printed as one line of JSON."""

import collections
import json
import sys


class Issued:
    """A scenario's tally; its fields are the keys of its line."""

    def __init__(self):
        # By the name in the text; by the operation for a statement without one.
        self.executions = collections.Counter()
        self.rows = 0
        # By SQLSTATE.
        self.errors = collections.Counter()
        self.commits = 0
        # On request, and because of an error.
        self.rollbacks = 0
        self.failed = 0
        self.connections = 0
        # Commits of the server's statistics that are none: Syncs after which nothing had run.
        self.idle = 0

    def ran(self, what, times=1, rows=0, commits=0):
        """Statements of this name ended well, with so many rows in all."""
        self.executions[what] += times
        self.rows += rows
        self.commits += commits

    def broke(self, what, sqlstate, failed=1):
        """A statement of this name ended with an error, and so did its transaction."""
        self.executions[what] += 1
        self.errors[sqlstate] += 1
        self.failed += failed


def named(name, text):
    """A statement with its name in it, as sqlc writes them."""
    return f"-- name: {name} :many\n{text}"


def scenarios(known):
    """Those that the command line names, each with its tally; its line follows when it is over."""
    for name in sys.argv[2:]:
        issued = Issued()
        yield known[name], name, issued
        print(json.dumps({"scenario": name, **vars(issued)}), flush=True)


def address():
    """Host and port from the command line."""
    host, port = sys.argv[1].rsplit(":", 1)
    return host, int(port)
