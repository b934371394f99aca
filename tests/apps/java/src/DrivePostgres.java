import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/** Drives PostgreSQL with pgjdbc: each scenario in the database of its name. */
final class DrivePostgres {
    /** Opens connections to the scenario's database; options are in pairs. */
    private interface Dialer {
        Connection open(String... options) throws SQLException;
    }

    private interface Scenario {
        void play(Dialer dialer, Issued issued) throws Exception;
    }

    private interface Attempt {
        void run() throws Exception;
    }

    private static final Map<String, Scenario> SCENARIOS = Map.ofEntries(
            Map.entry("simple", DrivePostgres::simple),
            Map.entry("unnamed", DrivePostgres::unnamed),
            Map.entry("prepared", DrivePostgres::prepared),
            Map.entry("cache", DrivePostgres::cache),
            Map.entry("batch", DrivePostgres::batch),
            Map.entry("cursor", DrivePostgres::cursor),
            Map.entry("copy", DrivePostgres::copy),
            Map.entry("notify", DrivePostgres::listen),
            Map.entry("skipped", DrivePostgres::skipped),
            Map.entry("notice", DrivePostgres::notice),
            Map.entry("large", DrivePostgres::large),
            Map.entry("large_object", DrivePostgres::largeObject),
            Map.entry("cancel", DrivePostgres::cancel),
            Map.entry("scram", DrivePostgres::scram),
            Map.entry("transactions", DrivePostgres::transactions),
            Map.entry("fastpath", DrivePostgres::fastpath));

