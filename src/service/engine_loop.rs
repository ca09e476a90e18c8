//! The single owner of World: takes what waits, decides, commits, publishes, and only then replies.
//!
//! One thread. A batch is whatever came while the batch before was being committed: a request that
//! comes alone is committed at once, a thousand that come together share one commit. Nothing leaves
//! before it is durable; while the journal cannot be written the same batch is tried again and nothing
//! else is decided, so that NASes get no answer and turn elsewhere. Time is handed to every decision;
//! what it alone makes happen is decided when the earliest deadline in World has come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};
use crate::dialect::oddity::Oddity;
use crate::domain::book::Book;
use crate::domain::call::{Call, CallState, EndReason};
use crate::domain::command::{CallIdentity, Command};
use crate::domain::control;
use crate::domain::decision::{Decision, Effect, Event, Fact, Reply};
use crate::domain::engine::decide;
use crate::domain::id::{CallId, NasKey};
use crate::domain::time::Timestamp;
use crate::domain::world::World;
use crate::metrics::Metrics;
use crate::service::engine_queue::{EngineQueue, OnReply, Submission};
use crate::service::log_pace::LogPace;
use crate::service::registry::{RegistryWriter, Touched};
use crate::service::tables_reach::TablesReach;
use crate::store::{AppendError, Journal, Loaded, StoreError};

/// Most commands in a batch: bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 1_024;
/// Most deadlines in a batch, so that a flood of them does not keep requests waiting.
const TICKS_MAX: usize = 1_024;
/// How long deadlines rest after some were met, milliseconds: what falls due meanwhile shares a commit.
/// Nothing is late by it: what is sent to a NAS is sent ahead by more (`credit.margin_seconds`).
const TICKS_GATHER_MILLIS: i64 = 50;
/// So many decisions about one call at one instant, and its deadline is taken to be stuck.
const TICKS_OF_ONE_CALL_MAX: u32 = 16;
/// How long a deadline that was stuck is set aside, milliseconds.
const STUCK_REST_MILLIS: i64 = 60_000;
/// Longest sleep: a clock of tests moves without waking anybody.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// How long the journal is left alone after it failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long one append may take before the journal is taken to hang, milliseconds.
const HANGS_MILLIS: u64 = 3_000;
/// So often a batch is tried again once the daemon is stopping; then it is given up, unanswered.
const RETRIES_WHEN_STOPPING: u32 = 25;

// -------------------------------------------------------------------------------- what it needs

/// Calls that had left World, as the tables have them.
pub trait Recall: Send {
    /// The call that a packet of a NAS means, ended as it was.
    ///
    /// # Errors
    /// The tables cannot be read.
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError>;

    /// The last record of the journal that the tables have.
    fn projected(&self) -> u64;
}

/// What the loop hands on when a batch is durable.
pub trait Followers: Send {
    /// Requests were rejected; kept behind the reply, or not at all where there are too many.
    fn rejected(&mut self, facts: Vec<Fact>);
    /// What is to be done outside.
    fn carry_out(&mut self, effects: Vec<Effect>);
}

/// All that an engine is made of.
pub struct EngineParts {
    /// What is.
    pub world: World,
    /// What operators wrote.
    pub book: Arc<Book>,
    /// The sequence that both have reached.
    pub sequence: u64,
    /// Where facts are kept.
    pub journal: Box<dyn Journal>,
    /// What waits to be decided.
    pub queue: EngineQueue,
    /// Where it is published.
    pub registry: RegistryWriter,
    /// Calls of the past.
    pub recall: Box<dyn Recall>,
    /// What follows a commit.
    pub followers: Box<dyn Followers>,
    /// Time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How it is.
    pub status: Arc<EngineStatus>,
}

/// How the engine is, for health and for the answer to Status-Server.
#[derive(Debug, Default)]
pub struct EngineStatus {
    is_alive: AtomicBool,
    sequence: AtomicU64,
    /// World's time of the first failure in a row; 0: none.
    failing_since: AtomicI64,
    failure: Mutex<Option<String>>,
    last_commit_at: AtomicI64,
    /// World's time at which the append began that is not over yet; 0: none.
    appending_since: AtomicI64,
    stuck: AtomicU64,
}

