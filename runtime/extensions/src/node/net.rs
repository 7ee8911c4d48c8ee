//! TCP and TLS connections of `node:net`, `node:tls` and `cloudflare:sockets`.
//!
//! A connection is a resource of deno_core: JavaScript reads, writes, shuts down and closes it with the ops that every
//! resource has, and it goes with its isolate. Upgrading one to TLS takes it apart, so a pending read is cancelled first.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use deno_core::{
    AsyncRefCell, AsyncResult, BufView, CancelHandle, CancelTryFuture, OpState, RcRef, Resource, ResourceId,
};
use deno_core::{WriteOutcome, op2};
use deno_error::JsErrorBox;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::codes::{code_of, code_of_kind, coded};
use crate::tls::{TlsOptions, bare, secure};

enum Reader {
    Tcp(ReadHalf<TcpStream>),
    Tls(ReadHalf<TlsStream<TcpStream>>),
    // Taken apart, to be secured.
    Gone,
}

enum Writer {
    Tcp(WriteHalf<TcpStream>),
    Tls(WriteHalf<TlsStream<TcpStream>>),
    Gone,
}

struct Connection {
    reader: AsyncRefCell<Reader>,
    writer: AsyncRefCell<Writer>,
    cancel: CancelHandle,
}

fn failed(error: std::io::Error) -> JsErrorBox {
    let code = code_of_kind(error.kind()).unwrap_or("EIO");
    coded(code, format!("{code}: {error}"))
}

fn gone() -> JsErrorBox {
    coded("EPIPE", "EPIPE: the connection is being secured or closed".to_owned())
}

impl Connection {
    fn tcp(stream: TcpStream) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: AsyncRefCell::new(Reader::Tcp(reader)),
            writer: AsyncRefCell::new(Writer::Tcp(writer)),
            cancel: CancelHandle::new(),
        }
    }

    fn tls(stream: TlsStream<TcpStream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: AsyncRefCell::new(Reader::Tls(reader)),
            writer: AsyncRefCell::new(Writer::Tls(writer)),
            cancel: CancelHandle::new(),
        }
    }

    async fn receive(self: Rc<Self>, limit: usize) -> Result<BufView, JsErrorBox> {
        let mut reader = RcRef::map(&self, |connection| &connection.reader).borrow_mut().await;
        let mut bytes = Vec::with_capacity(limit.min(64 * 1024));
        match &mut *reader {
            Reader::Tcp(stream) => stream.read_buf(&mut bytes).await,
            Reader::Tls(stream) => stream.read_buf(&mut bytes).await,
            Reader::Gone => return Err(gone()),
        }
        .map_err(failed)?;
        Ok(BufView::from(bytes))
    }

    async fn send(self: Rc<Self>, bytes: BufView) -> Result<WriteOutcome, JsErrorBox> {
        let mut writer = RcRef::map(&self, |connection| &connection.writer).borrow_mut().await;
        let sent = match &mut *writer {
            Writer::Tcp(stream) => stream.write(&bytes).await,
            Writer::Tls(stream) => match stream.write(&bytes).await {
                Ok(sent) => stream.flush().await.map(|()| sent),
                Err(error) => Err(error),
            },
            Writer::Gone => return Err(gone()),
        };
        let nwritten = sent.map_err(failed)?;
        Ok(if nwritten == bytes.len() {
            WriteOutcome::Full { nwritten }
        } else {
            WriteOutcome::Partial { nwritten, view: bytes }
        })
    }

    async fn end(self: Rc<Self>) -> Result<(), JsErrorBox> {
        let mut writer = RcRef::map(&self, |connection| &connection.writer).borrow_mut().await;
        match &mut *writer {
            Writer::Tcp(stream) => stream.shutdown().await,
            Writer::Tls(stream) => stream.shutdown().await,
            Writer::Gone => return Ok(()),
        }
        .map_err(failed)
    }

    // The bare connection, once the reads and writes that were going on have ended.
    async fn take(self: Rc<Self>) -> Result<TcpStream, JsErrorBox> {
        self.cancel.cancel();
        let mut reader = RcRef::map(&self, |connection| &connection.reader).borrow_mut().await;
        let mut writer = RcRef::map(&self, |connection| &connection.writer).borrow_mut().await;
        let halves =
            (std::mem::replace(&mut *reader, Reader::Gone), std::mem::replace(&mut *writer, Writer::Gone));
        match halves {
            (Reader::Tcp(reader), Writer::Tcp(writer)) => Ok(reader.unsplit(writer)),
            _ => Err(JsErrorBox::generic("The connection is secured already.")),
        }
    }
}

