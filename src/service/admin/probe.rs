//! What can be learnt from outside about a NAS: what was heard of it, whether it is what it was
//! entered as, and whether it answers where it is to be told to end calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Admin;
use super::error::AdminError;
use super::spec::{DisconnectProbeView, FindingView, NasProbeView};
use crate::clock::{Clock, Stopwatch};
use crate::dialect::h323;
use crate::dialect::profile::CISCO_VENDOR;
use crate::domain::error_cause;
use crate::domain::id::NasKey;
use crate::domain::nas::{DialectName, DisconnectAddress, Nas};
use crate::domain::time::Timestamp;
use crate::metrics::{DropCause, Metrics, Port};
use crate::service::instant::format_instant;
use crate::service::nas_link::{NasAnswer, NasAsk, NasLink, NasRequest, Wanted};
use crate::service::sightings::{self, Finding, Verdict};
use crate::wire::authenticator::Secret;
use crate::wire::kind;
use crate::wire::packet::{Code, HEADER_BYTES};
use crate::wire::request::RequestBuilder;

/// So long a NAS is left alone between two probes.
const PAUSE_SECONDS: u64 = 10;
/// How often a NAS is asked, and how long each answer is waited for.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(2);

/// Asks NASes about calls that they cannot have.
pub struct Prober {
    link: Arc<dyn NasLink>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// When each NAS was asked, as long as that matters.
    asked: Mutex<HashMap<NasKey, Timestamp>>,
}

impl Prober {
    /// Asks through `link`, and tells what `metrics` have counted.
    pub fn new(link: Arc<dyn NasLink>, metrics: Arc<Metrics>, clock: Clock) -> Prober {
        Prober { link, metrics, clock, asked: Mutex::default() }
    }

    /// Takes the turn of a NAS, or says how long it is to be left alone.
    fn take_turn(&self, nas: NasKey) -> Result<(), u64> {
        let now = self.clock.now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| at.plus_seconds(PAUSE_SECONDS) > now);
        if let Some(at) = asked.get(&nas) {
            return Err(at.plus_seconds(PAUSE_SECONDS).seconds_since_rounded_up(now));
        }
        asked.insert(nas, now);
        Ok(())
    }

    /// Asks a NAS to end a call that it cannot have.
    async fn disconnect(&self, nas: &Nas, disconnect: &DisconnectAddress) -> (NasAnswer, Duration) {
        let identification = nobodys_call(nas.dialect);
        let mut ended = (NasAnswer::Silent, Duration::ZERO);
        for _ in 0..TRIES {
            let secret = disconnect.secret.as_ref().unwrap_or(&nas.secret);
            let request = NasRequest {
                ask: NasAsk::Disconnect,
                address: disconnect.address,
                secret: Secret::from(secret.expose()),
                identification: identification.clone(),
                at: self.clock.wall_now(),
                accepts_zero_authenticator: disconnect.accepts_zero_authenticator,
                only_once: Some(WAIT),
                wanted: Wanted::always(),
            };
            let (tell, told) = oneshot::channel();
            let stopwatch = Stopwatch::start();
            // Nobody listens any more where the operator has gone away.
            self.link.send(request, Box::new(move |answer| drop(tell.send(answer))));
            let answer = told.await.unwrap_or_else(|_| NasAnswer::NotSent("the client has ended".into()));
            ended = (answer, stopwatch.elapsed());
            if ended.0 != NasAnswer::Silent {
                break;
            }
        }
        ended
    }
}

/// What names a call that no NAS has: by several names, so that one who knows calls by one of them alone
/// finds none either.
fn nobodys_call(dialect: DialectName) -> Box<[u8]> {
    let name = format!("ringfence-probe-{:016x}", fastrand::u64(..));
    let mut request = RequestBuilder::new(Code::DISCONNECT_REQUEST, 0);
    request.text(kind::USER_NAME, &name).text(kind::ACCT_SESSION_ID, &name);
    if matches!(dialect, DialectName::Cisco | DialectName::Quintum | DialectName::Audiocodes) {
        let [a, b, c, d] = [(); 4].map(|()| fastrand::u32(..));
        let conf_id = format!("h323-conf-id={a:08X} {b:08X} {c:08X} {d:08X}");
        request.vendor(CISCO_VENDOR, h323::CONF_ID, conf_id.as_bytes());
    }
    // Only its attributes are wanted: who sends them signs a request of its own. Three short ones fit.
    let bytes = request.finish(&Secret::from("not sent"), [0; 16]).unwrap_or_default();
    bytes.get(HEADER_BYTES..).unwrap_or_default().into()
}

