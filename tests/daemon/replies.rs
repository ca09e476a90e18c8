//! What every reply carries: the Proxy-States of its request, and a Message-Authenticator where one
//! is due. The digests are worked out here, not by the daemon's own code.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Gateway, SECRET};

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

/// As three proxies in a row leave them: one of a single byte, one of all there may be, one that is
/// the same again, one of zeroes.
fn proxy_states() -> Vec<Vec<u8>> {
    vec![b"1".to_vec(), (0..253).collect(), b"1".to_vec(), vec![0; 4], b"last".to_vec()]
}

/// A daemon with [`SETUP`], and its gateway.
struct Scene {
    daemon: Daemon,
    _directory: TempDir,
    gateway: Gateway,
}

/// A reply, and the request that it answers.
struct Exchange {
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Scene {
    fn new() -> Scene {
        let directory = TempDir::new().expect("a directory for temporary files");
        let daemon = Daemon::started(directory.path(), "");
        daemon.apply(SETUP);
        Scene { daemon, _directory: directory, gateway: Gateway::new(10) }
    }

    /// An Access-Request whose Proxy-States stand among its other attributes.
    fn access(&mut self, password: &str) -> Exchange {
        let mut request = self.gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true);
        Scene::with_proxy_states(&mut request, |request| {
            request.text(kind::USER_NAME, "alice").user_password(password.as_bytes());
        });
        let request = self.gateway.signed(request.text(kind::CALLED_STATION_ID, "4930123"));
        Exchange { reply: self.gateway.answer_bytes(self.daemon.auth(), &request), request }
    }

    fn accounting(&mut self, message_authenticator: bool) -> Exchange {
        let mut request = self.gateway.request(Code::ACCOUNTING_REQUEST);
        request.message_authenticator(message_authenticator);
        Scene::with_proxy_states(&mut request, |request| {
            request.text(kind::USER_NAME, "alice").integer(kind::ACCT_STATUS_TYPE, 1);
        });
        request.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, "s1");
        let request = self.gateway.signed(&request);
        Exchange { reply: self.gateway.answer_bytes(self.daemon.acct(), &request), request }
    }

    fn with_proxy_states(request: &mut RequestBuilder, between: impl FnOnce(&mut RequestBuilder)) {
        let states = proxy_states();
        let (first, others) = states.split_first().expect("there are some");
        request.attribute(kind::PROXY_STATE, first);
        between(request);
        others.iter().for_each(|state| {
            request.attribute(kind::PROXY_STATE, state);
        });
    }
}

impl Exchange {
    fn code(&self) -> Code {
        Code(self.reply[0])
    }

    fn proxy_states(&self) -> Vec<Vec<u8>> {
        self.decoded().all(kind::PROXY_STATE).map(<[u8]>::to_vec).collect()
    }

    fn kinds(&self) -> Vec<u8> {
        self.decoded().attributes().map(|attribute| attribute.kind).collect()
    }

    fn decoded(&self) -> Packet<'_> {
        Packet::decode(&self.reply).expect("it was verified")
    }

    fn request_authenticator(&self) -> [u8; 16] {
        self.request[4..20].try_into().expect("sixteen bytes")
    }

    /// The first attribute is a Message-Authenticator, the only one, and is the HMAC-MD5 over the
    /// reply with this in place of its authenticator and with zeroes in its own place (RFC 2869,
    /// 5.14).
    fn assert_message_authenticator_over(&self, authenticator: [u8; 16]) {
        let found = self.kinds().iter().filter(|other| **other == kind::MESSAGE_AUTHENTICATOR).count();
        assert_eq!((found, self.reply[20], self.reply[21]), (1, kind::MESSAGE_AUTHENTICATOR, 18), "{:?}", self.kinds());
        let mut bytes = self.reply.clone();
        bytes[4..20].copy_from_slice(&authenticator);
        let sent: [u8; 16] = std::mem::take(bytes[22..38].first_chunk_mut().expect("sixteen bytes"));
        let mut mac = Hmac::<Md5>::new_from_slice(SECRET.as_bytes()).expect("any length of key");
        mac.update(&bytes);
        assert_eq!(mac.finalize().into_bytes().as_slice(), sent, "{:?}", self.code());
    }
}

#[test]
fn proxy_states_come_back_in_order_and_as_they_were() {
    let mut scene = Scene::new();
    for (exchange, code) in [
        (scene.access("wrong"), Code::ACCESS_REJECT),
        (scene.access("secret1"), Code::ACCESS_ACCEPT),
        (scene.accounting(false), Code::ACCOUNTING_RESPONSE),
        (scene.accounting(true), Code::ACCOUNTING_RESPONSE),
    ] {
        assert_eq!((exchange.code(), exchange.proxy_states()), (code, proxy_states()));
    }
}

#[test]
fn nothing_is_echoed_that_was_not_sent() {
    let mut scene = Scene::new();
    let request = scene.gateway.status_server();
    let reply = scene.gateway.answer_bytes(scene.daemon.auth(), &request);
    assert_eq!(Exchange { request, reply }.proxy_states(), Vec::<Vec<u8>>::new());
}

#[test]
fn access_replies_begin_with_a_message_authenticator() {
    let mut scene = Scene::new();
    for password in ["secret1", "wrong"] {
        let exchange = scene.access(password);
        exchange.assert_message_authenticator_over(exchange.request_authenticator());
    }
}

#[test]
fn the_answer_to_status_server_begins_with_one_on_both_ports() {
    let mut scene = Scene::new();
    for (port, code) in [(scene.daemon.auth(), Code::ACCESS_ACCEPT), (scene.daemon.acct(), Code::ACCOUNTING_RESPONSE)] {
        let request = scene.gateway.status_server();
        let reply = scene.gateway.answer_bytes(port, &request);
        let exchange = Exchange { request, reply };
        assert_eq!(exchange.code(), code);
        exchange.assert_message_authenticator_over(exchange.request_authenticator());
    }
}

#[test]
fn an_accounting_response_has_one_where_its_request_had() {
    let mut scene = Scene::new();
    let without = scene.accounting(false);
    assert!(!without.kinds().contains(&kind::MESSAGE_AUTHENTICATOR), "{:?}", without.kinds());
    // No RFC says over what; zeroes are what FreeRADIUS made the practice.
    scene.accounting(true).assert_message_authenticator_over([0; 16]);
}
