//! The image and the services: what `Dockerfile`, `config/ringfence.service` and its like for the bridge say
//! holds for this tree and for this binary. None is built or installed here.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use ringfence::config::Config;
use ringfence::transport::cli::bridge::SECRET_VARIABLE;
use tempfile::TempDir;
use toml::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// -------------------------------------------------------------------------------- the Dockerfile

/// One instruction of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instruction {
    name: String,
    rest: String,
}

/// The instructions of each stage, its FROM in front.
fn stages(dockerfile: &str) -> Vec<Vec<Instruction>> {
    let without_comments = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = without_comments.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let instruction = Instruction { name: name.to_uppercase(), rest: rest.trim().to_owned() };
        if instruction.name == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("a Dockerfile begins with FROM").push(instruction);
    }
    stages
}

fn of<'a>(stage: &'a [Instruction], name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    stage.iter().filter(move |instruction| instruction.name == name).map(|instruction| instruction.rest.as_str())
}

/// The sources of a COPY, and the stage that they come from if it is not the tree.
fn copied(rest: &str) -> (Option<&str>, Vec<&str>) {
    let mut from = None;
    let mut paths = Vec::new();
    for word in rest.split_whitespace() {
        match word.strip_prefix("--") {
            Some(flag) => from = from.or(flag.strip_prefix("from=")),
            None => paths.push(word),
        }
    }
    paths.pop();
    (from, paths)
}

/// Whether `.dockerignore` lets a path of the tree through. The last line that speaks of it counts.
fn is_sent(ignore: &str, path: &Path) -> bool {
    let mut sent = true;
    for line in ignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, lets_through) = line.strip_prefix('!').map_or((line, false), |pattern| (pattern, true));
        assert!(pattern == "*" || !pattern.contains(['*', '?', '[']), "this test cannot read {line:?}");
        if pattern == "*" || path.starts_with(pattern.trim_matches('/')) {
            sent = lets_through;
        }
    }
    sent
}

/// Whether one of these sources of a COPY brings a path along.
fn brings(sources: &[&str], path: &Path) -> bool {
    sources.iter().any(|source| *source == "." || path.starts_with(source))
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// All files below a folder of the tree, from the root on.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the tree") {
            let entry = entry.expect("a file of the tree");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// What the manifest names beside `src`: the files of targets that cargo wants to see, whatever it
/// builds, and the script that builds more.
fn targets(manifest: &Value) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (list, folder) in [("bench", "benches"), ("test", "tests"), ("example", "examples"), ("bin", "src/bin")] {
        for target in manifest.get(list).and_then(Value::as_array).into_iter().flatten() {
            let default = || format!("{folder}/{}.rs", target["name"].as_str().expect("a target has a name"));
            paths.push(target.get("path").and_then(Value::as_str).map_or_else(default, str::to_owned).into());
        }
    }
    for (table, key) in [("lib", "path"), ("package", "build")] {
        paths.extend(manifest.get(table).and_then(|table| table.get(key)).and_then(Value::as_str).map(PathBuf::from));
    }
    paths
}

/// The files that the compiler reads into a source: `include_str!("...")` and its like, outside of
/// unit tests.
fn included(source: &Path, text: &str) -> Vec<PathBuf> {
    let code = text.split("#[cfg(test)]").next().unwrap_or("");
    let folder = source.parent().expect("a file is in a folder");
    let calls = ["include_str!(", "include_bytes!(", "include!("];
    let arguments = calls.iter().flat_map(|call| code.split(call).skip(1));
    arguments
        .map(|argument| {
            let quoted = argument.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            plain(&folder.join(quoted.unwrap_or_else(|| panic!("{}: included by no plain name", source.display()))))
        })
        .collect()
}

/// Everything of the tree that `cargo build --bin ringfence` reads.
fn needed_to_build() -> Vec<PathBuf> {
    let manifest: Value = toml::from_str(&read("Cargo.toml")).expect("a manifest");
    let mut needed = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
    needed.extend(targets(&manifest));
    for source in files_below("src") {
        if source.extension().is_some_and(|ending| ending == "rs") {
            needed.extend(included(&source, &read(source.to_str().expect("names of the tree are text"))));
        }
        needed.push(source);
    }
    needed
}

