//! Proves the record of use in the background, and remembers what it came to.

use crate::record::{Proved, Reading, Recorder};
use chrono::{DateTime, Utc};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One proof at a time.
#[derive(Clone, Default)]
pub struct Verifier(Arc<Mutex<Verification>>);

/// What is known since this process began.
#[derive(Clone, Default)]
pub struct Verification {
    pub running: Option<Running>,
    pub last: Option<Outcome>,
}

#[derive(Clone)]
pub struct Running {
    pub reading: Arc<Reading>,
    /// About how many entries it will read.
    pub up_to: u64,
}

/// How a proof ended.
#[derive(Clone)]
pub struct Outcome {
    pub at: DateTime<Utc>,
    pub took: Duration,
    /// What was proved, or the first place where the log is not what was written.
    pub result: Result<Proved, String>,
}

impl Verifier {
    pub fn look(&self) -> Verification {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins, unless it is at it. Ends early when `stop` is set.
    pub fn begin(&self, recorder: &Recorder, stop: Arc<AtomicBool>) {
        let reading = Arc::new(Reading::until(stop, None));
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.running.is_some() {
            return;
        }
        state.running = Some(Running {
            reading: Arc::clone(&reading),
            up_to: recorder.head().sequence,
        });
        let (verifier, recorder) = (self.clone(), recorder.clone());
        tokio::task::spawn_blocking(move || verifier.prove(&recorder, &reading));
    }

    fn prove(&self, recorder: &Recorder, reading: &Reading) {
        let started = Instant::now();
        let result = recorder.prove(reading).map_err(|fault| fault.to_string());
        if let Err(fault) = &result {
            tracing::error!(fault, "the record of use is not what was written");
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = None;
        state.last = Some(Outcome {
            at: Utc::now(),
            took: started.elapsed(),
            result,
        });
    }
}
