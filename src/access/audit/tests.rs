//! The trail on real files.

use super::*;
use serde_json::json;
use std::fs;

fn open(directory: &Path, file_bytes: u64) -> Audit {
    Audit::open(&directory.join("audit"), AuditSettings { file_bytes, ..AuditSettings::default() }).unwrap()
}

fn event(n: usize) -> serde_json::Value {
    json!({ "eventName": format!("Event{}", n % 3), "eventID": n.to_string(), "eventTime": format!("2026-11-26T15:00:{:02}Z", n % 60), "readOnly": n.is_multiple_of(2) })
}

async fn write(audit: &Audit, from: usize, to: usize) {
    for n in from..to {
        audit.write(&event(n)).await.unwrap();
    }
}

fn wait_for_sync(directory: &Path, number: u64) {
    for _ in 0..200 {
        if files::read_mark(&directory.join("audit"), "head.json").unwrap().is_some_and(|head| head.number == number) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("record {number} was not synced");
}

#[tokio::test]
async fn records_go_on_where_they_were_after_a_restart_over_many_files() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let audit = open(directory.path(), 2000);
        write(&audit, round * 25, (round + 1) * 25).await;
        let verified = audit.verify().unwrap();
        assert_eq!((verified.problems.as_slice(), verified.records), ([].as_slice(), (round as u64 + 1) * 25));
    }
    assert!(files::files(&directory.path().join("audit")).unwrap().len() > 4);
    let found = open(directory.path(), 2000).search(&Filter { limit: 3, ..Filter::default() }).unwrap();
    assert_eq!(found.records.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [100, 99, 98]);
    assert!(found.more);
}

#[tokio::test]
async fn many_calls_at_once_get_numbers_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let audit = std::sync::Arc::new(open(directory.path(), 1 << 20));
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.write(&event(n)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((audit.verify().unwrap().records, audit.verify().unwrap().problems), (500, vec![]));
}

#[tokio::test]
async fn what_was_altered_removed_or_cut_off_is_found() {
    let directory = tempfile::tempdir().unwrap();
    write(&open(directory.path(), 1500), 0, 30).await;
    wait_for_sync(directory.path(), 30);
    let files = files::files(&directory.path().join("audit")).unwrap();
    let verify = || chain::verify(&directory.path().join("audit")).unwrap().problems;
    assert_eq!(verify(), Vec::<String>::new());
    let (second, last) = (&files[1], files.last().unwrap());
    let whole = fs::read_to_string(second).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(second, whole.replacen("Event", "Evening", 1)).unwrap();
    assert!(verify()[0].ends_with("was altered"), "{:?}", verify());
    fs::write(second, format!("{}\n", [&lines[..1], &lines[2..]].concat().join("\n"))).unwrap();
    assert!(verify()[0].contains("stands where record"), "{:?}", verify());
    let swapped = [&lines[1..2], &lines[..1], &lines[2..]].concat();
    fs::write(second, format!("{}\n", swapped.join("\n"))).unwrap();
    assert!(!verify().is_empty());
    fs::write(second, &whole).unwrap();
    let removed = fs::read(second).unwrap();
    fs::remove_file(second).unwrap();
    assert!(verify()[0].contains("stands where record"), "{:?}", verify());
    fs::write(second, removed).unwrap();
    fs::remove_file(last).unwrap();
    assert!(verify()[0].ends_with("are missing at the end"), "{:?}", verify());
}

#[tokio::test]
async fn an_altered_record_with_a_new_hash_of_its_own_breaks_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    write(&open(directory.path(), 1 << 20), 0, 5).await;
    let file = files::files(&directory.path().join("audit")).unwrap().remove(0);
    let text = fs::read_to_string(&file).unwrap();
    let third = text.lines().nth(2).unwrap();
    let line = chain::Line::read(third).unwrap();
    let (forged, _) = chain::make_line(3, line.previous, &line.record.replace("Event2", "Event9"));
    fs::write(&file, text.replace(third, &forged)).unwrap();
    let problems = chain::verify(&directory.path().join("audit")).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("record 4 does not follow"), "{problems:?}");
}

#[tokio::test]
async fn half_a_record_is_cut_off_and_writing_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    write(&open(directory.path(), 1 << 20), 0, 3).await;
    let file = files::files(&directory.path().join("audit")).unwrap().remove(0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{{\"number\":4,\"previous\":\"")).unwrap();
    let audit = open(directory.path(), 1 << 20);
    write(&audit, 3, 5).await;
    assert_eq!((audit.verify().unwrap().records, audit.verify().unwrap().problems), (5, vec![]));
    // A file that was begun and never got a whole record.
    drop(audit);
    fs::write(directory.path().join("audit/000000000006.jsonl"), "{\"num").unwrap();
    let audit = open(directory.path(), 1 << 20);
    write(&audit, 5, 6).await;
    assert_eq!((audit.verify().unwrap().records, audit.verify().unwrap().problems), (6, vec![]));
}

