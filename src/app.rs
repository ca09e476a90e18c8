//! The composition root: builds every part, starts and stops them in their order.
//!
//! A start takes the ports first (what is taken by another process shows before anything is touched),
//! then opens the store, then starts the engine, and opens the doors last. A stop goes the other way:
//! no new operators, no new packets; what was taken is decided, committed and answered; the tables catch
//! up. A part that fails by itself stops the daemon: half a daemon must not look like a whole one.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{self, Config, CreditConfig};
use crate::domain::call::Call;
use crate::domain::command::CallIdentity;
use crate::domain::decision::{Effect, Fact};
use crate::domain::id::NasKey;
use crate::domain::policy::{FinalChunk, Policy};
use crate::metrics::{Metrics, Port};
use crate::service::admin::probe::Prober;
use crate::service::admin::{self, Admin};
use crate::service::alarms::Alarms;
use crate::service::control::Control;
use crate::service::engine_loop::{Engine, EngineError, EngineParts, EngineStatus, Followers, Recall};
use crate::service::engine_queue::{EngineHandle, engine_queue};
use crate::service::health::{Addresses, Health, HealthParts};
use crate::service::nonces::Nonces;
use crate::service::registry::{RegistryReader, registry};
use crate::store::{Journal, Opened, Projector, Rates, Reports, SqliteOptions, SqliteStore, StoreError, Upkeep};
use crate::transport::coa_client::{CoaClient, CoaLimits, Schedule};
use crate::transport::http::api::listen::{self as api_listen, AdminSocket, bind_tcp};
use crate::transport::http::{api, status};
use crate::transport::radius_server::{ListenError, RadiusParts, RadiusServer, RadiusSockets};
use crate::transport::reply_cache::CacheLimits;

