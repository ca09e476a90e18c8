//! The command line: `ringfence NOUN VERB`, a client of the running daemon's API.
//!
//! No command touches the database: all ask the daemon, over its Unix socket or a URL. A table is
//! for people, `--json` gives the API's own answer, and the exit code says how it went ([`Exit`]).
//! Commands that are the daemon, or stand in for it (`serve`, `demo`, `check`, `db restore`), and the
//! `bridge`, are known here but run by `main`.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use client::{Client, Server};
use context::Context;
use error::{CliError, Exit};
use table::Screen;

pub mod account;
pub mod apply;
pub mod block;
pub mod bridge;
pub mod call;
pub mod call_action;
pub mod capture;
pub mod carrier;
pub mod cdr;
pub mod client;
pub mod context;
pub mod db;
pub mod decode;
pub mod error;
pub mod history;
pub mod input;
pub mod nas;
pub mod noun;
pub mod party;
pub mod rate;
pub mod secret;
pub mod setup_file;
pub mod status;
pub mod table;
pub mod tariff;
pub mod test;
pub mod text;

/// Where the daemon's socket is, as long as nobody says otherwise.
pub const SOCKET: &str = "ringfence.sock";
/// The variable that gives the daemon another socket: whoever shares its environment, as in a
/// container, finds it without being told again.
pub const SOCKET_VARIABLE: &str = "RINGFENCE_ADMIN__SOCKET";

/// The options of [`Remote`], by the names of its fields.
const REMOTE_OPTIONS: [&str; 5] = ["socket", "server", "token_file", "timeout", JSON_OPTION];
/// The one of them that is about the output.
const JSON_OPTION: &str = "json";

/// RADIUS authorization and accounting for phone services, with credit control while calls are up
#[derive(Parser, Clone, Debug)]
#[command(
    name = "ringfence",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 it failed, or something is wrong with the data; 2 bad usage or configuration;\n3 the daemon cannot be reached; 4 not found; 5 refused.\n\nExamples:\n  ringfence demo\n  ringfence serve --config /etc/ringfence/ringfence.toml\n  ringfence apply setup.toml --dry-run\n  ringfence call list --customer acme\n  ringfence help customer topup"
)]
pub struct Cli {
    /// How the daemon is spoken to.
    #[command(flatten)]
    pub remote: Remote,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// How the daemon is spoken to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The daemon")]
pub struct Remote {
    /// The daemon's Unix socket; ringfence.sock if absent
    #[arg(long, global = true, value_name = "PATH", env = "RINGFENCE_SOCKET", hide_env_values = true)]
    pub socket: Option<PathBuf>,
    /// The daemon's URL, instead of the socket
    #[arg(long, global = true, value_name = "URL", env = "RINGFENCE_SERVER", hide_env_values = true)]
    pub server: Option<String>,
    /// The file with the token that the daemon wants
    #[arg(long, global = true, value_name = "FILE", env = "RINGFENCE_TOKEN_FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// Give up after so many seconds; 30 if absent, more for long work
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Print the daemon's JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

impl Remote {
    /// What of it is about the output alone.
    fn of_output(self) -> Remote {
        Remote { socket: None, server: None, token_file: None, timeout: None, json: self.json }
    }
}

/// What is to be done.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Run the daemon, in the foreground
    #[command(
        after_help = "Without a file all settings are their defaults. Any of them can be set from the environment: RINGFENCE_RADIUS__AUTH.\n\nExamples:\n  ringfence serve\n  ringfence serve --config /etc/ringfence/ringfence.toml"
    )]
    Serve(ConfigFile),
    /// Run the daemon on a database of its own, with sample data and gateways that play calls
    #[command(after_help = "Examples:\n  ringfence demo\n  ringfence demo --directory /tmp/demo --seconds 60")]
    Demo(Demo),
    /// Look whether the configuration and the database are fit to serve
    #[command(
        after_help = "Exit codes: 0 both are; 1 something is wrong with the configuration or the database; 2 bad usage.\n\nExamples:\n  ringfence check --config /etc/ringfence/ringfence.toml"
    )]
    Check(ConfigFile),
    /// End calls of the proxy beside it when a Disconnect-Request comes; without a daemon
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence bridge kamailio --from 192.0.2.5 --secret-file bridge.secret\n  ringfence bridge sippy --from 192.0.2.5 --secret-file bridge.secret"
    )]
    Bridge(bridge::BridgeProxy),
    /// What is done by asking the daemon.
    #[command(flatten)]
    Ask(Ask),
}

