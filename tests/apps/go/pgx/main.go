// Drives PostgreSQL with pgx: each scenario in the database of its name.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var background = context.Background()

// dialer opens connections to the scenario's database.
type dialer func(configure ...func(*pgx.ConnConfig)) *pgx.Conn

var scenarios = map[string]func(dialer, *Issued){
	"simple":       simple,
	"unnamed":      unnamed,
	"prepared":     prepared,
	"cache":        cache,
	"pipeline":     pipeline,
	"batch":        batch,
	"cursor":       cursor,
	"copy":         copying,
	"notify":       notify,
	"skipped":      skipped,
	"notice":       notice,
	"large":        large,
	"large_object": largeObject,
	"cancel":       cancel,
	"scram":        scram,
	"transactions": transactions,
}

func main() {
	address := os.Args[1]
	for _, name := range os.Args[2:] {
		issued := newIssued(name)
		var opened []*pgx.Conn
		connect := func(configure ...func(*pgx.ConnConfig)) *pgx.Conn {
			url := fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", address, name)
			config := wanted(pgx.ParseConfig(url))
			for _, change := range configure {
				change(config)
			}
			conn := wanted(pgx.ConnectConfig(background, config))
			opened = append(opened, conn)
			return conn
		}
		scenarios[name](connect, issued)
		for _, conn := range opened {
			must(conn.Close(background))
		}
		issued.Connections = len(opened)
		issued.print()
	}
}

func simple(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeSimpleProtocol))
	for number := range 10 {
		query(conn, named("Simple", "SELECT $1::int, 'it''s; one'"), number)
	}
	issued.ran("Simple", 10, 10, 10)
	several := "SELECT 1; SELECT generate_series(1, 5); SET work_mem = '4MB'"
	wanted(conn.PgConn().Exec(background, several).ReadAll())
	issued.ran("SELECT", 2, 6, 0)
	issued.ran("SET", 1, 0, 1)
}

func unnamed(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	for number := range 10 {
		query(conn, named("Unnamed", "SELECT generate_series(1, $1::int)"), number)
	}
	issued.ran("Unnamed", 10, 45, 10)
}

func prepared(connect dialer, issued *Issued) {
	conn := connect()
	wanted(conn.Prepare(background, "series", named("Named", "SELECT generate_series(1, $1::int)")))
	*issued.Idle++
	for number := range 10 {
		query(conn, "series", number)
	}
	issued.ran("Named", 10, 45, 10)
}

func cache(connect dialer, issued *Issued) {
	conn := connect(func(config *pgx.ConnConfig) { config.StatementCacheCapacity = 2 })
	for range 5 {
		for kind := range 5 {
			name := fmt.Sprintf("Cache%d", kind)
			query(conn, named(name, fmt.Sprintf("SELECT %d, $1::int", kind)), kind)
			issued.ran(name, 1, 1, 1)
			// Each is prepared again, in a round trip of its own.
			*issued.Idle++
		}
	}
	for range 5 {
		query(conn, named("Kept", "SELECT 1, $1::int"), 1)
	}
	issued.ran("Kept", 5, 5, 5)
	*issued.Idle++
	described := connect(mode(pgx.QueryExecModeCacheDescribe))
	for range 5 {
		query(described, named("Described", "SELECT 1, $1::int"), 1)
	}
	issued.ran("Described", 5, 5, 5)
	*issued.Idle++
}

// Pipeline mode: three Syncs on their way before the first answer is read.
func pipeline(connect dialer, issued *Issued) {
	conn := connect()
	open := conn.PgConn().StartPipeline(background)
	text := named("Piped", "SELECT generate_series(1, $1::int)")
	for turn := range 3 {
		for number := range 10 {
			value := []byte(fmt.Sprint(number))
			open.SendQueryParams(text, [][]byte{value}, nil, nil, nil)
		}
		if turn == 1 {
			open.SendQueryParams(named("Broken", "SELECT quotient(0)"), nil, nil, nil, nil)
			open.SendQueryParams(text, [][]byte{[]byte("5")}, nil, nil, nil)
		}
		must(open.Sync())
	}
	for syncs := 0; syncs < 3; {
		result, err := open.GetResults()
		switch result := result.(type) {
		case *pgconn.ResultReader:
			if _, err := result.Close(); err != nil {
				state(err, "22012")
			}
		case *pgconn.PipelineSync:
			syncs++
		default:
			state(err, "22012")
		}
	}
	must(open.Close())
	issued.ran("Piped", 30, 135, 2)
	issued.broke("Broken", "22012")
	issued.Failed++
}

