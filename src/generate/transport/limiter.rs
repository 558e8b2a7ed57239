//! How many requests are under way: halved when a server pushes back, grown slowly while all goes well.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Adaptive limit of concurrent requests to one provider.
#[derive(Debug)]
pub struct Limiter {
    state: Mutex<State>,
    changed: Notify,
    /// For requests that were refused once: they go first, so that their pauses are what was meant, not a second queue.
    changed_for_retries: Notify,
    most: f64,
}

#[derive(Debug)]
struct State {
    limit: f64,
    under_way: usize,
    retries_waiting: usize,
    /// Nobody sends before this.
    paused_until: Option<Instant>,
    /// The limit is halved once for all requests that were under way when it was halved.
    generation: u64,
}

/// The longest that a rate header makes everybody wait.
const MAX_PAUSE: Duration = Duration::from_secs(60);

impl Limiter {
    /// At most `most` at a time.
    pub fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        let state =
            State { limit: most, under_way: 0, retries_waiting: 0, paused_until: None, generation: 0 };
        Self { state: Mutex::new(state), changed: Notify::new(), changed_for_retries: Notify::new(), most }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are allowed at the moment.
    pub fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Waits for a place; a request that is sent again gets the next one.
    pub(super) async fn acquire(&self, is_retry: bool) -> Permit<'_> {
        let _waiting = is_retry.then(|| RetryWaiting::new(self));
        let notify = if is_retry { &self.changed_for_retries } else { &self.changed };
        loop {
            // Registered before the state is read: a place that is given back in between is not missed.
            let mut changed = std::pin::pin!(notify.notified());
            changed.as_mut().enable();
            let pause = {
                let mut state = self.state();
                let now = Instant::now();
                let pause = state.paused_until.filter(|until| *until > now);
                let before = if is_retry { 0 } else { state.retries_waiting };
                if pause.is_none() && state.under_way + before < state.limit as usize {
                    state.under_way += 1;
                    return Permit { limiter: self, generation: state.generation };
                }
                pause
            };
            match pause {
                Some(until) => tokio::time::sleep_until(until).await,
                None => changed.await,
            }
        }
    }

    /// Wakes whoever can take a place now.
    fn wake(&self, retries_waiting: usize) {
        if retries_waiting > 0 {
            self.changed_for_retries.notify_one();
        } else {
            self.changed.notify_one();
        }
    }
}

/// A request that waits to be sent again, counted for as long as it waits, even if it is dropped meanwhile.
struct RetryWaiting<'a>(&'a Limiter);

impl<'a> RetryWaiting<'a> {
    fn new(limiter: &'a Limiter) -> Self {
        limiter.state().retries_waiting += 1;
        Self(limiter)
    }
}

impl Drop for RetryWaiting<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.retries_waiting -= 1;
            state.retries_waiting
        };
        // Those that stood back for it may go now.
        self.0.wake(waiting);
    }
}

/// A place; given back when dropped.
pub(super) struct Permit<'a> {
    limiter: &'a Limiter,
    generation: u64,
}

impl Permit<'_> {
    /// The request went well; `exhausted`: no further ones are allowed for that long.
    pub(super) fn succeeded(self, exhausted: Option<Duration>) {
        let mut state = self.limiter.state();
        let before = state.limit as usize;
        state.limit = (state.limit + 1.0 / state.limit).min(self.limiter.most);
        if state.limit as usize > before {
            self.limiter.wake(state.retries_waiting);
        }
        pause(&mut state, exhausted);
    }

    /// The request failed; `limited`: because the server has too much to do.
    pub(super) fn failed(self, limited: bool, wait: Option<Duration>) {
        let mut state = self.limiter.state();
        if limited && state.generation == self.generation {
            state.limit = (state.limit / 2.0).max(1.0);
            state.generation += 1;
        }
        pause(&mut state, wait);
    }
}

fn pause(state: &mut State, wait: Option<Duration>) {
    if let Some(wait) = wait {
        let until = Instant::now() + wait.min(MAX_PAUSE);
        state.paused_until = Some(state.paused_until.map_or(until, |known| known.max(until)));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.limiter.state();
            state.under_way -= 1;
            state.retries_waiting
        };
        self.limiter.wake(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn push_back_halves_once_for_all_that_were_under_way_and_success_grows_again() {
        runtime().block_on(async {
            let limiter = Limiter::new(8);
            let mut permits = Vec::new();
            for _ in 0..8 {
                permits.push(limiter.acquire(false).await);
            }
            for permit in permits {
                permit.failed(true, None);
            }
            assert_eq!(limiter.limit(), 4);
            for _ in 0..100 {
                limiter.acquire(false).await.succeeded(None);
            }
            assert_eq!(limiter.limit(), 8);
        });
    }

    #[test]
    fn no_more_than_the_limit_are_under_way() {
        runtime().block_on(async {
            let limiter = Limiter::new(2);
            let first = limiter.acquire(false).await;
            let _second = limiter.acquire(false).await;
            let third = tokio::time::timeout(Duration::from_millis(5), limiter.acquire(false)).await;
            assert!(third.is_err());
            drop(first);
            assert!(tokio::time::timeout(Duration::from_secs(5), limiter.acquire(false)).await.is_ok());
        });
    }

    #[test]
    fn a_request_that_is_sent_again_goes_first_and_those_behind_it_still_go() {
        runtime().block_on(async {
            let limiter = Limiter::new(1);
            let first = limiter.acquire(false).await;
            let order = Mutex::new(Vec::new());
            let wait = async |name, is_retry| {
                let permit = limiter.acquire(is_retry).await;
                order.lock().unwrap().push(name);
                drop(permit);
            };
            let release = async {
                tokio::task::yield_now().await;
                drop(first);
            };
            let all =
                async { tokio::join!(wait("a", false), wait("b", false), wait("again", true), release) };
            assert!(
                tokio::time::timeout(Duration::from_secs(5), all).await.is_ok(),
                "somebody waits for ever"
            );
            assert_eq!(*order.lock().unwrap(), ["again", "a", "b"]);
        });
    }
}
