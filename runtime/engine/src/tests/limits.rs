//! Limits of rooms over time: how long they stay in memory, how long alarms run and how many, which rooms count as slow.
//!
//! Each test sets its limit so that the default would make it wait in vain.

use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_store::RoomKey;

use crate::tests::{Bench, one_worker, run, start_with};
use crate::worker::mailbox::Kind;

/// No test waits so long if the limit is held.
const PATIENCE: Duration = Duration::from_secs(60);

async fn rooms(code: &str, limits: Limits) -> Bench {
    let code = format!("'use strict'; (host) => ({{ main: {{ default: {code} }}, parties: {{}} }})");
    start_with(&code, one_worker(limits)).await.unwrap()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await; // Polls.
    }
}

// Whatever hangs on the timer keeps the room busy.
const TICKING: &str = "class {
    onRequest(request) {
        if (new URL(request.url).searchParams.has('tick')) setInterval(() => {}, 10);
        return new Response('here');
    }
}";

#[test]
fn a_room_with_timers_leaves_after_a_time_of_its_own() {
    run(async {
        let busy_idle = |room_busy_idle_max| Limits {
            room_idle_max: Duration::from_millis(20),
            room_busy_idle_max,
            ..Limits::default()
        };
        let bench = rooms(TICKING, busy_idle(Duration::from_millis(100))).await;
        assert_eq!(bench.path("a", "?tick").await.0, 200);
        until("the busy room leaves", async || bench.engine.counts().await.live_rooms == 0).await;
        bench.engine.stop(Duration::from_secs(2)).await;

        let bench = rooms(TICKING, busy_idle(Duration::from_secs(3600))).await;
        assert_eq!(bench.path("a", "?tick").await.0, 200);
        for room in ["b", "c", "d"] {
            assert_eq!(bench.path(room, "").await.0, 200);
        }
        // The others have left, one after the other, and the busy one is there.
        until("the idle rooms leave", async || bench.engine.counts().await.live_rooms == 1).await;
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_room_that_its_sockets_keep_is_tidied_once() {
    run(async {
        let code = "class {
            constructor(room) { this.room = room; }
            onConnect(connection) {
                const kept = new WeakRef({});
                // Only a full collection empties it, and nothing else asks for one here.
                const look = setInterval(() => {
                    if (kept.deref() === undefined) { console.log('collected'); clearInterval(look); }
                }, 10);
            }
            async onRequest() {
                this.socket = await this.room.context.parties.main.get('kept').socket('/');
                return new Response('joined');
            }
        }";
        let limits = Limits {
            room_tidy_after: Duration::from_millis(50),
            room_busy_idle_max: Duration::from_secs(3600),
            ..Limits::default()
        };
        let bench = rooms(code, limits).await;
        assert_eq!(bench.get("joins").await, (200, "joined".into()));
        until("the garbage is collected", async || bench.printed().contains("collected")).await;
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

const ALARMS: &str = "class {
    constructor(room) { this.room = room; }
    async onRequest(request) {
        await this.room.storage.setAlarm(Date.now() + 1);
        return new Response('set');
    }
    async onAlarm() {
        console.log(`begin ${this.room.id}`);
        await new Promise((done) => this.room.id.startsWith('endless') || setTimeout(done, 30));
        console.log(`end ${this.room.id}`);
    }
}";

#[test]
fn an_alarm_that_does_not_end_in_time_has_failed() {
    run(async {
        let limits = Limits { alarm_time_max: Duration::from_millis(50), ..Limits::default() };
        let bench = rooms(ALARMS, limits).await;
        assert_eq!(bench.get("endless").await, (200, "set".into()));
        let said = "[endless] `onAlarm` did not end in time (limit `alarm_time_max`: 50ms); the run counts as failed.";
        until("the run is ended", async || bench.printed().contains(said)).await;
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn no_more_alarms_run_at_once_than_may() {
    run(async {
        let bench = rooms(ALARMS, Limits { alarms_running_max: 1, ..Limits::default() }).await;
        for room in ["a", "b", "c", "d"] {
            assert_eq!(bench.get(room).await, (200, "set".into()));
        }
        until("all alarms have run", async || bench.printed().matches("end ").count() == 4).await;
        // Each ended before the next began.
        let printed = bench.printed();
        let lines: Vec<&str> =
            printed.lines().filter_map(|line| line.split_once("] ")).map(|line| line.1).collect();
        for pair in lines.chunks(2) {
            assert!(pair[0].starts_with("begin ") && pair[1] == pair[0].replace("begin", "end"), "{lines:?}");
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn the_oldest_slow_room_is_forgotten() {
    run(async {
        let code = "class { onRequest(request) {
            if (request.url.includes('loop')) for (;;) {}
            return new Response('fine'); } }";
        let limits = Limits {
            turn_cpu_max: Duration::from_millis(100),
            room_idle_max: Duration::from_secs(600),
            slow_rooms_max: 2,
            ..Limits::default()
        };
        let bench = rooms(code, limits).await;
        for room in ["a", "b", "c"] {
            assert_eq!(bench.path(room, "?loop").await.0, 500);
            // It is remembered when it leaves memory.
            let key = RoomKey::new("main", room);
            until("it has left", async || bench.engine.rooms().await.iter().all(|one| one.key != key)).await;
        }
        for (room, kind) in [("a", Kind::Share), ("b", Kind::Slow), ("c", Kind::Slow)] {
            assert_eq!(bench.get(room).await, (200, "fine".into()));
            assert_eq!(bench.engine.kind_of_worker(&RoomKey::new("main", room)), Some(kind), "{room}");
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