/// How the demo is to run.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Keep its data here; otherwise it goes with the demo
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// End after so many seconds; otherwise with Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct ConfigFile {
    /// The configuration (TOML)
    #[arg(long, value_name = "FILE", env = "RINGFENCE_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// What is done by asking the daemon.
#[derive(Subcommand, Clone, Debug)]
pub enum Ask {
    /// How the daemon is, on one screen
    #[command(after_help = "Examples:\n  ringfence status")]
    Status,
    /// Make parties, tariffs and gateways as a file says: all or nothing, again and again
    #[command(
        after_help = "Nothing is removed without --prune. Every fault is named with its line, and then nothing is changed.\n\nExamples:\n  ringfence apply setup.toml --dry-run\n  ringfence apply setup.toml\n  ringfence apply setup.toml --prune --yes"
    )]
    Apply(apply::Apply),
    /// Write the present parties, tariffs and gateways as a file that `apply` takes
    #[command(
        after_help = "Examples:\n  ringfence export > setup.toml\n  ringfence export --with-secrets --output setup.toml"
    )]
    Export(apply::Export),
    /// Resellers: customers that have customers
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence reseller list\n  ringfence reseller add north --tariff wholesale --opening-balance 500.00\n  ringfence reseller topup north 100.00"
    )]
    Reseller(party::ResellerVerb),
    /// Customers: their balance, limits, payments
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence customer list\n  ringfence customer add acme --tariff retail --reseller north\n  ringfence customer topup acme 5.00\n  ringfence customer statement acme"
    )]
    Customer(party::CustomerVerb),
    /// Accounts: who calls
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence account list --customer acme\n  ringfence account add alice --customer acme --password-file alice.pw"
    )]
    Account(account::AccountVerb),
    /// Tariffs: rate plans by name
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence tariff list\n  ringfence tariff add retail --currency EUR"
    )]
    Tariff(tariff::TariffVerb),
    /// Rates: the rows of a tariff
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence rate import retail.csv --tariff retail --dry-run\n  ringfence rate test 4930123456 --account alice"
    )]
    Rate(rate::RateVerb),
    /// Gateways and proxies that send RADIUS
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence nas list\n  ringfence nas add gw1 --address 192.0.2.10 --secret-file gw1.secret"
    )]
    Nas(nas::NasVerb),
    /// Carriers: who terminates calls
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence carrier list\n  ringfence carrier add carrier-1 --tariff cost-1"
    )]
    Carrier(carrier::CarrierVerb),
    /// Connections: the trunks to carriers
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence connection list\n  ringfence connection add c1-london --carrier carrier-1 --address 198.51.100.7"
    )]
    Connection(carrier::ConnectionVerb),
    /// Calls: what is going on now, and why
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence call list --customer acme\n  ringfence call log c1024\n  ringfence call disconnect c1024"
    )]
    Call(call::CallVerb),
    /// Charge records: what calls have cost
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence cdr list --customer acme --from 2026-01-01\n  ringfence cdr show c1024"
    )]
    Cdr(cdr::CdrVerb),
    /// Refused attempts, and why
    #[command(subcommand, after_help = "Examples:\n  ringfence rejection list --account alice")]
    Rejection(history::RejectionVerb),
    /// What operators changed
    #[command(subcommand, after_help = "Examples:\n  ringfence audit list")]
    Audit(history::AuditVerb),
    /// Make captured packets readable: proofs, attributes, meaning; without a daemon
    #[command(
        after_help = "The secret is used for proofs and never shown; a .jsonl file may name one for each exchange. With --json each packet is an object on a line of its own. Exit codes: 0 all is sound; 1 something is malformed, not made with the secret, or not to be read; 2 bad usage.\n\nExamples:\n  ringfence decode gateway.pcap --dialect cisco --secret-file gw1.secret\n  ringfence decode captures --dialect kamailio --brief\n  ringfence decode gateway.pcapng --port 11812 --json\n  ringfence decode 0c0100260000000000000000000000000000000050127c1d9aa45e4d5dabb1d2b6f0a3b7c9d1"
    )]
    Decode(decode::Decode),
    /// Be a gateway: send one request to a server, or to a gateway, and read the answer; without a daemon
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence test status 127.0.0.1 --secret-file gw1.secret\n  ringfence test authorize 127.0.0.1 --secret-file gw1.secret --user alice --ask-password --caller 4940123 --callee 4930555 --session call-1"
    )]
    Test(Box<test::TestVerb>),
    /// The database: backed up, verified, restored
    #[command(
        subcommand,
        after_help = "Examples:\n  ringfence db backup /var/lib/ringfence/backups/2026-01-01\n  ringfence db verify"
    )]
    Db(db::DbVerb),
}

