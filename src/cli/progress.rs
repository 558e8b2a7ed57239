//! The progress display: consumes the events of a run. On a terminal a bar; elsewhere a line every few results.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use crate::run::event::Event;
use crate::score::Status;

use super::output;

/// Shows events until the run closes the channel.
pub async fn show(mut events: mpsc::UnboundedReceiver<Event>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let terminal = !bar.is_hidden();
    bar.set_style(style("{spinner} {msg}"));
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut counts = Counts::default();
    let mut total = 0;
    let mut done = 0;
    let mut steps = Steps::default();
    while let Some(event) = events.recv().await {
        match event {
            Event::Warning(warning) => bar.suspend(|| output::warning(&warning)),
            Event::Preparing(text) => {
                if terminal {
                    bar.set_message(text);
                } else if steps.is_news(&text) {
                    output::talk(&text);
                }
            }
            Event::Started { total: all, resumed } => {
                total = all;
                done = resumed;
                bar.set_length(all as u64);
                bar.set_position(resumed as u64);
                bar.set_style(style("{wide_bar} {pos}/{len}  {msg}  {elapsed_precise}"));
                bar.set_message(counts.to_string());
                if resumed > 0 {
                    bar.suspend(|| output::talk(&format!("{resumed} of {all} results are taken over")));
                }
            }
            Event::Finished(result) => {
                done += 1;
                counts.add(result.status);
                bar.set_position(done as u64);
                bar.set_message(counts.to_string());
                if !terminal && (done % 25 == 0 || done == total) {
                    output::talk(&format!("{done}/{total}  {counts}"));
                }
            }
            Event::Interrupted => {
                bar.suspend(|| {
                    output::talk("interrupted: finishing what is under way (again: stop at once)");
                });
            }
        }
    }
    bar.finish_and_clear();
}

fn style(template: &str) -> ProgressStyle {
    // The templates are literals above; the default style is the fallback.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Steps of the preparation, for a reader of a log: all but those of a series (`3 of 74`), of which one every few seconds.
#[derive(Default)]
struct Steps {
    last: Option<(String, Instant)>,
}

impl Steps {
    fn is_news(&mut self, text: &str) -> bool {
        let kind = text.split_whitespace().next().unwrap_or_default();
        let is_in_a_series = text.contains(" of ");
        if let Some((last, at)) = &self.last
            && is_in_a_series
            && last == kind
            && at.elapsed() < Duration::from_secs(5)
        {
            return false;
        }
        self.last = Some((kind.to_owned(), Instant::now()));
        true
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    errored: usize,
}

impl Counts {
    fn add(&mut self, status: Status) {
        match status {
            Status::Passed => self.passed += 1,
            Status::Failed => self.failed += 1,
            Status::Errored => self.errored += 1,
            Status::Skipped => {}
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} errored", self.passed, self.failed, self.errored)
    }
}
