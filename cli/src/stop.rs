//! What is asked of a running server: to stop, to read its certificates again, to say that it works. The supervisor asks, or signals
//! do if there is no supervisor.

use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says to the supervisor that the server works.
pub(crate) const ALIVE: &str = "alive";
/// Says to the supervisor that what was to be read again was read.
pub(crate) const RELOADED: &str = "reloaded";

/// The server's end of its line to the supervisor; none without a supervisor.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) stream: Option<StdStream>,
    /// The port of the life before, which clients know.
    pub(crate) port: Option<u16>,
    /// What systemd passed.
    pub(crate) passed: crate::doors::Passed,
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Stop,
    Reload,
    /// Whether the server works.
    Look,
}

impl Asked {
    /// How the supervisor says it.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Stop => b's',
            Self::Reload => b'r',
            Self::Look => b'w',
        }
    }

    fn read(byte: u8) -> Self {
        [Self::Reload, Self::Look].into_iter().find(|asked| asked.byte() == byte).unwrap_or(Self::Stop)
    }
}

/// Whether a hangup asks to read certificates again: it does where no terminal can have been closed.
pub(crate) fn hangup_reloads() -> bool {
    !std::io::stdin().is_terminal()
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
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(StopRequests {
            supervisor,
            interrupt: interrupt?,
            terminate: terminate?,
            hangup: hangup?,
            hangup_reloads: false,
            reloads: None,
            looks: None,
        })
    }
}

/// What a server says to its supervisor.
pub(crate) struct Voice(Option<StdStream>);

impl Voice {
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
    hangup_reloads: bool,
    reloads: Option<UnboundedSender<()>>,
    looks: Option<UnboundedSender<()>>,
}

impl StopRequests {
    /// Has a hangup ask for a reload from now on, if that is what it means here.
    pub(crate) fn heed_hangups(&mut self) {
        self.hangup_reloads = hangup_reloads();
    }

    /// Hears of each request to read certificates again, as long as [`Self::next`] is waited for.
    pub(crate) fn reloads(&mut self) -> UnboundedReceiver<()> {
        let (sender, receiver) = unbounded_channel();
        self.reloads = Some(sender);
        receiver
    }

    /// Hears of each question whether the server works, as long as [`Self::next`] is waited for.
    pub(crate) fn looks(&mut self) -> UnboundedReceiver<()> {
        let (sender, receiver) = unbounded_channel();
        self.looks = Some(sender);
        receiver
    }

    /// The next request to stop.
    pub(crate) async fn next(&mut self) {
        loop {
            let hearer = match self.asked().await {
                Asked::Stop => return,
                Asked::Reload => &self.reloads,
                Asked::Look => &self.looks,
            };
            if let Some(hearer) = hearer {
                // Whoever heard of it has ended.
                let _ended = hearer.send(());
            }
        }
    }

    /// The next request. A signal that a terminal sends to supervisor and server alike counts once: the supervisor's
    /// word is what counts, and its end is a request to stop as well.
    pub(crate) async fn asked(&mut self) -> Asked {
        if let Some(stream) = &mut self.supervisor {
            let mut byte = [0];
            // The end of the stream and an error mean that the supervisor is gone: that is one request, and from then on
            // signals count.
            return match stream.read(&mut byte).await {
                Ok(count) if count > 0 => Asked::read(byte[0]),
                _ => {
                    self.supervisor = None;
                    Asked::Stop
                }
            };
        }
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => if self.hangup_reloads { Asked::Reload } else { Asked::Stop },
        }
    }
}