impl EngineStatus {
    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Acquire)
    }

    /// Whether the journal takes what it is given.
    pub fn journal_is_writable(&self) -> bool {
        self.failing_since.load(Ordering::Acquire) == 0
    }

    /// Whether requests are answered: a disk that hangs says no error, and nothing else either.
    pub fn is_serving(&self, now: Timestamp) -> bool {
        let hangs = match self.appending_since.load(Ordering::Acquire) {
            0 => false,
            since => now.millis_since(Timestamp::from_millis(since)) >= HANGS_MILLIS,
        };
        self.is_alive() && self.journal_is_writable() && !hangs
    }

    /// Since when the journal fails, and why.
    pub fn failure(&self) -> Option<(Timestamp, String)> {
        let since = self.failing_since.load(Ordering::Acquire);
        let why = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (since != 0).then(|| (Timestamp::from_millis(since), why.unwrap_or_default()))
    }

    /// The last record of the journal.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// When the last commit was, by World's time.
    pub fn last_commit_at(&self) -> Option<Timestamp> {
        match self.last_commit_at.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }

    /// How often a deadline was stuck: a fault of the program.
    pub fn stuck_deadlines(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    fn appending(&self, now: Option<Timestamp>) {
        self.appending_since.store(now.map_or(0, |now| now.millis().max(1)), Ordering::Release);
    }

    fn failed(&self, now: Timestamp, why: &str) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        let since = now.millis().max(1);
        // Only the first failure in a row tells since when.
        let _ = self.failing_since.compare_exchange(0, since, Ordering::AcqRel, Ordering::Acquire);
    }

    fn recovered(&self) -> bool {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.failing_since.swap(0, Ordering::AcqRel) != 0
    }
}

/// Why the engine ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// World could not be read again.
    #[error("the journal may or may not have a batch, and what is stored cannot be read again: {0}")]
    Reload(#[source] StoreError),
    /// The journal did not take the last batch.
    #[error("stopped while the journal could not be written; {0} requests stay without an answer")]
    Unwritten(usize),
    /// A fault of the program.
    #[error("the engine failed; what it had answered is stored")]
    Panicked,
}

/// A running engine.
pub struct Engine {
    thread: JoinHandle<Result<(), EngineError>>,
}

impl Engine {
    /// Starts the engine's thread. It ends when its queue is closed and empty.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: EngineParts) -> std::io::Result<Engine> {
        parts.status.is_alive.store(true, Ordering::Release);
        parts.status.sequence.store(parts.sequence, Ordering::Release);
        let alive = AliveGuard(parts.status.clone());
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            let _alive = alive;
            EngineLoop::new(parts).run()
        })?;
        Ok(Engine { thread })
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// It ended before it was asked to.
    pub fn join(self) -> Result<(), EngineError> {
        self.thread.join().unwrap_or(Err(EngineError::Panicked))
    }
}

/// Says that the engine is gone, however it went.
struct AliveGuard(Arc<EngineStatus>);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.0.is_alive.store(false, Ordering::Release);
    }
}

// -------------------------------------------------------------------------------- the loop

struct EngineLoop {
    parts: EngineParts,
    /// The book that the next decision is made by; published after the commit.
    book: Arc<Book>,
    /// [`decide`], unless a test has planted a fault.
    decide: fn(&World, &Book, Timestamp, &Command) -> Decision,
    ticks_rest_until: Timestamp,
    tables: TablesReach,
    pace: Paces,
}

#[derive(Default)]
struct Paces {
    journal: LogPace,
    decision: LogPace,
    stuck: LogPace,
    recall: LogPace,
}

/// What a batch comes to.
#[derive(Default)]
struct Outcome {
    facts: Vec<Fact>,
    rejected: Vec<Fact>,
    touched: Touched,
    effects: Vec<Effect>,
    replies: Vec<(OnReply, Reply)>,
    new_book: bool,
    /// The NASes of calls that were accepted, and that nothing was told of until they were given up.
    never_told_of: Vec<NasKey>,
}

impl EngineLoop {
    fn new(mut parts: EngineParts) -> EngineLoop {
        parts.world.resume(parts.clock.now());
        EngineLoop {
            book: parts.book.clone(),
            decide,
            ticks_rest_until: parts.world.last_instant(),
            tables: TablesReach::new(parts.sequence, parts.clock.now(), &parts.world),
            pace: Paces::default(),
            parts,
        }
    }

