//! Log streams on a full disk.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use crate::store::SmallDisk;
use towpath::model::{LineSink, LineSource, OperationId, ServiceId};
use towpath::telemetry::{Cursor, LogStore, OperationGroup, Stream};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn on_a_full_disk_lines_are_dropped_counted_and_told_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let logs = LogStore::new(disk.path().join("logs"));
    let service = ServiceId::from_random([1; 16]);
    let stream = Stream::Operation { group: OperationGroup::Deployment, id: OperationId::from_random([2; 16]) };
    let writer = logs.writer(&service, &stream);
    writer.line(LineSource::Build, "before");
    let filler = disk.fill();
    let mut tried = 0;
    while writer.dropped() < 10 {
        writer.line(LineSource::Build, &format!("{tried} {}", "x".repeat(300)));
        tried += 1;
        assert!(tried < 10_000, "the disk never filled up");
    }
    // A stream that could not even be created loses its lines, not its operation.
    let other = Stream::Operation { group: OperationGroup::Update, id: OperationId::from_random([3; 16]) };
    let unlucky = logs.writer(&service, &other);
    unlucky.line(LineSource::Build, &"y".repeat(8192));
    assert_eq!(unlucky.dropped(), 1);

    std::fs::remove_file(filler).unwrap();
    writer.line(LineSource::Build, "after");
    unlucky.line(LineSource::AppRunner, "after");
    let lines = |stream| run(logs.read(&service, stream, &Cursor::START, 1 << 22)).unwrap().lines;
    let texts: Vec<String> = lines(&stream).into_iter().map(|l| l.text).collect();
    assert_eq!(texts[0], "[Build] before");
    let notice = "[AppRunner] 10 lines before this one could not be written.";
    assert_eq!(texts[texts.len() - 2..], [notice, "[Build] after"]);
    let whole = |i: &usize| texts[i + 1] == format!("[Build] {i} {}", "x".repeat(300));
    let kept = (0..tried).take_while(whole).count();
    assert_eq!(kept, tried - 10, "every line that was not dropped is there");
    assert_eq!(lines(&other).len(), 2);
}
