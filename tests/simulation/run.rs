//! One seed: gateways play calls over a bad network, operators work, the process dies and the store
//! fails, while the engine decides and the auditor watches; then all faults stop, and all must end.

mod gateways;
mod network;
mod operators;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use ringfence::domain::book::Book;
use ringfence::domain::call::Call;
use ringfence::domain::command::{AccountingKind, ChangeBook, Command, NasAnswered};
use ringfence::domain::control;
use ringfence::domain::decision::{Effect, Event, Fact, Reply};
use ringfence::domain::id::{AccountKey, CallId, PartyKey};
use ringfence::domain::invariant;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::{World, WorldImage};

use crate::auditor::{Auditor, Record, ToldStop};
use crate::planted::Planted;
use crate::scene::{BEGINNING, Habits, SessionTimes, scene};
use crate::shelf::Shelf;

/// What a seed did, for the one who asks whether it did anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub faults: Vec<String>,
    pub trace: String,
    pub image: Vec<u8>,
    pub simulated_seconds: u64,
    pub calls: u64,
    pub decisions: u64,
    pub accepted: u64,
    pub settled: u64,
    pub corrected: u64,
    pub revived: u64,
    pub overruns: u64,
    pub crashes_before_writing: u64,
    pub crashes_after_writing: u64,
    pub recalled: u64,
    pub went_elsewhere: u64,
    pub kept_for_later: u64,
    pub cancelled: u64,
    pub failed_before_answer: u64,
    pub changed_while_up: u64,
    pub called_twice: u64,
    pub forged: u64,
    pub most_calls_known: usize,
    pub rejected: BTreeMap<&'static str, u64>,
    pub charged_by: BTreeMap<&'static str, u64>,
}

/// How a seed is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    pub planted: Option<Planted>,
    /// No loss, no crash, no operators: what is left must be faultless.
    pub is_calm: bool,
    pub traces: bool,
    /// How many days it lasts; one to two where it is not said.
    pub days: Option<u64>,
}

