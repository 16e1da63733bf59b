//! From the files of a source directory to the settings of its build: pure.

use super::files::Files;
use super::{node, python};
use crate::model::Catalogue;
use serde::Serialize;

/// Something that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// `runtime`, `build`, `start`, `port`, `configuration`.
    pub what: &'static str,
    /// The value.
    pub value: String,
    /// The file that says so, or why it is so.
    pub place: String,
}

/// How the application is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// `apprunner.yaml` of the repository.
    File,
    /// Its own Dockerfile.
    Dockerfile,
    /// Settings in place.
    Inline {
        /// The runtime.
        runtime: String,
        /// The build commands.
        commands: Vec<String>,
        /// The start command; a placeholder where none was found.
        start: String,
    },
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// How it is built.
    pub build: Build,
    /// The port, where it is fixed in the application.
    pub port: Option<u16>,
    /// Everything found, in the order of the manifest.
    pub found: Vec<Found>,
    /// What has to be written by hand, in words.
    pub missing: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A runtime with its commands, as one language's rules see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guess {
    /// The runtime, and what says so.
    pub runtime: (String, String),
    /// The build commands, and what says so.
    pub commands: (Vec<String>, String),
    /// The start command, and what says so.
    pub start: Option<(String, String)>,
    /// The file that listens, whose text may hold a fixed port.
    pub listens: Option<&'static str>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Judges a directory.
pub fn detect(files: &Files, catalogue: &Catalogue) -> Detection {
    if files.has("apprunner.yaml") {
        return whole(Build::File, found("configuration", "apprunner.yaml", "apprunner.yaml"));
    }
    let guess = [python::guess, node::guess, go, ruby, php, java, dotnet, site]
        .iter()
        .find_map(|language| language(files, catalogue));
    match guess {
        Some(guess) => inline(files, guess),
        None if files.has("Dockerfile") => dockerfile(files),
        None => nothing(files),
    }
}

fn whole(build: Build, found: Found) -> Detection {
    Detection { build, port: None, found: vec![found], missing: Vec::new(), notes: Vec::new() }
}

/// A line of what was found.
pub fn found(what: &'static str, value: impl Into<String>, place: impl Into<String>) -> Found {
    Found { what, value: value.into(), place: place.into() }
}

fn dockerfile(files: &Files) -> Detection {
    let port = exposed(files);
    let mut detection = whole(Build::Dockerfile, found("configuration", "Dockerfile", "Dockerfile"));
    detection.found.extend(port.map(|port| found("port", port.to_string(), "EXPOSE in Dockerfile")));
    detection.notes.push("a Dockerfile needs the Docker engine: `towpath up --engine docker`".into());
    Detection { port, ..detection }
}

fn nothing(files: &Files) -> Detection {
    let mut notes = Vec::new();
    if files.has("apprunner.yml") {
        notes.push("there is an `apprunner.yml`; only `apprunner.yaml` is read: rename it".into());
    }
    let build = Build::Inline { runtime: "python311".into(), commands: Vec::new(), start: "CHANGE ME".into() };
    let missing = vec![
        "`build.runtime`: the language, such as `python311` or `nodejs22`".into(),
        "`build.command`: what installs and builds, if anything does".into(),
        "`build.start`: what starts the application; it gets its port in `$PORT`".into(),
    ];
    Detection { build, port: None, found: Vec::new(), missing, notes }
}

fn inline(files: &Files, guess: Guess) -> Detection {
    let (commands, said) = guess.commands;
    let mut all = vec![found("runtime", &guess.runtime.0, &guess.runtime.1)];
    all.extend(commands.iter().map(|command| found("build", command, &said)));
    // The Procfile is what its author wrote to start it.
    let start = procfile(files).or(guess.start);
    all.extend(start.iter().map(|(start, place)| found("start", start, place)));
    let port = start.as_ref().and_then(|(start, _)| fixed_port(files, start, guess.listens));
    all.extend(port.iter().map(|(port, place)| found("port", port.to_string(), place.clone())));
    let missing = match start {
        Some(_) => Vec::new(),
        None => vec!["`build.start`: what starts the application; it gets its port in `$PORT`".into()],
    };
    let start = start.map_or_else(|| "CHANGE ME".to_owned(), |(start, _)| start);
    let build = Build::Inline { runtime: guess.runtime.0, commands, start };
    Detection { build, port: port.map(|(port, _)| port), found: all, missing, notes: guess.notes }
}

