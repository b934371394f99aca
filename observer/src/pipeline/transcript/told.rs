//! Messages in the words of their protocol.

use std::sync::{Arc, Mutex, PoisonError};

use observer_ebpf::Protocol;

use super::super::conversation::{Conversation, Detected, Emit, Opening, Protocols};
use super::super::redact;
use crate::correlate::http::AbortReason;
use crate::decode::detect::{Guess, guess};
use crate::decode::http1::{Http1, Message as Http};
use crate::decode::postgres::{Body, Message as Sql, Postgres, Target};
use crate::decode::redis::{Answer, Message as Resp, Redis};
use crate::decode::{Decoder, Fed, Side};
use crate::interpret::Plan;
use crate::reassemble::Input;
use crate::time::Timestamp;

/// What was told since it was last taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<(Side, String)>>>);

impl Lines {
    fn tell(&self, side: Side, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((side, line));
    }

    pub(super) fn take(&self) -> Vec<(Side, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The protocols that are decoded, each message told.
pub(super) struct Telling {
    plan: Arc<Plan>,
    lines: Lines,
}

impl Telling {
    pub(super) fn new(plan: Arc<Plan>, lines: Lines) -> Self {
        Self { plan, lines }
    }
}

impl Protocols for Telling {
    fn detect(&self, bytes: &[u8]) -> Detected {
        match guess(bytes) {
            Guess::Undecided => Detected::Undecided,
            Guess::Other => Detected::Nothing,
            Guess::Found(protocol, side) => Detected::Protocol(protocol, side),
        }
    }

    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>> {
        let lines = self.lines.clone();
        match opening.protocol {
            Protocol::Http1 => {
                let plan = Arc::clone(&self.plan);
                Some(Box::new(Told {
                    decoder: Http1::default(),
                    tell: move |message: Http<'_>| {
                        if let Some((side, line)) = http(&message, &plan) {
                            lines.tell(side, line);
                        }
                    },
                }))
            }
            Protocol::Postgres => Some(Box::new(Told {
                decoder: Postgres::new(),
                tell: move |message: Sql<'_>| lines.tell(message.side, sql(&message.body)),
            })),
            Protocol::Redis => Some(Box::new(Told {
                decoder: if opening.joined {
                    Redis::joined()
                } else {
                    Redis::opened()
                },
                tell: move |message: Resp| {
                    if let Some((side, line)) = resp(&message) {
                        lines.tell(side, line);
                    }
                },
            })),
            _ => None,
        }
    }
}

/// A decoder whose messages are told.
struct Told<D, T> {
    decoder: D,
    tell: T,
}

impl<D, T> Conversation for Told<D, T>
where
    D: Decoder + Send,
    T: FnMut(D::Message<'_>) + Send,
{
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, _: Emit<'_>) -> Fed {
        self.decoder.feed(side, stamp, input, &mut self.tell)
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, _: Emit<'_>) {
        self.decoder.finish(side, stamp, &mut self.tell);
    }

    fn end(&mut self, _: AbortReason, _: Timestamp, _: Emit<'_>) {}
}

fn http(message: &Http<'_>, plan: &Arc<Plan>) -> Option<(Side, String)> {
    Some(match message {
        Http::Request { head, .. } => {
            let query = if head.query.is_empty() {
                &b""[..]
            } else {
                b"?"
            };
            let target = [head.path, query, head.query].concat();
            (
                Side::Client,
                redact::request_line(head.method, &target, plan),
            )
        }
        Http::RequestEnd { size, .. } => (Side::Client, format!("request of {size} bytes")),
        Http::Response { head, .. } => (Side::Server, format!("status {}", head.status)),
        Http::ResponseEnd { size, .. } => (Side::Server, format!("response of {size} bytes")),
        Http::Hidden { .. } => (Side::Server, "no more of a response is seen".to_owned()),
        Http::RequestBody { .. } | Http::ResponseBody { .. } => return None,
    })
}

fn sql(body: &Body<'_>) -> String {
    let name = |name: Option<&[u8]>| match name {
        Some([]) => "(unnamed)".to_owned(),
        Some(name) => printable(name),
        None => "(hidden)".to_owned(),
    };
    match body {
        Body::Startup(startup) => format!("Startup database {}", printable(startup.database)),
        Body::Query(text) => format!("Query {}", redact::statement(text.bytes)),
        Body::Parse { name: of, text, .. } => {
            format!("Parse {} {}", name(*of), redact::statement(text.bytes))
        }
        Body::Bind(bind) => format!(
            "Bind {} to {} with {} values",
            name(bind.portal),
            name(bind.statement),
            bind.values.clone().count()
        ),
        Body::Describe(Target::Statement(of)) => format!("Describe statement {}", name(*of)),
        Body::Describe(Target::Portal(of)) => format!("Describe portal {}", name(*of)),
        Body::Close(Target::Statement(of)) => format!("Close statement {}", name(*of)),
        Body::Close(Target::Portal(of)) => format!("Close portal {}", name(*of)),
        Body::Execute { portal } => format!("Execute {}", name(*portal)),
        Body::DataRow(values) => format!("DataRow of {} values", values.clone().count()),
        Body::RowDescription(columns) => {
            let names: Vec<_> = columns
                .clone()
                .map(|column| printable(column.name))
                .collect();
            format!("RowDescription {}", names.join(", "))
        }
        Body::ParameterDescription(types) => {
            format!("ParameterDescription of {} types", types.clone().count())
        }
        Body::CommandComplete(tag) => {
            format!(
                "CommandComplete {}",
                tag.map_or_else(String::new, printable)
            )
        }
        Body::Error { state, .. } => {
            let state = state.map_or_else(|| "(hidden)".to_owned(), |state| printable(&state));
            format!("ErrorResponse {state}")
        }
        // What they hold is a word of the protocol.
        other => format!("{other:?}"),
    }
}

fn resp(message: &Resp) -> Option<(Side, String)> {
    Some(match message {
        Resp::Request(request) => {
            let (name, arguments) = (request.command.name, request.arguments);
            (Side::Client, format!("{name} with {arguments} arguments"))
        }
        Resp::Reply(reply) => {
            let answer = match reply.answer {
                Answer::Nil => "nil".to_owned(),
                Answer::Error(word) => {
                    let end = word
                        .iter()
                        .position(|byte| *byte == 0)
                        .unwrap_or(word.len());
                    format!("error {}", printable(word.get(..end).unwrap_or_default()))
                }
                Answer::Status(_) => "status".to_owned(),
                Answer::Value => "value".to_owned(),
                Answer::Aggregate(aggregate) => {
                    format!("{} values, {} nil", aggregate.values, aggregate.nils)
                }
            };
            let push = if reply.push { "push: " } else { "" };
            (Side::Server, format!("{push}{answer}"))
        }
        Resp::InStep | Resp::Element(_) => return None,
    })
}

/// A name on one line.
fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(char::is_control, " ")
}
