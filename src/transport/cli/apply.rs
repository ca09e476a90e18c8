//! `apply` and `export`: all of the parties, tariffs and gateways as one file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::client::{Answer, Ask, query, read_problem, refusal, shown};
use super::context::Context;
use super::error::CliError;
use super::setup_file::{self, SetupFault, SetupText};
use crate::service::admin::error::FAULTS_MAX;
use crate::service::admin::spec::{ApplyReport, Fault, RateCounts, SetupFile, ThingName};

/// Largest request, bytes; larger tables of rates go in by `rate import`.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// What is applied, and how.
#[derive(Args, Clone, Debug)]
pub struct Apply {
    /// The setup file (TOML); - is standard input
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Also remove what the file does not name
    #[arg(long)]
    prune: bool,
    /// Do not ask before removing
    #[arg(long, short = 'y')]
    yes: bool,
}

/// What is exported, and where to.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// With passwords and shared secrets in plain text
    #[arg(long)]
    with_secrets: bool,
    /// Without the rates of the tariffs
    #[arg(long)]
    without_rates: bool,
    /// The file to write, readable by its owner only; standard output if absent
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes the daemon's parties, tariffs and gateways as the file says.
///
/// # Errors
/// Something is wrong with the file, and then nothing was changed; or the daemon is not there.
pub fn apply(context: &mut Context<'_>, apply: &Apply) -> Result<(), CliError> {
    let text = setup_file::read(&apply.file, context.environment)
        .map_err(|error| CliError::failed(format!("{}: {error}", apply.file.display())))?;
    if !text.faults.is_empty() {
        return Err(all_faults(context, &text));
    }
    for warning in &text.warnings {
        context.note(&format!("warning: {warning}"));
    }
    // Who watches is shown what would go before it goes.
    if apply.prune && !apply.dry_run && !apply.yes && context.can_ask {
        let answer = send(context, &text, true, true)?;
        let report: ApplyReport = answer.read()?;
        if !report.removed.is_empty() {
            let names: Vec<String> = report.removed.iter().map(name).collect();
            context.confirm(&format!("Remove {}?", names.join(", ")), false)?;
        }
    }
    let answer = send(context, &text, apply.dry_run, apply.prune)?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let report: ApplyReport = answer.read()?;
    for warning in &report.warnings {
        context.note(&format!("warning: {}", shown(warning)));
    }
    report_lines(&report).iter().try_for_each(|line| context.line(line))
}

/// Writes the present state as a setup file.
///
/// # Errors
/// The file cannot be written, or the daemon is not there.
pub fn export(context: &mut Context<'_>, export: &Export) -> Result<(), CliError> {
    let asked = query([
        ("secrets", export.with_secrets.then(|| "true".to_owned())),
        ("rates", export.without_rates.then(|| "false".to_owned())),
    ]);
    let answer = context.client.ask(Ask::get(format!("/export{asked}")).long())?;
    if context.json && export.output.is_none() {
        context.printed_as_json(&answer)?;
        return Ok(());
    }
    let bytes = if context.json { answer.body.to_vec() } else { as_toml(&answer.read()?)?.into_bytes() };
    let Some(path) = &export.output else {
        return Ok(context.out.write_all(&bytes)?);
    };
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(|error| CliError::failed(format!("{}: cannot be written: {error}", path.display())))
}

fn as_toml(setup: &SetupFile) -> Result<String, CliError> {
    let toml = toml::to_string(setup)
        .map_err(|error| CliError::failed(format!("the answer cannot be written as TOML: {error}")))?;
    let head = "# Everything that `ringfence apply` makes; applying this file again changes nothing.\n";
    // Only a value in place can be missing: what is in a variable or a file is read where it is applied.
    let kept = match keeps_secrets(setup) {
        true => {
            "# It is for this daemon: secret_kept and password_kept keep secrets that are not in it.\n\
                 # A file for another daemon is written with --with-secrets.\n"
        }
        false => "",
    };
    Ok(format!("{head}{kept}\n{toml}"))
}

fn keeps_secrets(setup: &SetupFile) -> bool {
    let disconnects = setup.nas.iter().filter_map(|nas| nas.disconnect.as_ref());
    setup.account.iter().any(|account| account.password_kept)
        || setup.nas.iter().any(|nas| nas.secret_kept)
        || disconnects.into_iter().any(|disconnect| disconnect.secret_kept)
}

fn send(context: &Context<'_>, text: &SetupText, dry_run: bool, prune: bool) -> Result<Answer, CliError> {
    let answer = ask(context, &text.setup, dry_run, prune)?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let problem = read_problem(answer.status, &answer.body);
    if problem.errors.is_empty() {
        return Err(refusal(answer.status, &answer.body));
    }
    let faults = problem.errors.iter().map(|fault| text.fault_at(&fault.path, &fault.message)).collect();
    Err(told(faults))
}

/// What was found here, and what the daemon finds in the rest: a person mends a file once.
fn all_faults(context: &Context<'_>, text: &SetupText) -> CliError {
    let mut faults = text.faults.clone();
    if let Ok(answer) = ask(context, &text.setup, true, false)
        && answer.status == StatusCode::UNPROCESSABLE_ENTITY
    {
        let problem = read_problem(answer.status, &answer.body);
        let known = text.known();
        let unknown = problem.errors.iter().filter(|fault| !known.covers(&fault.path));
        faults.extend(unknown.map(|fault| text.fault_at(&fault.path, &fault.message)));
    }
    told(faults)
}

