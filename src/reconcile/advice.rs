//! What a person is told about an application that did not become healthy: facts in, sentences out. Pure.

use crate::model::QUOTES;

/// How many of an application's last lines are looked at for advice.
pub const LINES_READ: usize = 40;
/// How many of its last lines are quoted.
const LINES_QUOTED: usize = 8;

/// Where an application should listen, and where it does.
pub struct Listening<'a> {
    /// The engine's name.
    pub engine: &'a str,
    /// The port that it has to listen on here.
    pub wanted: u16,
    /// The service's port.
    pub configured: u16,
    /// The ports that it listens on, on any address.
    pub ports: &'a [u16],
    /// What the last probe said.
    pub probe: &'a str,
}

/// What is wrong with where an application listens; `None` when nothing is known to be wrong.
pub fn on_listening(at: &Listening) -> Option<String> {
    let Listening { engine, wanted, configured, ports, probe } = at;
    if ports.contains(wanted) {
        // Mostly `localhost`, which Node takes for `::1`, or `127.0.0.1` in a container.
        return probe.contains("refused").then(|| {
            format!(
                "The application listens on port {wanted}, but on an address that is not reached (such as `localhost` \
                 or `::1`): it has to listen on 0.0.0.0."
            )
        });
    }
    let first = ports.first()?;
    Some(match *engine {
        "process" => format!(
            "The application listens on port {first}; it has to listen on the service's port ({configured}) or on the one in \
             the PORT variable (here {wanted})."
        ),
        _ => format!("The application listens on port {first}, but the service's port is {wanted}."),
    })
}

/// Advice on an application that ended by itself while it should have started; empty when there is none. `wanted` is the
/// port in its PORT variable, `configured` the service's.
pub fn on_exit(engine: &str, message: &str, lines: &[String], configured: u16, wanted: u16) -> String {
    let in_use = |line: &String| line.contains("EADDRINUSE") || line.to_ascii_lowercase().contains("already in use");
    if engine == "process" && wanted != configured && lines.iter().any(in_use) {
        return format!(
            " It seems to listen on a fixed port, which is in use: on the process engine a new version starts beside the \
             one that runs, and has to listen on the service's port ({configured}) or on the one in the PORT variable (here \
             {wanted}). With the Docker engine (`--engine docker`) any fixed port works."
        );
    }
    if message == "exited with code 0" {
        return " The start command has to stay in the foreground for as long as the service runs.".into();
    }
    String::new()
}

/// The last lines of an application for a message, the empty ones and ours left out.
pub fn quote(lines: &[String]) -> String {
    let theirs: Vec<&String> =
        lines.iter().filter(|line| !line.trim().is_empty() && !line.starts_with("towpath: ")).collect();
    if theirs.is_empty() {
        return " It printed nothing.".into();
    }
    let last = &theirs[theirs.len().saturating_sub(LINES_QUOTED)..];
    let quoted: Vec<String> = last.iter().map(|line| format!("  | {line}")).collect();
    format!("{QUOTES}\n{}", quoted.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(engine: &str, ports: &[u16], probe: &str) -> Option<String> {
        on_listening(&Listening { engine, wanted: 20_001, configured: 8080, ports, probe })
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn another_port_is_named_with_what_helps_on_this_engine() {
        let said = listening("process", &[5000], "connection refused").unwrap();
        assert!(said.contains("port 5000") && said.contains("here 20001") && said.contains("(8080)"), "{said}");
        let said = listening("docker", &[5000], "connection refused").unwrap();
        assert!(said.contains("port 5000") && !said.contains("PORT variable"), "{said}");
        assert_eq!(listening("process", &[], "connection refused"), None);
    }

    #[test]
    fn the_right_port_on_an_unreachable_address_is_told_from_a_slow_answer() {
        assert!(listening("process", &[20_001], "connection refused").unwrap().contains("0.0.0.0"));
        assert_eq!(listening("process", &[20_001], "status 500"), None);
    }

    #[test]
    fn a_fixed_port_that_the_running_version_holds_is_explained() {
        let node = lines("Error: listen EADDRINUSE: address already in use :::3000\n    at x\n}");
        let said = on_exit("process", "exited with code 1", &node, 3000, 20_001);
        assert!(said.contains("fixed port") && said.contains("here 20001"), "{said}");
        let python = lines("OSError: [Errno 98] Address already in use");
        assert!(!on_exit("process", "exited with code 1", &python, 3000, 20_001).is_empty());
        assert_eq!(on_exit("process", "exited with code 1", &python, 3000, 3000), "", "it was given that port");
        assert_eq!(on_exit("process", "exited with code 1", &lines("KeyError: 'X'"), 3000, 20_001), "");
    }

    #[test]
    fn a_start_command_that_goes_to_the_background_is_explained() {
        assert!(on_exit("docker", "exited with code 0", &[], 1, 1).contains("foreground"));
    }

    #[test]
    fn quotes_hold_the_last_lines_that_say_something() {
        let many = lines("1\n2\n3\n4\n5\n6\n7\n8\n9\n\n \ntowpath: exited with code 1");
        let said = quote(&many);
        assert!(said.starts_with(" Its last lines:\n  | 2\n") && said.ends_with("| 9"), "{said}");
        assert_eq!(quote(&lines("\ntowpath: exited with code 1")), " It printed nothing.");
        let headline = crate::model::headline;
        assert_eq!(headline(&format!("it exited, 3 times in a row.{said}")), "it exited, 3 times in a row");
        assert_eq!(headline("Failed to execute 'build' command.\nmore"), "Failed to execute 'build' command.");
    }
}
