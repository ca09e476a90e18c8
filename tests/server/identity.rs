//! What a call is, whatever the ports, identifiers and proxies between; and what clients get wrong.

use ringfence::domain::habits::{Boxes, Habits};
use ringfence::domain::id::AccountKey;
use ringfence::domain::limit::Entity;
use ringfence::domain::nas::{DialectName, Nas};
use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use ringfence::wire::request::RequestBuilder;

use crate::daemon::{Daemon, OPENING_MICROS, nas};
use crate::gateway::{Answer, Gateway, INTERIM, START, STOP, signed};

const FAILED: u32 = 15;

fn slots(daemon: &Daemon) -> u32 {
    daemon.app.parts().registry.slots(Entity::Account(AccountKey(3)))
}

/// radcli: each packet from a port of its own, with an identifier drawn at random.
#[test]
fn a_call_is_one_from_whatever_port_it_is_told_of() {
    let daemon = Daemon::start();
    for _ in 0..3 {
        let gateway = Gateway::new("127.0.0.1");
        assert_eq!(gateway.ask(daemon.auth(), &gateway.access("secret1", "s1")).code, Code::ACCESS_ACCEPT);
    }
    assert_eq!(slots(&daemon), 1);
    for (status, seconds) in [(START, 0), (STOP, 60), (STOP, 60)] {
        let gateway = Gateway::new("127.0.0.1");
        gateway.ask(daemon.acct(), &gateway.accounting(status, "s1", seconds));
    }
    assert_eq!((slots(&daemon), daemon.purse().balance.micros()), (0, OPENING_MICROS - 600_000));
    daemon.stop();
}

/// radsecproxy: one port for all its clients, identifiers from 0 for each server behind it.
#[test]
fn the_same_identifier_on_both_ports_is_two_requests() {
    let (daemon, proxy) = (Daemon::start(), Gateway::new("127.0.0.1"));
    let with_proxy_state = |code: Code, state: &str| {
        let mut request = RequestBuilder::new(code, 0);
        request.text(kind::USER_NAME, "alice").text(kind::CALLED_STATION_ID, "4930123");
        request.text(kind::ACCT_SESSION_ID, "s1").text(kind::PROXY_STATE, state);
        request
    };
    let mut access = with_proxy_state(Code::ACCESS_REQUEST, "a");
    let access = signed(access.message_authenticator(true).user_password(b"secret1"));
    let mut start = with_proxy_state(Code::ACCOUNTING_REQUEST, "b");
    let start = signed(start.integer(kind::ACCT_STATUS_TYPE, START));
    proxy.send(daemon.auth(), &access);
    let accept = Answer::of(proxy.receive(), &access);
    proxy.send(daemon.acct(), &start);
    let recorded = Answer::of(proxy.receive(), &start);
    assert_eq!((accept.code, recorded.code), (Code::ACCESS_ACCEPT, Code::ACCOUNTING_RESPONSE));
    assert_eq!(proxy.ask(daemon.auth(), &access).bytes, accept.bytes, "each port keeps its own reply");
    assert_eq!(proxy.ask(daemon.acct(), &start).bytes, recorded.bytes);
    // Two gateways behind it use one session id of their own accord: one call at the proxy's address, and
    // another number under it is not let through.
    let mut other = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
    other.message_authenticator(true).text(kind::USER_NAME, "alice").user_password(b"secret1");
    other.text(kind::CALLED_STATION_ID, "4940").text(kind::ACCT_SESSION_ID, "s1");
    assert_eq!(proxy.ask(daemon.auth(), &signed(&other)).code, Code::ACCESS_REJECT);
    assert_eq!(slots(&daemon), 1);
    daemon.stop();
}

/// radsecproxy before gateways that count their sessions each from 1: one address, one entry, two boxes.
#[test]
fn boxes_behind_one_address_name_their_calls_by_themselves() {
    for (boxes, second, slots_of_two, slots_after_one) in
        [(Boxes::Many, Code::ACCESS_ACCEPT, 2, 1), (Boxes::One, Code::ACCESS_REJECT, 1, 0)]
    {
        let (daemon, proxy) = (Daemon::start(), Gateway::new("127.0.0.1"));
        let habits = Habits { boxes: Some(boxes), ..Habits::default() };
        daemon.put_nas(Nas { habits, grant_seconds_max: 60, ..nas(4, "gw4", "127.0.0.1/32") });
        let ask = |code: Code, address: u8, number: &str, more: &dyn Fn(&mut RequestBuilder)| {
            let mut request = proxy.request(code);
            request.text(kind::USER_NAME, "alice").text(kind::CALLED_STATION_ID, number);
            request.text(kind::ACCT_SESSION_ID, "0000004A").attribute(kind::NAS_IP_ADDRESS, &[10, 0, 0, address]);
            more(&mut request);
            let to = if code == Code::ACCESS_REQUEST { daemon.auth() } else { daemon.acct() };
            proxy.ask(to, &signed(&request)).code
        };
        let access = |request: &mut RequestBuilder| {
            request.message_authenticator(true).user_password(b"secret1");
        };
        let tell = |status: u32| {
            move |request: &mut RequestBuilder| {
                request.integer(kind::ACCT_STATUS_TYPE, status).integer(kind::ACCT_SESSION_TIME, 60);
            }
        };
        assert_eq!(ask(Code::ACCESS_REQUEST, 1, "4930123", &access), Code::ACCESS_ACCEPT);
        assert_eq!(ask(Code::ACCESS_REQUEST, 2, "4940", &access), second, "{boxes}");
        assert_eq!(slots(&daemon), slots_of_two, "{boxes}");
        ask(Code::ACCOUNTING_REQUEST, 2, "4940", &tell(STOP));
        assert_eq!(slots(&daemon), slots_after_one, "the Stop of one box ends its own call: {boxes}");
        ask(Code::ACCOUNTING_REQUEST, 1, "4930123", &tell(STOP));
        assert_eq!(slots(&daemon), 0);
        daemon.stop();
    }
}

