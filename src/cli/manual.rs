//! `towpath completions` and `towpath man`: made from the commands' own definitions, so that they are never behind.

use super::args::Cli;
use super::failure::Failure;
use super::screen::Screen;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::path::Path;
use std::process::ExitCode;

/// Prints the completions of a shell.
pub fn completions(screen: &Screen, shell: Shell) -> Result<ExitCode, Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "towpath", &mut bytes);
    screen.print(&String::from_utf8_lossy(&bytes))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page of all, or writes one per command: `towpath.1`, `towpath-plan.1`, ….
pub fn man(screen: &Screen, dir: Option<&Path>) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = dir else {
        screen.print(&String::from_utf8_lossy(&page(&command)?))?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).map_err(|e| Failure::caused(format!("failed to make `{}`", dir.display()), &e))?;
    let mut written = vec![write(dir, "towpath", &command)?];
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("towpath-{}", sub.get_name());
        written.push(write(dir, &name, sub)?);
    }
    if screen.is_json() {
        screen.print_json(&written)?;
    } else {
        screen.print(&format!(
            "{} pages are in {}; read one: man -l {}\n",
            written.len(),
            dir.display(),
            written[0]
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(dir: &Path, name: &str, command: &Command) -> Result<String, Failure> {
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?)
        .map_err(|e| Failure::caused(format!("failed to write `{}`", path.display()), &e))?;
    Ok(path.display().to_string())
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut bytes).map_err(|e| Failure::caused("failed to render a manual page", &e))?;
    Ok(bytes)
}
