//! Hot keys of `dev`, on a terminal only: single keys without Enter, as in the original, and some more.
//!
//! The terminal keeps its signals (Ctrl-C, Ctrl-Z) and its output mode. Only line editing and echo are off, and they are
//! restored when [`Keys`] is dropped. If the server crashes, its supervisor restores them.

use std::io::{IsTerminal, Read};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What `?` prints, and the definition of the keys.
pub(crate) const HELP: [(Key, &str, &str); 9] = [
    (Key::Browser, "b", "open a browser"),
    (Key::Dashboard, "a", "open the dashboard: rooms, storage, log, charts"),
    (Key::Devtools, "d", "show the debugger's addresses"),
    (Key::Rooms, "r", "list the rooms"),
    (Key::Hibernate, "h", "hibernate all rooms that are idle"),
    (Key::Clear, "c", "clear the console"),
    (Key::Level, "l", "change the log level"),
    (Key::Quit, "x", "exit (also q)"),
    (Key::Help, "?", "show these keys"),
];

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Browser,
    Dashboard,
    Devtools,
    Rooms,
    Hibernate,
    Clear,
    Level,
    Quit,
    Help,
    /// Enter prints an empty line, to mark a place.
    Line,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'\r' | b'\n' => Some(Self::Line),
            b'q' | b'Q' => Some(Self::Quit),
            byte => {
                let name = char::from(byte.to_ascii_lowercase());
                HELP.iter().find(|(_, known, _)| known.starts_with(name)).map(|(key, ..)| *key)
            }
        }
    }
}

/// The keyboard.
pub(crate) struct Keys {
    pressed: UnboundedReceiver<Key>,
    before: Option<libc::termios>,
}

impl Keys {
    /// The keys of the terminal, if there is one.
    pub(crate) fn of_terminal() -> Option<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return None;
        }
        let before = without_line_editing()?;
        let (sender, pressed) = unbounded_channel();
        let reading = std::thread::Builder::new().name("keys".to_string()).spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                // The terminal was closed.
                let Ok(byte) = byte else { return };
                if Key::of(byte).is_some_and(|key| sender.send(key).is_err()) {
                    return;
                }
            }
        });
        let keys = Self { pressed, before: Some(before) };
        reading.is_ok().then_some(keys)
    }

    /// The next key.
    pub(crate) async fn next(&mut self) -> Key {
        match self.pressed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: the struct is one that the system filled in.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
        }
    }
}

// Answers the settings as they were.
fn without_line_editing() -> Option<libc::termios> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr writes the whole struct when it succeeds, and only then it is read.
    let before = unsafe {
        if libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) != 0 {
            return None;
        }
        settings.assume_init()
    };
    let mut raw = before;
    raw.c_lflag &= !(libc::ICANON | libc::ECHO);
    // SAFETY: the struct is a changed copy of what the system filled in.
    (unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw) } == 0).then_some(before)
}

/// Opens an address with the program that the system has for it.
pub(crate) fn open(url: &str) -> std::io::Result<()> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut child = std::process::Command::new(program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    // Somebody must ask how it ended, or it stays a zombie.
    std::thread::Builder::new().name("browser".to_string()).spawn(move || child.wait()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        assert_eq!(Key::of(b'b'), Some(Key::Browser));
        assert_eq!(Key::of(b'B'), Some(Key::Browser));
        assert_eq!(Key::of(b'a'), Some(Key::Dashboard));
        assert_eq!(Key::of(b'q'), Some(Key::Quit));
        assert_eq!(Key::of(b'x'), Some(Key::Quit));
        assert_eq!(Key::of(b'\r'), Some(Key::Line));
        assert_eq!(Key::of(0x1b), None);
        let names: std::collections::HashSet<_> = HELP.iter().map(|(_, name, _)| name).collect();
        assert_eq!(names.len(), HELP.len());
    }
}
