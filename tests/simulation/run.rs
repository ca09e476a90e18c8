//! One seed: gateways play calls over a bad network, operators work, the process dies and the store
//! fails, while the engine decides and the auditor watches.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{Call, CallKey, DisconnectAnswer, LegOrigin, SESSION_CONTEXT_NOT_FOUND};
use ringfence::domain::command::{
    Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, NasAnswered, NasAsked, PostEntry,
    PostKind, Proof, Restart,
};
use ringfence::domain::control;
use ringfence::domain::decision::{Effect, Event, Fact, Reply};
use ringfence::domain::id::{AccountKey, CallId, ConfId, NasKey};
use ringfence::domain::invariant;
use ringfence::domain::money::Money;
use ringfence::domain::recall::recall;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::{World, WorldImage};

use crate::auditor::{Auditor, RealCall, Record, ToldStop};
use crate::planted::Planted;
use crate::scene::{BEGINNING, DelayTimes, Habits, NUMBERS, SessionTimes, rate_table, scene};

/// What a seed did, for the one who asks whether it did anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub faults: Vec<String>,
    pub trace: String,
    pub image: Vec<u8>,
    pub decisions: u64,
    pub accepted: u64,
    pub settled: u64,
    pub corrected: u64,
    pub revived: u64,
    pub overruns: u64,
    pub crashes: u64,
    pub recalled: u64,
    pub rejected: BTreeMap<&'static str, u64>,
}

/// How a seed is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    pub planted: Option<Planted>,
    /// No loss, no crash, no operators: what is left must be faultless.
    pub is_calm: bool,
    pub traces: bool,
}

/// One call as it really is, at its gateway.
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
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
enum Happening {
    NewCall,
    Arrival { packet: usize },
    Retry { packet: usize },
    ReplyArrives { packet: usize, reply: Reply },
    Answered { call: usize },
    Fails { call: usize },
    Interim { call: usize },
    HangsUp { call: usize },
    AsksAgain { call: usize },
    DisconnectArrives { call: CallId, is_first: bool },
    ProlongArrives { call: CallId, seconds: u64, is_first: bool },
    NasAnswers { answered: NasAnswered },
    Reboot { gateway: usize },
    Partition { gateway: usize },
    Operator,
    Crash,
    StoreFails,
}

struct Packet {
    call: Option<usize>,
    gateway: usize,
    command: Command,
    tries_left: u32,
    is_acknowledged: bool,
    sent_first_at: Timestamp,
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
}

pub struct Simulation {
    rng: Rng,
    setting: Setting,
    now: Timestamp,
    until: Timestamp,
    world: World,
    book: Arc<Book>,
    durable_book: Arc<Book>,
    journal: Vec<Fact>,
    snapshot: (WorldImage, usize),
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
    calls: Vec<Played>,
    packets: Vec<Packet>,
    auditor: Auditor,
    crash_at_commit: bool,
    failing_appends: u32,
    keys_posted: u64,
    check_every: u64,
    ticks_at_instant: (Timestamp, u64),
    outcome: Outcome,
}

