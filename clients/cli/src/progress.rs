//! Progress of long work, on standard error only, and only where a person is looking.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress display.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Work of known length.
    pub fn bar(what: &str, length: u64) -> Self {
        let bar = Self::visible(ProgressBar::new(length));
        let template = "{msg} {wide_bar} {pos}/{len} {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// Work of unknown length.
    pub fn spinner(what: &str) -> Self {
        let bar = Self::visible(ProgressBar::new_spinner());
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    fn visible(bar: ProgressBar) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        bar
    }

    /// One more done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// What is being done now.
    pub fn now(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A line on standard error, above the display.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Does something that writes to the terminal while the display is away.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }

    /// Done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
