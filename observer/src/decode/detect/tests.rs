//! Bytes of real protocols, and bytes of none.

use proptest::prelude::*;

use super::Guess::{Found, Other, Undecided};
use super::*;
use crate::decode::properties::fixtures;
use crate::decode::transcript::Data;

const CLIENT: Option<Side> = Some(Side::Client);
const SERVER: Option<Side> = Some(Side::Server);

/// Each row: what it is, its bytes, what it is taken for.
#[expect(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<(&'static str, &'static [u8], Guess)> {
    let http = |side| Found(Protocol::Http1, side);
    let redis = |side| Found(Protocol::Redis, side);
    let postgres = |side| Found(Protocol::Postgres, side);
    vec![
        (
            "a request",
            b"GET /v1/shops?x=1 HTTP/1.1\r\nHost: a\r\n",
            http(CLIENT),
        ),
        (
            "an absolute target",
            b"GET http://a/ HTTP/1.0\r\n\r\n",
            http(CLIENT),
        ),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n", http(CLIENT)),
        (
            "CONNECT",
            b"CONNECT a.example:443 HTTP/1.1\r\n",
            http(CLIENT),
        ),
        (
            "an unusual method",
            b"PROPFIND /dav HTTP/1.1\r\n",
            http(CLIENT),
        ),
        (
            "a response",
            b"HTTP/1.1 200 OK\r\nServer: nginx\r\n",
            http(SERVER),
        ),
        (
            "a response without a reason",
            b"HTTP/1.1 404\r\n",
            http(SERVER),
        ),
        (
            "a long target",
            b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            http(CLIENT),
        ),
        ("the beginning of a request", b"POST /v1/ord", Undecided),
        ("RTSP", b"DESCRIBE rtsp://a/b RTSP/1.0\r\n", Other),
        ("SIP", b"INVITE sip:a@b SIP/2.0\r\n", Other),
        ("a lower-case method", b"get / HTTP/1.1\r\n", Other),
        (
            "HTTP/2 from a client",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0",
            Found(Protocol::Http2, CLIENT),
        ),
        (
            "HTTP/2 from a server",
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80",
            Found(Protocol::Http2, SERVER),
        ),
        (
            "TLS ClientHello",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            Found(Protocol::Tls, CLIENT),
        ),
        (
            "TLS ServerHello",
            b"\x16\x03\x03\0\x7a\x02\0\0\x76",
            Found(Protocol::Tls, SERVER),
        ),
        (
            "TLS in the middle",
            b"\x17\x03\x03\x01\0\xaa\xbb\xcc",
            Found(Protocol::Tls, None),
        ),
        (
            "a TLS alert",
            b"\x15\x03\x03\0\x13\0\0\0\0\0\0\0\x01",
            Found(Protocol::Tls, None),
        ),
        (
            "TLS with an impossible length",
            b"\x17\x03\x03\xff\xff\0\0\0",
            Other,
        ),
        (
            "TLS then no TLS",
            b"\x14\x03\x03\0\x01\x01\x42\x42\x42\x42\x42",
            Other,
        ),
        (
            "a command",
            b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
            redis(CLIENT),
        ),
        (
            "a lower-case command",
            b"*2\r\n$4\r\nauth\r\n$1\r\n",
            redis(CLIENT),
        ),
        (
            "a module's command, or a reply",
            b"*3\r\n$9\r\nFT.SEARCH\r\n$1\r\na\r\n",
            redis(None),
        ),
        (
            "a delivery",
            b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n",
            redis(SERVER),
        ),
        ("an inline command", b"PING\r\n", redis(CLIENT)),
        (
            "an inline command with arguments",
            b"info replication\r\n",
            redis(CLIENT),
        ),
        ("a status", b"+OK\r\n", redis(SERVER)),
        (
            "an error",
            b"-NOAUTH Authentication required.\r\n",
            redis(SERVER),
        ),
        ("an integer", b":1000\r\n", redis(SERVER)),
        ("a string", b"$5\r\nhello\r\n", redis(SERVER)),
        ("nil", b"$-1\r\n", redis(SERVER)),
        ("a nested reply", b"*2\r\n*1\r\n:1\r\n:2\r\n", redis(SERVER)),
        (
            "HELLO's reply",
            b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
            redis(SERVER),
        ),
        (
            "a push",
            b">2\r\n$10\r\ninvalidate\r\n*1\r\n",
            redis(SERVER),
        ),
        ("a null", b"_\r\n", redis(SERVER)),
        ("a double", b",3.14\r\n", redis(SERVER)),
        ("a command's beginning", b"*2\r\n$3\r\nGE", Undecided),
        ("memcached", b"get key\r\n", Other),
        ("memcached set", b"set key 0 0 5\r\nhello\r\n", Other),
        ("POP3", b"+OK POP3 ready\r\n", Other),
        ("SMTP", b"220 mail.example ESMTP\r\n", Other),
        ("SMTP from a client", b"EHLO mail.example\r\n", Other),
        ("FTP", b"AUTH TLS\r\n", Other),
        ("IRC", b":server NOTICE * :hi\r\n", Other),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", Other),
        ("Markdown", b"* one\r\n* two\r\n", Other),
        (
            "SSLRequest",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            postgres(CLIENT),
        ),
        (
            "GSSENCRequest",
            b"\0\0\0\x08\x04\xd2\x16\x30",
            postgres(CLIENT),
        ),
        (
            "CancelRequest",
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
            postgres(CLIENT),
        ),
        (
            "StartupMessage",
            b"\0\0\0\x16\0\x03\0\0user\0shop\0\0",
            postgres(CLIENT),
        ),
        (
            "half a StartupMessage",
            b"\0\0\0\x16\0\x03\0\0us",
            Undecided,
        ),
        ("a query", b"Q\0\0\0\x0eSELECT 1;\0", postgres(CLIENT)),
        (
            "a long query",
            b"Q\0\0\x10\0SELECT id, title, price FROM products WHERE shop_id = 7 AND id",
            postgres(CLIENT),
        ),
        (
            "Parse",
            b"P\0\0\x01\0\0-- name: GetShop :one\nSELECT id FROM shops WHERE",
            postgres(CLIENT),
        ),
        (
            "Bind and Execute",
            b"B\0\0\0\x0e\0s1\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0",
            postgres(CLIENT),
        ),
        (
            "Bind by name",
            b"B\0\0\0\x70\0stmtcache_8f3a0000000000000000000000000000000000000000",
            postgres(CLIENT),
        ),
        ("Sync", b"S\0\0\0\x04", postgres(CLIENT)),
        ("Describe", b"D\0\0\0\x06S\0H\0\0\0\x04", postgres(CLIENT)),
        (
            "authentication",
            b"R\0\0\0\x08\0\0\0\0S\0\0\0\x15",
            postgres(SERVER),
        ),
        ("a salt", b"R\0\0\0\x0c\0\0\0\x05abcd", postgres(SERVER)),
        (
            "RowDescription",
            b"T\0\0\0\x1b\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
            postgres(SERVER),
        ),
        (
            "DataRow",
            b"D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0",
            postgres(SERVER),
        ),
        (
            "CommandComplete",
            b"C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05T",
            postgres(SERVER),
        ),
        ("ReadyForQuery", b"Z\0\0\0\x05I", postgres(SERVER)),
        ("BindComplete", b"2\0\0\0\x04D\0\0", postgres(SERVER)),
        (
            "an error",
            b"E\0\0\0\x60SERROR\0VERROR\0C42P01\0Mrelation",
            postgres(SERVER),
        ),
        (
            "CopyData from either",
            b"d\0\0\0\x06a\nd\0\0\0\x06b\n",
            postgres(None),
        ),
        ("SSL granted", b"S", Undecided),
        ("the beginning of a query", b"Q\0\0", Undecided),
        ("ReadyForQuery of no status", b"Z\0\0\0\x05X", Other),
        (
            "ClickHouse",
            b"\0\x11ClickHouse client\x18\x05\xb1\xa9\x03\0\x07default\0",
            Other,
        ),
        (
            "ClickHouse from a server",
            b"\0\x0aClickHouse\x18\x05\xb1\xa9\x03\x03UTC",
            Other,
        ),
        (
            "MySQL, 74 bytes",
            b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\0\x1aB\x7fK",
            Other,
        ),
        (
            "MySQL, 81 bytes",
            b"\x51\0\0\0\x0a5.7.44-log\0\x0b\0\0\0\x1aB\x7fK",
            Other,
        ),
        (
            "MySQL, 82 bytes",
            b"\x52\0\0\0\x0a8.0.36-0ubuntu\0\x0b\0\0\0",
            Other,
        ),
        (
            "MySQL, 83 bytes",
            b"\x53\0\0\0\x0a8.0.36-0ubuntu\0\x0b\0\0\0",
            Other,
        ),
        (
            "MySQL, 69 bytes",
            b"\x45\0\0\0\x0a8.0.36-0ubuntu\0\x0b\0\0\0",
            Other,
        ),
        (
            "MySQL, 68 bytes",
            b"\x44\0\0\0\x0a8.0.36-0ubuntu\0\x0b\0\0\0",
            Other,
        ),
        (
            "a MySQL query of 81 bytes",
            b"\x51\0\0\0\x03SELECT * FROM products WHERE id",
            Other,
        ),
        (
            "a MySQL statement of 81 bytes",
            b"\x51\0\0\0\x16SELECT * FROM products WHERE id = ?",
            Other,
        ),
        (
            "Kafka metadata",
            b"\0\0\0\x1c\0\x03\0\0\0\0\0\x01\0\x08consumer\0\0\0\0",
            Other,
        ),
        (
            "Kafka versions",
            b"\0\0\0\x23\0\x12\0\x03\0\0\0\0\0\x08consumer",
            Other,
        ),
        (
            "MongoDB",
            b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0",
            Other,
        ),
        (
            "MongoDB, 81 bytes",
            b"\x51\0\0\0\x05\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0",
            Other,
        ),
        ("AMQP", b"AMQP\0\0\x09\x01", Other),
        ("Cassandra", b"\x04\0\0\0\x05\0\0\0\0", Other),
        ("NATS", b"INFO {\"server_id\":\"a\"} \r\n", Other),
        ("nothing", b"", Undecided),
    ]
}

