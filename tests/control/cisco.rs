//! A Cisco gateway, which obeys only where a leg is named byte for byte as it named it itself.

use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use ringfence::wire::request::RequestBuilder;

use crate::fake_nas::Up;
use crate::live::gateway::{Gateway, Status};
use crate::stage::{CALL_ORIGIN, CISCO, CONF_ID, SHORT, Stage, naming, price};

/// What kind of call it is; names nothing.
const CALL_TYPE: u8 = 27;

fn name(request: &mut RequestBuilder) {
    request
        .vendor(CISCO, CONF_ID, b"h323-conf-id=2102944 600a1899 3fd61009 E2F3CC5")
        .text(kind::CALLING_STATION_ID, "040 100")
        .text(kind::CALLED_STATION_ID, "+49.30.123")
        .text(kind::USER_NAME, "alice");
}

fn accounting(gateway: &mut Gateway, status: Status, session: &str, seconds: Option<u32>) -> Vec<u8> {
    let mut request = gateway.request(Code::ACCOUNTING_REQUEST);
    request.integer(kind::ACCT_STATUS_TYPE, status as u32).text(kind::ACCT_SESSION_ID, session);
    request.vendor(CISCO, CALL_ORIGIN, b"h323-call-origin=answer").vendor(CISCO, CALL_TYPE, b"h323-call-type=VoIP");
    name(&mut request);
    if let Some(seconds) = seconds {
        request.integer(kind::ACCT_SESSION_TIME, seconds);
    }
    gateway.signed(&request)
}

fn stop(gateway: &mut Gateway, session: &str, seconds: u32) -> Vec<u8> {
    accounting(gateway, Status::Stop, session, Some(seconds))
}

#[test]
fn a_cisco_gateway_hears_of_its_leg_in_its_own_bytes() {
    let mut stage = Stage::new(SHORT, 6, "dialect = \"cisco\"");
    // It does not know the session yet when it asks.
    let mut request = stage.gateway.request(Code::ACCESS_REQUEST);
    name(request.message_authenticator(true));
    let request = stage.gateway.signed(request.user_password(b"secret1"));
    assert_eq!(stage.gateway.answer(stage.daemon.auth(), &request).code, Code::ACCESS_ACCEPT);
    let start = accounting(&mut stage.gateway, Status::Start, "0000001A", None);
    stage.nas.answers_call("0000001A", Up::new(naming(&start), stop));
    stage.account(&start);
    let charge = stage.settled_by_stop("c1", "0000001A");
    assert_eq!((stage.nas.disconnects("0000001A"), stage.money("balance")), (1, price(6) - charge));
}
