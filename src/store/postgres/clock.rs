//! The row of `clock`: when the clock of a machine was last found to be right.

use super::connect::Connector;
use super::target::Target;
use super::{PostgresOptions, Store, schema};
use crate::clock::{Reading, TrustedClock};
use crate::store::StoreError;
use crate::store::format::time_of;
use chrono::TimeDelta;
use tokio::runtime::Handle;
use tokio_postgres::GenericClient;

impl Store {
    /// Judges the machine's clock, and notes that it is right. Not for threads that answer.
    pub fn judge_clock(&self) -> Result<TrustedClock, StoreError> {
        self.0.runtime.block_on(async {
            let reader = self.0.readers.get().await?;
            let last = load(&*reader.client).await?;
            let judged = Reading::take().judge(&last)?;
            write(&*reader.client, judged.seen()).await?;
            Ok(judged)
        })
    }

    /// Judges the machine's clock by what a database says; services may run meanwhile.
    pub async fn look_at_clock(place: &PostgresOptions) -> Result<TrustedClock, StoreError> {
        let client = Connector::new(Target::parse(place)?, Handle::current())
            .connect()
            .await?;
        schema::check(&client).await?;
        Ok(Reading::take().judge(&load(&*client).await?)?)
    }

    /// Notes that an operator finds the clock right as it is; services may run meanwhile.
    pub async fn confirm_clock(place: &PostgresOptions) -> Result<Reading, StoreError> {
        let client = Connector::new(Target::parse(place)?, Handle::current())
            .connect()
            .await?;
        schema::check(&client).await?;
        let now = Reading::take();
        write(&*client, &now).await?;
        Ok(now)
    }
}

/// A new store believes the clock as it is: there is nothing in it to be removed.
pub(super) async fn begin(client: &impl GenericClient) -> Result<(), StoreError> {
    match client.query_opt("SELECT 1 FROM clock", &[]).await?.is_some() {
        true => Ok(()),
        false => write(client, &Reading::take()).await,
    }
}

async fn load(client: &impl GenericClient) -> Result<Reading, StoreError> {
    let row = client
        .query_one("SELECT seen_at, boot, uptime FROM clock", &[])
        .await?;
    Ok(Reading {
        at: time_of(row.try_get(0)?)?,
        boot: row.try_get(1)?,
        uptime: TimeDelta::try_milliseconds(row.try_get(2)?).ok_or(StoreError::Damaged("an uptime"))?,
    })
}

async fn write(client: &impl GenericClient, seen: &Reading) -> Result<(), StoreError> {
    let write = "INSERT INTO clock (id, seen_at, boot, uptime) VALUES (0, $1, $2, $3)
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, boot = excluded.boot, uptime = excluded.uptime";
    let (at, uptime) = (seen.at.timestamp_millis(), seen.uptime.num_milliseconds());
    client.execute(write, &[&at, &seen.boot, &uptime]).await?;
    Ok(())
}
