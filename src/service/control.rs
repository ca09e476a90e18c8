//! Has NASes end calls and let them go on (RFC 5176): from the engine's effects to a request, and from
//! the NAS's answer back to a command.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::call::{Call, CallState, DisconnectAnswer};
use crate::domain::command::{Command, NasAnswered, NasAsked};
use crate::domain::decision::Effect;
use crate::domain::id::CallId;
use crate::domain::nas::SessionTimeoutFrom;
use crate::metrics::{DisconnectOutcome, Metrics};
use crate::service::engine_queue::EngineHandle;
use crate::service::log_pace::LogPace;
use crate::service::nas_link::{NasAnswer, NasAsk, NasLink, NasRequest, Wanted};
use crate::service::registry::RegistryReader;
use crate::wire::authenticator::Secret;

/// Longest Session-Timeout: clients read it as a signed number.
const SESSION_TIMEOUT_MAX: u64 = 0x7fff_ffff;
/// How long a request may be on its way to a NAS that counts a Session-Timeout from then, seconds.
const WAY_SECONDS: u64 = 1;
/// How often such a NAS is told at most, and how long it is waited for the first time and the last.
const TELLS_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(8);

/// Carries out what is asked of NASes.
#[derive(Clone)]
pub struct Control {
    engine: EngineHandle,
    registry: RegistryReader,
    link: Arc<dyn NasLink>,
    metrics: Arc<Metrics>,
    clock: Clock,
    lost: Arc<LogPace>,
    not_sent: Arc<LogPace>,
}

