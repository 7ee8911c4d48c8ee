//! Every figure of the benchmark: its name, its unit, and how it is measured on one server.

use std::io;
use std::time::{Duration, Instant};

use super::contender::{Contender, Places, Running};
use super::load::{self, Peer, Throughput, Times};
use super::rooms;
use super::secured;
use super::{client, editor};

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A throughput: the more the better.
    Throughput,
    /// Milliseconds.
    Milliseconds,
    /// Memory in KiB.
    Kib,
    /// A length in bytes: the less the better.
    Bytes,
    /// A share in percent, which has no ratio between servers.
    Percent,
}

/// One measured number of one server.
#[derive(Clone, Debug)]
pub struct Value {
    /// For throughput: for each CPU-second of the server.
    pub main: f64,
    /// For throughput: for each second.
    pub per_second: Option<f64>,
    /// For throughput: how busy the load generator was.
    pub client_busy: Option<f64>,
}

/// One row: a name, a unit, a number.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The name, as in the table.
    pub name: String,
    /// The unit.
    pub unit: Unit,
    /// The number.
    pub value: Value,
}

/// Which servers a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// All that echo, broadcast and answer.
    Everyone,
    /// Those that compress messages.
    Compressing,
    /// Those that run PartyKit projects.
    Projects,
    /// Those that serve files.
    Files,
    /// Those that serve files over HTTP/2.
    Streams,
    /// Those that share a document of Yjs.
    Editors,
}

/// A group of figures that are measured together; `--only` names groups.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What `--only` compares with.
    pub name: &'static str,
    /// Which servers can do it.
    who: Who,
    measure: fn(&Bench, Contender) -> io::Result<Vec<Figure>>,
}

/// All groups, in the order of the table.
pub const GROUPS: &[Group] = &[
    Group { name: "echo-1", who: Who::Everyone, measure: |bench, who| bench.echo(who, 1) },
    Group { name: "echo-16", who: Who::Everyone, measure: |bench, who| bench.echo(who, 16) },
    Group { name: "broadcast-100", who: Who::Everyone, measure: |bench, who| bench.broadcast(who, 100) },
    Group { name: "broadcast-1000", who: Who::Everyone, measure: |bench, who| bench.broadcast(who, 1000) },
    Group { name: "compressed", who: Who::Compressing, measure: Bench::compressed },
    Group { name: "request", who: Who::Everyone, measure: Bench::request },
    Group { name: "few-echo", who: Who::Everyone, measure: Bench::echo_of_few },
    Group { name: "few-request", who: Who::Everyone, measure: Bench::requests_of_few },
    Group { name: "assets", who: Who::Files, measure: Bench::assets },
    Group { name: "assets-http2", who: Who::Streams, measure: Bench::assets_over_http2 },
    Group { name: "editor", who: Who::Editors, measure: Bench::editor },
    Group { name: "put-1", who: Who::Projects, measure: |bench, who| bench.put(who, 1) },
    Group { name: "put-100", who: Who::Projects, measure: |bench, who| bench.put(who, 100) },
    Group { name: "new-room", who: Who::Projects, measure: Bench::new_room },
    Group { name: "memory", who: Who::Projects, measure: Bench::memory },
    Group { name: "program-tiny", who: Who::Projects, measure: |bench, who| bench.program(who, "tiny") },
    Group {
        name: "program-typical",
        who: Who::Projects,
        measure: |bench, who| bench.program(who, "typical"),
    },
    Group { name: "program-heavy", who: Who::Projects, measure: |bench, who| bench.program(who, "heavy") },
    Group { name: "start", who: Who::Projects, measure: Bench::start },
    Group { name: "swap", who: Who::Projects, measure: Bench::swap },
    Group { name: "churn", who: Who::Projects, measure: Bench::churn },
];

