//! The daemon over real UDP: what is answered, what is not, and what is counted.

mod daemon;
mod digest;
mod gateway;
mod identity;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use daemon::{Daemon, OPENING_MICROS, Wanted, eventually, nas};
use gateway::{Answer, Gateway, INTERIM, START, STOP, signed};
use ringfence::clock::Clock;
use ringfence::domain::call::CallState;
use ringfence::domain::ledger::Purse;
use ringfence::domain::nas::Nas;
use ringfence::metrics::{DropCause, Port, Queue};
use ringfence::store::memory::MemoryDisk;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::Code;

const LOOPBACK: &str = "127.0.0.1";

#[test]
fn a_call_is_authorized_tracked_and_charged() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let accept = gateway.ask(daemon.auth(), &gateway.access("secret1", "s1"));
    assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(600)));
    assert_eq!(accept.first_attribute(), Some(kind::MESSAGE_AUTHENTICATOR));
    assert_eq!(daemon.app.parts().registry.calls_in(CallState::Trying), 1);
    for (status, seconds) in [(START, 0), (INTERIM, 60), (STOP, 90)] {
        let request = gateway.accounting(status, "s1", seconds);
        assert_eq!(gateway.ask(daemon.acct(), &request).code, Code::ACCOUNTING_RESPONSE);
    }
    let Purse { balance, reserved, .. } = daemon.purse();
    assert_eq!((balance.micros(), reserved.micros()), (OPENING_MICROS - 900_000, 0));
    daemon.stop();
}

#[test]
fn a_refusal_is_answered_and_counted_by_its_reason() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let reject = gateway.ask(daemon.auth(), &gateway.access("secret2", "s1"));
    assert_eq!((reject.code, reject.message.as_deref()), (Code::ACCESS_REJECT, Some("authentication failed")));
    let counted: Vec<_> = daemon.metrics().rejections.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("bad_credentials", 1)]);
    daemon.stop();
}

#[test]
fn the_same_datagram_gets_the_same_bytes() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    for (to, request) in [
        (daemon.auth(), gateway.access("secret1", "s1")),
        (daemon.acct(), gateway.accounting(START, "s1", 0)),
        (daemon.acct(), gateway.accounting(STOP, "s1", 60)),
    ] {
        let first = gateway.ask(to, &request);
        for _ in 0..2 {
            assert_eq!(gateway.ask(to, &request).bytes, first.bytes);
        }
    }
    assert_eq!(daemon.metrics().duplicates(), 6);
    assert_eq!(daemon.purse().balance.micros(), OPENING_MICROS - 600_000);
    // From another port it is another request, and the engine knows the call.
    let other = Gateway::new(LOOPBACK);
    let stop_again = gateway.accounting(STOP, "s1", 60);
    assert_eq!(other.ask(daemon.acct(), &stop_again).code, Code::ACCOUNTING_RESPONSE);
    assert_eq!(daemon.purse().balance.micros(), OPENING_MICROS - 600_000);
    daemon.stop();
}

#[test]
fn while_the_journal_fails_nothing_is_answered_and_then_all_is_once() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    daemon.disk.fail_appends(u64::MAX);
    let start = gateway.accounting(START, "s1", 0);
    gateway.send(daemon.acct(), &start);
    eventually("the failure shows", || !daemon.app.parts().health.is_ready());
    gateway.send(daemon.acct(), &start);
    eventually("the repetition is dropped", || daemon.drops(DropCause::InFlight) == 1);
    let prober = Gateway::new(LOOPBACK);
    prober.send(daemon.acct(), &gateway.status_server());
    prober.send(daemon.auth(), &gateway.status_server());
    assert!(prober.hears_nothing(), "a server that records nothing says that it is not there");
    assert!(gateway.hears_nothing());
    let (status, why) = daemon.page("/readyz");
    assert!(status == 503 && why.contains("the journal cannot be written"), "{status} {why}");
    assert_eq!(daemon.page("/healthz").0, 200, "alive all the same");

    daemon.disk.fail_appends(0);
    assert_eq!(Answer::of(gateway.receive(), &start).code, Code::ACCOUNTING_RESPONSE);
    assert!(gateway.hears_nothing(), "one answer for both");
    eventually("the recovery shows", || daemon.page("/readyz").0 == 200);
    daemon.stop();
}

#[test]
fn who_is_no_nas_hears_nothing() {
    let (daemon, stranger) = (Daemon::start(), Gateway::new("127.0.0.2"));
    stranger.send(daemon.auth(), &stranger.access("secret1", "s1"));
    stranger.send(daemon.acct(), &stranger.accounting(START, "s1", 0));
    eventually("both are counted", || daemon.drops(DropCause::UnknownNas) == 2);
    assert!(stranger.hears_nothing());
    // It is one from the moment on that an operator says so.
    daemon.put_nas(nas(9, "gw9", "127.0.0.2/32"));
    let accept = stranger.ask(daemon.auth(), &stranger.access("secret1", "s1"));
    assert_eq!(accept.code, Code::ACCESS_ACCEPT);
    daemon.stop();
}

