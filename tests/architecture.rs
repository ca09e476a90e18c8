//! The shape of the house, read from its sources: which floor may use which, what stays out of the
//! pure ones, and what no file may lack or contain.

use std::fs;
use std::path::{Path, PathBuf};

/// What a folder of `src` may use of our own modules. The roof, which is every file directly in
/// `src` and the folders named in [`ROOF`], may use all.
const FLOORS: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("wire", &["wire"]),
    ("dialect", &["dialect", "domain", "wire"]),
    ("store", &["store", "domain"]),
    // Counters and the door to time are plain data that every floor above storage may hold.
    ("service", &["service", "domain", "wire", "dialect", "store", "clock", "metrics"]),
    ("transport", &["transport", "service", "domain", "wire", "clock", "metrics"]),
];

/// What is composed of all floors.
const ROOF: &[&str] = &[
    "app.rs",
    "bridge.rs",
    "check.rs",
    "clock.rs",
    "config",
    "demo",
    "demo.rs",
    "lib.rs",
    "main.rs",
    "metrics.rs",
    "restore.rs",
    "telemetry.rs",
];

/// Uses across floors that are meant: the type that the composition root hands to a socket's task.
const EXCEPTIONS: &[(&str, &str)] = &[("transport/radius_server.rs", "dialect::ClassMark")];

/// Words that a floor's code must not contain.
const KEPT_OUT: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "tokio",
            "rusqlite",
            "serde_json",
            "tracing",
            "SystemTime",
            "Instant",
            "f32",
            "f64",
            "HashSet",
            "println",
            "UdpSocket",
            "async",
            "thread",
            "env",
        ],
    ),
    ("wire", &["tokio", "SystemTime", "Instant", "UdpSocket", "rusqlite", "async"]),
    ("dialect", &["tokio", "SystemTime", "Instant", "UdpSocket", "rusqlite", "async"]),
    ("store", &["axum", "UdpSocket"]),
    ("service", &["axum", "UdpSocket", "UnixListener", "rusqlite", "SqliteStore"]),
    ("transport", &["rusqlite"]),
];

/// The crates that the pure floor may use: each is a function of its arguments.
const PURE_CRATES: &[&str] = &["std", "core", "alloc", "serde", "regex", "ipnet", "thiserror"];

/// Private enterprise numbers of makes (Quintum, AudioCodes, FreeSWITCH, Digium, OpenSIPS).
const VENDOR_NUMBERS: &[&str] = &["6618", "5003", "27880", "22736", "37867"];

/// What SIP proxies number their attributes with, each family for itself. Use cases name them by what a dialect
/// calls them; tables of them are in `dictionaries`.
const PROXY_NUMBERS: &[&str] = &["101", "102", "103", "104", "105", "204", "205", "206", "207", "225", "227"];

struct Source {
    /// Its path below `src` or `tests`, with `/` between.
    path: String,
    text: String,
}

impl Source {
    /// The folder or file directly under `src` that it belongs to.
    fn top(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }

    /// The code with comments, texts in quotes and unit tests taken out.
    fn code(&self) -> String {
        let whole = self.text.split("#[cfg(test)]").next().unwrap_or("");
        whole.lines().map(|line| without_texts(line.split("//").next().unwrap_or(""))).collect::<Vec<_>>().join("\n")
    }
}

/// A line of code without what is in quotes.
fn without_texts(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be read") {
            let path: PathBuf = entry.expect("a file of the tree can be named").path();
            if path.is_dir() {
                // The fuzz targets are a package of their own, with build results in it.
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(&root).expect("the walk began at the root");
                let text = fs::read_to_string(&path).expect("a source file is text");
                sources.push(Source { path: below.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    assert!(!sources.is_empty(), "nothing in {folder}");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Every `crate::X::Y` of a code, also in groups such as `use crate::{a, b::c}`.
fn uses(code: &str) -> Vec<String> {
    let mut uses = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_u32;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => uses.push(std::mem::take(&mut item).trim().to_owned()),
                    c if depth == 0 && !c.is_whitespace() => item.push(c),
                    _ => {}
                }
            }
            uses.push(item.trim().to_owned());
        } else {
            uses.push(rest.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect());
        }
    }
    uses.retain(|path| !path.is_empty());
    uses
}

fn wrong_uses(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == source.top()) else { return Vec::new() };
    let meant = |path: &str| EXCEPTIONS.iter().any(|(file, used)| *file == source.path && path.starts_with(used));
    uses(&source.code())
        .into_iter()
        .filter(|path| !allowed.contains(&path.split("::").next().unwrap_or("")) && !meant(path))
        .map(|path| format!("src/{}: {} may not use crate::{path}", source.path, source.top()))
        .collect()
}

fn words_kept_out(source: &Source) -> Vec<String> {
    let code = source.code();
    let kept_out = KEPT_OUT.iter().filter(|(floor, _)| *floor == source.top()).flat_map(|(_, kept_out)| *kept_out);
    kept_out
        .filter(|word| words(&code).any(|other| other == **word))
        .map(|word| format!("src/{}: {word} has no place in {}", source.path, source.top()))
        .collect()
}

/// Crates that a file names at the head of a `use`, other than our own.
fn crates_used(code: &str) -> Vec<&str> {
    let heads = code.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("use ")
    });
    heads
        .filter_map(|path| path.split([':', ';', ' ']).next())
        .filter(|head| !["crate", "super", "self"].contains(head) && head.chars().all(|c| c.is_lowercase() || c == '_'))
        .collect()
}

