//! Pairs what one connection's decoder says.

use super::lookups::{Found, Transaction};
use super::queue::{Answered, Queue, Waiting};
use super::subscriptions::Subscriptions;
use super::{Exchange, Outcome, Time};
use crate::correlate::Body;
use crate::decode::redis::command::{Command, OTHER, Role};
use crate::decode::redis::{Aggregate, Answer, Message, Name, Reply, Request, Status, Switch};
use crate::decode::{Lost, Side, Span};
use crate::time::Timestamp;

/// Pairs one connection's commands with their replies.
#[derive(Debug, Default)]
pub struct Correlator {
    standing: Standing,
    queue: Queue,
    replies: Replies,
    transaction: Transaction,
    /// The reply to `EXEC` was announced too short, and goes on.
    executing: bool,
    subscriptions: Subscriptions,
    monitoring: bool,
    /// Last byte so far of the answer to the cancellation that is due, whose number of
    /// acknowledgements nobody told.
    cancelled: Option<Timestamp>,
    /// Last byte of the last reply.
    answered: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Which command a reply answers is not known.
    #[default]
    Out,
    /// The next reply answers the next command.
    InStep,
    /// Commands are missing behind those in the queue.
    Hidden,
}

/// Whether replies come, as `CLIENT REPLY` switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    Come,
    /// Not to the next command.
    SkipNext,
    Off,
}

impl Correlator {
    /// Of a connection of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the decoder's next message.
    pub fn on(&mut self, message: Message, emit: &mut dyn FnMut(Body)) {
        match message {
            Message::Request(request) => self.request(&request, emit),
            Message::Reply(reply) => self.reply(&reply, emit),
            Message::Element(answer) => {
                // Where the reply goes on behind itself, this is an element of an element.
                if !self.executing && self.is_due(Role::Exec) {
                    self.transaction.element(&answer);
                }
            }
            Message::InStep => {
                self.give_up(self.answered, emit);
                self.standing = Standing::InStep;
            }
        }
    }

    /// The decoder gave up bytes of `side`; after the messages of the same input.
    pub fn lost(&mut self, side: Side, lost: Lost, stamp: Timestamp, emit: &mut dyn FnMut(Body)) {
        match (side, lost, self.standing) {
            (_, _, Standing::Out) | (Side::Client, _, Standing::Hidden) => {}
            // What joined connections or another protocol's bytes hide is no command.
            (Side::Client, Lost::Budget | Lost::Hole | Lost::TooLong, Standing::InStep) => {
                self.standing = Standing::Hidden;
            }
            _ => {
                self.standing = Standing::Out;
                self.give_up(stamp, emit);
            }
        }
    }

    /// The connection is over, or no longer followed.
    pub fn end(&mut self, stamp: Timestamp, emit: &mut dyn FnMut(Body)) {
        self.give_up(stamp, emit);
        self.standing = Standing::Out;
    }

    /// What waits will have no reply that could be told.
    fn give_up(&mut self, stamp: Timestamp, emit: &mut dyn FnMut(Body)) {
        self.close_cancellation(emit);
        for waiting in self.queue.take() {
            let span = Span {
                began: waiting.began,
                ended: stamp.max(waiting.began),
            };
            emit(unanswered(waiting.command, span));
        }
        self.transaction = Transaction::default();
        self.executing = false;
    }

    fn request(&mut self, request: &Request, emit: &mut dyn FnMut(Body)) {
        self.close_cancellation(emit);
        if self.standing == Standing::Hidden {
            self.standing = Standing::Out;
            self.give_up(request.span.ended, emit);
        }
        let comes = self.expects_reply(request);
        if self.standing == Standing::Out || !comes {
            emit(unanswered(request.command, request.span));
            return;
        }
        let acknowledgements = match request.command.role {
            Role::Unsubscribe(_) => request.arguments,
            _ => request.arguments.max(1),
        };
        let waiting = Waiting {
            command: request.command,
            began: request.span.began,
            acknowledgements: u32::try_from(acknowledgements).unwrap_or(u32::MAX),
            blocks: request.blocks,
        };
        if !self.queue.push(waiting) {
            emit(unanswered(request.command, request.span));
        }
    }

