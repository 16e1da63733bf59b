//! What the checks of a commit come to: check runs and commit statuses, as GitHub lists them, against what a service
//! requires. Pure.

use crate::model::RequiredChecks;
use crate::telemetry::logs::clean;
use serde_json::Value;

/// Statuses of ours: a deployment cannot wait for its own success.
const OURS: &str = "towpath/";
/// How many names a sentence has.
const NAMED: usize = 5;

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Pending,
    /// It is good.
    Passed,
    /// It is not.
    Failed,
}

/// One check of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, or a status' context.
    pub name: String,
    /// What it says.
    pub state: State,
}

/// What all of them come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be deployed.
    Green,
    /// It waits, for what is said.
    Pending(String),
    /// It is not deployed, for what is said, unless they are run again.
    Failed(String),
}

/// Reads check runs and the combined status.
pub fn read(runs: &Value, status: &Value) -> Vec<Check> {
    let list = |value: &Value, member: &str| value[member].as_array().cloned().unwrap_or_default();
    let runs = list(runs, "check_runs").into_iter().filter_map(|run| {
        let state = match (run["status"].as_str()?, run["conclusion"].as_str()) {
            ("completed", Some("success" | "neutral" | "skipped")) => State::Passed,
            ("completed", _) => State::Failed,
            _ => State::Pending,
        };
        Some(Check { name: run["name"].as_str()?.to_owned(), state })
    });
    let statuses = list(status, "statuses").into_iter().filter_map(|status| {
        let state = match status["state"].as_str()? {
            "success" => State::Passed,
            "pending" => State::Pending,
            _ => State::Failed,
        };
        Some(Check { name: status["context"].as_str()?.to_owned(), state })
    });
    runs.chain(statuses).filter(|check| !check.name.starts_with(OURS)).collect()
}

/// Judges a commit.
pub fn judge(required: &RequiredChecks, checks: &[Check]) -> Verdict {
    let names: Vec<String> = match required {
        RequiredChecks::None => return Verdict::Green,
        RequiredChecks::All if checks.is_empty() => {
            return Verdict::Pending("it waits for its first check, of which GitHub knows none yet".into());
        }
        RequiredChecks::All => {
            let mut names: Vec<String> = checks.iter().map(|check| check.name.clone()).collect();
            names.sort();
            names.dedup();
            names
        }
        RequiredChecks::Named(names) => names.clone(),
    };
    let of = |name: &String| checks.iter().filter(|check| check.name == *name).map(|check| check.state).collect();
    let states: Vec<(&String, Vec<State>)> = names.iter().map(|name| (name, of(name))).collect();
    let with = |wanted: State| -> Vec<&String> {
        states.iter().filter(|(_, states)| states.contains(&wanted)).map(|(name, _)| *name).collect()
    };
    let absent: Vec<&String> = states.iter().filter(|(_, states)| states.is_empty()).map(|(name, _)| *name).collect();
    let (failed, pending) = (with(State::Failed), with(State::Pending));
    match (failed.as_slice(), pending.as_slice(), absent.as_slice()) {
        ([], [], []) => Verdict::Green,
        ([], [], absent) => Verdict::Pending(format!("it waits for {}, which did not begin", checks_named(absent))),
        ([], pending, _) => Verdict::Pending(format!("it waits for {}", checks_named(pending))),
        (failed, ..) => Verdict::Failed(format!("{} failed", checks_named(failed))),
    }
}

/// ``check `test` ``, ``checks `test`, `lint` and 3 more``.
fn checks_named(names: &[&String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{}`", shown(name))).collect();
    let noun = if names.len() == 1 { "check" } else { "checks" };
    match names.len().saturating_sub(NAMED) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}

/// A name that others chose.
fn shown(name: &str) -> String {
    clean(name).replace('`', "'").chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, status: &str, conclusion: Value) -> Value {
        json!({ "name": name, "status": status, "conclusion": conclusion })
    }

    fn checks(runs: &[Value], statuses: &[(&str, &str)]) -> Vec<Check> {
        let statuses: Vec<Value> = statuses.iter().map(|(c, s)| json!({ "context": c, "state": s })).collect();
        read(&json!({ "check_runs": runs }), &json!({ "state": "pending", "statuses": statuses }))
    }

    fn named(names: &[&str]) -> RequiredChecks {
        RequiredChecks::Named(names.iter().map(|n| (*n).to_owned()).collect())
    }

    #[test]
    fn all_checks_have_to_pass_and_there_has_to_be_one() {
        assert!(matches!(judge(&RequiredChecks::All, &[]), Verdict::Pending(_)));
        let passed = checks(&[run("test", "completed", json!("success"))], &[("ci/lint", "success")]);
        assert_eq!(judge(&RequiredChecks::All, &passed), Verdict::Green);
        let running = checks(&[run("test", "in_progress", Value::Null)], &[("ci/lint", "success")]);
        assert_eq!(judge(&RequiredChecks::All, &running), Verdict::Pending("it waits for check `test`".into()));
        for conclusion in ["failure", "cancelled", "timed_out", "action_required", "stale", "startup_failure"] {
            let failed = checks(&[run("test", "completed", json!(conclusion))], &[("ci/lint", "pending")]);
            assert_eq!(judge(&RequiredChecks::All, &failed), Verdict::Failed("check `test` failed".into()));
        }
        let skipped = checks(&[run("a", "completed", json!("skipped")), run("b", "completed", json!("neutral"))], &[]);
        assert_eq!(judge(&RequiredChecks::All, &skipped), Verdict::Green);
    }

    #[test]
    fn named_checks_are_waited_for_even_before_they_begin_and_others_do_not_count() {
        let seen = checks(&[run("test", "completed", json!("success"))], &[("ci/other", "failure")]);
        assert_eq!(judge(&named(&["test"]), &seen), Verdict::Green);
        assert_eq!(
            judge(&named(&["test", "e2e"]), &seen),
            Verdict::Pending("it waits for check `e2e`, which did not begin".into())
        );
        assert!(matches!(judge(&named(&["test", "ci/other"]), &seen), Verdict::Failed(_)));
        // One name, two Apps: both have to pass.
        let twice = checks(&[run("t", "completed", json!("success")), run("t", "queued", Value::Null)], &[]);
        assert!(matches!(judge(&named(&["t"]), &twice), Verdict::Pending(_)));
    }

    #[test]
    fn our_own_statuses_are_no_checks_and_odd_answers_are_none() {
        assert_eq!(checks(&[], &[("towpath/shop", "pending")]), []);
        assert_eq!(read(&json!([]), &Value::Null), []);
        assert_eq!(read(&json!({ "check_runs": [{ "name": 7 }, null] }), &json!({ "statuses": {} })), []);
    }

    #[test]
    fn the_name_of_a_check_cannot_steer_a_terminal_and_many_are_counted() {
        let runs: Vec<Value> = (0..40).map(|n| run(&format!("\x1b[2J`{n:02}"), "queued", Value::Null)).collect();
        let Verdict::Pending(said) = judge(&RequiredChecks::All, &checks(&runs, &[])) else { panic!() };
        assert!(!said.contains('\x1b') && said.ends_with("and 35 more"), "{said}");
    }
}
