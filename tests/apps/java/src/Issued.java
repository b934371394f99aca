import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** What a scenario issued to PostgreSQL: counted by who issues it, printed as one line of JSON. */
final class Issued {
    private final String scenario;
    /** By the name in the text; by the operation for a statement without one. */
    private final Map<String, Integer> executions = new TreeMap<>();
    /** By SQLSTATE. */
    private final Map<String, Integer> errors = new TreeMap<>();
    private int rows;
    private int commits;
    /** On request. */
    int rollbacks;
    /** Because of an error. */
    int failed;
    int connections;
    /**
     * Commits of the server's statistics that are none: Syncs after which nothing had run; null
     * where their number is the server's chance.
     */
    Integer idle = 0;

    Issued(String scenario) {
        this.scenario = scenario;
    }

    /** Statements of this name ended well, with so many rows in all. */
    void ran(String what, int times, int moreRows, int moreCommits) {
        executions.merge(what, times, Integer::sum);
        rows += moreRows;
        commits += moreCommits;
    }

    /** A statement of this name ended with an error. */
    void broke(String what, String sqlstate) {
        executions.merge(what, 1, Integer::sum);
        refused(sqlstate);
    }

    /** An error before anything ran. */
    void refused(String sqlstate) {
        errors.merge(sqlstate, 1, Integer::sum);
    }

    /** A statement with its name in it, as sqlc writes them. */
    static String named(String name, String text) {
        return "-- name: " + name + " :many\n" + text;
    }

    /** Names and SQLSTATEs need no escapes. */
    String line() {
        return String.format(
                "{\"scenario\":\"%s\",\"executions\":%s,\"errors\":%s,\"rows\":%d,\"commits\":%d,"
                        + "\"rollbacks\":%d,\"failed\":%d,\"connections\":%d,\"idle\":%s}",
                scenario, json(executions), json(errors), rows, commits, rollbacks, failed,
                connections, idle);
    }

    private static String json(Map<String, Integer> counts) {
        return counts.entrySet().stream()
                .map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue())
                .collect(Collectors.joining(",", "{", "}"));
    }
}
