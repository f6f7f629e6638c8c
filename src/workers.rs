//! Threads for heavy work, of deliveries and of the upkeep, at a lower priority than those that lookups wait for.

use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// Added to the niceness of the threads: lookups go first.
const NICENESS: i32 = 10;

/// Lets lookups go before what this thread does from now on. Refused by the system, it works at the usual priority.
pub fn let_lookups_go_first() {
    let _ = rustix::process::nice(NICENESS);
}

/// The work ended in a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("heavy work ended in a defect")]
pub struct Panicked;

/// A pool of threads of its own.
#[derive(Clone)]
pub struct Workers(Arc<Pool>);

struct Pool(Option<Runtime>);

impl Workers {
    /// `threads`: pieces of work that are done at once; more wait for them. Deliveries have one for each
    /// turn, and the upkeep and a rekey one each, so that nobody waits for a bank that sends slowly. They may have to
    /// wait for whole sets, each of which takes a second one to count its accounts.
    pub fn start(name: &'static str, threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads)
            .enable_time()
            .thread_name(name)
            .on_thread_start(let_lookups_go_first)
            .build()?;
        Ok(Self(Arc::new(Pool(Some(runtime)))))
    }

    /// Runs work on one of the threads, to its end.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let runtime = self.0.0.as_ref().ok_or(Panicked)?;
        let done = runtime.spawn_blocking(work).await;
        done.map_err(|_| Panicked)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A runtime may not be waited for where others run.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    /// Of the thread that asks, as Linux has it.
    fn niceness() -> i32 {
        getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn lookups_go_before_heavy_work_and_work_that_panics_is_told() {
        let workers = Workers::start("test", 1).unwrap();
        let of_lookups = niceness();
        let expected = (of_lookups + NICENESS).min(19);
        assert_eq!(workers.run(niceness).await, Ok(expected));
        assert_eq!(niceness(), of_lookups);
        let defect: Result<(), Panicked> = workers.run(|| panic!("a defect")).await;
        assert_eq!(defect, Err(Panicked));
        assert_eq!(workers.run(niceness).await, Ok(expected));
    }
}
