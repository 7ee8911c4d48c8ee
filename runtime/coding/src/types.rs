//! Which content becomes shorter: the types that the platform compresses, and all text.

/// Whether content of a type is worth compressing. `text/event-stream` is none, as on the platform: its events are short, and
/// whatever holds one back breaks it.
pub fn is_compressible(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    if let Some(text) = essence.strip_prefix(b"text/") {
        return text != b"event-stream";
    }
    if essence.ends_with(b"+json") || essence.ends_with(b"+xml") {
        return true;
    }
    const APPLICATION: [&[u8]; 22] = [
        b"eot",
        b"font",
        b"font-sfnt",
        b"font-woff",
        b"graphql",
        b"javascript",
        b"json",
        b"opentype",
        b"otf",
        b"truetype",
        b"ttf",
        b"vnd.ms-fontobject",
        b"wasm",
        b"x-httpd-cgi",
        b"x-javascript",
        b"x-ndjson",
        b"x-opentype",
        b"x-otf",
        b"x-perl",
        b"x-protobuf",
        b"x-ttf",
        b"xml",
    ];
    match essence.strip_prefix(b"application/") {
        Some(name) => APPLICATION.contains(&name),
        None => matches!(
            &*essence,
            b"font/ttf" | b"font/otf" | b"font/x-woff" | b"image/x-icon" | b"image/vnd.microsoft.icon"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::is_compressible;

    #[test]
    fn text_is_and_what_is_packed_is_not() {
        for yes in [
            "text/html",
            "Text/Plain; charset=utf-8",
            "application/json",
            "application/ld+json ;x",
            "image/svg+xml",
            "application/wasm",
            "font/ttf",
            "text/x-anything",
        ] {
            assert!(is_compressible(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "text",
            "text/event-stream",
            "image/png",
            "application/octet-stream",
            "font/woff2",
            "video/mp4",
            "json",
        ] {
            assert!(!is_compressible(no.as_bytes()), "{no}");
        }
    }
}
