//! What happens at the gateways: calls as they really are, and what their gateways tell of them.

use ringfence::domain::call::{CallKey, Dialog, LegOrigin};
use ringfence::domain::command::{
    Accounting, AccountingKind, Authorize, CallIdentity, Command, NasAsked, Proof, Restart,
};
use ringfence::domain::decision::Reply;
use ringfence::domain::id::{CallId, ConfId};
use ringfence::domain::time::Timestamp;

use super::{Happening, Played, Simulation};
use crate::auditor::RealCall;
use crate::scene::{DelayTimes, Failover, NUMBERS, SessionTimes};

/// What a packet tells beside its kind and side.
#[derive(Clone, Copy, Debug, Default)]
struct Telling {
    /// Which of the carriers tried before it is about.
    attempt: u32,
    rings: bool,
    /// A change of the call made it, not the clock.
    by_change: bool,
    /// It has no session time.
    is_timeless: bool,
    /// The tags of a dialog that is not the call's.
    tags: Option<(u64, u64)>,
}

impl Simulation {
    pub(super) fn happen(&mut self, happening: Happening) {
        self.put_away();
        match happening {
            Happening::NewDay => self.new_day(),
            Happening::NewCall => self.new_call(),
            Happening::Arrival { packet } => self.arrive(packet),
            Happening::Retry { packet } => self.retry(packet),
            Happening::ReplyArrives { packet, reply } => self.reply_arrives(packet, reply),
            Happening::Rings { call } => self.rings(call),
            Happening::Forges { call } => self.forges(call),
            Happening::Answered { call } => self.answered(call),
            Happening::Fails { call } => self.fails(call),
            Happening::Interim { call } => self.interim(call),
            Happening::Changes { call } => self.changes(call),
            Happening::HangsUp { call } => self.hangs_up_now(call),
            Happening::AsksAgain { call } => self.asks_again(call),
            Happening::DisconnectArrives { call, is_first } => self.disconnect_arrives(call, is_first),
            Happening::ProlongArrives { call, seconds, is_first } => self.prolong_arrives(call, seconds, is_first),
            Happening::NasAnswers { answered, asked_by } => self.nas_answers(answered, asked_by),
            Happening::Reboot { gateway } => self.reboot(gateway),
            Happening::SaysItStarted { gateway, event_at } => self.says_it_started(gateway, event_at),
            Happening::Partition { gateway } => self.part(gateway),
            Happening::Heals { gateway } | Happening::SendsBacklog { gateway } => self.send_backlog(gateway),
            Happening::OtherServerFails => {
                let seconds = self.rng.u64(60..7_200);
                self.other_server_silent_until = self.now.plus_seconds(seconds);
            }
            Happening::Operator => self.operator(),
            Happening::TopUp => self.top_up(),
            Happening::Unblocks => self.unblock_all(),
            Happening::PaysAfterWarning { party } => self.pay_after_warning(party),
            Happening::Crash => self.crash_at_commit = true,
            Happening::StoreFails => self.failing_appends = self.rng.u32(1..20),
            Happening::FaultsStop => self.faults_stop(),
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
        let call = self.calls.next();
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
            tags: (u64::MAX - call as u64, call as u64),
        });
        let by_wrong_clock = habits.clock_offset_millis != 0;
        self.auditor.real_calls.push(RealCall { by_wrong_clock, ..RealCall::default() });
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
        let tries = if habits.failover == Failover::No { 2 } else { 1 };
        self.send(Some(call), gateway, Command::Authorize(Box::new(request)), tries);
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
            dialog: None,
            session_id: session.into_bytes().into(),
            identification: Box::default(),
        }
    }

    fn ring(&mut self, call: usize) {
        self.live.insert(call);
        let setup = self.rng.u64(500..20_000);
        let habits = &self.gateways[self.calls[call].gateway];
        let is_sly = habits.has_sly_callers;
        if habits.tells_progress && !habits.stop_only {
            self.schedule_in(setup / 2, Happening::Rings { call });
        }
        let happening = if self.rng.u8(..5) == 0 { Happening::Fails { call } } else { Happening::Answered { call } };
        self.schedule_in(setup, happening);
        if is_sly && self.rng.bool() {
            let millis = self.rng.u64(1..60_000);
            self.schedule_in(millis, Happening::Forges { call });
        }
        if is_sly && self.rng.u8(..3) == 0 {
            self.call_twice(call);
        }
    }

    /// Another INVITE of the name and caller of a call that was let in: what it was granted is this one's too.
    fn call_twice(&mut self, call: usize) {
        self.outcome.called_twice += 1;
        let second = self.calls.next();
        let first = &self.calls[call];
        let tags = (first.tags.0, second as u64);
        let second_call = Played { began_at: self.now, tags, ..first.clone() };
        self.calls.push(second_call);
        self.auditor.real_calls.push(RealCall::default());
        self.ring(second);
    }

    /// A request of a dialog that nobody is in, which the gateway takes for a part of a call and tells of.
    fn forges(&mut self, call: usize) {
        if self.calls[call].ended_at.is_some() {
            return;
        }
        self.outcome.forged += 1;
        let played = &self.calls[call];
        let invented = (1 << 32) + self.rng.u64(..1 << 20);
        let kind = if played.answered_at.is_some() && self.rng.bool() {
            AccountingKind::Interim
        } else {
            AccountingKind::Stop
        };
        let caller = if self.rng.u8(..4) == 0 { invented + (1 << 21) } else { played.tags.0 };
        let tags = Some((caller, invented));
        self.tell(call, kind, LegOrigin::Answer, Telling { tags, by_change: true, ..Telling::default() });
    }

    fn rings(&mut self, call: usize) {
        if self.live.contains(&call) {
            self.tell(call, AccountingKind::Interim, LegOrigin::Answer, Telling { rings: true, ..Telling::default() });
        }
    }

    fn account(&mut self, call: usize, kind: AccountingKind, origin: LegOrigin) {
        self.tell(call, kind, origin, Telling::default());
    }

    fn tell(&mut self, call: usize, kind: AccountingKind, origin: LegOrigin, telling: Telling) {
        let at = self.now;
        let played = &self.calls[call];
        let gateway = played.gateway;
        let habits = &self.gateways[gateway];
        let its_clock = |at: Timestamp| at.plus_millis(habits.clock_offset_millis);
        let ends = matches!(kind, AccountingKind::Stop | AccountingKind::Failed);
        let hunting_failed = telling.attempt > 0;
        let is_forged = telling.tags.is_some();
        let answered = played.answered_at.filter(|_| !hunting_failed && !is_forged);
        let mut identity = self.identity(call, origin);
        let (from, to) = telling.tags.unwrap_or(played.tags);
        // Who hangs up stands first.
        let (from, to) = if ends && call.is_multiple_of(3) { (to, from) } else { (from, to) };
        identity.dialog = habits.tells_tags.then_some(Dialog { from, to: Some(to) });
        // The carrier's side counts longer.
        let longer = u64::from(origin == LegOrigin::Originate);
        let up = answered.map(|from| at.seconds_since(from)).map(|up| if up > 0 { up + longer } else { up });
        let session_seconds = match habits.session_times {
            SessionTimes::Absent => None,
            _ if telling.is_timeless => None,
            SessionTimes::Nonsense => Some(u64::from(u32::MAX)),
            SessionTimes::True if kind == AccountingKind::Start => None,
            SessionTimes::True => Some(up.unwrap_or(0)),
        };
        let other_number = habits.tells_other_numbers && call.is_multiple_of(3);
        let told = Accounting {
            nas: habits.nas,
            kind,
            identity,
            origin,
            remote_address: (origin == LegOrigin::Originate)
                .then(|| format!("198.51.100.{}", telling.attempt + 1).parse().expect("an address")),
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
            rings: telling.rings,
            may_be_periodic: kind == AccountingKind::Interim && !telling.by_change,
            recalled: None,
            packet: None,
        };
        let tries = match habits.failover {
            Failover::No if ends => 8,
            Failover::No => 3,
            _ => 1,
        };
        self.send(Some(call).filter(|_| !is_forged), gateway, Command::Account(Box::new(told)), tries);
    }

    fn reply_arrives(&mut self, packet: usize, reply: Reply) {
        let Some(sent) = self.packets.get_mut(packet) else { return };
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
        let habits = &self.gateways[played.gateway];
        let hunts = habits.reports_cancels && self.rng.u8(..4) == 0;
        if hunts {
            // The first attempt failed, which proxies tell before the next one is answered.
            self.outcome.failed_before_answer += 1;
            let tags = habits.tells_tags.then(|| (self.calls[call].tags.0, (2 << 32) + call as u64));
            self.tell(call, AccountingKind::Failed, LegOrigin::Answer, Telling { tags, ..Telling::default() });
        }
        let played = &mut self.calls[call];
        played.answered_at = Some(now);
        played.hang_up_at = Some(now.plus_millis(talk));
        played.cut_at = played.timeout.map(|timeout| now.plus_seconds(timeout));
        let habits = self.gateways[played.gateway].clone();
        self.plan_end(call);
        if habits.hunts {
            for attempt in 1..self.rng.u32(1..4) {
                let telling = Telling { attempt, ..Telling::default() };
                self.tell(call, AccountingKind::Stop, LegOrigin::Originate, telling);
            }
        }
        if !habits.stop_only {
            let mut legs = vec![LegOrigin::Answer];
            if habits.two_legs {
                legs.push(LegOrigin::Originate);
                self.rng.shuffle(&mut legs);
            }
            for origin in legs {
                self.account(call, AccountingKind::Start, origin);
            }
            if habits.interims {
                self.schedule_in(60_000, Happening::Interim { call });
            }
            if habits.reinvites && self.rng.bool() {
                let millis = self.rng.u64(1_000..300_000);
                self.schedule_in(millis, Happening::Changes { call });
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
        self.live.remove(&call);
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
            self.account(call, AccountingKind::Stop, origin);
        }
    }

    fn fails(&mut self, call: usize) {
        if self.calls[call].ended_at.is_some() {
            return;
        }
        self.calls[call].ended_at = Some(self.now);
        self.live.remove(&call);
        if self.gateways[self.calls[call].gateway].reports_cancels && self.rng.bool() {
            // The caller has given up: a Stop of a call that never began, and that it failed.
            self.outcome.cancelled += 1;
            let telling = Telling { is_timeless: true, ..Telling::default() };
            self.tell(call, AccountingKind::Stop, LegOrigin::Answer, telling);
            return self.account(call, AccountingKind::Failed, LegOrigin::Answer);
        }
        // Many gateways say nothing of a call that failed.
        let kind = [AccountingKind::Stop, AccountingKind::Failed][self.rng.usize(..2)];
        if self.rng.u8(..3) != 0 {
            self.account(call, kind, LegOrigin::Answer);
        }
    }

    fn interim(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.account(call, AccountingKind::Interim, LegOrigin::Answer);
            self.schedule_in(60_000, Happening::Interim { call });
        }
    }

    /// A party changes the call (re-INVITE): it is told of as an interim, or as a Failed where the other
    /// party does not take it, and the call goes on as it was.
    fn changes(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.outcome.changed_while_up += 1;
            let is_refused = self.rng.u8(..4) == 0;
            let kind = if is_refused { AccountingKind::Failed } else { AccountingKind::Interim };
            self.tell(call, kind, LegOrigin::Answer, Telling { by_change: true, ..Telling::default() });
            let millis = self.rng.u64(10_000..300_000);
            self.schedule_in(millis, Happening::Changes { call });
        }
    }

    fn asks_again(&mut self, call: usize) {
        if self.calls[call].ended_at.is_none() {
            self.calls[call].attempts += 1;
            self.ask(call);
        }
    }

    /// The call that is up at its gateway, as the gateway finds it: by Class, else by its own name.
    pub(super) fn real_call_of(&self, id: CallId) -> Option<usize> {
        let known = self.world.call(id)?;
        let at_gateway = |call: &usize| self.gateways[self.calls[*call].gateway].nas == known.nas;
        let by_class = |call: &usize| self.calls[*call].class == Some(id);
        let by_name = |call: &usize| self.identity(*call, LegOrigin::Answer).key == known.key;
        let newest = || self.live.iter().copied().rev().filter(at_gateway);
        let dialogs: Vec<Dialog> = known.legs.iter().filter_map(|leg| leg.key.dialog).collect();
        let by_dialog = |call: &usize| {
            let (from, to) = self.calls[*call].tags;
            dialogs.iter().any(|dialog| dialog.is_same_as(&Dialog { from, to: Some(to) }))
        };
        if !dialogs.is_empty() {
            return newest().find(by_dialog);
        }
        newest().find(by_class).or_else(|| newest().find(by_name))
    }

    pub(super) fn gateway_of(&self, id: CallId) -> Option<usize> {
        let nas = self.world.call(id)?.nas;
        self.gateways.iter().position(|habits| habits.nas == nas)
    }

    fn disconnect_arrives(&mut self, id: CallId, is_first: bool) {
        let Some(gateway) = self.gateway_of(id) else { return };
        let takes = self.book.nas(self.gateways[gateway].nas).is_some_and(|nas| nas.disconnect.is_some());
        if !takes {
            return self.not_sent(id, NasAsked::Disconnect);
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
        let live: Vec<usize> = self.live.iter().copied().filter(|call| self.calls[*call].gateway == gateway).collect();
        for call in live {
            self.live.remove(&call);
            let played = &mut self.calls[call];
            played.ended_at = Some(now);
            self.auditor.real_calls[call].seconds = played.answered_at.map_or(0, |from| now.seconds_since(from));
        }
        // Those that were being asked about are over too.
        for played in self.calls.iter_mut().filter(|played| played.gateway == gateway) {
            played.ended_at = played.ended_at.or(Some(now));
        }
        let keeps_backlog = self.gateways[gateway].keeps_backlog;
        for packet in self.packets.iter_mut().filter(|packet| packet.gateway == gateway && !keeps_backlog) {
            packet.tries_left = 0;
        }
        let habits = &self.gateways[gateway];
        if habits.reuses_names {
            self.names[gateway] = 0;
        }
        let its_clock = now.plus_millis(habits.clock_offset_millis).floor_second();
        let event_at = habits.event_timestamps.then_some(its_clock);
        // It says so when it goes down, or when it is up again and has calls already, or both.
        if event_at.is_none() || self.rng.bool() {
            self.says_it_started(gateway, event_at);
        }
        if event_at.is_some() {
            let millis = self.rng.u64(1_000..240_000);
            self.schedule_in(millis, Happening::SaysItStarted { gateway, event_at });
        }
    }

    fn says_it_started(&mut self, gateway: usize, event_at: Option<Timestamp>) {
        let nas = self.gateways[gateway].nas;
        let word = u64::try_from(self.packets.next()).ok();
        let command = Command::RestartNas(Restart { nas, event_at, word, ..Restart::default() });
        self.send(None, gateway, command, 5);
    }
}
