//! What is asked of a running server: to stop, to load anew what it serves, to hand itself over, to say that it works. The
//! supervisor asks, or signals do if there is no supervisor.
//!
//! The supervisor writes one byte for each request, and with the one to hand over the line to the process that takes over. The
//! server answers with lines: its port when it is up, and the words below.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says to the supervisor that the server works.
pub(crate) const ALIVE: &str = "alive";
/// Says to the supervisor that what was to be read again was read.
pub(crate) const RELOADED: &str = "reloaded";
/// Says to the supervisor that the server goes on instead of handing over.
pub(crate) const STAYS: &str = "stays";
/// Says to the supervisor that everything is another server's.
pub(crate) const GAVE: &str = "gave";

/// Says to the supervisor that another server shall take over.
pub(crate) const REPLACE: &str = "replace";

/// The server's end of its line to the supervisor; none without a supervisor.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) stream: Option<StdStream>,
    /// The port of the life before, which clients know.
    pub(crate) port: Option<u16>,
    /// What systemd passed.
    pub(crate) passed: crate::doors::passed::Passed,
    /// The line to the server that runs, for one that takes over from it.
    pub(crate) heir: Option<StdStream>,
}

/// What may be asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Stop,
    Reload,
    /// Whether the server works.
    Look,
    /// To hand everything over to the process at the other end.
    HandOver(StdStream),
}

impl Asked {
    /// How the supervisor says it.
    pub(crate) const STOP: u8 = b's';
    pub(crate) const RELOAD: u8 = b'r';
    pub(crate) const LOOK: u8 = b'w';
    pub(crate) const HAND_OVER: u8 = b'u';
}

impl Link {
    /// Tells the supervisor that the server is up, on which port.
    pub(crate) fn ready(&self, port: u16) {
        match &self.stream {
            Some(_) => self.voice().say(&port.to_string()),
            // Nobody else tells systemd.
            None => drop(sd_notify::notify(&[sd_notify::NotifyState::Ready])),
        }
    }

    /// For saying more to the supervisor.
    pub(crate) fn voice(&self) -> Voice {
        Voice(self.stream.as_ref().and_then(|stream| stream.try_clone().ok()))
    }

    /// Begins to listen for requests. Needs a runtime.
    pub(crate) fn requests(&self) -> std::io::Result<StopRequests> {
        let supervisor = match &self.stream {
            None => None,
            Some(stream) => {
                let stream = stream.try_clone()?;
                stream.set_nonblocking(true)?;
                Some(UnixStream::from_std(stream)?)
            }
        };
        let hung_up = HungUp::remember();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        // The supervisor's business: it must not end the server.
        let upgrade = signal(SignalKind::user_defined2())?;
        Ok(StopRequests {
            supervisor,
            interrupt: interrupt?,
            terminate: terminate?,
            hangup: hangup?,
            _upgrade: upgrade,
            hung_up,
            hangup_reloads: false,
            reloads: None,
            looks: None,
        })
    }
}

/// What a server says to its supervisor.
pub(crate) struct Voice(Option<StdStream>);

impl Voice {
    /// Whether there is a supervisor.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Says a word.
    pub(crate) fn say(&self, word: &str) {
        if let Some(mut stream) = self.0.as_ref() {
            // A supervisor that is gone shows itself as a request to stop.
            let _gone = stream.write_all(format!("{word}\n").as_bytes());
        }
    }
}

/// Waits for requests.
pub(crate) struct StopRequests {
    supervisor: Option<UnixStream>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    _upgrade: Signal,
    hung_up: HungUp,
    hangup_reloads: bool,
    reloads: Option<UnboundedSender<()>>,
    looks: Option<UnboundedSender<()>>,
}

impl StopRequests {
    /// Has a hangup ask to load anew from now on, unless it says that the terminal is gone.
    pub(crate) fn heed_hangups(&mut self) {
        self.hangup_reloads = true;
    }

    /// Hears of each request to read certificates again that is passed on.
    pub(crate) fn reloads(&mut self) -> UnboundedReceiver<()> {
        let (sender, receiver) = unbounded_channel();
        self.reloads = Some(sender);
        receiver
    }

    /// Hears of each question whether the server works that is passed on.
    pub(crate) fn looks(&mut self) -> UnboundedReceiver<()> {
        let (sender, receiver) = unbounded_channel();
        self.looks = Some(sender);
        receiver
    }

    /// Gives a request to whoever wants to hear of it. Answers whether it was one to stop.
    pub(crate) fn pass_on(&self, asked: &Asked) -> bool {
        let hearer = match asked {
            Asked::Stop => return true,
            // Whoever sent it hears that its line has ended.
            Asked::HandOver(_) => return false,
            Asked::Reload => &self.reloads,
            Asked::Look => &self.looks,
        };
        if let Some(hearer) = hearer {
            // Whoever heard of it has ended.
            let _ended = hearer.send(());
        }
        false
    }

    /// The next request to stop; others are passed on.
    pub(crate) async fn next(&mut self) {
        loop {
            let asked = self.asked().await;
            if self.pass_on(&asked) {
                return;
            }
        }
    }

    /// The next request. A signal that a terminal sends to supervisor and server alike counts once: the supervisor's
    /// word is what counts, and its end is a request to stop as well.
    pub(crate) async fn asked(&mut self) -> Asked {
        if let Some(stream) = &self.supervisor {
            match heard(stream).await {
                Ok((Some(Asked::RELOAD), _)) => return Asked::Reload,
                Ok((Some(Asked::LOOK), _)) => return Asked::Look,
                Ok((Some(Asked::HAND_OVER), Some(line))) => return Asked::HandOver(line),
                Ok((Some(_), _)) => return Asked::Stop,
                // The end of the stream and an error mean that the supervisor is gone: that is one request, and from then on
                // signals count.
                Ok((None, _)) | Err(_) => {}
            }
            self.supervisor = None;
            return Asked::Stop;
        }
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Asked::Stop,
                _ = self.terminate.recv() => return Asked::Stop,
                _ = self.hangup.recv() => match self.hung_up.means() {
                    Hangup::Reload if self.hangup_reloads => return Asked::Reload,
                    Hangup::Nothing if self.hangup_reloads => {}
                    _ => return Asked::Stop,
                },
            }
        }
    }
}

async fn heard(stream: &UnixStream) -> std::io::Result<(Option<u8>, Option<StdStream>)> {
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || partyrun_handover::take(stream.as_fd())) {
            Ok((byte, line)) => return Ok((byte, line.map(StdStream::from))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What SIGHUP means.
enum Hangup {
    /// Somebody wants the server to load anew.
    Reload,
    /// The terminal is gone.
    Stop,
    /// The terminal is gone, and the process was started to outlive it, as by `nohup`.
    Nothing,
}

/// What there was to be lost at the start.
struct HungUp {
    had_terminal: bool,
    was_ignored: bool,
}

impl HungUp {
    // Before anybody listens to the signal.
    fn remember() -> Self {
        let mut known = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: sigaction writes the whole struct when it succeeds, and only then it is read.
        let was_ignored = unsafe {
            libc::sigaction(libc::SIGHUP, std::ptr::null(), known.as_mut_ptr()) == 0
                && known.assume_init().sa_sigaction == libc::SIG_IGN
        };
        Self { had_terminal: has_terminal(), was_ignored }
    }

    fn means(&self) -> Hangup {
        match self.had_terminal && !has_terminal() {
            false => Hangup::Reload,
            true if self.was_ignored => Hangup::Nothing,
            true => Hangup::Stop,
        }
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
