//! `partyrun top`: the rooms of a running server as a table that is made anew every few seconds, on a screen of its own. Where
//! stdout is no terminal, or with `--json`, each table is printed below the last one.

use std::collections::HashMap;
use std::io::{IsTerminal, Write as _};
use std::time::Instant;

use serde_json::{Value, json};

use super::ask::{AskError, client, print, seconds, table, top_query};
use super::client::Client;
use crate::args::TopArgs;
use crate::output::json_line;

/// Rows of a terminal that does not say how many it has.
const ROWS_USUAL: usize = 24;
/// Lines above the rooms, and one that stays free.
const ROWS_ABOVE: usize = 5;

/// What was known at a moment.
struct Moment {
    at: Instant,
    server: Value,
    rooms: Vec<Value>,
}

impl Moment {
    fn now(client: &Client, args: &TopArgs, rows: usize) -> Result<Self, AskError> {
        let server = client.get("/v1/server")?;
        let mut page = client.get(&top_query(args.sort, rows.max(1)))?;
        let rooms = page["rooms"].as_array_mut().map(std::mem::take).unwrap_or_default();
        Ok(Self { at: Instant::now(), server, rooms })
    }
}

/// Runs the command until it is interrupted.
pub(crate) fn run(args: &TopArgs) -> Result<(), AskError> {
    let client = client(&args.to)?;
    let screen = (std::io::stdout().is_terminal() && !args.to.json).then(Screen::open);
    let mut before: Option<Moment> = None;
    loop {
        let rows = if screen.is_some() { terminal_rows().saturating_sub(ROWS_ABOVE) } else { 50 };
        let now = Moment::now(&client, args, rows)?;
        if args.to.json {
            print(&format!("{}\n", json_line(&json!({ "server": now.server, "rooms": now.rooms }))))?;
        } else {
            let text = drawn(&now, before.as_ref());
            match &screen {
                Some(screen) => screen.draw(&text),
                None => print(&format!("{text}\n"))?,
            }
        }
        before = Some(now);
        std::thread::sleep(args.every);
    }
}

fn drawn(now: &Moment, before: Option<&Moment>) -> String {
    let server = &now.server;
    let bytes = partyrun_limits::shown_bytes(server["memory_bytes"].as_u64().unwrap_or(0));
    let passed = before.map(|before| now.at.duration_since(before.at).as_secs_f64().max(1e-3));
    let share = |now: &Value, before: Option<&Value>| {
        let used = now.as_u64()?.checked_sub(before?.as_u64()?)?;
        Some(used as f64 / 1e3 / passed?)
    };
    let cpu = share(&server["cpu_ms"], before.map(|before| &before.server["cpu_ms"]));
    let cpu = cpu.map_or_else(|| "-".to_string(), |share| format!("{:.0} %", share * 100.0));
    let name = |room: &Value| (room["party"].to_string(), room["room"].to_string());
    let earlier: HashMap<(String, String), &Value> =
        before.iter().flat_map(|before| &before.rooms).map(|room| (name(room), &room["cpu_ms"])).collect();
    let of_room = |room: &Value| share(&room["cpu_ms"], earlier.get(&name(room)).copied());
    format!(
        "{} {}, up {}\nrooms {} live, {} hibernated; sockets {}; busy threads {}\nmemory {bytes}, CPU {cpu}\n\n{}",
        server["project"].as_str().unwrap_or_default(),
        server["url"].as_str().unwrap_or_default(),
        seconds(server["uptime_ms"].as_u64().unwrap_or(0) / 1000),
        server["rooms"]["live"],
        server["rooms"]["hibernated"],
        server["websockets"],
        server["busy_threads"],
        table(&now.rooms, Some(&of_room)),
    )
}

/// The terminal's second screen; the first one comes back when this is dropped, or the command interrupted.
struct Screen;

const OPEN: &[u8] = b"\x1b[?1049h\x1b[?25l";
const CLOSE: &[u8] = b"\x1b[?25h\x1b[?1049l";

extern "C" fn leave(signal: libc::c_int) {
    // SAFETY: write and _exit may be called in a signal handler; the bytes live as long as the program.
    unsafe {
        libc::write(libc::STDOUT_FILENO, CLOSE.as_ptr().cast(), CLOSE.len());
        libc::_exit(128 + signal);
    }
}

impl Screen {
    fn open() -> Self {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // SAFETY: the handler is a function of this program that calls only what a handler may.
            unsafe { libc::signal(signal, leave as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        }
        write(OPEN);
        Self
    }

    // Each line is cleared behind its end, and the rest of the screen below the last one: nothing flickers.
    fn draw(&self, text: &str) {
        let columns = terminal_size().map_or(usize::MAX, |(_, columns)| columns);
        let mut drawn = b"\x1b[H".to_vec();
        for line in text.lines() {
            let line: String = line.chars().take(columns).collect();
            drawn.extend_from_slice(line.as_bytes());
            drawn.extend_from_slice(b"\x1b[K\n");
        }
        drawn.extend_from_slice(b"\x1b[J");
        write(&drawn);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(CLOSE);
    }
}

fn write(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    // Who is gone sees nothing.
    let _gone = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn terminal_rows() -> usize {
    terminal_size().map_or(ROWS_USUAL, |(rows, _)| rows)
}

// Rows and columns.
fn terminal_size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a valid place for what this request writes.
    let failed = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (failed == 0 && size.ws_row > 0).then(|| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_room_used_lately_is_shown() {
        let moment = |at: Instant, cpu_ms: u64| Moment {
            at,
            server: json!({ "project": "chat", "cpu_ms": 10 * cpu_ms, "memory_bytes": 1 << 20, "rooms": {} }),
            rooms: vec![
                json!({ "party": "main", "room": "a", "state": "live", "cpu_ms": cpu_ms, "sockets": 3 }),
            ],
        };
        let begun = Instant::now();
        let text = drawn(&moment(begun + Duration::from_secs(2), 600), Some(&moment(begun, 100)));
        assert!(text.contains("CPU 250 %") && text.contains("main/a") && text.contains(" 25.0 "), "{text}");
        assert!(drawn(&moment(begun, 1), None).contains("CPU -"));
    }
}
