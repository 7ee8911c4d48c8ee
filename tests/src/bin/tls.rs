//! What TLS costs a server: echo over secured and plain sockets, handshakes with and without resumption, and the memory of idle
//! sockets. The server is any that runs already; its CPU time is that of the process that `--pid` names, with its children.
//!
//! `tls echo 127.0.0.1:443 --ca cert.pem --pid 123`, the same with `--plain` for a port without TLS; `tls handshakes ...
//! --resume`; `tls idle ... --sockets 10000`. All of them take `--seconds` and `--sockets`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use partyrun_tests::bench::usage;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What is measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Messages and their answers.
    Echo,
    /// Connections that ask for one thing and close.
    Handshakes,
    /// Sockets that say nothing.
    Idle,
}

/// Measures what TLS costs a server that runs already.
#[derive(Debug, Parser)]
struct Args {
    what: What,
    address: SocketAddr,
    /// The server's process.
    #[arg(long)]
    pid: u32,
    /// The certificate that the server shows, or the one that it is signed by.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The name in it.
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Speak without TLS.
    #[arg(long)]
    plain: bool,
    /// Go on with sessions.
    #[arg(long)]
    resume: bool,
    /// What is asked for: a room, or for handshakes a page.
    #[arg(long, default_value = "/party/tls")]
    path: String,
    #[arg(long, default_value_t = 32)]
    sockets: usize,
    /// Messages of a socket that are on their way at a time.
    #[arg(long, default_value_t = 16)]
    window: usize,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Client {
    args: Args,
    tls: TlsConnector,
    name: ServerName<'static>,
}

const MESSAGE: &[u8] = br#"{"type":"move","x":123,"y":456}"#;

fn main() -> Result<()> {
    let args = Args::parse();
    let mut roots = RootCertStore::empty();
    if let Some(path) = &args.ca {
        for certificate in CertificateDer::pem_file_iter(path).context("--ca")? {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    if !args.resume {
        config.resumption = Resumption::disabled();
    }
    let name = ServerName::try_from(args.name.clone())?;
    let client = Client { args, tls: TlsConnector::from(Arc::new(config)), name };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match client.args.what {
            What::Echo => Arc::new(client).echo().await,
            What::Handshakes => Arc::new(client).handshakes().await,
            What::Idle => client.idle().await,
        }
    })
}

impl Client {
    async fn connect(&self) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.args.address).await?;
        stream.set_nodelay(true)?;
        if self.args.plain {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.tls.connect(self.name.clone(), stream).await?))
    }

    async fn open(&self, number: usize) -> Result<Box<dyn Stream>> {
        let mut stream = self.connect().await?;
        let Args { path, name, .. } = &self.args;
        let request = format!(
            "GET {path}-{} HTTP/1.1\r\nhost: {name}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            number % 8
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.context("the server closed")?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("no socket: {}", String::from_utf8_lossy(&head));
        }
        Ok(stream)
    }

    /// Messages that came back for each CPU-second of the server.
    async fn echo(self: Arc<Self>) -> Result<()> {
        let mut frame = vec![0x81, 0x80 | u8::try_from(MESSAGE.len())?, 0, 0, 0, 0];
        frame.extend_from_slice(MESSAGE);
        let answer = MESSAGE.len() + 2;
        let window = frame.repeat(self.args.window);
        let until = Instant::now() + Duration::from_secs(self.args.seconds);
        let mut streams = Vec::new();
        for number in 0..self.args.sockets {
            streams.push(self.open(number).await?);
        }
        let (before, begun) = (usage::cpu(self.args.pid), Instant::now());
        let speaking: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                let (frame, window) = (frame.clone(), window.clone());
                tokio::spawn(async move {
                    let (mut count, mut part, mut buffer) = (0u64, 0, vec![0; 64 * 1024]);
                    stream.write_all(&window).await?;
                    while Instant::now() < until {
                        part += stream.read(&mut buffer).await?;
                        let came = part / answer;
                        part %= answer;
                        count += u64::try_from(came)?;
                        stream.write_all(&frame.repeat(came)).await?;
                    }
                    Ok::<u64, anyhow::Error>(count)
                })
            })
            .collect();
        let mut count = 0;
        for one in speaking {
            count += one.await??;
        }
        self.report("messages", count, before, begun);
        Ok(())
    }

    /// Connections for each CPU-second of the server.
    async fn handshakes(self: Arc<Self>) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(self.args.seconds);
        let (before, begun) = (usage::cpu(self.args.pid), Instant::now());
        let shaking: Vec<_> = (0..self.args.sockets)
            .map(|_| {
                let client = Arc::clone(&self);
                tokio::spawn(async move {
                    let mut count = 0u64;
                    while Instant::now() < until {
                        let mut stream = client.connect().await?;
                        let Args { path, name, .. } = &client.args;
                        let request =
                            format!("GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
                        stream.write_all(request.as_bytes()).await?;
                        // Whoever closes without a farewell has answered all the same.
                        let _ended = stream.read_to_end(&mut Vec::new()).await;
                        count += 1;
                    }
                    Ok::<u64, anyhow::Error>(count)
                })
            })
            .collect();
        let mut count = 0;
        for one in shaking {
            count += one.await??;
        }
        self.report("connections", count, before, begun);
        Ok(())
    }

    /// Memory of the server for each socket, once their rooms have left it.
    async fn idle(self) -> Result<()> {
        let before = usage::memory_bytes(self.args.pid);
        let mut streams = Vec::new();
        for number in 0..self.args.sockets {
            streams.push(self.open(number).await?);
        }
        let (mut least, until) = (u64::MAX, Instant::now() + Duration::from_secs(self.args.seconds));
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            least = least.min(usage::memory_bytes(self.args.pid));
        }
        let each = least.saturating_sub(before) as f64 / streams.len() as f64 / 1024.0;
        println!("{} sockets: {each:.1} KiB each, {} MiB before", streams.len(), before >> 20);
        Ok(())
    }

    fn report(&self, what: &str, count: u64, before: Duration, begun: Instant) {
        let used = usage::cpu(self.args.pid).saturating_sub(before).as_secs_f64();
        let took = begun.elapsed().as_secs_f64();
        let (per_cpu, per_second) = (count as f64 / used, count as f64 / took);
        println!(
            "{count} {what}: {per_cpu:.0} for each CPU-second of the server, {per_second:.0} for each second"
        );
    }
}
