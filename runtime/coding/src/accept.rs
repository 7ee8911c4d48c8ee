//! What a client says about codings (RFC 9110, 12.5.3).

use http::{HeaderMap, header};

use crate::Coding;

/// The codings that a request accepts, with their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accepted {
    /// The client says something at all.
    said: bool,
    gzip: Option<f32>,
    brotli: Option<f32>,
    zstd: Option<f32>,
    identity: Option<f32>,
    any: Option<f32>,
}

impl Accepted {
    /// Reads the fields `accept-encoding`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            accepted.said = true;
            for item in value.as_bytes().split(|&byte| byte == b',') {
                accepted.add(item);
            }
        }
        accepted
    }

    fn add(&mut self, item: &[u8]) {
        let mut parts = item.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(|part| weight(part.trim_ascii())).unwrap_or(1.0);
        let is = |token: &[u8]| name.eq_ignore_ascii_case(token);
        let slot = if is(b"gzip") || is(b"x-gzip") {
            &mut self.gzip
        } else if is(b"br") {
            &mut self.brotli
        } else if is(b"zstd") {
            &mut self.zstd
        } else if is(b"identity") {
            &mut self.identity
        } else if is(b"*") {
            &mut self.any
        } else {
            return;
        };
        *slot = Some(weight);
    }

    fn weight(&self, coding: Coding) -> f32 {
        let weight = match coding {
            Coding::Gzip => self.gzip.or(self.any),
            Coding::Brotli => self.brotli.or(self.any),
            // Whoever says "anything" may be older than this one.
            Coding::Zstd => self.zstd,
        };
        weight.unwrap_or(0.0)
    }

    /// Whether the client takes it. One that says nothing takes anything.
    pub fn takes(&self, coding: Coding) -> bool {
        !self.said || self.weight(coding) > 0.0
    }

    /// Those of the codings that the client asks for, the preferred one first; among equals the order stays. None is asked for
    /// by a client that prefers plain content, or says nothing.
    pub fn preferred<const COUNT: usize>(
        &self,
        codings: [Coding; COUNT],
    ) -> impl Iterator<Item = Coding> + use<COUNT> {
        let plain = self.identity.unwrap_or(0.0);
        let mut weighed = codings.map(|coding| (self.weight(coding), coding));
        weighed.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        weighed
            .into_iter()
            .filter(move |(weight, _)| *weight > 0.0 && *weight >= plain)
            .map(|(_, coding)| coding)
    }
}

/// The weight that a parameter says; nothing acceptable is what cannot be read.
fn weight(parameter: &[u8]) -> Option<f32> {
    let (b"q" | b"Q", rest) = parameter.split_at_checked(1)? else { return None };
    let text = std::str::from_utf8(rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii()).unwrap_or("");
    let weight: f32 = text.parse().unwrap_or(0.0);
    Some(if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    fn accepted(values: &[&'static str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        Accepted::of(&headers)
    }

    #[test]
    fn preference_is_by_weight_then_by_the_server() {
        let cases: [(&[&str], &[Coding]); 19] = [
            (&[], &[]),
            (&[""], &[]),
            (&["gzip"], &[Gzip]),
            (&["gzip, deflate, br, zstd"], &[Zstd, Brotli, Gzip]),
            (&["gzip", "br"], &[Brotli, Gzip]),
            (&["br;q=0.5, gzip"], &[Gzip, Brotli]),
            (&["br;q=0, gzip;q=0"], &[]),
            (&["*"], &[Brotli, Gzip]),
            (&["*;q=0"], &[]),
            (&["br;q=0, *"], &[Gzip]),
            (&["identity"], &[]),
            (&["identity, gzip;q=0.5"], &[]),
            (&["identity;q=0.5, gzip;q=0.5"], &[Gzip]),
            (&["GZIP ; q=0.3"], &[Gzip]),
            (&["gzip;q=x"], &[]),
            (&["gzip;q=NaN"], &[]),
            (&["gzip;q=inf, br;q=9"], &[Brotli]),
            (&["zstd;q=0.1, x-gzip;q=0.2"], &[Gzip, Zstd]),
            (&["gzip;level=9;q=0"], &[]),
        ];
        for (values, expected) in cases {
            let found: Vec<Coding> = accepted(values).preferred([Zstd, Brotli, Gzip]).collect();
            assert_eq!(found, expected, "{values:?}");
        }
    }

    #[test]
    fn a_client_that_says_nothing_takes_anything() {
        let cases: [(&[&str], bool); 9] = [
            (&[], true),
            (&["gzip"], true),
            (&["br, GZIP;q=0.1"], true),
            (&["*"], true),
            (&["br", "gzip"], true),
            (&["identity"], false),
            (&["gzip;q=0, *"], false),
            (&["gzip; Q=0.000"], false),
            (&["br"], false),
        ];
        for (values, expected) in cases {
            assert_eq!(accepted(values).takes(Gzip), expected, "{values:?}");
        }
    }
}