impl Control {
    /// Asks through `link`, and tells `engine` what was answered.
    pub fn new(
        engine: EngineHandle,
        registry: RegistryReader,
        link: Arc<dyn NasLink>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Control {
        let (lost, not_sent) = (Arc::default(), Arc::default());
        Control { engine, registry, link, metrics, clock, lost, not_sent }
    }

    /// Carries out the part of an effect that is a NAS's; the call has been published. What the rest of
    /// its batch has overtaken is not asked.
    pub fn carry_out(&self, effect: &Effect) {
        let (call, asked) = match effect {
            Effect::Disconnect { call, .. } => (*call, NasAsked::Disconnect),
            Effect::Prolong { call, seconds } => (*call, NasAsked::Prolong { seconds: *seconds }),
            Effect::Alarm(_) => return,
        };
        if let Some(call) = self.registry.call(call).filter(|call| is_wanted(call, asked)) {
            self.ask(&call, asked, 0);
        }
    }

    fn ask(&self, call: &Call, asked: NasAsked, asked_before: u32) {
        let (control, id) = (self.clone(), call.id);
        match self.request(call, asked, asked_before) {
            Ok(request) => {
                let on_answer = move |answer| control.answered(id, asked, asked_before, answer);
                self.link.send(request, Box::new(on_answer));
            }
            Err(_) if asked_before > 0 => self.tell(id, asked, NasAnswer::Silent),
            Err(why) => self.tell(id, asked, NasAnswer::NotSent(why.to_owned())),
        }
    }

    fn request(&self, call: &Call, asked: NasAsked, asked_before: u32) -> Result<NasRequest, &'static str> {
        let book = self.registry.book();
        let nas = book.nas(call.nas).ok_or("the gateway was removed")?;
        let disconnect = nas.disconnect.as_ref().ok_or("the gateway has no disconnect address")?;
        if call.identification.is_empty() {
            return Err("the gateway sent nothing that tells this call from others");
        }
        let secret = disconnect.secret.as_ref().unwrap_or(&nas.secret);
        let (registry, id) = (self.registry.clone(), call.id);
        Ok(NasRequest {
            ask: match asked {
                NasAsked::Disconnect => NasAsk::Disconnect,
                NasAsked::Prolong { seconds } => NasAsk::Prolong { session_timeout: self.timeout(call, seconds)? },
            },
            address: disconnect.address,
            secret: Secret::from(secret.expose()),
            identification: call.identification.clone(),
            at: self.clock.wall_now(),
            accepts_zero_authenticator: disconnect.accepts_zero_authenticator,
            only_once: tells_the_moment(call, asked).then(|| {
                let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(asked_before).unwrap_or(u32::MAX));
                doubled.min(LAST_WAIT)
            }),
            wanted: Wanted(Arc::new(move || registry.call(id).is_some_and(|call| is_wanted(&call, asked)))),
        })
    }

    /// What Session-Timeout says that a call may last so long from its answer. One that counts from when
    /// it comes must have come within [`WAY_SECONDS`]: said again later, it would be longer than what is
    /// held.
    fn timeout(&self, call: &Call, seconds: u64) -> Result<u32, &'static str> {
        let told = match call.abilities.session_timeout_from {
            SessionTimeoutFrom::Now => {
                let used = call.seconds_so_far(self.clock.now()).saturating_add(WAY_SECONDS);
                seconds.saturating_sub(used)
            }
            SessionTimeoutFrom::Start => seconds,
        };
        let told = u32::try_from(told.min(SESSION_TIMEOUT_MAX)).ok().filter(|told| *told > 0);
        told.ok_or("what is held for the call is over before the gateway could be told")
    }

    fn answered(&self, id: CallId, asked: NasAsked, asked_before: u32, answer: NasAnswer) {
        // Whoever forged an answer must not have changed what is done.
        let answer = if matches!(answer, NasAnswer::NotBelieved(_)) { NasAnswer::Silent } else { answer };
        let asked_now = asked_before.saturating_add(1);
        if answer == NasAnswer::Silent && asked_now < TELLS_MAX {
            match self.registry.call(id).filter(|call| is_wanted(call, asked)) {
                Some(call) if tells_the_moment(&call, asked) => return self.ask(&call, asked, asked_now),
                Some(_) => {}
                None => return self.tell(id, asked, NasAnswer::NotWanted),
            }
        }
        self.tell(id, asked, answer);
    }

    fn tell(&self, call: CallId, asked: NasAsked, answer: NasAnswer) {
        let (outcome, answer) = match answer {
            NasAnswer::Ack => (DisconnectOutcome::Acknowledged, Some(DisconnectAnswer::Acknowledged)),
            NasAnswer::Removed => (DisconnectOutcome::Gone, Some(DisconnectAnswer::Removed)),
            NasAnswer::Nak { error_cause } => {
                let answer = DisconnectAnswer::Refused(error_cause);
                let outcome = if answer.is_gone() { DisconnectOutcome::Gone } else { DisconnectOutcome::Refused };
                (outcome, Some(answer))
            }
            NasAnswer::Silent | NasAnswer::NotBelieved(_) => {
                (DisconnectOutcome::Unanswered, Some(DisconnectAnswer::Unanswered))
            }
            NasAnswer::NotSent(why) => {
                if let Some(times) = self.not_sent.count(self.clock.now()) {
                    tracing::warn!(%call, times, "a gateway cannot be asked about a call: {why}");
                }
                (DisconnectOutcome::NotSent, Some(DisconnectAnswer::NotSent))
            }
            NasAnswer::NotWanted => (DisconnectOutcome::NotWanted, None),
        };
        match asked {
            NasAsked::Disconnect => self.metrics.disconnects.increment(outcome),
            NasAsked::Prolong { .. } => self.metrics.prolongations.increment(outcome),
        }
        let Some(answer) = answer else { return };
        let command = Command::NasAnswered(NasAnswered { call, asked, answer });
        // It is asked again when the engine has waited long enough.
        if self.engine.tell(command).is_err()
            && let Some(times) = self.lost.count(self.clock.now())
        {
            tracing::warn!(%call, times, "a gateway's answer is lost: too many commands wait");
        }
    }
}

/// Whether a call is still to be asked about: a NAS may use the name of one that is over for another,
/// and a shorter time that comes after a longer one would cut the call.
fn is_wanted(call: &Call, asked: NasAsked) -> bool {
    match asked {
        NasAsked::Disconnect => call.state == CallState::Disconnecting,
        NasAsked::Prolong { seconds } => {
            call.state == CallState::Confirmed && call.reservation.is_some_and(|held| held.seconds == seconds)
        }
    }
}

