//! `account`: who calls, and what proves it.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::block::{self, Block, Unblock};
use super::context::{Context, Environment};
use super::error::CliError;
use super::input::{self, Members, OrNone, Page};
use super::noun::{Noun, Remove};
use super::party::of_max;
use super::secret::{self, SecretFrom};
use super::table::{Card, Column, Table, Text, Tone};
use super::text::rules;
use crate::service::admin::spec::AccountView;

const ACCOUNTS: Noun = Noun { one: "account", path: "accounts" };

/// The verbs of `account`.
#[derive(Subcommand, Clone, Debug)]
pub enum AccountVerb {
    /// List accounts
    #[command(after_help = "Examples:\n  ringfence account list --customer acme")]
    List {
        /// Only those of this customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one account
    #[command(after_help = "Examples:\n  ringfence account show alice")]
    Show {
        /// The account
        id: String,
    },
    /// Add an account: by password, trusted address, calling number, or the id alone as a code
    #[command(
        after_help = "A password on the command line can be seen by others on this machine and stays in the shell's history; --password-file and --password-env avoid both.\n\nExamples:\n  ringfence account add alice --customer acme --password-file alice.pw --calls-max 1\n  ringfence account add 4930123 --customer acme --ani 4930123\n  ringfence account add pbx --customer acme --trusted-address 192.0.2.20\n  ringfence account add 88001234 --customer acme"
    )]
    Add {
        /// The User-Name that a NAS will send
        id: String,
        /// Who pays
        #[arg(long, value_name = "ID")]
        customer: String,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<AccountFields>,
    },
    /// Change an account; what is not named stays
    #[command(
        after_help = "Examples:\n  ringfence account set alice --calls-max 2\n  ringfence account set alice --no-password --ani 4930123\n  ringfence account set alice --blocked yes"
    )]
    Set {
        /// The account
        id: String,
        /// Who pays, for the calls to come
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Has no password any more
        #[arg(long, conflicts_with = "password_from")]
        no_password: bool,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<AccountFields>,
    },
    /// Block accounts: no new calls; with --disconnect the calls that are up end too
    #[command(
        after_help = "Without --disconnect a call that is up ends when what is reserved for it does. With it, the calls are shown, somebody is asked, and their gateways are asked to end them as by `call disconnect`; without a terminal nothing is done unless --yes is said.\n\nExamples:\n  ringfence account block alice\n  ringfence account block alice --disconnect\n  ringfence account block alice bob --disconnect --yes"
    )]
    Block(Block),
    /// Block accounts no longer
    #[command(after_help = "Examples:\n  ringfence account unblock alice")]
    Unblock(Unblock),
    /// Remove accounts
    #[command(after_help = "Examples:\n  ringfence account remove alice --yes")]
    Remove(Remove),
}

/// What can be said of an account.
#[derive(Args, Clone, Debug, Default)]
pub struct AccountFields {
    #[command(flatten)]
    password: Password,
    /// An address or network whose calls need no password; repeat for more, none for none at all
    #[arg(long = "trusted-address", value_name = "ADDRESS", value_parser = input::text_or_none)]
    trusted_addresses: Vec<OrNone<String>>,
    /// A calling number that is proof enough; repeat for more, none for none at all
    #[arg(long, value_name = "NUMBER", value_parser = input::text_or_none)]
    ani: Vec<OrNone<String>>,
    /// Most calls at once, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    calls_max: Option<OrNone<u32>>,
    /// Most attempts in a second, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    attempts_per_second_max: Option<OrNone<u32>>,
    /// No new calls: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = input::yes_or_no)]
    blocked: Option<bool>,
    /// Rewrite dialled numbers: a regular expression and what replaces its match; repeat for more,
    /// none for no rules
    #[arg(long = "number-rule", value_name = "MATCH=>REPLACE", value_parser = input::number_rule)]
    number_rules: Vec<OrNone<Value>>,
}