// 1,000 statements and one Sync, in as few segments as they fit.
func batch(connect dialer, issued *Issued) {
	conn := connect()
	queue := &pgx.Batch{}
	for range 1000 {
		queue.Queue(named("Batch", "INSERT INTO orders (status) VALUES ($1)"), "new")
	}
	must(conn.SendBatch(background, queue).Close())
	issued.ran("Batch", 1000, 1000, 1)
	*issued.Idle++
}

// pgx has no portals with a limit of rows: a cursor is SQL's.
func cursor(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	tx := wanted(conn.Begin(background))
	wanted(tx.Exec(background, "DECLARE part CURSOR FOR SELECT generate_series(1, 25)"))
	for range 3 {
		query(conn, "FETCH 10 FROM part")
	}
	must(tx.Commit(background))
	issued.ran("BEGIN", 1, 0, 0)
	issued.ran("DECLARE CURSOR", 1, 0, 0)
	issued.ran("FETCH", 3, 25, 0)
	issued.ran("COMMIT", 1, 0, 1)
}

func copying(connect dialer, issued *Issued) {
	conn := connect()
	var text strings.Builder
	for number := range 2000 {
		fmt.Fprintf(&text, "status %d\n", number)
	}
	into := strings.NewReader(text.String())
	wanted(conn.PgConn().CopyFrom(background, into, "COPY orders (status) FROM STDIN"))
	wanted(conn.PgConn().CopyTo(background, io.Discard, "COPY orders TO STDOUT"))
	issued.ran("COPY", 2, 4000, 2)
	broken := bytes.NewReader([]byte("no number\n"))
	_, err := conn.PgConn().CopyFrom(background, broken, "COPY orders (order_id) FROM STDIN")
	state(err, "22P02")
	issued.broke("COPY", "22P02")
	issued.Failed++
	rows := [][]any{{"a"}, {"b"}, {"c"}}
	wanted(conn.CopyFrom(background, pgx.Identifier{"orders"}, []string{"status"}, pgx.CopyFromRows(rows)))
	issued.ran("COPY", 1, 3, 1)
	// It asks for the columns' types first.
	*issued.Idle++
}

func notify(connect dialer, issued *Issued) {
	listener, speaker := connect(), connect(mode(pgx.QueryExecModeSimpleProtocol))
	wanted(listener.Exec(background, "LISTEN orders"))
	for range 5 {
		wanted(speaker.Exec(background, "NOTIFY orders, 'jo@example.com'"))
	}
	for range 5 {
		wanted(listener.WaitForNotification(background))
	}
	query(listener, named("Heard", "SELECT 1"))
	issued.ran("LISTEN", 1, 0, 1)
	issued.ran("NOTIFY", 5, 0, 5)
	issued.ran("Heard", 1, 1, 1)
	// What wakes a listener's server process is a transaction in its statistics, or several are.
	issued.Idle = nil
}

func skipped(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	queue := &pgx.Batch{}
	for _, divisor := range []int{1, 2, 0, 4, 5} {
		queue.Queue(named("Divided", "SELECT quotient($1)"), divisor)
	}
	state(conn.SendBatch(background, queue).Close(), "22012")
	issued.ran("Divided", 2, 2, 0)
	issued.broke("Divided", "22012")
	issued.Failed++
	_, err := conn.Exec(background, "SELECT * FROM absent WHERE a = $1", 1)
	state(err, "42P01")
	// It broke where it was parsed: nothing ran.
	issued.Errors["42P01"]++
	issued.Failed++
	query(conn, named("After", "SELECT 1"))
	issued.ran("After", 1, 1, 1)
}

