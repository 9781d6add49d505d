//! Colour on a terminal, and nowhere else.
//!
//! `anstream` takes the colours out where output is not a terminal or
//! `NO_COLOR` is set; here stands only which colour means what. State is
//! always said by a word and a sign as well.

use anstyle::{AnsiColor, Style};
use model::verdict::ServiceStatus;

/// Reset of all styles.
pub(crate) const RESET: anstyle::Reset = anstyle::Reset;

/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// The colour of a state.
pub(crate) const fn of(status: ServiceStatus) -> Style {
    let colour = match status {
        ServiceStatus::Up => AnsiColor::Green,
        ServiceStatus::Degraded => AnsiColor::Yellow,
        ServiceStatus::Down => AnsiColor::Red,
        ServiceStatus::Maintenance => AnsiColor::Blue,
        ServiceStatus::Unknown => AnsiColor::BrightBlack,
    };
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

/// The sign of a state, different in shape from every other.
pub(crate) const fn sign(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Up => "●",
        ServiceStatus::Degraded => "▲",
        ServiceStatus::Down => "✖",
        ServiceStatus::Maintenance => "◆",
        ServiceStatus::Unknown => "○",
    }
}

/// A state as sign and word, in its colour.
pub(crate) fn status(status: ServiceStatus) -> String {
    let style = of(status);
    format!("{style}{} {}{style:#}", sign(status), status.name())
}

/// The state of a name, as the API writes it.
pub(crate) fn named(name: &str) -> ServiceStatus {
    ServiceStatus::ALL.into_iter().find(|status| status.name() == name).unwrap_or_default()
}

/// A bar of a fixed width, filled as far as something is done.
pub(crate) fn part(done: u64, of: u64, width: usize) -> String {
    let filled = (done.min(of) * width as u64).checked_div(of).map_or(width, |filled| filled as usize);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}