    /// Follows `CLIENT REPLY` and `RESET`, in the order in which the server executes them.
    fn expects_reply(&mut self, request: &Request) -> bool {
        match (request.switch, request.command.role) {
            (Some(Switch::On), _) | (_, Role::Reset) => self.replies = Replies::Come,
            (Some(Switch::Off), _) => self.replies = Replies::Off,
            (Some(Switch::Skip), _) if self.replies != Replies::Off => {
                self.replies = Replies::SkipNext;
                return false;
            }
            _ if self.replies == Replies::SkipNext => {
                self.replies = Replies::Come;
                return false;
            }
            _ => {}
        }
        self.replies == Replies::Come
    }

    fn reply(&mut self, reply: &Reply, emit: &mut dyn FnMut(Body)) {
        if self.executing && !reply.push {
            return self.element(reply, emit);
        }
        match reply.answer {
            Answer::Aggregate(aggregate) if self.is_sent_to_subscriber(&aggregate, reply, emit) => {
                return;
            }
            Answer::Status(Status::Monitored) if self.monitoring => return,
            _ if reply.push || self.standing == Standing::Out => return,
            _ => self.close_cancellation(emit),
        }
        if matches!(reply.answer, Answer::Aggregate(_)) && self.is_due(Role::Exec) {
            self.executing = self.transaction.goes_on();
            if self.executing {
                return;
            }
        }
        match self.queue.pop() {
            Answered::Waiting(waiting) => {
                let found = self.follow(&waiting, &reply.answer);
                let outcome = outcome(&reply.answer);
                self.tell(&waiting, reply.span.ended, outcome, found, emit);
            }
            Answered::Beyond => {}
            Answered::Nothing if self.standing == Standing::Hidden => {
                emit(Body::Redis(Exchange {
                    outcome: outcome(&reply.answer),
                    ..untimed(&OTHER, reply.span)
                }));
            }
            // An error may come unasked (too many clients); any other reply shows a mistake.
            Answered::Nothing if matches!(reply.answer, Answer::Error(_)) => {}
            Answered::Nothing => self.standing = Standing::Out,
        }
        self.answered = reply.span.ended;
    }

    /// Takes an element of the reply to `EXEC` that came behind it.
    fn element(&mut self, reply: &Reply, emit: &mut dyn FnMut(Body)) {
        self.transaction.element(&reply.answer);
        if let Answer::Aggregate(aggregate) = reply.answer
            && let Name::Subscribed(family) | Name::Unsubscribed(family) = aggregate.name
        {
            self.subscriptions
                .acknowledge(family, aggregate.number, false);
        }
        self.executing = self.transaction.goes_on();
        if !self.executing
            && let Answered::Waiting(waiting) = self.queue.pop()
        {
            let found = self.transaction.close();
            self.tell(&waiting, reply.span.ended, Outcome::Ok, found, emit);
            self.answered = reply.span.ended;
        }
    }

    /// Takes a published message or an acknowledgement; `false` for a reply like any other.
    fn is_sent_to_subscriber(
        &mut self,
        aggregate: &Aggregate,
        reply: &Reply,
        emit: &mut dyn FnMut(Body),
    ) -> bool {
        let (family, role) = match aggregate.name {
            Name::Subscribed(family) => (family, Role::Subscribe(family)),
            Name::Unsubscribed(family) => (family, Role::Unsubscribe(family)),
            Name::Delivered => {
                if !reply.push && self.queue.front().is_none() {
                    self.subscriptions.assume();
                }
                return reply.push || self.subscriptions.come_as_arrays();
            }
            Name::Other => return false,
        };
        // The last of all cancellations has one acknowledgement, without a name.
        if !self.is_due(role) || aggregate.nils > 0 {
            self.close_cancellation(emit);
        }
        let due = self.is_due(role);
        if !due && !reply.push && !self.subscriptions.come_as_arrays() {
            return false;
        }
        self.subscriptions
            .acknowledge(family, aggregate.number, reply.push);
        if due {
            self.acknowledge(aggregate.number, reply.span.ended, emit);
        }
        true
    }