const ECHO_SOCKETS: usize = 32;
/// Numbers of connections with which a server is woken for one message or a few.
const FEW: [usize; 3] = [1, 4, 8];
/// Echo and requests are spread over so many rooms.
const ROOMS: usize = 8;
const TEXT: &str = r#"{"type":"move","x":123,"y":456}"#;
const ANSWER: &str = r#"{"room":"bench","users":3}"#;
const STORED: &str = "stored";
/// Sizes of static files: one that is kept in memory, and one that is read each time.
const ASSETS: [(&str, usize); 2] = [("1 KiB", 1 << 10), ("100 KiB", 100 << 10)];

/// How long a new file may take to be served.
const FILE_MAX: Duration = Duration::from_secs(30);

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The programs.
    pub places: Places,
    /// The duration of each throughput figure.
    pub times: Times,
    /// How many rooms churn makes.
    pub churn_rooms: usize,
    /// How often swap saves.
    pub swaps: usize,
    /// Rooms whose memory is looked at.
    pub memory_rooms: usize,
    /// Rooms that are made of each program.
    pub program_rooms: usize,
}

impl Group {
    /// Whether a server can be measured.
    pub fn is_for(&self, who: Contender) -> bool {
        match self.who {
            Who::Everyone => !matches!(who, Contender::Hyper | Contender::Nginx),
            Who::Compressing => matches!(who, Contender::Partyrun | Contender::Node),
            Who::Projects => who.runs_projects(),
            Who::Files => who.runs_projects() || matches!(who, Contender::Hyper | Contender::Nginx),
            Who::Streams => matches!(who, Contender::Partyrun | Contender::Nginx),
            Who::Editors => who.runs_projects() || who == Contender::Node,
        }
    }

    /// Measures the group's figures on one server.
    pub fn measure(&self, bench: &Bench, who: Contender) -> io::Result<Vec<Figure>> {
        (self.measure)(bench, who)
    }
}

/// How a socket is opened.
type Open = fn(std::net::SocketAddr, &str) -> io::Result<std::net::TcpStream>;

