//! Plays a story line by line: what happens, and what must be so then.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringfence::domain::call::{CallKey, DisconnectAnswer, LegOrigin};
use ringfence::domain::cdr::Cdr;
use ringfence::domain::command::{
    Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, NasAnswered, NasAsked, PostEntry,
    PostKind, Proof, Quote, Restart,
};
use ringfence::domain::decision::{Accept, Alarm, Because, Done, Effect, Quoted, Rejected, Reply};
use ringfence::domain::id::{CallId, ConfId, NasKey};
use ringfence::domain::limit::Entity;
use ringfence::domain::money::Money;
use ringfence::domain::party::Party;
use ringfence::domain::time::Timestamp;

use super::cast;
use super::stage::Stage;
use super::words::{Words, instant, says, shown};

/// What is found of a thing, by the names that a story asks for.
type Found = Vec<(&'static str, String)>;

/// Plays a story.
///
/// # Errors
/// The first line that is not so: file, line, what was expected and what was found.
pub fn play(name: &str, text: &str) -> Result<(), String> {
    let mut player = Player { stage: None, calls: BTreeMap::new(), last: None, policy_line: None };
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        let place = |error: String| format!("tests/scenarios/{name}:{}: {error}", index + 1);
        if !line.is_empty() {
            player.line(line).map_err(place)?;
        }
    }
    let end = |error: String| format!("tests/scenarios/{name}: at its end: {error}");
    player.all_seen().map_err(end)?;
    player.stage()?.finish_after_all(end)
}

struct Player {
    stage: Option<Stage>,
    /// What the story calls each call.
    calls: BTreeMap<String, CallId>,
    last: Option<(Option<String>, Command)>,
    policy_line: Option<String>,
}

trait Finish {
    fn finish_after_all(&mut self, place: impl Fn(String) -> String) -> Result<(), String>;
}

impl Finish for Stage {
    fn finish_after_all(&mut self, place: impl Fn(String) -> String) -> Result<(), String> {
        let fresh = Stage::new(*self.world.policy(), self.now);
        std::mem::replace(self, fresh).finish().map_err(place)
    }
}

impl Player {
    fn stage(&mut self) -> Result<&mut Stage, String> {
        if self.stage.is_none() {
            let line = self.policy_line.clone().unwrap_or_default();
            let mut words = Words::of(&line);
            let policy = cast::policy(&mut words)?;
            words.finish()?;
            self.stage = Some(Stage::new(policy, instant("00:00:00")?));
        }
        self.stage.as_mut().ok_or_else(|| "no stage".into())
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut words = Words::of(line);
        match words.next("a verb")? {
            "policy" if self.stage.is_none() => {
                self.policy_line = line.strip_prefix("policy").map(str::to_owned);
                return self.stage().map(|_| ());
            }
            "policy" => return Err("the policy comes first".into()),
            "rate" => {
                let stage = self.stage()?;
                cast::rate(&mut stage.book, &mut words)?;
            }
            kind @ ("tariff" | "customer" | "reseller" | "account" | "nas" | "carrier" | "connection") => {
                self.write(kind, &mut words)?;
            }
            "at" => {
                let until = instant(words.next("a time")?)?;
                self.stage()?.pass_until(until)?;
                self.act(&mut words)?;
            }
            "clock" => {
                let jumped = instant(words.next("a time")?)?;
                self.stage()?.now = jumped;
            }
            "again" => {
                let (name, command) = self.last.clone().ok_or("nothing was asked yet")?;
                self.submit(name, command)?;
            }
            "expect" => self.expect(&mut words)?,
            "then" => self.then(&mut words)?,
            "saw" => self.saw(&mut words)?,
            other => return Err(format!("nobody knows how to {other}")),
        }
        words.finish()
    }

    /// Adds or changes a party, account, NAS, tariff, carrier or connection.
    fn write(&mut self, kind: &str, words: &mut Words<'_>) -> Result<(), String> {
        let stage = self.stage()?;
        let written = cast::thing(&stage.book, kind, words)?;
        let mut book = stage.book.as_ref().clone();
        book.apply(&written.change).map_err(|error| error.to_string())?;
        let change = ChangeBook {
            changes: vec![written.change],
            book: Arc::new(book),
            opening: written.opening.into_iter().collect(),
            by: "story".into(),
        };
        stage.submit(&Command::ChangeBook(Box::new(change)))
    }