#[test]
fn each_protocol_is_taken_for_what_it_is() {
    for (name, bytes, expected) in table() {
        assert_eq!(guess(bytes), expected, "{name}");
    }
}

#[test]
fn a_prefix_is_undecided_or_already_right() {
    for (name, bytes, expected) in table() {
        if matches!(expected, Other) {
            continue;
        }
        for end in 0..bytes.len() {
            let early = guess(&bytes[..end]);
            // Which side sends a message that both may send is known later.
            let right = match (early, expected) {
                (Undecided, _) => true,
                (Found(early, None), Found(late, _)) => early == late,
                _ => early == expected,
            };
            assert!(right, "{name}, {end} bytes: {early:?}");
        }
    }
}

#[test]
fn real_turns_of_redis_are_never_another_protocols() {
    for (name, steps) in fixtures("redis") {
        for step in steps {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            match guess(bytes) {
                Found(Protocol::Redis, side) => {
                    assert!(side.is_none_or(|side| side == step.side), "{name} {step:?}");
                }
                Found(..) => panic!("{name} {step:?}"),
                Undecided | Other => {}
            }
        }
    }
}

/// How many of a million rows of bytes are taken for something; the rows are the same each time.
fn mistaken(byte: fn(u64) -> u8) -> usize {
    // Marsaglia's xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte(state >> 20)
    };
    (0..1_000_000)
        .filter(|_| {
            let bytes: [u8; ENOUGH] = std::array::from_fn(|_| next());
            guess(&bytes) != Other
        })
        .count()
}

#[test]
fn random_bytes_are_nothing() {
    assert!(mistaken(|random| random.to_le_bytes()[0]) <= 1);
}

#[test]
fn random_text_is_nothing() {
    assert!(mistaken(|random| b' ' + (random % 95) as u8) <= 1);
}

#[test]
fn numbers_in_binary_are_almost_never_anything() {
    let mostly_zero = |random: u64| {
        if random % 5 == 0 {
            random.to_le_bytes()[1]
        } else {
            0
        }
    };
    // Zeros are most of a Bind's and a DataRow's form, too: a few are inevitable.
    assert!(mistaken(mostly_zero) <= 20);
}

proptest! {
    #[test]
    fn enough_bytes_are_decided(
        index in 0..table().len(),
        more in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let bytes = [table()[index].1, &more].concat();
        prop_assert!(bytes.len() < ENOUGH || guess(&bytes) != Undecided);
    }
}