/// Where the password comes from.
#[derive(Args, Clone, Default)]
#[group(id = "password_from", multiple = false)]
pub struct Password {
    /// The password itself
    #[arg(long, value_name = "SECRET")]
    password: Option<String>,
    /// The environment variable that holds the password
    #[arg(long, value_name = "NAME")]
    password_env: Option<String>,
    /// The file that holds the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Runs a verb of `account`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: AccountVerb) -> Result<(), CliError> {
    let noun = ACCOUNTS;
    match verb {
        AccountVerb::List { customer, page } => noun.list(context, vec![("customer", customer)], &page, table),
        AccountVerb::Show { id } => noun.show(context, &id, card),
        AccountVerb::Add { id, customer, fields } => {
            let members = fields.members(Some(customer), context.environment)?;
            noun.add(context, &id, members, card)
        }
        AccountVerb::Set { id, customer, no_password, fields } => {
            let mut members = fields.members(customer, context.environment)?;
            if no_password {
                secret::take_away("password", &mut members);
            }
            noun.set(context, &id, members, card)
        }
        AccountVerb::Block(block) => block::block(context, noun, &block),
        AccountVerb::Unblock(unblock) => block::unblock(context, noun, &unblock),
        AccountVerb::Remove(remove) => noun.remove(context, &remove),
    }
}

impl AccountFields {
    fn members(self, customer: Option<String>, environment: Environment<'_>) -> Result<Members, CliError> {
        let mut members = Members::new();
        members.set("customer", customer);
        let Password { password, password_env, password_file } = self.password;
        if let Some(from) = SecretFrom::one_of(password, password_env, password_file) {
            let password = from
                .read(environment, Path::new(""))
                .map_err(|error| CliError::usage(format!("the password: {error}")))?;
            from.set_members("password", password, &mut members);
        }
        members.set_list("trusted_addresses", &self.trusted_addresses);
        members.set_list("ani", &self.ani);
        members.set("calls_max", self.calls_max);
        members.set("attempts_per_second_max", self.attempts_per_second_max);
        members.set("blocked", self.blocked);
        members.set_list("number_rules", &self.number_rules);
        Ok(members)
    }
}

fn table(accounts: &[AccountView]) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::id("customer"),
        Column::new("proof"),
        Column::number("calls").rank(1),
        Column::new("blocked").rank(2),
    ]);
    for account in accounts {
        table.row([
            Text::from(&account.id),
            Text::from(&account.customer),
            Text::from(proof(account)),
            of_max(account.calls, account.calls_max),
            blocked(account),
        ]);
    }
    table
}

fn card(account: &AccountView) -> Card {
    let mut card = Card::new();
    card.field("account", &account.id);
    card.field("customer", &account.customer);
    card.field("password", account.password.as_ref());
    card.field("trusted addresses", account.trusted_addresses.join(", "));
    card.field("ani", account.ani.join(", "));
    if account.is_code {
        card.field("proof", "the id alone: an account code");
    }
    card.field("calls", of_max(account.calls, account.calls_max));
    card.field("attempts per second", account.attempts_per_second_max);
    card.field("blocked", blocked(account));
    card.field("number rules", rules(&account.number_rules));
    card
}

fn proof(account: &AccountView) -> String {
    let mut proofs = Vec::new();
    if account.password.is_some() {
        proofs.push("password");
    }
    if !account.trusted_addresses.is_empty() {
        proofs.push("address");
    }
    if !account.ani.is_empty() {
        proofs.push("number");
    }
    if account.is_code {
        proofs.push("code");
    }
    proofs.join(", ")
}

fn blocked(account: &AccountView) -> Text {
    if account.blocked { Text::toned("yes", Tone::Bad) } else { Text::from("no") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_an_account_is_told() {
        let account = |password: Option<&str>, ani: &[&str], is_code| AccountView {
            password: password.map(str::to_owned),
            ani: ani.iter().map(|ani| (*ani).to_owned()).collect(),
            is_code,
            ..AccountView::default()
        };
        assert_eq!(proof(&account(Some("inline"), &["49"], false)), "password, number");
        assert_eq!(proof(&account(None, &[], true)), "code");
    }

    #[test]
    fn a_password_is_read_where_it_is_named() {
        let fields = AccountFields {
            password: Password { password_env: Some("PW".into()), ..Password::default() },
            ..AccountFields::default()
        };
        let members = fields.members(None, &|name| (name == "PW").then(|| "hush".to_owned())).unwrap();
        assert_eq!(members.new_thing(), serde_json::json!({ "password": "hush", "password_env": "PW" }));
    }
}
