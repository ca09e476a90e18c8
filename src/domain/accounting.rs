//! Accounting-Request: what a NAS tells of a leg, and what follows for its call.
//!
//! Packets come late, doubled, in any order, or not at all. Every packet is recorded and answered;
//! what it means is decided by what is known already.

use super::authorize::{self, Callers, blank_call, e164_or_as_sent, new_call};
use super::book::Book;
use super::call::{Call, CallState, DisconnectReason, EndReason, Ending, Flags, Leg, LegEnd, LegKey, LegOrigin, Payer};
use super::command::{Accounting, AccountingKind};
use super::decision::{Alarm, Decision, Effect, Event, Identified, Reply};
use super::draft::Draft;
use super::number::normalise;
use super::rating::PriceRule;
use super::reserve;
use super::settle::{self, Closing};
use super::time::Timestamp;
use super::world::World;

/// Largest Acct-Delay-Time that is one: some clients put a date there.
const DELAY_SECONDS_MAX: u32 = 3_600;
/// How far a session time may be above what our own clock says.
pub(super) const SESSION_SLACK_SECONDS: u64 = 60;
/// How far a session time that is a hint may be from Stop less Start: both are whole seconds.
const HINT_SLACK_SECONDS: u64 = 5;
/// How long clients go on sending a packet that was not answered, at most.
const RETRANSMITTED_SECONDS_MAX: u64 = 300;
/// The length of call at which two rates are compared when the dearer one is to be charged.
const COMPARED_SECONDS: u64 = 60;

pub(super) fn account(world: &World, book: &Book, now: Timestamp, told: &Accounting) -> Decision {
    let at = event_time(told, now);
    let time_is_a_hint = book.nas(told.nas).is_some_and(|nas| nas.dialect.session_time_is_a_hint());
    let packet = Told { at, now, told, time_is_a_hint };
    let found = world.find_call(told.nas, &told.identity, Some(packet.at)).or_else(|| nameless(world, book, told));
    // What the tables have of a call that is here is older than what is here.
    let recalled = || told.recalled.as_deref().map(|call| world.call(call.id).unwrap_or(call));
    let may_be_meant = |call: &&Call| !packet.is_of_another_dialog(call);
    let known = found.filter(may_be_meant).or_else(recalled).filter(may_be_meant).cloned();
    let another = || {
        let of_its_name = world.find_alive(told.nas, &told.identity).filter(may_be_meant);
        of_its_name.or_else(|| nameless(world, book, told).filter(|call| call.is_alive())).cloned()
    };
    let known = known.filter(|call| !packet.begins_another_call_than(world, book, call)).or_else(another);
    let mut draft = match known {
        Some(call) => {
            let mut draft = Draft::new(world, book, now, call);
            if world.call(draft.call.id).is_none() {
                draft.events.push(Event::Recalled(Box::new(draft.call.clone())));
            }
            draft
        }
        None => open_unannounced(world, book, &packet, found),
    };
    if draft.call.is_alive() {
        tell_alive(&mut draft, &packet);
    } else {
        tell_over(&mut draft, &packet);
    }
    let (events, effects, _) = draft.finish();
    Decision { reply: Reply::Recorded, events, effects }
}

/// A packet, with the instant that it tells of.
struct Told<'a> {
    /// When what it tells of happened.
    at: Timestamp,
    now: Timestamp,
    told: &'a Accounting,
    /// Acct-Session-Time is held against Stop less Start.
    time_is_a_hint: bool,
}

/// When what a packet tells of happened: by its Event-Timestamp, else by its arrival less a sane
/// Acct-Delay-Time; never both, because a client that fails over counts the delay up and keeps the
/// Event-Timestamp. Never later than now.
fn event_time(told: &Accounting, now: Timestamp) -> Timestamp {
    let delay = told.delay_seconds.filter(|delay| *delay <= DELAY_SECONDS_MAX).unwrap_or(0);
    told.event_at.unwrap_or(now.minus_seconds(u64::from(delay))).min(now)
}

/// The call that was granted without a name, when its NAS names it now.
fn nameless<'a>(world: &'a World, book: &Book, told: &Accounting) -> Option<&'a Call> {
    let account = book.account(told.account?)?;
    let callers = Callers { account, chain: book.payer_chain(account.customer), nas: book.nas(told.nas) };
    let called = normalise(told.called.as_deref()?, callers.number_rules())?;
    world.find_nameless_call(told.nas, account.key, &called)
}

