//! What is happening: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Shows progress on standard error; figures themselves go to standard output.
#[derive(Debug)]
pub(crate) struct Show {
    bar: Option<ProgressBar>,
}

impl Show {
    /// With bars or with plain lines.
    pub(crate) fn new(is_terminal: bool) -> Self {
        let bar = is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Begins something of so many steps.
    pub(crate) fn begin(&self, what: &str, steps: u64) {
        match &self.bar {
            Some(bar) => {
                let style = ProgressStyle::with_template("{spinner} {msg:36} {bar:30} {pos}/{len}  {elapsed}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_message(what.to_owned());
                bar.set_length(steps);
                bar.reset();
            }
            None => eprintln!("{what} ({steps} steps)"),
        }
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Says something that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
