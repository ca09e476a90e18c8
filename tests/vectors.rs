//! Runs the vectors in `tests/vectors/*.txt`: packets as hexadecimal digits, and what must be
//! read in them, made of them or refused about them.
//!
//! A line is one command; `#` at its beginning makes it a comment. Commands that answer:
//!
//! | command | answers |
//! | --- | --- |
//! | `decode HEX` | a line of the header, then one for each attribute |
//! | `verify required`, `verify if-present` | `ok` and whether a Message-Authenticator was there |
//! | `pap` | the password of the packet last decoded, quoted |
//! | `chap PASSWORD` | whether the packet last decoded proves it: `yes` or `no` |
//! | `reply HEX` | `ok` if it answers the packet last decoded, then as `decode` |
//! | `zeroed-reply HEX` | the same, by the rule for gateways that answer with an authenticator of zeroes |
//! | `finish` | the packet that was built, in hexadecimal digits |
//!
//! Commands that prepare: `secret TEXT`; `request CODE ID AUTHENTICATOR`, `answer CODE` (to the
//! packet last decoded), then `with NAME = VALUE`, `password TEXT`, `message-authenticator`.
//! Commands that expect: `match TEXT` (the next line of the answer), `error NAME`. Every line of
//! every answer has to be expected.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use ringfence::wire::authenticator::{MessageAuthenticatorRule, Secret, reveal_user_password, verify_request};
use ringfence::wire::credential::{chap_challenge, chap_matches};
use ringfence::wire::dictionary::{AttributeDefinition, Dictionary, NO_VENDOR, ValueType};
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use ringfence::wire::request::{RequestBuilder, ZeroAuthenticatorRule, verify_control_reply, verify_reply};
use ringfence::wire::value::{Hex, Quoted, parse_hex, unquote};

