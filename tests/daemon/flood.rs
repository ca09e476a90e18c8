//! Bad input: a hundred thousand datagrams of it get no answer, leave nothing behind, and stop
//! nobody else.

use std::net::SocketAddr;

use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Call, Gateway, Status};
use crate::live::{PATIENCE, wait_until};

/// How many come after those that warm the daemon up, and how many those are.
const DATAGRAMS: usize = 100_000;
const WARM_UP: usize = 20_000;
/// So many at once, then both ports must answer: nothing overflows, so nothing is lost uncounted.
const BURST: usize = 64;
/// What the process may grow by meanwhile; it was seen to grow by less than a quarter of this.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

/// Where the known gateway is, and from where on strangers are.
const KNOWN: u8 = 10;
const STRANGERS: std::ops::Range<u8> = 100..132;

const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
rate = [{ prefix = "49", per_minute = "0.6" }]
[[customer]]
id = "acme"
tariff = "retail"
opening_balance = "6"
[[account]]
id = "alice"
customer = "acme"
password = "secret1"
[[nas]]
id = "gw10"
address = "127.0.0.10/32"
secret = "testing123"
"#;

const CALL: Call<'_> =
    Call { user: "alice", password: "secret1", caller: "4940100", called: "4930123", session: "never-sent" };

/// Who sends what nobody should.
struct Flood {
    random: fastrand::Rng,
    known: Gateway,
    strangers: Vec<Gateway>,
    /// Good requests, each with the port that would answer it; none of them is ever sent as it is by
    /// the known gateway.
    samples: Vec<(Vec<u8>, SocketAddr)>,
    ports: [SocketAddr; 2],
    sent: u64,
    sent_by_strangers: u64,
    answered: u64,
}

impl Flood {
    fn new(daemon: &Daemon, seed: u64) -> Flood {
        let mut known = Gateway::new(KNOWN);
        let samples = vec![
            (known.authorize(&CALL), daemon.auth()),
            (known.account(&CALL, Status::Start, 0, None), daemon.acct()),
            (known.account(&CALL, Status::Stop, 60, Some(b"class")), daemon.acct()),
            (known.status_server(), daemon.auth()),
            (known.status_server(), daemon.acct()),
        ];
        Flood {
            random: fastrand::Rng::with_seed(seed),
            known,
            strangers: STRANGERS.map(Gateway::new).collect(),
            samples,
            ports: [daemon.auth(), daemon.acct()],
            sent: 0,
            sent_by_strangers: 0,
            answered: 0,
        }
    }

    /// Sends so many, and sees after every burst that others are served.
    fn send(&mut self, count: usize) {
        let mut prober = Gateway::new(KNOWN);
        for number in 0..count {
            self.send_one();
            if number % BURST == BURST - 1 || number == count - 1 {
                for port in self.ports {
                    let probe = prober.status_server();
                    let answer = prober.ask(port, &probe, PATIENCE, PATIENCE);
                    assert!(answer.is_some(), "nobody answers a good packet after {} bad ones", self.sent);
                    self.sent += 1;
                    self.answered += 1;
                }
            }
        }
    }

    fn send_one(&mut self) {
        self.sent += 1;
        if self.random.u8(..4) == 0 {
            // To a stranger nothing is said, not even to one who knows the secret.
            let (datagram, to) =
                if self.random.u8(..4) == 0 { self.random_sample() } else { (self.bad(), self.random_port()) };
            let stranger = self.random.usize(..self.strangers.len());
            self.strangers[stranger].send(to, &datagram);
            self.sent_by_strangers += 1;
        } else {
            let (datagram, to) = (self.bad(), self.random_port());
            self.known.send(to, &datagram);
        }
    }

    fn random_port(&mut self) -> SocketAddr {
        self.ports[self.random.usize(..self.ports.len())]
    }

    fn random_sample(&mut self) -> (Vec<u8>, SocketAddr) {
        let sample = self.random.usize(..self.samples.len());
        self.samples[sample].clone()
    }

    fn noise(&mut self, bytes: std::ops::Range<usize>) -> Vec<u8> {
        let length = self.random.usize(bytes);
        std::iter::repeat_with(|| self.random.u8(..)).take(length).collect()
    }

    /// A datagram that no port may answer.
    fn bad(&mut self) -> Vec<u8> {
        match self.random.u8(..20) {
            0..4 => self.noise(0..600),
            4..7 => self.truncated(),
            7 => self.oversized(),
            8..11 => self.of_wrong_length(),
            11..15 => self.of_garbage_attributes(),
            _ => self.flipped(),
        }
    }

    fn truncated(&mut self) -> Vec<u8> {
        let (mut datagram, _) = self.random_sample();
        datagram.truncate(self.random.usize(..datagram.len()));
        datagram
    }

    /// Longer than any packet may be: half of them noise, half a good request in front.
    fn oversized(&mut self) -> Vec<u8> {
        let mut datagram = if self.random.bool() { self.random_sample().0 } else { Vec::new() };
        datagram.extend(self.noise(4_097..9_000));
        datagram
    }

