//! The scene of one seed: who owes, who calls, what it costs, through which gateways, by what rules.

use std::sync::Arc;

use fastrand::Rng;
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::id::{AccountKey, NasKey, PartyKey, TariffKey};
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::nas::{DialectName, DigestNonces, DisconnectAddress, Guard, Interims, MissingStop, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::{FinalChunk, Policy};
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;

/// Monday, 2026-03-02, half an hour before midnight UTC: day caps change in the middle of a seed.
pub const BEGINNING: Timestamp = Timestamp::from_seconds(1_772_494_200);

/// Numbers that are dialled; one is no number, one is forbidden, one has no rate where the rest of
/// the world has none.
pub const NUMBERS: [&str; 8] =
    ["49301234", "+49 89 5678", "49170999", "7495111", "8005550100", "900123", "1212555", "sip:bob@example"];

/// What a gateway does and does not do.
#[derive(Clone, Debug)]
pub struct Habits {
    pub nas: NasKey,
    /// Asks before it puts a call through.
    pub authorizes: bool,
    /// Says its name for the call already when it asks.
    pub names_calls_early: bool,
    pub returns_class: bool,
    /// Tells of the carrier's side too, with a conf-id.
    pub two_legs: bool,
    /// Tries several carriers: several originate legs.
    pub hunts: bool,
    pub stop_only: bool,
    pub interims: bool,
    pub obeys_timeout: bool,
    pub obeys_disconnect: bool,
    pub reauthorizes: bool,
    pub clock_offset_millis: i64,
    pub event_timestamps: bool,
    pub connect_times: bool,
    pub session_times: SessionTimes,
    pub delay_times: DelayTimes,
    /// After a reboot its names for calls begin again; or its callers choose them.
    pub reuses_names: bool,
    /// Tells another number in accounting than it asked about.
    pub tells_other_numbers: bool,
    pub failover: Failover,
    /// Keeps what was not answered and sends it when it can.
    pub keeps_backlog: bool,
    /// Tells of a cancelled call by a Stop and then a Failed, with no Start ever.
    pub reports_cancels: bool,
    /// Sends an interim, or a Failed, when a party changes the call while it is up.
    pub reinvites: bool,
    /// Tells that the called side rings.
    pub tells_progress: bool,
    /// Tells the tags of both sides.
    pub tells_tags: bool,
    /// Its callers know the protocol: they call twice under one name, and have it tell of dialogs that
    /// nobody is in.
    pub has_sly_callers: bool,
}

/// What a gateway does with a packet that stays unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// It gives up.
    No,
    /// It asks another server, and the next packet is tried here first again.
    EachPacket,
    /// It asks another server, and goes on there for a while.
    ForAWhile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTimes {
    True,
    Nonsense,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayTimes {
    Absent,
    True,
    Nonsense,
}

/// All that is written down before the first call.
pub struct Scene {
    pub policy: Policy,
    pub changes: Vec<BookChange>,
    pub book: Arc<Book>,
    pub opening: Vec<(PartyKey, Money)>,
    pub accounts: Vec<AccountKey>,
    pub gateways: Vec<Habits>,
}

const TARIFFS: u32 = 5;
const FIRST_PARTY: u32 = 10;
const FIRST_ACCOUNT: u32 = 40;
const FIRST_NAS: u32 = 70;

/// Whose parent is whose: three resellers above each other, and customers below each of them.
const PARENTS: [Option<u32>; 8] = [None, Some(10), Some(11), None, Some(10), Some(11), Some(12), Some(12)];

/// The scene of a seed.
pub fn scene(rng: &mut Rng) -> Scene {
    let policy = policy(rng);
    let mut changes = Vec::new();
    let mut tables = Vec::new();
    for key in 1..=TARIFFS {
        let tariff = Tariff {
            key: TariffKey(key),
            id: format!("tariff{key}").into(),
            currency: "EUR".parse().expect("a currency"),
            version: 1,
        };
        changes.push(BookChange::PutTariff(tariff));
        tables.push((TariffKey(key), rate_table(rng)));
    }
    let mut opening = Vec::new();
    for (index, parent) in PARENTS.iter().enumerate() {
        let party = party(rng, FIRST_PARTY + index as u32, *parent);
        let micros = if rng.u8(..4) == 0 { rng.i64(0..60_000) } else { rng.i64(500_000..30_000_000) };
        opening.push((party.key, Money::from_micros(micros)));
        changes.push(BookChange::PutParty(party));
    }
    let mut accounts = Vec::new();
    for index in 0..10 {
        let account = account(rng, FIRST_ACCOUNT + index, FIRST_PARTY + 3 + index % 5);
        accounts.push(account.key);
        changes.push(BookChange::PutAccount(account));
    }
    let mut gateways = Vec::new();
    for index in 0..KINDS {
        let (nas, habits) = gateway(rng, index);
        changes.push(BookChange::PutNas(nas));
        gateways.push(habits);
    }
    let mut book = Book::default();
    for change in &changes {
        book.apply(change).expect("a scene is consistent");
    }
    for (key, table) in tables {
        book.set_rates(key, table);
    }
    Scene { policy, changes, book: Arc::new(book), opening, accounts, gateways }
}

fn policy(rng: &mut Rng) -> Policy {
    let chunk_seconds = rng.u64(10..=120);
    let lead_seconds = if rng.u8(..4) == 0 { rng.u64(2..=chunk_seconds / 2) } else { rng.u64(2..=5) };
    Policy {
        chunk_seconds,
        lead_seconds,
        margin_seconds: rng.u64(0..=2),
        final_chunk: if rng.u8(..5) == 0 { FinalChunk::Whole } else { FinalChunk::Partial },
        setup_seconds_max: rng.u64(30..=180),
        call_seconds_max: if rng.bool() { 14_400 } else { rng.u64(120..=900) },
        interim_seconds: 60,
        interims_missed_max: 3,
        grant_overdue_seconds: rng.u64(20..=60),
        leg_wait_seconds: rng.u64(2..=10),
        ended_kept_seconds: rng.u64(120..=900),
        ended_kept_max: if rng.bool() { 1_000_000 } else { 40 },
        disconnect_again_seconds: rng.u64(5..=20),
        disconnect_again_seconds_max: rng.u64(20..=120),
        disconnect_wait_seconds: rng.u64(25..=60),
    }
}

/// Rates at random; some begin or end during the seed.
pub fn rate_table(rng: &mut Rng) -> Arc<RateTable> {
    let mut rates = Vec::new();
    for prefix in ["", "49", "4930", "49170", "7", "800", "900", "1"] {
        let missing = if prefix.is_empty() { rng.u8(..3) == 0 } else { rng.u8(..6) == 0 };
        if missing {
            continue;
        }
        let turn = if rng.bool() { rng.u64(300..2_000) } else { rng.u64(2_000..100_000) };
        let turn = BEGINNING.plus_seconds(turn);
        match rng.u8(..6) {
            0 => {
                rates.push(rate(rng, prefix, None, Some(turn)));
                rates.push(rate(rng, prefix, Some(turn), None));
            }
            1 => rates.push(rate(rng, prefix, Some(turn), None)),
            _ => rates.push(rate(rng, prefix, None, None)),
        }
    }
    Arc::new(RateTable::new(rates))
}

fn rate(rng: &mut Rng, prefix: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> Rate {
    let nanos = if prefix == "800" { 0 } else { rng.i64(0..200_000_000) };
    let fee = if rng.u8(..4) == 0 { rng.i64(0..100_000) } else { 0 };
    let (first, next) = [(1, 1), (60, 60), (30, 6), (1, 60), (6, 6)][rng.usize(..5)];
    let grace = if rng.u8(..4) == 0 { rng.u32(1..10) } else { 0 };
    let per_minute = RatePerMinute::from_nanos(nanos).expect("not negative");
    Rate {
        prefix: prefix.into(),
        destination: format!("to {prefix}").as_str().into(),
        price: PriceRule::new(per_minute, Money::from_micros(fee), first, next, grace),
        forbidden: prefix == "900",
        effective_from: from,
        effective_until: until,
    }
}

fn party(rng: &mut Rng, key: u32, parent: Option<u32>) -> Party {
    let is_reseller = key < FIRST_PARTY + 3;
    Party {
        key: PartyKey(key),
        id: format!("party{key}").into(),
        kind: if is_reseller { PartyKind::Reseller } else { PartyKind::Customer },
        name: "".into(),
        parent: parent.map(PartyKey),
        tariff: TariffKey(rng.u32(1..=TARIFFS)),
        currency: "EUR".parse().expect("a currency"),
        credit_limit: Money::from_micros(if rng.bool() { 0 } else { rng.i64(0..2_000_000) }),
        calls_max: (rng.u8(..4) == 0).then(|| rng.u32(2..12)),
        attempts_per_second_max: (rng.u8(..4) == 0).then(|| rng.u32(1..4)),
        spend_per_day_max: (rng.u8(..5) == 0).then(|| Money::from_micros(rng.i64(100_000..6_000_000))),
        blocked: false,
        no_credit: NoCredit::Reject,
        number_rules: Vec::new(),
    }
}

fn account(rng: &mut Rng, key: u32, customer: u32) -> Account {
    Account {
        key: AccountKey(key),
        id: format!("account{key}").into(),
        customer: PartyKey(customer),
        password: None,
        trusted_addresses: Vec::new(),
        ani: Vec::new(),
        calls_max: (rng.u8(..4) == 0).then(|| rng.u32(1..3)),
        attempts_per_second_max: None,
        blocked: false,
        number_rules: Vec::new(),
    }
}

/// Kinds of gateway; every scene has one of each.
const KINDS: usize = 11;

fn gateway(rng: &mut Rng, kind: usize) -> (Nas, Habits) {
    let nas = NasKey(FIRST_NAS + kind as u32);
    let mut habits = Habits {
        nas,
        authorizes: true,
        names_calls_early: true,
        returns_class: rng.bool(),
        two_legs: false,
        hunts: false,
        stop_only: false,
        interims: true,
        obeys_timeout: true,
        obeys_disconnect: true,
        reauthorizes: false,
        clock_offset_millis: 0,
        event_timestamps: rng.bool(),
        connect_times: false,
        session_times: SessionTimes::True,
        delay_times: if rng.bool() { DelayTimes::True } else { DelayTimes::Absent },
        reuses_names: false,
        tells_other_numbers: false,
        failover: [Failover::No, Failover::No, Failover::EachPacket, Failover::ForAWhile][rng.usize(..4)],
        keeps_backlog: rng.u8(..4) == 0,
        reports_cancels: false,
        reinvites: false,
        tells_progress: rng.u8(..4) == 0,
        tells_tags: false,
        has_sly_callers: false,
    };
    if habits.keeps_backlog {
        // What comes so late must say of when it is, or nobody can tell it from another call.
        habits.event_timestamps = true;
    }
    let mut dialect = DialectName::Rfc;
    let mut guard = None;
    let mut missing_stop = None;
    match kind {
        // Plain, with interims.
        0 => {}
        // Two legs in any order, hunting.
        1 => {
            dialect = DialectName::Cisco;
            habits.two_legs = true;
            habits.hunts = true;
            habits.connect_times = true;
            habits.interims = rng.bool();
        }
        2 => {
            habits.stop_only = true;
            habits.returns_class = true;
        }
        // Only accounts; its callers choose the names.
        3 => {
            habits.authorizes = false;
            habits.reuses_names = rng.bool();
            habits.returns_class = false;
            habits.stop_only = rng.u8(..4) == 0;
        }
        // Reboots, and then begins its names again.
        4 => {
            habits.reuses_names = true;
            habits.event_timestamps = true;
        }
        // Its clock is wrong: what it kept for long could not be told from another call.
        5 => {
            habits.keeps_backlog = false;
            habits.clock_offset_millis = rng.i64(-7_200_000..7_200_000);
            habits.event_timestamps = true;
            habits.connect_times = rng.bool();
            habits.two_legs = rng.bool();
        }
        // Tells nonsense.
        6 => {
            habits.session_times = if rng.bool() { SessionTimes::Nonsense } else { SessionTimes::Absent };
            habits.delay_times = DelayTimes::Nonsense;
            habits.connect_times = rng.bool();
            habits.tells_other_numbers = rng.bool();
        }
        // Is prolonged by asking again.
        7 => {
            habits.reauthorizes = true;
            guard = Some(Guard::Extend);
        }
        // Ignores what it is told.
        8 => {
            habits.obeys_timeout = false;
            habits.obeys_disconnect = false;
            guard = [None, Some(Guard::Chunk), Some(Guard::Extend)][rng.usize(..3)];
        }
        // A proxy that lets anything pass.
        10 => {
            dialect = DialectName::Kamailio;
            habits.interims = false;
            habits.reports_cancels = true;
            habits.reinvites = rng.bool();
            habits.tells_tags = true;
            habits.has_sly_callers = true;
        }
        // A proxy: no periodic interims, no names before accounting, no Stop where it cuts by itself.
        _ => {
            dialect = DialectName::Kamailio;
            habits.interims = false;
            habits.names_calls_early = rng.bool();
            habits.reuses_names = rng.bool();
            habits.reports_cancels = rng.bool();
            habits.reinvites = true;
            habits.tells_tags = rng.bool();
            missing_stop = [None, Some(MissingStop::LastSeen)][rng.usize(..2)];
        }
    }
    let disconnect = (kind != 7 && rng.u8(..4) != 0).then(|| DisconnectAddress {
        address: format!("192.0.2.{}:3799", kind + 1).parse().expect("an address"),
        secret: None,
        accepts_zero_authenticator: false,
    });
    let nas = Nas {
        key: nas,
        id: format!("gateway{kind}").into(),
        address: format!("192.0.2.{}/32", kind + 1).parse().expect("a network"),
        secret: Secret::new("secret", SecretSource::Inline),
        dialect,
        guard,
        grant_seconds_max: rng.u32(60..3_600),
        stop_only: habits.stop_only && habits.authorizes,
        interims: (habits.interims && rng.bool()).then_some(Interims::Periodic),
        missing_stop,
        session_timeout_from: None,
        require_message_authenticator: true,
        trusts_calls: false,
        habits: Default::default(),
        digest_nonces: DigestNonces::Gateway,
        return_codes: Vec::new(),
        realms: Vec::new(),
        routes: Vec::new(),
        calls_max: (rng.u8(..4) == 0).then(|| rng.u32(3..10)),
        attempts_per_second_max: None,
        number_rules: Vec::new(),
        disconnect,
    };
    (nas, habits)
}
