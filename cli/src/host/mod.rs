//! `partyrun host`: many projects behind one listener. What is served, and how, `partyrun_host` knows; this is its listener,
//! its certificate, its output, and what a release is.

mod releases;

use std::sync::Arc;
use std::time::Instant;

use partyrun_config::Host as ListenHost;
use partyrun_host::{Host, Names, Options, Registry};
use serde_json::json;

use crate::args::HostArgs;
use crate::doors::HTTPS;
use crate::error::{RunError, machine};
use crate::output::Output;
use crate::secure::error::SecureError;
use crate::secure::{Beside, Secured};
use crate::serve;
use crate::stop::Link;
use releases::Kept;

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostCommandError {
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}.")]
    Host(#[from] partyrun_host::HostError),
    #[error("{0}")]
    Secure(#[from] SecureError),
}

struct Told(Arc<Output>);

impl partyrun_host::Output for Told {
    fn note(&self, text: &str) {
        self.0.note(text);
    }

    fn problem(&self, text: &str) {
        self.0.problem(text);
    }
}

/// Runs the command until it is asked to stop.
pub(crate) fn run(args: &HostArgs, begun: Instant) -> Result<(), HostCommandError> {
    let limits = args.limits().map_err(RunError::from)?;
    let json = args.json || !std::io::IsTerminal::is_terminal(&std::io::stdout());
    let output = Arc::new(
        Output::new(json, &limits)
            .map_err(|error| RunError::Machine { what: "A thread cannot be started", error })?,
    );
    let doors = args.doors();
    let secured = Secured::of(&doors)?;
    let tls = secured.as_ref().map(|secured| secured.tls.config());
    let wanted = args.port.unwrap_or(if tls.is_some() { HTTPS } else { 80 });
    let at = args.host.unwrap_or(ListenHost::All);
    let (listeners, port) = serve::listen(at, Some(wanted))?;
    partyrun_net::front::raise_descriptor_limit();
    let trusted = args.trusted_proxy.clone();
    let data = std::path::absolute(&args.data).map_err(machine("The data folder cannot be found"))?;
    let names = Names::default();
    let mut options = Options {
        domain: args.domain.clone(),
        data: data.clone(),
        listeners,
        port: args.public_port.unwrap_or(port),
        secure: tls.is_some() || args.public_port == Some(443),
        tls: tls.clone(),
        demand: None,
        names: names.clone(),
        trusts: Box::new(move |ip| trusted.iter().any(|network| network.contains(ip))),
        program: std::env::current_exe().map_err(machine("partyrun cannot find itself"))?,
        limits: limits.clone(),
        settings: args.project_limit.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        releases: Arc::new(Kept(limits.clone())),
        output: Arc::new(Told(output.clone())),
    };
    let result = serve::runtime()?.block_on(async {
        let mut requests = Link::default().requests().map_err(machine("Signals cannot be received"))?;
        let (mut _securing, reloads) = (None, requests.reloads());
        requests.heed_hangups();
        if let Some(secured) = secured {
            let (args, data, limits, output) = (&doors, Some(data.as_path()), &limits, &output);
            let beside = Beside { args, host: at, data, port, limits, output, proxies: None };
            let securing = secured.begin(&beside, reloads, || ())?;
            options.demand = securing.demand(Arc::new(move |name: &str| {
                let has = names.has(name);
                Box::pin(std::future::ready(has))
            }));
            _securing = Some(securing);
        }
        let host = Host::start(options).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        output.headline(&format!("partyrun {} host", env!("CARGO_PKG_VERSION")), &args.domain);
        output.note(&format!("Everything is kept in {}", data.display()));
        if has_no_tokens(&data) {
            output.note(&format!(
                "There is no token yet. Make one: partyrun token generate --data {}",
                data.display()
            ));
        }
        output.ready(port, &format!("{scheme}://{}:{port}", args.domain));
        output.note(&format!(
            "Ready at {scheme}://{} (port {port}) in {} ms",
            args.domain,
            begun.elapsed().as_millis()
        ));
        requests.next().await;
        output.note("Stopping.");
        tokio::select! {
            () = host.stop() => {}
            () = requests.next() => std::process::exit(130),
        }
        Ok(())
    });
    output.flush();
    result
}

fn has_no_tokens(data: &std::path::Path) -> bool {
    Registry::beside(data).and_then(|registry| registry.tokens()).is_ok_and(|tokens| tokens.is_empty())
}

/// A token that is made on the host's own machine, in its data folder.
pub(crate) fn generate(
    data: &std::path::Path,
    name: &str,
    scope: &partyrun_host::Scope,
) -> Result<String, partyrun_host::HostError> {
    std::fs::create_dir_all(data).map_err(|error| partyrun_host::HostError::Machine {
        what: "The data folder cannot be made",
        error,
    })?;
    let registry = Registry::beside(data)?;
    let token = partyrun_host::new_token()?;
    registry.add_token(name, &partyrun_host::token_hash(&token), scope)?;
    let detail = json!({ "scope": scope.name(), "project": scope.project() }).to_string();
    registry.audit("this machine", "", "token.generate", name, &detail)?;
    Ok(token)
}
