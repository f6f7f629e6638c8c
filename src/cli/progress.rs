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
}

/// A bar on standard error.
pub fn bar(total: u64, unit: Unit) -> Result<ProgressBar, Failure> {
    let counted = match unit {
        Unit::Lines => "{human_pos} of {human_len}, {per_sec}",
        Unit::Bytes => "{bytes} of {total_bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(&format!("[{{bar:40}}] {counted}, {{eta}} left"))?;
    Ok(ProgressBar::new(total).with_style(style.progress_chars("=> ")))
}

/// Where it is not known how much there is to do: what is being done, how much is done, and for how long.
pub fn counter(what: &'static str) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos}, {elapsed}")?;
    let counter = ProgressBar::no_length().with_style(style).with_message(what);
    counter.enable_steady_tick(TICK);
    Ok(counter)
}

/// Where one thing is done after the other: what is being done, and for how long.
pub fn stages() -> Result<ProgressBar, Failure> {
    let stages =
        ProgressBar::no_length().with_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    stages.enable_steady_tick(TICK);
    Ok(stages)
}
