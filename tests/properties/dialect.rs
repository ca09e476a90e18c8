//! What must hold of dialects for any packet and any spelling: nothing falls, what is written is
//! read back, and two calls never become one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use ringfence::dialect::profile::CauseBase;
use ringfence::dialect::{ClassMark, dialect_for, h323};
use ringfence::domain::id::{CallId, ConfId};
use ringfence::domain::money::Money;
use ringfence::domain::nas::DialectName;
use ringfence::domain::time::Timestamp;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;

#[path = "../fuzz/dialects.rs"]
mod target;

// ---------------------------------------------------------------------- generators

/// Texts that gateways send, whole, cut, glued and garbled.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let parts = select(vec![
        "h323-conf-id=",
        "h323-call-origin=",
        "h323-setup-time=",
        "h323-disconnect-cause=",
        "h323-remote-address=",
        "call-id=",
        "02102944 600a1899 3fd61009 0e2f3cc5",
        "0 0 0 0",
        "answer",
        "originate",
        "10",
        "0x",
        "2f",
        "12:42:16.000 UTC Mon Nov 23 2026",
        "*12:42:16",
        "2014-04-08_12:00:06",
        "2026-11-23T12:42:16+",
        "Feb 29 2025",
        "1795437736",
        "192.0.2.1",
        "[2001:db8::1]",
        ":5060",
        "ip4:",
        "rf-00000007-",
        "\"",
        "\0",
        " ",
        "=",
        ".",
        "é",
    ]);
    let garbled = prop_oneof![3 => parts.prop_map(|part| part.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..20)];
    vec(garbled, 0..5).prop_map(|parts| {
        let mut bytes = parts.concat();
        bytes.truncate(247);
        bytes
    })
}

/// A request whose attributes are mostly such that dialects look at.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0..20u32, any::<u32>()].prop_map(|number| number.to_be_bytes().to_vec());
    let value = prop_oneof![text(), number, vec(any::<u8>(), 0..250)];
    let kind = prop_oneof![
        select(vec![1u8, 4, 5, 6, 8, 25, 26, 30, 31, 32, 40, 40, 41, 44, 46, 55, 60, 95, 101, 102, 204, 205]),
        any::<u8>()
    ];
    let vendor = prop_oneof![select(vec![9u32, 6618, 5003, 4923]), any::<u32>()];
    let vendor_kind = prop_oneof![select(vec![1u8, 23, 24, 25, 26, 28, 29, 30, 141]), any::<u8>()];
    let plain = (kind, value.clone()).prop_map(|(kind, value)| (None, kind, value));
    let specific = (vendor, vendor_kind, value).prop_map(|(vendor, kind, value)| (Some(vendor), kind, value));
    (any::<bool>(), vec(prop_oneof![plain, specific], 0..14)).prop_map(|(access, attributes)| {
        let code = if access { Code::ACCESS_REQUEST } else { Code::ACCOUNTING_REQUEST };
        let mut request = RequestBuilder::new(code, 1);
        for (vendor, kind, mut value) in attributes {
            match vendor {
                Some(vendor) => {
                    value.truncate(247);
                    request.vendor(vendor, kind, &value)
                }
                // The builder keeps this one for itself.
                None if kind == 80 => continue,
                None => request.attribute(kind, &value),
            };
        }
        request.finish(&Secret::from("s"), [5; 16]).expect("14 attributes are less than 4096 bytes")
    })
}

// ---------------------------------------------------------------------- laws

