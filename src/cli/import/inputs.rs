//! What `import` reads: files, directories, standard input; bounded.

use super::super::failure::Failure;
use super::super::init::repository;
use crate::desired::files::read_text;
use crate::desired::import::{Input, Whereabouts};
use crate::model::RepositoryUrl;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// The largest text that is read; CloudFormation's own limit is 1 MB.
const MAX_BYTES: u64 = 16 << 20;
/// The most files.
const MAX_FILES: usize = 1000;
/// What standard input is called.
const STDIN: &str = "standard input";

/// Reads everything that is named.
///
/// # Errors
/// What cannot be read; that nothing is named and nobody writes to standard input.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    if files.is_empty() || files == [PathBuf::from("-")] {
        return Ok(vec![from_standard_input()?]);
    }
    let mut found = Vec::new();
    for file in files {
        if file.is_dir() { found.extend(in_directory(file)?) } else { found.push(file.clone()) }
    }
    if found.len() > MAX_FILES {
        return Err(Failure::new(format!("there are {} files; at most {MAX_FILES} are read at once", found.len())));
    }
    found.iter().map(|file| from_file(file)).collect()
}

fn from_standard_input() -> Result<Input, Failure> {
    if std::io::stdin().is_terminal() {
        return Err(Failure::new("nothing to read is named, and standard input is a terminal")
            .hint("`aws apprunner describe-service --service-arn ARN | towpath import`, or `towpath import FILE…`"));
    }
    let failed = |why: &str| Failure::new(format!("standard input cannot be read: {why}"));
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(&error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(&format!("it is larger than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text"))?;
    Ok(Input { file: STDIN.to_owned(), text, repository: None })
}

fn from_file(file: &Path) -> Result<Input, Failure> {
    let name = file.strip_prefix(".").unwrap_or(file).display().to_string();
    let text = read_text(file, MAX_BYTES).map_err(|why| Failure::new(format!("`{name}`: {why}")))?;
    let repository = std::path::absolute(file).ok().and_then(|path| whereabouts(&path));
    Ok(Input { file: name, text, repository })
}

/// What of a directory is read: templates that CDK synthesised, manifests of AWS Copilot, or all that could be either.
fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::caused(format!("failed to read `{}`", directory.display()), &error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    let ends = |path: &PathBuf, endings: &[&str]| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.')
    };
    let synthesised: Vec<PathBuf> = paths.iter().filter(|path| ends(path, &[".template.json"])).cloned().collect();
    if !synthesised.is_empty() {
        return Ok(synthesised);
    }
    let workspace = directory.join("copilot");
    let workspace = if workspace.is_dir() { workspace } else { directory.to_owned() };
    let manifests = manifests_below(&workspace);
    if !manifests.is_empty() {
        return Ok(manifests);
    }
    let all: Vec<PathBuf> =
        paths.into_iter().filter(|path| ends(path, &[".json", ".yaml", ".yml", ".template"])).collect();
    if all.is_empty() {
        return Err(Failure::new(format!("there is nothing to read in `{}`", directory.display()))
            .hint("`*.json`, `*.yaml`, `*.template` and `copilot/*/manifest.yml` are read"));
    }
    Ok(all)
}

/// `copilot/SERVICE/manifest.yml`; those of environments and pipelines are not about services.
fn manifests_below(workspace: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|e| e.path().join("manifest.yml")).filter(|p| p.is_file()).collect();
    found.sort();
    found
}

/// The repository that a manifest of AWS Copilot builds from. Its paths are relative to the directory that `copilot/` is in.
fn whereabouts(file: &Path) -> Option<Whereabouts> {
    let copilot = file.parent()?.parent()?;
    let workspace = copilot.parent()?;
    if copilot.file_name()? != "copilot" {
        return None;
    }
    let workspace = workspace.canonicalize().ok()?;
    let repository = repository::find(&workspace).ok()?;
    let url = repository.origin.filter(|url| url.parse::<RepositoryUrl>().is_ok());
    let root = || {
        let up = repository.path.split('/').filter(|part| *part == "..").count();
        workspace.ancestors().nth(up).map(|root| root.display().to_string())
    };
    let summary = read_text(&copilot.join(".workspace"), 1 << 16).unwrap_or_default();
    let application = summary.lines().find_map(|line| line.strip_prefix("application:"));
    let application = application.map(|name| name.trim().trim_matches(['"', '\'']).to_owned());
    Some(Whereabouts { url: url.or_else(root)?, directory: repository.directory, application })
}