impl Told<'_> {
    fn leg_key(&self) -> LegKey {
        LegKey {
            nas: self.told.nas,
            session_id: self.told.identity.session_id.clone(),
            origin: self.told.origin,
            remote_address: self.told.remote_address,
            setup_at: self.told.setup_at,
            dialog: self.told.identity.dialog,
        }
    }

    /// Whether there was an answer, by what it says.
    fn tells_of_an_answer(&self) -> bool {
        match self.told.kind {
            AccountingKind::Start => true,
            AccountingKind::Interim => !self.told.rings,
            AccountingKind::Stop => self.told.session_seconds != Some(0),
            AccountingKind::Failed => false,
        }
    }

    fn ends_leg(&self) -> bool {
        matches!(self.told.kind, AccountingKind::Stop | AccountingKind::Failed)
    }

    /// Whether it is of a dialog that is none of this call's: where nobody talked in that, it tells nothing
    /// of the call. A branch that lost, or what a caller has made up.
    fn is_beside(&self, call: &Call) -> bool {
        self.told.nas == call.nas && call.excludes(&self.told.identity)
    }

    /// Whether somebody talks, or has talked, in a dialog that is none of this call's: that is a call by
    /// itself, though its caller gave it the same name.
    fn is_of_another_dialog(&self, call: &Call) -> bool {
        let talked = match self.told.kind {
            AccountingKind::Start => true,
            AccountingKind::Interim => !self.told.rings,
            AccountingKind::Stop => {
                let times = self.told.connected_at.zip(self.told.disconnected_at);
                self.told.session_seconds.is_some_and(|seconds| seconds > 0)
                    || times.is_some_and(|(connected, disconnected)| connected < disconnected)
            }
            AccountingKind::Failed => false,
        };
        talked && self.is_beside(call)
    }

    /// When the leg that it tells of began, where the packet itself says so.
    fn own_start(&self) -> Option<Timestamp> {
        let told = self.told;
        let by_seconds = || {
            let seconds = told.session_seconds.filter(|_| told.kind != AccountingKind::Start)?;
            Some(told.event_at?.min(self.now).minus_seconds(seconds))
        };
        let by_event = || told.event_at.filter(|_| told.kind == AccountingKind::Start);
        told.connected_at.or(told.setup_at).or_else(by_seconds).or_else(by_event).filter(|start| *start <= self.now)
    }

    /// Names are used again, after a reboot or by a caller who likes his Call-ID. What began after
    /// a call was over is another call, unless this one may just have been closed too early.
    fn begins_another_call_than(&self, world: &World, book: &Book, call: &Call) -> bool {
        let Some(ending) = call.ending else { return false };
        let conf_id = self.told.identity.conf_id;
        let is_same_conference = conf_id.is_some() && conf_id == call.conf_id;
        if self.told.identity.class == Some(call.id) || is_same_conference {
            return false;
        }
        let leg = call.leg(&self.leg_key());
        if self.is_next_attempt(world, book, call, ending) {
            return false;
        }
        if let Some((leg, end)) = leg.and_then(|leg| Some((leg, leg.ended?))) {
            return !self.repeats(end) && self.began_after(leg, end);
        }
        // Set up when the leg that is known was, by a clock that may be wrong: no other time is asked.
        if leg.is_some_and(|leg| leg.key.setup_at.is_some() && leg.key.setup_at == self.told.setup_at) {
            return false;
        }
        let restarted = world.restarted_at(call).filter(|_| ending.reason == EndReason::NasRestarted);
        if let (Some(restarted), None) = (restarted, self.own_start()) {
            // Its names begin anew, and what it has to say of calls from before is about their end.
            return self.start_by_arrival().is_some_and(|start| start > restarted);
        }
        if ending.reason == EndReason::SetupExpired && self.is_after_unproven_end(call) {
            return false;
        }
        self.own_start().is_some_and(|start| start > ending.at)
    }

    /// Whether it tells of the next attempt of a call of which one has failed: a proxy that hunts tells
    /// of the first that fails, and then of the one that is answered. Another who knows the name of the
    /// call does not go on with it.
    fn is_next_attempt(&self, world: &World, book: &Book, call: &Call, ending: Ending) -> bool {
        let hunts_until = ending.at.plus_seconds(world.policy().setup_seconds_max);
        let start = self.own_start().or_else(|| self.start_by_arrival());
        let in_time = start.is_none_or(|start| start <= hunts_until);
        let may_go_on = self.comes_after_failures(call) && self.is_of_same_parties(book, call);
        may_go_on && in_time && self.is_of_same_invite(call)
    }

    /// Whether a call is over because attempts failed, and none of them was its last: a Stop without an
    /// answer is the end of its own dialog only, whose late Start is no other.
    fn comes_after_failures(&self, call: &Call) -> bool {
        let ours = self.told.identity.dialog;
        let is_other = |leg: &Leg| ours.zip(leg.key.dialog).is_some_and(|(ours, its)| !its.agrees_with(&ours));
        let nobody_answered = call.ending.is_some_and(|ending| ending.reason == EndReason::NotAnswered);
        let mut over = call.legs.iter().filter(|leg| leg.is_over());
        nobody_answered && call.legs.iter().any(|leg| leg.ended.is_some()) && over.all(is_other)
    }

    /// Whether account and number are those of the call, as far as they are told.
    fn is_of_same_parties(&self, book: &Book, call: &Call) -> bool {
        if self.told.account.is_some_and(|account| call.account != Some(account)) {
            return false;
        }
        let Some(called) = self.told.called.as_deref() else { return true };
        let Some(account) = call.account.and_then(|key| book.account(key)) else { return *called == *call.called };
        let callers = Callers { account, chain: book.payer_chain(account.customer), nas: book.nas(call.nas) };
        e164_or_as_sent(Some(called), &callers) == call.called
    }

    /// Whether it may be of the INVITE that the legs of the call are of: its branches have their caller in
    /// common.
    fn is_of_same_invite(&self, call: &Call) -> bool {
        let Some(ours) = self.told.identity.dialog else { return true };
        let failed = call.legs.iter().filter(|leg| leg.ended.is_some_and(|end| end.failed));
        let mut known = failed.filter_map(|leg| leg.key.dialog).peekable();
        known.peek().is_none() || known.any(|dialog| ours.shares_a_side_with(&dialog))
    }

    /// Whether what it tells of began after a leg of the same name had ended: by its NAS's clock, right
    /// or wrong, where both packets have that. Else one that comes so late is no retransmission. Who names
    /// calls and dialogs himself can begin the next one in the second in which the last one ended.
    fn began_after(&self, leg: &Leg, end: LegEnd) -> bool {
        let told = self.told;
        let by_seconds = || Some(told.event_at?.minus_seconds(told.session_seconds?));
        let by_event = || match told.kind {
            AccountingKind::Start => told.event_at,
            _ => by_seconds(),
        };
        let is_other_event = match told.kind {
            AccountingKind::Start => leg.started_at.is_some_and(|started| Some(started) < told.event_at),
            _ => told.event_at > end.told_at,
        };
        match (told.connected_at.or(told.setup_at).or_else(by_event), end.told_at) {
            (Some(start), Some(ended)) if told.identity.dialog.is_some() && start == ended => is_other_event,
            (Some(start), Some(ended)) => start > ended,
            _ => self.start_by_arrival().is_some_and(|start| start > end.at.plus_seconds(RETRANSMITTED_SECONDS_MAX)),
        }
    }

    /// Whether it is the Stop once more that ended a leg: it says the same, and of no time of its own.
    fn repeats(&self, end: LegEnd) -> bool {
        let told = self.told;
        let has_times =
            [told.event_at, told.connected_at, told.disconnected_at, told.setup_at].iter().any(Option::is_some);
        self.ends_leg() && !has_times && told.session_seconds == Some(end.seconds) && told.cause == end.cause
    }

    /// The instant at which it shows that a call was up, between the call's beginning and now. A NAS
    /// whose clock is wrong tells how long after its own Start.
    fn seen_at(&self, call: &Call) -> Timestamp {
        let leg = call.leg(&self.leg_key()).filter(|_| call.flags.contains(Flags::TIME_DOUBTED));
        if let Some((started, connected)) = leg.and_then(|leg| leg.started_at.zip(leg.connected_at))
            && started <= self.at
        {
            let since = i64::try_from(self.at.millis_since(started)).unwrap_or(0);
            return connected.plus_millis(since).min(self.now);
        }
        let began = call.connected_at.unwrap_or(call.opened_at).floor_second();
        // A Start that was on its way for long tells of its answer, not of what came after.
        let answered_at = self.told.connected_at.filter(|_| self.told.kind == AccountingKind::Start);
        let at = answered_at.map_or(self.at, |answered| answered.min(self.at));
        if at < began { self.now } else { at }
    }

    /// Whether what failed is an attempt to change a call that was answered: it is up, and ends by a Stop.
    fn is_failed_change(&self, leg: Option<&Leg>) -> bool {
        self.told.kind == AccountingKind::Failed
            && leg.is_some_and(|leg| leg.connected_at.is_some() && leg.ended.is_none())
    }

    /// A gateway whose legs towards carriers are all that it tells of may hunt on after one that nobody
    /// answered.
    fn leg_end(&self, call: &Call, seconds: u64) -> LegEnd {
        let told_at = self.told.disconnected_at.or(self.told.event_at);
        let hunts = self.told.origin == LegOrigin::Originate && call.is_paying(&self.leg_key());
        let failed = self.told.kind == AccountingKind::Failed || (hunts && seconds == 0);
        LegEnd { at: self.at, told_at, seconds, cause: self.told.cause, failed }
    }

    /// When the leg began if the packet was not on its way for long; `None` where it does not tell.
    fn start_by_arrival(&self) -> Option<Timestamp> {
        match self.told.kind {
            AccountingKind::Start => Some(self.at),
            _ => self.told.session_seconds.map(|seconds| self.at.minus_seconds(seconds)),
        }
    }

    /// Whether it tells of what came after a call was closed without word from its NAS that it ended.
    fn is_after_unproven_end(&self, call: &Call) -> bool {
        let Some(ending) = call.ending else { return false };
        let proven_down = ending.reason == EndReason::NasRestarted;
        ending.is_unproven() && !ending.by_originate_leg && !proven_down && self.seen_at(call) > ending.at
    }

    /// Whether it tells of the answer to a call that was given up because no answer was told of in time,
    /// or because an attempt failed; the word of it may have been on its way for long.
    fn tells_of_the_answer(&self, call: &Call) -> bool {
        let Some(ending) = call.ending else { return false };
        let expired = ending.reason == EndReason::SetupExpired && ending.is_unproven() && !ending.by_originate_leg;
        let failed = call.is_paying(&self.leg_key()) && self.comes_after_failures(call);
        (expired || failed) && !self.told.rings && call.leg(&self.leg_key()).is_none_or(|leg| !leg.is_over())
    }

    /// Whether a call that was closed without word from its NAS turns out to be up: not where the NAS
    /// has started anew since.
    fn may_revive(&self, world: &World, call: &Call) -> bool {
        let restarted = world.restarted_at(call);
        let closed = call.ending.map(|ending| ending.at);
        let shows_up = self.is_after_unproven_end(call) || self.tells_of_the_answer(call);
        shows_up && !self.told.rings && restarted.is_none_or(|at| Some(at) < closed)
    }

    /// When the leg was answered: the NAS's own word, else the event's time; believed only between
    /// what may have come before it and now.
    fn connect_time(&self, call: &Call, call_seconds_max: u64) -> (Timestamp, Flags) {
        let earliest =
            if call.authorized { call.opened_at.floor_second() } else { self.now.minus_seconds(call_seconds_max) };
        let claimed = self.told.connected_at.unwrap_or(match self.told.kind {
            AccountingKind::Interim | AccountingKind::Stop => {
                self.at.minus_seconds(self.believable_session_seconds(call, call_seconds_max).unwrap_or(0))
            }
            AccountingKind::Start | AccountingKind::Failed => self.told.event_at.unwrap_or(self.at),
        });
        if earliest <= claimed && claimed <= self.now {
            (claimed, Flags::none())
        } else {
            (self.now, Flags::TIME_DOUBTED)
        }
    }

    fn believable_session_seconds(&self, call: &Call, call_seconds_max: u64) -> Option<u64> {
        let bound = self.seconds_bound(call, call_seconds_max);
        self.told.session_seconds.filter(|seconds| *seconds <= bound)
    }

    fn seconds_bound(&self, call: &Call, call_seconds_max: u64) -> u64 {
        let began = call.connected_at.unwrap_or(call.opened_at);
        let own_clock = self.now.seconds_since_rounded_up(began);
        call_seconds_max.max(own_clock).saturating_add(SESSION_SLACK_SECONDS)
    }

    /// Stop less Start, where both bring the time of their event and Acct-Session-Time is no more than a
    /// hint. A Start that was on its way for long says so by that time.
    fn seconds_by_events(&self, leg: Option<&Leg>) -> Option<u64> {
        let started = leg.filter(|_| self.time_is_a_hint)?.started_at?;
        let stopped = self.told.event_at.filter(|stopped| *stopped <= self.now)?;
        (stopped >= started).then(|| stopped.seconds_since(started))
    }

    /// How long the leg was answered, by the first word that can be believed.
    fn duration(&self, call: &Call, leg: Option<&Leg>, call_seconds_max: u64) -> (u64, Flags) {
        if self.told.kind == AccountingKind::Failed {
            return (0, Flags::none());
        }
        let bound = self.seconds_bound(call, call_seconds_max);
        let doubted = |given: bool| if given { Flags::DURATION_DOUBTED } else { Flags::none() };
        if let Some(seconds) = self.believable_session_seconds(call, call_seconds_max) {
            return match self.seconds_by_events(leg).filter(|by_events| *by_events <= bound) {
                Some(by_events) if by_events.abs_diff(seconds) > HINT_SLACK_SECONDS => {
                    (by_events, Flags::DURATION_DOUBTED)
                }
                _ => (seconds, Flags::none()),
            };
        }
        let connected = self.told.connected_at.or(leg.and_then(|leg| leg.connected_at));
        if let (Some(connected), Some(disconnected)) = (connected, self.told.disconnected_at) {
            let seconds = disconnected.seconds_since(connected);
            if seconds <= bound && disconnected >= connected {
                return (seconds, doubted(self.told.session_seconds.is_some()));
            }
        }
        let started = leg.and_then(|leg| leg.started_at).filter(|started| *started <= self.at);
        match started.map(|started| self.at.seconds_since(started)).filter(|seconds| *seconds <= bound) {
            Some(seconds) => (seconds, doubted(self.told.session_seconds.is_some())),
            // Nothing that it tells can be believed: it was up as long as it was seen to be.
            None => (call.seconds_seen_up(), Flags::DURATION_DOUBTED),
        }
    }
}

