//! Two gateways that ask at the same instant for the same money.

use std::fmt::Write as _;
use std::sync::Barrier;

use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Answer, Call, Gateway};

/// How often they race, each time for fresh money.
const ROUNDS: usize = 60;
/// Where the two gateways are.
const HOSTS: [u8; 2] = [20, 21];

/// Whose money it is, and how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purse {
    /// A customer's, for one minute, sold in whole minutes.
    OneMinute,
    /// A customer's, for ninety seconds, sold in seconds; a call is told sixty at most.
    NinetySeconds,
    /// That of the reseller of two customers who are rich, for one minute.
    OneMinuteOfReseller,
}

impl Purse {
    const ALL: [Purse; 3] = [Purse::OneMinute, Purse::NinetySeconds, Purse::OneMinuteOfReseller];

    fn of_round(round: usize) -> Purse {
        Purse::ALL[round % Purse::ALL.len()]
    }

    fn tariff(self) -> &'static str {
        if self == Purse::NinetySeconds { "seconds" } else { "minutes" }
    }

    fn opening(self) -> i64 {
        if self == Purse::NinetySeconds { 900_000 } else { 13_000 }
    }

    /// What a call of so many seconds costs: 0.012 for each minute begun, or 0.01 for each second.
    fn price(self, seconds: i64) -> i64 {
        if self == Purse::NinetySeconds { seconds * 10_000 } else { (seconds + 59) / 60 * 12_000 }
    }

    fn path(self, round: usize) -> String {
        match self {
            Purse::OneMinuteOfReseller => format!("/resellers/r{round}"),
            Purse::OneMinute | Purse::NinetySeconds => format!("/customers/c{round}-0"),
        }
    }

    /// The account that a gateway asks for.
    fn user(self, round: usize, gateway: usize) -> String {
        let customer = if self == Purse::OneMinuteOfReseller { gateway } else { 0 };
        format!("a{round}-{customer}")
    }

    fn setup(self, round: usize) -> String {
        let tariff = self.tariff();
        let customer = |number: usize, more: &str| {
            format!(
                "[[customer]]\nid = \"c{round}-{number}\"\ntariff = \"{tariff}\"\n{more}\n\
                 [[account]]\nid = \"a{round}-{number}\"\ncustomer = \"c{round}-{number}\"\npassword = \"secret1\"\n"
            )
        };
        match self {
            Purse::OneMinute => customer(0, "opening_balance = \"0.013\""),
            Purse::NinetySeconds => customer(0, "opening_balance = \"0.9\""),
            Purse::OneMinuteOfReseller => {
                let below = format!("reseller = \"r{round}\"\nopening_balance = \"10\"");
                format!("[[reseller]]\nid = \"r{round}\"\ntariff = \"minutes\"\nopening_balance = \"0.013\"\n")
                    + &customer(0, &below)
                    + &customer(1, &below)
            }
        }
    }
}

fn setup() -> String {
    let mut setup = r#"
        [[tariff]]
        id = "minutes"
        currency = "EUR"
        rate = [{ prefix = "49", per_minute = "0.012", first = 60, next = 60 }]
        [[tariff]]
        id = "seconds"
        currency = "EUR"
        rate = [{ prefix = "49", per_minute = "0.6" }]
    "#
    .to_owned();
    for host in HOSTS {
        let _ = write!(
            setup,
            "[[nas]]\nid = \"gw{host}\"\naddress = \"127.0.0.{host}/32\"\nsecret = \"testing123\"\n\
             guard = \"full\"\ngrant_seconds_max = 60\n"
        );
    }
    (0..ROUNDS).for_each(|round| setup += &Purse::of_round(round).setup(round));
    setup
}

/// Asks once in each round, in step with the other gateway.
fn race(daemon: &Daemon, number: usize, line: &Barrier) -> Vec<Answer> {
    let mut gateway = Gateway::new(HOSTS[number]);
    let race_in = |round| {
        let user = Purse::of_round(round).user(round, number);
        let session = format!("r{round}-{number}");
        let call = Call { user: &user, password: "secret1", caller: "4940100", called: "4930123", session: &session };
        let request = gateway.authorize(&call);
        line.wait();
        gateway.answer(daemon.auth(), &request)
    };
    (0..ROUNDS).map(race_in).collect()
}

#[test]
fn of_two_that_race_for_one_purse_no_two_get_the_same_money() {
    let directory = TempDir::new().expect("a directory for temporary files");
    // No call of an early round is over before the last is judged.
    let daemon = Daemon::started(directory.path(), "[credit]\nsetup_seconds_max = 3600\n");
    daemon.apply(&setup());
    let line = Barrier::new(HOSTS.len());
    let [ones, others] = std::thread::scope(|scope| {
        let (daemon, line) = (&daemon, &line);
        [0, 1]
            .map(|number| scope.spawn(move || race(daemon, number, line)))
            .map(|racer| racer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut firsts = 0;
    for (round, answers) in ones.into_iter().zip(others).enumerate() {
        let answers: [Answer; 2] = answers.into();
        firsts += usize::from(answers[0].session_timeout > answers[1].session_timeout);
        judge(&daemon, round, &answers);
    }
    println!("the first gateway got more in {firsts} of {ROUNDS} rounds");
}

fn judge(daemon: &Daemon, round: usize, answers: &[Answer; 2]) {
    let purse = Purse::of_round(round);
    let mut told = Vec::new();
    for answer in answers {
        match answer.code {
            Code::ACCESS_ACCEPT => told.push(i64::from(answer.session_timeout.expect("told how long"))),
            _ => assert_eq!(answer.message.as_deref(), Some("insufficient credit"), "{round}: {answer:?}"),
        }
    }
    told.sort_unstable();
    let expected: &[i64] = if purse == Purse::NinetySeconds { &[30, 60] } else { &[60] };
    assert_eq!(told, expected, "round {round} for {purse:?}: {answers:?}");
    let price: i64 = told.iter().map(|seconds| purse.price(*seconds)).sum();
    assert!(price <= purse.opening(), "round {round}: more was told than can be paid");
    assert_eq!(daemon.money(&purse.path(round), "reserved"), price, "round {round}: all that was told is held");
    let available = daemon.money(&purse.path(round), "available");
    assert_eq!(available, purse.opening() - price, "round {round}");
    assert!(available >= 0, "round {round}");
}
