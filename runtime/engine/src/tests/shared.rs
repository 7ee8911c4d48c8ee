//! Rooms that share an isolate ([`Isolation::Worker`]): what modules hold is everybody's, everything else is each room's own.

use std::time::Duration;

use futures_util::future::join_all;
use partyrun_limits::Limits;
use partyrun_store::RoomKey;

use crate::tests::limits::until;
use crate::tests::{Bench, one_worker, run, start_with};
use crate::*;

/// Rooms answer `[requests of all rooms, requests of this instance, what is stored]`; `?k=` says what else one does.
const CODE: &str = "'use strict'; (host) => {
    let all = 0;
    const kept = [];
    const main = { default: class {
      n = 0;
      constructor(room) { this.room = room; }
      async onRequest(request) {
        const query = new URL(request.url).searchParams;
        if (query.get('k') === 'loop') for (;;) {}
        if (query.get('k') === 'reject') {
          const { id } = this.room;
          await new Promise((done) => setTimeout(done, query.get('after')));
          Promise.reject(new Error(`unheard in ${id}`));
          return new Response('');
        }
        if (query.get('k') === 'keep') kept.push(this.room);
        if (query.get('k') === 'use') {
          return new Response(await kept[0].storage.put('total', 100).then(() => 'done', (error) => `${error}`));
        }
        all++;
        this.n++;
        const total = (await this.room.storage.get('total')) ?? 0;
        await this.room.storage.put('total', total + 1);
        const to = query.get('to');
        if (to === null) return Response.json([all, this.n, total + 1]);
        const other = await this.room.context.parties.main.get(to).fetch(query.get('back') ? `/?to=${query.get('back')}` : '');
        return Response.json({ id: this.room.id, other: await other.json() });
      }
    } };
    return { main, parties: { __proto__: null } };
}";

async fn rooms(limits: Limits) -> Bench {
    let options = EngineOptions { isolation: Isolation::Worker, ..one_worker(limits) };
    start_with(CODE, options).await.unwrap()
}

fn json(text: &str) -> (u16, String) {
    (200, text.to_string())
}

#[test]
fn modules_are_shared_and_instances_and_storage_are_not() {
    run(async {
        let bench = rooms(Limits::default()).await;
        assert_eq!(bench.get("a").await, json("[1,1,1]"));
        assert_eq!(bench.get("b").await, json("[2,1,1]"));
        assert_eq!(bench.get("a").await, json("[3,2,2]"));
        // One room leaves; the others and the modules stay.
        while !bench.engine.hibernate(RoomKey::new("main", "a")).await {}
        assert_eq!(bench.get("b").await, json("[4,2,2]"));
        assert_eq!(bench.get("a").await, json("[5,1,3]"));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn what_is_left_of_a_room_reaches_no_other_room() {
    run(async {
        let bench = rooms(Limits::default()).await;
        assert_eq!(bench.path("a", "?k=keep").await, json("[1,1,1]"));
        while !bench.engine.hibernate(RoomKey::new("main", "a")).await {}
        // It has the number that the other one had.
        assert_eq!(bench.get("b").await, json("[2,1,1]"));
        let refused = bench.path("b", "?k=use").await;
        assert_eq!(refused, (200, "Error: Storage is not available before the room is created.".to_string()));
        assert_eq!(bench.get("b").await, json("[3,2,2]"));
        assert_eq!(bench.get("a").await, json("[4,1,2]"));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn rooms_of_one_isolate_ask_each_other_both_ways_at_once() {
    run(async {
        let bench = rooms(Limits::default()).await;
        let asks = [bench.path("a", "?to=b"), bench.path("b", "?to=a"), bench.path("c", "?to=a&back=b")];
        for (status, text) in join_all(asks).await {
            assert_eq!(status, 200, "{text}");
        }
        let stored = join_all(["a", "b", "c"].map(|room| bench.get(room))).await;
        let totals: Vec<&str> =
            stored.iter().filter_map(|(_, text)| text.trim_end_matches(']').rsplit(',').next()).collect();
        assert_eq!(totals, ["4", "4", "2"]);
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_rejection_that_nobody_handles_is_told_of_its_room() {
    run(async {
        let bench = rooms(Limits::default()).await;
        let asks = [
            bench.path("a", "?k=reject&after=20"),
            bench.path("b", "?k=reject&after=10"),
            bench.path("c", "?k=reject&after=0"),
        ];
        join_all(asks).await;
        assert_eq!(bench.get("d").await, json("[1,1,1]"));
        let lines = bench.printed();
        for room in ["a", "b", "c"] {
            let line = format!("[{room}] Uncaught (in promise) Error: unheard in {room}");
            assert!(lines.contains(&line), "{line}: {lines}");
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_runaway_room_ends_the_isolate_and_its_rooms_begin_anew() {
    run(async {
        let limits = Limits { turn_cpu_max: Duration::from_millis(200), ..Limits::default() };
        let bench = rooms(limits).await;
        assert_eq!(bench.get("b").await, json("[1,1,1]"));
        let ended = "`onRequest` ran for more than 200 ms of CPU time (limit `turn_cpu_max`)";
        assert_eq!(bench.path("a", "?k=loop").await, (500, ended.into()));
        // The other room is told after the one that was asked has its answer.
        let with = "Room `main/a`, which shares its isolate, was reset: ";
        for (room, why) in [("a", ""), ("b", with)] {
            let line = format!("Room `main/{room}` was reset: {why}{ended}");
            until(&line, async || bench.printed().contains(&line)).await;
        }
        // What was stored stays.
        assert_eq!(bench.get("b").await, json("[1,1,2]"));
        assert_eq!(bench.get("a").await, json("[2,1,1]"));
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
