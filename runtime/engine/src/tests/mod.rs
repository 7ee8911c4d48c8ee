//! The engine with programs written by hand: lifecycle, sockets, storage, limits, containment.
//!
//! Rooms that misbehave share one worker with rooms that must not notice, so that luck of placement hides nothing. Sockets
//! are the in-process kind that rooms use among themselves; the network has its own tests.

mod churn;
mod footprint;
mod limits;
mod memory;
mod parties;
mod rooms;
mod shared;
mod time;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use partyrun_limits::Limits;
use partyrun_net::{Body, Request, RequestUrl, Response};
use partyrun_store::{Memory, RoomKey};

use crate::*;

#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(crate) fn all(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("")
    }
}

impl Observer for Lines {
    fn console(&self, source: &Source, _level: Level, text: &str) {
        let name = match source {
            Source::Room(key) => key.id().to_string(),
            Source::Edge => "edge".to_string(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("[{name}] {text}"));
    }

    fn assets(&self, _path: String) -> BoxFuture<'static, Option<Response>> {
        Box::pin(async { None })
    }
}

static PLATFORM: Once = Once::new();

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) lines: Arc<Lines>,
}

pub(crate) fn platform() {
    PLATFORM.call_once(|| Engine::init_platform(&Limits::default()));
}

impl Bench {
    /// All that was printed.
    pub(crate) fn printed(&self) -> String {
        self.lines.all()
    }
}

pub(crate) async fn start_with(code: &str, options: EngineOptions) -> Result<Bench, StartError> {
    platform();
    let program = Program::new(code, None).unwrap();
    let lines = Arc::new(Lines::default());
    let engine = Engine::start(options, Arc::new(program), Arc::new(Memory::new()), lines.clone()).await?;
    Ok(Bench { engine, lines })
}

pub(crate) fn one_worker(limits: Limits) -> EngineOptions {
    EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() }
}

pub(crate) async fn start(main: &str) -> Bench {
    start_within(main, quick()).await
}

async fn start_within(main: &str, limits: Limits) -> Bench {
    let code = format!("'use strict'; (host) => ({{ main: {{ default: {main} }}, parties: {{}} }})");
    start_with(&code, one_worker(limits)).await.unwrap()
}

// A short limit, and no worker but one, whatever rooms do to it.
fn quick() -> Limits {
    Limits {
        turn_cpu_max: Duration::from_millis(200),
        slow_workers_max: 0,
        replacement_workers_max: 0,
        ..Limits::default()
    }
}

fn get(path: &str) -> Request {
    Request {
        method: ::http::Method::GET,
        url: RequestUrl::parse(&format!("http://localhost:1999{path}")).unwrap(),
        headers: ::http::HeaderMap::new(),
        version: ::http::Version::HTTP_11,
        body: Body::Empty,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        upgrade: None,
        client: None,
    }
}

impl Bench {
    pub(crate) async fn get(&self, room: &str) -> (u16, String) {
        self.path(room, "").await
    }

    pub(crate) async fn path(&self, room: &str, rest: &str) -> (u16, String) {
        self.ask("main", room, rest).await
    }

    pub(crate) async fn ask(&self, party: &str, room: &str, rest: &str) -> (u16, String) {
        let request = get(&format!("/party/{room}{rest}"));
        read(self.engine.room(RoomKey::new(party, room), request).await).await
    }

    /// The answer of a room, unread.
    pub(crate) async fn response(&self, room: &str) -> Response {
        self.engine.room(RoomKey::new("main", room), get(&format!("/party/{room}"))).await
    }

    /// The answer of a room to a POST.
    pub(crate) async fn send(&self, room: &str, body: Body) -> Response {
        let request = Request { method: ::http::Method::POST, body, ..get(&format!("/party/{room}")) };
        self.engine.room(RoomKey::new("main", room), request).await
    }

    pub(crate) async fn edge(&self, path: &str) -> (u16, String) {
        match self.engine.edge_fetch(get(path)).await {
            Fetched::Respond(response) => read(response).await,
            Fetched::Pass(_) => panic!("{path} was passed on"),
        }
    }
}

