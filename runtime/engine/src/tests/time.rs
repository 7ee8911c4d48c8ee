//! Rooms that take long: what ends them, what is said about them, and where they and their neighbours go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use partyrun_limits::Limits;
use partyrun_store::RoomKey;

use crate::ground::pulse::{Pulse, Step, TimeLimit};
use crate::ground::watchdog::Watchdog;
use crate::isolate::{Heap, Isolate};
use crate::room::host::HostSlot;
use crate::tests::{run, start, start_with};
use crate::worker::mailbox::Kind;
use crate::*;

// `?k=` says what a request does; `n` counts the requests of this instance.
const ROOM: &str = "class {
    n = 0;
    constructor(room) { this.room = room; }
    async onStart() { this.total = (await this.room.storage.get('total')) ?? 0; }
    async onRequest(request) {
        const kind = new URL(request.url).searchParams.get('k');
        if (kind === 'loop') { console.log('looping'); for (;;) {} }
        if (kind === 'long') { const end = Date.now() + 150; while (Date.now() < end); }
        this.total++;
        await this.room.storage.put('total', this.total);
        return Response.json([++this.n, this.total]);
    }
}";

fn key(room: &str) -> RoomKey {
    RoomKey::new("main", room)
}

async fn rooms(limits: Limits) -> tests::Bench {
    // On a busy machine what these rooms do takes longer than an idle one stays in memory.
    let limits = Limits { room_idle_max: Duration::from_secs(600), ..limits };
    let code = format!("'use strict'; (host) => ({{ main: {{ default: {ROOM} }}, parties: {{}} }})");
    let options = EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() };
    start_with(&code, options).await.unwrap()
}

fn on_one_thread(body: impl FnOnce(Isolate, Arc<Pulse>)) {
    tests::platform();
    let builder = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    builder.unwrap().block_on(async {
        let program = "(host) => ({ main: { default: class {} }, parties: {} })";
        let program = Arc::new(Program::new(program, None).unwrap());
        let (limits, pulse) = (Limits::default(), Pulse::of_this_thread());
        let heap = Heap::new(&limits, None).unwrap();
        let slot = HostSlot::new(program.clone(), None);
        let isolate = Isolate::create(heap, &program, slot, &limits, 1, &pulse, None, false).unwrap();
        body(isolate, pulse);
    });
}

#[test]
fn a_turn_that_waits_is_ended() {
    on_one_thread(|mut isolate, pulse| {
        let limits = Limits { turn_wait_max: Duration::from_millis(100), ..Limits::default() };
        let watchdog = Watchdog::start(&limits, false, Box::new(|_, _| {})).unwrap();
        watchdog.watch(1, &pulse);
        let began = Instant::now();
        let ended = isolate.turn(&pulse, Step::Message, |_| {
            while !pulse.is_ended() {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody ends a turn that waits");
                std::thread::sleep(Duration::from_millis(5)); // Polls.
            }
            Ok(())
        });
        assert!(ended.is_err());
        let overrun = pulse.take_overrun().unwrap();
        assert_eq!((overrun.step, overrun.ended), (Step::Message, Some(TimeLimit::Wait)));
        assert!(pulse.take_overrun().is_none());
    });
}

#[test]
fn a_mark_that_comes_too_late_hits_nobody() {
    on_one_thread(|mut isolate, pulse| {
        let turn = isolate.turn(&pulse, Step::Request, |_| {
            let first = pulse.seen().unwrap();
            assert!(!pulse.step(Step::Message));
            pulse.mark_slow(first, Duration::ZERO);
            pulse.terminate(first, Duration::ZERO, TimeLimit::Cpu);
            assert!(!pulse.is_ended());
            // The one that runs is hit, and the next begins with that known.
            pulse.terminate(pulse.seen().unwrap(), Duration::ZERO, TimeLimit::Cpu);
            assert!(pulse.is_ended());
            assert!(pulse.step(Step::Later));
            Ok(())
        });
        assert!(turn.is_ok(), "the turn's last step was not ended");
        let overrun = pulse.take_overrun().unwrap();
        assert_eq!((overrun.step, overrun.ended), (Step::Message, Some(TimeLimit::Cpu)));
    });
}