/// What a game sends its players: some more than 1 KiB of JSON.
fn state() -> String {
    let player = |index: usize| {
        let (x, y) = (index * 7919 % 1000, index * 104_729 % 1000);
        format!(r#"{{"id":"player-{index}","x":{x}.25,"y":{y}.5,"health":{},"alive":true}}"#, x % 100)
    };
    let players: Vec<String> = (1..=16).map(player).collect();
    format!(r#"{{"type":"state","tick":123456,"players":[{}]}}"#, players.join(","))
}

fn figure(name: &str, unit: Unit, main: f64) -> Figure {
    Figure { name: name.to_string(), unit, value: Value { main, per_second: None, client_busy: None } }
}

fn throughput(name: &str, measured: Throughput) -> Vec<Figure> {
    let value = Value {
        main: measured.per_cpu_second,
        per_second: Some(measured.per_second),
        client_busy: Some(measured.client_busy),
    };
    vec![Figure { name: name.to_string(), unit: Unit::Throughput, value }]
}

impl Bench {
    fn run(&self, peers: Vec<Peer>, server: &Running) -> io::Result<Throughput> {
        load::run(peers, server.pid, self.times)
    }

    fn echo(&self, who: Contender, window: usize) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let measured = self.run(speakers(&server, ECHO_SOCKETS, window)?, &server)?;
        Ok(throughput(&format!("echo, 32 sockets, {window} in flight"), measured))
    }

    // Few connections, of which each wakes the server for one message.
    fn echo_of_few(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let mut figures = Vec::new();
        for count in FEW {
            let measured = self.run(speakers(&server, count, 1)?, &server)?;
            figures.extend(throughput(&format!("echo, {}, 1 in flight", counted(count, "socket")), measured));
        }
        Ok(figures)
    }

    fn broadcast(&self, who: Contender, members: usize) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let (measured, _) = self.broadcast_of(TEXT, &server, members, client::open_socket)?;
        Ok(throughput(&format!("broadcast to {members}, deliveries"), measured))
    }

    // The same server, with sockets that asked for compressed messages and with others.
    fn compressed(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let (text, members) = (state(), 1000);
        let mut figures = Vec::new();
        for (name, open) in [("", client::open_socket as Open), (", compressed", client::open_compressed)] {
            let (measured, bytes) = self.broadcast_of(&text, &server, members, open)?;
            let what = format!("broadcast of {} bytes of JSON to {members}{name}", text.len());
            figures.extend(throughput(&format!("{what}, deliveries"), measured));
            figures.push(figure(&format!("{what}, bytes on the wire for each"), Unit::Bytes, bytes as f64));
        }
        Ok(figures)
    }

    // Measures deliveries, and tells how long each is.
    fn broadcast_of(
        &self,
        text: &str,
        server: &Running,
        members: usize,
        open: Open,
    ) -> io::Result<(Throughput, usize)> {
        let request = client::masked(&format!("all:{text}"));
        let mut streams = Vec::new();
        for _ in 0..members {
            streams.push(open(server.address, "/party/hall")?);
        }
        // The last one to join speaks, and again whenever it hears itself.
        if let Some(last) = streams.last_mut() {
            io::Write::write_all(last, &request)?;
        }
        let (mut peers, plain) = (Vec::new(), client::unmasked(text).len());
        let mut each = None;
        for (index, mut stream) in streams.into_iter().enumerate() {
            let (compressed, reply_bytes) = client::read_frame(&mut stream)?;
            if reply_bytes != *each.get_or_insert(reply_bytes) || compressed != (reply_bytes < plain) {
                return Err(io::Error::other(format!("a delivery has {reply_bytes} bytes of {plain}")));
            }
            let request = if index + 1 == members { request.clone() } else { Vec::new() };
            peers.push(Peer { stream, request, reply_bytes, window: 1 });
        }
        Ok((self.run(peers, server)?, each.unwrap_or_default()))
    }

    fn request(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let mut figures = Vec::new();
        for (rooms, name) in [(1, "1 room"), (ROOMS, "8 rooms"), (2 * ECHO_SOCKETS, "64 rooms")] {
            // With more rooms than connections each connection has a room of its own.
            let measured = self.run(askers(&server, ECHO_SOCKETS, rooms)?, &server)?;
            figures.extend(throughput(&format!("onRequest, small JSON, 32 connections to {name}"), measured));
        }
        Ok(figures)
    }

    fn requests_of_few(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let mut figures = Vec::new();
        for count in FEW {
            let measured = self.run(askers(&server, count, ROOMS)?, &server)?;
            let connections = counted(count, "connection");
            figures.extend(throughput(&format!("onRequest, small JSON, {connections}"), measured));
        }
        Ok(figures)
    }

    fn assets(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for (name, bytes) in ASSETS {
            let extra: &[&str] = if who.runs_projects() { &["--serve", "public"] } else { &[] };
            let server = who.start(&self.places, "bench", extra)?;
            let text = "x".repeat(bytes);
            std::fs::write(server.project.path().join("public/asset.bin"), &text)?;
            let request = client::get_request(server.address, "/asset.bin");
            wait_for_file(&server, &request)?;
            let mut peers = Vec::new();
            for _ in 0..ECHO_SOCKETS {
                let mut stream = client::connect(server.address)?;
                let answer = client::ask(&mut stream, &request)?;
                if answer.status != 200 || answer.body != text {
                    return Err(io::Error::other(format!("status {} for a file", answer.status)));
                }
                let (request, reply_bytes) = (request.clone(), answer.length);
                peers.push(Peer { stream, request, reply_bytes, window: 1 });
            }
            let measured = self.run(peers, &server)?;
            figures.extend(throughput(&format!("static file of {name}, 32 connections"), measured));
        }
        Ok(figures)
    }

    fn assets_over_http2(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let measured = secured::measure(who, &self.places, self.times)?;
        Ok(throughput("static file of 100 KiB over HTTP/2, 8 connections", measured))
    }

    fn put(&self, who: Contender, rooms: usize) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let mut peers = Vec::new();
        for index in 0..rooms {
            let text = format!("put:{TEXT}");
            peers.push(speaker(&server, &format!("/party/put-{index}"), &text, STORED, 1)?);
        }
        let rooms = if rooms == 1 { "1 room".to_string() } else { format!("{rooms} rooms") };
        Ok(throughput(&format!("durable put and answer, {rooms}"), self.run(peers, &server)?))
    }

    fn new_room(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let spared = rooms::new_rooms(&server, 200, Duration::from_millis(30))?;
        drop(server);
        let mut figures = vec![
            figure("new room, paced (spare), p50", Unit::Milliseconds, spared.quantile(0.5)),
            figure("new room, paced (spare), p99", Unit::Milliseconds, spared.quantile(0.99)),
        ];
        let no_spares: &[&str] =
            if who == Contender::Partyrun { &["--limit", "spares_per_worker=0"] } else { &[] };
        let server = who.start(&self.places, "bench", no_spares)?;
        let cold = rooms::new_rooms(&server, 300, Duration::ZERO)?;
        figures.push(figure("new room, without a spare, p50", Unit::Milliseconds, cold.quantile(0.5)));
        figures.push(figure("new room, without a spare, p99", Unit::Milliseconds, cold.quantile(0.99)));
        drop(server);
        let server = who.start(&self.places, "bench", &[])?;
        let burst = rooms::new_rooms(&server, 300, Duration::ZERO)?;
        figures.push(figure(
            "new room, one right after the other, p50",
            Unit::Milliseconds,
            burst.quantile(0.5),
        ));
        figures.push(figure(
            "new room, one right after the other, p99",
            Unit::Milliseconds,
            burst.quantile(0.99),
        ));
        Ok(figures)
    }

    // What a room costs when its program is small, of usual size, or large.
    fn program(&self, who: Contender, program: &str) -> io::Result<Vec<Figure>> {
        let fixture = if program == "tiny" { "bench".to_string() } else { format!("bench-{program}") };
        let server = who.start(&self.places, &fixture, &[])?;
        let count = self.program_rooms;
        let made = rooms::new_rooms(&server, count, Duration::ZERO)?;
        let idle = rooms::idle_memory(&server, count, 0)?;
        let ms = |what: &str, quantile| {
            let name = format!("{program} program: new room, one right after the other, {what}");
            figure(&name, Unit::Milliseconds, made.quantile(quantile))
        };
        let memory =
            format!("{program} program: memory of an idle room and its socket, {} rooms", thousands(count));
        Ok(vec![ms("p50", 0.5), ms("p99", 0.99), figure(&memory, Unit::Kib, idle.room_kib)])
    }

    fn memory(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "bench", &[])?;
        let idle = rooms::idle_memory(&server, self.memory_rooms, 1000)?;
        let rooms = format!("memory of an idle room and its socket, {} rooms", thousands(self.memory_rooms));
        Ok(vec![
            figure(&rooms, Unit::Kib, idle.room_kib),
            figure("memory of an idle socket, 1,000 in a room", Unit::Kib, idle.socket_kib),
        ])
    }

    // Many people who type into one document.
    fn editor(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let extra: &[&str] = if who == Contender::Node { &["editor"] } else { &[] };
        let server = who.start(&self.places, "bench-editor", extra)?;
        let cost = editor::run(&server, &self.places, self.times)?;
        let name =
            format!("editor room, {} clients: CPU time for an update with its deliveries", editor::CLIENTS);
        Ok(vec![figure(&name, Unit::Milliseconds, cost)])
    }

    fn start(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let count = if who == Contender::Partyrun { 9 } else { 5 };
        let (first, again) = rooms::first_answers(who, &self.places, count)?;
        Ok(vec![
            figure("first start to first answer, chat", Unit::Milliseconds, first.quantile(0.5)),
            figure("later start to first answer, chat", Unit::Milliseconds, again.quantile(0.5)),
        ])
    }

    fn swap(&self, who: Contender) -> io::Result<Vec<Figure>> {
        let server = who.start(&self.places, "chat", &[])?;
        let count = if who == Contender::Partyrun { self.swaps } else { self.swaps.min(10) };
        let swaps = rooms::swaps(&server, count)?;
        let growth = (swaps.late as f64 / swaps.early.max(1) as f64 - 1.0) * 100.0;
        Ok(vec![
            figure(
                "save to new code's first answer, chat, p50",
                Unit::Milliseconds,
                swaps.times.quantile(0.5),
            ),
            figure(
                "save to new code's first answer, chat, p99",
                Unit::Milliseconds,
                swaps.times.quantile(0.99),
            ),
            figure(&format!("memory growth over {count} reloads"), Unit::Percent, growth),
        ])
    }

    fn churn(&self, who: Contender) -> io::Result<Vec<Figure>> {
        // The original keeps an idle room for 10 s, which cannot be set; partyrun would need memory for all of them.
        let (extra, idle): (&[&str], _) = if who == Contender::Partyrun {
            (&["--limit", "room_idle_max=200ms"], Duration::from_millis(200))
        } else {
            (&[], Duration::from_secs(10))
        };
        let server = who.start(&self.places, "bench", extra)?;
        let churn = rooms::churn(&server, 500, self.churn_rooms, idle)?;
        let growth = (churn.last as f64 / churn.first.max(1) as f64 - 1.0) * 100.0;
        let kib = |bytes: u64| bytes as f64 / 1024.0;
        Ok(vec![
            figure("memory after 500 rooms were retired", Unit::Kib, kib(churn.first)),
            figure(
                &format!("memory after {} rooms were retired", self.churn_rooms),
                Unit::Kib,
                kib(churn.last),
            ),
            figure("most memory on the way", Unit::Kib, kib(churn.most)),
            figure("growth", Unit::Percent, growth),
        ])
    }
}

