//! `bridge`: stands beside a proxy that speaks no RFC 5176 and ends its calls when it is asked to.
//! Known here, run by `main`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;

use super::context::Environment;
use super::error::CliError;
use super::secret::SecretFrom;
use crate::transport::bridge::Door;
use crate::transport::bridge::kamailio::{Kamailio, RpcPlace};
use crate::transport::bridge::server::Terms;
use crate::transport::bridge::sippy::Sippy;
use crate::wire::authenticator::{MessageAuthenticatorRule, Secret};

/// The variable that holds the secret where no other place is named.
pub const SECRET_VARIABLE: &str = "RINGFENCE_BRIDGE_SECRET";

/// Which proxy.
#[derive(Subcommand, Clone, Debug)]
pub enum BridgeProxy {
    /// End dialogs of Kamailio 5.6 or later through its JSON-RPC
    #[command(
        after_help = "Kamailio needs its modules dialog and jsonrpcs, the latter with datagrams:\n  modparam(\"jsonrpcs\", \"transport\", 4)\n  modparam(\"jsonrpcs\", \"dgram_socket\", \"udp:127.0.0.1:8090\")\n\nEvery option can be set from the environment: RINGFENCE_BRIDGE_FROM, RINGFENCE_BRIDGE_LISTEN.\nExit codes: 0 it was stopped; 1 it failed; 2 bad usage or no secret.\n\nExamples:\n  ringfence bridge kamailio --from 192.0.2.5 --secret-file bridge.secret\n  ringfence bridge kamailio --from 192.0.2.5 --secret-file bridge.secret --rpc /run/kamailio/kamailio_rpc.sock"
    )]
    Kamailio {
        /// Where its JSON-RPC is: an address with port, or the path of a Unix datagram socket
        #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:8090", value_parser = rpc_place, env = "RINGFENCE_BRIDGE_RPC", hide_env_values = true)]
        rpc: RpcPlace,
        /// What is the same beside any proxy.
        #[command(flatten)]
        common: Box<BridgeCommon>,
    },
    /// End calls of Sippy B2BUA through its command socket
    #[command(
        after_help = "Every option can be set from the environment: RINGFENCE_BRIDGE_FROM, RINGFENCE_BRIDGE_LISTEN.\nExit codes: 0 it was stopped; 1 it failed; 2 bad usage or no secret.\n\nExamples:\n  ringfence bridge sippy --from 192.0.2.5 --secret-file bridge.secret\n  ringfence bridge sippy --from 192.0.2.5 --secret-file bridge.secret --command-socket /run/b2bua/b2bua.sock"
    )]
    Sippy {
        /// Its command socket
        #[arg(
            long,
            value_name = "PATH",
            default_value = "/var/run/b2bua.sock",
            env = "RINGFENCE_BRIDGE_COMMAND_SOCKET",
            hide_env_values = true
        )]
        command_socket: PathBuf,
        /// What is the same beside any proxy.
        #[command(flatten)]
        common: Box<BridgeCommon>,
    },
}

/// What is the same beside any proxy.
#[derive(Args, Clone, Debug)]
pub struct BridgeCommon {
    /// Where Disconnect-Requests are heard (UDP); port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "[::]:3799",
        env = "RINGFENCE_BRIDGE_LISTEN",
        hide_env_values = true
    )]
    listen: SocketAddr,
    /// Where requests may come from: addresses or networks, several with commas
    #[arg(
        long,
        value_name = "ADDRESS",
        required = true,
        value_delimiter = ',',
        value_parser = network,
        env = "RINGFENCE_BRIDGE_FROM",
        hide_env_values = true
    )]
    from: Vec<IpNet>,
    /// The file that holds the shared secret; otherwise the variable RINGFENCE_BRIDGE_SECRET does
    #[arg(long, value_name = "FILE", env = "RINGFENCE_BRIDGE_SECRET_FILE", hide_env_values = true)]
    secret_file: Option<String>,
    /// Whether requests without a Message-Authenticator are dropped
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, env = "RINGFENCE_BRIDGE_REQUIRE_MESSAGE_AUTHENTICATOR", hide_env_values = true)]
    require_message_authenticator: bool,
    /// Whether requests without an Event-Timestamp are dropped
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, env = "RINGFENCE_BRIDGE_REQUIRE_EVENT_TIMESTAMP", hide_env_values = true)]
    require_event_timestamp: bool,
    /// How far an Event-Timestamp may be from the clock here, seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=3_600),
        env = "RINGFENCE_BRIDGE_WINDOW",
        hide_env_values = true
    )]
    window: u32,
    /// How long the proxy may take for an answer, milliseconds
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = 2_000,
        value_parser = clap::value_parser!(u64).range(100..=10_000),
        env = "RINGFENCE_BRIDGE_PROXY_TIMEOUT",
        hide_env_values = true
    )]
    proxy_timeout: u64,
    /// What is logged
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        default_value_t,
        env = "RINGFENCE_BRIDGE_LOG_LEVEL",
        hide_env_values = true
    )]
    log_level: Level,
    /// How a line of the log looks
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "RINGFENCE_BRIDGE_LOG_FORMAT",
        hide_env_values = true
    )]
    log_format: Format,
}