/// One call as it really is, at its gateway.
#[derive(Clone)]
struct Played {
    gateway: usize,
    account: AccountKey,
    called: usize,
    name: u32,
    class: Option<CallId>,
    answered_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    hang_up_at: Option<Timestamp>,
    /// When the gateway cuts the call by itself.
    cut_at: Option<Timestamp>,
    began_at: Timestamp,
    timeout: Option<u64>,
    attempts: u32,
    is_confusing: bool,
    /// Numbers of the tags of caller and callee.
    tags: (u64, u64),
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
enum Happening {
    NewDay,
    NewCall,
    Arrival { packet: usize },
    Retry { packet: usize },
    ReplyArrives { packet: usize, reply: Reply },
    Rings { call: usize },
    Forges { call: usize },
    Answered { call: usize },
    Fails { call: usize },
    Interim { call: usize },
    Changes { call: usize },
    HangsUp { call: usize },
    AsksAgain { call: usize },
    DisconnectArrives { call: CallId, is_first: bool },
    ProlongArrives { call: CallId, seconds: u64, is_first: bool },
    NasAnswers { answered: NasAnswered, asked_by: u64 },
    Reboot { gateway: usize },
    SaysItStarted { gateway: usize, event_at: Option<Timestamp> },
    Partition { gateway: usize },
    Heals { gateway: usize },
    SendsBacklog { gateway: usize },
    OtherServerFails,
    Operator,
    TopUp,
    Unblocks,
    PaysAfterWarning { party: PartyKey },
    Crash,
    StoreFails,
    FaultsStop,
}

struct Packet {
    call: Option<usize>,
    gateway: usize,
    command: Command,
    tries_left: u32,
    is_acknowledged: bool,
    sent_first_at: Timestamp,
    sent_last_at: Timestamp,
}

/// A decision whose facts are not on disk yet, and the reply that waits for it.
struct Pending {
    at: Timestamp,
    command: Command,
    real_call: Option<usize>,
    packet: Option<usize>,
    book: Arc<Book>,
    events: Vec<Event>,
    effects: Vec<Effect>,
    reply: Reply,
    is_released: bool,
}

pub struct Simulation {
    rng: Rng,
    setting: Setting,
    now: Timestamp,
    until: Timestamp,
    is_healed: bool,
    world: World,
    book: Arc<Book>,
    durable_book: Arc<Book>,
    /// Facts since the last snapshot; those before it have made `replayed`.
    journal: Vec<Fact>,
    snapshot: WorldImage,
    replayed: World,
    pending: Vec<Pending>,
    /// Ended calls as the tables have them, a second behind the journal.
    tables: BTreeMap<CallId, Call>,
    to_be_projected: Vec<(Timestamp, Call)>,
    future: BTreeMap<(Timestamp, u64), Happening>,
    happened: u64,
    gateways: Vec<Habits>,
    accounts: Vec<AccountKey>,
    names: Vec<u32>,
    unreachable_until: Vec<Timestamp>,
    /// A gateway sends its packets to the other server until then.
    elsewhere_until: Vec<Timestamp>,
    other_server_silent_until: Timestamp,
    backlog: Vec<Vec<usize>>,
    calls: Shelf<Played>,
    /// Calls that are at a gateway now, ringing or answered.
    live: BTreeSet<usize>,
    packets: Shelf<Packet>,
    auditor: Auditor,
    crash_at_commit: bool,
    /// How often a commit is a crash, of 256.
    crashes: u8,
    /// Which life of the process this is: answers to an earlier one find nobody.
    life: u64,
    failing_appends: u32,
    keys_posted: u64,
    check_every: u64,
    ticks_at_instant: (Timestamp, u64),
    put_away_at: Timestamp,
    outcome: Outcome,
}

/// Most faults that are looked at: the first ones tell most.
const FAULTS_MAX: usize = 5;
/// Most deadlines at one instant; more is a loop.
const TICKS_AT_INSTANT_MAX: u64 = 2_000;
const DAY_SECONDS: u64 = 86_400;
/// Packets and calls of the tables older than this are put away; no gateway keeps one for so long.
const KEPT_SECONDS: u64 = 2 * DAY_SECONDS;
/// How much of a trace is kept of a seed that lasts for years.
const TRACE_MAX: usize = 4_000_000;

/// Plays a seed to its end.
pub fn run(seed: u64, setting: Setting) -> Outcome {
    let mut simulation = Simulation::new(seed, setting);
    simulation.play();
    simulation.outcome
}

impl Simulation {
    fn new(seed: u64, setting: Setting) -> Simulation {
        let mut rng = Rng::with_seed(seed);
        let scene = scene(&mut rng);
        let gateways = scene.gateways.len();
        let seconds = match setting.days {
            Some(days) => days * DAY_SECONDS,
            None => rng.u64(DAY_SECONDS..2 * DAY_SECONDS),
        };
        let mut simulation = Simulation {
            setting,
            now: BEGINNING,
            until: BEGINNING.plus_seconds(seconds),
            is_healed: setting.is_calm,
            world: World::new(scene.policy),
            book: Arc::default(),
            durable_book: Arc::default(),
            journal: Vec::new(),
            snapshot: World::new(scene.policy).image(),
            replayed: World::new(scene.policy),
            pending: Vec::new(),
            tables: BTreeMap::new(),
            to_be_projected: Vec::new(),
            future: BTreeMap::new(),
            happened: 0,
            gateways: scene.gateways,
            accounts: scene.accounts,
            names: vec![0; gateways],
            unreachable_until: vec![BEGINNING; gateways],
            elsewhere_until: vec![BEGINNING; gateways],
            other_server_silent_until: BEGINNING,
            backlog: vec![Vec::new(); gateways],
            calls: Shelf::default(),
            live: BTreeSet::new(),
            packets: Shelf::default(),
            auditor: Auditor::default(),
            crash_at_commit: false,
            crashes: 0,
            life: 0,
            failing_appends: 0,
            keys_posted: 0,
            check_every: if seed.is_multiple_of(4) && setting.days.is_none() { 1 } else { 8 },
            ticks_at_instant: (BEGINNING, 0),
            put_away_at: BEGINNING.plus_seconds(DAY_SECONDS),
            outcome: Outcome::default(),
            rng,
        };
        let change =
            ChangeBook { changes: scene.changes, book: scene.book, opening: scene.opening, by: "operator".into() };
        simulation.decide(Command::ChangeBook(Box::new(change)), None, None);
        simulation.commit();
        // Not before there is anybody who could call.
        simulation.crashes = if seed.is_multiple_of(16) { 4 } else { 0 };
        simulation.schedule(BEGINNING, Happening::NewDay);
        simulation.schedule(simulation.until, Happening::FaultsStop);
        simulation
    }

    fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.happened += 1;
        self.future.insert((at.max(self.now), self.happened), happening);
    }

    fn schedule_in(&mut self, millis: u64, happening: Happening) {
        let at = self.now.plus_millis(i64::try_from(millis).expect("a short time"));
        self.schedule(at, happening);
    }

    fn play(&mut self) {
        // That a planted bug is seen is enough.
        let faults_max = if self.setting.planted.is_some() { 1 } else { FAULTS_MAX };
        while self.outcome.faults.len() < faults_max {
            let next = self.future.first_key_value().map(|((at, _), _)| *at);
            let due = self.world.next_deadline();
            let due = due.map(|at| self.setting.planted.map_or(at, |planted| planted.due(at)));
            // What was decided is written before time goes on for long.
            let soonest = [next, due].into_iter().flatten().min();
            if !self.pending.is_empty() && soonest.is_none_or(|at| at > self.now.plus_millis(20)) {
                self.commit();
                continue;
            }
            match (next, due) {
                (Some(next), due) if due.is_none_or(|due| next <= due) => {
                    if let Some((_, happening)) = self.future.pop_first() {
                        self.now = self.now.max(next);
                        self.happen(happening);
                    }
                }
                (_, Some(due)) => {
                    self.now = self.now.max(due);
                    self.tick();
                }
                _ => break,
            }
        }
        self.finish();
    }

    fn tick(&mut self) {
        let (at, ticks) = self.ticks_at_instant;
        self.ticks_at_instant = (self.now, if at == self.now { ticks + 1 } else { 1 });
        if self.ticks_at_instant.1 > TICKS_AT_INSTANT_MAX {
            self.outcome.faults.push(format!("law 11: time stands still at {:?}", self.now));
            self.outcome.faults.resize(FAULTS_MAX, String::new());
            return;
        }
        self.decide(Command::Tick, None, None);
        self.commit_perhaps();
    }

    fn finish(&mut self) {
        self.commit();
        self.auditor.compare(&self.world, &self.book, self.now);
        self.auditor.judge_the_end(&self.world);
        self.collect_faults();
        self.judge_the_calm();
        self.judge_the_healed();
        self.take_snapshot();
        let image = postcard::to_stdvec(&self.snapshot).expect("an image can be written");
        if postcard::to_stdvec(&self.replayed.image()).expect("an image can be written") != image {
            self.outcome.faults.push("law 10: the whole journal makes another world".into());
        }
        self.outcome.image = image;
        self.outcome.faults.retain(|fault| !fault.is_empty());
        self.outcome.simulated_seconds = self.until.seconds_since(BEGINNING);
        self.outcome.calls = self.calls.next() as u64;
        self.outcome.settled = self.auditor.settled;
        self.outcome.corrected = self.auditor.corrected;
        self.outcome.revived = self.auditor.revived;
        self.outcome.overruns = self.auditor.overruns;
        self.outcome.charged_by = std::mem::take(&mut self.auditor.charged_by);
    }

    /// Where nothing goes wrong, a gateway that does as it is told never outruns what is reserved.
    fn judge_the_calm(&mut self) {
        if !self.setting.is_calm {
            return;
        }
        for id in std::mem::take(&mut self.auditor.outran) {
            let habits = self.auditor.real_calls_of(id).next().map(|call| &self.gateways[self.calls[call].gateway]);
            let does_as_told = habits.is_some_and(|habits| {
                let is_honest = habits.clock_offset_millis == 0 && habits.session_times == SessionTimes::True;
                is_honest && habits.obeys_timeout && habits.obeys_disconnect && !habits.tells_other_numbers
            });
            if does_as_told {
                self.fault(format!("guard: {id} outran its reservation though its gateway did as it was told"));
            }
        }
    }

