//! `login`, `logout` and `whoami`: the host and its token, kept for this user.

use std::io::{IsTerminal, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::client::{Client, ClientError, TOKEN};
use super::kept::{self, Login};
use super::{HostingError, print};
use crate::args::{LoginArgs, WhoamiArgs};

/// Runs `partyrun login`.
pub(crate) fn log_in(args: &LoginArgs) -> Result<(), HostingError> {
    let url =
        args.url.clone().or_else(|| std::env::var("PARTYRUN_URL").ok()).or_else(|| Some(kept::read()?.url));
    let Some(url) = url else {
        return Err(HostingError::Refused(
            "Name the host: `partyrun login https://party.example.com`.".to_string(),
        ));
    };
    let token = match std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
        Some(token) => token,
        None => typed("Token: ")?,
    };
    let client = Client::new(&url, token.clone())?;
    let known = client.get("/v1/whoami")?;
    let login = known["login"].as_str().unwrap_or_default().to_string();
    let path = kept::path()
        .ok_or_else(|| HostingError::Refused("There is no home folder to keep the token in.".to_string()))?;
    let kept = serde_json::to_string_pretty(&Login { url: client.url.clone(), token, login: login.clone() });
    let failed = |error| HostingError::Write { path: path.display().to_string(), error };
    let folder = path.parent().unwrap_or(&path);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let written = file.and_then(|mut file| {
        use std::io::Write;
        writeln!(file, "{}", kept.unwrap_or_default())?;
        std::fs::rename(&draft, &path)
    });
    written.map_err(failed)?;
    print(&format!("Logged in as {} at {}\n", crate::output::escape(&login), client.url));
    Ok(())
}

/// Runs `partyrun logout`.
pub(crate) fn log_out() -> Result<(), HostingError> {
    if let Some(path) = kept::path() {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(HostingError::Write { path: path.display().to_string(), error });
            }
            _ => {}
        }
    }
    print("Logged out\n");
    Ok(())
}

/// Runs `partyrun whoami`.
pub(crate) fn whoami(args: &WhoamiArgs) -> Result<(), HostingError> {
    let client = match Client::find(args.at.to.as_deref()) {
        Ok(client) => client,
        Err(ClientError::NoHost | ClientError::NoToken { .. }) => {
            print("Not logged in, run `partyrun login https://HOST` to log in\n");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let known = client.get("/v1/whoami")?;
    let text = |name: &str| crate::output::escape(known[name].as_str().unwrap_or_default());
    let project = known["project"].as_str().map(|name| format!(" for {}", crate::output::escape(name)));
    print(&format!(
        "Logged in as {} ({}{}) at {}\n",
        text("login"),
        text("scope"),
        project.unwrap_or_default(),
        client.url
    ));
    Ok(())
}

/// What is typed without being shown, or comes from a pipe.
pub(crate) fn typed(question: &str) -> Result<String, HostingError> {
    let failed = |error| HostingError::Read { path: "The standard input".to_string(), error };
    let mut text = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text
            .strip_suffix('\n')
            .map(|text| text.strip_suffix('\r').unwrap_or(text))
            .unwrap_or(&text)
            .to_string());
    }
    print(question);
    let hidden = Hidden::begin();
    std::io::stdin().read_line(&mut text).map_err(failed)?;
    drop(hidden);
    print("\n");
    Ok(text.trim().to_string())
}

/// The terminal shows nothing of what is typed, as long as this is kept.
struct Hidden(Option<libc::termios>);

impl Hidden {
    fn begin() -> Self {
        let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr writes the whole struct when it succeeds, and only then it is read.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) } != 0 {
            return Self(None);
        }
        // SAFETY: as above.
        let before = unsafe { settings.assume_init() };
        let mut quiet = before;
        quiet.c_lflag &= !libc::ECHO;
        // SAFETY: the struct is one that the system filled in.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const quiet) };
        Self(Some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: the struct is one that the system filled in.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
        }
    }
}
