//! Feeds each fuzz target with mutations of known good inputs, on any toolchain and for a bounded
//! number of rounds: `RINGFENCE_FUZZ_ITERATIONS` (default 100,000 a target).
//!
//! Each run draws its own seed and prints it where a target fails, with the input;
//! `RINGFENCE_FUZZ_SEED` runs the same again. With a nightly toolchain and cargo-fuzz,
//! `cargo fuzz run --fuzz-dir tests/fuzz decode` searches deeper, guided by coverage.

#[path = "vectors/attributes.rs"]
mod attributes;
#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use attributes::build;
use ringfence::wire::packet::Code;
use ringfence::wire::value::{Hex, parse_hex};
use targets::Target;

const ITERATIONS_DEFAULT: usize = 100_000;
const INPUT_BYTES_MAX: usize = 5000;

#[test]
fn no_target_falls() {
    let iterations = setting("RINGFENCE_FUZZ_ITERATIONS").unwrap_or(ITERATIONS_DEFAULT as u64);
    let seed = setting("RINGFENCE_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        let found = search(*target, &corpus, iterations, seed);
        if let Some(input) = found {
            panic!("target {name} fell with RINGFENCE_FUZZ_SEED={seed} on\n{}", Hex(&input));
        }
    }
}

#[test]
fn a_target_that_falls_is_found() {
    let target: Target = |bytes| assert!(bytes.first() != Some(&b'#'));
    let found = search(target, &[b"abc".to_vec()], 100_000, 1);
    assert_eq!(found.and_then(|input| input.first().copied()), Some(b'#'));
}

/// The first input on which the target falls.
fn search(target: Target, corpus: &[Vec<u8>], iterations: u64, seed: u64) -> Option<Vec<u8>> {
    let falls = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| target(input))).is_err();
    if let Some(input) = corpus.iter().find(|input| falls(input)) {
        return Some(input.clone());
    }
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..iterations {
        let mut input = corpus[random.usize(..corpus.len())].clone();
        for _ in 0..random.usize(1..6) {
            mutate(&mut input, corpus, &mut random);
        }
        // Most mutations break the length field, and would never get further than that.
        if random.bool() && input.len() >= 4 {
            let length = u16::try_from(input.len()).unwrap_or(u16::MAX);
            input[2..4].copy_from_slice(&length.to_be_bytes());
        }
        if falls(&input) {
            return Some(input);
        }
    }
    None
}

/// Changes an input in one of the ways in which inputs are wrong.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut fastrand::Rng) {
    let place = random.usize(..=input.len());
    let end = random.usize(place..=input.len());
    match random.u8(..8) {
        0 if place < input.len() => input[place] ^= 1 << random.u8(..8),
        1 if place < input.len() => input[place] = random.u8(..),
        2 if place < input.len() => {
            input[place] =
                *random.choice(&[0, 1, 2, 26, 33, 80, 127, 128, 254, 255, b'\n', b' ', b'#']).expect("not empty");
        }
        3 => input.insert(place, random.u8(..)),
        4 => input.truncate(place),
        5 => drop(input.drain(place..end)),
        6 => {
            let copy = input[place..end].to_vec();
            input.splice(place..place, copy);
        }
        _ => {
            let other = &corpus[random.usize(..corpus.len())];
            let from = random.usize(..=other.len());
            input.truncate(place);
            input.extend(&other[from..]);
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

/// Good and bad inputs that are known, by target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let corpus = match target {
        "dictionary" => dictionaries(),
        // A call is told of by several packets.
        "calls" => {
            let datagrams = datagrams();
            let calls = datagrams.chunks(4).map(<[_]>::concat).collect();
            [datagrams, calls].concat()
        }
        _ => datagrams(),
    };
    assert!(corpus.len() > 3, "inputs for {target}");
    corpus
}

/// The packets of the vectors and of the captures.
fn datagrams() -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    for path in files("tests/vectors", "txt") {
        let text = fs::read_to_string(path).expect("readable");
        datagrams.extend(text.lines().filter_map(|line| {
            let digits = line.strip_prefix("decode ").or_else(|| line.strip_prefix("reply "))?;
            parse_hex(digits)
        }));
    }
    for path in files("tests/vectors/dialects", "txt") {
        let text = fs::read_to_string(path).expect("readable");
        let mut open: Option<(Code, Vec<&str>)> = None;
        for line in text.lines().chain([""]) {
            let begins = match line.trim() {
                "access" => Some(Code::ACCESS_REQUEST),
                "accounting" => Some(Code::ACCOUNTING_REQUEST),
                _ => None,
            };
            let is_attribute = line.starts_with(|first: char| first.is_ascii_digit());
            match &mut open {
                Some((_, lines)) if is_attribute => lines.push(line),
                _ => {
                    let done = std::mem::replace(&mut open, begins.map(|code| (code, Vec::new())));
                    datagrams.extend(done.map(|(code, lines)| build(code, &lines).expect("a vector")));
                }
            }
        }
    }
    for path in files("tests/captures", "jsonl") {
        let text = fs::read_to_string(path).expect("readable");
        for line in text.lines() {
            let json: serde_json::Value = serde_json::from_str(line).expect("one object a line");
            let digits = ["hex", "reply_hex"].map(|key| json[key].as_str().and_then(parse_hex));
            datagrams.extend(digits.into_iter().flatten());
        }
    }
    datagrams
}

/// The dictionaries, and short ones that use every form.
fn dictionaries() -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = files("dictionaries", "")
        .iter()
        .map(|path| {
            let mut text = fs::read(path).expect("readable");
            // Long inputs are slow and say no more than short ones.
            text.truncate(1500);
            text
        })
        .collect();
    for text in [
        "$INCLUDE second\nVALUE X Y 0x10\n%%\nATTRIBUTE X 1 integer\n",
        "$INCLUDE- third\n$INCLUDE root\n",
        "VENDOR V 9 format=2,1\nBEGIN-VENDOR V\nATTRIBUTE X 1 tlv\nEND-VENDOR V\n",
        "ATTRIBUTE T 1 tlv\nBEGIN-TLV T\nATTRIBUTE U 1.2 octets[4]\nEND-TLV T\n",
        "ATTRIBUTE A 256 string has_tag,encrypt=2\nVALUE A B 18446744073709551615\n",
    ] {
        texts.push(text.as_bytes().to_vec());
    }
    texts
}

/// The files of a directory of the project that end so, in a fixed order.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
        .expect("part of the project")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().unwrap_or_default() == extension)
        .collect();
    files.sort();
    files
}

fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test is set from its own environment")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
