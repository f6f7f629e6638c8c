//! What commands say. Where nobody reads it any longer, they end quietly; where it cannot be written, with a sentence.

use super::Failure;
use std::fmt::Arguments;
use std::io::{self, Write};

/// A line on standard output.
pub fn say(line: Arguments<'_>) -> Result<(), Failure> {
    write(format!("{line}\n").as_bytes())
}

/// All of a text on standard output.
pub fn write(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|cause| unwritten(&cause))
}

/// A line on standard error. Where that takes nothing, there is nobody to tell.
pub fn tell(line: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Why standard output is at its end.
pub fn unwritten(cause: &io::Error) -> Failure {
    match cause.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::Refused(format!("standard output cannot be written: {cause}")),
    }
}
