//! `ringfence decode` on captures of every kind, and the command that every captured packet becomes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use etherparse::PacketBuilder;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;
use ringfence::wire::value::{Hex, parse_hex};
use serde_json::Value;

use crate::{code, command, ringfence, stderr, stdout};

const FILES: [&str; 5] = ["disconnect", "kamailio", "kamailio_retransmission", "radclient", "radsecproxy"];

/// One recorded request, and what stands beside it.
fn exchanges(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{file}.jsonl"));
    let text = fs::read_to_string(path).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// All that is printed for arguments, packet by packet.
fn decoded(arguments: &[&str]) -> Vec<Value> {
    let output = ringfence(&[&["decode", "--json"], arguments].concat());
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn every_captured_packet_becomes_the_command_that_a_person_expects() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/captures/commands.txt");
    let table = fs::read_to_string(path).expect("the table is part of the project");
    let mut found = BTreeMap::new();
    let mut faults = Vec::new();
    for dialect in ["rfc", "cisco", "kamailio"] {
        for packet in decoded(&["tests/captures", "--dialect", dialect]) {
            let place = packet["place"].as_str().expect("told").trim_start_matches("tests/captures/").to_owned();
            let becomes = packet["becomes"].as_str().expect("told").to_owned();
            found.insert((place, dialect.to_owned()), becomes);
        }
    }
    let mut lines = 0;
    let mut left: Vec<(String, Value)> = FILES
        .iter()
        .flat_map(|file| {
            let places = (1..).map(move |line| format!("{file}.jsonl:{line}"));
            places.zip(exchanges(file))
        })
        .collect();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        lines += 1;
        let [place, client, scenario, what, dialect, becomes] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not six parts: {line}")
        };
        let at = left.iter().position(|(left, _)| left == place);
        let (_, recorded) = left.remove(at.unwrap_or_else(|| panic!("{place}: no such packet, or a second line")));
        assert_eq!(
            [&recorded["client"], &recorded["scenario"], &recorded["what"]],
            [client, scenario, what],
            "{place}"
        );
        let found = found.get(&(place.to_owned(), dialect.to_owned()));
        if found.map(String::as_str) != Some(becomes) {
            faults.push(format!("{place} as {dialect}: {found:?}, and not {becomes:?}"));
        }
    }
    assert!(left.is_empty(), "without a line: {:?}", left.iter().map(|(place, _)| place).collect::<Vec<_>>());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(lines, 97, "as many as were recorded");
}

#[test]
fn every_captured_proof_holds_with_its_own_secret_and_not_with_another() {
    let judged = |packets: &[Value], word: &str| {
        packets.iter().filter(|it| it["authenticator"] == word || it["message_authenticator"] == word).count()
    };
    let right = decoded(&["tests/captures"]);
    assert_eq!((judged(&right, "wrong"), judged(&right, "no_request")), (0, 0));
    assert!(judged(&right, "right") > 120, "{}", judged(&right, "right"));
    let output = ringfence(&["decode", "tests/captures", "--secret", "another", "--brief"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("not made with the secret"), "{}", stderr(&output));
    let wrong = decoded(&["tests/captures", "--secret", "another"]);
    assert_eq!((wrong.len(), judged(&wrong, "right")), (right.len(), 0));
}

#[test]
fn secrets_and_passwords_are_in_no_output() {
    for arguments in [&["--json"][..], &[], &["--brief"]] {
        let output = ringfence(&[&["decode", "tests/captures", "--dialect", "cisco"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = format!("{}{}", stdout(&output), stderr(&output));
        let mut hidden = 0;
        for exchange in FILES.iter().flat_map(|file| exchanges(file)) {
            assert!(!text.contains(exchange["secret"].as_str().expect("recorded")));
            let bytes = parse_hex(exchange["hex"].as_str().expect("recorded")).expect("digits");
            let packet = Packet::decode(&bytes).expect("sound");
            for proof in [2, 3, 206].into_iter().flat_map(|kind| packet.all(kind)) {
                assert!(!text.contains(&Hex(proof).to_string()) && !text.contains("secret1"));
                // What stands for 206 is text already.
                assert!(proof.len() < 32 || !text.contains(&String::from_utf8_lossy(proof).into_owned()));
                hidden += 1;
            }
        }
        assert_eq!(hidden, 9, "PAP, CHAP and Digest are among the captures");
    }
}

/// The recorded requests and answers of a file as a capture of a network, behind other packets.
fn pcap(file: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(number.to_le_bytes());
    }
    let mut frame = |from: u16, to: u16, payload: &[u8]| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).udp(from, to);
        builder.write(&mut frame, payload).expect("short");
        let length = u32::try_from(frame.len()).expect("short");
        for number in [1_790_000_000, 0, length, length] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(frame);
    };
    frame(5353, 53, b"no RADIUS");
    for (port, exchange) in (40_000..).zip(exchanges(file)) {
        let digits = |key: &str| exchange[key].as_str().map(|digits| parse_hex(digits).expect("digits"));
        frame(port, 1812, &digits("hex").expect("recorded"));
        if let Some(reply) = digits("reply_hex") {
            frame(1812, port, &reply);
        }
    }
    bytes
}

#[test]
fn a_capture_of_the_network_says_the_same_as_the_recorder() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let path = folder.path().join("gateway.pcap");
    fs::write(&path, pcap("radclient")).expect("written");
    let path = path.to_str().expect("text");
    let arguments = ["--dialect", "cisco", "--secret", "testing123"];
    let of_network = decoded(&[&[path][..], &arguments].concat());
    let of_recorder = decoded(&[&["tests/captures/radclient.jsonl"][..], &arguments].concat());
    assert_eq!(of_network.len(), of_recorder.len());
    for (network, recorder) in of_network.iter().zip(&of_recorder) {
        for member in ["code", "attributes", "meaning", "authenticator", "message_authenticator"] {
            assert_eq!(network[member], recorder[member], "{network}");
        }
    }
    let none = ringfence(&["decode", path, "--port", "9999"]);
    assert_eq!((code(&none), stderr(&none).contains("--port")), (1, true), "{}", stderr(&none));
    let other = decoded(&[path, "--port", "53"]);
    assert_eq!((other.len(), &other[0]["malformed"]["offset"]), (1, &Value::from(9)));
}