    fn act(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        match words.next("who")? {
            "wait" => Ok(()),
            "restart" => {
                let down_seconds = words.parsed("down")?.unwrap_or(0);
                self.stage()?.restart(down_seconds)
            }
            "operator" => self.operate(words),
            nas => {
                let stage = self.stage()?;
                let nas = stage.book.nas_by_id(nas).ok_or_else(|| format!("no nas {nas}"))?.key;
                match words.next("what it does")? {
                    "authorize" => self.authorize(nas, words),
                    "start" => self.account(nas, AccountingKind::Start, words),
                    "interim" => self.account(nas, AccountingKind::Interim, words),
                    "stop" => self.account(nas, AccountingKind::Stop, words),
                    "failed" => self.account(nas, AccountingKind::Failed, words),
                    "answers" => {
                        let call = self.call_id(words.next("a call")?)?;
                        let answer = match words.next("an answer")? {
                            "ack" => DisconnectAnswer::Acknowledged,
                            "nak" => DisconnectAnswer::Refused(words.parsed("cause")?),
                            "removed" => DisconnectAnswer::Removed,
                            "nothing" => DisconnectAnswer::Unanswered,
                            other => return Err(format!("{other} is no answer")),
                        };
                        let asked = match words.parsed("seconds")? {
                            Some(seconds) => NasAsked::Prolong { seconds },
                            None => NasAsked::Disconnect,
                        };
                        self.submit(None, Command::NasAnswered(NasAnswered { call, asked, answer }))
                    }
                    "restarts" => {
                        let told = Restart {
                            nas,
                            sender: cast::naming(words)?,
                            event_at: words.time("event")?,
                            delay_seconds: words.parsed("delay")?,
                            word: words.parsed("word")?,
                        };
                        self.submit(None, Command::RestartNas(told))
                    }
                    other => Err(format!("a nas does not {other}")),
                }
            }
        }
    }

    fn submit(&mut self, name: Option<String>, command: Command) -> Result<(), String> {
        self.last = Some((name.clone(), command.clone()));
        let stage = self.stage()?;
        stage.submit(&command)?;
        let opened = match &stage.reply {
            Reply::Accept(accept) => accept.call,
            Reply::Recorded => stage.touched.first().copied(),
            _ => None,
        };
        if let (Some(name), Some(call)) = (name, opened) {
            self.calls.insert(name, call);
        }
        Ok(())
    }

    fn call_id(&self, name: &str) -> Result<CallId, String> {
        self.calls.get(name).copied().ok_or_else(|| format!("there was no call {name}"))
    }

    /// How a NAS names a call: by the story's own name unless it says otherwise.
    fn identity(&self, name: Option<&str>, words: &mut Words<'_>) -> Result<CallIdentity, String> {
        let key = match words.value("id") {
            Some("none") => None,
            Some(id) => Some(id),
            None => name,
        };
        let session_id = words.value("session_id").or(key).unwrap_or("");
        let conf_id = words.parsed::<u8>("conf")?.map(|conf| ConfId([conf; 16]));
        Ok(CallIdentity {
            class: words.value("class").map(|name| self.call_id(name)).transpose()?,
            key: key.map(|key| CallKey(key.as_bytes().into())),
            conf_id,
            dialog: words.dialog()?,
            session_id: session_id.as_bytes().into(),
            identification: cast::naming(words)?,
        })
    }

