//! The operators' API over its Unix socket, with a real engine behind it and the memory store below.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use ringfence::clock::Clock;
use ringfence::domain::book::Book;
use ringfence::domain::call::{Call, CallKey, LegOrigin};
use ringfence::domain::command::{Accounting, AccountingKind, Authorize, CallIdentity, Command, Proof, RawPacket};
use ringfence::domain::decision::{Effect, Fact, Reply};
use ringfence::domain::id::{CallId, ConfId, NasKey};
use ringfence::domain::policy::Policy;
use ringfence::metrics::Metrics;
use ringfence::service::admin::spec::{CallView, CdrList, CustomerSpec, PartyView, SetupFile};
use ringfence::service::admin::thing::Kind;
use ringfence::service::admin::{Admin, Parts};
use ringfence::service::engine_loop::{Engine, EngineParts, EngineStatus, Followers, Recall};
use ringfence::service::engine_queue::{EngineHandle, engine_queue};
use ringfence::service::registry::{RegistryReader, registry};
use ringfence::store::memory::MemoryDisk;
use ringfence::store::{Projector, Reports, StoreError};
use ringfence::transport::http::api::listen::{AdminSocket, ListenError, bind_tcp, serve_tcp};
use ringfence::transport::http::api::router;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

// ------------------------------------------------------------------------------------ a daemon

const START_MILLIS: i64 = 1_767_225_600_000;

struct Daemon {
    engine: EngineHandle,
    registry: RegistryReader,
    projector: Arc<dyn Projector>,
    hand: Arc<AtomicI64>,
    admin: Admin,
    socket: PathBuf,
    disk: MemoryDisk,
    _directory: tempfile::TempDir,
}

struct Tables(Arc<dyn Reports>, Arc<dyn Projector>);

impl Recall for Tables {
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
        self.0.recall(nas, identity)
    }

    fn projected(&self) -> u64 {
        self.1.projected()
    }
}

struct Behind(Arc<dyn Projector>);

impl Followers for Behind {
    fn rejected(&mut self, facts: Vec<Fact>) {
        self.0.rejected(facts);
    }

    fn carry_out(&mut self, _effects: Vec<Effect>) {}
}

impl Daemon {
    async fn start() -> Daemon {
        let disk = MemoryDisk::new(1);
        let opened = disk.open(Policy::default()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (engine, queue) = engine_queue(64, metrics.clone());
        let book = Arc::new(opened.loaded.book);
        let (writer, reader) = registry(&opened.loaded.world, book.clone());
        let hand = Arc::new(AtomicI64::new(START_MILLIS));
        let clock = Clock::manual(hand.clone());
        let status: Arc<EngineStatus> = Arc::default();
        Engine::start(EngineParts {
            world: opened.loaded.world,
            book,
            sequence: opened.loaded.sequence,
            journal: opened.journal,
            queue,
            registry: writer,
            recall: Box::new(Tables(opened.reports.clone(), opened.projector.clone())),
            followers: Box::new(Behind(opened.projector.clone())),
            clock: clock.clone(),
            metrics,
            status: status.clone(),
        })
        .unwrap();
        let admin = Admin::new(Parts {
            metrics: Arc::default(),
            engine: engine.clone(),
            registry: reader.clone(),
            reports: opened.reports,
            projector: opened.projector.clone(),
            rates: opened.rates,
            upkeep: opened.upkeep,
            clock,
        })
        .watching(status);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("admin.sock");
        let bound = AdminSocket::bind(&socket).unwrap();
        tokio::spawn(bound.serve(router(admin.clone()), std::future::pending()));
        let projector = opened.projector;
        Daemon { engine, registry: reader, projector, hand, admin, socket, disk, _directory: directory }
    }

    /// A daemon with the setup that the tests speak of.
    async fn with_setup() -> Daemon {
        let daemon = Daemon::start().await;
        daemon.post("/apply", json!({"setup": setup()})).await.expect(StatusCode::OK);
        daemon
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        answer(TokioIo::new(stream), request).await
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(request(method, path, content_type, body)).await
    }

    /// The answer to what the daemon hangs up on: sent again where it did so before the answer was read.
    async fn send_too_much(&self, path: &str, body: String) -> Answer {
        for _ in 0..100 {
            let stream = TokioIo::new(UnixStream::connect(&self.socket).await.unwrap());
            let request = request(Method::POST, path, "application/json", body.clone());
            if let Ok(answer) = try_answer(stream, request).await {
                return answer;
            }
        }
        panic!("no answer to too much")
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(method, path, "application/json", body.to_string()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "text/plain", "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    async fn customer(&self, id: &str) -> PartyView {
        let answer = self.get(&format!("/customers/{id}")).await.expect(StatusCode::OK);
        serde_json::from_value(answer.body).unwrap()
    }

    fn later(&self, seconds: i64) {
        self.hand.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn project(&self) {
        self.projector.flush(Duration::from_secs(30)).unwrap();
    }

    fn book(&self) -> Arc<Book> {
        self.registry.book()
    }

    async fn authorize(&self, session: &str, called: &str) -> Reply {
        let book = self.book();
        let packet = Some(RawPacket(Arc::from(&b"not a packet"[..])));
        let authorize = Authorize {
            nas: book.nas_by_id("gw1").unwrap().key,
            user_name: (*b"alice").into(),
            account: book.account_by_id("alice").map(|account| account.key),
            proof: Proof::Right,
            identity: identity(session),
            caller: Some("4930555".into()),
            called: Some(called.into()),
            connection: None,
            packet,
        };
        self.engine.ask(Command::Authorize(Box::new(authorize))).await.unwrap()
    }

    async fn account(&self, kind: AccountingKind, session: &str, seconds: Option<u64>) {
        let book = self.book();
        let told = Accounting {
            nas: book.nas_by_id("gw1").unwrap().key,
            kind,
            identity: identity(session),
            origin: LegOrigin::Answer,
            remote_address: None,
            connection: None,
            user_name: Some((*b"alice").into()),
            account: book.account_by_id("alice").map(|account| account.key),
            caller: Some("4930555".into()),
            called: Some("4930123".into()),
            event_at: None,
            delay_seconds: None,
            setup_at: None,
            connected_at: None,
            disconnected_at: None,
            session_seconds: seconds,
            cause: seconds.map(|_| 16),
            rings: false,
            may_be_periodic: true,
            recalled: None,
            packet: None,
        };
        assert_eq!(self.engine.ask(Command::Account(Box::new(told))).await.unwrap(), Reply::Recorded);
    }

    /// A call that is up, by its number.
    async fn call_up(&self, session: &str) -> CallId {
        let Reply::Accept(accept) = self.authorize(session, "4930123").await else { panic!("refused") };
        self.account(AccountingKind::Start, session, None).await;
        accept.call.unwrap()
    }
}

fn request(method: Method, path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("host", "ringfence")
        .header("content-type", content_type)
        .body(Full::new(body.into()))
        .unwrap()
}

fn identity(session: &str) -> CallIdentity {
    CallIdentity {
        key: Some(CallKey(session.as_bytes().into())),
        conf_id: Some(ConfId([session.len().try_into().unwrap(); 16])),
        session_id: session.as_bytes().into(),
        ..CallIdentity::default()
    }
}

fn setup() -> Value {
    json!({
        "tariff": [
            {"id": "retail", "currency": "EUR", "rate": [
                {"prefix": "49", "destination": "Germany", "per_minute": "0.60"},
                {"prefix": "900", "destination": "Premium", "forbidden": true},
            ]},
            {"id": "wholesale", "currency": "EUR", "rate": [{"prefix": "", "per_minute": "0.30"}]},
        ],
        "reseller": [{"id": "north", "tariff": "wholesale", "opening_balance": "100"}],
        "customer": [{"id": "acme", "reseller": "north", "tariff": "retail", "opening_balance": "10", "calls_max": 2}],
        "account": [{"id": "alice", "customer": "acme", "password": "secret1",
                     "number_rules": [{"match": "^00", "replace": ""}]}],
        "nas": [{"id": "gw1", "address": "192.0.2.10", "secret": "testing123",
                 "disconnect": {"address": "192.0.2.10:3799"}}],
        "carrier": [{"id": "carrier-1", "tariff": "wholesale"}],
        "connection": [{"id": "c1-london", "carrier": "carrier-1", "addresses": ["198.51.100.7"]}],
    })
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    content_type: String,
    text: String,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: StatusCode) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The paths of all faults that were told.
    fn faults(&self) -> Vec<&str> {
        assert_eq!(self.content_type, "application/problem+json");
        self.body["errors"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect()
    }
}

async fn answer<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Answer
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    try_answer(stream, request).await.unwrap()
}

/// The same where the daemon may hang up in the middle of the request.
async fn try_answer<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> hyper::Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, content_type, text, body })
}

