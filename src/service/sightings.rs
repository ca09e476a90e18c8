//! What the packets of a NAS show of its make and habits, counted as they pass: from it an operator
//! is told whether the NAS was entered as what it is. Nothing is decided by it.

use crate::dialect::mark::{self, MakeMark};
use crate::domain::nas::DialectName;
use crate::metrics::{NasCounters, Sighting};
use crate::wire::kind;
use crate::wire::packet::{Code, Packet};
use crate::wire::value;

/// How the operator should see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Something does not work.
    Bad,
    /// Nothing can be said yet.
    Unknown,
}

impl Verdict {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Odd => "odd",
            Verdict::Bad => "bad",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Something that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// How it should be seen.
    pub verdict: Verdict,
    /// The same in words.
    pub text: String,
}

/// Counts what a packet shows; it has been proven to be the NAS's.
pub fn note(packet: &Packet<'_>, counters: &NasCounters) {
    let sightings = &counters.sightings;
    let is_accounting = packet.code() == Code::ACCOUNTING_REQUEST;
    if !is_accounting && packet.code() != Code::ACCESS_REQUEST {
        return;
    }
    let mut method = false;
    for attribute in packet.attributes() {
        let Some(mark) = mark::of_make(packet.code(), &attribute) else { continue };
        let seen = match mark {
            MakeMark::CiscoLayout => Sighting::CiscoLayout,
            MakeMark::QuintumLayout => Sighting::QuintumLayout,
            MakeMark::AudiocodesLayout => Sighting::AudiocodesLayout,
            MakeMark::SerMethod => Sighting::SerMethod,
            MakeMark::OpensipsMethod => Sighting::OpensipsMethod,
            MakeMark::OldDigest => Sighting::OldDigest,
        };
        method |= matches!(seen, Sighting::SerMethod | Sighting::OpensipsMethod);
        sightings.increment(seen);
    }
    if !is_accounting {
        let is_signed = packet.message_authenticator().is_some();
        return sightings.increment(if is_signed { Sighting::SignedAccess } else { Sighting::UnsignedAccess });
    }
    match packet.first(kind::ACCT_STATUS_TYPE).and_then(value::integer) {
        Some(1) => sightings.increment(Sighting::Start),
        Some(2) => sightings.increment(Sighting::Stop),
        Some(3) if method => sightings.increment(Sighting::EventInterim),
        Some(3) => sightings.increment(Sighting::ClockInterim),
        Some(15) => sightings.increment(Sighting::Failed),
        _ => {}
    }
}

/// What the counts say of a NAS that was entered as this make.
pub fn findings(dialect: DialectName, stop_only: bool, counters: &NasCounters) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |about, verdict, text: String| findings.push(Finding { about, verdict, text });
    let count = |sighting| counters.sightings.count(sighting);
    let (signed, unsigned) = (count(Sighting::SignedAccess), count(Sighting::UnsignedAccess));
    match (signed, unsigned) {
        (0, 0) => find("message authenticator", Verdict::Unknown, "no Access-Request since the daemon started".into()),
        (_, 0) => find("message authenticator", Verdict::Good, format!("in all {signed} Access-Requests")),
        (0, _) => find(
            "message authenticator",
            Verdict::Odd,
            format!("in none of {unsigned} Access-Requests: anybody on the way could have written them"),
        ),
        _ => find(
            "message authenticator",
            Verdict::Odd,
            format!("in {signed} Access-Requests, and not in {unsigned}: several boxes, or somebody else"),
        ),
    }
    let (starts, stops) = (count(Sighting::Start), count(Sighting::Stop));
    let (by_clock, by_event) = (count(Sighting::ClockInterim), count(Sighting::EventInterim));
    let told = starts.saturating_add(stops).saturating_add(by_clock).saturating_add(by_event);
    let (verdict, text) = match (told, by_clock, by_event) {
        (0, ..) => (Verdict::Unknown, "no accounting of calls since the daemon started".into()),
        (_, 0, 0) => (Verdict::Odd, format!("none, with {starts} Starts and {stops} Stops")),
        (_, 0, _) => (Verdict::Odd, format!("{by_event}, all made by re-INVITEs and none by a clock")),
        _ => (Verdict::Good, format!("{by_clock} that may be by a clock, with {starts} Starts and {stops} Stops")),
    };
    find("interims", verdict, text);
    if stop_only && starts > 0 {
        find("sends", Verdict::Odd, format!("{starts} Starts, though it is set to stop-only"));
    }
    if !stop_only && starts == 0 && stops > 0 {
        find("sends", Verdict::Odd, format!("{stops} Stops and no Start: perhaps it is to be set to stop-only"));
    }
    let (verdict, text) = of_dialect(dialect, told, &count);
    find("dialect", verdict, text);
    findings
}

