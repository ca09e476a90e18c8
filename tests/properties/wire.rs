//! What must hold for any bytes and any packet: decoding never fails otherwise than by its
//! reasons, what is built is read back, what is signed cannot be changed, and the crate `radius`
//! agrees wherever it is not known to be wrong.

use proptest::collection::vec;
use proptest::prelude::*;
use radius::core::avp::AVP;
use radius::core::code::Code as OracleCode;
use radius::core::packet::Packet as Oracle;
use radius::core::rfc2865;

use ringfence::wire::authenticator::{
    MessageAuthenticatorRule, Secret, hide_user_password, reveal_user_password, verify_request,
};
use ringfence::wire::credential::{chap_challenge, chap_matches, pap_matches};
use ringfence::wire::dictionary::{Dictionary, NO_VENDOR};
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use ringfence::wire::request::{RequestBuilder, verify_reply};
use ringfence::wire::value::{Hex, Quoted, parse_hex, unquote};

// ---------------------------------------------------------------------- generators

/// Datagrams near the border of being packets: the length field fits often, attributes sometimes.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let raw = vec(any::<u8>(), 0..200);
    let framed = (any::<u8>(), vec(any::<u8>(), 0..80), -2i32..3).prop_map(|(code, body, off)| {
        let mut bytes = vec![code, 1, 0, 0];
        bytes.extend([0; 16]);
        bytes.extend(body);
        let length = u16::try_from(bytes.len() as i32 + off).expect("small");
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    });
    let attributes =
        (vec(attribute(), 0..8), any::<u8>(), any::<prop::sample::Index>()).prop_map(|(attributes, noise, place)| {
            let mut bytes = vec![1, 1, 0, 0];
            bytes.extend([0; 16]);
            for (kind, value) in attributes {
                bytes.extend([kind, value.len() as u8 + 2]);
                bytes.extend(value);
            }
            let length = u16::try_from(bytes.len()).expect("small");
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let place = place.index(bytes.len());
            bytes[place] ^= noise;
            bytes
        });
    prop_oneof![raw, framed, attributes]
}

/// An attribute that a caller may add by hand to any packet.
fn attribute() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let free = any::<u8>().prop_filter("placed by the builder", |kind| {
        !matches!(*kind, kind::MESSAGE_AUTHENTICATOR | kind::USER_PASSWORD | kind::CHAP_PASSWORD)
    });
    (free, vec(any::<u8>(), 0..60))
}

fn vendor_attribute() -> impl Strategy<Value = (u32, u8, Vec<u8>)> {
    (any::<u32>(), any::<u8>(), vec(any::<u8>(), 0..60))
}

fn request_code() -> impl Strategy<Value = Code> {
    prop::sample::select(vec![
        Code::ACCESS_REQUEST,
        Code::ACCOUNTING_REQUEST,
        Code::STATUS_SERVER,
        Code::DISCONNECT_REQUEST,
        Code::COA_REQUEST,
    ])
}

fn answer_to(code: Code) -> Code {
    match code {
        Code::ACCESS_REQUEST | Code::STATUS_SERVER => Code::ACCESS_ACCEPT,
        Code::ACCOUNTING_REQUEST => Code::ACCOUNTING_RESPONSE,
        Code::DISCONNECT_REQUEST => Code::DISCONNECT_NAK,
        _ => Code::COA_ACK,
    }
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..40)
}

prop_compose! {
    /// A signed request that proves its secret, and what it was made of.
    fn signed()(
        code in request_code(),
        identifier in any::<u8>(),
        attributes in vec(attribute(), 0..8),
        vendor_attributes in vec(vendor_attribute(), 0..4),
        authenticator in any::<[u8; 16]>(),
        has_proof in any::<bool>(),
        secret in secret(),
    ) -> Signed {
        let mut builder = RequestBuilder::new(code, identifier);
        for (kind, value) in &attributes {
            builder.attribute(*kind, value);
        }
        for (vendor, kind, value) in &vendor_attributes {
            builder.vendor(*vendor, *kind, value);
        }
        let is_signed_by_header = !matches!(code, Code::ACCESS_REQUEST | Code::STATUS_SERVER);
        builder.message_authenticator(has_proof || !is_signed_by_header);
        let secret = Secret::from(secret);
        let bytes = builder.finish(&secret, authenticator).expect("below 4096 bytes");
        Signed { code, identifier, attributes, vendor_attributes, secret, bytes }
    }
}

#[derive(Debug)]
struct Signed {
    code: Code,
    identifier: u8,
    attributes: Vec<(u8, Vec<u8>)>,
    vendor_attributes: Vec<(u32, u8, Vec<u8>)>,
    secret: Secret,
    bytes: Vec<u8>,
}

