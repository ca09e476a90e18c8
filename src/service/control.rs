//! Has NASes end calls and let them go on (RFC 5176): from the engine's effects to a request, and from
//! the NAS's answer back to a command.

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::call::{Call, DisconnectAnswer};
use crate::domain::command::{Command, NasAnswered, NasAsked};
use crate::domain::decision::Effect;
use crate::domain::id::CallId;
use crate::domain::nas::SessionTimeoutFrom;
use crate::metrics::{DisconnectOutcome, Metrics};
use crate::service::engine_queue::EngineHandle;
use crate::service::log_pace::LogPace;
use crate::service::nas_link::{NasAnswer, NasAsk, NasLink, NasRequest};
use crate::service::registry::RegistryReader;
use crate::wire::authenticator::Secret;

/// Longest Session-Timeout: clients read it as a signed number.
const SESSION_TIMEOUT_MAX: u64 = 0x7fff_ffff;

/// Carries out what is asked of NASes.
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

    /// Carries out the part of an effect that is a NAS's; the call has been published.
    pub fn carry_out(&self, effect: &Effect) {
        match effect {
            Effect::Disconnect { call, .. } => self.ask(*call, NasAsked::Disconnect),
            Effect::Prolong { call, seconds } => self.ask(*call, NasAsked::Prolong { seconds: *seconds }),
            Effect::Alarm(_) => {}
        }
    }

    fn ask(&self, id: CallId, asked: NasAsked) {
        let Some(call) = self.registry.call(id) else { return };
        let on_answer = self.on_answer(id, asked);
        match self.request(&call, asked) {
            Ok(request) => self.link.send(request, on_answer),
            Err(why) => on_answer(NasAnswer::NotSent(why.to_owned())),
        }
    }

    fn request(&self, call: &Call, asked: NasAsked) -> Result<NasRequest, &'static str> {
        let book = self.registry.book();
        let nas = book.nas(call.nas).ok_or("the gateway was removed")?;
        let disconnect = nas.disconnect.as_ref().ok_or("the gateway has no disconnect address")?;
        if call.identification.is_empty() {
            return Err("the gateway sent nothing that tells this call from others");
        }
        let secret = disconnect.secret.as_ref().unwrap_or(&nas.secret);
        Ok(NasRequest {
            ask: match asked {
                NasAsked::Disconnect => NasAsk::Disconnect,
                NasAsked::Prolong { seconds } => NasAsk::Prolong { session_timeout: self.timeout(call, seconds) },
            },
            address: disconnect.address,
            secret: Secret::from(secret.expose()),
            identification: call.identification.clone(),
            at: self.clock.wall_now(),
            accepts_zero_authenticator: disconnect.accepts_zero_authenticator,
        })
    }

    /// What Session-Timeout says that a call may last so long from its answer.
    fn timeout(&self, call: &Call, seconds: u64) -> u32 {
        let told = match call.abilities.session_timeout_from {
            SessionTimeoutFrom::Now => seconds.saturating_sub(call.seconds_so_far(self.clock.now())),
            SessionTimeoutFrom::Start => seconds,
        };
        u32::try_from(told.clamp(1, SESSION_TIMEOUT_MAX)).unwrap_or(1)
    }

    fn on_answer(&self, call: CallId, asked: NasAsked) -> Box<dyn FnOnce(NasAnswer) + Send> {
        let (engine, metrics, clock) = (self.engine.clone(), self.metrics.clone(), self.clock.clone());
        let (lost, not_sent) = (self.lost.clone(), self.not_sent.clone());
        Box::new(move |answer| {
            let answer = match answer {
                NasAnswer::Ack => DisconnectAnswer::Acknowledged,
                NasAnswer::Nak { error_cause } => DisconnectAnswer::Refused(error_cause),
                NasAnswer::Silent => DisconnectAnswer::Unanswered,
                NasAnswer::NotSent(why) => {
                    if let Some(times) = not_sent.count(clock.now()) {
                        tracing::warn!(%call, times, "a gateway cannot be asked about a call: {why}");
                    }
                    DisconnectAnswer::NotSent
                }
            };
            if asked == NasAsked::Disconnect {
                metrics.disconnects.increment(outcome(answer));
            }
            let command = Command::NasAnswered(NasAnswered { call, asked, answer });
            // It is asked again when the engine has waited long enough.
            if engine.tell(command).is_err()
                && let Some(times) = lost.count(clock.now())
            {
                tracing::warn!(%call, times, "a gateway's answer is lost: too many commands wait");
            }
        })
    }
}

fn outcome(answer: DisconnectAnswer) -> DisconnectOutcome {
    match answer {
        DisconnectAnswer::Acknowledged => DisconnectOutcome::Acknowledged,
        DisconnectAnswer::Refused(_) if answer.is_gone() => DisconnectOutcome::Gone,
        DisconnectAnswer::Refused(_) => DisconnectOutcome::Refused,
        DisconnectAnswer::Unanswered => DisconnectOutcome::Unanswered,
        DisconnectAnswer::NotSent => DisconnectOutcome::NotSent,
    }
}