    fn run(mut self) -> Result<(), EngineError> {
        self.carry_out_again();
        let mut batch = Vec::new();
        let mut goes_on = true;
        while goes_on {
            goes_on = self.parts.queue.take(&mut batch, BATCH_MAX, self.patience());
            let now = self.parts.clock.now();
            let (projected, sequence) = (self.parts.recall.projected(), self.parts.journal.sequence());
            self.tables.look(projected, sequence, now, &self.parts.world);
            let commands = batch.len();
            let mut outcome = Outcome::default();
            // What time has ended is ended before anything new is let in.
            self.tick(now, &mut outcome);
            for submission in batch.drain(..) {
                self.decide(now, submission, &mut outcome);
            }
            self.finish(now, commands, outcome)?;
        }
        Ok(())
    }

    /// What was asked of NASes may have been lost with the process, or with a batch.
    fn carry_out_again(&mut self) {
        let pending = control::pending(&self.parts.world, self.parts.clock.now());
        if !pending.is_empty() {
            self.parts.followers.carry_out(pending);
        }
    }

    /// How long to sleep when nobody asks for anything.
    fn patience(&self) -> Duration {
        let due = self.parts.world.next_deadline().map(|due| due.max(self.ticks_rest_until));
        due.map_or(SLEEP_MAX, |due| self.parts.clock.until(due).min(SLEEP_MAX))
    }

    // ---------------------------------------------------------------- deciding

    fn decide(&mut self, now: Timestamp, submission: Submission, outcome: &mut Outcome) {
        let Submission { mut command, on_reply } = submission;
        if !self.prefetch(now, &mut command) {
            return;
        }
        let Some(decision) = self.decided(now, &command) else {
            // Dropping `on_reply` lets the one who asked know; a NAS will ask again.
            return;
        };
        if let (Command::ChangeBook(change), Reply::Done(_)) = (&command, &decision.reply) {
            self.book = change.book.clone();
            outcome.new_book = true;
        }
        outcome.replies.push((on_reply, decision.reply));
        self.take_over(now, decision.events, decision.effects, outcome);
    }

    /// Decides about what is due, one call after the other.
    fn tick(&mut self, now: Timestamp, outcome: &mut Outcome) {
        if now < self.ticks_rest_until {
            return;
        }
        let mut same = (CallId::default(), 0_u32);
        for met in 0..TICKS_MAX {
            let is_due = self.parts.world.next_deadline().is_some_and(|due| due <= now);
            if !is_due {
                if met > 0 {
                    self.ticks_rest_until = now.plus_millis(TICKS_GATHER_MILLIS);
                }
                return;
            }
            let call = self.parts.world.next_due_call().map(|call| call.id).unwrap_or_default();
            same = if same.0 == call { (call, same.1.saturating_add(1)) } else { (call, 0) };
            let decision = self.decided(now, &Command::Tick).filter(|decision| !decision.events.is_empty());
            match decision {
                Some(decision) if same.1 < TICKS_OF_ONE_CALL_MAX => {
                    self.take_over(now, decision.events, decision.effects, outcome);
                }
                _ => self.set_aside(now, call),
            }
        }
    }

    /// A deadline that nothing comes of would be due again at once: it must not spin, nor hold up those
    /// of other calls.
    fn set_aside(&mut self, now: Timestamp, call: CallId) {
        let until = now.plus_millis(STUCK_REST_MILLIS);
        if !self.parts.world.put_off(call, until) {
            self.ticks_rest_until = until;
        }
        self.parts.status.stuck.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = self.pace.stuck.count(now) {
            tracing::error!(%call, times, "a deadline does not move: a fault of this program; it is set aside for a minute");
        }
    }

    /// The decision; `None` where the program failed. World is untouched then, so that one odd request
    /// does not take the service down for all others.
    fn decided(&self, now: Timestamp, command: &Command) -> Option<Decision> {
        let (world, book) = (&self.parts.world, &*self.book);
        let decision = catch_unwind(AssertUnwindSafe(|| (self.decide)(world, book, now, command))).ok();
        if decision.is_none()
            && let Some(times) = self.pace.decision.count(now)
        {
            tracing::error!(times, "a decision failed: a fault of this program; the request stays without an answer");
        }
        decision
    }