fn of_dialect(dialect: DialectName, told: u64, count: &dyn Fn(Sighting) -> u64) -> (Verdict, String) {
    use DialectName::{Audiocodes, Cisco, Kamailio, Opensips, Quintum, Rfc, Sippy};
    let seen = |sighting| count(sighting) > 0;
    let is = |makes: &[DialectName]| makes.contains(&dialect);
    let odd = |what: &str, better: &str| (Verdict::Odd, format!("{what}: perhaps it is {better}, and not {dialect}"));
    if seen(Sighting::OpensipsMethod) && !is(&[Opensips]) {
        return odd("Sip-Method came under OpenSIPS' number 204", "opensips");
    }
    if seen(Sighting::SerMethod) && !is(&[Kamailio, Rfc]) {
        return odd("Sip-Method came under Kamailio's number 101", "kamailio");
    }
    if seen(Sighting::SerMethod) && is(&[Rfc]) {
        return odd("Sip-Method came under Kamailio's number 101, which rfc reads too", "kamailio");
    }
    if seen(Sighting::QuintumLayout) && !is(&[Quintum]) {
        return odd("attributes came under Quintum's vendor id", "quintum");
    }
    if seen(Sighting::AudiocodesLayout) && !is(&[Audiocodes]) {
        return odd("attributes came under AudioCodes' vendor id", "audiocodes");
    }
    // Proxies use Cisco's AVPairs too.
    let is_proxy = seen(Sighting::SerMethod) || seen(Sighting::OpensipsMethod) || seen(Sighting::OldDigest);
    if seen(Sighting::CiscoLayout) && is(&[Rfc]) && !is_proxy {
        return odd("attributes came under Cisco's vendor id", "cisco");
    }
    let expected = match dialect {
        Cisco | Sippy => &[Sighting::CiscoLayout][..],
        Quintum => &[Sighting::QuintumLayout],
        Audiocodes => &[Sighting::AudiocodesLayout],
        Kamailio => &[Sighting::SerMethod],
        Opensips => &[Sighting::OpensipsMethod],
        _ => &[],
    };
    match expected {
        _ if told == 0 => (Verdict::Unknown, format!("{dialect}; no accounting of calls to tell by")),
        [] => (Verdict::Good, format!("nothing speaks against {dialect}")),
        [mark] if seen(*mark) => (Verdict::Good, format!("what {dialect} sends came")),
        _ => (Verdict::Odd, format!("nothing came that {dialect} is known by")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::profile::{
        AUDIOCODES_MANUAL_VENDOR, AUDIOCODES_VENDOR, CISCO_VENDOR, OPENSIPS_METHOD, QUINTUM_VENDOR, SER_METHOD,
    };
    use crate::wire::authenticator::Secret;
    use crate::wire::request::RequestBuilder;

    fn seen(packets: &[RequestBuilder]) -> NasCounters {
        let counters = NasCounters::default();
        for packet in packets {
            let bytes = packet.finish(&Secret::from("s"), [1; 16]).unwrap();
            note(&Packet::decode(&bytes).unwrap(), &counters);
        }
        counters
    }

    fn accounting(status: u32) -> RequestBuilder {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        request.integer(kind::ACCT_STATUS_TYPE, status);
        request
    }

    fn about(findings: &[Finding], about: &str) -> (Verdict, String) {
        let found = findings.iter().find(|finding| finding.about == about).expect("it is found out");
        (found.verdict, found.text.clone())
    }

    #[test]
    fn a_proxy_that_was_entered_as_another_make_is_seen() {
        let mut kamailio = accounting(1);
        kamailio.integer(SER_METHOD, 1);
        let mut opensips = accounting(1);
        opensips.integer(OPENSIPS_METHOD, 1);
        for (packet, entered, verdict, word) in [
            (&kamailio, DialectName::Kamailio, Verdict::Good, "kamailio sends came"),
            (&kamailio, DialectName::Rfc, Verdict::Odd, "perhaps it is kamailio"),
            (&kamailio, DialectName::Cisco, Verdict::Odd, "perhaps it is kamailio"),
            (&opensips, DialectName::Kamailio, Verdict::Odd, "perhaps it is opensips"),
            (&opensips, DialectName::Opensips, Verdict::Good, "opensips sends came"),
        ] {
            let findings = findings(entered, false, &seen(std::slice::from_ref(packet)));
            let (found, text) = about(&findings, "dialect");
            assert!(found == verdict && text.contains(word), "{entered}: {text}");
        }
    }

    #[test]
    fn a_gateway_is_known_by_its_vendor() {
        let mut start = accounting(1);
        start.vendor(QUINTUM_VENDOR, 24, b"x");
        let found = |dialect| about(&findings(dialect, false, &seen(std::slice::from_ref(&start))), "dialect");
        assert_eq!(found(DialectName::Quintum).0, Verdict::Good);
        assert!(found(DialectName::Cisco).1.contains("quintum"));
        for vendor in [AUDIOCODES_VENDOR, AUDIOCODES_MANUAL_VENDOR] {
            let mut start = accounting(1);
            start.vendor(vendor, 24, b"x");
            let found = about(&findings(DialectName::Audiocodes, false, &seen(&[start])), "dialect");
            assert_eq!(found.0, Verdict::Good, "{vendor}");
        }
        let plain = about(&findings(DialectName::Cisco, false, &seen(&[accounting(1)])), "dialect");
        assert_eq!(plain, (Verdict::Odd, "nothing came that cisco is known by".into()));
    }

    #[test]
    fn what_a_proxy_says_of_a_request_is_no_digest() {
        // Cisco's AVPair from what was entered as `rfc`: a Cisco's, unless an answer to a challenge tells a proxy.
        let mut start = accounting(1);
        start.vendor(CISCO_VENDOR, 1, b"call-id=a@b");
        let mut asked = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
        asked.text(103, "20").text(206, "as7d6f");
        let mut answered = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
        answered.text(206, "6629fae49393a05397450978507c4ef1");
        for (access, verdict) in [(asked, Verdict::Odd), (answered, Verdict::Good)] {
            let counters = seen(&[access, start.clone()]);
            let (found, text) = about(&findings(DialectName::Rfc, false, &counters), "dialect");
            assert_eq!(found, verdict, "{text}");
        }
    }

    #[test]
    fn interims_of_a_clock_and_of_a_re_invite_are_told_apart() {
        let mut event = accounting(3);
        event.integer(SER_METHOD, 1);
        let found = |packets: &[RequestBuilder]| about(&findings(DialectName::Rfc, false, &seen(packets)), "interims");
        assert_eq!(found(&[]).0, Verdict::Unknown);
        assert_eq!(found(&[accounting(1), accounting(3)]).0, Verdict::Good);
        assert_eq!(found(&[event]), (Verdict::Odd, "1, all made by re-INVITEs and none by a clock".into()));
        assert_eq!(found(&[accounting(1), accounting(2)]).0, Verdict::Odd);
    }

    #[test]
    fn missing_signatures_and_starts_are_seen() {
        let access = |signed| {
            let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
            request.message_authenticator(signed);
            request
        };
        let found =
            |packets: &[RequestBuilder], what: &str| about(&findings(DialectName::Rfc, false, &seen(packets)), what);
        assert_eq!(found(&[access(true)], "message authenticator").0, Verdict::Good);
        assert!(found(&[access(false)], "message authenticator").1.contains("in none of 1"));
        assert!(found(&[access(true), access(false)], "message authenticator").1.contains("somebody else"));
        assert!(found(&[accounting(2)], "sends").1.contains("no Start"));
        assert!(about(&findings(DialectName::Rfc, true, &seen(&[accounting(1)])), "sends").1.contains("stop-only"));
    }
}
