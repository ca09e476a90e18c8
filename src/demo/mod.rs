//! `ringfence demo`: the daemon on a database of its own, with sample data and gateways that play
//! calls over real RADIUS, so that a newcomer sees what it does.
//!
//! Everything it shows goes the way of the real thing: the daemon is [`App`], the gateways send
//! datagrams (`gateways`), the sample is a setup file that is applied through the API (`operator`).

mod gateways;
mod operator;
mod scenes;
mod screen;

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::{App, AppError};
use crate::clock::wall_now;
use crate::config::Config;
use crate::service::health::Addresses;
use crate::wire::authenticator::Secret;
use gateways::{Gateway, Make};
use operator::Operator;
use scenes::Stage;
use screen::Screen;

/// The setup file that the demo begins with, and its table of rates; both are written into the
/// demo's directory, to be read and applied again.
const SAMPLE: (&str, &str) = ("sample.toml", include_str!("sample.toml"));
const RATES: (&str, &str) = ("rates.csv", include_str!("rates.csv"));

/// How the demo is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoOptions {
    /// Where its data is kept, and stays; `None`: in a new directory, which is removed at the end.
    pub directory: Option<PathBuf>,
    /// It ends by itself after so many seconds; `None`: with Ctrl-C.
    pub seconds: Option<u64>,
    /// Whether lines may have colours.
    pub has_colours: bool,
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The directory cannot be made or written.
    #[error("{}: {why}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// The daemon does not run.
    #[error(transparent)]
    App(#[from] AppError),
    /// The daemon does not take the sample.
    #[error("the sample data: {0}")]
    Sample(String),
    /// The system refuses something.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs the demo until Ctrl-C, or as long as it was told to, and prints to `out` what happens.
///
/// # Errors
/// It could not start, or the daemon ended by itself.
pub fn run(options: &DemoOptions, out: impl Write) -> Result<(), DemoError> {
    let directory = Directory::new(options.directory.as_deref())?;
    let app = App::start(&config(&directory.path)).or_else(|error| match error {
        // Someone took a port since it was looked at.
        AppError::Radius { .. } | AppError::Status { .. } => App::start(&on_any_port(config(&directory.path))),
        other => Err(other),
    })?;
    let played = play(options, &directory, &app, out);
    let stopped = app.stop();
    played?;
    Ok(stopped?)
}

fn play(options: &DemoOptions, directory: &Directory, app: &App, out: impl Write) -> Result<(), DemoError> {
    // Declared first, so dropped last: the client in it may not be dropped inside the runtime.
    let operator = Operator::new(Path::new(&app.addresses().socket)).map_err(DemoError::Sample)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut screen = Screen::new(out, options.has_colours, app.parts().clock.clone());
    let shown = runtime.block_on(async {
        operator.apply(&directory.path.join(SAMPLE.0)).await.map_err(DemoError::Sample)?;
        introduce(&mut screen, directory, app.addresses())?;
        show(options, app, &operator, &mut screen).await
    });
    match shown {
        // Nobody reads any more (`ringfence demo | head`): that is an end like any other.
        Err(DemoError::System(why)) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Lets the gateways play, and prints what they tell until it is time to end.
async fn show<W: Write>(
    options: &DemoOptions,
    app: &App,
    operator: &Operator,
    screen: &mut Screen<W>,
) -> Result<(), DemoError> {
    let (sender, mut lines) = mpsc::channel(64);
    let stage = Stage {
        north: Arc::new(gateway("gw-north", 2, Make::Plain, app.addresses())?),
        coast: Arc::new(gateway("gw-coast", 3, Make::Cisco, app.addresses())?),
        operator: operator.clone(),
        lines: sender,
        run: wall_now().millis().unsigned_abs(),
    };
    let playing = tokio::spawn(scenes::play(stage));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let end = tokio::time::sleep(options.seconds.map_or(Duration::MAX, Duration::from_secs));
    tokio::pin!(end);
    let mut period = tokio::time::interval(Duration::from_secs(1));
    screen.heads()?;
    loop {
        tokio::select! {
            Some(line) = lines.recv() => screen.line(&line)?,
            _ = period.tick() => app.look()?,
            () = &mut end => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    playing.abort();
    screen.text("")?;
    screen.counts()?;
    Ok(())
}

fn gateway(name: &'static str, host: u8, make: Make, addresses: &Addresses) -> Result<Gateway, DemoError> {
    let first = |addresses: &[SocketAddr]| {
        addresses.first().copied().ok_or_else(|| io::Error::other("the daemon has no RADIUS port"))
    };
    Ok(Gateway {
        name,
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)),
        make,
        secret: Secret::from(format!("demo-secret-{host}").as_str()),
        auth: first(&addresses.auth)?,
        acct: first(&addresses.acct)?,
    })
}

/// All defaults, on loopback; a port that is taken is replaced by any other.
fn config(directory: &Path) -> Config {
    let mut config = Config::default();
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let or_any = |port: u16, is_free: bool| local(if is_free { port } else { 0 });
    config.radius.auth = vec![or_any(1812, UdpSocket::bind(local(1812)).is_ok())];
    config.radius.acct = vec![or_any(1813, UdpSocket::bind(local(1813)).is_ok())];
    config.status.listen = Some(or_any(9180, TcpListener::bind(local(9180)).is_ok()));
    config.storage.path = directory.join("ringfence.db");
    config.admin.socket = directory.join("ringfence.sock");
    config
}

fn on_any_port(mut config: Config) -> Config {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.radius.auth = vec![any];
    config.radius.acct = vec![any];
    config.status.listen = Some(any);
    config
}

/// What a newcomer can look at and try.
fn introduce<W: Write>(screen: &mut Screen<W>, directory: &Directory, addresses: &Addresses) -> io::Result<()> {
    let first = |addresses: &[SocketAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
    let (auth, acct) = (first(&addresses.auth), first(&addresses.acct));
    let status = addresses.status.map(|address| format!("http://{address}/status")).unwrap_or_default();
    let rates = RATES.1.lines().count().saturating_sub(1);
    let program = program();
    let ask = format!("{program} --socket {}", addresses.socket);
    let kept = if directory.is_kept { "and stays there" } else { "and goes with it" };
    screen.text(format_args!(
        "\
ringfence demo: the daemon is up, with sample customers, {rates} rates and two gateways that play calls.

  authorization  {auth}
  accounting     {acct}
  status         {status}
  socket         {socket}
  data           {data}, {kept}

Be a gateway yourself, in another terminal (radclient: apt-get install freeradius-utils).
May Eve call Berlin? Then her call is answered, and ends after 90 seconds:

  echo 'User-Name=eve, User-Password=secret5, Called-Station-Id=4930100200, Acct-Session-Id=mine-1, Message-Authenticator=0x00' | radclient -x {auth} auth testing123
  echo 'User-Name=eve, Called-Station-Id=4930100200, Acct-Session-Id=mine-1, Acct-Status-Type=Start' | radclient -x {acct} acct testing123
  echo 'User-Name=eve, Called-Station-Id=4930100200, Acct-Session-Id=mine-1, Acct-Status-Type=Stop, Acct-Session-Time=90' | radclient -x {acct} acct testing123

Be the operator:

  {ask} customer list
  {ask} call list
  {ask} call log mine-1
  {ask} customer statement visitor
  {ask} rate test 4930100200 --account eve --seconds 90
  {ask} customer topup card-4711 5.00
  curl -s {status}

Ctrl-C ends it.
",
        socket = addresses.socket,
        data = directory.path.display(),
    ))
}

/// This program as it can be typed.
fn program() -> String {
    let shown = std::env::current_exe().ok().map(|path| {
        let here = std::env::current_dir().ok();
        let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
        short.unwrap_or(path).display().to_string()
    });
    shown.unwrap_or_else(|| "ringfence".to_owned())
}

/// Where the demo keeps its data.
struct Directory {
    path: PathBuf,
    is_kept: bool,
}

impl Directory {
    /// The directory that was asked for, or a new one; with the sample in it.
    fn new(wanted: Option<&Path>) -> Result<Directory, DemoError> {
        let directory = match wanted {
            Some(path) => Directory { path: absolute(path)?, is_kept: true },
            None => {
                let name = format!("ringfence-demo-{}-{}", std::process::id(), wall_now().millis());
                Directory { path: std::env::temp_dir().join(name), is_kept: false }
            }
        };
        let failed = |why| DemoError::Directory { path: directory.path.clone(), why };
        // Nobody else may read it. A directory that is there already is another's, unless it was asked for.
        DirBuilder::new().mode(0o700).recursive(directory.is_kept).create(&directory.path).map_err(failed)?;
        for (name, text) in [SAMPLE, RATES] {
            fs::write(directory.path.join(name), text).map_err(failed)?;
        }
        Ok(directory)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, DemoError> {
    std::path::absolute(path).map_err(|why| DemoError::Directory { path: path.into(), why })
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now, the system removes from its temporary files some day.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_its_own_goes_with_the_demo() {
        let directory = Directory::new(None).expect("a directory for temporary files");
        let path = directory.path.clone();
        assert!(path.join("sample.toml").is_file());
        drop(directory);
        assert!(!path.exists());
    }
}