/// How long the tables may take to catch up at the end. What they lack then is read again at the next
/// start.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// How long operators' requests that have begun may take at the end.
const HTTP_PATIENCE: Duration = Duration::from_secs(5);
/// How often the parts are looked at.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Why the daemon does not run, or ended: one line.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A RADIUS port cannot be taken.
    #[error("{why}{}", hint(&why.why))]
    Radius {
        /// Which, and what the system says.
        #[from]
        why: ListenError,
    },
    /// The status port cannot be taken.
    #[error("cannot listen on {address} (TCP, status): {why}{}", hint(why))]
    Status {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// The place of the API cannot be taken.
    #[error(transparent)]
    Admin(#[from] api_listen::ListenError),
    /// What is stored cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine ended by itself.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A part ended by itself.
    #[error("{0} ended by itself: a fault of this program; what was answered is stored")]
    Part(&'static str),
    /// The system gives no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The system gives no thread, or no signals.
    #[error("the system refuses a thread or a signal handler: {0}")]
    System(#[from] io::Error),
}

fn hint(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::AddrInUse => "; stop what uses it, or give another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a permission (CAP_NET_BIND_SERVICE)",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// Runs the daemon until SIGINT or SIGTERM, or until a part fails. One line on standard output says
/// that it is ready, and on which ports.
///
/// # Errors
/// It could not start, or ended by itself. Either way it has stopped cleanly.
pub fn serve(config: &Config) -> Result<(), AppError> {
    let app = App::start(config)?;
    for warning in app.parts.health.report().warnings {
        tracing::warn!("{warning}");
    }
    // Nobody needs to read it.
    let _ = writeln!(io::stdout(), "{}", app.ready_line());
    let ended = app.run_until_signal();
    // What a part says of its own end tells more than that it ended.
    let stopped = app.stop();
    stopped.and(ended)
}

/// A running daemon.
pub struct App {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    addresses: Addresses,
    radius: RadiusServer,
    link: Arc<CoaClient>,
    engine: Engine,
    parts: Parts,
}

/// What operators' commands, pages and tests work with.
#[derive(Clone)]
pub struct Parts {
    /// The way to the engine.
    pub engine: EngineHandle,
    /// What the engine publishes.
    pub registry: RegistryReader,
    /// How the daemon is.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// What writes the tables.
    pub projector: Arc<dyn Projector>,
    /// The tables.
    pub reports: Arc<dyn Reports>,
    /// Versions of rates.
    pub rates: Arc<dyn Rates>,
    /// Copies and checks.
    pub upkeep: Arc<dyn Upkeep>,
}

/// Doors that are taken and not open yet.
struct Doors {
    radius: RadiusSockets,
    status: Option<tokio::net::TcpListener>,
    admin: Option<tokio::net::TcpListener>,
    socket: AdminSocket,
}

impl App {
    /// Starts a daemon on the database that the configuration names.
    ///
    /// # Errors
    /// A port is taken, the database cannot be used, the system refuses.
    pub fn start(config: &Config) -> Result<App, AppError> {
        let options = SqliteOptions {
            policy: policy(&config.credit),
            log_days: config.retention.log_days,
            ..SqliteOptions::new(&config.storage.path)
        };
        App::start_with(config, || SqliteStore::open(&options), None)
    }

    /// The same on any store, and with a clock of one's own: for tests.
    ///
    /// # Errors
    /// As [`App::start`].
    pub fn start_with<J: Journal + 'static>(
        config: &Config,
        open: impl FnOnce() -> Result<Opened<J>, StoreError>,
        clock: Option<Clock>,
    ) -> Result<App, AppError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("http").enable_all().build()?;
        runtime.block_on(async { outlive_full_files() })?;
        let doors = runtime.block_on(take_doors(config))?;
        let opened = open()?;
        App::build(config, runtime, doors, opened, clock)
    }

    fn build<J: Journal + 'static>(
        config: &Config,
        runtime: Runtime,
        doors: Doors,
        opened: Opened<J>,
        clock: Option<Clock>,
    ) -> Result<App, AppError> {
        let Opened { loaded, journal, projector, reports, rates, upkeep } = opened;
        let clock = clock.unwrap_or_else(|| Clock::start(loaded.world.last_instant()));
        let metrics = Arc::new(Metrics::new());
        let engine_status = Arc::new(EngineStatus::default());
        let addresses = addresses(config, &doors);

        let book = Arc::new(loaded.book);
        let (writer, reader) = registry(&loaded.world, book.clone());
        let (handle, queue) = engine_queue(config.radius.queue_max, metrics.clone());
        let link = Arc::new(CoaClient::start(Schedule::default(), CoaLimits::default(), metrics.clone())?);
        let engine = Engine::start(EngineParts {
            world: loaded.world,
            book,
            sequence: loaded.sequence,
            journal: Box::new(journal),
            queue,
            registry: writer,
            recall: Box::new(TheTables(reports.clone(), projector.clone())),
            followers: Box::new(Behind {
                projector: projector.clone(),
                registry: reader.clone(),
                control: Control::new(handle.clone(), reader.clone(), link.clone(), metrics.clone(), clock.clone()),
                alarms: Alarms::new(metrics.clone(), clock.clone()),
            }),
            clock: clock.clone(),
            metrics: metrics.clone(),
            status: engine_status.clone(),
        })?;
        let health = Arc::new(Health::new(HealthParts {
            engine: engine_status.clone(),
            registry: reader.clone(),
            projector: projector.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            addresses: addresses.clone(),
        }));
        let parts = Parts {
            engine: handle.clone(),
            registry: reader.clone(),
            health,
            metrics: metrics.clone(),
            clock: clock.clone(),
            projector,
            reports,
            rates,
            upkeep,
        };
        let watched = engine_status.clone();
        let radius = RadiusServer::start(
            doors.radius,
            &RadiusParts {
                engine: handle,
                status: engine_status,
                registry: reader,
                instance: loaded.instance,
                nonces: Arc::new(Nonces::new(random_key()?)),
                answers: Arc::default(),
                sessions: Arc::default(),
                metrics,
                clock,
                cache: CacheLimits {
                    seconds: config.radius.reply_cache_seconds,
                    replies_max: config.radius.reply_cache_max,
                },
            },
        )?;
        let (stop, stopping) = watch::channel(false);
        let prober = Prober::new(link.clone(), parts.metrics.clone(), parts.clock.clone());
        let router = api::router(admin(&parts).watching(watched).probing(prober));
        let servers = {
            let _runtime = runtime.enter();
            let mut servers = vec![serving("the command line", doors.socket.serve(router.clone(), ended(&stopping)))];
            servers.extend(
                doors.admin.map(|tcp| serving("the API", api_listen::serve_tcp(tcp, router, ended(&stopping)))),
            );
            servers.extend(
                doors
                    .status
                    .map(|tcp| serving("the status port", status::serve(tcp, parts.health.clone(), ended(&stopping)))),
            );
            servers
        };
        Ok(App { runtime, stop, servers, addresses, radius, link, engine, parts })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What it works with.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// `ready`, and where it listens, as `name=address`, several with commas.
    pub fn ready_line(&self) -> String {
        let Addresses { auth, acct, status, admin, socket } = &self.addresses;
        let list = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut line = format!("ready auth={} acct={}", list(auth), list(acct));
        for (name, address) in [("status", status), ("admin", admin)] {
            if let Some(address) = address {
                line.push_str(&format!(" {name}={address}"));
            }
        }
        line.push_str(&format!(" socket={socket}"));
        line
    }

    /// Waits for SIGINT or SIGTERM.
    ///
    /// # Errors
    /// A part ended by itself; [`App::stop`] says why the engine did.
    pub fn run_until_signal(&self) -> Result<(), AppError> {
        self.runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut period = tokio::time::interval(WATCH_PERIOD);
            let ended = loop {
                tokio::select! {
                    _ = interrupt.recv() => break Ok(()),
                    _ = terminate.recv() => break Ok(()),
                    _ = period.tick() => if let Err(error) = self.look() { break Err(error) },
                }
            };
            tracing::info!("stopping: what was taken is finished; a second Ctrl-C stops at once");
            tokio::spawn(async move {
                interrupt.recv().await;
                // As after a crash: what was answered is stored, and the next start reads more.
                tracing::warn!("stopped at once");
                std::process::exit(1);
            });
            ended
        })
    }

    /// Looks at the parts, once a second or so.
    ///
    /// # Errors
    /// One of them has ended by itself.
    pub fn look(&self) -> Result<(), AppError> {
        self.parts.health.sample();
        if self.engine.is_finished() {
            return Err(AppError::Part("the engine"));
        }
        if self.radius.has_failed() {
            return Err(AppError::Part("a RADIUS thread"));
        }
        if self.link.has_failed() {
            return Err(AppError::Part("the thread that asks gateways"));
        }
        if self.parts.projector.has_failed() {
            return Err(AppError::Part("a thread of the store"));
        }
        Ok(())
    }

    /// Stops: no new work, all that was taken finished and answered, the tables caught up.
    ///
    /// # Errors
    /// The engine had ended before, or the last batch could not be stored and stays unanswered.
    pub fn stop(self) -> Result<(), AppError> {
        let App { runtime, stop, servers, mut radius, engine, parts, .. } = self;
        let _ = stop.send(true);
        runtime.block_on(async {
            // Who holds a connection open for longer loses it.
            let all = async {
                for server in servers {
                    let _ = server.await;
                }
            };
            let _ = tokio::time::timeout(HTTP_PATIENCE, all).await;
        });
        radius.stop_receiving();
        parts.engine.close();
        let engine = engine.join();
        radius.finish();
        let closed = parts.projector.close(CLOSE_PATIENCE);
        runtime.shutdown_timeout(HTTP_PATIENCE);
        engine?;
        closed?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Has a file that may not grow any further (RLIMIT_FSIZE) be an error of the write, which is told of
/// and tried again; by default the signal for it ends the process.
fn outlive_full_files() -> io::Result<()> {
    signal(SignalKind::from_raw(nix::libc::SIGXFSZ)).map(drop)
}

/// Takes all ports, or none.
async fn take_doors(config: &Config) -> Result<Doors, AppError> {
    let radius = &config.radius;
    let radius = RadiusSockets::listen(&radius.auth, &radius.acct, radius.receive_buffer_bytes)?;
    let status = match config.status.listen {
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address).await;
            Some(listener.map_err(|why| AppError::Status { address, why })?)
        }
        None => None,
    };
    let admin = match config.admin.listen {
        Some(address) => Some(bind_tcp(address).await?),
        None => None,
    };
    Ok(Doors { radius, status, admin, socket: AdminSocket::bind(&config.admin.socket)? })
}