impl Resource for Connection {
    fn name(&self) -> Cow<'_, str> {
        "connection".into()
    }

    fn read(self: Rc<Self>, limit: usize) -> AsyncResult<BufView> {
        let cancel = RcRef::map(&self, |connection| &connection.cancel);
        Box::pin(self.receive(limit).try_or_cancel(cancel))
    }

    fn write(self: Rc<Self>, bytes: BufView) -> AsyncResult<WriteOutcome> {
        Box::pin(self.send(bytes))
    }

    fn shutdown(self: Rc<Self>) -> AsyncResult<()> {
        Box::pin(self.end())
    }

    fn close(self: Rc<Self>) {
        self.cancel.cancel();
    }
}

/// What JavaScript learns of a new connection.
#[derive(Serialize)]
pub(super) struct Opened {
    resource: ResourceId,
    local_address: String,
    local_port: u16,
    remote_address: String,
    remote_port: u16,
}

#[op2]
#[serde]
pub(super) async fn op_node_net_connect(
    state: Rc<RefCell<OpState>>,
    #[string] host: String,
    #[smi] port: u16,
) -> Result<Opened, JsErrorBox> {
    let name = bare(&host);
    let addresses = crate::outbound::reach(name, port).await.map_err(|error| match code_of(&error) {
        "EACCES" => coded("EACCES", error.to_string()),
        _ => coded("ENOTFOUND", format!("ENOTFOUND: no address is known for {host}")),
    })?;
    let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| {
        let code = code_of_kind(error.kind()).unwrap_or("EIO");
        coded(code, format!("{code}: {error} ({host}:{port})"))
    })?;
    // Small messages of database protocols must not wait for one another; if it fails they only come later.
    let _slower = stream.set_nodelay(true);
    let local = stream.local_addr().map_err(failed)?;
    let remote = stream.peer_addr().map_err(failed)?;
    let resource = state.borrow_mut().resource_table.add(Connection::tcp(stream));
    Ok(Opened {
        resource,
        local_address: local.ip().to_string(),
        local_port: local.port(),
        remote_address: remote.ip().to_string(),
        remote_port: remote.port(),
    })
}

/// Options of `op_node_net_secure`, named as in [`TlsOptions`].
#[derive(Deserialize)]
pub(super) struct SecureOptions {
    name: String,
    ca: Vec<String>,
    alpn: Vec<String>,
    accept_any: bool,
    certificate: Option<String>,
    key: Option<String>,
}

/// What JavaScript learns of a secured connection.
#[derive(Serialize)]
pub(super) struct Secured {
    resource: ResourceId,
    alpn: Option<String>,
    protocol: Option<&'static str>,
    cipher: Option<String>,
    certificate: Vec<u8>,
}

#[op2]
#[serde]
pub(super) async fn op_node_net_secure(
    state: Rc<RefCell<OpState>>,
    #[smi] resource: ResourceId,
    #[serde] options: SecureOptions,
) -> Result<Secured, JsErrorBox> {
    let connection: Rc<Connection> =
        state.borrow_mut().resource_table.take(resource).map_err(JsErrorBox::from_err)?;
    let stream = connection.take().await?;
    let tls = TlsOptions {
        ca: options.ca,
        alpn: options.alpn,
        accept_any: options.accept_any,
        identity: options.certificate.zip(options.key),
    };
    let stream = secure(stream, &options.name, &tls).await?;
    let session = stream.get_ref().1;
    let secured = Secured {
        resource: 0,
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        protocol: session.protocol_version().and_then(|version| match version.as_str()? {
            "TLSv1_2" => Some("TLSv1.2"),
            _ => Some("TLSv1.3"),
        }),
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str().map(|name| name.replace("TLS13_", "TLS_"))),
        certificate: session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.to_vec())
            .unwrap_or_default(),
    };
    let resource = state.borrow_mut().resource_table.add(Connection::tls(stream));
    Ok(Secured { resource, ..secured })
}