#[test]
fn every_vector_holds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the directory is part of the project")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are vectors");
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        for fault in run(&text) {
            faults.push(format!("{}:{fault}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_answer_that_differs_is_a_fault() {
    let head = "decode 0c da 00 14 00000000000000000000000000000000\n";
    assert_eq!(run(&format!("{head}match Status-Server id 218 length 20")), Vec::<String>::new());
    assert_eq!(run(&format!("{head}match Access-Request")).len(), 1);
    assert_eq!(run(&format!("{head}error datagram-too-short")).len(), 1);
    assert_eq!(run(&format!("{head}# nothing expected")).len(), 1);
    assert_eq!(run("match something").len(), 1);
    assert_eq!(run("what is this").len(), 1);
}

/// Runs one file; gives what did not hold, each with its line.
fn run(text: &str) -> Vec<String> {
    let mut bench = Bench::default();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let expected = match command {
            "match" => Some(rest.to_owned()),
            "error" => Some(format!("error {rest}")),
            _ => None,
        };
        let outcome = match expected {
            Some(expected) => match bench.answer.pop_front() {
                Some(found) if found == expected => Ok(()),
                Some(found) => Err(format!("expected {expected}\n    found {found}")),
                None => Err(format!("expected {expected}\n    found nothing")),
            },
            None => bench.nothing_left().and_then(|()| bench.command(command, rest.trim())),
        };
        if let Err(fault) = outcome {
            faults.push(format!("{number}: {fault}"));
            bench.answer.clear();
        }
    }
    if let Err(fault) = bench.nothing_left() {
        faults.push(format!("end: {fault}"));
    }
    faults
}

/// What the commands of a file work on.
#[derive(Default)]
struct Bench {
    secret: String,
    datagram: Vec<u8>,
    building: Option<Building>,
    answer: VecDeque<String>,
}

enum Building {
    Request(RequestBuilder, [u8; 16]),
    Reply(ReplyBuilder),
}

impl Bench {
    fn nothing_left(&mut self) -> Result<(), String> {
        match self.answer.pop_front() {
            None => Ok(()),
            Some(left) => Err(format!("nobody expected: {left}")),
        }
    }

    fn command(&mut self, command: &str, rest: &str) -> Result<(), String> {
        let secret = Secret::from(self.secret.as_str());
        match command {
            "secret" => self.secret = rest.to_owned(),
            "decode" => {
                self.datagram = hex(rest)?;
                match Packet::decode(&self.datagram) {
                    Ok(packet) => self.answer.extend(describe(&packet)),
                    Err(error) => self.answer.push_back(format!("error {}", error.name())),
                }
            }
            "verify" => {
                let rule = match rest {
                    "required" => MessageAuthenticatorRule::Required,
                    "if-present" => MessageAuthenticatorRule::IfPresent,
                    _ => return Err(format!("unknown rule {rest}")),
                };
                let answer = match verify_request(self.packet()?, &secret, rule) {
                    Ok(verified) if verified.message_authenticator_present() => {
                        "ok with message authenticator".to_owned()
                    }
                    Ok(_) => "ok without message authenticator".to_owned(),
                    Err(error) => format!("error {}", error.name()),
                };
                self.answer.push_back(answer);
            }
            "pap" => {
                let packet = self.packet()?;
                let answer = packet
                    .first(kind::USER_PASSWORD)
                    .and_then(|hidden| reveal_user_password(hidden, &secret, packet.authenticator()))
                    .map_or("unreadable".to_owned(), |clear| Quoted(&clear).to_string());
                self.answer.push_back(answer);
            }
            "chap" => {
                let packet = self.packet()?;
                let value = packet.first(kind::CHAP_PASSWORD).unwrap_or_default();
                let proved = chap_matches(value, chap_challenge(&packet), rest.as_bytes());
                self.answer.push_back(if proved { "yes" } else { "no" }.to_owned());
            }
            "reply" | "zeroed-reply" => {
                let reply = hex(rest)?;
                let rule = ZeroAuthenticatorRule::Believed;
                let verified = match command {
                    "reply" => verify_reply(&reply, &self.datagram, &secret),
                    _ => verify_control_reply(&reply, &self.datagram, &secret, rule),
                };
                match verified {
                    Ok(packet) => {
                        self.answer.push_back("ok".to_owned());
                        self.answer.extend(describe(&packet));
                    }
                    Err(error) => self.answer.push_back(format!("error {}", error.name())),
                }
            }
            "request" => {
                let [code, identifier, authenticator] = words(rest)?;
                let identifier = identifier.parse().map_err(|error| format!("{identifier}: {error}"))?;
                let authenticator = hex(authenticator)?.try_into().map_err(|_| "an authenticator has 16 bytes")?;
                let builder = RequestBuilder::new(code_named(code)?, identifier);
                self.building = Some(Building::Request(builder, authenticator));
            }
            "answer" => {
                let builder = ReplyBuilder::new(code_named(rest)?, &self.packet()?);
                self.building = Some(Building::Reply(builder));
            }
            "with" => {
                let (name, text) = rest.split_once(" = ").ok_or("NAME = VALUE is missing")?;
                let definition =
                    Dictionary::builtin().attribute_named(name).ok_or_else(|| format!("no attribute {name}"))?;
                self.add(definition, &value(definition, text)?)?;
            }
            "password" => match &mut self.building {
                Some(Building::Request(builder, _)) => {
                    builder.user_password(rest.as_bytes());
                }
                _ => return Err("no request is being built".to_owned()),
            },
            "message-authenticator" => match &mut self.building {
                Some(Building::Request(builder, _)) => {
                    builder.message_authenticator(true);
                }
                _ => return Err("no request is being built".to_owned()),
            },
            "finish" => {
                let finished = match self.building.take() {
                    Some(Building::Request(builder, authenticator)) => builder.finish(&secret, authenticator),
                    Some(Building::Reply(builder)) => builder.finish(&secret),
                    None => return Err("nothing is being built".to_owned()),
                };
                self.answer.push_back(match finished {
                    Ok(bytes) => Hex(&bytes).to_string(),
                    Err(error) => format!("error {}", error.name()),
                });
            }
            _ => return Err(format!("unknown command {command}")),
        }
        Ok(())
    }

    fn packet(&self) -> Result<Packet<'_>, String> {
        Packet::decode(&self.datagram).map_err(|error| error.to_string())
    }

    fn add(&mut self, definition: &AttributeDefinition, value: &[u8]) -> Result<(), String> {
        let AttributeDefinition { vendor, kind, .. } = *definition;
        match (&mut self.building, vendor) {
            (Some(Building::Request(builder, _)), NO_VENDOR) => {
                builder.attribute(kind, value);
            }
            (Some(Building::Request(builder, _)), _) => {
                builder.vendor(vendor, kind, value);
            }
            (Some(Building::Reply(builder)), NO_VENDOR) => {
                builder.attribute(kind, value);
            }
            (Some(Building::Reply(builder)), _) => {
                builder.vendor(vendor, kind, value);
            }
            (None, _) => return Err("nothing is being built".to_owned()),
        }
        Ok(())
    }
}

fn describe(packet: &Packet<'_>) -> Vec<String> {
    let mut lines = vec![format!("{} id {} length {}", packet.code(), packet.identifier(), packet.bytes().len())];
    for attribute in packet.attributes() {
        lines.push(Dictionary::builtin().describe(&attribute));
    }
    lines
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    parse_hex(digits).ok_or_else(|| format!("not hexadecimal: {digits}"))
}

fn words(rest: &str) -> Result<[&str; 3], String> {
    let words: Vec<_> = rest.split_whitespace().collect();
    words.try_into().map_err(|_| "three words are needed".to_owned())
}

fn code_named(name: &str) -> Result<Code, String> {
    (0..=u8::MAX).map(Code).find(|code| code.name() == Some(name)).ok_or_else(|| format!("no code {name}"))
}

/// A value as its type writes it; `0x...` always means bytes.
fn value(definition: &AttributeDefinition, text: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return hex(digits);
    }
    let value = match definition.value_type {
        ValueType::Text => unquote(text),
        ValueType::Ipv4 => text.parse::<std::net::Ipv4Addr>().ok().map(|address| address.octets().to_vec()),
        ValueType::Integer | ValueType::Date => definition
            .value_number(text)
            .and_then(|number| u32::try_from(number).ok())
            .or_else(|| text.parse().ok())
            .map(|number| number.to_be_bytes().to_vec()),
        _ => None,
    };
    value.ok_or_else(|| format!("{text} is no value of {}", definition.name))
}
