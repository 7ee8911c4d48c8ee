//! What is known of a bucket without asking it. The end-to-end tests ask a server.

use super::*;

fn variables<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];

fn address(place: &str, more: &[(&str, &str)]) -> String {
    let set = [&KEYS[..], more].concat();
    let bucket = Bucket::new(place, variables(&set)).unwrap();
    let url = bucket.bucket.object_url(&bucket.key("name"));
    format!("{} {url} {}", bucket.shown(), bucket.bucket.region())
}

#[test]
fn the_variables_say_where_a_bucket_is() {
    let cases = [
        ("s3://chat", &[][..], "s3://chat/ https://chat.s3.us-east-1.amazonaws.com/name us-east-1"),
        (
            "s3://chat/a b/c/",
            &[("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "us-west-1")],
            "s3://chat/a b/c/ https://chat.s3.eu-central-1.amazonaws.com/a%20b/c/name eu-central-1",
        ),
        (
            "s3://my.chat",
            &[("AWS_DEFAULT_REGION", "cn-north-1"), ("AWS_REGION", "")],
            "s3://my.chat/ https://s3.cn-north-1.amazonaws.com.cn/my.chat/name cn-north-1",
        ),
        (
            "s3://chat/x",
            &[("AWS_ENDPOINT_URL", "http://localhost:1"), ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")],
            "s3://chat/x/ http://127.0.0.1:9000/chat/x/name us-east-1",
        ),
        (
            "s3://chat/x",
            &[("AWS_ENDPOINT_URL", "https://h.example/s3"), ("AWS_REGION", "auto")],
            "s3://chat/x/ https://h.example/s3/chat/x/name auto",
        ),
    ];
    for (place, set, expected) in cases {
        assert_eq!(address(place, set), expected);
    }
}

#[test]
fn what_cannot_be_a_bucket_says_why() {
    let refused =
        |place: &str, set: &[(&str, &str)]| Bucket::new(place, variables(set)).unwrap_err().to_string();
    for place in ["s3://", "s3:///x", "s3://ab", "s3://a b c/x", "s3://chat@evil/x", "s3://..chat/x"] {
        let text = refused(place, &KEYS);
        assert!(text.contains("write it as `s3://BUCKET/PREFIX`"), "{text}");
    }
    for place in ["s3://chat/a//b", "s3://chat/../x", "s3://chat/a/./b", "s3://chat/a\nb", "s3://chat//a"] {
        let text = refused(place, &KEYS);
        assert!(text.contains("must not have empty parts"), "{place:?}: {text}");
    }
    assert_eq!(
        refused("s3://chat", &[]),
        "s3://chat cannot be used: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: the keys of S3 storage come \
         from these variables of the environment."
    );
    let text = refused("s3://chat", &KEYS[..1]);
    assert!(text.contains(": AWS_SECRET_ACCESS_KEY is not set:"), "{text}");
    let with = |name, value| refused("s3://chat", &[&KEYS[..], &[(name, value)]].concat());
    assert!(
        with("AWS_ENDPOINT_URL_S3", "127.0.0.1:9000").contains("AWS_ENDPOINT_URL_S3 is \"127.0.0.1:9000\"")
    );
    assert!(with("AWS_ENDPOINT_URL", "ftp://h").contains("UnsupportedScheme"));
    assert!(with("AWS_REGION", "eu/../x").contains("\"eu/../x\" is no region of AWS"));
    assert!(with("SSL_CERT_FILE", "/nothing/here").contains("/nothing/here (SSL_CERT_FILE)"));
}

#[test]
fn errors_are_read_whatever_their_name_space() {
    let text = r#"<?xml version="1.0"?><Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <Code>NoSuchBucket</Code><Message>It&apos;s &lt;not&gt; &amp;there.</Message></Error>"#;
    assert_eq!(ask::error_of(text), ("NoSuchBucket".to_owned(), "It's <not> &there.".to_owned()));
    assert_eq!(ask::error_of("<html>502</html>"), (String::new(), String::new()));
    // What a server says drives no terminal and fills no log.
    let (_, message) = ask::error_of(&format!("<Message>\u{1b}[2J{}</Message>", "x".repeat(5000)));
    assert!(!message.contains('\u{1b}') && message.len() == 300, "{message}");
}