// ------------------------------------------------------------------------------------- things

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_is_made_shown_changed_and_removed() {
    let daemon = Daemon::start().await;
    daemon.post("/tariffs", json!({"id": "retail", "currency": "EUR"})).await.expect(StatusCode::CREATED);
    let made = daemon.post("/customers", json!({"id": "acme", "tariff": "retail", "opening_balance": "3.2"})).await;
    assert_eq!(made.expect(StatusCode::CREATED).body["balance"], "3.200000");

    let patch = json!({"calls_max": 7, "credit_limit": "1"});
    daemon.json(Method::PATCH, "/customers/acme", patch).await.expect(StatusCode::OK);
    let acme = daemon.customer("acme").await;
    assert_eq!((acme.calls_max, acme.available.as_str()), (Some(7), "4.200000"));

    let whole = json!({"tariff": "retail"});
    daemon.json(Method::PUT, "/customers/acme", whole).await.expect(StatusCode::OK);
    assert_eq!(daemon.customer("acme").await.calls_max, None);

    let refused = daemon.json(Method::DELETE, "/customers/acme", Value::Null).await.expect(StatusCode::CONFLICT);
    assert!(refused.text.contains("balance of 3.200000"), "{}", refused.text);
    let emptied = json!({"kind": "adjustment", "amount": "-3.2"});
    daemon.post("/customers/acme/entries", emptied).await.expect(StatusCode::CREATED);
    daemon.json(Method::DELETE, "/customers/acme", Value::Null).await.expect(StatusCode::NO_CONTENT);
    daemon.get("/customers/acme").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_is_listed_and_shown() {
    let daemon = Daemon::with_setup().await;
    for (noun, id) in [
        ("resellers", "north"),
        ("customers", "acme"),
        ("accounts", "alice"),
        ("tariffs", "retail"),
        ("nas", "gw1"),
        ("carriers", "carrier-1"),
        ("connections", "c1-london"),
    ] {
        let list = daemon.get(&format!("/{noun}")).await.expect(StatusCode::OK);
        assert!(list.body[noun].as_array().unwrap().iter().any(|thing| thing["id"] == id), "{}", list.text);
        let shown = daemon.get(&format!("/{noun}/{id}")).await.expect(StatusCode::OK);
        assert_eq!(shown.body["id"], id);
        for secret in ["secret1", "testing123"] {
            assert!(!shown.text.contains(secret), "{}", shown.text);
        }
    }
    let of_north = daemon.get("/customers?reseller=north").await.expect(StatusCode::OK);
    assert_eq!(of_north.body["customers"].as_array().unwrap().len(), 1);
    daemon.get("/customers?reseller=nobody").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    daemon.get("/accounts?carrier=carrier-1").await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_have_any_user_name() {
    let daemon = Daemon::with_setup().await;
    let id = "a/b ü%@x";
    let made = daemon.post("/accounts", json!({"id": id, "customer": "acme"})).await.expect(StatusCode::CREATED);
    assert_eq!(made.body["is_code"], true);
    let shown = daemon.get("/accounts/a%2Fb%20%C3%BC%25%40x").await.expect(StatusCode::OK);
    assert_eq!(shown.body["id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_where_the_last_one_ended() {
    let daemon = Daemon::with_setup().await;
    for index in 0..5 {
        let account = json!({"id": format!("extra-{index}"), "customer": "acme"});
        daemon.post("/accounts", account).await.expect(StatusCode::CREATED);
    }
    let mut seen = Vec::new();
    let mut path = "/accounts?limit=2".to_owned();
    loop {
        let page = daemon.get(&path).await.expect(StatusCode::OK);
        seen.extend(page.body["accounts"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        match page.body["next"].as_str() {
            Some(next) => path = format!("/accounts?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["alice", "extra-0", "extra-1", "extra-2", "extra-3", "extra-4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_lose_nothing() {
    let daemon = Arc::new(Daemon::with_setup().await);
    let mut tasks = Vec::new();
    for index in 0..20 {
        let daemon = daemon.clone();
        tasks.push(tokio::spawn(async move {
            let account = json!({"id": format!("extra-{index}"), "customer": "acme"});
            daemon.post("/accounts", account).await.expect(StatusCode::CREATED);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(daemon.book().accounts().count(), 21);
    let keys: std::collections::BTreeSet<_> = daemon.book().accounts().map(|account| account.key).collect();
    assert_eq!(keys.len(), 21);
}

// -------------------------------------------------------------------------------- the setup file

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_is_applied_once_and_then_changes_nothing() {
    let daemon = Daemon::start().await;
    let dry = daemon.post("/apply", json!({"setup": setup(), "dry_run": true})).await.expect(StatusCode::OK);
    assert_eq!(dry.body["added"].as_array().unwrap().len(), 8);
    daemon.get("/customers/acme").await.expect(StatusCode::NOT_FOUND);
    let first = daemon.post("/apply", json!({"setup": setup()})).await.expect(StatusCode::OK);
    assert_eq!(first.body["added"], dry.body["added"]);
    assert_eq!(daemon.customer("acme").await.balance, "10.000000");
    let end = daemon.disk.end();
    let again = daemon.post("/apply", json!({"setup": setup(), "prune": true})).await.expect(StatusCode::OK);
    assert_eq!(again.body["unchanged"].as_array().unwrap().len(), 8);
    assert_eq!(daemon.customer("acme").await.balance, "10.000000");
    assert_eq!(daemon.disk.end(), end, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_with_faults_changes_nothing_and_tells_each() {
    let daemon = Daemon::start().await;
    let mut wrong = setup();
    wrong["customer"][0]["credit_limit"] = "-5".into();
    wrong["nas"][0]["dialect"] = "juniper".into();
    let answer = daemon.post("/apply", json!({"setup": wrong})).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.faults(), ["customer[0].credit_limit", "nas[0].dialect"]);
    assert_eq!(daemon.book().as_changes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_can_be_applied() {
    let daemon = Daemon::with_setup().await;
    let referred = daemon.get("/export").await.expect(StatusCode::OK);
    assert!(!referred.text.contains("secret1") && !referred.text.contains("testing123"));
    let unchanged = daemon.post("/apply", json!({"setup": referred.body, "prune": true})).await.expect(StatusCode::OK);
    assert_eq!(unchanged.body["changed"], json!([]));

    let whole = daemon.get("/export?secrets=true").await.expect(StatusCode::OK);
    let _: SetupFile = serde_json::from_value(whole.body.clone()).unwrap();
    let other = Daemon::start().await;
    other.post("/apply", json!({"setup": whole.body})).await.expect(StatusCode::OK);
    let there = other.get("/export?secrets=true").await.expect(StatusCode::OK);
    assert_eq!(there.body, whole.body);
    let without_rates = daemon.get("/export?rates=false").await.expect(StatusCode::OK);
    assert!(without_rates.body["tariff"][0].get("rate").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_calls_or_money_is_not_pruned() {
    let daemon = Daemon::with_setup().await;
    for dry_run in [true, false] {
        let prune = json!({"setup": {}, "prune": true, "dry_run": dry_run});
        let answer = daemon.post("/apply", prune).await.expect(StatusCode::CONFLICT);
        assert!(answer.text.contains("balance"), "{}", answer.text);
    }
    assert_eq!(daemon.book().parties().count(), 2);
}

// ------------------------------------------------------------------------------------- money

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_once_for_a_key() {
    let daemon = Daemon::with_setup().await;
    let topup = json!({"kind": "topup", "amount": "5.00", "note": "cash", "idempotency_key": "k1"});
    let first = daemon.post("/customers/acme/entries", topup.clone()).await.expect(StatusCode::CREATED);
    assert_eq!((first.body["balance"].as_str(), &first.body["known"]), (Some("15.000000"), &json!(false)));
    let second = daemon.post("/customers/acme/entries", topup.clone()).await.expect(StatusCode::OK);
    assert_eq!((&second.body["id"], &second.body["known"]), (&first.body["id"], &json!(true)));
    // The tables know the key when memory has forgotten it.
    daemon.project();
    daemon.later(2 * 86_400);
    let third = daemon.post("/customers/acme/entries", topup).await.expect(StatusCode::OK);
    assert_eq!(third.body["id"], first.body["id"]);
    for other in [
        json!({"kind": "topup", "amount": "6", "idempotency_key": "k1"}),
        json!({"kind": "adjustment", "amount": "5", "idempotency_key": "k1"}),
    ] {
        daemon.post("/customers/acme/entries", other).await.expect(StatusCode::CONFLICT);
    }
    assert_eq!(daemon.customer("acme").await.balance, "15.000000");

    daemon.project();
    let statement = daemon.get("/customers/acme/entries").await.expect(StatusCode::OK);
    let lines: Vec<_> = statement.body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (line["kind"].as_str().unwrap(), line["amount"].as_str().unwrap(), line["balance"].as_str().unwrap())
        })
        .collect();
    assert_eq!(lines, [("topup", "5.000000", "15.000000"), ("opening", "10.000000", "10.000000")]);
    let only = daemon.get("/customers/acme/entries?kind=opening").await.expect(StatusCode::OK);
    assert_eq!(only.body["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_movement_of_money_is_refused() {
    let daemon = Daemon::with_setup().await;
    for (body, path) in [
        (json!({"kind": "gift", "amount": "5"}), "kind"),
        (json!({"kind": "topup", "amount": "five"}), "amount"),
        (json!({"kind": "topup", "amount": "-5"}), "amount"),
        (json!({"kind": "adjustment", "amount": "0"}), "amount"),
    ] {
        let answer = daemon.post("/customers/acme/entries", body).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.faults(), [path], "{}", answer.text);
    }
    let topup = json!({"kind": "topup", "amount": "5"});
    daemon.post("/customers/nobody/entries", topup.clone()).await.expect(StatusCode::NOT_FOUND);
    daemon.post("/customers/north/entries", topup.clone()).await.expect(StatusCode::NOT_FOUND);
    daemon.post("/resellers/north/entries", topup).await.expect(StatusCode::CREATED);
}

// ------------------------------------------------------------------------------------- rates

#[tokio::test(flavor = "multi_thread")]
async fn rates_go_in_and_out_as_csv() {
    let daemon = Daemon::with_setup().await;
    let csv = "prefix,destination,per_minute\n49,Germany,0.50\n4930,Berlin,0.40\n";
    let put = |path: &'static str, csv: &'static str| daemon.send(Method::PUT, path, "text/csv", csv);
    let dry = put("/tariffs/retail/rates?dry_run=true", csv).await.expect(StatusCode::OK);
    assert_eq!(dry.body["counts"], json!({"added": 1, "changed": 1, "removed": 1, "unchanged": 0}));
    assert_eq!(daemon.get("/tariffs/retail").await.body["version"], 1);
    put("/tariffs/retail/rates", csv).await.expect(StatusCode::OK);
    let after = daemon.get("/tariffs/retail").await;
    assert_eq!((&after.body["version"], &after.body["rates"]), (&json!(2), &json!(2)));
    let same = put("/tariffs/retail/rates", csv).await.expect(StatusCode::OK);
    assert_eq!((&same.body["version"], &same.body["counts"]["unchanged"]), (&json!(2), &json!(2)));

    let out = daemon.get("/tariffs/retail/rates?prefix=4930").await.expect(StatusCode::OK);
    assert!(out.content_type.starts_with("text/csv"));
    let lines: Vec<_> = out.text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("4930,Berlin,0.400000"), "{}", lines[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_with_faults_changes_nothing_and_tells_each_line() {
    let daemon = Daemon::with_setup().await;
    let csv = "prefix,per_minute\n49,x\n50,0.1\n5a,0.1\n";
    let answer = daemon.send(Method::PUT, "/tariffs/retail/rates", "text/csv", csv).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.faults(), ["line 2, per_minute", "line 4, prefix"]);
    assert_eq!(daemon.get("/tariffs/retail").await.body["version"], 1);
    daemon.send(Method::PUT, "/tariffs/nobody/rates", "text/csv", csv).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_test_says_what_a_call_would_meet() {
    let daemon = Daemon::with_setup().await;
    let test = daemon.get("/rate-test?number=004930123&account=alice&seconds=90&nas=gw1").await.expect(StatusCode::OK);
    assert_eq!(test.body["e164"], "4930123");
    assert_eq!(test.body["allowed"], true);
    let customer = &test.body["payers"][0];
    assert_eq!((customer["party"].as_str(), customer["price"].as_str()), (Some("acme"), Some("0.900000")));
    assert_eq!(customer["rate"]["prefix"], "49");
    assert_eq!(customer["first_chunk"], "0.600000");
    assert_eq!(test.body["payers"][1]["price"], "0.450000");
    let told = test.body["session_timeout"].as_u64().unwrap();
    let unnamed = daemon.get("/rate-test?number=004930123&account=alice").await.expect(StatusCode::OK);
    let of_usual = (unnamed.body["session_timeout"].as_u64(), unnamed.body["nas"].is_string());
    assert!(of_usual == (Some(told), true) || of_usual == (None, false), "{}", unnamed.body);
    let Reply::Accept(accept) = daemon.authorize("live", "004930123").await else { panic!("refused") };
    assert_eq!(accept.session_timeout.map(u64::from), Some(told), "the live call is told the same");

    let forbidden = daemon.get("/rate-test?number=900123&account=alice").await.expect(StatusCode::OK);
    assert_eq!(
        (&forbidden.body["allowed"], forbidden.body["reason"].as_str()),
        (&json!(false), Some("forbidden_number"))
    );
    let no_rate = daemon.get("/rate-test?number=7123&account=alice").await.expect(StatusCode::OK);
    assert_eq!(no_rate.body["reason"], "no_rate");
    daemon.get("/rate-test?number=49&account=nobody").await.expect(StatusCode::NOT_FOUND);
    daemon.get("/rate-test?account=alice").await.expect(StatusCode::BAD_REQUEST);
}

// ------------------------------------------------------------------------------------- calls

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_listed_by_what_they_are() {
    let daemon = Daemon::with_setup().await;
    let up = daemon.call_up("session-1").await;
    let Reply::Accept(_) = daemon.authorize("other", "4930777").await else { panic!("refused") };
    daemon.later(30);
    let list = daemon.get("/calls").await.expect(StatusCode::OK);
    assert_eq!(list.body["calls"].as_array().unwrap().len(), 2);
    for (query, found) in [
        ("customer=acme", 2),
        ("reseller=north", 2),
        ("account=alice", 2),
        ("nas=gw1", 2),
        ("state=confirmed", 1),
        ("state=trying", 1),
        ("number=4930777", 1),
        ("number=%2B4930555", 2),
        ("conf_id=09090909-09090909-09090909-09090909", 1),
        ("acct_session_id=session-1", 1),
        ("carrier=carrier-1", 0),
    ] {
        let list = daemon.get(&format!("/calls?{query}")).await.expect(StatusCode::OK);
        assert_eq!(list.body["calls"].as_array().unwrap().len(), found, "{query}");
    }
    for query in ["customer=nobody", "state=ringing", "conf_id=x"] {
        daemon.get(&format!("/calls?{query}")).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    }
    daemon.get("/calls?colour=blue").await.expect(StatusCode::BAD_REQUEST);
    let call = daemon.get(&format!("/calls/{up}")).await.expect(StatusCode::OK);
    let call: CallView = serde_json::from_value(call.body).unwrap();
    assert_eq!((call.seconds, call.cost.as_str(), call.callee.as_str()), (30, "0.300000", "4930123"));
    assert_eq!((call.customer.as_deref(), call.reseller.as_deref()), (Some("acme"), Some("north")));
    assert_eq!((call.payers.len(), call.legs.len()), (2, 1));
    assert_eq!(daemon.customer("acme").await.calls, 2);

    let first = daemon.get("/calls?limit=1").await.expect(StatusCode::OK);
    let next = first.body["next"].as_str().unwrap();
    let second = daemon.get(&format!("/calls?limit=1&cursor={next}")).await.expect(StatusCode::OK);
    assert_eq!(second.body["calls"][0]["id"], up.to_string());
    assert!(second.body.get("next").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_any_of_its_ids_and_tells_its_story() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await;
    daemon.later(61);
    daemon.account(AccountingKind::Stop, "session-1", Some(61)).await;
    daemon.project();
    let conf_id = "09090909 09090909 09090909 09090909";
    for id in [call.to_string(), "session-1".into(), conf_id.replace(' ', "%20"), conf_id.replace(' ', "-")] {
        let shown = daemon.get(&format!("/calls/{id}")).await.expect(StatusCode::OK);
        assert_eq!(
            (shown.body["id"].as_str(), shown.body["ended_by"].as_str()),
            (Some(&*call.to_string()), Some("stopped"))
        );
        let log = daemon.get(&format!("/calls/{id}/log")).await.expect(StatusCode::OK);
        let lines = log.body["lines"].as_array().unwrap();
        let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        for event in ["opened", "reserved", "told", "answered", "ended"] {
            assert!(events.contains(&event), "{event} in {events:?}");
        }
        let reserved = lines.iter().find(|line| line["event"] == "reserved").unwrap()["text"].as_str().unwrap();
        assert!(reserved.contains("acme: 0.600000 of available 10.000000"), "{reserved}");
    }
    let over = daemon.get("/calls").await.expect(StatusCode::OK);
    assert_eq!(over.body["calls"], json!([]));
    let lately = daemon.get("/calls?ended=true").await.expect(StatusCode::OK);
    assert_eq!(lately.body["calls"].as_array().unwrap().len(), 1);
    daemon.get("/calls/c999").await.expect(StatusCode::NOT_FOUND);
    daemon.get("/calls/nobody/log").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_long_ago_is_still_shown() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await;
    daemon.later(61);
    daemon.account(AccountingKind::Stop, "session-1", Some(61)).await;
    daemon.later(2 * 86_400);
    // The engine looks at the clock by itself, a few times a second.
    let forgotten = async {
        while daemon.registry.call(call).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), forgotten).await.expect("the call leaves memory");
    daemon.project();
    for id in [call.to_string(), "session-1".into()] {
        let shown = daemon.get(&format!("/calls/{id}")).await.expect(StatusCode::OK);
        assert_eq!((shown.body["state"].as_str(), shown.body["cost"].as_str()), (Some("terminated"), Some("0.610000")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_removed_once_and_charged_by_what_is_known() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await;
    daemon.later(10);
    let removed = daemon.post(&format!("/calls/{call}/remove"), Value::Null).await.expect(StatusCode::OK);
    assert_eq!(removed.body["state"], "terminated");
    daemon.post(&format!("/calls/{call}/remove"), Value::Null).await.expect(StatusCode::CONFLICT);
    daemon.post("/calls/c999/remove", Value::Null).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(daemon.customer("acme").await.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_is_accepted_and_says_who_asked() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await;
    let asked = daemon.post(&format!("/calls/{call}/disconnect"), Value::Null).await.expect(StatusCode::ACCEPTED);
    assert_eq!(asked.body["state"], "disconnecting");
    daemon.project();
    let log = daemon.get(&format!("/calls/{call}/log")).await.expect(StatusCode::OK);
    assert!(log.text.contains(&format!("asked by {}", me())), "{}", log.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_calls_are_acted_on_and_what_fails_is_told_beside_what_was_done() {
    let daemon = Daemon::with_setup().await;
    let (one, two) = (daemon.call_up("session-1").await, daemon.call_up("session-12").await);
    let ids = json!([one.to_string(), "c999", "session-12"]);
    let asked = daemon.post("/call-actions", json!({"action": "disconnect", "ids": ids})).await.expect(StatusCode::OK);
    let calls = asked.body["calls"].as_array().unwrap();
    let told: Vec<_> = calls.iter().map(|call| (call["id"].as_str().unwrap(), call["state"].as_str())).collect();
    let expected =
        [(&*one.to_string(), Some("disconnecting")), ("c999", None), (&*two.to_string(), Some("disconnecting"))];
    assert_eq!(told, expected, "in the order in which they were named");
    assert_eq!(calls[1]["error"], "there is no call \"c999\"");
    assert_eq!(daemon.customer("acme").await.calls, 2, "they are up until their Stops come");

    let ids = json!([one.to_string(), two.to_string(), one.to_string()]);
    let removed = daemon.post("/call-actions", json!({"action": "remove", "ids": ids})).await.expect(StatusCode::OK);
    let calls = removed.body["calls"].as_array().unwrap();
    let done = calls.iter().filter(|call| call["state"] == "terminated").count();
    let refused = calls.iter().filter(|call| call["error"].is_string()).count();
    assert_eq!((done, refused), (2, 1), "a call is removed once: {}", removed.text);
    assert_eq!(daemon.customer("acme").await.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_acted_on_in_one_request() {
    let daemon = Daemon::with_setup().await;
    daemon.json(Method::PATCH, "/customers/acme", json!({"calls_max": null, "credit_limit": "1000"})).await;
    let mut ids = Vec::new();
    for index in 0..150 {
        let session = format!("s{index}-{}", "x".repeat(index));
        let Reply::Accept(accept) = daemon.authorize(&session, "4930123").await else { panic!("refused") };
        ids.push(accept.call.unwrap().to_string());
    }
    let removed = daemon.post("/call-actions", json!({"action": "remove", "ids": ids})).await.expect(StatusCode::OK);
    let told: Vec<_> = removed.body["calls"].as_array().unwrap().iter().map(|call| call["id"].clone()).collect();
    assert_eq!(told, ids);
    let acme = daemon.customer("acme").await;
    assert_eq!((acme.calls, acme.reserved.as_str()), (0, "0.000000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_without_calls_or_of_another_name_is_a_fault() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await.to_string();
    for (spec, fault) in [
        (json!({"action": "kill", "ids": [call]}), "action"),
        (json!({"action": "remove", "ids": []}), "ids"),
        (json!({"action": "remove", "ids": vec!["c1"; 1001]}), "ids"),
    ] {
        let answer = daemon.post("/call-actions", spec).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.faults(), [fault]);
    }
    daemon.post("/call-actions", json!({"action": "remove"})).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(daemon.customer("acme").await.calls, 1);
    // A filter that was meant to narrow a list down must not be every call there is.
    daemon.get("/calls?number=").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_may_be_over_are_told_with_what_speaks_for_it() {
    let daemon = Daemon::with_setup().await;
    let stuck = daemon.call_up("session-1").await;
    daemon.call_up("session-12").await;
    daemon.get("/calls?stale=true").await.expect(StatusCode::OK);
    daemon.post(&format!("/calls/{stuck}/disconnect"), Value::Null).await.expect(StatusCode::ACCEPTED);
    daemon.later(45);
    daemon.account(AccountingKind::Interim, "session-12", Some(45)).await;
    let suspects = daemon.get("/calls?stale=true&customer=acme").await.expect(StatusCode::OK);
    let list: Vec<CallView> = serde_json::from_value(suspects.body["calls"].clone()).unwrap();
    let [call] = &list[..] else { panic!("one suspect: {}", suspects.text) };
    assert_eq!(call.id, stuck.to_string());
    assert_eq!(call.stale, ["to be ended for 45 s (operator), no Stop has come"]);
    assert_eq!((call.silent_seconds, call.heard_at.as_str()), (Some(45), "2026-01-01T00:00:00Z"));
    assert_eq!(call.disconnecting_for.as_deref(), Some("operator"));
    assert_eq!(call.disconnecting_since.as_deref(), Some("2026-01-01T00:00:00Z"));

    daemon.account(AccountingKind::Stop, "session-1", Some(45)).await;
    let none = daemon.get("/calls?stale=true&ended=true").await.expect(StatusCode::OK);
    assert_eq!(none.body["calls"], json!([]), "a call that is over is no suspect");
    let over: CallView = serde_json::from_value(daemon.get(&format!("/calls/{stuck}")).await.body).unwrap();
    assert_eq!((over.silent_seconds, over.stale.len()), (None, 0));
}

// ------------------------------------------------------------------------------------ records

#[tokio::test(flavor = "multi_thread")]
async fn a_call_leaves_its_record() {
    let daemon = Daemon::with_setup().await;
    let call = daemon.call_up("session-1").await;
    daemon.later(61);
    daemon.account(AccountingKind::Stop, "session-1", Some(61)).await;
    daemon.project();
    for (query, found) in [
        ("", 1),
        ("?customer=acme", 1),
        ("?reseller=north", 1),
        ("?account=alice&result=ok&record_type=charge", 1),
        ("?callee=4930", 1),
        ("?callee=44", 0),
        ("?record_type=refund", 0),
        ("?from=2026-01-01&to=2026-01-02", 1),
        ("?from=2026-01-02", 0),
        (&*format!("?call_id={call}&callee=4930&customer=acme&to=2026-01-02"), 1),
        (&*format!("?call_id={call}&callee=44"), 0),
        (&*format!("?call_id={call}&from=2026-01-02"), 0),
        ("?call_id=session-1&result=failure", 0),
        ("?call_id=09090909-09090909-09090909-09090909&record_type=refund", 0),
        ("?call_id=session-1", 1),
        ("?call_id=09090909-09090909-09090909-09090909", 1),
        ("?call_id=nobody", 0),
    ] {
        let list = daemon.get(&format!("/cdrs{query}")).await.expect(StatusCode::OK);
        assert_eq!(list.body["cdrs"].as_array().unwrap().len(), found, "{query}");
    }
    let list: CdrList = serde_json::from_value(daemon.get("/cdrs").await.body).unwrap();
    let cdr = &list.cdrs[0];
    assert_eq!((cdr.charge.as_str(), cdr.seconds, cdr.billed_seconds), ("0.610000", 61, 61));
    assert_eq!(cdr.charges.iter().map(|charge| &*charge.party).collect::<Vec<_>>(), ["acme", "north"]);
    assert_eq!((cdr.ended_by.as_str(), cdr.cause, cdr.estimated), ("stopped", Some(16), false));
    daemon.get("/cdrs?from=yesterday").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    daemon.get("/cdrs?cursor=x").await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_told_with_its_numbers() {
    let daemon = Daemon::with_setup().await;
    for session in ["one", "second"] {
        daemon.authorize(session, "4930123").await;
    }
    assert!(matches!(daemon.authorize("three", "4930123").await, Reply::Reject(_)));
    // It is handed to the tables behind the reply.
    let in_the_tables = async {
        loop {
            daemon.project();
            let list = daemon.get("/rejections?reason=calls_limit&account=alice&nas=gw1").await.expect(StatusCode::OK);
            if list.body["rejections"] != json!([]) {
                return list;
            }
        }
    };
    let list = tokio::time::timeout(Duration::from_secs(60), in_the_tables).await.expect("it is told");
    assert_eq!(list.body["rejections"][0]["text"], "too many calls: customer acme has 2 of 2");
    let log = daemon.get("/calls/three/log").await.expect(StatusCode::OK);
    assert_eq!(log.body["lines"][0]["event"], "rejected");
    daemon.get("/rejections?reason=bad_luck").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_audited_without_secrets() {
    let daemon = Daemon::with_setup().await;
    let patch = json!({"password": "secret2", "calls_max": 5});
    daemon.json(Method::PATCH, "/accounts/alice", patch).await.expect(StatusCode::OK);
    daemon.project();
    let audit = daemon.get("/audit").await.expect(StatusCode::OK);
    assert_eq!(audit.body["audit"][0]["by"], me());
    assert!(audit.text.contains("calls_max: - -> 5"), "{}", audit.text);
    for secret in ["secret1", "secret2", "testing123"] {
        assert!(!audit.text.contains(secret));
    }
    let about = daemon.get("/audit?about=nas%20gw1").await.expect(StatusCode::OK);
    assert_eq!(about.body["audit"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_sums_up() {
    let daemon = Daemon::with_setup().await;
    daemon.call_up("session-1").await;
    let status = daemon.get("/status").await.expect(StatusCode::OK);
    let confirmed = json!({"state": "confirmed", "calls": 1});
    assert!(status.body["calls"].as_array().unwrap().contains(&confirmed), "{}", status.text);
    let money = &status.body["money"][0];
    assert_eq!((money["balance"].as_str(), money["reserved"].as_str()), (Some("110.000000"), Some("0.900000")));
    let verified = daemon.get("/db/verify").await.expect(StatusCode::OK);
    assert_eq!(verified.body["ok"], true, "{}", verified.text);
    let relative = daemon.post("/db/backup", json!({"directory": "here"})).await;
    assert_eq!(relative.expect(StatusCode::UNPROCESSABLE_ENTITY).faults(), ["directory"]);
}

// --------------------------------------------------------------------------------------- HTTP

#[tokio::test(flavor = "multi_thread")]
async fn every_member_that_cannot_be_read_is_named() {
    let daemon = Daemon::with_setup().await;
    let patch = json!({"blockd": true, "calls_max": "x", "credit_limit": "1"});
    let answer = daemon.json(Method::PATCH, "/customers/acme", patch).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let mut paths = answer.faults();
    paths.sort();
    assert_eq!(paths, ["blockd", "calls_max"]);
    let entry = daemon.post("/customers/acme/entries", json!({"kind": 1, "amount": 5})).await;
    let entry = entry.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let mut paths = entry.faults();
    paths.sort();
    assert_eq!(paths, ["amount", "kind"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_call_and_record_is_to_have_is_there_as_null() {
    let daemon = Daemon::with_setup().await;
    let Reply::Accept(_) = daemon.authorize("s1", "4930123").await else { panic!("refused") };
    daemon.account(AccountingKind::Start, "s2", None).await;
    let calls = daemon.get("/calls").await.body["calls"].clone();
    for call in calls.as_array().unwrap() {
        for member in "id state account customer reseller nas caller callee conf_id acct_session_id started_at seconds \
                       reserved cost"
            .split(' ')
        {
            assert!(call.get(member).is_some(), "{member} in {call}");
        }
    }
    assert!(calls[1]["started_at"].is_null() && !calls[0]["started_at"].is_null(), "{calls}");
    for call in calls.as_array().unwrap() {
        daemon.post(&format!("/calls/{}/remove", call["id"].as_str().unwrap()), json!({})).await.expect(StatusCode::OK);
    }
    for cdr in daemon.get("/cdrs").await.body["cdrs"].as_array().unwrap() {
        for member in "id call_id record_type result account customer caller callee started_at seconds billed_seconds \
                       charge charges estimated cause"
            .split(' ')
        {
            assert!(cdr.get(member).is_some(), "{member} in {cdr}");
        }
        assert!(cdr["cause"].is_null(), "{cdr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_problem() {
    let daemon = Daemon::with_setup().await;
    let large = format!("{{\"id\": \"{}\"}}", "a".repeat(2 << 20));
    for (answer, status) in [
        (daemon.send(Method::POST, "/customers", "application/json", "{").await, StatusCode::BAD_REQUEST),
        (daemon.send(Method::POST, "/customers", "text/plain", "{}").await, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (daemon.send_too_much("/customers", large).await, StatusCode::PAYLOAD_TOO_LARGE),
        (daemon.post("/customers", json!({"colour": "blue"})).await, StatusCode::UNPROCESSABLE_ENTITY),
        (daemon.post("/customers", json!({"id": "acme", "tariff": "retail"})).await, StatusCode::CONFLICT),
        (daemon.get("/colours").await, StatusCode::NOT_FOUND),
        (daemon.post("/cdrs", json!({})).await, StatusCode::METHOD_NOT_ALLOWED),
        (daemon.get("/accounts?limit=0").await, StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.content_type, "application/problem+json", "{}", answer.text);
        assert_eq!(answer.body["status"], status.as_u16());
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_gone_is_told_of() {
    let daemon = Daemon::with_setup().await;
    daemon.engine.close();
    let topup = json!({"kind": "topup", "amount": "5"});
    daemon.post("/customers/acme/entries", topup).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    daemon
        .json(Method::PATCH, "/customers/acme", json!({"blocked": true}))
        .await
        .expect(StatusCode::SERVICE_UNAVAILABLE);
    daemon.get("/customers/acme").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_that_nothing_can_be_written_and_nothing_is_done_later() {
    let daemon = Daemon::with_setup().await;
    let topup = |amount: &str| json!({"kind": "topup", "amount": amount});
    daemon.disk.fail_appends(u64::MAX);
    // The first one meets the failure itself, and is kept until the journal can be written again.
    let waiting = tokio::spawn({
        let admin = daemon.admin.clone();
        let spec = serde_json::from_value(topup("1")).unwrap();
        async move { admin.post_entry("test", Kind::Customer, "acme", spec).await }
    });
    let mut is_told = false;
    for _ in 0..200 {
        let answer =
            tokio::time::timeout(Duration::from_millis(300), daemon.post("/customers/acme/entries", topup("0")));
        // An amount of 0 is never posted: it only asks whether the engine can be asked.
        is_told = answer.await.is_ok_and(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE);
        if is_told {
            break;
        }
    }
    assert!(is_told);
    daemon.post("/customers/acme/entries", topup("5")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    daemon.disk.fail_appends(0);
    assert!(!waiting.await.unwrap().unwrap().known);
    assert_eq!(daemon.customer("acme").await.balance, "11.000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_is_there() {
    let daemon = Daemon::with_setup().await;
    let document = daemon.get("/openapi.json").await.expect(StatusCode::OK).body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 25, "{}", paths.len());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = daemon.json(method.clone(), &path.replace("{id}", "nothing"), json!({})).await;
            let no_path = answer.text.contains("no path") || answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert!(!no_path, "{method} {path}: {}", answer.text);
        }
    }
    let members = document["components"]["schemas"]["CustomerSpec"]["properties"].as_object().unwrap();
    let written = serde_json::to_value(CustomerSpec { calls_max: Some(1), ..Default::default() }).unwrap();
    assert!(written.as_object().unwrap().keys().all(|member| members.contains_key(member)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owners_alone_and_taken_once() {
    let daemon = Daemon::start().await;
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(AdminSocket::bind(&daemon.socket), Err(ListenError::InUse(_))));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("left.sock");
    // A daemon that was killed leaves its socket behind: nobody answers there any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(AdminSocket::bind(&path).unwrap());
    assert!(!path.exists(), "a clean end takes the socket away");
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "keep me").unwrap();
    assert!(matches!(AdminSocket::bind(&file), Err(ListenError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_tcp_only_this_machine_is_served_and_no_page_of_another_site() {
    assert!(matches!(bind_tcp("0.0.0.0:0".parse().unwrap()).await, Err(ListenError::NotLoopback(_))));
    let daemon = Daemon::with_setup().await;
    let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_tcp(listener, router(daemon.admin.clone()), std::future::pending()));
    let own = format!("http://{address}");
    for (host, origin, status) in [
        (address.to_string(), None, StatusCode::OK),
        (address.to_string(), Some(own.as_str()), StatusCode::OK),
        (address.to_string(), Some("http://evil.example"), StatusCode::FORBIDDEN),
        ("evil.example".to_owned(), None, StatusCode::FORBIDDEN),
    ] {
        assert_eq!(topup_over_tcp(address, &host, origin).await.status, status, "{host} {origin:?}");
    }
    daemon.project();
    let statement = daemon.get("/customers/acme/entries").await.expect(StatusCode::OK);
    assert_eq!(statement.body["entries"][0]["by"], "tcp:127.0.0.1");
}

async fn topup_over_tcp(address: SocketAddr, host: &str, origin: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/customers/acme/entries")
        .header("host", host)
        .header("content-type", "application/json");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let body = json!({"kind": "topup", "amount": "1", "idempotency_key": origin.unwrap_or("none")}).to_string();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut answer = answer(TokioIo::new(stream), request.body(Full::new(body.into())).unwrap()).await;
    if answer.status == StatusCode::CREATED {
        answer.status = StatusCode::OK;
    }
    answer
}

/// Who the test is, as the daemon sees it.
fn me() -> String {
    format!("socket:uid={}", nix::unistd::Uid::current())
}
