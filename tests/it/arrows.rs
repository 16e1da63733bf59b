//! The arrows between rooms: what the table in `docs/architecture.md`, section *Rooms*, allows is what `src` imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room with the rooms that it may import.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table's rows: the first column names the room, the third what it may import.
fn allowed() -> Arrows {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = page.split("\n## ").find(|s| s.starts_with("Rooms\n")).expect("a section `Rooms`");
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let names: BTreeSet<String> = rows.iter().map(|row| name(row[0])).collect();
    let arrows = rows.iter().map(|row| {
        let room = name(row[0]);
        let may = match row[2] {
            "nothing of ours" => BTreeSet::new(),
            "all" => names.iter().filter(|n| **n != room).cloned().collect(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        (room, may)
    });
    arrows.collect()
}

/// `` `model/` `` is `model`.
fn name(cell: &str) -> String {
    cell.trim_matches(['`', '/']).to_owned()
}

fn standing() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src")).unwrap().map(Result::unwrap);
    entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect()
}

/// The Rust files of a room without its tests, which may look anywhere.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "tests" {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

/// The rooms that a text names after `crate::`, grouped (`crate::{a, b::c}`) and single, comments left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    code.split("crate::").skip(1).flat_map(first_names).collect()
}

fn first_names(after: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect() };
    let Some(group) = after.strip_prefix('{') else { return vec![word(after)] };
    let (mut depth, mut names, mut item) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut item)),
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names.push(item);
    names.iter().map(|n| word(n.trim())).filter(|n| !n.is_empty()).collect()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let (allowed, standing) = (allowed(), standing());
    let mut wrong = Vec::new();
    for room in &standing {
        let Some(may) = allowed.get(room) else {
            wrong.push(format!("`{room}/` is not in the table"));
            continue;
        };
        for file in sources(&root().join("src").join(room)) {
            let rooms = imports(&fs::read_to_string(&file).unwrap());
            for other in rooms.iter().filter(|r| standing.contains(*r) && *r != room && !may.contains(*r)) {
                wrong.push(format!("{} imports `{other}`", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nthe table is in docs/architecture.md, section Rooms", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circles_and_names_rooms_only() {
    let mut left = allowed();
    let names: BTreeSet<String> = left.keys().cloned().collect();
    for (room, may) in &left {
        assert!(may.is_subset(&names), "`{room}` may import {may:?}: not all are rooms");
    }
    while !left.is_empty() {
        let free: Vec<String> =
            left.iter().filter(|(_, may)| !may.iter().any(|m| left.contains_key(m))).map(|(r, _)| r.clone()).collect();
        assert!(!free.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|room, _| !free.contains(room));
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::model::{A, B};\nuse crate::{link::Entry, plan::{self, Plan}, store};\n// crate::cli is not imported\n\
                fn f() -> crate::engine::Engine {}\n#[cfg(test)]\nmod tests {\n    use crate::desired;\n}\n";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["engine", "link", "model", "plan", "store"]);
}