impl Cli {
    /// What the process was started with. Help, the version and bad usage end it here.
    pub fn of_process() -> Cli {
        Cli::of_matches(command_line().get_matches()).unwrap_or_else(|error| error.exit())
    }

    fn of_matches(matches: ArgMatches) -> Result<Cli, clap::Error> {
        let cli = Cli::from_arg_matches(&matches)?;
        // What looks like a setting of the daemon must not be ignored in silence.
        let mut typed: Vec<&str> = REMOTE_OPTIONS
            .into_iter()
            .filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
            .collect();
        // The one that some commands take is looked at last.
        typed.sort_by_key(|id| *id == JSON_OPTION);
        let typed = typed.first().copied();
        match (&cli.command, typed) {
            // What they find can be printed as JSON; they talk to no daemon.
            (Command::Ask(Ask::Decode(_) | Ask::Test(_)), None | Some(JSON_OPTION)) => Ok(cli),
            (
                Command::Serve(_)
                | Command::Demo(_)
                | Command::Check(_)
                | Command::Bridge(_)
                | Command::Ask(Ask::Db(db::DbVerb::Restore(_)) | Ask::Decode(_) | Ask::Test(_)),
                Some(id),
            ) => {
                let message = format!(
                    "--{} is for commands that talk to a running daemon; the daemon's own socket is admin.socket in its \
                     configuration, or {SOCKET_VARIABLE}\n",
                    id.replace('_', "-")
                );
                Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
            }
            _ => Ok(cli),
        }
    }
}

/// Commands that talk to no running daemon, by their names.
const WITHOUT_DAEMON: [&[&str]; 5] = [&["serve"], &["demo"], &["check"], &["bridge"], &["db", "restore"]];
/// Others that talk to none, and print what can be JSON: their own.
const WITH_JSON_ALONE: [&str; 2] = ["decode", "test"];

/// All that can be typed. Options for talking to a daemon are no part of the help of commands that refuse
/// them.
fn command_line() -> clap::Command {
    fn without(command: clap::Command, names: &[&str], options: &[&str]) -> clap::Command {
        match names {
            [name, below @ ..] => command.mut_subcommand(name, |command| without(command, below, options)),
            [] => {
                let hidden = command.mut_args(|argument| {
                    let hidden = argument.is_hide_set() || options.contains(&argument.get_id().as_str());
                    argument.hide(hidden)
                });
                hidden.mut_subcommands(|below| without(below, &[], options))
            }
        }
    }
    fn with_json_of_its_own(command: clap::Command) -> clap::Command {
        let described = command.mut_args(|argument| match argument.get_id() == JSON_OPTION {
            true => argument.help("Print JSON instead of text").help_heading(None::<&str>).display_order(900),
            false => argument,
        });
        described.mut_subcommands(with_json_of_its_own)
    }
    let mut command = Cli::command();
    // Only then the commands have the options of all.
    command.build();
    let but_json: Vec<&str> = REMOTE_OPTIONS.into_iter().filter(|id| *id != JSON_OPTION).collect();
    let command = WITHOUT_DAEMON.into_iter().fold(command, |command, names| without(command, names, &REMOTE_OPTIONS));
    WITH_JSON_ALONE.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| with_json_of_its_own(without(command, &[], &but_json)))
    })
}

