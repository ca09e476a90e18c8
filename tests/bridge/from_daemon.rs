//! The whole way: an operator's command, the daemon's Disconnect-Request, the bridge, Kamailio, both
//! phones.

use crate::beside_kamailio::scene;
use crate::live::daemon::Daemon;
use crate::live::gateway::{Call, Gateway, Status};
use crate::live::wait_until;
use ringfence::wire::packet::Code;
use tempfile::TempDir;

#[test]
fn an_operator_hangs_a_call_of_the_proxy_up() {
    let scene = scene();
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), "");
    daemon.apply(&format!(
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
         [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"10\"\n\
         [[account]]\nid = \"alice\"\ncustomer = \"acme\"\npassword = \"secret1\"\n\
         [[nas]]\nid = \"proxy1\"\naddress = \"127.0.0.1/32\"\nsecret = \"testing123\"\ndialect = \"kamailio\"\n\
         [nas.disconnect]\naddress = \"{}\"\n",
        scene.bridge.address()
    ));
    let session = "the-whole-way@127.0.0.1";
    let call = scene.answered(session);
    // What the proxy's RADIUS modules would tell of it.
    let mut gateway = Gateway::new(1);
    let told = Call { user: "alice", password: "secret1", caller: "4930100", called: "4930200", session };
    let request = gateway.authorize(&told);
    assert_eq!(gateway.answer(daemon.auth(), &request).code, Code::ACCESS_ACCEPT);
    let start = gateway.account(&told, Status::Start, 0, None);
    gateway.answer(daemon.acct(), &start);

    let output = daemon.command(&["call", "disconnect", session, "--yes"]);
    assert!(output.status.success(), "{output:?}");
    assert!(call.was_hung_up());
    wait_until("the ACK", || daemon.metric("ringfence_disconnects_total{outcome=\"acknowledged\"}") == 1);
    let stop = gateway.account(&told, Status::Stop, 1, None);
    gateway.answer(daemon.acct(), &stop);
    assert_eq!(daemon.wait_for_cdrs("", 1).len(), 1);
}
