//! What clients do: stories of transactions.

use proptest::prelude::*;

/// What a client does in a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Makes an order of an amount, in hundredths of the stored unit.
    Create {
        shop: u8,
        amount: u32,
    },
    /// Changes one of its orders, or writes it as it was.
    Pay {
        order: u8,
        to: u8,
    },
    /// Looks at one.
    Show {
        order: u8,
    },
    Savepoint(u8),
    RollbackTo(u8),
    Release(u8),
    /// Runs a statement that fails.
    Fail,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has no beginning either: the server ends it by itself.
    Auto,
    Commit,
    Rollback,
    CommitAndChain,
    RollbackAndChain,
    /// Something fails that comes behind the COMMIT.
    CommitAndFail,
    /// In two phases, of which the second commits or does not.
    Prepare(bool),
}

/// How its statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// One after the other.
    Simple,
    /// In one text.
    Together,
    /// With parameters, one after the other.
    Extended,
    /// With parameters, all before the first answer.
    Pipelined,
}

/// How the rows of statements with parameters are fetched, which come one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// All there are.
    All,
    /// One, and never whether there are more; in the portal without a name, or in one of its own.
    Part { named: bool },
    /// One, and the end behind the next statement.
    Later,
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) style: Style,
    pub(super) fetch: Fetch,
    pub(super) acts: Vec<Act>,
    pub(super) end: End,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_u8..4, 1_u32..40_000).prop_map(|(shop, amount)| Act::Create { shop, amount }),
        4 => any::<(u8, u8)>().prop_map(|(order, to)| Act::Pay { order, to }),
        1 => any::<u8>().prop_map(|order| Act::Show { order }),
        2 => (0_u8..2).prop_map(Act::Savepoint),
        2 => (0_u8..2).prop_map(Act::RollbackTo),
        1 => (0_u8..2).prop_map(Act::Release),
        1 => Just(Act::Fail),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let style = prop_oneof![
        Just(Style::Simple),
        Just(Style::Together),
        Just(Style::Extended),
        Just(Style::Pipelined)
    ];
    let end = prop_oneof![
        3 => Just(End::Auto),
        3 => Just(End::Commit),
        1 => Just(End::Rollback),
        1 => Just(End::CommitAndChain),
        1 => Just(End::RollbackAndChain),
        1 => Just(End::CommitAndFail),
        1 => any::<bool>().prop_map(End::Prepare),
    ];
    let fetch = prop_oneof![
        3 => Just(Fetch::All),
        2 => any::<bool>().prop_map(|named| Fetch::Part { named }),
        2 => Just(Fetch::Later),
    ];
    let acts = prop::collection::vec(act(), 1..6);
    (style, fetch, acts, end).prop_map(|(style, fetch, acts, end)| Transaction {
        style,
        fetch,
        acts,
        end,
    })
}

pub(super) fn stories() -> impl Strategy<Value = Vec<Vec<Transaction>>> {
    prop::collection::vec(prop::collection::vec(transaction(), 1..6), 1..4)
}
