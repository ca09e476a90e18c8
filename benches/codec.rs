//! The codec: decode and verify an Accounting-Request, sign its reply.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence::wire::authenticator::{MessageAuthenticatorRule, Secret, verify_request};
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use ringfence::wire::request::RequestBuilder;

fn stop(secret: &Secret) -> Vec<u8> {
    let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 7);
    request.integer(40, 2).text(44, "1-14699@127.0.0.1").text(1, "alice").text(31, "15551001").text(30, "15552002");
    request.integer(46, 61).integer(55, 1_800_000_000);
    for (kind, value) in [
        (23, "h323-remote-address=192.0.2.1"),
        (24, "h323-conf-id=35363831 33453146 00000000 00000001"),
        (25, "h323-setup-time=12:00:00.000 UTC Mon Nov 23 2026"),
        (26, "h323-call-origin=answer"),
        (28, "h323-connect-time=12:00:02.000 UTC Mon Nov 23 2026"),
        (30, "h323-disconnect-cause=10"),
    ] {
        request.vendor(9, kind, value.as_bytes());
    }
    request.finish(secret, [0; 16]).expect("fits a packet")
}

fn codec(criterion: &mut Criterion) {
    let secret = Secret::from("testing123");
    let datagram = stop(&secret);
    criterion.bench_function("decode and walk a Stop", |bencher| {
        bencher.iter(|| Packet::decode(black_box(&datagram)).map(|packet| packet.attributes().count()));
    });
    criterion.bench_function("decode, verify and answer a Stop", |bencher| {
        bencher.iter(|| {
            let packet = Packet::decode(black_box(&datagram)).expect("well formed");
            let verified = verify_request(packet, &secret, MessageAuthenticatorRule::IfPresent).expect("signed");
            ReplyBuilder::new(Code::ACCOUNTING_RESPONSE, &verified).finish(&secret).expect("fits a packet")
        });
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