    private DrivePostgres() {}

    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        for (int index = 1; index < arguments.length; index++) {
            String name = arguments[index];
            Issued issued = new Issued(name);
            List<Connection> opened = new ArrayList<>();
            Dialer dialer = options -> {
                Properties properties = new Properties();
                properties.setProperty("user", "postgres");
                properties.setProperty("sslmode", "disable");
                properties.setProperty("gssEncMode", "disable");
                for (int at = 0; at < options.length; at += 2) {
                    properties.setProperty(options[at], options[at + 1]);
                }
                String url = "jdbc:postgresql://" + address + "/" + name;
                Connection connection = DriverManager.getConnection(url, properties);
                opened.add(connection);
                // SET extra_float_digits = 3, as its first statement.
                issued.ran("SET", 1, 0, 1);
                return connection;
            };
            SCENARIOS.get(name).play(dialer, issued);
            for (Connection connection : opened) {
                connection.close();
            }
            issued.connections = opened.size();
            System.out.println(issued.line());
        }
    }

    private static void simple(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open("preferQueryMode", "simple");
        for (int number = 0; number < 10; number++) {
            query(connection, Issued.named("Simple", "SELECT ?, 'it''s; one'"), number);
        }
        issued.ran("Simple", 10, 10, 10);
        run(connection, "SELECT 1; SELECT generate_series(1, 5); SET work_mem = '4MB'");
        issued.ran("SELECT", 2, 6, 0);
        issued.ran("SET", 1, 0, 1);
    }

    private static void unnamed(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open("prepareThreshold", "0");
        for (int number = 0; number < 10; number++) {
            query(connection, Issued.named("Unnamed", "SELECT generate_series(1, ?::int)"), number);
        }
        issued.ran("Unnamed", 10, 45, 10);
    }

    private static void prepared(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open("prepareThreshold", "1");
        String text = Issued.named("Named", "SELECT generate_series(1, ?::int)");
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            for (int number = 0; number < 10; number++) {
                statement.setInt(1, number);
                drain(statement.executeQuery());
            }
        }
        issued.ran("Named", 10, 45, 10);
    }

    /** The server prepares a text at its third use; two texts have room. */
    private static void cache(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open(
                "prepareThreshold", "3", "preparedStatementCacheQueries", "2");
        for (int round = 0; round < 5; round++) {
            for (int kind = 0; kind < 5; kind++) {
                String name = "Cache" + kind;
                query(connection, Issued.named(name, "SELECT " + kind + ", ?::int"), kind);
                issued.ran(name, 1, 1, 1);
            }
        }
        for (int round = 0; round < 5; round++) {
            query(connection, Issued.named("Kept", "SELECT 1, ?::int"), 1);
        }
        issued.ran("Kept", 5, 5, 5);
    }

    private static void batch(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        connection.setAutoCommit(false);
        String text = Issued.named("Batch", "INSERT INTO orders (status) VALUES (?)");
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            for (int number = 0; number < 1000; number++) {
                statement.setString(1, "new");
                statement.addBatch();
            }
            statement.executeBatch();
        }
        connection.commit();
        issued.ran("BEGIN", 1, 0, 0);
        issued.ran("Batch", 1000, 1000, 0);
        issued.ran("COMMIT", 1, 0, 1);
    }

    /** A portal with a limit of rows, fetched from three times. */
    private static void cursor(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        connection.setAutoCommit(false);
        String text = Issued.named("Part", "SELECT generate_series(1, 25)");
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            statement.setFetchSize(10);
            drain(statement.executeQuery());
        }
        connection.commit();
        issued.ran("BEGIN", 1, 0, 0);
        issued.ran("Part", 1, 25, 0);
        issued.ran("COMMIT", 1, 0, 1);
    }

    private static void copy(Dialer dialer, Issued issued) throws Exception {
        CopyManager copies = dialer.open().unwrap(PGConnection.class).getCopyAPI();
        StringBuilder text = new StringBuilder();
        for (int number = 0; number < 2000; number++) {
            text.append("status ").append(number).append('\n');
        }
        copies.copyIn("COPY orders (status) FROM STDIN", new StringReader(text.toString()));
        copies.copyOut("COPY orders TO STDOUT", new StringWriter());
        issued.ran("COPY", 2, 4000, 2);
        StringReader broken = new StringReader("no number\n");
        state("22P02", () -> copies.copyIn("COPY orders (order_id) FROM STDIN", broken));
        issued.broke("COPY", "22P02");
        issued.failed++;
    }

    private static void listen(Dialer dialer, Issued issued) throws SQLException {
        Connection listener = dialer.open();
        Connection speaker = dialer.open();
        run(listener, "LISTEN orders");
        for (int number = 0; number < 5; number++) {
            run(speaker, "NOTIFY orders, 'jo@example.com'");
        }
        for (int heard = 0; heard < 5; ) {
            heard += listener.unwrap(PGConnection.class).getNotifications(10_000).length;
        }
        query(listener, Issued.named("Heard", "SELECT 1"));
        issued.ran("LISTEN", 1, 0, 1);
        issued.ran("NOTIFY", 5, 0, 5);
        issued.ran("Heard", 1, 1, 1);
        // What wakes a listener's server process is a transaction in its statistics, or several
        // are.
        issued.idle = null;
    }

    private static void skipped(Dialer dialer, Issued issued) throws Exception {
        Connection connection = dialer.open();
        String text = Issued.named("Divided", "INSERT INTO orders (status) VALUES (quotient(?))");
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            for (int divisor : new int[] {1, 2, 0, 4, 5}) {
                statement.setInt(1, divisor);
                statement.addBatch();
            }
            state("22012", statement::executeBatch);
        }
        issued.ran("Divided", 2, 2, 0);
        issued.broke("Divided", "22012");
        issued.failed++;
        state("42P01", () -> query(connection, "SELECT * FROM absent WHERE a = ?", 1));
        // It broke where it was parsed: nothing ran.
        issued.refused("42P01");
        issued.failed++;
        query(connection, Issued.named("After", "SELECT 1"));
        issued.ran("After", 1, 1, 1);
    }

    private static void notice(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        for (int number = 0; number < 3; number++) {
            query(connection, Issued.named("Noticed", "SELECT noisy(?)"), number);
        }
        issued.ran("Noticed", 3, 3, 3);
    }

    private static void large(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        for (int size : new int[] {2000, 2 << 20}) {
            String literal = "x".repeat(size);
            query(connection, Issued.named("LargeText", "SELECT length('" + literal + "')"));
            query(connection, Issued.named("LargeValue", "SELECT length(?)"), literal);
            query(connection, Issued.named("LargeRow", "SELECT repeat('y', ?)"), size);
        }
        for (String name : List.of("LargeText", "LargeValue", "LargeRow")) {
            issued.ran(name, 2, 2, 2);
        }
    }

    /** pgjdbc calls the functions of large objects by FunctionCall messages. */
    private static void largeObject(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        connection.setAutoCommit(false);
        LargeObjectManager objects = connection.unwrap(PGConnection.class).getLargeObjectAPI();
        long made = objects.createLO(LargeObjectManager.READWRITE);
        LargeObject object = objects.open(made, LargeObjectManager.READWRITE);
        object.write(new byte[300_000]);
        object.seek(0);
        if (object.read(300_000).length != 300_000) {
            throw new IllegalStateException("it came back short");
        }
        object.close();
        connection.rollback();
        issued.ran("BEGIN", 1, 0, 0);
        // It asks for the functions' OIDs first.
        issued.ran("SELECT", 1, 12, 0);
        // lo_creat, lo_open, lowrite, lo_lseek, loread, lo_close
        issued.ran("FUNCTION_CALL", 6, 0, 0);
        issued.ran("ROLLBACK", 1, 0, 0);
        issued.rollbacks++;
    }

    private static void cancel(Dialer dialer, Issued issued) throws Exception {
        Connection connection = dialer.open();
        try (Statement statement = connection.createStatement()) {
            Thread cancelling = new Thread(() -> {
                try {
                    Thread.sleep(300);
                    statement.cancel();
                } catch (InterruptedException | SQLException error) {
                    throw new IllegalStateException(error);
                }
            });
            cancelling.start();
            String text = Issued.named("Slow", "SELECT pg_sleep(60)");
            state("57014", () -> statement.execute(text));
            cancelling.join();
        }
        issued.broke("Slow", "57014");
        issued.failed++;
        query(connection, Issued.named("After", "SELECT 1"));
        issued.ran("After", 1, 1, 1);
    }

    private static void scram(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open("user", "app", "password", "hunter2-s3cret");
        query(connection, Issued.named("Let", "SELECT 1"));
        issued.ran("Let", 1, 1, 1);
    }

    private static void transactions(Dialer dialer, Issued issued) throws Exception {
        Connection connection = dialer.open();
        connection.setAutoCommit(false);
        String insert = Issued.named("Insert", "INSERT INTO orders (status) VALUES (?)");
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            statement.setString(1, "a");
            statement.execute();
            Savepoint savepoint = connection.setSavepoint();
            statement.setString(1, "b");
            statement.execute();
            connection.rollback(savepoint);
            connection.commit();
            issued.ran("BEGIN", 1, 0, 0);
            issued.ran("Insert", 2, 2, 0);
            issued.ran("SAVEPOINT", 1, 0, 0);
            issued.ran("ROLLBACK", 1, 0, 0);
            issued.ran("COMMIT", 1, 0, 1);
            statement.setString(1, null);
            state("23502", statement::execute);
            connection.rollback();
            issued.ran("BEGIN", 1, 0, 0);
            issued.broke("Insert", "23502");
            issued.ran("ROLLBACK", 1, 0, 0);
            issued.rollbacks++;
        }
    }

    /** Functions called by name, each a FunctionCall message and a transaction of its own. */
    @SuppressWarnings("deprecation")
    private static void fastpath(Dialer dialer, Issued issued) throws SQLException {
        Connection connection = dialer.open();
        org.postgresql.fastpath.Fastpath calls =
                connection.unwrap(PGConnection.class).getFastpathAPI();
        calls.addFunctions(connection.createStatement().executeQuery(
                Issued.named("Oids", "SELECT 'int4abs', 'int4abs'::regproc::oid")));
        issued.ran("Oids", 1, 1, 1);
        for (int number = 0; number < 5; number++) {
            calls.getInteger("int4abs", new org.postgresql.fastpath.FastpathArg[] {
                new org.postgresql.fastpath.FastpathArg(-number)
            });
        }
        issued.ran("FUNCTION_CALL", 5, 0, 5);
    }

    private static void run(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(text);
        }
    }

    /** Reads every row there is. */
    private static void query(Connection connection, String text, Object... values)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            for (int index = 0; index < values.length; index++) {
                statement.setObject(index + 1, values[index]);
            }
            drain(statement.executeQuery());
        }
    }

    private static void drain(ResultSet rows) throws SQLException {
        while (rows.next()) {
            rows.getObject(1);
        }
        rows.close();
    }

    /** Fails unless the server says this SQLSTATE. */
    private static void state(String sqlstate, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (SQLException error) {
            if (sqlstate.equals(error.getSQLState())) {
                return;
            }
            throw error;
        }
        throw new IllegalStateException("no " + sqlstate);
    }
}
