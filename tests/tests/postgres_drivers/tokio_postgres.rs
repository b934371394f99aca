//! tokio-postgres, driven from here: it prepares by name, and sends on before it has an answer.

use std::net::TcpStream;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::{join_all, poll_fn, try_join_all};
use futures_util::{SinkExt as _, StreamExt as _};
use observer_tests::agent::Agent;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::account::{Issued, agree, compare, named};
use super::scene::{SCRAM, Scene};

/// A scenario being played: its connections and its tally.
struct Player<'a> {
    scene: &'a Scene,
    issued: Issued,
    running: Vec<JoinHandle<()>>,
    told: mpsc::UnboundedReceiver<AsyncMessage>,
    tell: mpsc::UnboundedSender<AsyncMessage>,
}

impl<'a> Player<'a> {
    fn new(scene: &'a Scene, scenario: &str) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let issued = Issued {
            scenario: scenario.into(),
            idle: Some(0),
            ..Issued::default()
        };
        Self {
            scene,
            issued,
            running: Vec::new(),
            told,
            tell,
        }
    }

    /// A socket of the clients' cgroup.
    fn socket(&self) -> Result<tokio::net::TcpStream> {
        let address = self.scene.server.address();
        let socket = self
            .scene
            .clients
            .host(|| Ok(TcpStream::connect(address)?))?;
        socket.set_nonblocking(true)?;
        Ok(tokio::net::TcpStream::from_std(socket)?)
    }

    async fn connect(&mut self) -> Result<Client> {
        let mut config = Config::new();
        config.dbname(&self.issued.scenario);
        if self.issued.scenario == SCRAM {
            config.user("app").password("hunter2-s3cret");
        } else {
            config.user("postgres");
        }
        let (client, mut connection) = config.connect_raw(self.socket()?, NoTls).await?;
        self.issued.connections += 1;
        let tell = self.tell.clone();
        self.running.push(tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                // Nobody listens once the scenario is over.
                let _ = tell.send(message);
            }
        }));
        Ok(client)
    }

    /// A round trip that prepares, or closes, and runs nothing.
    fn idles(&mut self, times: i64) {
        self.issued.idle = self.issued.idle.map(|idle| idle + times);
    }

    /// Waits until every connection is closed: its client has gone.
    async fn finish(self) -> Result<Issued> {
        for running in self.running {
            running.await?;
        }
        Ok(self.issued)
    }
}

/// Plays scenarios, one after the other, each in the database of its name.
macro_rules! play {
    ($scene:expr, $($scenario:ident),+) => {
        vec![$({
            let mut player = Player::new($scene, stringify!($scenario));
            $scenario(&mut player).await?;
            player.finish().await?
        }),+]
    };
}

#[test]
fn tokio_postgres_is_counted_exactly() -> Result<()> {
    let scene = Scene::new(&SCENARIOS)?;
    let agent = Agent::observe(&[&scene.clients])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let played: Vec<Issued> = runtime.block_on(async {
        anyhow::Ok(play!(
            &scene,
            simple,
            unnamed,
            prepared,
            pipeline,
            batch,
            cursor,
            copy,
            notify,
            skipped,
            notice,
            large,
            large_object,
            cancel,
            scram,
            transactions
        ))
    })?;
    let scrape = agent.settled()?;
    let mut differences = Vec::new();
    for issued in &played {
        differences.extend(compare(issued, &scene.server, &scrape, "client")?);
    }
    ensure!(played.len() == SCENARIOS.len());
    agree(&differences, &scrape)
}

const SCENARIOS: [&str; 15] = [
    "simple",
    "unnamed",
    "prepared",
    "pipeline",
    "batch",
    "cursor",
    "copy",
    "notify",
    "skipped",
    "notice",
    "large",
    "large_object",
    "cancel",
    "scram",
    "transactions",
];

async fn simple(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    for number in 0..10 {
        let text = named("Simple", &format!("SELECT {number}, 'it''s; one'"));
        client.simple_query(&text).await?;
    }
    player.issued.ran("Simple", 10, 10, 10);
    let several = "SELECT 1; SELECT generate_series(1, 5); SET work_mem = '4MB'";
    client.batch_execute(several).await?;
    player.issued.ran("SELECT", 2, 6, 0);
    player.issued.ran("SET", 1, 0, 1);
    Ok(())
}

async fn unnamed(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let text = named("Unnamed", "SELECT generate_series(1, $1)");
    for number in 0..10_i32 {
        client.query_typed(&text, &[(&number, Type::INT4)]).await?;
    }
    player.issued.ran("Unnamed", 10, 45, 10);
    Ok(())
}

async fn prepared(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let text = named("Named", "SELECT generate_series(1, $1::int)");
    let statement = client.prepare(&text).await?;
    for number in 0..10_i32 {
        client.query(&statement, &[&number]).await?;
    }
    player.issued.ran("Named", 10, 45, 10);
    player.idles(1);
    Ok(())
}

