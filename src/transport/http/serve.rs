//! Listening and serving: TCP and the command line's Unix socket, ended together.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Says to all servers when to end.
pub type Stop = watch::Receiver<bool>;

/// Serves a router on TCP until it is to end; requests that have begun are answered.
pub fn serve_tcp(listener: TcpListener, router: Router, stop: Stop) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(ended(stop)).await {
            tracing::error!(%error, "an HTTP server ended");
        }
    })
}

/// Waits until it is to end.
pub async fn ended(mut stop: Stop) {
    // An error means that nobody can say it any more, which is an end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The file of a Unix socket, which goes with it.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on a Unix socket that this user alone may use (0600). A file that a daemon left behind
/// when it was killed is replaced; one that somebody listens on is not.
///
/// # Errors
/// The system's; [`io::ErrorKind::AddrInUse`] where a daemon listens there, or the file is no socket.
pub async fn listen_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there"));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !is_socket(&found) => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "there is a file that is not a socket"));
        }
        _ => {}
    }
    // Made under another name and moved there when only we may use it.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let _ = std::fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft)?;
    let draft = SocketFile(draft);
    std::fs::set_permissions(draft.path(), std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(draft.path(), path)?;
    Ok((listener, SocketFile(path.to_owned())))
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_socket()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_this_user_alone_and_goes_with_its_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ringfence.sock");
        let (_listener, file) = listen_unix(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ringfence.sock");
        let (listener, file) = listen_unix(&path).await.unwrap();
        let error = listen_unix(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        std::mem::forget(file);
        assert!(path.exists());
        assert!(listen_unix(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_of_somebody_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        std::fs::write(&path, "mine").unwrap();
        assert!(listen_unix(&path).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