/// Most faults that are looked at: the first ones tell most.
const FAULTS_MAX: usize = 5;
/// Most deadlines at one instant; more is a loop.
const TICKS_AT_INSTANT_MAX: u64 = 2_000;

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
        let until = BEGINNING.plus_seconds(rng.u64(900..3_000));
        let mut simulation = Simulation {
            setting,
            now: BEGINNING,
            until,
            world: World::new(scene.policy),
            book: Arc::default(),
            durable_book: Arc::default(),
            journal: Vec::new(),
            snapshot: (World::new(scene.policy).image(), 0),
            pending: Vec::new(),
            tables: BTreeMap::new(),
            to_be_projected: Vec::new(),
            future: BTreeMap::new(),
            happened: 0,
            gateways: scene.gateways,
            accounts: scene.accounts,
            names: vec![0; gateways],
            unreachable_until: vec![BEGINNING; gateways],
            calls: Vec::new(),
            packets: Vec::new(),
            auditor: Auditor::default(),
            crash_at_commit: false,
            failing_appends: 0,
            keys_posted: 0,
            check_every: if seed.is_multiple_of(4) { 1 } else { 8 },
            ticks_at_instant: (BEGINNING, 0),
            outcome: Outcome::default(),
            rng,
        };
        let change =
            ChangeBook { changes: scene.changes, book: scene.book, opening: scene.opening, by: "operator".into() };
        simulation.decide(Command::ChangeBook(Box::new(change)), None, None);
        simulation.commit();
        simulation.plan();
        simulation
    }

    /// Everything that is not a consequence of a call.
    fn plan(&mut self) {
        let calls = self.rng.usize(100..500);
        let length = self.until.millis_since(BEGINNING);
        for _ in 0..calls {
            let at = BEGINNING.plus_millis(self.rng.i64(0..length as i64));
            self.schedule(at, Happening::NewCall);
        }
        if self.setting.is_calm {
            return;
        }
        for (happening, times) in [
            (Happening::Operator, self.rng.usize(0..20)),
            (Happening::Crash, self.rng.usize(0..5)),
            (Happening::StoreFails, self.rng.usize(0..3)),
            (Happening::Reboot { gateway: 4 }, self.rng.usize(0..3)),
            (Happening::Reboot { gateway: 1 }, self.rng.usize(0..2)),
        ] {
            for _ in 0..times {
                let at = BEGINNING.plus_millis(self.rng.i64(0..length as i64));
                self.schedule(at, happening.clone());
            }
        }
        for _ in 0..self.rng.usize(0..3) {
            let at = BEGINNING.plus_millis(self.rng.i64(0..length as i64));
            let gateway = self.rng.usize(..self.gateways.len());
            self.schedule(at, Happening::Partition { gateway });
        }
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
        while self.outcome.faults.len() < FAULTS_MAX {
            let next = self.future.first_key_value().map(|((at, _), _)| *at);
            let due = self.world.next_deadline();
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
        self.auditor.compare(&self.world);
        self.auditor.judge_the_end();
        self.collect_faults();
        self.judge_the_calm();
        let mut replayed = World::new(*self.world.policy());
        for fact in &self.journal {
            replayed.apply(fact.at, &fact.event);
        }
        let image = postcard::to_stdvec(&self.world.image()).expect("an image can be written");
        if postcard::to_stdvec(&replayed.image()).expect("an image can be written") != image {
            self.outcome.faults.push("law 10: the whole journal makes another world".into());
        }
        self.outcome.image = image;
        self.outcome.faults.retain(|fault| !fault.is_empty());
        self.outcome.settled = self.auditor.settled;
        self.outcome.corrected = self.auditor.corrected;
        self.outcome.revived = self.auditor.revived;
        self.outcome.overruns = self.auditor.overruns;
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
        let seen_book = match self.setting.planted {
            Some(planted) => planted.book(&self.book),
            None => self.book.clone(),
        };
        let mut decision = match self.setting.planted {
            Some(planted) => planted.decide(&self.world, &seen_book, self.now, &command),
            None => ringfence::domain::engine::decide(&self.world, &seen_book, self.now, &command),
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
        let book = self.book.clone();
        let (events, effects, reply) = (decision.events, decision.effects, decision.reply);
        self.pending.push(Pending { at, command, real_call, packet, book, events, effects, reply });
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
        }
        if self.crash_at_commit && self.pending.iter().any(|pending| !pending.events.is_empty()) {
            self.crash_at_commit = false;
            let was_written = self.rng.bool();
            return self.crash(was_written);
        }
        self.write();
        self.release_replies();
        self.pending.clear();
        if self.rng.u8(..50) == 0 {
            self.snapshot = (self.world.image(), self.journal.len());
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
                reply: &pending.reply,
            };
            self.auditor.observe(&record);
            for id in pending.events.iter().filter_map(Event::call) {
                let ended = self.world.call(id).filter(|call| !call.is_alive());
                self.to_be_projected.extend(ended.map(|call| (self.now, call.clone())));
            }
        }
        self.durable_book = self.book.clone();
        self.auditor.compare(&self.world);
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
            let habits = &self.gateways[self.calls[call].gateway];
            let seconds = match (habits.session_times, habits.connect_times) {
                (SessionTimes::True, _) => told.session_seconds,
                (_, true) => told.connected_at.zip(told.disconnected_at).map(|(from, to)| to.seconds_since(from)),
                _ => None,
            };
            let seconds = if told.kind == AccountingKind::Failed { Some(0) } else { seconds };
            self.auditor.real_calls[call].stops.push(ToldStop { origin: told.origin, seconds });
        }
    }

    fn release_replies(&mut self) {
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            let reply = std::mem::replace(&mut pending.reply, Reply::None);
            let effects = std::mem::take(&mut pending.effects);
            let packet = pending.packet;
            if self.setting.planted == Some(Planted::AnswerBeforeWriting) {
                // What was promised is a promise, written or not.
                self.pending[index].reply = reply.clone();
                self.note_stop(index);
                self.pending[index].reply = Reply::None;
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

    /// A request to a gateway is on its way, perhaps more than once, or is lost and given up in the end.
    fn ask_gateway(&mut self, effect: &Effect) {
        let (call, asked) = match *effect {
            Effect::Disconnect { call, .. } => (call, NasAsked::Disconnect),
            Effect::Prolong { call, seconds } => (call, NasAsked::Prolong { seconds }),
            Effect::Alarm(_) => return,
        };
        let gateway = self.gateway_of(call);
        let delays = gateway.map(|gateway| self.fates(gateway)).unwrap_or_default();
        if delays.is_empty() {
            let answer = DisconnectAnswer::Unanswered;
            self.schedule_in(20_000, Happening::NasAnswers { answered: NasAnswered { call, asked, answer } });
        }
        for (nth, delay) in delays.into_iter().enumerate() {
            let is_first = nth == 0;
            let happening = match asked {
                NasAsked::Disconnect => Happening::DisconnectArrives { call, is_first },
                NasAsked::Prolong { seconds } => Happening::ProlongArrives { call, seconds, is_first },
            };
            self.schedule_in(delay, happening);
        }
    }

    /// The gateway's answer is on its way back, or it is deaf.
    fn gateway_answers(&mut self, call: CallId, asked: NasAsked, is_first: bool, obeys: bool) {
        if !is_first {
            return;
        }
        let is_up = self.real_call_of(call).is_some();
        let answer = match (is_up, obeys, self.rng.u8(..3)) {
            (false, ..) => DisconnectAnswer::Refused(Some(SESSION_CONTEXT_NOT_FOUND)),
            (true, true, _) => DisconnectAnswer::Acknowledged,
            (true, false, 0) => DisconnectAnswer::Refused(Some(501)),
            (true, false, 1) => DisconnectAnswer::Refused(None),
            (true, false, _) => DisconnectAnswer::Unanswered,
        };
        let delay = if answer == DisconnectAnswer::Unanswered { 20_000 } else { self.rng.u64(1..500) };
        self.schedule_in(delay, Happening::NasAnswers { answered: NasAnswered { call, asked, answer } });
    }

    /// The process dies: what was not written is gone, and nobody was told of it.
    fn crash(&mut self, was_written: bool) {
        self.outcome.crashes += 1;
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
        self.auditor.compare(&self.world);
        self.collect_faults();
        for violation in invariant::check(&self.world, &self.book) {
            self.fault(format!("invariant: after a restart: {violation}"));
        }
    }

    fn recover(&mut self) {
        let policy = *self.world.policy();
        let (image, sequence) = &self.snapshot;
        let mut world = World::from_image(policy, image.clone());
        let tail = &self.journal[*sequence..];
        let tail = match self.setting.planted {
            Some(planted) => planted.tail(tail),
            None => tail,
        };
        for fact in tail {
            world.apply(fact.at, &fact.event);
        }
        self.world = world;
        self.book = self.durable_book.clone();
        for effect in control::pending(&self.world, self.now) {
            self.ask_gateway(&effect);
        }
    }

    // ------------------------------------------------------------------ the network

    /// When the copies of a datagram arrive, in milliseconds; none where it is lost.
    fn fates(&mut self, gateway: usize) -> Vec<u64> {
        if self.setting.is_calm {
            return vec![1];
        }
        if self.now < self.unreachable_until[gateway] {
            return Vec::new();
        }
        let delay = |rng: &mut Rng| match rng.u8(..20) {
            0 => rng.u64(100..9_000),
            _ => rng.u64(1..40),
        };
        let mut fates = Vec::new();
        if self.rng.u8(..12) != 0 {
            fates.push(delay(&mut self.rng));
        }
        if self.rng.u8(..15) == 0 {
            fates.push(delay(&mut self.rng));
        }
        fates
    }

    fn send(&mut self, call: Option<usize>, gateway: usize, command: Command, tries: u32) {
        let packet = self.packets.len();
        let sent_first_at = self.now;
        let tries_left = tries;
        self.packets.push(Packet { call, gateway, command, tries_left, is_acknowledged: false, sent_first_at });
        self.transmit(packet);
    }

    fn transmit(&mut self, packet: usize) {
        let gateway = self.packets[packet].gateway;
        for delay in self.fates(gateway) {
            self.schedule_in(delay, Happening::Arrival { packet });
        }
        let again = self.rng.u64(2_500..5_000);
        self.schedule_in(again, Happening::Retry { packet });
    }

    fn retry(&mut self, packet: usize) {
        let now = self.now;
        let sent = &mut self.packets[packet];
        if sent.is_acknowledged || sent.tries_left == 0 {
            return;
        }
        sent.tries_left -= 1;
        let delay_times = self.gateways[sent.gateway].delay_times;
        if let Command::Account(told) = &mut sent.command
            && delay_times == DelayTimes::True
        {
            told.delay_seconds = u32::try_from(now.seconds_since(sent.sent_first_at)).ok();
        }
        self.transmit(packet);
    }

    fn arrive(&mut self, packet: usize) {
        let sent = &self.packets[packet];
        let (mut command, call) = (sent.command.clone(), sent.call);
        self.project();
        if let Command::Account(told) = &mut command
            && !self.world.remembers(told.nas, &told.identity)
        {
            told.recalled = self.recall(told.nas, &told.identity).map(Box::new);
            self.outcome.recalled += u64::from(told.recalled.is_some());
        }
        self.decide(command, call, Some(packet));
        self.commit_perhaps();
    }

    fn project(&mut self) {
        let now = self.now;
        let projected = self.to_be_projected.extract_if(.., |(at, _)| at.plus_seconds(1) <= now);
        self.tables.extend(projected.map(|(_, call)| (call.id, call)));
    }

    /// What the tables know of a packet's call.
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Option<Call> {
        let found = recall::<Infallible>(nas, identity, |name| {
            let of_name = self.tables.values().rev().filter(|call| name.is_of(call));
            Ok(of_name.cloned().collect())
        });
        found.unwrap_or_else(|never| match never {}).map(|call| *call)
    }

    // ------------------------------------------------------------------ what happens

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::NewCall => self.new_call(),
            Happening::Arrival { packet } => self.arrive(packet),
            Happening::Retry { packet } => self.retry(packet),
            Happening::ReplyArrives { packet, reply } => self.reply_arrives(packet, reply),
            Happening::Answered { call } => self.answered(call),
            Happening::Fails { call } => self.fails(call),
            Happening::Interim { call } => self.interim(call),
            Happening::HangsUp { call } => self.hangs_up_now(call),
            Happening::AsksAgain { call } => self.asks_again(call),
            Happening::DisconnectArrives { call, is_first } => self.disconnect_arrives(call, is_first),
            Happening::ProlongArrives { call, seconds, is_first } => self.prolong_arrives(call, seconds, is_first),
            Happening::NasAnswers { answered } => {
                self.decide(Command::NasAnswered(answered), None, None);
                self.commit_perhaps();
            }
            Happening::Reboot { gateway } => self.reboot(gateway),
            Happening::Partition { gateway } => {
                let seconds = self.rng.u64(5..400);
                self.unreachable_until[gateway] = self.now.plus_seconds(seconds);
            }
            Happening::Operator => self.operator(),
            Happening::Crash => self.crash_at_commit = true,
            Happening::StoreFails => self.failing_appends = self.rng.u32(1..20),
        }
    }

    fn new_call(&mut self) {
        let gateway = self.rng.usize(..self.gateways.len());
        let habits = self.gateways[gateway].clone();
        self.names[gateway] += 1;
        let mut name = self.names[gateway];
        let mut is_confusing = false;
        if habits.reuses_names && self.rng.u8(..3) == 0 {
            name = self.rng.u32(1..=self.names[gateway]);
        }
        if habits.tells_other_numbers || !habits.names_calls_early {
            // A call that is told of by another number cannot be told from one that was never named.
            is_confusing = !habits.names_calls_early;
        }
        let called = match self.rng.u8(..4) {
            0 => self.rng.usize(..NUMBERS.len()),
            _ => self.rng.usize(..4),
        };
        let call = self.calls.len();
        self.calls.push(Played {
            gateway,
            account: self.accounts[self.rng.usize(..self.accounts.len())],
            called,
            name,
            class: None,
            answered_at: None,
            ended_at: None,
            hang_up_at: None,
            cut_at: None,
            began_at: self.now,
            timeout: None,
            attempts: 0,
            is_confusing,
        });
        self.auditor.real_calls.push(RealCall::default());
        if habits.authorizes {
            self.ask(call);
        } else {
            self.ring(call);
        }
    }

    fn ask(&mut self, call: usize) {
        let played = &self.calls[call];
        let habits = &self.gateways[played.gateway];
        let mut identity = self.identity(call, LegOrigin::Answer);
        identity.class = None;
        if !habits.names_calls_early {
            identity = CallIdentity::default();
        }
        let wrong = played.attempts == 0 && self.rng.u8(..40) == 0;
        let request = Authorize {
            nas: habits.nas,
            user_name: (*b"user").into(),
            account: Some(played.account),
            proof: if wrong { Proof::Wrong } else { Proof::Right },
            identity,
            caller: Some("4930999".into()),
            called: Some(NUMBERS[played.called].into()),
            connection: None,
            packet: None,
        };
        let gateway = played.gateway;
        self.send(Some(call), gateway, Command::Authorize(Box::new(request)), 2);
    }

    fn identity(&self, call: usize, origin: LegOrigin) -> CallIdentity {
        let played = &self.calls[call];
        let habits = &self.gateways[played.gateway];
        let key = format!("{}-{}", played.gateway, played.name);
        let conf_id = habits.two_legs.then(|| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(call as u64).to_be_bytes());
            ConfId(bytes)
        });
        let session = if habits.two_legs { format!("{key}-{}", origin.as_str()) } else { key.clone() };
        CallIdentity {
            class: played.class.filter(|_| habits.returns_class),
            key: Some(CallKey(key.into_bytes().into())),
            conf_id,
            session_id: session.into_bytes().into(),
            identification: Box::default(),
        }
    }

    fn ring(&mut self, call: usize) {
        let setup = self.rng.u64(500..20_000);
        let happening = if self.rng.u8(..5) == 0 { Happening::Fails { call } } else { Happening::Answered { call } };
        self.schedule_in(setup, happening);
    }

    fn account(&mut self, call: usize, kind: AccountingKind, origin: LegOrigin, at: Timestamp, attempt: u32) {
        let played = &self.calls[call];
        let gateway = played.gateway;
        let habits = &self.gateways[gateway];
        let its_clock = |at: Timestamp| at.plus_millis(habits.clock_offset_millis);
        let ends = matches!(kind, AccountingKind::Stop | AccountingKind::Failed);
        let hunting_failed = attempt > 0;
        let answered = played.answered_at.filter(|_| !hunting_failed);
        let up = answered.map(|from| at.seconds_since(from));
        let session_seconds = match habits.session_times {
            SessionTimes::Absent => None,
            SessionTimes::Nonsense => Some(u64::from(u32::MAX)),
            SessionTimes::True if kind == AccountingKind::Start => None,
            SessionTimes::True => Some(up.unwrap_or(0)),
        };
        let other_number = habits.tells_other_numbers && call.is_multiple_of(3);
        let told = Accounting {
            nas: habits.nas,
            kind,
            identity: self.identity(call, origin),
            origin,
            remote_address: (origin == LegOrigin::Originate)
                .then(|| format!("198.51.100.{}", attempt + 1).parse().expect("an address")),
            connection: None,
            user_name: Some((*b"user").into()),
            account: Some(played.account),
            caller: None,
            called: Some(NUMBERS[if other_number { 3 } else { played.called }].into()),
            event_at: habits.event_timestamps.then(|| its_clock(at).floor_second()),
            delay_seconds: match habits.delay_times {
                DelayTimes::Absent => None,
                DelayTimes::True => Some(0),
                DelayTimes::Nonsense => Some(1_772_494_200),
            },
            setup_at: (habits.connect_times && origin == LegOrigin::Answer).then(|| its_clock(played.began_at)),
            connected_at: answered.filter(|_| habits.connect_times).map(its_clock),
            disconnected_at: (habits.connect_times && ends && answered.is_some()).then(|| its_clock(at)),
            session_seconds,
            cause: None,
            rings: false,
            may_be_periodic: kind == AccountingKind::Interim,
            recalled: None,
            packet: None,
        };
        let tries = if ends { 8 } else { 3 };
        self.send(Some(call), gateway, Command::Account(Box::new(told)), tries);
    }

    fn reply_arrives(&mut self, packet: usize, reply: Reply) {
        let sent = &mut self.packets[packet];
        let is_again = std::mem::replace(&mut sent.is_acknowledged, true);
        let (Some(call), false) = (sent.call, is_again) else { return };
        if self.calls[call].ended_at.is_some() {
            return;
        }
        // An interim or Start that is answered, a prolongation that is refused: the call goes on.
        if let Reply::Accept(accept) = reply {
            let is_first = self.calls[call].timeout.is_none();
            let played = &mut self.calls[call];
            played.class = accept.call.or(played.class);
            played.timeout = accept.session_timeout.map(u64::from);
            if is_first {
                self.ring(call);
            } else if let Some(timeout) = played.timeout {
                played.cut_at = Some(self.now.plus_seconds(timeout));
                self.plan_end(call);
            }
        }
    }

    fn answered(&mut self, call: usize) {
        let talk = match self.rng.u8(..6) {
            0 => self.rng.i64(0..5_000),
            5 => self.rng.i64(600_000..2_000_000),
            _ => self.rng.i64(5_000..400_000),
        };
        let now = self.now;
        let played = &mut self.calls[call];
        if played.ended_at.is_some() {
            return;
        }
        played.answered_at = Some(now);
        played.hang_up_at = Some(now.plus_millis(talk));
        played.cut_at = played.timeout.map(|timeout| now.plus_seconds(timeout));
        let habits = self.gateways[played.gateway].clone();
        self.plan_end(call);
        if habits.hunts {
            for attempt in 1..self.rng.u32(1..4) {
                self.account(call, AccountingKind::Stop, LegOrigin::Originate, now, attempt);
            }
        }
        if !habits.stop_only {
            let mut legs = vec![LegOrigin::Answer];
            if habits.two_legs {
                legs.push(LegOrigin::Originate);
                self.rng.shuffle(&mut legs);
            }
            for origin in legs {
                self.account(call, AccountingKind::Start, origin, now, 0);
            }
            if habits.interims {
                self.schedule_in(60_000, Happening::Interim { call });
            }
        }
    }

    /// When the call ends by itself: somebody hangs up, or the gateway cuts it.
    fn plan_end(&mut self, call: usize) {
        let played = &self.calls[call];
        let habits = &self.gateways[played.gateway];
        let cut = played.cut_at.filter(|_| habits.obeys_timeout);
        let Some(ends) = played.hang_up_at.into_iter().chain(cut).min() else { return };
        let asks = habits.reauthorizes.then_some(played.timeout).flatten();
        self.schedule(ends, Happening::HangsUp { call });
        if let (Some(timeout), Some(cut)) = (asks, cut) {
            let early = cut.minus_seconds((timeout / 4).min(8));
            self.schedule(early, Happening::AsksAgain { call });
        }
    }

    fn hangs_up_now(&mut self, call: usize) {
        let played = &self.calls[call];
        let habits = &self.gateways[played.gateway];
        let cut = played.cut_at.filter(|_| habits.obeys_timeout);
        // A call that was prolonged meanwhile goes on.
        if played.ended_at.is_some() || played.hang_up_at.into_iter().chain(cut).min() > Some(self.now) {
            return;
        }
        self.end(call);
    }

    fn end(&mut self, call: usize) {
        let now = self.now;
        let played = &mut self.calls[call];
        played.ended_at = Some(now);
        let seconds = played.answered_at.map_or(0, |from| now.seconds_since(from));
        self.auditor.real_calls[call].seconds = seconds;
        let habits = self.gateways[self.calls[call].gateway].clone();
        // A proxy's own cut sends no Stop.
        let was_cut = self.calls[call].cut_at.is_some_and(|cut| cut <= now);
        if !habits.interims && !habits.two_legs && was_cut && self.rng.bool() {
            return;
        }
        let mut legs = vec![LegOrigin::Answer];
        if habits.two_legs {
            legs.push(LegOrigin::Originate);
            self.rng.shuffle(&mut legs);
        }
        for origin in legs {
            self.account(call, AccountingKind::Stop, origin, now, 0);
        }
    }

    fn fails(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.calls[call].ended_at = Some(self.now);
            // Many gateways say nothing of a call that failed.
            let kind = [AccountingKind::Stop, AccountingKind::Failed][self.rng.usize(..2)];
            if self.rng.u8(..3) != 0 {
                self.account(call, kind, LegOrigin::Answer, self.now, 0);
            }
        }
    }

    fn interim(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.account(call, AccountingKind::Interim, LegOrigin::Answer, self.now, 0);
            self.schedule_in(60_000, Happening::Interim { call });
        }
    }

    fn asks_again(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.calls[call].attempts += 1;
            self.ask(call);
        }
    }

    /// The call that is up at its gateway, as the gateway finds it: by Class, else by its own name.
    fn real_call_of(&self, id: CallId) -> Option<usize> {
        let known = self.world.call(id)?;
        let at_gateway = |call: &usize| {
            let played = &self.calls[*call];
            played.ended_at.is_none() && self.gateways[played.gateway].nas == known.nas
        };
        let by_class = |call: &usize| self.calls[*call].class == Some(id);
        let by_name = |call: &usize| self.identity(*call, LegOrigin::Answer).key == known.key;
        let newest = || (0..self.calls.len()).rev().filter(at_gateway);
        newest().find(by_class).or_else(|| newest().find(by_name))
    }

    fn gateway_of(&self, id: CallId) -> Option<usize> {
        let nas = self.world.call(id)?.nas;
        self.gateways.iter().position(|habits| habits.nas == nas)
    }

    fn disconnect_arrives(&mut self, id: CallId, is_first: bool) {
        let Some(gateway) = self.gateway_of(id) else { return };
        let takes = self.book.nas(self.gateways[gateway].nas).is_some_and(|nas| nas.disconnect.is_some());
        if !takes {
            let (asked, answer) = (NasAsked::Disconnect, DisconnectAnswer::NotSent);
            return self.schedule_in(1, Happening::NasAnswers { answered: NasAnswered { call: id, asked, answer } });
        }
        let obeys = self.gateways[gateway].obeys_disconnect;
        let call = self.real_call_of(id).filter(|call| self.calls[*call].answered_at.is_some());
        self.gateway_answers(id, NasAsked::Disconnect, is_first, obeys && call.is_some());
        if let Some(call) = call.filter(|_| obeys) {
            self.end(call);
        }
    }

    fn prolong_arrives(&mut self, id: CallId, seconds: u64, is_first: bool) {
        self.gateway_answers(id, NasAsked::Prolong { seconds }, is_first, true);
        let Some(call) = self.real_call_of(id) else { return };
        let played = &mut self.calls[call];
        if let (Some(from), None) = (played.answered_at, played.ended_at) {
            played.cut_at = Some(from.plus_seconds(seconds));
            self.plan_end(call);
        }
    }

    fn reboot(&mut self, gateway: usize) {
        let now = self.now;
        for played in self.calls.iter_mut().filter(|played| played.gateway == gateway) {
            played.ended_at = played.ended_at.or(Some(now));
        }
        for packet in self.packets.iter_mut().filter(|packet| packet.gateway == gateway) {
            packet.tries_left = 0;
        }
        for (call, played) in self.calls.iter().enumerate().filter(|(_, played)| played.gateway == gateway) {
            if let (Some(from), Some(to)) = (played.answered_at, played.ended_at) {
                self.auditor.real_calls[call].seconds = to.seconds_since(from);
            }
        }
        if self.gateways[gateway].reuses_names {
            self.names[gateway] = 0;
        }
        let event_at = self.gateways[gateway].event_timestamps.then(|| now.floor_second());
        let nas = self.gateways[gateway].nas;
        self.send(None, gateway, Command::RestartNas(Restart { nas, event_at, ..Restart::default() }), 5);
    }

    // ------------------------------------------------------------------ operators

    fn operator(&mut self) {
        let parties: Vec<_> = self.book.parties().map(|party| party.key).collect();
        let party = parties[self.rng.usize(..parties.len())];
        let command = match self.rng.u8(..8) {
            0 | 1 => self.post(party, PostKind::TopUp),
            2 => self.post(party, PostKind::Adjustment),
            3 => self.change_party(party),
            4 => self.change_tariff(),
            5 | 6 => {
                let alive: Vec<_> = self.world.calls().filter(|call| call.is_alive()).map(|call| call.id).collect();
                if alive.is_empty() {
                    return;
                }
                let call = alive[self.rng.usize(..alive.len())];
                let by = "operator".into();
                match self.rng.bool() {
                    true => Command::RemoveCall { call, by },
                    false => Command::DisconnectCall { call, by },
                }
            }
            _ => self.change_account(),
        };
        self.decide(command.clone(), None, None);
        if self.rng.bool() {
            // The same again, as a person does who has not seen the answer.
            self.decide(command, None, None);
        }
        self.commit_perhaps();
    }

    fn post(&mut self, party: ringfence::domain::id::PartyKey, kind: PostKind) -> Command {
        let amount = match kind {
            PostKind::TopUp => self.rng.i64(1..3_000_000),
            PostKind::Adjustment => self.rng.i64(-500_000..500_000),
        };
        self.keys_posted += 1;
        Command::PostEntry(Box::new(PostEntry {
            party,
            kind,
            amount: Money::from_micros(amount),
            note: "".into(),
            idempotency_key: Some(format!("key {}", self.keys_posted).into()),
            known: None,
            by: "operator".into(),
        }))
    }

    fn change(
        &self,
        change: BookChange,
        tables: Option<(ringfence::domain::id::TariffKey, Arc<ringfence::domain::tariff::RateTable>)>,
    ) -> Command {
        let mut book = Book::clone(&self.book);
        book.apply(&change).expect("a change that keeps the book consistent");
        if let Some((key, table)) = tables {
            book.set_rates(key, table);
        }
        let changes = vec![change];
        Command::ChangeBook(Box::new(ChangeBook {
            changes,
            book: Arc::new(book),
            opening: Vec::new(),
            by: "operator".into(),
        }))
    }

    fn change_party(&mut self, key: ringfence::domain::id::PartyKey) -> Command {
        let mut party = ringfence::domain::party::Party::clone(self.book.party(key).expect("one of the book's"));
        match self.rng.u8(..3) {
            0 => party.blocked = !party.blocked,
            1 => party.credit_limit = Money::from_micros(self.rng.i64(0..1_000_000)),
            _ => party.calls_max = self.rng.bool().then(|| self.rng.u32(0..5)),
        }
        self.change(BookChange::PutParty(party), None)
    }

    fn change_account(&mut self) -> Command {
        let key = self.accounts[self.rng.usize(..self.accounts.len())];
        let mut account = ringfence::domain::party::Account::clone(self.book.account(key).expect("one of the book's"));
        account.blocked = !account.blocked;
        self.change(BookChange::PutAccount(account), None)
    }

    /// Another price list while calls are up: it holds for the next ones.
    fn change_tariff(&mut self) -> Command {
        let tariffs: Vec<_> = self.book.tariffs().cloned().collect();
        let mut tariff = ringfence::domain::tariff::Tariff::clone(&tariffs[self.rng.usize(..tariffs.len())]);
        tariff.version += 1;
        let key = tariff.key;
        let table = rate_table(&mut self.rng);
        self.change(BookChange::PutTariff(tariff), Some((key, table)))
    }

    // ------------------------------------------------------------------ for people

    fn clock(&self) -> String {
        let millis = self.now.millis_since(BEGINNING);
        format!("{:5}.{:03}", millis / 1_000, millis % 1_000)
    }

    fn trace(&mut self, command: &Command, real_call: Option<usize>, events: &[Event], reply: &Reply) {
        let what = match command {
            Command::Authorize(request) => {
                format!("authorize account {:?} to {:?} from nas {}", request.account, request.called, request.nas)
            }
            Command::Account(told) => format!(
                "{:?} {:?} from nas {} session {:?} event {:?} class {:?}",
                told.kind, told.origin, told.nas, told.session_seconds, told.event_at, told.identity.class
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
                Event::Forgotten { .. } => continue,
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
