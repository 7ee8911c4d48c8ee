//! Origins of web pages, as `allowedOrigins` and `cors` name them: `https://example.com`, `https://*.example.com`, `same-host`.

/// What is wrong with a text that should name an origin, as what to do instead; `Ok` if nothing is.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text == "same-host" {
        return Ok(());
    }
    if text == "*" {
        return Err("leave the field out: without it every origin is allowed".to_owned());
    }
    if text.to_ascii_lowercase().starts_with("same") && !text.contains(['.', ':']) {
        return Err("did you mean `\"same-host\"`?".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let host = text.trim_start_matches('/');
        return Err(format!("an origin begins with its scheme: `\"https://{host}\"`"));
    };
    if !matches!(scheme, "http" | "https" | "tauri" | "capacitor" | "ionic")
        && !scheme.ends_with("-extension")
    {
        let near = if scheme.eq_ignore_ascii_case("http") { "http" } else { "https" };
        let near = if matches!(scheme, "ws" | "htp" | "htttp") { "http" } else { near };
        return Err(format!(
            "the origin of a page is not `{scheme}://`; did you mean `\"{near}://{rest}\"`?"
        ));
    }
    if let Some(end) = rest.find(['/', '?', '#']) {
        let host = rest.get(..end).unwrap_or(rest);
        return Err(format!("an origin has no path: write `\"{scheme}://{host}\"`"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    match port {
        Some("443") if scheme == "https" => {
            return Err(format!("browsers leave this port out: `\"{scheme}://{host}\"`"));
        }
        Some("80") if scheme == "http" => {
            return Err(format!("browsers leave this port out: `\"{scheme}://{host}\"`"));
        }
        Some(port) if port.parse::<u16>().is_err() => {
            return Err("its port is not a number up to 65535".to_owned());
        }
        _ => {}
    }
    if host != host.to_ascii_lowercase() {
        return Err(format!("browsers send it in lower case: `\"{}\"`", text.to_ascii_lowercase()));
    }
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if plain.contains('*') {
        return Err(
            "`*` stands for subdomains, at the beginning only: `\"https://*.example.com\"`".to_owned()
        );
    }
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
    if plain.is_empty() || !plain.chars().all(is_host) {
        return Err("write it as a browser does: `\"https://example.com\"`, with Punycode for other letters"
            .to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn origins_are_right() {
        for origin in [
            "same-host",
            "https://example.com",
            "https://*.example.com",
            "http://localhost:3000",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "chrome-extension://abcdefgh",
            "capacitor://localhost",
        ] {
            assert_eq!(check(origin), Ok(()), "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_gets_a_guess() {
        for (text, guess) in [
            ("example.com", "\"https://example.com\""),
            ("https://example.com/", "\"https://example.com\""),
            ("https://example.com/chat?x", "\"https://example.com\""),
            ("wss://example.com", "\"https://example.com\""),
            ("ws://localhost:3000", "\"http://localhost:3000\""),
            ("https://example.com:443", "\"https://example.com\""),
            ("http://localhost:80", "\"http://localhost\""),
            ("https://Example.com", "\"https://example.com\""),
            ("https://a.*.example.com", "\"https://*.example.com\""),
            ("https://*example.com", "\"https://*.example.com\""),
            ("samehost", "\"same-host\""),
            ("same-origin", "\"same-host\""),
            ("*", "every origin"),
            ("https://", "as a browser does"),
            ("https://a b", "as a browser does"),
            ("https://a:99999", "port"),
        ] {
            let fix = check(text).expect_err(text);
            assert!(fix.contains(guess), "{text}: {fix}");
        }
    }
}
