//! What a proxy says first of the client that it speaks for (the PROXY protocol, versions 1 and 2).
//!
//! The header is read to its end and not a byte further, whatever follows. `ppp` reads its text; how long it may be is
//! decided before that.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;
/// What both versions have at least.
const BEGINNING: usize = 12;
/// What version 2 has before its addresses.
const HEAD: usize = 16;

/// The two ends of a proxied connection: the client, and where it connected to. None where the proxy speaks for itself, or for
/// a client that has no address.
pub(super) type Told = Option<(SocketAddr, SocketAddr)>;

/// Reads a header of `bytes_max` bytes at most.
pub(super) async fn read(stream: &mut TcpStream, bytes_max: usize) -> io::Result<Told> {
    let mut header = vec![0; BEGINNING];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        header.resize(HEAD, 0);
        stream.read_exact(header.get_mut(BEGINNING..).unwrap_or_default()).await?;
        let length = match header.get(HEAD - 2..) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        if HEAD + length > bytes_max {
            return Err(malformed());
        }
        header.resize(HEAD + length, 0);
        stream.read_exact(header.get_mut(HEAD..).unwrap_or_default()).await?;
    } else if header.starts_with(b"PROXY ") {
        read_line(stream, &mut header).await?;
    } else {
        return Err(malformed());
    }
    told(&header)
}

/// Reads the rest of a line.
async fn read_line(stream: &mut TcpStream, line: &mut Vec<u8>) -> io::Result<()> {
    while !line.ends_with(b"\n") {
        let mut ahead = [0; LINE_BYTES_MAX];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        if room == 0 {
            return Err(malformed());
        }
        let length = stream.peek(ahead.get_mut(..room).unwrap_or_default()).await?;
        let seen = ahead.get(..length).unwrap_or_default();
        let part = seen.iter().position(|byte| *byte == b'\n').map_or(length, |end| end + 1);
        if part == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = line.len();
        line.resize(before + part, 0);
        stream.read_exact(line.get_mut(before..).unwrap_or_default()).await?;
    }
    Ok(())
}

fn told(header: &[u8]) -> io::Result<Told> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(of) => Some((
                SocketAddr::from((of.source_address, of.source_port)),
                SocketAddr::from((of.destination_address, of.destination_port)),
            )),
            v1::Addresses::Tcp6(of) => Some((
                SocketAddr::from((of.source_address, of.source_port)),
                SocketAddr::from((of.destination_address, of.destination_port)),
            )),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(match header.addresses {
            v2::Addresses::IPv4(of) => Some((
                SocketAddr::from((of.source_address, of.source_port)),
                SocketAddr::from((of.destination_address, of.destination_port)),
            )),
            v2::Addresses::IPv6(of) => Some((
                SocketAddr::from((of.source_address, of.source_port)),
                SocketAddr::from((of.destination_address, of.destination_port)),
            )),
            v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    // What is read of these bytes, and what follows them. They come in pieces of that length.
    async fn read_of(bytes: &[u8], piece: usize) -> (io::Result<Told>, Vec<u8>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let writing = async {
            for part in bytes.chunks(piece) {
                if client.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _closed = client.shutdown().await;
        };
        let reading = async {
            let told = read(&mut server, 4096).await;
            let mut rest = Vec::new();
            let _reset = tokio::time::timeout(Duration::from_secs(10), server.read_to_end(&mut rest)).await;
            (told, rest)
        };
        tokio::join!(writing, reading).1
    }

    fn second(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn both_versions_tell_the_client_and_nothing_behind_them_is_taken() {
        let client = Some(("192.0.2.1:40000".parse().unwrap(), "192.0.2.2:443".parse().unwrap()));
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 1, 0xbb];
        let more = [&four[..], &[4, 0, 1, 42]].concat();
        let mut six = [0; 36];
        six[15] = 1;
        six[31] = 2;
        six[33] = 5;
        six[35] = 6;
        let headers: [(Vec<u8>, Told); 7] = [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n".to_vec(), client),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN a b c\r\n".to_vec(), None),
            (second(0x21, 0x11, &four), client),
            (second(0x21, 0x11, &more), client),
            (second(0x20, 0x00, &[]), None),
            (second(0x21, 0x21, &six), Some(("[::1]:5".parse().unwrap(), "[::2]:6".parse().unwrap()))),
        ];
        for (header, expected) in headers {
            for piece in [1, 7, 4096] {
                let (told, rest) = read_of(&[&header[..], b"GET /\r\n"].concat(), piece).await;
                assert_eq!(told.unwrap(), expected, "{header:?}");
                assert_eq!(rest, b"GET /\r\n", "{header:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_none_is_refused() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200], b"\r\n".to_vec()].concat();
        let headers: [&[u8]; 9] = [
            b"",
            b"PROXY TCP4",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\n",
            &long,
            &second(0x21, 0x11, &[1, 2, 3]),
            &second(0x21, 0x11, &[0; 5000]),
        ];
        for header in headers {
            assert!(read_of(header, 4096).await.0.is_err(), "{header:?}");
        }
    }
}
