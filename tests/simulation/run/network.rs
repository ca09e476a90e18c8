//! What is between us and the gateways: a network that loses, doubles, delays and parts, another
//! server that gateways fail over to, and the tables in which calls of the past are found.

use std::convert::Infallible;

use fastrand::Rng;
use ringfence::domain::call::{Call, DisconnectAnswer};
use ringfence::domain::command::{AccountingKind, CallIdentity, Command, NasAnswered, NasAsked, Proof};
use ringfence::domain::decision::{Accept, Effect, Reply};
use ringfence::domain::error_cause::SESSION_CONTEXT_NOT_FOUND;
use ringfence::domain::id::{CallId, NasKey};
use ringfence::domain::recall::recall;

use super::{Happening, Packet, Simulation};
use crate::scene::{DelayTimes, Failover};

/// How long a request of ours is sent again before it is given up.
const GIVEN_UP_MILLIS: u64 = 20_000;

impl Simulation {
    // ------------------------------------------------------------------ what we ask gateways

    /// A request to a gateway is on its way, perhaps more than once, or is lost and given up in the end.
    pub(super) fn ask_gateway(&mut self, effect: &Effect) {
        let (call, asked) = match *effect {
            Effect::Disconnect { call, .. } => (call, NasAsked::Disconnect),
            Effect::Prolong { call, seconds } => (call, NasAsked::Prolong { seconds }),
            Effect::Alarm(_) => return,
        };
        let gateway = self.gateway_of(call);
        let delays = gateway.map(|gateway| self.fates(gateway)).unwrap_or_default();
        if delays.is_empty() {
            self.answer_in(GIVEN_UP_MILLIS, call, asked, DisconnectAnswer::Unanswered);
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

    fn answer_in(&mut self, millis: u64, call: CallId, asked: NasAsked, answer: DisconnectAnswer) {
        let answered = NasAnswered { call, asked, answer };
        self.schedule_in(millis, Happening::NasAnswers { answered, asked_by: self.life });
    }

    /// The gateway's answer is on its way back, or it is deaf.
    pub(super) fn gateway_answers(&mut self, call: CallId, asked: NasAsked, is_first: bool, obeys: bool) {
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
        let delay = if answer == DisconnectAnswer::Unanswered { GIVEN_UP_MILLIS } else { self.rng.u64(1..500) };
        self.answer_in(delay, call, asked, answer);
    }

    /// A gateway without an address cannot be asked.
    pub(super) fn not_sent(&mut self, call: CallId, asked: NasAsked) {
        self.answer_in(1, call, asked, DisconnectAnswer::NotSent);
    }

    /// An answer finds nobody where the process that asked has died.
    pub(super) fn nas_answers(&mut self, answered: NasAnswered, asked_by: u64) {
        if asked_by == self.life {
            self.decide(Command::NasAnswered(answered), None, None);
            self.commit_perhaps();
        }
    }

    // ------------------------------------------------------------------ what gateways send

    /// When the copies of a datagram arrive, in milliseconds; none where it is lost.
    pub(super) fn fates(&mut self, gateway: usize) -> Vec<u64> {
        if self.is_healed {
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

    pub(super) fn send(&mut self, call: Option<usize>, gateway: usize, command: Command, tries_left: u32) {
        let packet = self.packets.next();
        let (sent_first_at, sent_last_at, is_acknowledged) = (self.now, self.now, false);
        let sent = Packet { call, gateway, command, tries_left, is_acknowledged, sent_first_at, sent_last_at };
        self.packets.push(sent);
        if self.now < self.elsewhere_until[gateway] && self.ask_other_server(packet) {
            return;
        }
        self.transmit(packet);
    }

    /// Sent, perhaps once more: then with another identifier, and with the delay counted up where the
    /// gateway tells it.
    fn transmit(&mut self, packet: usize) {
        let now = self.now;
        let Some(sent) = self.packets.get_mut(packet) else { return };
        let gateway = sent.gateway;
        sent.sent_last_at = now;
        let counts_delay = self.gateways[gateway].delay_times == DelayTimes::True;
        let delay = now.seconds_since(sent.sent_first_at);
        match &mut sent.command {
            Command::Account(told) if counts_delay => told.delay_seconds = u32::try_from(delay).ok(),
            Command::RestartNas(told) if counts_delay => told.delay_seconds = u32::try_from(delay).ok(),
            _ => {}
        }
        for delay in self.fates(gateway) {
            self.schedule_in(delay, Happening::Arrival { packet });
        }
        let again = self.rng.u64(2_500..5_000);
        self.schedule_in(again, Happening::Retry { packet });
    }

    pub(super) fn retry(&mut self, packet: usize) {
        let Some(sent) = self.packets.get_mut(packet) else { return };
        if sent.is_acknowledged {
            return;
        }
        if sent.tries_left == 0 {
            return self.give_up(packet);
        }
        sent.tries_left -= 1;
        self.transmit(packet);
    }

    /// All tries have failed: another server is asked, or it is kept for later, or it is lost.
    fn give_up(&mut self, packet: usize) {
        let gateway = self.packets[packet].gateway;
        let failover = self.gateways[gateway].failover;
        let goes_elsewhere = failover != Failover::No && !self.is_healed;
        if goes_elsewhere && self.ask_other_server(packet) {
            if failover == Failover::ForAWhile {
                let seconds = self.rng.u64(30..5_400);
                self.elsewhere_until[gateway] = self.now.plus_seconds(seconds);
            }
            return;
        }
        let is_question = matches!(self.packets[packet].command, Command::Authorize(_));
        if self.gateways[gateway].keeps_backlog && !is_question {
            self.outcome.kept_for_later += 1;
            self.backlog[gateway].push(packet);
            if self.backlog[gateway].len() == 1 {
                let millis = self.rng.u64(60_000..900_000);
                self.schedule_in(millis, Happening::SendsBacklog { gateway });
            }
        }
    }

    /// All that was kept, in the order in which it was kept or in none.
    pub(super) fn send_backlog(&mut self, gateway: usize) {
        if self.now < self.unreachable_until[gateway] {
            return;
        }
        let mut kept = std::mem::take(&mut self.backlog[gateway]);
        if self.rng.u8(..3) == 0 {
            self.rng.shuffle(&mut kept);
        }
        for packet in kept {
            if let Some(sent) = self.packets.get_mut(packet) {
                sent.tries_left = 3;
                self.transmit(packet);
            }
        }
    }

    /// Another server answers, and we never hear of it; `false` where it is silent.
    fn ask_other_server(&mut self, packet: usize) -> bool {
        let gateway = self.packets[packet].gateway;
        if self.is_healed || self.now < self.other_server_silent_until {
            // Back to us.
            self.elsewhere_until[gateway] = self.now;
            return false;
        }
        self.outcome.went_elsewhere += 1;
        let longest = u32::try_from(self.world.policy().call_seconds_max).unwrap_or(u32::MAX);
        let seconds = self.rng.u32(30..2_000).min(longest);
        let sent = &mut self.packets[packet];
        match &sent.command {
            Command::Authorize(request) if request.proof == Proof::Right => {
                let accept = Accept {
                    call: None,
                    session_timeout: Some(seconds),
                    credit: None,
                    interim_seconds: Some(60),
                    ask_again: false,
                };
                self.schedule_in(30, Happening::ReplyArrives { packet, reply: Reply::Accept(accept) });
            }
            _ => sent.is_acknowledged = true,
        }
        true
    }

    pub(super) fn arrive(&mut self, packet: usize) {
        let Some(sent) = self.packets.get(packet) else { return };
        let (mut command, call) = (sent.command.clone(), sent.call);
        self.project();
        if let Command::Account(told) = &mut command
            && !self.world.remembers(told.nas, &told.identity)
        {
            told.recalled = self.recall(told.nas, &told.identity).map(Box::new);
            self.outcome.recalled += u64::from(told.recalled.is_some());
        }
        let call = call.filter(|call| self.is_of_one_call(*call, &command));
        self.decide(command, call, Some(packet));
        self.commit_perhaps();
    }

    /// Whether a packet can be of one call only. Of several under one name a question may mean any, and so
    /// may what ends a dialog that nobody talked in.
    fn is_of_one_call(&self, call: usize, command: &Command) -> bool {
        let talked = match command {
            Command::Account(told) => match told.kind {
                AccountingKind::Start => true,
                AccountingKind::Interim => !told.rings,
                AccountingKind::Stop => told.session_seconds.is_some_and(|seconds| seconds > 0),
                AccountingKind::Failed => false,
            },
            _ => false,
        };
        talked || !self.gateways[self.calls[call].gateway].has_sly_callers
    }

    /// What the tables know of a packet's call.
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Option<Call> {
        let found = recall::<Infallible>(nas, identity, |name| {
            let of_name = self.tables.values().rev().filter(|call| name.is_of(call));
            Ok(of_name.cloned().collect())
        });
        found.unwrap_or_else(|never| match never {}).map(|call| *call)
    }

    pub(super) fn part(&mut self, gateway: usize) {
        let seconds = if self.rng.u8(..4) == 0 { self.rng.u64(400..14_000) } else { self.rng.u64(5..400) };
        let until = self.now.plus_seconds(seconds);
        self.unreachable_until[gateway] = until;
        self.schedule(until, Happening::Heals { gateway });
    }
}
