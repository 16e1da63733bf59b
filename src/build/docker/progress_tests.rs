use super::super::recipe::Recipe;
use super::*;
use crate::model::{AppSettings, Language};
use std::collections::BTreeMap;

fn recipe() -> Recipe {
    let settings = AppSettings {
        runtime: "nodejs18".parse().unwrap(),
        runtime_version: None,
        pre_build: vec![],
        build: vec!["one".into(), "two".into()],
        post_build: vec![],
        build_env: BTreeMap::new(),
        pre_run: vec![],
        start: "x".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    };
    Recipe::new(&settings, Language::Java, "x", &BTreeMap::new()).unwrap()
}

fn events(messages: &[serde_json::Value]) -> Vec<Event> {
    let recipe = recipe();
    let mut progress = Progress::new(&recipe);
    let mut events: Vec<Event> = messages.iter().flat_map(|m| progress.take(m.to_string().as_bytes())).collect();
    progress.flush(&mut events);
    events
}

fn command(line: &str) -> Command {
    Command { phase: "build", line: line.into(), place: None }
}

fn line(text: &str) -> Event {
    Event::Line(text.into())
}

fn streams(texts: &[&str]) -> Vec<serde_json::Value> {
    texts.iter().map(|text| serde_json::json!({ "stream": text })).collect()
}

#[test]
fn the_classic_builders_chatter_is_left_out() {
    let mut messages = streams(&[
        "Step 1/7 : FROM x\n",
        " ---> 0123456789ab\n",
        "Step 2/7 : WORKDIR /app\n",
        " ---> Using cache\n",
        "Step 3/7 : RUN [\"prepare\"]\n",
        " ---> Using cache\n",
        "Step 4/7 : COPY app/ /app/\n",
        " ---> 0123456789ab\n",
        "Step 5/7 : RUN [\"one\"]\n",
        " ---> Using cache\n",
        " ---> 0123456789ab\n",
        "Step 6/7 : RUN [\"two\"]\n",
        " ---> Running in 0123456789ab\n",
        "a",
        "b\n",
        "\u{1b}[91mred\n\u{1b}[0m",
        "10%\r20%\r\n",
        "Step 9/7 : spoofed\n",
    ]);
    messages.push(serde_json::json!({ "errorDetail": { "code": 3, "message": "m" }, "error": "m" }));
    let failed = Event::Failed { command: Some(command("two")), message: "m".into(), code: Some(3) };
    assert_eq!(
        events(&messages),
        [
            Event::Cached(command("one")),
            Event::Runs(command("two")),
            line("ab"),
            line("red"),
            line("20%"),
            line("Step 9/7 : spoofed"),
            failed,
        ]
    );
}

/// A field of a protocol buffers message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn trace(message: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "id": "moby.buildkit.trace",
        "aux": base64::engine::general_purpose::STANDARD.encode(message),
    })
}

fn vertex(name: &str, more: &[u8]) -> serde_json::Value {
    trace(&field(1, &[field(1, name.as_bytes()), field(3, name.as_bytes()), more.to_vec()].concat()))
}

#[test]
fn buildkits_steps_are_told_once_and_the_failing_one_is_named() {
    let (started, cached) = (field(5, b""), [vec![4 << 3, 1], field(5, b""), field(6, b"")].concat());
    let output = field(3, &[field(1, b"[6/6] RUN"), field(4, b"half a")].concat());
    let messages = [
        vertex("[internal] load metadata", &started),
        vertex("[5/6] RUN", b""),
        vertex("[5/6] RUN", &cached),
        vertex("[6/6] RUN", &started),
        vertex("[6/6] RUN", &started),
        trace(&output),
        trace(&field(3, &[field(1, b"[6/6] RUN"), field(4, b" line\nrest")].concat())),
        vertex("[6/6] RUN", &[started.clone(), field(7, b"boom")].concat()),
        serde_json::json!({ "error": "executor failed running [x]: exit code: 7" }),
    ];
    let message = "executor failed running [x]: exit code: 7".into();
    assert_eq!(
        events(&messages),
        [
            Event::Cached(command("one")),
            Event::Runs(command("two")),
            line("half a line"),
            line("rest"),
            Event::Failed { command: Some(command("two")), message, code: Some(7) },
        ]
    );
}

#[test]
fn output_without_a_line_end_is_cut() {
    let long = "x".repeat(LONGEST_LINE + 1);
    let mut messages: Vec<String> =
        (1..=4).map(|n| format!("Step {n}/6 : RUN x\n")).chain([" ---> Running in 0123456789ab\n".into()]).collect();
    messages.push(long);
    messages.push("y\n".into());
    let texts: Vec<&str> = messages.iter().map(String::as_str).collect();
    let lines: Vec<usize> = events(&streams(&texts))
        .iter()
        .filter_map(|e| if let Event::Line(l) = e { Some(l.len()) } else { None })
        .collect();
    assert_eq!(lines, [LONGEST_LINE + 1, 1]);
}

#[test]
fn what_is_no_message_tells_nothing() {
    let recipe = recipe();
    let mut progress = Progress::new(&recipe);
    for bad in ["", "x", "[]", "{\"stream\":1}", "{\"id\":\"moby.buildkit.trace\",\"aux\":\"!\"}"] {
        assert_eq!(progress.take(bad.as_bytes()), []);
    }
}
