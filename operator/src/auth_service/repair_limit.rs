//! Limits the repairs of an object. An object that another writer keeps changing is repaired a few times immediately,
//! and then once per second. Pure.

use std::time::{Duration, Instant};

use crate::cluster::kinds::Kind;

/// The number of repairs without a pause.
const AT_ONCE: u32 = 5;
/// The interval of further repairs.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The repairs of the objects of one AuthService; contains only recently repaired objects.
#[derive(Debug, Default)]
pub(crate) struct Repairs(Vec<Repaired>);

#[derive(Debug)]
struct Repaired {
    kind: Kind,
    name: Box<str>,
    /// When all of these repairs expire: each adds [`INTERVAL`].
    until: Instant,
}

impl Repairs {
    /// Whether an object may be repaired now; if so, this counts as a repair.
    pub(crate) fn may_repair(&mut self, kind: Kind, name: &str, now: Instant) -> bool {
        self.0.retain(|repaired| repaired.until > now);
        let found = self.0.iter_mut().find(|repaired| repaired.kind == kind && *repaired.name == *name);
        let Some(repaired) = found else {
            self.0.push(Repaired { kind, name: name.into(), until: now + INTERVAL });
            return true;
        };
        let may = repaired.until.duration_since(now) <= INTERVAL * (AT_ONCE - 1);
        if may {
            repaired.until += INTERVAL;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_contested_object_does_not_consume_the_repairs_of_another() {
        let (mut repairs, now) = (Repairs::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert!(repairs.may_repair(Kind::ConfigMap, "a", now));
        }
        assert!(!repairs.may_repair(Kind::ConfigMap, "a", now));
        assert!(repairs.may_repair(Kind::ConfigMap, "b", now) && repairs.may_repair(Kind::Secret, "a", now));
        assert!(repairs.may_repair(Kind::ConfigMap, "a", now + INTERVAL));
    }

    proptest! {
        #[test]
        fn repairs_are_limited_and_never_delayed_beyond_the_interval(pauses in proptest::collection::vec(0_u64..3000, 1..200)) {
            let (mut repairs, began) = (Repairs::default(), Instant::now());
            let (mut now, mut last, mut count) = (began, began, 0_u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                if repairs.may_repair(Kind::ConfigMap, "a", now) {
                    (last, count) = (now, count + 1);
                }
                prop_assert!(now.duration_since(last) < INTERVAL, "held up for too long");
                let allowed = AT_ONCE + u32::try_from(now.duration_since(began).as_secs()).unwrap();
                prop_assert!(count <= allowed, "{count} repairs, {allowed} allowed");
            }
        }
    }
}