/// A call that nobody asked about: its NAS only accounts, or let it through. A Stop alone takes no
/// slot and no reservation; it is charged as it was. Where it says not whose it is, who calls in it tells: he
/// calls in a namesake too.
fn open_unannounced<'a>(world: &'a World, book: &'a Book, packet: &Told<'_>, namesake: Option<&Call>) -> Draft<'a> {
    let told = packet.told;
    let shares_caller = |call: &&Call| told.identity.dialog.is_some_and(|dialog| call.shares_a_side_with(&dialog));
    let namesake = namesake.filter(|call| call.nas == told.nas).filter(shares_caller);
    let account = told.account.or(namesake.and_then(|call| call.account)).and_then(|key| book.account(key));
    let id = world.next_call_id();
    let nas = book.nas(told.nas);
    let mut call = match account {
        Some(account) => {
            let callers = Callers { account, chain: book.payer_chain(account.customer), nas };
            let mut call = new_call(id, told.nas, &callers, &told.identity, packet.now);
            let number = |told: &Option<Box<str>>, of: fn(&Call) -> &Box<str>| match (told, namesake) {
                (None, Some(namesake)) => of(namesake).clone(),
                _ => e164_or_as_sent(told.as_deref(), &callers),
            };
            call.caller = number(&told.caller, |call| &call.caller);
            call.called = number(&told.called, |call| &call.called);
            call
        }
        None => {
            let abilities = nas.map_or(authorize::UNKNOWN_NAS, |nas| nas.abilities());
            let mut call = blank_call(id, told.nas, abilities, None, &told.identity, packet.now);
            let as_sent = |number: &Option<Box<str>>| {
                number.as_deref().unwrap_or("").chars().take(128).collect::<String>().into()
            };
            call.caller = as_sent(&told.caller);
            call.called = as_sent(&told.called);
            call
        }
    };
    if let Some(user_name) = &told.user_name {
        call.user_name.clone_from(user_name);
    }
    if let Some(account) = account {
        let (connected, _) = packet.connect_time(&call, world.policy().call_seconds_max);
        // A call belongs to the day of its start, whenever it is told of.
        if packet.tells_of_an_answer() {
            call.opened_at = connected;
        }
        let chain = book.payer_chain(account.customer);
        call.payers = chain.into_iter().map(|party| authorize::payer(book, party, &call.called, connected)).collect();
    }
    call.flags = Flags::NOT_AUTHORIZED;
    if !call.is_chargeable() {
        call.flags = call.flags.with(Flags::NOT_CHARGEABLE);
    }
    call.holds_slots = !packet.ends_leg() || told.origin == LegOrigin::Originate;
    if call.holds_slots && authorize::check_calls_limit(world, book, &call).is_err() {
        call.flags = call.flags.with(Flags::ABOVE_LIMIT);
    }
    let mut draft = Draft::new(world, book, packet.now, call);
    draft.events.push(Event::CallOpened(Box::new(draft.call.clone())));
    if !draft.call.is_chargeable() {
        draft.effects.push(Effect::Alarm(Alarm::NotChargeable { call: id, nas: told.nas }));
    }
    draft
}