/// Twenty requests, each with its Sync, on their way before the first is answered.
async fn pipeline(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let text = named("Piped", "SELECT generate_series(1, $1::int)");
    let statement = client.prepare(&text).await?;
    let numbers: Vec<i32> = (0..20).collect();
    let asked = numbers.iter().map(|number| {
        let (client, statement) = (&client, &statement);
        async move { client.query(statement, &[number]).await }
    });
    let rows: usize = try_join_all(asked).await?.iter().map(Vec::len).sum();
    ensure!(rows == 190);
    player.issued.ran("Piped", 20, 190, 20);
    player.idles(1);
    Ok(())
}

/// A thousand of them.
async fn batch(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let text = named("Batch", "INSERT INTO orders (status) VALUES ($1)");
    let statement = client.prepare(&text).await?;
    let asked = (0..1000).map(|_| {
        let (client, statement) = (&client, &statement);
        async move { client.execute(statement, &[&"new"]).await }
    });
    try_join_all(asked).await?;
    player.issued.ran("Batch", 1000, 1000, 1000);
    player.idles(1);
    Ok(())
}

/// A portal with a limit of rows, fetched from three times.
async fn cursor(player: &mut Player<'_>) -> Result<()> {
    let mut client = player.connect().await?;
    let text = named("Part", "SELECT generate_series(1, 25)");
    let statement = client.prepare(&text).await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind(&statement, &[]).await?;
    for rows in [10, 10, 5] {
        ensure!(transaction.query_portal(&portal, 10).await?.len() == rows);
    }
    transaction.commit().await?;
    player.issued.ran("START TRANSACTION", 1, 0, 0);
    player.issued.ran("Part", 1, 25, 0);
    player.issued.ran("COMMIT", 1, 0, 1);
    player.idles(1);
    Ok(())
}

async fn copy(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let mut into = pin!(client.copy_in("COPY orders (status) FROM STDIN").await?);
    for number in 0..2000 {
        let line = bytes::Bytes::from(format!("status {number}\n"));
        into.send(line).await?;
    }
    ensure!(into.as_mut().finish().await? == 2000);
    let mut out = pin!(client.copy_out("COPY orders TO STDOUT").await?);
    while let Some(part) = out.next().await {
        part?;
    }
    player.issued.ran("COPY", 2, 4000, 2);
    // Left in the middle: the library says CopyFail.
    let mut left = Box::pin(client.copy_in("COPY orders (status) FROM STDIN").await?);
    left.send(bytes::Bytes::from_static(b"a\n")).await?;
    left.flush().await?;
    drop(left);
    player.issued.broke("COPY", "57014");
    player.issued.failed += 1;
    client.simple_query(&named("After", "SELECT 1")).await?;
    player.issued.ran("After", 1, 1, 1);
    player.idles(3);
    Ok(())
}

async fn notify(player: &mut Player<'_>) -> Result<()> {
    let (listener, speaker) = (player.connect().await?, player.connect().await?);
    listener.batch_execute("LISTEN orders").await?;
    for _ in 0..5 {
        speaker
            .batch_execute("NOTIFY orders, 'jo@example.com'")
            .await?;
    }
    let heard = async {
        for _ in 0..5 {
            let message = player.told.recv().await.context("nothing was told")?;
            ensure!(matches!(message, AsyncMessage::Notification(_)));
        }
        Ok(())
    };
    timeout(Duration::from_secs(10), heard).await??;
    listener.simple_query(&named("Heard", "SELECT 1")).await?;
    player.issued.ran("LISTEN", 1, 0, 1);
    player.issued.ran("NOTIFY", 5, 0, 5);
    player.issued.ran("Heard", 1, 1, 1);
    // What wakes a listener's server process is a transaction in its statistics, or several are.
    player.issued.idle = None;
    Ok(())
}

async fn skipped(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let text = named("Divided", "SELECT quotient($1::int)");
    let statement = client.prepare(&text).await?;
    let asked = [1_i32, 0, 3].map(|divisor| {
        let (client, statement) = (&client, &statement);
        async move { client.query(statement, &[&divisor]).await }
    });
    let failed = join_all(asked)
        .await
        .iter()
        .filter_map(|answer| answer.as_ref().err()?.code())
        .filter(|code| **code == SqlState::DIVISION_BY_ZERO)
        .count();
    ensure!(failed == 1);
    player.issued.ran("Divided", 2, 2, 2);
    player.issued.broke("Divided", "22012");
    player.issued.failed += 1;
    player.idles(1);
    ensure!(client.simple_query("SELEC 1").await.is_err());
    player.issued.broke("unknown", "42601");
    player.issued.failed += 1;
    ensure!(client.prepare("SELECT * FROM absent").await.is_err());
    // It broke where it was parsed: nothing ran.
    player.issued.errors.insert("42P01".into(), 1);
    player.issued.failed += 1;
    client.simple_query(&named("After", "SELECT 1")).await?;
    player.issued.ran("After", 1, 1, 1);
    Ok(())
}