/// What is important enough to be logged; each level has all before it.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// What a person must see to.
    Error,
    /// What is not as it should be: requests dropped or not obeyed.
    Warn,
    /// Calls that were ended, starts and stops.
    #[default]
    Info,
    /// More.
    Debug,
    /// Everything.
    Trace,
}

/// How a line of the log looks.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// All that the bridge is started with.
pub struct BridgeSetup {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who may ask for what.
    pub terms: Terms,
    /// The way into the proxy.
    pub door: Box<dyn Door>,
}

impl BridgeProxy {
    /// How the log is to be.
    pub fn log(&self) -> (Level, Format) {
        (self.common().log_level, self.common().log_format)
    }

    /// All that the bridge is started with; the secret is read here.
    ///
    /// # Errors
    /// There is no secret.
    pub fn setup(&self, environment: Environment<'_>) -> Result<BridgeSetup, CliError> {
        let common = self.common();
        let from = match &common.secret_file {
            Some(file) => SecretFrom::File(file.clone()),
            None => SecretFrom::Environment(SECRET_VARIABLE.to_owned()),
        };
        let hint = if common.secret_file.is_none() { ", or give --secret-file" } else { "" };
        let secret = from
            .read(environment, Path::new(""))
            .map_err(|error| CliError::usage(format!("the secret: {error}{hint}")))?;
        let rule = match common.require_message_authenticator {
            true => MessageAuthenticatorRule::Required,
            false => MessageAuthenticatorRule::IfPresent,
        };
        let terms = Terms {
            from: common.from.clone(),
            secret: Secret::from(secret),
            rule,
            timestamp_required: common.require_event_timestamp,
            window_seconds: common.window,
        };
        let patience = Duration::from_millis(common.proxy_timeout);
        let door: Box<dyn Door> = match self {
            BridgeProxy::Kamailio { rpc, .. } => Box::new(Kamailio::new(rpc.clone(), patience)),
            BridgeProxy::Sippy { command_socket, .. } => Box::new(Sippy::new(command_socket.clone(), patience)),
        };
        Ok(BridgeSetup { listen: common.listen, terms, door })
    }

    fn common(&self) -> &BridgeCommon {
        match self {
            BridgeProxy::Kamailio { common, .. } | BridgeProxy::Sippy { common, .. } => common,
        }
    }
}

/// An address or a network.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    let network = text.parse::<IpNet>().ok().or_else(address);
    network
        .map(|network| network.trunc())
        .ok_or_else(|| "must be an address or a network such as 192.0.2.0/28".to_owned())
}

/// An address with port, or a path.
fn rpc_place(text: &str) -> Result<RpcPlace, String> {
    let plain = text.strip_prefix("udp:").unwrap_or(text);
    if let Ok(address) = plain.parse() {
        return Ok(RpcPlace::Udp(address));
    }
    if text.starts_with('/') {
        return Ok(RpcPlace::Unix(PathBuf::from(text)));
    }
    Err("must be an address with port such as 127.0.0.1:8090, or the path of a socket, from / on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_proxy_are_addresses_or_paths() {
        let address = RpcPlace::Udp("127.0.0.1:8090".parse().unwrap());
        assert_eq!(rpc_place("127.0.0.1:8090").as_ref(), Ok(&address));
        assert_eq!(rpc_place("udp:127.0.0.1:8090").as_ref(), Ok(&address), "as Kamailio writes it");
        assert_eq!(rpc_place("/run/k.sock"), Ok(RpcPlace::Unix("/run/k.sock".into())));
        for wrong in ["127.0.0.1", "k.sock", "http://127.0.0.1:8090", ""] {
            assert!(rpc_place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sources_are_addresses_or_networks() {
        assert_eq!(network("192.0.2.1"), Ok("192.0.2.1/32".parse().unwrap()));
        assert_eq!(network(" 192.0.2.9/28"), Ok("192.0.2.0/28".parse().unwrap()));
        assert_eq!(network("2001:db8::1"), Ok("2001:db8::1/128".parse().unwrap()));
        assert!(network("proxy.example").is_err());
    }
}