fn tell_alive(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let first_of_its_kind = is_first_of_its_kind(&draft.call, packet);
    identify(draft, packet);
    reprice(draft, packet);
    if first_of_its_kind {
        record_packet(draft, packet);
    }
    match packet.told.kind {
        AccountingKind::Start => start(draft, packet),
        AccountingKind::Interim => interim(draft, packet),
        AccountingKind::Stop | AccountingKind::Failed => stop(draft, packet),
    }
}

fn start(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let key = packet.leg_key();
    if draft.call.leg(&key).is_some_and(|leg| leg.started_at.is_some() || leg.is_over()) {
        return;
    }
    let (connected, flags) = packet.connect_time(&draft.call, draft.world.policy().call_seconds_max);
    see_leg(draft, packet, Some(connected), None);
    flag(draft, flags);
    confirm(draft, packet, connected);
}

fn interim(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let call = draft.call.id;
    if packet.told.rings {
        // Of a call that was answered another branch may ring still.
        if draft.call.state.may_become(CallState::Early) && draft.call.state == CallState::Trying {
            draft.record(Event::StateChanged { call, state: CallState::Early });
        }
        return;
    }
    if draft.call.leg(&packet.leg_key()).is_some_and(Leg::is_over) {
        return;
    }
    if draft.call.leg(&packet.leg_key()).is_none() {
        let (connected, flags) = packet.connect_time(&draft.call, draft.world.policy().call_seconds_max);
        see_leg(draft, packet, Some(connected), None);
        flag(draft, flags);
        confirm(draft, packet, connected);
    }
    let at = packet.seen_at(&draft.call);
    draft.record(Event::SeenUp { call, at, interim: packet.told.may_be_periodic });
}

