//! What two ends of a WebSocket agree on (RFC 7692, 5 and 7.1).
//!
//! An offer that cannot be accepted, because it is malformed or names something unknown, is passed over, and the next one is
//! looked at; without any the socket simply has no compression. That holds as well for a field that is no list of extensions
//! at all, as the original never looks at it.

use http::HeaderValue;

use super::agreed::{Agreed, Compression};

const NAME: &str = "permessage-deflate";
const SERVER_FORGETS: &str = "server_no_context_takeover";
const CLIENT_FORGETS: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
const BITS_MAX: u8 = 15;

/// What a client of ours offers: neither end need keep anything, and the server may have a smaller window.
pub(crate) const OFFER: &str =
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits";

/// One offer, or the answer to one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_forgets: bool,
    client_forgets: bool,
    server_bits: Option<u8>,
    /// Without a value in an offer, it says that the client could keep to one.
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// None if one of them is unknown, doubled, or has no value that it may have.
    fn of(list: &[(String, Option<String>)]) -> Option<Self> {
        let mut found = Self::default();
        for (name, value) in list {
            let doubled = match (name.as_str(), value) {
                (SERVER_FORGETS, None) => std::mem::replace(&mut found.server_forgets, true),
                (CLIENT_FORGETS, None) => std::mem::replace(&mut found.client_forgets, true),
                (SERVER_BITS, Some(value)) => found.server_bits.replace(bits(value)?).is_some(),
                (CLIENT_BITS, None) => found.client_bits.replace(None).is_some(),
                (CLIENT_BITS, Some(value)) => found.client_bits.replace(Some(bits(value)?)).is_some(),
                _ => return None,
            };
            if doubled {
                return None;
            }
        }
        Some(found)
    }
}

fn bits(value: &str) -> Option<u8> {
    let number: u8 = value.parse().ok()?;
    // Neither signs nor leading zeros are allowed.
    ((8..=BITS_MAX).contains(&number) && value == number.to_string()).then_some(number)
}

/// What a server agrees on with a client that sent these `Sec-WebSocket-Extensions`, if there is something.
pub(crate) fn agree<'a>(
    fields: impl Iterator<Item = &'a HeaderValue>,
    compression: Compression,
) -> Option<(Agreed, HeaderValue)> {
    let offers = extensions(fields)?;
    let mut acceptable = offers.iter().filter(|(name, _)| name == NAME);
    let offer = acceptable.find_map(|(_, list)| Parameters::of(list))?;
    let agreed = Agreed {
        out_bits: offer.server_bits.unwrap_or(BITS_MAX),
        keeps_out: compression.context_takeover && !offer.server_forgets,
        keeps_in: compression.context_takeover && !offer.client_forgets,
        compression,
    };
    let mut answer = NAME.to_owned();
    for (says, text) in [(!agreed.keeps_out, SERVER_FORGETS), (!agreed.keeps_in, CLIENT_FORGETS)] {
        if says {
            answer.push_str("; ");
            answer.push_str(text);
        }
    }
    if let Some(bits) = offer.server_bits {
        answer.push_str(&format!("; {SERVER_BITS}={bits}"));
    }
    Some((agreed, HeaderValue::from_str(&answer).ok()?))
}

/// A server agreed to something that it was not asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unasked;

/// What a server made of [`OFFER`]: nothing, or something that fits it.
pub(crate) fn accepted<'a>(
    fields: impl Iterator<Item = &'a HeaderValue>,
    compression: Compression,
) -> Result<Option<Agreed>, Unasked> {
    let answers = extensions(fields).ok_or(Unasked)?;
    let (name, list) = match answers.as_slice() {
        [] => return Ok(None),
        [answer] => answer,
        _ => return Err(Unasked),
    };
    let answer = Some(list).filter(|_| name == NAME).and_then(|list| Parameters::of(list)).ok_or(Unasked)?;
    let out_bits = match answer.client_bits {
        None => BITS_MAX,
        Some(Some(bits)) => bits,
        Some(None) => return Err(Unasked),
    };
    // A server that goes on referring to earlier messages, although it was asked not to, is understood.
    Ok(Some(Agreed { out_bits, keeps_out: false, keeps_in: !answer.server_forgets, compression }))
}

type Extension = (String, Vec<(String, Option<String>)>);

/// The extensions that the fields list (RFC 6455, 9.1); none if it is no such list.
fn extensions<'a>(fields: impl Iterator<Item = &'a HeaderValue>) -> Option<Vec<Extension>> {
    let mut found = Vec::new();
    for field in fields {
        let mut rest = field.as_bytes();
        loop {
            rest = rest.trim_ascii_start();
            // Empty elements of a list are to be overlooked (RFC 9110, 5.6.1).
            if !rest.is_empty() && !rest.starts_with(b",") {
                let (extension, after) = extension(rest)?;
                found.push(extension);
                rest = after;
            }
            match rest {
                [] => break,
                [b',', after @ ..] => rest = after,
                _ => return None,
            }
        }
    }
    Some(found)
}

