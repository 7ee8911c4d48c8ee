//! The WebSocket steps: open, send, expect, silence, ping, close.

use super::hex;
use crate::context::Context;
use crate::frame::{self, Message};
use crate::matcher::{differs, quoted, shortened};
use crate::socket::{self, Event, Opened, Socket};
use crate::step::{
    AnswerExpectation, BodyMatcher, FrameExpectation, FrameKind, Payload, Silence, SocketAction,
};
use std::rc::Rc;
use std::time::Duration;

impl Context {
    pub(super) async fn socket_action(
        &self,
        name: &str,
        action: &SocketAction,
        limit: Duration,
    ) -> Result<(), String> {
        if let SocketAction::Open { target, headers, protocols, expect } = action {
            let opening = self.open(name, target, headers, protocols, expect);
            let opened = tokio::time::timeout(limit, opening).await;
            return opened.unwrap_or_else(|_| Err(format!("no handshake within {} ms", limit.as_millis())));
        }
        let socket = self.sockets.borrow().get(name).cloned();
        let socket = socket.ok_or_else(|| format!("no open socket of this name: `{name}`"))?;
        match action {
            SocketAction::Open { .. } => Ok(()),
            SocketAction::Send { payload, binary } => self.send(&socket, payload, *binary, limit).await,
            SocketAction::Raw(bytes) => socket.write(bytes).await,
            SocketAction::Expect(frames) => {
                for expected in frames {
                    self.next_frame(&socket, expected, limit).await?;
                }
                Ok(())
            }
            SocketAction::ExpectAnyOrder(frames) => self.any_order(&socket, frames, limit).await,
            SocketAction::Silence(silence) => self.silence(&socket, silence, limit).await,
            SocketAction::Ping(payload) => {
                let payload = self.variables.text(payload)?;
                socket.send(frame::PING, payload.as_bytes()).await?;
                let pong = socket.next_pong(limit).await;
                self.hold(match pong {
                    Some(bytes) if bytes == payload.as_bytes() => Ok(()),
                    Some(bytes) => Err(differs(&hex(payload.as_bytes()), &hex(&bytes))),
                    None => Err(format!("no pong within {} ms", limit.as_millis())),
                })
            }
            SocketAction::Close { code, reason } => {
                let reason = self.variables.text(reason)?;
                socket.send(frame::CLOSE, &frame::close_payload(*code, &reason)).await
            }
            SocketAction::ExpectClose { code, reason, ended } => {
                let (found, text) = self.next_close(&socket, limit).await?;
                let wanted = code.to_string();
                self.hold(if u64::from(found) == *code {
                    Ok(())
                } else {
                    Err(format!("close code: {}", differs(&wanted, &format!("{found} {}", quoted(&text)))))
                })?;
                if let Some(matcher) = reason {
                    let outcome = matcher.check(&self.variables, &text);
                    self.hold(outcome.map_err(|message| format!("close reason: {message}")))?;
                }
                if !ended || socket.stream_end(limit).await {
                    return Ok(());
                }
                Err(format!("the server did not end the stream within {} ms", limit.as_millis()))
            }
            SocketAction::Drop => {
                socket.abort().await;
                Ok(())
            }
        }
    }

    async fn open(
        &self,
        name: &str,
        target: &str,
        headers: &[(String, String)],
        protocols: &[String],
        expect: &AnswerExpectation,
    ) -> Result<(), String> {
        let target = self.variables.text(target)?;
        let headers = self.headers(headers)?;
        let (socket, answer) = match socket::open(self.server.port, &target, &headers, protocols).await? {
            Opened::Socket(socket, answer) => (Some(socket), answer),
            Opened::Refused(answer) => (None, answer),
        };
        if let Some(socket) = socket
            && let Some(earlier) = self.sockets.borrow_mut().insert(name.to_owned(), socket)
        {
            earlier.release();
        }
        self.answer(expect, &answer)
    }

    async fn send(
        &self,
        socket: &Socket,
        payload: &Payload,
        binary: bool,
        limit: Duration,
    ) -> Result<(), String> {
        let bytes = self.payload(payload)?;
        let opcode = if binary { frame::BINARY } else { frame::TEXT };
        let sent = tokio::time::timeout(limit, socket.send(opcode, &bytes)).await;
        sent.unwrap_or_else(|_| Err(format!("could not send within {} ms", limit.as_millis())))
    }

