//! `docs/reference/cli.md`, made from the commands' own definitions; a test holds the page to it.

use super::args::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::fmt::Write;

const HEAD: &str = "\
<!-- Made from the commands' definitions by the test `the_reference_pages_are_what_the_code_says`; TOWPATH_BLESS=1 writes it anew. -->
# Reference: commands

Every command with everything that it takes. What the commands do and print is told in [Commands](../cli.md).
";

/// The page.
pub fn reference() -> String {
    let mut command = Cli::command();
    command.build();
    let mut page = HEAD.to_owned();
    // Taken by each command; said once.
    let common: Vec<&Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    page += &format!("\nEvery command takes:\n\n{}", options(&common));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(sub, &format!("towpath {}", sub.get_name()), &mut page);
    }
    page
}

fn section(command: &Command, name: &str, page: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let subs: Vec<&Command> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    let own = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
    let arguments: Vec<&Arg> = command.get_arguments().filter(own).collect();
    let operands: Vec<&Arg> = arguments.iter().copied().filter(|arg| arg.is_positional()).collect();
    let flags: Vec<&Arg> = arguments.iter().copied().filter(|arg| !arg.is_positional()).collect();
    // Writing to a text cannot fail.
    let _ = write!(
        page,
        "\n## `{name}`\n\n{}.\n\n    {}\n",
        about.trim_end_matches('.'),
        usage(name, &operands, &flags, &subs)
    );
    for (title, rows) in [("Argument", &operands), ("Option", &flags)] {
        if !rows.is_empty() {
            let _ = write!(page, "\n{}", table(title, rows));
        }
    }
    for sub in subs {
        section(sub, &format!("{name} {}", sub.get_name()), page);
    }
}

fn usage(name: &str, operands: &[&Arg], flags: &[&Arg], subs: &[&Command]) -> String {
    let mut words = vec![name.to_owned()];
    words.extend((!flags.is_empty()).then(|| "[OPTIONS]".to_owned()));
    words.extend((!subs.is_empty()).then(|| "COMMAND".to_owned()));
    words.extend(operands.iter().map(|arg| {
        let many = if arg.get_num_args().is_some_and(|n| n.max_values() > 1) { "…" } else { "" };
        let last = if arg.is_last_set() { "-- " } else { "" };
        let word = format!("{last}{}{many}", value(arg));
        if arg.is_required_set() { word } else { format!("[{word}]") }
    }));
    words.join(" ")
}

fn options(arguments: &[&Arg]) -> String {
    table("Option", arguments)
}

fn table(title: &str, arguments: &[&Arg]) -> String {
    let mut text = format!("| {title} | Meaning | Default | Variable |\n|---|---|---|---|\n");
    for arg in arguments {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (meaning, told) = split_default(&help);
        let set: Vec<String> = arg.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
        let flag = matches!(arg.get_action(), ArgAction::SetTrue);
        let default = if flag || set.is_empty() { told } else { set.join(", ") };
        let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {} | {variable} |", name(arg), cell(&meaning), cell(&default));
    }
    text
}

/// `` `-f`, `--file PATH` ``, or `` `SERVICE` ``.
fn name(arg: &Arg) -> String {
    if arg.is_positional() {
        return format!("`{}`", value(arg));
    }
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes { format!(" {}", value(arg)) } else { String::new() };
    let long = arg.get_long().map(|long| format!("`--{long}{value}`"));
    let short = arg.get_short().map(|short| format!("`-{short}`"));
    short.into_iter().chain(long).collect::<Vec<_>>().join(", ")
}

fn value(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    if names.is_empty() { arg.get_id().as_str().to_uppercase() } else { names[0].to_string() }
}

/// A default that only words can say stands in brackets at the end of the help.
fn split_default(help: &str) -> (String, String) {
    match help.split_once(" [default: ") {
        Some((meaning, rest)) => (meaning.to_owned(), rest.trim_end_matches(']').to_owned()),
        None => (help.to_owned(), String::new()),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
