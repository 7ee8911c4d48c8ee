//! Connections of WebSockets to other servers: direct, or through the proxy that the environment names for the server
//! (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case), as `fetch` has it.

use std::error::Error;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::LazyLock;

use deno_error::JsErrorBox;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use partyrun_extensions::tls::bare;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

static PROXIES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

/// Connects to the server of `url`, which is one of `ws` or `wss`. TLS is the caller's.
///
/// # Errors
/// A `TypeError` that says what could not be reached, and through which proxy.
pub(crate) async fn connect(url: &Url) -> Result<TcpStream, JsErrorBox> {
    let host = url.host_str().ok_or_else(|| JsErrorBox::type_error("Invalid URL: no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    let target: Uri = format!("{scheme}://{host}:{port}")
        .parse()
        .map_err(|error| JsErrorBox::type_error(format!("Invalid URL: {error}")))?;
    let Some(proxy) = PROXIES.intercept(&target) else {
        let connecting = async {
            let addresses = partyrun_extensions::reach(bare(host), port).await?;
            TcpStream::connect(&addresses[..]).await
        };
        return connecting.await.map_err(|error| failed(host, port, &error));
    };
    let judged =
        partyrun_extensions::judge(bare(host), port).await.map_err(|error| failed(host, port, &error))?;
    let address = judged.and_then(|addresses| addresses.first().copied());
    let stream = through(&proxy, target, address).await;
    stream.map_err(|error| {
        let through = proxy.uri().authority().map_or("", |authority| authority.as_str());
        failed(host, port, &format!("{error} (through the proxy {through} of the environment)"))
    })
}

fn failed(host: &str, port: u16, error: &dyn Display) -> JsErrorBox {
    JsErrorBox::type_error(format!("Connecting to {host}:{port} failed: {error}"))
}

// `judged` is the address that the target's name was found to lead to, if somebody cares.
async fn through(proxy: &Intercept, target: Uri, judged: Option<SocketAddr>) -> Result<TcpStream, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let address = proxy.uri().clone();
    let stream = match address.scheme_str() {
        Some("http") => {
            let mut tunnel = Tunnel::new(address, connector);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            tunnel.call(target).await.map_err(|error| whole(&error))?
        }
        Some(scheme @ ("socks5" | "socks5h")) => {
            // The name is resolved by the proxy with socks5h, and here with socks5 (curl's schemes).
            let mut socks = SocksV5::new(address.clone(), connector).local_dns(scheme == "socks5");
            // It is looked up once.
            let target = match judged.filter(|_| scheme == "socks5") {
                Some(judged) => format!("http://{judged}").parse().map_err(|error| format!("{error}"))?,
                None => target,
            };
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_string(), password.to_string());
            }
            socks.call(target).await.map_err(|error| whole(&error))?
        }
        scheme => {
            let scheme = scheme.unwrap_or_default();
            return Err(format!("WebSockets go through http, socks5 and socks5h proxies, not {scheme}"));
        }
    };
    Ok(stream.into_inner())
}

// The message of an error with those of its causes.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
