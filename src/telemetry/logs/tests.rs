//! Writing, reading, following through rotations, merging, collecting.

use super::*;
use crate::model::{EventSeverity, LineSink, LineSource};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn service() -> ServiceId {
    ServiceId::from_random([1; 16])
}

fn instance(n: u8) -> InstanceId {
    InstanceId::from_random([n; 16])
}

fn deployment(n: u8) -> Stream {
    Stream::Operation { group: OperationGroup::Deployment, id: OperationId::from_random([n; 16]) }
}

fn store() -> (tempfile::TempDir, LogStore) {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogStore::new(dir.path().join("logs"));
    (dir, logs)
}

/// All that a stream holds, read in pages of this size.
fn read_all(logs: &LogStore, stream: &Stream, page: usize) -> Vec<String> {
    let (mut from, mut lines) = (Cursor::START, Vec::new());
    loop {
        let page = run(logs.read(&service(), stream, &from, page)).unwrap();
        if page.lines.is_empty() {
            return lines;
        }
        assert!(!page.gap);
        lines.extend(page.lines.into_iter().map(|l| l.text));
        from = page.next;
    }
}

/// Writes raw text as an instance's keeper does.
fn write_instance(logs: &LogStore, id: &InstanceId, text: &[u8]) -> PathBuf {
    let path = run(logs.instance_log(&service(), id)).unwrap();
    std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(text).unwrap();
    path
}

#[test]
fn lines_carry_time_and_prefix_and_lie_where_row_o1_says() {
    let (dir, logs) = store();
    let stream = deployment(7);
    let writer = logs.writer(&service(), &stream);
    writer.line(LineSource::Build, "Collecting flask");
    writer.ours_at(Timestamp(1_790_000_000_123), "Deployment started.");
    let service = service();
    let path = dir.path().join(format!("logs/{service}/service/deployment/07070707070747078707070707070707.log"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("Z [Build] Collecting flask"), "{text}");
    assert_eq!(lines[1], "2026-09-21T14:13:20.123Z [AppRunner] Deployment started.");
    let read = run(logs.tail(&service, &stream, 1)).unwrap();
    assert_eq!(read, [Line { time: Timestamp(1_790_000_000_123), text: "[AppRunner] Deployment started.".into() }]);
    assert_eq!(run(logs.streams(&service)).unwrap()[0].stream, stream);
}

#[test]
fn hostile_lines_cannot_pass_for_ours_or_act_on_a_terminal() {
    let (_dir, logs) = store();
    let writer = logs.writer(&service(), &deployment(1));
    writer.line(LineSource::Build, "a\n2026-01-01T00:00:00.000Z [AppRunner] forged\r\n\x1b[2Jwiped\0\rover");
    writer.line(LineSource::Build, &"é".repeat(500_000));
    writer.line(LineSource::Build, &"\0".repeat(LINE));
    let lines = read_all(&logs, &deployment(1), 1 << 20);
    assert_eq!(lines[0], "[Build] a");
    assert_eq!(lines[1], "[Build] 2026-01-01T00:00:00.000Z [AppRunner] forged");
    assert_eq!(lines[2], "[Build] wiped\\u{0}\\rover");
    assert!(lines[3].starts_with("[Build] éé") && lines[3].ends_with("é… (934464 bytes cut)"), "{}", lines[3].len());
    assert!(lines[4].len() < LINE + 128 && lines[4].contains("bytes cut"));
    assert_eq!(lines.len(), 5);
}

const LINE: usize = clean::LINE_MAX;

#[test]
fn an_instances_own_hostile_output_is_read_in_bounded_clean_lines() {
    let (_dir, logs) = store();
    let mut raw = b"2026-01-01T00:00:00.000Z \x1b[31mred\x1b[0m \xff\xfe\n".to_vec();
    raw.extend(b"x".repeat(1_000_000));
    raw.extend("\n2026-01-01T00:00:01.5Z €".as_bytes());
    raw.extend("€".repeat(100_000).bytes());
    raw.extend(b"\nno time\n");
    write_instance(&logs, &instance(1), &raw);
    let stream = Stream::Instance(instance(1));
    for page in [1, 1000, 70_000, 1 << 22] {
        let lines = read_all(&logs, &stream, page);
        assert_eq!(lines[0], "red \u{fffd}\u{fffd}");
        assert_eq!(lines.last().unwrap(), "no time");
        assert!(lines.iter().all(|l| l.len() <= LINE + 128), "page {page}");
        let total = lines.concat();
        assert_eq!(total.matches('x').count(), 1_000_000, "page {page}");
        assert_eq!(total.matches('€').count(), 100_001, "page {page}: a character was cut");
    }
    let tail = run(logs.tail(&service(), &stream, 1)).unwrap();
    assert_eq!(tail[0].text, "no time");
}

#[test]
fn a_torn_last_line_waits_for_its_end_and_is_ended_by_the_next_writer() {
    let (dir, logs) = store();
    let stream = deployment(1);
    logs.writer(&service(), &stream).line(LineSource::Build, "whole");
    let path = stream.path(&dir.path().join("logs").join(service().as_str()));
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"2026-01-01T00:00:00.000Z [Bui").unwrap();
    assert_eq!(read_all(&logs, &stream, 100), ["[Build] whole"]);
    let end = run(logs.seek(&service(), &stream, Position::End)).unwrap();
    // As after a crash: a new store, a new writer.
    let logs = LogStore::new(dir.path().join("logs"));
    logs.writer(&service(), &stream).line(LineSource::AppRunner, "goes on");
    assert_eq!(read_all(&logs, &stream, 100), ["[Build] whole", "[Bui", "[AppRunner] goes on"]);
    let page = run(logs.read(&service(), &stream, &end, 1000)).unwrap();
    assert_eq!(page.lines.len(), 2);
}