// The original starts again when its folder changes, and is not there meanwhile.
fn wait_for_file(server: &Running, request: &[u8]) -> io::Result<()> {
    let began = Instant::now();
    let ask = || client::connect(server.address).and_then(|mut stream| client::ask(&mut stream, request));
    while !ask().is_ok_and(|answer| answer.status == 200) {
        if began.elapsed() > FILE_MAX {
            return Err(io::Error::other("a new file never appeared"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Some servers keep a file only when it has been still for a moment.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

fn thousands(count: usize) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

// Sockets that echo, spread over the rooms.
fn speakers(server: &Running, count: usize, window: usize) -> io::Result<Vec<Peer>> {
    (0..count)
        .map(|index| speaker(server, &format!("/party/echo-{}", index % ROOMS), TEXT, TEXT, window))
        .collect()
}

// Connections whose request was answered once.
fn askers(server: &Running, count: usize, rooms: usize) -> io::Result<Vec<Peer>> {
    let asker = |index: usize| {
        let mut stream = client::connect(server.address)?;
        let request = client::get_request(server.address, &format!("/party/request-{}", index % rooms));
        let answer = client::ask(&mut stream, &request)?;
        if answer.body != ANSWER {
            return Err(io::Error::other(format!("expected {ANSWER}, got {}", answer.body)));
        }
        Ok(Peer { stream, request, reply_bytes: answer.length, window: 1 })
    };
    (0..count).map(asker).collect()
}

// A socket that has sent its text once and got the right reply.
fn speaker(server: &Running, path: &str, text: &str, reply: &str, window: usize) -> io::Result<Peer> {
    let mut stream = client::open_socket(server.address, path)?;
    let (request, reply) = (client::masked(text), client::unmasked(reply));
    io::Write::write_all(&mut stream, &request)?;
    client::expect(&mut stream, &reply)?;
    Ok(Peer { stream, request, reply_bytes: reply.len(), window })
}