/// A call is up. One that was not asked for is reserved for now, and what would have been a
/// rejection is a disconnect at once.
fn confirm(draft: &mut Draft<'_>, packet: &Told<'_>, connected: Timestamp) {
    let call = draft.call.id;
    let is_paying = draft.call.is_paying(&packet.leg_key());
    let is_first_that_pays =
        is_paying && draft.call.legs.iter().filter(|leg| draft.call.is_paying(&leg.key)).count() == 1;
    if draft.call.connected_at.is_none() || is_first_that_pays {
        draft.record(Event::Connected { call, at: connected });
    }
    draft.record(Event::SeenUp { call, at: connected, interim: false });
    if draft.call.state.may_become(CallState::Confirmed) {
        draft.record(Event::StateChanged { call, state: CallState::Confirmed });
    }
    if draft.call.reservation.is_none() && draft.call.state == CallState::Confirmed {
        reserve_while_up(draft);
    }
}

fn reserve_while_up(draft: &mut Draft<'_>) {
    let objection = is_refused(draft) || draft.call.flags.contains(Flags::ABOVE_LIMIT);
    let so_far = draft.call.seconds_so_far(draft.now);
    let ask = reserve::ask(draft.world, &draft.call, so_far);
    if draft.call.is_chargeable()
        && let Ok(plan) = reserve::plan(draft.world, draft.book, &draft.call, so_far, ask)
    {
        let reserved = plan.into_event(&draft.call);
        draft.record(Event::Reserved(reserved));
    }
    if objection || draft.call.reservation.is_none() {
        disconnect(draft, DisconnectReason::NotAuthorized);
    }
}

