//! What a bench found, against what it is to reach.

use super::machine::Machine;
use serde::Serialize;
use std::fmt::Write;

/// Where a figure must lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// It is only told.
    None,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Which bench it comes from.
    pub(crate) bench: &'static str,
    /// What was measured.
    pub(crate) name: String,
    /// The median of the samples.
    pub(crate) value: f64,
    /// The smallest sample.
    pub(crate) least: f64,
    /// The largest sample.
    pub(crate) most: f64,
    /// How many samples there are.
    pub(crate) samples: usize,
    /// Its unit; a ratio has `x`.
    pub(crate) unit: &'static str,
    /// Where it must lie.
    pub(crate) target: Target,
}

impl Figure {
    /// A figure of several samples. `None` without any.
    pub(crate) fn of(
        bench: &'static str,
        name: impl Into<String>,
        samples: &[f64],
        unit: &'static str,
        target: Target,
    ) -> Option<Self> {
        let value = median(samples)?;
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { bench, name: name.into(), value, least, most, samples: samples.len(), unit, target })
    }

    /// A figure measured once.
    pub(crate) fn once(
        bench: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) -> Self {
        Self { bench, name: name.into(), value, least: value, most: value, samples: 1, unit, target }
    }

    /// Whether the target is reached; `None` without one.
    pub(crate) fn holds(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(bound) => Some(self.value >= bound),
            Target::AtMost(bound) => Some(self.value <= bound),
            Target::None => None,
        }
    }
}

/// The middle value, the mean of the two middle ones if their number is even.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    percentile_pair(samples).map(|(low, high)| (low + high) / 2.0)
}

fn percentile_pair(samples: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(samples);
    let high = sorted.get(sorted.len() / 2)?;
    let low = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((*low, *high))
}

/// The value that a share of the samples, 0 to 1, does not exceed.
pub(crate) fn percentile(samples: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(samples);
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Everything of one call.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    /// When it was measured, RFC 3339 in UTC.
    pub(crate) at: String,
    /// Where.
    pub(crate) machine: Machine,
    /// What.
    pub(crate) figures: Vec<Figure>,
    /// What must be known to read them.
    pub(crate) remarks: Vec<String>,
}

impl Findings {
    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![["".into(), "figure".into(), "median".into(), "from".into(), "to".into(), "target".into()]];
        rows.extend(self.figures.iter().map(row));
        let widths: Vec<usize> = (0..rows[0].len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut out = format!("{}, {}\n\n", self.at, self.machine);
        for row in &rows {
            let [mark, name, numbers @ ..] = row;
            let _ = write!(out, "{mark:<0$} {name:<1$}", widths[0], widths[1]);
            for (number, width) in numbers.iter().zip(&widths[2..]) {
                let _ = write!(out, "  {number:>width$}");
            }
            out.push('\n');
        }
        for remark in &self.remarks {
            let _ = write!(out, "\n- {remark}");
        }
        out
    }
}

/// One figure as a line.
pub(crate) fn line(figure: &Figure) -> String {
    let [mark, name, value, least, most, target] = row(figure);
    let spread = if figure.samples > 1 { format!(" ({least} to {most})") } else { String::new() };
    format!("{mark:6} {name}: {value}{spread} {target}").trim_end().to_owned()
}

fn row(figure: &Figure) -> [String; 6] {
    let mark = match figure.holds() {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    };
    let target = match figure.target {
        Target::AtLeast(bound) => format!(">= {}", number(bound)),
        Target::AtMost(bound) => format!("<= {}", number(bound)),
        Target::None => String::new(),
    };
    let name = format!("{}: {}", figure.bench, figure.name);
    let value = format!("{} {}", number(figure.value), figure.unit);
    let several = |value: f64| if figure.samples > 1 { number(value) } else { String::new() };
    [mark.to_owned(), name, value, several(figure.least), several(figure.most), target]
}

/// Three digits are as much as these machines can tell.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&samples, 0.99), Some(99.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_figure_beyond_its_target_is_missed() {
        let figure = |value, target| Figure::once("down", "page", value, "s", target).holds();
        assert_eq!(figure(0.4, Target::AtMost(1.0)), Some(true));
        assert_eq!(figure(1.4, Target::AtMost(1.0)), Some(false));
        assert_eq!(figure(0.8, Target::AtLeast(0.85)), Some(false));
        assert_eq!(figure(0.8, Target::None), None);
    }
}
