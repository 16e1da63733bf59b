//! Commands that people run once in a service's current revision (`towpath run`): admitted, recorded, followed, ended.
//!
//! A command lives as long as its client asks for its output. They are kept in memory only: a control plane that ends
//! stops them, and what a crash leaves is removed by the next start ([`OneOffs::sweep`]), so none goes on unseen.
//!
//! [`OneOffs::sweep`]: crate::engine::once::OneOffs::sweep

mod input;
mod reader;

use super::core::Core;
use super::{chain, deploy, snapshot};
use crate::api::commands::{
    CommandBegun, CommandEnd, CommandInput, CommandInputTaken, CommandOutput, CommandRequest, Outcome,
};
use crate::api::control::{Principal, Refusal};
use crate::engine::once::Ended;
use crate::engine::{Attached, EngineError};
use crate::model::{
    BuildId, EventSeverity, Input, InstanceId, InstanceSpec, Memory, OperationKind, Purpose, Revision, ServiceId,
    ServiceRecord, StartCommand, TerminalSize,
};
use input::Writer;
use reader::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long an answer waits for a line. Below the wire's own limit.
const HOLD: Duration = Duration::from_secs(5);
/// How long a command goes on without being asked for: an answer may be waited for in it, and a reader be slow.
const LEASE: Duration = Duration::from_secs(15);
/// How long the end of a command can be asked for.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long the commands of a service that is deleted may take to end.
const END_TIME: Duration = Duration::from_secs(15);
/// Commands that run at once.
const AT_ONCE: usize = 16;
/// Lines that wait to be read; then the engine's log file holds them.
const WAITING: usize = 256;
/// Characters of a command line that are recorded.
const RECORDED: usize = 300;

/// All commands that run, or ended just now.
#[derive(Default)]
pub struct Commands(Mutex<BTreeMap<InstanceId, Arc<Session>>>);

/// One command.
struct Session {
    service: ServiceId,
    build: BuildId,
    memory: Memory,
    /// Cancelled when it is to stop.
    stop: CancellationToken,
    /// Who stopped it, or what did.
    stopped_by: Mutex<Option<String>>,
    /// When its client asked last.
    asked_at: Mutex<Instant>,
    reader: tokio::sync::Mutex<Reader>,
    /// What its client writes to it.
    writer: tokio::sync::Mutex<Writer>,
    end: watch::Sender<Option<CommandEnd>>,
}

/// A poisoned lock guards values that are whole at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commands {
    /// Builds that commands run in: they are not collected meanwhile.
    pub fn builds(&self) -> BTreeSet<BuildId> {
        self.running().iter().map(|session| session.build.clone()).collect()
    }

    /// Ends the commands of a service, which is being deleted.
    pub async fn end_of(&self, service: &ServiceId) {
        let theirs: Vec<_> = self.running().into_iter().filter(|s| &s.service == service).collect();
        theirs.iter().for_each(|session| session.stop("the deletion of its service"));
        for session in theirs {
            let mut end = session.end.subscribe();
            if timeout(END_TIME, end.wait_for(Option::is_some)).await.is_err() {
                tracing::warn!(%service, "a command does not end with its service");
            }
        }
    }

    fn running(&self) -> Vec<Arc<Session>> {
        locked(&self.0).values().filter(|session| session.end.borrow().is_none()).cloned().collect()
    }

    fn find(&self, id: &InstanceId) -> Result<Arc<Session>, Refusal> {
        let found = locked(&self.0).get(id).cloned();
        found.ok_or_else(|| {
            let why = "it ended, or towpath was restarted, which ends commands: how far it came is not known";
            Refusal::NotFound(format!("there is no command `{id}` any more: {why}"))
        })
    }

    /// Takes a command in, if there is room for it.
    fn admit(&self, core: &Core, id: &InstanceId, session: Session) -> Result<Arc<Session>, Refusal> {
        let (observed, policy) = (snapshot::observed(core), core.policy());
        let mut all = locked(&self.0);
        let running: Vec<_> = all.values().filter(|session| session.end.borrow().is_none()).collect();
        if running.len() >= AT_ONCE {
            return Err(Refusal::InvalidState(format!("{AT_ONCE} commands run already: wait until one ended")));
        }
        let taken = running.iter().map(|session| session.memory.0).sum();
        crate::plan::admit_command(&observed, &policy, session.memory, taken).map_err(|why| {
            let todo = "pause a service, or allow more with `towpath up --overcommit`";
            Refusal::InvalidState(format!("the command {why}; {todo}"))
        })?;
        let session = Arc::new(session);
        all.insert(id.clone(), session.clone());
        Ok(session)
    }
}

impl Session {
    fn new(service: &ServiceId, revision: &Revision, lines: mpsc::Receiver<String>, writer: Writer) -> Self {
        Self {
            service: service.clone(),
            build: revision.build.clone(),
            memory: revision.spec.instance.memory,
            stop: CancellationToken::new(),
            stopped_by: Mutex::default(),
            asked_at: Mutex::new(Instant::now()),
            reader: tokio::sync::Mutex::new(Reader::new(lines)),
            writer: tokio::sync::Mutex::new(writer),
            end: watch::Sender::default(),
        }
    }

