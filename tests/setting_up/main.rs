//! What a person has who sets up a gateway: `decode`, `test` and `nas probe`, as the real binary.

#[path = "../live/mod.rs"]
mod live;

mod client;
mod decode;
mod probe;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary in an environment without surprises.
fn ringfence(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().expect("the binary was built for this test")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(live::binary());
    command.env_clear().args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}
