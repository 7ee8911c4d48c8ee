//! `partyrun host` as it is typed: its flags, and examples of them.

use std::path::PathBuf;

use clap::Args;
use partyrun_config::Host;
use partyrun_limits::{Limits, SettingError};

use super::doors::{DoorArgs, HttpPort};
use super::values::Limit;

pub(super) const EXAMPLES: &str = "Examples:
  partyrun token generate --data /var/lib/partyrun-host
  partyrun host --domain party.example.com --data /var/lib/partyrun-host --port 80
  partyrun host --domain party.example.com --data /var/lib/partyrun-host --port 443 \\
    --tls-cert wildcard.pem --tls-key wildcard.key

The project `chat` is served at chat.party.example.com, its preview `pr-7` at pr-7.chat.party.example.com.";

#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// The domain below which projects have their names. `partyrun login` asks at the domain itself.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) domain: String,
    /// The folder with everything of the host: releases, data, variables, tokens.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The address to listen on, or `localhost` [default: all addresses, of IPv4 and IPv6].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<Host>,
    /// The port [default: 443 with a certificate, else 80].
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// The port that clients use, where a proxy in front has another one.
    #[arg(long, value_name = "PORT")]
    pub(crate) public_port: Option<u16>,
    /// A certificate with its chain, in PEM form, such as one for the domain and `*.DOMAIN`. Repeatable, each with its key.
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub(crate) tls_cert: Vec<PathBuf>,
    /// The private key of the certificate, in PEM form. Repeatable, in the order of the certificates.
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub(crate) tls_key: Vec<PathBuf>,
    /// Obtain and renew certificates from an authority (ACME) for the domain, and for each project when it is first asked for;
    /// agrees to the authority's terms.
    #[arg(long)]
    pub(crate) acme: bool,
    /// Where the authority reaches you.
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    pub(crate) acme_email: Option<String>,
    /// Another authority's directory [default: Let's Encrypt].
    #[arg(long, value_name = "URL", requires = "acme")]
    pub(crate) acme_directory: Option<String>,
    /// Certificates that the authority's own is signed by, in PEM form, if browsers don't trust it.
    #[arg(long, value_name = "PATH", requires = "acme")]
    pub(crate) acme_ca: Option<PathBuf>,
    /// The port of plain HTTP, which leads to https and answers authorities, or `off` [default: 80 if https is on port 443].
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<HttpPort>,
    /// A proxy, or a network of proxies, whose `x-forwarded-for` and `-proto` headers are trusted. Repeatable.
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub(crate) trusted_proxy: Vec<partyrun_server::Network>,
    /// Change a limit of the host (see docs/limits.md), `NAME=VALUE`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Limit, hide_possible_values = true)]
    pub(crate) limit: Vec<(String, String)>,
    /// Change a limit of every project, `NAME=VALUE`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Limit, hide_possible_values = true)]
    pub(crate) project_limit: Vec<(String, String)>,
    /// Print each line as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl HostArgs {
    /// How connections are secured, as `start` has it.
    pub(crate) fn doors(&self) -> DoorArgs {
        DoorArgs {
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            acme: self.acme,
            domain: vec![self.domain.clone()],
            acme_email: self.acme_email.clone(),
            acme_directory: self.acme_directory.clone(),
            acme_ca: self.acme_ca.clone(),
            http_port: self.http_port,
            ..DoorArgs::default()
        }
    }

    /// The limits of the host.
    pub(crate) fn limits(&self) -> Result<Limits, SettingError> {
        let mut limits = Limits::default();
        for (name, value) in &self.limit {
            limits.set(name, value)?;
        }
        // One that is wrong would be so in each project, where nobody looks.
        let mut of_projects = Limits::default();
        for (name, value) in &self.project_limit {
            of_projects.set(name, value)?;
        }
        Ok(limits)
    }
}

fn domain(text: &str) -> Result<String, String> {
    partyrun_host::domain(text).map_err(|error| error.to_string())
}
