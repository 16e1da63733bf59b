//! Runs the lines of a build in their order, and once more what fails on a damaged cache of downloads.

use super::command::{Budget, Place};
use super::{blocking, caches};
use crate::build::BuildError;
use crate::build::recipe::{self, Phase, Step};
use crate::model::{LineSink, LineSource};
use std::ops::Range;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The lines of a build, and where they run: those of the build in one place, those before the run in another.
pub struct Lines<'a> {
    pub building: &'a Place,
    pub before_run: &'a Place,
    pub steps: &'a [Step],
}

impl Lines<'_> {
    /// Runs these of them.
    pub async fn run(
        &self,
        which: Range<usize>,
        budget: &mut Budget,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let own = self.building.build.join("bin/sh");
        let shell = if own.exists() { own.display().to_string() } else { "/bin/sh".to_owned() };
        // What this build itself brings is not damaged.
        let (mut phase, mut doubtful) = (None, which.start == 0 && caches::is_filled(&self.building.cache));
        for number in which {
            let step = &self.steps[number];
            if phase.replace(step.phase) != Some(step.phase) {
                log.line(LineSource::AppRunner, &format!("Running {} commands.", step.phase.name()));
            }
            let shown = on_one_line(&step.line);
            log.line(LineSource::Build, &format!("Step {}/{} : {shown}", number + 1, self.steps.len()));
            let place = if step.phase == Phase::PreRun { self.before_run } else { self.building };
            let mut status = place.run(&[&shell, "-c", &step.line], budget, log, cancel).await?;
            if !status.success() && recipe::installs(&step.line) && std::mem::take(&mut doubtful) {
                log.line(LineSource::AppRunner, &format!("`{shown}` {}.", place.in_words(status)));
                log.line(LineSource::AppRunner, recipe::TRYING_AGAIN);
                empty(&place.cache).await?;
                status = place.run(&[&shell, "-c", &step.line], budget, log, cancel).await?;
            }
            if !status.success() {
                let ended = place.in_words(status);
                log.line(LineSource::AppRunner, &format!("`{shown}` {ended}."));
                return Err(BuildError::Command { phase: step.phase.name(), command: step.line.clone(), ended });
            }
        }
        Ok(())
    }
}

async fn empty(cache: &Path) -> Result<(), BuildError> {
    let cache = cache.to_owned();
    blocking(format!("empty {}", cache.display()), move || caches::empty(&cache)).await
}

/// A command as one line of a log: its first line, without control characters.
fn on_one_line(command: &str) -> String {
    let mut lines = command.trim().lines();
    let first: String = lines.next().unwrap_or("").chars().filter(|c| !c.is_control()).take(500).collect();
    if lines.next().is_some() { format!("{first} …") } else { first }
}
