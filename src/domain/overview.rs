//! How records become answers: `customerRelationships` and `accountServicingProvider`.

use super::calendar::Period;
use super::identifiers::OrganizationNumber;
use super::participants::{Participant, Participants};
use super::relationship::{Interval, Relationship, Role};
use chrono::NaiveDate;
use std::collections::BTreeMap;

/// DSOP customerRelationships V2.0, `banks.ownershipType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnershipType {
    /// Owns at least one account or equivalent that can pay or hold available funds.
    PrimaryOwner,
    /// Has or had a relationship, but owns or owned no such account.
    NotPrimaryOwner,
    /// The role cannot be found out, since the bank holds no history, or none so far back.
    Unknown,
}

/// Which banks to list, and whether to tell the ownership: the request's `onlyPrimaryOwner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnershipFilter {
    /// The parameter is absent: list all, tell no ownership.
    Absent,
    /// `false`: list all and tell the ownership.
    All,
    /// `true`: list primary owners only.
    OnlyPrimaryOwner,
    /// `true` for a DSOP service whose terms list unknown ownership too.
    PrimaryOwnerOrUnknown,
}

impl OwnershipFilter {
    fn lists(self, ownership: OwnershipType) -> bool {
        match self {
            Self::Absent | Self::All => true,
            Self::OnlyPrimaryOwner => ownership == OwnershipType::PrimaryOwner,
            Self::PrimaryOwnerOrUnknown => ownership != OwnershipType::NotPrimaryOwner,
        }
    }
}

/// When a question is asked, and from when on closed relationships are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Days {
    /// The day in Oslo when the request arrived.
    pub today: NaiveDate,
    /// What ended before this day is no longer answered (`retention.closed_years`).
    pub retained_from: NaiveDate,
}

/// One bank's standing towards a customer over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub ownership: OwnershipType,
    /// DSOP customerRelationships V2.0, `banks.activeAccount`.
    pub active_account: bool,
}

/// Judges the records of one bank together, which knows nothing of the days before `covers_from`; `None` when none
/// overlaps the period.
pub fn judge(
    records: &[Relationship],
    covers_from: Option<NaiveDate>,
    period: &Period,
    days: &Days,
) -> Option<Standing> {
    let mut overlapping = records.iter().filter(|r| is_answered(r, period, days)).peekable();
    overlapping.peek()?;
    Some(standing(overlapping, covers_from, period, days))
}

/// Whether a record overlaps the period and is not forgotten.
fn is_answered(record: &Relationship, period: &Period, days: &Days) -> bool {
    let interval = record.interval();
    interval.overlaps(period, days.today) && !interval.ended_before(days.retained_from)
}

fn standing<'a>(
    overlapping: impl IntoIterator<Item = &'a Relationship>,
    covers_from: Option<NaiveDate>,
    period: &Period,
    days: &Days,
) -> Standing {
    let may_have_owned_before = covers_from.is_some_and(|first| first > period.from());
    let (mut primary, mut unknown, mut active) = (false, may_have_owned_before, false);
    for record in overlapping {
        primary |= record.role == Role::Owner && record.holds_funds;
        unknown |= record.role == Role::Unknown;
        active |= period.to() == days.today
            && matches!(record.role, Role::Owner | Role::SecondaryOwner)
            && record.creditable
            && record.interval().runs_on(days.today);
    }
    let ownership = match (primary, unknown) {
        (true, _) => OwnershipType::PrimaryOwner,
        (false, true) => OwnershipType::Unknown,
        (false, false) => OwnershipType::NotPrimaryOwner,
    };
    Standing {
        ownership,
        active_account: active,
    }
}

/// A record as the store finds it: whose it is, and what the rules need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRelationship {
    pub bank: OrganizationNumber,
    pub relationship: Relationship,
}

/// A listed bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerRelationship<'a> {
    pub institution: &'a Participant,
    pub standing: Standing,
}

/// The answer to `customerRelationships`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview<'a> {
    /// In order of organisation number.
    pub banks: Vec<CustomerRelationship<'a>>,
    /// Banks that `onlyPrimaryOwner=true` left out because their ownership is unknown.
    pub unknown_ownership: usize,
    /// The period begins on a day of which the register has forgotten what ended then.
    pub before_retention: bool,
}

