//! The row of `clock`: when the machine's clock was last found to be right.

use super::writer::Done;
use super::{Store, connection, schema};
use crate::clock::{Reading, TrustedClock};
use crate::store::StoreError;
use crate::store::format::time_of;
use chrono::TimeDelta;
use rusqlite::Connection;
use std::path::Path;

impl Store {
    /// Judges the machine's clock, and notes that it is right. Not for threads that answer.
    pub fn judge_clock(&self) -> Result<TrustedClock, StoreError> {
        let last = self.0.readers.read(load)?;
        let judged = Reading::take().judge(&last)?;
        let seen = judged.seen().clone();
        let step = self.0.writer.step(move |connection: &Connection| {
            write(connection, &seen)?;
            Ok(Done::nothing_new(()))
        })?;
        step.blocking_recv().map_err(|_| StoreError::Closed)??;
        Ok(judged)
    }

    /// Judges the machine's clock by what a file says; a service may run meanwhile.
    pub fn look_at_clock(path: &Path) -> Result<TrustedClock, StoreError> {
        let connection = connection::open_reader(path, 0)?;
        schema::check(&connection, schema::REGISTER)?;
        Ok(Reading::take().judge(&load(&connection)?)?)
    }

    /// Notes that an operator finds the clock right as it is; a service may run meanwhile.
    pub fn confirm_clock(path: &Path) -> Result<Reading, StoreError> {
        if !path.exists() {
            return Err(StoreError::Absent(path.to_owned()));
        }
        let connection = connection::open_writer(path, 0)?;
        schema::check(&connection, schema::REGISTER)?;
        let now = Reading::take();
        write(&connection, &now)?;
        Ok(now)
    }
}

/// A new file believes the clock as it is: there is nothing in it to be removed.
pub(super) fn begin(connection: &Connection) -> Result<(), StoreError> {
    match connection.prepare("SELECT 1 FROM clock")?.exists([])? {
        true => Ok(()),
        false => write(connection, &Reading::take()),
    }
}

fn load(connection: &Connection) -> Result<Reading, StoreError> {
    let read = "SELECT seen_at, boot, uptime FROM clock";
    let (seen_at, boot, uptime) =
        connection.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Reading {
        at: time_of(seen_at)?,
        boot,
        uptime: TimeDelta::try_milliseconds(uptime).ok_or(StoreError::Damaged("an uptime"))?,
    })
}

fn write(connection: &Connection, seen: &Reading) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO clock (id, seen_at, boot, uptime) VALUES (0, ?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, boot = excluded.boot, uptime = excluded.uptime",
        (
            seen.at.timestamp_millis(),
            &seen.boot,
            seen.uptime.num_milliseconds(),
        ),
    )?;
    Ok(())
}