#[test]
fn what_is_not_proven_is_dropped_by_its_cause() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let mut without = gateway.request(Code::ACCESS_REQUEST);
    without.text(kind::USER_NAME, "alice").user_password(b"secret1");
    gateway.send(daemon.auth(), &signed(&without));
    let wrong = Secret::from("another");
    let mut access = gateway.request(Code::ACCESS_REQUEST);
    access.message_authenticator(true).text(kind::USER_NAME, "alice");
    gateway.send(daemon.auth(), &access.finish(&wrong, [1; 16]).unwrap());
    let mut accounting = gateway.request(Code::ACCOUNTING_REQUEST);
    accounting.integer(kind::ACCT_STATUS_TYPE, START);
    gateway.send(daemon.acct(), &accounting.finish(&wrong, [1; 16]).unwrap());
    let causes =
        [DropCause::MissingMessageAuthenticator, DropCause::BadMessageAuthenticator, DropCause::BadAuthenticator];
    eventually("each is counted", || causes.iter().all(|cause| daemon.drops(*cause) == 1));
    assert!(gateway.hears_nothing());
    assert!(daemon.page("/metrics").1.contains("ringfence_drops_total{cause=\"bad_authenticator\"} 1\n"));
    daemon.stop();
}

#[test]
fn an_access_request_without_message_authenticator_needs_a_setting_and_is_shown() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new("127.0.0.3"));
    daemon.put_nas(Nas { require_message_authenticator: false, ..nas(9, "old-proxy", "127.0.0.3/32") });
    let mut request = gateway.request(Code::ACCESS_REQUEST);
    request.text(kind::USER_NAME, "alice").user_password(b"secret1").text(kind::CALLED_STATION_ID, "4930123");
    let accept = gateway.ask(daemon.auth(), &signed(request.text(kind::ACCT_SESSION_ID, "s1")));
    assert_eq!(accept.code, Code::ACCESS_ACCEPT);
    assert_eq!(accept.first_attribute(), Some(kind::MESSAGE_AUTHENTICATOR), "the reply has one even so");
    let (_, status) = daemon.page("/status");
    let warned = status.lines().any(|line| line.contains("nas old-proxy") && line.contains("(1 came)"));
    assert!(warned, "{status}");
    daemon.stop();
}

#[test]
fn chap_and_calling_numbers_prove_too() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let mut chap = gateway.request(Code::ACCESS_REQUEST);
    chap.message_authenticator(true).text(kind::USER_NAME, "alice").chap_password(
        5,
        Some(b"0123456789abcdef"),
        b"secret1",
    );
    chap.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, "s1");
    assert_eq!(gateway.ask(daemon.auth(), &signed(&chap)).code, Code::ACCESS_ACCEPT);
    // All credit is held for the first call until it ends.
    gateway.ask(daemon.acct(), &gateway.accounting(STOP, "s1", 0));
    let mut ani = gateway.request(Code::ACCESS_REQUEST);
    ani.message_authenticator(true).text(kind::USER_NAME, "4940100").text(kind::CALLING_STATION_ID, "+49 40 100");
    ani.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, "s2");
    assert_eq!(gateway.ask(daemon.auth(), &signed(&ani)).code, Code::ACCESS_ACCEPT);
    daemon.stop();
}

#[test]
fn status_server_is_answered_on_both_ports() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let auth = gateway.ask(daemon.auth(), &gateway.status_server());
    let acct = gateway.ask(daemon.acct(), &gateway.status_server());
    assert_eq!((auth.code, acct.code), (Code::ACCESS_ACCEPT, Code::ACCOUNTING_RESPONSE));
    for answer in [auth, acct] {
        assert_eq!(answer.first_attribute(), Some(kind::MESSAGE_AUTHENTICATOR));
    }
    let unproven = gateway.request(Code::STATUS_SERVER);
    gateway.send(daemon.auth(), &signed(&unproven));
    eventually("it is dropped", || daemon.drops(DropCause::MissingMessageAuthenticator) == 1);
    daemon.stop();
}

#[test]
fn a_code_of_the_other_port_is_counted_and_not_answered() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    gateway.send(daemon.acct(), &gateway.access("secret1", "s1"));
    gateway.send(daemon.auth(), &gateway.accounting(START, "s1", 0));
    eventually("both are counted", || {
        Port::ALL.iter().all(|port| daemon.metrics().port(*port).unknown_types.count() == 1)
    });
    assert!(gateway.hears_nothing());
    daemon.stop();
}

