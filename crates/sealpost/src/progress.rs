//! Progress of long work on stderr: a bar with rate and time left on a terminal, nothing elsewhere.

use std::fmt::Write;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::tell::tell;

/// A bar that counts messages.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// `what` is being done to `total` messages.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), target());
        bar.set_style(style("{prefix} {wide_msg}"));
        bar.set_prefix(what);
        Self { bar }
    }

    /// How many there are in all, once it is known.
    pub fn total(&self, total: u64) {
        if total > 0 && self.bar.length() == Some(0) {
            // What went before, looking and waiting, says nothing about the rate.
            self.bar.reset_elapsed();
            self.bar.reset_eta();
        }
        self.bar.set_length(total);
        if total > 0 {
            self.bar.set_style(style("{prefix} {bar:30} {human_pos}/{human_len}  {rate}/s  {eta} left  {msg}"));
        }
    }

    /// One more is done.
    pub fn one(&self) {
        self.bar.inc(1);
    }

    /// What else there is to say.
    pub fn note(&self, note: String) {
        self.bar.set_message(note);
    }

    /// Nothing moves for a while, and why. Said as a line where there is no bar.
    pub fn wait(&self, why: String) {
        if self.bar.is_hidden() {
            tell(why);
        } else {
            self.bar.set_style(style("{prefix} {wide_msg}"));
            self.bar.set_message(why);
        }
    }

    /// Nothing moves for a while, and why; only where somebody watches.
    pub fn stall(&self, why: &'static str) {
        self.bar.set_message(why);
    }

    /// A line above the bar.
    pub fn line(&self, line: &str) {
        self.bar.suspend(|| tell(line));
    }

    /// All is done.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // Nobody reads a rate's decimals.
        let _ = write!(out, "{:.0}", state.per_sec());
    };
    style.with_key("rate", rate).progress_chars("█▉▊▋▌▍▎▏ ")
}

fn target() -> ProgressDrawTarget {
    let quiet = !std::io::stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) }
}