    /// Brings in a call that had left World, if the tables know it. False where they cannot tell: a
    /// late packet could be taken for a new call then, and charged again, so it stays without an
    /// answer and comes again.
    fn prefetch(&self, now: Timestamp, command: &mut Command) -> bool {
        let Command::Account(accounting) = command else { return true };
        if self.parts.world.remembers(accounting.nas, &accounting.identity) {
            return true;
        }
        match self.parts.recall.recall(accounting.nas, &accounting.identity) {
            Ok(None) if !self.tables.covers_the_forgotten(now, &self.parts.world) => {
                if let Some(times) = self.pace.recall.count(now) {
                    tracing::error!(times, "the tables are far behind; packets about calls of the past wait");
                }
                false
            }
            Ok(found) => {
                accounting.recalled = found;
                true
            }
            Err(error) => {
                if let Some(times) = self.pace.recall.count(now) {
                    tracing::error!(times, %error, "calls of the past cannot be looked up; packets about them wait");
                }
                false
            }
        }
    }

    /// Makes the events of a decision true, and sorts them by what becomes of them.
    fn take_over(&mut self, now: Timestamp, events: Vec<Event>, effects: Vec<Effect>, outcome: &mut Outcome) {
        let at = now.max(self.parts.world.last_instant());
        for event in events {
            outcome.never_told_of.extend(self.never_told_of(&event));
            self.parts.world.apply(at, &event);
            outcome.touched.note(&event);
            if event.is_durable() {
                outcome.facts.push(Fact { at, event });
            } else if let Event::Rejected(_) = event {
                outcome.rejected.push(Fact { at, event });
            }
        }
        outcome.effects.extend(effects);
    }

    /// The NAS of a call that ends by this without a word of it since it was accepted.
    fn never_told_of(&self, event: &Event) -> Option<NasKey> {
        let Event::Settled(settled) = event else { return None };
        let call = self.parts.world.call(settled.call).filter(|_| settled.ending.reason == EndReason::SetupExpired)?;
        // That it rings makes no leg.
        let is_untold = call.legs.is_empty() && call.state == CallState::Trying;
        (call.authorized && is_untold).then_some(call.nas)
    }

    // ---------------------------------------------------------------- committing

    /// Commits, publishes, replies: in this order.
    fn finish(&mut self, now: Timestamp, commands: usize, outcome: Outcome) -> Result<(), EngineError> {
        let Outcome { facts, rejected, touched, effects, replies, new_book, never_told_of } = outcome;
        if !facts.is_empty() {
            let watch = Stopwatch::start();
            match self.append(&facts, replies.len())? {
                Some(sequence) => {
                    self.parts.metrics.count_commit(commands.max(1), watch.elapsed());
                    self.committed(now, sequence);
                }
                // What the batch decided may not be stored: World is as it is stored, nobody is told.
                None => return Ok(()),
            }
        }
        for nas in never_told_of.into_iter().filter_map(|key| self.book.nas(key)) {
            self.parts.metrics.nas(&nas.id).oddities.increment(Oddity::NeverToldOf);
        }
        if !touched.is_empty() {
            self.parts.registry.publish(&self.parts.world, &touched);
        }
        if new_book {
            self.parts.registry.publish_book(&self.parts.world, self.book.clone());
        }
        for (on_reply, reply) in replies {
            on_reply(reply);
        }
        if !rejected.is_empty() {
            self.parts.followers.rejected(rejected);
        }
        if !effects.is_empty() {
            self.parts.followers.carry_out(effects);
        }
        Ok(())
    }

    fn committed(&self, now: Timestamp, sequence: u64) {
        self.parts.status.sequence.store(sequence, Ordering::Release);
        self.parts.status.last_commit_at.store(now.millis(), Ordering::Relaxed);
    }

