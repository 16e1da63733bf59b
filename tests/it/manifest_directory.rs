//! A directory as one manifest, in a whole installation: followed file by file, and never taken for *delete all*.

use crate::installation::{Installation, get};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a change may take to be seen on a machine that works on other things.
const SEEN: Duration = Duration::from_secs(30);

/// An installation whose manifest is a directory with these files.
fn with_files(files: &[(&str, &str)], installation: Installation) -> Installation {
    fs::create_dir(installation.manifest()).unwrap();
    for (name, text) in files {
        put(&installation.manifest(), name, text);
    }
    installation
}

fn put(directory: &Path, name: &str, text: &str) {
    fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
    fs::write(directory.join(name), text).unwrap();
}

fn service(name: &str) -> String {
    format!("services:\n  {name}: {{ source: {{ repository: ./app }}, build: apprunner.yaml }}\n")
}

/// What the server plans to create, with the files that say so.
fn planned(installation: &Installation) -> BTreeMap<String, String> {
    let plan = installation.try_json(&["plan"]).unwrap_or_default();
    let changes = plan["changes"].as_array().cloned().unwrap_or_default();
    let named = changes.iter().map(|change| {
        let file = PathBuf::from(change["place"]["file"].as_str().unwrap_or_default());
        let file = file.strip_prefix(installation.manifest()).map_or_else(|_| file.clone(), Path::to_owned);
        (change["service"].as_str().unwrap_or_default().to_owned(), file.display().to_string())
    });
    named.collect()
}

fn until_planned(installation: &Installation, what: &str, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<String, String> = wanted.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    installation.until(what, SEEN, |i| planned(i) == wanted);
}

#[test]
fn a_directory_is_followed_through_saves_renames_and_directories() {
    let files = [("a.yaml", &*service("aaaa")), ("team/b.yml", &*service("bbbb"))];
    let mut installation = with_files(&files, Installation::new().option("--apply", "manual"));
    installation.up();
    let here = installation.manifest();
    let both = [("aaaa", "a.yaml"), ("bbbb", "team/b.yml")];
    until_planned(&installation, "both files are read", &both);

    put(&here, "new/deep/c.yaml", &service("cccc"));
    until_planned(&installation, "a new directory is read", &[both[0], both[1], ("cccc", "new/deep/c.yaml")]);
    put(&here, "new/deep/.c.tmp", &service("dddd"));
    fs::rename(here.join("new/deep/.c.tmp"), here.join("new/deep/c.yaml")).unwrap();
    until_planned(&installation, "an atomic rename is read", &[both[0], both[1], ("dddd", "new/deep/c.yaml")]);
    fs::remove_dir_all(here.join("new")).unwrap();
    until_planned(&installation, "a deleted directory is noticed", &both);

    put(&here, "z.yaml", &service("AAAA"));
    installation.until("a collision names both places", SEEN, |i| {
        let status = i.ok(&["status"]);
        status.contains("share the host name `aaaa`") && status.contains("a.yaml:2") && status.contains("z.yaml:2")
    });
    assert_eq!(planned(&installation).len(), 2, "what was in force stays");
    fs::remove_file(here.join("z.yaml")).unwrap();
    until_planned(&installation, "removing it is enough", &both);
}

#[test]
fn a_mounted_configuration_is_followed_when_it_is_swapped() {
    let installation = Installation::new().option("--apply", "manual");
    let mut installation = with_files(&[("..1/shop.yaml", &service("aaaa"))], installation);
    let here = installation.manifest();
    symlink("..1", here.join("..data")).unwrap();
    symlink("..data/shop.yaml", here.join("shop.yaml")).unwrap();
    installation.up();
    until_planned(&installation, "the mount is read", &[("aaaa", "shop.yaml")]);
    put(&here, "..2/shop.yaml", &service("bbbb"));
    symlink("..2", here.join("..data_tmp")).unwrap();
    fs::rename(here.join("..data_tmp"), here.join("..data")).unwrap();
    fs::remove_dir_all(here.join("..1")).unwrap();
    until_planned(&installation, "the swapped mount is read", &[("bbbb", "shop.yaml")]);
}

#[test]
fn a_directory_that_vanishes_or_becomes_empty_deletes_nothing() {
    let installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    let inline = |name: &str| {
        format!(
            "services:\n  {name}:\n    source: {{ repository: ../app }}\n    build: {{ runtime: python3, start: python app.py }}\n"
        )
    };
    let mut installation = with_files(&[("a.yaml", &inline("shop")), ("b/b.yaml", &inline("orders"))], installation);
    // Paths are relative to the file that they stand in.
    put(&installation.manifest(), "b/b.yaml", &inline("orders").replace("../app", "../../app"));
    installation.up();
    for name in ["shop", "orders"] {
        installation.until_answer(name, "one");
        installation.until_status(name, "RUNNING");
    }
    let here = installation.manifest();
    let away = installation.path().join("away");
    let still_there = |i: &Installation| {
        std::thread::sleep(Duration::from_secs(2));
        for name in ["shop", "orders"] {
            assert_eq!(get(i.http, name).unwrap().body.trim(), "one", "{}", i.log());
        }
    };
    fs::rename(&here, &away).unwrap();
    installation.until("a vanished one is said", SEEN, |i| i.ok(&["status"]).contains("failed to read the manifest"));
    still_there(&installation);
    fs::create_dir(&here).unwrap();
    installation.until("an empty one is said", SEEN, |i| i.ok(&["status"]).contains("there is no `*.yaml`"));
    still_there(&installation);
    put(&here, "none.yaml", "services: {}\n");
    installation.until("the guard holds", SEEN, |i| i.ok(&["plan"]).contains("--allow-mass-delete"));
    let refused = installation.run(&["apply"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("--allow-mass-delete"), "{told}");
    still_there(&installation);
    fs::remove_dir_all(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    installation.until("nothing is left to do", SEEN, |i| planned(i).is_empty());
    still_there(&installation);
}

#[test]
fn ten_thousand_files_are_refused_in_a_moment() {
    let installation = with_files(&[], Installation::new());
    for n in 0..10_000 {
        put(&installation.manifest(), &format!("{n}.yaml"), "services: {}\n");
    }
    let began = std::time::Instant::now();
    let ran = installation.run(&["validate", installation.manifest().to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(1));
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(out.contains("more than 1000 files"), "{out}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