    /// When faults have stopped, every packet is answered and every real call is over.
    fn judge_the_healed(&mut self) {
        let until = self.until;
        let unanswered = |packet: &Packet| !packet.is_acknowledged && packet.sent_last_at >= until;
        let unanswered = self.packets.iter().filter(|(_, packet)| unanswered(packet)).count();
        if unanswered > 0 {
            self.fault(format!("law 11: {unanswered} packets are never answered though all faults have stopped"));
        }
        if !self.live.is_empty() {
            let live = std::mem::take(&mut self.live);
            self.fault(format!("law 11: real calls {live:?} never end"));
        }
    }

    fn collect_faults(&mut self) {
        for fault in self.auditor.take_faults() {
            self.fault(fault);
        }
    }

    fn fault(&mut self, fault: String) {
        if self.setting.traces {
            let _ = writeln!(self.outcome.trace, "    FAULT {fault}");
        }
        self.outcome.faults.push(fault);
    }

    // ------------------------------------------------------------------ the engine and its store

    fn decide(&mut self, command: Command, real_call: Option<usize>, packet: Option<usize>) {
        self.outcome.decisions += 1;
        self.outcome.most_calls_known = self.outcome.most_calls_known.max(self.world.calls_known());
        let mut decision = match self.setting.planted {
            Some(planted) => planted.decide(&self.world, &planted.book(&self.book), self.now, &command),
            None => ringfence::domain::engine::decide(&self.world, &self.book, self.now, &command),
        };
        let at = self.now.max(self.world.last_instant());
        for event in &decision.events {
            self.world.apply(at, event);
        }
        if let (Command::ChangeBook(change), Reply::Done(_)) = (&command, &decision.reply) {
            self.book = change.book.clone();
        }
        if self.setting.traces {
            self.trace(&command, real_call, &decision.events, &decision.reply);
        }
        decision.events.retain(Event::is_durable);
        self.warn_of_credit(&decision.events);
        let book = self.book.clone();
        let (events, effects, reply) = (decision.events, decision.effects, decision.reply);
        self.pending.push(Pending { at, command, real_call, packet, book, events, effects, reply, is_released: false });
        if self.outcome.decisions.is_multiple_of(self.check_every) {
            for violation in invariant::check(&self.world, &self.book) {
                self.fault(format!("invariant: {violation}"));
            }
        }
        if self.setting.planted == Some(Planted::AnswerBeforeWriting) {
            self.release_replies();
        }
    }

    fn commit_perhaps(&mut self) {
        if self.pending.len() >= 8 || self.rng.u8(..3) != 0 {
            self.commit();
        }
    }

    /// Writes what was decided, then lets replies and effects go.
    fn commit(&mut self) {
        while self.failing_appends > 0 && !self.pending.is_empty() {
            // The same batch again; nothing is decided and nothing answered meanwhile.
            self.failing_appends -= 1;
            self.now = self.now.plus_millis(200);
            self.auditor.is_waiting = true;
        }
        let writes = self.pending.iter().any(|pending| !pending.events.is_empty());
        let crashes_now = writes && !self.is_healed && self.crashes > 0 && self.rng.u8(..) < self.crashes;
        if crashes_now || (self.crash_at_commit && writes) {
            self.crash_at_commit = false;
            let was_written = self.rng.bool();
            return self.crash(was_written);
        }
        self.write();
        self.release_replies();
        self.pending.clear();
        if self.rng.u8(..50) == 0 {
            self.take_snapshot();
        }
    }

    /// The journal so far is in the snapshot; it is played once more into a world of its own.
    fn take_snapshot(&mut self) {
        self.snapshot = self.world.image();
        for fact in self.journal.drain(..) {
            self.replayed.apply(fact.at, &fact.event);
        }
    }

