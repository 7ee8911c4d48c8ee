//! Two rooms in one isolate, driven through the dispatch table with a host that notes who asks: every op names the room that it
//! belongs to, whichever room's turn it is called in.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use deno_core::{JsRuntime, PollEventLoopOptions, RuntimeOptions, v8};
use deno_error::JsErrorBox;
use partyrun_extensions as ext;
use partyrun_limits::Limits;

use crate::ground::memory::MemoryUse;

/// What was asked: the method's name without its noun, the room, and what was said.
#[derive(Default)]
struct Noted(RefCell<Vec<String>>);

impl Noted {
    fn note(&self, what: &str, room: u32, text: &str) {
        self.0.borrow_mut().push(format!("{what} {} {text}", room.cast_signed()));
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

// Methods that only note their room.
macro_rules! noted {
    ($($name:ident($($argument:ty),*) $(-> $answer:ty = $value:expr)?;)*) => {
        $(noted! { @one $name($($argument),*) $(-> $answer = $value)? })*
    };
    (@one $name:ident($($argument:ty),*)) => {
        fn $name(&self, room: u32, $(_: $argument),*) {
            self.note(stringify!($name), room, "");
        }
    };
    (@one $name:ident($($argument:ty),*) -> $answer:ty = $value:expr) => {
        fn $name(&self, room: u32, $(_: $argument),*) -> $answer {
            self.note(stringify!($name), room, "");
            $value
        }
    };
}

impl ext::Traces for Noted {
    fn trace_begin(&self, _room: u32, _place: &str, _method: &str, _url: &str) -> String {
        String::new()
    }

    fn trace_end(&self, _room: u32, _place: &str, _status: u32) {}

    fn trace_console(&self, room: u32, _place: &str, level: u32, text: &str) {
        ext::Console::console(self, room, level, text);
    }
}

impl ext::Console for Noted {
    fn console(&self, room: u32, _level: u32, text: &str) {
        self.note("console", room, text.trim_end());
    }
}

impl ext::Room for Noted {
    noted! {
        room_hold(bool);
        room_reset(&str);
        room_hibernates(bool);
        room_started(&str);
        room_alarm_done(u32, bool);
    }
}

impl ext::Sockets for Noted {
    fn socket_send_text(&self, room: u32, _index: u32, text: &str) -> u32 {
        self.note("send", room, text);
        ext::wire::SENT
    }
    noted! {
        socket_send_binary(u32, &[u8]) -> u32 = ext::wire::SENT;
        socket_close(u32, i32, &str);
        socket_connect(String, String, String) -> ext::LocalFuture<Result<ext::Reply, JsErrorBox>> =
            Box::pin(async { Err(JsErrorBox::generic("nobody")) });
        socket_forget(u32);
        socket_buffered(u32) -> usize = 0;
    }
}

impl ext::Connections for Noted {
    fn broadcast_text(&self, room: u32, text: &str) -> u32 {
        self.note("broadcast", room, text);
        ext::wire::SENT
    }
    noted! {
        connection_accept(u32);
        connection_list(u32, bool);
        connection_attach(u32, &[u8]);
        connection_tags(u32, Vec<String>);
        broadcast_skip(u32);
        broadcast_binary(&[u8]) -> u32 = ext::wire::SENT;
    }
}

impl ext::Responses for Noted {
    noted! {
        response(u32, u32, &str, ext::Body);
        response_reason(u32, &str);
        response_reject(u32, &str);
    }
}

type Found = Result<Vec<(String, Bytes)>, JsErrorBox>;

impl ext::Storage for Noted {
    noted! {
        storage_get(&str) -> Result<Option<Bytes>, JsErrorBox> = Ok(None);
        storage_get_many(Vec<String>) -> Found = Ok(Vec::new());
        storage_list(ext::ListOptions) -> Found = Ok(Vec::new());
        storage_check_count(usize) -> Result<(), JsErrorBox> = Ok(());
        storage_put(&str, &[u8]) -> Result<(), JsErrorBox> = Ok(());
        storage_put_many(Vec<(String, Bytes)>) -> Result<(), JsErrorBox> = Ok(());
        storage_delete(&str) -> Result<bool, JsErrorBox> = Ok(false);
        storage_delete_many(Vec<String>) -> Result<u32, JsErrorBox> = Ok(0);
        storage_delete_all() -> Result<(), JsErrorBox> = Ok(());
        storage_begin() -> Result<(), JsErrorBox> = Ok(());
        storage_commit() -> Result<(), JsErrorBox> = Ok(());
        storage_rollback() -> Result<(), JsErrorBox> = Ok(());
        storage_get_alarm() -> Result<Option<f64>, JsErrorBox> = Ok(None);
        storage_set_alarm(f64) -> Result<(), JsErrorBox> = Ok(());
        storage_delete_alarm() -> Result<(), JsErrorBox> = Ok(());
        storage_pending() -> bool = false;
        storage_presses() -> bool = false;
        storage_sync() -> ext::LocalFuture<Result<(), JsErrorBox>> = Box::pin(async { Ok(()) });
    }
}

impl ext::Parties for Noted {
    fn party_url(&self, _: &str, _: &str, _: &str) -> Result<String, JsErrorBox> {
        Ok("http://127.0.0.1/parties/main/other".to_string())
    }
    noted! {
        party_fetch(ext::PartyRequest) -> ext::LocalFuture<Result<ext::Reply, String>> =
            Box::pin(async { Err("nobody".to_string()) });
    }
}

impl ext::Assets for Noted {
    noted! {
        assets_fetch(String) -> ext::LocalFuture<Option<ext::Reply>> = Box::pin(async { None });
    }
}

impl ext::Bindings for Noted {
    noted! {
        binding_call(ext::BindingCall) -> ext::LocalFuture<Result<ext::BindingReply, String>> =
            Box::pin(async { Err("nobody".to_string()) });
    }
}

impl ext::Edge for Noted {
    fn edge_forward(&self, _: u32, _: ext::Forwarded) {}
    fn edge_pass(&self, _: u32) {}
    fn edge_wait(&self, _: i32) {}
    fn edge_accept(&self, _: u32, _: &str) -> u32 {
        0
    }
    fn edge_relay(&self, _: u32, _: u32) {}
    fn edge_refuse(&self, _: u32, _: &str) {}
    fn edge_open(&self, _: u32) -> u32 {
        0
    }
}

impl ext::Bundle for Noted {
    fn bundle_wasm(&self, _: u32) -> Option<Arc<v8::CompiledWasmModule>> {
        None
    }
    fn bundle_wasm_bytes(&self, _: u32) -> Option<Bytes> {
        None
    }
    fn bundle_keep_wasm(&self, _: u32, _: v8::CompiledWasmModule) {}
    fn bundle_binary(&self, _: u32) -> Option<Bytes> {
        None
    }
}

const BOOT: &str = r#"
var table = globalThis.__partyrun;
var limits = { timers_max: 2, attachment_bytes_max: 2048, tags_max: 10, tag_chars_max: 256, rejections_printed_max: 5 };
table.boot(JSON.stringify({ limits, env: {}, cf: {}, debug: false, conceal: false, shared: true }));
var module = () => {
  console.log("imported");
  let wake;
  let woken = new Promise((resolve) => wake = resolve);
  const kept = [];
  class Server {
    constructor(room) {
      this.room = room;
    }
    onConnect(connection) {
      kept.push(connection);
    }
    async onMessage(message, sender) {
      const { id, storage, context, broadcast } = this.room;
      if (message === "wait") await woken;
      if (message === "wake") wake();
      if (message === "states") {
        for (const connection of this.room.getConnections()) {
          let said;
          try {
            said = connection.state;
          } catch (error) {
            said = error.message;
          }
          sender.send(`${connection.id} has ${said}`);
        }
        return;
      }
      if (message === "meet") {
        storage.transaction(async () => {
          const other = kept[1 - kept.indexOf(sender)];
          other.send(`from ${id}`);
          console.log(`${id} inside`);
        });
        return;
      }
      if (message === "timers") {
        setTimeout(() => console.log(`${id} timer`), 1);
        setTimeout(() => console.log(`${id} late timer`), 1);
        try {
          setTimeout(() => {}, 1);
        } catch (error) {
          sender.send(error.name);
        }
        return;
      }
      if (message === "late") {
        for (const connection of kept) connection.send(message);
        return;
      }
      console.log(`${id} ${message}`);
      sender.send(`${id} ${message}`);
      broadcast(`${id} ${message}`);
      await storage.put("key", id);
      await context.parties.main.get("other").fetch().catch(() => {});
      new WebSocket("ws://127.0.0.1:1/").onerror = () => console.log(`${id} socket failed`);
      await context.bindings.kv.names.get("key").catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 1));
      console.log(`${id} done`);
    }
  }
  return { default: Server };
};
table.evaluate(() => ({ main: module, parties: {} }));
table.load("main");
var info = (id) => ({ id, party: "main", internalId: id, env: "{}", parties: ["main"], resources: '{"kv":{"names":"names"}}' });
"#;

