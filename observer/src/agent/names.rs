//! What workloads are called, as label values.
#![forbid(unsafe_code)]

use crate::correlate::Connection;
use crate::export::{Symbol, Symbols};
use crate::interpret::Services;
use crate::workloads::Workloads;

/// Names the ends of connections.
pub(super) struct Names(pub(super) Workloads);

impl Services for Names {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern(&self.0.name(&connection.identity))
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        match self.0.peer(&connection.identity) {
            Some(name) => symbols.intern(&name),
            None => Symbol::UNKNOWN,
        }
    }
}