#[test]
fn accounting_that_tells_of_no_call_is_answered_all_the_same() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let mut without_status = gateway.request(Code::ACCOUNTING_REQUEST);
    without_status.text(kind::USER_NAME, "alice");
    let mut of_a_tunnel = gateway.request(Code::ACCOUNTING_REQUEST);
    of_a_tunnel.integer(kind::ACCT_STATUS_TYPE, 9);
    for request in [signed(&without_status), signed(&of_a_tunnel)] {
        let first = gateway.ask(daemon.acct(), &request);
        assert_eq!(first.code, Code::ACCOUNTING_RESPONSE);
        assert_eq!(gateway.ask(daemon.acct(), &request).bytes, first.bytes);
    }
    assert_eq!(daemon.metrics().accounting_without_call.count(), 2);
    assert_eq!(daemon.metrics().nas("gw4").accounting_without_call.count(), 2);
    let (_, page) = daemon.page("/metrics");
    assert!(page.contains("ringfence_nas_accounting_without_call_total{nas=\"gw4\"} 2\n"), "{page}");
    assert!(page.contains("ringfence_port_overflows_total{port=\"acct\"} 0\n"), "{page}");
    daemon.stop();
}

#[test]
fn what_does_not_fit_the_queue_is_dropped_and_its_next_try_is_a_new_one() {
    let wanted = Wanted { queue_max: 2, ..Wanted::default() };
    let (daemon, gateway) = (wanted.start(), Gateway::new(LOOPBACK));
    daemon.set_up();
    daemon.disk.fail_appends(u64::MAX);
    gateway.send(daemon.acct(), &gateway.accounting(START, "held", 0));
    eventually("the engine is busy", || !daemon.app.parts().health.is_ready());
    let waiting: Vec<_> = (0..3).map(|call| gateway.accounting(START, &format!("s{call}"), 0)).collect();
    waiting.iter().for_each(|request| gateway.send(daemon.acct(), request));
    eventually("one is dropped", || daemon.drops(DropCause::QueueFull) == 1);
    assert_eq!(daemon.metrics().queue_depth(Queue::Engine).value(), 2);
    daemon.disk.fail_appends(0);
    for _ in 0..3 {
        gateway.receive();
    }
    let dropped = waiting.last().unwrap();
    assert_eq!(gateway.ask(daemon.acct(), dropped).code, Code::ACCOUNTING_RESPONSE);
    assert_eq!(daemon.metrics().duplicates(), 0, "it was forgotten when it was dropped");
    daemon.stop();
}

#[test]
fn one_socket_takes_ipv4_and_ipv6() {
    let wanted = Wanted { listen: "[::]:0", ..Wanted::default() };
    let daemon = wanted.start();
    daemon.set_up();
    for (local, nas) in [("127.0.0.1", "gw4"), ("[::1]", "gw6")] {
        let gateway = Gateway::new(local);
        let server = format!("{local}:{}", daemon.auth().port()).parse().unwrap();
        let accept = gateway.ask(server, &gateway.access("secret1", nas));
        assert_eq!(accept.code, Code::ACCESS_ACCEPT);
        let acct = format!("{local}:{}", daemon.acct().port()).parse().unwrap();
        gateway.ask(acct, &gateway.accounting(STOP, nas, 0));
        assert_eq!(daemon.metrics().nas(nas).port(Port::Auth).requests.total(), 1);
    }
    daemon.stop();
}

#[test]
fn a_hundred_thousand_datagrams_of_garbage_change_nothing() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    let mut random = fastrand::Rng::with_seed(1);
    let samples = [gateway.access("secret1", "s0"), gateway.accounting(START, "s0", 0), gateway.status_server()];
    for number in 0..100_000_usize {
        let mut datagram = samples[number % samples.len()].clone();
        match number % 4 {
            0 => {
                let length = random.usize(..600);
                datagram = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            }
            1 => datagram.truncate(random.usize(..datagram.len())),
            2 => (0..8).for_each(|_| datagram[random.usize(4..20)] ^= random.u8(1..)),
            _ => (0..4).for_each(|_| {
                let place = random.usize(..datagram.len());
                datagram[place] ^= random.u8(1..);
            }),
        }
        let to = if random.bool() { daemon.auth() } else { daemon.acct() };
        gateway.send(to, &datagram);
    }
    gateway.send(daemon.auth(), &[1; 5_000]);
    gateway.send(daemon.auth(), &[]);

    // Whatever of it is still on its way, this is answered.
    let client = Gateway::new(LOOPBACK);
    let access = gateway.access("secret1", "s1");
    let mut answer = None;
    for _ in 0..100 {
        client.send(daemon.auth(), &access);
        answer = client.receive_within(std::time::Duration::from_millis(500));
        if answer.is_some() {
            break;
        }
    }
    assert_eq!(Answer::of(answer.unwrap(), &access).code, Code::ACCESS_ACCEPT);
    assert_eq!(daemon.app.parts().registry.calls(|_| true).len(), 1);
    assert_eq!(daemon.purse().balance.micros(), OPENING_MICROS);
    assert!(daemon.drops(DropCause::Malformed) > 0 && daemon.drops(DropCause::BadAuthenticator) > 0);
    daemon.app.look().unwrap();
    daemon.stop();
}