/// Asks the daemon, prints what came of it, and gives the code to end with. `environment` is that
/// of the process.
pub fn run(remote: Remote, ask: Ask, environment: impl IntoIterator<Item = (String, String)>) -> Exit {
    let variables: std::collections::HashMap<String, String> = environment.into_iter().collect();
    let environment = |name: &str| variables.get(name).cloned();
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let has_colours = environment("NO_COLOR").is_none_or(|value| value.is_empty());
    let screen = Screen { width: width_of(&stdout), colours: has_colours && stdout.is_terminal() };
    let notes_are_seen = stderr.is_terminal();
    let can_ask = io::stdin().is_terminal() && notes_are_seen;
    let mut out = io::BufWriter::new(stdout.lock());
    let mut notes = stderr;
    // What is for talking to a daemon may be wrong where no daemon is talked to.
    let remote = if matches!(ask, Ask::Decode(_) | Ask::Test(_)) { remote.of_output() } else { remote };
    let outcome = client(&remote, &environment).and_then(|client| {
        let mut context = Context {
            client,
            json: remote.json,
            screen,
            out: &mut out,
            notes: &mut notes,
            notes_are_seen,
            can_ask,
            environment: &environment,
        };
        let outcome = run_in(&mut context, ask);
        // What was said before a failure is said.
        let flushed = context.out.flush().map_err(CliError::from);
        outcome.and(flushed)
    });
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) if remote.json => {
            if let Some(problem) = error.to_json() {
                let _ = writeln!(io::stderr(), "{problem}");
            }
            error.exit
        }
        Err(error) => tell(&error),
    }
}

/// Prints why a command was not done, and gives the code to end with.
pub fn tell(error: &CliError) -> Exit {
    let mut text = String::new();
    for (place, line) in error.lines.iter().enumerate() {
        text.push_str(if place == 0 && error.lines.len() == 1 { "error: " } else { "" });
        text.push_str(line);
        text.push('\n');
    }
    // Without anybody to read it the exit code still says it.
    let _ = io::stderr().write_all(text.as_bytes());
    error.exit
}

fn run_in(context: &mut Context<'_>, ask: Ask) -> Result<(), CliError> {
    match ask {
        Ask::Status => status::run(context),
        Ask::Apply(apply) => apply::apply(context, &apply),
        Ask::Export(export) => apply::export(context, &export),
        Ask::Reseller(verb) => party::run_reseller(context, verb),
        Ask::Customer(verb) => party::run_customer(context, verb),
        Ask::Account(verb) => account::run(context, verb),
        Ask::Tariff(verb) => tariff::run(context, verb),
        Ask::Rate(verb) => rate::run(context, verb),
        Ask::Nas(verb) => nas::run(context, verb),
        Ask::Carrier(verb) => carrier::run_carrier(context, verb),
        Ask::Connection(verb) => carrier::run_connection(context, verb),
        Ask::Call(verb) => call::run(context, verb),
        Ask::Cdr(verb) => cdr::run(context, verb),
        Ask::Rejection(verb) => history::run_rejection(context, verb),
        Ask::Audit(verb) => history::run_audit(context, verb),
        Ask::Db(verb) => db::run(context, verb),
        Ask::Decode(decode) => decode::run(context, decode),
        Ask::Test(verb) => test::run(context, *verb),
    }
}

fn client(remote: &Remote, environment: context::Environment<'_>) -> Result<Client, CliError> {
    let server = match (&remote.server, &remote.socket) {
        (Some(url), _) => Server::from_url(url)?,
        (None, Some(socket)) => Server::Socket(socket.clone()),
        (None, None) => {
            let socket = environment(SOCKET_VARIABLE).filter(|socket| !socket.is_empty());
            Server::Socket(socket.unwrap_or_else(|| SOCKET.to_owned()).into())
        }
    };
    let token = remote.token_file.as_deref().map(read_token).transpose()?;
    Client::new(server, token, remote.timeout)
}

fn read_token(path: &Path) -> Result<String, CliError> {
    let token = secret::SecretFrom::File(path.display().to_string())
        .read(&|_| None, Path::new(""))
        .map_err(|error| CliError::usage(format!("--token-file: {error}")))?;
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(CliError::usage(format!("--token-file: {}: a token is one word", path.display()))),
    }
}