    fn authorize(&mut self, nas: NasKey, words: &mut Words<'_>) -> Result<(), String> {
        let name = words.maybe();
        let identity = self.identity(name, words)?;
        let proof = if words.flag("unproven") { Proof::Wrong } else { Proof::Right };
        let book = Arc::clone(&self.stage()?.book);
        let user = words.value("account").unwrap_or("");
        let via = words.value("via");
        let connection = via.map(|id| book.connection_by_id(id).map(|it| it.key).ok_or(format!("no connection {id}")));
        let request = Authorize {
            nas,
            user_name: user.as_bytes().into(),
            account: book.account_by_id(user).map(|account| account.key),
            proof,
            identity,
            caller: words.value("from").map(Into::into),
            called: words.value("to").map(Into::into),
            connection: connection.transpose()?,
            packet: None,
        };
        let name = words.value("as").or(name).map(str::to_owned);
        self.submit(name, Command::Authorize(Box::new(request)))
    }

    fn account(&mut self, nas: NasKey, kind: AccountingKind, words: &mut Words<'_>) -> Result<(), String> {
        let name = words.maybe();
        let identity = self.identity(name, words)?;
        let stage = self.stage()?;
        let book = Arc::clone(&stage.book);
        let recalled = stage.recall(nas, &identity);
        let user = words.value("account");
        let origin = match words.flag("originate") {
            true => LegOrigin::Originate,
            false => LegOrigin::Answer,
        };
        let remote_address = words.parsed("remote")?;
        let told = Accounting {
            nas,
            kind,
            identity,
            origin,
            remote_address,
            connection: remote_address.and_then(|address| book.connection_by_address(address)).map(|it| it.key),
            user_name: user.map(|user| user.as_bytes().into()),
            account: user.and_then(|user| book.account_by_id(user)).map(|account| account.key),
            caller: words.value("from").map(Into::into),
            called: words.value("to").map(Into::into),
            event_at: words.time("event")?,
            delay_seconds: words.parsed("delay")?,
            setup_at: words.time("setup")?,
            connected_at: words.time("connected")?,
            disconnected_at: words.time("disconnected")?,
            session_seconds: words.parsed("session")?,
            cause: words.parsed("cause")?,
            rings: words.flag("rings"),
            may_be_periodic: !words.flag("reinvite"),
            recalled,
            packet: None,
        };
        let name = words.value("as").or(name).map(str::to_owned);
        self.submit(name, Command::Account(Box::new(told)))
    }

    fn operate(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let verb = words.next("what the operator does")?;
        match verb {
            "topup" | "adjust" => {
                let party = words.next("whose balance")?;
                let amount = words.next("an amount")?;
                let party = self.stage()?.book.party_by_id(party).ok_or_else(|| format!("no party {party}"))?.key;
                let post = PostEntry {
                    party,
                    kind: if verb == "topup" { PostKind::TopUp } else { PostKind::Adjustment },
                    amount: amount.parse().map_err(|error| format!("{amount}: {error}"))?,
                    note: "".into(),
                    idempotency_key: words.value("key").map(Into::into),
                    known: None,
                    by: "story".into(),
                };
                self.submit(None, Command::PostEntry(Box::new(post)))
            }
            "remove" => {
                let call = self.call_id(words.next("a call")?)?;
                self.submit(None, Command::RemoveCall { call, by: "story".into() })
            }
            "disconnect" => {
                let call = self.call_id(words.next("a call")?)?;
                self.submit(None, Command::DisconnectCall { call, by: "story".into() })
            }
            "quote" => {
                let book = Arc::clone(&self.stage()?.book);
                let account = words.next("an account")?;
                let quote = Quote {
                    account: book.account_by_id(account).ok_or_else(|| format!("no account {account}"))?.key,
                    nas: words.value("nas").and_then(|id| book.nas_by_id(id)).map(|nas| nas.key),
                    called: words.next("a number")?.into(),
                    seconds: words.parsed("seconds")?.unwrap_or(60),
                };
                self.submit(None, Command::Quote(Box::new(quote)))
            }
            "rate" => {
                let stage = self.stage()?;
                cast::rate(&mut stage.book, words)
            }
            "sets" => {
                let kind = words.next("what kind of thing")?;
                self.write(kind, words)
            }
            other => Err(format!("an operator does not {other}")),
        }
    }