impl Admin {
    /// What can be learnt about a NAS. It is asked to end a call that it cannot have, where it has a
    /// disconnect address; nothing changes by it.
    ///
    /// # Errors
    /// There is no such NAS, it was asked just now, or nobody is there who asks.
    pub async fn probe_nas(&self, by: &str, id: &str) -> Result<NasProbeView, AdminError> {
        let prober =
            self.prober.as_ref().ok_or_else(|| AdminError::Unavailable("nothing here asks gateways".into()))?;
        let book = self.registry.book();
        let nas = book.nas_by_id(id).ok_or_else(|| AdminError::NotFound { kind: "nas", id: id.to_owned() })?;
        if let Err(seconds) = prober.take_turn(nas.key) {
            let why = format!("{id} was probed less than {PAUSE_SECONDS} s ago: once more in {seconds} s");
            return Err(AdminError::Refused(why));
        }
        let counters = prober.metrics.nas(&nas.id);
        let mut findings = vec![heard(&counters, prober.clock.now())];
        findings.extend(secrets(&counters));
        findings.extend(sightings::findings(nas.dialect, nas.stop_only, &counters));
        let disconnect = match &nas.disconnect {
            None => {
                let text = "it has no disconnect address: its calls cannot be ended from here".to_owned();
                findings.push(Finding { about: "disconnect", verdict: Verdict::Unknown, text });
                None
            }
            Some(disconnect) => {
                let (answer, took) = prober.disconnect(nas, disconnect).await;
                let (word, verdict, text) = judged(&answer);
                tracing::info!(by, nas = &*nas.id, address = %disconnect.address, answer = word, "a gateway was probed");
                let text = format!("{}: {text}", disconnect.address);
                findings.push(Finding { about: "disconnect", verdict, text });
                let came = !matches!(answer, NasAnswer::Silent | NasAnswer::NotSent(_) | NasAnswer::NotBelieved(_));
                let error_cause = match answer {
                    NasAnswer::Nak { error_cause } => error_cause,
                    _ => None,
                };
                Some(DisconnectProbeView {
                    address: disconnect.address.to_string(),
                    answer: word.to_owned(),
                    error_cause,
                    took_ms: came.then(|| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                })
            }
        };
        Ok(NasProbeView {
            id: nas.id.to_string(),
            last_packet_at: counters.last_packet_at().map(format_instant),
            findings: findings.into_iter().map(view).collect(),
            disconnect,
        })
    }
}

fn view(finding: Finding) -> FindingView {
    let Finding { about, verdict, text } = finding;
    FindingView { about: about.to_owned(), verdict: verdict.as_str().to_owned(), text }
}

fn heard(counters: &crate::metrics::NasCounters, now: Timestamp) -> Finding {
    let requests = |port| counters.port(port).requests.total();
    let (auth, acct) = (requests(Port::Auth), requests(Port::Acct));
    let (verdict, text) = match (counters.last_packet_at(), auth.saturating_add(acct)) {
        (Some(at), _) => (
            Verdict::Good,
            format!(
                "{} s ago; {auth} packets on the authorization port and {acct} on the accounting port since the daemon \
                 started",
                now.seconds_since(at)
            ),
        ),
        (None, 0) => (Verdict::Unknown, "never since the daemon started".to_owned()),
        (None, some) => (Verdict::Bad, format!("{some} packets since the daemon started, and none could be proven")),
    };
    Finding { about: "last packet", verdict, text }
}

/// What was dropped for its proof.
fn secrets(counters: &crate::metrics::NasCounters) -> Option<Finding> {
    let dropped = |cause| Port::ALL.iter().map(|port| counters.port(*port).drops.count(cause)).sum::<u64>();
    let wrong = dropped(DropCause::BadAuthenticator).saturating_add(dropped(DropCause::BadMessageAuthenticator));
    let missing = dropped(DropCause::MissingMessageAuthenticator);
    let mut parts = Vec::new();
    if wrong > 0 {
        parts.push(format!("{wrong} not made with the shared secret"));
    }
    if missing > 0 {
        parts.push(format!("{missing} without Message-Authenticator, which is required of it"));
    }
    let text = format!("packets dropped: {}", parts.join(", "));
    (!parts.is_empty()).then_some(Finding { about: "secret", verdict: Verdict::Bad, text })
}

/// What an answer about a call that cannot be says of the NAS.
fn judged(answer: &NasAnswer) -> (&'static str, Verdict, String) {
    match answer {
        NasAnswer::Nak { error_cause: Some(cause) } if *cause == error_cause::SESSION_CONTEXT_NOT_FOUND => {
            ("nak", Verdict::Good, "it answers, and says that it has no such call (Error-Cause 503)".into())
        }
        NasAnswer::Nak { error_cause: Some(cause) } => (
            "nak",
            Verdict::Odd,
            format!(
                "it answers, and refuses with Error-Cause {}, where 503 says that there is no such call",
                error_cause::in_words(*cause)
            ),
        ),
        NasAnswer::Nak { error_cause: None } => {
            ("nak", Verdict::Odd, "it answers, and refuses without saying why".into())
        }
        NasAnswer::Removed => {
            ("ack", Verdict::Odd, "it answers with ACK and Error-Cause 201 for a call that it never had".into())
        }
        NasAnswer::Ack => {
            ("ack", Verdict::Odd, "it answers with ACK for a call that it cannot have: its ACKs prove nothing".into())
        }
        NasAnswer::NotBelieved(why) => (
            "not_believed",
            Verdict::Bad,
            format!("it answers, but {why}: another secret there, or somebody else's answer"),
        ),
        NasAnswer::Silent => (
            "silent",
            Verdict::Bad,
            format!(
                "no answer, asked {TRIES} times: the address, a firewall, the secret, or it takes nothing from this \
                 server's address"
            ),
        ),
        NasAnswer::NotSent(why) => ("not_sent", Verdict::Bad, format!("it could not be asked: {why}")),
        NasAnswer::NotWanted => ("not_sent", Verdict::Bad, "it was not asked".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::Packet;

    #[test]
    fn a_call_that_nobody_has_is_named_by_whole_attributes() {
        for dialect in DialectName::ALL {
            let mut request = RequestBuilder::new(Code::DISCONNECT_REQUEST, 1);
            let bytes = request.encoded(&nobodys_call(*dialect)).finish(&"s".into(), [0; 16]).unwrap();
            let packet = Packet::decode(&bytes).unwrap();
            let session = packet.first(kind::ACCT_SESSION_ID).unwrap();
            assert!(session.starts_with(b"ringfence-probe-") && packet.first(kind::USER_NAME) == Some(session));
            let conf_id = packet.first_vendor(CISCO_VENDOR, h323::CONF_ID);
            let is_voice = matches!(dialect, DialectName::Cisco | DialectName::Quintum | DialectName::Audiocodes);
            assert_eq!(conf_id.is_some(), is_voice, "{dialect}");
            assert_ne!(nobodys_call(*dialect), nobodys_call(*dialect));
        }
    }

    #[test]
    fn only_no_such_call_is_what_should_be_said() {
        let of = |answer: NasAnswer| judged(&answer).1;
        assert_eq!(of(NasAnswer::Nak { error_cause: Some(503) }), Verdict::Good);
        for odd in [NasAnswer::Nak { error_cause: Some(404) }, NasAnswer::Ack, NasAnswer::Removed] {
            assert_eq!(of(odd), Verdict::Odd);
        }
        for bad in [NasAnswer::Silent, NasAnswer::NotBelieved("x".into()), NasAnswer::NotSent("x".into())] {
            assert_eq!(of(bad), Verdict::Bad);
        }
    }
}