    /// Appends a batch, as often as it takes. `None`: it is not known whether it was written, and World
    /// was read again.
    fn append(&mut self, facts: &[Fact], waiting: usize) -> Result<Option<u64>, EngineError> {
        let mut tries_when_stopping = 0;
        loop {
            self.parts.status.appending(Some(self.parts.clock.now()));
            let appended = self.parts.journal.append(facts);
            self.parts.status.appending(None);
            match appended {
                Ok(sequence) => {
                    if self.parts.status.recovered() {
                        self.parts.world.resume(self.parts.clock.now());
                        tracing::info!("the journal is written again; requests are answered");
                    }
                    return Ok(Some(sequence));
                }
                Err(AppendError::NotWritten(error)) => {
                    self.journal_failed(&error);
                    if self.parts.queue.is_closed() {
                        tries_when_stopping += 1;
                        if tries_when_stopping > RETRIES_WHEN_STOPPING {
                            return Err(EngineError::Unwritten(waiting));
                        }
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(AppendError::Unknown(error)) => {
                    self.journal_failed(&error);
                    self.load_again()?;
                    return Ok(None);
                }
            }
        }
    }

    fn journal_failed(&self, error: &StoreError) {
        let now = self.parts.clock.now();
        self.parts.status.failed(now, &error.to_string());
        if let Some(times) = self.pace.journal.count(now) {
            tracing::error!(times, %error, "the journal cannot be written: nothing is answered until it can");
        }
    }

    fn load_again(&mut self) -> Result<(), EngineError> {
        let Loaded { world, book, sequence, .. } = self.parts.journal.reload().map_err(EngineError::Reload)?;
        self.parts.world = world;
        self.parts.world.resume(self.parts.clock.now());
        self.book = Arc::new(book);
        self.parts.status.sequence.store(sequence, Ordering::Release);
        self.parts.status.recovered();
        self.parts.registry.show_all(&self.parts.world);
        self.parts.registry.publish_book(&self.parts.world, self.book.clone());
        self.carry_out_again();
        tracing::warn!(sequence, "what is stored was read again, because a write did not say how it ended");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::domain::book::BookChange;
    use crate::domain::call::{CallKey, LegOrigin};
    use crate::domain::command::ChangeBook;
    use crate::domain::command::{Accounting, AccountingKind, Restart};
    use crate::domain::nas::DialectName;
    use crate::domain::policy::Policy;
    use crate::service::engine_queue::{AskError, EngineHandle, engine_queue};
    use crate::service::nas_table::tests::nas;
    use crate::service::registry::tests::call;
    use crate::service::registry::{RegistryReader, registry};

    /// What a journal does with the next append, and what it was given.
    #[derive(Default)]
    struct Script {
        fail: u32,
        lose_track: bool,
        wait_for: Option<mpsc::Receiver<()>>,
        written: Vec<Vec<Fact>>,
        reload_fails: bool,
    }

    #[derive(Clone, Default)]
    struct FakeJournal(Arc<Mutex<Script>>);

    impl FakeJournal {
        fn script(&self) -> std::sync::MutexGuard<'_, Script> {
            self.0.lock().unwrap()
        }
    }

    fn planned() -> StoreError {
        StoreError::Planned("a test")
    }

    impl Journal for FakeJournal {
        fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError> {
            let gate = self.script().wait_for.take();
            if let Some(gate) = gate {
                gate.recv().unwrap();
            }
            let mut script = self.script();
            if std::mem::take(&mut script.lose_track) {
                return Err(AppendError::Unknown(planned()));
            }
            if script.fail > 0 {
                script.fail -= 1;
                return Err(AppendError::NotWritten(planned()));
            }
            script.written.push(facts.to_vec());
            Ok(script.written.len() as u64)
        }

        fn sequence(&self) -> u64 {
            self.script().written.len() as u64
        }

        fn reload(&mut self) -> Result<Loaded, StoreError> {
            let script = self.script();
            if script.reload_fails {
                return Err(planned());
            }
            let mut world = World::new(Policy::default());
            script.written.iter().flatten().for_each(|fact| world.apply(fact.at, &fact.event));
            Ok(Loaded { world, book: Book::default(), sequence: script.written.len() as u64, instance: 1 })
        }
    }

    struct Nothing;

    impl Recall for Nothing {
        fn recall(&self, _: NasKey, _: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
            Ok(None)
        }

        fn projected(&self) -> u64 {
            u64::MAX
        }
    }

    /// Tables that have not come to where the journal was at the start.
    struct FarBehind;

    impl Recall for FarBehind {
        fn recall(&self, _: NasKey, _: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
            Ok(None)
        }

        fn projected(&self) -> u64 {
            0
        }
    }

    struct Unreadable;

    impl Recall for Unreadable {
        fn recall(&self, _: NasKey, _: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
            Err(planned())
        }

        fn projected(&self) -> u64 {
            u64::MAX
        }
    }

    impl Followers for Nothing {
        fn rejected(&mut self, _: Vec<Fact>) {}
        fn carry_out(&mut self, _: Vec<Effect>) {}
    }

    struct Running {
        engine: Engine,
        handle: EngineHandle,
        journal: FakeJournal,
        status: Arc<EngineStatus>,
        registry: RegistryReader,
    }

    fn start() -> Running {
        start_beside(Nothing)
    }

    fn start_beside(tables: impl Recall + 'static) -> Running {
        start_at(0, tables)
    }

    fn start_at(sequence: u64, tables: impl Recall + 'static) -> Running {
        let (metrics, status, journal) =
            (Arc::new(Metrics::new()), Arc::new(EngineStatus::default()), FakeJournal::default());
        let (handle, queue) = engine_queue(100, metrics.clone());
        let (world, book) = (World::new(Policy::default()), Arc::new(Book::default()));
        let (writer, reader) = registry(&world, book.clone());
        let engine = Engine::start(EngineParts {
            world,
            book,
            sequence,
            journal: Box::new(journal.clone()),
            queue,
            registry: writer,
            recall: Box::new(tables),
            followers: Box::new(Nothing),
            clock: Clock::start(Timestamp::from_seconds(0)),
            metrics,
            status: status.clone(),
        });
        Running { engine: engine.unwrap(), handle, journal, status, registry: reader }
    }

    /// Each is a durable fact, as no two are of one NAS.
    fn restart(nas: u32) -> Command {
        Command::RestartNas(Restart { nas: NasKey(nas), ..Restart::default() })
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..2_000 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never: {what}");
    }

    fn submit(running: &Running, command: Command) -> mpsc::Receiver<Reply> {
        let (sender, receiver) = mpsc::channel();
        running.handle.try_submit(command, move |reply| drop(sender.send(reply))).unwrap();
        receiver
    }

    #[test]
    fn a_reply_waits_for_its_commit() {
        let running = start();
        let (open_gate, gate) = mpsc::channel();
        running.journal.script().wait_for = Some(gate);
        let reply = submit(&running, restart(1));
        eventually("the append has begun", || running.journal.script().wait_for.is_none());
        assert_eq!(reply.try_recv(), Err(mpsc::TryRecvError::Empty));
        open_gate.send(()).unwrap();
        assert_eq!(reply.recv(), Ok(Reply::Recorded));
        assert_eq!(running.status.sequence(), 1);
    }

    #[test]
    fn what_comes_during_a_commit_shares_the_next_one() {
        let running = start();
        let (open_gate, gate) = mpsc::channel();
        running.journal.script().wait_for = Some(gate);
        let first = submit(&running, restart(1));
        eventually("the append has begun", || running.journal.script().wait_for.is_none());
        let others: Vec<_> = (2..10).map(|nas| submit(&running, restart(nas))).collect();
        open_gate.send(()).unwrap();
        for reply in [first].iter().chain(&others) {
            assert_eq!(reply.recv(), Ok(Reply::Recorded));
        }
        let sizes: Vec<_> = running.journal.script().written.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 8]);
    }