    async fn next_frame(
        &self,
        socket: &Socket,
        expected: &FrameExpectation,
        limit: Duration,
    ) -> Result<(), String> {
        let outcome = match socket.next(limit).await {
            Some(event) => self.matches(expected, &event),
            None => Err(format!("expected a message\n       came none within {} ms", limit.as_millis())),
        };
        self.hold(
            outcome.map_err(|message| format!("message expected at line {}: {message}", expected.place.line)),
        )
    }

    fn matches(&self, expected: &FrameExpectation, event: &Event) -> Result<(), String> {
        match (&expected.kind, event) {
            (FrameKind::Violation(matcher), Event::Message(Message::Violation(text))) => {
                matcher.check(&self.variables, text)
            }
            (FrameKind::Violation(_), other) => Err(differs("a violation of the protocol", &shown(other))),
            (FrameKind::Body(matcher), Event::Message(message)) => match (matcher, message) {
                (
                    BodyMatcher::Bytes(Payload::Filled { .. }) | BodyMatcher::Length(_),
                    Message::Text(text),
                ) => self.compare_body(matcher, text.as_bytes()),
                (BodyMatcher::Bytes(_) | BodyMatcher::Length(_), Message::Binary(bytes)) => {
                    self.compare_body(matcher, bytes)
                }
                (BodyMatcher::Text(_) | BodyMatcher::Json(_), Message::Text(text)) => {
                    self.compare_body(matcher, text.as_bytes())
                }
                (BodyMatcher::Bytes(_), _) => Err(differs("a binary message", &shown(event))),
                (BodyMatcher::Text(matcher), _) => {
                    Err(differs(&format!("a text message, {matcher:?}"), &shown(event)))
                }
                _ => Err(differs("a text message", &shown(event))),
            },
            (FrameKind::Body(_), Event::End) => Err(differs("a message", &shown(event))),
        }
    }

    async fn any_order(
        &self,
        socket: &Socket,
        frames: &[FrameExpectation],
        limit: Duration,
    ) -> Result<(), String> {
        let mut open: Vec<&FrameExpectation> = frames.iter().collect();
        while !open.is_empty() {
            let Some(event) = socket.next(limit).await else {
                let lines: Vec<String> = open.iter().map(|frame| frame.place.line.to_string()).collect();
                return Err(format!(
                    "no message within {} ms; still expected: those at lines {}",
                    limit.as_millis(),
                    lines.join(", ")
                ));
            };
            let Some(at) = open.iter().position(|expected| self.matches(expected, &event).is_ok()) else {
                return Err(differs("one of the messages not yet seen", &shown(&event)));
            };
            open.remove(at);
            self.hold(Ok(()))?;
        }
        Ok(())
    }

    async fn silence(&self, socket: &Socket, silence: &Silence, limit: Duration) -> Result<(), String> {
        match silence {
            Silence::Probe { send, expect } => {
                self.send(socket, send, false, limit).await?;
                let outcome = self.next_frame(socket, expect, limit).await;
                outcome.map_err(|message| format!("expected silence and then the probe's answer; {message}"))
            }
            Silence::Bounded { ms } => {
                let event = socket.next(Duration::from_millis(*ms)).await;
                self.hold(event.map_or(Ok(()), |event| Err(differs("silence", &shown(&event)))))
            }
        }
    }

    async fn next_close(&self, socket: &Rc<Socket>, limit: Duration) -> Result<(u16, String), String> {
        match socket.next(limit).await {
            Some(Event::Message(Message::Close { code, reason })) => Ok((code, reason)),
            Some(Event::End) => Ok((1006, String::new())),
            Some(other) => Err(differs("a close", &shown(&other))),
            None => Err(format!("expected a close\n       came nothing within {} ms", limit.as_millis())),
        }
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::Message(Message::Text(text)) => format!("text {}", shortened(&quoted(text))),
        Event::Message(Message::Binary(bytes)) => format!("binary, {}", hex(bytes)),
        Event::Message(Message::Close { code, reason }) => format!("close {code} {}", quoted(reason)),
        Event::Message(other) => format!("{other:?}"),
        Event::End => "the end of the stream without a close frame".into(),
    }
}