fn is_sql(text: &str) -> bool {
    let orders = [
        ("SELECT ", " FROM "),
        ("INSERT ", " INTO "),
        ("CREATE ", " TABLE "),
        ("DELETE ", " FROM "),
        ("UPDATE ", " SET "),
    ];
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        orders.iter().any(|(verb, object)| {
            line.find(verb).is_some_and(|at| line.get(at + verb.len() - 1..).is_some_and(|rest| rest.contains(object)))
        })
    })
}

fn unfinished(source: &Source) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let calls = [concat!("db", "g!("), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let marks = marks.iter().filter(|mark| words(&source.text).any(|word| word == **mark));
    let calls = calls.iter().filter(|call| source.text.contains(**call));
    marks.chain(calls).map(|mark| format!("{}: {mark}", source.path)).collect()
}

/// Numbers outside the floors that know whose they are.
fn numbers_of_makes(source: &Source) -> Vec<String> {
    if ["dialect", "wire"].contains(&source.top()) {
        return Vec::new();
    }
    let code = source.code();
    let of_vendor = |word: &str| VENDOR_NUMBERS.contains(&word) || word.starts_with("VENDOR_");
    // Elsewhere these are codes of HTTP and causes of RFC 5176.
    let of_proxy = |word: &str| source.top() == "service" && PROXY_NUMBERS.contains(&word);
    let numbers = words(&code).filter(|word| of_vendor(word) || of_proxy(word));
    numbers.map(|word| format!("src/{}: {word}", source.path)).collect()
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_floor_uses_only_those_below_it() {
    assert_none(sources("src").iter().flat_map(wrong_uses).collect());
}

#[test]
fn floors_are_free_of_what_is_not_theirs() {
    assert_none(sources("src").iter().flat_map(words_kept_out).collect());
}

#[test]
fn the_domain_uses_only_pure_crates() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().filter(|source| source.top() == "domain") {
        let code = source.code();
        let others = crates_used(&code).into_iter().filter(|name| !PURE_CRATES.contains(name));
        wrong.extend(others.map(|name| format!("src/{}: uses {name}", source.path)));
    }
    assert_none(wrong);
}

#[test]
fn the_tree_has_no_unknown_folder() {
    let known = |top: &str| ROOF.contains(&top) || FLOORS.iter().any(|(floor, _)| *floor == top);
    let wrong = sources("src").iter().filter(|source| !known(source.top())).map(|source| source.path.clone()).collect();
    assert_none(wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let says = |source: &&Source| !source.text.trim_start().starts_with("//!");
    let src = sources("src");
    let tests = sources("tests");
    assert_none(src.iter().chain(&tests).filter(says).map(|source| source.path.clone()).collect());
}

#[test]
fn nothing_is_left_unfinished() {
    let src = sources("src");
    let tests = sources("tests");
    assert_none(src.iter().chain(&tests).flat_map(unfinished).collect());
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let outside = |source: &&Source| source.top() != "store" && is_sql(&source.text);
    assert_none(sources("src").iter().filter(outside).map(|source| source.path.clone()).collect());
}

#[test]
fn only_dialects_know_vendors() {
    assert_none(sources("src").iter().flat_map(numbers_of_makes).collect());
}

// The fences themselves: each must be able to stop something.

fn planted(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[test]
fn a_use_across_floors_is_seen() {
    assert_eq!(wrong_uses(&planted("domain/x.rs", "use crate::wire::Packet;")).len(), 1);
    assert_eq!(wrong_uses(&planted("store/x.rs", "use crate::{domain::book::Book, service::registry};")).len(), 1);
    assert_eq!(wrong_uses(&planted("transport/x.rs", "fn f(s: &crate::store::Loaded) {}")).len(), 1);
    assert!(wrong_uses(&planted("service/x.rs", "use crate::store::Journal; // crate::transport")).is_empty());
    assert!(wrong_uses(&planted("app.rs", "use crate::transport::udp;")).is_empty(), "the roof may use all");
}

#[test]
fn a_word_out_of_place_is_seen() {
    assert_eq!(words_kept_out(&planted("domain/x.rs", "let price: f64 = 0.1;")).len(), 1);
    assert_eq!(words_kept_out(&planted("service/x.rs", "use tokio::net::UdpSocket;")).len(), 1);
    assert!(words_kept_out(&planted("domain/x.rs", "// no f64 here\nlet f64x = \"f64\";")).is_empty());
    assert_eq!(crates_used("use std::fmt;\nuse tokio::sync;\nuse super::x;"), ["std", "tokio"]);
}

#[test]
fn a_number_of_a_make_out_of_place_is_seen() {
    assert_eq!(numbers_of_makes(&planted("service/x.rs", "const SER_METHOD: u8 = 101;")).len(), 1);
    assert_eq!(numbers_of_makes(&planted("transport/x.rs", "let vendor = 6618;")).len(), 1);
    assert!(numbers_of_makes(&planted("service/x.rs", "odd(\"number 204\"); // 204")).is_empty());
    assert!(numbers_of_makes(&planted("dialect/x.rs", "const SER_METHOD: u8 = 101;")).is_empty());
}

#[test]
fn unfinished_work_and_sql_are_seen() {
    assert_eq!(unfinished(&planted("x.rs", concat!("// TO", "DO: later"))).len(), 1);
    assert_eq!(unfinished(&planted("x.rs", concat!("db", "g!(x);"))).len(), 1);
    assert!(is_sql("let q = \"SELECT id FROM calls\";"));
    assert!(is_sql("CREATE UNIQUE TABLE t"));
    assert!(!is_sql("// SELECT id FROM calls\nselect a table"));
}