    #[test]
    fn nothing_is_answered_while_the_journal_fails_and_all_is_when_it_recovers() {
        let running = start();
        running.journal.script().fail = u32::MAX;
        let reply = submit(&running, restart(1));
        eventually("the failure shows", || !running.status.is_serving(Timestamp::default()));
        assert!(running.status.failure().is_some_and(|(_, why)| why.contains("made to fail")));
        let later = submit(&running, restart(2));
        assert_eq!(reply.try_recv(), Err(mpsc::TryRecvError::Empty));
        running.journal.script().fail = 0;
        assert_eq!((reply.recv(), later.recv()), (Ok(Reply::Recorded), Ok(Reply::Recorded)));
        eventually("the recovery shows", || running.status.is_serving(Timestamp::default()));
        assert_eq!(running.status.failure(), None);
        assert_eq!(running.journal.script().written.len(), 2, "the failed batch once, and the one behind it");
    }

    #[test]
    fn when_it_is_not_known_what_was_written_nobody_is_told_and_the_engine_goes_on() {
        let running = start();
        assert_eq!(submit(&running, restart(1)).recv(), Ok(Reply::Recorded));
        running.journal.script().lose_track = true;
        assert!(submit(&running, restart(2)).recv().is_err(), "dropped without a reply");
        assert_eq!(submit(&running, restart(2)).recv(), Ok(Reply::Recorded));
        assert_eq!(running.journal.script().written.len(), 2, "World forgot what was not written");
    }

