//! Everything that a room can call, in many rooms of few threads: what one isolate does must never reach another.
//!
//! How: rooms that call each Web API, each function of Node's modules and each algorithm of WebCrypto part by part, so that those of
//! one thread take turns; they leave memory after a moment, and others come. All rooms must answer the same, and the process
//! must be the same at the end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::{Project, get};

const ROOMS: usize = 24;
const PARTS: usize = 8;
/// So many rooms are asked at the same time.
const CLIENTS: usize = 3;
/// For each count of workers; whole rounds, at least one.
const TIME: Duration = Duration::from_secs(10);

const MODULES: &str = "assert async_hooks buffer crypto diagnostics_channel events http https net os path perf_hooks process \
     punycode querystring stream stream/consumers stream/promises stream/web string_decoder timers timers/promises tls url util \
     util/types zlib";

const SERVER: &str = "
import { globals, modules } from './every.mjs';
import { calls, outcome } from './calls.mjs';
import { run } from './tools';
import { pairs, secrets } from './keys';
import { ciphers, digests, signatures, wrapping } from './uses';
const groups = [ciphers, digests, signatures, wrapping, pairs, secrets];
const parts = PARTS;
async function some(part) {
  const seen = {};
  const mine = Object.entries(calls).filter((_, number) => number % parts === part);
  for (const [name, call] of mine) seen[name] = await outcome(call);
  return seen;
}
async function keys() {
  const made = [];
  const { subtle } = crypto;
  for (const algorithm of [{ name: 'HMAC', hash: 'SHA-256' }, { name: 'ECDSA', namedCurve: 'P-256' }, { name: 'Ed25519' }]) {
    const key = await subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const signed = await subtle.sign({ hash: 'SHA-256', ...algorithm }, key.privateKey ?? key, new Uint8Array(9));
    made.push(await subtle.verify({ hash: 'SHA-256', ...algorithm }, key.publicKey ?? key, signed, new Uint8Array(9)));
    made.push(crypto_.KeyObject.from(key.publicKey ?? key).type);
  }
  return made;
}
export default class Server {
  async onRequest(request) {
    const part = Number(new URL(request.url).searchParams.get('part'));
    if (part === parts) return Response.json(await keys());
    const crypt = groups[part] ? await run(groups[part]()) : {};
    return Response.json([globals(part, parts), modules(all, part, parts), await some(part), crypt], null, 1);
  }
}
";

fn project() -> Project {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(here.join(path)).unwrap();
    let (mut code, mut listed) = (String::from("import crypto_ from 'node:crypto';\n"), String::new());
    for (number, name) in MODULES.split(' ').enumerate() {
        code.push_str(&format!("import * as m{number} from 'node:{name}';\n"));
        listed.push_str(&format!("'{name}': m{number}, "));
    }
    let server = SERVER.replace("PARTS", &PARTS.to_string());
    let project = Project::new(&[("server.ts", &format!("{code}const all = {{ {listed} }};\n{server}"))]);
    project.write("every.mjs", &read("tests/rooms/every.mjs"));
    project.write("calls.mjs", &read("../fixtures/node-calls/calls.mjs"));
    for file in ["tools.ts", "keys.ts", "uses.ts", "keys.json"] {
        project.write(file, &read(&format!("../fixtures/webcrypto/{file}")));
    }
    project
}

/// Asks each room of a round for one part; the first answer to a part is what the others must be.
fn round(port: u16, number: usize, answers: &Mutex<HashMap<usize, String>>) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for room in (client..ROOMS).step_by(CLIENTS) {
                    let part = (room + number) % (PARTS + 1);
                    let path = format!("/party/{number}-{room}?part={part}");
                    let (status, body) = get(port, &path, "localhost").unwrap();
                    assert_eq!(status, 200, "part {part}: {body}");
                    let mut answers = answers.lock().unwrap();
                    let expected = answers.entry(part).or_insert_with(|| body.clone());
                    let isnt =
                        || format!("part {part} differs in room {room}: {}", difference(expected, &body));
                    assert!(*expected == body, "{}", isnt());
                }
            });
        }
    });
}

fn difference(one: &str, other: &str) -> String {
    let differs = |(one, other): &(&str, &str)| one != other;
    one.lines().zip(other.lines()).find(differs).map_or("in length".to_string(), |lines| format!("{lines:?}"))
}

fn calls_everything(workers: &str) {
    let project = project();
    let server = project.serve(&[
        "dev",
        "server.ts",
        "--workers",
        workers,
        "--persist",
        "false",
        "--limit",
        "room_idle_max=1s",
    ]);
    let process = server.served_by();
    let (answers, begun) = (Mutex::default(), Instant::now());
    let mut number = 0;
    while number == 0 || begun.elapsed() < TIME {
        round(server.port, number, &answers);
        number += 1;
    }
    assert_eq!(server.served_by(), process, "the process ended:\n{}", server.output());
    let output = server.output();
    assert!(!output.contains("panicked"), "{output}");
    println!("{workers} workers: {} rooms", number * ROOMS);
}

#[test]
fn rooms_that_call_everything_share_one_thread() {
    calls_everything("1");
}

#[test]
fn rooms_that_call_everything_share_two_threads() {
    calls_everything("2");
}

#[test]
fn rooms_that_call_everything_share_four_threads() {
    calls_everything("4");
}
