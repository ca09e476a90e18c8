//! The demo as a newcomer sees it: every kind of call is shown, and Ctrl-C ends it cleanly.

mod live;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use live::daemon::signal;
use live::{PATIENCE, binary, now};
use serde_json::Value;
use tempfile::TempDir;

/// What must have been seen, as it is written on the screen.
const SHOWN: [&str; 9] = [
    "accepted, for ",
    "answered",
    "ended after ",
    "busy: nothing to pay",
    "refused: insufficient credit",
    "refused: too many calls",
    "refused: authentication failed",
    "refused: number not allowed",
    "its credit is over",
];

/// A demo, and its lines as they come.
struct Demo {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Demo {
    fn start(temporary: &TempDir, arguments: &[&str]) -> Demo {
        let mut child = Command::new(binary())
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .current_dir(temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Demo { child, lines, seen: Vec::new() }
    }

    /// Reads until all of these were seen.
    fn wait_for(&mut self, wanted: &[&str]) {
        let deadline = now() + PATIENCE + PATIENCE;
        loop {
            let missing: Vec<&&str> =
                wanted.iter().filter(|wanted| !self.seen.iter().any(|line| line.contains(**wanted))).collect();
            if missing.is_empty() {
                return;
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(now())) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{missing:?} not seen in\n{}", self.seen.join("\n")),
            }
        }
    }

    /// What comes until its end, which must be a good one.
    fn end(mut self) -> Vec<String> {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("a child of ours");
        assert!(status.success(), "{status}\n{}", self.seen.join("\n"));
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_kind_of_call_is_shown_and_ctrl_c_ends_it() {
    let temporary = TempDir::new().expect("a directory for temporary files");
    let mut demo = Demo::start(&temporary, &[]);
    demo.wait_for(&SHOWN);
    signal(&demo.child, "-INT");
    let seen = demo.end();
    let counts = seen.last().expect("lines");
    assert!(counts.starts_with("Calls: "), "{counts}");
    assert!(!counts.contains("odd"), "{}", seen.join("\n"));
    assert!(!seen.iter().any(|line| line.contains('\x1b')), "colours where there is no terminal");
    assert_eq!(fs::read_dir(temporary.path()).expect("it is there").count(), 0, "something is left behind");
}

/// The commands that it has printed for who wants to look around.
fn commands(demo: &Demo) -> Vec<String> {
    let lines = demo.seen.iter().filter_map(|line| line.strip_prefix("  "));
    lines.filter(|line| line.contains("radclient") || line.contains("--socket")).map(str::to_owned).collect()
}

#[test]
fn the_sample_tariff_is_one_of_the_whole_world() {
    let temporary = TempDir::new().expect("a directory for temporary files");
    let mut demo = Demo::start(&temporary, &[]);
    demo.wait_for(&["Ctrl-C ends it."]);
    let commands = commands(&demo);
    let mut words = commands.iter().flat_map(|command| command.split_whitespace());
    let socket = words.by_ref().skip_while(|word| *word != "--socket").nth(1).expect("a socket");
    let ask = |arguments: &[&str]| -> Value {
        let output = Command::new(binary()).args(["--json", "--socket", socket]).args(arguments).output();
        let output = output.expect("the binary was built for this test");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let tariffs = ask(&["tariff", "list"]);
    let tariffs = tariffs["tariffs"].as_array().expect("a list");
    let prefixes = tariffs.iter().map(|tariff| {
        let rates = ask(&["rate", "list", "--tariff", tariff["id"].as_str().expect("an id")]);
        let rates = rates["rates"].as_array().expect("a list").clone();
        rates.iter().map(|rate| rate["prefix"].to_string()).collect::<BTreeSet<_>>().len()
    });
    let prefixes: Vec<usize> = prefixes.collect();
    assert!(prefixes.iter().any(|count| *count >= 200), "{prefixes:?}");
    signal(&demo.child, "-INT");
    demo.end();
}

#[test]
fn the_commands_that_it_prints_work() {
    let temporary = TempDir::new().expect("a directory for temporary files");
    let mut demo = Demo::start(&temporary, &[]);
    demo.wait_for(&["Ctrl-C ends it."]);
    let commands = commands(&demo);
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        let output = Command::new("sh").args(["-c", &command]).output().expect("sh");
        // Tables are written behind the replies; what is asked for may be there a moment later.
        let output = if output.status.success() {
            output
        } else {
            std::thread::sleep(Duration::from_secs(3));
            Command::new("sh").args(["-c", &command]).output().expect("sh")
        };
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    signal(&demo.child, "-INT");
    demo.end();
}

#[test]
fn it_keeps_its_data_where_it_was_told_to_and_ends_in_time() {
    let temporary = TempDir::new().expect("a directory for temporary files");
    let kept: PathBuf = temporary.path().join("kept");
    let kept_text = kept.to_str().expect("a path in UTF-8");
    for _ in 0..2 {
        let demo = Demo::start(&temporary, &["--directory", kept_text, "--seconds", "3"]);
        demo.end();
    }
    assert!(kept.join("ringfence.db").is_file());
    assert!(kept.join("sample.toml").is_file());
}