fn extension(text: &[u8]) -> Option<(Extension, &[u8])> {
    let (name, mut rest) = token(text)?;
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let Some(after) = rest.strip_prefix(b";") else { return Some(((name, parameters), rest)) };
        let (name, after) = token(after.trim_ascii_start())?;
        rest = after.trim_ascii_start();
        let value = match rest.strip_prefix(b"=") {
            None => None,
            Some(after) => {
                let after = after.trim_ascii_start();
                let (value, after) = if after.starts_with(b"\"") { quoted(after)? } else { token(after)? };
                rest = after;
                Some(value)
            }
        };
        parameters.push((name, value));
    }
}

fn token(text: &[u8]) -> Option<(String, &[u8])> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    (end > 0).then(|| (String::from_utf8_lossy(token).into_owned(), rest))
}

/// What stands in quotes must be a token as well, once it is read.
fn quoted(text: &[u8]) -> Option<(String, &[u8])> {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate().skip(1);
    loop {
        match bytes.next()? {
            (at, b'"') => {
                let (whole, after) = token(&value)?;
                return after.is_empty().then(|| (whole, text.get(at + 1..).unwrap_or_default()));
            }
            (_, b'\\') => value.push(*bytes.next()?.1),
            (_, byte) => value.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Compression = Compression { message_bytes_min: 0, level: 1, context_takeover: false };
    const KEEPING: Compression = Compression { context_takeover: true, ..PLAIN };

    fn answer(offers: &[&str], compression: Compression) -> String {
        let fields: Vec<HeaderValue> =
            offers.iter().map(|text| HeaderValue::from_str(text).unwrap()).collect();
        let agreed = agree(fields.iter(), compression);
        agreed.map_or_else(String::new, |(_, answer)| answer.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_can_be_accepted_is() {
        let forgets = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let bits = |bits: u8| format!("{forgets}; server_max_window_bits={bits}");
        let cases: [(&[&str], String); 12] = [
            (&["permessage-deflate"], forgets.to_owned()),
            (&["permessage-deflate; client_max_window_bits"], forgets.to_owned()),
            (&["permessage-deflate;client_max_window_bits=9"], forgets.to_owned()),
            (&["x-webkit-deflate-frame, permessage-deflate"], forgets.to_owned()),
            (&["foo; bar=\"b\\az\"; x", "permessage-deflate"], forgets.to_owned()),
            (&["permessage-deflate ; server_max_window_bits = 10"], bits(10)),
            (&["permessage-deflate; server_max_window_bits=\"1\\0\""], bits(10)),
            (&[",, permessage-deflate; server_max_window_bits=8 ,"], bits(8)),
            (&["permessage-deflate; nothing, permessage-deflate; server_max_window_bits=15"], bits(15)),
            (&["permessage-deflate; server_max_window_bits=9, permessage-deflate"], bits(9)),
            (&["permessage-deflate; server_no_context_takeover"], forgets.to_owned()),
            (&["permessage-deflate; client_max_window_bits=77", "permessage-deflate"], forgets.to_owned()),
        ];
        for (offers, expected) in cases {
            assert_eq!(answer(offers, PLAIN), expected, "{offers:?}");
        }
        assert_eq!(answer(&["permessage-deflate"], KEEPING), "permessage-deflate");
        let one = "permessage-deflate; client_no_context_takeover";
        assert_eq!(answer(&[one], KEEPING), one);
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer(&[both], KEEPING), both);
    }

    #[test]
    fn what_cannot_be_accepted_is_declined() {
        let cases = [
            "",
            "deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; client_max_window_bits=\"1 0\"",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=true",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; mux",
            "permessage-deflate; =9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate permessage-deflate",
            "permessage-deflate; ",
            "permessage-deflate, \u{1f}",
            "permessage-deflate; server_max_window_bits=\"\"",
        ];
        for offer in cases {
            let Ok(field) = HeaderValue::from_bytes(offer.as_bytes()) else { continue };
            assert!(agree([&field].into_iter(), PLAIN).is_none(), "{offer}");
        }
    }

    #[test]
    fn a_server_must_answer_what_was_offered() {
        let read = |answers: &[&str]| {
            let fields: Vec<HeaderValue> =
                answers.iter().map(|text| HeaderValue::from_str(text).unwrap()).collect();
            accepted(fields.iter(), PLAIN)
        };
        assert_eq!(read(&[]), Ok(None));
        let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let agreed = Agreed { out_bits: 15, keeps_out: false, keeps_in: false, compression: PLAIN };
        assert_eq!(read(&[all]), Ok(Some(agreed)));
        let smaller = [all, "; client_max_window_bits=10; server_max_window_bits=9"].concat();
        assert_eq!(read(&[&smaller]), Ok(Some(Agreed { out_bits: 10, ..agreed })));
        assert_eq!(read(&["permessage-deflate"]), Ok(Some(Agreed { keeps_in: true, ..agreed })));
        for answer in
            ["x", "permessage-deflate; x", "permessage-deflate; client_max_window_bits", "a, b", "="]
        {
            assert_eq!(read(&[answer]), Err(Unasked), "{answer}");
        }
        assert_eq!(read(&[all, all]), Err(Unasked));
    }
}
