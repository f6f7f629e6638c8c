//! What consumers ask about in a day, of all instances, so that ceilings hold over all of them.

use super::Store;
use super::transaction::Transaction;
use crate::clock::TrustedClock;
use crate::domain::calendar::oslo_day;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::usage::{FormerDay, Seen, SeenWhat};
use crate::store::StoreError;
use crate::store::format::{day_number, day_of};
use chrono::{Days, NaiveDate};
use tokio_postgres::Row;

/// Days over which counts are kept: those that make up what is usual.
const KEPT_DAYS: u64 = 28;

const ADD: &str = "
    INSERT INTO usage_seen (day, consumer, what)
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING";
/// What others have added since, with room for transactions that take their time, and for clocks of servers that take over.
const SINCE: &str = "
    SELECT day, consumer, what FROM usage_seen
    WHERE day = $1 AND at > to_timestamp($2::double precision / 1000) - interval '2 minutes'";
const FORMER: &str = "
    SELECT day, consumer, customers, cases FROM usage_days WHERE day < $1
    UNION ALL
    SELECT day, consumer, count(*) FILTER (WHERE length(what) = 8), count(*) FILTER (WHERE length(what) <> 8)
    FROM usage_seen WHERE day < $1 GROUP BY day, consumer";
const SUM_UP: &str = "
    INSERT INTO usage_days (day, consumer, customers, cases)
    SELECT day, consumer, count(*) FILTER (WHERE length(what) = 8), count(*) FILTER (WHERE length(what) <> 8)
    FROM usage_seen WHERE day < $1 GROUP BY day, consumer ON CONFLICT DO NOTHING";

impl Store {
    /// Adds what this process has seen, and gives what others have of the day: all of it, or what they have added since a
    /// moment that an earlier call gave. Times are milliseconds of the database's clock.
    pub async fn exchange_usage(
        &self,
        seen: &[Seen],
        today: NaiveDate,
        since: Option<i64>,
    ) -> Result<(Vec<Seen>, i64), StoreError> {
        let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let now = self.read_apart(now, &[]).await?;
        let now: i64 = now.first().map_or(Ok(0), |row| row.try_get(0))?;
        if !seen.is_empty() {
            self.add_usage(seen).await?;
        }
        let (today, since) = (day_number(today), since.unwrap_or(0) as f64);
        let others = self.read_apart(SINCE, &[&today, &since]).await?;
        Ok((others.iter().map(seen_of).collect::<Result<_, _>>()?, now))
    }

    async fn add_usage(&self, seen: &[Seen]) -> Result<(), StoreError> {
        let days: Vec<i32> = seen.iter().map(|seen| day_number(seen.day)).collect();
        let consumers: Vec<i64> = seen.iter().map(|seen| seen.consumer.as_u32().into()).collect();
        let what: Vec<Vec<u8>> = seen.iter().map(|seen| seen.what.encode()).collect();
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        transaction.execute(ADD, &[&days, &consumers, &what]).await?;
        transaction.end().await
    }

    /// The counts of the days before one.
    pub async fn former_usage(&self, today: NaiveDate) -> Result<Vec<FormerDay>, StoreError> {
        let former = self.read_apart(FORMER, &[&day_number(today)]).await?;
        former.iter().map(former_of).collect()
    }

    /// Of days that are over for certain only counts are kept, and those not for ever.
    pub(super) async fn sum_up_usage(&self, clock: &TrustedClock) -> Result<(), StoreError> {
        let today = oslo_day(clock.now());
        let before = |days| day_number(today - Days::new(days));
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        transaction.execute(SUM_UP, &[&before(1)]).await?;
        let seen = "DELETE FROM usage_seen WHERE day < $1";
        transaction.execute(seen, &[&before(1)]).await?;
        let days = "DELETE FROM usage_days WHERE day < $1";
        transaction.execute(days, &[&before(KEPT_DAYS)]).await?;
        transaction.end().await
    }
}

fn seen_of(row: &Row) -> Result<Seen, StoreError> {
    Ok(Seen {
        day: day_of(row.try_get(0)?)?,
        consumer: consumer_of(row)?,
        what: SeenWhat::decode(row.try_get(2)?).ok_or(StoreError::Damaged("what was counted"))?,
    })
}

fn former_of(row: &Row) -> Result<FormerDay, StoreError> {
    Ok(FormerDay {
        day: day_of(row.try_get(0)?)?,
        consumer: consumer_of(row)?,
        customers: count(row.try_get(2)?)?,
        cases: count(row.try_get(3)?)?,
    })
}

fn consumer_of(row: &Row) -> Result<OrganizationNumber, StoreError> {
    let number = u32::try_from(row.try_get::<_, i64>(1)?).ok();
    let number = number.and_then(OrganizationNumber::from_u32);
    number.ok_or(StoreError::Damaged("what was counted"))
}

fn count(number: i64) -> Result<usize, StoreError> {
    usize::try_from(number).map_err(|_| StoreError::Damaged("what was counted"))
}
