//! What is going on, on stderr.

use std::{fmt, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where to say what is going on.
#[derive(Clone, Default)]
pub struct Progress(Option<MultiProgress>);

impl Progress {
    /// Says nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Says it on stderr: with spinners on a terminal, in plain lines elsewhere.
    pub fn stderr() -> Self {
        Self(Some(MultiProgress::new()))
    }

    /// Begins to tell about one thing.
    pub(crate) fn about(&self, subject: &'static str) -> Step {
        let bar = self.0.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(subject));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:10} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { subject, bar }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress::stderr" } else { "Progress::silent" })
    }
}

/// One thing that takes its time.
pub(crate) struct Step {
    subject: &'static str,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Says what is being done now.
    pub(crate) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) if bar.is_hidden() => eprintln!("{}: {message}", self.subject),
            Some(bar) => bar.set_message(message.to_owned()),
            None => {}
        }
    }

    /// Says how it ended, and leaves that in sight.
    pub(crate) fn done(&self, message: &str) {
        self.say(message);
        if let Some(bar) = &self.bar {
            bar.finish_with_message(message.to_owned());
        }
    }
}
