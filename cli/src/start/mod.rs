//! `partyrun start`: serves a project, or a file that `partyrun build` wrote, in production.
//!
//! It has no file watching, no debugger and no development URLs. It prints JSON lines if
//! its output is not a terminal. A request to stop lets events finish, makes writes durable and closes sockets with
//! 1012, so that clients reconnect to the successor. SIGHUP loads anew what is served (`reload`), and certificates. SIGUSR2 lets
//! another process take over (`upgrade`), which begins here like any other.

mod control;
mod load;
mod reload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_engine::{Engine, RestartCode};
use partyrun_limits::Limits;
use partyrun_net::Proxies;
use partyrun_server::Network;
use tokio::sync::mpsc::UnboundedReceiver;

use self::control::{Hold, Reply};
use self::load::{Port, Servable};
use self::reload::Served;
use crate::admin::{self, Administration};
use crate::args::StartArgs;
use crate::backup;
use crate::banner::{self, Banner};
use crate::bindings;
use crate::check;
use crate::error::{RunError, machine};
use crate::hosted::{Due, Hosted};
use crate::inherit;
use crate::metrics;
use crate::output::{self, Output};
use crate::room_cost;
use crate::secure::{Beside, Secured, Securing};
use crate::serve::{self, Plan, Running};
use crate::stop::{ALIVE, Asked, Link, RELOADED, STAYS, StopRequests, Voice};
use crate::upgrade::give::{self, Outcome};
use crate::upgrade::take::{Estate, Taker};

/// By then the program has been evaluated and has seen some events.
const CODE_CACHE_AFTER: Duration = Duration::from_secs(5);

/// Runs the command until it is asked to stop.
pub(crate) fn run(
    args: &StartArgs,
    begun: Instant,
    hosted: Option<Hosted>,
    mut link: Link,
) -> Result<(), RunError> {
    if args.listen.test_clock {
        crate::tested::begin();
    }
    let json = output::json_wanted(&args.listen);
    let limits = args.listen.limits(Limits::default())?;
    let output = Output::new(json, &limits).map_err(machine("A thread cannot be started"))?;
    // A host has lines of its own for requests.
    let output = Arc::new(if hosted.is_some() { output.without_requests() } else { output });
    let mut taker = link.heir.take().map(|line| Taker::greet(line, &limits)).transpose()?;
    let command =
        Command { args, begun, hosted: hosted.as_ref(), link: &link, limits: &limits, output: &output };
    let result = command.serve(&mut taker);
    if let (Err(error), Some(taker)) = (&result, &mut taker) {
        taker.give_up(&error.to_string());
    }
    partyrun_telemetry::stop();
    output.flush();
    result
}

// What is known from the beginning.
struct Command<'a> {
    args: &'a StartArgs,
    begun: Instant,
    /// What the host said, if one started this process.
    hosted: Option<&'a Hosted>,
    link: &'a Link,
    limits: &'a Limits,
    output: &'a Arc<Output>,
}

