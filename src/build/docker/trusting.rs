//! The repository's own Dockerfile, so that its commands trust the installation's certificate authorities: `RUN`
//! instructions mount them, and `ARG` instructions name the file to tools. Neither stays in the image. Pure.

use super::authorities;
use super::dockerfile::Dockerfile;

/// The changed text.
pub(super) struct Trusting {
    pub text: String,
    /// Before which lines of the original lines were put in, as often as there were.
    inserted: Vec<usize>,
}

impl Trusting {
    /// Changes a Dockerfile; `image` holds the authorities. What the file itself sets (`ENV`) is stronger.
    pub fn of(text: &str, file: &Dockerfile, image: &str) -> Self {
        let mut made = Self { text: String::new(), inserted: Vec::new() };
        let (runs, begins) = (file.lines_of_runs(), file.first_lines_of_stages());
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if begins.contains(&(number + 1)) {
                made.declare(number + 1);
            }
            let changed = runs.contains(&(number + 1)).then(|| mounting(line, image)).flatten();
            made.text.push_str(changed.as_deref().unwrap_or(line));
        }
        made
    }

    fn declare(&mut self, before: usize) {
        for (name, file) in authorities::variables() {
            self.text.push_str(&format!("ARG {name}={file}\n"));
            self.inserted.push(before);
        }
    }

    /// The line of the original that a line of the changed text was.
    fn original(&self, line: usize) -> usize {
        let before = |original: usize| self.inserted.iter().filter(|at| **at <= original).count();
        (1..=line).rev().find(|original| original + before(*original) <= line).unwrap_or(line)
    }

    /// A message about the changed text with the lines of the original: `dockerfile parse error line 12: …`.
    pub fn in_original(&self, message: &str) -> String {
        let mut said = String::new();
        let mut rest = message;
        while let Some(at) = rest.find("line ") {
            let (before, number) = rest.split_at(at + "line ".len());
            let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            said.push_str(before);
            match number[..end].parse() {
                Ok(line) => said.push_str(&self.original(line).to_string()),
                Err(_) => said.push_str(&number[..end]),
            }
            rest = &number[end..];
        }
        said + rest
    }
}

/// A line that begins with `RUN`, with the mount behind that word.
fn mounting(line: &str, image: &str) -> Option<String> {
    let indent = line.len() - line.trim_start().len();
    let (keyword, rest) = line[indent..].split_at_checked("RUN".len())?;
    let whole = keyword.eq_ignore_ascii_case("RUN") && rest.starts_with(char::is_whitespace);
    whole.then(|| {
        format!("{}{keyword} {}{}", &line[..indent], authorities::mount(image), rest.trim_start_matches([' ', '\t']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# syntax=docker/dockerfile:1\nARG BASE=python:3.11\nFROM $BASE AS build\n\n# packages\nrun pip \\\n  install x\n\
                        FROM scratch\nCOPY --from=build /x /x\nFROM build\nCOPY <<EOT /y\nRUN not this\nEOT\n  RUN [\"true\"]\nBAD\n";

    #[test]
    fn every_stage_declares_the_variables_and_every_run_mounts_the_file() {
        let made = Trusting::of(TEXT, &Dockerfile::read("Dockerfile", TEXT), "i:1");
        let mount = "--mount=type=bind,from=i:1,source=/certificates.pem,target=/run/towpath/certificates.pem";
        let lines: Vec<&str> = made.text.lines().filter(|line| !line.starts_with("ARG ")).collect();
        let expected = format!(
            "# syntax=docker/dockerfile:1\nFROM $BASE AS build\n\n# packages\nrun {mount} pip \\\n  install x\nFROM scratch\n\
             COPY --from=build /x /x\nFROM build\nCOPY <<EOT /y\nRUN not this\nEOT\n  RUN {mount} [\"true\"]\nBAD"
        );
        assert_eq!(lines.join("\n"), expected);
        let all: Vec<&str> = made.text.lines().collect();
        let first = all.iter().position(|line| *line == "ARG SSL_CERT_FILE=/run/towpath/certificates.pem").unwrap();
        assert!(all[first - 1] == "# packages" && all[1] == "ARG BASE=python:3.11", "{all:#?}");
        assert_eq!(all.iter().filter(|line| line.starts_with("ARG PIP_CERT=")).count(), 3);
        let bad = all.iter().position(|line| *line == "BAD").unwrap() + 1;
        let said =
            made.in_original(&format!("dockerfile parse error line {bad}: unknown instruction: BAD (no line here)"));
        assert_eq!(said, "dockerfile parse error line 15: unknown instruction: BAD (no line here)");
        assert_eq!(made.in_original("on line 2: x"), "on line 2: x");
    }
}
