//! The log: set up once, from the configuration, to standard error.
//!
//! An event is one line, whatever the outside put into its fields, and a log that nobody can
//! take any more (a closed pipe, a full disk) never stops the daemon. What happens to single calls
//! is not here but in the call log; numbers are in `metrics`.

use std::io::{self, IsTerminal as _, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// What the targets of our own events begin with.
const OURS: &str = "ringfence";

/// Starts the log of this process, on standard error; in colours where that is a terminal and
/// nobody objects (`NO_COLOR`).
///
/// # Errors
/// There is a log already.
pub fn start(config: &LogConfig) -> Result<(), TelemetryError> {
    let colours = io::stderr().is_terminal();
    subscriber(config, colours, io::stderr).try_init().map_err(|_| TelemetryError::Started)
}

/// The same for any writer, not yet started: for tests, and for who shows the log elsewhere.
pub fn subscriber<W, M>(config: &LogConfig, colours: bool, writer: M) -> impl Subscriber + Send + Sync + use<W, M>
where
    W: Write,
    M: Fn() -> W + Send + Sync + 'static,
{
    let (of_libraries, ours) = match config.level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        // What libraries find worth telling is mostly worth it one step later.
        LogLevel::Info => (LevelFilter::WARN, LevelFilter::INFO),
        LogLevel::Debug => (LevelFilter::INFO, LevelFilter::DEBUG),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let filter = Targets::new().with_default(of_libraries).with_target(OURS, ours);
    let lines = fmt::layer().log_internal_errors(false).with_writer(OneLineEach(writer));
    // The library itself leaves colours out where NO_COLOR is set, unless it is told.
    let lines = if colours { lines } else { lines.with_ansi(false) };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => Box::new(lines.with_target(ours >= LevelFilter::DEBUG)),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    };
    Registry::default().with(lines.with_filter(filter))
}

/// Why the log could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// A process has one log.
    #[error("the log has been started already")]
    Started,
}

/// Makes writers that keep each event in one line.
struct OneLineEach<M>(M);

impl<'a, W: Write, M: Fn() -> W> MakeWriter<'a> for OneLineEach<M> {
    type Writer = OneLine<W>;

    fn make_writer(&'a self) -> OneLine<W> {
        OneLine(self.0())
    }
}

/// Takes an event as a whole, as the formatter gives it, its newline at the end.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = String::with_capacity(event.len());
        for (index, character) in line.char_indices() {
            if !character.is_control() || character == '\t' || is_colour(&line[index..]) {
                escaped.push(character);
            } else {
                escaped.extend(character.escape_default());
            }
        }
        escaped.push('\n');
        // There is nobody to tell that the log cannot be written, and calls go on without it.
        let _ = self.0.write_all(escaped.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Whether a text begins with a sequence that sets a colour (ECMA-48 8.3.117) and so can do no
/// harm to a terminal, unlike all others.
fn is_colour(text: &str) -> bool {
    text.strip_prefix("\x1b[")
        .map(|rest| rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';'))
        .is_some_and(|rest| rest.starts_with('m'))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(&LogConfig { level, format }, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_level_has_all_before_it_and_no_more() {
        for (level, lines) in
            [(LogLevel::Error, 1), (LogLevel::Warn, 2), (LogLevel::Info, 3), (LogLevel::Debug, 4), (LogLevel::Trace, 5)]
        {
            let text = logged(level, LogFormat::Text, || {
                tracing::error!("e");
                tracing::warn!("w");
                tracing::info!("i");
                tracing::debug!("d");
                tracing::trace!("t");
            });
            assert_eq!(text.lines().count(), lines, "{level:?}: {text}");
        }
    }

    #[test]
    fn libraries_speak_one_step_later() {
        let text = logged(LogLevel::Info, LogFormat::Text, || {
            tracing::info!(target: "hyper", "chatter");
            tracing::warn!(target: "hyper", "trouble");
        });
        assert!(!text.contains("chatter") && text.contains("trouble"), "{text}");
    }

    #[test]
    fn an_event_is_one_line_without_anything_that_a_terminal_obeys() {
        let text = logged(LogLevel::Info, LogFormat::Text, || {
            tracing::info!(user = %"eve\n2026-01-01 ERROR forged\r\x1b[2J\u{9b}2J", "rejected");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("eve\\n2026") && !text.contains(['\x1b', '\r', '\u{9b}']), "{text:?}");
    }

    #[test]
    fn json_is_an_object_a_line() {
        let text = logged(LogLevel::Info, LogFormat::Json, || tracing::info!(calls = 2, "started\nwell"));
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&object["message"], &object["calls"]), (&"started\nwell".into(), &2.into()));
        assert_eq!(object["level"], "INFO");
        assert!(object["timestamp"].is_string());
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nothing() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let subscriber = subscriber(&LogConfig::default(), false, || Broken);
        tracing::subscriber::with_default(subscriber, || tracing::error!("nobody hears"));
    }
}