struct Shared {
    runtime: JsRuntime,
    noted: Rc<Noted>,
}

impl Shared {
    fn new() -> Self {
        super::platform();
        let limits = Limits::default();
        let mut runtime = JsRuntime::new(RuntimeOptions {
            extensions: ext::without_scripts(),
            startup_snapshot: Some(partyrun_snapshot::SNAPSHOT),
            skip_op_registration: true,
            residual_lazy_js_sources: partyrun_snapshot::RESIDUAL_SCRIPTS,
            ..Default::default()
        });
        let noted = Rc::new(Noted::default());
        let state = runtime.op_state();
        let held = MemoryUse::new(&limits).held.clone();
        ext::prepare(&mut state.borrow_mut(), &limits, held, runtime.v8_isolate());
        state.borrow_mut().put(ext::HostRef(noted.clone()));
        let mut shared = Self { runtime, noted };
        shared.run(BOOT);
        shared
    }

    // One event: what the script calls, with all microtasks.
    fn run(&mut self, script: &str) {
        self.runtime.execute_script("event.js", script.to_string()).expect("the script runs");
    }

    async fn rest(&mut self) {
        self.runtime.run_event_loop(PollEventLoopOptions::default()).await.expect("nothing fails");
    }
}

fn lines(noted: &Noted, of: &[&str]) -> Vec<String> {
    let taken = noted.take();
    taken.into_iter().filter(|line| of.iter().any(|kind| line.starts_with(kind))).collect()
}

