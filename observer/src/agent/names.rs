//! What workloads are called, as label values.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::correlate::Connection;
use crate::export::{Symbol, Symbols};
use crate::interpret::Services;
use crate::workloads::Workloads;

/// Names the ends of recorded connections; who reads the recording says what it calls cgroups.
#[derive(Clone)]
pub(super) struct Recorded(pub(super) Arc<Mutex<Workloads>>);

impl Recorded {
    pub(super) fn lock(&self) -> MutexGuard<'_, Workloads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services for Recorded {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        service(&mut self.lock(), connection, symbols)
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        peer(&mut self.lock(), connection, symbols)
    }
}

/// Names the ends of connections.
pub(super) struct Names(pub(super) Workloads);

impl Services for Names {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        service(&mut self.0, connection, symbols)
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        peer(&mut self.0, connection, symbols)
    }
}

fn service(workloads: &mut Workloads, connection: &Connection, symbols: &mut Symbols) -> Symbol {
    symbols.intern(&workloads.name(&connection.identity))
}

fn peer(workloads: &mut Workloads, connection: &Connection, symbols: &mut Symbols) -> Symbol {
    match workloads.peer(&connection.identity) {
        Some(name) => symbols.intern(&name),
        None => Symbol::UNKNOWN,
    }
}
