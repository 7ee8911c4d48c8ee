//! What the two processes say to each other, and how that is written. [`Said::Greeting`], [`Said::Listeners`],
//! [`Said::Prepared`] and [`Said::Abort`] are read by all versions; the others may change with [`VERSION`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::bytes::{Malformed, Reader, Writer};

/// The version of the protocol. Sockets pass between equal ones.
pub const VERSION: u32 = 1;

/// Descriptors of one message; the kernel takes 253.
pub(crate) const DESCRIPTORS_MAX: usize = 128;

/// How the new process greets the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The version of its protocol.
    pub version: u32,
    /// The version of the database that it writes.
    pub schema: u32,
    /// Its own version, for people.
    pub program: String,
}

/// A room that hibernates; its sockets follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Its party.
    pub party: String,
    /// Its id.
    pub id: String,
    /// A step of it took long.
    pub slow: bool,
    /// How many sockets follow.
    pub sockets: usize,
}

/// Who is connected, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// The path of the handshake, as the log shows it.
    pub path: String,
    /// The client's address.
    pub client: String,
    /// For how long it has been connected, in milliseconds.
    pub lasted_ms: u64,
}

/// A socket on its way, beside its descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passenger {
    /// The connection's id.
    pub id: String,
    /// The URL of its handshake.
    pub uri: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its state, as the room's script has written it.
    pub attachment: Option<Vec<u8>>,
    /// What was read of it and not looked at: it begins with a frame.
    pub unread: Vec<u8>,
    /// The window, as a power of two, in which the client unpacks messages, if compression was agreed on. Neither side refers
    /// to earlier messages.
    pub window_bits: Option<u8>,
    /// Who it is.
    pub visit: Option<Visit>,
}

/// A message of the protocol.
#[derive(Debug)]
pub enum Said {
    /// The new process is there.
    Greeting(Greeting),
    /// The listeners of the old one, the version of its protocol if it gives more than these, and its process's number.
    Listeners(Option<u32>, u32, Vec<OwnedFd>),
    /// The new process has loaded the project, which works.
    Prepared,
    /// The lock of the data folder.
    Lock(OwnedFd),
    /// Crons that were due up to this time, in milliseconds since 1970, have been run.
    Crons(i64),
    /// A room.
    Room(Room),
    /// Sockets of the room that was named last.
    Sockets(Vec<(Passenger, OwnedFd)>),
    /// That was all.
    End,
    /// The new process has opened the data.
    Ready,
    /// The old process has written everything and writes no more.
    Commit,
    /// This process does not go on with it, because of this.
    Abort(String),
}

const GREETING: u8 = 1;
const LISTENERS: u8 = 2;
const PREPARED: u8 = 3;
const ABORT: u8 = 4;
const LOCK: u8 = 16;
const CRONS: u8 = 17;
const ROOM: u8 = 18;
const SOCKETS: u8 = 19;
const END: u8 = 20;
const READY: u8 = 21;
const COMMIT: u8 = 22;

/// How a greeting begins.
const MAGIC: &str = "partyrun handover";

impl Said {
    /// The sockets of one message: as many as fit.
    pub const SOCKETS_MAX: usize = DESCRIPTORS_MAX;

    /// Its kind, its body and its descriptors.
    pub(crate) fn write(&self) -> (u8, Vec<u8>, Vec<BorrowedFd<'_>>) {
        let writer = Writer::default();
        let (kind, writer, descriptors) = match self {
            Self::Greeting(greeting) => {
                let writer = writer.text(MAGIC).number(greeting.version.into());
                let writer = writer.number(greeting.schema.into()).text(&greeting.program);
                (GREETING, writer, Vec::new())
            }
            Self::Listeners(version, process, listeners) => {
                let writer = writer.optional(*version, |writer, version| writer.number(version.into()));
                (LISTENERS, writer.number((*process).into()), listeners.iter().map(AsFd::as_fd).collect())
            }
            Self::Prepared => (PREPARED, writer, Vec::new()),
            Self::Abort(why) => (ABORT, writer.text(why), Vec::new()),
            Self::Lock(lock) => (LOCK, writer, vec![lock.as_fd()]),
            Self::Crons(up_to_ms) => (CRONS, writer.number(up_to_ms.cast_unsigned()), Vec::new()),
            Self::Room(room) => {
                let writer = writer.text(&room.party).text(&room.id);
                let writer = writer.number(room.slow.into()).number(room.sockets as u64);
                (ROOM, writer, Vec::new())
            }
            Self::Sockets(sockets) => {
                let writer = sockets.iter().fold(writer, |writer, (passenger, _)| passenger.write(writer));
                (SOCKETS, writer, sockets.iter().map(|(_, socket)| socket.as_fd()).collect())
            }
            Self::End => (END, writer, Vec::new()),
            Self::Ready => (READY, writer, Vec::new()),
            Self::Commit => (COMMIT, writer, Vec::new()),
        };
        (kind, writer.0, descriptors)
    }

