//! Redis commands become facts.
#![forbid(unsafe_code)]

use super::connections::Context;
use super::{Interpreter, fact};
use crate::correlate::redis;
use crate::export::{Fact, Metric, Symbol};

/// First words of errors that are told apart; scripts may make up any.
const ERROR_LIMIT: usize = 64;

impl Interpreter {
    pub(super) fn redis(
        &mut self,
        exchange: &redis::Exchange,
        context: Context,
        out: &mut dyn FnMut(Fact),
    ) {
        let service = context.service;
        let command = self.symbols.intern(exchange.command);
        if exchange.timed {
            let seconds = exchange.ended.seconds_since(exchange.began);
            out(fact(
                Metric::RedisCommandDuration,
                &[service, command],
                seconds,
            ));
            out(fact(Metric::RedisCommandWait, &[service], exchange.waited));
        }
        let outcome = self.redis_outcome(exchange.outcome);
        out(fact(
            Metric::RedisCommands,
            &[service, command, outcome],
            1.0,
        ));
        for (result, count) in [("hit", exchange.hits), ("miss", exchange.misses)] {
            if count > 0 {
                let result = self.symbols.intern(result);
                out(fact(
                    Metric::RedisLookups,
                    &[service, result],
                    f64::from(count),
                ));
            }
        }
    }

    fn redis_outcome(&mut self, outcome: redis::Outcome) -> Symbol {
        let word = match outcome {
            redis::Outcome::Ok => return self.symbols.intern("ok"),
            redis::Outcome::Queued => return self.symbols.intern("queued"),
            redis::Outcome::Unknown => return Symbol::UNKNOWN,
            redis::Outcome::Error(word) => word,
        };
        if let Some(symbol) = self.redis_errors.get(&word) {
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
        if self.redis_errors.len() >= ERROR_LIMIT {
            return self.symbols.refuse();
        }
        let symbol = self.symbols.intern(text);
        self.redis_errors.insert(word, symbol);
        symbol
    }
}