#[test]
fn digits_are_read_from_the_line_and_from_standard_input() {
    let exchange = exchanges("radclient").remove(0);
    let (request, reply) =
        (exchange["hex"].as_str().expect("recorded"), exchange["reply_hex"].as_str().expect("recorded"));
    let typed = decoded(&[request, reply, "--secret", "testing123"]);
    assert_eq!((&typed[1]["answers"], &typed[1]["authenticator"]), (&Value::from(1), &Value::from("right")));
    let mut child = command(&["decode", "-", "--json", "--secret", "testing123"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    child.stdin.take().expect("piped").write_all(format!("# typed\n{request}\n{reply}\n").as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("a child of ours");
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stdout(&output));
    let line = stdout(&ringfence(&["decode", "--json", request, reply, "--secret", "testing123"]));
    let piped = stdout(&output).replace("standard input:2", "the command line");
    assert_eq!(piped.lines().next(), line.lines().next(), "the same but for its place");
}

#[test]
fn attributes_of_switches_have_their_names() {
    let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
    request.vendor(27880, 13, &16_u32.to_be_bytes()).vendor(27880, 21, b"2026-11-23T12:00:00");
    request.vendor(22736, 101, b"alice").vendor(22736, 114, &61_u32.to_be_bytes());
    let bytes = request.finish(&Secret::from("testing123"), [0; 16]).expect("short");
    let digits = Hex(&bytes).to_string();
    let expected = [
        ("Freeswitch-Hangupcause", "16"),
        ("Freeswitch-Callanswerdate", "2026-11-23T12:00:00"),
        ("Asterisk-Acc-Code", "alice"),
        ("Asterisk-Bill-Sec", "61"),
    ];
    for dialect in ["rfc", "freeswitch", "asterisk", "cisco", "kamailio", "opensips", "sippy"] {
        let packets = decoded(&[&digits, "--dialect", dialect]);
        let attributes = packets[0]["attributes"].as_array().expect("a list").iter();
        let named: Vec<_> = attributes
            .map(|it| (it["name"].as_str().expect("told"), it["value"].as_str().expect("told").trim_matches('"')))
            .collect();
        assert_eq!(named, expected, "{dialect}");
    }
}

#[test]
fn what_is_wrong_is_one_line_each_and_the_rest_is_read() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let path = folder.path().join("packets.hex");
    let status = "0c01001401010101010101010101010101010101";
    fs::write(&path, format!("{status}\nzz\n0102\n{status}\n")).expect("written");
    let output = ringfence(&["decode", path.to_str().expect("text"), "--brief"]);
    assert_eq!(code(&output), 1);
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("malformed at byte 2: datagram of 2 bytes is shorter"), "{}", lines[1]);
    let errors = stderr(&output);
    assert!(errors.contains("packets.hex:2: column 1: not hexadecimal digits"), "{errors}");
    assert!(errors.ends_with("3 packets: 1 malformed, 1 not to be read\n"), "{errors}");
}

#[test]
fn bad_usage_is_told() {
    for (arguments, expected, word) in [
        (&["decode"][..], 2, "CAPTURE"),
        (&["decode", "none.pcap"], 1, "none.pcap"),
        (&["decode", "tests/captures", "--dialect", "juniper"], 2, "kamailio"),
        (&["decode", "tests/captures", "--secret-env", "NOBODY"], 2, "NOBODY"),
        (&["decode", "tests/captures", "--socket", "x"], 2, "--socket"),
    ] {
        let output = ringfence(arguments);
        assert_eq!((code(&output), stderr(&output).contains(word)), (expected, true), "{}", stderr(&output));
    }
}

/// A page shows of an output what matters; that must be there word for word.
#[test]
fn pages_of_gateways_show_what_decode_prints() {
    let mut shown = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gateways")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).expect("readable");
        for block in page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let Some(block) = block.strip_prefix("$ ringfence ").filter(|it| it.starts_with("decode ")) else {
                continue;
            };
            let (typed, text) = typed(block);
            let printed = stdout(&ringfence(&typed));
            for part in text.trim_end().split("\n\n") {
                let is_there = format!("\n{printed}\n").contains(&format!("\n{part}\n"));
                assert!(is_there, "{}: {part}\nis not in\n{printed}", path.display());
                shown += 1;
            }
        }
    }
    assert!(shown > 6, "{shown}");
}

/// The words that were typed, and what stands below them. What is in quotes is one word, over several lines too.
fn typed(block: &str) -> (Vec<&str>, &str) {
    let mut quoted = false;
    let is_end = |c: char| {
        quoted ^= c == '"';
        c == '\n' && !quoted
    };
    let (line, text) = block.split_once(is_end).expect("something is printed");
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace()),
            _ => words.push(part),
        }
    }
    (words, text)
}