#[test]
fn blocking_waits_are_refused_everywhere() {
    run(async {
        let bench = start(
            "class {
               static wait() {
                 const cells = new Int32Array(new SharedArrayBuffer(4));
                 try { return new Response(Atomics.wait(cells, 0, 0, 10)); } catch (error) { return new Response(`${error}`); }
               }
               static onFetch() { return this.wait(); }
               onRequest() { return this.constructor.wait(); }
             }",
        )
        .await;
        let refused = "TypeError: Atomics.wait cannot be called in this context";
        assert_eq!(bench.get("a").await, (200, refused.into()));
        assert_eq!(bench.edge("/").await, (200, refused.into()));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_slow_room_gets_a_thread_of_its_own_in_its_next_life() {
    run(async {
        let limits = Limits { turn_cpu_max: Duration::from_millis(200), ..Limits::default() };
        let bench = rooms(limits).await;
        assert_eq!(bench.get("b").await, (200, "[1,1]".into()));
        let ended = "`onRequest` ran for more than 200 ms of CPU time (limit `turn_cpu_max`)";
        assert_eq!(bench.path("a", "?k=loop").await, (500, ended.into()));
        assert_eq!(bench.lines.all(), format!("[a] looping\n[a] Room `main/a` was reset: {ended}\n"));
        assert_eq!(bench.get("a").await, (200, "[1,1]".into()));
        assert_eq!(bench.engine.kind_of_worker(&key("a")), Some(Kind::Slow));
        assert_eq!(bench.engine.kind_of_worker(&key("b")), Some(Kind::Share));
        // A life that was not slow is the last one there.
        while !bench.engine.hibernate(key("a")).await {}
        assert_eq!(bench.engine.kind_of_worker(&key("a")), Some(Kind::Share));
        assert_eq!(bench.get("a").await, (200, "[1,2]".into()));
        assert_eq!(bench.get("b").await, (200, "[2,2]".into()));
        let began = Instant::now();
        while bench.engine.worker_count() > 1 {
            assert!(began.elapsed() < Duration::from_secs(60), "a thread without rooms does not end");
            tokio::time::sleep(Duration::from_millis(20)).await; // Polls.
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_slow_handler_is_named_once() {
    run(async {
        let limits = Limits { turn_cpu_warn: Duration::from_millis(20), ..Limits::default() };
        let bench = rooms(limits).await;
        while !bench.lines.all().contains("`onRequest` used") {
            assert_eq!(bench.path("a", "?k=long").await.0, 200);
        }
        for _ in 0..3 {
            assert_eq!(bench.path("a", "?k=long").await.0, 200);
        }
        let lines = bench.lines.all();
        assert!(lines.starts_with("[a] Room `main/a`: `onRequest` used "), "{lines}");
        assert_eq!(lines.matches("`onRequest` used").count(), 1, "{lines}");
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_native_call_is_its_rooms_own_time() {
    run(async {
        let limits = Limits {
            turn_cpu_warn: Duration::from_millis(20),
            turn_held_after: Duration::from_millis(60),
            room_idle_max: Duration::from_secs(600),
            ..Limits::default()
        };
        let code = "'use strict'; (host) => ({ main: { default: class {
              onRequest(request) {
                if (!request.url.endsWith('?derive')) return new Response('fine');
                return new Response(host.builtin('node:crypto').pbkdf2Sync('a', 'b', 2_000_000, 64, 'sha512').length);
              } } }, parties: {} })";
        let options = EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() };
        let bench = start_with(code, options).await.unwrap();
        assert_eq!(bench.path("a", "?derive").await, (200, "64".into()));
        // The answer leaves before the turn is looked at.
        let began = Instant::now();
        while !bench.lines.all().contains("[a] Room `main/a`: `onRequest` used ") {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", bench.lines.all());
            tokio::time::sleep(Duration::from_millis(5)).await; // Polls.
        }
        let lines = bench.lines.all();
        assert!(
            lines.contains("[a] Room `main/a` holds its thread up: `onRequest` has run for 60 ms."),
            "{lines}"
        );
        while !bench.engine.hibernate(key("a")).await {}
        assert_eq!(bench.get("a").await, (200, "fine".into()));
        assert_eq!(bench.engine.kind_of_worker(&key("a")), Some(Kind::Slow));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn rooms_start_elsewhere_while_a_thread_is_held_up() {
    run(async {
        let limits = Limits {
            turn_cpu_max: Duration::from_secs(3),
            turn_held_after: Duration::from_millis(100),
            slow_workers_max: 0,
            ..Limits::default()
        };
        let bench = rooms(limits).await;
        assert_eq!(bench.get("c").await, (200, "[1,1]".into()));
        let held = Box::pin(bench.path("a", "?k=loop"));
        // One is sent before anybody knows that the thread is held up, the others after it.
        let new = Box::pin(async {
            while !bench.lines.all().contains("looping") {
                tokio::time::sleep(Duration::from_millis(1)).await; // Polls.
            }
            let first = bench.get("b").await;
            let rest = join_all(["d", "e", "b"].map(|room| bench.get(room))).await;
            (first, rest)
        });
        let (held, (first, rest)) = match select(held, new).await {
            Either::Right((new, held)) => (held, new),
            Either::Left((held, _)) => panic!("new rooms waited until {held:?}"),
        };
        assert_eq!(first, (200, "[1,1]".into()));
        let one = |n: usize| (200, format!("[{n},{n}]"));
        assert_eq!(rest, [one(1), one(1), one(2)]);
        // The neighbour that was there has waited, and is as it was.
        let (held, neighbour) = futures_util::join!(held, bench.get("c"));
        assert_eq!((held.0, neighbour), (500, one(2)));
        let lines = bench.lines.all();
        assert!(
            lines.contains(
                "[a] Room `main/a` holds its thread up: `onRequest` has run for 100 ms. Rooms that wait for it: `main/c`.\n"
            ),
            "{lines}"
        );
        for (room, n) in [("a", 1), ("b", 3), ("c", 3), ("d", 2)] {
            assert_eq!(bench.get(room).await, one(n), "{room}");
        }
        let began = Instant::now();
        while !bench.lines.all().contains("[a] Room `main/a` no longer holds its thread up, after ") {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody hears that the thread goes on");
            tokio::time::sleep(Duration::from_millis(20)).await; // Polls.
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn static_handlers_go_on_elsewhere_while_one_holds_its_thread_up() {
    run(async {
        let limits = Limits {
            turn_cpu_max: Duration::from_secs(3),
            turn_held_after: Duration::from_millis(100),
            edge_workers_max: 2,
            ..Limits::default()
        };
        let code = "'use strict'; (host) => { let n = 0; return { main: { default: class {
            static onFetch(request) {
              if (request.url.endsWith('/loop')) { console.log('looping'); for (;;) {} }
              return new Response(++n);
            } } }, parties: {} }; }";
        let options = EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() };
        let bench = start_with(code, options).await.unwrap();
        assert_eq!(bench.edge("/").await, (200, "1".into()));
        let held = Box::pin(bench.edge("/loop"));
        // One waits before anybody knows that the thread is held up, the other comes after it.
        let others = Box::pin(async {
            while !bench.lines.all().contains("looping") {
                tokio::time::sleep(Duration::from_millis(1)).await; // Polls.
            }
            [bench.edge("/").await, bench.edge("/").await]
        });
        let (held, others) = match select(held, others).await {
            Either::Right((others, held)) => (held, others),
            Either::Left((held, _)) => panic!("other handlers waited until {held:?}"),
        };
        // Fresh modules: they count from the beginning.
        assert_eq!(others, [(200, "1".into()), (200, "2".into())]);
        assert_eq!(bench.engine.edge_count(), 2);
        assert!(
            bench
                .lines
                .all()
                .contains("The isolate of the static handlers holds its thread up: `onFetch` has run")
        );
        assert_eq!(held.await.0, 500);
        assert_eq!(bench.edge("/").await, (200, "3".into()));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

// Two instances of a room would count on their own, and one would write over what the other counted.
#[test]
fn rooms_are_in_memory_once_while_threads_come_and_go() {
    run(async {
        let limits = Limits {
            turn_held_after: Duration::from_millis(20),
            turn_cpu_warn: Duration::from_millis(20),
            turn_cpu_max: Duration::from_secs(60),
            slow_workers_max: 2,
            replacement_workers_max: 2,
            ..Limits::default()
        };
        let bench = rooms(limits).await;
        let names: Vec<String> = (0..12).map(|number| format!("room-{number}")).collect();
        let rounds = 12;
        let of_room = async |at: usize, name: &String| {
            for round in 0..rounds {
                let long = (at * 5 + round * 3).is_multiple_of(11);
                let (status, text) = bench.path(name, if long { "?k=long" } else { "" }).await;
                assert_eq!(status, 200, "{text}");
                assert!(text.ends_with(&format!(",{}]", round + 1)), "{name} lost an update: {text}");
                if (at + round).is_multiple_of(3) {
                    bench.engine.hibernate(key(name)).await;
                }
            }
        };
        join_all(names.iter().enumerate().map(|(at, name)| of_room(at, name))).await;
        let lines = bench.lines.all();
        assert!(lines.contains("holds its thread up"), "no thread was held up:\n{lines}");
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
