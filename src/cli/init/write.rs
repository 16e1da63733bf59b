//! The text of a manifest, as a person would have written it: pure.

use super::detect::{Build, Detection};
use super::repository::Repository;
use std::path::Path;

/// The longest service name.
const LONGEST: usize = 40;

/// The service's name: that of the directory one stands in, made to fit (4–40 of `[A-Za-z0-9-_]`).
pub fn service_name(here: &Path, repository: &Repository) -> String {
    let directory = here.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = directory.unwrap_or_else(|| repository.name.clone());
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name: String = name.trim_matches(['-', '_']).chars().take(LONGEST).collect();
    match name.len() {
        0 => "service".to_owned(),
        1..4 => format!("{name}-app"),
        _ => name,
    }
}

/// The manifest.
pub fn manifest(service: &str, repository: &Repository, detection: &Detection) -> String {
    let mut text = String::from("# What runs here. Commits to the repository are deployed as they come.\n");
    text.push_str(&format!("services:\n  {service}:\n    source:\n      repository: {}\n", scalar(&repository.path)));
    if let Some(origin) = &repository.origin {
        text.push_str(&format!(
            "      # to deploy what is pushed instead of what is committed here:\n      # repository: {}\n",
            scalar(origin)
        ));
    }
    if let Some(branch) = &repository.branch {
        text.push_str(&format!("      branch: {}\n", scalar(branch)));
    }
    if let Some(directory) = &repository.directory {
        text.push_str(&format!("      directory: {}\n", scalar(directory)));
    }
    text.push_str(&build(&detection.build));
    if let Some(port) = detection.port {
        text.push_str(&format!("    port: {port}\n"));
    }
    text.push_str("    instance: { cpu: 0.5 vCPU, memory: 1 GB }\n");
    text
}

fn build(build: &Build) -> String {
    match build {
        Build::File => "    build: apprunner.yaml\n".to_owned(),
        Build::Dockerfile => "    build: { dockerfile: Dockerfile }\n".to_owned(),
        Build::Inline { runtime, commands, start } => {
            let mut text = format!("    build:\n      runtime: {runtime}\n");
            match commands.as_slice() {
                [] => {}
                [one] => text.push_str(&format!("      command: {}\n", scalar(one))),
                several => {
                    text.push_str("      command:\n");
                    several.iter().for_each(|c| text.push_str(&format!("        - {}\n", scalar(c))));
                }
            }
            text.push_str(&format!("      start: {}\n", scalar(start)));
            text
        }
    }
}

/// A YAML scalar: plain where it can only be read as this text, else in double quotes as JSON writes it, which YAML reads.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ./_-$=+@".contains(c);
    let letters = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.') && !text.ends_with(' ');
    let word = !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if letters && word && text.chars().all(plain) && text.parse::<f64>().is_err() {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_yaml_would_read_otherwise_are_quoted() {
        for (text, written) in [
            ("npm ci", "npm ci"),
            ("true", "\"true\""),
            ("a: b", "\"a: b\""),
            ("x # y", "\"x # y\""),
            (".5", "\".5\""),
            ("..", ".."),
            ("- x", "\"- x\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn names_are_made_to_fit() {
        let repository = Repository {
            path: ".".into(),
            directory: None,
            branch: None,
            origin: None,
            name: "x".into(),
            notes: vec![],
        };
        for (directory, name) in
            [("/srv/shop", "shop"), ("/srv/web", "web-app"), ("/srv/my app!", "my-app"), ("/srv/__", "service")]
        {
            assert_eq!(service_name(Path::new(directory), &repository), name);
            assert!(name.parse::<crate::model::ServiceName>().is_ok());
        }
    }
}