    fn expect(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let expected = words.next("a reply")?;
        let stage = self.stage()?;
        let book = Arc::clone(&stage.book);
        let (reply, reason, found): (&str, String, Found) = match &stage.reply {
            Reply::Accept(accept) => ("accept", String::new(), of_accept(accept)),
            Reply::Reject(rejected) => ("reject", rejected.reason.to_string(), of_rejection(&book, rejected)),
            Reply::Recorded => ("recorded", String::new(), Vec::new()),
            Reply::Done(Done::Quoted(quoted)) => ("quote", String::new(), of_quote(&book, quoted)),
            Reply::Done(done) => ("done", String::new(), of_done(done)),
            Reply::Refused(refusal) => ("refused", String::new(), vec![("because", dashed(&refusal.to_string()))]),
            Reply::None => ("nothing", String::new(), Vec::new()),
        };
        let expected_reason = if expected == "reject" { words.next("a reason")? } else { "" };
        if (expected, expected_reason) != (reply, reason.as_str()) {
            let expected = format!("{expected} {expected_reason}");
            let found = format!("{reply} {reason}");
            return Err(format!("expected {}, found {}", expected.trim(), found.trim()));
        }
        compare("the reply", &found, words)
    }

    fn then(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let what = words.next("what is looked at")?;
        let calls = self.calls.clone();
        let named = |words: &mut Words<'_>| {
            let name = words.next("a call")?;
            let id = calls.get(name).copied().ok_or_else(|| format!("there was no call {name}"))?;
            Ok::<_, String>((name.to_owned(), id))
        };
        let stage = self.stage()?;
        let (whose, found) = match what {
            "call" => {
                let (name, id) = named(words)?;
                (format!("call {name}"), of_call(stage, id)?)
            }
            "cdr" => {
                let (name, id) = named(words)?;
                (format!("cdr {name}"), of_cdr(stage, id)?)
            }
            "due" => {
                let at = words.next("a time")?;
                let found = stage.world.next_deadline().map_or_else(|| "never".to_owned(), shown);
                return if at == found { Ok(()) } else { Err(format!("due: expected {at}, found {found}")) };
            }
            id => (id.to_owned(), of_thing(stage, id)?),
        };
        compare(&whose, &found, words)
    }

    /// The next thing that was to be done outside.
    fn saw(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let what = words.next("what was seen")?;
        if what == "nothing" {
            return self.all_seen();
        }
        let name = words.next("a call")?.to_owned();
        let stage = self.stage()?;
        if stage.effects.is_empty() {
            return Err(format!("expected {what} {name}, but nothing was done"));
        }
        let (at, effect) = stage.effects.remove(0);
        let (kind, id, mut found) = of_effect(&effect, &stage.book);
        found.push(("at", shown(at)));
        let seen = self.name_of(id);
        if (what, name.as_str()) != (kind, seen.as_str()) {
            return Err(format!("expected {what} {name}, found {kind} {seen}"));
        }
        compare(&format!("{what} {name}"), &found, words)
    }

    fn name_of(&self, id: CallId) -> String {
        let name = self.calls.iter().find(|(_, call)| **call == id).map(|(name, _)| name.clone());
        name.unwrap_or_else(|| id.to_string())
    }

    fn all_seen(&mut self) -> Result<(), String> {
        let stage = self.stage()?;
        let Some((at, effect)) = stage.effects.first() else { return Ok(()) };
        let (kind, id, mut found) = of_effect(effect, &stage.book);
        found.push(("at", shown(*at)));
        let found: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Err(format!("nobody saw: {kind} {} {}", self.name_of(id), found.join(" ")))
    }
}

fn compare(whose: &str, found: &Found, words: &mut Words<'_>) -> Result<(), String> {
    for (name, expected) in words.pairs() {
        let Some((_, found)) = found.iter().find(|(other, _)| *other == name) else {
            let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            return Err(format!("{whose} has no {name}, but {}", names.join(" ")));
        };
        if !says(expected, found) {
            return Err(format!("{whose} {name}: expected {expected}, found {found}"));
        }
    }
    Ok(())
}

