//! A measured figure with its ceiling and its target.

use serde::Serialize;

/// The same measurement, repeated.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(into = "Spread")]
pub struct Samples(Vec<f64>);

/// The form of [`Samples`] in the JSON file.
#[derive(Debug, Serialize)]
pub struct Spread {
    median: f64,
    smallest: f64,
    largest: f64,
    samples: Vec<f64>,
}

/// Which value is compared with the target.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The ratio of measured and ceiling must not be smaller.
    RatioAtLeast(f64),
    /// The ratio of measured and ceiling must not be larger.
    RatioAtMost(f64),
    /// The ratio may differ from 1 by this much, in either direction.
    RatioNearOne(f64),
    /// The measured value must be smaller.
    Under(f64),
}

/// A row of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What is measured, such as `logins per second`.
    pub name: String,
    /// The unit of the measured values, such as `ms`; empty for rates.
    pub unit: &'static str,
    /// The values.
    pub measured: Samples,
    /// What the values are compared with, and its values in the same runs.
    pub ceiling: Option<(String, Samples)>,
    /// Measured / ceiling of each run.
    pub ratio: Option<Samples>,
    /// The target.
    pub target: Option<Target>,
    /// Details, such as the CPU time of the load generator.
    pub note: String,
}

impl From<Vec<f64>> for Samples {
    fn from(samples: Vec<f64>) -> Self {
        Self(samples)
    }
}

impl From<f64> for Samples {
    fn from(sample: f64) -> Self {
        Self(vec![sample])
    }
}

impl From<Samples> for Spread {
    fn from(samples: Samples) -> Self {
        let (smallest, largest) = samples.range();
        Self { median: samples.median(), smallest, largest, samples: samples.0 }
    }
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often it was measured.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The smallest and the largest.
    pub fn range(&self) -> (f64, f64) {
        let smallest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        (smallest, self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    fn divided_by(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// The median with its range.
    pub fn text(&self, unit: &str) -> String {
        let (smallest, largest) = self.range();
        let space = if unit.is_empty() { "" } else { " " };
        let spread = if self.0.len() > 1 {
            format!(" ({} to {})", number(smallest), number(largest))
        } else {
            String::new()
        };
        format!("{}{space}{unit}{spread}", number(self.median()))
    }
}

impl Figure {
    /// A figure without a ceiling.
    pub fn new(name: impl Into<String>, unit: &'static str, measured: impl Into<Samples>) -> Self {
        Self {
            name: name.into(),
            unit,
            measured: measured.into(),
            ceiling: None,
            ratio: None,
            target: None,
            note: String::new(),
        }
    }

    /// With a ceiling that was measured in the same runs.
    #[must_use]
    pub fn beside(mut self, name: impl Into<String>, ceiling: &Samples) -> Self {
        self.ratio = Some(self.measured.divided_by(ceiling));
        self.ceiling = Some((name.into(), ceiling.clone()));
        self
    }

    /// With a target.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// With details.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether the target is reached; `None` without a target.
    pub fn is_reached(&self) -> Option<bool> {
        let measured = self.measured.median();
        let ratio = self.ratio.as_ref().map_or(f64::NAN, Samples::median);
        self.target.map(|target| match target {
            Target::RatioAtLeast(least) => ratio >= least,
            Target::RatioAtMost(most) => ratio <= most,
            Target::RatioNearOne(most) => (ratio - 1.0).abs() <= most,
            Target::Under(limit) => measured < limit,
        })
    }

    /// The target in words.
    pub fn target_text(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match self.target {
            None => String::new(),
            Some(Target::RatioAtLeast(least)) => format!("ratio at least {least:.2}"),
            Some(Target::RatioAtMost(most)) => format!("ratio at most {most:.2}"),
            Some(Target::RatioNearOne(most)) => format!("equal within {:.0}%", 100.0 * most),
            Some(Target::Under(limit)) => format!("under {}{unit}", number(limit)),
        }
    }

    /// The cells of the row: name, measured, ceiling, ratio, target, whether it is reached.
    pub fn cells(&self) -> [String; 6] {
        let reached = match self.is_reached() {
            None => "",
            Some(true) => "yes",
            Some(false) => "no",
        };
        let ceiling = self.ceiling.as_ref();
        [
            self.name.clone(),
            self.measured.text(self.unit),
            ceiling.map(|(name, samples)| format!("{name}: {}", samples.text(self.unit))).unwrap_or_default(),
            self.ratio.as_ref().map(|ratio| ratio.text("")).unwrap_or_default(),
            self.target_text(),
            reached.to_owned(),
        ]
    }
}

/// A size in MB of 1,024 kB.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// A number with three significant digits, or all digits before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (head, tail) = digits.split_at(digits.len() - 3);
            match head.len() {
                4.. if !head.starts_with('-') => {
                    let (millions, thousands) = head.split_at(head.len() - 3);
                    format!("{millions},{thousands},{tail}")
                }
                _ => format!("{head},{tail}"),
            }
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