/// What is judged together and listed once: the overlapping records of a bank and of those that have merged into it.
struct Judged<'a> {
    institution: &'a Participant,
    records: Vec<Relationship>,
    /// The latest of its own and of those whose records are among these.
    covers_from: Option<NaiveDate>,
}

/// Records of a bank that the operator has not registered: the participants file and the store disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bank {0} has records but is not in the participants file")]
pub struct UnregisteredBank(pub OrganizationNumber);

/// Lists the banks of a customer: merged banks as their successor, in order of organisation number.
pub fn overview<'a>(
    held: &[HeldRelationship],
    participants: &'a Participants,
    period: &Period,
    filter: OwnershipFilter,
    days: &Days,
) -> Result<Overview<'a>, UnregisteredBank> {
    let mut by_bank: BTreeMap<OrganizationNumber, Judged> = BTreeMap::new();
    for of_bank in held.chunk_by(|one, next| one.bank == next.bank) {
        let bank = of_bank[0].bank;
        let unregistered = UnregisteredBank(bank);
        let institution = participants.answering_for(bank, days.today).ok_or(unregistered)?;
        let relationships = of_bank.iter().map(|record| record.relationship);
        let mut overlapping = relationships.filter(|r| is_answered(r, period, days)).peekable();
        if overlapping.peek().is_none() {
            continue;
        }
        let delivering = participants.get(bank).ok_or(unregistered)?;
        let judged = by_bank.entry(institution.organization).or_insert_with(|| Judged {
            institution,
            records: Vec::with_capacity(of_bank.len()),
            covers_from: institution.covers_from,
        });
        judged.records.extend(overlapping);
        judged.covers_from = judged.covers_from.max(delivering.covers_from);
    }
    Ok(listed(by_bank.into_values(), period, filter, days))
}

fn listed<'a>(
    judged: impl ExactSizeIterator<Item = Judged<'a>>,
    period: &Period,
    filter: OwnershipFilter,
    days: &Days,
) -> Overview<'a> {
    let mut unknown_ownership = 0;
    let mut banks = Vec::with_capacity(judged.len());
    for bank in judged {
        let standing = standing(&bank.records, bank.covers_from, period, days);
        if filter.lists(standing.ownership) {
            banks.push(CustomerRelationship {
                institution: bank.institution,
                standing,
            });
        } else if standing.ownership == OwnershipType::Unknown {
            unknown_ownership += 1;
        }
    }
    Overview {
        banks,
        unknown_ownership,
        before_retention: period.from() < days.retained_from,
    }
}

/// A record that carries an account, as the store finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldAccount {
    pub bank: OrganizationNumber,
    pub interval: Interval,
}

/// The bank that services an account, and whether another bank claims it at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServicingProvider<'a> {
    pub institution: &'a Participant,
    /// Another bank's record runs today as well: the operator is told.
    pub contested: bool,
}

/// The bank whose records carry the account and run today (the later `fromDate` if two do);
/// if none runs, the one whose record ended last. `None` when no record carries the account.
pub fn servicing_provider<'a>(
    held: &[HeldAccount],
    participants: &'a Participants,
    days: &Days,
) -> Result<Option<ServicingProvider<'a>>, UnregisteredBank> {
    let mut best: Option<((bool, NaiveDate, NaiveDate), &Participant)> = None;
    let mut contested = false;
    for record in held {
        let interval = record.interval;
        if interval.from() > days.today || interval.ended_before(days.retained_from) {
            continue;
        }
        let institution = participants
            .answering_for(record.bank, days.today)
            .ok_or(UnregisteredBank(record.bank))?;
        let runs = interval.runs_on(days.today);
        let ended = if runs {
            NaiveDate::MAX
        } else {
            interval.to().unwrap_or(NaiveDate::MAX)
        };
        let rank = (runs, ended, interval.from());
        match best {
            Some((best_rank, present)) => {
                contested |= runs && best_rank.0 && present.organization != institution.organization;
                // Ties go to the lower organisation number, so that every instance answers alike.
                let ahead = rank > best_rank
                    || (rank == best_rank && institution.organization < present.organization);
                if ahead {
                    best = Some((rank, institution));
                }
            }
            None => best = Some((rank, institution)),
        }
    }
    Ok(best.map(|(_, institution)| ServicingProvider {
        institution,
        contested,
    }))
}