#[test]
fn all_that_the_image_copies_is_there() {
    let (stages, ignore) = (stages(&read("Dockerfile")), read(".dockerignore"));
    let mut wrong = Vec::new();
    for (from, sources) in stages.iter().flat_map(|stage| of(stage, "COPY")).map(copied) {
        for source in sources {
            // From the stage that builds: a file of the tree again, or the binary.
            let path = Path::new(if from.is_some() { source.trim_start_matches("/build/") } else { source });
            if path == Path::new("target/release/ringfence") || path == Path::new(".") {
                continue;
            }
            if !root().join(path).exists() {
                wrong.push(format!("COPY {source}: there is no {}", path.display()));
            } else if !is_sent(&ignore, path) {
                wrong.push(format!("COPY {source}: .dockerignore keeps it away"));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn all_that_the_build_reads_is_copied() {
    let (stages, ignore) = (stages(&read("Dockerfile")), read(".dockerignore"));
    let sources: Vec<&str> = of(&stages[0], "COPY")
        .map(copied)
        .filter(|(from, _)| from.is_none())
        .flat_map(|(_, sources)| sources)
        .collect();
    let mut wrong = Vec::new();
    for path in needed_to_build() {
        if !root().join(&path).exists() {
            wrong.push(format!("{}: there is none", path.display()));
        } else if !brings(&sources, &path) {
            wrong.push(format!("{}: is not copied", path.display()));
        } else if !is_sent(&ignore, &path) {
            wrong.push(format!("{}: .dockerignore keeps it away", path.display()));
        }
    }
    assert_none(wrong);
}

#[test]
fn the_first_build_has_all_that_the_manifest_names() {
    let stages = stages(&read("Dockerfile"));
    let is_build = |instruction: &Instruction| instruction.name == "RUN" && instruction.rest.contains("cargo build");
    let first = stages[0].iter().position(is_build).expect("something is built");
    let sources: Vec<&str> = of(&stages[0][..first], "COPY").flat_map(|rest| copied(rest).1).collect();
    let manifest: Value = toml::from_str(&read("Cargo.toml")).expect("a manifest");
    // Its own sources are made up on the way.
    let named = targets(&manifest).into_iter().filter(|path| !path.starts_with("src"));
    let needed = named.chain(["Cargo.toml".into(), "Cargo.lock".into()]);
    assert_none(needed.filter(|path| !brings(&sources, path)).map(|path| path.display().to_string()).collect());
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_tells_its_health() {
    let stages = stages(&read("Dockerfile"));
    let last = stages.last().expect("a stage");
    let user = of(last, "USER").next_back().expect("a USER");
    assert!(!["root", "0"].contains(&user.split(':').next().unwrap_or("")), "USER {user}");
    assert!(of(last, "RUN").any(|rest| rest.contains("useradd") && rest.contains(user)), "nobody adds {user}");
    let exposed: Vec<String> = of(last, "EXPOSE").flat_map(words).collect();
    assert_eq!(exposed, ["1812/udp", "1813/udp"]);
    let health = of(last, "HEALTHCHECK").next_back().expect("a HEALTHCHECK");
    // It asks where the status port is, as the configuration that the image has says.
    let config = Config::load(Some(&root().join("config/ringfence.toml")), []).expect("our own");
    let port = config.status.listen.expect("a status port").port();
    assert!(health.contains(" CMD ") && health.contains("/readyz"), "{health}");
    assert!(health.contains(&format!("/127.0.0.1/{port} ")), "{health}");
    let listens: Vec<u16> =
        config.radius.auth.iter().chain(&config.radius.acct).map(|address| address.port()).collect();
    assert_eq!(listens, [1812, 1813], "what is exposed is what is listened on");
}

#[test]
fn the_image_starts_the_binary_with_flags_that_it_has() {
    let stages = stages(&read("Dockerfile"));
    let last = stages.last().expect("a stage");
    let list = |name| -> Vec<String> {
        let rest = of(last, name).next_back().unwrap_or_else(|| panic!("a {name}"));
        serde_json::from_str(rest).unwrap_or_else(|error| panic!("{name} {rest}: {error}"))
    };
    let line = [list("ENTRYPOINT"), list("CMD")].concat();
    assert_command_line(&line);
    let installed: Vec<&str> = of(last, "COPY").filter_map(|rest| rest.split_whitespace().next_back()).collect();
    for path in line.iter().filter(|word| word.starts_with('/')) {
        assert!(installed.contains(&path.as_str()), "nothing puts {path} into the image");
    }
    assert!(installed.iter().any(|path| path.ends_with("/bin/ringfence")), "{installed:?}");
}

#[test]
fn the_image_sets_only_variables_that_the_daemon_reads() {
    let stages = stages(&read("Dockerfile"));
    let variables: Vec<(String, String)> = of(stages.last().expect("a stage"), "ENV")
        .flat_map(str::split_whitespace)
        .map(|word| word.split_once('=').unwrap_or_else(|| panic!("ENV {word}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(!variables.is_empty());
    let config = Config::load(None, variables.clone()).unwrap_or_else(|errors| panic!("{errors}"));
    // The command line finds the daemon that was started so.
    let socket = variables.iter().find(|(name, _)| name == "RINGFENCE_SOCKET").expect("a socket");
    assert_eq!(config.admin.socket, Path::new(&socket.1));
}

// -------------------------------------------------------------------------------- the service

const UNIT: &str = "config/ringfence.service";
const BRIDGE_UNIT: &str = "config/ringfence-bridge.service";
const UNITS: [&str; 2] = [UNIT, BRIDGE_UNIT];

/// The values of a directive, in order.
fn directive<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// The binary and its arguments must be as `--help` of its subcommand says.
fn assert_command_line(line: &[String]) {
    let [binary, words @ ..] = line else { panic!("{line:?} starts nothing") };
    assert_eq!(Path::new(binary).file_name().and_then(|name| name.to_str()), Some("ringfence"), "{line:?}");
    let (command, arguments) = words.split_at(words.iter().take_while(|word| !word.starts_with('-')).count());
    let command = command.join(" ");
    assert!(["serve", "bridge kamailio", "bridge sippy"].contains(&command.as_str()), "{line:?}");
    let help = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(command.split(' ')).arg("--help").output();
    let help = help.expect("it was built");
    let help = String::from_utf8(help.stdout).expect("text");
    let known: Vec<&str> = help.split([' ', ',', '\n', '=']).filter(|word| word.starts_with("--")).collect();
    for flag in arguments.iter().filter(|argument| argument.starts_with('-')) {
        let name = flag.split('=').next().unwrap_or(flag);
        assert!(known.contains(&name), "`ringfence {command}` has no {flag}: {known:?}");
    }
}

#[test]
fn the_services_start_the_binary_with_flags_that_it_has() {
    for unit in UNITS.map(read) {
        let starts = directive(&unit, "ExecStart");
        let [start] = starts[..] else { panic!("{starts:?}") };
        // What its comments say to start instead must be right as well.
        let others =
            unit.lines().filter_map(|line| line.strip_prefix("#   ExecStart=")).filter(|line| !line.is_empty());
        for start in others.chain([start]) {
            assert_command_line(&words(start));
            // `%d/NAME` is a credential, so one of this name has to be loaded.
            for name in start.split_whitespace().filter_map(|word| word.strip_prefix("%d/")) {
                let loaded = directive(&unit, "LoadCredential");
                let is_loaded = loaded.iter().any(|credential| credential.split(':').next() == Some(name));
                assert!(is_loaded, "{name} in {loaded:?}");
            }
        }
    }
}

/// What the texts say to put into the environment of the bridge is what it reads.
#[test]
fn the_bridge_knows_the_variables_that_its_texts_name() {
    let help_of = |proxy: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(["bridge", proxy, "--help"]).output();
        String::from_utf8(output.expect("it was built").stdout).expect("text")
    };
    let help = help_of("kamailio") + &help_of("sippy");
    for text in [BRIDGE_UNIT, "docs/gateways/bridge.md"].map(read) {
        let is_of_name = |character: char| character.is_ascii_uppercase() || character == '_';
        let named = text.split(|character| !is_of_name(character)).filter(|word| word.starts_with("RINGFENCE_BRIDGE_"));
        let mut named = named.peekable();
        assert!(named.peek().is_some());
        // The secret itself is no option.
        let is_known = |name: &&str| help.contains(*name) || *name == SECRET_VARIABLE;
        assert_none(named.filter(|name| !is_known(name)).map(str::to_owned).collect());
    }
}

#[test]
fn the_services_are_shut_in_and_come_up_again() {
    for (unit, (name, value)) in UNITS.iter().flat_map(|unit| SHUT_IN.map(|line| (read(unit), line))) {
        assert_eq!(directive(&unit, name), [value], "{name}");
        let (head, _) = unit.split_once("\n[Service]").unwrap();
        assert!(head.contains("StartLimitIntervalSec=0"), "systemd reads it in [Unit] only");
    }
    // Where it works is where it may write.
    let unit = read(UNIT);
    let state = directive(&unit, "StateDirectory");
    assert_eq!(directive(&unit, "WorkingDirectory"), [format!("/var/lib/{}", state.concat())]);
    // The bridge writes nowhere.
    assert_eq!(directive(&read(BRIDGE_UNIT), "StateDirectory"), [""; 0]);
    // Both are shut in alike.
    let of_sandbox = |unit: &str| -> Vec<String> {
        let lines = read(unit);
        let lines = lines.lines().skip_while(|line| !line.starts_with("NoNewPrivileges"));
        lines.take_while(|line| !line.starts_with('[')).map(str::to_owned).collect()
    };
    assert_eq!(of_sandbox(UNIT), of_sandbox(BRIDGE_UNIT));
}

/// What every service of ours has.
const SHUT_IN: [(&str, &str); 9] = [
    ("DynamicUser", "yes"),
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("CapabilityBoundingSet", ""),
    ("Restart", "always"),
    // With a limit, a disk that is full for a minute would end it for good.
    ("StartLimitIntervalSec", "0"),
    // The code of a bad configuration, which the next start will not like better.
    ("RestartPreventExitStatus", "2"),
    ("WantedBy", "multi-user.target"),
];

/// Where the texts say that backups go.
fn documented_backups() -> Vec<(String, String)> {
    let help = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(["db", "backup", "--help"]).output();
    let help = String::from_utf8(help.expect("it was built").stdout).expect("text");
    let texts = ["docs/operations.md", "Dockerfile", UNIT].map(|name| (name, read(name)));
    let mut found = Vec::new();
    for (name, text) in texts.into_iter().chain([("db backup --help", help)]) {
        let said: Vec<&str> =
            text.split("db backup ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
        let said = said.iter().filter(|word| word.starts_with('/'));
        found.extend(said.map(|path| (name.to_owned(), (*path).to_owned())));
        assert!(found.iter().any(|(of, _)| of == name), "{name} does not say where backups go");
    }
    found
}

#[test]
fn backups_go_where_service_and_image_may_write() {
    let service = format!("/var/lib/{}/", directive(&read(UNIT), "StateDirectory").concat());
    let stages = stages(&read("Dockerfile"));
    let image = format!("{}/", of(stages.last().expect("a stage"), "VOLUME").collect::<String>());
    for (text, path) in documented_backups() {
        assert!(path.starts_with(&service), "{text}: {path} is not below {service}");
        assert!(path.starts_with(&image), "{text}: {path} is not below {image}");
    }
}

/// systemd's own opinion; it need not run for that.
#[test]
fn systemd_understands_the_services() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "there is no systemd-analyze to judge {UNIT}: install the package systemd, which need not run (tests/run does it)"
    );
    let directory = TempDir::new().expect("a directory for temporary files");
    for path in UNITS {
        let name = path.trim_start_matches("config/");
        let unit = read(path).replace("/usr/local/bin/ringfence", env!("CARGO_BIN_EXE_ringfence"));
        let file = directory.path().join(name);
        fs::write(&file, unit).expect("written");
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
        let output = output.expect("it is there");
        let said = String::from_utf8_lossy(&output.stderr);
        // It tells of other units of the machine too.
        let of_ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(output.status.success() && of_ours.is_empty(), "{said}");
    }
}

// The readers above: each must see what it looks for.

#[test]
fn a_dockerfile_is_read_as_docker_reads_it() {
    let stages = stages("# a\nFROM x AS build\nRUN a \\\n# between\n    && b\nFROM y\ncopy --from=build /build/a /b\n");
    assert_eq!(stages.len(), 2);
    assert_eq!(words(&stages[0][1].rest), ["a", "&&", "b"]);
    assert_eq!(copied(&stages[1][1].rest), (Some("build"), vec!["/build/a"]));
}

#[test]
fn what_the_ignore_list_keeps_away_is_seen() {
    let ignore = "# c\n*\n!src\n!Cargo.toml\nsrc/secret\n";
    for (path, sent) in [("src/main.rs", true), ("Cargo.toml", true), ("dictionaries/x", false), ("src/secret", false)]
    {
        assert_eq!(is_sent(ignore, Path::new(path)), sent, "{path}");
    }
}

#[test]
fn what_a_source_includes_is_seen() {
    let text = "const A: &str = include_str!(\"../../dictionaries/x\");\nlet b = include_bytes!(\n    \"y.csv\");";
    assert_eq!(included(Path::new("src/wire/z.rs"), text), [Path::new("dictionaries/x"), Path::new("src/wire/y.csv")]);
    let manifest: Value =
        toml::from_str("[[bench]]\nname = \"rating\"\n[[test]]\nname = \"t\"\npath = \"u/t.rs\"").unwrap();
    assert_eq!(targets(&manifest), [Path::new("benches/rating.rs"), Path::new("u/t.rs")]);
}
