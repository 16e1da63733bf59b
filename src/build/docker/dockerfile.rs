//! Reads a Dockerfile as far as towpath has to: which instruction stands on which line, which images it needs, what of
//! it cannot work here. Pure. What it means is Docker's to say; a file that is not read right here still builds, only
//! its lines are not named.

use super::confined;
use super::progress::Steps;
use super::recipe::Command;
use std::collections::{BTreeMap, BTreeSet};

/// How much of an instruction is shown.
const SHOWN: usize = 160;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Where it begins, from 1.
    pub line: usize,
    /// `RUN`, in upper case.
    pub keyword: String,
    /// What stands after the keyword, continuation lines joined.
    pub rest: String,
    /// The stage that it belongs to; `None` before the first `FROM`.
    pub stage: Option<usize>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its name in lower case, if it has one.
    name: Option<String>,
    /// What it is from, as it is written.
    base: String,
}

/// An image that has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub image: String,
    pub line: usize,
}

/// A Dockerfile, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dockerfile {
    /// Its path, for messages.
    path: String,
    /// The frontend that its first lines ask for, with the line.
    pub syntax: Option<Needed>,
    instructions: Vec<Instruction>,
    stages: Vec<Stage>,
    /// What is shown of each instruction, by its position.
    commands: Vec<Option<Command>>,
}

impl Dockerfile {
    /// Reads it. Never fails: what is no Dockerfile has no instructions.
    pub fn read(path: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (syntax, escape) = directives(text);
        let instructions = instructions(text, escape, HereDocuments::Known);
        let stages = instructions.iter().filter(|i| i.keyword == "FROM").map(|i| stage(&i.rest)).collect();
        let mut read = Self { path: path.to_owned(), syntax, instructions, stages, commands: Vec::new() };
        read.commands = read.instructions.iter().map(|i| read.command(i)).collect();
        read
    }

    /// Only what makes a layer is told; settings are silent.
    fn command(&self, instruction: &Instruction) -> Option<Command> {
        let Instruction { line, keyword, rest, .. } = instruction;
        let told = matches!(keyword.as_str(), "FROM" | "RUN" | "COPY" | "ADD" | "WORKDIR");
        let text: String = format!("{keyword} {rest}").chars().take(SHOWN).collect();
        let more = if rest.len() + keyword.len() + 1 > text.len() { "…" } else { "" };
        told.then(|| Command {
            phase: "build",
            line: format!("{text}{more}"),
            place: Some(format!("{}:{line}", self.path)),
        })
    }

    /// The names of its stages.
    pub fn stage_names(&self) -> Vec<&str> {
        self.stages.iter().filter_map(|s| s.name.as_deref()).collect()
    }

    /// The number of the stage to build; `None` where there is no such stage.
    pub fn target(&self, target: Option<&str>) -> Option<usize> {
        let Some(target) = target else { return self.stages.len().checked_sub(1) };
        let named = self.stages.iter().rposition(|s| s.name.as_deref() == Some(&target.to_ascii_lowercase()));
        named.or_else(|| target.parse().ok().filter(|n| *n < self.stages.len()))
    }

    /// The images that have to be there to build up to a stage, each with the first line that asks for it. Those whose
    /// name cannot be told from here are left to Docker.
    pub fn images(&self, target: usize, args: &BTreeMap<String, String>) -> Vec<Needed> {
        let globals = self.global_arguments(args);
        let mut needed: Vec<Needed> = Vec::new();
        for instruction in self.instructions.iter().filter(|i| i.stage.is_some_and(|s| s <= target)) {
            for name in references(instruction) {
                let Some(image) = expand(&name, &globals) else { continue };
                let known = image == "scratch" || self.is_stage(&image, instruction.stage.unwrap_or(0));
                if !known && !image.is_empty() && needed.iter().all(|n| n.image != image) {
                    needed.push(Needed { image, line: instruction.line });
                }
            }
        }
        needed
    }

    /// The first instruction with a mount that only BuildKit's own client can serve.
    pub fn needs_session(&self) -> Option<(usize, &'static str)> {
        let runs = self.instructions.iter().filter(|i| i.keyword == "RUN");
        let mut kinds = runs.flat_map(|i| mounts(&i.rest).map(move |mount| (i.line, mount)));
        kinds.find_map(|(line, mount)| {
            ["secret", "ssh"].into_iter().find(|kind| option(mount, "type") == Some(kind)).map(|kind| (line, kind))
        })
    }

    /// The first instruction with an option by which a command could leave the network that it is given; see
    /// [`confined`](super::confined). Read as every builder could read it.
    pub fn unconfined(&self, text: &str) -> Option<usize> {
        let (_, escape) = directives(text);
        let readings = [HereDocuments::Known, HereDocuments::Unknown].map(|here| instructions(text, escape, here));
        let all = readings.iter().flatten();
        all.filter(|i| confined::is_unconfined(&format!("{} {}", i.keyword, i.rest))).map(|i| i.line).min()
    }