    /// What arrived.
    pub(crate) fn read(kind: u8, body: &[u8], mut descriptors: Vec<OwnedFd>) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let said = match kind {
            GREETING => {
                if reader.text()? != MAGIC {
                    return Err(Malformed);
                }
                let greeting =
                    Greeting { version: reader.small()?, schema: reader.small()?, program: reader.text()? };
                // A later version may say more.
                return if descriptors.is_empty() { Ok(Self::Greeting(greeting)) } else { Err(Malformed) };
            }
            LISTENERS => {
                let version = reader.optional(|reader| reader.small())?;
                return Ok(Self::Listeners(version, reader.small()?, descriptors));
            }
            PREPARED => Self::Prepared,
            ABORT => Self::Abort(reader.text()?),
            LOCK => Self::Lock(descriptors.pop().ok_or(Malformed)?),
            CRONS => Self::Crons(reader.number()?.cast_signed()),
            ROOM => Self::Room(Room {
                party: reader.text()?,
                id: reader.text()?,
                slow: reader.flag()?,
                sockets: reader.small()?,
            }),
            SOCKETS => {
                let sockets = std::mem::take(&mut descriptors).into_iter();
                let sockets = sockets.map(|socket| Ok((Passenger::read(&mut reader)?, socket)));
                Self::Sockets(sockets.collect::<Result<_, Malformed>>()?)
            }
            END => Self::End,
            READY => Self::Ready,
            COMMIT => Self::Commit,
            _ => return Err(Malformed),
        };
        reader.end()?;
        if descriptors.is_empty() { Ok(said) } else { Err(Malformed) }
    }
}

impl Passenger {
    /// About how long it is on the line.
    pub fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        let attachment = self.attachment.as_ref().map_or(0, Vec::len);
        self.id.len() + self.uri.len() + tags + attachment + self.unread.len()
    }

    fn write(&self, writer: Writer) -> Writer {
        let writer = writer.text(&self.id).text(&self.uri).number(self.tags.len() as u64);
        let writer = self.tags.iter().fold(writer, |writer, tag| writer.text(tag));
        let writer = writer.optional(self.attachment.as_ref(), |writer, bytes| writer.bytes(bytes));
        let writer = writer.bytes(&self.unread);
        let writer = writer.optional(self.window_bits, |writer, bits| writer.number(bits.into()));
        writer.optional(self.visit.as_ref(), |writer, visit| {
            writer.text(&visit.path).text(&visit.client).number(visit.lasted_ms)
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (id, uri) = (reader.text()?, reader.text()?);
        let count = reader.number()?;
        let tags = (0..count).map(|_| reader.text()).collect::<Result<_, _>>()?;
        let attachment = reader.optional(Reader::bytes)?.map(<[u8]>::to_vec);
        let (unread, window_bits) = (reader.bytes()?.to_vec(), reader.optional(Reader::small)?);
        let visit = reader.optional(|reader| {
            Ok(Visit { path: reader.text()?, client: reader.text()?, lasted_ms: reader.number()? })
        })?;
        Ok(Self { id, uri, tags, attachment, unread, window_bits, visit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_comes_back_as_it_was_written() {
        let passenger = Passenger {
            id: "é".into(),
            uri: "http://h/parties/main/r?_pk=é".into(),
            tags: vec!["é".into(), String::new(), "two".into()],
            attachment: Some(vec![0, 255, 1]),
            unread: vec![0x81, 0x80],
            window_bits: Some(15),
            visit: Some(Visit { path: "/p".into(), client: "::1".into(), lasted_ms: u64::MAX }),
        };
        for passenger in [passenger, Passenger::default()] {
            let bytes = passenger.write(Writer::default()).0;
            let mut reader = Reader(&bytes);
            assert_eq!(Passenger::read(&mut reader), Ok(passenger));
            assert_eq!(reader.end(), Ok(()));
            for end in 0..bytes.len() {
                let mut reader = Reader(&bytes[..end]);
                let read = Passenger::read(&mut reader).and_then(|_| reader.end());
                assert_eq!(read, Err(Malformed), "cut at {end}");
            }
        }
    }

    #[test]
    fn a_greeting_of_a_later_version_is_read() {
        let greeting = Greeting { version: 9, schema: 3, program: "9.0.0".into() };
        let (kind, mut body, _) = Said::Greeting(greeting.clone()).write();
        body.extend_from_slice(b"something more");
        let Ok(Said::Greeting(read)) = Said::read(kind, &body, Vec::new()) else { panic!("not read") };
        assert_eq!(read, greeting);
    }
}