func notice(connect dialer, issued *Issued) {
	conn := connect()
	for number := range 3 {
		query(conn, named("Noticed", "SELECT noisy($1)"), number)
	}
	issued.ran("Noticed", 3, 3, 3)
	*issued.Idle++
}

func large(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	for _, size := range []int{2000, 2 << 20} {
		literal := strings.Repeat("x", size)
		query(conn, named("LargeText", "SELECT length('"+literal+"')"))
		query(conn, named("LargeValue", "SELECT length($1::text)"), literal)
		query(conn, named("LargeRow", "SELECT repeat('y', $1)"), size)
	}
	for _, name := range []string{"LargeText", "LargeValue", "LargeRow"} {
		issued.ran(name, 2, 2, 2)
	}
}

func largeObject(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	tx := wanted(conn.Begin(background))
	objects := tx.LargeObjects()
	made := wanted(objects.Create(background, 0))
	object := wanted(objects.Open(background, made, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite))
	wanted(object.Write(bytes.Repeat([]byte("z"), 300_000)))
	wanted(object.Seek(0, io.SeekStart))
	read := make([]byte, 300_000)
	wanted(io.ReadFull(object, read))
	must(object.Close())
	must(tx.Rollback(background))
	issued.ran("BEGIN", 1, 0, 0)
	// lo_create, lo_open, lowrite, lo_lseek64, loread, lo_close
	issued.ran("SELECT", 6, 6, 0)
	issued.ran("ROLLBACK", 1, 0, 0)
	issued.Rollbacks++
}

func cancel(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	done := make(chan error)
	go func() {
		_, err := conn.Exec(background, named("Slow", "SELECT pg_sleep(60)"))
		done <- err
	}()
	time.Sleep(300 * time.Millisecond)
	must(conn.PgConn().CancelRequest(background))
	state(<-done, "57014")
	issued.broke("Slow", "57014")
	issued.Failed++
	query(conn, named("After", "SELECT 1"))
	issued.ran("After", 1, 1, 1)
}

func scram(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec), func(config *pgx.ConnConfig) {
		config.User, config.Password = "app", "hunter2-s3cret"
	})
	query(conn, named("Let", "SELECT 1"))
	issued.ran("Let", 1, 1, 1)
}

func transactions(connect dialer, issued *Issued) {
	conn := connect(mode(pgx.QueryExecModeExec))
	insert := named("Insert", "INSERT INTO orders (status) VALUES ($1)")
	outer := wanted(conn.Begin(background))
	wanted(outer.Exec(background, insert, "a"))
	inner := wanted(outer.Begin(background))
	wanted(inner.Exec(background, insert, "b"))
	must(inner.Rollback(background))
	must(outer.Commit(background))
	issued.ran("BEGIN", 1, 0, 0)
	issued.ran("Insert", 2, 2, 0)
	issued.ran("SAVEPOINT", 1, 0, 0)
	issued.ran("ROLLBACK", 1, 0, 0)
	issued.ran("COMMIT", 1, 0, 1)
	broken := wanted(conn.Begin(background))
	_, err := broken.Exec(background, insert, nil)
	state(err, "23502")
	if err := broken.Commit(background); !errors.Is(err, pgx.ErrTxCommitRollback) {
		panic(err)
	}
	issued.ran("BEGIN", 1, 0, 0)
	issued.broke("Insert", "23502")
	// What the server answers to COMMIT in a transaction that failed.
	issued.ran("ROLLBACK", 1, 0, 0)
	issued.Failed++
}

// mode has every query go that way.
func mode(how pgx.QueryExecMode) func(*pgx.ConnConfig) {
	return func(config *pgx.ConnConfig) { config.DefaultQueryExecMode = how }
}

// query reads every row there is.
func query(conn *pgx.Conn, text string, values ...any) {
	rows := wanted(conn.Query(background, text, values...))
	for rows.Next() {
	}
	must(rows.Err())
}

// state panics unless the server said this SQLSTATE.
func state(err error, sqlstate string) {
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != sqlstate {
		panic(fmt.Sprintf("%v is not %s", err, sqlstate))
	}
}

func wanted[T any](value T, err error) T {
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
