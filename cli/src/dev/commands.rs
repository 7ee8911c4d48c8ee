//! What the hot keys of `partyrun dev` do: open a browser or the dashboard, list and hibernate rooms, change the log level.

use std::sync::Arc;

use partyrun_engine::{Engine, Inspector};

use crate::admin::Administration;
use crate::keys::{self, HELP, Key};
use crate::output::{Output, counted};

/// What a key may need.
pub(crate) struct Desk<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) output: &'a Output,
    pub(crate) url: String,
    pub(crate) administration: Option<&'a Administration>,
    pub(crate) debugger: Option<(&'a Arc<Inspector>, String)>,
}

impl Desk<'_> {
    /// Obeys a key; false when it asks to quit.
    pub(crate) async fn obey(&self, key: Key) -> bool {
        match key {
            Key::Quit => return false,
            Key::Browser => self.browse(&self.url),
            Key::Dashboard => self.dashboard(),
            Key::Devtools => self.debuggers(),
            Key::Rooms => self.rooms().await,
            Key::Hibernate => self.hibernate().await,
            Key::Clear => self.output.clear(),
            Key::Level => {
                let level = self.output.change_loudness();
                self.output.say(&format!("Log level: {}", level.name()));
            }
            Key::Help => help(self.output),
            Key::Line => self.output.say(""),
        }
        true
    }

    fn browse(&self, url: &str) {
        match keys::open(url) {
            Ok(()) => self.output.say(&format!("Opening {url}")),
            Err(error) => {
                self.output.problem(&format!("A browser could not be started ({error}). Open {url}"));
            }
        }
    }

    fn dashboard(&self) {
        match self.administration.map(Administration::dashboard) {
            Some(Some(url)) => self.browse(&url),
            Some(None) => self.output.say(
                "The administrative API listens at a socket, which no browser opens. Start with `--admin 127.0.0.1:1998`.",
            ),
            None => self.output.say("The administrative API is off: start without `--admin off`."),
        }
    }

    fn debuggers(&self) {
        let Some((inspector, address)) = &self.debugger else {
            self.output.say("Start with `partyrun dev --inspect` to debug.");
            return;
        };
        self.output.say(&format!("Open chrome://inspect, or attach to http://{address}. Targets:"));
        for target in inspector.targets() {
            self.output.say(&format!("  {:<24} ws://{address}/{}", target.title, target.id));
        }
    }

    async fn rooms(&self) {
        let mut rooms = self.engine.rooms().await;
        rooms.sort_by(|a, b| (a.key.party(), a.key.id()).cmp(&(b.key.party(), b.key.id())));
        if rooms.is_empty() {
            self.output.say("No room is in memory.");
        }
        for room in rooms {
            let state = if room.live { "live" } else { "hibernated" };
            let connections = counted(room.connections, "connection");
            let name = format!("{}/{}", room.key.party(), room.key.id());
            self.output.say(&format!("  {name:<32} {state}, {connections}"));
        }
    }

    async fn hibernate(&self) {
        let (mut left, mut stay) = (0, 0);
        for room in self.engine.rooms().await.into_iter().filter(|room| room.live) {
            match self.engine.hibernate(room.key).await {
                true => left += 1,
                false => stay += 1,
            }
        }
        let busy = if stay > 0 { format!("; still busy: {stay}") } else { String::new() };
        self.output.say(&format!("Rooms that left memory: {left}{busy}"));
    }
}

/// The list of keys.
pub(crate) fn help(output: &Output) {
    for (_, key, what) in HELP {
        output.say(&format!("  {key}  {what}"));
    }
}

/// The one line after the banner.
pub(crate) fn hint(output: &Output) {
    output.say("Keys: b browser, a dashboard, r rooms, c clear, x exit, ? more");
}
