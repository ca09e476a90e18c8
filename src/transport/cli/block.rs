//! `block` and `unblock` of resellers, customers and accounts: no new calls, and if wanted an end of
//! those that are up.

use clap::Args;
use serde_json::{Map, Value, json};

use super::call_action::{self, Action, calls};
use super::client::Ask;
use super::context::Context;
use super::error::CliError;
use super::noun::{Noun, for_each};

/// Who is to be blocked, and what becomes of the calls that are up.
#[derive(Args, Clone, Debug)]
pub struct Block {
    /// Who
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Have the gateways end their calls too, now
    #[arg(long)]
    disconnect: bool,
    /// Do not ask; needed with --disconnect where there is no terminal to ask on
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Who is to be blocked no longer.
#[derive(Args, Clone, Debug)]
pub struct Unblock {
    /// Who
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Blocks; who is not there does not keep the others.
///
/// # Errors
/// One at least is not there, nobody said yes, or a call could not be asked to end.
pub fn block(context: &mut Context<'_>, noun: Noun, block: &Block) -> Result<(), CliError> {
    if block.disconnect {
        return block_and_disconnect(context, noun, block);
    }
    let (views, outcome) = set(context, noun, &block.ids, Wanted::Blocked)?;
    if context.json {
        context.print_json(&json!({ noun.path: views }))?;
    }
    outcome
}

/// Takes the block away.
///
/// # Errors
/// One at least is not there.
pub fn unblock(context: &mut Context<'_>, noun: Noun, unblock: &Unblock) -> Result<(), CliError> {
    let (views, outcome) = set(context, noun, &unblock.ids, Wanted::Active)?;
    if context.json {
        context.print_json(&json!({ noun.path: views }))?;
    }
    outcome
}

fn block_and_disconnect(context: &mut Context<'_>, noun: Noun, block: &Block) -> Result<(), CliError> {
    let mut there = Vec::new();
    let looked = for_each(&block.ids, |id| {
        context.client.ask(Ask::get(noun.path_of(id)))?;
        there.push(id.to_owned());
        Ok(())
    });
    if there.is_empty() {
        return looked;
    }
    let found = call_action::find_any(context, noun.one, &there)?;
    if !found.is_empty() {
        call_action::preview(context, "to disconnect", &found)?;
    }
    let who = format!("{} {}", noun.one, there.join(", "));
    let question = match found.len() {
        0 => format!("Block {who}? No call is up."),
        number => format!("Block {who}, and have the gateways end {}? Who is talking is hung up.", calls(number)),
    };
    context.confirm_expressly(&question, block.yes)?;
    let (views, blocked) = set(context, noun, &there, Wanted::BlockedWithoutCalls)?;
    // Again, now that no new ones can come: one may have been let in while somebody was asked.
    let found = call_action::find_any(context, noun.one, &there)?;
    let outcome = call_action::act(context, Action::Disconnect, &found)?;
    if context.json {
        context.print_json(&json!({ noun.path: views, "disconnect": outcome.as_json() }))?;
    } else if !found.is_empty() {
        outcome.tell(context)?;
    }
    looked.and(blocked).and(outcome.end())
}

/// What they are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Active,
    Blocked,
    /// And their calls are to be ended now.
    BlockedWithoutCalls,
}

/// What they are afterwards, and whether all went well; both are wanted, and told apart.
type Settled = (Vec<Value>, Result<(), CliError>);

fn set(context: &mut Context<'_>, noun: Noun, ids: &[String], wanted: Wanted) -> Result<Settled, CliError> {
    let mut views = Vec::new();
    let mut lines = Vec::new();
    let outcome = for_each(ids, |id| {
        let before: Map<String, Value> = context.client.ask(Ask::get(noun.path_of(id)))?.read()?;
        let was = before.get("blocked").and_then(Value::as_bool).unwrap_or(false);
        let change = Ask::patch(noun.path_of(id)).json(&json!({ "blocked": wanted != Wanted::Active }))?;
        let after: Map<String, Value> = context.client.ask(change)?.read()?;
        let up = after.get("calls").and_then(Value::as_u64).unwrap_or(0);
        lines.push(line(noun, id, was, wanted, up));
        views.push(Value::Object(after));
        Ok(())
    });
    if !context.json {
        lines.iter().try_for_each(|line| context.line(line))?;
    }
    Ok((views, outcome))
}

fn line(noun: Noun, id: &str, was: bool, wanted: Wanted, up: u64) -> String {
    let who = format!("{} {id}", noun.one);
    let done = match (was, wanted) {
        (true, Wanted::Active) => return format!("{who} unblocked"),
        (false, Wanted::Active) => return format!("{who} was not blocked"),
        (false, _) => "blocked",
        (true, _) => "was blocked already",
    };
    match up {
        // What becomes of them is told call by call.
        1.. if wanted == Wanted::BlockedWithoutCalls => format!("{who} {done}"),
        0 => format!("{who} {done}; no call is up"),
        1 => format!("{who} {done}; 1 call is up, and ends when what is reserved for it does"),
        up => format!("{who} {done}; {up} calls are up, and each ends when what is reserved for it does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_the_calls_is_said() {
        let noun = Noun { one: "customer", path: "customers" };
        assert_eq!(line(noun, "acme", false, Wanted::Blocked, 0), "customer acme blocked; no call is up");
        assert_eq!(
            line(noun, "acme", true, Wanted::Blocked, 2),
            "customer acme was blocked already; 2 calls are up, and each ends when what is reserved for it does"
        );
        assert_eq!(line(noun, "acme", false, Wanted::BlockedWithoutCalls, 2), "customer acme blocked");
        assert_eq!(line(noun, "acme", false, Wanted::Active, 2), "customer acme was not blocked");
    }
}
