//! Measures what durability costs: `cargo run --release -p partyrun_store --example durability [FOLDER] [SECONDS]`.
//!
//! In one run on one disk: the disk's own fdatasync (overwriting a page, and appending one), one room's lone durable
//! put, 100 rooms that each wait for their put before the next, 100 rooms with 16 puts under way each, and reads of a
//! cold room. Prints one line each.

use std::error::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_store::{RoomKey, RoomStorage, Sqlite, Store, StoreError, WorkerStore};

const ROOMS: usize = 100;
const SAMPLES: usize = 300;

static VALUES: AtomicU64 = AtomicU64::new(0);

type Answer = (usize, u64, Result<(), StoreError>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = args.next().map_or(Ok(3), |seconds| seconds.parse())?;
    let folder = folder.join(format!("partyrun-durability-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = measure(&folder, Duration::from_secs(seconds));
    std::fs::remove_dir_all(&folder)?;
    result
}

fn measure(folder: &Path, time: Duration) -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder)?);
    let worker = WorkerStore::open(&*store, Arc::new(Limits::default()))?;
    let value = [7; 92];

    let mut room = worker.room(RoomKey::new("main", "lone"));
    let (answer, answers) = channel();
    let mut lone = Vec::new();
    // Disk and store take turns, so that both meet the same disk.
    let (mut overwrite, mut append) = (Vec::new(), Vec::new());
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("probe"))?;
    file.write_all_at(&[1; 4096], 0)?;
    file.sync_all()?;
    for sample in 0..SAMPLES {
        overwrite.push(sync(&file, 0)?);
        append.push(sync(&file, (sample as u64 + 1) * 4096)?);
        let start = Instant::now();
        put(&*store, &mut room, 0, &format!("key {}", sample % 50), &value, &answer)?;
        let (_, seq, result) = answers.recv()?;
        result?;
        lone.push(start.elapsed());
        room.committed(seq);
    }
    let skip = SAMPLES / 10;
    let [overwrite, append, lone] = [overwrite, append, lone].map(|times| p50(times[skip..].to_vec()));
    println!("fdatasync of an overwritten page   p50 {overwrite:>10.1?}");
    println!("fdatasync of an appended page      p50 {append:>10.1?}");
    println!(
        "one lone durable put               p50 {lone:>10.1?}   {:.2} x overwrite, {:.2} x append",
        lone.as_secs_f64() / overwrite.as_secs_f64(),
        lone.as_secs_f64() / append.as_secs_f64()
    );
    for depth in [1, 16] {
        let puts = many(&*store, &worker, depth, time, &value)?;
        println!(
            "{ROOMS} rooms, {depth:>2} puts under way each       {:>10.0} puts/s",
            puts / time.as_secs_f64()
        );
    }
    let mut cold = Vec::new();
    for number in 0..ROOMS {
        let mut room = worker.room(RoomKey::new("main", format!("many {number}")));
        let start = Instant::now();
        room.get("key 1")?;
        cold.push(start.elapsed());
    }
    println!("first read of a cold room          p50 {:>10.1?}", p50(cold));
    Ok(())
}

fn sync(file: &std::fs::File, at: u64) -> std::io::Result<Duration> {
    file.write_all_at(&[at as u8; 4096], at)?;
    let start = Instant::now();
    file.sync_data()?;
    Ok(start.elapsed())
}

/// Durable puts of all rooms in `time`, each room with `depth` turns under way.
fn many(
    store: &dyn Store,
    worker: &WorkerStore,
    depth: usize,
    time: Duration,
    value: &[u8],
) -> Result<f64, Box<dyn Error>> {
    let mut rooms: Vec<RoomStorage> =
        (0..ROOMS).map(|number| worker.room(RoomKey::new("main", format!("many {number}")))).collect();
    let (answer, answers) = channel();
    let start = Instant::now();
    for (number, room) in rooms.iter_mut().enumerate() {
        for turn in 0..depth {
            put(store, room, number, &format!("key {turn}"), value, &answer)?;
        }
    }
    let (mut done, mut open) = (0, ROOMS * depth);
    while open > 0 {
        let (number, seq, result) = answers.recv()?;
        result?;
        open -= 1;
        let Some(room) = rooms.get_mut(number) else { continue };
        room.committed(seq);
        if start.elapsed() < time {
            done += 1;
            open += 1;
            put(store, room, number, &format!("key {}", seq % 1000), value, &answer)?;
        }
    }
    Ok(f64::from(done))
}

fn put(
    store: &dyn Store,
    room: &mut RoomStorage,
    number: usize,
    key: &str,
    value: &[u8],
    answer: &Sender<Answer>,
) -> Result<(), Box<dyn Error>> {
    // Another value each time: SQLite notices that an equal one changes no page, and then does not sync.
    let mut value = value.to_vec();
    value.extend_from_slice(&VALUES.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    room.put(key, value.into())?;
    if let Some(batch) = room.take_batch() {
        let (seq, answer) = (batch.seq, answer.clone());
        store.commit(batch, Box::new(move |result| drop(answer.send((number, seq, result)))));
    }
    Ok(())
}

fn p50(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
