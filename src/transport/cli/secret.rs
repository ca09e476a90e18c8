//! Secrets are read on this side: from the environment or a file of the one who types, never of the
//! daemon. What is sent is the value and where it came from.

use std::fmt;
use std::io::{self, BufRead as _, Read as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::context::Environment;
use super::error::CliError;
use super::input::Members;

/// Longest secret that is read from a file, bytes.
const SECRET_BYTES_MAX: u64 = 4096;

/// Where a secret is to be taken from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretFrom {
    /// Written in place.
    Value(String),
    /// The environment variable of this name.
    Environment(String),
    /// The file at this path; a newline at its end does not count.
    File(String),
}

/// Its value is nobody's business.
impl fmt::Debug for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretFrom::Value(_) => f.write_str("Value(hidden)"),
            SecretFrom::Environment(name) => write!(f, "Environment({name})"),
            SecretFrom::File(path) => write!(f, "File({path})"),
        }
    }
}

impl SecretFrom {
    /// Of three ways to give a secret, the one that was used; clap and the setup file see to it that
    /// there is at most one.
    pub fn one_of(value: Option<String>, variable: Option<String>, file: Option<String>) -> Option<SecretFrom> {
        let value = value.map(SecretFrom::Value);
        value.or(variable.map(SecretFrom::Environment)).or(file.map(SecretFrom::File))
    }

    /// The secret; a relative path begins at `folder`.
    ///
    /// # Errors
    /// There is no such variable or file, or nothing usable in it.
    pub fn read(&self, environment: Environment<'_>, folder: &Path) -> Result<String, String> {
        let secret = match self {
            SecretFrom::Value(value) => value.clone(),
            SecretFrom::Environment(name) => environment(name)
                .ok_or_else(|| format!("the environment has no variable {}: set it", name.escape_debug()))?,
            SecretFrom::File(path) => read_file(&folder.join(path))?,
        };
        if secret.is_empty() { Err("is empty".to_owned()) } else { Ok(secret) }
    }

    /// Sets the members that a thing has for a secret called `name`: its value, where it is from,
    /// and that it is no longer the one before.
    pub fn set_members(&self, name: &str, secret: String, members: &mut Members) {
        let variable = match self {
            SecretFrom::Environment(name) => Some(name.clone()),
            SecretFrom::Value(_) | SecretFrom::File(_) => None,
        };
        let file = match self {
            SecretFrom::File(path) => Some(path.clone()),
            SecretFrom::Value(_) | SecretFrom::Environment(_) => None,
        };
        members.set(name, Some(secret));
        members.set(&format!("{name}_env"), Some(variable));
        members.set(&format!("{name}_file"), Some(file));
        members.set(&format!("{name}_kept"), Some(serde_json::Value::Null));
    }
}

/// Takes a secret called `name` away.
pub fn take_away(name: &str, members: &mut Members) {
    for member in [name.to_owned(), format!("{name}_env"), format!("{name}_file"), format!("{name}_kept")] {
        members.set(&member, Some(serde_json::Value::Null));
    }
}

/// Asks for a secret at the terminal, which does not show what is typed.
///
/// # Errors
/// The terminal cannot be told so; then nothing is read.
pub fn ask_hidden(question: &str, notes: &mut dyn Write) -> Result<String, CliError> {
    let failed = |error: &dyn fmt::Display| CliError::failed(format!("the terminal cannot be asked: {error}"));
    let input = io::stdin();
    let before = tcgetattr(input.as_fd()).map_err(|error| failed(&error))?;
    let mut hiding = before.clone();
    hiding.local_flags.remove(LocalFlags::ECHO);
    hiding.local_flags.insert(LocalFlags::ECHONL);
    let _ = write!(notes, "{question}");
    let _ = notes.flush();
    tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &hiding).map_err(|error| failed(&error))?;
    let mut typed = String::new();
    let read = input.lock().take(SECRET_BYTES_MAX).read_line(&mut typed);
    // Whatever was read, the terminal is to show again what is typed.
    let shown = tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &before);
    read.map_err(|error| failed(&error))?;
    shown.map_err(|error| failed(&error))?;
    Ok(typed.trim_end_matches(['\n', '\r']).to_owned())
}

fn read_file(path: &Path) -> Result<String, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(wrong(&format!("has more than {SECRET_BYTES_MAX} bytes: this is no secret")));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    Ok(secret.strip_suffix('\r').unwrap_or(secret).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_file_is_read_beside_the_one_that_names_it_without_its_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alice.pw"), "se cret\n").unwrap();
        let from = SecretFrom::File("alice.pw".into());
        assert_eq!(from.read(&nothing, folder.path()).as_deref(), Ok("se cret"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let no_file = SecretFrom::File("none.pw".into()).read(&nothing, folder.path()).unwrap_err();
        assert!(no_file.contains("none.pw"), "{no_file}");
        let no_variable = SecretFrom::Environment("GW1".into()).read(&nothing, folder.path()).unwrap_err();
        assert!(no_variable.contains("GW1"), "{no_variable}");
        assert!(SecretFrom::Value(String::new()).read(&nothing, folder.path()).is_err());
    }

    #[test]
    fn a_new_secret_replaces_all_that_was_said_of_the_old_one() {
        let mut members = Members::new();
        SecretFrom::Environment("GW1".into()).set_members("secret", "s".into(), &mut members);
        let change = serde_json::json!({
            "secret": "s", "secret_env": "GW1", "secret_file": null, "secret_kept": null });
        assert_eq!(members.change(), change);
    }

    #[test]
    fn a_value_is_not_shown() {
        assert!(!format!("{:?}", SecretFrom::Value("hush".into())).contains("hush"));
    }
}
