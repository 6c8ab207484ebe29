//! How far a command is, for people who watch a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use store::Progress;

pub(crate) struct Watch(ProgressBar);

impl Watch {
    /// Draws nothing where stderr is no terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:20!} {wide_bar} {pos}/{len}  {eta:>4} left")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    pub(crate) fn show(&self, progress: Progress) {
        self.0.set_message(progress.what);
        self.0.set_length(progress.total.max(progress.done));
        self.0.set_position(progress.done);
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