// ---------------------------------------------------------------------- decoding

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in datagram()) {
        if let Ok(packet) = Packet::decode(&bytes) {
            let attributes: usize = packet
                .attributes()
                .map(|attribute| attribute.value.len() + 2)
                .sum();
            prop_assert_eq!(packet.bytes().len(), 20 + attributes);
            for attribute in packet.attributes() {
                let shown = Dictionary::builtin().describe(&attribute);
                prop_assert!(!shown.chars().any(char::is_control));
            }
            let decoded = packet.vendor_attributes().count();
            prop_assert!(decoded <= packet.bytes().len());
            let _ = verify_request(packet, &"x".into(), MessageAuthenticatorRule::IfPresent);
            let _ = verify_reply(&bytes, &bytes, &"x".into());
        }
    }

    #[test]
    fn what_is_built_is_read_back(signed in signed()) {
        let packet = Packet::decode(&signed.bytes).expect("built by us");
        prop_assert_eq!(packet.code(), signed.code);
        prop_assert_eq!(packet.identifier(), signed.identifier);
        let found: Vec<_> = packet
            .attributes()
            .filter(|attribute| attribute.kind != kind::MESSAGE_AUTHENTICATOR)
            .map(|attribute| (attribute.kind, attribute.value.to_vec()))
            .take(signed.attributes.len())
            .collect();
        prop_assert_eq!(&found, &signed.attributes);
        let skipped = signed
            .attributes
            .iter()
            .filter(|(kind, _)| *kind == kind::VENDOR_SPECIFIC)
            .count();
        if skipped == 0 {
            let found: Vec<_> = packet
                .vendor_attributes()
                .map(|it| (it.vendor, it.kind, it.value.to_vec()))
                .collect();
            prop_assert_eq!(&found, &signed.vendor_attributes);
        }
        let rule = MessageAuthenticatorRule::Required;
        prop_assert!(verify_request(packet, &signed.secret, rule).is_ok());
    }

    #[test]
    fn padding_changes_nothing(signed in signed(), padding in vec(any::<u8>(), 0..20)) {
        let padded = [&signed.bytes[..], &padding].concat();
        prop_assert_eq!(Packet::decode(&padded), Packet::decode(&signed.bytes));
    }
}

// ---------------------------------------------------------------------- proof

proptest! {
    #[test]
    fn no_byte_of_a_signed_request_can_be_changed(
        signed in signed(),
        place in any::<prop::sample::Index>(),
        noise in 1..=u8::MAX,
    ) {
        let mut bytes = signed.bytes.clone();
        let place = place.index(bytes.len());
        bytes[place] ^= noise;
        // A code turned from one kind of request into another is signed by other rules, but
        // never passes for proved.
        let verified = Packet::decode(&bytes).ok().and_then(|packet| {
            verify_request(packet, &signed.secret, MessageAuthenticatorRule::Required).ok()
        });
        prop_assert!(verified.is_none(), "byte {} turned by {}", place, noise);
    }

    #[test]
    fn another_secret_proves_nothing(signed in signed(), other in secret()) {
        // HMAC fills a short key with zeroes, so that zeroes at its end do not count.
        let significant = |bytes: &[u8]| {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes[..end].to_vec()
        };
        prop_assume!(significant(&other) != significant(signed.secret.as_bytes()));
        let other = Secret::from(other);
        let packet = Packet::decode(&signed.bytes).expect("built by us");
        let rule = MessageAuthenticatorRule::IfPresent;
        prop_assert!(verify_request(packet, &other, rule).is_err());
    }

    #[test]
    fn a_reply_answers_its_request_and_no_byte_of_it_can_be_changed(
        signed in signed(),
        attributes in vec(attribute(), 0..8),
        place in any::<prop::sample::Index>(),
        noise in 1..=u8::MAX,
    ) {
        let packet = Packet::decode(&signed.bytes).expect("built by us");
        let mut builder = ReplyBuilder::new(answer_to(signed.code), &packet);
        for (kind, value) in attributes.iter().filter(|(kind, _)| *kind != kind::PROXY_STATE) {
            builder.attribute(*kind, value);
        }
        let mut bytes = builder.finish(&signed.secret).expect("below 4096 bytes");
        let reply = verify_reply(&bytes, &signed.bytes, &signed.secret).expect("ours");
        let sent: Vec<_> = packet.all(kind::PROXY_STATE).collect();
        let returned: Vec<_> = reply.all(kind::PROXY_STATE).collect();
        prop_assert_eq!(sent, returned);
        if matches!(signed.code, Code::ACCESS_REQUEST | Code::STATUS_SERVER) {
            let first = reply.attributes().next().map(|attribute| attribute.kind);
            prop_assert_eq!(first, Some(kind::MESSAGE_AUTHENTICATOR));
        }
        let place = place.index(bytes.len());
        bytes[place] ^= noise;
        prop_assert!(verify_reply(&bytes, &signed.bytes, &signed.secret).is_err());
    }
}