    /// The first line whose base image cannot be told from here.
    pub fn unknown_base(&self, args: &BTreeMap<String, String>) -> Option<usize> {
        let globals = self.global_arguments(args);
        let from = self.instructions.iter().filter(|i| i.keyword == "FROM");
        from.filter(|i| expand(&stage(&i.rest).base, &globals).is_none()).map(|i| i.line).next()
    }

    /// The lines on which `RUN` instructions begin.
    pub fn lines_of_runs(&self) -> BTreeSet<usize> {
        self.instructions.iter().filter(|i| i.keyword == "RUN").map(|i| i.line).collect()
    }

    /// The lines on which the first instruction after a `FROM` begins, where that is in its stage.
    pub fn first_lines_of_stages(&self) -> BTreeSet<usize> {
        let pairs = self.instructions.windows(2).filter(|pair| pair[0].keyword == "FROM" && pair[1].keyword != "FROM");
        pairs.map(|pair| pair[1].line).collect()
    }

    /// The arguments of `FROM` lines: declared before the first of them, given or by their default.
    fn global_arguments(&self, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for instruction in self.instructions.iter().filter(|i| i.stage.is_none() && i.keyword == "ARG") {
            for word in shlex::split(&instruction.rest).unwrap_or_default() {
                let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(n, d)| (n, Some(d)));
                let value = given.get(name).cloned().or_else(|| expand(default?, &known));
                known.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        known
    }

    /// Whether a name means an earlier stage.
    fn is_stage(&self, name: &str, before: usize) -> bool {
        let lower = name.to_ascii_lowercase();
        let named = self.stages.iter().take(before).any(|s| s.name.as_deref() == Some(&lower));
        named || name.parse::<usize>().is_ok_and(|n| n < before)
    }

    /// The positions of the instructions of a stage that BuildKit counts.
    fn counted(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        let external = self.stages.get(stage).is_some_and(|s| s.base != "scratch" && !self.is_stage(&s.base, stage));
        let counts = move |i: &Instruction| match i.keyword.as_str() {
            "RUN" | "COPY" | "ADD" | "WORKDIR" => true,
            "FROM" => external,
            _ => false,
        };
        let all = self.instructions.iter().enumerate();
        all.filter(move |(_, i)| i.stage == Some(stage) && counts(i)).map(|(position, _)| position)
    }
}

impl Steps for Dockerfile {
    /// The classic builder counts every instruction of the file, those before the first `FROM` too.
    fn classic(&self, n: usize) -> Option<&Command> {
        self.commands.get(n.checked_sub(1)?)?.as_ref()
    }

    fn buildah(&self, stage: usize, number: usize, instruction: &str) -> Option<&Command> {
        let mut of_stage = self.instructions.iter().enumerate().filter(|(_, i)| i.stage.map(|s| s + 1) == Some(stage));
        let (position, found) = of_stage.nth(number.checked_sub(1)?)?;
        // Better no line than a wrong one.
        let same = instruction.to_ascii_uppercase().starts_with(&found.keyword);
        same.then(|| self.commands.get(position)?.as_ref())?
    }

    /// `[2/3] RUN …`, `[builder 2/3] RUN …`, `[stage-1 2/3] RUN …`, `[linux/amd64 builder 2/3] RUN …`.
    fn buildkit(&self, name: &str) -> Option<&Command> {
        let (inside, rest) = name.strip_prefix('[')?.split_once("] ")?;
        let mut words = inside.split_whitespace().rev();
        let number: usize = words.next()?.split_once('/')?.0.parse().ok()?;
        let stage = match words.next().filter(|word| !word.contains('/')) {
            Some(word) => self
                .stages
                .iter()
                .position(|s| s.name.as_deref() == Some(word))
                .or_else(|| word.strip_prefix("stage-")?.parse().ok())?,
            None => 0,
        };
        let position = self.counted(stage).nth(number.checked_sub(1)?)?;
        // A base image's `ONBUILD` instructions are counted too, and cannot be seen here: better no line than a wrong one.
        let keyword = &self.instructions.get(position)?.keyword;
        rest.to_ascii_uppercase().starts_with(keyword).then(|| self.commands.get(position)?.as_ref())?
    }
}

/// The frontend and the escape character, from the directives in the first lines.
fn directives(text: &str) -> (Option<Needed>, char) {
    let (mut syntax, mut escape) = (None, '\\');
    for (number, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix('#') else { break };
        let Some((key, value)) = comment.split_once('=') else { break };
        match key.trim().to_ascii_lowercase().as_str() {
            "syntax" => {
                let image = value.split_whitespace().next().unwrap_or_default().to_owned();
                syntax = Some(Needed { image, line: number + 1 });
            }
            "escape" if value.trim() == "`" => escape = '`',
            "escape" | "check" => {}
            _ => break,
        }
    }
    (syntax, escape)
}

/// Whether a builder knows here-documents. Podman's do from some version on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HereDocuments {
    Known,
    Unknown,
}

