//! The host's listener: accepts connections, secures them if there is a certificate, and gives each request to a project or to
//! the API, as its host name says.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use partyrun_limits::Limits;
use partyrun_net::Demand;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::api::Api;
use crate::common::{Common, HostError, Output, Releases, Sockets};
use crate::names;
use crate::proxy::{self, Body, Client, plain};
use crate::quota::{Groups, Quota};
use crate::registry::Registry;
use crate::secrets::Secrets;
use crate::sites::{Names, Sites};
use crate::sweep;

/// How long accepting rests when the process has no descriptors left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What a host is started with.
pub struct Options {
    /// The domain below which projects are; the API is at the domain itself.
    pub domain: String,
    /// The data folder.
    pub data: PathBuf,
    /// Where it listens.
    pub listeners: Vec<TcpListener>,
    /// The port that clients see, if it is not the usual one.
    pub port: u16,
    /// Whether clients speak https, with the host or with a proxy in front of it.
    pub secure: bool,
    /// Secures connections.
    pub tls: Option<Arc<ServerConfig>>,
    /// Done before a client's name is looked up among the certificates.
    pub demand: Option<Demand>,
    /// Says from now on which names there are.
    pub names: Names,
    /// Proxies whose word is taken for who the client is.
    pub trusts: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// The program that serves projects: partyrun itself.
    pub program: PathBuf,
    /// The limits of the host.
    pub limits: Limits,
    /// Limits that projects are started with, as `NAME=VALUE`.
    pub settings: Vec<String>,
    /// What a release is.
    pub releases: Arc<dyn Releases>,
    /// Where the host says what happens.
    pub output: Arc<dyn Output>,
}

/// A running host.
pub struct Host {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    sweeping: tokio::task::JoinHandle<()>,
}

/// What every connection needs.
pub(crate) struct Shared {
    pub(crate) sites: Arc<Sites>,
    pub(crate) common: Arc<Common>,
    api: Api,
    tls: Option<Arc<ServerConfig>>,
    demand: Option<Demand>,
    trusts: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    connections: AtomicUsize,
}

impl Host {
    /// Opens everything and serves, from now on.
    pub async fn start(options: Options) -> Result<Self, HostError> {
        let failed = |what| move |error| HostError::Machine { what, error };
        let Options {
            domain,
            data,
            listeners,
            port,
            secure,
            tls,
            demand,
            names,
            trusts,
            program,
            limits,
            settings,
            releases,
            output,
        } = options;
        for folder in [data.clone(), data.join("sites"), data.join("deleted"), data.join("incoming")] {
            std::fs::create_dir_all(&folder).map_err(failed("The data folder cannot be made"))?;
        }
        for folder in ["deleted", "incoming"] {
            // Projects that are users of their own must not read there what belongs to others.
            let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(data.join(folder), own)
                .map_err(failed("The data folder cannot be made private"))?;
        }
        let registry = Arc::new(Registry::open(&data)?);
        let secrets = Secrets::open(&data)?;
        forget_drafts(&data);
        let own_users = crate::quota::has_users() && is_reachable(&data) && is_reachable(&program);
        if !own_users {
            output.note(
                "Projects run as this user: run the host as root, in a folder that others can reach, to give each \
                 a user of its own.",
            );
        }
        let groups = Groups::find();
        if groups.is_none() {
            output.note(
                "No control groups (version 2) are granted: memory and CPU time are held by looking every two seconds.",
            );
        }
        let common = Arc::new(Common {
            sockets: Sockets::new().map_err(failed("A folder for sockets cannot be made"))?,
            data,
            domain,
            program,
            quota: Quota::new(&limits),
            limits,
            settings,
            groups,
            own_users,
            registry,
            secrets,
            releases,
            output,
        });
        let sites = Arc::new(Sites::load(&common)?);
        names.fill(sites.clone(), &common.domain);
        let api = Api::new(sites.clone(), common.clone(), secure, port);
        let shared = Arc::new(Shared {
            sites: sites.clone(),
            common: common.clone(),
            api,
            tls,
            demand,
            trusts,
            connections: AtomicUsize::new(0),
        });
        let stop = watch::Sender::new(false);
        for listener in listeners {
            listener.set_nonblocking(true).map_err(failed("The listener cannot be used"))?;
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(failed("The listener cannot be used"))?;
            tokio::spawn(accept(shared.clone(), listener, stop.subscribe()));
        }
        let sweeping = tokio::spawn(sweep::run(sites, common));
        Ok(Self { shared, stop, sweeping })
    }

    /// Accepts nothing more, and stops all projects.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.sweeping.abort();
        let all = self.shared.sites.all();
        let stopping = all.iter().map(|site| site.stop());
        futures_util::future::join_all(stopping).await;
        sweep::write_down(&all, &self.shared.common).await;
    }
}

