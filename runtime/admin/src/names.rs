//! Paths and queries of requests, decoded: the names of rooms and keys, and parameters that are known.

use partyrun_store::RoomKey;

use crate::answer::Problem;

/// The segments of a path, each decoded: an id with a slash is written `%2F`. `None` where one is no UTF-8.
pub(crate) fn segments(path: &str) -> Option<Vec<String>> {
    path.strip_prefix('/')?.split('/').map(decode).collect()
}

fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of a query.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a URL; only `known` names may stand in it.
    pub(crate) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect();
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Self(pairs)),
            Some((name, _)) if known.is_empty() => {
                Err(Problem::bad(format!("There is no parameter `{name}` here.")))
            }
            Some((name, _)) => Err(Problem::bad(format!(
                "There is no parameter `{name}` here. There are: {}.",
                known.join(", ")
            ))),
        }
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is there or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// A number up to `most`.
    pub(crate) fn count(&self, name: &str, usual: usize, most: usize) -> Result<usize, Problem> {
        match self.get(name).map(str::parse::<usize>) {
            None => Ok(usual.min(most)),
            Some(Ok(count)) if (1..=most).contains(&count) => Ok(count),
            Some(_) => Err(Problem::bad(format!("`{name}` is a number from 1 to {most}."))),
        }
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)], usual: T) -> Result<T, Problem> {
        let Some(word) = self.get(name) else { return Ok(usual) };
        let found = choices.iter().find(|(known, _)| *known == word).map(|(_, choice)| *choice);
        found.ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
            Problem::bad(format!("`{name}` is one of: {}.", words.join(", ")))
        })
    }
}

/// A room by the two segments that name it.
pub(crate) fn room(party: &str, id: &str) -> RoomKey {
    RoomKey::new(party, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once_and_slashes_may_be_inside() {
        let read = |path: &str| segments(path).map(|parts| parts.join("|"));
        assert_eq!(read("/v1/rooms/main/a%2Fb%20c%25").as_deref(), Some("v1|rooms|main|a/b c%"));
        assert_eq!(read("/v1/%zz/%e4").as_deref(), None);
        assert_eq!(read("/v1/%zz%").as_deref(), Some("v1|%zz%"));
        assert_eq!(read("v1"), None);
    }

    #[test]
    fn parameters_that_nobody_knows_are_refused() {
        let query = Query::read(Some("prefix=a%2B&limit=5&clear"), &["prefix", "limit", "clear"]).unwrap();
        assert_eq!((query.get("prefix"), query.has("clear")), (Some("a+"), true));
        assert_eq!(query.count("limit", 50, 100).unwrap(), 5);
        assert!(query.count("limit", 50, 4).is_err());
        assert_eq!(query.count("other", 50, 10).unwrap(), 10);
        let error = Query::read(Some("prefx=a"), &["prefix"]).unwrap_err();
        assert!(error.message.contains("`prefx`") && error.message.contains("prefix"), "{error}");
        assert!(query.choice("prefix", &[("x", 1), ("y", 2)], 1).is_err());
    }
}