    fn write(&mut self) {
        for pending in &self.pending {
            let facts = pending.events.iter().map(|event| Fact { at: pending.at, event: event.clone() });
            self.journal.extend(facts);
            let record = Record {
                at: pending.at,
                command: &pending.command,
                real_call: pending.real_call,
                names_may_be_confused: pending.real_call.is_some_and(|call| {
                    self.gateways[self.calls[call].gateway].reuses_names || self.calls[call].is_confusing
                }),
                book: &pending.book,
                events: &pending.events,
                effects: &pending.effects,
                reply: &pending.reply,
            };
            self.auditor.observe(&record);
            for id in pending.events.iter().filter_map(Event::call) {
                let ended = self.world.call(id).filter(|call| !call.is_alive());
                self.to_be_projected.extend(ended.map(|call| (self.now, call.clone())));
            }
        }
        self.durable_book = self.book.clone();
        self.auditor.compare(&self.world, &self.book, self.now);
        self.collect_faults();
        for index in 0..self.pending.len() {
            self.note_stop(index);
        }
    }

    fn note_stop(&mut self, index: usize) {
        let pending = &self.pending[index];
        let (Some(call), Command::Account(told), Reply::Recorded) =
            (pending.real_call, &pending.command, &pending.reply)
        else {
            return;
        };
        if matches!(told.kind, AccountingKind::Stop | AccountingKind::Failed) {
            // An attempt that failed, or a change, is no word about the end of a call that was answered.
            let is_end = told.kind == AccountingKind::Stop || self.calls[call].answered_at.is_none();
            if !is_end {
                return;
            }
            let habits = &self.gateways[self.calls[call].gateway];
            let seconds = match (habits.session_times, habits.connect_times) {
                (SessionTimes::True, _) => told.session_seconds,
                (_, true) => told.connected_at.zip(told.disconnected_at).map(|(from, to)| to.seconds_since(from)),
                _ => None,
            };
            let is_unanswered = told.kind == AccountingKind::Failed || self.calls[call].answered_at.is_none();
            let seconds = if is_unanswered { Some(0) } else { seconds };
            // Of a call longer than any may be, our own clock is asked, where it ran.
            let longest = self.world.policy().call_seconds_max + 60;
            let seconds = seconds.filter(|seconds| *seconds <= longest);
            self.auditor.real_calls[call].stops.push(ToldStop { origin: told.origin, seconds });
        }
    }