// ---------------------------------------------------------------------- passwords

proptest! {
    #[test]
    fn a_hidden_password_is_revealed(
        password in vec(any::<u8>(), 0..=128),
        secret in secret(),
        authenticator in any::<[u8; 16]>(),
        other in vec(any::<u8>(), 0..=128),
    ) {
        let secret = Secret::from(secret);
        let hidden = hide_user_password(&password, &secret, &authenticator).expect("fits");
        let stripped = |bytes: &[u8]| {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes[..end].to_vec()
        };
        prop_assert_eq!(
            reveal_user_password(&hidden, &secret, &authenticator),
            Some(stripped(&password))
        );
        prop_assert!(pap_matches(&hidden, &secret, &authenticator, &password));
        prop_assert_eq!(
            pap_matches(&hidden, &secret, &authenticator, &other),
            stripped(&other) == stripped(&password) && other.len() <= hidden.len()
        );
    }

    #[test]
    fn chap_proves_its_password_only(
        identifier in any::<u8>(),
        challenge in prop::option::of(vec(any::<u8>(), 1..40)),
        password in vec(any::<u8>(), 0..40),
        other in vec(any::<u8>(), 0..40),
        authenticator in any::<[u8; 16]>(),
    ) {
        let bytes = RequestBuilder::new(Code::ACCESS_REQUEST, 1)
            .chap_password(identifier, challenge.as_deref(), &password)
            .finish(&"x".into(), authenticator)
            .expect("short");
        let packet = Packet::decode(&bytes).expect("built by us");
        let value = packet.first(kind::CHAP_PASSWORD).expect("added");
        let asked = chap_challenge(&packet);
        prop_assert!(chap_matches(value, asked, &password));
        prop_assert_eq!(chap_matches(value, asked, &other), other == password);
    }
}

// ---------------------------------------------------------------------- text

proptest! {
    #[test]
    fn quoting_loses_nothing_and_shows_nothing_dangerous(
        bytes in prop_oneof![vec(any::<u8>(), 0..60), ".*".prop_map(String::into_bytes)],
    ) {
        let quoted = Quoted(&bytes).to_string();
        prop_assert!(!quoted.chars().any(char::is_control));
        prop_assert_eq!(unquote(&quoted), Some(bytes));
    }

    #[test]
    fn hex_loses_nothing(bytes in vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(parse_hex(&Hex(&bytes).to_string()), Some(bytes));
    }

    #[test]
    fn any_dictionary_is_read_or_refused(lines in vec(dictionary_line(), 0..20)) {
        let text = lines.join("\n");
        let read = Dictionary::from_source("root", &mut |name| match name {
            "root" => Ok(text.clone()),
            _ => Err("absent".to_owned()),
        });
        match read {
            Ok(dictionary) => {
                for definition in dictionary.attributes() {
                    prop_assert_eq!(
                        dictionary.attribute_named(&definition.name),
                        Some(definition)
                    );
                }
            }
            Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
        }
    }
}

fn dictionary_line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "ATTRIBUTE",
        "VALUE",
        "VENDOR",
        "BEGIN-VENDOR",
        "END-VENDOR",
        "BEGIN-TLV",
        "END-TLV",
        "$INCLUDE",
        "$INCLUDE-",
        "X",
        "Y",
        "V",
        "1",
        "2",
        "256",
        "0x10",
        "1.2",
        "string",
        "integer",
        "tlv",
        "#",
        "format=2,1",
        "root",
        "encrypt=1",
    ]);
    prop_oneof![vec(word, 0..6).prop_map(|words| words.join(" ")), ".{0,40}".prop_map(|line| line.replace('\n', " ")),]
}

// ---------------------------------------------------------------------- the oracle

/// The rules that we have and the crate `radius` does not: what a Message-Authenticator may be.
fn is_our_rule_only(name: &str) -> bool {
    name.starts_with("message-authenticator-")
}