fn dashed(text: &str) -> String {
    text.replace(' ', "-")
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn of_accept(accept: &Accept) -> Found {
    vec![
        ("timeout", text(accept.session_timeout)),
        ("call", if accept.call.is_some() { "yes".into() } else { "none".into() }),
        ("credit", text(accept.credit.map(|(credit, _)| credit))),
        ("currency", text(accept.credit.map(|(_, currency)| currency))),
        ("interim", text(accept.interim_seconds)),
        ("ask_again", if accept.ask_again { "yes".into() } else { "no".into() }),
    ]
}

fn of_rejection(book: &ringfence::domain::book::Book, rejected: &Rejected) -> Found {
    let party = |key| book.party(key).map_or_else(String::new, |party: &Arc<Party>| party.id.to_string());
    let mut found = vec![("hotline", if rejected.hotline { "yes".into() } else { "no".to_owned() })];
    found.push(("says", dashed(rejected.reason.message())));
    match &rejected.because {
        Because::Plain => {}
        Because::Party(key) => found.push(("party", party(*key))),
        Because::Limit { entity, taken, max } => {
            let whose = match entity {
                Entity::Account(key) => book.account(*key).map(|account| account.id.to_string()),
                Entity::Party(key) => Some(party(*key)),
                Entity::Nas(key) => book.nas(*key).map(|nas| nas.id.to_string()),
                Entity::Carrier(key) => book.carrier(*key).map(|carrier| carrier.id.to_string()),
            };
            found.extend([("of", text(whose)), ("taken", taken.to_string()), ("max", max.to_string())]);
        }
        Because::Money { party: key, available, needed } => {
            found.extend([("party", party(*key)), ("available", available.to_string())]);
            found.push(("needed", needed.to_string()));
        }
    }
    found
}

fn of_quote(book: &ringfence::domain::book::Book, quoted: &Quoted) -> Found {
    let charges: Vec<String> = quoted
        .payers
        .iter()
        .map(|payer| {
            let id = book.party(payer.charge.party).map_or_else(String::new, |party| party.id.to_string());
            format!("{id}:{}", payer.charge.amount)
        })
        .collect();
    vec![
        ("number", quoted.called.to_string()),
        ("rejected", text(quoted.rejected.as_ref().map(|rejected| rejected.reason))),
        ("affordable", quoted.affordable.to_string()),
        ("charges", charges.join(",")),
        ("first_chunk", text(quoted.payers.first().map(|payer| payer.first_chunk))),
        ("prefix", text(quoted.payers.first().map(|payer| payer.charge.prefix.to_string()))),
    ]
}

fn of_done(done: &Done) -> Found {
    match done {
        Done::Posted { balance, known, .. } => {
            vec![("balance", balance.to_string()), ("known", if *known { "yes".into() } else { "no".into() })]
        }
        _ => Vec::new(),
    }
}

fn of_effect(effect: &Effect, book: &ringfence::domain::book::Book) -> (&'static str, CallId, Found) {
    match effect {
        Effect::Disconnect { call, why } => ("disconnect", *call, vec![("why", why.as_str().to_owned())]),
        Effect::Prolong { call, seconds } => ("prolong", *call, vec![("seconds", seconds.to_string())]),
        Effect::Alarm(Alarm::NotObeyed { call, answer, .. }) => {
            ("not_obeyed", *call, vec![("answer", answer.as_str().to_owned())])
        }
        Effect::Alarm(Alarm::NotChargeable { call, .. }) => ("not_chargeable", *call, Vec::new()),
        Effect::Alarm(Alarm::Overrun { call, party, amount }) => {
            let party = book.party(*party).map_or_else(String::new, |party| party.id.to_string());
            ("overrun", *call, vec![("party", party), ("amount", amount.to_string())])
        }
    }
}

fn of_thing(stage: &Stage, id: &str) -> Result<Found, String> {
    let calls = |entity| ("calls", stage.world.slots().taken(entity).to_string());
    if let Some(account) = stage.book.account_by_id(id) {
        return Ok(vec![calls(Entity::Account(account.key))]);
    }
    if let Some(nas) = stage.book.nas_by_id(id) {
        return Ok(vec![calls(Entity::Nas(nas.key))]);
    }
    if let Some(carrier) = stage.book.carrier_by_id(id) {
        return Ok(vec![calls(Entity::Carrier(carrier.key))]);
    }
    let party = stage.book.party_by_id(id).ok_or_else(|| format!("nobody is called {id}"))?;
    let purse = stage.world.ledger().purse(party.key);
    let mut found = vec![
        calls(Entity::Party(party.key)),
        ("balance", purse.balance.to_string()),
        ("reserved", purse.reserved.to_string()),
        ("available", purse.available(party.credit_limit).to_string()),
        ("spent_today", stage.world.ledger().spent_on(stage.now.day(), party.key).to_string()),
        ("spent_yesterday", stage.world.ledger().spent_on(stage.now.day().minus_days(1), party.key).to_string()),
        ("entries", purse.entries.to_string()),
    ];
    let kinds = ["opening", "topup", "adjustment", "charge", "overrun", "correction"];
    for kind in kinds {
        let of_kind = stage.entries.iter().filter(|entry| entry.party == party.key && entry.kind.as_str() == kind);
        found.push((kind, of_kind.map(|entry| entry.amount).sum::<Money>().to_string()));
    }
    Ok(found)
}

fn flags(flags: ringfence::domain::call::Flags) -> String {
    let names: Vec<&str> = flags.names().collect();
    if names.is_empty() { "none".into() } else { names.join(",") }
}

fn of_call(stage: &Stage, id: CallId) -> Result<Found, String> {
    let Some(call) = stage.world.call(id) else { return Ok(vec![("state", "forgotten".into())]) };
    let sum = |money: fn(&ringfence::domain::call::Payer) -> Money| call.payers.iter().map(money).sum::<Money>();
    let time = |at: Option<Timestamp>| at.map_or_else(|| "none".to_owned(), shown);
    Ok(vec![
        ("state", call.state.to_string()),
        ("reserved", sum(|payer| payer.reserved).to_string()),
        ("charged", sum(|payer| payer.charged).to_string()),
        ("seconds", text(call.reservation.map(|reservation| reservation.seconds))),
        ("reservations", call.reservations_made.to_string()),
        ("told", text(call.told_seconds)),
        ("connected", time(call.connected_at)),
        ("legs", call.legs.len().to_string()),
        ("flags", flags(call.flags)),
        ("reason", text(call.ending.map(|ending| ending.reason.as_str()))),
        ("called", call.called.to_string()),
        ("number", id.0.to_string()),
        ("carrier", text(call.carrier.and_then(|key| stage.book.carrier(key)).map(|carrier| carrier.id.clone()))),
    ])
}

fn of_cdr(stage: &Stage, id: CallId) -> Result<Found, String> {
    let cdrs: Vec<&Cdr> = stage.cdrs.iter().filter(|cdr| cdr.call == id).collect();
    let count = ("count", cdrs.len().to_string());
    let Some(cdr) = cdrs.last() else { return Ok(vec![count]) };
    let charges: Vec<String> = cdr.charges.iter().map(|charge| charge.amount.to_string()).collect();
    let prefixes: Vec<&str> = cdr.charges.iter().map(|charge| charge.prefix.as_ref()).collect();
    Ok(vec![
        count,
        ("record", cdr.record.as_str().into()),
        ("result", cdr.result.as_str().into()),
        ("seconds", cdr.seconds.to_string()),
        ("billed", cdr.billed_seconds.to_string()),
        ("charge", charges.first().cloned().unwrap_or_else(|| "none".into())),
        ("charge2", charges.get(1).cloned().unwrap_or_else(|| "none".into())),
        ("charge3", charges.get(2).cloned().unwrap_or_else(|| "none".into())),
        ("prefix", prefixes.first().copied().unwrap_or("none").to_owned()),
        ("reason", cdr.reason.as_str().into()),
        ("cause", text(cdr.cause)),
        ("flags", flags(cdr.flags)),
        ("cost", text(cdr.cost.map(|(cost, _)| cost))),
        ("connected", cdr.connected_at.map_or_else(|| "none".to_owned(), shown)),
        ("ended", shown(cdr.ended_at)),
        ("called", cdr.called.to_string()),
    ])
}
