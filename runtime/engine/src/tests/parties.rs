//! Parties with modules of their own: each room evaluates those of its party, the edge those of all.

use std::time::Duration;

use partyrun_limits::Limits;

use crate::tests::limits::until;
use crate::tests::{one_worker, run, start_with};

/// Each party's module notes that it was evaluated; its rooms answer what they find noted. That of `waits` has top-level
/// await, that of `slow` takes so long that it gets spares of its own.
const CODE: &str = "'use strict'; (host) => {
    const seen = [];
    const note = (name) => { seen.push(name); return { default: class { onRequest() { return Response.json(seen) } } } };
    const once = (make) => { let made; return () => made ??= make() };
    const slow = () => { const end = Date.now() + 20; while (Date.now() < end) {} return note('slow') };
    return { main: once(() => note('main')), parties: { __proto__: null,
        waits: once(async () => { await new Promise((done) => setTimeout(done, 1)); return note('waits') }),
        slow: once(slow),
        described: once(() => ({ default: class { static onBeforeRequest() { return Response.json(seen) } } })) } };
}";

#[test]
fn a_room_evaluates_its_own_party_only() {
    run(async {
        let bench = start_with(CODE, one_worker(Limits::default())).await.unwrap();
        let described: Vec<_> =
            bench.engine.parties().iter().map(|party| (party.name.clone(), party.before_request)).collect();
        let expected = [("main", false), ("waits", false), ("slow", false), ("described", true)];
        assert_eq!(described, expected.map(|(name, before)| (name.to_string(), before)));
        // More rooms than there are spares, of each sort and in turns, so that every way to an isolate is taken.
        for round in 0..4 {
            for party in ["main", "waits", "slow", "slow"] {
                for room in 0..2 {
                    let answer = bench.ask(party, &format!("{party}-{round}-{room}"), "").await;
                    assert_eq!(answer, (200, format!("[\"{party}\"]")), "{round} {room}");
                }
            }
            let spares = async {
                while bench.engine.counts().await.spares < Limits::default().spares_per_worker {
                    tokio::time::sleep(Duration::from_millis(1)).await; // Polls.
                }
            };
            tokio::time::timeout(Duration::from_secs(10), spares).await.unwrap();
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_party_that_cannot_be_evaluated_stops_the_start() {
    run(async {
        let code = "(host) => ({ main: () => ({ default: class {} }), parties: { bad: () => { throw new Error('of bad') } } })";
        let thrown = start_with(code, one_worker(Limits::default())).await.err().unwrap().to_string();
        assert!(thrown.contains("of bad"), "{thrown}");
        let code = "(host) => ({ main: () => ({ default: class {} }), parties: { bad: async () => { throw new Error('late') } } })";
        let thrown = start_with(code, one_worker(Limits::default())).await.err().unwrap().to_string();
        assert!(thrown.contains("late"), "{thrown}");
        let code = "(host) => ({ main: () => ({ default: class {} }), parties: { bad: () => ({ default: { onConnect: 1 } }) } })";
        let wrong = start_with(code, one_worker(Limits::default())).await.err().unwrap().to_string();
        assert_eq!(wrong, ".onConnect should be a function");
    });
}

#[test]
fn spares_follow_demand() {
    run(async {
        let limits = Limits {
            spares_per_worker: 1,
            spares_per_worker_max: 3,
            spares_shrink_after: Duration::from_secs(2),
            ..Limits::default()
        };
        let bench = start_with(CODE, one_worker(limits)).await.unwrap();
        let spares = async || bench.engine.counts().await.spares;
        until("the first spare", async || spares().await == 1).await;
        // One takes the spare, and those that come meanwhile find none.
        let rooms: Vec<String> = (0..6).map(|room| format!("burst-{room}")).collect();
        let burst = rooms.iter().map(|room| bench.ask("main", room, ""));
        assert!(futures_util::future::join_all(burst).await.iter().all(|answer| answer.0 == 200));
        until("more spares", async || spares().await == 3).await;
        until("fewer spares", async || spares().await == 1).await;
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