async fn begun() -> Shared {
    let mut shared = Shared::new();
    for (number, id) in [(3, "a"), (5, "b")] {
        shared.run(&format!("table.start({number}, info('{id}'), [])"));
        shared.run(&format!("table.connect({number}, 0, '{id}', 'http://127.0.0.1/party/{id}', '', true)"));
    }
    shared
}

fn within_a_runtime(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body);
}

#[test]
fn an_op_of_a_shared_isolate_names_its_room() {
    within_a_runtime(async {
        let mut shared = begun().await;
        let noted = shared.noted.clone();
        let at_start = noted.take();
        assert_eq!(at_start[0], "console -1 imported", "no room's code: {at_start:?}");
        assert!(at_start.contains(&"connection_accept 3 ".to_string()), "{at_start:?}");
        assert!(at_start.contains(&"connection_accept 5 ".to_string()), "{at_start:?}");
        // What waits in one room goes on in the turn of the other.
        shared.run("table.message(3, 0, 'wait')");
        assert_eq!(noted.take(), Vec::<String>::new());
        shared.run("table.message(5, 0, 'wake')");
        shared.rest().await;
        let said = noted.take();
        for (number, id, message) in [(3, "a", "wait"), (5, "b", "wake")] {
            let of_room: Vec<&str> = said
                .iter()
                .filter_map(|line| {
                    let (what, rest) = line.split_once(' ')?;
                    rest.starts_with(&format!("{number} ")).then_some(what)
                })
                .collect();
            for what in ["send", "broadcast", "storage_put", "party_fetch", "socket_connect", "binding_call"]
            {
                assert_eq!(of_room.iter().filter(|is| **is == what).count(), 1, "{what} of {id}: {said:?}");
            }
            for text in [message, "socket failed", "done"] {
                assert!(said.contains(&format!("console {number} {id} {text}")), "{text} of {id}: {said:?}");
            }
        }
    });
}

#[test]
fn sections_and_timers_of_a_shared_isolate_are_a_rooms() {
    within_a_runtime(async {
        let mut shared = begun().await;
        let noted = shared.noted.clone();
        noted.take();
        // Both are begun before either ends, and neither waits for the other.
        shared.run("table.message(3, 0, 'meet'); table.message(5, 0, 'meet')");
        shared.rest().await;
        let said = lines(&noted, &["send", "console", "storage_begin", "storage_commit", "room_hold"]);
        for line in ["send 5 from a", "send 3 from b", "console 3 a inside", "console 5 b inside"] {
            assert!(said.contains(&line.to_string()), "{line}: {said:?}");
        }
        for number in [3, 5] {
            for (what, times) in [("storage_begin", 1), ("storage_commit", 1), ("room_hold", 2)] {
                let line = format!("{what} {number} ");
                assert_eq!(said.iter().filter(|said| **said == line).count(), times, "{line}: {said:?}");
            }
        }
        // Each room has its own number of timers.
        shared.run("table.message(3, 0, 'timers')");
        shared.run("table.message(5, 0, 'timers')");
        shared.run("table.leave(3)");
        shared.rest().await;
        let said = lines(&noted, &["send", "console"]);
        let wanted =
            ["send 3 RangeError", "send 5 RangeError", "console 5 b timer", "console 5 b late timer"];
        assert_eq!(said, wanted);
    });
}

#[test]
fn a_room_that_left_a_shared_isolate_reaches_nobody() {
    within_a_runtime(async {
        let mut shared = begun().await;
        let noted = shared.noted.clone();
        shared.run("table.leave(3)");
        // Its number is another room's now.
        shared.run("table.start(3, info('c'), [])");
        noted.take();
        shared.run("table.message(5, 0, 'late')");
        assert_eq!(lines(&noted, &["send"]), ["send -1 late", "send 5 late"]);
    });
}

#[test]
fn a_state_that_cannot_be_read_costs_its_connection_that_state_only() {
    within_a_runtime(async {
        let mut shared = Shared::new();
        let noted = shared.noted.clone();
        // Connections of a room that hibernated: the bytes of the first one are no value.
        shared.run(
            "table.start(3, info('a'), [0, 'x', 'http://h/party/a', ['x'], new Uint8Array([1, 2, 3]),
             1, 'y', 'http://h/party/a', ['y'], undefined])",
        );
        noted.take();
        shared.run("table.message(3, 1, 'states')");
        assert_eq!(
            lines(&noted, &["send"]),
            [
                "send 3 x has The state of the connection x cannot be read: its bytes are no value.",
                "send 3 y has null",
            ]
        );
    });
}
