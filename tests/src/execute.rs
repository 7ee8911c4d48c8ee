//! Walks the steps of one case against one server.
//!
//! The first step that does not hold ends the case with a `Failure`: where it is, what was expected, and what came.
//! Every expectation that held is counted; the runner prints the total.

mod sockets;

use crate::case::Variant;
use crate::context::Context;
use crate::data::Place;
use crate::matcher::{TextMatcher, differs};
use crate::program;
use crate::request::{self, Answer, Ask};
use crate::runtime::{Runtime, SWAPPED_PATTERN};
use crate::server::{self, Output};
use crate::step::{Action, AnswerExpectation, BodyMatcher, Change, HttpStep, Payload, PerRuntime, Step};
use futures_util::future::{LocalBoxFuture, try_join_all};
use regex::Regex;
use std::time::Duration;

/// Why a case failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The step.
    pub place: Place,
    /// What was expected and what came.
    pub message: String,
}

impl Context {
    /// Runs steps in order.
    pub fn run<'a>(&'a self, steps: &'a [Step]) -> LocalBoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            for step in steps {
                self.step(step).await?;
            }
            Ok(())
        })
    }

    async fn step(&self, step: &Step) -> Result<(), Failure> {
        let failed = |message: String| Failure { place: step.place.clone(), message };
        let limit = step.within_ms.map_or(self.step_limit, Duration::from_millis);
        match &step.action {
            Action::Parallel(groups) => {
                try_join_all(groups.iter().map(|group| self.run(group))).await?;
                Ok(())
            }
            Action::Repeat { times, variable, steps } => {
                for turn in 0..*times {
                    self.variables.set(variable, turn);
                    self.run(steps).await?;
                }
                Ok(())
            }
            Action::Eventually(inner) => self.eventually(inner, limit).await,
            Action::Socket { name, action } => {
                let name = self.variables.text(name).map_err(failed)?;
                self.socket_action(&name, action, limit).await.map_err(failed)
            }
            other => self.single(other, limit).await.map_err(failed),
        }
    }

    async fn single(&self, action: &Action, limit: Duration) -> Result<(), String> {
        match action {
            Action::Http(step) => self.http(step, limit).await,
            Action::Tcp { send, expect } => {
                let bytes = self.payload(send)?;
                let answer = program::tcp_exchange(self.server.port, &bytes, limit).await?;
                self.hold(expect.check(&self.variables, &answer))
            }
            Action::Restart { kill } => self.restart(*kill).await,
            Action::Hibernate(room) => self.hibernate(room, limit).await,
            Action::Interrupt(room) => match self.variant {
                Variant::Fresh => Ok(()),
                Variant::Evict => self.hibernate(room, limit).await,
                Variant::Restart => self.restart(false).await,
                Variant::Kill => self.restart(true).await,
            },
            Action::Change { file, change, wait_for_swap } => {
                self.change(file, change, *wait_for_swap, limit).await
            }
            Action::Log { lines, absent } => self.log(lines, *absent, limit).await,
            Action::Run { program, args, expect } => {
                let args = self.texts(args)?;
                let ended = program::run_node(self, program, &args, limit).await?;
                self.program_end(&ended, expect)
            }
            Action::Cli { args, env, expect } => {
                let args = self.texts(args)?;
                let env = env.iter().map(|(name, value)| Ok((name.clone(), self.variables.text(value)?)));
                let env: Vec<_> = env.collect::<Result<_, String>>()?;
                let ended = program::run_cli(self, &args, &env, limit).await?;
                self.program_end(&ended, expect)
            }
            Action::File { path, expect } => {
                let path = self.server.project.file(&self.variables.text(path)?)?;
                let text =
                    std::fs::read(&path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                self.hold(match (expect, text) {
                    (Some(matcher), Some(text)) => matcher.check(&self.variables, &text),
                    (Some(_), None) => Err(differs("a file", "no file")),
                    (None, Some(text)) => Err(differs("no file", &text)),
                    (None, None) => Ok(()),
                })
            }
            Action::Parallel(_) | Action::Repeat { .. } | Action::Eventually(_) | Action::Socket { .. } => {
                Ok(())
            }
        }
    }

    /// Counts an expectation that held.
    pub fn hold(&self, outcome: Result<(), String>) -> Result<(), String> {
        if outcome.is_ok() {
            self.held.set(self.held.get() + 1);
        }
        outcome
    }

    async fn eventually(&self, step: &Step, limit: Duration) -> Result<(), Failure> {
        const PAUSE: Duration = Duration::from_millis(50);
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match Box::pin(self.step(step)).await {
                Ok(()) => return Ok(()),
                Err(failure) if tokio::time::Instant::now() + PAUSE >= deadline => {
                    let message = format!("still not so after {} ms: {}", limit.as_millis(), failure.message);
                    return Err(Failure { message, ..failure });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn texts(&self, templates: &[String]) -> Result<Vec<String>, String> {
        templates.iter().map(|text| self.variables.text(text)).collect()
    }

    /// Header values with their variables filled in.
    pub fn headers(&self, templates: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
        templates.iter().map(|(name, value)| Ok((name.clone(), self.variables.text(value)?))).collect()
    }

    /// The bytes of a payload.
    pub fn payload(&self, payload: &Payload) -> Result<Vec<u8>, String> {
        Ok(match payload {
            Payload::Text(text) => self.variables.text(text)?.into_bytes(),
            Payload::Json(value) => self.variables.json(value)?.to_string().into_bytes(),
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Filled { byte, count } => vec![*byte; *count],
        })
    }

    async fn http(&self, step: &HttpStep, limit: Duration) -> Result<(), String> {
        let body = step.body.as_ref().map(|body| self.payload(body)).transpose()?.unwrap_or_default();
        let ask = Ask {
            method: step.method.clone(),
            target: self.variables.text(&step.target)?,
            headers: self.headers(&step.headers)?,
            body: body.into(),
        };
        let answer = tokio::time::timeout(limit, request::exchange(self.server.port, &ask)).await;
        let answer = answer.map_err(|_| format!("no whole answer within {} ms", limit.as_millis()))??;
        self.answer(&step.expect, &answer)
    }

    /// Compares an answer with what was expected.
    pub fn answer(&self, expect: &AnswerExpectation, answer: &Answer) -> Result<(), String> {
        self.compare_answer(expect, answer).map_err(|message| {
            let headers: Vec<_> =
                answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let body = crate::matcher::shortened(&answer.text());
            format!("{message}\n  the answer: {} [{}] {body}", answer.status, headers.join("; "))
        })
    }

    fn compare_answer(&self, expect: &AnswerExpectation, answer: &Answer) -> Result<(), String> {
        self.hold(if u64::from(answer.status) == expect.status {
            Ok(())
        } else {
            Err(format!("status: {}", differs(&expect.status.to_string(), &answer.status.to_string())))
        })?;
        for (name, matcher) in &expect.headers {
            let lines: Vec<&str> = answer
                .headers
                .iter()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
                .collect();
            let outcome = match (matcher, lines.is_empty()) {
                (None, true) => Ok(()),
                (None, false) => Err(differs("no such header", &lines.join(", "))),
                (Some(_), true) => Err("expected the header\n       came none".into()),
                (Some(matcher), false) => matcher.check(&self.variables, &lines.join(", ")),
            };
            self.hold(outcome.map_err(|message| format!("header {name}: {message}")))?;
        }
        if let Some(body) = &expect.body {
            let outcome = self.compare_body(body, &answer.body);
            self.hold(outcome.map_err(|message| format!("body: {message}")))?;
        }
        if let Some((low, high)) = expect.took_ms {
            let took = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
            let holds = (low..=high).contains(&took);
            self.hold(if holds {
                Ok(())
            } else {
                Err(differs(&format!("{low} to {high} ms"), &format!("{took} ms")))
            })?;
        }
        Ok(())
    }

    /// Compares the bytes of a body or message.
    pub fn compare_body(&self, matcher: &BodyMatcher, bytes: &[u8]) -> Result<(), String> {
        match matcher {
            BodyMatcher::Text(text) => match std::str::from_utf8(bytes) {
                Ok(found) => text.check(&self.variables, found),
                Err(_) => Err(differs("text", &format!("bytes that are not UTF-8: {}", hex(bytes)))),
            },
            BodyMatcher::Json(json) => json.check_text(&self.variables, &String::from_utf8_lossy(bytes)),
            BodyMatcher::Bytes(wanted) => {
                let wanted = self.payload(wanted)?;
                if wanted == bytes { Ok(()) } else { Err(differs(&hex(&wanted), &hex(bytes))) }
            }
            BodyMatcher::Length(wanted) => {
                let found = bytes.len() as u64;
                let outcome = Err(differs(&format!("{wanted} bytes"), &format!("{found} bytes")));
                if found == *wanted { Ok(()) } else { outcome }
            }
        }
    }

    async fn restart(&self, kill: bool) -> Result<(), String> {
        for (_, socket) in self.sockets.borrow_mut().drain() {
            socket.release();
        }
        let process = self.server.process.borrow_mut().take();
        if let Some(process) = process {
            if kill { process.kill().await } else { process.stop(Duration::from_secs(10)).await }
        }
        self.log_mark.set(0);
        self.server.start(&self.programs, self.start_limit).await
    }

    /// partyrun has an endpoint for tests; the original lets a room go after ten idle seconds.
    async fn hibernate(&self, room: &str, limit: Duration) -> Result<(), String> {
        const IDLE_UNTIL_EVICTED: Duration = Duration::from_secs(12);
        let room = self.variables.text(room)?;
        if self.server.runtime == Runtime::Original {
            tokio::time::sleep(IDLE_UNTIL_EVICTED).await;
            return Ok(());
        }
        let ask = Ask {
            method: "POST".into(),
            target: format!("/__partyrun__/rooms/{room}/hibernate"),
            headers: Vec::new(),
            body: Default::default(),
        };
        let answer = tokio::time::timeout(limit, request::exchange(self.server.port, &ask)).await;
        let answer = answer.map_err(|_| "the hibernate endpoint did not answer".to_owned())??;
        match answer.status {
            204 => Ok(()),
            status => Err(format!("the hibernate endpoint answered {status}: {}", answer.text())),
        }
    }

    async fn change(&self, file: &str, change: &Change, swap: bool, limit: Duration) -> Result<(), String> {
        let output = self.server.output();
        let mark = output.mark();
        let file = self.variables.text(file)?;
        let project = &self.server.project;
        match change {
            Change::Replace { old, new } => project.edit(&file, old, &self.variables.text(new)?)?,
            Change::Write(text) => project.write(&file, &self.variables.text(text)?)?,
            Change::Remove => std::fs::remove_file(project.file(&file)?)
                .map_err(|error| format!("could not remove `{file}`: {error}"))?,
        }
        if !swap {
            return Ok(());
        }
        let swapped = Regex::new(SWAPPED_PATTERN).map_err(|error| error.to_string())?;
        self.hold(server::wait_for_line(&output, &swapped, mark, limit).await.map(|_| ()))
    }

    async fn log(
        &self,
        lines: &PerRuntime<TextMatcher>,
        absent: bool,
        limit: Duration,
    ) -> Result<(), String> {
        let matcher = match self.server.runtime {
            Runtime::Partyrun => &lines.partyrun,
            Runtime::Original => &lines.original,
        };
        let output = self.server.output();
        let mark = self.log_mark.get();
        let find = |output: &Output| {
            // A message with line breaks is matched as a whole, too.
            let lines = output.since(mark);
            let whole = std::iter::once(lines.join("\n"));
            whole.chain(lines.clone()).find(|line| matcher.check(&self.variables, line).is_ok())
        };
        self.hold(if absent {
            match find(&output) {
                None => Ok(()),
                Some(line) => {
                    Err(differs(&format!("no line like {matcher:?} in the server's output"), &line))
                }
            }
        } else {
            let found = output.wait(limit, find).await.map(|_| ());
            found.ok_or_else(|| format!("no line like {matcher:?} in the server's output"))
        })
    }

    fn program_end(
        &self,
        ended: &program::Ended,
        expect: &crate::step::ExitExpectation,
    ) -> Result<(), String> {
        let printed = || format!("\n  it printed:\n{}", ended.lines.join("\n"));
        self.hold(if ended.code == Some(expect.exit) {
            Ok(())
        } else {
            Err(differs(&format!("exit code {}", expect.exit), &format!("{:?}{}", ended.code, printed())))
        })?;
        let whole = ended.lines.join("\n");
        for lines in &expect.output {
            let matcher = match self.server.runtime {
                Runtime::Partyrun => &lines.partyrun,
                Runtime::Original => &lines.original,
            };
            let found = ended.lines.iter().any(|line| matcher.check(&self.variables, line).is_ok())
                || matcher.check(&self.variables, &whole).is_ok();
            self.hold(if found { Ok(()) } else { Err(format!("no line like {matcher:?}{}", printed())) })?;
        }
        Ok(())
    }
}

/// Bytes as the messages show them.
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 64;
    let shown: Vec<String> = bytes.iter().take(SHOWN_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes [{}]", bytes.len(), shown.join(" "))
}
