//! Tells whoever waits: a bar on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(200);

/// How far a run has come.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: bool,
    began: Instant,
}

impl Progress {
    /// Begins; on a terminal it draws a bar on standard error.
    pub(crate) fn begin() -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::new(0) };
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner} {elapsed_precise} {wide_bar} {pos}/{len}  {msg}",
        ) {
            bar.set_style(style);
        }
        if !lines {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, lines, began: Instant::now() }
    }

    /// Says what is done now.
    pub(crate) fn say(&self, what: &str) {
        if self.lines {
            eprintln!("run {:6.1} s  {what}", self.began.elapsed().as_secs_f64());
        } else {
            self.bar.set_message(what.to_owned());
        }
    }

    /// So many more steps are to be done.
    pub(crate) fn expect(&self, steps: usize) {
        self.bar.inc_length(steps as u64);
    }

    /// One is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
