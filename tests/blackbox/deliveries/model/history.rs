//! Random histories.

use proptest::prelude::*;

pub const CUSTOMERS: usize = 4;
pub const SETS: usize = 4;
/// Those that take KFR calls.
pub const KFR_SETS: std::ops::Range<usize> = 2..4;
/// Steps of days ago on which things begin and end.
const SPAN: std::ops::Range<u64> = 0..12;

#[derive(Debug, Clone)]
pub enum Step {
    WholeSet {
        set: usize,
        records: Vec<Record>,
        /// KFR calls that are made between its pieces.
        during: Vec<Call>,
        /// One that is made while it is put in force.
        racing: Option<Call>,
    },
    /// A whole set of which not all comes in.
    BrokenOff {
        set: usize,
        records: Vec<Record>,
        during: Vec<Call>,
        /// By `kill -9`, or by the bank.
        killed: bool,
    },
    Changes {
        set: usize,
        changes: Vec<Change>,
        /// One line may be bad.
        lenient: bool,
    },
    Call {
        set: usize,
        call: Call,
    },
    RollBack {
        set: usize,
    },
    /// All is brought under another pseudonym key, while calls are made.
    Rekey {
        set: usize,
        during: Vec<Call>,
    },
    /// What ended more than a year ago has ended too long ago, for a while.
    Erase,
    Restart,
    Kill,
}

#[derive(Debug, Clone)]
pub enum Call {
    Add {
        customer: usize,
    },
    End {
        customer: usize,
        /// `None`: no day is named.
        days_ago: Option<u64>,
    },
    /// Customers, and the days ago on which they began.
    Batch(Vec<(usize, u64)>),
}

#[derive(Debug, Clone)]
pub enum Change {
    Put(Record),
    /// The record of this identity ends so many days after it began.
    End(Identity, u64),
    Remove(Identity),
}

#[derive(Debug, Clone, Copy)]
pub enum Agreement {
    None,
    /// One of the set's accounts.
    Account(usize),
    Reference(usize),
}

#[derive(Debug, Clone)]
pub struct Identity {
    pub customer: usize,
    pub agreement: Agreement,
    /// Days ago.
    pub from: u64,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub identity: Identity,
    pub role: &'static str,
    pub creditable: Option<bool>,
    pub holds_funds: Option<bool>,
    /// Days from its first to its last.
    pub length: Option<u64>,
}

fn identity() -> impl Strategy<Value = Identity> {
    let agreement = prop_oneof![
        3 => Just(Agreement::None),
        2 => (0..super::ACCOUNTS).prop_map(Agreement::Account),
        1 => (0..2_usize).prop_map(Agreement::Reference),
    ];
    // Few first days, so that identities meet again.
    (0..CUSTOMERS, agreement, prop::sample::select(vec![0, 1, 5, 11])).prop_map(
        |(customer, agreement, from)| Identity {
            customer,
            agreement,
            from,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let roles = prop::sample::select(vec!["owner", "secondaryOwner", "other", "unknown"]);
    let flag = || prop::option::of(any::<bool>());
    (identity(), roles, flag(), flag(), prop::option::of(SPAN)).prop_map(
        |(identity, role, creditable, holds_funds, length)| Record {
            identity,
            role,
            creditable,
            holds_funds,
            length,
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let batch = prop::collection::vec((0..CUSTOMERS, SPAN), 1..4);
    prop_oneof![
        4 => (0..CUSTOMERS).prop_map(|customer| Call::Add { customer }),
        3 => (0..CUSTOMERS, prop::option::of(SPAN))
            .prop_map(|(customer, days_ago)| Call::End { customer, days_ago }),
        2 => batch.prop_map(Call::Batch),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => record().prop_map(Change::Put),
        2 => (identity(), SPAN).prop_map(|(identity, length)| Change::End(identity, length)),
        2 => identity().prop_map(Change::Remove),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let several = |most| prop::collection::vec(record(), 0..most);
    let calls = || prop::collection::vec(call(), 0..4);
    let step = prop_oneof![
        4 => (0..SETS, several(10), calls(), prop::option::of(call()))
            .prop_map(|(set, records, during, racing)| Step::WholeSet { set, records, during, racing }),
        1 => (0..SETS, several(10), calls(), any::<bool>())
            .prop_map(|(set, records, during, killed)| Step::BrokenOff { set, records, during, killed }),
        5 => (0..SETS, prop::collection::vec(change(), 0..6), any::<bool>())
            .prop_map(|(set, changes, lenient)| Step::Changes { set, changes, lenient }),
        5 => (KFR_SETS, call()).prop_map(|(set, call)| Step::Call { set, call }),
        3 => (0..SETS).prop_map(|set| Step::RollBack { set }),
        1 => (KFR_SETS, calls()).prop_map(|(set, during)| Step::Rekey { set, during }),
        1 => Just(Step::Erase),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 8..16)
}
