//! Prints the progress, and keeps what the plans found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use crate::checker::Violation;
use crate::history::Entry;
use crate::plan::{Family, Plan};
use crate::run::Outcome;
use crate::world::Place;

/// The folder for the results: `LATCHKEY_CAMPAIGN_RESULTS`. Without it nothing is kept.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("LATCHKEY_CAMPAIGN_RESULTS")?);
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

#[expect(clippy::print_stderr, reason = "the progress of a long run")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Says something that only the long form needs.
pub fn note(line: &str) {
    if folder().is_some() {
        say(line);
    }
}

fn write(name: &str, text: &str) {
    if let Some(folder) = folder()
        && let Err(error) = fs::write(folder.join(name), text)
    {
        say(&format!("{name} cannot be written: {error}"));
    }
}

/// Keeps the history of a plan with violations.
pub fn keep(plan: &Plan, place: &Place<'_>, violations: &[Violation], log: &str) {
    let mut text = format!("plan {}: {plan}\n", plan.number);
    for violation in violations {
        let _ = writeln!(text, "VIOLATION {:?}: {}", violation.rule, violation.what);
    }
    for entry in place.history.entries() {
        let _ = match entry {
            Entry::Object(version) => writeln!(
                text,
                "{} {} {}/{} {}",
                version.number,
                if version.deleted { "deleted" } else { "version" },
                version.kind,
                version.name,
                version.object["metadata"]["uid"],
            ),
            other => writeln!(text, "{other:?}"),
        };
    }
    for write in place.proxy.writes() {
        let _ = writeln!(
            text,
            "WRITE {} {:?} {}/{}",
            write.code, write.call.verb, write.call.resource, write.call.name
        );
    }
    place.history.with_objects(|objects| {
        for ((kind, name), object) in objects {
            // Without the private keys and passwords of the plan, which no report needs.
            if kind != "Secret" {
                let _ = writeln!(text, "OBJECT {kind}/{name} {object}");
            }
        }
    });
    let _ = writeln!(text, "LOG\n{log}");
    write(&format!("plan-{}.txt", plan.number), &text);
}

/// The figures of the plans so far.
pub fn summary(seed: u64, outcomes: &[Outcome], took: Duration) -> String {
    let mut families: BTreeMap<Family, [usize; 3]> = BTreeMap::new();
    for outcome in outcomes {
        let figures = families.entry(outcome.plan.family).or_default();
        figures[0] += 1;
        figures[1] += usize::from(outcome.struck > 0);
        figures[2] += usize::from(!outcome.violations.is_empty());
    }
    let bad = outcomes.iter().filter(|outcome| !outcome.violations.is_empty());
    let mut text = format!(
        "seed {seed}: {} plans in {:.0} s, {} with violations\n",
        outcomes.len(),
        took.as_secs_f64(),
        bad.clone().count()
    );
    for (family, [plans, struck, violated]) in families {
        let _ = writeln!(
            text,
            "  {family:?}: {plans} plans, {struck} reached their fault, {violated} with violations"
        );
    }
    if let Some(slowest) = outcomes.iter().max_by_key(|outcome| outcome.took) {
        let _ =
            writeln!(text, "  the slowest plan took {:.0} s: {}", slowest.took.as_secs_f64(), slowest.plan);
    }
    for outcome in bad {
        let _ = writeln!(text, "plan {}: {}", outcome.plan.number, outcome.plan);
        for violation in outcome.violations.iter().take(3) {
            let _ = writeln!(text, "  {:?}: {}", violation.rule, violation.what);
        }
    }
    text
}

/// Writes the figures so far.
pub fn keep_summary(text: &str) {
    write("summary.txt", text);
}
