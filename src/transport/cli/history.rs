//! `rejection` and `audit`: who was refused and why, and who changed what.

use clap::{Args, Subcommand};

use super::context::Context;
use super::error::CliError;
use super::input::{self, Page};
use super::noun;
use super::table::{Column, Table, Text};
use super::text::clock_time;
use crate::service::admin::spec::{AuditView, RejectionView};

/// The verbs of `rejection`.
#[derive(Subcommand, Clone, Debug)]
pub enum RejectionVerb {
    /// List refused attempts with the numbers that decided, newest first
    #[command(
        after_help = "Examples:\n  ringfence rejection list --account alice\n  ringfence rejection list --reason no_credit --from 2026-01-01"
    )]
    List(Box<Rejections>),
}

/// The verbs of `audit`.
#[derive(Subcommand, Clone, Debug)]
pub enum AuditVerb {
    /// List what operators changed, newest first
    #[command(
        after_help = "Examples:\n  ringfence audit list --from 2026-01-01\n  ringfence audit list --by socket:uid=0"
    )]
    List(Audit),
}

/// Which refused attempts are listed.
#[derive(Args, Clone, Debug)]
pub struct Rejections {
    /// From this time on, such as 2026-01-01 or 2026-01-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    to: Option<String>,
    /// For this reason, such as no_credit or calls_limit
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Through this gateway
    #[arg(long, value_name = "ID")]
    nas: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Which changes are listed.
#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// From this time on, such as 2026-01-01 or 2026-01-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    to: Option<String>,
    /// By this operator, as the list names them
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Runs a verb of `rejection`.
///
/// # Errors
/// A filter is wrong, or the daemon is not there.
pub fn run_rejection(context: &mut Context<'_>, verb: RejectionVerb) -> Result<(), CliError> {
    let RejectionVerb::List(asked) = verb;
    let filters = vec![
        ("from", asked.from),
        ("to", asked.to),
        ("reason", asked.reason),
        ("account", asked.account),
        ("nas", asked.nas),
    ];
    noun::list(context, "/rejections", "rejections", filters, &asked.page, rejections)
}

/// Runs a verb of `audit`.
///
/// # Errors
/// A filter is wrong, or the daemon is not there.
pub fn run_audit(context: &mut Context<'_>, verb: AuditVerb) -> Result<(), CliError> {
    let AuditVerb::List(asked) = verb;
    let filters = vec![("from", asked.from), ("to", asked.to), ("by", asked.by)];
    noun::list(context, "/audit", "audit", filters, &asked.page, audit)
}

fn rejections(rejections: &[RejectionView]) -> Table {
    let mut table = Table::new([
        Column::new("at"),
        Column::number("times").rank(2),
        Column::new("reason"),
        Column::id("account").rank(5),
        Column::id("caller").rank(3),
        Column::id("callee").rank(4),
        Column::id("nas").rank(1),
        Column::text("what decided"),
    ]);
    for rejection in rejections {
        table.row([
            Text::from(clock_time(&rejection.at)),
            Text::from(rejection.count),
            Text::from(&rejection.reason),
            Text::from(rejection.account.as_ref().unwrap_or(&rejection.user_name)),
            Text::from(&rejection.caller),
            Text::from(&rejection.callee),
            Text::from(&rejection.nas),
            Text::from(&rejection.text),
        ]);
    }
    table
}

fn audit(changes: &[AuditView]) -> Table {
    let mut table = Table::new([Column::new("at"), Column::id("by").rank(1), Column::text("what")]);
    for change in changes {
        table.row([Text::from(clock_time(&change.at)), Text::from(&change.by), Text::from(&change.text)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::cli::table::Screen;

    #[test]
    fn a_refusal_tells_the_numbers_that_decided() {
        let rejection = RejectionView {
            at: "2026-01-01T00:00:00Z".into(),
            reason: "no_credit".into(),
            user_name: "alice".into(),
            text: "available 0.00, first chunk 0.60".into(),
            count: 3,
            ..RejectionView::default()
        };
        let mut out = Vec::new();
        rejections(&[rejection]).write(&mut out, Screen::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("available 0.00, first chunk 0.60\n") && text.contains("alice"), "{text}");
    }
}