/// The `web` line of a Procfile.
fn procfile(files: &Files) -> Option<(String, String)> {
    let line = files.text("Procfile")?.lines().find_map(|line| line.strip_prefix("web:"))?;
    let command = line.trim();
    (!command.is_empty()).then(|| (command.to_owned(), "Procfile".to_owned()))
}

/// A port that the application listens on whatever `PORT` says: in the start command, in the file that listens, in a
/// Dockerfile beside it. None where `PORT` is used.
fn fixed_port(files: &Files, start: &str, listens: Option<&'static str>) -> Option<(u16, String)> {
    if start.contains("$PORT") || start.contains("${PORT") {
        return None;
    }
    if let Some(port) = port_in(start) {
        return Some((port, "the start command".into()));
    }
    let name = listens?;
    let text = files.text(name)?;
    if text.contains("PORT") {
        return None;
    }
    port_in(text).map(|port| (port, name.to_owned()))
}

/// What stands before a port in commands and sources.
const PORT_MARKS: &[&str] =
    &["--port=", "--port ", "-p ", "listen(", "port=", "port = ", "port: ", "0.0.0.0:", "127.0.0.1:", "localhost:"];

fn port_in(text: &str) -> Option<u16> {
    let after = |mark: &&str| text.split(*mark).skip(1).find_map(leading_port);
    PORT_MARKS.iter().find_map(after)
}

fn leading_port(text: &str) -> Option<u16> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).take(6).collect();
    digits.parse().ok().filter(|port| *port >= 80)
}

fn exposed(files: &Files) -> Option<u16> {
    let text = files.text("Dockerfile")?;
    text.lines().find_map(|line| leading_port(line.trim().strip_prefix("EXPOSE ")?.trim_start()))
}

/// The first runtime of the catalogue with one of these names: the newest that App Runner has comes first.
pub fn known(catalogue: &Catalogue, names: &[&str]) -> String {
    let has = |name: &&&str| catalogue.runtimes.iter().any(|r| r.name.as_str() == **name);
    names.iter().find(has).or(names.first()).map_or_else(String::new, |name| (*name).to_owned())
}

fn guess(runtime: String, place: &str, commands: &[&str], start: Option<&str>) -> Guess {
    Guess {
        runtime: (runtime, place.to_owned()),
        commands: (commands.iter().map(|c| (*c).to_owned()).collect(), place.to_owned()),
        start: start.map(|start| (start.to_owned(), place.to_owned())),
        ..Guess::default()
    }
}

fn go(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    files.text("go.mod")?;
    let mut guess = guess(known(catalogue, &["go1"]), "go.mod", &["go build -o app ."], Some("./app"));
    guess.listens = Some("main.go");
    Some(guess)
}

fn ruby(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let gemfile = files.text("Gemfile")?;
    let start = if gemfile.contains("rails") && files.has("bin") {
        Some("bin/rails server -b 0.0.0.0 -p $PORT")
    } else {
        files.has("config.ru").then_some("bundle exec rackup -o 0.0.0.0 -p $PORT")
    };
    Some(guess(known(catalogue, &["ruby31"]), "Gemfile", &["bundle install"], start))
}

fn php(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let place = if files.has("composer.json") { "composer.json" } else { files.ending(".php")? };
    let root = if files.has("public") { "public" } else { "." };
    let commands: &[&str] = if files.has("composer.json") { &["composer install --no-dev"] } else { &[] };
    Some(guess(known(catalogue, &["php81"]), place, commands, Some(&format!("php -S 0.0.0.0:$PORT -t {root}"))))
}

fn java(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    files.text("pom.xml")?;
    let runtime = known(catalogue, &["corretto17", "corretto11"]);
    let mut guess = guess(runtime, "pom.xml", &["mvn -q -DskipTests package"], Some("java -jar target/*.jar"));
    guess
        .notes
        .push("`java -jar target/*.jar` takes the jar that the build leaves: name it if there are several".into());
    Some(guess)
}

fn dotnet(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let project = files.ending(".csproj")?;
    let name = project.trim_end_matches(".csproj");
    let start = format!("dotnet out/{name}.dll --urls http://0.0.0.0:$PORT");
    Some(guess(known(catalogue, &["dotnet8", "dotnet6"]), project, &["dotnet publish -c Release -o out"], Some(&start)))
}

/// Files only: Python's own server shows them.
fn site(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let (place, directory) = if files.has("index.html") { ("index.html", ".") } else { return None };
    let start = format!("python -m http.server $PORT --directory {directory}");
    Some(guess(known(catalogue, &["python311"]), place, &[], Some(&start)))
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
