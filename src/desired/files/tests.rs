use super::*;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(directory.path(), name, text);
    }
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn names(read: &ManifestFiles) -> Vec<&str> {
    read.files.iter().map(|f| f.file.as_str()).collect()
}

fn classes(read: &ManifestFiles) -> Vec<(&str, Severity)> {
    read.problems.iter().map(|p| (p.class.as_str(), p.severity)).collect()
}

#[test]
fn a_directory_is_read_with_what_is_below_it_in_the_order_of_names() {
    let here = directory(&[("b.yml", "2"), ("a.yaml", "1"), ("team/c.yaml", "3"), ("readme.md", ""), (".x.yaml", "")]);
    write(here.path(), ".hidden/d.yaml", "");
    let read = ManifestFiles::read(here.path(), "deploy");
    assert_eq!(names(&read), ["deploy/a.yaml", "deploy/b.yml", "deploy/team/c.yaml"]);
    assert_eq!(read.problems, []);
    assert_eq!(read.files[2].directory, here.path().join("team"));
    assert_eq!(read.directories, BTreeSet::from([here.path().to_owned(), here.path().join("team")]));
}

#[test]
fn a_link_out_of_the_directory_is_an_error_and_not_read() {
    let outside = directory(&[("secret.yaml", "x")]);
    let here = directory(&[("a.yaml", "1")]);
    symlink(outside.path().join("secret.yaml"), here.path().join("b.yaml")).unwrap();
    symlink(outside.path(), here.path().join("team")).unwrap();
    symlink("/nowhere", here.path().join("gone.yaml")).unwrap();
    let read = ManifestFiles::read(here.path(), "deploy");
    assert_eq!(names(&read), ["deploy/a.yaml"]);
    let error = |class| (class, Severity::Error);
    assert_eq!(classes(&read), [error("link"), error("unreadable"), error("link")]);
    assert!(read.problems[0].message.contains("`deploy/b.yaml` leads out"), "{:?}", read.problems[0]);
}

#[test]
fn a_mounted_configuration_of_links_is_read_once() {
    let here = directory(&[("..2026_11/shop.yaml", "1"), ("..2026_11/sub/b.yaml", "2")]);
    symlink("..2026_11", here.path().join("..data")).unwrap();
    symlink("..data/shop.yaml", here.path().join("shop.yaml")).unwrap();
    symlink("..data/sub", here.path().join("sub")).unwrap();
    symlink("shop.yaml", here.path().join("zoo.yaml")).unwrap();
    symlink(".", here.path().join("circle")).unwrap();
    let read = ManifestFiles::read(here.path(), "deploy");
    assert_eq!(names(&read), ["deploy/shop.yaml", "deploy/sub/b.yaml"]);
    assert_eq!(read.problems, []);
}

#[test]
fn repositories_and_applications_below_are_left_out_with_a_note() {
    let here = directory(&[("a.yaml", "1"), ("apprunner.yaml", ""), ("shop/package.yaml", "")]);
    std::fs::create_dir(here.path().join("shop/.git")).unwrap();
    std::fs::create_dir(here.path().join(".git")).unwrap();
    let read = ManifestFiles::read(here.path(), "deploy");
    assert_eq!(names(&read), ["deploy/a.yaml"]);
    assert_eq!(classes(&read), [("skipped", Severity::Warning), ("skipped", Severity::Warning)]);
}

#[test]
fn a_directory_without_manifests_is_an_error() {
    let here = directory(&[("readme.md", "")]);
    assert_eq!(classes(&ManifestFiles::read(here.path(), "deploy")), [("empty", Severity::Error)]);
    let gone = ManifestFiles::read(&here.path().join("gone"), "gone");
    assert_eq!(classes(&gone), [("unreadable", Severity::Error)]);
}

#[test]
fn what_is_no_text_or_too_large_is_an_error_that_names_the_file() {
    let here = directory(&[("a.yaml", "1")]);
    std::fs::write(here.path().join("b.yaml"), b"a: 1\n\xff").unwrap();
    std::fs::write(here.path().join("c.yaml"), vec![b'#'; 10 << 20]).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(here.path().join("d.yaml")).status().unwrap();
    assert!(pipe.success());
    let read = ManifestFiles::read(here.path(), "deploy");
    let messages: Vec<&str> = read.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(messages[0], "failed to read `deploy/b.yaml`: the file is not UTF-8 text (line 2)");
    assert_eq!(messages[1], "failed to read `deploy/c.yaml`: the file is larger than 1048576 bytes");
    assert_eq!(messages[2], "failed to read `deploy/d.yaml`: it is not a file");
}

#[test]
fn ten_thousand_files_are_refused_within_a_moment() {
    let here = directory(&[]);
    for n in 0..10_000 {
        std::fs::write(here.path().join(format!("{n}.yaml")), "services: {}\n").unwrap();
    }
    let started = Instant::now();
    let read = ManifestFiles::read(here.path(), "deploy");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(classes(&read), [("limit", Severity::Error)]);
    assert!(read.problems[0].message.contains("more than 1000 files"), "{:?}", read.problems);
}

#[test]
fn more_than_all_files_may_hold_together_is_refused() {
    let half = "#".repeat(1 << 20);
    let here = directory(&[("a.yaml", &half), ("b.yaml", &half), ("c.yaml", "1")]);
    let read = ManifestFiles::read(here.path(), "deploy");
    assert_eq!(classes(&read), [("limit", Severity::Error)]);
}

#[test]
fn a_change_of_any_file_changes_the_digest() {
    let here = directory(&[("a.yaml", "1"), ("b/c.yaml", "2")]);
    let first = ManifestFiles::read(here.path(), "deploy").digest();
    assert_eq!(ManifestFiles::read(here.path(), "deploy").digest(), first);
    write(here.path(), "b/c.yaml", "3");
    assert_ne!(ManifestFiles::read(here.path(), "deploy").digest(), first);
}