#[tokio::test]
async fn old_files_go_and_the_rest_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path(), 1000);
    write(&audit, 0, 30).await;
    let many = files::files(&directory.path().join("audit")).unwrap().len();
    assert_eq!(audit.prune(Timestamp::now()).unwrap(), 0);
    let later = Timestamp::now().plus(Duration::from_secs(91 * 86_400));
    assert_eq!(audit.prune(later).unwrap(), many - 1);
    write(&audit, 30, 40).await;
    let verified = audit.verify().unwrap();
    assert!(verified.problems.is_empty() && verified.first > 1 && verified.last == 40, "{verified:?}");
    drop(audit);
    let again = open(directory.path(), 1000);
    write(&again, 40, 41).await;
    assert_eq!((again.verify().unwrap().last, again.verify().unwrap().problems), (41, vec![]));
}

#[tokio::test]
async fn records_are_found_by_what_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path(), 2000);
    write(&audit, 0, 60).await;
    let count = |filter: Filter| audit.search(&Filter { limit: 1000, ..filter }).unwrap().records.len();
    assert_eq!(count(Filter { event_name: Some("Event1".into()), ..Filter::default() }), 20);
    assert_eq!(count(Filter { read_only: Some(true), ..Filter::default() }), 30);
    assert_eq!(count(Filter { since: Some("2026-11-26T15:00:50Z".into()), ..Filter::default() }), 10);
    assert_eq!(count(Filter { until: Some("2026-11-26T15:00:09Z".into()), ..Filter::default() }), 10);
    assert_eq!(count(Filter { event_id: Some("7".into()), ..Filter::default() }), 1);
    assert_eq!(count(Filter { before: Some(11), ..Filter::default() }), 10);
    assert_eq!(count(Filter { failed: Some(true), ..Filter::default() }), 0);
}

#[test]
fn a_record_hides_what_may_be_secret_and_shows_that_it_was_given() {
    use crate::access::{Caller, Identity, Place, RequestFacts};
    let identity =
        Identity::User { name: "aws-user".into(), id: "AIDACKCEVSQ6C2EXAMPLE".into(), account: "123456789012".into() };
    let caller = Caller { identity, key_id: Some("AKIAIOSFODNN7EXAMPLE".into()) };
    let facts = RequestFacts {
        request_id: "r".into(),
        now: Timestamp(1_601_681_133_500),
        source: Some([192, 0, 2, 0].into()),
        secure: true,
        user_agent: Some("aws-cli".into()),
        ..RequestFacts::local("r", Timestamp(0))
    };
    let input = json!({
        "ServiceName": "python-test",
        "SourceConfiguration": { "CodeRepository": { "CodeConfiguration": { "CodeConfigurationValues": {
            "Runtime": "PYTHON_3", "BuildCommand": "make SECRET=x", "Port": "8080", "RuntimeEnvironmentVariables": { "A": "hunter2" }
        } } } },
    });
    let answer = json!({ "Service": { "CreatedAt": 1_601_681_132.65, "Status": "OPERATION_IN_PROGRESS" } });
    let call = Recorded {
        caller: &caller,
        facts: &facts,
        service: "apprunner",
        name: "CreateService",
        event_id: "e",
        input: &input,
        resource: "arn:x",
        outcome: Outcome::Answer(&answer),
    };
    let record = record(&call, &Place { region: "us-east-2".into(), account: "123456789012".into() });
    let expected = json!({
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser", "principalId": "AIDACKCEVSQ6C2EXAMPLE", "arn": "arn:aws:iam::123456789012:user/aws-user",
            "accountId": "123456789012", "userName": "aws-user", "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        },
        "eventTime": "2020-10-02T23:25:33Z",
        "eventSource": "apprunner.amazonaws.com",
        "eventName": "CreateService",
        "awsRegion": "us-east-2",
        "sourceIPAddress": "192.0.2.0",
        "userAgent": "aws-cli",
        "requestParameters": {
            "serviceName": "python-test",
            "sourceConfiguration": { "codeRepository": { "codeConfiguration": { "codeConfigurationValues": {
                "runtime": "PYTHON_3", "buildCommand": redact::HIDDEN, "port": "8080", "runtimeEnvironmentVariables": redact::HIDDEN,
            } } } },
        },
        "responseElements": { "service": { "createdAt": "2020-10-02T23:25:32.650Z", "status": "OPERATION_IN_PROGRESS" } },
        "requestID": "r", "eventID": "e", "readOnly": false,
        "resources": [{ "accountId": "123456789012", "ARN": "arn:x" }],
        "eventType": "AwsApiCall", "recipientAccountId": "123456789012",
    });
    assert_eq!(record, expected);
}