#[test]
fn a_stream_that_is_not_there_yet_reads_as_empty_and_is_followed_once_it_is() {
    let (_dir, logs) = store();
    let stream = deployment(1);
    for position in [Position::Start, Position::End, Position::Tail(3), Position::Since(Timestamp(0))] {
        assert_eq!(run(logs.seek(&service(), &stream, position)).unwrap(), Cursor::START);
    }
    let page = run(logs.read(&service(), &stream, &Cursor::START, 1000)).unwrap();
    assert_eq!(page, Page::default());
    logs.writer(&service(), &stream).line(LineSource::Build, "first");
    assert_eq!(run(logs.read(&service(), &stream, &page.next, 1000)).unwrap().lines.len(), 1);
    assert_eq!(run(logs.streams(&ServiceId::from_random([9; 16]))).unwrap(), []);
}

#[test]
fn builds_stop_at_the_bound_but_how_it_ended_is_still_written() {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogStore::with_bounds(dir.path(), 10_000, 10_000);
    let stream = deployment(1);
    let writer = logs.writer(&service(), &stream);
    let other = logs.writer(&service(), &stream);
    for _ in 0..500 {
        writer.line(LineSource::Build, &"x".repeat(100));
    }
    other.line(LineSource::AppRunner, "Build failed.");
    let lines = read_all(&logs, &stream, 1000);
    let notice = "[AppRunner] The log reached its limit of 10000 bytes; build output after this is dropped.";
    assert_eq!(lines[lines.len() - 2..], [notice, "[AppRunner] Build failed."]);
    let kept = lines.len() - 2;
    assert!((60..100).contains(&kept), "{kept}");
    assert_eq!(other.dropped(), 500 - kept as u64);
    // Ours are bounded too, and a resumed operation says it only once.
    drop((writer, other));
    let writer = logs.writer(&service(), &stream);
    for _ in 0..30_000 {
        writer.line(LineSource::AppRunner, &"y".repeat(100));
    }
    assert!(run(logs.streams(&service())).unwrap()[0].bytes < 10_000 + (1 << 20) + 200);
    assert_eq!(read_all(&logs, &stream, 1 << 20).iter().filter(|l| *l == notice).count(), 1);
}

#[test]
fn the_events_stream_starts_over_and_keeps_the_part_before() {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogStore::with_bounds(dir.path(), 1000, 1000);
    for i in 0..100 {
        let event = Event {
            at: Timestamp(1_790_000_000_000 + i),
            service: Some(service()),
            name: None,
            operation: None,
            kind: "Counted".into(),
            severity: EventSeverity::Info,
            message: format!("event {i}"),
            detail: None,
        };
        logs.event(&event);
    }
    let lines = read_all(&logs, &Stream::Events, 100);
    assert_eq!(lines.last().unwrap(), "[AppRunner] event 99");
    assert!((20..50).contains(&lines.len()), "{}", lines.len());
}

