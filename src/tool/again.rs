//! Trying again what was killed from outside (by a person, or by a system that ran out of memory): the end says nothing
//! about what ran.

use std::time::Duration;

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest pause: a system without memory needs time.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts attempts, and pauses longer and longer between them.
#[derive(Debug)]
pub struct Again {
    attempts: u32,
    most: u32,
}

impl Again {
    /// The first of at most `most` attempts.
    pub fn new(most: u32) -> Self {
        Self { attempts: 1, most }
    }

    /// How many attempts there were, with the one under way.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Pauses before the next attempt; `false`, at once, when there were enough.
    pub async fn pause(&mut self) -> bool {
        if self.attempts >= self.most {
            return false;
        }
        let pause = SHORTEST.saturating_mul(1 << (self.attempts - 1).min(16)).min(LONGEST);
        self.attempts += 1;
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_counted() {
        let mut again = Again::new(3);
        assert!(again.pause().await && again.pause().await && !again.pause().await);
        assert_eq!(again.attempts(), 3);
    }
}
