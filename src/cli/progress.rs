//! A progress bar on a terminal, and nothing at all elsewhere. It has no colours, whatever `NO_COLOR` says.

use super::Failure;
use crate::config;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the elapsed time is told.
const TICK: Duration = Duration::from_millis(200);

/// How wide the text beside a bar can get.
const TEXT_COLUMNS: u16 = 48;

/// A bar that counts lines.
pub fn lines(total: u64) -> Result<ProgressBar, Failure> {
    let style = bar_style("{human_pos} of {human_len}, {per_sec}")?;
    Ok(ProgressBar::new(total).with_style(style))
}

/// As wide as what is left beside the text.
fn bar_style(counted: &str) -> Result<ProgressStyle, Failure> {
    let bar = match config::columns() {
        Some(columns) => format!("{{bar:{}}}", columns.saturating_sub(TEXT_COLUMNS).clamp(4, 40)),
        None => "{wide_bar}".to_owned(),
    };
    let style = ProgressStyle::with_template(&format!("{counted}, {{eta}} left [{bar}]"))?;
    Ok(style.progress_chars("=> "))
}

/// How far a delivery has come: what is sent of it, and then that the service is at it.
#[derive(Clone)]
pub struct Sending {
    pub bar: ProgressBar,
    total: u64,
    sending: ProgressStyle,
    publishing: ProgressStyle,
}

impl Sending {
    pub fn of(total: u64) -> Result<Self, Failure> {
        let sending = bar_style("{bytes} of {total_bytes}, {bytes_per_sec}")?;
        Ok(Self {
            bar: ProgressBar::new(total).with_style(sending.clone()),
            total,
            sending,
            publishing: ProgressStyle::with_template("{spinner} all sent, being published, {elapsed}")?,
        })
    }

    /// An attempt begins.
    pub fn begin(&self) {
        self.bar.disable_steady_tick();
        self.bar.set_style(self.sending.clone());
        self.bar.reset();
    }

    /// So many bytes are sent.
    pub fn reached(&self, bytes: u64) {
        if bytes < self.total {
            self.bar.set_position(bytes);
        } else {
            self.bar.set_style(self.publishing.clone());
            self.bar.reset_elapsed();
            self.bar.enable_steady_tick(TICK);
        }
    }
}

/// Bytes that come from somewhere, nobody knows how many.
pub fn taken(from: &'static str) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{spinner} {msg}: {bytes}, {elapsed}")?;
    let taken = ProgressBar::no_length().with_style(style).with_message(from);
    taken.enable_steady_tick(TICK);
    Ok(taken)
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