    /// A good request but for its Length.
    fn of_wrong_length(&mut self) -> Vec<u8> {
        let (mut datagram, _) = self.random_sample();
        let length = u16::from_be_bytes([datagram[2], datagram[3]]);
        // Of those near the true one more attributes are read.
        let wrong = if self.random.bool() { self.random.u16(..) } else { self.random.u16(..2 * length) };
        let wrong = if wrong == length { wrong - 1 } else { wrong };
        datagram[2..4].copy_from_slice(&wrong.to_be_bytes());
        datagram
    }

    /// A header that is in order, and attributes that say anything; half of them are well-formed.
    fn of_garbage_attributes(&mut self) -> Vec<u8> {
        let code = [Code::ACCESS_REQUEST, Code::ACCOUNTING_REQUEST, Code::STATUS_SERVER][self.random.usize(..3)];
        let mut attributes = Vec::new();
        if self.random.bool() {
            for _ in 0..self.random.u8(..12) {
                let value = if self.random.u8(..4) == 0 {
                    attributes.push(kind::MESSAGE_AUTHENTICATOR);
                    self.noise(16..17)
                } else {
                    attributes.push(self.random.u8(..));
                    self.noise(0..64)
                };
                attributes.push(u8::try_from(value.len() + 2).expect("short"));
                attributes.extend(value);
            }
        } else {
            attributes = self.noise(0..400);
        }
        let length = u16::try_from(20 + attributes.len()).expect("short");
        let mut datagram = vec![code.0, self.random.u8(..)];
        datagram.extend(length.to_be_bytes());
        datagram.extend(self.noise(16..17));
        datagram.extend(attributes);
        datagram
    }

    /// A good request with up to eight bits changed.
    fn flipped(&mut self) -> Vec<u8> {
        let (good, _) = self.random_sample();
        let mut datagram = good.clone();
        while datagram == good {
            for _ in 0..self.random.u8(1..=8) {
                let place = self.random.usize(..datagram.len());
                datagram[place] ^= 1 << self.random.u8(..8);
            }
        }
        datagram
    }

    fn answers(&self) -> usize {
        self.known.unread() + self.strangers.iter().map(Gateway::unread).sum::<usize>()
    }
}

#[test]
fn a_hundred_thousand_bad_datagrams_get_no_answer_and_leave_nothing() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), "");
    daemon.apply(SETUP);
    let mut flood = Flood::new(&daemon, 20_261_124);
    flood.send(WARM_UP);
    let warm = daemon.resident_bytes();
    flood.send(DATAGRAMS);
    let after = daemon.resident_bytes();

    assert_eq!(flood.answers(), 0, "answers to what deserves none");
    assert!(daemon.is_running());
    println!("resident {} KiB when warm, {} KiB after", warm / 1024, after / 1024);
    assert!(after <= warm + GROWTH_BYTES_MAX, "it grew from {warm} to {after} bytes");
    check_counters(&daemon, &flood);

    let mut gateway = Gateway::new(KNOWN);
    let call = Call { session: "good", ..CALL };
    let accept = gateway.authorize(&call);
    let accept = gateway.answer(daemon.auth(), &accept);
    assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(600)));
    let stop = gateway.account(&call, Status::Stop, 60, accept.class.as_deref());
    assert_eq!(gateway.answer(daemon.acct(), &stop).code, Code::ACCOUNTING_RESPONSE);
    assert_eq!(daemon.money("/customers/acme", "balance"), 5_400_000);
    assert_eq!(daemon.wait_for_cdrs("", 1).len(), 1, "only the good call has a record");
    assert_eq!(daemon.api().get("/api/v1/db/verify")["ok"], true);
}

/// All that came is counted, each once, and by what was wrong with it.
fn check_counters(daemon: &Daemon, flood: &Flood) {
    let replies = || daemon.metrics_sum("ringfence_replies_total{");
    // A reply is counted when it has left, which is after its receiver may have it.
    wait_until("the last reply is counted", || replies() >= flood.answered);
    let probes = replies();
    assert_eq!(probes, flood.answered, "replies to good packets alone");
    assert_eq!(daemon.metrics_sum("ringfence_requests_total{"), flood.sent, "all that was sent has come");
    for port in ["auth", "acct"] {
        let of_port = |family: &str| daemon.metrics_sum(&format!("ringfence_{family}_total{{port=\"{port}\""));
        let (came, dropped, not_served) = (of_port("requests"), of_port("port_drops"), of_port("port_unknown_types"));
        assert_eq!(came, dropped + not_served + probes / 2, "{port}: {dropped} dropped, {not_served} of another code");
    }
    assert_eq!(daemon.metrics_sum("ringfence_drops_total{"), daemon.metrics_sum("ringfence_port_drops_total{"));
    let dropped = |cause: &str| daemon.metric(&format!("ringfence_drops_total{{cause=\"{cause}\"}}"));
    assert_eq!(dropped("unknown_nas"), flood.sent_by_strangers);
    for cause in ["malformed", "bad_authenticator", "missing_message_authenticator", "bad_message_authenticator"] {
        assert!(dropped(cause) > 100, "{} {cause}", dropped(cause));
    }
    for cause in ["queue_full", "in_flight"] {
        assert_eq!(dropped(cause), 0, "{cause}");
    }
    assert_eq!(daemon.metric("ringfence_duplicates_total"), 0);
    assert_eq!(daemon.metrics_sum("ringfence_rejections_total{"), 0);
    assert_eq!(daemon.metrics_sum("ringfence_calls{"), 0);
}