fn told(mut faults: Vec<SetupFault>) -> CliError {
    faults.sort();
    let mut lines: Vec<String> = faults.iter().map(SetupFault::to_string).collect();
    let errors = faults.into_iter().map(|fault| Fault { path: fault.about, message: fault.text }).collect();
    let count = match lines.len() {
        1 => "1 fault".to_owned(),
        // The last lines say how many more.
        count if count > FAULTS_MAX => format!("more than {FAULTS_MAX} faults"),
        count => format!("{count} faults"),
    };
    lines.push(format!("nothing was changed: {count}"));
    CliError::faults(lines).with_errors(errors)
}

fn ask(context: &Context<'_>, setup: &Value, dry_run: bool, prune: bool) -> Result<Answer, CliError> {
    let body = json!({ "setup": setup, "dry_run": dry_run, "prune": prune });
    let ask = Ask::post("/apply").json(&body)?.long();
    if ask.body_bytes() > REQUEST_BYTES_MAX {
        return Err(CliError::failed(format!(
            "the file and its rates are more than {} MiB; leave the largest tariffs' rates out and give them with \
             `ringfence rate import`",
            REQUEST_BYTES_MAX >> 20
        )));
    }
    context.client.ask_raw(ask)
}

fn report_lines(report: &ApplyReport) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(report.added.iter().map(|thing| format!("+ {}", name(thing))));
    for change in &report.changed {
        lines.push(format!("~ {} {}", shown(&change.kind), shown(&change.id)));
        lines.extend(change.fields.iter().map(|field| {
            let [field, from, to] = [&field.field, &field.from, &field.to].map(|text| shown(text));
            format!("    {field}: {from} -> {to}")
        }));
        lines.extend(change.rates.as_ref().map(rates_line));
    }
    lines.extend(report.removed.iter().map(|thing| format!("- {}", name(thing))));
    let mut summary = format!(
        "{} added, {} changed, {} removed, {} unchanged",
        report.added.len(),
        report.changed.len(),
        report.removed.len(),
        report.unchanged.len()
    );
    if !report.left.is_empty() {
        summary.push_str(&format!("; {} not in the file and left as they are", report.left.len()));
    }
    if report.dry_run {
        summary.push_str(" (dry run: nothing was done)");
    }
    lines.push(summary);
    lines
}

fn rates_line(counts: &RateCounts) -> String {
    let RateCounts { added, changed, removed, unchanged } = counts;
    format!("    rates: {added} added, {changed} changed, {removed} removed, {unchanged} unchanged")
}

fn name(thing: &ThingName) -> String {
    format!("{} {}", shown(&thing.kind), shown(&thing.id))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::service::admin::spec::{
        AccountSpec, CustomerSpec, FieldChange, NasSpec, NumberRuleSpec, RateSpec, TariffSpec, ThingChange,
    };

    fn thing(kind: &str, id: &str) -> ThingName {
        ThingName { kind: kind.into(), id: id.into() }
    }

    #[test]
    fn a_report_is_a_diff_and_a_sum() {
        let report = ApplyReport {
            dry_run: true,
            added: vec![thing("customer", "beta")],
            changed: vec![ThingChange {
                kind: "customer".into(),
                id: "acme".into(),
                fields: vec![FieldChange { field: "calls_max".into(), from: "2".into(), to: "-".into() }],
                rates: None,
            }],
            unchanged: vec![thing("nas", "gw1")],
            removed: vec![thing("account", "old")],
            left: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(
            report_lines(&report),
            [
                "+ customer beta",
                "~ customer acme",
                "    calls_max: 2 -> -",
                "- account old",
                "1 added, 1 changed, 1 removed, 1 unchanged (dry run: nothing was done)",
            ]
        );
    }

    #[test]
    fn an_export_is_read_back_as_it_was() {
        let setup = SetupFile {
            tariff: vec![TariffSpec {
                id: "retail".into(),
                currency: "EUR".into(),
                rate: Some(vec![RateSpec {
                    prefix: "49".into(),
                    per_minute: Some("0.01".into()),
                    ..RateSpec::default()
                }]),
                ..TariffSpec::default()
            }],
            customer: vec![CustomerSpec {
                id: "acme".into(),
                tariff: "retail".into(),
                number_rules: vec![NumberRuleSpec { pattern: "^00".into(), replace: String::new() }],
                ..CustomerSpec::default()
            }],
            account: vec![AccountSpec {
                id: "böse \"tür\"".into(),
                customer: "acme".into(),
                password_kept: true,
                ..AccountSpec::default()
            }],
            nas: vec![NasSpec {
                id: "gw1".into(),
                address: "192.0.2.1/32".into(),
                secret_kept: true,
                ..NasSpec::default()
            }],
            ..SetupFile::default()
        };
        let toml = as_toml(&setup).unwrap();
        let read = setup_file::read_text(&toml, Path::new("e.toml"), &|_| None);
        assert_eq!(read.faults, [], "{toml}");
        assert_eq!(serde_json::from_value::<SetupFile>(read.setup).unwrap(), setup);
    }
}
