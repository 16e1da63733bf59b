use super::*;
use crate::model::{OperationId, ServiceId};
use crate::observed::EngineView;
use crate::plan::{Action, Change, NoteKind};

fn nothing() -> Observed {
    let engine = EngineView::Answered { name: "process".into() };
    Observed { services: vec![], heads: vec![], engine, strays: vec![], host_memory: None, vetted: vec![] }
}

fn change(name: &str, fields: Vec<FieldChange>) -> Change {
    Change {
        service: Some(name.parse().unwrap()),
        place: None,
        action: Action::Delete { id: ServiceId::from_random([1; 16]), operation: OperationId::from_random([2; 16]) },
        fields,
        effect: "first deployment: 1 instance".into(),
        basis: crate::model::Digest::of(&name),
    }
}

fn plan_of(changes: Vec<Change>) -> Plan {
    Plan { manifest: None, at: crate::model::Timestamp(0), changes }
}

fn field(name: &str, value: &str) -> FieldChange {
    FieldChange { field: name.into(), from: None, to: Some(value.into()) }
}

fn note(message: String) -> Note {
    Note { service: None, place: None, kind: NoteKind::Waits, message, until: None }
}

#[test]
fn a_code_span_holds_whatever_is_in_it() {
    assert_eq!(code("a"), "`a`");
    assert_eq!(code("a`b``c"), "```a`b``c```");
    assert_eq!(code("`a`"), "`` `a` ``");
    assert_eq!(code(" a "), "`  a  `");
    assert_eq!(code("  "), "`  `");
    assert_eq!(code("a\nb\u{202e}"), "`a\\nb\\u{202e}`");
    assert_eq!(code(""), "*empty*");
}

#[test]
fn words_that_mean_something_to_github_stand_in_code_spans() {
    assert_eq!(prose("waits for `towpath deploy shop`"), "waits for `towpath deploy shop`");
    assert_eq!(prose("by @ann in #12, see https://x.y <b>"), "by `@ann` in `#12,` see `https://x.y` `<b>`");
    assert_eq!(prose("a ` alone @ann"), "a `` ` `` alone `@ann`");
    assert_eq!(prose("[x](y) *z* _u_"), "`[x](y)` `*z*` `_u_`");
}

#[test]
fn a_pipe_stays_in_its_cell() {
    assert_eq!(row(&[code("a|b"), prose("c|d e")]), "| `a\\|b` | `c\\|d` e |\n");
}

#[test]
fn the_whole_is_bounded_and_what_is_left_out_is_counted() {
    let long = "é".repeat(300);
    let fields: Vec<FieldChange> = (0..60).map(|n| field(&format!("env.{long}{n}"), &long)).collect();
    let changes: Vec<Change> = (0..60).map(|n| change(&format!("service-{n}"), fields.clone())).collect();
    let report = Report { notes: (0..500).map(|n| note(format!("{n} {long}"))).collect() };
    let text = render_markdown(&plan_of(changes), &report, &nothing());
    assert!(text.len() <= MOST_BYTES, "{}", text.len());
    let shown = text.matches("\n#### Delete ").count();
    assert!(shown > 0 && text.contains("more fields.\n"), "{shown}");
    let noted = text.lines().filter(|l| l.starts_with("| `towpath` |")).count();
    let end =
        format!("\n…and {} more services and {} more notes; `towpath plan` shows all.\n", 60 - shown, 500 - noted);
    assert!(noted > 0 && text.ends_with(&end), "{noted}: {:?}", &text[text.len() - 100..]);
}

#[test]
fn one_service_fewer_than_fits_is_shown_whole() {
    let changes: Vec<Change> = (0..20).map(|n| change(&format!("service-{n}"), vec![field("a", "b")])).collect();
    let text = render_markdown(&plan_of(changes), &Report::default(), &nothing());
    assert_eq!(text.matches("\n#### Delete ").count(), 20);
    assert!(!text.contains("more"), "{text}");
}

#[test]
fn many_problems_are_bounded_too() {
    let problem = Problem {
        class: "x".into(),
        severity: Severity::Error,
        place: crate::model::Place { file: "a|b".into(), line: 3, column: 1 },
        length: 1,
        message: "x".repeat(900),
        hint: Some("do `this`".into()),
        source_line: None,
    };
    let text = render_problems_markdown(&vec![problem; 1000]);
    assert!(text.len() <= MOST_BYTES && text.contains("the manifest has 1000 errors") && text.contains("`a\\|b:3:1`"));
    assert!(text.contains("<br>do `this` |") && text.contains(" more; `towpath validate` shows all."));
}
