//! Hot keys on a pseudo-terminal, as a person presses them.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Project, SERVER, free_port, get, partyrun, until};

/// A server on a terminal of its own.
struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    child: Child,
    port: u16,
}

impl Terminal {
    fn open(project: &Project, args: &[&str]) -> Self {
        let (mut main, mut side) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: openpty writes two descriptors; the other arguments may be null.
        assert_eq!(unsafe { libc::openpty(&mut main, &mut side, null, null.cast(), null.cast()) }, 0);
        // SAFETY: both are open and belong to nobody else.
        let (main, side) = unsafe { (OwnedFd::from_raw_fd(main), OwnedFd::from_raw_fd(side)) };
        let port = free_port();
        let mut command = partyrun();
        command.args(args).args(["--port", &port.to_string()]).current_dir(project.path());
        // Programs that the project's folder has are found before the system's.
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", project.file("bin").display()));
        command.env_remove("NO_COLOR").stdin(Stdio::from(side.try_clone().unwrap()));
        command.stdout(Stdio::from(side.try_clone().unwrap())).stderr(Stdio::from(side));
        // SAFETY: setsid and ioctl are system calls, which are safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut reader, shown) = (File::from(main.try_clone().unwrap()), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the last process on the terminal is an error here.
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    return;
                }
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { keyboard: File::from(main), screen, child, port }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.screen.lock().unwrap().contains(part) {
            assert!(Instant::now() < deadline, "no `{part}` on:\n{}", self.screen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20)); // Polls.
        }
    }

    fn wait_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on:\n{}", self.screen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20)); // Polls.
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn keys_do_what_the_help_says() {
    let browser = "#!/bin/sh\necho \"$@\" > opened\n";
    let project = Project::new(&[("server.js", SERVER), ("bin/xdg-open", browser), ("bin/open", browser)]);
    for program in ["bin/xdg-open", "bin/open"] {
        std::fs::set_permissions(project.file(program), Permissions::from_mode(0o755)).unwrap();
    }
    let mut terminal = Terminal::open(&project, &["dev", "server.js", "--persist", "false"]);
    terminal.wait_for("Keys: b browser");
    terminal.press("b");
    let opened = project.file("opened");
    until("the browser is opened", || {
        std::fs::read_to_string(&opened).is_ok_and(|text| text.ends_with('\n'))
    });
    let address = format!("http://localhost:{}\n", terminal.port);
    assert_eq!(std::fs::read_to_string(&opened).unwrap(), address);
    std::fs::remove_file(&opened).unwrap();
    terminal.press("a");
    until("the dashboard is opened, with its token", || {
        std::fs::read_to_string(&opened).is_ok_and(|text| {
            text.starts_with("http://127.0.0.1:") && text.contains("/#token=") && text.ends_with('\n')
        })
    });
    terminal.press("r");
    terminal.wait_for("No room is in memory.");
    get(terminal.port, "/party/lobby", "localhost").unwrap();
    terminal.press("r");
    terminal.wait_for("main/lobby");
    terminal.wait_for("live, 0 connections");
    terminal.press("h");
    terminal.wait_for("Rooms that left memory: 1");
    terminal.press("?");
    terminal.wait_for("hibernate all rooms that are idle");
    terminal.press("l");
    terminal.wait_for("Log level: debug");
    terminal.press("l");
    terminal.wait_for("Log level: error");
    terminal.press("d");
    terminal.wait_for("--inspect");
    terminal.press("c");
    terminal.wait_for("\u{1b}[2J");
    // Keys without a meaning, and bytes that are none.
    terminal.press("zZ\u{1b}[A\u{7f}\u{0}é");
    terminal.press("x");
    assert_eq!(terminal.wait_end(), Some(0));
}

#[test]
fn ctrl_c_stops_and_a_closed_terminal_too() {
    let project = Project::new(&[("server.js", SERVER)]);
    let mut terminal = Terminal::open(&project, &["dev", "server.js", "--persist", "false"]);
    terminal.wait_for("Keys: b browser");
    terminal.press("\u{3}");
    terminal.wait_for("Stopping.");
    assert_eq!(terminal.wait_end(), Some(0));

    let mut terminal = Terminal::open(&project, &["dev", "server.js", "--persist", "false"]);
    terminal.wait_for("Keys: b browser");
    let pid = i32::try_from(terminal.child.id()).unwrap();
    // SAFETY: kill takes two integers. SIGHUP is what a terminal sends to its programs when it is closed.
    unsafe { libc::kill(pid, libc::SIGHUP) };
    assert_eq!(terminal.wait_end(), Some(0));
}

#[test]
fn keys_can_be_turned_off() {
    let project = Project::new(&[("server.js", SERVER)]);
    let args = ["dev", "server.js", "--persist", "false", "--no-hotkeys"];
    let mut terminal = Terminal::open(&project, &args);
    terminal.wait_for("Ready on");
    terminal.press("x");
    get(terminal.port, "/party/lobby", "localhost").unwrap();
    terminal.wait_for("GET /party/lobby");
    assert!(!terminal.screen.lock().unwrap().contains("Keys:"));
}