    #[test]
    fn a_journal_that_hangs_is_no_service() {
        let running = start();
        let (release, gate) = mpsc::channel();
        running.journal.script().wait_for = Some(gate);
        let reply = submit(&running, restart(1));
        let much_later = Timestamp::from_seconds(99_999_999_999);
        eventually("the hang shows", || !running.status.is_serving(much_later));
        assert!(running.status.is_serving(Timestamp::default()), "an append may take a while");
        release.send(()).unwrap();
        assert_eq!(reply.recv(), Ok(Reply::Recorded));
        assert!(running.status.is_serving(much_later));
    }

    #[test]
    fn an_engine_that_cannot_read_its_world_again_ends() {
        let running = start();
        let mut script = running.journal.script();
        (script.lose_track, script.reload_fails) = (true, true);
        drop(script);
        assert_eq!(running.handle.ask_blocking(restart(1)), Err(AskError::Unknown));
        assert!(matches!(running.engine.join(), Err(EngineError::Reload(_))));
        assert!(!running.status.is_alive());
        assert_eq!(running.handle.ask_blocking(restart(1)), Err(AskError::Stopped));
    }

    fn stop_of(session: &[u8]) -> Accounting {
        Accounting {
            nas: NasKey(1),
            kind: AccountingKind::Stop,
            identity: CallIdentity { session_id: session.into(), ..CallIdentity::default() },
            origin: LegOrigin::Answer,
            remote_address: None,
            connection: None,
            user_name: None,
            account: None,
            caller: None,
            called: None,
            event_at: None,
            delay_seconds: None,
            setup_at: None,
            connected_at: None,
            disconnected_at: None,
            session_seconds: Some(61),
            cause: None,
            rings: false,
            may_be_periodic: false,
            recalled: None,
            packet: None,
        }
    }

    #[test]
    fn a_packet_about_a_call_that_cannot_be_looked_up_stays_without_an_answer() {
        let stop = || Command::Account(Box::new(stop_of(b"s1")));
        let running = start_beside(Unreadable);
        assert!(submit(&running, stop()).recv().is_err(), "it may be a call that was charged");
        assert!(running.journal.script().written.is_empty());
        assert!(submit(&start_at(1, FarBehind), stop()).recv().is_err(), "the tables may lack it");
        assert_eq!(submit(&start(), stop()).recv(), Ok(Reply::Recorded));
    }

    #[test]
    fn what_was_taken_is_answered_before_the_end() {
        let running = start();
        let replies: Vec<_> = (1..=50).map(|nas| submit(&running, restart(nas))).collect();
        running.handle.close();
        running.engine.join().unwrap();
        assert!(replies.iter().all(|reply| reply.try_recv() == Ok(Reply::Recorded)));
    }

    #[test]
    fn a_stop_while_the_journal_fails_comes_to_an_end() {
        let running = start();
        running.journal.script().fail = u32::MAX;
        let reply = submit(&running, restart(1));
        running.handle.close();
        assert!(matches!(running.engine.join(), Err(EngineError::Unwritten(1))));
        assert!(reply.recv().is_err());
    }