    /// An acknowledgement of the command that is due; `left` subscriptions remain.
    fn acknowledge(&mut self, left: i64, ended: Timestamp, emit: &mut dyn FnMut(Body)) {
        if let Some(waiting) = self.queue.front()
            && waiting.acknowledgements > 1
        {
            waiting.acknowledgements -= 1;
            return;
        }
        let told = self.queue.front().is_some_and(|w| w.acknowledgements == 1);
        self.cancelled = Some(ended);
        if told || left == 0 {
            self.close_cancellation(emit);
        }
    }

    /// What has been acknowledged to its end is answered.
    fn close_cancellation(&mut self, emit: &mut dyn FnMut(Body)) {
        if let Some(ended) = self.cancelled.take()
            && let Answered::Waiting(waiting) = self.queue.pop()
        {
            self.tell(&waiting, ended, Outcome::Ok, Found::default(), emit);
            self.answered = ended;
        }
    }

    /// Whether the reply that is due answers a command of this role.
    fn is_due(&mut self, role: Role) -> bool {
        self.queue
            .front()
            .is_some_and(|waiting| waiting.command.role == role)
    }

    /// Follows what a reply changes for those behind it; what it found.
    fn follow(&mut self, waiting: &Waiting, answer: &Answer) -> Found {
        let command = waiting.command;
        match (command.role, answer) {
            (_, Answer::Status(Status::Queued)) => {
                let several = matches!(command.role, Role::Subscribe(_) | Role::Unsubscribe(_));
                let results = if several { waiting.acknowledgements } else { 1 };
                self.transaction.queue(command.lookup, results);
                return Found::default();
            }
            (Role::Exec, Answer::Aggregate(_)) => return self.transaction.close(),
            (Role::Exec, _) | (Role::Multi, Answer::Status(_)) => {
                self.transaction = Transaction::default();
            }
            (Role::Monitor, Answer::Status(_)) => self.monitoring = true,
            (Role::Reset, Answer::Status(_)) => {
                self.monitoring = false;
                self.subscriptions = Subscriptions::default();
                self.transaction = Transaction::default();
            }
            _ => {}
        }
        Found::of(command.lookup, answer)
    }

    fn tell(
        &self,
        waiting: &Waiting,
        ended: Timestamp,
        outcome: Outcome,
        found: Found,
        emit: &mut dyn FnMut(Body),
    ) {
        // A queued command waits for nobody, now or at `EXEC`.
        let time = if waiting.blocks && outcome != Outcome::Queued {
            Time::Blocked
        } else {
            Time::Server
        };
        emit(Body::Redis(Exchange {
            command: waiting.command,
            began: waiting.began.max(self.answered),
            ended,
            waited: self.answered.seconds_since(waiting.began),
            time,
            outcome,
            hits: found.hits,
            misses: found.misses,
        }));
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Answer::Error(word) => Outcome::Error(*word),
        Answer::Status(Status::Queued) => Outcome::Queued,
        _ => Outcome::Ok,
    }
}

/// A command of which no more is known than that it was sent.
fn unanswered(command: &'static Command, span: Span) -> Body {
    Body::Redis(untimed(command, span))
}

fn untimed(command: &'static Command, span: Span) -> Exchange {
    Exchange {
        command,
        began: span.began,
        ended: span.ended,
        waited: 0.0,
        time: Time::Unknown,
        outcome: Outcome::Unknown,
        hits: 0,
        misses: 0,
    }
}
