//! Who needs no password: a caller whose address or number the operator trusts.

use std::net::Ipv4Addr;

use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Answer, Gateway};

const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
rate = [{ prefix = "49", per_minute = "0.6" }]
[[customer]]
id = "acme"
tariff = "retail"
opening_balance = "1000"
[[account]]
id = "pbx"
customer = "acme"
trusted_addresses = ["198.51.100.7"]
[[account]]
id = "desk"
customer = "acme"
ani = ["4940100"]
[[nas]]
id = "gw10"
address = "127.0.0.10/32"
secret = "testing123"
grant_seconds_max = 600
[[nas]]
id = "gw11"
address = "127.0.0.11/32"
secret = "testing123"
dialect = "cisco"
grant_seconds_max = 600
"#;

/// Framed-IP-Address (RFC 2865, 5.8), and h323-remote-address of Cisco.
const FRAMED_IP_ADDRESS: u8 = 8;
const REMOTE_ADDRESS: (u32, u8) = (9, 23);

/// How a gateway tells where its caller is.
#[derive(Clone, Copy, Debug)]
enum Tells {
    Framed(Ipv4Addr),
    Remote(&'static str),
    Nothing,
}

/// Two gateways, a plain one and one of Cisco's shape, and what they ask.
struct Scene {
    daemon: Daemon,
    _directory: TempDir,
    calls: u32,
}

const PLAIN: u8 = 10;
const CISCO: u8 = 11;
const TRUSTED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

impl Scene {
    fn new() -> Scene {
        let directory = TempDir::new().expect("a directory for temporary files");
        let daemon = Daemon::started(directory.path(), "");
        daemon.apply(SETUP);
        Scene { daemon, _directory: directory, calls: 0 }
    }

    /// A call from this gateway without any password.
    fn asks(&mut self, host: u8, user: Option<&str>, caller: &str, tells: Tells) -> Answer {
        let mut gateway = Gateway::new(host);
        self.calls += 1;
        let mut request = gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true);
        if let Some(user) = user {
            request.text(kind::USER_NAME, user);
        }
        match tells {
            Tells::Framed(address) => request.attribute(FRAMED_IP_ADDRESS, &address.octets()),
            Tells::Remote(address) => {
                let value = format!("h323-remote-address={address}");
                request.vendor(REMOTE_ADDRESS.0, REMOTE_ADDRESS.1, value.as_bytes())
            }
            Tells::Nothing => &mut request,
        };
        request
            .text(kind::CALLING_STATION_ID, caller)
            .text(kind::CALLED_STATION_ID, "4930123")
            .text(kind::ACCT_SESSION_ID, &format!("s{}", self.calls));
        gateway.answer(self.daemon.auth(), &gateway.signed(&request))
    }

    /// The account of the newest call.
    fn account(&self) -> String {
        let call = self.daemon.api().get(&format!("/api/v1/calls/s{}", self.calls));
        call["account"].as_str().unwrap_or_else(|| panic!("no account in {call}")).to_owned()
    }

    fn rejections(&self, reason: &str) -> u64 {
        self.daemon.metric(&format!("ringfence_rejections_total{{reason=\"{reason}\"}}"))
    }
}

fn is_refused(answer: &Answer) -> bool {
    answer.code == Code::ACCESS_REJECT && answer.message.as_deref() == Some("authentication failed")
}

#[test]
fn a_trusted_address_proves_and_another_does_not() {
    let mut scene = Scene::new();
    for (host, right, wrong) in [
        (PLAIN, Tells::Framed(TRUSTED), Tells::Framed(OTHER)),
        (PLAIN, Tells::Remote("198.51.100.7"), Tells::Remote("198.51.100.8")),
        (CISCO, Tells::Remote("198.51.100.7"), Tells::Remote("198.51.100.77")),
        (CISCO, Tells::Framed(TRUSTED), Tells::Nothing),
    ] {
        // Named, or known by nothing but where it is; SIP proxies name the caller's address.
        for user in [Some("pbx"), Some("198.51.100.7"), None] {
            let accept = scene.asks(host, user, "4989000", right);
            assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(600)), "{user:?} {right:?}");
            assert_eq!(scene.account(), "pbx");
            let reject = scene.asks(host, user, "4989000", wrong);
            assert!(is_refused(&reject), "{user:?} {wrong:?}: {reject:?}");
        }
    }
    // Where the account was named it was known, and not proven.
    assert_eq!((scene.rejections("bad_credentials"), scene.rejections("unknown_account")), (4, 8));
}

#[test]
fn the_address_of_the_gateway_is_not_that_of_the_caller() {
    let mut scene = Scene::new();
    let gateways = "[[account]]\nid = \"near\"\ncustomer = \"acme\"\ntrusted_addresses = [\"127.0.0.10\"]\n";
    scene.daemon.apply(gateways);
    assert!(is_refused(&scene.asks(PLAIN, Some("near"), "4989000", Tells::Nothing)));
}

#[test]
fn a_trusted_number_proves_and_another_does_not() {
    let mut scene = Scene::new();
    for host in [PLAIN, CISCO] {
        for user in [Some("desk"), Some("4940100"), None] {
            let accept = scene.asks(host, user, "+49 40 100", Tells::Nothing);
            assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(600)), "{user:?}");
            assert_eq!(scene.account(), "desk");
            assert!(is_refused(&scene.asks(host, user, "4940101", Tells::Nothing)), "{user:?}");
        }
    }
    assert_eq!((scene.rejections("bad_credentials"), scene.rejections("unknown_account")), (2, 4));
}

#[test]
fn the_trusted_address_of_one_account_proves_no_other() {
    let mut scene = Scene::new();
    assert!(is_refused(&scene.asks(PLAIN, Some("desk"), "4989000", Tells::Framed(TRUSTED))));
    assert!(is_refused(&scene.asks(PLAIN, Some("pbx"), "4940100", Tells::Nothing)));
}
