//! What `towpath up` prints: where things are, then a line per event. For a person on a terminal with the time of day, and below
//! the lines a [view of what is under way](super::view); for a log with the whole time in UTC; as JSON one event a line.

use super::core::Core;
use super::view::{self, View};
use crate::model::{Event, EventSeverity, Timestamp};
use crate::settings::datadir::DataDir;
use crate::settings::{self, Output, UpSettings};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The widest column of names; a longer name moves its own line only.
const NAMES_MAX: usize = 24;

/// Says where things are. JSON is for machines, which know.
pub fn greet(core: &Core, settings: &UpSettings, data: &DataDir) {
    if settings.output == Output::Json {
        return;
    }
    let http: Vec<String> = core.ingress.addresses().iter().map(|a| format!("http://{a}")).collect();
    let services =
        format!("http://<service>.{}:{}/ on {}", core.config.base_domain, core.config.http_port, http.join(", "));
    let api = format!("{} with the key in {}", core.config.api_url, data.admin_credentials().display());
    say(&format!(
        "towpath {} · {} engine\n  manifest  {}\n  data      {}\n  services  {services}\n  api       {api}\n  \
         Ctrl-C stops everything.\n\n",
        env!("CARGO_PKG_VERSION"),
        core.engine.name(),
        settings.manifest,
        data.root().display(),
    ));
}

/// A line per event, until the control plane goes.
pub async fn print(core: Arc<Core>, mut events: broadcast::Receiver<Event>, output: Output) {
    let terminal = io::stdout().is_terminal();
    let color = terminal && !settings::color_is_unwanted();
    let paper = Paper { output, terminal, color };
    let mut view = (terminal && output == Output::Text && !settings::terminal_is_dumb()).then(|| View::new(color));
    loop {
        let told = match &view {
            None => Told::of(events.recv().await),
            Some(_) => match tokio::time::timeout(view::TICK, events.recv()).await {
                Ok(received) => Told::of(received),
                Err(_) => Told::Nothing,
            },
        };
        let mut said = match told {
            Told::Over => return,
            told => paper.told(&told, &core),
        };
        let Some(view) = &mut view else {
            say(&said);
            continue;
        };
        // What came meanwhile is drawn with it: however much happens, a terminal is drawn on ten times a second at most.
        while let Ok(event) = events.try_recv() {
            said += &paper.told(&Told::Event(Box::new(event)), &core);
        }
        view.show(&core, &said).await;
        tokio::time::sleep(view::REST).await;
    }
}

/// What there is to print.
enum Told {
    Event(Box<Event>),
    Lost(u64),
    /// Nothing happened for a moment; time went on.
    Nothing,
    Over,
}

impl Told {
    fn of(received: Result<Event, RecvError>) -> Self {
        match received {
            Ok(event) => Self::Event(Box::new(event)),
            Err(RecvError::Lagged(lost)) => Self::Lost(lost),
            Err(RecvError::Closed) => Self::Over,
        }
    }
}

/// A reader that has gone (`towpath up | head`) must not end the server.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

fn names_width(core: &Core) -> usize {
    let state = core.state();
    let live = state.world.services.values().filter(|r| r.deleted_at.is_none()).map(|r| &r.name);
    let declared = state.desired.iter().flat_map(|d| &d.services).map(|s| &s.spec.name);
    live.chain(declared).map(|n| n.as_str().len()).chain(["towpath".len()]).max().unwrap_or(0).min(NAMES_MAX)
}

/// What is printed on.
struct Paper {
    output: Output,
    terminal: bool,
    color: bool,
}

impl Paper {
    /// What is printed of it, with the end of its last line.
    fn told(&self, told: &Told, core: &Core) -> String {
        match told {
            Told::Event(event) => format!("{}\n", self.line(event, names_width(core))),
            Told::Lost(lost) => format!("… {lost} events were not printed; `towpath events` has them\n"),
            Told::Nothing | Told::Over => String::new(),
        }
    }

    fn line(&self, event: &Event, names: usize) -> String {
        if self.output == Output::Json {
            return serde_json::to_string(event).unwrap_or_default();
        }
        let (word, color) = match event.severity {
            EventSeverity::Info => ("", ""),
            EventSeverity::Warn => ("warning: ", "33"),
            EventSeverity::Error => ("error: ", "31"),
        };
        let time = self.time(event.at);
        let name = event.name.as_ref().map_or("towpath", |n| n.as_str());
        let indent = " ".repeat(time.chars().count() + names + 4);
        let lines: Vec<String> = event.text().lines().map(harmless).collect();
        let text = format!("{}{}", self.paint(color, word), lines.join(&format!("\n{indent}")));
        format!("{}  {name:<names$}  {text}", self.paint("2", &time))
    }

    fn time(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(time) if self.terminal => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
            _ => at.to_string(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}

/// Applications' own output is quoted in events: it must not steer the terminal.
fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(severity: EventSeverity, detail: Option<&str>) -> Event {
        Event {
            at: Timestamp(1_790_000_000_123),
            service: None,
            name: Some("shop".parse().unwrap()),
            operation: None,
            kind: "DeploymentFailed".into(),
            severity,
            message: "Deployment failed. For details, see service logs.".into(),
            detail: detail.map(str::to_owned),
        }
    }

    const LOG: Paper = Paper { output: Output::Text, terminal: false, color: false };

    #[test]
    fn a_line_has_its_time_its_service_and_what_happened() {
        let line = LOG.line(&event(EventSeverity::Info, Some("Deployment started: commit ba05e61 is new on main.")), 7);
        assert_eq!(line, "2026-09-21T14:13:20.123Z  shop     Deployment started: commit ba05e61 is new on main.");
        let line = LOG.line(&event(EventSeverity::Error, None), 4);
        assert!(line.ends_with("Z  shop  error: Deployment failed. For details, see service logs."), "{line}");
    }

    #[test]
    fn quoted_output_stands_below_the_text_and_cannot_steer_the_terminal() {
        let line = LOG.line(&event(EventSeverity::Error, Some("it exited:\n  | \x1b[2Jboom")), 4);
        assert!(line.ends_with(&format!("error: it exited:\n{}  | ·[2Jboom", " ".repeat(32))), "{line}");
    }

    #[test]
    fn json_is_one_event_a_line() {
        let paper = Paper { output: Output::Json, ..LOG };
        let line = paper.line(&event(EventSeverity::Warn, Some("a\nb")), 4);
        let read: Event = serde_json::from_str(&line).unwrap();
        assert_eq!((line.lines().count(), read.text()), (1, "a\nb"));
    }
}
