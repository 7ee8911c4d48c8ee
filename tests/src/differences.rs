//! The deliberate differences from the original as a page: the cases marked `better`, grouped by topic.
//!
//! Every fixture belongs to exactly one topic. A fixture without one is an error, so that its differences cannot be
//! missing from the page without anybody noticing.

use crate::fixture::Fixture;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::rc::Rc;

/// A heading of the page, what stands below it, and the fixtures whose cases it lists.
struct Topic {
    heading: &'static str,
    introduction: &'static str,
    fixtures: &'static [&'static str],
}

const TOPICS: &[Topic] = &[
    Topic {
        heading: "Connections and WebSockets",
        introduction: "How sockets open and close, who is in `room.getConnections()`, and what a client sees.",
        fixtures: &["addressing", "chat", "clients", "connections", "endings", "react", "websocket"],
    },
    Topic {
        heading: "Rooms: start, errors and hibernation",
        introduction: "When a room starts, what happens when its code throws, and what survives hibernation.",
        fixtures: &["entry", "failures", "hibernation", "legacy", "lifecycle"],
    },
    Topic {
        heading: "Storage and alarms",
        introduction: "What storage and its transactions do, which values can be stored, and when alarms fire.",
        fixtures: &["alarms", "durability", "numbers", "storage", "transactions", "values"],
    },
    Topic {
        heading: "Routing, hooks, parties and crons",
        introduction: "Which room a request reaches, the static handlers in front of it, and calls between parties.",
        fixtures: &["crons", "edge", "hooks", "parties", "routing"],
    },
    Topic {
        heading: "Requests and responses",
        introduction: "Headers and bodies of HTTP messages, and how they are encoded and rewritten.",
        fixtures: &["compression", "encodings", "headers", "rewriter"],
    },
    Topic {
        heading: "Static files",
        introduction: "partyrun serves files to browsers in production, so it does what a web server does.",
        fixtures: &["assets"],
    },
    Topic {
        heading: "Configuration and commands",
        introduction: "Mistakes are reported with their place, and the command ends with a useful exit code.",
        fixtures: &["config"],
    },
    Topic {
        heading: "Building",
        introduction: "How the project's modules and packages become one program.",
        fixtures: &["bundling", "configurations", "elements", "modules", "monorepo", "resolving", "tsconfig"],
    },
    Topic {
        heading: "JavaScript, Workers and Node",
        introduction: "What code finds in its globals and in Node's built-in modules.",
        fixtures: &[
            "node-calls",
            "node-more",
            "node-network",
            "node-shared",
            "packages",
            "surface",
            "time",
            "webcrypto",
            "workers",
        ],
    },
    Topic {
        heading: "Outgoing connections, TLS and databases",
        introduction: "Requests and sockets from a room to other servers.",
        fixtures: &["databases", "outbound", "tls"],
    },
    Topic {
        heading: "Bindings",
        introduction: "KV namespaces, buckets, vector indexes and AI, all without an account.",
        fixtures: &["bindings"],
    },
];

/// The deliberate differences as Markdown: a heading, a sentence and a table for each topic that has any.
pub fn markdown(fixtures: &[Rc<Fixture>]) -> Result<String> {
    for fixture in fixtures {
        let count = TOPICS.iter().filter(|topic| topic.fixtures.contains(&fixture.name.as_str())).count();
        if count != 1 {
            let name = &fixture.name;
            bail!(
                "the fixture `{name}` is in {count} topics: put it into one of TOPICS in tests/src/differences.rs"
            );
        }
    }
    let mut out = String::new();
    for topic in TOPICS {
        let rows = rows(topic, fixtures)?;
        if rows.is_empty() {
            continue;
        }
        let break_before = if out.is_empty() { "" } else { "\n" };
        let _ = write!(out, "{break_before}## {}\n\n{}\n\n", topic.heading, topic.introduction);
        let _ = writeln!(
            out,
            "| What partyrun does | Why it differs from the original | Shown by |\n|---|---|---|"
        );
        out.push_str(&rows);
    }
    Ok(out)
}

fn rows(topic: &Topic, fixtures: &[Rc<Fixture>]) -> Result<String> {
    let mut out = String::new();
    for name in topic.fixtures {
        let fixture = fixtures.iter().find(|fixture| fixture.name == *name).with_context(|| {
            format!("there is no fixture `{name}`: take it out of TOPICS in tests/src/differences.rs")
        })?;
        for case in &fixture.cases {
            if let Some(reason) = &case.better {
                let cell = |text: &str| text.replace('|', "\\|");
                let _ = writeln!(out, "| {} | {} | `{name}` |", cell(&case.name), cell(reason));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::ServerSpec;

    fn fixture(name: &str) -> Rc<Fixture> {
        let (server, cases) = (ServerSpec::default(), Vec::new());
        Rc::new(Fixture { name: name.into(), folder: name.into(), server, cases })
    }

    fn known() -> Vec<Rc<Fixture>> {
        TOPICS.iter().flat_map(|topic| topic.fixtures).map(|name| fixture(name)).collect()
    }

    #[test]
    fn a_fixture_without_a_topic_is_named() {
        let mut fixtures = known();
        assert!(markdown(&fixtures).is_ok());
        fixtures.push(fixture("brand-new"));
        let error = markdown(&fixtures).unwrap_err().to_string();
        assert!(error.starts_with("the fixture `brand-new` is in 0 topics: "), "{error}");
    }

    #[test]
    fn a_topic_without_its_fixture_is_an_error() {
        let error = markdown(&known()[1..]).unwrap_err().to_string();
        assert!(error.starts_with("there is no fixture `addressing`: "), "{error}");
    }
}
