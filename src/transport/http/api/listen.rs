//! Where the API is served: a Unix socket that only its owner may open, and TCP on loopback.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use axum::Router;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::operator::Peer;

/// Connections that may wait to be taken.
const BACKLOG: i32 = 64;

/// A Unix socket that is listened on; it is removed when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

/// Why the API cannot be served at a place.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("{} is in use by another daemon; stop it first, or set admin.socket to another path", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{} exists and is not a socket; move it away, or set admin.socket to another path", .0.display())]
    NotASocket(PathBuf),
    /// The system says no.
    #[error("cannot listen on {place}: {error}{hint}")]
    System {
        /// Where.
        place: String,
        /// What it says.
        error: io::Error,
        /// What to do, after a semicolon; empty where we do not know.
        hint: String,
    },
    /// Anybody could come in.
    #[error(
        "admin.listen is {0}: the API has no passwords yet, so it must be an address of loopback such as 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
}

impl AdminSocket {
    /// Listens on a Unix socket that only its owner and root may open. A socket that a daemon left
    /// behind when it died is taken over.
    ///
    /// # Errors
    /// Something is there already, or the system says no.
    pub fn bind(path: &Path) -> Result<AdminSocket, ListenError> {
        remove_left_over(path)?;
        let system = |error| of_socket(path, error);
        let listener = listen_private(path).map_err(system)?;
        Ok(AdminSocket { listener, file: SocketFile(path.to_owned()) })
    }

    /// Serves the API until `stop` comes, and then finishes what was begun.
    ///
    /// # Errors
    /// The system says no.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let AdminSocket { listener, file } = self;
        let service = router.into_make_service_with_connect_info::<Peer>();
        let served = axum::serve(listener, service).with_graceful_shutdown(stop).await;
        drop(file);
        served
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, nothing is left to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on TCP, on loopback only.
///
/// # Errors
/// The address is open to others, or the system says no.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().to_canonical().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; stop what uses it, or set admin.listen to another port",
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address: set admin.listen to another",
            _ => "",
        };
        ListenError::System { place: format!("{address} (TCP, API)"), error, hint: hint.to_owned() }
    })
}

/// What the system says to a socket, with what to do about it.
fn of_socket(path: &Path, error: io::Error) -> ListenError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => format!(
            "; let this user write to the directory {}, or set admin.socket to a path in another one",
            folder.display()
        ),
        io::ErrorKind::NotFound => {
            format!("; make the directory {}, or set admin.socket to a path in another one", folder.display())
        }
        io::ErrorKind::InvalidInput => "; set admin.socket to a shorter path".to_owned(),
        _ => String::new(),
    };
    ListenError::System { place: format!("the socket {}", path.display()), error, hint }
}

/// Serves the API on TCP until `stop` comes, and then finishes what was begun.
///
/// # Errors
/// The system says no.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

/// The mode is set before the socket has a name, so that there is no moment at which others could
/// open it.
fn listen_private(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

fn remove_left_over(path: &Path) -> Result<(), ListenError> {
    let system = |error| of_socket(path, error);
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(system),
        Ok(_) => Err(ListenError::InUse(path.to_owned())),
        Err(error) => Err(system(error)),
    }
}
