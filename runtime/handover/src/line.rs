//! One end of the line: messages with descriptors over a Unix stream socket, each with a bound in time and length.
//!
//! A message is a head of six bytes (kind, number of descriptors, length) and its body. Its descriptors travel with the first
//! byte of the head, so that the kernel never joins those of two messages.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::bytes::Malformed;
use crate::words::{DESCRIPTORS_MAX, Said};

/// Bytes of one message's body.
const BODY_BYTES_MAX: usize = 256 << 20;
const HEAD_BYTES: usize = 6;
/// As many descriptors are on their way as the kernel allows: the other side has to take some first.
const CROWDED_PAUSE: Duration = Duration::from_millis(5);

/// Why nothing more comes, or goes.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other process has ended, or closed its end.
    #[error("the other process has ended")]
    Ended,
    /// It did not answer in time.
    #[error("the other process did not answer in time")]
    Late,
    /// It says something that is not in the protocol.
    #[error("the other process says something else than expected")]
    Malformed,
    /// The system refuses.
    #[error("{0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for LineError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

impl From<Errno> for LineError {
    fn from(error: Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

impl From<Malformed> for LineError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// One end of the line. Its calls block.
#[derive(Debug)]
pub struct Line {
    stream: UnixStream,
    patience: Duration,
}

impl Line {
    /// The line over this socket. A call that waits longer than `patience` for the other side fails.
    pub fn new(stream: UnixStream, patience: Duration) -> std::io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, patience })
    }

    /// Another hold on the same end: shutting it down wakes whoever waits here.
    pub fn hold(&self) -> std::io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Says something.
    pub fn say(&mut self, said: &Said) -> Result<(), LineError> {
        let (kind, body, descriptors) = said.write();
        self.send(kind, &body, &descriptors)
    }

    /// What the other side says next.
    pub fn hear(&mut self) -> Result<Said, LineError> {
        let (kind, body, descriptors) = self.receive()?;
        Ok(Said::read(kind, &body, descriptors)?)
    }

    fn send(&mut self, kind: u8, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), LineError> {
        let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= BODY_BYTES_MAX);
        let (Some(length), true) = (length, descriptors.len() <= DESCRIPTORS_MAX) else {
            return Err(LineError::Malformed);
        };
        let mut head = [kind, descriptors.len() as u8, 0, 0, 0, 0];
        if let Some(place) = head.last_chunk_mut() {
            *place = length.to_le_bytes();
        }
        let until = Instant::now() + self.patience;
        let sent = loop {
            match send_with(self.stream.as_fd(), &[IoSlice::new(&head), IoSlice::new(body)], descriptors) {
                Err(Errno::INTR) => {}
                Err(Errno::TOOMANYREFS) if Instant::now() < until => std::thread::sleep(CROWDED_PAUSE),
                sent => break sent?,
            }
        };
        self.stream.write_all(head.get(sent..).unwrap_or_default())?;
        self.stream.write_all(body.get(sent.saturating_sub(HEAD_BYTES)..).unwrap_or_default())?;
        Ok(())
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>, Vec<OwnedFd>), LineError> {
        let mut head = [0; HEAD_BYTES];
        let (count, descriptors) = receive_with(self.stream.as_fd(), &mut head)?;
        if count == 0 {
            return Err(LineError::Ended);
        }
        self.stream.read_exact(head.get_mut(count..).unwrap_or_default())?;
        let [kind, expected, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if usize::from(expected) != descriptors.len() || length > BODY_BYTES_MAX {
            return Err(LineError::Malformed);
        }
        // The length is believed as far as bytes have come.
        let mut body = Vec::new();
        let read = (&self.stream).take(length as u64).read_to_end(&mut body)?;
        if read < length {
            return Err(LineError::Ended);
        }
        Ok((kind, body, descriptors))
    }
}

fn send_with(
    stream: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    sendmsg(stream, parts, &mut control, SendFlags::NOSIGNAL)
}

fn receive_with(stream: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), LineError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(bytes)];
        match recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(LineError::Malformed);
    }
    Ok((received.bytes, descriptors))
}

/// Sends a single byte with a descriptor over any stream socket, for [`take`] on the other side.
pub fn pass(stream: BorrowedFd<'_>, byte: u8, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    send_with(stream, &[IoSlice::new(&[byte])], &[descriptor])?;
    Ok(())
}