pub(crate) async fn read(response: Response) -> (u16, String) {
    let status = response.status;
    let mut text = Vec::new();
    // Tests of bodies that fail look at what came before.
    let _failed = response.body.gather(&mut text).await;
    (status, String::from_utf8_lossy(&text).into_owned())
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_room_answers_and_keeps_its_state() {
    run(async {
        let bench = start(
            "class { constructor(room) { this.room = room; this.n = 0; }
               async onStart() { await new Promise((done) => setTimeout(done, 20)); this.started = true; }
               onRequest(request) {
                 this.n++;
                 return Response.json({ id: this.room.id, n: this.n, started: this.started, url: request.url });
               } }",
        )
        .await;
        let first = bench.path("a", "?x=1").await;
        assert_eq!(
            first,
            (200, r#"{"id":"a","n":1,"started":true,"url":"http://localhost:1999/party/a?x=1"}"#.to_string())
        );
        assert!(bench.get("a").await.1.contains("\"n\":2"));
        assert!(bench.get("b").await.1.contains("\"n\":1"));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_client_that_leaves_before_its_handshake_is_answered_is_a_lost_connection() {
    run(async {
        for hibernate in [false, true] {
            let bench = start(&format!(
                "class {{ options = {{ hibernate: {hibernate} }}; heard = [];
                   constructor(room) {{ this.room = room; }}
                   async onStart() {{ await new Promise((done) => setTimeout(done, 100)); }}
                   async onConnect(connection) {{
                     await this.room.storage.get('x');
                     connection.send('hello');
                     this.heard.push('connect');
                   }}
                   onClose() {{ this.heard.push('close'); }}
                   onRequest() {{ return Response.json([this.heard, [...this.room.getConnections()].length]); }} }}"
            ))
            .await;
            let (upgrade, _offer) = partyrun_net::Upgrade::offer();
            let request = Request { upgrade: Some(upgrade), ..get("/party/a") };
            let mut asking = Box::pin(bench.engine.room(RoomKey::new("main", "a"), request));
            assert!(futures_util::poll!(&mut asking).is_pending());
            drop(asking);
            let mut heard = String::new();
            while !heard.contains("close") {
                heard = bench.get("a").await.1;
            }
            assert_eq!(heard, r#"[["connect","close"],0]"#);
            bench.engine.stop(Duration::from_secs(2)).await;
        }
    });
}

#[test]
fn errors_are_answered_as_the_original_does() {
    run(async {
        let bench = start(
            "class { onRequest(request) {
               const kind = new URL(request.url).searchParams.get('k');
               if (kind === 'error') throw new Error('boom');
               if (kind === 'code') throw Object.assign(new Error('teapot'), { code: 418 });
               if (kind === 'string') throw 'text';
               if (kind === 'async') return Promise.reject(new Error('later'));
               if (kind === 'none') return undefined;
               if (kind === 'stream') return new Response(new ReadableStream({
                 async pull(c) { c.enqueue(new TextEncoder().encode('piece ')); c.close(); } }));
               return new Response(kind, { status: 201, headers: { 'x-kind': 'yes' } });
             } }",
        )
        .await;
        assert_eq!(bench.path("a", "?k=error").await, (500, "boom".into()));
        assert_eq!(bench.path("a", "?k=code").await, (418, "teapot".into()));
        assert_eq!(bench.path("a", "?k=string").await, (500, "text".into()));
        assert_eq!(bench.path("a", "?k=async").await, (500, "later".into()));
        assert_eq!(
            bench.path("a", "?k=none").await,
            (500, "Incorrect type for Promise: the Promise did not resolve to 'Response'.".into())
        );
        assert_eq!(bench.path("a", "?k=stream").await, (200, "piece ".into()));
        assert_eq!(bench.path("a", "?k=plain").await, (201, "plain".into()));
        assert!(bench.lines.all().contains("onRequest error Error: boom"), "{}", bench.lines.all());
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn storage_is_read_in_the_turn_and_rolled_back() {
    run(async {
        let bench = start(
            "class { constructor(room) { this.s = room.storage; }
               async onRequest(request) {
                 const k = new URL(request.url).searchParams.get('k');
                 if (k === 'put') { await this.s.put('a', { n: 1, d: new Date(5) }); await this.s.put({ b: 2, c: 3 }); }
                 if (k === 'txn') {
                   try { await this.s.transaction(async (t) => { await t.put('a', 9); throw new Error('no'); }); } catch {}
                 }
                 if (k === 'sync') { await this.s.put('z', 1); await this.s.sync(); }
                 const all = [...(await this.s.list()).entries()];
                 return Response.json(all);
               } }",
        )
        .await;
        let stored = r#"[["a",{"n":1,"d":"1970-01-01T00:00:00.005Z"}],["b",2],["c",3]]"#;
        assert_eq!(bench.path("a", "?k=put").await, (200, stored.into()));
        assert_eq!(bench.path("a", "?k=txn").await, (200, stored.into()));
        assert_eq!(bench.path("b", "?k=get").await, (200, "[]".into()));
        assert!(bench.path("a", "?k=sync").await.1.contains(r#"["z",1]"#));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

// Every kind of runaway code.
const RUNAWAY: &str = "class { constructor(room) { this.room = room; }
    onRequest(request) {
      const kind = new URL(request.url).searchParams.get('k');
      if (kind === 'loop') for (;;) {}
      if (kind === 'micro') { const f = () => Promise.resolve().then(f); f(); return new Promise(() => {}); }
      if (kind === 'regex') return new Response(String(/^(a+)+$/.test('a'.repeat(40) + '!')));
      if (kind === 'heap') { const all = []; for (;;) all.push(new Array(1000).fill({}).map(() => ({}))); }
      if (kind === 'builtins') { const all = []; for (;;) all.push(new Array(1000).fill({})); }
      if (kind === 'repeat') { let s = 'x'; const all = []; for (;;) { s = s.repeat(2); all.push(s + all.length); } }
      if (kind === 'buffers') { const all = []; for (;;) all.push(new ArrayBuffer(1 << 20)); }
      if (kind === 'queue') { const f = () => { queueMicrotask(f); queueMicrotask(f); }; f(); return new Promise(() => {}); }
      if (kind === 'map') { const all = new Map(); for (let i = 0;; i++) all.set(i, [i]); }
      if (kind === 'json') { const all = []; for (;;) all.push(JSON.parse(`[${new Array(1000).fill('{}')}]`)); }
      if (kind === 'reviver') JSON.parse('[1,2]', () => { for (;;) {} });
      if (kind === 'recursion') { const f = () => { try { f(); } finally { f(); } }; f(); return new Promise(() => {}); }
      if (kind === 'sort') { const a = [3, 2, 1]; a.sort(() => { for (;;) a.push({}); }); }
      if (kind === 'resizable') {
        const all = [];
        for (;;) { const b = new ArrayBuffer(1, { maxByteLength: 1 << 26 }); b.resize(1 << 26);
          new Uint8Array(b).fill(1); all.push(b); }
      }
      if (kind === 'shared') {
        const all = [];
        for (;;) { const b = new SharedArrayBuffer(1, { maxByteLength: 1 << 26 }); b.grow(1 << 26);
          new Uint8Array(b).fill(1); all.push(b); }
      }
      if (kind === 'wasm') {
        const all = [];
        for (;;) { const m = new WebAssembly.Memory({ initial: 1, maximum: 2048 }); m.grow(2000);
          new Uint8Array(m.buffer).fill(1); all.push(m); }
      }
      if (kind === 'timers') { for (let i = 0; i < 1e6; i++) setTimeout(() => {}, 1e6); }
      return new Response('fine');
    } }";

// In room A of a worker that it shares with room B; what A is told must name one of the reasons.
async fn run_away(limits: Limits, kinds: &[(&str, &[&str])]) {
    let bench = start_within(RUNAWAY, limits).await;
    for (kind, reasons) in kinds {
        assert_eq!(bench.path("b", "?k=ok").await, (200, "fine".into()));
        let (status, text) = bench.path("a", &format!("?k={kind}")).await;
        assert_eq!(status, 500, "{kind}: {text}");
        assert!(reasons.iter().any(|reason| text.contains(reason)), "{kind}: {text}");
        assert_eq!(bench.path("b", "?k=ok").await, (200, "fine".into()), "after {kind}");
        assert_eq!(bench.path("a", "?k=ok").await, (200, "fine".into()), "after {kind}");
    }
    bench.engine.stop(Duration::from_secs(2)).await;
}

const REFUSED: &str =
    "The room would use more than 128 MiB outside of its heap (limit `external_bytes_max`).";
const OUTSIDE: &str = "`onRequest` used more than 128 MiB outside of its heap (limit `external_bytes_max`)";
const HEAP: &str = "`onRequest` used more than 128 MiB of heap (limit `heap_bytes_max`)";

#[test]
fn a_room_that_does_not_end_is_reset_and_its_neighbour_lives() {
    let cpu = "`onRequest` ran for more than 200 ms of CPU time (limit `turn_cpu_max`)";
    run(run_away(
        quick(),
        &[
            ("loop", &[cpu]),
            ("micro", &[cpu]),
            ("regex", &[cpu]),
            ("reviver", &[cpu]),
            ("recursion", &[cpu]),
            ("queue", &[cpu, HEAP]),
            ("timers", &["A room cannot have more than 10000 timers waiting (limit `timers_max`)."]),
            // What has to be written to grow may take longer than it may take.
            ("resizable", &[cpu, HEAP, OUTSIDE]),
            ("shared", &[cpu, HEAP, OUTSIDE, REFUSED]),
            ("wasm", &[cpu, HEAP, OUTSIDE]),
        ],
    ));
}

// Without `heap_grace_bytes` V8 would end the process before the room is ended.
#[test]
fn a_room_that_takes_memory_is_reset_and_its_neighbour_lives() {
    run(run_away(
        Limits { turn_cpu_max: Duration::from_secs(120), ..quick() },
        &[
            ("builtins", &[HEAP]),
            ("heap", &[HEAP]),
            ("map", &[HEAP]),
            ("json", &[HEAP]),
            ("sort", &[HEAP]),
            ("repeat", &["Invalid string length", HEAP]),
            ("buffers", &["Array buffer allocation failed", HEAP, OUTSIDE]),
        ],
    ));
}

#[test]
fn a_runaway_edge_is_reset_and_works_again() {
    run(async {
        let bench = start(
            "class { static onFetch(request) {
               if (request.url.endsWith('loop')) for (;;) {}
               return new Response('fine'); } }",
        )
        .await;
        for (path, status) in [("/loop", 500), ("/", 200), ("/loop", 500), ("/", 200)] {
            assert_eq!(bench.edge(path).await.0, status, "{path}");
        }
        let told = "[edge] The isolate of the static handlers was reset: \
                    `onFetch` ran for more than 200 ms of CPU time (limit `turn_cpu_max`)\n";
        assert_eq!(bench.lines.all(), told.repeat(2));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_program_that_cannot_start_says_why() {
    run(async {
        let limits = Limits { start_cpu_max: Duration::from_millis(200), ..Limits::default() };
        let endless = start_with("(host) => { for (;;) {} }", one_worker(limits)).await.err().unwrap();
        assert_eq!(
            endless.to_string(),
            "The project did not start: importing the project used more than 200 ms of CPU time (limit `start_cpu_max`)."
        );
        let thrown =
            start_with("'use strict'; (host) => { throw new Error('at the top') }", EngineOptions::default());
        assert!(thrown.await.err().unwrap().to_string().contains("at the top"));
        let wrong = "(host) => ({ main: { default: { onConnect: 1 } }, parties: {} })";
        let wrong = start_with(wrong, EngineOptions::default()).await.err().unwrap().to_string();
        assert_eq!(wrong, ".onConnect should be a function");
        let awaited = "async (host) => { await new Promise((done) => setTimeout(done, 5)); \
                        return { main: { default: class { onRequest() { return new Response('ok') } } }, parties: {} } }";
        let bench = start_with(awaited, one_worker(Limits::default())).await.unwrap();
        assert_eq!(bench.get("a").await, (200, "ok".into()));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn rooms_reach_each_other_and_keep_their_sockets_through_hibernation() {
    run(async {
        let bench = start(
            "class { options = { hibernate: true };
               constructor(room) { this.room = room; }
               onConnect(c) { c.setState({ n: 1 }); c.send('hello ' + c.id); }
               onMessage(m, c) { this.room.broadcast(m + ' ' + c.state.n + ' ' + [...this.room.getConnections()].length); }
               async onRequest(request) {
                 const url = new URL(request.url);
                 if (url.searchParams.get('k') === 'fetch') {
                   const r = await this.room.context.parties.main.get('other').fetch('/x?k=inner');
                   return new Response('outer ' + await r.text());
                 }
                 if (url.searchParams.get('k') === 'socket') {
                   this.got = [];
                   this.ws = await this.room.context.parties.main.get('other').socket('/?_pk=me');
                   await new Promise((done) => this.ws.addEventListener('message', (e) => {
                     this.got.push(e.data);
                     if (this.got.length === 1) this.ws.send('ping'); else done();
                   }));
                   return Response.json(this.got);
                 }
                 if (url.searchParams.get('k') === 'again') {
                   await new Promise((done) => {
                     this.ws.addEventListener('message', (e) => { this.got.push(e.data); done(); });
                     this.ws.send('wake');
                   });
                   return Response.json(this.got);
                 }
                 return new Response('inner');
               } }",
        )
        .await;
        assert_eq!(bench.path("one", "?k=fetch").await, (200, "outer inner".into()));
        assert_eq!(bench.path("one", "?k=socket").await, (200, r#"["hello me","ping 1 1"]"#.into()));
        assert!(bench.engine.hibernate(RoomKey::new("main", "other")).await);
        assert_eq!(
            bench.path("one", "?k=again").await,
            (200, r#"["hello me","ping 1 1","wake 1 1","wake 1 1"]"#.into())
        );
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_thread_for_each_room_works_too() {
    run(async {
        let code = "(host) => ({ main: { default: class { constructor(r) { this.r = r }
            onRequest() { return new Response(this.r.id) } } }, parties: {} })";
        let options = EngineOptions { workers: Workers::PerRoom, ..EngineOptions::default() };
        let bench = start_with(code, options).await.unwrap();
        for room in ["a", "b", "c", "a"] {
            assert_eq!(bench.get(room).await, (200, room.into()));
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
