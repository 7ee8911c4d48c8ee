//! The engine over time: rooms that come and go in any order with timers and ops in flight, programs that are swapped
//! again and again, and the path of the hot ops. The long form of the churn is part of the benchmark.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use partyrun_store::RoomKey;

use crate::tests::{run, start, start_with};
use crate::*;

const BUSY_ROOM: &str = "class {
    constructor(room) {
        this.room = room;
        this.kept = Array.from({ length: 100 }, (_, i) => ({ i }));
        setInterval(() => this.kept.push(1), 3);
        setTimeout(() => {}, 100000);
    }
    async onStart() { await this.room.storage.put('a', this.kept); }
    async onRequest() {
        // None of these is waited for: they are in flight when the room goes.
        crypto.subtle.digest('SHA-256', new Uint8Array(100000)).catch(() => {});
        this.room.storage.sync().catch(() => {});
        new Response(new ReadableStream({ pull() { return new Promise(() => {}); } })).text().catch(() => {});
        return new Response(this.room.id);
    }
}";

fn program_of(main: &str, number: usize) -> String {
    format!("'use strict'; (host) => ({{ main: {{ default: {main}, number: {number} }}, parties: {{}} }})")
}

/// Whether this is the process of one test only, whose memory nobody else changes. If it is not, that process is run.
fn alone(test: &str) -> bool {
    const ALONE: &str = "PARTYRUN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("tests::churn::{test}"), "--nocapture"]).env(ALONE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    eprintln!("{text}");
    false
}

/// What this process has in memory, once the allocator has given back what is free.
fn resident_mib() -> f64 {
    // SAFETY: the call takes no pointer and may be made at any time.
    unsafe { libc::malloc_trim(0) };
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1024.0 / 1024.0
}

// A small generator (Knuth's MMIX constants): the order must differ from room to room, and be the same in each run.
struct Order(u64);

impl Order {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn rooms_come_and_go_in_any_order() {
    if !alone("rooms_come_and_go_in_any_order") {
        return;
    }
    run(async {
        let options = EngineOptions { workers: Workers::Count(2), ..EngineOptions::default() };
        let bench = start_with(&program_of(BUSY_ROOM, 0), options).await.unwrap();
        let mut order = Order(7);
        let mut live: Vec<String> = Vec::new();
        let mut sizes = Vec::new();
        let (mut made, mut retired) = (0, 0);
        // No room is live whenever the memory is looked at.
        while sizes.len() < 4 {
            let drains = retired >= 100 * (sizes.len() + 1);
            if !drains && (live.len() < 24 && order.below(3) > 0 || live.is_empty()) {
                let name = format!("room-{made}");
                assert_eq!(bench.get(&name).await, (200, name.clone()));
                live.push(name);
                made += 1;
            } else if let Some(last) = live.len().checked_sub(1) {
                let name = live.swap_remove(order.below(last + 1));
                let key = RoomKey::new("main", name.as_str());
                // Its write may not be durable at this moment.
                while !bench.engine.hibernate(key.clone()).await {
                    tokio::time::sleep(Duration::from_millis(1)).await; // Polls.
                }
                retired += 1;
            } else {
                assert_eq!(bench.engine.counts().await.live_rooms, 0);
                sizes.push(resident_mib());
            }
        }
        let grown = sizes[3] - sizes[0];
        eprintln!("after 100, 200, 300 and 400 rooms: {sizes:.1?} MiB");
        // A room takes more than two MiB: not even a thirtieth of each may stay.
        assert!(grown < 20.0, "{grown} MiB more after 400 rooms than after 100: {sizes:.1?}");
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn swapping_again_and_again_leaves_memory_flat() {
    if !alone("swapping_again_and_again_leaves_memory_flat") {
        return;
    }
    run(async {
        let options = EngineOptions { workers: Workers::Count(1), ..EngineOptions::default() };
        let bench = start_with(&program_of(BUSY_ROOM, 0), options).await.unwrap();
        let mut early = 0.0;
        for number in 1..=80 {
            assert_eq!(bench.get("a").await.0, 200);
            let program = Program::new(&program_of(BUSY_ROOM, number), None).unwrap();
            bench.engine.swap(Arc::new(program)).await.unwrap();
            if number == 20 {
                early = resident_mib();
            }
        }
        assert_eq!(bench.get("a").await, (200, "a".to_string()));
        let grown = resident_mib() - early;
        eprintln!("after 20 swaps {early:.1} MiB, after 80 {grown:.1} more");
        // Each swap makes an edge, a room and spares anew: lost, they would take some 400 MiB.
        assert!(grown < 20.0, "{grown} MiB more after 80 swaps than after 20");
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn hot_ops_take_the_fast_path() {
    run(async {
        let bench = start(
            "class { constructor(room) { this.room = room; }
               onRequest() { for (let i = 0; i < 20000; i++) this.room.broadcast('x'); return new Response('done'); } }",
        )
        .await;
        // V8 optimizes on a thread of its own, which may be late on a busy machine; then all calls must be fast ones.
        let fast_ones = async || {
            let (fast, slow) = (
                ground::hot_ops::FAST.load(Ordering::Relaxed),
                ground::hot_ops::SLOW.load(Ordering::Relaxed),
            );
            assert_eq!(bench.get("a").await.0, 200);
            let (fast, slow) = (
                ground::hot_ops::FAST.load(Ordering::Relaxed) - fast,
                ground::hot_ops::SLOW.load(Ordering::Relaxed) - slow,
            );
            assert!(fast + slow >= 20_000, "only {fast} + {slow} calls were counted");
            fast > 100 * slow
        };
        let mut rounds = 0;
        while !fast_ones().await {
            rounds += 1;
            assert!(rounds < 200, "the hot ops are still called through the slow callback");
            tokio::time::sleep(Duration::from_millis(10)).await; // Polls.
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