/// Takes a single byte, with a descriptor if one came with it. No byte means that the stream has ended. On a non-blocking socket
/// it does not wait.
pub fn take(stream: BorrowedFd<'_>) -> std::io::Result<(Option<u8>, Option<OwnedFd>)> {
    let mut byte = [0];
    match receive_with(stream, &mut byte) {
        Ok((count, descriptors)) => Ok(((count > 0).then_some(byte[0]), descriptors.into_iter().next())),
        Err(LineError::Late) => Err(std::io::ErrorKind::WouldBlock.into()),
        Err(LineError::Io(error)) => Err(error),
        Err(error) => Err(std::io::Error::other(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::words::{Greeting, Passenger};

    fn pair(patience: Duration) -> (Line, Line) {
        let (one, two) = UnixStream::pair().unwrap();
        (Line::new(one, patience).unwrap(), Line::new(two, patience).unwrap())
    }

    #[test]
    fn more_descriptors_than_a_message_holds_arrive_with_their_messages() {
        let (mut one, mut two) = pair(Duration::from_secs(10));
        let sending = std::thread::spawn(move || {
            for batch in 0..20_u64 {
                let sockets = (0..DESCRIPTORS_MAX as u64).map(|number| {
                    let passenger = Passenger { id: format!("{batch}/{number}"), ..Passenger::default() };
                    let (own, _other) = UnixStream::pair().unwrap();
                    (passenger, OwnedFd::from(own))
                });
                one.say(&Said::Sockets(sockets.collect())).unwrap();
            }
        });
        let mut seen = std::collections::HashSet::new();
        for batch in 0..20 {
            let Said::Sockets(sockets) = two.hear().unwrap() else { panic!("something else") };
            assert_eq!(sockets.len(), DESCRIPTORS_MAX);
            for (number, (passenger, socket)) in sockets.iter().enumerate() {
                assert_eq!(passenger.id, format!("{batch}/{number}"));
                seen.insert(socket.as_raw_fd());
            }
        }
        sending.join().unwrap();
        assert!(seen.len() >= DESCRIPTORS_MAX);
        assert!(matches!(two.hear(), Err(LineError::Ended)));
    }

    #[test]
    fn long_messages_come_whole() {
        let (mut one, mut two) = pair(Duration::from_secs(10));
        let unread = vec![7; 3 << 20];
        let sent = unread.clone();
        let sending = std::thread::spawn(move || {
            let (own, _other) = UnixStream::pair().unwrap();
            let passenger = Passenger { unread: sent, ..Passenger::default() };
            one.say(&Said::Sockets(vec![(passenger, own.into())])).unwrap();
        });
        let Said::Sockets(sockets) = two.hear().unwrap() else { panic!("something else") };
        assert!(sockets[0].0.unread == unread);
        sending.join().unwrap();
    }

    #[test]
    fn a_side_that_says_nothing_is_not_waited_for() {
        let (_one, mut two) = pair(Duration::from_millis(20));
        assert!(matches!(two.hear(), Err(LineError::Late)));
    }

    #[test]
    fn what_is_not_in_the_protocol_is_refused() {
        let greeting = Said::Greeting(Greeting { version: 1, schema: 1, program: "x".into() });
        let (kind, body, _) = greeting.write();
        let head = |kind: u8, descriptors: u8, length: u32| {
            let mut bytes = vec![kind, descriptors];
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes
        };
        let heard = |bytes: &[u8]| {
            let (mut one, mut two) = pair(Duration::from_secs(10));
            one.stream.write_all(bytes).unwrap();
            drop(one);
            two.hear()
        };
        let whole = [head(kind, 0, body.len() as u32), body.clone()].concat();
        assert!(heard(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(matches!(heard(&whole[..end]), Err(LineError::Ended)), "cut at {end}");
        }
        for (kind, descriptors, length) in [(kind, 1, 0), (kind, 0, u32::MAX), (200, 0, 0), (kind, 0, 3)] {
            let bytes = [head(kind, descriptors, length), vec![0xff; 3]].concat();
            assert!(matches!(heard(&bytes), Err(LineError::Malformed)), "{kind} {descriptors} {length}");
        }
    }

    #[test]
    fn a_byte_passes_with_a_descriptor_or_without() {
        let (mut one, two) = UnixStream::pair().unwrap();
        two.set_nonblocking(true).unwrap();
        assert_eq!(take(two.as_fd()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        pass(one.as_fd(), b'u', one.as_fd()).unwrap();
        one.write_all(b"ss").unwrap();
        let (byte, descriptor) = take(two.as_fd()).unwrap();
        assert!(byte == Some(b'u') && descriptor.is_some());
        for _ in 0..2 {
            let (byte, descriptor) = take(two.as_fd()).unwrap();
            assert!(byte == Some(b's') && descriptor.is_none());
        }
        drop((one, descriptor));
        assert!(take(two.as_fd()).unwrap().0.is_none());
    }
}