async fn notice(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let statement = client
        .prepare(&named("Noticed", "SELECT noisy($1)"))
        .await?;
    for number in 0..3_i32 {
        client.query(&statement, &[&number]).await?;
    }
    let told = player.told.recv().await.context("nothing was told")?;
    ensure!(matches!(told, AsyncMessage::Notice(_)));
    player.issued.ran("Noticed", 3, 3, 3);
    player.idles(1);
    Ok(())
}

async fn large(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    for size in [2000_i32, 2 << 20] {
        let literal = "x".repeat(usize::try_from(size)?);
        let text = named("LargeText", &format!("SELECT length('{literal}')"));
        client.simple_query(&text).await?;
        let text = named("LargeValue", "SELECT length($1)");
        client.query_typed(&text, &[(&literal, Type::TEXT)]).await?;
        let text = named("LargeRow", "SELECT repeat('y', $1)");
        client.query_typed(&text, &[(&size, Type::INT4)]).await?;
    }
    for name in ["LargeText", "LargeValue", "LargeRow"] {
        player.issued.ran(name, 2, 2, 2);
    }
    Ok(())
}

async fn large_object(player: &mut Player<'_>) -> Result<()> {
    let mut client = player.connect().await?;
    let transaction = client.transaction().await?;
    let text = named("Create", "SELECT lo_from_bytea(0, $1)");
    let data = vec![b'z'; 300_000];
    let made = transaction
        .query_typed(&text, &[(&data, Type::BYTEA)])
        .await?;
    let made: u32 = made.first().context("no object")?.get(0);
    let text = named("Read", "SELECT lo_get($1, $2, 100000)");
    for offset in [0_i64, 100_000, 200_000] {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&made, Type::OID), (&offset, Type::INT8)];
        let read = transaction.query_typed(&text, &parameters).await?;
        ensure!(read.first().context("no part")?.get::<_, &[u8]>(0).len() == 100_000);
    }
    transaction.rollback().await?;
    player.issued.ran("START TRANSACTION", 1, 0, 0);
    player.issued.ran("Create", 1, 1, 0);
    player.issued.ran("Read", 3, 3, 0);
    player.issued.ran("ROLLBACK", 1, 0, 0);
    player.issued.rollbacks += 1;
    Ok(())
}

async fn cancel(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    let (token, socket) = (client.cancel_token(), player.socket()?);
    let text = named("Slow", "SELECT pg_sleep(60)");
    let (answer, cancelled) = tokio::join!(client.simple_query(&text), async {
        sleep(Duration::from_millis(300)).await;
        token.cancel_query_raw(socket, NoTls).await
    });
    cancelled?;
    ensure!(answer.is_err());
    player.issued.broke("Slow", "57014");
    player.issued.failed += 1;
    client.simple_query(&named("After", "SELECT 1")).await?;
    player.issued.ran("After", 1, 1, 1);
    Ok(())
}

async fn scram(player: &mut Player<'_>) -> Result<()> {
    let client = player.connect().await?;
    client.simple_query(&named("Let", "SELECT 1")).await?;
    player.issued.ran("Let", 1, 1, 1);
    Ok(())
}

async fn transactions(player: &mut Player<'_>) -> Result<()> {
    let mut client = player.connect().await?;
    let text = named("Insert", "INSERT INTO orders (status) VALUES ($1)");
    let mut outer = client.transaction().await?;
    outer.query_typed(&text, &[(&"a", Type::TEXT)]).await?;
    let inner = outer.savepoint("s").await?;
    inner.query_typed(&text, &[(&"b", Type::TEXT)]).await?;
    inner.rollback().await?;
    outer.commit().await?;
    player.issued.ran("START TRANSACTION", 1, 0, 0);
    player.issued.ran("Insert", 2, 2, 0);
    player.issued.ran("SAVEPOINT", 1, 0, 0);
    player.issued.ran("ROLLBACK", 1, 0, 0);
    player.issued.ran("COMMIT", 1, 0, 1);
    let broken = client.transaction().await?;
    let nothing: Option<&str> = None;
    let answer = broken.query_typed(&text, &[(&nothing, Type::TEXT)]).await;
    ensure!(answer.is_err());
    broken.commit().await?;
    player.issued.ran("START TRANSACTION", 1, 0, 0);
    player.issued.broke("Insert", "23502");
    // What the server answers to COMMIT in a transaction that failed.
    player.issued.ran("ROLLBACK", 1, 0, 0);
    player.issued.failed += 1;
    Ok(())
}