/// Whether an authorization would have refused the call, whatever its money and limits.
fn is_refused(draft: &Draft<'_>) -> bool {
    let call = &draft.call;
    let Some(account) = call.account.and_then(|key| draft.book.account(key)) else { return true };
    let callers = Callers { account, chain: draft.book.payer_chain(account.customer), nas: draft.book.nas(call.nas) };
    authorize::check_blocked(&callers).is_err()
        || authorize::priced(draft.book, &callers, &call.called, call.opened_at).is_err()
}

pub(super) fn disconnect(draft: &mut Draft<'_>, why: DisconnectReason) {
    let call = draft.call.id;
    draft.record(Event::DisconnectAsked { call, why, by: None });
    draft.effects.push(Effect::Disconnect { call, why });
}

fn stop(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let key = packet.leg_key();
    let leg = draft.call.leg(&key).cloned();
    if leg.as_ref().is_some_and(Leg::is_over) || packet.is_beside(&draft.call) {
        return;
    }
    if packet.is_failed_change(leg.as_ref()) {
        let (call, at) = (draft.call.id, packet.seen_at(&draft.call));
        return draft.record(Event::SeenUp { call, at, interim: false });
    }
    let (seconds, flags) = packet.duration(&draft.call, leg.as_ref(), draft.world.policy().call_seconds_max);
    flag(draft, flags);
    let end = packet.leg_end(&draft.call, seconds);
    see_leg(draft, packet, None, Some(end));
    if !draft.call.is_paying(&key) || draft.call.has_open_paying_leg() {
        return;
    }
    let end = draft.call.charging_end().map_or(end, |(_, end)| end);
    let closing = closing_by(draft, packet, end);
    settle::close(draft, closing);
}

/// The end that a packet tells of. Its time is believed between the call's beginning and now, like any
/// other.
fn closing_by(draft: &mut Draft<'_>, packet: &Told<'_>, end: LegEnd) -> Closing {
    let (call, seconds) = (&draft.call, end.seconds);
    let by_originate_leg = !call.has_paying_leg();
    let began = call.connected_at.or(call.authorized.then(|| call.opened_at.floor_second()));
    let longest = draft.world.policy().call_seconds_max.saturating_add(SESSION_SLACK_SECONDS);
    let earliest = began.unwrap_or(packet.now.minus_seconds(longest.saturating_add(seconds)));
    let ended_at = if end.at < earliest { packet.now } else { end.at };
    if end.at < earliest {
        flag(draft, Flags::TIME_DOUBTED);
    }
    let reason = if seconds == 0 { EndReason::NotAnswered } else { EndReason::Stopped };
    Closing { reason, seconds, estimated: false, by_originate_leg, ended_at, cause: end.cause }
}