    fn release_replies(&mut self) {
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            if std::mem::replace(&mut pending.is_released, true) {
                continue;
            }
            let (reply, effects, packet) = (pending.reply.clone(), pending.effects.clone(), pending.packet);
            if self.setting.planted == Some(Planted::AnswerBeforeWriting) {
                // What was promised is a promise, written or not.
                self.note_stop(index);
            }
            match &reply {
                Reply::Accept(_) => self.outcome.accepted += 1,
                Reply::Reject(rejected) => {
                    *self.outcome.rejected.entry(rejected.reason.as_str()).or_insert(0) += 1;
                }
                _ => {}
            }
            if let Some(packet) = packet.filter(|_| reply != Reply::None) {
                let gateway = self.packets[packet].gateway;
                for delay in self.fates(gateway) {
                    self.schedule_in(delay, Happening::ReplyArrives { packet, reply: reply.clone() });
                }
            }
            for effect in effects {
                self.ask_gateway(&effect);
            }
        }
    }

    /// The process dies: what was not written is gone, and nobody was told of it.
    fn crash(&mut self, was_written: bool) {
        if was_written {
            self.outcome.crashes_after_writing += 1;
        } else {
            self.outcome.crashes_before_writing += 1;
        }
        if self.setting.traces {
            let _ = writeln!(self.outcome.trace, "{} CRASH, written: {was_written}", self.clock());
        }
        if was_written {
            let before = self.world.image();
            self.write();
            self.recover();
            let mut after = self.world.image();
            after.last_instant = before.last_instant;
            if after != before {
                self.fault("law 10: after a restart the world is another one".into());
            }
        } else {
            self.recover();
        }
        self.pending.clear();
        self.auditor.compare(&self.world, &self.book, self.now);
        self.collect_faults();
        for violation in invariant::check(&self.world, &self.book) {
            self.fault(format!("invariant: after a restart: {violation}"));
        }
    }

    fn recover(&mut self) {
        let policy = *self.world.policy();
        let mut world = World::from_image(policy, self.snapshot.clone());
        let tail = match self.setting.planted {
            Some(planted) => planted.tail(&self.journal),
            None => &self.journal,
        };
        for fact in tail {
            world.apply(fact.at, &fact.event);
        }
        self.world = world;
        self.book = self.durable_book.clone();
        self.life += 1;
        let effects = match self.setting.planted {
            Some(Planted::LoseEffects) => Vec::new(),
            _ => control::pending(&self.world, self.now),
        };
        self.world.resume(self.now);
        // Whose turn to be asked again has come meanwhile is asked by the first tick.
        let now = self.now;
        let is_due = |id: CallId| {
            self.world.call(id).and_then(|call| call.disconnect).is_some_and(|asked| asked.again_at <= now)
        };
        self.auditor.restarted(&effects, is_due);
        for effect in effects {
            self.ask_gateway(&effect);
        }
    }

    fn project(&mut self) {
        let now = self.now;
        let projected = self.to_be_projected.extract_if(.., |(at, _)| at.plus_seconds(1) <= now);
        self.tables.extend(projected.map(|(_, call)| (call.id, call)));
    }

    /// What is so old that nothing can speak of it any more is judged and forgotten here.
    fn put_away(&mut self) {
        if self.now < self.put_away_at {
            return;
        }
        self.put_away_at = self.now.plus_seconds(DAY_SECONDS / 4);
        let oldest = self.now.minus_seconds(KEPT_SECONDS);
        while self.packets.take_oldest_if(|packet| packet.sent_last_at < oldest).is_some() {}
        let has_room = |call: &Call| call.remembered_since().is_some_and(|since| since >= oldest);
        self.tables.retain(|_, call| has_room(call));
        // Calls stay for longer than whatever may speak of them.
        let oldest = oldest.minus_seconds(DAY_SECONDS);
        let live_from = self.live.first().copied().unwrap_or(usize::MAX);
        while self.calls.first() < live_from && self.calls.take_oldest_if(|call| call.began_at < oldest).is_some() {
            self.auditor.judge_oldest_call();
        }
        self.auditor.put_away(oldest.minus_seconds(DAY_SECONDS));
        self.collect_faults();
    }

    // ------------------------------------------------------------------ for people

    fn clock(&self) -> String {
        let millis = self.now.millis_since(BEGINNING);
        format!("{:5}.{:03}", millis / 1_000, millis % 1_000)
    }

    fn trace(&mut self, command: &Command, real_call: Option<usize>, events: &[Event], reply: &Reply) {
        if self.outcome.trace.len() > 2 * TRACE_MAX {
            let from = self.outcome.trace.len() - TRACE_MAX;
            let from = self.outcome.trace[from..].find('\n').map_or(from, |line| from + line);
            self.outcome.trace.drain(..from);
        }
        let what = match command {
            Command::Authorize(request) => {
                format!("authorize account {:?} to {:?} from nas {}", request.account, request.called, request.nas)
            }
            Command::Account(told) => format!(
                "{:?} {:?} from nas {} session {:?} event {:?} delay {:?} class {:?}",
                told.kind,
                told.origin,
                told.nas,
                told.session_seconds,
                told.event_at,
                told.delay_seconds,
                told.identity.class
            ),
            Command::ChangeBook(change) => format!("change of {} things", change.changes.len()),
            other => format!("{other:?}"),
        };
        let clock = self.clock();
        let _ = writeln!(self.outcome.trace, "{clock} real {real_call:?} {what}");
        for event in events {
            let text = match event {
                Event::CallOpened(call) => format!("CallOpened {} {:?} to {}", call.id, call.abilities, call.called),
                Event::Settled(settled) => {
                    format!("Settled {} {:?} {:?}", settled.call, settled.ending, settled.settlements)
                }
                Event::Corrected(corrected) => format!("Corrected {} to {} s", corrected.call, corrected.seconds),
                Event::BookChanged { .. } => "BookChanged".into(),
                Event::Recalled(call) => format!("Recalled {}", call.id),
                Event::Forgotten { calls } => format!("Forgotten {calls:?}"),
                other => format!("{other:?}"),
            };
            let _ = writeln!(self.outcome.trace, "    {text}");
        }
        if !matches!(reply, Reply::None | Reply::Recorded) {
            let text: String = format!("{reply:?}").chars().take(200).collect();
            let _ = writeln!(self.outcome.trace, "    -> {text}");
        }
    }
}