fn width_of(stdout: &io::Stdout) -> Option<u16> {
    if !stdout.is_terminal() {
        return None;
    }
    // The table library knows how to ask the terminal.
    comfy_table::Table::new().width()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, with its whole name.
    fn leaves() -> Vec<(String, clap::Command)> {
        fn walk(command: &clap::Command, name: &str, leaves: &mut Vec<(String, clap::Command)>) {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let name = format!("{name} {}", below.get_name());
                if below.has_subcommands() {
                    walk(below, &name, leaves);
                } else {
                    leaves.push((name, below.clone()));
                }
            }
        }
        let mut leaves_found = Vec::new();
        walk(&Cli::command(), "ringfence", &mut leaves_found);
        leaves_found
    }

    /// The words of a line as a shell would make them: quotes hold together, `>` and what follows
    /// is not for us.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut is_quoted = false;
        for character in line.chars() {
            match character {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                _ => words.last_mut().unwrap().push(character),
            }
        }
        let end = words.iter().position(|word| word == ">").unwrap_or(words.len());
        words.truncate(end);
        words
    }

    #[test]
    fn the_command_line_fits_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_they_are_understood() {
        let leaves = leaves();
        assert!(leaves.len() > 50, "{}", leaves.len());
        for (name, command) in leaves {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  ringfence ")).collect();
            assert!(
                examples.iter().any(|example| format!("ringfence {example}").starts_with(&name)),
                "{name}: no example of itself"
            );
            for example in examples {
                let words = words(&format!("ringfence {example}"));
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{name}: the example `{example}` is wrong: {error}");
                }
            }
        }
    }

    #[test]
    fn every_noun_has_examples_that_are_understood() {
        let nouns = Cli::command().get_subcommands().filter(|noun| noun.has_subcommands()).cloned().collect::<Vec<_>>();
        assert_eq!(nouns.len(), 15);
        for noun in nouns {
            let help = noun.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  ringfence ")).collect();
            assert!(!examples.is_empty(), "{}", noun.get_name());
            for example in examples {
                let words = words(example.trim_start());
                assert_eq!(words[1], noun.get_name());
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("the example `{example}` is wrong: {error}");
                }
            }
        }
    }

    #[test]
    fn what_a_command_refuses_is_not_in_its_help() {
        for (line, is_there) in [
            ("serve", false),
            ("demo", false),
            ("check", false),
            ("bridge", false),
            ("bridge sippy", false),
            ("db restore", false),
            ("db verify", true),
            ("call list", true),
        ] {
            let words = words(&format!("ringfence {line} --help"));
            let help = command_line().try_get_matches_from(words).unwrap_err().to_string();
            for option in ["--json", "--socket", "--server", "--token-file", "--timeout"] {
                assert_eq!(help.contains(option), is_there, "{line} {option}: {help}");
            }
        }
        for line in ["decode", "test status", "test authorize"] {
            let words = words(&format!("ringfence {line} --help"));
            let help = command_line().try_get_matches_from(words).unwrap_err().to_string();
            assert!(help.contains("--json"), "{line}: {help}");
            for option in ["--socket", "--server", "--token-file", "--timeout"] {
                assert!(!help.contains(option), "{line} {option}: {help}");
            }
        }
    }

    #[test]
    fn every_command_and_option_says_what_it_is() {
        for (name, command) in leaves() {
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
        }
    }

    #[test]
    fn what_is_for_the_client_is_not_ignored_by_the_daemon() {
        for line in [
            "serve --socket x.sock",
            "--json check",
            "demo --server http://x",
            "db restore x --json",
            "decode x --json --socket y",
        ] {
            let matches = Cli::command().try_get_matches_from(words(&format!("ringfence {line}"))).unwrap();
            let error = Cli::of_matches(matches).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
    }

    #[test]
    fn money_below_zero_can_be_typed() {
        for line in ["customer adjust acme -5.00", "reseller adjust north -0.5 --note x"] {
            let words = words(&format!("ringfence {line}"));
            assert!(Cli::try_parse_from(&words).is_ok(), "{line}");
        }
    }

    #[test]
    fn bad_usage_is_refused_before_anything_is_sent() {
        for line in [
            "customer topup acme 5,00",
            "customer topup acme",
            "customer set acme --calls-max many",
            "customer add acme",
            "account add alice --customer acme --password a --password-file b",
            "call list --state up",
            "call list --limit 0",
            "cdr list --from yesterday",
            "rate import x.csv",
            "frobnicate",
        ] {
            let words = words(&format!("ringfence {line}"));
            let error = Cli::try_parse_from(&words).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
    }
}