#[test]
fn a_stop_answers_what_was_taken() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    daemon.disk.fail_appends(u64::MAX);
    let first = gateway.accounting(START, "s0", 0);
    gateway.send(daemon.acct(), &first);
    eventually("the engine is busy", || !daemon.app.parts().health.is_ready());
    let others: Vec<_> = (1..=20).map(|call| gateway.accounting(START, &format!("s{call}"), 0)).collect();
    others.iter().for_each(|request| gateway.send(daemon.acct(), request));
    let metrics = daemon.app.parts().metrics.clone();
    eventually("all are taken", || metrics.queue_depth(Queue::Engine).value() == 20);

    let (disk, engine) = (daemon.disk.clone(), daemon.app.parts().engine.clone());
    let stopping = std::thread::spawn(move || daemon.stop());
    eventually("it takes no more", || engine.try_submit(ringfence::domain::command::Command::Tick, |_| {}).is_err());
    disk.fail_appends(0);
    for _ in 0..21 {
        assert_eq!(gateway.receive()[0], Code::ACCOUNTING_RESPONSE.0);
    }
    stopping.join().unwrap();
}

#[test]
fn a_restart_goes_on_where_the_last_one_ended() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    gateway.ask(daemon.auth(), &gateway.access("secret1", "s1"));
    gateway.ask(daemon.acct(), &gateway.accounting(START, "s1", 0));
    let before = daemon.purse();
    let disk: MemoryDisk = daemon.stop();

    let daemon = Wanted { disk, ..Wanted::default() }.start();
    assert_eq!((daemon.purse(), daemon.app.parts().registry.calls_in(CallState::Confirmed)), (before, 1));
    gateway.ask(daemon.acct(), &gateway.accounting(STOP, "s1", 60));
    let after = daemon.purse();
    assert_eq!((after.balance.micros(), after.reserved.micros()), (OPENING_MICROS - 600_000, 0));
    daemon.stop();
}

#[test]
fn time_alone_frees_a_call_that_nobody_answered() {
    let millis = Arc::new(AtomicI64::new(1_800_000_000_000));
    let daemon = Wanted { clock: Some(Clock::manual(millis.clone())), ..Wanted::default() }.start();
    daemon.set_up();
    let gateway = Gateway::new(LOOPBACK);
    gateway.ask(daemon.auth(), &gateway.access("secret1", "s1"));
    assert!(daemon.purse().reserved.micros() > 0);
    millis.fetch_add(181_000, Ordering::SeqCst);
    eventually("the money is free", || daemon.purse().reserved.micros() == 0);
    eventually("the call is over", || daemon.app.parts().registry.calls_in(CallState::Trying) == 0);
    daemon.stop();
}

#[test]
fn the_status_port_tells_a_person_and_a_program() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new(LOOPBACK));
    gateway.ask(daemon.auth(), &gateway.access("secret1", "s1"));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(daemon.page(path), (200, "ok\n".to_owned()));
    }
    let (_, text) = daemon.page("/status");
    for expected in [": ready, up ", "trying 1", "oldest c1 ", "gw4", &daemon.auth().to_string()] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let (_, json) = daemon.page("/status?format=json");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["ready"], true);
    assert_eq!(report["calls"]["trying"], 1);
    assert_eq!(report["listening"]["auth"][0], daemon.auth().to_string());
    // Guard full: all that was told is held, so nothing is at risk.
    let money = &report["money"][0];
    assert_eq!((&money["currency"], &money["exposure"]), (&"EUR".into(), &"0.000000".into()));
    assert_eq!((&money["reserved"], &money["available"]), (&"6.000000".into(), &"0.000000".into()));
    assert!(daemon.page("/metrics").1.contains("ringfence_calls{state=\"trying\"} 1\n"));
    assert_eq!(daemon.page("/nothing").0, 404);
    daemon.stop();
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let daemon = Daemon::start();
    let listen: &'static str = daemon.auth().to_string().leak();
    let directory = tempfile::tempdir().unwrap();
    let refused = Wanted { listen, ..Wanted::default() }.app(&directory).err().unwrap().to_string();
    assert!(refused.starts_with(&format!("cannot listen on {listen} (UDP, auth): ")), "{refused}");
    assert!(refused.ends_with("; stop what uses it, or give another port") && !refused.contains('\n'), "{refused}");
    daemon.stop();
}