proptest! {
    #[test]
    fn the_oracle_decodes_what_we_decode(bytes in datagram()) {
        let ours = Packet::decode(&bytes);
        let oracle = Oracle::decode(&bytes, b"x");
        match (&ours, &oracle) {
            (Ok(packet), Ok(oracle)) => {
                prop_assert_eq!(oracle.get_identifier(), packet.identifier());
                prop_assert_eq!(oracle.get_authenticator(), packet.authenticator());
                for attribute in packet.attributes() {
                    let found: Vec<_> = oracle
                        .lookup_all(attribute.kind)
                        .iter()
                        .map(|it| it.encode_bytes())
                        .collect();
                    let expected: Vec<_> =
                        packet.all(attribute.kind).map(<[u8]>::to_vec).collect();
                    prop_assert_eq!(found, expected);
                }
            }
            (Err(error), Ok(_)) => prop_assert!(is_our_rule_only(error.name()), "{}", error),
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) => prop_assert!(false, "only the oracle refuses: {error}"),
        }
    }

    #[test]
    fn the_oracle_believes_what_we_sign(signed in signed()) {
        prop_assert!(Oracle::is_authentic_request(&signed.bytes, signed.secret.as_bytes())
            // It knows no Status-Server.
            || signed.code == Code::STATUS_SERVER);
        let packet = Packet::decode(&signed.bytes).expect("built by us");
        let reply = ReplyBuilder::new(answer_to(signed.code), &packet)
            .finish(&signed.secret)
            .expect("below 4096 bytes");
        prop_assert!(Oracle::is_authentic_response(
            &reply,
            &signed.bytes,
            signed.secret.as_bytes()
        ));
    }

    #[test]
    fn we_believe_what_the_oracle_signs(
        code in prop::sample::select(vec![
            (OracleCode::AccountingRequest, OracleCode::AccountingResponse),
            (OracleCode::DisconnectRequest, OracleCode::DisconnectACK),
            (OracleCode::CoARequest, OracleCode::CoANAK),
            (OracleCode::AccessRequest, OracleCode::AccessReject),
        ]),
        identifier in any::<u8>(),
        attributes in vec(attribute(), 0..8),
        password in "[ -~]{1,40}",
        secret in secret(),
    ) {
        let mut request = Oracle::new_with_identifier(code.0, &secret, identifier);
        for (kind, value) in &attributes {
            request.add(AVP::from_bytes(*kind, value));
        }
        if code.0 == OracleCode::AccessRequest {
            rfc2865::add_user_password(&mut request, password.as_bytes()).expect("short");
        }
        let bytes = request.encode().expect("short");
        let our_secret = Secret::from(secret.clone());
        let packet = Packet::decode(&bytes).expect("the oracle's packets are sound");
        let rule = MessageAuthenticatorRule::IfPresent;
        prop_assert!(verify_request(packet, &our_secret, rule).is_ok());
        if let Some(hidden) = packet.first(kind::USER_PASSWORD) {
            let authenticator = packet.authenticator();
            prop_assert!(pap_matches(hidden, &our_secret, authenticator, password.as_bytes()));
        }

        let decoded = Oracle::decode(&bytes, &secret).expect("its own");
        let mut reply = decoded.make_response_packet(code.1);
        for (kind, value) in &attributes {
            reply.add(AVP::from_bytes(*kind, value));
        }
        let reply = reply.encode().expect("short");
        prop_assert!(verify_reply(&reply, &bytes, &our_secret).is_ok());
    }

    #[test]
    fn the_oracle_hides_passwords_as_we_do(
        password in vec(any::<u8>(), 1..=128),
        secret in secret(),
        authenticator in any::<[u8; 16]>(),
    ) {
        let ours = hide_user_password(&password, &Secret::from(secret.clone()), &authenticator);
        let oracle = AVP::from_user_password(
            kind::USER_PASSWORD,
            &password,
            &secret,
            &authenticator,
        )
        .expect("short");
        prop_assert_eq!(ours, Some(oracle.encode_bytes()));
    }
}

#[test]
fn the_oracle_gives_numbers_the_same_names() {
    for (name, number) in [
        ("Session-Timeout", rfc2865::SESSION_TIMEOUT_TYPE),
        ("Class", rfc2865::CLASS_TYPE),
        ("NAS-Port-Type", rfc2865::NAS_PORT_TYPE_TYPE),
        ("Acct-Terminate-Cause", radius::core::rfc2866::ACCT_TERMINATE_CAUSE_TYPE),
        ("Framed-Pool", radius::core::rfc2869::FRAMED_POOL_TYPE),
        ("Framed-IPv6-Pool", radius::core::rfc3162::FRAMED_IPV6_POOL_TYPE),
        ("Error-Cause", radius::core::rfc3576::ERROR_CAUSE_TYPE),
        ("Digest-HA1", radius::core::rfc5090::DIGEST_HA1_TYPE),
        ("SIP-AOR", radius::core::rfc5090::SIP_AOR_TYPE),
    ] {
        let definition = Dictionary::builtin().attribute(NO_VENDOR, number);
        assert_eq!(definition.map(|it| it.name.as_str()), Some(name));
    }
}
