//! A progress bar on a terminal, and nothing at all elsewhere. It has no colours, whatever `NO_COLOR` says.

use super::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the elapsed time is told.
const TICK: Duration = Duration::from_millis(200);

/// What a bar counts.
#[derive(Clone, Copy)]
pub enum Unit {
    Lines,
    Bytes,
    Sets,
    /// Of whatever the message says.
    Steps,
}

/// A bar on standard error.
pub fn bar(total: u64, unit: Unit) -> Result<ProgressBar, Failure> {
    let counted = match unit {
        Unit::Lines => "{human_pos} of {human_len}, {per_sec}",
        Unit::Bytes => "{bytes} of {total_bytes}, {bytes_per_sec}",
        Unit::Steps => "{msg}: {human_pos} of {human_len}, {elapsed}",
        Unit::Sets => "{msg}: {human_pos} of {human_len} sets, {elapsed}",
    };
    let left = match unit {
        Unit::Lines | Unit::Bytes => ", {eta} left",
        // They differ too much in size to tell.
        Unit::Sets | Unit::Steps => "",
    };
    let style = ProgressStyle::with_template(&format!("[{{bar:40}}] {counted}{left}"))?;
    Ok(ProgressBar::new(total).with_style(style.progress_chars("=> ")))
}

/// Where it is not known how much there is to do: what is being done, how much is done, and for how long.
pub fn counter(what: &'static str) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos}, {elapsed}")?;
    let counter = ProgressBar::no_length().with_style(style).with_message(what);
    counter.enable_steady_tick(TICK);
    Ok(counter)
}

/// Tells what is being waited for, and for how long.
pub async fn while_waiting<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, Failure> {
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?;
    let waiting = ProgressBar::no_length().with_style(style).with_message(what);
    waiting.enable_steady_tick(TICK);
    let done = work.await;
    waiting.finish_and_clear();
    Ok(done)
}
