//! The configuration as an operator meets it: the shipped example, the environment, the errors.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use ringfence::config::{Config, environment_variable};

const EXAMPLE: &str = include_str!("../config/ringfence.toml");

fn read(text: &str) -> Result<Config, String> {
    read_with(text, &[])
}

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(text, Path::new("r.toml"), environment).map_err(|errors| errors.to_string())
}

/// The keys of a file's text that are given a value, or would be if `# ` were taken away.
fn keys_shown(text: &str) -> Vec<(String, usize)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            keys.push((format!("{section}.{key}"), index));
        }
    }
    keys
}

#[test]
fn the_shipped_example_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ringfence.toml");
    assert_eq!(Config::load(Some(&path), []).unwrap(), Config::default());
}

#[test]
fn the_shipped_example_explains_every_key_and_no_other() {
    let shown = keys_shown(EXAMPLE);
    let known: BTreeSet<String> = Config::default().values().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(shown.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>(), known);
    assert_eq!(shown.len(), known.len(), "a key is shown twice");
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for (key, line) in shown {
        let above: Vec<&str> = lines[..line].iter().rev().take_while(|line| line.starts_with("# ")).copied().collect();
        let words = above.iter().flat_map(|line| line.split_whitespace()).count();
        assert!(words > 10, "{key} is not explained above it: {above:?}");
    }
}

#[test]
fn what_the_example_has_commented_out_can_be_used() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for (key, line) in keys_shown(EXAMPLE) {
        let mut lines = lines.clone();
        lines[line] = lines[line].trim_start_matches("# ");
        assert!(read(&lines.join("\n")).is_ok(), "{key}");
    }
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    for (key, value) in Config::default().values() {
        let other = match key {
            "radius.auth" => "192.0.2.1:1812, [2001:db8::1]:0",
            "radius.acct" => "127.0.0.1:0",
            "status.listen" => "",
            "admin.listen" => "[::1]:8080",
            "admin.socket" => "/run/ringfence/admin.sock",
            "storage.path" => "/var/lib/ringfence/ringfence.db",
            "credit.final_chunk" => "whole",
            "credit.lead_seconds" => "4",
            "credit.margin_seconds" => "2",
            "log.level" => "trace",
            "log.format" => "json",
            "radius.reply_cache_seconds" => "30",
            _ => &(value.parse::<u32>().unwrap() + 1).to_string(),
        };
        let config = read_with("", &[(&environment_variable(key), other)]).unwrap();
        let changed: Vec<&str> = config
            .values()
            .zip(Config::default().values())
            .filter(|(now, before)| now != before)
            .map(|((key, _), _)| key)
            .collect();
        assert_eq!(changed, [key]);
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "[credit]\nchunk_seconds = 30\nlead_seconds = 3\n";
    let config = read_with(file, &[("RINGFENCE_CREDIT__CHUNK_SECONDS", "20")]).unwrap();
    assert_eq!((config.credit.chunk_seconds, config.credit.lead_seconds), (20, 3));
}

#[test]
fn all_errors_come_at_once_with_line_and_remedy() {
    let text = "\u{feff}[credit]\nchunk_seconds = 0\nmargin_second = 1\n\n[status]\nlisten = \"here\"\n\
                [logs]\nlevel = \"info\"\n[admin]\nsocket = 7\n";
    let errors = read_with(text, &[("RINGFENCE_LOG__LEVEL", "loud"), ("RINGFENCE_RADIUS__AUHT", "")]).unwrap_err();
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        [
            "r.toml:2: credit.chunk_seconds: must be 1 to 86400 (is 0)",
            "r.toml:3: credit.margin_second: unknown key; did you mean credit.margin_seconds?",
            "r.toml:6: status.listen: must be an address with port such as 127.0.0.1:1812 or [::]:1812 (is \"here\")",
            "r.toml:7: unknown section [logs]; did you mean [log]?",
            "r.toml:10: admin.socket: must be a text in quotes (is 7)",
            "environment: RINGFENCE_LOG__LEVEL: log.level: must be \"error\" or \"warn\" or \"info\" or \"debug\" or \
             \"trace\" (is loud)",
            "environment: RINGFENCE_RADIUS__AUHT: unknown variable; did you mean RINGFENCE_RADIUS__AUTH?",
        ]
    );
}