/// A Cisco gateway that is set up to send its NAS-Identifier with Access-Requests only, or with accounting only.
#[test]
fn a_gateway_that_names_itself_in_some_packets_only_has_one_call() {
    for in_access in [true, false] {
        let (daemon, gateway) = (Daemon::start(), Gateway::new("127.0.0.1"));
        daemon.put_nas(Nas { grant_seconds_max: 60, ..nas(4, "gw4", "127.0.0.1/32") });
        let ask = |code: Code, is_named: bool, more: &dyn Fn(&mut RequestBuilder)| {
            let mut request = gateway.request(code);
            request.text(kind::USER_NAME, "alice").text(kind::CALLED_STATION_ID, "4930123");
            request.text(kind::ACCT_SESSION_ID, "0000004A").attribute(kind::NAS_IP_ADDRESS, &[10, 0, 0, 1]);
            if is_named {
                request.text(kind::NAS_IDENTIFIER, "gw-a");
            }
            more(&mut request);
            let to = if code == Code::ACCESS_REQUEST { daemon.auth() } else { daemon.acct() };
            gateway.ask(to, &signed(&request)).code
        };
        let access = |request: &mut RequestBuilder| {
            request.message_authenticator(true).user_password(b"secret1");
        };
        let tell = |status: u32| {
            move |request: &mut RequestBuilder| {
                request.integer(kind::ACCT_STATUS_TYPE, status).integer(kind::ACCT_SESSION_TIME, 1);
            }
        };
        assert_eq!(ask(Code::ACCESS_REQUEST, in_access, &access), Code::ACCESS_ACCEPT);
        ask(Code::ACCOUNTING_REQUEST, !in_access, &tell(START));
        assert_eq!(slots(&daemon), 1, "named in access: {in_access}");
        ask(Code::ACCOUNTING_REQUEST, in_access, &tell(STOP));
        assert_eq!(slots(&daemon), 0, "named in access: {in_access}");
        daemon.stop();
    }
}

#[test]
fn what_a_client_gets_wrong_is_counted_by_name() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new("127.0.0.1"));
    daemon.put_nas(Nas { dialect: DialectName::Kamailio, ..nas(4, "gw4", "127.0.0.1/32") });
    for _ in 0..2 {
        gateway.ask(daemon.auth(), &gateway.access("secret1", "s1"));
    }
    let tell = |status: u32, session: &str, more: &dyn Fn(&mut RequestBuilder)| {
        let mut request = gateway.request(Code::ACCOUNTING_REQUEST);
        request.integer(kind::ACCT_STATUS_TYPE, status).text(kind::ACCT_SESSION_ID, session);
        more(&mut request);
        assert_eq!(gateway.ask(daemon.acct(), &signed(&request)).code, Code::ACCOUNTING_RESPONSE);
    };
    let tags = |request: &mut RequestBuilder, from: &str, to: &str| {
        request.text(105, from).text(104, to);
    };
    tell(START, "s1", &|request| {
        tags(request, "f", "t");
        request.integer(kind::ACCT_DELAY_TIME, 1_795_438_423).integer(kind::ACCT_SESSION_TIME, 7);
    });
    tell(INTERIM, "s1", &|request| {
        request.integer(kind::ACCT_SESSION_TIME, 1_795_434_441).vendor(9, 25, b"h323-setup-time=*soon");
    });
    tell(STOP, "s1", &|request| tags(request, "t", "f"));
    tell(FAILED, "s1", &|_| {});
    for (status, at) in [(INTERIM, 0), (7, 946_684_799), (INTERIM, u32::MAX)] {
        tell(status, "s1", &|request| {
            request.integer(kind::EVENT_TIMESTAMP, at);
        });
    }
    gateway.ask(daemon.auth(), &gateway.access("secret1", "s2"));
    tell(STOP, "s2", &|request| {
        request.integer(kind::ACCT_SESSION_TIME, 1);
    });
    let (_, page) = daemon.page("/metrics");
    let counted: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("ringfence_oddities_total{nas=\"gw4\",oddity=\""))
        .map(|rest| rest.split_once("\"} ").expect("a sample"))
        .collect();
    let expected = [
        ("delay_is_a_date", "1"),
        ("session_time_impossible", "1"),
        ("session_time_in_start", "1"),
        ("time_unreadable", "1"),
        ("clock_not_set", "1"),
        ("access_request_doubled", "1"),
        ("tags_swapped", "1"),
        ("start_missing", "1"),
        ("failed_after_stop", "1"),
        ("event_time_old", "2"),
        ("event_time_ahead", "1"),
        ("never_told_of", "0"),
    ];
    assert_eq!(counted, expected);
    assert!(page.contains("ringfence_oddities_total{nas=\"gw6\",oddity=\"tags_swapped\"} 0\n"), "each NAS its own");
    daemon.stop();
}
