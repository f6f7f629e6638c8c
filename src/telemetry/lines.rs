//! Log lines are written by a thread of their own, many at once: a write for each would cost a request more than the
//! line itself.

use std::io::{BufWriter, Stdout, Write};
use std::thread::sleep;
use std::time::Duration;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How long lines are gathered after some were written. A process that is killed loses these, and those that wait.
const GATHERING: Duration = Duration::from_millis(10);
/// Lines that may wait. Where the output takes no more, whoever has another one waits for it; none is dropped.
const WAITING_LINES: usize = 16_384;
/// Bytes of one write, at most.
const WRITE_BYTES: usize = 256 << 10;

/// Standard output, written at intervals; until the guard is dropped.
pub(super) fn gathered() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log lines")
        .finish(Gathered(BufWriter::with_capacity(WRITE_BYTES, std::io::stdout())))
}

/// Flushed whenever no line waits; then it lets some come together.
struct Gathered(BufWriter<Stdout>);

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.0.flush();
        sleep(GATHERING);
        flushed
    }
}
