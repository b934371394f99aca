//! Shows a multi-tenant shop platform what its users live through, from the kernel.
//!
//! ```text
//!  kernel                 user space, one direction only
//!  ┌───────────┐ Record  ┌────────────┐ Event  ┌────────┐ Message ┌───────────┐ Exchange ┌───────────┐ Fact ┌────────┐
//!  │observer-  ├────────▶│ reassemble ├───────▶│ decode ├────────▶│ correlate ├─────────▶│ interpret ├─────▶│ export │
//!  │ebpf       │ capture └────────────┘        └────────┘         └───────────┘          └─────┬─────┘      └───▲────┘
//!  └───────────┘                                                              workloads, rules ┘ node, containers ─┘
//! ```
//!
//! Each arrow is a type; each box knows only the type on its left and the one on its right. A
//! stage never calls backwards, which a test reads from the imports.
//!
//! | stage | takes | gives |
//! |---|---|---|
//! | [`capture`] | what the kernel programs saw | [`capture::record::Record`] |
//! | [`reassemble`] | records in any order | [`reassemble::Event`]: bytes and holes in order |
//! | [`decode`] | bytes and holes of one connection | messages of HTTP/1, PostgreSQL, Redis |
//! | [`correlate`] | messages of both directions | [`correlate::Exchange`]: a request and its response |
//! | [`interpret`] | exchanges, and rules that are data | facts: route, shop, statement |
//! | [`node`] | the kernel's tables, at the scrape | [`export::Families`] |
//! | [`containers`] | the files of cgroups, at the scrape | [`export::Families`] |
//! | [`export`] | facts, and families | bounded series, served to Prometheus |
//!
//! [`pipeline`] is the one module that knows them all; [`agent`] joins it to the kernel and to the
//! exporter, [`cli`] to whoever typed the command. [`ledger`] says what became of every byte,
//! [`workloads`] who a connection belongs to, [`mounts`] where the tree of cgroups is, [`config`] has
//! every key in one table.
//!
//! To read it: a record's way begins in [`pipeline::worker`]; a protocol is [`decode::http1`] and
//! [`correlate::http`]; every metric is a row of [`export::catalog`]. The programs themselves are in
//! the crate `observer-ebpf`, whose library is what both sides share.

pub mod agent;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod containers;
pub mod correlate;
pub mod decode;
pub mod export;
pub mod fuzz;
pub mod interpret;
pub mod ledger;
pub mod mounts;
pub mod node;
pub mod pipeline;
pub mod reassemble;
pub mod time;
pub mod workloads;

#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "a module of another crate, where it can be reached"
)]
#[path = "../../tests/src/tree.rs"]
mod tree;
