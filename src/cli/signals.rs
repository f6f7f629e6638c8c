//! Signals of the operating system.

use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM and Ctrl-C cancel, and a bell that SIGHUP rings.
pub fn listen() -> std::io::Result<(CancellationToken, Arc<Notify>)> {
    let (stop, reload) = (CancellationToken::new(), Arc::new(Notify::new()));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    // A write beyond a limit on file sizes would end the process; handled, it is an error of that write.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let (told_to_stop, told_to_reload) = (stop.clone(), Arc::clone(&reload));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => told_to_reload.notify_one(),
            }
        }
        told_to_stop.cancel();
    });
    Ok((stop, reload))
}