fn instructions(text: &str, escape: char, here: HereDocuments) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut stage = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, first)) = lines.next() {
        if is_comment(first) {
            continue;
        }
        let mut whole = String::new();
        let mut line = first;
        loop {
            let Some(part) = continued(line, escape) else {
                whole.push_str(line.trim());
                break;
            };
            whole.push_str(part.trim_start());
            // Comments and empty lines between are skipped.
            let Some((_, next)) = lines.by_ref().find(|(_, l)| !is_comment(l)) else { break };
            line = next;
        }
        let ends = if here == HereDocuments::Known { here_documents(&whole) } else { Vec::new() };
        for end in ends {
            lines.by_ref().find(|(_, l)| l.trim_start_matches('\t') == end);
        }
        let (keyword, rest) = whole.split_once(char::is_whitespace).unwrap_or((&whole, ""));
        let keyword = keyword.to_ascii_uppercase();
        if keyword == "FROM" {
            stage = Some(stage.map_or(0, |s: usize| s + 1));
        }
        found.push(Instruction { line: number + 1, keyword, rest: rest.trim().to_owned(), stage });
    }
    found
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// What stands before the escape character at a line's end.
fn continued(line: &str, escape: char) -> Option<&str> {
    line.trim_end().strip_suffix(escape)
}

/// The words that end the here-documents which an instruction opens, in order.
fn here_documents(text: &str) -> Vec<String> {
    let opens = ["RUN", "COPY", "ADD"].iter().any(|k| text.get(..k.len()).is_some_and(|t| t.eq_ignore_ascii_case(k)));
    if !opens {
        return Vec::new();
    }
    let words = text.split_whitespace().filter_map(|word| word.split_once("<<").map(|(_, end)| end));
    let ends = words.map(|end| end.trim_start_matches('-').trim_matches(['"', '\'']).to_owned());
    ends.filter(|end| end.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).collect()
}

/// `FROM [--platform=…] IMAGE [AS NAME]`.
fn stage(rest: &str) -> Stage {
    let words: Vec<&str> = rest.split_whitespace().filter(|w| !w.starts_with("--")).collect();
    let name = words.get(1).filter(|word| word.eq_ignore_ascii_case("as")).and(words.get(2));
    Stage { name: name.map(|n| n.to_ascii_lowercase()), base: (*words.first().unwrap_or(&"")).to_owned() }
}

/// What an instruction takes files from: images and stages.
fn references(instruction: &Instruction) -> Vec<String> {
    let rest = &instruction.rest;
    match instruction.keyword.as_str() {
        "FROM" => vec![stage(rest).base],
        "COPY" => flags(rest).filter_map(|f| f.strip_prefix("--from=")).map(str::to_owned).collect(),
        "RUN" => mounts(rest).filter_map(|mount| option(mount, "from")).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The `--…` words before anything else.
fn flags(rest: &str) -> impl Iterator<Item = &str> {
    rest.split_whitespace().take_while(|word| word.starts_with("--"))
}

fn mounts(rest: &str) -> impl Iterator<Item = &str> {
    flags(rest).filter_map(|flag| flag.strip_prefix("--mount="))
}

/// The value of a key in `type=cache,target=/c`.
fn option<'t>(mount: &'t str, key: &str) -> Option<&'t str> {
    mount.split(',').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == key).map(|(_, value)| value))
}

/// Puts values in for `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`; `None` where one is not known.
fn expand(text: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let text = text.trim_matches(['"', '\'']);
    let Some((before, after)) = text.split_once('$') else { return Some(text.to_owned()) };
    let (value, rest) = match after.strip_prefix('{') {
        Some(braced) => {
            let (inside, rest) = braced.split_once('}')?;
            (substitute(inside, known)?, rest)
        }
        None => {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, rest) = after.split_at(end);
            (known.get(name)?.clone(), rest)
        }
    };
    Some(format!("{before}{value}{}", expand(rest, known)?))
}

fn substitute(inside: &str, known: &BTreeMap<String, String>) -> Option<String> {
    if let Some((name, default)) = inside.split_once(":-") {
        return Some(known.get(name).filter(|v| !v.is_empty()).cloned().unwrap_or_else(|| default.to_owned()));
    }
    if let Some((name, other)) = inside.split_once(":+") {
        return Some(known.get(name).filter(|v| !v.is_empty()).map_or_else(String::new, |_| other.to_owned()));
    }
    known.get(inside).cloned()
}

#[cfg(test)]
#[path = "dockerfile_tests.rs"]
mod tests;