/// A packet for a call that is over: a late Stop corrects what was only estimated, once; a sign of
/// life after it revives the call; anything else changes nothing.
fn tell_over(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let Some(ending) = draft.call.ending else { return };
    let key = packet.leg_key();
    let leg = draft.call.leg(&key).cloned();
    if !packet.ends_leg() || packet.is_failed_change(leg.as_ref()) {
        if packet.may_revive(draft.world, &draft.call) {
            revive(draft, packet);
        }
        return;
    }
    if leg.as_ref().is_some_and(Leg::is_over) || packet.is_beside(&draft.call) {
        return;
    }
    let (seconds, flags) = packet.duration(&draft.call, leg.as_ref(), draft.world.policy().call_seconds_max);
    let has_own_times = packet.told.connected_at.is_some() && packet.told.disconnected_at.is_some();
    if flags.contains(Flags::DURATION_DOUBTED) && seconds < ending.seconds && !has_own_times {
        return;
    }
    let is_paying = draft.call.is_paying(&key);
    // That it failed is no news of one that was charged nothing: a Stop that still comes may know better.
    if is_paying && packet.told.kind == AccountingKind::Failed && ending.seconds == 0 {
        return;
    }
    let had_paying_leg = draft.call.has_paying_leg();
    if is_paying {
        reprice(draft, packet);
    }
    identify(draft, packet);
    see_leg(draft, packet, None, Some(packet.leg_end(&draft.call, seconds)));
    let Some(end) = draft.call.charging_end().map(|(_, end)| end) else { return };
    let is_unproven = ending.is_unproven() && !ending.by_originate_leg;
    let is_better = if is_paying {
        // Of several that pay the longest counts.
        is_unproven || ending.by_originate_leg || end.seconds > ending.seconds
    } else {
        // One that was not answered says nothing of the call: the gateway hunted on.
        let tells_first = is_unproven && !had_paying_leg && end.seconds > 0;
        tells_first || (ending.by_originate_leg && end.seconds != ending.seconds)
    };
    if is_better {
        record_packet(draft, packet);
        let closing = closing_by(draft, packet, end);
        return settle::correct(draft, closing);
    }
    // The other side of a call often ends a moment after it.
    let Ending { reason, seconds, estimated, by_originate_leg, .. } = ending;
    let ended_at = draft.call.connected_at.map_or(ending.at, |connected| connected.plus_seconds(seconds));
    let cause = end.cause;
    settle::correct_cost(draft, Closing { reason, seconds, estimated, by_originate_leg, ended_at, cause });
}

fn revive(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let call = draft.call.id;
    let above = authorize::check_calls_limit(draft.world, draft.book, &draft.call).is_err();
    let seen_at = packet.seen_at(&draft.call);
    draft.record(Event::Revived { call });
    if above {
        flag(draft, Flags::ABOVE_LIMIT);
    }
    identify(draft, packet);
    reprice(draft, packet);
    record_packet(draft, packet);
    if draft.call.connected_at.is_none() || draft.call.leg(&packet.leg_key()).is_none() {
        let (connected, flags) = packet.connect_time(&draft.call, draft.world.policy().call_seconds_max);
        see_leg(draft, packet, Some(connected), None);
        flag(draft, flags);
        if draft.call.connected_at.is_none() {
            draft.record(Event::Connected { call, at: connected });
        }
    }
    draft.record(Event::SeenUp { call, at: seen_at, interim: false });
    if draft.call.state.may_become(CallState::Confirmed) {
        draft.record(Event::StateChanged { call, state: CallState::Confirmed });
    }
    let so_far = draft.call.seconds_so_far(draft.now);
    let ask = reserve::ask(draft.world, &draft.call, so_far);
    match reserve::plan(draft.world, draft.book, &draft.call, so_far, ask) {
        Ok(plan) if draft.call.is_chargeable() => {
            let reserved = plan.into_event(&draft.call);
            draft.record(Event::Reserved(reserved));
            // Being above a limit is borne: the call is up already.
            if is_refused(draft) {
                disconnect(draft, DisconnectReason::NotAuthorized);
            }
        }
        _ => disconnect(draft, DisconnectReason::CreditEnds),
    }
}

fn see_leg(draft: &mut Draft<'_>, packet: &Told<'_>, connected: Option<Timestamp>, ended: Option<LegEnd>) {
    let key = packet.leg_key();
    let known = draft.call.leg(&key);
    let started_at = match packet.told.kind {
        AccountingKind::Start => Some(packet.at),
        AccountingKind::Interim => connected,
        AccountingKind::Stop | AccountingKind::Failed => None,
    };
    let leg = Leg {
        key: known.map_or(key.clone(), |leg| leg.key.completed_by(&key)),
        connected_at: connected.or(known.and_then(|leg| leg.connected_at)),
        started_at: known.and_then(|leg| leg.started_at).or(started_at),
        ended,
        connection: packet.told.connection.or(known.and_then(|leg| leg.connection)),
    };
    let call = draft.call.id;
    draft.record(Event::LegSeen { call, leg });
}

