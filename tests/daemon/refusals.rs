//! Every reason for which a call is refused, over the wire through a gateway of Cisco's shape: its
//! Reply-Message, its h323-return-code, its counter.

use ringfence::domain::decision::RejectReason;
use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Answer, Call, Gateway};
use crate::live::wait_until;

const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
rate = [
    { prefix = "49", per_minute = "0.012", first = 60, next = 60 },
    { prefix = "53", forbidden = true },
]
[[customer]]
id = "rich"
tariff = "retail"
opening_balance = "100"
[[account]]
id = "rita"
customer = "rich"
password = "secret1"
[[account]]
id = "blocked"
customer = "rich"
password = "secret1"
blocked = true
[[account]]
id = "one-call"
customer = "rich"
password = "secret1"
calls_max = 1
[[account]]
id = "hasty"
customer = "rich"
password = "secret1"
attempts_per_second_max = 1
[[customer]]
id = "empty"
tariff = "retail"
[[account]]
id = "emil"
customer = "empty"
password = "secret1"
[[customer]]
id = "thin"
tariff = "retail"
opening_balance = "0.011999"
[[account]]
id = "thea"
customer = "thin"
password = "secret1"
[[customer]]
id = "capped"
tariff = "retail"
opening_balance = "10"
spend_per_day_max = "0.011999"
[[account]]
id = "carl"
customer = "capped"
password = "secret1"
[[nas]]
id = "gw10"
address = "127.0.0.10/32"
secret = "testing123"
dialect = "cisco"
guard = "full"
grant_seconds_max = 60
"#;

const BERLIN: &str = "4930555";

/// One refusal.
struct Row {
    reason: RejectReason,
    message: &'static str,
    code: u8,
    user: &'static str,
    password: &'static str,
    called: &'static str,
    /// The call has an id of its own, or this one.
    session: Option<&'static str>,
}

const fn row(reason: RejectReason, message: &'static str, code: u8, user: &'static str, called: &'static str) -> Row {
    Row { reason, message, code, user, password: "secret1", called, session: None }
}

/// All but the limit of attempts, which needs more than one request.
const TABLE: &[Row] = &[
    row(RejectReason::UnknownAccount, "authentication failed", 1, "nobody", BERLIN),
    Row { password: "wrong", ..row(RejectReason::BadCredentials, "authentication failed", 2, "rita", BERLIN) },
    row(RejectReason::Blocked, "account blocked", 7, "blocked", BERLIN),
    Row { session: Some("up"), ..row(RejectReason::IdInUse, "call id in use", 3, "one-call", "4940555") },
    row(RejectReason::ForbiddenNumber, "number not allowed", 9, "rita", "535555"),
    row(RejectReason::NoRate, "no rate for this number", 8, "rita", "81355555"),
    row(RejectReason::CallsLimit, "too many calls", 3, "one-call", BERLIN),
    row(RejectReason::SpendLimit, "daily limit reached", 6, "carl", BERLIN),
    row(RejectReason::NoCredit, "insufficient credit", 4, "emil", BERLIN),
    row(RejectReason::NoCredit, "insufficient credit", 12, "thea", BERLIN),
];
const ATTEMPTS: Row =
    Row { password: "wrong", ..row(RejectReason::AttemptsLimit, "too many attempts", 10, "hasty", BERLIN) };

struct Scene {
    daemon: Daemon,
    _directory: TempDir,
    gateway: Gateway,
    calls: u32,
}

impl Scene {
    /// A daemon with a call of `one-call` that is up.
    fn new() -> Scene {
        let directory = TempDir::new().expect("a directory for temporary files");
        let daemon = Daemon::started(directory.path(), "");
        daemon.apply(SETUP);
        let mut scene = Scene { daemon, _directory: directory, gateway: Gateway::new(10), calls: 0 };
        let up = Row { session: Some("up"), ..row(RejectReason::CallsLimit, "", 0, "one-call", BERLIN) };
        let request = scene.request(&up);
        let accept = scene.gateway.answer(scene.daemon.auth(), &request);
        assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(60)));
        assert_eq!(accept.return_code.as_deref(), Some("h323-return-code=0"), "{accept:?}");
        scene
    }

    fn request(&mut self, row: &Row) -> Vec<u8> {
        self.calls += 1;
        let session = row.session.map_or_else(|| format!("s{}", self.calls), str::to_owned);
        let Row { user, password, called, .. } = *row;
        self.gateway.authorize(&Call { user, password, caller: "4940100", called, session: &session })
    }

    fn counted(&self, reason: RejectReason) -> u64 {
        self.daemon.metric(&format!("ringfence_rejections_total{{reason=\"{}\"}}", reason.as_str()))
    }
}

fn check(row: &Row, answer: &Answer) {
    let reason = row.reason;
    assert_eq!(answer.code, Code::ACCESS_REJECT, "{reason} of {}: {answer:?}", row.user);
    assert_eq!(answer.message.as_deref(), Some(row.message), "{reason} of {}", row.user);
    assert_eq!(answer.return_code, Some(format!("h323-return-code={}", row.code)), "{reason} of {}", row.user);
    assert_eq!(answer.session_timeout, None, "{reason} of {}", row.user);
}

#[test]
fn every_refusal_says_why_in_words_in_numbers_and_to_the_operator() {
    let mut scene = Scene::new();
    for row in TABLE {
        let before = scene.counted(row.reason);
        let request = scene.request(row);
        check(row, &scene.gateway.answer(scene.daemon.auth(), &request));
        // Counted behind the reply.
        wait_until(row.reason.as_str(), || scene.counted(row.reason) == before + 1);
    }
    assert_eq!(scene.daemon.metrics_sum("ringfence_rejections_total{"), TABLE.len() as u64);
    assert_eq!(scene.daemon.money("/customers/thin", "available"), 11_999, "a refusal takes nothing");
}

#[test]
fn too_many_attempts_in_a_second_are_refused_as_such() {
    let mut scene = Scene::new();
    let wrong_password =
        Row { reason: RejectReason::BadCredentials, message: "authentication failed", code: 2, ..ATTEMPTS };
    let (mut wrong, mut limited) = (0, 0);
    // Far more than are needed, unless the machine answers only one in a second.
    while limited < 3 && wrong < 300 {
        let request = scene.request(&ATTEMPTS);
        let answer = scene.gateway.answer(scene.daemon.auth(), &request);
        if answer.message.as_deref() == Some(ATTEMPTS.message) {
            check(&ATTEMPTS, &answer);
            limited += 1;
        } else {
            check(&wrong_password, &answer);
            wrong += 1;
        }
    }
    assert_eq!(limited, 3, "{wrong} attempts, and hardly any was one too many");
    wait_until("all are counted", || {
        scene.counted(RejectReason::AttemptsLimit) == limited && scene.counted(RejectReason::BadCredentials) == wrong
    });
}

#[test]
fn no_reason_is_missing_here() {
    let here = |reason: &RejectReason| TABLE.iter().chain([&ATTEMPTS]).any(|row| row.reason == *reason);
    let missing: Vec<_> = RejectReason::ALL.into_iter().filter(|reason| !here(reason)).collect();
    assert_eq!(missing, []);
}
