//! Which lines of a file may hold a secret value, and so are not shown beside a problem.
//!
//! Judged by the text alone: a file that is not YAML has no structure to judge by. In doubt a line is withheld; the
//! place and the message of the problem still stand.

/// What a line has in it that may hold a secret, in lower case.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "authorization",
    "private",
];
/// Blocks whose values belong to the application: nobody but it knows which are secret.
const SECRET_BLOCKS: &[&str] = &["env", "secrets", "environment", "environment_variables", "connections", "users"];

/// A line that others may stand under.
struct Above {
    indent: usize,
    item: bool,
    secret: bool,
}

/// For every line, whether it is withheld.
pub(super) fn withheld_lines(lines: &[&str]) -> Vec<bool> {
    let mut above: Vec<Above> = Vec::new();
    lines.iter().map(|line| withheld(line, &mut above)).collect()
}

fn withheld(line: &str, above: &mut Vec<Above>) -> bool {
    let line = line.to_ascii_lowercase();
    let words = line.trim_start();
    if words.is_empty() || words.starts_with('#') {
        return above.last().is_some_and(|a| a.secret) || names_secret(&line);
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let item = words.starts_with("- ") || words == "-";
    // A list may stand at the indentation of its key.
    while above.last().is_some_and(|a| a.indent > indent || (a.indent == indent && (a.item || !item))) {
        above.pop();
    }
    let inside = above.last().is_some_and(|a| a.secret);
    let key = words.trim_start_matches("- ").split(':').next().unwrap_or_default().trim();
    above.push(Above { indent, item, secret: inside || SECRET_BLOCKS.contains(&key.trim_matches(['"', '\''])) });
    (inside && !names_only(words))
        || names_secret(&line)
        || has_credentials(&line)
        || opens_block(&line)
        || is_opaque(words)
}

fn names_secret(line: &str) -> bool {
    SECRET_WORDS.iter().any(|word| line.contains(word))
}

/// `://user:password@host`.
fn has_credentials(line: &str) -> bool {
    line.split("://")
        .skip(1)
        .any(|rest| rest.split(['/', ' ', '"', '\'']).next().is_some_and(|host| host.contains('@')))
}

/// A line of a key that was pasted without its indentation.
fn is_opaque(words: &str) -> bool {
    let words = words.trim_end();
    words.len() >= 20 && !words.contains([' ', ':'])
}

/// A block of values that starts and goes on in this line: `env: { A: b }`, `build: { env: { A: b } }`.
fn opens_block(line: &str) -> bool {
    SECRET_BLOCKS.iter().any(|block| {
        line.match_indices(block).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + block.len()..].trim_start_matches(['"', '\'']).trim_start();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && after.strip_prefix(':').is_some_and(|value| !is_name(value))
        })
    })
}

/// Whether nothing or a name follows: `env: PORT` of `run.network` names a variable.
fn is_name(value: &str) -> bool {
    value.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `- name: PORT` and nothing else.
fn names_only(words: &str) -> bool {
    let words = words.trim_start_matches("- ").trim_start();
    words.strip_prefix("name").map(str::trim_start).and_then(|rest| rest.strip_prefix(':')).is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld(text: &str, line: usize) -> bool {
        withheld_lines(&text.lines().collect::<Vec<_>>())[line - 1]
    }

    #[test]
    fn lines_that_may_hold_a_secret_are_withheld() {
        assert!(withheld("run:\n  env:\n  - name: A\n    value: hunter2", 4));
        assert!(withheld("services:\n  shop:\n    env:\n      A: hunter2", 4));
        assert!(withheld("services:\n  shop:\n    env:\n      A: |\n        hunter2\n\n        more", 7));
        assert!(withheld("env: { A: hunter2 }", 1));
        assert!(withheld("build: { \"env\": { A: hunter2 } }", 1));
        assert!(withheld("start: PGPASSWORD=hunter2 python app.py", 1));
        assert!(withheld("repository: https://me:hunter2@example.com/x", 1));
        assert!(withheld("env:\n  A: \"hunter2\n\n  # note\n  B: x\nrun:", 2));
        assert!(withheld("services:\n  a:\n    key: |\nMIIEpAIBAAKCAQEAxyz0123456789", 4));
    }

    #[test]
    fn other_lines_are_shown() {
        assert!(!withheld("run:\n  env:\n  - name: PORT\n    value: 1", 3));
        assert!(!withheld("run:\n  network:\n    env: MY_PORT\n    port: x", 3));
        assert!(!withheld("run:\n  env:\n    - name: A\n      value: b\n  command: x", 5));
        assert!(!withheld("services:\n  a:\n    env:\n      A: b\n  b:\n    port: x", 6));
        assert!(!withheld("environment_name: x", 1));
    }
}