    fn stop(&self, by: &str) {
        locked(&self.stopped_by).get_or_insert(by.to_owned());
        self.stop.cancel();
    }

    /// Returns once its client has not asked for longer than it may.
    async fn abandoned(&self) {
        loop {
            let until = *locked(&self.asked_at) + LEASE;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn describe(&self, ended: Result<Ended, EngineError>, limit: Duration) -> CommandEnd {
        let (outcome, exit_code, message) = match ended {
            Ok(Ended::Exited { code, message }) => (Outcome::Exited, code, message),
            Ok(Ended::Overdue) => {
                (Outcome::TimedOut, None, format!("stopped: it ran longer than {} s", limit.as_secs()))
            }
            Ok(Ended::Stopped) => {
                let by = locked(&self.stopped_by).clone().unwrap_or_else(|| "the end of towpath".into());
                (Outcome::Stopped, None, format!("stopped by {by}"))
            }
            Err(EngineError::Refused(message)) => (Outcome::Failed, None, message),
            Err(error) => {
                (Outcome::Failed, None, format!("the command could not be followed to its end: {}", chain(&error)))
            }
        };
        CommandEnd { outcome, exit_code, message }
    }
}

/// Begins a command in what a service runs now.
///
/// # Errors
/// A service that has nothing to run it in, secrets that cannot be resolved, too little room.
pub async fn begin(
    core: &Arc<Core>,
    service: &ServiceId,
    request: CommandRequest,
    by: Principal,
) -> Result<CommandBegun, Refusal> {
    let (record, revision) = current(core, service)?;
    let id = InstanceId::from_random(core.random());
    let spec = deploy::instance_spec(core, &record, &revision, &id).await;
    let spec = spec.map_err(|failure| Refusal::InvalidState(failure.message))?;
    let log = core.one_offs.log_path(&id);
    let command = StartCommand::Words(request.words.clone());
    let spec = InstanceSpec { purpose: Purpose::Once, command, sole: false, log, input: request.input, ..spec };
    let (sender, lines) = mpsc::channel(WAITING);
    let (streams, writer) = Streams::of(request.input, sender);
    let session = core.commands.admit(core, &id, Session::new(service, &revision, lines, writer))?;
    let line = recorded(&request.words);
    let why = by.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!("`{line}` runs in revision {}, asked for by {}{why}.", revision.number, by.name);
    core.emit_for(&record, "CommandStarted", EventSeverity::Info, message).await;
    let told = format!("`{line}`, asked for by {},", by.name);
    tokio::spawn(live(core.clone(), session, record, spec, request.limit, streams, told));
    Ok(CommandBegun { command_id: id, revision: revision.number })
}

/// What a service runs now.
fn current(core: &Core, service: &ServiceId) -> Result<(Arc<ServiceRecord>, Arc<Revision>), Refusal> {
    let state = core.state();
    let record = state.world.services.get(service).filter(|r| r.deleted_at.is_none());
    let record = record.ok_or_else(|| Refusal::NotFound("the service is deleted".into()))?;
    let name = &record.name;
    if state.world.open_operation(service).is_some_and(|o| o.kind == OperationKind::DeleteService) {
        return Err(Refusal::InvalidState(format!("service `{name}` is being deleted")));
    }
    let revision = record.current.and_then(|n| state.world.revisions.get(&(service.clone(), n)));
    let revision = revision.ok_or_else(|| {
        let todo = "wait for its first deployment (`towpath status` says what it waits for)";
        Refusal::InvalidState(format!("service `{name}` has no revision yet that a command could run in; {todo}"))
    })?;
    Ok((record.clone(), revision.clone()))
}

/// A command line for the record: as one would type it, bounded.
fn recorded(words: &[String]) -> String {
    let quoted = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    let plain = quoted.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = plain.take(RECORDED + 1).collect();
    if let Some((at, _)) = line.char_indices().nth(RECORDED) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// A command from its start to its end, and until nobody asks for that any more.
async fn live(
    core: Arc<Core>,
    session: Arc<Session>,
    record: Arc<ServiceRecord>,
    spec: InstanceSpec,
    limit: Duration,
    streams: Streams,
    told: String,
) {
    let (id, begun) = (spec.id.clone(), Instant::now());
    let Streams { lines, attached, terminal, over } = streams;
    let running = core.one_offs.run_attached(spec, limit, session.stop.clone(), lines, attached);
    let mut running = std::pin::pin!(running);
    if terminal {
        // Read from the beginning, whether its client writes or not.
        tokio::spawn(connect(session.clone()));
    }
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = session.abandoned() => {
            session.stop("the end of its client");
            running.await
        }
    };
    over.cancel();
    let end = session.describe(ended, limit);
    let took = begun.elapsed().as_secs_f64();
    let severity = if end.exit_code == Some(0) { EventSeverity::Info } else { EventSeverity::Warn };
    let message = format!("{told} ended after {took:.1}s: {}.", end.message.trim_end_matches('.'));
    session.end.send_replace(Some(end));
    core.emit_for(&record, "CommandEnded", severity, message).await;
    sleep(REMEMBERED).await;
    locked(&core.commands.0).remove(&id);
}

/// What an engine is given of a command's streams.
struct Streams {
    /// Lines that it prints.
    lines: mpsc::Sender<String>,
    /// The ends of its input, where it reads.
    attached: Option<oneshot::Sender<Attached>>,
    terminal: bool,
    /// To be cancelled at its end.
    over: CancellationToken,
}

impl Streams {
    /// What a command prints goes to the client; from its terminal if it has one, else by its log.
    fn of(input: Input, client: mpsc::Sender<String>) -> (Self, Writer) {
        let (attached, awaited) = oneshot::channel();
        let over = CancellationToken::new();
        match input {
            Input::Empty => {
                let streams = Self { lines: client, attached: None, terminal: false, over: over.clone() };
                (streams, Writer::new(input::Input::Closed, None, over))
            }
            Input::Pipe => {
                let streams = Self { lines: client, attached: Some(attached), terminal: false, over: over.clone() };
                (streams, Writer::new(input::Input::Awaited(awaited), None, over))
            }
            Input::Terminal(_) => {
                // What the engine's log has of it is read by nobody.
                let (lines, mut unread) = mpsc::channel(WAITING);
                tokio::spawn(async move { while unread.recv().await.is_some() {} });
                let streams = Self { lines, attached: Some(attached), terminal: true, over: over.clone() };
                (streams, Writer::new(input::Input::Awaited(awaited), Some(client), over))
            }
        }
    }
}

/// Waits until a command runs, or does not.
async fn connect(session: Arc<Session>) {
    while session.end.borrow().is_none() {
        let mut writer = session.writer.lock().await;
        writer.connect(HOLD).await;
        if !writer.is_awaited() {
            return;
        }
    }
}

/// Writes to a command what its client sends; returns how many bytes it took so far, and whether it reads no more.
///
/// # Errors
/// A command that is not known any more, a piece that does not follow the last one.
pub async fn write(core: &Core, id: &InstanceId, piece: CommandInput) -> Result<CommandInputTaken, Refusal> {
    let session = core.commands.find(id)?;
    let mut writer = session.writer.lock().await;
    let taken = writer.write(piece.at, &piece.bytes, piece.end, HOLD).await.map_err(|()| {
        Refusal::InvalidRequest("`At` is not the `Next` of an answer: bytes before it have not arrived".into())
    })?;
    Ok(CommandInputTaken { next: taken.next, closed: taken.closed })
}

/// Tells a command the size of its terminal.
///
/// # Errors
/// A command that is not known any more, an engine that does not answer.
pub async fn resize(core: &Core, id: &InstanceId, size: TerminalSize) -> Result<(), Refusal> {
    core.commands.find(id)?;
    core.engine.resize(id, size).await.map_err(|error| Refusal::Internal(chain(&error)))
}

/// What a command printed after the first `after` lines; waits a little for more.
///
/// # Errors
/// A command that is not known any more, a number that no answer gave.
pub async fn output(core: &Core, id: &InstanceId, after: u64) -> Result<CommandOutput, Refusal> {
    let session = core.commands.find(id)?;
    *locked(&session.asked_at) = Instant::now();
    let mut reader = session.reader.lock().await;
    reader.forget_before(after).map_err(|()| {
        Refusal::InvalidRequest("`After` is neither the `Next` of the last answer nor of the one before it".into())
    })?;
    reader.fill(HOLD).await;
    let (lines, next) = reader.page();
    let end = if reader.is_closed() { the_end(&session).await } else { None };
    Ok(CommandOutput { lines, next, end })
}

/// It is there as soon as the last line has been sent and the command removed.
async fn the_end(session: &Session) -> Option<CommandEnd> {
    let mut end = session.end.subscribe();
    let ended = timeout(HOLD, end.wait_for(Option::is_some)).await.ok()?.ok()?;
    ended.clone()
}

/// Stops a command; how it ended is asked for by [`output`].
///
/// # Errors
/// A command that is not known any more.
pub fn stop(core: &Core, id: &InstanceId, by: &Principal) -> Result<(), Refusal> {
    core.commands.find(id)?.stop(&by.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_recorded_as_one_would_type_it_in_one_bounded_line() {
        let line = |words: &[&str]| recorded(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["sh", "-c", "a && b"]), "sh -c 'a && b'");
        assert_eq!(line(&["echo", "a\nb"]), "echo 'a b'");
        let long = line(&["echo", &"é".repeat(1000)]);
        assert_eq!((long.chars().count(), long.ends_with('…')), (RECORDED + 1, true));
    }
}