proptest! {
    #[test]
    fn no_soup_of_attributes_is_too_much(request in request()) {
        target::read_and_answer(&request);
    }

    #[test]
    fn no_text_is_too_much(text in text(), zone in -50_000..50_000i32) {
        let _ = h323::time(&text, zone);
        let _ = h323::address(&text);
        let _ = h323::conf_id(&text);
        let _ = h323::call_origin(&text);
        for base in [CauseBase::Hexadecimal, CauseBase::Decimal] {
            let _ = h323::disconnect_cause(&text, base);
        }
        let _ = h323::named_value(text.first().copied().unwrap_or_default(), &text);
    }

    #[test]
    fn every_spelling_of_a_conference_identifier_is_the_same(
        bytes in any::<[u8; 16]>().prop_filter("zeroes are none", |bytes| *bytes != [0; 16]),
        capitals in any::<bool>(),
    ) {
        let canonical = ConfId(bytes);
        let groups = canonical.to_string();
        let stripped: Vec<_> = groups.split(' ').map(|group| match group.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        }).collect();
        for text in [groups.clone(), groups.replace(' ', ""), stripped.join(" ")] {
            let text = if capitals { text.to_uppercase() } else { text };
            prop_assert_eq!(h323::conf_id(text.as_bytes()), Some(canonical), "{}", text);
        }
        if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            prop_assert_eq!(h323::conf_id(&bytes), Some(canonical));
        }
    }

    #[test]
    fn every_spelling_of_an_instant_is_the_same(
        millis in 1..4_102_444_800_000i64,
        minutes_east in -14 * 60..=14 * 60i32,
    ) {
        let offset = jiff::tz::Offset::from_seconds(minutes_east * 60).expect("a zone");
        let local = offset.to_datetime(jiff::Timestamp::from_millisecond(millis).expect("in the calendar"));
        let sign = if minutes_east < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes_east.abs() / 60, minutes_east.abs() % 60);
        let in_words = local.strftime("%H:%M:%S.%3f");
        let day = local.strftime("%a %b %-d %Y");
        for text in [
            format!("{in_words} {sign}{hours:02}{minutes:02} {day}"),
            format!("*{in_words} UTC{sign}{hours}:{minutes:02} {day}"),
            format!("{}{sign}{hours:02}:{minutes:02}", local.strftime("%Y-%m-%dT%H:%M:%S.%3f")),
        ] {
            prop_assert_eq!(h323::time(text.as_bytes(), 0), Some(Timestamp::from_millis(millis)), "{}", text);
        }
        for text in [
            format!("{in_words} {day}"),
            format!("{in_words} HOME {day}"),
            format!("{}", local.strftime("%Y-%m-%d_%H:%M:%S.%3f")),
        ] {
            let at = h323::time(text.as_bytes(), minutes_east * 60);
            prop_assert_eq!(at, Some(Timestamp::from_millis(millis)), "{}: the zone of the profile", text);
        }
    }

    #[test]
    fn an_amount_is_at_most_a_cent_less(micros in 0..i64::MAX) {
        let told: Money = h323::credit_amount(Money::from_micros(micros)).parse().expect("an amount");
        prop_assert!(told.micros() <= micros && micros - told.micros() < 10_000);
    }

    #[test]
    fn a_class_names_one_call_of_one_database(instance in any::<u32>(), call in any::<u64>(), other in any::<u32>()) {
        let class = ClassMark::new(instance).encode(CallId(call));
        prop_assert_eq!(ClassMark::new(instance).decode(class.as_bytes()), Some(CallId(call)));
        let by_other = ClassMark::new(other).decode(class.as_bytes());
        prop_assert_eq!(by_other.is_some(), instance == other);
    }

    #[test]
    fn a_class_that_is_read_is_one_that_was_written(class in vec(any::<u8>(), 0..40), number in "[0-9+ ]{1,21}") {
        let mark = ClassMark::new(7);
        for class in [class, format!("rf-00000007-{number}").into_bytes()] {
            if let Some(call) = mark.decode(&class) {
                prop_assert_eq!(mark.encode(call).into_bytes(), class);
            }
        }
    }

    /// Callers choose Call-IDs: were two of them one key, the second call would be free.
    #[test]
    fn two_names_are_two_calls(a in name(), b in name(), name in select(DialectName::ALL)) {
        prop_assume!(a != b);
        prop_assert_ne!(key(name, 44, &a), key(name, 44, &b));
        let pair = |id: &[u8]| [b"call-id=", id].concat();
        prop_assert_ne!(key(name, 1, &pair(&a)), key(name, 1, &pair(&b)));
        prop_assert_eq!(key(name, 44, &a), key(name, 1, &pair(&a)), "a NAS may send the one as the other");
    }
}

/// A Call-ID that differs from others only a little.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(b"aA \"'=@\t".to_vec());
    vec(byte, 1..6)
}

/// The key by an Acct-Session-Id (44) or an AVPair (1).
fn key(name: DialectName, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
    match kind {
        44 => request.attribute(44, value),
        _ => request.vendor(9, kind, value),
    };
    let bytes = request.finish(&Secret::from("s"), [0; 16]).expect("short");
    let packet = Packet::decode(&bytes).expect("built by us");
    let request = dialect_for(name).read_access(&packet, &target::nas(name), ClassMark::new(7));
    request.identity.key.expect("it has a name").0.into_vec()
}
