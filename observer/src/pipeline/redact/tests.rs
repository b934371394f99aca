//! What is kept of records, and when they leave.

use observer_ebpf::Reason;

use super::super::synthetic::{End, Recording};
use super::*;
use crate::interpret::Rules;

fn plan() -> Arc<Plan> {
    Plan::new(&Rules::naytife().unwrap()).unwrap()
}

/// The payload of each record, as far as it is kept.
fn kept(recording: &Recording) -> Vec<(u32, String)> {
    let payload = recording.records().filter_map(|record| match record.body {
        Body::Segment(head, tail) => Some((record.header.length, [head, tail].concat())),
        _ => None,
    });
    payload
        .map(|(length, bytes)| (length, bytes.escape_ascii().to_string()))
        .collect()
}

fn client(speak: impl FnOnce(&mut End, &mut Recording)) -> Recording {
    let mut recording = Recording::default();
    let mut end = End::pair(1, 2).0;
    end.opened(1, &mut recording);
    speak(&mut end, &mut recording);
    end.closed(1000, Reason::Finished, &mut recording);
    overwritten(&recording, &plan())
}

#[test]
fn a_message_over_several_records_is_overwritten_in_all_of_them() {
    let recording = client(|end, out| {
        end.send(2, b"*2\r\n$3\r\nGET\r\n$6\r\nsec", out);
        end.send(3, b"ret\r\n", out);
        end.receive(4, b"$2\r\njo\r\n", out);
    });
    let all: Vec<_> = kept(&recording)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(
        all,
        [r"*2\r\n$3\r\nGET\r\n$6\r\nxxx", r"xxx\r\n", r"$2\r\nxx\r\n"]
    );
}

#[test]
fn a_stream_that_is_not_decoded_is_kept_as_lengths() {
    let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03random";
    let recording = client(|end, out| {
        end.send(2, hello, out);
        end.receive(3, b"\x16\x03\x03\x00\x7asecret", out);
        end.send(4, b"\x17\x03\x03\x00\x10secret", out);
    });
    assert_eq!(
        kept(&recording),
        [
            (
                17,
                r"\x16\x03\x01\x00\xc8\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01".to_owned()
            ),
            (11, String::new()),
            (11, String::new())
        ]
    );
}

#[test]
fn of_a_message_longer_than_may_be_held_the_rest_is_not_kept() {
    let chunk = vec![b'a'; 60_000];
    let length = 60_000 * 20;
    let mut recording = Recording::default();
    let mut end = End::pair(1, 2).0;
    end.opened(1, &mut recording);
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${length}\r\n");
    end.send(2, head.as_bytes(), &mut recording);
    for time in 0..20 {
        end.send(3 + time, &chunk, &mut recording);
    }
    end.send(30, b"\r\n", &mut recording);
    end.send(31, b"*1\r\n$4\r\nPING\r\n", &mut recording);
    let mut redactor = Redactor::new(Settings::default(), &plan(), Box::new(()));
    let mut out = Recording::default();
    for record in recording.records() {
        redactor.record(&record, &mut |record| out.add(record));
    }
    let stripped = redactor.finish(&mut |record| out.add(record));
    assert!(stripped > 0);
    let kept = kept(&out);
    assert_eq!(kept.len(), 23);
    assert!(kept.iter().all(|(_, bytes)| !bytes.contains('a')));
    assert_eq!(kept.last().unwrap().1, r"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn what_follows_a_message_that_ends_where_too_much_is_held_is_kept() {
    let value = vec![b'a'; conversation::HELD - 31];
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
    assert_eq!(head.len() + value.len() + 1, conversation::HELD);
    let recording = client(|end, out| {
        end.send(2, head.as_bytes(), out);
        for chunk in value.chunks(60_000) {
            end.send(3, chunk, out);
        }
        end.send(4, b"\r\n", out);
        end.send(5, b"*1\r\n$4\r\nPING\r\n", out);
    });
    let kept = kept(&recording);
    assert!(kept.iter().all(|(_, bytes)| !bytes.contains('a')));
    assert_eq!(kept.last().unwrap().1, r"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_body_that_is_read_is_overwritten_also_where_its_message_is_longer_than_may_be_held() {
    let chunk = format!("7;{}\r\nzelda@x\r\n", "e".repeat(50_000));
    let recording = client(|end, out| {
        end.send(
            2,
            b"POST /query HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            out,
        );
        for time in 3..40 {
            end.send(time, chunk.as_bytes(), out);
        }
    });
    let kept = kept(&recording);
    assert!(kept.iter().any(|(_, bytes)| bytes.starts_with("7;")));
    assert!(kept.iter().all(|(_, bytes)| !bytes.contains("zelda")));
}

#[test]
fn records_leave_in_the_order_in_which_they_came() {
    let (mut one, mut two) = (End::pair(1, 2).0, End::pair(3, 4).0);
    let mut recording = Recording::default();
    one.opened(1, &mut recording);
    two.opened(2, &mut recording);
    one.send(3, b"GET /half HTTP/1.1\r\n", &mut recording);
    two.send(4, b"GET / HTTP/1.1\r\n\r\n", &mut recording);
    one.send(5, b"Cookie: a\r\n\r\n", &mut recording);
    let mut redactor = Redactor::new(Settings::default(), &plan(), Box::new(()));
    let mut times = Vec::new();
    let mut after = Vec::new();
    for record in recording.records() {
        redactor.record(&record, &mut |record| times.push(record.header.time));
        after.push(times.len());
    }
    assert_eq!(times, [1, 2, 3, 4, 5]);
    assert_eq!(
        after,
        [1, 2, 2, 2, 5],
        "the third waits for the end of its head"
    );
}
