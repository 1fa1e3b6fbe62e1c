//! What is wrong with what the watches show, without saying the same thing again and again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use crate::cluster::observed::Observed;

/// The same failure is logged again after so long at first, and after twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two lines about the same failure.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The failures that the watch of each kind logged last.
#[derive(Debug, Default)]
pub struct WatchErrors(Mutex<HashMap<&'static str, LoggedError>>);

#[derive(Debug)]
struct LoggedError {
    error: String,
    logged: Instant,
    pause: Duration,
    unlogged: u32,
}

impl WatchErrors {
    /// Takes in a failure; how many of the same were not logged since the last line, if this one is to be logged.
    pub fn note(&self, kind: &'static str, error: &str, now: Instant) -> Option<u32> {
        let mut watch_errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = watch_errors.get_mut(kind).filter(|last| last.error == error) {
            let passed = now.duration_since(last.logged);
            if passed < last.pause {
                last.unlogged = last.unlogged.saturating_add(1);
                return None;
            }
            // A failure that comes after a long rest is a new one.
            let rested = passed > LONGEST_PAUSE.saturating_mul(2);
            last.pause = if rested { FIRST_PAUSE } else { last.pause.saturating_mul(2).min(LONGEST_PAUSE) };
            last.logged = now;
            return Some(std::mem::take(&mut last.unlogged));
        }
        let logged_error =
            LoggedError { error: error.to_owned(), logged: now, pause: FIRST_PAUSE, unlogged: 0 };
        watch_errors.insert(kind, logged_error);
        Some(0)
    }
}

/// The AuthServices that cannot be read, by uid, with what is wrong.
#[derive(Debug, Default)]
pub struct Problems {
    current: HashMap<String, Box<str>>,
    /// What a list that has begun brought so far.
    listed: HashMap<String, Box<str>>,
}

impl Problems {
    /// Takes in an AuthService; whether something else is wrong with it than before.
    pub fn note(&mut self, object: &Observed) -> bool {
        let uid = object.uid().unwrap_or_default();
        let before = match object.problem() {
            Some(problem) => self.current.insert(uid, problem.into()),
            None => self.current.remove(&uid),
        };
        before.as_deref() != object.problem()
    }

    /// Forgets one that is gone.
    pub fn forget(&mut self, object: &Observed) {
        self.current.remove(&object.uid().unwrap_or_default());
    }

    /// A list begins.
    pub fn begin_list(&mut self) {
        self.listed.clear();
    }

    /// Takes in an AuthService of a list.
    pub fn list(&mut self, object: &Observed) {
        if let Some(problem) = object.problem() {
            self.listed.insert(object.uid().unwrap_or_default(), problem.into());
        }
    }

    /// Puts what the list brought in the place of what was known.
    pub fn end_list(&mut self) {
        self.current = std::mem::take(&mut self.listed);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.current.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_is_logged_less_and_less_often() {
        let watch_errors = WatchErrors::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let lines = (0..3600).filter(|second| watch_errors.note("Pod", "refused", at(*second)).is_some());
        assert!((5..16).contains(&lines.count()));
        assert_eq!(watch_errors.note("Pod", "another", at(3600)), Some(0));
        assert_eq!(watch_errors.note("Secret", "another", at(3600)), Some(0));
        assert_eq!(watch_errors.note("Pod", "another", at(3601)), None);
        assert_eq!(watch_errors.note("Pod", "another", at(3606)), Some(1));
    }
}
