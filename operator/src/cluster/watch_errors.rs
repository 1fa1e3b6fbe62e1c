//! Limits the logging of watch errors, and tracks unreadable AuthServices.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use crate::cluster::observed::Observed;

/// The initial interval at which the same error is logged again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The maximum interval between two log lines for the same error.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The error that was logged last for the watch of each kind.
#[derive(Debug, Default)]
pub(crate) struct WatchErrors(Mutex<HashMap<&'static str, LoggedError>>);

#[derive(Debug)]
struct LoggedError {
    error: String,
    logged: Instant,
    pause: Duration,
    unlogged: u32,
}

impl WatchErrors {
    /// Records an error. If it is to be logged, returns how many equal ones were suppressed since the last line.
    pub(crate) fn note(&self, kind: &'static str, error: &str, now: Instant) -> Option<u32> {
        let mut watch_errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = watch_errors.get_mut(kind).filter(|last| last.error == error) {
            let passed = now.duration_since(last.logged);
            if passed < last.pause {
                last.unlogged = last.unlogged.saturating_add(1);
                return None;
            }
            // After a long time without errors, the same error counts as a new one.
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

/// The unreadable AuthServices by uid, with the problem.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    current: HashMap<String, Box<str>>,
    /// The problems in a list in progress.
    listed: HashMap<String, Box<str>>,
}

impl Problems {
    /// Records an AuthService. Returns whether its problem has changed.
    pub(crate) fn note(&mut self, object: &Observed) -> bool {
        let uid = object.uid().unwrap_or_default();
        let before = match object.problem() {
            Some(problem) => self.current.insert(uid, problem.into()),
            None => self.current.remove(&uid),
        };
        before.as_deref() != object.problem()
    }

    /// Removes a deleted one.
    pub(crate) fn forget(&mut self, object: &Observed) {
        self.current.remove(&object.uid().unwrap_or_default());
    }

    /// A list begins.
    pub(crate) fn begin_list(&mut self) {
        self.listed.clear();
    }

    /// Records an AuthService of a list.
    pub(crate) fn list(&mut self, object: &Observed) {
        if let Some(problem) = object.problem() {
            self.listed.insert(object.uid().unwrap_or_default(), problem.into());
        }
    }

    /// Replaces the content with that of the list.
    pub(crate) fn end_list(&mut self) {
        self.current = std::mem::take(&mut self.listed);
    }

    pub(crate) fn count(&self) -> usize {
        self.current.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_error_is_logged_with_growing_pauses() {
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
