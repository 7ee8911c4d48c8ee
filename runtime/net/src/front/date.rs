//! The `Date` of responses, made once a second for each thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

thread_local! {
    static KNOWN: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The present time as a header's value.
pub(super) fn now() -> HeaderValue {
    let time = SystemTime::now();
    let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    KNOWN.with_borrow_mut(|(known, value)| {
        if *known != second || value.is_empty() {
            *known = second;
            // A date is made of letters, digits and a few signs.
            if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(time)) {
                *value = date;
            }
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_date() {
        let date = super::now();
        let read = httpdate::parse_http_date(date.to_str().unwrap()).unwrap();
        assert!(read.elapsed().unwrap().as_secs() < 60);
        assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len());
    }
}