#[test]
fn the_api_is_for_this_machine_alone() {
    for open in ["0.0.0.0:18080", "[::]:8080", "192.0.2.1:8080", "[::ffff:192.0.2.1]:8080"] {
        let error = read(&format!("[admin]\nlisten = \"{open}\"\n")).unwrap_err();
        assert!(error.starts_with("r.toml:2: admin.listen: must be an address of loopback "), "{open}: {error}");
        assert!(read_with("", &[("RINGFENCE_ADMIN__LISTEN", open)]).is_err(), "{open}");
    }
    for own in ["127.0.0.1:8080", "127.3.2.1:0", "[::1]:8080", "[::ffff:127.0.0.1]:8080", ""] {
        assert!(read(&format!("[admin]\nlisten = \"{own}\"\n")).unwrap().warnings().is_empty(), "{own}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_clear_line() {
    let error = Config::load(Some(Path::new("/nowhere/r.toml")), []).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/r.toml: cannot be read: "), "{error}");
    assert_eq!(error.lines().count(), 1);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("latin1.toml");
    std::fs::write(&file, b"[log]\n# b\xf6se\n").unwrap();
    let error = Config::load(Some(&file), []).unwrap_err().to_string();
    assert!(error.ends_with(": not UTF-8 in line 2: save the file as UTF-8"), "{error}");

    std::fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    assert!(Config::load(Some(&file), []).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn a_key_written_twice_is_refused() {
    let error = read("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").unwrap_err();
    assert!(error.starts_with("r.toml:3: ") && error.contains("duplicate"), "{error}");
}

fn any_config() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let quoted = |pattern: &str| prop::string::string_regex(pattern).unwrap().prop_map(|text| format!("{text:?}"));
    let address = (any::<[u8; 4]>(), any::<u16>()).prop_map(|([a, b, c, d], port)| format!("{a}.{b}.{c}.{d}:{port}"));
    let addresses = prop::collection::btree_set(address.clone(), 1..4)
        .prop_map(|set| format!("{:?}", set.into_iter().collect::<Vec<_>>()));
    (
        addresses,
        any::<u16>().prop_map(|port| format!("\"127.0.0.1:{port}\"")),
        quoted("/run/[a-zäöü \"'#=]{1,40}\\.sock"),
        quoted("[a-z0-9 \\\\]{1,30}\\.db"),
        10u32..=86_400,
        0u32..10,
        60u32..=2_000_000,
        prop::sample::select(vec!["\"partial\"", "\"whole\""]),
        prop::sample::select(vec!["\"error\"", "\"debug\"", "\"trace\""]),
    )
        .prop_map(|(auth, listen, socket, path, chunk, lead, longest, last, level)| {
            vec![
                ("radius.auth", auth),
                ("radius.acct", "[]".to_owned()),
                ("admin.listen", listen.clone()),
                ("status.listen", "\"\"".to_owned()),
                ("admin.socket", socket),
                ("storage.path", path),
                ("credit.chunk_seconds", chunk.to_string()),
                ("credit.lead_seconds", lead.to_string()),
                ("credit.margin_seconds", "0".to_owned()),
                ("credit.call_seconds_max", longest.to_string()),
                ("credit.final_chunk", last.to_owned()),
                ("log.level", level.to_owned()),
            ]
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_equal(values in any_config()) {
        let text: String = values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let config = read(&text).map_err(TestCaseError::fail)?;
        prop_assert_eq!(read(&config.to_toml()).map_err(TestCaseError::fail)?, config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}|([\\[\\]{}=.,#'\"\\\\a-c0-9\n\r\t -]|credit|chunk_seconds){0,60}") {
        // Errors are one line each, whatever was written.
        if let Err(errors) = Config::read(&text, Path::new("r.toml"), []) {
            for error in errors.iter() {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
