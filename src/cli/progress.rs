//! The progress display: consumes the events of a run. On a terminal a bar; elsewhere a line every few results.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use crate::run::event::Event;
use crate::score::Status;
use crate::tool::progress::Progress;

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
            Event::Preparing(step) => {
                if terminal {
                    bar.set_message(step.text);
                } else if steps.is_news(&step) {
                    output::talk(&step.text);
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

/// Steps of the preparation, for a reader of a log: all but those of a series, of which one every few seconds.
#[derive(Default)]
struct Steps {
    last: Option<(&'static str, Instant)>,
}

impl Steps {
    fn is_news(&mut self, step: &Progress) -> bool {
        let under_way = self.last.filter(|(_, at)| at.elapsed() < Duration::from_secs(5));
        if step.series.is_some() && under_way.map(|(series, _)| series) == step.series {
            return false;
        }
        self.last = step.series.map(|series| (series, Instant::now()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_series_only_the_first_step_is_news() {
        let mut steps = Steps::default();
        let mut news = |step: Progress| steps.is_news(&step);
        assert!(news("installing 3 of them".into()) && news("installing 3 of them".into()));
        assert!(news(Progress::of("fetching", "a")) && !news(Progress::of("fetching", "b")));
        assert!(news(Progress::of("building", "a")) && news("unpacking".into()));
        assert!(news(Progress::of("building", "b")));
    }
}