impl Command<'_> {
    fn serve(&self, taker: &mut Option<Taker>) -> Result<(), RunError> {
        let Self { args, limits, output, .. } = *self;
        let _metrics = metrics::serve(&args.listen, limits, output)?;
        // Before the build: the name of the code cache on disk holds V8's flags, which are not final until then.
        Engine::init_platform(limits);
        partyrun_engine::restrict(args.listen.outbound.clone().unwrap_or_default());
        let warm = Engine::warm_up(limits, None);
        let secured = Secured::of(&args.doors)?;
        let loaded = load::load(args, self.hosted, limits, Port::Open(self.link), output, taker.is_some())?;
        let Servable { config, mut doors, program, hash, cache, release, folder } = loaded;
        let runtime = serve::runtime()?;
        let (store, bindings, estate) = match taker {
            None => (serve::open_store(&config, limits)?, bindings::open(&config, limits)?, None),
            Some(taker) => {
                // Tried before the other server stops.
                runtime.block_on(check::evaluate(&config, &program, limits.clone()))?;
                let mut estate = taker.receive()?;
                let store = serve::open_store_with(&config, limits, estate.lock.take())?;
                let bindings = bindings::open(&config, limits)?;
                taker.begin()?;
                (store, bindings, Some(estate))
            }
        };
        let took = estate.as_ref().map(Estate::counts);
        let administration =
            Administration::of_start(&args.admin, config.persist.path(), limits, output)?.map(Arc::new);
        let (port, paths, https) = (doors.port, doors.take_paths(), secured.is_some());
        let (host, url, others) = (doors.host(&config), doors.url(https, &config), doors.others().to_vec());
        let about = || admin::release(&config, "start", url.clone(), release.clone());
        let told = |administration| (administration, about());
        let administration = administration.map(told);
        let handed_over = runtime.block_on(async {
            let mut requests = self.link.requests().map_err(machine("Signals cannot be received"))?;
            let due = || self.hosted.map(|_| Due::new(self.link, store.clone(), &config));
            let (mut due, telling) = (due(), due());
            let (hold, wished) = Hold::new(self.link.voice());
            let starting = Running::start(Plan {
                config: config.clone(),
                output: output.clone(),
                program: program.clone(),
                store: store.clone(),
                listeners: doors.listeners,
                tls: secured.as_ref().map(|secured| secured.tls.clone()),
                proxies: self.proxies(),
                workers: args.listen.workers.unwrap_or_default(),
                limits: limits.clone(),
                development: false,
                trusted_proxies: args.listen.trusted_proxy.clone(),
                reload: None,
                inspector: None,
                administration,
                bundle_hash: Some(hash.clone()),
                health: args.admin.health,
                warm,
                bindings,
                estate,
                restart_code: args.close_code.map(RestartCode).unwrap_or_default(),
                control: Some(Arc::new(hold)),
            });
            let running = tokio::select! {
                running = starting => running?,
                () = requests.next() => return Ok(false),
            };
            let (begun, release) = (self.begun, release.as_deref());
            let banner =
                Banner { config: &config, host, port, url: &url, https, begun, admin: None, release };
            banner::print(&banner, output);
            others.iter().for_each(|at| output.note(&format!("  also at  {at}")));
            let served = Served { config, port, url, program, hash, cache, folder };
            let _securing = self.secure(secured, &served, &mut requests)?;
            // Nobody asks for the others any more.
            inherit::forget_rest();
            self.link.ready(port);
            let telling = telling.map(|due| tokio::spawn(due.follow()));
            self.tell_of(took, &served);
            say_that_it_works(
                running.engine.clone(),
                requests.looks(),
                self.link.voice(),
                limits.admin_answer_time_max,
            );
            room_cost::tell_later(&running.engine, &served.program, limits, output, true);
            let handed_over = self.go_on(running, served, &mut requests, wished).await;
            telling.iter().for_each(tokio::task::JoinHandle::abort);
            due.iter_mut().for_each(Due::tell_last);
            handed_over
        })?;
        if handed_over {
            // Another process listens there.
            std::mem::forget(paths);
        }
        Ok(())
    }

    // Those that say first whom they speak for.
    fn proxies(&self) -> Option<Proxies> {
        self.args.doors.proxy_protocol.then(|| proxies(&self.args.listen.trusted_proxy))
    }

    // Keeps certificates, and reads them again when it is asked.
    fn secure(
        &self,
        secured: Option<Secured>,
        served: &Served,
        requests: &mut StopRequests,
    ) -> Result<Option<Securing>, RunError> {
        let mut reloads = requests.reloads();
        requests.heed_hangups();
        let voice = self.link.voice();
        let Some(secured) = secured else {
            // There is nothing to read again.
            tokio::spawn(async move {
                while reloads.recv().await.is_some() {
                    voice.say(RELOADED);
                }
            });
            return Ok(None);
        };
        let (host, data, port) = (served.config.host, served.data(), served.port);
        let (args, limits, output, proxies) = (&self.args.doors, self.limits, self.output, self.proxies());
        let beside = Beside { args, host, data, port, limits, output, proxies };
        secured.begin(&beside, reloads, move || voice.say(RELOADED)).map(Some)
    }

    // Tells what came from another process, whose files are gone with it.
    fn tell_of(&self, took: Option<(usize, usize)>, served: &Served) {
        let Some((rooms, sockets)) = took else { return };
        let (rooms, sockets) = (output::counted(rooms, "room"), output::counted(sockets, "connection"));
        self.output.note(&format!("Took over from the server before, with {sockets} of {rooms}"));
        served.folder.iter().for_each(crate::release::Unpacked::forget_others);
    }

    // Does what is asked, until it is to stop, or another process takes over: then it answers true.
    async fn go_on(
        &self,
        mut running: Running,
        mut served: Served,
        requests: &mut StopRequests,
        mut wished: UnboundedReceiver<Reply>,
    ) -> Result<bool, RunError> {
        let Self { args, limits, output, .. } = *self;
        let mut backups = backup::start(&args.backups, served.data(), output)?;
        let mut cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
        let mut is_followed = false;
        loop {
            let due = cache_due.unwrap_or_else(tokio::time::Instant::now);
            let mut reply = None;
            let asked = tokio::select! {
                asked = requests.asked() => asked,
                Some(wish) = wished.recv() => {
                    reply = Some(wish);
                    Asked::Reload
                }
                () = tokio::time::sleep_until(due), if cache_due.is_some() => {
                    cache_due = None;
                    served.cache.keep(&served.program);
                    continue;
                }
            };
            match asked {
                Asked::Stop => break,
                Asked::Reload => {
                    let reloading = served.reload(self, &mut running);
                    let (done, stops) = meanwhile(requests, reloading).await;
                    if self.hosted.is_some() {
                        self.link.voice().say(if done.is_ok() { "swapped yes" } else { "swapped no" });
                    }
                    // Whoever asked by the API may be gone.
                    let _gone = reply.map(|reply| reply.send(done));
                    requests.pass_on(&Asked::Reload);
                    cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
                    if stops {
                        break;
                    }
                }
                Asked::HandOver(line) => {
                    // One in progress ends early: it would hold the log of the database.
                    drop(backups.take());
                    let giving = give::hand_over(line, self.link, &mut running, limits);
                    let (outcome, stops) = meanwhile(requests, giving).await;
                    match outcome {
                        Outcome::Given => {
                            output.note("Another server process has taken over.");
                            return Ok(true);
                        }
                        Outcome::Stop(version) => {
                            output.note(&format!(
                                "Another server process takes over. It is partyrun {version}, which cannot have the \
                                 sockets of this one."
                            ));
                            running.leave_path();
                            is_followed = true;
                            break;
                        }
                        Outcome::Stays(why) => {
                            self.link.voice().say(STAYS);
                            output.problem(&format!(
                                "No other process takes over: {why}. This server goes on."
                            ));
                        }
                    }
                    if stops {
                        break;
                    }
                    backups = backup::start(&args.backups, served.data(), output)?;
                }
                asked @ Asked::Look => {
                    requests.pass_on(&asked);
                }
            }
        }
        output.note("Stopping.");
        drop(backups);
        // What events in progress get at the end.
        running.stop(limits.wait_until_max, requests).await;
        served.cache.keep(&served.program);
        Ok(is_followed)
    }
}

// Answers questions while something else is done. Whether a request to stop came meanwhile is answered with the result.
async fn meanwhile<T>(requests: &mut StopRequests, work: impl Future<Output = T>) -> (T, bool) {
    let mut work = std::pin::pin!(work);
    let mut stops = false;
    loop {
        tokio::select! {
            done = &mut work => return (done, stops),
            asked = requests.asked() => stops |= requests.pass_on(&asked),
        }
    }
}

// Answers the supervisor, which asks for systemd, as long as requests would be answered.
fn say_that_it_works(engine: Engine, mut looks: UnboundedReceiver<()>, voice: Voice, patience: Duration) {
    tokio::spawn(async move {
        while looks.recv().await.is_some() {
            if engine.edge_answers(patience).await {
                voice.say(ALIVE);
            }
        }
    });
}

fn proxies(trusted: &[Network]) -> Proxies {
    let trusted = trusted.to_vec();
    Proxies::new(move |peer| trusted.iter().any(|network| network.contains(peer)))
}