// What a host that was killed had received.
fn forget_drafts(data: &std::path::Path) {
    for entry in std::fs::read_dir(data.join("incoming")).into_iter().flatten().flatten() {
        let path = entry.path();
        let _kept = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

// Whether any user can get there.
fn is_reachable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o001;
    path.ancestors().all(|part| part.metadata().is_ok_and(|part| part.permissions().mode() & OTHERS != 0))
}

async fn accept(shared: Arc<Shared>, listener: tokio::net::TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _stopped = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let open = shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            if open < shared.common.limits.connections_max {
                let _slower = stream.set_nodelay(true);
                match shared.tls.clone() {
                    None => connection(&shared, stream, peer, false, stop).await,
                    Some(tls) => {
                        let shaking = shake_hands(tls, shared.demand.as_ref(), stream);
                        let most = shared.common.limits.handshake_time_max;
                        if let Ok(Ok(stream)) = tokio::time::timeout(most, shaking).await {
                            connection(&shared, stream, peer, true, stop).await;
                        }
                    }
                }
            }
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

// The handshake. A name whose certificate is not there yet is asked for first.
async fn shake_hands(
    tls: Arc<ServerConfig>,
    demand: Option<&Demand>,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let Some(demand) = demand else { return TlsAcceptor::from(tls).accept(stream).await };
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let name = begun.client_hello().server_name().map(str::to_ascii_lowercase);
    if let Some(name) = name {
        demand(&name).await;
    }
    begun.into_stream(tls).await
}

async fn connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    shared: &Arc<Shared>,
    stream: S,
    peer: SocketAddr,
    secure: bool,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, peer, secure, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.common.limits.header_time_max)
        .max_buf_size(shared.common.limits.header_bytes_max.max(8192));
    let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    // A connection that breaks concerns nobody else.
    tokio::select! {
        _broken = &mut serving => return,
        _stopped = stop.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _broken = serving.await;
}

async fn answer(
    shared: &Arc<Shared>,
    peer: SocketAddr,
    secure: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let client = client(shared, peer, secure, &request);
    let Some(name) =
        request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(names::host_of)
    else {
        return plain(StatusCode::BAD_REQUEST, "A request must have a `Host` field.");
    };
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return plain(StatusCode::BAD_REQUEST, "A request must have one `Host` field.");
    }
    match shared.sites.find(&name, &shared.common.domain) {
        Ok(Some(site)) => proxy::answer(&site, client, request).await,
        Ok(None) => {
            // What was begun is done, and written into the audit log, also for a client that goes away.
            let shared = shared.clone();
            let answering = tokio::spawn(async move { shared.api.answer(client, request).await });
            answering.await.unwrap_or_else(|_| {
                plain(StatusCode::INTERNAL_SERVER_ERROR, "The host has failed. This is a bug in partyrun.")
            })
        }
        Err(()) => plain(StatusCode::NOT_FOUND, "There is no project at this address."),
    }
}

// Who asks: the peer, or, where that is a proxy that is trusted, whom it names.
fn client(shared: &Shared, peer: SocketAddr, secure: bool, request: &Request<Incoming>) -> Client {
    let ip = peer.ip().to_canonical();
    if !(shared.trusts)(ip) {
        return Client { ip, secure };
    }
    let (ip, https) = forwarded(request.headers(), ip, &shared.trusts);
    Client { ip, secure: secure || https }
}

// Every proxy adds whom it was asked by at the end, perhaps as one more field, so that the list is believed from its end on.
fn forwarded(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> (IpAddr, bool) {
    let lines = |name: &str| -> Vec<&str> {
        headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect()
    };
    let mut client = peer;
    for entry in lines("x-forwarded-for").iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !trusts(client) {
            break;
        }
    }
    let schemes = lines("x-forwarded-proto");
    let scheme = schemes.last().and_then(|line| line.rsplit(',').next()).map(str::trim);
    (client, scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_proxies_say_is_believed_from_the_end_on() {
        let said = |name: &'static str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| {
                headers.append(name, HeaderValue::from_static(line));
            });
            let peer: IpAddr = "10.0.0.1".parse().unwrap();
            let (ip, https) = forwarded(&headers, peer, |ip| ip.to_string().starts_with("10."));
            (ip.to_string(), https)
        };
        let client = |lines: &[&'static str]| said("x-forwarded-for", lines).0;
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["6.6.6.6, 9.9.9.9, 10.0.0.2"]), "9.9.9.9");
        assert_eq!(client(&["6.6.6.6, no address, 9.9.9.9"]), "9.9.9.9");
        assert_eq!(client(&["6.6.6.6", "9.9.9.9"]), "9.9.9.9", "one more field");
        assert_eq!(client(&["9.9.9.9, no address"]), "10.0.0.1");
        assert!(
            said("x-forwarded-proto", &["http", "https"]).1
                && !said("x-forwarded-proto", &["https", "http"]).1
        );
    }
}
