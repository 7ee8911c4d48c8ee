//! The reference for static files: hyper that reads a file for each request, and nothing else. `bench --serve-files
//! PORT` is this server; it serves `public` in its working folder.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves until the process is ended.
pub fn serve(port: u16) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A client that leaves ends its own connection.
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let (status, body) = match path.strip_prefix('/').filter(|name| !name.contains("..")) {
        // There are no rooms here; the benchmark waits for this answer.
        Some(name) if name.starts_with("party/") => (StatusCode::OK, Vec::new()),
        Some(name) => match tokio::fs::read(std::path::Path::new("public").join(name)).await {
            Ok(body) => (StatusCode::OK, body),
            Err(_) => (StatusCode::NOT_FOUND, Vec::new()),
        },
        None => (StatusCode::NOT_FOUND, Vec::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    Ok(response)
}