#[test]
fn writers_at_the_same_time_lose_and_mix_nothing() {
    let (_dir, logs) = store();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let logs = logs.clone();
            scope.spawn(move || {
                for i in 0..500 {
                    // A writer each time: they find the open file, or open it again.
                    logs.writer(&service(), &deployment(1)).line(LineSource::Build, &format!("{n} {i}"));
                }
            });
        }
    });
    let lines = read_all(&logs, &deployment(1), 5000);
    assert_eq!(lines.len(), 4000);
    for n in 0..8 {
        let mine: Vec<String> = lines.iter().filter(|l| l.starts_with(&format!("[Build] {n} "))).cloned().collect();
        let expected: Vec<String> = (0..500).map(|i| format!("[Build] {n} {i}")).collect();
        assert_eq!(mine, expected);
    }
}

#[test]
fn a_reader_follows_through_rotations_and_sees_each_line_once() {
    let (_dir, logs) = store();
    let id = instance(3);
    let path = run(logs.instance_log(&service(), &id)).unwrap();
    const LINES: usize = 20_000;
    let count = Arc::new(AtomicUsize::new(0));
    let read = count.clone();
    let writer = std::thread::spawn(move || {
        let open = || std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut file = open();
        for i in 0..LINES {
            if i % 1000 == 999 {
                // As the keeper of an instance rotates; not before the reader came into the newest part.
                while read.load(Ordering::Acquire) + 500 < i {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::fs::rename(&path, stream::rotated(&path)).unwrap();
                file = open();
            }
            let line = format!("{} line {i}\n", Timestamp(1_790_000_000_000 + i as i64));
            let (first, rest) = line.split_at(i % 20);
            file.write_all(first.as_bytes()).unwrap();
            file.write_all(rest.as_bytes()).unwrap();
        }
    });
    let (mut from, mut seen, mut gaps) = (Cursor::START, Vec::new(), 0);
    while seen.last().is_none_or(|l| l != &format!("line {}", LINES - 1)) {
        let page = run(logs.read(&service(), &Stream::Instance(id.clone()), &from, 20_000)).unwrap();
        gaps += usize::from(page.gap);
        seen.extend(page.lines.into_iter().map(|l| l.text));
        count.store(seen.len(), Ordering::Release);
        from = page.next.to_string().parse().unwrap();
    }
    writer.join().unwrap();
    assert_eq!(gaps, 0);
    let expected: Vec<String> = (0..LINES).map(|i| format!("line {i}")).collect();
    assert!(seen == expected, "{} lines seen", seen.len());
}

#[test]
fn what_was_rotated_away_unread_is_a_gap() {
    let (_dir, logs) = store();
    let id = instance(3);
    let stream = Stream::Instance(id.clone());
    let path = write_instance(&logs, &id, b"2026-01-01T00:00:00.000Z one\n2026-01-01T00:00:01.000Z two\n");
    let page = run(logs.read(&service(), &stream, &Cursor::START, 1)).unwrap();
    assert_eq!((page.lines.len(), page.more), (1, true));
    for n in 3..5 {
        std::fs::rename(&path, stream::rotated(&path)).unwrap();
        write_instance(&logs, &id, format!("2026-01-01T00:00:0{n}.000Z {n}\n").as_bytes());
    }
    let page = run(logs.read(&service(), &stream, &page.next, 1000)).unwrap();
    assert!(page.gap);
    assert_eq!(page.lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["3", "4"]);
}

#[test]
fn seeking_finds_times_and_tails_across_both_parts() {
    let (_dir, logs) = store();
    let id = instance(3);
    let stream = Stream::Instance(id.clone());
    let line = |i: i64| format!("{} {i} {}\n", Timestamp(1000 * i), "x".repeat(150));
    let path = write_instance(&logs, &id, (0..3000).map(line).collect::<String>().as_bytes());
    std::fs::rename(&path, stream::rotated(&path)).unwrap();
    write_instance(&logs, &id, (3000..4000).map(line).collect::<String>().as_bytes());
    write_instance(&logs, &id, b"  at continuation\nhalf a li");
    let first = |position| {
        let from = run(logs.seek(&service(), &stream, position)).unwrap();
        let page = run(logs.read(&service(), &stream, &from, 1)).unwrap();
        page.lines.first().map(|l| l.text.split(" x").next().unwrap_or_default().to_owned())
    };
    assert_eq!(first(Position::Start).unwrap(), "0");
    assert_eq!(first(Position::End), None);
    assert_eq!(first(Position::Tail(1)).unwrap(), "  at continuation");
    assert_eq!(first(Position::Tail(1001)).unwrap(), "3000");
    assert_eq!(first(Position::Tail(1003)).unwrap(), "2998");
    assert_eq!(first(Position::Tail(100_000)).unwrap(), "0");
    for since in [0, 1, 2999, 3000, 3001, 3999] {
        assert_eq!(first(Position::Since(Timestamp(1000 * since))).unwrap(), since.to_string());
        assert_eq!(first(Position::Since(Timestamp(1000 * since - 1))).unwrap(), since.to_string());
    }
    assert_eq!(run(logs.tail(&service(), &stream, 1002)).unwrap().len(), 1002);
    let tail = run(logs.tail(&service(), &stream, 2)).unwrap();
    assert_eq!(
        (tail[0].time, tail[1].time),
        (Timestamp(3_999_000), Timestamp(3_999_000)),
        "a continuation has its line's time"
    );
}

#[test]
fn several_instances_merge_in_the_order_of_time_whatever_the_page() {
    let (_dir, logs) = store();
    let ids: Vec<InstanceId> = (1..4).map(instance).collect();
    let mut expected = Vec::new();
    for i in 0..3000_i64 {
        let id = &ids[usize::try_from(i * i % 7 % 3).unwrap()];
        expected.push(format!("{} {i}", &id.as_str()[..8]));
        write_instance(&logs, id, format!("{} {i}\n", Timestamp(1_790_000_000_000 + i)).as_bytes());
    }
    for page_size in [1, 20_000, 1 << 20] {
        let (mut from, mut seen) = (BTreeMap::new(), Vec::new());
        loop {
            let page = run(logs.read_merged(&service(), &ids, &from, page_size)).unwrap();
            seen.extend(page.lines.iter().map(ToString::to_string));
            from = page.next;
            if !page.more {
                break;
            }
            assert!(!page.lines.is_empty(), "no progress");
        }
        assert!(seen == expected, "page {page_size}: {} lines", seen.len());
    }
}

#[test]
fn merging_goes_on_where_a_clock_went_back() {
    let (_dir, logs) = store();
    let ids = [instance(1), instance(2)];
    for (n, id) in ids.iter().enumerate() {
        let lines =
            (0..2000_i64).map(|i| format!("{} {i}\n", Timestamp(1_790_000_000_000 + (i % 700) * 1000 + n as i64)));
        write_instance(&logs, id, lines.collect::<String>().as_bytes());
    }
    let (mut from, mut seen, mut more) = (BTreeMap::new(), 0, true);
    while more {
        let page = run(logs.read_merged(&service(), &ids, &from, 1)).unwrap();
        assert!(!page.lines.is_empty());
        (from, more, seen) = (page.next, page.more, seen + page.lines.len());
    }
    assert_eq!(seen, 4000);
}

#[test]
fn collecting_removes_files_but_none_that_is_being_written_and_no_strangers() {
    let (dir, logs) = store();
    let writer = logs.writer(&service(), &deployment(1));
    writer.line(LineSource::Build, "still open");
    logs.writer(&service(), &deployment(2)).line(LineSource::Build, "closed");
    let path = write_instance(&logs, &instance(1), b"gone\n");
    std::fs::rename(&path, stream::rotated(&path)).unwrap();
    let stranger = path.with_file_name("notes.log");
    std::fs::write(&stranger, "of a person").unwrap();
    let none = Retention { operations: 0, instances: 0, max_age: Duration::ZERO };
    let removed = run(logs.collect(none, InUse::default(), Timestamp::now())).unwrap();
    assert_eq!(removed, 2);
    let left = run(logs.streams(&service())).unwrap();
    assert_eq!(left.iter().map(|i| &i.stream).collect::<Vec<_>>(), [&deployment(1)]);
    assert!(stranger.exists());
    run(logs.remove_service(&service())).unwrap();
    run(logs.remove_service(&service())).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 0);
}

#[test]
fn links_are_not_followed() {
    let (dir, logs) = store();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let path = run(logs.instance_log(&service(), &instance(1))).unwrap();
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    assert!(run(logs.read(&service(), &Stream::Instance(instance(1)), &Cursor::START, 100)).is_err());
    assert_eq!(run(logs.streams(&service())).unwrap(), []);
}