/// What the packet adds to what is known of the call: its name, and the trunk of its other side.
fn identify(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let (call, identity) = (&draft.call, &packet.told.identity);
    let own = packet.told.nas == call.nas;
    let key = identity.key.clone().filter(|_| own && call.key.is_none());
    let conf_id = identity.conf_id.filter(|_| call.conf_id.is_none());
    let is_answer = packet.told.origin == LegOrigin::Answer;
    let session_id = identity.session_id.clone();
    let is_new_session = own && call.session_id.is_empty() && !session_id.is_empty();
    // By what ended before an answer nothing is found that is up.
    let better_handle = own && is_answer && !call.has_answered_leg() && !identity.identification.is_empty();
    let connection = packet.told.connection.filter(|connection| call.connection != Some(*connection) && !is_answer);
    if key.is_none() && conf_id.is_none() && !is_new_session && !better_handle && connection.is_none() {
        return;
    }
    let identified = Identified {
        call: call.id,
        key,
        conf_id,
        session_id: if is_new_session { session_id } else { Box::default() },
        identification: if better_handle { identity.identification.clone() } else { Box::default() },
        carrier: connection.and_then(|key| draft.book.connection(key)).map(|connection| connection.carrier),
        connection,
    };
    draft.record(Event::Identified(Box::new(identified)));
}

/// Where accounting tells of another account or number than was authorized, the dearer is charged.
fn reprice(draft: &mut Draft<'_>, packet: &Told<'_>) {
    let call = &draft.call;
    if !call.authorized || packet.told.origin == LegOrigin::Originate {
        return;
    }
    let Some(account) = call.account.and_then(|key| draft.book.account(key)) else { return };
    let callers = Callers { account, chain: draft.book.payer_chain(account.customer), nas: draft.book.nas(call.nas) };
    let told_account = packet.told.account.filter(|key| *key != account.key).and_then(|key| draft.book.account(key));
    let told_number = packet.told.called.as_deref().and_then(|number| normalise(number, callers.number_rules()));
    let other_number = told_number.filter(|number| *number != call.called);
    if told_account.is_none() && other_number.is_none() {
        return;
    }
    let number = other_number.as_deref().unwrap_or(&call.called);
    let rate = |party| {
        let party = draft.book.party(party)?;
        let rate = draft.book.rates(party.tariff)?.rate_for(number, call.opened_at)?;
        Some((rate.price, party.currency))
    };
    let mut told: Vec<Option<PriceRule>> =
        call.payers.iter().map(|payer| rate(payer.party).map(|(price, _)| price)).collect();
    let customer_currency =
        call.payers.first().and_then(|payer| draft.book.party(payer.party)).map(|party| party.currency);
    let by_other = told_account
        .and_then(|account| rate(account.customer))
        .filter(|(_, currency)| Some(*currency) == customer_currency)
        .map(|(price, _)| price);
    if let Some(first) = told.first_mut() {
        *first = dearer(*first, by_other);
    }
    let before = |payer: &Payer| payer.pricing.and_then(|pricing| pricing.told);
    for (rule, payer) in told.iter_mut().zip(&call.payers) {
        *rule = dearer(before(payer), *rule);
    }
    let is_known = told.iter().zip(&call.payers).all(|(rule, payer)| *rule == before(payer));
    if is_known && call.flags.contains(Flags::MISMATCH) {
        return;
    }
    let call = call.id;
    draft.record(Event::Repriced { call, told });
    flag(draft, Flags::MISMATCH);
}

/// Of two rules that were told, the dearer one; the first of two alike.
fn dearer(a: Option<PriceRule>, b: Option<PriceRule>) -> Option<PriceRule> {
    let price = |rule: &PriceRule| rule.price_rounded_up(COMPARED_SECONDS);
    match (a, b) {
        (Some(a), Some(b)) if price(&b) > price(&a) => Some(b),
        (a, b) => a.or(b),
    }
}

fn flag(draft: &mut Draft<'_>, flags: Flags) {
    if !draft.call.flags.contains(flags) {
        let call = draft.call.id;
        draft.record(Event::Flagged { call, flags });
    }
}

fn is_first_of_its_kind(call: &Call, packet: &Told<'_>) -> bool {
    match packet.told.kind {
        AccountingKind::Start => call.legs.is_empty(),
        AccountingKind::Interim => call.interim_at.is_none(),
        AccountingKind::Stop | AccountingKind::Failed => call.legs.iter().all(|leg| leg.ended.is_none()),
    }
}

fn record_packet(draft: &mut Draft<'_>, packet: &Told<'_>) {
    if let Some(raw) = &packet.told.packet {
        let call = draft.call.id;
        draft.record(Event::PacketSeen { call, packet: raw.0.as_ref().into() });
    }
}