    #[test]
    fn a_call_that_was_accepted_and_never_told_of_is_counted_for_its_nas() {
        let running = start();
        running.handle.close();
        running.engine.join().unwrap();
        let (metrics, mut book, mut world) = (Arc::new(Metrics::new()), Book::default(), World::new(Policy::default()));
        book.apply(&BookChange::PutNas(nas(DialectName::Rfc))).unwrap();
        let key = |session: &[u8]| Some(CallKey(session.into()));
        let identity = CallIdentity { key: key(b"s2"), ..CallIdentity::default() };
        let rung = Accounting { kind: AccountingKind::Interim, rings: true, identity, ..stop_of(b"s2") };
        for call in [
            Call { key: key(b"s1"), ..call(1) },
            Call { key: rung.identity.key.clone(), ..call(2) },
            Call { key: key(b"s3"), authorized: false, ..call(3) },
        ] {
            world.apply(call.opened_at, &Event::CallOpened(Box::new(call)));
        }
        let mut engine = EngineLoop::new(EngineParts {
            world,
            book: Arc::new(book),
            sequence: 0,
            journal: Box::new(running.journal.clone()),
            queue: engine_queue(1, Arc::default()).1,
            registry: registry(&World::new(Policy::default()), Arc::default()).0,
            recall: Box::new(Nothing),
            followers: Box::new(Nothing),
            clock: Clock::start(Timestamp::from_seconds(0)),
            metrics: metrics.clone(),
            status: running.status.clone(),
        });
        let soon = Timestamp::from_seconds(110);
        let told = decide(&engine.parts.world, &engine.book, soon, &Command::Account(Box::new(rung)));
        engine.take_over(soon, told.events, told.effects, &mut Outcome::default());
        let mut outcome = Outcome::default();
        engine.tick(soon.plus_seconds(100_000), &mut outcome);
        let ended = [1, 2, 3].map(|id| engine.parts.world.call(CallId(id)).and_then(|call| call.ending));
        assert_eq!(ended.map(|ending| ending.map(|ending| ending.reason)), [Some(EndReason::SetupExpired); 3]);
        let count = || metrics.nas(&nas(DialectName::Rfc).id).oddities.count(Oddity::NeverToldOf);
        assert_eq!(count(), 0, "not before it is written");
        engine.finish(soon, 0, outcome).unwrap();
        assert_eq!(count(), 1, "of the second it was told that it rings, and the third nobody accepted");
    }

    /// Fails for the first call, decides nothing about the second, and does its work for all others.
    fn planted(world: &World, book: &Book, now: Timestamp, command: &Command) -> Decision {
        match world.next_due_call().map(|call| call.id) {
            Some(CallId(1)) => panic!("planted"),
            Some(CallId(2)) => Decision { reply: Reply::None, events: Vec::new(), effects: Vec::new() },
            _ => decide(world, book, now, command),
        }
    }

    #[test]
    fn a_deadline_that_is_stuck_holds_up_no_other() {
        let running = start();
        for session in [b"s1", b"s2", b"s3"] {
            let start = Accounting { kind: AccountingKind::Start, ..stop_of(session) };
            submit(&running, Command::Account(Box::new(start))).recv().unwrap();
        }
        running.handle.close();
        running.engine.join().unwrap();
        let mut engine = EngineLoop::new(EngineParts {
            world: running.journal.clone().reload().unwrap().world,
            book: Arc::default(),
            sequence: 0,
            journal: Box::new(running.journal.clone()),
            queue: engine_queue(1, Arc::default()).1,
            registry: registry(&World::new(Policy::default()), Arc::default()).0,
            recall: Box::new(Nothing),
            followers: Box::new(Nothing),
            clock: Clock::start(Timestamp::from_seconds(0)),
            metrics: Arc::default(),
            status: running.status.clone(),
        });
        engine.decide = planted;
        let is_alive = |engine: &EngineLoop, call| engine.parts.world.call(CallId(call)).is_some_and(Call::is_alive);
        let later = engine.parts.world.last_instant().plus_seconds(100_000);
        engine.tick(later, &mut Outcome::default());
        assert_eq!([1, 2, 3].map(|call| is_alive(&engine, call)), [true, true, false]);
        assert_eq!((engine.parts.status.stuck_deadlines(), engine.patience().is_zero()), (2, false));
        engine.decide = decide;
        engine.tick(later.plus_seconds(59), &mut Outcome::default());
        assert!(is_alive(&engine, 1), "set aside");
        engine.tick(later.plus_seconds(60), &mut Outcome::default());
        assert_eq!([1, 2].map(|call| is_alive(&engine, call)), [false, false], "for a while");
    }

    #[test]
    fn a_new_book_is_published_when_it_is_committed() {
        let running = start();
        let mut book = Book::default();
        book.keep_used(7);
        let change = ChangeBook { changes: Vec::new(), book: Arc::new(book), opening: Vec::new(), by: "test".into() };
        let reply = running.handle.ask_blocking(Command::ChangeBook(Box::new(change)));
        assert!(matches!(reply, Ok(Reply::Done(_))), "{reply:?}");
        assert_eq!(running.registry.book().last_key(), 7);
    }
}
