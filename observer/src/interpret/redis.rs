//! Redis commands become facts.
#![forbid(unsafe_code)]

use hashbrown::HashMap;

use super::connections::Context;
use super::{Interpreter, fact};
use crate::correlate::redis;
use crate::decode::redis::command::{COMMANDS, Command};
use crate::export::{Fact, Metric, Symbol, Symbols};

/// First words of errors that are told apart; scripts may make up any.
const ERROR_LIMIT: usize = 64;

/// The label values of Redis: each command's facts name four of them.
pub(super) struct Words {
    /// By the command's number, once it was seen.
    commands: Vec<Option<Symbol>>,
    errors: HashMap<[u8; 16], Symbol, foldhash::fast::RandomState>,
    ok: Symbol,
    queued: Symbol,
    hit: Symbol,
    miss: Symbol,
}

impl Words {
    pub(super) fn new(symbols: &mut Symbols) -> Self {
        Self {
            commands: vec![None; COMMANDS.len() + 1],
            errors: HashMap::default(),
            ok: symbols.intern("ok"),
            queued: symbols.intern("queued"),
            hit: symbols.intern("hit"),
            miss: symbols.intern("miss"),
        }
    }

    fn command(&mut self, command: &Command, symbols: &mut Symbols) -> Symbol {
        match self.commands.get_mut(usize::from(command.number)) {
            Some(Some(symbol)) => *symbol,
            Some(place) => *place.insert(symbols.intern(command.name)),
            None => Symbol::OTHER,
        }
    }

    fn outcome(&mut self, outcome: redis::Outcome, symbols: &mut Symbols) -> Symbol {
        let word = match outcome {
            redis::Outcome::Ok => return self.ok,
            redis::Outcome::Queued => return self.queued,
            redis::Outcome::Unknown => return Symbol::UNKNOWN,
            redis::Outcome::Error(word) => word,
        };
        if let Some(symbol) = self.errors.get(&word) {
            return *symbol;
        }
        let text = std::str::from_utf8(&word)
            .unwrap_or_default()
            .trim_end_matches('\0');
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if text.is_empty() || !plain {
            return Symbol::OTHER;
        }
        if self.errors.len() >= ERROR_LIMIT {
            return symbols.refuse();
        }
        let symbol = symbols.intern(text);
        self.errors.insert(word, symbol);
        symbol
    }
}

impl Interpreter {
    pub(super) fn redis(
        &mut self,
        exchange: &redis::Exchange,
        context: Context,
        out: &mut dyn FnMut(Fact),
    ) {
        let service = context.service;
        let command = self.redis.command(exchange.command, &mut self.symbols);
        let metric = match exchange.time {
            redis::Time::Server => Some(Metric::RedisCommandDuration),
            redis::Time::Blocked => Some(Metric::RedisCommandBlocked),
            redis::Time::Unknown => None,
        };
        if let Some(metric) = metric {
            let seconds = exchange.ended.seconds_since(exchange.began);
            out(fact(metric, &[service, command], seconds));
            out(fact(Metric::RedisCommandWait, &[service], exchange.waited));
        }
        let outcome = self.redis.outcome(exchange.outcome, &mut self.symbols);
        out(fact(
            Metric::RedisCommands,
            &[service, command, outcome],
            1.0,
        ));
        for (result, count) in [
            (self.redis.hit, exchange.hits),
            (self.redis.miss, exchange.misses),
        ] {
            if count > 0 {
                out(fact(
                    Metric::RedisLookups,
                    &[service, result],
                    f64::from(count),
                ));
            }
        }
    }
}
