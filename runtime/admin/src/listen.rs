//! The listener: an address of this machine or a socket in the file system, a bound on connections, and a thread of its own
//! that accepts and answers, so that no room and no client of the public listener waits for an operator.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use partyrun_limits::Limits;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OnceCell, Semaphore, watch};

use crate::answer::Problem;
use crate::guard::Guard;
use crate::history::History;
use crate::log::Log;
use crate::routes::{self, Desk, Parts};
use crate::target::{Options, Target};
use crate::values::Values;

const PORT: u16 = 1998;
/// Nobody but the user who runs the server may connect.
const SOCKET_MODE: u32 = 0o600;
/// How long accepting rests when the process has no descriptors left.
const BACK_OFF: Duration = Duration::from_millis(50);
/// What a request line and header fields may have, and what is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Where the API is listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// At an address of this machine.
    Tcp(SocketAddr),
    /// At a path in the file system.
    Unix(PathBuf),
}

/// A text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as `127.0.0.1:1998`, a port, or `unix:PATH`")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(AddressError) } else { Ok(Self::Unix(path.into())) };
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        let text = text.replace("localhost", "127.0.0.1");
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let host = text.trim_matches(['[', ']']).parse().map_err(|_| AddressError)?;
        Ok(Self::Tcp(SocketAddr::new(host, PORT)))
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], PORT)))
    }
}

// As `--to` takes it.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "http://{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// An open listener.
#[derive(Debug)]
pub struct Listening {
    listener: Listener,
    address: Address,
}

#[derive(Debug)]
enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listening {
    /// Opens a listener. A socket that a server left behind is replaced; any other file is not.
    pub fn open(address: &Address) -> std::io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = partyrun_net::bind(*address)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok(Self { listener: Listener::Tcp(listener), address })
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
                Ok(Self { listener: Listener::Unix(listener), address: Address::Unix(path.canonicalize()?) })
            }
        }
    }

    /// A listener at an address that is open already.
    pub fn of_tcp(listener: std::net::TcpListener) -> std::io::Result<Self> {
        let address = Address::Tcp(listener.local_addr()?);
        Ok(Self { listener: Listener::Tcp(listener), address })
    }

    /// A listener at a path that is open already.
    pub fn of_unix(listener: std::os::unix::net::UnixListener, path: &Path) -> std::io::Result<Self> {
        Ok(Self { listener: Listener::Unix(listener), address: Address::Unix(path.canonicalize()?) })
    }

    /// Where it is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

// A server that was killed leaves its socket behind; nobody answers there any more.
fn remove_stale(path: &Path) -> std::io::Result<()> {
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// The API of this process. Clones are the same.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

struct Shared {
    address: Address,
    desk: Desk,
    target: RwLock<Option<Arc<Target>>>,
    values: OnceCell<Arc<Values>>,
    limits: Limits,
    stop: watch::Sender<bool>,
    /// Another process listens on.
    left: AtomicBool,
}

impl Admin {
    /// Answers on a thread of its own, from now on; until [`Admin::attach`] most answers are that the server is starting.
    pub fn listen(listening: Listening, options: Options, log: Arc<Log>) -> std::io::Result<Self> {
        let Options { token, names, limits, extras } = options;
        let desk = Desk {
            guard: Guard::new(token, &names),
            log,
            history: History::default(),
            extras,
            body_bytes_max: limits.admin_body_bytes_max,
            body_time_max: limits.request_time_max,
        };
        let admin = Self(Arc::new(Shared {
            address: listening.address,
            desk,
            target: RwLock::default(),
            values: OnceCell::new(),
            limits,
            stop: watch::Sender::new(false),
            left: AtomicBool::new(false),
        }));
        let shared = admin.0.clone();
        let listener = listening.listener;
        std::thread::Builder::new().name("admin".to_string()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            // Without a thread to answer on, nothing is answered; the server goes on.
            if let Ok(runtime) = runtime {
                runtime.block_on(run(shared, listener));
            }
        })?;
        Ok(admin)
    }

    /// Where it is reached.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Says which server the API is about from now on.
    pub fn attach(&self, target: Target) {
        *self.0.target.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(target));
    }

    /// Says that there is no server for now.
    pub fn detach(&self) {
        *self.0.target.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Changes what is told of the release, after the code was replaced.
    pub fn released(&self, hash: Option<String>) {
        if let Some(target) = self.0.target() {
            *target.bundle_hash.lock().unwrap_or_else(PoisonError::into_inner) = hash;
        }
    }

    /// Leaves the listener to another process: [`Admin::stop`] removes nothing of it.
    pub fn leave(&self) {
        self.0.left.store(true, Ordering::Release);
    }

    /// Accepts nothing more, and ends all connections.
    pub fn stop(&self) {
        self.detach();
        self.0.stop.send_replace(true);
        if let Address::Unix(path) = &self.0.address
            && !self.0.left.load(Ordering::Acquire)
        {
            let _gone = std::fs::remove_file(path);
        }
    }
}

