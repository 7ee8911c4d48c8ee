//! What an isolate is made of, printed: `cargo test --release -- --ignored --nocapture what_an_isolate_takes`.

use std::sync::Arc;

use partyrun_limits::Limits;

use crate::isolate::{Heap, Isolate, Loaded};
use crate::room::host::HostSlot;
use crate::{Engine, Program};

const COUNT: usize = 100;
const CODE: &str = "'use strict'; (host) => ({ main: { default: class { onRequest() {} } }, parties: {} })";

fn kib(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn malloc_kib() -> f64 {
    // SAFETY: mallinfo2 has no precondition.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64 / 1024.0
}

#[test]
#[ignore = "prints a measurement"]
fn what_an_isolate_takes() {
    Engine::init_platform(&Limits::default());
    let builder = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    builder.unwrap().block_on(async {
        let code =
            std::env::var("BUNDLE").map_or(CODE.to_string(), |path| std::fs::read_to_string(path).unwrap());
        let program = Arc::new(Program::new(&code, None).unwrap());
        let limits = Limits::default();
        let pulse = crate::ground::pulse::Pulse::of_this_thread();
        let create = |serial| {
            Isolate::create(
                Heap::new(&limits, None).unwrap(),
                &program,
                HostSlot::new(program.clone(), None),
                &limits,
                serial,
                &pulse,
                None,
                false,
            )
            .unwrap()
        };
        let load = |mut isolate: Isolate| {
            isolate.load(&pulse, &limits, Loaded::Party("main".to_string())).unwrap();
            isolate
        };
        let create = |serial| load(create(serial));
        let mut _first = create(0);
        _first.make_code_cache();
        let (pss, malloc, began) = (kib("Pss:"), malloc_kib(), std::time::Instant::now());
        let mut isolates: Vec<Isolate> = (1..=COUNT as u64).map(create).collect();
        let took = began.elapsed().as_secs_f64() * 1000.0 / COUNT as f64;
        let each = |now: f64, before: f64| (now - before) / COUNT as f64;
        println!(
            "made in {took:.2} ms, PSS {:.0} KiB, malloc {:.0} KiB each",
            each(kib("Pss:"), pss),
            each(malloc_kib(), malloc)
        );
        println!("{}", isolates[0].footprint());
        let began = std::time::Instant::now();
        isolates.iter_mut().for_each(Isolate::tidy);
        let took = began.elapsed().as_secs_f64() * 1000.0 / COUNT as f64;
        println!(
            "tidied in {took:.2} ms: PSS {:.0} KiB, malloc {:.0} KiB each",
            each(kib("Pss:"), pss),
            each(malloc_kib(), malloc)
        );
        println!("{}", isolates[0].footprint());
        if let Ok(seconds) = std::env::var("WAIT") {
            let pause = std::time::Duration::from_secs(seconds.parse().unwrap());
            std::thread::sleep(pause); // Sleeps: whoever set it looks at the process meanwhile.
            let began = std::time::Instant::now();
            isolates.iter_mut().for_each(Isolate::tidy);
            let took = began.elapsed().as_secs_f64() * 1000.0 / COUNT as f64;
            println!("tidied again in {took:.2} ms: PSS {:.0} KiB", each(kib("Pss:"), pss));
            println!("{}", isolates[0].footprint());
        }
        let began = std::time::Instant::now();
        while !isolates.is_empty() {
            isolates.swap_remove(isolates.len() / 2);
        }
        println!("dropped in {:.2} ms each", began.elapsed().as_secs_f64() * 1000.0 / COUNT as f64);
    });
}

impl Isolate {
    // V8's spaces, a line each.
    fn footprint(&mut self) -> String {
        let mut entered = self.enter();
        entered.spaces(|isolate| {
            let mut lines = Vec::new();
            for index in 0..isolate.number_of_heap_spaces() {
                let Some(space) = isolate.get_heap_space_statistics(index) else { continue };
                let name = space.space_name().to_string_lossy().into_owned();
                let (used, size, physical) = (
                    space.space_used_size() / 1024,
                    space.space_size() / 1024,
                    space.physical_space_size() / 1024,
                );
                if size > 0 {
                    lines.push(format!("  {name}: used {used}, committed {size}, physical {physical} KiB"));
                }
            }
            let all = isolate.get_heap_statistics();
            lines.push(format!(
                "  malloced by V8: {} KiB, external {} KiB",
                all.malloced_memory() / 1024,
                all.external_memory() / 1024
            ));
            lines.join("\n")
        })
    }
}
