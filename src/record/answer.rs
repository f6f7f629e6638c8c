//! How those who wait for their entry are told that it is durable.
//!
//! To wake a task of another thread costs a system call, and one of the own thread next to nothing. So of those who
//! wait on one thread the writer wakes one, and that one wakes the others.

use super::writer::AppendError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What became of an entry.
pub type Outcome = Result<(), AppendError>;

thread_local! {
    static HERE: Arc<Bench> = Arc::default();
}

/// Those of one thread who have an outcome and were not woken yet.
#[derive(Default)]
pub struct Bench(Mutex<Vec<Waker>>);

impl Bench {
    /// Whether it is the first, so that somebody has to be woken.
    fn seat(&self, waker: Waker) -> bool {
        let mut seated = hold(&self.0);
        seated.push(waker);
        seated.len() == 1
    }

    /// Wakes one, who then wakes the others.
    pub fn wake_one(&self) {
        let first = hold(&self.0).pop();
        first.into_iter().for_each(Waker::wake);
    }

    fn wake_all(&self) {
        let seated = std::mem::take(&mut *hold(&self.0));
        seated.into_iter().for_each(Waker::wake);
    }
}

struct Place {
    state: Mutex<State>,
    bench: Arc<Bench>,
}

enum State {
    /// With whom to wake, once they have asked.
    Waiting(Option<Waker>),
    Over(Outcome),
    /// The writer ended without an outcome.
    GivenUp,
    /// Nobody waits any longer.
    Forgotten,
}

/// The writer's side.
pub struct Answer(Arc<Place>);

/// The side of who waits. Never outlasts the writer's in vain: without an outcome it is [`AppendError::Closed`].
pub struct Answered(Arc<Place>);

/// Both sides. The waiting one is best used on this thread.
pub fn answer() -> (Answer, Answered) {
    let place = Arc::new(Place {
        state: Mutex::new(State::Waiting(None)),
        bench: HERE.with(Arc::clone),
    });
    (Answer(Arc::clone(&place)), Answered(place))
}

impl Answer {
    /// Whether nobody waits any longer.
    pub fn is_closed(&self) -> bool {
        matches!(*hold(&self.0.state), State::Forgotten)
    }

    /// Tells what became of the entry. Returns the bench on which somebody is to be woken, if nobody was to be yet.
    pub fn send(self, outcome: Outcome) -> Option<Arc<Bench>> {
        self.end(State::Over(outcome))
    }

    fn end(&self, state: State) -> Option<Arc<Bench>> {
        // Held until the waker is seated: who stops waiting meanwhile is then found on the bench, and wakes the others.
        let mut held = hold(&self.0.state);
        let State::Waiting(Some(waker)) = std::mem::replace(&mut *held, state) else {
            return None;
        };
        let is_first = self.0.bench.seat(waker);
        is_first.then(|| Arc::clone(&self.0.bench))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let is_waiting = matches!(*hold(&self.0.state), State::Waiting(_));
        if is_waiting && let Some(bench) = self.end(State::GivenUp) {
            bench.wake_one();
        }
    }
}

impl Future for Answered {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = hold(&self.0.state);
        match &mut *state {
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Over(outcome) => Poll::Ready(outcome.clone()),
            State::GivenUp | State::Forgotten => Poll::Ready(Err(AppendError::Closed)),
        }
    }
}

/// Whoever was woken is done with it, be it that it no longer cares.
impl Drop for Answered {
    fn drop(&mut self) {
        *hold(&self.0.state) = State::Forgotten;
        self.0.bench.wake_all();
    }
}

fn hold<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn one_is_woken_and_wakes_the_others_even_if_it_no_longer_cares() {
        let all: [Arc<Woken>; 3] = Default::default();
        let woken = || all.iter().map(|one| one.0.load(Ordering::SeqCst)).sum::<usize>();
        let (answers, mut waiting): (Vec<_>, Vec<_>) = all.iter().map(|_| answer()).unzip();
        for (answered, one) in waiting.iter_mut().zip(&all) {
            let waker = Waker::from(Arc::clone(one));
            assert!(
                Pin::new(answered)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let failed = || Err(AppendError::TimedOut);
        let benches: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| answer.send(failed()))
            .collect();
        assert_eq!((benches.len(), woken()), (1, 0));
        benches[0].wake_one();
        assert_eq!(woken(), 1);
        drop(waiting.pop());
        assert_eq!(woken(), 3);
        let waker = Waker::noop();
        for mut answered in waiting {
            let polled = Pin::new(&mut answered).poll(&mut Context::from_waker(waker));
            assert!(matches!(polled, Poll::Ready(Err(AppendError::TimedOut))));
        }
    }

    #[test]
    fn a_writer_that_ends_leaves_nobody_waiting() {
        let (answer, mut answered) = answer();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut answered).poll(&mut context).is_pending());
        drop(answer);
        let polled = Pin::new(&mut answered).poll(&mut context);
        assert!(matches!(polled, Poll::Ready(Err(AppendError::Closed))));
    }
}