impl Parts for Arc<Shared> {
    fn target(&self) -> Option<Arc<Target>> {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn values(&self) -> Result<Arc<Values>, Problem> {
        let start = || async { Values::start(self.limits.value_bytes_ceiling).await.map(Arc::new) };
        let values = self.values.get_or_try_init(start).await;
        values.cloned().map_err(|error| Problem::busy(format!("Values cannot be read: {error}.")))
    }
}

async fn run(shared: Arc<Shared>, listener: Listener) {
    let places = Arc::new(Semaphore::new(shared.limits.admin_connections_max.max(1)));
    let mut stopped = shared.stop.subscribe();
    let serving = async {
        match listener {
            Listener::Tcp(listener) => {
                let Ok(listener) =
                    listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener))
                else {
                    return;
                };
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            // Frames of the log are small and must not wait for one another.
                            let _slower = stream.set_nodelay(true);
                            accept(&shared, &places, stream);
                        }
                        Err(_) => tokio::time::sleep(BACK_OFF).await,
                    }
                }
            }
            Listener::Unix(listener) => {
                let Ok(listener) = listener
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::UnixListener::from_std(listener))
                else {
                    return;
                };
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => accept(&shared, &places, stream),
                        Err(_) => tokio::time::sleep(BACK_OFF).await,
                    }
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = shared.desk.history.follow() => {}
        _stopped = stopped.wait_for(|stopped| *stopped) => {}
    }
    if let Some(values) = shared.values.get() {
        values.stop().await;
    }
}

fn accept<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    shared: &Arc<Shared>,
    places: &Arc<Semaphore>,
    mut stream: S,
) {
    let Ok(place) = places.clone().try_acquire_owned() else {
        tokio::task::spawn_local(async move {
            let writing = async {
                stream.write_all(routes::too_many().as_bytes()).await?;
                stream.shutdown().await
            };
            let _gone = tokio::time::timeout(BACK_OFF, writing).await;
        });
        return;
    };
    let shared = Rc::new(shared.clone());
    tokio::task::spawn_local(async move {
        let service = service_fn(|request| {
            let shared = shared.clone();
            async move {
                // A panic must not take the thread down that every operator needs.
                let answered =
                    tokio::task::spawn_local(
                        async move { routes::answer(&shared.desk, &*shared, request).await },
                    );
                Ok::<_, std::convert::Infallible>(answered.await.unwrap_or_else(|_| routes::failed()))
            }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(shared.limits.header_time_max)
            .max_buf_size(BUFFER_BYTES);
        // A connection that breaks concerns nobody else.
        let _broken = builder.serve_connection(TokioIo::new(stream), service).await;
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(read("1998").as_deref(), Ok("http://127.0.0.1:1998"));
        assert_eq!(read("localhost:5").as_deref(), Ok("http://127.0.0.1:5"));
        assert_eq!(read("::1").as_deref(), Ok("http://[::1]:1998"));
        assert_eq!(read("unix:/run/admin").as_deref(), Ok("unix:/run/admin"));
        for wrong in ["", "unix:", "example.com", "70000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_socket_of_a_dead_server_is_replaced_and_no_other_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        let address = Address::Unix(path.clone());
        drop(Listening::open(&address).unwrap());
        assert!(path.exists(), "nobody removed it");
        let living = Listening::open(&address).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert!(Listening::open(&address).is_err(), "somebody answers there");
        drop(living);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "text").unwrap();
        assert!(Listening::open(&address).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
    }
}
