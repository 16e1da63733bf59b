//! What Podman's builder says of a running build. It counts the instructions of each stage, `[2/3] STEP 4/7: RUN …`, and says
//! only afterwards whether a result was there already.

use super::progress::{Event, Steps, push_output, runs};
use super::recipe::Command;

/// The instruction that is worked on.
#[derive(Default)]
pub(super) struct Present {
    command: Option<Command>,
    /// Whether it was said that its command runs, or that it does not have to.
    told: bool,
    /// Output that waits for its line end.
    partial: Vec<u8>,
}

impl Present {
    /// Whether a message is the first that only this builder sends.
    pub fn begins(text: &str) -> bool {
        step(text).is_some()
    }

    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// What one message tells.
    pub fn take(&mut self, text: &str, steps: &dyn Steps, events: &mut Vec<Event>) {
        if let Some((stage, number, instruction)) = step(text) {
            self.flush(events);
            self.command = steps.buildah(stage, number, instruction).cloned();
            self.told = false;
            // What is no `RUN` has nothing to say.
            if self.command.as_ref().is_some_and(|command| !runs(command)) {
                self.tell(Event::Runs, events);
            }
        } else if text.starts_with("--> Using cache ") {
            self.tell(Event::Cached, events);
        } else if is_layer(text) {
            self.tell(Event::Runs, events);
            self.flush(events);
        } else if self.command.as_ref().is_some_and(runs) {
            self.tell(Event::Runs, events);
            push_output(&mut self.partial, text.as_bytes(), events);
        }
    }

    /// The last output that has no line end.
    pub fn flush(&mut self, events: &mut Vec<Event>) {
        push_output(&mut self.partial, b"\n", events);
    }

    fn tell(&mut self, event: fn(Command) -> Event, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.told, true) {
            events.extend(self.command.clone().map(event));
        }
    }
}

/// The stage (from 1), the instruction's number in it (from 1), and its text.
fn step(text: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let (stages, rest) = inside.split_once("] ")?;
            (stages.split_once('/')?.0.parse().ok()?, rest)
        }
        None => (1, text),
    };
    let (count, instruction) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    Some((stage, count.split_once('/')?.0.parse().ok()?, instruction))
}

/// `--> 44c4204b8e3`: an instruction's result is there.
fn is_layer(text: &str) -> bool {
    let id = text.strip_prefix("--> ").map(str::trim_end);
    id.is_some_and(|id| id.len() >= 11 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::super::dockerfile::Dockerfile;
    use super::super::progress::Progress;
    use super::*;
    use serde_json::json;

    /// As Podman 4.3 sends them.
    #[test]
    fn a_build_of_podman_is_followed_to_the_command_that_failed() {
        let text = "FROM x AS a\nRUN one\nRUN two\nFROM a\nCOPY a b\nRUN three\n";
        let file = Dockerfile::read("Dockerfile", text);
        let mut progress = Progress::new(&file);
        let mut told = Vec::new();
        for message in [
            "[1/2] STEP 1/3: FROM x AS a\n",
            "[1/2] STEP 2/3: RUN one\n",
            "--> Using cache 6f1255a3c6f6bdb3ea2505bc60b0adf339e1c5150f383d46fe7822c2d4b9a1f5\n",
            "--> 6f1255a3c6f\n",
            "[1/2] STEP 3/3: RUN two\n",
            "out\nmore",
            " of it\n",
            "--> bcfd089a6cf\n",
            "[2/2] STEP 1/4: FROM bcfd089a6cf77c8126d6107d3e67b8a945d9915a5acddf7b3513a57048385bd0\n",
            "[2/2] STEP 2/4: COPY a b\n",
            "[2/2] STEP 3/4: RUN three\n",
        ] {
            told.extend(progress.take(json!({ "stream": message }).to_string().as_bytes()));
        }
        let error = "building at STEP \"RUN three\": while running runtime: exit status 127\n";
        told.extend(
            progress.take(json!({ "error": error, "errorDetail": { "message": error } }).to_string().as_bytes()),
        );
        let said: Vec<String> = told
            .iter()
            .map(|event| match event {
                Event::Runs(command) => format!("runs {}", command.line),
                Event::Cached(command) => format!("cached {}", command.line),
                Event::Line(line) => line.clone(),
                Event::Failed { command, code, .. } => format!("{:?} {code:?}", command.as_ref().map(|c| &c.line)),
            })
            .collect();
        assert_eq!(
            said,
            [
                "runs FROM x AS a",
                "cached RUN one",
                "runs RUN two",
                "out",
                "more of it",
                "runs FROM a",
                "runs COPY a b",
                "Some(\"RUN three\") Some(127)"
            ]
        );
    }
}