/// Whether what is asked is another thing a moment later.
fn tells_the_moment(call: &Call, asked: NasAsked) -> bool {
    asked != NasAsked::Disconnect && call.abilities.session_timeout_from == SessionTimeoutFrom::Now
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::book::{Book, BookChange};
    use crate::domain::call::{DisconnectReason, Reservation};
    use crate::domain::command::{Accounting, AccountingKind, CallIdentity};
    use crate::domain::decision::Event;
    use crate::domain::engine::decide;
    use crate::domain::id::NasKey;
    use crate::domain::nas::{DialectName, DigestNonces, DisconnectAddress, Guard, Nas};
    use crate::domain::policy::Policy;
    use crate::domain::secret::{Secret as Written, SecretSource};
    use crate::domain::time::Timestamp;
    use crate::domain::world::World;
    use crate::service::engine_queue::{EngineQueue, engine_queue};
    use crate::service::registry::{RegistryWriter, Touched, registry};

    const NAS: NasKey = NasKey(1);
    const CALL: CallId = CallId(1);

    type Sent = (NasRequest, Box<dyn FnOnce(NasAnswer) + Send>);

    #[derive(Default)]
    struct FakeLink(Mutex<Vec<Sent>>);

    impl NasLink for FakeLink {
        fn send(&self, request: NasRequest, on_answer: Box<dyn FnOnce(NasAnswer) + Send>) {
            self.0.lock().unwrap().push((request, on_answer));
        }
    }

    struct Bench {
        control: Control,
        link: Arc<FakeLink>,
        queue: EngineQueue,
        metrics: Arc<Metrics>,
        millis: Arc<AtomicI64>,
        world: World,
        writer: RegistryWriter,
    }

    fn nas(from: SessionTimeoutFrom) -> Nas {
        Nas {
            key: NAS,
            id: "gw1".into(),
            address: "192.0.2.10/32".parse().unwrap(),
            secret: Written::new("s", SecretSource::Inline),
            dialect: DialectName::Rfc,
            guard: Some(Guard::Extend),
            grant_seconds_max: 3_600,
            stop_only: false,
            interims: None,
            missing_stop: None,
            session_timeout_from: Some(from),
            require_message_authenticator: true,
            trusts_calls: false,
            habits: Default::default(),
            digest_nonces: DigestNonces::Gateway,
            return_codes: Vec::new(),
            realms: Vec::new(),
            routes: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            number_rules: Vec::new(),
            disconnect: Some(DisconnectAddress {
                address: "192.0.2.10:1700".parse().unwrap(),
                secret: None,
                accepts_zero_authenticator: false,
            }),
        }
    }

    /// A call that was answered at second 0, for which 60 seconds are held.
    fn bench(from: SessionTimeoutFrom) -> Bench {
        let mut book = Book::default();
        book.apply(&BookChange::PutNas(nas(from))).unwrap();
        let start = Accounting {
            nas: NAS,
            kind: AccountingKind::Start,
            identity: CallIdentity {
                session_id: (*b"s1").into(),
                identification: [44, 4, b's', b'1'].into(),
                ..CallIdentity::default()
            },
            origin: crate::domain::call::LegOrigin::Answer,
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
            session_seconds: None,
            cause: None,
            rings: false,
            may_be_periodic: false,
            recalled: None,
            packet: None,
        };
        let mut world = World::new(Policy::default());
        let decision = decide(&world, &book, Timestamp::default(), &Command::Account(Box::new(start)));
        for event in decision.events {
            world.apply(Timestamp::default(), &event);
        }
        let mut image = world.image();
        let call = &mut image.calls[0];
        // Nobody can be charged for it, so that it was to end at once.
        (call.state, call.disconnect) = (CallState::Confirmed, None);
        call.reservation = Some(Reservation { number: 1, seconds: 60, is_last: false });
        let world = World::from_image(Policy::default(), image);
        let (metrics, millis) = (Arc::new(Metrics::new()), Arc::new(AtomicI64::new(0)));
        let (engine, queue) = engine_queue(10, metrics.clone());
        let (writer, reader) = registry(&world, Arc::new(book));
        let link = Arc::new(FakeLink::default());
        let clock = Clock::manual(millis.clone());
        let control = Control::new(engine, reader, link.clone(), metrics.clone(), clock);
        Bench { control, link, queue, metrics, millis, world, writer }
    }

    impl Bench {
        fn at(&self, millis: i64) {
            self.millis.store(millis, Ordering::SeqCst);
        }

        /// The one request that was made, and who waits for its answer.
        fn sent(&self) -> Sent {
            let mut sent = std::mem::take(&mut *self.link.0.lock().unwrap());
            assert_eq!(sent.len(), 1);
            sent.remove(0)
        }

        fn told(&mut self) -> Vec<DisconnectAnswer> {
            let mut batch = Vec::new();
            self.queue.take(&mut batch, 10, Duration::ZERO);
            let answer = |submission: crate::service::engine_queue::Submission| match submission.command {
                Command::NasAnswered(answered) => answered.answer,
                other => panic!("{other:?}"),
            };
            batch.into_iter().map(answer).collect()
        }

        fn happens(&mut self, event: &Event) {
            let mut touched = Touched::default();
            touched.note(event);
            self.world.apply(Timestamp::default(), event);
            self.writer.publish(&self.world, &touched);
        }
    }

    fn prolong(seconds: u64) -> Effect {
        Effect::Prolong { call: CALL, seconds }
    }

    fn timeout(request: &NasRequest) -> u32 {
        match request.ask {
            NasAsk::Prolong { session_timeout } => session_timeout,
            NasAsk::Disconnect => panic!("a disconnect"),
        }
    }

    #[test]
    fn a_time_that_counts_from_now_is_told_anew_each_time() {
        let mut bench = bench(SessionTimeoutFrom::Now);
        bench.at(40_200);
        bench.control.carry_out(&prolong(60));
        let mut held = Vec::new();
        for (at, wait) in [(41_200, 1), (43_300, 2), (47_500, 4), (55_600, 8)] {
            let (request, on_answer) = bench.sent();
            held.push(timeout(&request));
            assert_eq!(request.only_once, Some(Duration::from_secs(wait)));
            bench.at(at);
            on_answer(NasAnswer::Silent);
        }
        let (request, on_answer) = bench.sent();
        held.push(timeout(&request));
        // Each ends a second before what is held, also where it was a second on its way.
        assert_eq!(held, [18, 17, 15, 11, 3]);
        on_answer(NasAnswer::Silent);
        assert_eq!(bench.told(), [DisconnectAnswer::Unanswered]);
        assert_eq!(bench.metrics.prolongations.count(DisconnectOutcome::Unanswered), 1);
    }

    #[test]
    fn nothing_is_told_that_would_outlast_what_is_held() {
        let mut bench = bench(SessionTimeoutFrom::Now);
        bench.at(57_900);
        bench.control.carry_out(&prolong(60));
        let (request, on_answer) = bench.sent();
        assert_eq!(timeout(&request), 1);
        bench.at(58_900);
        on_answer(NasAnswer::Silent);
        assert_eq!(bench.told(), [DisconnectAnswer::Unanswered]);
        bench.control.carry_out(&prolong(60));
        assert_eq!(bench.told(), [DisconnectAnswer::NotSent]);
        assert!(bench.link.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_time_that_counts_from_the_start_is_the_same_whenever_it_comes() {
        let mut bench = bench(SessionTimeoutFrom::Start);
        bench.at(40_200);
        bench.control.carry_out(&prolong(60));
        let (request, on_answer) = bench.sent();
        assert_eq!((timeout(&request), request.only_once), (60, None));
        on_answer(NasAnswer::Silent);
        assert_eq!(bench.told(), [DisconnectAnswer::Unanswered], "the link has sent it again and again");
    }

    #[test]
    fn what_was_overtaken_is_not_asked() {
        let mut bench = bench(SessionTimeoutFrom::Start);
        bench.control.carry_out(&prolong(50));
        bench.control.carry_out(&Effect::Disconnect { call: CALL, why: DisconnectReason::Operator });
        assert!(bench.link.0.lock().unwrap().is_empty(), "it holds 60 now, and nobody has it ended");
        bench.happens(&Event::DisconnectAsked { call: CALL, why: DisconnectReason::Operator, by: None });
        bench.control.carry_out(&prolong(60));
        bench.control.carry_out(&Effect::Disconnect { call: CALL, why: DisconnectReason::Operator });
        let (request, on_answer) = bench.sent();
        assert_eq!((request.ask, request.address.port()), (NasAsk::Disconnect, 1700));
        assert!(request.wanted.is_so());
        bench.happens(&Event::Forgotten { calls: vec![CALL] });
        assert!(!request.wanted.is_so(), "it is over");
        on_answer(NasAnswer::NotWanted);
        assert_eq!(bench.told(), []);
        assert_eq!(bench.metrics.disconnects.count(DisconnectOutcome::NotWanted), 1);
    }
}
