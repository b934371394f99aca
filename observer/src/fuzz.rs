//! Every function that is fed arbitrary bytes, by libFuzzer and in the tests.
//!
//! Each asserts what must hold whatever the bytes are, and returns nothing.

use crate::{capture, correlate, decode, interpret, pipeline, reassemble};

/// A function for fuzzers.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Survives these bytes, or panics.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    target("detect", decode::fuzz::detect),
    target("graphql", |data| {
        interpret::graphql::fuzz(data);
        interpret::json::fuzz(data);
        interpret::routes::fold::fuzz(data);
    }),
    target("http1", correlate::fuzz::http1),
    target("lexer", |data| {
        interpret::sql::lexer::fuzz(data);
        interpret::sql::text::fuzz(data);
    }),
    target("pipeline", pipeline::fuzz::records),
    target("postgres", correlate::fuzz::postgres),
    target("reassemble", reassemble::fuzz::records),
    target("recording", |data| {
        capture::recording::fuzz(data);
        pipeline::redact::fuzz(data);
    }),
    target("redis", correlate::fuzz::redis),
    target("requests", interpret::fuzz::requests),
    target("rules", interpret::fuzz::rules),
];

/// Runs the target of this name.
///
/// # Panics
/// Where what it asserts does not hold, and where there is none of this name.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => (target.run)(data),
        None => unreachable!("no target is called {name}"),
    }
}