/// A key for this run.
fn random_key() -> Result<[u8; 32], getrandom::Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(key)
}

fn addresses(config: &Config, doors: &Doors) -> Addresses {
    let tcp = |listener: &Option<tokio::net::TcpListener>| listener.as_ref().and_then(|it| it.local_addr().ok());
    Addresses {
        auth: doors.radius.addresses(Port::Auth),
        acct: doors.radius.addresses(Port::Acct),
        status: tcp(&doors.status),
        admin: tcp(&doors.admin),
        socket: config.admin.socket.display().to_string(),
    }
}

/// What operators do to this daemon.
fn admin(parts: &Parts) -> Admin {
    Admin::new(admin::Parts {
        metrics: parts.metrics.clone(),
        engine: parts.engine.clone(),
        registry: parts.registry.clone(),
        reports: parts.reports.clone(),
        projector: parts.projector.clone(),
        rates: parts.rates.clone(),
        upkeep: parts.upkeep.clone(),
        clock: parts.clock.clone(),
    })
}

/// Runs a server until it ends.
fn serving(who: &'static str, server: impl Future<Output = io::Result<()>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the server of {who} ended");
        }
    })
}

/// Waits until all is to end.
fn ended(stop: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.clone();
    async move {
        // An error means that nobody can say it any more, which is an end as well.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// The rules of credit control that the configuration gives.
pub fn policy(credit: &CreditConfig) -> Policy {
    Policy {
        chunk_seconds: credit.chunk_seconds.into(),
        lead_seconds: credit.lead_seconds.into(),
        margin_seconds: credit.margin_seconds.into(),
        final_chunk: match credit.final_chunk {
            config::FinalChunk::Partial => FinalChunk::Partial,
            config::FinalChunk::Whole => FinalChunk::Whole,
        },
        setup_seconds_max: credit.setup_seconds_max.into(),
        call_seconds_max: credit.call_seconds_max.into(),
        interim_seconds: credit.interim_seconds.into(),
        interims_missed_max: credit.interims_missed_max.into(),
        grant_overdue_seconds: credit.grant_overdue_seconds.into(),
        leg_wait_seconds: credit.leg_wait_seconds.into(),
        ended_kept_seconds: credit.ended_kept_seconds.into(),
        ..Policy::default()
    }
}

/// Calls of the past, from the tables.
struct TheTables(Arc<dyn Reports>, Arc<dyn Projector>);

impl Recall for TheTables {
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
        self.0.recall(nas, identity)
    }

    fn projected(&self) -> u64 {
        self.1.projected()
    }
}

/// What follows behind the engine.
struct Behind {
    projector: Arc<dyn Projector>,
    registry: RegistryReader,
    control: Control,
    alarms: Alarms,
}

impl Followers for Behind {
    fn rejected(&mut self, facts: Vec<Fact>) {
        self.projector.rejected(facts);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in &effects {
            self.control.carry_out(effect);
        }
        self.alarms.carry_out(&self.registry.book(), effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_the_default_policy() {
        assert_eq!(policy(&CreditConfig::default()), Policy::default());
    }
}
